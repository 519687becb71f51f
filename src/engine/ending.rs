//! How far the end of the server has come. It can be called off until clients are turned away.

use super::Engine;
use super::persistence::SnapshotResult;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What is known of the end. Its mutex is held for a few words at a time.
#[derive(Debug, Default)]
pub struct Ending(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// A signal or a client has asked for it.
    is_ending: bool,
    /// A signal has.
    is_signalled: bool,
    /// Clients are being turned away.
    is_closing: bool,
    /// No snapshot at the end.
    skips_last: bool,
}

impl Ending {
    fn state(&self) -> MutexGuard<'_, State> {
        // Every change of the state is whole before anything can panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A signal asks for the end; false if one has before.
    pub fn signal(&self) -> bool {
        let mut state = self.state();
        state.is_ending = true;
        !std::mem::replace(&mut state.is_signalled, true)
    }

    /// A client has asked for the end, and has the snapshot for it if it wanted one: clients are turned away.
    pub fn begin(&self) {
        let mut state = self.state();
        (state.is_ending, state.is_closing) = (true, true);
    }

    /// Calls the end off; false if there is none to be called off.
    pub fn call_off(&self) -> bool {
        let mut state = self.state();
        let can_be = state.is_ending && !state.is_closing && !state.skips_last;
        if can_be {
            *state = State::default();
        }
        can_be
    }

    /// Clients are turned away from now on; false if the end was called off.
    pub fn close(&self) -> bool {
        let mut state = self.state();
        state.is_closing = state.is_ending;
        state.is_closing
    }

    /// Clients are served again.
    pub fn reopen(&self) {
        self.state().is_closing = false;
    }

    /// True from the first request on, unless it was called off.
    pub fn is_ending(&self) -> bool {
        self.state().is_ending
    }

    /// True if nothing is to be saved any more.
    pub fn skips_last(&self) -> bool {
        self.state().skips_last
    }
}

impl Engine {
    /// Gives up the snapshot that is being taken, and takes none at the end.
    pub fn skip_last_snapshot(&self) {
        self.ending.state().skips_last = true;
        self.persistence.cancel();
        self.persistence.notice();
    }

    /// Calls the end of the server off; false if there is none to be called off.
    pub fn call_end_off(&self) -> bool {
        let is_off = self.ending.call_off();
        self.persistence.notice();
        is_off
    }

    /// Takes the snapshot that a server takes when it ends, unless nothing has changed since the last one, and waits
    /// for it. Nothing is taken before the load is through.
    pub fn take_last_snapshot(&self) -> SnapshotResult {
        if self.ending.skips_last() || !self.is_ready() || self.is_saved() {
            return Ok(());
        }
        match self.queue_snapshot() {
            Ok(number) => self.persistence.wait(number),
            Err(_) => Ok(()),
        }
    }

    /// Waits until a snapshot succeeds, the end is called off, or nothing is to be saved any more, but not for longer
    /// than `bound`.
    pub fn wait_for_good_snapshot(&self, bound: Duration) {
        let ending = &self.ending;
        self.persistence.wait_for_save(bound, || ending.skips_last() || !ending.is_ending());
    }
}

//! The progress of a shutdown. SHUTDOWN ABORT can undo it until connections are closed.

use super::Engine;
use super::persistence::SnapshotResult;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The state of a shutdown. Its mutex is held for a few words at a time.
#[derive(Debug, Default)]
pub struct Ending(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// A signal or a client has asked for a shutdown.
    is_ending: bool,
    /// A signal has asked for it.
    is_signalled: bool,
    /// New connections are refused and open ones closed.
    is_closing: bool,
    /// No snapshot is taken at the end.
    skips_last: bool,
}

impl Ending {
    fn state(&self) -> MutexGuard<'_, State> {
        // Every change of the state is whole before anything can panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A signal asks for a shutdown; false if one has asked before.
    pub fn signal(&self) -> bool {
        let mut state = self.state();
        state.is_ending = true;
        !std::mem::replace(&mut state.is_signalled, true)
    }

    /// A client has asked for a shutdown, and its snapshot, if it wanted one, is taken: connections are closed.
    pub fn begin(&self) {
        let mut state = self.state();
        (state.is_ending, state.is_closing) = (true, true);
    }

    /// Aborts the shutdown; false if there is none, or it is too late.
    pub fn abort(&self) -> bool {
        let mut state = self.state();
        let is_abortable = state.is_ending && !state.is_closing && !state.skips_last;
        if is_abortable {
            *state = State::default();
        }
        is_abortable
    }

    /// Connections are closed from now on; false if the shutdown was aborted.
    pub fn close(&self) -> bool {
        let mut state = self.state();
        state.is_closing = state.is_ending;
        state.is_closing
    }

    /// Connections are accepted again.
    pub fn reopen(&self) {
        self.state().is_closing = false;
    }

    /// True from the first request for a shutdown on, unless it was aborted.
    pub fn is_ending(&self) -> bool {
        self.state().is_ending
    }

    /// True if no snapshot is to be taken any more.
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

    /// Aborts the shutdown; false if there is none, or it is too late.
    pub fn abort_shutdown(&self) -> bool {
        let is_aborted = self.ending.abort();
        self.persistence.notice();
        is_aborted
    }

    /// Takes the last snapshot of a shutdown and waits for it, unless nothing has changed since the one before or the
    /// load at the start is still running.
    ///
    /// # Errors
    /// The snapshot failed, and why.
    pub fn take_last_snapshot(&self) -> SnapshotResult {
        if self.ending.skips_last() || !self.is_ready() || self.is_saved() {
            return Ok(());
        }
        match self.queue_snapshot() {
            Ok(number) => self.persistence.wait(number),
            Err(_) => Ok(()),
        }
    }

    /// Waits until a snapshot succeeds, the shutdown is aborted, or no snapshot is to be taken any more, but not for longer
    /// than `bound`.
    pub fn wait_for_good_snapshot(&self, bound: Duration) {
        let ending = &self.ending;
        self.persistence.wait_for_save(bound, || ending.skips_last() || !ending.is_ending());
    }
}

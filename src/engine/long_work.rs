//! Work that is known to be long: it runs where it holds nobody up, and only some of it at a time.
//!
//! A thread more than there are cores makes no long work faster, but every other client slower. So a command that has
//! changed and replied nothing yet, and finds as many at work as there are workers, lets go of everything, waits, and
//! begins again. What cannot begin again takes a thread of its own all the same, up to a bound; beyond it runs in place.
//!
//! Long work is pinned, and a transaction that runs alone has to outlast every pin. So one that asks to run alone waits
//! until no long work runs, and only then makes the others wait. Long work that can begin again does not begin while
//! somebody asks; for what cannot, the wait is bounded.

use super::Engine;
use super::clients::Client;
use crate::concurrent::counters::counter::Flag;
use crate::keyspace::Exclusive;
use crate::wait::Wait;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Most threads that do long work at one time; far below what the runtime has for that.
const MOST_THREADS: usize = 64;

/// From this many elements on work is long: what takes longer than handing a worker's other tasks over.
const LONG_WORK: u64 = 4096;

/// Bytes whose copy takes as long as the work on one element.
const ELEMENT: usize = 1024;

/// Bytes of inputs that are copied at most, so that what is made of them needs no pin.
const MOST_COPIED: usize = 64 << 20;

/// Microseconds after which a transaction that asks to run alone waits for long work no more.
const PATIENCE_US: u64 = 10_000_000;

/// The commands that do long work, and those that wait for a place.
#[derive(Debug)]
pub struct LongWork {
    most: usize,
    state: Mutex<State>,
    /// Raised while the server stops: then no long work is wanted.
    stopping: Flag,
}

#[derive(Debug, Default)]
struct State {
    running: usize,
    /// Transactions that ask to run alone.
    asking: usize,
    waiting: VecDeque<Arc<Client>>,
}

impl State {
    /// True if work that can begin again may begin.
    fn has_room(&self, most: usize) -> bool {
        self.running < most && self.asking == 0
    }
}

impl LongWork {
    /// Room for `most` at a time.
    pub(super) fn new(most: usize) -> LongWork {
        LongWork { most: most.max(1), state: Mutex::default(), stopping: Flag::default() }
    }

    /// True if long work may begin, or else `client` is woken when it may.
    pub fn has_room(&self, client: &Arc<Client>) -> bool {
        let mut state = self.state();
        let has_room = state.has_room(self.most);
        if !has_room && !state.waiting.iter().any(|other| other.id == client.id) {
            state.waiting.push_back(Arc::clone(client));
        }
        has_room
    }

    /// Lets all long work end, since the server stops.
    pub fn stop(&self) {
        self.stopping.raise();
    }

    /// Takes that back.
    pub fn resume(&self) {
        self.stopping.lower();
    }

    /// True while the server stops. One load.
    pub fn is_stopping(&self) -> bool {
        self.stopping.is_raised()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among those who work long; dropping it leaves.
struct Permit<'a>(&'a LongWork);

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let next = {
            let mut state = self.0.state();
            state.running -= 1;
            // While somebody asks none may begin; they are woken when nobody does any more.
            if state.asking == 0 { state.waiting.pop_front() } else { None }
        };
        if let Some(client) = next {
            client.mailbox.wake();
        }
    }
}

impl LongWork {
    /// A place, if `may_begin`.
    fn enter(&self, may_begin: impl FnOnce(&State) -> bool) -> Option<Permit<'_>> {
        let mut state = self.state();
        let begins = may_begin(&state);
        state.running += usize::from(begins);
        // Not `then_some`: a place that is not taken must not be given back.
        begins.then(|| Permit(self))
    }
}

/// The wish to run alone; dropping it ends it.
#[must_use]
#[derive(Debug)]
pub struct Asking<'e> {
    engine: &'e Engine,
    since_us: u64,
}

impl<'e> Asking<'e> {
    /// Takes the exclusive right once no long work runs and nobody else holds it. Poll it without a batch open, and
    /// drop the wish when the right is ready.
    pub fn take_exclusive(&self) -> Option<Exclusive<'e>> {
        let engine = self.engine;
        // The lock is held until the exclusive right is taken, so that no long work begins in between.
        let state = engine.long_work.state();
        let waited_us = engine.clock.monotonic_us().saturating_sub(self.since_us);
        if state.running > 0 && waited_us < PATIENCE_US {
            return None;
        }
        engine.keyspace.take_exclusive()
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let woken: Vec<_> = {
            let mut state = self.engine.long_work.state();
            state.asking -= 1;
            let most = if state.asking == 0 { state.waiting.len() } else { 0 };
            state.waiting.drain(..most).collect()
        };
        woken.iter().for_each(|client| client.mailbox.wake());
    }
}

impl Engine {
    /// Asks to run alone: from now on no long work begins that can begin later.
    pub fn ask_to_run_alone(&self) -> Asking<'_> {
        self.long_work.state().asking += 1;
        Asking { engine: self, since_us: self.clock.monotonic_us() }
    }

    /// Runs work that is known to be long where it holds nobody up, and returns its result; or [`Wait::LongWork`] if as many are
    /// at work as there are workers, or somebody asks to run alone, and then the work has not begun. For commands that have changed and replied
    /// nothing yet.
    ///
    /// # Errors
    /// [`Wait::LongWork`]: the work has not begun.
    pub fn run_long_if_free<R>(&self, work: impl FnMut() -> R) -> Result<R, Wait> {
        let place =
            self.long_work.enter(|state| state.has_room(self.long_work.most)).ok_or(Wait::LongWork)?;
        Ok(self.run_in(Some(place), work))
    }

    /// Runs work that is known to be long where it holds nobody up, if that is possible, and returns its result.
    pub fn run_long<R>(&self, work: impl FnMut() -> R) -> R {
        self.run_in(self.long_work.enter(|state| state.running < MOST_THREADS), work)
    }

    /// True if work on so many elements, of so many bytes, had better copy them and go on without a pin.
    pub fn is_worth_copying(&self, elements: u64, bytes: usize) -> bool {
        elements > LONG_WORK && bytes <= MOST_COPIED && !self.keyspace.memory.is_over()
    }

    /// Runs work that touches about `elements` elements: in place, or as long work if they are many.
    pub fn run_sized<R>(&self, elements: u64, mut work: impl FnMut() -> R) -> R {
        if elements > LONG_WORK { self.run_long(work) } else { work() }
    }

    /// Runs work that copies about `bytes` bytes: in place, or as long work if they are many.
    pub fn run_copying<R>(&self, bytes: usize, work: impl FnMut() -> R) -> R {
        self.run_sized((bytes / ELEMENT) as u64, work)
    }

    /// Runs work in its place; without one, here.
    fn run_in<R>(&self, place: Option<Permit<'_>>, mut work: impl FnMut() -> R) -> R {
        let mut result = None;
        if place.is_some() {
            (self.offload)(&mut || result = Some(work()));
        }
        result.unwrap_or_else(work)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::config::Settings;
    use crate::keyspace::{Change, Draft, Key, KeyspaceError};

    #[test]
    fn who_asks_to_run_alone_waits_for_long_work_and_others_do_not_wait_for_that() {
        let engine = Engine::new(Settings::default(), Clock::manual(1_000));
        engine.run_long(|| {
            let asking = engine.ask_to_run_alone();
            assert!(asking.take_exclusive().is_none() && !engine.keyspace.is_exclusive());
            let write = |_: Option<_>| Ok::<_, KeyspaceError>((Change::Put(Draft::integer(1, None)), ()));
            engine.keyspace.enter().view().update(Key::new(b"k"), write).expect("a bystander's write");
            assert_eq!(engine.run_long_if_free(|| ()), Err(Wait::LongWork), "what can begin again waits");
            engine.run_long(|| ());
            drop(asking);
            assert_eq!(engine.run_long_if_free(|| ()), Ok(()));
        });
        let asking = engine.ask_to_run_alone();
        let exclusive = asking.take_exclusive().expect("no long work runs any more");
        assert!(asking.take_exclusive().is_none(), "one at a time");
        drop(exclusive);
        assert!(!engine.keyspace.is_exclusive());
    }

    #[test]
    fn the_patience_of_who_asks_to_run_alone_ends() {
        let engine = Engine::new(Settings::default(), Clock::manual(1_000));
        engine.run_long(|| {
            let asking = engine.ask_to_run_alone();
            engine.clock.advance(PATIENCE_US / 1000 - 1);
            assert!(asking.take_exclusive().is_none());
            engine.clock.advance(1);
            assert!(asking.take_exclusive().is_some());
        });
    }
}

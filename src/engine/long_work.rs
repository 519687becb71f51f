//! Work that is known to be long: it runs where it holds nobody up, and only some of it at a time.
//!
//! A thread more than there are cores makes no long work faster, but every other client slower. So a command that has
//! changed and replied nothing yet, and finds as many at work as there are workers, lets go of everything, waits, and
//! begins again. What cannot begin again takes a thread of its own all the same, up to a bound; beyond it runs in place.

use super::Engine;
use super::clients::Client;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Most threads that do long work at one time; far below what the runtime has for that.
const MOST_THREADS: usize = 64;

/// From this many elements on work is long: what takes longer than handing a worker's other tasks over.
const LONG_WORK: u64 = 4096;

/// Bytes whose copy takes as long as the work on one element.
const ELEMENT: usize = 1024;

/// Too much long work is running: the command is to be run again, from its start, when there is room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

/// Who works long and who waits for that.
#[derive(Debug)]
pub struct LongWork {
    most: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    running: usize,
    waiting: VecDeque<Arc<Client>>,
}

impl LongWork {
    /// Room for `most` at a time.
    pub(super) fn new(most: usize) -> LongWork {
        LongWork { most: most.max(1), state: Mutex::default() }
    }

    /// True if long work may begin, or else `client` is woken when it may.
    pub fn has_room(&self, client: &Arc<Client>) -> bool {
        let mut state = self.state();
        let has_room = state.running < self.most;
        if !has_room && !state.waiting.iter().any(|other| other.id == client.id) {
            state.waiting.push_back(Arc::clone(client));
        }
        has_room
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among those who work long; dropping it leaves.
struct Place<'a>(&'a LongWork);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let next = {
            let mut state = self.0.state();
            state.running -= 1;
            state.waiting.pop_front()
        };
        if let Some(client) = next {
            client.mailbox.wake();
        }
    }
}

impl LongWork {
    /// A place, if fewer than `most` are taken.
    fn enter(&self, most: usize) -> Option<Place<'_>> {
        let mut state = self.state();
        let has_room = state.running < most;
        state.running += usize::from(has_room);
        // Not `then_some`: a place that is not taken must not be given back.
        has_room.then(|| Place(self))
    }
}

impl Engine {
    /// Runs work that is known to be long where it holds nobody up, and returns its result; or [`Busy`] if as many are
    /// at work as there are workers, and then the work has not begun. For commands that have changed and replied
    /// nothing yet.
    pub fn run_long_if_free<R>(&self, work: impl FnMut() -> R) -> Result<R, Busy> {
        let place = self.long_work.enter(self.long_work.most).ok_or(Busy)?;
        Ok(self.run_in(Some(place), work))
    }

    /// Runs work that is known to be long where it holds nobody up, if that is possible, and returns its result.
    pub fn run_long<R>(&self, work: impl FnMut() -> R) -> R {
        self.run_in(self.long_work.enter(MOST_THREADS), work)
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
    fn run_in<R>(&self, place: Option<Place<'_>>, mut work: impl FnMut() -> R) -> R {
        let mut result = None;
        if place.is_some() {
            (self.offload)(&mut || result = Some(work()));
        }
        result.unwrap_or_else(work)
    }
}

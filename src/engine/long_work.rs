//! Work that is known to be long: it runs where it holds nobody up, and only some of it at a time.
//!
//! A thread more than there are cores makes no long work faster, but every other client slower. So whoever finds the
//! places taken lets go of everything, waits for a place, and begins again.

use super::Engine;
use super::clients::Client;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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

impl Engine {
    /// Runs work that is known to be long where it holds nobody up, and returns its result; or [`Busy`], and then the
    /// work has not begun. Long work does not call for more of it.
    pub fn run_long<R>(&self, mut work: impl FnMut() -> R) -> Result<R, Busy> {
        let place = {
            let mut state = self.long_work.state();
            if state.running >= self.long_work.most {
                return Err(Busy);
            }
            state.running += 1;
            Place(&self.long_work)
        };
        let mut result = None;
        (self.offload)(&mut || result = Some(work()));
        drop(place);
        Ok(result.unwrap_or_else(work))
    }

    /// Runs work that may be long and that cannot be begun again: aside if there is room, or else here.
    pub fn run_aside<R>(&self, mut work: impl FnMut() -> R) -> R {
        self.run_long(&mut work).unwrap_or_else(|Busy| work())
    }
}

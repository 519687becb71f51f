//! CLIENT PAUSE: for how long which commands of all clients wait.
//!
//! While it lasts nothing is removed by itself either: no key expires, is evicted or goes for having been read.

use crate::concurrent::counters::counter::{Latest, Tally};
use std::sync::{Arc, Mutex, PoisonError};

/// Which commands wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PauseMode {
    /// Those that may write.
    Writes,
    /// All of them.
    All,
}

/// The pause in force. Its times are monotonic microseconds.
#[derive(Debug)]
pub struct Pause {
    /// When it ends, times two, and one more for [`PauseMode::All`]; 0 for none.
    word: Latest,
    /// When it ends, for the keyspace.
    no_removals_until_us: Arc<Latest>,
    changing: Mutex<()>,
    held: Tally,
}

/// A client whose request waits for the end of a pause; counted until this is dropped.
#[must_use]
#[derive(Debug)]
pub struct Held<'p>(&'p Pause);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.held.add(-1);
    }
}

impl Pause {
    /// No pause. The keyspace removes nothing by itself until the time that it is told.
    pub(super) fn new(no_removals_until_us: Arc<Latest>) -> Pause {
        Pause {
            word: Latest::default(),
            no_removals_until_us,
            changing: Mutex::default(),
            held: Tally::new(),
        }
    }

    /// True if there is a pause, or one that nobody has noticed the end of. One load.
    #[inline]
    pub fn is_set(&self) -> bool {
        self.word.get() != 0
    }

    /// Begins a pause until `until_us`. One that is in force is made longer and stricter, never the opposite.
    pub fn begin(&self, mode: PauseMode, until_us: u64, now_us: u64) {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let (present, end_us) = in_force(self.word.get(), now_us).unwrap_or((PauseMode::Writes, 0));
        let (all, until_us) = (u64::from(mode.max(present) == PauseMode::All), until_us.max(end_us));
        self.word.set(until_us << 1 | all);
        self.no_removals_until_us.set(until_us);
    }

    /// Ends the pause. The clients that wait are to be woken then.
    pub fn end(&self) {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        self.forget();
    }

    /// What waits at `now_us`, and until when. A pause that has run out is forgotten, so that it costs nothing.
    pub fn present(&self, now_us: u64) -> Option<(PauseMode, u64)> {
        let found = in_force(self.word.get(), now_us);
        if found.is_none() && self.is_set() {
            let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
            // Another one may have begun meanwhile.
            if in_force(self.word.get(), now_us).is_none() {
                self.forget();
            }
        }
        found
    }

    /// Counts a client whose request waits.
    pub fn hold(&self) -> Held<'_> {
        self.held.add(1);
        Held(self)
    }

    /// The number of clients whose requests wait.
    pub fn held(&self) -> u64 {
        self.held.get().max(0) as u64
    }

    fn forget(&self) {
        self.word.set(0);
        self.no_removals_until_us.set(0);
    }
}

/// The pause that a word says, if it is in force at `now_us`.
fn in_force(word: u64, now_us: u64) -> Option<(PauseMode, u64)> {
    let mode = if word & 1 == 1 { PauseMode::All } else { PauseMode::Writes };
    (word >> 1 > now_us).then_some((mode, word >> 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_made_longer_and_stricter_only() {
        let no_removals_until_us = Arc::<Latest>::default();
        let pause = Pause::new(Arc::clone(&no_removals_until_us));
        assert!(!pause.is_set() && pause.present(0).is_none());
        pause.begin(PauseMode::All, 100, 10);
        pause.begin(PauseMode::Writes, 50, 10);
        assert_eq!(pause.present(99), Some((PauseMode::All, 100)));
        assert_eq!(no_removals_until_us.get(), 100);
        assert_eq!(pause.present(100), None);
        assert!(!pause.is_set(), "it has run out");
        pause.begin(PauseMode::Writes, 300, 200);
        assert_eq!(pause.present(200), Some((PauseMode::Writes, 300)));
        pause.end();
        assert!(!pause.is_set());
        assert_eq!(no_removals_until_us.get(), 0);
    }

    #[test]
    fn held_clients_are_counted_until_they_go_on() {
        let pause = Pause::new(Arc::default());
        let held = (pause.hold(), pause.hold());
        assert_eq!(pause.held(), 2);
        drop(held);
        assert_eq!(pause.held(), 0);
    }
}

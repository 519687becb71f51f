//! Giving memory back when much of it has been freed.
//!
//! A thread's cache keeps objects that it freed, and each of them keeps a page: some thousand kept 20 MB after a flush
//! of 110. Only the thread itself can empty its cache; so workers do it before they wait for work, once for each time
//! they are asked to, and idle ones are woken for it.

use crate::concurrent::counters::counter::Latest;
use crate::memory::allocator::{Allocator, flush_thread_cache};
use std::cell::Cell;
use tokio::runtime::Handle;

/// Bytes in pages but not handed out that are given back, if they are more than a quarter of what is handed out.
const MUCH: u64 = 16 << 20;

/// Microseconds between two looks at them.
const INTERVAL_US: u64 = 500_000;

thread_local! {
    /// The last time that this thread was asked and did it.
    static FOLLOWED: Cell<u64> = const { Cell::new(0) };
}

/// Requests to all threads to empty their caches.
#[derive(Debug, Default)]
pub(super) struct Trims {
    asked: Latest,
}

impl Trims {
    /// Asks all threads, of which one calls this.
    pub(super) fn ask(&self, workers: &Handle) {
        self.asked.set(self.asked.get() + 1);
        // One wakes the next while there is work left.
        let tasks = 2 * workers.metrics().num_workers();
        (0..tasks).for_each(|_| drop(workers.spawn(async {})));
    }

    /// Empties this thread's cache, if that was asked for since it did so. To be called before the thread waits.
    #[inline]
    pub(super) fn follow(&self) {
        let asked = self.asked.get();
        if FOLLOWED.replace(asked) != asked {
            flush_thread_cache();
        }
    }
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing.
    Rest,
    /// Threads are to empty their caches.
    Ask,
    /// They have: empty pages are to go.
    Purge,
}

/// Watches what the allocator keeps without having handed it out.
#[derive(Debug)]
pub(super) struct Watch {
    looked_us: u64,
    step: Step,
    /// The least that it kept since it was last made to give back.
    least: u64,
}

impl Watch {
    /// Begins at `now_us`.
    pub(super) fn new(now_us: u64) -> Watch {
        Watch { looked_us: now_us, step: Step::Rest, least: 0 }
    }

    /// To be asked often; most answers are to rest.
    pub(super) fn next(&mut self, allocator: Allocator, now_us: u64) -> Step {
        if now_us.saturating_sub(self.looked_us) < INTERVAL_US {
            return Step::Rest;
        }
        self.looked_us = now_us;
        let kept = allocator.resident.saturating_sub(allocator.allocated);
        self.step = match self.step {
            Step::Ask => Step::Purge,
            Step::Rest if kept > self.least + MUCH.max(allocator.allocated / 4) => Step::Ask,
            Step::Rest => {
                self.least = self.least.min(kept);
                Step::Rest
            }
            Step::Purge => {
                self.least = kept;
                Step::Rest
            }
        };
        self.step
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_given_back_once_and_again_when_it_has_grown() {
        const MB: u64 = 1 << 20;
        let mut watch = Watch::new(0);
        let mut now_us = 0;
        let mut next = |allocated, resident| {
            now_us += INTERVAL_US;
            watch.next(Allocator { allocated, resident, ..Allocator::default() }, now_us)
        };
        assert_eq!(next(100 * MB, 120 * MB), Step::Rest, "less than a quarter");
        assert_eq!(next(2 * MB, 118 * MB), Step::Ask);
        assert_eq!(next(2 * MB, 118 * MB), Step::Purge);
        assert_eq!(next(2 * MB, 40 * MB), Step::Rest, "fragments that stay");
        assert_eq!(next(2 * MB, 40 * MB), Step::Rest, "are not asked for again");
        assert_eq!(next(2 * MB, 10 * MB), Step::Rest);
        assert_eq!(next(2 * MB, 40 * MB), Step::Ask, "new ones are");
        assert_eq!(watch.next(Allocator::default(), now_us + 1), Step::Rest, "not yet");
    }
}

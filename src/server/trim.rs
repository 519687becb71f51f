//! Giving memory back when much of it has been freed.
//!
//! A thread's cache keeps objects that it freed, and each of them keeps a page: some thousand kept 20 MB after a flush
//! of 110. Only the thread itself can empty its cache; so workers do it before they wait for work, once for each time
//! they are asked to, and idle ones are woken for it.

use crate::concurrent::counter::Latest;
use crate::engine::memory::flush_thread_cache;
use std::cell::Cell;
use tokio::runtime::Handle;

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

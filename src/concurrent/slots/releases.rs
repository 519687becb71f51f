//! What has left a structure and waits for the housekeeper to release it.
//!
//! Papaya may drop a key at any time, even in the middle of a command. So a key's `Drop` only queues what the key stood
//! for; the housekeeper releases it after one more grace period.

use crate::sync::plain;
use crossbeam_queue::SegQueue;
use std::ptr::NonNull;

/// A queue of what has left a structure.
#[derive(Debug)]
pub(super) struct Releases<T> {
    queue: SegQueue<Left<T>>,
    /// The structure is being dropped: nothing is queued any more.
    /// ORDERING: plain; set by the generation's sole owner, and read after that only within its own drop.
    is_closed: plain::AtomicBool,
}

/// Something that has left its structure.
#[derive(Debug)]
pub(super) struct Left<T>(pub(super) NonNull<T>);

// SAFETY: the pointers are to shared structures that outlive the queue's use of them.
unsafe impl<T: Sync> Send for Left<T> {}

impl<T> Default for Releases<T> {
    fn default() -> Releases<T> {
        Releases { queue: SegQueue::new(), is_closed: plain::AtomicBool::new(false) }
    }
}

impl<T> Releases<T> {
    /// Queues what has left, or says no because the queue is closed.
    pub(super) fn push(&self, left: NonNull<T>) -> bool {
        let is_open = !self.is_closed.load(plain::Ordering::Acquire);
        if is_open {
            self.queue.push(Left(left));
        }
        is_open
    }

    /// Takes all that is queued.
    pub(super) fn take(&self) -> Vec<Left<T>> {
        std::iter::from_fn(|| self.queue.pop()).collect()
    }

    /// Queues nothing any more; for the generation's sole owner.
    pub(super) fn close(&self) {
        // ORDERING: Release; the drops of the structures, on this thread or papaya's behalf, see it.
        self.is_closed.store(true, plain::Ordering::Release);
    }

    /// True if nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

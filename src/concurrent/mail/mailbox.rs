//! What a client gets outside its replies: published messages, MONITOR's lines, a request to wake up or to end.
//!
//! # Purpose
//! A sender never waits: it pushes to a lock-free queue and, if nobody has told the owner yet, wakes its task. What
//! waits is bounded by its weight; the sender that goes beyond the limit ends the client instead.
//!
//! # States
//! ```text
//! quiet --post--> told --owner begins to take--> quiet          any --end--> ended (terminal)
//! ```
//!
//! # Invariants
//! - I1. Only the owner takes. It clears `TOLD` before its first take, so that a message which that round misses was
//!   posted after the clearing, and its sender tells the owner again.
//! - I2. `ENDED` is never cleared, and exactly one caller of [`Mailbox::end`] learns that it was the one.
//! - I3. `weight` is raised before the push and lowered after the take: it is never less than what is in the queue.
//!
//! # Orderings
//! The state is changed by AcqRel read-modify-writes: whoever sees `TOLD` set sees the push before it (I1). The weight is a
//! bound, not a protocol: Relaxed.
//!
//! # Progress
//! Every operation is lock-free. Nothing is allocated for a client that nobody ever posted to.

use crate::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use crate::sync::{Bug, seeded};
use crossbeam_queue::SegQueue;
use std::fmt;
use std::sync::OnceLock;
use std::task::Waker;

const TOLD: u32 = 1;
const ENDED: u32 = 2;

/// The fate of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Posted {
    /// It waits for the owner.
    Waiting,
    /// The limit is passed, and this sender ended the owner.
    Overflowed,
    /// The owner has ended.
    Ended,
}

/// Messages for one owner.
pub struct Mailbox<M> {
    state: AtomicU32,
    weight: AtomicUsize,
    queue: OnceLock<Box<SegQueue<(M, usize)>>>,
    waker: OnceLock<Waker>,
}

impl<M> Default for Mailbox<M> {
    fn default() -> Mailbox<M> {
        Mailbox {
            state: AtomicU32::new(0),
            weight: AtomicUsize::new(0),
            queue: OnceLock::new(),
            waker: OnceLock::new(),
        }
    }
}

impl<M> fmt::Debug for Mailbox<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").field("weight", &self.weight()).finish_non_exhaustive()
    }
}

impl<M> Mailbox<M> {
    /// Leaves the waker of the owner's task, once and for all: a task keeps its waker for life.
    pub fn set_waker(&self, waker: &Waker) {
        self.waker.get_or_init(|| waker.clone());
    }

    /// Wakes the owner's task, if it has one: something that it looks at has changed.
    pub fn wake(&self) {
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }

    /// Posts a message of `weight` bytes, or ends the owner if more than `limit` bytes would wait. O(1).
    pub fn post(&self, message: M, weight: usize, limit: usize) -> Posted {
        if self.is_ended() {
            return Posted::Ended;
        }
        // ORDERING: Relaxed; I3, a bound.
        if self.weight.fetch_add(weight, Ordering::Relaxed) + weight > limit {
            self.weight.fetch_sub(weight, Ordering::Relaxed);
            return if self.end() { Posted::Overflowed } else { Posted::Ended };
        }
        self.queue.get_or_init(Box::default).push((message, weight));
        self.tell();
        Posted::Waiting
    }

    fn tell(&self) {
        // ORDERING: AcqRel; I1, pairs with `begin`.
        if self.state.fetch_or(TOLD, Ordering::AcqRel) & TOLD == 0 {
            self.wake();
        }
    }

    /// True if there may be something to take. One load.
    #[inline]
    pub fn has_mail(&self) -> bool {
        // ORDERING: Relaxed; a hint, `begin` looks properly.
        self.state.load(Ordering::Relaxed) & TOLD != 0
    }

    /// Takes messages in the order in which each sender posted them, until `take` answers that it wants no more or
    /// none is left. Only for the owner.
    pub fn take(&self, mut take: impl FnMut(M) -> bool) {
        if !seeded(Bug::TakenBeforeClear) {
            self.clear_told();
        }
        let Some(queue) = self.queue.get() else { return };
        while let Some((message, weight)) = queue.pop() {
            // ORDERING: Relaxed; I3.
            self.weight.fetch_sub(weight, Ordering::Relaxed);
            if !take(message) {
                // The rest waits for the owner's next round; it is awake, so nobody has to wake it.
                self.state.fetch_or(TOLD, Ordering::AcqRel);
                return;
            }
        }
        if seeded(Bug::TakenBeforeClear) {
            self.clear_told();
        }
    }

    fn clear_told(&self) {
        // ORDERING: AcqRel; I1, pairs with `tell`.
        self.state.fetch_and(!TOLD, Ordering::AcqRel);
    }

    /// Ends the owner: its task wakes up and leaves. True for the first caller (I2).
    pub fn end(&self) -> bool {
        let seemed_first = seeded(Bug::EndedInTwoSteps) && !self.is_ended();
        // ORDERING: AcqRel; what was done before the end is seen by the owner that ends.
        let is_first = self.state.fetch_or(ENDED, Ordering::AcqRel) & ENDED == 0 || seemed_first;
        if is_first {
            self.wake();
        }
        is_first
    }

    /// True once the owner is to end. One load.
    #[inline]
    pub fn is_ended(&self) -> bool {
        // ORDERING: Acquire; pairs with `end`.
        self.state.load(Ordering::Acquire) & ENDED != 0
    }

    /// Bytes that wait.
    pub fn weight(&self) -> usize {
        // ORDERING: Relaxed; a figure.
        self.weight.load(Ordering::Relaxed)
    }

    /// Messages that wait.
    pub fn len(&self) -> usize {
        self.queue.get().map_or(0, |queue| queue.len())
    }

    /// True if nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(all(test, not(kvns_loom)))]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize as Count;
    use std::task::Wake;

    #[derive(Default)]
    struct Wakes(Count);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn take_all(mailbox: &Mailbox<u32>) -> Vec<u32> {
        let mut taken = Vec::new();
        mailbox.take(|message| {
            taken.push(message);
            true
        });
        taken
    }

    #[test]
    fn the_owner_is_woken_once_for_many_messages() {
        let (mailbox, wakes) = (Mailbox::default(), Arc::new(Wakes::default()));
        mailbox.set_waker(&Arc::clone(&wakes).into());
        (0..5).for_each(|number| assert_eq!(mailbox.post(number, 1, 100), Posted::Waiting));
        assert_eq!((wakes.0.load(Ordering::Relaxed), mailbox.weight(), mailbox.len()), (1, 5, 5));
        assert!(mailbox.has_mail());
        assert_eq!(take_all(&mailbox), [0, 1, 2, 3, 4]);
        assert!(!mailbox.has_mail() && mailbox.weight() == 0 && mailbox.is_empty());
        mailbox.post(5, 1, 100);
        assert_eq!(wakes.0.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn what_is_left_keeps_the_owner_told() {
        let mailbox = Mailbox::default();
        (0..3).for_each(|number| assert_eq!(mailbox.post(number, 1, 100), Posted::Waiting));
        mailbox.take(|message| message == 0);
        assert!(mailbox.has_mail());
        assert_eq!(take_all(&mailbox), [2]);
    }

    #[test]
    fn the_limit_ends_the_owner_once() {
        let mailbox = Mailbox::default();
        assert_eq!(mailbox.post(1, 60, 100), Posted::Waiting);
        assert_eq!(mailbox.post(2, 60, 100), Posted::Overflowed);
        assert_eq!(mailbox.post(3, 1, 100), Posted::Ended);
        assert!(mailbox.is_ended() && !mailbox.end());
    }

    #[test]
    fn the_order_of_each_sender_is_kept_and_nothing_is_lost() {
        const EACH: u32 = 2_000;
        let mailbox = Mailbox::default();
        let mut taken = Vec::new();
        std::thread::scope(|scope| {
            for sender in 0..3 {
                let mailbox = &mailbox;
                scope.spawn(move || {
                    for number in 0..EACH {
                        assert_eq!(mailbox.post(sender * EACH + number, 1, usize::MAX), Posted::Waiting);
                    }
                });
            }
            while taken.len() < 3 * EACH as usize {
                if mailbox.has_mail() {
                    taken.append(&mut take_all(&mailbox));
                } else {
                    std::thread::yield_now();
                }
            }
        });
        for sender in 0..3 {
            let own: Vec<u32> = taken.iter().copied().filter(|message| message / EACH == sender).collect();
            assert!(own.is_sorted() && own.len() == EACH as usize);
        }
    }
}

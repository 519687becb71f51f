//! The mailbox: senders that never wait, against the one owner that takes.
//!
//! Invariants (`concurrent/mail/mailbox.rs`): I1, what the owner's round misses tells it again; I2, one caller learns that it
//! ended the owner; I3, the weight is never less than what is in the queue.
//!
//! The queue itself is not loom's: each of its operations is one step here.

#![cfg(kvns_loom)]

use kvns::concurrent::mail::mailbox::{Mailbox, Posted};
use kvns::sync::Bug;
use loom::thread;
use loom_tests::model;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Takes what is there; returns how many messages that were.
fn take(mailbox: &Mailbox<u32>) -> usize {
    let mut taken = 0;
    mailbox.take(|_| {
        taken += 1;
        // The queue and the weight are no more than what two senders posted.
        assert!(mailbox.weight() <= 20, "the weight is less than nothing");
        true
    });
    taken
}

model!(
    /// Two senders and an owner that looks once: whatever it missed, it was told of since.
    what_a_round_misses_tells_the_owner_again, 3, Newest, 100,
    &[(&[Bug::TakenBeforeClear], "a message waits untold")],
    || {
        let (mailbox, wakes) = (Arc::new(Mailbox::default()), Arc::new(Wakes::default()));
        mailbox.set_waker(&Arc::clone(&wakes).into());
        let senders: Vec<_> = (0..2)
            .map(|number| {
                let mailbox = Arc::clone(&mailbox);
                thread::spawn(move || assert_eq!(mailbox.post(number, 10, 100), Posted::Waiting))
            })
            .collect();
        let woken_before = wakes.0.load(Ordering::Relaxed);
        let taken = if mailbox.has_mail() { take(&mailbox) } else { 0 };
        senders.into_iter().for_each(|sender| sender.join().unwrap());
        let told = mailbox.has_mail() && wakes.0.load(Ordering::Relaxed) > woken_before;
        assert!(taken == 2 || told, "a message waits untold");
        assert_eq!(taken + take(&mailbox), 2);
        assert_eq!(mailbox.weight(), 0);
    }
);

model!(
    /// Two senders that both go beyond the limit, and one that ends the owner anyhow: one of them did it.
    one_caller_learns_that_it_ended_the_owner, 3, Newest, 50,
    &[(&[Bug::EndedInTwoSteps], "ended by")],
    || {
        let mailbox = Arc::new(Mailbox::default());
        let senders: Vec<_> = (0..2)
            .map(|number| {
                let mailbox = Arc::clone(&mailbox);
                thread::spawn(move || mailbox.post(number, 10, 5) == Posted::Overflowed)
            })
            .collect();
        let mut enders = usize::from(mailbox.end());
        enders += senders.into_iter().filter_map(|sender| sender.join().ok()).filter(|did| *did).count();
        assert!(enders == 1, "ended by {enders}");
        assert!(mailbox.is_ended() && mailbox.weight() == 0 && mailbox.is_empty());
    }
);

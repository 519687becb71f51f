//! Occupied counts: who is inside a chunk or a namespace, and when that ends.
//!
//! Invariants (`concurrent/epoch/occupancy.rs`): I2, one `leave` ends the count; an `enter` comes before the end or is
//! refused.
//!
//! Twins: closing by a store; entering a closed count.

#![cfg(kvns_loom)]

use kvns::concurrent::epoch::occupancy::{Occupancy, Refused};
use kvns::sync::Bug;
use loom::thread;
use loom_tests::model;
use std::sync::Arc;

/// Enters and leaves again, if it is let in. True if leaving ended the count.
fn visit(count: &Occupancy) -> bool {
    match count.enter(10) {
        Ok(()) => count.leave(),
        Err(refused) => {
            assert_eq!(refused, Refused::Closed);
            false
        }
    }
}

model!(
    /// The creator leaves while two others come and go: the count ends at most once, and stays ended.
    a_count_ends_once, 3, Newest, 100,
    &[
        (&[Bug::CloseWithoutCheck], ""),
        (&[Bug::ReviveClosed], ""),
    ],
    || {
        let count = Arc::new(Occupancy::one());
        let visitors: Vec<_> = (0..2)
            .map(|_| {
                let count = Arc::clone(&count);
                thread::spawn(move || visit(&count))
            })
            .collect();
        let mut ends = usize::from(count.leave());
        ends += visitors.into_iter().map(|visitor| usize::from(visitor.join().unwrap())).sum::<usize>();
        assert_eq!(ends, 1, "a count has one end");
        assert_eq!(count.enter(10), Err(Refused::Closed), "an ended count was entered");
        assert_eq!(count.count(), 0);
    }
);

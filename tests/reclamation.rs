//! The cadence of reclamation, in a process of its own: other tests' pins would hold the epoch back.
#![allow(unsafe_code, reason = "retiring is unsafe; the closure here frees nothing that anyone can reach")]

use kvns::concurrent::epoch::reclaim::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A thread that pinned once for a long batch kept almost everything it retired (1.2 of 1.6 million objects).
#[test]
fn garbage_of_a_long_batch_does_not_grow_without_bound() {
    let freed = Arc::new(AtomicUsize::new(0));
    let mut guard = pin();
    let mut worst = 0;
    for retired in 1..=400_000 {
        let count = Arc::clone(&freed);
        // SAFETY: nobody can reach the counter's clone but this closure.
        unsafe {
            guard.retire(move || {
                count.fetch_add(1, Ordering::Relaxed);
            });
        }
        if guard.is_renewal_due() {
            guard.renew();
        }
        worst = worst.max(retired - freed.load(Ordering::Relaxed));
    }
    assert!(worst < 10_000, "{worst} objects were unfreed at a time");
}

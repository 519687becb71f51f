//! Generations: a flush swaps one pointer.
//!
//! Invariants (`concurrent/generation.rs`): I1, an attempt loads the generation once, so a write lands before the
//! flush or after it, whole; I5, the old generation goes only when nobody holds a guard from when it was current.
//!
//! Twins: loading the generation twice; freeing at the swap.

#![cfg(kvns_loom)]

use kvns::clock::Clock;
use kvns::concurrent::generation::{Current, Generation, Replaced};
use kvns::concurrent::reclaim::pin;
use kvns::keyspace::{Change, Draft, Key, Keyspace, KeyspaceError};
use kvns::sync::Bug;
use loom::thread;
use loom_tests::model;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

model!(
    /// A reader under a guard against a swap that frees the old generation as soon as it may.
    a_replaced_generation_outlives_its_users, 3, Newest, 10,
    &[(&[Bug::FlushFreesAtOnce], "in use")],
    || {
        // Not loom's: the model itself looks, at whole steps.
        let users = Arc::new(AtomicUsize::new(0));
        let current = Arc::new(Current::new(Generation::new(1, 0)));
        let user = {
            let (current, users) = (Arc::clone(&current), Arc::clone(&users));
            thread::spawn(move || {
                let guard = pin();
                let generation = current.load(&guard);
                let is_old = usize::from(generation.number() == 1);
                users.fetch_add(is_old, Ordering::SeqCst);
                generation.find(b"k", &guard);
                drop(guard);
                users.fetch_sub(is_old, Ordering::SeqCst);
            })
        };
        let replaced = Replaced::new(current.swap(Generation::new(2, 0)), 0);
        if replaced.is_unused() {
            assert_eq!(users.load(Ordering::SeqCst), 0, "a generation is freed that is in use");
            drop(replaced);
        } else {
            user.join().unwrap();
            assert!(replaced.is_unused(), "nobody frees the old generation");
            return;
        }
        user.join().unwrap();
    }
);

model!(
    /// A write against a flush: what is there afterwards is also counted, and nothing else.
    a_write_lands_in_one_generation, 3, Newest, 30,
    &[(&[Bug::GenerationLoadedTwice], "counted")],
    || {
        let keyspace = Arc::new(Keyspace::new(Clock::manual(1_000)));
        let writer = {
            let keyspace = Arc::clone(&keyspace);
            thread::spawn(move || {
                let mut batch = keyspace.enter();
                let put = |_: Option<_>| Ok::<_, KeyspaceError>((Change::Put(Draft::integer(1, None)), ()));
                batch.view().update(Key::new(b"k"), put).unwrap();
            })
        };
        keyspace.enter().view().flush().unwrap();
        writer.join().unwrap();
        let there = keyspace.enter().view().peek(Key::new(b"k")).unwrap().is_some();
        assert_eq!(keyspace.len(), u64::from(there), "what is there and what is counted");
    }
);

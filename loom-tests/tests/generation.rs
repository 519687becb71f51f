//! Generations: a flush swaps one pointer.
//!
//! Invariants (`concurrent/slots/generation.rs`): I1, an attempt loads the generation once, so a write lands before the
//! flush or after it, whole; I5, the old generation goes only when nobody holds a guard from when it was current.
//! (`concurrent/slots/chunk.rs`): I3, who reaches a chunk under a guard reaches its namespace too, and both stay.
//!
//! Twins: loading the generation twice, for a write and for a read that `ear` queues; freeing at the swap; for chunks
//! see the models.

#![cfg(kvns_loom)]

use kvns::clock::Clock;
use kvns::concurrent::epoch::reclaim::pin;
use kvns::concurrent::slots::generation::{Current, Generation, Replaced};
use kvns::concurrent::slots::slot::Reaped;
use kvns::config::EvictionRules;
use kvns::config::Policy;
use kvns::keyspace::{Change, Draft, Key, Keyspace, KeyspaceError};
use kvns::sync::Bug;
use kvns::value::string::Str;
use loom::thread;
use loom_tests::{keyspace, model, run, spawn};
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
        let replaced = Replaced::new(current.swap(Generation::new(2, 0)));
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

/// A generation with one namespace whose one slot has left the index: all three are to go.
fn with_an_ended_namespace() -> Arc<Generation> {
    let generation = Generation::new(1, 0);
    let guard = pin();
    let slot = generation.find_or_create(b"n/k", b"n", &guard).0;
    assert_eq!(slot.reap(0, &guard), Reaped::Dead);
    assert!(generation.find(b"n/k", &guard).is_none());
    drop(guard);
    generation
}

/// Walks the chunks as an eviction or a check does, and asks each for its namespace.
fn walk_twice(generation: &Generation) {
    for _ in 0..2 {
        let (guard, directory) = (pin(), generation.directory());
        let met: Vec<_> = (0..directory.end()).filter_map(|id| directory.get(id, &guard)).collect();
        // A step that loom orders with those of grace periods: others have their turn here.
        drop(pin());
        met.iter().for_each(|chunk| assert_eq!(chunk.namespace(&guard).name(), b"n"));
    }
}

/// What the housekeeper releases, as far as grace periods let it. It is cut short by `rounds`, as by a flush.
fn release(generation: &Generation, rounds: usize) {
    let mut waiting = None;
    for _ in 0..rounds {
        let Some(departure) = waiting.take().or_else(|| generation.begin_departure()) else { return };
        if !departure.is_ready() {
            return;
        }
        waiting = generation.depart(departure);
    }
}

model!(
    /// A walk of the directory against the end of a namespace: whatever chunk it meets, the chunk and its namespace
    /// stay as long as its guard.
    a_chunk_that_is_reached_has_its_namespace, 3, Newest, 20,
    &[(&[Bug::EndedChunkStays], "was freed")],
    || {
        let generation = with_an_ended_namespace();
        let walker = {
            let generation = Arc::clone(&generation);
            thread::spawn(move || walk_twice(&generation))
        };
        release(&generation, 4);
        walker.join().unwrap();
    }
);

model!(
    /// The same where a flush cuts the housekeeper short: what has left the structures waits for its readers still.
    a_departure_cut_short_waits_for_its_readers, 3, Newest, 10,
    &[(&[Bug::DepartureFreedAtOnce], "was freed")],
    || {
        let generation = with_an_ended_namespace();
        let walker = {
            let generation = Arc::clone(&generation);
            thread::spawn(move || walk_twice(&generation))
        };
        release(&generation, 1);
        walker.join().unwrap();
    }
);

model!(
    /// A read under `ear` against a flush and a write of the same name: what is new has the place and the seq of what
    /// was read before the flush, and is not swept for it.
    a_read_is_queued_in_one_generation, 3, Newest, 30,
    &[(&[Bug::GenerationLoadedTwice], "nobody has read")],
    || {
        let keyspace = keyspace();
        keyspace.bind(u64::MAX, EvictionRules { policy: Policy::Ear, ..EvictionRules::default() });
        let put = |value| {
            run(&keyspace, |view| {
                view.update(Key::new(b"k"), |_| Ok((Change::Put(Draft::integer(value, None)), ())))
            });
        };
        put(1);
        let reader = spawn(&keyspace, |view| match view.read(Key::new(b"k"))?.map(|entry| entry.string()) {
            Some(Ok(Str::Int(value))) => Ok(Some(value)),
            _ => Ok(None),
        });
        run(&keyspace, |view| view.flush());
        put(2);
        let was_read = reader.join().unwrap() == Some(2);
        keyspace.housekeep();
        let is_there = run(&keyspace, |view| Ok(view.peek(Key::new(b"k"))?.is_some()));
        assert!(is_there || was_read, "what nobody has read was removed");
    }
);

//! Two writers and two readers of one large sorted set, in a process of its own: what the allocator holds is
//! measured.

use kvns::clock::Clock;
use kvns::concurrent::epoch::freer::free_some;
use kvns::concurrent::epoch::reclaim::{Grace, quiesce};
use kvns::keyspace::{Change, Key, Keyspace, KeyspaceError};
use kvns::value::sorted_set::Placed;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const MEMBERS: u32 = 100_000;
const COMMANDS: usize = 60_000;

/// Bytes of live allocations, once nothing waits to be freed.
fn allocated(keyspace: &Keyspace) -> u64 {
    for _ in 0..8 {
        quiesce();
        let grace = Grace::start();
        while !grace.has_passed() {
            thread::yield_now();
        }
        while free_some(10_000) {}
        while keyspace.housekeep() {}
    }
    tikv_jemalloc_ctl::epoch::advance().expect("jemalloc is the allocator");
    tikv_jemalloc_ctl::stats::allocated::read().expect("jemalloc counts") as u64
}

fn name(number: u32) -> [u8; 16] {
    let mut name = *b"a member        ";
    name[12..].copy_from_slice(&number.to_be_bytes());
    name
}

/// Moves members, removes some and puts others in their place.
fn write(keyspace: &Keyspace, seed: u64) {
    let mut rng = SmallRng::seed_from_u64(seed);
    for _ in 0..COMMANDS / 4 {
        let mut batch = keyspace.enter();
        for _ in 0..4 {
            let (from, to) = (rng.random_range(0..MEMBERS), rng.random_range(0..2 * MEMBERS));
            let score = f64::from(rng.random_range(0..1000_u32));
            let changed: Result<(), KeyspaceError> = batch.view().edit_sorted_set(Key::new(b"z"), |edit| {
                if edit.score(&name(to)).is_none() && edit.remove(&name(from)).is_none() {
                    return Ok(());
                }
                edit.put(&name(to), score);
                Ok(())
            });
            changed.expect("a sorted set");
            batch.between_commands();
        }
        drop(batch);
        quiesce();
    }
}

/// Checks windows at random ranks.
fn read(keyspace: &Keyspace, seed: u64, is_over: &AtomicBool) {
    let mut rng = SmallRng::seed_from_u64(seed);
    while !is_over.load(Ordering::Relaxed) {
        let mut batch = keyspace.enter();
        let set = batch.view().sorted_set(Key::new(b"z")).expect("a sorted set");
        assert_eq!(set.len(), u64::from(MEMBERS));
        let rank = rng.random_range(0..u64::from(MEMBERS));
        let window: Vec<_> = set.iter_from_rank(rank).take(50).collect();
        assert_eq!(window.len() as u64, (u64::from(MEMBERS) - rank).min(50));
        for (at, scored) in window.iter().enumerate() {
            assert_eq!(set.score(scored.member), Some(scored.score));
            assert_eq!(set.rank(scored.member), Some(rank + at as u64));
        }
        drop(batch);
        quiesce();
    }
}

#[test]
fn a_set_under_writers_and_readers_stays_whole_and_as_large_as_it_is() {
    let keyspace = Keyspace::new(Clock::manual(1_000_000));
    let empty = allocated(&keyspace);
    let members: Vec<Placed> =
        (0..MEMBERS).map(|number| Placed::new(&name(number), f64::from(number % 1000))).collect();
    keyspace
        .enter()
        .view()
        .transact(|view| view.store_sorted_set(Key::new(b"z"), members.clone()))
        .expect("a new key");
    drop(members);
    let mut sizes = Vec::new();
    for round in 0..2 {
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            let readers = [3, 4].map(|seed| {
                scope.spawn({
                    let (keyspace, is_over) = (&keyspace, &is_over);
                    move || read(keyspace, seed, is_over)
                })
            });
            let writers = [1, 2].map(|seed| {
                scope.spawn({
                    let keyspace = &keyspace;
                    move || write(keyspace, round * 10 + seed)
                })
            });
            writers.into_iter().for_each(|writer| writer.join().expect("no writer fails"));
            is_over.store(true, Ordering::Relaxed);
            readers.into_iter().for_each(|reader| reader.join().expect("no reader fails"));
        });
        keyspace.check_invariants().expect("the set is whole");
        sizes.push(allocated(&keyspace) - empty);
        let accounted = keyspace.used_bytes();
        let held = sizes[sizes.len() - 1];
        assert!(held.abs_diff(accounted) * 10 < held, "{accounted} bytes accounted, {held} held");
    }
    assert!(sizes[1] < sizes[0] + sizes[0] / 20, "the set grew: {sizes:?}");
    let removed: Result<(), KeyspaceError> =
        keyspace.enter().view().update(Key::new(b"z"), |_| Ok((Change::Remove, ())));
    removed.expect("a sorted set");
    keyspace.check_invariants().expect("nothing is left");
    let left = allocated(&keyspace).saturating_sub(empty);
    assert!(left < 1_000_000, "{left} bytes are left of {sizes:?}");
}

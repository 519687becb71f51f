//! Sorted sets: what one write and one read cost through the keyspace, and bytes per member, against size.

use kvns::clock::Clock;
use kvns::keyspace::{Key, Keyspace, KeyspaceError, View};
use kvns::value::sorted_set::{Cut, Placed};
use std::hint::black_box;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const SIZES: [u32; 3] = [1_000, 100_000, 1_000_000];

/// Operations of one measurement.
const OPERATIONS: u32 = 50_000;

/// Commands of one pipeline, under one pin.
const BATCH: u32 = 16;

/// Numbers in a fixed random order.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn below(&mut self, bound: u32) -> u32 {
        (self.next() % u64::from(bound)) as u32
    }
}

/// A member of 16 bytes.
fn member(number: u32) -> [u8; 16] {
    let mut bytes = *b"member:000000000";
    let mut rest = number;
    for byte in bytes.iter_mut().rev() {
        if rest == 0 {
            break;
        }
        *byte = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    bytes
}

fn allocated() -> u64 {
    let _ = tikv_jemalloc_ctl::epoch::advance();
    tikv_jemalloc_ctl::stats::allocated::read().unwrap_or(0) as u64
}

/// Nanoseconds that this thread has run: others on the machine do not count.
fn thread_ns() -> u64 {
    let line = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    line.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0)
}

/// Nanoseconds of one operation.
fn time(keyspace: &Keyspace, mut operation: impl FnMut(&mut View<'_>) -> Result<(), KeyspaceError>) -> u64 {
    let start = thread_ns();
    for _ in 0..OPERATIONS / BATCH {
        let mut batch = keyspace.enter();
        for _ in 0..BATCH {
            operation(&mut batch.view()).expect("nobody else is there");
            batch.between_commands();
        }
    }
    (thread_ns() - start) / u64::from(OPERATIONS)
}

fn settle(keyspace: &Keyspace) {
    for _ in 0..100 {
        keyspace.housekeep();
        kvns::concurrent::epoch::reclaim::quiesce();
        while !kvns::concurrent::epoch::reclaim::Grace::start().has_passed() {}
    }
}

fn put(view: &mut View<'_>, number: u32, score: f64) -> Result<(), KeyspaceError> {
    view.edit_sorted_set(Key::new(b"z"), |edit| {
        edit.put(&member(number), score);
        Ok(())
    })
}

fn measure(size: u32) {
    let keyspace = Keyspace::new(Clock::system());
    let before = allocated();
    let mut numbers = Numbers(1);
    let members: Vec<Placed> =
        (0..size).map(|number| Placed::new(&member(number), f64::from(numbers.below(size)))).collect();
    {
        let mut batch = keyspace.enter();
        let mut view = batch.view();
        view.transact(|view| view.store_sorted_set(Key::new(b"z"), members.clone())).expect("a new key");
    }
    drop(members);
    let mut next = size;
    let mut results = Vec::new();
    results.push((
        "add",
        time(&keyspace, |view| {
            next += 1;
            put(view, next, f64::from(numbers.below(size)))
        }),
    ));
    results.push((
        "move",
        time(&keyspace, |view| put(view, numbers.below(size), f64::from(numbers.below(size)))),
    ));
    results.push((
        "score",
        time(&keyspace, |view| {
            black_box(view.sorted_set(Key::new(b"z"))?.score(&member(numbers.below(size))));
            Ok(())
        }),
    ));
    results.push((
        "rank",
        time(&keyspace, |view| {
            black_box(view.sorted_set(Key::new(b"z"))?.rank(&member(numbers.below(size))));
            Ok(())
        }),
    ));
    results.push((
        "first 10",
        time(&keyspace, |view| {
            view.sorted_set(Key::new(b"z"))?.iter().take(10).for_each(|scored| {
                black_box(scored.score);
            });
            Ok(())
        }),
    ));
    results.push((
        "10 by score",
        time(&keyspace, |view| {
            let cut = Cut::before_score(f64::from(numbers.below(size)));
            let set = view.sorted_set(Key::new(b"z"))?;
            set.iter_from(cut).take(10).for_each(|scored| {
                black_box(scored.score);
            });
            Ok(())
        }),
    ));
    results.push((
        "last 10",
        time(&keyspace, |view| {
            let set = view.sorted_set(Key::new(b"z"))?;
            set.iter_back_from_rank(u64::MAX).take(10).for_each(|scored| {
                black_box(scored.score);
            });
            Ok(())
        }),
    ));
    settle(&keyspace);
    let bytes = allocated().saturating_sub(before) / u64::from(next);
    let accounted = keyspace.used_bytes() / u64::from(next);
    if size > OPERATIONS {
        results.push((
            "pop min",
            time(&keyspace, |view| {
                view.edit_sorted_set(Key::new(b"z"), |edit| {
                    let first = edit.base().iter().next();
                    first.into_iter().for_each(|scored| edit.take(scored));
                    Ok(())
                })
            }),
        ));
    }
    print!("{size:>8} members: {bytes} bytes each ({accounted} accounted); ns:");
    results.iter().for_each(|(name, ns)| print!("  {name} {ns}"));
    println!();
    keyspace.check_invariants().expect("the set is whole");
}

/// Arguments that are numbers are the sizes to measure, for a profiler.
fn main() {
    let sizes: Vec<u32> = std::env::args().filter_map(|size| size.parse().ok()).collect();
    if sizes.is_empty() { SIZES.to_vec() } else { sizes }.into_iter().for_each(measure);
}

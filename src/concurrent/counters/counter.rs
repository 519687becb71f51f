//! Statistics counters that many threads bump and few read.
//!
//! Purpose: counting costs one uncontended add. A value is the sum of a few cache-line-sized stripes; a thread
//! always adds to the same one. Sums are exact once the adds have happened, but are no snapshot of an instant.
//!
//! Orderings: all Relaxed. Counters carry no protocol: nothing is read because of what a counter says.

use crate::sync::plain::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use crossbeam_utils::CachePadded;

const STRIPES: usize = 8;

fn stripe() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        // ORDERING: Relaxed; only uniqueness matters, and the add gives it.
        static MINE: usize = NEXT.fetch_add(1, Ordering::Relaxed) % STRIPES;
    }
    MINE.with(|mine| *mine)
}

/// A count that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge {
    stripes: [CachePadded<AtomicI64>; STRIPES],
}

impl Gauge {
    /// A gauge at zero.
    pub fn new() -> Gauge {
        Gauge::default()
    }

    /// Adds `delta`.
    #[inline]
    pub fn add(&self, delta: i64) {
        // ORDERING: Relaxed, see the module's header.
        self.stripes[stripe()].fetch_add(delta, Ordering::Relaxed);
    }

    /// The present value.
    pub fn get(&self) -> i64 {
        // ORDERING: Relaxed, see the module's header.
        self.stripes.iter().map(|stripe| stripe.load(Ordering::Relaxed)).sum()
    }

    fn reset(&self) {
        // ORDERING: Relaxed, see the module's header.
        self.stripes.iter().for_each(|stripe| stripe.store(0, Ordering::Relaxed));
    }
}

/// A count of events.
#[derive(Debug, Default)]
pub struct Counter {
    gauge: Gauge,
}

impl Counter {
    /// A counter at zero.
    pub fn new() -> Counter {
        Counter::default()
    }

    /// Counts `events` more.
    #[inline]
    pub fn add(&self, events: u64) {
        self.gauge.add(events as i64);
    }

    /// The number of events so far.
    pub fn get(&self) -> u64 {
        self.gauge.get() as u64
    }

    /// Begins again at zero; what is counted meanwhile falls on either side.
    pub fn reset(&self) {
        self.gauge.reset();
    }
}

/// A small counter without stripes, for what there may be a million of.
#[derive(Debug, Default)]
pub struct Tally(AtomicI64);

impl Tally {
    /// A count of zero.
    pub const fn new() -> Tally {
        Tally(AtomicI64::new(0))
    }

    /// Adds `delta`.
    #[inline]
    pub fn add(&self, delta: i64) {
        // ORDERING: Relaxed, see the module's header.
        self.0.fetch_add(delta, Ordering::Relaxed);
    }

    /// The present value.
    pub fn get(&self) -> i64 {
        // ORDERING: Relaxed, see the module's header.
        self.0.load(Ordering::Relaxed)
    }

    /// Begins again at zero.
    pub fn reset(&self) {
        // ORDERING: Relaxed, see the module's header.
        self.0.store(0, Ordering::Relaxed);
    }
}

/// A number that one thread writes and others read, each reading for itself.
#[derive(Debug, Default)]
pub struct Latest(AtomicU64);

impl Latest {
    /// Starts at `value`.
    pub fn new(value: u64) -> Latest {
        Latest(AtomicU64::new(value))
    }

    /// Writes it: a plain store.
    #[inline]
    pub fn set(&self, value: u64) {
        // ORDERING: Relaxed; the word stands for itself and publishes nothing.
        self.0.store(value, Ordering::Relaxed);
    }

    /// Writes it if it is more than what is there, and returns what is there then. For any thread.
    pub fn raise(&self, value: u64) -> u64 {
        // ORDERING: Relaxed; as above.
        self.0.fetch_max(value, Ordering::Relaxed).max(value)
    }

    /// The last value this thread may see.
    #[inline]
    pub fn get(&self) -> u64 {
        // ORDERING: Relaxed; as above.
        self.0.load(Ordering::Relaxed)
    }
}

/// A request that one thread makes and another one looks for now and then.
#[derive(Debug, Default)]
pub struct Flag(AtomicBool);

impl Flag {
    /// Makes the request.
    pub fn raise(&self) {
        // ORDERING: Relaxed; the flag stands for itself and publishes nothing.
        self.0.store(true, Ordering::Relaxed);
    }

    /// Takes it back.
    pub fn lower(&self) {
        // ORDERING: Relaxed; as above.
        self.0.store(false, Ordering::Relaxed);
    }

    /// True once the request was made.
    pub fn is_raised(&self) -> bool {
        // ORDERING: Relaxed; as above.
        self.0.load(Ordering::Relaxed)
    }
}

/// A source of unique numbers, from 1 on.
#[derive(Debug, Default)]
pub struct NextId(AtomicU64);

impl NextId {
    /// A number never given before.
    pub fn next(&self) -> u64 {
        // ORDERING: Relaxed; only uniqueness matters, and the add gives it.
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_of_several_threads_sum_up() {
        let counter = Counter::new();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1000).for_each(|_| counter.add(2)));
            }
        });
        assert_eq!(counter.get(), 8000);
    }
}

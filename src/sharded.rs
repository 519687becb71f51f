//! The lock-sharded store: what most servers of this kind are inside, as a baseline to measure kvns against.
//!
//! Shards are hash maps of strings, each behind a mutex. A command locks the shards of its keys in the order of their
//! numbers, so that it sees and changes all of them at one instant. A snapshot locks every shard, and lets each go as
//! soon as its entries are cloned: as pointers, or as bytes if values are not shared.

use crate::concurrent::counters::counter::Latest;
use crate::keyspace::RestoreTally;
use crate::size_class::size_class;
use crate::snapshot::{Extent, Frame, Head, Receiver, Sink};
use crate::value::Kind;
use ahash::RandomState;
use crossbeam_utils::CachePadded;
use smallvec::SmallVec;
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes that a snapshot gathers before it writes them out.
const WRITE_AT: usize = 256 << 10;

/// Milliseconds between two sweeps: each looks at every key of a shard that has deadlines.
const SWEEP_INTERVAL_MS: u64 = 100;

/// The shards.
#[derive(Debug)]
pub struct Sharded {
    shards: Box<[CachePadded<Mutex<Shard>>]>,
    hasher: RandomState,
    /// When it was swept last.
    swept_ms: Latest,
}

/// Some of the keys.
#[derive(Debug, Default)]
pub struct Shard {
    entries: HashMap<Box<[u8]>, Stored, RandomState>,
    totals: Totals,
    /// Bytes that it may take.
    limit: u64,
    shares_values: bool,
}

/// The totals of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Keys.
    pub keys: u64,
    /// Keys with a deadline.
    pub expiring: u64,
    /// Accounted bytes.
    pub bytes: u64,
    /// Reads that found their key.
    pub hits: u64,
    /// Reads that did not.
    pub misses: u64,
    /// Keys that expired.
    pub expired: u64,
    /// Changes of keys.
    pub changes: u64,
}

/// The store's share of the memory limit is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

#[derive(Clone, Debug)]
struct Stored {
    value: Value,
    /// Unix time in milliseconds.
    deadline_ms: Option<u64>,
}

#[derive(Clone, Debug)]
enum Value {
    Shared(Arc<[u8]>),
    Own(Box<[u8]>),
}

impl Value {
    fn bytes(&self) -> &[u8] {
        match self {
            Value::Shared(bytes) => bytes,
            Value::Own(bytes) => bytes,
        }
    }
}

impl Sharded {
    /// `count` shards that take `limit` bytes together.
    pub fn new(count: usize, limit: u64, shares_values: bool) -> Sharded {
        let limit = limit / count.max(1) as u64;
        let shard = || CachePadded::new(Mutex::new(Shard { limit, shares_values, ..Shard::default() }));
        let shards = std::iter::repeat_with(shard).take(count.max(1)).collect();
        Sharded { shards, hasher: RandomState::new(), swept_ms: Latest::default() }
    }

    fn place(&self, name: &[u8]) -> usize {
        self.hasher.hash_one(name) as usize % self.shards.len()
    }

    fn lock_at(&self, place: usize) -> MutexGuard<'_, Shard> {
        // A shard is whole after any panic: nothing between its changes can fail.
        self.shards[place].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The shard of a key, locked.
    pub fn lock(&self, name: &[u8]) -> MutexGuard<'_, Shard> {
        self.lock_at(self.place(name))
    }

    /// The shards of several keys, locked together.
    pub fn lock_all<'n>(&self, names: impl Iterator<Item = &'n [u8]>) -> Locked<'_> {
        let mut places: SmallVec<[usize; 32]> = names.map(|name| self.place(name)).collect();
        places.sort_unstable();
        places.dedup();
        Locked { store: self, shards: places.into_iter().map(|place| (place, self.lock_at(place))).collect() }
    }

    /// What the store holds and what happened in it. O(shards).
    pub fn totals(&self) -> Totals {
        let mut sum = Totals::default();
        for place in 0..self.shards.len() {
            let of = self.lock_at(place).totals();
            sum.keys += of.keys;
            sum.expiring += of.expiring;
            sum.bytes += of.bytes;
            sum.hits += of.hits;
            sum.misses += of.misses;
            sum.expired += of.expired;
            sum.changes += of.changes;
        }
        sum
    }

    /// Removes what has expired, unless that was done just now.
    pub fn sweep_if_due(&self, now_ms: u64) {
        if now_ms.abs_diff(self.swept_ms.get()) >= SWEEP_INTERVAL_MS {
            self.swept_ms.set(now_ms);
            self.sweep(now_ms);
        }
    }

    /// Removes what has expired. O(keys of the shards that have keys with deadlines).
    pub fn sweep(&self, now_ms: u64) {
        (0..self.shards.len()).for_each(|place| self.lock_at(place).sweep(now_ms));
    }

    /// Gives every key to `sink` as it is at the instant at which all shards are locked, then writes out what is left
    /// in the sink. Returns the number of keys. `is_cancelled` is asked now and then. Clones every entry.
    ///
    /// # Errors
    /// The sink can't be written to, or the snapshot was cancelled.
    pub fn snapshot(
        &self,
        now_ms: u64,
        sink: &mut dyn Sink,
        is_cancelled: impl Fn() -> bool,
    ) -> io::Result<u64> {
        let locked: Vec<MutexGuard<'_, Shard>> =
            (0..self.shards.len()).map(|place| self.lock_at(place)).collect();
        let mut clones = Vec::with_capacity(locked.len());
        for shard in locked {
            clones.push(shard.entries.clone());
        }
        let mut keys = 0;
        for (name, entry) in clones.into_iter().flatten() {
            if entry.is_expired(now_ms) {
                continue;
            }
            let bytes = entry.value.bytes();
            let (kind, len) = (Kind::String, bytes.len() as u64);
            sink.begin(Head { name: &name, kind, deadline_ms: entry.deadline_ms, len });
            sink.item(bytes);
            sink.end();
            keys += 1;
            if sink.buffered() >= WRITE_AT {
                sink.write_out()?;
                if is_cancelled() {
                    return Err(io::Error::other("cancelled"));
                }
            }
        }
        sink.write_out()?;
        Ok(keys)
    }

    /// Takes the keys of a snapshot; what has expired at `now_ms` is dropped. One for each thread that loads.
    pub fn restorer<'s>(&'s self, now_ms: u64, tally: &'s RestoreTally) -> Restorer<'s> {
        Restorer { store: self, now_ms, growing: Vec::new(), tally }
    }
}

/// Several shards, locked together.
#[derive(Debug)]
pub struct Locked<'s> {
    store: &'s Sharded,
    /// Ordered by their places.
    shards: SmallVec<[(usize, MutexGuard<'s, Shard>); 32]>,
}

impl Locked<'_> {
    /// The shard of one of the keys that the shards were locked for; `None` for another key.
    pub fn shard(&mut self, name: &[u8]) -> Option<&mut Shard> {
        let wanted = self.store.place(name);
        let at = self.shards.binary_search_by_key(&wanted, |(place, _)| *place).ok()?;
        Some(&mut self.shards[at].1)
    }

    /// Sets every key without a deadline, or, if they do not all have room, none of them.
    ///
    /// # Errors
    /// A shard has no room.
    pub fn put_all<'n>(
        &mut self,
        pairs: impl Iterator<Item = (&'n [u8], &'n [u8])> + Clone,
    ) -> Result<(), Full> {
        let mut added: SmallVec<[u64; 32]> = SmallVec::from_elem(0, self.shards.len());
        for (name, value) in pairs.clone() {
            let wanted = self.store.place(name);
            let Ok(at) = self.shards.binary_search_by_key(&wanted, |(place, _)| *place) else { continue };
            added[at] += self.shards[at].1.growth(name, value);
            self.shards[at].1.require_room(added[at])?;
        }
        for (name, value) in pairs {
            if let Some(shard) = self.shard(name) {
                shard.set(name, value, None);
            }
        }
        Ok(())
    }
}

impl Shard {
    /// The value of a key for a reader: a hit or a miss.
    pub fn read(&mut self, name: &[u8], now_ms: u64) -> Option<&[u8]> {
        let is_there = self.peek(name, now_ms).is_some();
        self.totals.hits += u64::from(is_there);
        self.totals.misses += u64::from(!is_there);
        self.entries.get(name).map(|entry| entry.value.bytes())
    }

    /// The value and the deadline of a key; an expired key is removed.
    pub fn peek(&mut self, name: &[u8], now_ms: u64) -> Option<(&[u8], Option<u64>)> {
        if self.entries.get(name)?.is_expired(now_ms) {
            self.remove(name);
            self.totals.expired += 1;
        }
        self.entries.get(name).map(|entry| (entry.value.bytes(), entry.deadline_ms))
    }

    /// Sets a key, unless the shard has no room for what that adds.
    ///
    /// # Errors
    /// The shard has no room.
    pub fn put(&mut self, name: &[u8], value: &[u8], deadline_ms: Option<u64>) -> Result<(), Full> {
        self.require_room(self.growth(name, value))?;
        self.set(name, value, deadline_ms);
        Ok(())
    }

    /// Bytes that setting a key adds.
    fn growth(&self, name: &[u8], value: &[u8]) -> u64 {
        let old = self.entries.get(name).map_or(0, |entry| entry.heap_bytes(name));
        heap_bytes(name, value, self.shares_values).saturating_sub(old)
    }

    fn require_room(&self, added: u64) -> Result<(), Full> {
        if added > 0 && self.totals().bytes + added > self.limit { Err(Full) } else { Ok(()) }
    }

    fn set(&mut self, name: &[u8], value: &[u8], deadline_ms: Option<u64>) {
        let value = if self.shares_values { Value::Shared(value.into()) } else { Value::Own(value.into()) };
        let entry = Stored { value, deadline_ms };
        self.totals.changes += 1;
        self.totals.bytes += entry.heap_bytes(name);
        self.totals.expiring += u64::from(deadline_ms.is_some());
        match self.entries.get_mut(name) {
            Some(present) => {
                let old = std::mem::replace(present, entry);
                self.forget(name, &old);
            }
            None => {
                self.entries.insert(name.into(), entry);
            }
        }
    }

    /// Removes a key, if it is there.
    pub fn remove(&mut self, name: &[u8]) {
        if let Some(old) = self.entries.remove(name) {
            self.totals.changes += 1;
            self.forget(name, &old);
        }
    }

    fn forget(&mut self, name: &[u8], old: &Stored) {
        self.totals.bytes -= old.heap_bytes(name);
        self.totals.expiring -= u64::from(old.deadline_ms.is_some());
    }

    fn sweep(&mut self, now_ms: u64) {
        if self.totals.expiring == 0 {
            return;
        }
        let totals = &mut self.totals;
        self.entries.retain(|name, entry| {
            let is_expired = entry.is_expired(now_ms);
            if is_expired {
                totals.bytes -= entry.heap_bytes(name);
                totals.expiring -= 1;
                totals.expired += 1;
                totals.changes += 1;
            }
            !is_expired
        });
    }

    /// The heap's bytes of every entry, and the table's.
    fn totals(&self) -> Totals {
        let place = size_of::<(Box<[u8]>, Stored)>() + 1;
        // A table is filled to seven eighths at most.
        let table = (8 * self.entries.capacity()).div_ceil(7) * place;
        Totals { keys: self.entries.len() as u64, bytes: self.totals.bytes + table as u64, ..self.totals }
    }
}

impl Stored {
    fn is_expired(&self, now_ms: u64) -> bool {
        self.deadline_ms.is_some_and(|deadline_ms| deadline_ms <= now_ms)
    }

    fn heap_bytes(&self, name: &[u8]) -> u64 {
        heap_bytes(name, self.value.bytes(), matches!(self.value, Value::Shared(_)))
    }
}

/// The bytes that the allocator sets aside for a name and a value; a shared one has two counts in front.
fn heap_bytes(name: &[u8], value: &[u8], is_shared: bool) -> u64 {
    let counts = if is_shared { 2 * size_of::<usize>() } else { 0 };
    (size_class(name.len()) + size_class(value.len() + counts)) as u64
}

/// Puts the keys of a snapshot into a store.
#[derive(Debug)]
pub struct Restorer<'s> {
    store: &'s Sharded,
    now_ms: u64,
    /// The string whose parts are coming.
    growing: Vec<u8>,
    tally: &'s RestoreTally,
}

impl Receiver for Restorer<'_> {
    fn take(&mut self, frame: &Frame<'_>) -> Result<(), String> {
        for part in frame.parts() {
            let head = part.head;
            if head.kind != Kind::String {
                return Err(
                    "it has other types than strings, which the sharded mode does not serve".to_owned()
                );
            }
            if matches!(frame.place(), Extent::Whole | Extent::First) {
                self.growing.clear();
            }
            self.growing.extend_from_slice(part.bytes());
            if matches!(frame.place(), Extent::First | Extent::Middle) {
                continue;
            }
            if head.deadline_ms.is_some_and(|deadline_ms| deadline_ms <= self.now_ms) {
                self.tally.expired.add(1);
            } else {
                self.store.lock(head.name).set(head.name, &self.growing, head.deadline_ms);
                self.tally.restored.add(1);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Collects what it is given.
    #[derive(Default)]
    struct Collector {
        keys: Vec<(Vec<u8>, Option<u64>, Vec<u8>)>,
    }

    impl Sink for Collector {
        fn begin(&mut self, head: Head<'_>) {
            self.keys.push((head.name.to_vec(), head.deadline_ms, Vec::new()));
        }

        fn item(&mut self, bytes: &[u8]) {
            self.keys.last_mut().expect("a key").2.extend_from_slice(bytes);
        }

        fn score(&mut self, _: f64) {
            panic!("strings have no score");
        }

        fn end(&mut self) {}

        fn buffered(&self) -> usize {
            0
        }

        fn write_out(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn stores() -> [Sharded; 2] {
        [true, false].map(|shares_values| Sharded::new(4, 1 << 20, shares_values))
    }

    #[test]
    fn what_is_accounted_is_given_back() {
        for store in stores() {
            for nth in 0..100u8 {
                store.lock(&[nth]).put(&[nth], &[1; 100], Some(1_000)).expect("room");
                store.lock(&[nth]).put(&[nth], &[1; 50], (nth < 50).then_some(1_000)).expect("room");
            }
            let totals = store.totals();
            assert_eq!((totals.keys, totals.expiring, totals.changes), (100, 50, 200));
            assert!(totals.bytes > 100 * 72, "{totals:?}");
            store.sweep(1_000);
            (0..100u8).for_each(|nth| store.lock(&[nth]).remove(&[nth]));
            assert_eq!((store.totals().keys, store.totals().expiring, store.totals().expired), (0, 0, 50));
            assert!((0..4).all(|place| store.lock_at(place).totals.bytes == 0));
        }
    }

    #[test]
    fn a_shard_takes_its_share_of_the_limit_and_no_more() {
        let store = Sharded::new(1, 10_000, true);
        assert_eq!(store.lock(b"a").put(b"a", &[0; 20_000], None), Err(Full));
        assert_eq!(store.lock(b"a").put(b"a", &[0; 6_000], None), Ok(()));
        assert_eq!(store.lock(b"b").put(b"b", &[0; 6_000], None), Err(Full));
        assert_eq!(store.lock(b"a").put(b"a", &[1; 6_000], None), Ok(()), "it adds nothing");
        let pairs = [(&b"c"[..], &[0; 2_500][..]), (b"d", &[0; 2_500])];
        let mut locked = store.lock_all(pairs.iter().map(|(name, _)| *name));
        assert_eq!(locked.put_all(pairs.into_iter()), Err(Full));
        drop(locked);
        let again = [(&b"a"[..], &[2; 6_000][..]), (b"c", &[0; 2_500])];
        let mut locked = store.lock_all(again.iter().map(|(name, _)| *name));
        assert_eq!(locked.put_all(again.into_iter()), Ok(()), "what it replaces makes room");
        drop(locked);
        assert_eq!(store.totals().keys, 2);
    }

    #[test]
    fn a_snapshot_has_what_has_not_expired() {
        for store in stores() {
            store.lock(b"a").put(b"a", b"1", None).expect("room");
            store.lock(b"b").put(b"b", b"2", Some(2_000)).expect("room");
            store.lock(b"c").put(b"c", b"3", Some(1_000)).expect("room");
            let mut collector = Collector::default();
            assert_eq!(store.snapshot(1_000, &mut collector, || false).expect("taken"), 2);
            collector.keys.sort();
            let expected =
                [(b"a".to_vec(), None, b"1".to_vec()), (b"b".to_vec(), Some(2_000), b"2".to_vec())];
            assert_eq!(collector.keys, expected);
        }
    }

    /// Pairs of keys are written together by one thread, while snapshots are taken: they never differ in one.
    #[test]
    fn a_snapshot_is_of_one_instant() {
        for store in stores() {
            std::thread::scope(|scope| {
                let writer = scope.spawn(|| {
                    for nth in 0..3_000u32 {
                        let value = nth.to_le_bytes();
                        let pairs = [(&b"one"[..], &value[..]), (b"other", &value)];
                        let mut locked = store.lock_all(pairs.iter().map(|(name, _)| *name));
                        locked.put_all(pairs.into_iter()).expect("room");
                    }
                });
                while !writer.is_finished() {
                    let mut collector = Collector::default();
                    store.snapshot(0, &mut collector, || false).expect("taken");
                    assert!(collector.keys.len() != 1);
                    assert!(collector.keys.windows(2).all(|pair| pair[0].2 == pair[1].2));
                }
            });
        }
    }
}

//! The one door to entries.
//!
//! A handler sees a [`View`]: direct (each update is one compare-and-swap) or inside a transaction (updates are
//! buffered and commit together). Handlers do not know which.
//!
//! Everything a client can observe changes at exactly one compare-and-swap.

mod after_commit;
mod batch;
mod check;
mod commit;
mod entry;
mod eviction;
mod housekeeping;
mod key;
mod plan;
mod records;
mod reservation;
mod restore;
mod scan;
mod snapshot;
mod transaction;
mod view;
mod watch;

pub use batch::{Batch, PrefetchList};
pub use entry::{Ascending, Change, Descending, Draft, Entry, SortedSet, SortedSetEdit};
pub use eviction::{Eviction, Need, Swept};
pub use key::Key;
pub use plan::Gather;
pub use restore::{RestoreTally, Restorer};
pub use snapshot::{SnapshotControl, SnapshotError, SnapshotSummary};
pub use view::View;
pub use watch::Watch;

use crate::clock::Clock;
use crate::concurrent::counters::counter::{Counter, Gauge, Latest, NextId};
pub use crate::concurrent::counters::recorder::Label;
pub use crate::concurrent::epoch::exclusive::Exclusive;
use crate::concurrent::epoch::exclusive::ExclusiveWord;
use crate::concurrent::epoch::reclaim::pin;
use crate::concurrent::slots::generation::{Current, Generation};
use crate::concurrent::slots::namespace::{Namespace, Record};
use crate::concurrent::snapshot::Snapshots;
use crate::config::{NO_QUOTA, NamespaceRules, Policy};
use crate::memory::limit::Limit;
use crate::sync;
pub use crate::value::Kind;
use crate::wait::Wait;
use crossbeam_queue::SegQueue;
use entry::FRAME_SHARE;
use eviction::Rules;
use housekeeping::{Freeing, Housekeeper};
pub use records::OTHERS;
use records::Records;
use std::sync::{Arc, Mutex, PoisonError};

/// Why an operation on the keyspace did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyspaceError {
    /// The key holds a value of another type.
    WrongType,
    /// The limit on memory, or the namespace's quota, leaves no room for what the command adds.
    NoRoom,
    /// The command must stop, let go of its batch, and be run again from its start.
    Wait(Wait),
}

/// Namespaces with a record of their own beside the default one, unless [`Keyspace::with_records`] says otherwise.
const RECORDS: usize = 16;

/// Counts of events since the start.
#[derive(Debug, Default)]
pub struct KeyspaceStats {
    /// Reads that found their key.
    pub hits: Counter,
    /// Reads that did not.
    pub misses: Counter,
    /// Keys that expired.
    pub expired: Counter,
    /// Keys that were evicted to make room.
    pub evicted: Counter,
    /// Keys that were removed because they had been read.
    pub ear_evicted: Counter,
    /// Direct writes that ran again because another write of the key came first.
    pub cas_retries: Counter,
    /// Changes of keys; a flush is one for each key, and at least one. Not reset with the others.
    pub changes: Counter,
    /// Transactions that ran again because another one committed first.
    pub transaction_retries: Counter,
    /// Transactions that ran alone.
    pub ran_alone: Counter,
}

/// A namespace as INFO shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamespaceInfo {
    /// The namespace's name.
    pub name: Vec<u8>,
    /// Live keys.
    pub keys: u64,
    /// Bytes of the live keys.
    pub bytes: u64,
    /// Reads that found their key.
    pub hits: u64,
    /// Reads that did not.
    pub misses: u64,
    /// Keys that expired.
    pub expired: u64,
    /// Keys that were evicted to make room.
    pub evicted: u64,
    /// Which of its keys go when there is no room.
    pub policy: Policy,
    /// The bytes that its keys may take, if that is bounded.
    pub quota: Option<u64>,
}

impl NamespaceInfo {
    fn new(name: &[u8], (keys, bytes): (u64, u64), record: &Record, rules: NamespaceRules) -> NamespaceInfo {
        NamespaceInfo {
            name: name.to_vec(),
            keys,
            bytes,
            hits: record.hits.get().max(0) as u64,
            misses: record.misses.get().max(0) as u64,
            expired: record.expired.get().max(0) as u64,
            evicted: record.evicted.get().max(0) as u64,
            policy: rules.policy,
            quota: (rules.quota != NO_QUOTA).then_some(rules.quota),
        }
    }
}

/// Every key of every namespace.
#[derive(Debug)]
pub struct Keyspace {
    clock: Clock,
    /// Milliseconds by which the time of day was set since the start; a signed number. The housekeeper writes it.
    steps_ms: Latest,
    /// The time of day less the steady time at the start, in milliseconds.
    start_ms: i64,
    current: Current,
    generations: NextId,
    snapshots: Snapshots,
    /// Covers the swap of a generation, or taking it and setting the word for a snapshot; never a wait.
    swapping: sync::Mutex<()>,
    exclusive: ExclusiveWord,
    records: Records,
    replaced: SegQueue<(Arc<Generation>, Freeing)>,
    housekeeper: Mutex<Housekeeper>,
    /// Bytes of the housekeeper's wheel, as it says at each round.
    wheel_bytes: Latest,
    /// The limit on memory, and what is free under it.
    pub memory: Limit,
    rules: Rules,
    /// Keys of flushed generations that are not freed yet.
    freeing: Arc<Gauge>,
    /// Monotonic microseconds until which no key expires, is evicted or goes for having been read.
    pub no_removals_until_us: Arc<Latest>,
    /// Counts of events.
    pub stats: KeyspaceStats,
}

impl Keyspace {
    /// An empty keyspace that tells the time by `clock`.
    pub fn new(clock: Clock) -> Keyspace {
        Keyspace::with_records(clock, RECORDS)
    }

    /// Like [`Keyspace::new`]; events are counted by namespace for the default one and the first `most` others.
    pub fn with_records(clock: Clock, most: usize) -> Keyspace {
        let generations = NextId::default();
        let first = Generation::new(generations.next(), clock.unix_ms());
        Keyspace {
            steps_ms: Latest::default(),
            start_ms: ahead_of_monotonic(&clock),
            clock,
            current: Current::new(first),
            generations,
            snapshots: Snapshots::default(),
            swapping: sync::Mutex::new(()),
            exclusive: ExclusiveWord::default(),
            records: Records::new(most),
            replaced: SegQueue::new(),
            housekeeper: Mutex::default(),
            wheel_bytes: Latest::default(),
            memory: Limit::default(),
            rules: Rules::default(),
            freeing: Arc::default(),
            no_removals_until_us: Arc::default(),
            stats: KeyspaceStats::default(),
        }
    }

    /// The time of day as if nobody had set the clock since the start: for durations. One load.
    #[inline]
    pub fn steady_ms(&self, unix_ms: u64) -> u64 {
        unix_ms.wrapping_sub(self.steps_ms.get())
    }

    /// Notices that somebody has set the clock. To be called many times a second.
    fn follow_clock(&self) {
        /// What may pass between two readings of the clocks.
        const NOISE_MS: u64 = 100;
        let steps_ms = ahead_of_monotonic(&self.clock) - self.start_ms;
        if steps_ms.abs_diff(self.steps_ms.get() as i64) > NOISE_MS {
            self.steps_ms.set(steps_ms as u64);
        }
    }

    /// Pins this thread for a batch of commands. Not to be held across any wait.
    pub fn enter(&self) -> Batch<'_> {
        Batch::new(self, false)
    }

    /// Like [`Keyspace::enter`], for the transaction that holds the exclusive right and found it ready.
    pub fn enter_exclusive<'k>(&'k self, exclusive: &'k Exclusive<'_>) -> Batch<'k> {
        debug_assert!(exclusive.is_ready());
        self.stats.ran_alone.add(1);
        Batch::new(self, true)
    }

    /// True while some transaction runs alone; every write of others answers [`Wait::Exclusive`].
    pub fn is_exclusive(&self) -> bool {
        self.exclusive.is_taken()
    }

    /// True while nothing may be removed that no command removes.
    #[cold]
    pub(super) fn keeps_all(&self) -> bool {
        let until_us = self.no_removals_until_us.get();
        until_us != 0 && self.clock.monotonic_us() < until_us
    }

    /// Takes the process-wide exclusive right, or `None` while another holds it. Dropping it gives it back. Not to be
    /// called with a batch open.
    pub fn take_exclusive(&self) -> Option<Exclusive<'_>> {
        self.exclusive.take()
    }

    fn next_generation(&self) -> Arc<Generation> {
        Generation::new(self.generations.next(), self.clock.unix_ms())
    }

    fn replace_generation(&self, next: Arc<Generation>) {
        let swapping = self.swapping.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.current.swap(next);
        drop(swapping);
        let keys = old.keys.get();
        let freeing = Freeing::new(&self.freeing, keys);
        self.memory.balance().release(old.bytes.get());
        // What its keys were kept in is gone with them.
        self.correct_balance();
        self.stats.changes.add(keys.max(1) as u64);
        self.replaced.push((old, freeing));
    }

    /// The number of flushed keys whose memory is not freed yet.
    pub fn freeing(&self) -> u64 {
        self.freeing.get().max(0) as u64
    }

    /// The number of keys. O(1).
    pub fn len(&self) -> u64 {
        self.current.load(&pin()).keys.get().max(0) as u64
    }

    /// True if there are no keys.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of keys with a deadline. O(1).
    pub fn expiring(&self) -> u64 {
        self.current.load(&pin()).expiring.get().max(0) as u64
    }

    /// Bytes of the live keys. O(1).
    pub fn used_bytes(&self) -> u64 {
        self.current.load(&pin()).bytes.get().max(0) as u64
    }

    /// Bytes of the live keys and of all that is kept for keys: free slots, the index, alarms. O(1).
    pub fn accounted_bytes(&self) -> u64 {
        let guard = pin();
        let generation = self.current.load(&guard);
        let values = generation.bytes.get() - generation.keys.get() * FRAME_SHARE as i64;
        (values + generation.frame_bytes()).max(0) as u64 + self.alarm_bytes()
    }

    /// The number of namespaces that have keys or had some a moment ago. O(1).
    pub fn namespace_count(&self) -> usize {
        self.current.load(&pin()).namespace_count()
    }

    /// One namespace, if it has keys or had some a moment ago. O(1).
    pub fn namespace(&self, name: &[u8]) -> Option<NamespaceInfo> {
        let guard = pin();
        let namespace = self.current.load(&guard).namespace(name, &guard)?;
        Some(self.info_of(namespace, namespace.record()?))
    }

    fn info_of(&self, namespace: &Namespace, record: &Record) -> NamespaceInfo {
        let size = (namespace.keys.get().max(0) as u64, namespace.bytes.get().max(0) as u64);
        NamespaceInfo::new(namespace.name(), size, record, self.rules.of(namespace))
    }

    /// The label under which a key's commands are counted: that of its namespace. Some nanoseconds.
    #[inline]
    pub fn label(&self, key: Key<'_>) -> Label {
        self.records.label(key.namespace())
    }

    /// Every namespace that has a record, with or without keys, and its label; at last all others as one, if there are
    /// any. O(records).
    pub fn labelled(&self) -> Vec<(Label, NamespaceInfo)> {
        let guard = pin();
        let generation = self.current.load(&guard);
        let size = |name: &[u8]| {
            let namespace = generation.namespace(name, &guard);
            namespace.map_or((0, 0), |namespace| (namespace.keys.get().max(0), namespace.bytes.get().max(0)))
        };
        let (mut keys, mut bytes) = (generation.keys.get(), generation.bytes.get());
        let rules = |name: &[u8]| self.rules_of_name(name);
        let mut infos = Vec::new();
        for named in self.records.iter() {
            let (own_keys, own_bytes) = size(&named.name);
            (keys, bytes) = (keys - own_keys, bytes - own_bytes);
            let size = (own_keys as u64, own_bytes as u64);
            infos.push((
                named.label,
                NamespaceInfo::new(&named.name, size, &named.record, rules(&named.name)),
            ));
        }
        // Without others a difference is only what has changed while this looked.
        let has_others = self.records.has_others();
        let rest = if has_others { (keys.max(0) as u64, bytes.max(0) as u64) } else { (0, 0) };
        let others = NamespaceInfo::new(OTHERS, rest, &self.records.others, rules(OTHERS));
        if has_others || others.misses > 0 {
            infos.push((Label::OTHERS, others));
        }
        infos
    }

    /// Up to `most` namespaces that had keys. O(namespaces visited).
    pub fn namespaces(&self, most: usize) -> Vec<NamespaceInfo> {
        let guard = pin();
        let mut infos = Vec::new();
        self.current.load(&guard).each_namespace(&guard, |namespace| {
            if let Some(record) = namespace.record() {
                infos.push(self.info_of(namespace, record));
            }
            infos.len() < most
        });
        infos
    }
}

/// How far the time of day is ahead of the monotonic clock, in milliseconds.
fn ahead_of_monotonic(clock: &Clock) -> i64 {
    clock.unix_ms() as i64 - (clock.monotonic_us() / 1000) as i64
}

#[cfg(all(test, not(kvns_loom)))]
mod tests;

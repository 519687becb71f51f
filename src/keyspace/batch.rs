//! One pin over a batch of commands.

use super::reservation::Admission;
use super::{Key, Keyspace, View};
use crate::concurrent::epoch::reclaim::{Guard, pin};
use crate::concurrent::slots::namespace::{Namespace, Record};
use crate::wait::Peer;
use smallvec::SmallVec;
use std::cell::{Cell, RefCell};
use std::sync::Arc;

/// Commands after which the time is read again.
const COMMANDS_PER_TICK: u32 = 64;

/// Keys to prefetch, gathered before the first of them is looked for: the less there is to do between two look-ups,
/// the more of their cache misses overlap.
pub type PrefetchList<'n> = SmallVec<[Key<'n>; 64]>;

/// One pin of this thread over a batch of commands. Not `Send`; not to be held across any wait.
#[derive(Debug)]
pub struct Batch<'k> {
    pub(super) keyspace: &'k Keyspace,
    pub(super) guard: Guard,
    pub(super) now_ms: u64,
    pub(super) is_exclusive: bool,
    pub(super) touches: bool,
    pub(super) tally: HitTally,
    pub(super) admission: Admission,
    /// The client that the commands are of, if it can be looked at.
    pub(super) peer: Option<&'k dyn Peer>,
    commands: u32,
}

impl<'k> Batch<'k> {
    pub(super) fn new(keyspace: &'k Keyspace, is_exclusive: bool) -> Batch<'k> {
        Batch {
            keyspace,
            guard: pin(),
            now_ms: keyspace.clock.unix_ms(),
            is_exclusive,
            touches: true,
            tally: HitTally::default(),
            admission: Admission::default(),
            peer: None,
            commands: 0,
        }
    }

    /// A direct view for one command.
    pub fn view(&mut self) -> View<'_> {
        View::new(self)
    }

    /// Brings the index nodes, slots and versions of keys into the cache: a hint, nothing more. Each command looks
    /// its keys up again.
    pub fn prefetch(&self, keys: &[Key<'_>]) {
        self.keyspace.current.load(&self.guard).prefetch(keys.iter().map(Key::name), &self.guard);
    }

    /// Lets commands look at the client that they are of.
    pub fn set_peer(&mut self, peer: &'k dyn Peer) {
        self.peer = Some(peer);
    }

    /// Whether the commands from now on count as accesses of their keys, for eviction and OBJECT FREQ and IDLETIME.
    #[inline]
    pub fn set_touches(&mut self, touches: bool) {
        self.touches = touches;
    }

    /// To be called between two commands: renews the pin and the time when that is due.
    #[inline]
    pub fn between_commands(&mut self) {
        self.commands += 1;
        if self.guard.is_renewal_due() {
            self.guard.renew();
        }
        if self.commands.is_multiple_of(COMMANDS_PER_TICK) {
            self.now_ms = self.keyspace.clock.unix_ms();
        }
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        self.tally.settle(self.keyspace);
        self.release_lease();
    }
}

/// Hits and misses of a batch, so that counting them costs no shared write for each.
#[derive(Debug, Default)]
pub(super) struct HitTally {
    record: RefCell<Option<Arc<Record>>>,
    hits: Cell<u32>,
    misses: Cell<u32>,
    /// Misses in namespaces that have no record.
    nowhere: Cell<u32>,
}

impl HitTally {
    #[inline]
    pub(super) fn hit(&self, keyspace: &Keyspace, namespace: &Namespace) {
        self.aim(keyspace, namespace);
        self.hits.set(self.hits.get() + 1);
    }

    pub(super) fn miss(&self, keyspace: &Keyspace, namespace: Option<&Namespace>) {
        match namespace.filter(|namespace| namespace.record().is_some()) {
            Some(namespace) => {
                self.aim(keyspace, namespace);
                self.misses.set(self.misses.get() + 1);
            }
            None => self.nowhere.set(self.nowhere.get() + 1),
        }
    }

    fn aim(&self, keyspace: &Keyspace, namespace: &Namespace) {
        let mut record = self.record.borrow_mut();
        let wanted = keyspace.record_of(namespace);
        if !record.as_ref().is_some_and(|record| Arc::ptr_eq(record, wanted)) {
            self.settle_record(keyspace, record.as_ref());
            *record = Some(Arc::clone(wanted));
        }
    }

    fn settle_record(&self, keyspace: &Keyspace, record: Option<&Arc<Record>>) {
        let (hits, misses) = (self.hits.take(), self.misses.take());
        let Some(record) = record else { return };
        if hits > 0 {
            record.hits.add(i64::from(hits));
            keyspace.stats.hits.add(u64::from(hits));
        }
        if misses > 0 {
            record.misses.add(i64::from(misses));
            keyspace.stats.misses.add(u64::from(misses));
        }
    }

    fn settle(&self, keyspace: &Keyspace) {
        self.settle_record(keyspace, self.record.borrow().as_ref());
        let nowhere = self.nowhere.take();
        if nowhere > 0 {
            keyspace.records.others.misses.add(i64::from(nowhere));
            keyspace.stats.misses.add(u64::from(nowhere));
        }
    }
}

//! The limit on memory: who pays for what is added, and what happens when nobody can.
//!
//! # How it is kept
//! The room under the limit is what is left of it after the accounted bytes (all keys, and what is kept for keys: free
//! slots, the index, alarms) and the *overhead*: all else that the allocator has handed out (clients' buffers and
//! queues, what waits to be reclaimed). A change
//! that adds bytes pays before its compare-and-swap, from its batch's lease (`concurrent/ledger/credit.rs`); one that frees
//! some is paid back. The overhead is measured many times a second, so that the figure follows the allocator whatever
//! the estimates are.
//!
//! # What is no reason to evict
//! Keys that were flushed and are being freed, and what a snapshot retains, cannot be freed by an eviction. The
//! first are left out by keeping the overhead as it was while they are freed, the second by their own gauge.

use super::entry::footprint_of;
use super::eviction::{Bound, Need};
use super::{Batch, Contention, Key, Keyspace, KeyspaceError, View};
use crate::concurrent::counters::counter::{Latest, Tally};
use crate::concurrent::epoch::freer;
use crate::concurrent::epoch::reclaim::pin;
use crate::concurrent::ledger::credit::{BLOCK, Lease, Room, UNLIMITED};
use crate::concurrent::ledger::rules::InForce;
use crate::concurrent::slots::namespace::Namespace;
use crate::concurrent::versions::version::Version;
use crate::config::{EvictionRules, NO_QUOTA, NamespaceRules};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// One part in so many of the limit stays free for what comes at once and cannot be foreseen: a table of the index that
/// doubles, what has been replaced and waits for its readers to leave.
const RESERVE: i64 = 50;

/// The limit, the rules of eviction, and the room that is left.
#[derive(Debug)]
pub struct Memory {
    pub(super) room: Room,
    /// The limit in bytes; [`UNLIMITED`] before there is one.
    limit: Latest,
    /// Bytes that stay free while there is something to evict.
    floor: Latest,
    /// Bytes beside the accounted ones, as they were measured last; a signed number.
    overhead: Latest,
    /// Times that the housekeeper was asked to come down to a limit.
    pub(super) lowered_limits: Tally,
    /// Times that the room was measured.
    pub(super) measured: Tally,
    /// Namespaces that may hold more than their quotas, which the housekeeper comes down to.
    lowered_quotas: Mutex<BTreeSet<Vec<u8>>>,
    rules: InForce<EvictionRules>,
}

impl Default for Memory {
    fn default() -> Memory {
        Memory {
            room: Room::new(UNLIMITED),
            limit: Latest::new(UNLIMITED as u64),
            floor: Latest::default(),
            overhead: Latest::default(),
            lowered_limits: Tally::new(),
            lowered_quotas: Mutex::default(),
            measured: Tally::new(),
            rules: InForce::default(),
        }
    }
}

impl Memory {
    /// What a namespace is bound to. Three loads.
    #[inline]
    pub(super) fn rules_of(&self, namespace: &Namespace) -> NamespaceRules {
        NamespaceRules::from_bits(self.rules.of(&namespace.rules, |rules| rules.of(namespace.name()).bits()))
    }

    /// What the namespace of this name is bound to, whether it has keys or not.
    pub fn rules_of_name(&self, name: &[u8]) -> NamespaceRules {
        self.rules.read(|rules| rules.of(name))
    }

    /// Lets the housekeeper look at the quotas of these namespaces.
    pub(super) fn look_at_quotas(&self, names: impl IntoIterator<Item = Vec<u8>>) {
        self.lowered_quotas.lock().unwrap_or_else(PoisonError::into_inner).extend(names);
    }

    /// Takes the namespaces whose quotas are to be looked at.
    pub(super) fn take_lowered_quotas(&self) -> BTreeSet<Vec<u8>> {
        std::mem::take(&mut self.lowered_quotas.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// True if more is held than is allowed.
    pub fn is_over(&self) -> bool {
        self.room.free() < 0
    }

    /// The limit in bytes.
    pub fn limit(&self) -> u64 {
        self.limit.get()
    }

    /// Bytes beside the accounted ones, as they were measured last. Below 0 if those are estimated too high.
    pub fn overhead(&self) -> i64 {
        self.overhead.get() as i64
    }

    /// Bytes that may still be added, those that leases hold counted in. Below 0 if more is held than is allowed.
    pub fn free(&self) -> i64 {
        self.room.free().saturating_add(self.room.leased())
    }

    /// Bytes in leases; none while no batch is open.
    pub(super) fn leased(&self) -> i64 {
        self.room.leased()
    }
}

impl Keyspace {
    /// Binds the keyspace to a limit in bytes and to rules of eviction, from now on. The housekeeper comes down to
    /// what is lower than before.
    pub fn bind(&self, limit: u64, rules: EvictionRules) {
        let memory = &self.memory;
        let limit = limit.min(UNLIMITED as u64);
        let is_lower = memory.rules.change(|bound| {
            let is_lower = limit < memory.limit();
            memory.limit.set(limit);
            memory.floor.set((limit as f64 * (1.0 - rules.threshold.clamp(0.0, 1.0))) as u64);
            memory.look_at_quotas(bound.lowered_quotas(&rules));
            *bound = rules;
            is_lower
        });
        self.correct_room();
        memory.lowered_limits.add(is_lower.into());
    }

    /// Lets the housekeeper evict what the limit and the quotas have no room for, where the policies let it.
    pub fn come_down(&self) {
        self.memory.lowered_limits.add(1);
        let with_quotas: Vec<_> = self.memory.rules.read(|rules| rules.quotas.keys().cloned().collect());
        self.memory.look_at_quotas(with_quotas);
    }

    /// Follows the allocator, which has handed out `allocated` bytes. To be called many times a second.
    pub fn measure(&self, allocated: u64) {
        // Footprints are right within a tenth. With less than half of them allocated, another allocator has handed them
        // out, as in tests, or copies share their bytes: then nobody knows what else is held.
        let is_known = allocated > self.used_bytes() / 2;
        // Nor how much of what is allocated are flushed keys that are being freed.
        if is_known && self.freeing() == 0 {
            let (retained, _) = self.snapshots.retention.retained();
            let overhead = allocated as i64 - retained as i64 - self.accounted_bytes() as i64;
            self.memory.overhead.set(overhead as u64);
        }
        self.correct_room();
        self.memory.measured.add(1);
    }

    /// Frees some of what was retired and nobody can hold any more. Writers do so too as they retire, but what they
    /// left while a thread that was pinned did not run for a while is more than they catch up with. Not to be called
    /// with a batch open.
    pub fn help_reclaim(&self) {
        /// Each frees some hundred objects.
        const TIMES: usize = 64;
        (0..TIMES).for_each(|_| pin().renew());
    }

    /// Computes the room from scratch.
    pub(super) fn correct_room(&self) {
        let limit = self.memory.limit.get() as i64;
        if limit < UNLIMITED {
            let allowed = limit - limit / RESERVE;
            self.memory.room.correct(allowed - self.memory.overhead() - self.accounted_bytes() as i64);
        }
    }
}

/// What a batch of commands pays from.
#[derive(Debug, Default)]
pub(super) struct Funds {
    pub(super) lease: RefCell<Lease>,
    /// True if the command is refused where there is no room; else it pays whatever is left.
    is_checked: Cell<bool>,
    /// True if the namespace that lacked room has nothing more to evict.
    is_exhausted: Cell<bool>,
    need: RefCell<Option<Box<Need>>>,
}

impl Batch<'_> {
    /// Whether the commands from now on are refused if there is no room for what they add.
    #[inline]
    pub fn set_checked(&mut self, is_checked: bool) {
        self.funds.is_checked.set(is_checked);
    }

    /// What a command needs that answered [`Contention::NeedRoom`].
    pub fn take_need(&mut self) -> Option<Box<Need>> {
        self.funds.need.borrow_mut().take()
    }

    /// Lets the next command pay from what was made room for.
    pub fn adopt(&mut self, mut need: Need) {
        self.funds.is_exhausted.set(need.is_exhausted);
        let kept = std::mem::take(&mut need.lease);
        self.funds.lease.borrow_mut().merge(kept);
    }

    /// Ends what [`Batch::adopt`] said of one command.
    #[inline]
    pub fn forget_need(&mut self) {
        self.funds.is_exhausted.set(false);
    }

    /// Gives back what is left of the lease; what is paid from now on is leased anew.
    pub(super) fn end_lease(&self) {
        self.keyspace.memory.room.end(&mut self.funds.lease.borrow_mut());
    }

    /// Takes back what was paid in vain, or what a change has freed.
    #[inline]
    pub(super) fn pay_back(&self, bytes: i64) {
        let mut lease = self.funds.lease.borrow_mut();
        lease.charge(-bytes);
        if !lease.is_modest() {
            self.keyspace.memory.room.end(&mut lease);
        }
    }
}

/// What a change has paid, or below zero what it is going to free. Dropped without having been settled it is paid back:
/// the change did not happen.
#[must_use]
#[derive(Debug)]
pub(super) struct Payment<'g> {
    batch: &'g Batch<'g>,
    bytes: i64,
}

impl Payment<'_> {
    /// The change has happened.
    #[inline]
    pub(super) fn settle(mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        if bytes < 0 {
            self.batch.pay_back(-bytes);
        }
    }
}

impl Drop for Payment<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.batch.pay_back(self.bytes);
        }
    }
}

impl<'g> View<'g> {
    /// What follows a flush in its transaction cannot be refused any more: the flush has made room.
    fn is_checked(&self) -> bool {
        self.batch.funds.is_checked.get()
            && self.transaction.as_deref().is_none_or(|outer| !outer.has_flushed())
    }

    /// Pays for `bytes` more in a namespace, before they are there; nothing if they are none.
    #[inline]
    pub(super) fn pay<'n>(
        &self,
        namespace: impl FnOnce() -> &'n Namespace,
        bytes: i64,
    ) -> Result<Payment<'g>, KeyspaceError> {
        if bytes > 0 {
            self.pay_from_lease(namespace(), bytes)?;
        }
        Ok(Payment { batch: self.batch, bytes })
    }

    #[inline]
    fn pay_from_lease(&self, namespace: &Namespace, bytes: i64) -> Result<(), KeyspaceError> {
        let funds = &self.batch.funds;
        if !self.is_checked() {
            funds.lease.borrow_mut().charge(bytes);
            return Ok(());
        }
        let rules = self.keyspace().memory.rules_of(namespace);
        self.check_quota(namespace, rules, bytes)?;
        if funds.lease.borrow_mut().pay(bytes) {
            return Ok(());
        }
        self.pay_from_room(namespace, rules, bytes)
    }

    /// Makes sure that a key that is not there yet can be paid for, or else fails before a slot is made for it: refused
    /// writes of ever new names are to leave nothing that has to be cleared away.
    #[inline]
    pub(super) fn check_room_for_new(&self, key: Key<'_>, version: &Version) -> Result<(), KeyspaceError> {
        let bytes = footprint_of(key.name(), version) as i64;
        if !self.is_checked() || self.batch.funds.lease.borrow().left() >= bytes {
            return Ok(());
        }
        let rules = self.keyspace().memory.rules_of_name(key.namespace());
        self.lease_for(key.namespace(), rules, bytes)
    }

    /// Pays for what several namespaces gain and lose, if that is more together.
    pub(super) fn pay_together(
        &self,
        namespaces: &[(&Namespace, i64)],
    ) -> Result<Payment<'g>, KeyspaceError> {
        let bytes = namespaces.iter().map(|(_, bytes)| *bytes).sum();
        self.pay_sum(namespaces, bytes)?;
        Ok(Payment { batch: self.batch, bytes })
    }

    fn pay_sum(&self, namespaces: &[(&Namespace, i64)], sum: i64) -> Result<(), KeyspaceError> {
        let memory = &self.keyspace().memory;
        if !self.is_checked() {
            self.batch.funds.lease.borrow_mut().charge(i64::max(sum, 0));
            return Ok(());
        }
        let growing = || namespaces.iter().filter(|(_, bytes)| *bytes > 0);
        for (namespace, bytes) in growing() {
            self.check_quota(namespace, memory.rules_of(namespace), *bytes)?;
        }
        if sum <= 0 || self.batch.funds.lease.borrow_mut().pay(sum) {
            return Ok(());
        }
        // The one that gains most makes room, of those that can.
        let evicts = |namespace: &Namespace| memory.rules_of(namespace).policy.evicts();
        let most = growing().max_by_key(|(namespace, bytes)| (evicts(namespace), *bytes));
        match most {
            Some((namespace, _)) => self.pay_from_room(namespace, memory.rules_of(namespace), sum),
            None => Ok(()),
        }
    }

    #[inline]
    fn check_quota(
        &self,
        namespace: &Namespace,
        rules: NamespaceRules,
        bytes: i64,
    ) -> Result<(), KeyspaceError> {
        if rules.quota == NO_QUOTA || namespace.bytes.get().saturating_add(bytes) <= rules.quota as i64 {
            return Ok(());
        }
        Err(self.lacks(namespace.name(), rules, bytes, Bound::Quota))
    }

    #[cold]
    fn pay_from_room(
        &self,
        namespace: &Namespace,
        rules: NamespaceRules,
        bytes: i64,
    ) -> Result<(), KeyspaceError> {
        self.lease_for(namespace.name(), rules, bytes)?;
        self.batch.funds.lease.borrow_mut().charge(bytes);
        Ok(())
    }

    /// Sees to it that the lease can pay `bytes`.
    #[cold]
    fn lease_for(&self, namespace: &[u8], rules: NamespaceRules, bytes: i64) -> Result<(), KeyspaceError> {
        let (memory, funds) = (&self.keyspace().memory, &self.batch.funds);
        let evicts = rules.policy.evicts() && !funds.is_exhausted.get();
        let floor = if evicts { memory.floor.get() as i64 } else { 0 };
        if memory.room.lease(&mut funds.lease.borrow_mut(), bytes, floor) {
            return Ok(());
        }
        Err(self.lacks(namespace, rules, bytes, Bound::Room(floor)))
    }

    /// Why `bytes` cannot be paid: the command waits until there is room, or is refused if there will be none.
    fn lacks(&self, namespace: &[u8], rules: NamespaceRules, bytes: i64, bound: Bound) -> KeyspaceError {
        let funds = &self.batch.funds;
        // What was removed may not be reclaimed yet: that is waited for where it may be worth it.
        let may_wait = rules.policy.evicts() || bytes > BLOCK || freer::is_freeing();
        if !may_wait || funds.is_exhausted.get() {
            return KeyspaceError::NoRoom;
        }
        *funds.need.borrow_mut() = Some(Box::new(Need::new(namespace, bytes, bound)));
        KeyspaceError::Contention(Contention::NeedRoom)
    }
}

//! Reserving memory: what a change adds is reserved before its compare-and-swap, and what happens when it cannot be.
//!
//! Bytes are reserved from the batch's lease (`concurrent/ledger/balance.rs`) under the limit (`memory/limit.rs`). What a
//! change frees is released.
//!
//! # What is no reason to evict
//! Keys that were flushed and are being freed, and what a snapshot retains, cannot be freed by an eviction. The
//! first are left out by keeping the overhead as it was while they are freed, the second by their own gauge.

use super::entry::footprint_of;
use super::eviction::{Bound, Need};
use super::{Batch, Key, Keyspace, KeyspaceError, View};
use crate::concurrent::epoch::freer;
use crate::concurrent::epoch::reclaim::pin;
use crate::concurrent::ledger::balance::{BLOCK, Lease};
use crate::concurrent::slots::namespace::Namespace;
use crate::concurrent::versions::version::Version;
use crate::config::{NO_QUOTA, NamespaceRules};
use crate::wait::Wait;
use std::cell::{Cell, RefCell};

impl Keyspace {
    /// Corrects the balance by the allocator: `read` says how many bytes it has handed out. Call it many times a second.
    pub fn measure(&self, read: impl FnOnce() -> u64) {
        self.memory.measure(|| {
            let allocated = read();
            let accounted = self.accounted_bytes();
            // Footprints are right within a tenth. With less than half of them allocated, another allocator has handed
            // them out, as in tests, or copies share their bytes: then the overhead is unknown.
            let is_known = allocated > self.used_bytes() / 2;
            // It is unknown too how much of what is allocated are flushed keys that are being freed.
            let overhead = (is_known && self.freeing() == 0).then(|| {
                let (retained, _) = self.snapshots.retention.retained();
                allocated as i64 - retained as i64 - accounted as i64
            });
            (overhead, accounted)
        });
    }

    /// Frees some of what was retired a grace period ago. Writers do so too as they retire, but they do not catch up
    /// after a pinned thread was suspended for a while. Call it without a batch open.
    pub fn help_reclaim(&self) {
        /// Each frees some hundred objects.
        const TIMES: usize = 64;
        (0..TIMES).for_each(|_| pin().renew());
    }

    /// Computes the balance from scratch.
    pub(super) fn correct_balance(&self) {
        self.memory.correct(|| self.accounted_bytes());
    }
}

/// How the commands of a batch reserve memory.
#[derive(Debug, Default)]
pub(super) struct Admission {
    pub(super) lease: RefCell<Lease>,
    /// True if the command is refused where there is no room; else it reserves whatever is left.
    is_checked: Cell<bool>,
    /// True if the namespace that lacked room has nothing more to evict.
    is_exhausted: Cell<bool>,
    need: RefCell<Option<Box<Need>>>,
}

impl Batch<'_> {
    /// Whether the commands from now on are refused if there is no room for what they add.
    #[inline]
    pub fn set_checked(&mut self, is_checked: bool) {
        self.admission.is_checked.set(is_checked);
    }

    /// The need of a command that answered [`Wait::Room`].
    pub fn take_need(&mut self) -> Option<Box<Need>> {
        self.admission.need.borrow_mut().take()
    }

    /// Lets the next command reserve from the room that was made for it.
    pub fn adopt(&mut self, mut need: Need) {
        self.admission.is_exhausted.set(need.is_exhausted);
        let kept = std::mem::take(&mut need.lease);
        self.admission.lease.borrow_mut().merge(kept);
    }

    /// Ends the effect of [`Batch::adopt`] after one command.
    #[inline]
    pub fn forget_need(&mut self) {
        self.admission.is_exhausted.set(false);
    }

    /// Releases what is left of the lease; what is reserved from now on is leased anew.
    pub(super) fn release_lease(&self) {
        self.keyspace.memory.balance().release_lease(&mut self.admission.lease.borrow_mut());
    }

    /// Releases what a change that lost had reserved, or what a change has freed.
    #[inline]
    pub(super) fn release(&self, bytes: i64) {
        let mut lease = self.admission.lease.borrow_mut();
        lease.release(bytes);
        if !lease.is_modest() {
            self.keyspace.memory.balance().release_lease(&mut lease);
        }
    }
}

/// Bytes that a change has reserved, or below zero those that it is going to free. Dropped without a commit it is
/// released: the change did not happen.
#[must_use]
#[derive(Debug)]
pub(super) struct Reservation<'g> {
    batch: &'g Batch<'g>,
    bytes: i64,
}

impl Reservation<'_> {
    /// The change has happened: what it has freed is released.
    #[inline]
    pub(super) fn commit(mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        if bytes < 0 {
            self.batch.release(-bytes);
        }
    }
}

impl Drop for Reservation<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.batch.release(self.bytes);
        }
    }
}

impl<'g> View<'g> {
    /// Commands after a flush in the same transaction are not refused any more: the flush has made room.
    fn is_checked(&self) -> bool {
        self.batch.admission.is_checked.get() && self.transaction().is_none_or(|outer| !outer.has_flushed())
    }

    /// Reserves `bytes` for a change in a namespace; nothing if the change adds none.
    ///
    /// # Errors
    /// [`Wait::Room`] if eviction may make room first, [`KeyspaceError::NoRoom`] if there will be none.
    #[inline]
    pub(super) fn reserve<'n>(
        &self,
        namespace: impl FnOnce() -> &'n Namespace,
        bytes: i64,
    ) -> Result<Reservation<'g>, KeyspaceError> {
        if bytes > 0 {
            self.reserve_from_lease(namespace(), bytes)?;
        }
        Ok(Reservation { batch: self.batch, bytes })
    }

    #[inline]
    fn reserve_from_lease(&self, namespace: &Namespace, bytes: i64) -> Result<(), KeyspaceError> {
        let admission = &self.batch.admission;
        if !self.is_checked() {
            admission.lease.borrow_mut().overdraw(bytes);
            return Ok(());
        }
        let rules = self.keyspace().rules.of(namespace);
        self.check_quota(namespace, rules, bytes)?;
        if admission.lease.borrow_mut().reserve(bytes) {
            return Ok(());
        }
        self.lease_and_reserve(namespace, rules, bytes)
    }

    /// Makes sure that there is room for a key that is not there yet, before a slot is made for it: refused writes of ever
    /// new names are to leave nothing that has to be cleared away.
    ///
    /// # Errors
    /// Those of [`View::reserve`].
    #[inline]
    pub(super) fn check_room_for_new(&self, key: Key<'_>, version: &Version) -> Result<(), KeyspaceError> {
        let bytes = footprint_of(key.name(), version) as i64;
        if !self.is_checked() || self.batch.admission.lease.borrow().left() >= bytes {
            return Ok(());
        }
        let rules = self.keyspace().rules_of_name(key.namespace());
        self.extend_lease(key.namespace(), rules, bytes)
    }

    /// Reserves what several namespaces gain and lose, if that is more together.
    ///
    /// # Errors
    /// Those of [`View::reserve`].
    pub(super) fn reserve_together(
        &self,
        namespaces: &[(&Namespace, i64)],
    ) -> Result<Reservation<'g>, KeyspaceError> {
        let bytes = namespaces.iter().map(|(_, bytes)| *bytes).sum();
        self.reserve_sum(namespaces, bytes)?;
        Ok(Reservation { batch: self.batch, bytes })
    }

    fn reserve_sum(&self, namespaces: &[(&Namespace, i64)], sum: i64) -> Result<(), KeyspaceError> {
        let rules = &self.keyspace().rules;
        if !self.is_checked() {
            self.batch.admission.lease.borrow_mut().overdraw(i64::max(sum, 0));
            return Ok(());
        }
        let growing = || namespaces.iter().filter(|(_, bytes)| *bytes > 0);
        for (namespace, bytes) in growing() {
            self.check_quota(namespace, rules.of(namespace), *bytes)?;
        }
        if sum <= 0 || self.batch.admission.lease.borrow_mut().reserve(sum) {
            return Ok(());
        }
        // The one that gains most makes room, of those that can.
        let evicts = |namespace: &Namespace| rules.of(namespace).policy.evicts();
        let most = growing().max_by_key(|(namespace, bytes)| (evicts(namespace), *bytes));
        match most {
            Some((namespace, _)) => self.lease_and_reserve(namespace, rules.of(namespace), sum),
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
    fn lease_and_reserve(
        &self,
        namespace: &Namespace,
        rules: NamespaceRules,
        bytes: i64,
    ) -> Result<(), KeyspaceError> {
        self.extend_lease(namespace.name(), rules, bytes)?;
        self.batch.admission.lease.borrow_mut().overdraw(bytes);
        Ok(())
    }

    /// Sees to it that `bytes` can be reserved from the lease.
    #[cold]
    fn extend_lease(&self, namespace: &[u8], rules: NamespaceRules, bytes: i64) -> Result<(), KeyspaceError> {
        let (memory, admission) = (&self.keyspace().memory, &self.batch.admission);
        let evicts = rules.policy.evicts() && !admission.is_exhausted.get();
        let floor = if evicts { memory.floor() } else { 0 };
        if memory.balance().lease(&mut admission.lease.borrow_mut(), bytes, floor) {
            return Ok(());
        }
        Err(self.lacks(namespace, rules, bytes, Bound::Room(floor)))
    }

    /// Why `bytes` cannot be reserved: the command waits until there is room, or is refused if there will be none.
    fn lacks(&self, namespace: &[u8], rules: NamespaceRules, bytes: i64, bound: Bound) -> KeyspaceError {
        let admission = &self.batch.admission;
        // What was removed may not be reclaimed yet, which can be worth a wait.
        let may_wait = rules.policy.evicts() || bytes > BLOCK || freer::is_freeing();
        if !may_wait || admission.is_exhausted.get() {
            return KeyspaceError::NoRoom;
        }
        *admission.need.borrow_mut() = Some(Box::new(Need::new(namespace, bytes, bound)));
        KeyspaceError::Wait(Wait::Room)
    }
}

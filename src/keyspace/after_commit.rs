//! What every change does exactly once, after it has happened: keys and bytes are counted, the deadline is armed,
//! what was left absent is queued, a sorted set's operation applied.

use super::Keyspace;
use super::entry::footprint;
use crate::concurrent::epoch::reclaim::Guard;
use crate::concurrent::slots::generation::Generation;
use crate::concurrent::slots::namespace::{Namespace, Record};
use crate::concurrent::slots::slot::Slot;
use crate::concurrent::versions::version::{Content, Version, VersionBox};
use crate::sync::{Bug, seeded};
use std::sync::Arc;

/// A change that has happened to one slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Changed<'g> {
    pub(super) slot: &'g Slot,
    pub(super) old: &'g Version,
    pub(super) new: &'g Version,
}

/// Bytes that a live key takes more with `new` than with `old`.
pub(super) fn growth(slot: &Slot, old: &Version, new: &Version) -> i64 {
    let bytes_of = |version: &Version| if version.is_live() { footprint(slot, version) as i64 } else { 0 };
    bytes_of(new) - bytes_of(old)
}

/// Why a key goes without a command that asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Removal {
    /// Its time has come.
    Expired,
    /// There was no room.
    Evicted,
    /// It was read.
    Read,
    /// Its namespace is flushed.
    Flushed,
}

impl Keyspace {
    /// Accounts for a change of `bytes`, which is their [`growth`]. To be called once for each, by whoever made it,
    /// under the guard it was made in.
    pub(super) fn account(&self, generation: &Generation, changed: Changed<'_>, bytes: i64, guard: &Guard) {
        let Changed { slot, old, new } = changed;
        self.stats.changes.add(1);
        if let Some(set) = new.large_set() {
            set.apply(guard);
        }
        let keys = i64::from(new.is_live()) - i64::from(old.is_live());
        if bytes != 0 || keys != 0 {
            let namespace = generation.namespace_of(slot, guard);
            namespace.bytes.add(bytes);
            generation.bytes.add(bytes);
            if keys != 0 {
                self.record_of(namespace);
                namespace.keys.add(keys);
                generation.keys.add(keys);
            }
        }
        let expiring = i64::from(new.deadline_ms().is_some()) - i64::from(old.deadline_ms().is_some());
        if expiring != 0 {
            generation.expiring.add(expiring);
        }
        if let Some(deadline) = new.deadline_ms() {
            generation.inbox.arm(slot, deadline);
        }
        if !new.is_live() {
            slot.forget();
            generation.left_absent(slot, new.seq());
        }
    }

    /// Replaces an expired version by a tombstone, as an ordinary change. Whoever else did it first did it well. It stays
    /// while nothing is removed by itself.
    pub(super) fn expire(&self, generation: &Generation, slot: &Slot, expired: &Version, guard: &Guard) {
        let bytes = self.remove(generation, slot, expired, Removal::Expired, guard);
        self.memory.balance().release(bytes);
    }

    /// Replaces the live version that was seen, and no other, by a tombstone. Returns the bytes, which the caller
    /// releases: none if another version was there, or if nothing is to be removed by itself.
    pub(super) fn remove(
        &self,
        generation: &Generation,
        slot: &Slot,
        seen: &Version,
        why: Removal,
        guard: &Guard,
    ) -> i64 {
        if why != Removal::Flushed && self.keeps_all() {
            return 0;
        }
        let seen = if seeded(Bug::EvictsUnseen) { slot.cell().settle(guard) } else { seen };
        let tombstone = absent_after(seen);
        let attempt = self.snapshots.retention.attempt(generation.number());
        tombstone.set_stamp(attempt.stamp());
        let Ok(new) = slot.cell().replace(seen, tombstone.into(), attempt.claim(slot.name()).as_ref(), guard)
        else {
            return 0;
        };
        let bytes = growth(slot, seen, new);
        let record = self.record_of(generation.namespace_of(slot, guard));
        match why {
            Removal::Expired => {
                self.stats.expired.add(1);
                record.expired.add(1);
            }
            Removal::Evicted => {
                self.stats.evicted.add(1);
                record.evicted.add(1);
            }
            Removal::Read => self.stats.ear_evicted.add(1),
            Removal::Flushed => {}
        }
        self.account(generation, Changed { slot, old: seen, new }, bytes, guard);
        -bytes
    }

    /// The namespace's record of events: its own for the first ones, one for all others.
    pub(super) fn record_of<'n>(&self, namespace: &'n Namespace) -> &'n Arc<Record> {
        namespace.record_or(|| self.records.of(namespace.name()))
    }
}

/// A tombstone that follows `version`.
pub(super) fn absent_after(version: &Version) -> VersionBox {
    let mut tombstone = VersionBox::empty(Content::Absent);
    tombstone.set_seq(version.seq().wrapping_add(1));
    tombstone
}

/// A slot that a view made. If it is absent in the end, it is queued for the reaper.
#[derive(Debug)]
pub(super) struct Made<'g> {
    pub(super) generation: &'g Generation,
    pub(super) slot: &'g Slot,
    pub(super) guard: &'g Guard,
}

impl Drop for Made<'_> {
    fn drop(&mut self) {
        let version = self.slot.cell().read(self.guard);
        if !version.is_live() && !version.is_dead() {
            self.generation.left_absent(self.slot, version.seq());
        }
    }
}

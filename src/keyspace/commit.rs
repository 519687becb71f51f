//! The commit point of a transaction: everything that it planned changes at one instant, or nothing does.
//!
//! What the body read is pinned down, what it adds is reserved, and one multi-word compare-and-swap
//! (`concurrent/versions/transaction.rs`) decides. The rules M1 to M3 are those of `transaction.rs`.

use super::after_commit::{Changed, Made, absent_after, growth};
use super::plan::Plan;
use super::reservation::Reservation;
use super::transaction::{Touched, Transaction};
use super::{Key, KeyspaceError, View};
use crate::concurrent::slots::namespace::Namespace;
use crate::concurrent::versions::transaction::{Write, commit};
use crate::concurrent::versions::version::{PlannedVersion, Version, VersionBox};
use crate::sync::{Bug, seeded};
use smallvec::SmallVec;

/// Commits again after losing to fresh copies only, before the body runs again.
const RECOMMITS: u32 = 8;

impl<'g> View<'g> {
    /// Commits what the body planned. False if it has to run again.
    pub(super) fn commit(&mut self, transaction: &mut Transaction<'g>) -> Result<bool, KeyspaceError> {
        if let Some(fresh) = transaction.fresh.take() {
            self.replace_generation(fresh);
            return Ok(true);
        }
        transaction.close(self.guard());
        if !transaction.cells.iter().any(Touched::changes) {
            return Ok(self.reads_hold(transaction));
        }
        if !seeded(Bug::MissingNamesUnchecked) && !self.pin_down_missing(transaction)? {
            return Ok(false);
        }
        let reservation = self.reserve_for(transaction)?;
        let is_done = self.commit_writes(transaction);
        if is_done {
            reservation.commit();
        }
        Ok(is_done)
    }

    /// Reserves what the plans add, all together and each namespace for itself, before anything has changed.
    fn reserve_for(&self, transaction: &Transaction<'g>) -> Result<Reservation<'g>, KeyspaceError> {
        let mut namespaces: SmallVec<[(&Namespace, i64); 4]> = SmallVec::new();
        for touched in transaction.cells.iter().filter(|touched| touched.changes()) {
            let planned = if touched.is_live() { touched.version() } else { Version::fresh() };
            let bytes = growth(touched.slot, touched.base, planned);
            let namespace = transaction.generation.namespace_of(touched.slot, self.guard());
            match namespaces.iter_mut().rev().find(|(known, _)| std::ptr::eq(*known, namespace)) {
                Some((_, sum)) => *sum += bytes,
                None => namespaces.push((namespace, bytes)),
            }
        }
        self.reserve_together(&namespaces)
    }

    /// Gives every missing name that was read a cell. False if one of them is there now.
    fn pin_down_missing(&mut self, transaction: &mut Transaction<'g>) -> Result<bool, KeyspaceError> {
        let (generation, guard) = (transaction.generation, self.guard());
        for name in std::mem::take(&mut transaction.missing) {
            let key = Key::new(&name);
            loop {
                let (slot, is_new) = generation.find_or_create(key.name(), key.namespace(), guard);
                if is_new {
                    transaction.made.push(Made { generation, slot, guard });
                }
                if let Some(place) = transaction.place(slot) {
                    // It was made by another since it was read as missing, and touched after that.
                    if transaction.cells[place].base.is_live() && !seeded(Bug::MissingNamesTrustCell) {
                        return Ok(false);
                    }
                    break;
                }
                let base = self.present(generation, slot)?;
                if base.is_live() {
                    return Ok(false);
                }
                if !base.is_dead() {
                    transaction.add(slot, base);
                    break;
                }
            }
        }
        Ok(true)
    }

    /// The multi-word compare-and-swap, again as long as it lost to fresh copies only (M3).
    fn commit_writes(&mut self, transaction: &mut Transaction<'g>) -> bool {
        let (keyspace, guard) = (self.keyspace(), self.guard());
        let attempt = keyspace.snapshots.retention.attempt(transaction.generation.number());
        let cells = std::mem::take(&mut transaction.cells);
        let mut changes = Vec::with_capacity(cells.len());
        let mut writes: Vec<Write<'g>> = Vec::with_capacity(cells.len());
        for touched in cells {
            let changed = touched.changes();
            let Touched { slot, base, plan } = touched;
            let planned = match plan {
                Plan::Put(planned) => planned,
                Plan::Remove => PlannedVersion::new(absent_after(base), guard),
                Plan::Unchanged => PlannedVersion::new(VersionBox::fresh_copy(base), guard),
                Plan::Open(_) => unreachable!("closed before the commit"),
            };
            let new = planned.version();
            if changed {
                new.set_stamp(attempt.stamp());
                changes.push((Changed { slot, old: base, new }, growth(slot, base, new)));
            }
            let (cell, new) = (slot.cell(), planned.publish());
            writes.push(Write { cell, expected: base, new, claim: attempt.claim(slot.name()) });
        }
        for _ in 0..RECOMMITS {
            match commit(writes, &mut transaction.edits, guard) {
                Ok(()) => {
                    let generation = self.accounted(transaction.generation);
                    for (changed, bytes) in changes {
                        self.touch_written(changed.slot, changed.old);
                        keyspace.account(generation, changed, bytes, guard);
                    }
                    return true;
                }
                Err(unused) => writes = unused,
            }
            // The word is read after the last read again.
            let holds = self.follow_fresh_copies(&mut writes);
            if !holds || !attempt.is_current() && !seeded(Bug::RecommitKeepsEpoch) {
                break;
            }
        }
        if seeded(Bug::GivenUpPlanFreedAtOnce) {
            return false;
        }
        // What the body read of its plans stays until the guard ends.
        writes.into_iter().for_each(|write| drop(PlannedVersion::new(write.new, guard)));
        false
    }

    /// Takes the present versions for the expected ones, if they differ by no change.
    fn follow_fresh_copies(&self, writes: &mut [Write<'g>]) -> bool {
        writes.iter_mut().all(|write| {
            let present = write.cell.settle(self.guard());
            let is_same =
                present.seq() == write.expected.seq() && present.is_live() == write.expected.is_live();
            write.expected = present;
            is_same
        })
    }
}

impl View<'_> {
    /// True if everything the transaction read is still as it was (M1).
    pub(super) fn reads_hold(&self, transaction: &Transaction<'_>) -> bool {
        let guard = self.guard();
        let unchanged = |touched: &Touched<'_>| {
            let present = touched.slot.cell().read(guard);
            present.seq() == touched.base.seq() && !present.is_dead()
        };
        seeded(Bug::ReadsUnchecked)
            || transaction.cells.iter().all(unchanged)
                && transaction.missing.iter().all(|name| transaction.generation.find(name, guard).is_none())
    }
}

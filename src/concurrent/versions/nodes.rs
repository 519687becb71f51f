//! Tree nodes: who retires them, and who frees many of them.
//!
//! # Purpose
//! A version of a collection holds the root of a packed tree (`value/tree`), which neither keeps nor frees
//! anything. The edit that built a version's nodes also knows which nodes of its base it replaced. Whoever makes a
//! change happen retires what the change replaced; whoever loses drops the edit, and with it what it built.
//!
//! # Invariants
//! - I1. The nodes of a root stay allocated as long as a guard is held under which a version with that root was in
//!   a cell, or was planned by the transaction of that guard's thread.
//! - I2. A root goes from one version to the next by a change of its cell, or to another cell by a transaction that
//!   takes it out of the first: at any moment at most one cell holds it. So every node is retired once: by the
//!   change whose edit replaced it, or with its whole root by the change that left no version derived from it.
//! - I3. The edits of one transaction form chains, each from a base's root or from nothing, for a plan takes the
//!   place of the plan it was made from. An edit is *live* if a final version holds its root or a live edit starts
//!   from it. A base's root that no live edit starts from and no final version holds is retired whole; what dead
//!   edits replaced is forgotten, and what they built is freed.
//!   Where a snapshot claims nodes, giving them to it takes the place of retiring them (`retention.rs`).
//! - I4. Nodes that were never published may still be read by the transaction that planned them, so they too are
//!   freed a grace period later.
//!
//! # Progress
//! Retiring is O(nodes the edit replaced). A callback of a grace period frees about [`AT_ONCE`] nodes; what is
//! larger is left to the background freer (`epoch/freer.rs`).

use super::retention::{Claim, Owner};
use super::version::{Version, VersionBox};
use crate::concurrent::epoch::freer::free_later;
use crate::concurrent::epoch::reclaim::Guard;
use crate::sync::{Bug, seeded};
use crate::value::tree::{Garbage, Root, Sealed};
use std::collections::HashSet;
use std::ptr::NonNull;

/// Nodes that are freed in one go where a grace period ends.
const AT_ONCE: usize = 1000;

/// # Safety
/// Nobody reads these nodes now or later, but the snapshot that may own some.
unsafe fn free(mut garbage: Garbage, owner: Option<Owner>) {
    if !cfg!(kvns_loom) && garbage.is_larger_than(AT_ONCE) {
        // SAFETY: the caller's promise.
        return free_later(move |nodes| unsafe { free_some(&mut garbage, owner.as_ref(), nodes) });
    }
    // SAFETY: the caller's promise.
    unsafe { free_some(&mut garbage, owner.as_ref(), usize::MAX) };
}

/// Frees up to `nodes` nodes. True when none are left.
///
/// # Safety
/// As for [`free`].
unsafe fn free_some(garbage: &mut Garbage, owner: Option<&Owner>, nodes: usize) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        match owner {
            Some(owner) => owner.free_some(garbage, nodes),
            None => garbage.free_some(nodes, 0, &mut Garbage::default()),
        }
    }
}

/// Frees a tree that only its cell had, when the cell is dropped.
///
/// # Safety
/// Nobody reads these nodes now or later.
pub(super) unsafe fn free_whole(root: Root) {
    // SAFETY: the caller's promise.
    unsafe { root.retire_all().free_all() };
}

/// A version that no one else can see yet, with the edit that built its nodes, if one did.
#[derive(Debug)]
pub struct Draft {
    /// The version.
    pub version: VersionBox,
    /// The edit whose root the version holds.
    pub edit: Option<Box<Sealed>>,
}

impl From<VersionBox> for Draft {
    fn from(version: VersionBox) -> Draft {
        Draft { version, edit: None }
    }
}

/// Retires a version that a direct write has replaced, and the nodes that the write replaced with it; a snapshot that
/// claims them gets them instead.
///
/// # Safety
/// The caller's own compare-and-swap put `new`, which `edit` built, in place of `old`.
pub(super) unsafe fn retire_replaced(
    old: NonNull<Version>,
    new: &Version,
    edit: Option<Box<Sealed>>,
    claim: Option<&Claim<'_>>,
    guard: &Guard,
) {
    // SAFETY: the guard was taken before `old` left its cell.
    let root = unsafe { old.as_ref() }.root();
    let garbage = match edit {
        Some(edit) if edit.base() == root => {
            let replaced = edit.commit();
            if seeded(Bug::WinnerRetiresWhole) { root.retire_all() } else { replaced }
        }
        Some(edit) => {
            debug_assert!(edit.base() == Root::EMPTY, "I2: a direct write edits what is in its cell");
            // Nothing was replaced in an empty base.
            drop(edit.commit());
            root.retire_all()
        }
        None if new.root() == root => Garbage::default(),
        None => root.retire_all(),
    };
    // SAFETY: the caller's promise; I2: `garbage` is what no later version reaches.
    unsafe {
        displace(old, new, claim, guard);
        if !garbage.is_empty() {
            retire_claimed(garbage, claim, guard);
        }
    }
}

/// Retires a version that `new` has displaced, or hands it over to the snapshot that claims it.
///
/// # Safety
/// As for [`Version::retire`].
#[inline]
pub(super) unsafe fn displace(
    old: NonNull<Version>,
    new: &Version,
    claim: Option<&Claim<'_>>,
    guard: &Guard,
) {
    // SAFETY: the caller's promise.
    unsafe {
        match claim {
            None => Version::retire(old, guard),
            Some(claim) => claim.displace(old, new, guard),
        }
    }
}

/// # Safety
/// No later version reaches these nodes, and they are given up only here.
#[inline]
unsafe fn retire_claimed(garbage: Garbage, claim: Option<&Claim<'_>>, guard: &Guard) {
    // SAFETY: the caller's promise.
    unsafe {
        match claim {
            None => retire(garbage, guard),
            Some(claim) => claim.retire_nodes(garbage, guard),
        }
    }
}

/// Retires nodes.
///
/// # Safety
/// No later guard reaches these nodes, and they are retired only here.
pub(in crate::concurrent) unsafe fn retire(garbage: Garbage, guard: &Guard) {
    if !garbage.is_empty() {
        #[cfg(kvns_loom)]
        garbage.each_node(0, |node| crate::sync::allocations::retire(node));
        // SAFETY: the caller's promise; any thread may free nodes.
        unsafe {
            guard.retire_several(garbage.len(), garbage.footprint() as usize, move || free(garbage, None));
        }
    }
}

/// Retires nodes that were dropped while a snapshot ran, which gets those of them that it may still read.
///
/// # Safety
/// As for [`retire`], but for the snapshot.
pub(super) unsafe fn retire_for(garbage: Garbage, owner: Owner, guard: &Guard) {
    if garbage.is_empty() {
        return;
    }
    // SAFETY: the caller's promise; any thread may free nodes.
    unsafe {
        #[cfg(kvns_loom)]
        {
            let below = if seeded(Bug::OldNodesRetired) { 0 } else { owner.stamp() };
            garbage.each_node(below, |node| crate::sync::allocations::retire(node));
            guard.after_grace(move || free(garbage, Some(owner)));
        }
        #[cfg(not(kvns_loom))]
        guard.retire_several(garbage.len(), garbage.footprint() as usize, move || free(garbage, Some(owner)));
    }
}

/// The edits of one transaction, in the order in which they were planned. Dropping them is losing (I4).
#[derive(Debug)]
pub struct Edits<'g> {
    edits: Vec<Sealed>,
    guard: &'g Guard,
}

impl<'g> Edits<'g> {
    /// No edits yet.
    pub fn new(guard: &'g Guard) -> Edits<'g> {
        Edits { edits: Vec::new(), guard }
    }

    /// Adds an edit that the transaction plans.
    pub fn push(&mut self, edit: Sealed) {
        self.edits.push(edit);
    }

    /// The transaction has committed, and `changes` are the versions before and after in all of its cells: retires
    /// what no version reaches any more (I3), but for what a snapshot claims.
    ///
    /// # Safety
    /// The caller committed, the versions before have left their cells, and this is called once.
    pub(super) unsafe fn settle<'v>(
        &mut self,
        changes: &[(&'v Version, &'v Version)],
        claim: Option<&Claim<'_>>,
    ) {
        let is_rooted = |version: &Version| version.root() != Root::EMPTY;
        if self.edits.is_empty() && !changes.iter().any(|(old, _)| is_rooted(old)) {
            return;
        }
        let mut live: HashSet<Root, ahash::RandomState> =
            changes.iter().map(|(_, new)| new.root()).filter(|root| *root != Root::EMPTY).collect();
        let mut garbage = Garbage::default();
        let mut dead = Vec::new();
        for edit in self.edits.drain(..).rev() {
            if live.remove(&edit.root()) {
                if !seeded(Bug::WinnerRetiresWhole) {
                    live.insert(edit.base());
                }
                garbage.append(edit.commit());
            } else {
                dead.push(edit);
            }
        }
        for root in changes.iter().map(|(old, _)| old.root()) {
            if !live.contains(&root) {
                garbage.append(root.retire_all());
            }
        }
        self.edits = dead;
        if !garbage.is_empty() {
            // SAFETY: I3; the caller's promise.
            unsafe { retire_claimed(garbage, claim, self.guard) };
        }
    }
}

impl Drop for Edits<'_> {
    fn drop(&mut self) {
        if !self.edits.is_empty() {
            let edits = std::mem::take(&mut self.edits);
            if seeded(Bug::LoserFreesAtOnce) {
                return;
            }
            // SAFETY: I4; never published, so only readers under this thread's guard may still have them.
            unsafe { self.guard.retire_several(edits.len(), 0, move || drop(edits)) };
        }
    }
}

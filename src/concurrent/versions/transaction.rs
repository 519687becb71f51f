//! Multi-word compare-and-swap: several cells change at one instant, or none does.
//!
//! # Purpose
//! A transaction is a descriptor with one intent for each cell, in the order of their addresses. Its owner, and
//! whoever meets one of its intents, install the intents, decide the status by one compare-and-swap (the
//! linearization point), and release the intents.
//!
//! # States of the status
//! ```text
//! undecided --every intent is installed--> committed
//! undecided --some cell holds another version--> aborted
//! ```
//!
//! # Invariants
//! - I1. The status changes once.
//! - I2. It becomes committed only after every intent was installed: then every expected version has left its
//!   cell for good (Rule V), so a late helper cannot install again.
//! - I3. There are no read-only cells: a cell that was only read gets an intent too, and its new version is a
//!   fresh copy. Validating reads apart from installing writes would admit write skew.
//! - I4. Helpers only swing pointers. Committed: after its own release pass the owner retires every expected
//!   version, or hands it over to a snapshot, once, and then the descriptor. Aborted: the thread
//!   whose exchange puts a fresh copy in place of an intent retires the version it displaced; new versions never entered a cell and go back to the owner.
//! - I5. The fresh copy is made only after the intent was seen in that cell.
//! - I6. A helper that finds the status decided only releases. A helper that was late with one install may still
//!   put an intent of an aborted transaction into a cell; it then releases it itself, under the pin it holds.
//!   Others may meet that intent under later pins, so an aborted descriptor passes two grace periods before it
//!   is freed, a committed one (I2) one.
//!
//! # Orderings
//! The status compare-and-swap is AcqRel, its loads Acquire: whoever sees "committed" sees every intent installed.
//!
//! # Progress
//! Lock-free: helping goes up in address order, so it never cycles, and an abort traces back to a commit.

use super::cell::{Cell, Word};
use super::nodes::{Edits, displace};
use super::retention::Claim;
use super::version::{Version, VersionBox};
use crate::concurrent::epoch::reclaim::{Guard, pin};
use crate::sync::atomic::{AtomicU32, Ordering};
use crate::sync::{Bug, give_back, seeded};
use smallvec::SmallVec;
use std::ptr::NonNull;

const UNDECIDED: u32 = 0;
const COMMITTED: u32 = 1;
const ABORTED: u32 = 2;

/// One cell's part of a transaction.
#[derive(Debug)]
pub struct Write<'g> {
    /// The cell to change.
    pub cell: &'g Cell,
    /// The version that the transaction read there.
    pub expected: &'g Version,
    /// What it puts there; a fresh copy of `expected` for a cell that it only read.
    pub new: VersionBox,
    /// The claim of a running snapshot to it.
    pub claim: Option<Claim<'g>>,
}

/// A transaction in flight.
#[derive(Debug)]
struct Descriptor {
    status: AtomicU32,
    intents: Box<[Intent]>,
}

/// One cell's part of a descriptor; what a cell points to while the transaction is being decided.
#[derive(Debug)]
#[repr(align(8))]
pub(super) struct Intent {
    /// Set before the descriptor is shared.
    descriptor: *const Descriptor,
    cell: *const Cell,
    expected: NonNull<Version>,
    new: NonNull<Version>,
}

impl Intent {
    fn descriptor<'g>(&self, _guard: &'g Guard) -> &'g Descriptor {
        // SAFETY: an intent met in a cell under a guard belongs to a descriptor that is freed after that guard
        // (I4, I6); the pointer is set before the intent is shared.
        unsafe { &*self.descriptor }
    }

    /// What the transaction expects in this cell.
    pub(super) fn expected<'g>(&self, _guard: &'g Guard) -> &'g Version {
        // SAFETY: who met the intent under a guard met it before the expected version was retired (I4).
        unsafe { self.expected.as_ref() }
    }

    /// In models: asserts that the descriptor may still be touched.
    pub(super) fn touch(&self, guard: &Guard) {
        guard.touch(self.descriptor);
    }

    /// The version this cell has now: the new one if the transaction is committed, else the expected one.
    pub(super) fn resolve<'g>(&self, guard: &'g Guard) -> &'g Version {
        let status = self.descriptor(guard).status();
        let committed = status == COMMITTED || (seeded(Bug::UndecidedReadsNew) && status == UNDECIDED);
        let version = if committed { self.new } else { self.expected };
        guard.touch(version.as_ptr());
        // SAFETY: the expected version is retired after it left the cell, the new one after it entered it; both
        // happen after the intent was met under this guard.
        unsafe { &*version.as_ptr() }
    }

    /// Brings the transaction to its end.
    pub(super) fn help(&self, guard: &Guard) {
        self.descriptor(guard).run(guard);
    }

    fn cell<'g>(&self, _guard: &'g Guard) -> &'g Cell {
        // SAFETY: cells live in slots, which outlive every guard under which the transaction found them, and
        // the transaction's helpers meet it under guards that overlap its owner's.
        unsafe { &*self.cell }
    }
}

impl Descriptor {
    fn status(&self) -> u32 {
        // ORDERING: Acquire; pairs with the AcqRel in `decide`.
        self.status.load(if seeded(Bug::StatusRelaxed) { Ordering::Relaxed } else { Ordering::Acquire })
    }

    fn decide(&self, status: u32) {
        // ORDERING: AcqRel; the release side publishes the installs before it, I1 makes a failure harmless.
        let _ = self.status.compare_exchange(UNDECIDED, status, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Installs, decides, releases; as owner or as helper. True if the transaction committed.
    fn run(&self, guard: &Guard) -> bool {
        if self.status() == UNDECIDED {
            let installed = self.intents.iter().all(|intent| self.install(intent, guard));
            self.decide(if installed { COMMITTED } else { ABORTED });
        }
        let committed = self.status() == COMMITTED;
        for intent in &self.intents {
            self.release(intent, committed, guard);
        }
        committed
    }

    /// True once the intent is in its cell, or the status is decided.
    fn install(&self, intent: &Intent, guard: &Guard) -> bool {
        let cell = intent.cell(guard);
        if seeded(Bug::ReadCellsWithoutIntent) && intent.is_read_only() {
            return std::ptr::eq(cell.read(guard), intent.expected.as_ptr());
        }
        loop {
            match cell.word(guard) {
                Word::Intent(other) if std::ptr::eq(other, intent) => return true,
                Word::Intent(other) => other.help(guard),
                Word::Version(version) if std::ptr::eq(version, intent.expected.as_ptr()) => {
                    if self.status() != UNDECIDED {
                        return true;
                    }
                    if cell.install(intent.expected, intent) {
                        return true;
                    }
                }
                Word::Version(_) => return false,
            }
        }
    }

    fn release(&self, intent: &Intent, committed: bool, guard: &Guard) {
        let cell = intent.cell(guard);
        if committed {
            cell.release(intent, intent.new, guard);
            return;
        }
        let restore =
            || seeded(Bug::AbortRestoresSameVersion) && cell.release(intent, intent.expected, guard);
        if !cell.holds(intent) || restore() {
            return;
        }
        // SAFETY: I5: the intent was in the cell under this guard, so its expected version had not been retired
        // when the guard was taken.
        let copy = VersionBox::fresh_copy(unsafe { intent.expected.as_ref() }).into_raw();
        // SAFETY: I4: our exchange displaced the expected version, so it is ours to retire; if the exchange
        // failed, the copy never entered a cell.
        unsafe {
            if cell.release(intent, copy, guard) {
                Version::retire(intent.expected, guard);
            } else {
                drop(VersionBox::from_raw(copy));
            }
        }
    }
}

impl Intent {
    /// In models: true if the new version is a fresh copy.
    fn is_read_only(&self) -> bool {
        // SAFETY: called by owner and helpers while both versions are protected.
        unsafe { self.new.as_ref().seq() == self.expected.as_ref().seq() }
    }
}

/// Makes all of `writes` happen at one instant, or none. `edits` built the nodes of the new versions; what they replaced
/// is retired. A cell may appear only once. O(n log n).
///
/// # Errors
/// If none happened: the writes, in the order of their cells' addresses, with their new versions unused.
pub fn commit<'g>(
    mut writes: Vec<Write<'g>>,
    edits: &mut Edits<'g>,
    guard: &'g Guard,
) -> Result<(), Vec<Write<'g>>> {
    if writes.len() == 1
        && let Some(Write { cell, expected, new, claim }) = writes.pop()
    {
        return match cell.swap(expected, new) {
            // SAFETY: the swap moved `expected` out of its cell, and only here.
            Ok(new) => unsafe {
                displace(NonNull::from(expected), new, claim.as_ref(), guard);
                edits.settle(&[(expected, new)], claim.as_ref());
                Ok(())
            },
            Err(new) => Err(vec![Write { cell, expected, new, claim }]),
        };
    }
    writes.sort_unstable_by_key(|write| (&raw const *write.cell).addr());
    debug_assert!(writes.is_sorted_by(|a, b| !std::ptr::eq(a.cell, b.cell)), "a cell may appear only once");
    let (places, intents): (Vec<_>, Vec<_>) = writes
        .into_iter()
        .map(|Write { cell, expected, new, claim }| {
            let new = new.into_raw();
            let descriptor = std::ptr::null();
            ((cell, expected, claim), Intent { descriptor, cell, expected: NonNull::from(expected), new })
        })
        .unzip();
    let descriptor =
        Box::into_raw(Box::new(Descriptor { status: AtomicU32::new(UNDECIDED), intents: intents.into() }));
    #[cfg(kvns_loom)]
    crate::sync::allocations::allocate(descriptor);
    // SAFETY: the descriptor is ours alone until `run` shares it, and is freed only after the grace periods that
    // I6 asks for.
    unsafe {
        for intent in &mut (*descriptor).intents {
            intent.descriptor = descriptor;
        }
        if (*descriptor).run(guard) {
            for (intent, (_, _, claim)) in (*descriptor).intents.iter().zip(&places) {
                let stays = seeded(Bug::ReadCellsWithoutIntent) && intent.is_read_only();
                let old = if stays { intent.new } else { intent.expected };
                displace(old, intent.new.as_ref(), claim.as_ref(), guard);
            }
            let changes: SmallVec<[_; 8]> = (*descriptor)
                .intents
                .iter()
                .map(|intent| (intent.expected.as_ref(), intent.new.as_ref()))
                .collect();
            edits.settle(&changes, places.first().and_then(|(_, _, claim)| claim.as_ref()));
            retire(descriptor, guard);
            return Ok(());
        }
        let unused = (*descriptor).intents.iter().map(|intent| VersionBox::from_raw(intent.new));
        let writes = places.into_iter().zip(unused);
        let writes =
            writes.map(|((cell, expected, claim), new)| Write { cell, expected, new, claim }).collect();
        if seeded(Bug::AbortedDescriptorOneGrace) {
            retire(descriptor, guard);
        } else {
            guard.after_grace(move || retire(descriptor, &pin()));
        }
        Err(writes)
    }
}

/// # Safety
/// One grace period from now nobody can reach the descriptor (I6).
unsafe fn retire(descriptor: *mut Descriptor, guard: &Guard) {
    #[cfg(kvns_loom)]
    crate::sync::allocations::retire(descriptor);
    // SAFETY: the caller's promise; the descriptor came from a `Box`.
    unsafe {
        guard.retire(move || give_back(descriptor, move || drop(Box::from_raw(descriptor))));
    }
}

//! Cells: where a slot's present version hangs.
//!
//! # Purpose
//! One word that readers load and writers compare-and-swap. It points to a version or, while a transaction is
//! being decided, to that transaction's intent for this cell.
//!
//! # States
//! ```text
//! version --replace--> version'          (a direct write)
//! version --install--> intent            (a transaction, by its owner or a helper)
//! intent  --release--> new version       (committed)
//! intent  --release--> fresh copy        (aborted)
//! ```
//!
//! # Invariants
//! - I1. The word is never null. Bit 0 set: an [`Intent`]; clear: a [`Version`].
//! - I2. Whoever moves the word away from a version by `replace` retires that version. Versions that leave by
//!   an intent are retired as `transaction.rs` says.
//! - I3. A version that left never comes back (Rule V, `version.rs` I2), so a compare-and-swap from it cannot
//!   succeed by mistake.
//!
//! # Orderings
//! Every compare-and-swap is AcqRel and every load Acquire: a published version's bytes are visible to whoever
//! finds it. Where a protocol needs more (watchers, the wheel's note), it says so and adds a SeqCst fence.
//!
//! # Progress
//! Reading is wait-free: an intent resolves through its descriptor's status. Writing is lock-free.

use super::nodes::{Draft, free_whole, retire_replaced};
use super::retention::Claim;
use super::transaction::Intent;
use super::version::{FRESH, Version, VersionBox};
use crate::concurrent::epoch::reclaim::Guard;
use crate::sync::atomic::{AtomicPtr, Ordering};
use std::ptr::NonNull;

const INTENT: usize = 1;

/// The meaning of a cell's word.
pub(super) enum Word<'g> {
    /// A version.
    Version(&'g Version),
    /// A transaction that is being decided, or was and is not yet released here.
    Intent(&'g Intent),
}

/// The place of one slot's present version.
#[derive(Debug)]
pub struct Cell {
    /// Written by compare-and-swap only.
    word: AtomicPtr<Version>,
}

impl Default for Cell {
    fn default() -> Cell {
        Cell { word: AtomicPtr::new((&raw const FRESH).cast_mut()) }
    }
}

impl Cell {
    fn load(&self) -> *mut Version {
        // ORDERING: Acquire; pairs with the AcqRel of the compare-and-swap that put the word there.
        self.word.load(Ordering::Acquire)
    }

    pub(super) fn word<'g>(&self, guard: &'g Guard) -> Word<'g> {
        let word = self.load();
        // SAFETY: I1. What a cell points to while this guard is held is retired no earlier than it leaves the
        // cell, so it outlives the guard (`reclaim.rs` I2).
        unsafe {
            if word.addr() & INTENT == 0 {
                guard.touch(word);
                Word::Version(&*word)
            } else {
                let intent = word.map_addr(|address| address & !INTENT).cast::<Intent>();
                (*intent).touch(guard);
                Word::Intent(&*intent)
            }
        }
    }

    /// Asks the processor to fetch the present version: a hint, which reads nothing behind the word.
    #[cfg(not(kvns_loom))]
    #[inline]
    pub(in crate::concurrent) fn prefetch(&self) {
        crate::sync::prefetch(self.load());
    }

    /// The present version. Wait-free.
    #[inline]
    pub fn read<'g>(&self, guard: &'g Guard) -> &'g Version {
        match self.word(guard) {
            Word::Version(version) => version,
            Word::Intent(intent) => intent.resolve(guard),
        }
    }

    /// The present version, once no intent is in the way: what a write can replace. Helps whoever is.
    #[inline]
    pub fn settle<'g>(&self, guard: &'g Guard) -> &'g Version {
        loop {
            match self.word(guard) {
                Word::Version(version) => return version,
                Word::Intent(intent) => intent.help(guard),
            }
        }
    }

    /// Puts `new` in place of `expected` and retires what it replaced, nodes included, but for what a snapshot
    /// claims.
    ///
    /// # Errors
    /// The new version, if something else is in the cell. The nodes that its edit built are freed then.
    pub fn replace<'g>(
        &self,
        expected: &'g Version,
        new: Draft,
        claim: Option<&Claim<'_>>,
        guard: &'g Guard,
    ) -> Result<&'g Version, VersionBox> {
        let Draft { version, edit } = new;
        let old = NonNull::from(expected);
        match self.swap(expected, version) {
            Ok(new) => {
                // SAFETY: I2, the exchange moved the word away from `old`.
                unsafe { retire_replaced(old, new, edit, claim, guard) };
                Ok(new)
            }
            // Dropping the edit frees what it built, for nobody else ever saw it.
            Err(version) => Err(version),
        }
    }

    /// Puts `new` in place of `expected`, or gives it back. It is the caller's to retire what it replaced.
    pub(super) fn swap<'g>(&self, expected: &'g Version, new: VersionBox) -> Result<&'g Version, VersionBox> {
        let new = new.into_raw();
        match self.exchange((&raw const *expected).cast_mut(), new.as_ptr()) {
            // SAFETY: the new version is published and stays allocated for the guard of `expected` even if it
            // leaves at once.
            Ok(()) => unsafe {
                Cell::entered(new, expected);
                Ok(&*new.as_ptr())
            },
            // SAFETY: the exchange failed, so `new` never entered a cell.
            Err(()) => Err(unsafe { VersionBox::from_raw(new) }),
        }
    }

    /// Puts an intent in place of the version it expects. True if it did.
    pub(super) fn install(&self, expected: NonNull<Version>, intent: &Intent) -> bool {
        self.exchange(expected.as_ptr(), Cell::tagged(intent)).is_ok()
    }

    /// Puts `version` in place of an intent. True if it did.
    pub(super) fn release(&self, intent: &Intent, version: NonNull<Version>, guard: &Guard) -> bool {
        let released = self.exchange(Cell::tagged(intent), version.as_ptr()).is_ok();
        if released {
            Cell::entered(version, intent.expected(guard));
        }
        released
    }

    /// In models: asserts Rule V, and that stamps never decrease along a cell (`epoch_word.rs` I2).
    #[inline(always)]
    fn entered(_new: NonNull<Version>, _old: &Version) {
        #[cfg(kvns_loom)]
        {
            // Seeded together with a breach of Rule V, which it alone makes harmless.
            if !crate::sync::seeded(crate::sync::Bug::AbortedDescriptorOneGrace) {
                crate::sync::allocations::enter(_new.as_ptr());
            }
            // SAFETY: the caller has just published it under its guard.
            assert!(unsafe { _new.as_ref() }.stamp() >= _old.stamp(), "a stamp decreased along a cell");
        }
    }

    /// True if this very intent is in the cell.
    pub(super) fn holds(&self, intent: &Intent) -> bool {
        self.load() == Cell::tagged(intent)
    }

    fn tagged(intent: &Intent) -> *mut Version {
        (&raw const *intent).cast_mut().cast::<Version>().map_addr(|address| address | INTENT)
    }

    fn exchange(&self, from: *mut Version, to: *mut Version) -> Result<(), ()> {
        if crate::sync::seeded(crate::sync::Bug::ExchangeInTwoSteps) && self.load() == from {
            self.word.store(to, Ordering::Release);
            return Ok(());
        }
        // ORDERING: AcqRel publishes what `to` points to, to the Acquire of `load`.
        self.word.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).map(drop).map_err(drop)
    }
}

impl Drop for Cell {
    fn drop(&mut self) {
        let word = self.load();
        debug_assert!(word.addr() & INTENT == 0, "a cell is dropped when no transaction can reach it");
        if !std::ptr::eq(word, &FRESH) {
            // SAFETY: nobody else reaches a cell that is being dropped; the version in it is ours to free.
            unsafe {
                let version = VersionBox::from_raw(NonNull::new_unchecked(word));
                free_whole(version.root());
            }
        }
    }
}

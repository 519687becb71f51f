//! The snapshot epoch: what versions are stamped with, and whether a snapshot runs.
//!
//! # Invariants
//! - I1. The epoch only grows.
//! - I2. Every attempt to write reads the word after its last read and before its first compare-and-swap, and stamps
//!   its versions with the epoch it read; a transaction uses one value for all; a retry reads again. So along each
//!   cell, and along any chain of cause and effect, stamps never decrease.
//! - I3. Epoch and flag are one word: who reads the epoch of a running snapshot knows that it runs.

use crate::sync::atomic::{AtomicU32, Ordering};

const RUNNING: u32 = 1;
const ONE: u32 = 2;

/// One reading of the word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch(u32);

impl Epoch {
    /// The epoch: what versions are stamped with and nodes are born at.
    #[inline]
    pub fn stamp(self) -> u32 {
        self.0 / ONE
    }

    /// True if the snapshot that began this epoch still runs.
    #[inline]
    pub fn is_running(self) -> bool {
        self.0 & RUNNING != 0
    }
}

/// The present epoch, with the flag.
#[derive(Debug)]
pub struct EpochWord(AtomicU32);

impl Default for EpochWord {
    fn default() -> EpochWord {
        EpochWord(AtomicU32::new(ONE))
    }
}

impl EpochWord {
    /// The present epoch.
    #[inline]
    pub fn read(&self) -> Epoch {
        // ORDERING: SeqCst; an attempt that read a version stamped E reads at least E here (I2).
        Epoch(self.0.load(Ordering::SeqCst))
    }

    /// Starts the next epoch, with a snapshot that runs. Only while none does.
    pub fn begin(&self) -> Epoch {
        // ORDERING: SeqCst; see `read`. It publishes what was prepared for the snapshot.
        let before = self.0.fetch_add(ONE + RUNNING, Ordering::SeqCst);
        debug_assert!(before & RUNNING == 0, "snapshots are strictly sequential");
        Epoch(before + ONE + RUNNING)
    }

    /// Ends the snapshot that runs; the epoch goes on.
    pub fn end(&self) {
        // ORDERING: SeqCst; see `read`. Grace periods do the rest.
        self.0.fetch_and(!RUNNING, Ordering::SeqCst);
    }
}

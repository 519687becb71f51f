//! The snapshot epoch: what versions are stamped with.
//!
//! # Invariants
//! - I1. The epoch only grows.
//! - I2. Every attempt to write reads it after its last read and before its first compare-and-swap, and stamps
//!   its versions with what it read; a transaction uses one value for all; a retry reads again. So along each
//!   cell, and along any chain of cause and effect, stamps never decrease.

use crate::sync::atomic::{AtomicU32, Ordering};

/// The present epoch.
#[derive(Debug)]
pub struct EpochWord(AtomicU32);

impl Default for EpochWord {
    fn default() -> EpochWord {
        EpochWord(AtomicU32::new(1))
    }
}

impl EpochWord {
    /// The present epoch.
    #[inline]
    pub fn read(&self) -> u32 {
        // ORDERING: SeqCst; an attempt that read a version stamped E reads at least E here (I2).
        self.0.load(Ordering::SeqCst)
    }

    /// Starts the next epoch and returns it.
    pub fn advance(&self) -> u32 {
        // ORDERING: SeqCst; see `read`.
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }
}

//! The exclusive right: how a transaction that keeps losing runs alone.
//!
//! # Purpose
//! This is the one case in which others wait. It lasts for one command, is counted, and INFO shows it. Before it is
//! taken, `engine/long_work.rs` waits until no long work is pinned, so that the grace period is short.
//!
//! # Invariants
//! - I1. Every attempt to write reads the word under its pin, before its first read, and gives way if another
//!   transaction has taken it. It never waits while pinned.
//! - I2. The holder runs only after a grace period: then every attempt that may have read the word before it was
//!   taken has ended.

use super::reclaim::Grace;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Bug, seeded};

/// Whether some transaction runs alone.
#[derive(Debug, Default)]
pub struct ExclusiveWord(AtomicBool);

impl ExclusiveWord {
    /// True while some transaction runs alone, or is about to.
    #[inline]
    pub fn is_taken(&self) -> bool {
        // ORDERING: Acquire; the grace period of I2 does the rest.
        self.0.load(Ordering::Acquire)
    }

    /// Takes the right to run alone; `None` while another holds it. Not to be called with a guard held.
    pub fn take(&self) -> Option<Exclusive<'_>> {
        self.0.compare_exchange(false, true, Ordering::AcqRel, Ordering::Acquire).ok()?;
        Some(Exclusive { word: self, grace: Grace::start() })
    }
}

/// The right to run alone. Dropping it gives it back.
#[derive(Debug)]
pub struct Exclusive<'w> {
    word: &'w ExclusiveWord,
    grace: Grace,
}

impl Exclusive<'_> {
    /// True once the attempts in flight have ended (I2). To be polled without a guard.
    pub fn is_ready(&self) -> bool {
        seeded(Bug::ExclusiveWithoutGrace) || self.grace.has_passed()
    }
}

impl Drop for Exclusive<'_> {
    fn drop(&mut self) {
        // ORDERING: Release; pairs with the Acquire in `is_taken`.
        self.word.0.store(false, Ordering::Release);
    }
}

//! The reservation: how a transaction that keeps losing runs alone.
//!
//! # Purpose
//! The one case in which others wait. It is bounded by one command, counted, and shown. Who takes it has waited until
//! no long work is pinned (`engine/long_work.rs`), so that the grace period is short.
//!
//! # Invariants
//! - I1. Every attempt to write reads the word under its pin, before its first read, and gives way if it is
//!   taken by another (never waiting while pinned).
//! - I2. The holder runs only after a grace period: then every attempt that may have read the word before it was
//!   taken has ended.

use super::reclaim::Grace;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Bug, seeded};

/// Whether some transaction runs alone.
#[derive(Debug, Default)]
pub struct ReservationWord(AtomicBool);

impl ReservationWord {
    /// True while some transaction runs alone, or is about to.
    #[inline]
    pub fn is_taken(&self) -> bool {
        // ORDERING: Acquire; the grace period of I2 does the rest.
        self.0.load(Ordering::Acquire)
    }

    /// Takes it, or `None` while another has it. Not to be called with a guard held.
    pub fn take(&self) -> Option<Reservation<'_>> {
        self.0.compare_exchange(false, true, Ordering::AcqRel, Ordering::Acquire).ok()?;
        Some(Reservation { word: self, grace: Grace::start() })
    }
}

/// The right to run alone; given back when dropped.
#[derive(Debug)]
pub struct Reservation<'w> {
    word: &'w ReservationWord,
    grace: Grace,
}

impl Reservation<'_> {
    /// True once the attempts in flight have ended (I2). To be polled without a guard.
    pub fn is_ready(&self) -> bool {
        seeded(Bug::AloneWithoutGrace) || self.grace.has_passed()
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        // ORDERING: Release; pairs with the Acquire in `is_taken`.
        self.word.0.store(false, Ordering::Release);
    }
}

//! What clients make the server hold: one word, and the charges that it is the sum of.
//!
//! # Purpose
//! Requests read in part, commands held back, replies unread: all of it is memory that a client decides over. Each piece is
//! paid by a charge, a value that stands beside what it pays for and is given back when that is dropped.
//!
//! # Invariants
//! - I1. `held` is the sum of all charges that live: a charge changes it by what the charge itself changes by, and gives
//!   back all of it when it is dropped.
//!
//! # Orderings
//! All Relaxed: the words stand for themselves and publish nothing. The share is a bound on growth, not on the instant:
//! clients that grow at the same time may pass it by one step each.

use crate::sync::plain::{AtomicU64, Ordering};
use std::sync::Arc;

/// The most that one client may hold of its requests, as with Redis's client-query-buffer-limit.
const MOST_HELD: u64 = 1 << 30;

/// The bytes that clients make the server hold, and how many they may be.
#[derive(Debug, Default)]
pub struct Ledger {
    held: AtomicU64,
    share: AtomicU64,
}

impl Ledger {
    /// A ledger without charges.
    pub fn new(share: u64) -> Ledger {
        Ledger { held: AtomicU64::new(0), share: AtomicU64::new(share) }
    }

    /// Changes how many bytes clients may hold together.
    pub fn set_share(&self, share: u64) {
        // ORDERING: Relaxed; the module's header.
        self.share.store(share, Ordering::Relaxed);
    }

    /// How many bytes clients may hold together.
    pub fn share(&self) -> u64 {
        // ORDERING: Relaxed; the module's header.
        self.share.load(Ordering::Relaxed)
    }

    /// The bytes that clients hold.
    pub fn held(&self) -> u64 {
        // ORDERING: Relaxed; I1.
        self.held.load(Ordering::Relaxed)
    }

    /// The bytes that they may still take.
    #[inline]
    pub fn room(&self) -> u64 {
        self.share().saturating_sub(self.held())
    }

    /// True if they hold more than their share.
    #[inline]
    pub fn is_over(&self) -> bool {
        self.held() > self.share()
    }

    /// How many bytes one request may take while it arrives: half of the share, so that two can always arrive.
    pub fn most_of_one(&self) -> u64 {
        (self.share() / 2).min(MOST_HELD)
    }

    /// How much one client may hold of what can wait in its socket instead: twice the room. So one may take two thirds of
    /// the share, and however many there are, some of it stays free.
    pub fn reach(&self) -> u64 {
        self.room().saturating_mul(2).min(MOST_HELD)
    }
}

/// Bytes that were charged; dropping it gives them back.
#[derive(Debug)]
pub struct Charge {
    ledger: Arc<Ledger>,
    bytes: u64,
}

impl Charge {
    /// A charge of nothing.
    pub fn new(ledger: &Arc<Ledger>) -> Charge {
        Charge { ledger: Arc::clone(ledger), bytes: 0 }
    }

    /// The bytes charged.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Makes it a charge of `bytes`.
    #[inline]
    pub fn set(&mut self, bytes: u64) {
        if bytes != self.bytes {
            // ORDERING: Relaxed; I1. The difference wraps, and so does the addition.
            self.ledger.held.fetch_add(bytes.wrapping_sub(self.bytes), Ordering::Relaxed);
            self.bytes = bytes;
        }
    }

    /// The ledger that it is charged to.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_charge_is_counted_while_it_lives() {
        let ledger = Arc::new(Ledger::new(100));
        let (mut one, mut other) = (Charge::new(&ledger), Charge::new(&ledger));
        one.set(60);
        other.set(30);
        assert_eq!((ledger.held(), ledger.room(), ledger.reach()), (90, 10, 20));
        one.set(20);
        assert_eq!((ledger.held(), one.bytes()), (50, 20));
        other.set(90);
        assert_eq!((ledger.held(), ledger.room()), (110, 0), "what is held already is counted, too");
        drop(one);
        drop(other);
        assert_eq!(ledger.held(), 0);
    }
}

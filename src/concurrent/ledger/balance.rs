//! The balance: how many bytes writers may still add, leased to them in blocks.
//!
//! # Purpose
//! A limit on memory has to hold under concurrent writers, but they would contend for a counter that every write changes.
//! So the free bytes under the limit are one word, from which each batch of commands leases a block at its first growing
//! write. Further writes of the batch reserve from the lease, and what is left goes back at the batch's end.
//!
//! # Invariants
//! - I1. Bytes are leased by compare-and-swap, and not below the floor that the caller names: what leases hold together
//!   and what was reserved from them never exceeds the bytes that were free.
//! - I2. What a lease has left, below zero where it was overdrawn, goes back once, when it ends.
//! - I3. A correction is an addition, so that nothing that is leased or released meanwhile is lost.
//! - I4. `leased` is the sum of open leases as they were given: a figure, not a protocol. It changes after the balance, so
//!   that a correction computed from both errs by no more than what is in flight, and the next one, computed from
//!   scratch, knows nothing of that error.
//!
//! # Orderings
//! All Relaxed, the exchange too: the words stand for themselves and publish nothing.
//!
//! # Progress
//! Lock-free: an exchange fails only because another one succeeded.

use crate::sync::atomic::{AtomicI64, Ordering};
use crate::sync::{Bug, seeded};

/// Bytes of a block: leasing one costs two shared writes.
pub const BLOCK: i64 = 64 << 10;

/// More bytes than there ever is memory: no limit.
pub const UNLIMITED: i64 = i64::MAX / 4;

/// The bytes under a limit that nobody has leased.
#[derive(Debug)]
pub struct Balance {
    free: AtomicI64,
    leased: AtomicI64,
}

/// Bytes that one batch of commands has leased. End it with [`Balance::release_lease`].
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Lease {
    left: i64,
    given: i64,
}

impl Lease {
    /// Bytes that are left; below zero if the lease is overdrawn.
    pub fn left(&self) -> i64 {
        self.left
    }

    /// Reserves `bytes` if as many are left.
    #[inline]
    pub fn reserve(&mut self, bytes: i64) -> bool {
        let can = self.left >= bytes;
        self.left -= if can { bytes } else { 0 };
        can
    }

    /// Reserves `bytes`, whatever is left.
    #[inline]
    pub fn overdraw(&mut self, bytes: i64) {
        self.left -= bytes;
    }

    /// Releases `bytes` into the lease.
    #[inline]
    pub fn release(&mut self, bytes: i64) {
        self.left += bytes;
    }

    /// Adds another lease to this one.
    pub fn merge(&mut self, other: Lease) {
        self.left += other.left;
        self.given += other.given;
    }

    /// True if so little is left that ending the lease early is not worth it.
    pub fn is_modest(&self) -> bool {
        self.left <= 2 * BLOCK
    }
}

impl Balance {
    /// A balance of `bytes`.
    pub fn new(bytes: i64) -> Balance {
        Balance { free: AtomicI64::new(bytes), leased: AtomicI64::new(0) }
    }

    /// Bytes that nobody has leased; below zero if more is held than is allowed.
    pub fn free(&self) -> i64 {
        self.free.load(Ordering::Relaxed)
    }

    /// Bytes in leases, as they were when they were given.
    pub fn leased(&self) -> i64 {
        self.leased.load(Ordering::Relaxed)
    }

    /// Adds to a lease what it lacks to reserve `bytes` from it, and up to a block more; nothing if less than `floor` would
    /// stay free. True if `bytes` can be reserved from the lease now.
    pub fn lease(&self, lease: &mut Lease, bytes: i64, floor: i64) -> bool {
        let lacking = bytes - lease.left;
        if lacking <= 0 {
            return true;
        }
        let mut free = self.free.load(Ordering::Relaxed);
        loop {
            let most = free.saturating_sub(floor);
            if most < lacking {
                return false;
            }
            let given = most.min(lacking + BLOCK);
            // ORDERING: Relaxed; I1 is about this word alone.
            let exchanged =
                self.free.compare_exchange_weak(free, free - given, Ordering::Relaxed, Ordering::Relaxed);
            if let Err(found) = exchanged {
                free = found;
                continue;
            }
            // ORDERING: Relaxed; I4.
            self.leased.fetch_add(given, Ordering::Relaxed);
            lease.left += given;
            lease.given += given;
            return true;
        }
    }

    /// Ends a lease: what is left of it is free again (I2).
    pub fn release_lease(&self, lease: &mut Lease) {
        let Lease { left, given } = std::mem::take(lease);
        if left != 0 && !seeded(Bug::LeaseForgotten) {
            // ORDERING: Relaxed; I2.
            self.free.fetch_add(left, Ordering::Relaxed);
        }
        if given != 0 {
            // ORDERING: Relaxed; I4.
            self.leased.fetch_sub(given, Ordering::Relaxed);
        }
    }

    /// Releases `bytes`: they are free again.
    pub fn release(&self, bytes: i64) {
        // ORDERING: Relaxed; the module's header.
        self.free.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Corrects the balance so that as many bytes are free or leased as `measure` says (I3).
    pub fn correct(&self, measure: impl FnOnce() -> i64) {
        let held = || self.free().saturating_add(self.leased());
        // What is reserved or released around the measurement makes the balance too small for a moment, not too large:
        // this thread may be suspended in between, and many bytes be written meanwhile.
        let before = held();
        let bytes = measure();
        self.release(bytes.saturating_sub(before.max(held())));
    }
}

#[cfg(all(test, not(kvns_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_reserved_from_and_ends_with_what_is_left() {
        let balance = Balance::new(3 * BLOCK);
        let (mut one, mut other) = (Lease::default(), Lease::default());
        assert!(balance.lease(&mut one, 100, 0));
        assert_eq!((one.left(), balance.free()), (BLOCK + 100, 2 * BLOCK - 100));
        assert!(one.reserve(100));
        assert!(balance.lease(&mut other, 2 * BLOCK - 100, 0), "the last of it");
        assert!(!one.reserve(BLOCK + 1) && !balance.lease(&mut one, BLOCK + 1, 0), "nothing is left");
        assert_eq!(one.left(), BLOCK, "and the refusal cost nothing");
        one.release(50);
        balance.release_lease(&mut one);
        balance.release_lease(&mut other);
        assert_eq!((balance.free(), balance.leased()), (3 * BLOCK - 50, 0));
    }

    #[test]
    fn a_floor_stays_free_and_an_overdraft_comes_back() {
        let balance = Balance::new(1000);
        let mut lease = Lease::default();
        assert!(!balance.lease(&mut lease, 600, 500));
        assert!(balance.lease(&mut lease, 400, 500));
        assert_eq!(balance.free(), 500);
        lease.overdraw(900);
        balance.release_lease(&mut lease);
        assert_eq!((balance.free(), balance.leased()), (100, 0));
        balance.correct(|| -7);
        assert_eq!(balance.free(), -7);
    }

    #[test]
    fn a_correction_counts_what_is_leased() {
        let balance = Balance::new(1000);
        let mut lease = Lease::default();
        assert!(balance.lease(&mut lease, 300, 600));
        balance.correct(|| 2000);
        assert_eq!((balance.free(), balance.leased()), (1600, 400));
        balance.release_lease(&mut lease);
        assert_eq!(balance.free(), 2000);
    }
}

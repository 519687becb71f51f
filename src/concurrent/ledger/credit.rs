//! Credit: how many bytes writers may still add, leased in blocks.
//!
//! # Purpose
//! A limit on memory has to hold under concurrent writers, and a counter that every write changes would be fought for.
//! So the room under the limit is one word, from which each batch of commands leases a block at its first growing
//! write; further writes of the batch are paid from that, and what is left goes back at its end.
//!
//! # Invariants
//! - I1. Room is taken by compare-and-swap, and not below the floor that the taker names: what leases hold together
//!   and what was paid from them never exceeds the room that there was.
//! - I2. What a lease has left, below zero where it was overdrawn, goes back once, when it ends.
//! - I3. A correction is an addition, so that nothing that is leased or given back meanwhile is lost.
//! - I4. `leased` is what leases were given and have not ended with: a figure, not a protocol. It is changed after
//!   the room, so that a correction computed from both errs by no more than what is in flight, and the next one
//!   computed from scratch knows nothing of that error.
//!
//! # Orderings
//! All Relaxed but for the exchange, which needs no more either: the words stand for themselves and publish nothing.
//!
//! # Progress
//! Lock-free: an exchange fails only because another one succeeded.

use crate::sync::atomic::{AtomicI64, Ordering};
use crate::sync::{Bug, seeded};

/// Bytes of a block: leasing one costs two shared writes.
pub const BLOCK: i64 = 64 << 10;

/// More room than there ever is memory: no limit.
pub const UNLIMITED: i64 = i64::MAX / 4;

/// The bytes under a limit that nobody has leased.
#[derive(Debug)]
pub struct Room {
    free: AtomicI64,
    leased: AtomicI64,
}

/// What one batch of commands has leased. To be ended with [`Room::end`].
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

    /// Pays `bytes` if as many are left.
    #[inline]
    pub fn pay(&mut self, bytes: i64) -> bool {
        let can = self.left >= bytes;
        self.left -= if can { bytes } else { 0 };
        can
    }

    /// Pays `bytes`, or gets them back if they are below zero, whatever is left.
    #[inline]
    pub fn charge(&mut self, bytes: i64) {
        self.left -= bytes;
    }

    /// Takes another lease over.
    pub fn merge(&mut self, other: Lease) {
        self.left += other.left;
        self.given += other.given;
    }

    /// True if it is not worth a lease's end to give back what is left.
    pub fn is_modest(&self) -> bool {
        self.left <= 2 * BLOCK
    }
}

impl Room {
    /// This much room.
    pub fn new(bytes: i64) -> Room {
        Room { free: AtomicI64::new(bytes), leased: AtomicI64::new(0) }
    }

    /// Bytes that nobody has leased; below zero if more is held than is allowed.
    pub fn free(&self) -> i64 {
        self.free.load(Ordering::Relaxed)
    }

    /// Bytes in leases, as they were when they were given.
    pub fn leased(&self) -> i64 {
        self.leased.load(Ordering::Relaxed)
    }

    /// Adds to a lease what it lacks to pay `bytes`, and up to a block more; nothing if less than `floor` would stay
    /// free. True if the lease can pay now.
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
            if seeded(Bug::CreditTakenInTwoSteps) {
                self.free.store(free - given, Ordering::Relaxed);
            } else if let Err(found) =
                // ORDERING: Relaxed; I1 is about this word alone.
                self.free.compare_exchange_weak(
                    free,
                    free - given,
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                )
            {
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
    pub fn end(&self, lease: &mut Lease) {
        let Lease { left, given } = std::mem::take(lease);
        if left != 0 && !seeded(Bug::CreditForgotten) {
            // ORDERING: Relaxed; I2.
            self.free.fetch_add(left, Ordering::Relaxed);
        }
        if given != 0 {
            // ORDERING: Relaxed; I4.
            self.leased.fetch_sub(given, Ordering::Relaxed);
        }
    }

    /// Frees `bytes` that no lease has paid for.
    pub fn give(&self, bytes: i64) {
        // ORDERING: Relaxed; the module's header.
        self.free.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Corrects the room so that `bytes` are free or leased (I3).
    pub fn correct(&self, bytes: i64) {
        let (free, leased) = (self.free(), self.leased());
        let error = bytes.saturating_sub(free.saturating_add(leased));
        if seeded(Bug::RoomStored) {
            self.free.store(free + error, Ordering::Relaxed);
        } else {
            self.give(error);
        }
    }
}

#[cfg(all(test, not(kvns_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_paid_from_and_ends_with_what_is_left() {
        let room = Room::new(3 * BLOCK);
        let (mut one, mut other) = (Lease::default(), Lease::default());
        assert!(room.lease(&mut one, 100, 0));
        assert_eq!((one.left(), room.free()), (BLOCK + 100, 2 * BLOCK - 100));
        assert!(one.pay(100));
        assert!(room.lease(&mut other, 2 * BLOCK - 100, 0), "the last of it");
        assert!(!one.pay(BLOCK + 1) && !room.lease(&mut one, BLOCK + 1, 0), "nothing is left");
        assert_eq!(one.left(), BLOCK, "and the refusal cost nothing");
        one.charge(-50);
        room.end(&mut one);
        room.end(&mut other);
        assert_eq!((room.free(), room.leased()), (3 * BLOCK - 50, 0));
    }

    #[test]
    fn a_floor_stays_free_and_an_overdraft_comes_back() {
        let room = Room::new(1000);
        let mut lease = Lease::default();
        assert!(!room.lease(&mut lease, 600, 500));
        assert!(room.lease(&mut lease, 400, 500));
        assert_eq!(room.free(), 500);
        lease.charge(900);
        room.end(&mut lease);
        assert_eq!((room.free(), room.leased()), (100, 0));
        room.correct(-7);
        assert_eq!(room.free(), -7);
    }

    #[test]
    fn a_correction_counts_what_is_leased() {
        let room = Room::new(1000);
        let mut lease = Lease::default();
        assert!(room.lease(&mut lease, 300, 600));
        room.correct(2000);
        assert_eq!((room.free(), room.leased()), (1600, 400));
        room.end(&mut lease);
        assert_eq!(room.free(), 2000);
    }
}

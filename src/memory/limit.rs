//! The limit on memory, and what is free under it.
//!
//! What is free is the limit less the accounted bytes (all keys, and what is kept for keys: free slots, the index,
//! alarms) and less the *overhead*: all else that the allocator has handed out (clients' buffers and queues, what waits
//! to be reclaimed). The overhead is measured many times a second, so that the balance follows the allocator however wrong
//! the estimates are.

use crate::concurrent::counters::counter::{Latest, Tally};
use crate::concurrent::ledger::balance::{Balance, UNLIMITED};

/// The limit where it follows the memory and that is not known.
const FALLBACK_LIMIT: u64 = 1 << 30;

/// The configured limit, capped at 70% of the detected memory; 0 stands for that cap.
pub fn capped(configured: u64, detected: Option<u64>) -> u64 {
    // Divided first: a detected memory near u64::MAX must not overflow.
    let cap = detected.map(|bytes| bytes / 10 * 7);
    match (configured, cap) {
        (0, None) => FALLBACK_LIMIT,
        (0, Some(cap)) => cap,
        (_, None) => configured,
        (_, Some(cap)) => configured.min(cap),
    }
}

/// One part in so many of the limit stays free for what comes at once and cannot be foreseen: a table of the index that
/// doubles, what has been replaced and waits for its readers to leave.
const MARGIN: i64 = 50;

/// The limit on memory, and the balance of bytes that are free under it.
#[derive(Debug)]
pub struct Limit {
    balance: Balance,
    /// The limit in bytes; [`UNLIMITED`] before there is one.
    bytes: Latest,
    /// Bytes that stay free while there is something to evict.
    floor: Latest,
    /// Bytes beside the accounted ones, as they were measured last; a signed number.
    overhead: Latest,
    /// Measurements of the balance so far.
    measured: Tally,
}

impl Default for Limit {
    fn default() -> Limit {
        Limit {
            balance: Balance::new(UNLIMITED),
            bytes: Latest::new(UNLIMITED as u64),
            floor: Latest::default(),
            overhead: Latest::default(),
            measured: Tally::new(),
        }
    }
}

impl Limit {
    /// Sets the limit and the fraction of it at which eviction starts. True if the limit is lower than before. The
    /// balance follows with [`Limit::correct`].
    pub fn set(&self, bytes: u64, threshold: f64) -> bool {
        let bytes = bytes.min(UNLIMITED as u64);
        let is_lower = bytes < self.limit();
        self.bytes.set(bytes);
        self.floor.set((bytes as f64 * (1.0 - threshold.clamp(0.0, 1.0))) as u64);
        is_lower
    }

    /// The limit in bytes.
    pub fn limit(&self) -> u64 {
        self.bytes.get()
    }

    /// Bytes that stay free while there is something to evict.
    pub fn floor(&self) -> i64 {
        self.floor.get() as i64
    }

    /// The bytes that writers may still reserve.
    #[inline]
    pub fn balance(&self) -> &Balance {
        &self.balance
    }

    /// True if more is held than is allowed.
    pub fn is_over(&self) -> bool {
        self.balance.free() < 0
    }

    /// Bytes that may still be added, those in leases included. Below 0 if more is held than is allowed.
    pub fn free(&self) -> i64 {
        self.balance.free().saturating_add(self.balance.leased())
    }

    /// Bytes beside the accounted ones, as they were measured last. Below 0 if those are estimated too high.
    pub fn overhead(&self) -> i64 {
        self.overhead.get() as i64
    }

    /// Measurements of the balance so far.
    pub fn measured(&self) -> i64 {
        self.measured.get()
    }

    /// Takes a measurement: `read` says what the overhead is, if it is known, and the accounted bytes.
    pub fn measure(&self, read: impl FnOnce() -> (Option<i64>, u64)) {
        self.correct(|| {
            let (overhead, accounted) = read();
            overhead.into_iter().for_each(|overhead| self.overhead.set(overhead as u64));
            accounted
        });
        self.measured.add(1);
    }

    /// Computes the balance from scratch.
    pub fn correct(&self, accounted: impl FnOnce() -> u64) {
        let limit = self.bytes.get() as i64;
        if limit >= UNLIMITED {
            accounted();
            return;
        }
        self.balance.correct(|| {
            let accounted = accounted() as i64;
            limit - limit / MARGIN - self.overhead() - accounted
        });
    }
}

#[cfg(all(test, not(kvns_loom)))]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn the_limit_is_capped_at_seventy_percent_of_the_memory() {
        assert_eq!(capped(GIB, Some(10 * GIB)), GIB);
        assert_eq!(capped(9 * GIB, Some(10 * GIB)), 7 * GIB);
        assert_eq!(capped(0, Some(10 * GIB)), 7 * GIB);
        assert_eq!(capped(5 * GIB, None), 5 * GIB);
        assert_eq!(capped(0, None), GIB);
    }
}

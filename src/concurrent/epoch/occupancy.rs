//! Occupied counts with an end: how chunks and namespaces know that nobody uses them any more.
//!
//! # States
//! ```text
//! n --enter--> n + 1      n --leave--> n - 1      0 --close--> closed (terminal)
//! ```
//!
//! # Invariants
//! - I1. A count starts at 1: its creator is in it.
//! - I2. `closed` is reached only from 0, by a compare-and-swap, and never left. So exactly one `leave` ends it, and
//!   an `enter` either comes before the end or is refused.
//!
//! # Orderings
//! All AcqRel: what was done by those inside happened before the end.

use crate::sync::atomic::{AtomicU32, Ordering};
use crate::sync::{Bug, seeded};

const CLOSED: u32 = 1 << 31;

/// Why [`Occupancy::enter`] was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The count stands at the limit.
    Full,
    /// The count has ended.
    Closed,
}

/// How many are inside, and whether that has ended.
#[derive(Debug)]
pub struct Occupancy(AtomicU32);

impl Occupancy {
    /// A count with its creator inside (I1).
    pub fn one() -> Occupancy {
        Occupancy(AtomicU32::new(1))
    }

    /// How many are inside; 0 once closed.
    pub fn count(&self) -> u32 {
        // ORDERING: Acquire; see the module's header.
        self.0.load(Ordering::Acquire) & !CLOSED
    }

    /// Counts one more.
    ///
    /// # Errors
    /// [`Refused`] if `limit` are inside already or the count has ended.
    pub fn enter(&self, limit: u32) -> Result<(), Refused> {
        // ORDERING: AcqRel, see the module's header; a failed exchange is tried again.
        let mut count = self.0.load(Ordering::Acquire);
        loop {
            if count & CLOSED != 0 && !seeded(Bug::ReviveClosed) {
                return Err(Refused::Closed);
            }
            if count >= limit && count & CLOSED == 0 {
                return Err(Refused::Full);
            }
            let next = (count & !CLOSED) + 1;
            match self.0.compare_exchange(count, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Ok(()),
                Err(found) => count = found,
            }
        }
    }

    /// Counts one less. True if that ended the count: the caller is then its sole owner.
    pub fn leave(&self) -> bool {
        // ORDERING: AcqRel, see the module's header.
        let before = self.0.fetch_sub(1, Ordering::AcqRel);
        debug_assert!(before & CLOSED == 0 && before > 0, "left more often than entered");
        if before != 1 {
            return false;
        }
        let closed = self.0.compare_exchange(0, CLOSED, Ordering::AcqRel, Ordering::Acquire);
        closed.is_ok() || seeded(Bug::CloseWithoutCheck)
    }
}

#[cfg(all(test, not(kvns_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_count_ends_once_and_for_all() {
        let count = Occupancy::one();
        assert_eq!(count.enter(2), Ok(()));
        assert_eq!(count.enter(2), Err(Refused::Full));
        assert!(!count.leave());
        assert!(count.leave());
        assert_eq!(count.enter(2), Err(Refused::Closed));
    }
}

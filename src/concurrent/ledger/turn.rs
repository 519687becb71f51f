//! The turn to grow where there is no room: of many clients that send large requests one at a time gets on.
//!
//! Whoever has it keeps it while it receives a mebibyte in each second. Locks are taken only where there is no room.

use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

/// Bytes that whoever has the turn has to receive in each second, or another one may take it.
const LEAST_PER_SECOND: u64 = 1 << 20;

/// Microseconds during which it need not show that.
const GRACE_US: u64 = 1_000_000;

/// Who has the turn.
#[derive(Debug)]
struct Holder {
    id: u64,
    since_us: u64,
    /// Bytes that it was allowed to grow by.
    grown: u64,
}

/// The turn, and whose it is.
#[derive(Debug, Default)]
pub struct Turns {
    holder: Mutex<Option<Holder>>,
    /// Held by the one that closes clients: when one last found nobody to close.
    closing: Mutex<u64>,
}

impl Turns {
    fn state(&self) -> MutexGuard<'_, Option<Holder>> {
        self.holder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The id of the client that has the turn.
    pub fn holder(&self) -> Option<u64> {
        self.state().as_ref().map(|holder| holder.id)
    }

    /// The right to close clients, for one at a time; and when it was last of no use, for its holder to note.
    pub fn try_close(&self) -> Option<MutexGuard<'_, u64>> {
        match self.closing.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// True if the client of this id has the turn or gets it.
    pub fn take(&self, id: u64, now_us: u64) -> bool {
        let mut holder = self.state();
        let is_free = holder.as_ref().is_none_or(|holder| {
            let elapsed_us = now_us.saturating_sub(holder.since_us);
            let is_slow = holder.grown < (LEAST_PER_SECOND as f64 * elapsed_us as f64 / 1e6) as u64;
            holder.id != id && elapsed_us > GRACE_US && is_slow
        });
        if is_free {
            *holder = Some(Holder { id, since_us: now_us, grown: 0 });
        }
        holder.as_ref().is_some_and(|holder| holder.id == id)
    }

    /// Whoever has the turn has grown.
    pub fn note_growth(&self, id: u64, bytes: u64) {
        if let Some(holder) = self.state().as_mut().filter(|holder| holder.id == id) {
            holder.grown += bytes;
        }
    }

    /// The client of this id has no use for the turn any more.
    pub fn give_back(&self, id: u64) {
        self.state().take_if(|holder| holder.id == id);
    }
}

//! The turn to grow where there is no room: of many clients that send large requests one at a time gets on.
//!
//! Whoever has it keeps it while it receives a mebibyte in each second. Locks are taken only where there is no room.

use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

/// Bytes that whoever has the turn has to receive in each second, or another one may take it.
const LEAST_PER_SECOND: u64 = 1 << 20;

/// Microseconds between two looks at that.
const LOOK_US: u64 = 1_000_000;

/// Who has the turn.
#[derive(Debug)]
struct Holder {
    id: u64,
    /// When somebody looked last how it gets on, and the bytes that it had received.
    looked_us: u64,
    received: u64,
}

impl Holder {
    /// True if it has received enough since the last look, or that was just now.
    fn gets_on(&mut self, received: u64, now_us: u64) -> bool {
        let elapsed_us = now_us.saturating_sub(self.looked_us);
        if elapsed_us < LOOK_US {
            return true;
        }
        // With less than before the request is over, and another one arrives.
        let progress = received.checked_sub(self.received).unwrap_or(received);
        (self.looked_us, self.received) = (now_us, received);
        u128::from(progress) * 1_000_000 >= u128::from(LEAST_PER_SECOND) * u128::from(elapsed_us)
    }
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

    /// True if the client of this id has the turn or gets it. `received` says how much of its request a client has sent,
    /// if it is still there.
    pub fn take(&self, id: u64, now_us: u64, received: impl Fn(u64) -> Option<u64>) -> bool {
        let mut holder = self.state();
        let keeps = holder.as_mut().is_some_and(|holder| {
            holder.id == id || received(holder.id).is_some_and(|bytes| holder.gets_on(bytes, now_us))
        });
        if !keeps {
            *holder = Some(Holder { id, looked_us: now_us, received: received(id).unwrap_or(0) });
        }
        holder.as_ref().is_some_and(|holder| holder.id == id)
    }

    /// The client of this id has no use for the turn any more.
    pub fn give_back(&self, id: u64) {
        self.state().take_if(|holder| holder.id == id);
    }
}

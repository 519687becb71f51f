//! Figures of INFO that cost more than some loads: they are counted ten times a second at most, however often they are
//! asked for.

use super::Engine;
use super::clients::Client;
use super::process::{cpu_us, resident_bytes};
use crate::memory::allocator::Allocator;
use crate::memory::cgroup::machine_bytes;
use std::sync::{Mutex, PoisonError};

/// How old they may be, in microseconds.
const AGE_US: u64 = 100_000;

/// What was counted last, and when.
#[derive(Debug, Default)]
pub(super) struct Kept(Mutex<Option<(u64, Costly)>>);

/// The figures.
#[derive(Clone, Copy, Debug, Default)]
pub struct Costly {
    /// What the allocator says.
    pub allocator: Allocator,
    /// Bytes of this process in physical memory.
    pub resident_bytes: u64,
    /// Microseconds of processor time, in the kernel and outside.
    pub cpu_us: (u64, u64),
    /// Bytes of memory that the machine has.
    pub machine_bytes: u64,
    /// Clients that listen to what is published.
    pub subscribers: usize,
    /// Clients that run MONITOR.
    pub monitors: usize,
}

impl Engine {
    /// The figures, a tenth of a second old at most. Who asks while they are counted gets those before.
    pub fn costly(&self) -> Costly {
        let now_us = self.clock.monotonic_us();
        let lock = || self.kept.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((counted_us, costly)) = &mut *lock() {
            if now_us - *counted_us < AGE_US {
                return *costly;
            }
            *counted_us = now_us;
        }
        let costly = self.count_costly();
        *lock() = Some((now_us, costly));
        costly
    }

    /// Counts them. Reads files, and O(clients).
    fn count_costly(&self) -> Costly {
        let clients = self.clients.list();
        let count = |is_one: fn(&Client) -> bool| clients.iter().filter(|client| is_one(client)).count();
        Costly {
            allocator: Allocator::read(),
            resident_bytes: resident_bytes(),
            cpu_us: cpu_us(),
            machine_bytes: machine_bytes(),
            subscribers: count(Client::is_subscriber),
            monitors: count(|client| client.shown().monitors),
        }
    }
}

//! The allocator: how much it has handed out, and how it gives back what nothing uses.

use tikv_jemalloc_ctl::{Access, AsName, Name, arenas, epoch, stats};

/// The allocator's figures, in bytes. Zeros where jemalloc is not the allocator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allocator {
    /// Handed out to the program.
    pub allocated: u64,
    /// In pages that hold something handed out.
    pub active: u64,
    /// In physical memory.
    pub resident: u64,
}

impl Allocator {
    /// The present figures. Some microseconds.
    pub fn read() -> Allocator {
        // The figures are a copy that advancing the allocator's epoch refreshes.
        if epoch::advance().is_err() {
            return Allocator::default();
        }
        let bytes = |figure: Result<usize, _>| figure.map_or(0, |bytes| bytes as u64);
        Allocator {
            allocated: bytes(stats::allocated::read()),
            active: bytes(stats::active::read()),
            resident: bytes(stats::resident::read()),
        }
    }
}

/// Returns the objects that this thread freed, and its cache keeps, to the allocator. Some microseconds.
///
/// A page stays in use as long as one such object lies in it, and only the thread itself can empty its cache.
pub fn flush_thread_cache() {
    let enabled = b"thread.tcache.enabled\0".name();
    // Ending a cache empties it. Without jemalloc there is none.
    let _ = enabled.write(false).and_then(|()| enabled.write(true));
}

/// Returns all empty pages to the operating system. By itself the allocator does so only within some seconds, and keeps
/// the last of them.
pub fn purge() {
    for arena in 0..arenas::narenas::read().unwrap_or(0) {
        let name = format!("arena.{arena}.dirty_decay_ms\0");
        let decay: &Name = name.as_bytes().name();
        // A time of 0 purges everything at once. An arena that no thread has used yet does not exist.
        if let Ok(ms) = Access::<isize>::read(decay) {
            let _ = decay.write(0_isize).and_then(|()| decay.write(ms));
        }
    }
}

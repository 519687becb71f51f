//! What the allocator and the operating system say of this process's memory.

use sysinfo::{MemoryRefreshKind, ProcessRefreshKind, ProcessesToUpdate, RefreshKind, System};
use tikv_jemalloc_ctl::{epoch, stats};

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

/// Bytes of this process in physical memory; 0 where the system does not tell. Reads some files.
pub fn resident_bytes() -> u64 {
    let Ok(id) = sysinfo::get_current_pid() else { return 0 };
    let mut system = System::new();
    let wanted = ProcessRefreshKind::nothing().with_memory();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[id]), false, wanted);
    system.process(id).map_or(0, |process| process.memory())
}

/// Bytes of physical memory in this machine; 0 where the system does not tell.
pub fn system_bytes() -> u64 {
    let wanted = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    System::new_with_specifics(wanted).total_memory()
}

/// Microseconds of processor time that this process has used, in the kernel and outside; zeros where the system does
/// not tell. Reads a file.
pub fn cpu_us() -> (u64, u64) {
    /// What Linux counts processor time in for programs, whatever its own clock is.
    const TICKS_PER_S: u64 = 100;
    let Ok(stat) = std::fs::read_to_string("/proc/self/stat") else { return (0, 0) };
    // The program's name, in parentheses, may have spaces; eleven fields lie between it and the times.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11);
    let mut us = fields.map(|field| field.parse::<u64>().unwrap_or(0) * (1_000_000 / TICKS_PER_S));
    let user_us = us.next().unwrap_or(0);
    (us.next().unwrap_or(0), user_us)
}

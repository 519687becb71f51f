//! What the allocator and the operating system say of this process's memory.

use rustix::process::{Resource, getrlimit};
use sysinfo::{MemoryRefreshKind, ProcessRefreshKind, ProcessesToUpdate, RefreshKind, System};
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

/// Gives what this thread freed and its cache keeps back to the allocator. Some microseconds.
///
/// A page stays in use as long as one such object lies in it, and only the thread itself can empty its cache.
pub fn flush_thread_cache() {
    let enabled = b"thread.tcache.enabled\0".name();
    // Ending a cache empties it. Without jemalloc there is none.
    let _ = enabled.write(false).and_then(|()| enabled.write(true));
}

/// Gives all pages that hold nothing back to the operating system, which the allocator does by itself only within some
/// seconds, and not with the last of them.
pub fn purge() {
    for arena in 0..arenas::narenas::read().unwrap_or(0) {
        let name = format!("arena.{arena}.dirty_decay_ms\0");
        let decay: &Name = name.as_bytes().name();
        // A time of 0 lets go of everything at once. An arena that no thread has used yet is not there.
        if let Ok(ms) = Access::<isize>::read(decay) {
            let _ = decay.write(0_isize).and_then(|()| decay.write(ms));
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

/// What the operating system says of this process; zeros where it does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Microseconds of processor time used.
    pub cpu_us: u64,
    /// Bytes in physical memory.
    pub resident_bytes: u64,
    /// Bytes of address space.
    pub virtual_bytes: u64,
    /// Threads.
    pub threads: u64,
    /// Open file descriptors.
    pub open_descriptors: u64,
    /// File descriptors that may be open; 0 for no limit.
    pub max_descriptors: u64,
}

impl Process {
    /// The present figures. Reads some files, one entry of a folder for each open descriptor.
    pub fn read() -> Process {
        let (system_us, user_us) = cpu_us();
        let stat = stat_fields();
        let field = |nth: usize| stat.get(nth).copied().unwrap_or(0);
        let open = std::fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64);
        Process {
            cpu_us: system_us + user_us,
            resident_bytes: resident_bytes(),
            virtual_bytes: field(STAT_VIRTUAL_BYTES),
            threads: field(STAT_THREADS),
            open_descriptors: open,
            max_descriptors: getrlimit(Resource::Nofile).current.unwrap_or(0),
        }
    }
}

/// Places of figures among those of [`stat_fields`].
const STAT_USER_TICKS: usize = 11;
const STAT_SYSTEM_TICKS: usize = 12;
const STAT_THREADS: usize = 17;
const STAT_VIRTUAL_BYTES: usize = 20;

/// The numbers of this process's stat file behind its name; what is no number, or not positive, is 0. Empty where the
/// system has no such file.
fn stat_fields() -> Vec<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The program's name, in parentheses, may have spaces.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.map(|field| field.parse().unwrap_or(0)).collect()
}

/// Microseconds of processor time that this process has used, in the kernel and outside; zeros where the system does
/// not tell. Reads a file.
pub fn cpu_us() -> (u64, u64) {
    /// What Linux counts processor time in for programs, whatever its own clock is.
    const TICKS_PER_S: u64 = 100;
    let stat = stat_fields();
    let us = |nth: usize| stat.get(nth).copied().unwrap_or(0) * (1_000_000 / TICKS_PER_S);
    (us(STAT_SYSTEM_TICKS), us(STAT_USER_TICKS))
}

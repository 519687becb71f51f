//! The operating system's figures of this process.

use rustix::process::{Resource, getrlimit};
use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System};

/// Bytes of this process in physical memory; 0 where the system does not tell. Reads some files.
pub fn resident_bytes() -> u64 {
    let Ok(id) = sysinfo::get_current_pid() else { return 0 };
    let mut system = System::new();
    let wanted = ProcessRefreshKind::nothing().with_memory();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[id]), false, wanted);
    system.process(id).map_or(0, |process| process.memory())
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
    /// Ticks in a second of the processor time that Linux shows to programs.
    const TICKS_PER_S: u64 = 100;
    let stat = stat_fields();
    let us = |nth: usize| stat.get(nth).copied().unwrap_or(0) * (1_000_000 / TICKS_PER_S);
    (us(STAT_SYSTEM_TICKS), us(STAT_USER_TICKS))
}

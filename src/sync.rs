//! The one place that chooses between the standard library's atomics and loom's.
//!
//! Protocol state goes through [`atomic`], so that loom explores it under `--cfg kvns_loom`. What carries no
//! protocol (statistics, the manual clock, limits that only have to be eventually seen) uses [`plain`], which
//! loom never sees.

/// Atomics that carry a protocol: loom's under `cfg(kvns_loom)`.
pub mod atomic {
    #[cfg(kvns_loom)]
    pub use loom::sync::atomic::{
        AtomicBool, AtomicPtr, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
    };
    #[cfg(not(kvns_loom))]
    pub use std::sync::atomic::{
        AtomicBool, AtomicPtr, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
    };
}

/// Atomics that carry no protocol, always the standard library's.
pub mod plain {
    pub use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
}

/// A hint that this thread waits for another one's next step.
#[inline]
pub fn spin_hint() {
    #[cfg(kvns_loom)]
    loom::thread::yield_now();
    #[cfg(not(kvns_loom))]
    std::hint::spin_loop();
}

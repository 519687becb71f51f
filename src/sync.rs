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
    pub use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering};
}

/// Asks the processor to fetch what `place` points to, and the line behind it, for small objects lie across lines
/// as often as not. A hint: no memory is read that the program could observe, whatever the address.
#[inline(always)]
#[allow(unsafe_code, reason = "the intrinsic is unsafe on every target")]
pub fn prefetch<T>(place: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch neither faults nor changes anything, whatever the address.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(place.cast::<i8>());
        _mm_prefetch::<_MM_HINT_T0>(place.cast::<i8>().wrapping_add(32));
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

/// A hint that this thread waits for another one's next step.
#[inline]
pub fn spin_hint() {
    #[cfg(kvns_loom)]
    loom::thread::yield_now();
    #[cfg(not(kvns_loom))]
    std::hint::spin_loop();
}

/// Known mistakes that a loom model can seed, to show that it would find them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// An aborted transaction puts the displaced version itself back instead of a fresh copy (Rule V).
    AbortRestoresSameVersion,
    /// A helper goes on installing intents without looking whether the transaction is decided.
    InstallIgnoresDecision,
    /// Cells that were only read are compared once instead of getting an intent (admits write skew).
    ReadCellsWithoutIntent,
    /// Whoever releases an intent of a committed transaction retires the old version too.
    HelperRetiresToo,
    /// An aborted descriptor passes one grace period instead of two.
    AbortedDescriptorOneGrace,
    /// A reader takes an undecided intent for a committed one.
    UndecidedReadsNew,
    /// The reaper kills an absent slot without the closing state.
    ReaperSkipsClosing,
    /// A watcher does not read the cell again after it was counted.
    WatcherTrustsFirstRead,
    /// The reaper closes a slot without looking at the seq it was queued with.
    ReaperIgnoresSeq,
    /// A dead slot is removed from the index by its name alone.
    RemoveByName,
    /// A reused slot's seq starts again.
    SeqRestarts,
    /// A slot is reused as soon as its index key is gone.
    ReuseWithoutGrace,
    /// The creator of a key inserts its slot already live.
    SlotEntersLive,
    /// An allocation revives a closed count.
    ReviveClosed,
    /// A release closes by a store instead of the compare-and-swap from zero.
    CloseWithoutCheck,
    /// The wheel's firer reads the cell first, then clears the note.
    FirerReadsFirst,
    /// The writer looks at the note before its compare-and-swap of the cell.
    WriterReadsNoteFirst,
    /// A write attempt loads the generation a second time.
    GenerationLoadedTwice,
    /// The old generation is freed at the swap.
    FlushFreesAtOnce,
    /// A transaction runs alone without waiting for the attempts in flight.
    AloneWithoutGrace,
    /// An attempt looks at the reservation after its reads.
    ReservationReadLate,
    /// A write is stamped with an epoch read before its last read.
    StampReadEarly,
}

/// True in a loom model that seeded `bug`; false, at compile time, in every other build.
#[cfg(not(kvns_loom))]
#[inline(always)]
pub const fn seeded(_bug: Bug) -> bool {
    false
}

/// True if this model seeded `bug`.
#[cfg(kvns_loom)]
pub fn seeded(bug: Bug) -> bool {
    SEEDED.with(|seeded| seeded.get() == Some(bug))
}

/// Seeds `bug`, or none, in the models of this OS thread.
#[cfg(kvns_loom)]
pub fn seed(bug: Option<Bug>) {
    SEEDED.with(|seeded| seeded.set(bug));
}

#[cfg(kvns_loom)]
thread_local! {
    static SEEDED: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

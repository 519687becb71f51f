//! The one place that chooses between the standard library's atomics and loom's.
//!
//! Protocol state goes through [`atomic`], so that loom explores it under `--cfg kvns_loom`. What carries no
//! protocol (statistics, the manual clock, limits that only have to be eventually seen) uses [`plain`], which
//! loom never sees.

/// Atomics that carry a protocol: loom's under `cfg(kvns_loom)`.
pub mod atomic {
    #[cfg(kvns_loom)]
    pub use super::model::{
        AtomicBool, AtomicI64, AtomicPtr, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
    };
    #[cfg(not(kvns_loom))]
    pub use std::sync::atomic::{
        AtomicBool, AtomicI64, AtomicPtr, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
    };
}

/// Atomics that carry no protocol, always the standard library's.
pub mod plain {
    pub use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering};
}

/// A mutex for a few steps without a wait in them: loom's under `cfg(kvns_loom)`.
#[cfg(kvns_loom)]
pub use loom::sync::Mutex;
#[cfg(not(kvns_loom))]
pub use std::sync::Mutex;

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

/// The processor's cycle counter, where it counts at one rate on every core whatever the core does; else `None`.
#[inline(always)]
#[allow(unsafe_code, reason = "the intrinsics are unsafe on every target")]
pub fn cycles() -> Option<u64> {
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: every processor of this architecture has the counter; reading it changes nothing.
        has_steady_cycles().then(|| unsafe { std::arch::x86_64::_rdtsc() })
    }
    #[cfg(not(target_arch = "x86_64"))]
    None
}

/// True if the processor says that its cycle counter is invariant.
#[cfg(target_arch = "x86_64")]
#[allow(unused_unsafe, unsafe_code, reason = "the intrinsic was unsafe in older compilers")]
fn has_steady_cycles() -> bool {
    use std::sync::OnceLock;
    const FEATURES: u32 = 0x8000_0007;
    const INVARIANT: u32 = 1 << 8;
    static STEADY: OnceLock<bool> = OnceLock::new();
    *STEADY.get_or_init(|| {
        // SAFETY: the instruction exists on every processor of this architecture, and the leaf is asked for only
        // where the highest one says that it is there.
        unsafe {
            use std::arch::x86_64::__cpuid;
            __cpuid(FEATURES & !0xff).eax >= FEATURES && __cpuid(FEATURES).edx & INVARIANT != 0
        }
    })
}

#[cfg(kvns_loom)]
pub mod allocations;

/// Frees an allocation by `free`; in a model it is noted as freed, and given back when the execution has ended.
#[inline(always)]
pub fn give_back<T>(_address: *const T, free: impl FnOnce() + 'static) {
    #[cfg(kvns_loom)]
    allocations::free(_address, free);
    #[cfg(not(kvns_loom))]
    free();
}

/// Runs `free`, which frees what was retired; in a model it may touch that.
#[inline(always)]
pub fn freeing<R>(free: impl FnOnce() -> R) -> R {
    #[cfg(kvns_loom)]
    return allocations::freeing(free);
    #[cfg(not(kvns_loom))]
    free()
}

/// A hint that this thread waits for another one's next step.
#[inline]
pub fn spin_hint() {
    #[cfg(kvns_loom)]
    loom::thread::yield_now();
    #[cfg(not(kvns_loom))]
    std::hint::spin_loop();
}

/// Waits a moment for what other threads do, on a thread that has nothing else to do.
pub fn rest() {
    #[cfg(kvns_loom)]
    loom::thread::yield_now();
    #[cfg(not(kvns_loom))]
    std::thread::sleep(std::time::Duration::from_micros(100));
}

/// Known mistakes that a loom model can seed, to show that it would find them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// The exchange of a cell compares first, then stores.
    ExchangeInTwoSteps,
    /// An aborted transaction puts the displaced version itself back instead of a fresh copy (Rule V).
    AbortRestoresSameVersion,
    /// Cells that were only read are compared once instead of getting an intent (admits write skew).
    ReadCellsWithoutIntent,
    /// A version derived from its base takes the place of it, and the base's nodes are retired all the same.
    WinnerRetiresWhole,
    /// The nodes that a losing transaction built are freed while its own thread may still read them.
    LoserFreesAtOnce,
    /// A renamed collection stays under its old name too.
    RenameKeepsSource,
    /// An aborted descriptor passes one grace period instead of two.
    AbortedDescriptorOneGrace,
    /// A reader takes an undecided intent for a committed one.
    UndecidedReadsNew,
    /// The status of a transaction publishes nothing.
    StatusRelaxed,
    /// The reaper kills an absent slot without the closing state.
    ReaperSkipsClosing,
    /// The reaper reads the watch count without a fence after the closing version.
    ReaperWithoutFence,
    /// The reaper leaves a slot alone when it lost to a fresh copy.
    ReaperGivesUp,
    /// The last one to give a watch back takes a closing slot for one that the reaper sees to.
    UnwatchIgnoresClosing,
    /// The reaper closes a slot without looking at the seq it was queued with.
    ReaperIgnoresSeq,
    /// A dead slot is removed from the index by its name alone.
    RemoveByName,
    /// A reused slot's seq starts again.
    SeqRestarts,
    /// A slot is reused as soon as its index key is gone.
    ReuseWithoutGrace,
    /// A slot is closed before the grace period after its absence has passed.
    ReapsWithoutGrace,
    /// A chunk's occupied count is lowered before the slot's bit is cleared.
    CountLoweredFirst,
    /// A chunk whose last slot was released stays in the directory, beyond its namespace.
    EndedChunkStays,
    /// The versions that a losing transaction planned are freed while its body may still have them.
    GivenUpPlanFreedAtOnce,
    /// What departs is freed at once where a flush cuts its grace period short.
    DepartureFreedAtOnce,
    /// The creator of a key inserts its slot already live.
    SlotEntersLive,
    /// An allocation revives a closed count.
    ReviveClosed,
    /// A release closes by a store instead of the compare-and-swap from zero.
    CloseWithoutCheck,
    /// A later deadline takes the note of an earlier one.
    LaterDeadlineReplacesNote,
    /// An alarm that is sifted away leaves its slot noted.
    SiftedKeepsNote,
    /// The wheel's firer may read the cell before it clears the note.
    FirerReadsFirst,
    /// The writer may read the note before its compare-and-swap of the cell.
    WriterReadsNoteFirst,
    /// A write attempt loads the generation a second time.
    GenerationLoadedTwice,
    /// The old generation is freed at the swap.
    FlushFreesAtOnce,
    /// A transaction runs alone without waiting for the attempts in flight.
    ExclusiveWithoutGrace,
    /// An attempt looks at the exclusive right before it is pinned.
    ExclusiveReadEarly,
    /// The owner of a mailbox takes first and clears the word that tells it afterwards.
    TakenBeforeClear,
    /// A mailbox is ended by a look and then a write.
    EndedInTwoSteps,
    /// An update builds on an expired version.
    ActsOnExpired,
    /// An update that found no key puts its result in place of whatever is there by then.
    CreatorOverwrites,
    /// A transaction does not validate that what it found missing still is.
    MissingNamesUnchecked,
    /// A transaction that found a name missing, and then a live version in its cell, goes on.
    MissingNamesTrustCell,
    /// A transaction that only read does not look again.
    ReadsUnchecked,
    /// A write does not count as a change.
    WriteKeepsSeq,
    /// A write is stamped with an epoch read before its last read.
    StampReadEarly,
    /// A transaction that commits again does not read the epoch again.
    RecommitKeepsEpoch,
    /// A commit does not hand over what a running snapshot is owed.
    HandOverMissing,
    /// A commit judges by the present generation, not by its own, whether to hand over.
    HandOverAsksPresent,
    /// A commit hands over whatever its generation is.
    HandOverAnyGeneration,
    /// Nodes that a running snapshot may read are retired at once.
    OldNodesRetired,
    /// The freer of a dropped tree frees nodes that a running snapshot may read.
    FreerIgnoresBirths,
    /// A snapshot walks before the attempts in flight at its start have ended.
    StartWithoutGrace,
    /// A snapshot takes what was handed over before the attempts in flight at the end of its walk have ended.
    LastHandOverWithoutGrace,
    /// A snapshot gives back what it kept before the attempts in flight at its end have ended.
    EndWithoutGrace,
    /// What was handed over is freed without a grace period.
    HandedOverFreedAtOnce,
    /// A reader takes the index as it is, not as of its version.
    IndexReadAsItIs,
    /// A writer leaves the pending operation of the version that it replaces unapplied.
    PendingLeftUnapplied,
    /// A transaction applies the operation of a version that it only planned.
    PlannedApplied,
    /// What is left of a lease is not given back.
    LeaseForgotten,
    /// An addition to a signed word loads first, then stores.
    AddedInTwoSteps,
    /// An eviction removes whatever is in the slot by then.
    EvictsUnseen,
    /// The sweep removes whatever version the key has by then.
    SweepIgnoresSeq,
    /// A published operation that was moved to another key is taken into the next one, as a planned one is.
    MovedPendingMerged,
    /// A reader of a namespace's rules looks at the number beside one half of them only.
    OneHalfIsBelieved,
    /// A namespace is told rules under the number with which they were asked for, not under their own.
    ToldUnderOldNumber,
    /// A writer that arms an alarm reads the offset before the wheel's time.
    OffsetReadFirst,
}

/// True in a loom model that seeded `bug`; false, at compile time, in every other build.
#[cfg(not(kvns_loom))]
#[inline(always)]
pub const fn seeded(_bug: Bug) -> bool {
    false
}

#[cfg(kvns_loom)]
pub use model::{Loads, seed, seeded};

#[cfg(kvns_loom)]
mod model {
    //! What models have for atomics: loom's, but for loads.
    //!
    //! loom explores a plain load against another thread's load-then-exchange once only, so that a model made of
    //! such loads passes without having tried anything. An exchange that fails brings the interleavings back,
    //! but always finds the newest value. So each model says which of the two its loads are.

    use super::Bug;
    pub use loom::sync::atomic::{Ordering, fence};
    use std::cell::Cell;

    /// The loads of a model.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Loads {
        /// A failing exchange: every interleaving is tried, and the newest value is found.
        Newest,
        /// A plain load: values that another thread has replaced are found too, where the orderings allow it.
        Stale,
    }

    thread_local! {
        static SEEDED: Cell<&'static [Bug]> = const { Cell::new(&[]) };
        static LOADS: Cell<Loads> = const { Cell::new(Loads::Newest) };
    }

    /// True if this model seeded `bug`.
    pub fn seeded(bug: Bug) -> bool {
        SEEDED.with(|seeded| seeded.get().contains(&bug))
    }

    /// Seeds `bugs` in the models of this OS thread, whose loads are `loads`.
    pub fn seed(bugs: &'static [Bug], loads: Loads) {
        SEEDED.with(|seeded| seeded.set(bugs));
        LOADS.with(|kept| kept.set(loads));
    }

    macro_rules! atomic {
        ($name:ident $(<$T:ident>)?, $value:ty, $never:expr) => {
            /// loom's, with loads as the model wants them.
            #[derive(Debug)]
            pub struct $name $(<$T>)? (loom::sync::atomic::$name $(<$T>)?);

            impl $(<$T>)? $name $(<$T>)? {
                /// See the standard library's.
                pub fn new(value: $value) -> Self {
                    Self(loom::sync::atomic::$name::new(value))
                }

                /// A plain load, or an exchange that changes nothing.
                pub fn load(&self, order: Ordering) -> $value {
                    match LOADS.with(Cell::get) {
                        Loads::Stale => self.0.load(order),
                        Loads::Newest => {
                            let never = $never;
                            self.0
                                .compare_exchange(never, never, order, order)
                                .unwrap_or_else(|found| found)
                        }
                    }
                }
            }

            impl $(<$T>)? std::ops::Deref for $name $(<$T>)? {
                type Target = loom::sync::atomic::$name $(<$T>)?;
                fn deref(&self) -> &Self::Target {
                    &self.0
                }
            }
        };
    }

    atomic!(AtomicBool, bool, true);
    atomic!(AtomicU16, u16, u16::MAX);
    atomic!(AtomicU32, u32, u32::MAX);
    atomic!(AtomicU64, u64, u64::MAX);
    atomic!(AtomicI64, i64, i64::MIN);
    atomic!(AtomicUsize, usize, usize::MAX);
    atomic!(AtomicPtr<T>, *mut T, std::ptr::without_provenance_mut(usize::MAX));

    impl AtomicI64 {
        /// loom's, or with [`Bug::AddedInTwoSteps`] a load and then a store.
        pub fn fetch_add(&self, value: i64, order: Ordering) -> i64 {
            if !seeded(Bug::AddedInTwoSteps) {
                return self.0.fetch_add(value, order);
            }
            let found = self.load(Ordering::Relaxed);
            self.0.store(found + value, Ordering::Relaxed);
            found
        }
    }

    impl Default for AtomicBool {
        fn default() -> Self {
            Self::new(false)
        }
    }

    impl<T> Default for AtomicPtr<T> {
        fn default() -> Self {
            Self::new(std::ptr::null_mut())
        }
    }
}

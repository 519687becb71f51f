//! Reclamation: when what left the structures may be freed.
//!
//! # Purpose
//! One small interface over crossbeam-epoch, with our own cadence: crossbeam collects once per 128 pins and at
//! most 512 objects, so a thread that pins once per batch would let garbage grow without bound. Under
//! `cfg(kvns_loom)` the same interface never frees during an execution; it asserts instead.
//!
//! # Invariants
//! - I1. A thread reads shared versions, slots, descriptors and generations only while it holds a [`Guard`].
//! - I2. What is handed to [`Guard::retire`] can no longer be reached by a guard taken later, and is handed over
//!   once. So when every guard that was held at that moment is gone, nobody has it.
//! - I3. Guards do not nest where a pin is renewed: `repin` and `flush` are silent no-ops under a nested guard.
//! - I4. No guard is held across a wait (await, socket, mutex, channel, sleep, another thread).
//!
//! # Progress
//! Retiring is lock-free. Memory is given back as long as no thread keeps one guard for ever (I4).

pub use backend::{Grace, Guard, pin, quiesce};

/// What a thread may retire before it should renew its pin and flush: so many objects, or so many times
/// [`BYTES_AN_OBJECT`].
pub const RETIRED_BEFORE_RENEWAL: u32 = 256;

/// Bytes that weigh as much as one more object.
#[cfg(not(kvns_loom))]
const BYTES_AN_OBJECT: usize = 1024;

#[cfg(not(kvns_loom))]
mod backend {
    use super::BYTES_AN_OBJECT;
    // ORDERING: plain; loom never sees crossbeam's collector. Models have `sim`, whose graces it explores.
    use crate::sync::plain::{AtomicBool, Ordering};
    use crossbeam_epoch as epoch;
    use std::cell::Cell;
    use std::sync::Arc;

    thread_local! {
        /// The weight of what this thread retired since it last flushed.
        static RETIRED: Cell<u32> = const { Cell::new(0) };
        /// Guards this thread holds (I3).
        static HELD: Cell<u32> = const { Cell::new(0) };
    }

    /// A pin of this thread: what it reads now stays allocated until the guard is dropped or renewed.
    pub struct Guard {
        inner: epoch::Guard,
    }

    /// Pins this thread. Costs about 12 ns, 2 ns when it is already pinned.
    pub fn pin() -> Guard {
        HELD.with(|held| held.set(held.get() + 1));
        Guard { inner: epoch::pin() }
    }

    impl Drop for Guard {
        fn drop(&mut self) {
            HELD.with(|held| held.set(held.get() - 1));
        }
    }

    impl Guard {
        /// Calls `free` once nobody can hold what it frees any more (I2).
        ///
        /// # Safety
        /// What `free` frees is unreachable for guards taken later, is retired only here, and may be freed by
        /// any thread.
        pub unsafe fn retire<F: FnOnce()>(&self, free: F) {
            // SAFETY: the caller's promise.
            unsafe { self.retire_several(1, 0, free) };
        }

        /// Like [`Guard::retire`], of a closure that frees `objects` allocations, of so many bytes where those are
        /// large.
        ///
        /// # Safety
        /// As for [`Guard::retire`].
        pub unsafe fn retire_several<F: FnOnce()>(&self, objects: usize, bytes: usize, free: F) {
            // SAFETY: I2, which the caller promises, is what `defer_unchecked` asks for.
            unsafe { self.inner.defer_unchecked(free) };
            let weight = u32::try_from(objects + bytes / BYTES_AN_OBJECT).unwrap_or(u32::MAX);
            RETIRED.with(|retired| retired.set(retired.get().saturating_add(weight)));
        }

        /// Calls `then` once every guard held now is gone; for a second step, where `retire` is for freeing.
        ///
        /// # Safety
        /// As for [`Guard::retire`].
        pub unsafe fn after_grace<F: FnOnce()>(&self, then: F) {
            // SAFETY: the caller's promise is the same.
            unsafe { self.retire(then) };
        }

        /// True if this thread has retired enough that the pin should be renewed.
        pub fn is_renewal_due(&self) -> bool {
            RETIRED.with(Cell::get) >= super::RETIRED_BEFORE_RENEWAL
        }

        /// Ends this pin and takes a new one, then hands what was retired to the collector. Nothing read
        /// before is to be used after; the exclusive borrow sees to that.
        pub fn renew(&mut self) {
            HELD.with(|held| debug_assert_eq!(held.get(), 1, "a renewal under a nested guard does nothing"));
            self.inner.repin();
            self.inner.flush();
            RETIRED.with(|retired| retired.set(0));
        }

        /// The pin, for structures of crossbeam's own.
        #[inline]
        pub(in crate::concurrent) fn epoch(&self) -> &epoch::Guard {
            &self.inner
        }

        /// In models: asserts that `_address` was not retired before this guard was taken.
        #[inline(always)]
        pub(crate) fn touch<T>(&self, _address: *const T) {}
    }

    /// Hands over what this thread retired, before it goes idle. Not to be called with a guard held.
    pub fn quiesce() {
        if RETIRED.with(Cell::get) > 0 {
            pin().renew();
        }
    }

    /// A grace period: it has passed when every guard held at its start is gone.
    #[derive(Debug)]
    pub struct Grace {
        passed: Arc<AtomicBool>,
    }

    impl Grace {
        /// Starts a grace period.
        pub fn start() -> Grace {
            let passed = Arc::new(AtomicBool::new(false));
            let flag = Arc::clone(&passed);
            let mut guard = pin();
            // ORDERING: Release; pairs with the Acquire in `has_passed`, so that all that was done under those
            // guards happened before.
            guard.inner.defer(move || flag.store(true, Ordering::Release));
            guard.renew();
            Grace { passed }
        }

        /// True once it has passed; every call helps it along. Not to be called with a guard held.
        pub fn has_passed(&self) -> bool {
            // ORDERING: Acquire; pairs with the Release in `start`.
            if !self.passed.load(Ordering::Acquire) {
                pin().renew();
            }
            self.passed.load(Ordering::Acquire)
        }
    }
}

#[cfg(kvns_loom)]
pub use backend::sim;

#[cfg(kvns_loom)]
mod backend {
    //! The loom form: nothing is freed while an execution runs; `sync::allocations` asserts instead.

    use crate::sync::allocations;
    use std::cell::{Cell, RefCell};
    use std::mem::ManuallyDrop;

    #[derive(Default)]
    struct Deferred {
        /// Second steps, run as soon as their grace period has passed.
        pending: Vec<(u64, Box<dyn FnOnce()>)>,
        /// Frees, run when the execution has ended.
        frees: Vec<Box<dyn FnOnce()>>,
    }

    thread_local! {
        /// Never dropped: a model that fails ends its process, and frees nothing any more.
        static DEFERRED: ManuallyDrop<RefCell<Deferred>> = ManuallyDrop::default();
    }

    fn deferred<R>(ask: impl FnOnce(&mut Deferred) -> R) -> R {
        DEFERRED.with(|deferred| ask(&mut deferred.borrow_mut()))
    }

    /// Erases a closure's lifetime.
    ///
    /// # Safety
    /// What the closure borrows outlives the execution, as the real form demands too.
    unsafe fn erase<F: FnOnce()>(closure: F) -> Box<dyn FnOnce()> {
        // SAFETY: only the lifetime changes, and the caller vouches for it.
        unsafe {
            std::mem::transmute::<Box<dyn FnOnce() + '_>, Box<dyn FnOnce() + 'static>>(Box::new(closure))
        }
    }

    /// A pin in the model.
    pub struct Guard {
        pin: Cell<u64>,
    }

    fn leave(pin: u64) {
        allocations::unpin(pin);
        let oldest = allocations::oldest_pin().unwrap_or(u64::MAX);
        let due: Vec<_> = deferred(|deferred| {
            let pending = std::mem::take(&mut deferred.pending);
            let (due, kept) = pending.into_iter().partition(|(at, _)| *at < oldest);
            deferred.pending = kept;
            due
        });
        due.into_iter().for_each(|(_, then)| then());
    }

    /// Pins this model thread.
    pub fn pin() -> Guard {
        Guard { pin: Cell::new(allocations::pin()) }
    }

    impl Drop for Guard {
        fn drop(&mut self) {
            leave(self.pin.get());
        }
    }

    impl Guard {
        /// See the real form.
        ///
        /// # Safety
        /// As in the real form.
        pub unsafe fn retire<F: FnOnce()>(&self, free: F) {
            // SAFETY: the caller's promise.
            let free = unsafe { erase(free) };
            deferred(|deferred| deferred.frees.push(free));
        }

        /// See the real form.
        ///
        /// # Safety
        /// As in the real form.
        pub unsafe fn retire_several<F: FnOnce()>(&self, _objects: usize, _bytes: usize, free: F) {
            // SAFETY: the caller's promise.
            unsafe { self.retire(free) };
        }

        /// See the real form.
        ///
        /// # Safety
        /// As in the real form.
        pub unsafe fn after_grace<F: FnOnce()>(&self, then: F) {
            let at = allocations::tick();
            // SAFETY: the caller's promise.
            let then = unsafe { erase(then) };
            deferred(|deferred| deferred.pending.push((at, then)));
        }

        /// Never due in a model.
        pub fn is_renewal_due(&self) -> bool {
            false
        }

        /// Ends this pin and takes a new one.
        pub fn renew(&mut self) {
            leave(self.pin.get());
            self.pin.set(allocations::pin());
        }

        /// Asserts that `address` was not retired before this guard was taken.
        pub(crate) fn touch<T>(&self, address: *const T) {
            allocations::touch(address);
        }
    }

    /// Nothing to hand over in a model.
    pub fn quiesce() {}

    /// A grace period in the model.
    #[derive(Debug)]
    pub struct Grace {
        started: u64,
    }

    impl Grace {
        /// Starts a grace period.
        pub fn start() -> Grace {
            allocations::step();
            Grace { started: allocations::tick() }
        }

        /// True once every guard held at its start is gone.
        pub fn has_passed(&self) -> bool {
            allocations::step();
            allocations::oldest_pin().is_none_or(|pinned| pinned > self.started)
        }
    }

    /// How a model's execution begins and ends.
    pub mod sim {
        use super::deferred;
        use crate::sync::allocations;

        /// Forgets everything; the first line of every model.
        pub fn begin() {
            allocations::begin();
        }

        /// Runs what is still deferred, once all model threads have ended; asserts that nothing is left.
        pub fn end() {
            allocations::end_threads();
            loop {
                let deferred = deferred(std::mem::take);
                if deferred.pending.is_empty() && deferred.frees.is_empty() {
                    break;
                }
                deferred.pending.into_iter().for_each(|(_, then)| then());
                deferred.frees.into_iter().for_each(|free| free());
            }
            allocations::end();
        }
    }
}

impl Grace {
    /// Waits until it has passed, on a thread that has nothing else to do. Not to be called with a guard held.
    pub fn wait(&self) {
        while !self.has_passed() {
            crate::sync::rest();
        }
    }
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Guard")
    }
}

#[cfg(all(test, not(kvns_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_grace_period_waits_for_the_guards_held_at_its_start() {
        let (held_tx, held_rx) = std::sync::mpsc::channel();
        let (drop_tx, drop_rx) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            let guard = pin();
            held_tx.send(()).unwrap();
            drop_rx.recv().unwrap();
            drop(guard);
        });
        held_rx.recv().unwrap();
        let grace = Grace::start();
        for _ in 0..100 {
            assert!(!grace.has_passed());
        }
        drop_tx.send(()).unwrap();
        thread.join().unwrap();
        while !grace.has_passed() {
            std::thread::yield_now();
        }
    }
}

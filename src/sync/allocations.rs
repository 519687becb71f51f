//! What a loom model knows of memory: what is allocated, retired and freed, and since when threads are pinned.
//!
//! Nothing goes back to the allocator while an execution runs, so no address is used twice in it and every access
//! to what was given up is seen. It asserts that nothing is retired, freed or put into a cell twice, that no thread
//! touches what was freed, or was retired before its pin, and that nothing is left at the end. All loom threads of an execution
//! share one OS thread, so the bookkeeping is a plain thread-local.

use loom::sync::atomic::{AtomicUsize, Ordering, fence};
use loom::thread::{ThreadId, current};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

/// One allocation.
#[derive(Debug, Default)]
struct Allocation {
    has_entered: bool,
    retired: Option<u64>,
    is_freed: bool,
}

#[derive(Debug)]
struct Pin {
    thread: ThreadId,
    since: u64,
}

#[derive(Default)]
struct Memory {
    /// What loom sees of pins and grace periods: that their order matters. None outside an execution.
    order: Option<Rc<AtomicUsize>>,
    clock: u64,
    pins: BTreeMap<u64, Pin>,
    next_pin: u64,
    places: HashMap<usize, Allocation>,
    /// True while the freer of retired memory runs.
    is_freeing: bool,
    /// What gives freed memory back, when the execution has ended.
    freed: Vec<Box<dyn FnOnce()>>,
}

thread_local! {
    static MEMORY: RefCell<Memory> = RefCell::default();
}

/// Forgets everything; the first thing in an execution.
pub fn begin() {
    let order = Some(Rc::new(AtomicUsize::new(0)));
    MEMORY.set(Memory { order, ..Memory::default() });
}

/// From here on retired memory may be touched: no other thread is left, and it is being freed.
pub fn end_threads() {
    MEMORY.with_borrow_mut(|memory| memory.order = None);
}

/// Gives everything back; asserts that nothing is left.
pub fn end() {
    let memory = MEMORY.take();
    let kept = memory.places.values().filter(|place| !place.is_freed).count();
    assert_eq!(kept, 0, "versions, nodes or descriptors were never freed");
    memory.freed.into_iter().for_each(|free| free());
}

/// Lets loom try this step before and after those of others. The fence stands for the one of a real pin: what was
/// unlinked before a retirement that precedes a pin is seen as unlinked.
pub fn step() {
    let order = MEMORY.with_borrow(|memory| memory.order.clone()).expect("a model begins with `begin`");
    order.fetch_add(1, Ordering::Relaxed);
    fence(Ordering::SeqCst);
}

/// The time, which goes on by one.
pub fn tick() -> u64 {
    fence(Ordering::SeqCst);
    MEMORY.with_borrow_mut(|memory| {
        memory.clock += 1;
        memory.clock
    })
}

/// Pins this thread; returns the pin's number.
pub fn pin() -> u64 {
    step();
    let since = tick();
    let thread = current().id();
    MEMORY.with_borrow_mut(|memory| {
        memory.next_pin += 1;
        memory.pins.insert(memory.next_pin, Pin { thread, since });
        memory.next_pin
    })
}

/// Ends a pin.
pub fn unpin(pin: u64) {
    step();
    MEMORY.with_borrow_mut(|memory| memory.pins.remove(&pin));
}

/// Since when the oldest pin is held.
pub fn oldest_pin() -> Option<u64> {
    MEMORY.with_borrow(|memory| memory.pins.values().map(|pin| pin.since).min())
}

/// Notes that `address` is allocated afresh.
pub fn allocate<T>(address: *const T) {
    let earlier =
        MEMORY.with_borrow_mut(|memory| memory.places.insert(address.addr(), Allocation::default()));
    assert!(earlier.is_none_or(|place| place.is_freed), "an address was given out twice");
}

fn with_place<R>(address: usize, ask: impl FnOnce(&mut Allocation) -> R) -> Option<R> {
    MEMORY.with_borrow_mut(|memory| memory.places.get_mut(&address).map(ask))
}

/// Notes that `address` was retired; asserts that it is the first time.
pub fn retire<T>(address: *const T) {
    let now = tick();
    let earlier = with_place(address.addr(), |place| place.retired.replace(now));
    assert_eq!(earlier, Some(None), "retired twice, or never allocated");
}

/// Notes that the version at `address` enters a cell; asserts that it is the first time (Rule V).
pub fn enter<T>(address: *const T) {
    let has_entered = with_place(address.addr(), |place| std::mem::replace(&mut place.has_entered, true));
    assert_ne!(has_entered, Some(true), "a version entered a cell again");
}

/// Notes that `address` is freed, which `free` will do when the execution has ended; asserts that it is the first
/// time.
pub fn free<T>(address: *const T, free: impl FnOnce() + 'static) {
    let is_freed = with_place(address.addr(), |place| std::mem::replace(&mut place.is_freed, true));
    assert_eq!(is_freed, Some(false), "freed twice, or never allocated");
    MEMORY.with_borrow_mut(|memory| memory.freed.push(Box::new(free)));
}

/// Lets `free` touch the retired memory that it frees. No step for loom.
pub fn freeing<R>(free: impl FnOnce() -> R) -> R {
    MEMORY.with_borrow_mut(|memory| memory.is_freeing = true);
    let result = free();
    MEMORY.with_borrow_mut(|memory| memory.is_freeing = false);
    result
}

/// Asserts that this thread may touch `address`: it is not freed, nor was it retired before the thread's pin.
pub fn touch<T>(address: *const T) {
    MEMORY.with_borrow(|memory| {
        let Some(place) = memory.places.get(&address.addr()).filter(|_| memory.order.is_some()) else {
            return;
        };
        assert!(!place.is_freed, "touched something that was freed");
        if let Some(retired) = place.retired.filter(|_| !memory.is_freeing) {
            let thread = current().id();
            let own = memory.pins.values().filter(|pin| pin.thread == thread);
            let since = own.map(|pin| pin.since).min();
            assert!(
                since.is_some_and(|since| since < retired),
                "touched something that was retired before this guard was taken"
            );
        }
    });
}

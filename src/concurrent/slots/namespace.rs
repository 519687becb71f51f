//! Namespaces: tenants, each with its own chunks and counts.
//!
//! # Purpose
//! A namespace owns the slots of its keys. It comes from untrusted key names, so an almost empty one must be
//! cheap (first chunk of two slots), and one without keys gives its memory back.
//!
//! # Invariants
//! - I1. `occupied` counts the taken slots (and one more for the default namespace, which never ends). When it
//!   closes, the namespace leaves the registry and is dropped a grace period later.
//! - I2. The chunk table is immutable but for its hint bits, sorted by chunk number, and replaced as a whole by
//!   compare-and-swap. Whoever loses the exchange reads the table again.
//! - I3. Every chunk in the table is open or about to be taken out by the housekeeper; a closed one refuses.

use super::chunk::{CAPACITIES, Chunk, MAX_SLOTS};
use super::directory::Directory;
use super::slot::Slot;
use crate::concurrent::counters::counter::Tally;
use crate::concurrent::epoch::occupancy::{Occupancy, Refused};
use crate::concurrent::epoch::reclaim::Guard;
use crate::concurrent::ledger::rules::SeenRules;
use crate::size_class::size_class;
use crate::sync::atomic::{AtomicPtr, Ordering};
use crate::sync::plain;
use std::ptr::NonNull;
use std::sync::{Arc, OnceLock};

/// What outlives a namespace: its counts of events, for the first namespaces that had a key.
#[derive(Debug, Default)]
pub struct Record {
    /// Reads that found their key.
    pub hits: Tally,
    /// Reads that did not.
    pub misses: Tally,
    /// Keys that expired.
    pub expired: Tally,
    /// Keys that were evicted to make room.
    pub evicted: Tally,
}

/// A tenant.
#[derive(Debug)]
pub struct Namespace {
    name: Box<[u8]>,
    occupied: Occupancy,
    table: AtomicPtr<Table>,
    record: OnceLock<Arc<Record>>,
    /// The namespace's rules.
    pub rules: SeenRules,
    /// Live keys.
    pub keys: Tally,
    /// Bytes of the live keys: names, slots, index and values.
    pub bytes: Tally,
}

/// A namespace's chunks, by number.
#[derive(Debug)]
struct Table {
    chunks: Box<[*const Chunk]>,
    /// A bit for each chunk that may have a free slot; a hint.
    /// ORDERING: Relaxed and plain; a wrong bit costs a look at a full chunk, or a chunk more until the next release.
    open: Box<[plain::AtomicU64]>,
}

// SAFETY: the pointers are to chunks that are shared and outlive every table that a guard can reach.
unsafe impl Send for Table {}
// SAFETY: as above.
unsafe impl Sync for Table {}

impl Table {
    fn new(chunks: Vec<*const Chunk>) -> *mut Table {
        let words = chunks.len().div_ceil(64);
        let open = (0..words).map(|_| plain::AtomicU64::new(u64::MAX)).collect();
        Box::into_raw(Box::new(Table { chunks: chunks.into(), open }))
    }

    fn mark(&self, id: u32, is_open: bool) {
        // SAFETY: chunks of a reachable table are alive.
        if let Ok(at) = self.chunks.binary_search_by_key(&id, |chunk| unsafe { (**chunk).id() }) {
            let bit = 1 << (at % 64);
            if is_open {
                self.open[at / 64].fetch_or(bit, plain::Ordering::Relaxed);
            } else {
                self.open[at / 64].fetch_and(!bit, plain::Ordering::Relaxed);
            }
        }
    }

    fn first_open(&self) -> Option<usize> {
        for (at, word) in self.open.iter().enumerate() {
            let word = word.load(plain::Ordering::Relaxed);
            if word != 0 {
                return Some(at * 64 + word.trailing_zeros() as usize).filter(|at| *at < self.chunks.len());
            }
        }
        None
    }
}

impl Namespace {
    /// Bytes the allocator holds for a namespace with a short name and a few chunks.
    pub(super) const FOOTPRINT: usize =
        size_class(size_of::<Namespace>()) + size_class(size_of::<Table>()) + 3 * size_class(8);

    /// A namespace with its creator counted in.
    pub(super) fn new(name: &[u8]) -> Box<Namespace> {
        let namespace = Box::new(Namespace {
            name: name.into(),
            occupied: Occupancy::one(),
            table: AtomicPtr::default(),
            record: OnceLock::new(),
            rules: SeenRules::default(),
            keys: Tally::default(),
            bytes: Tally::default(),
        });
        #[cfg(kvns_loom)]
        crate::sync::allocations::allocate(&raw const *namespace);
        namespace
    }

    /// The namespace's name.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// The record of events, if the namespace has had a key.
    pub fn record(&self) -> Option<&Arc<Record>> {
        self.record.get()
    }

    /// The record of events, made by `make` at the first key.
    pub fn record_or(&self, make: impl FnOnce() -> Arc<Record>) -> &Arc<Record> {
        self.record.get_or_init(make)
    }

    /// Taken slots; for checks.
    pub fn occupied(&self) -> u32 {
        self.occupied.count()
    }

    /// Counts one more slot, or refuses because the namespace has ended.
    pub(super) fn enter(&self) -> Result<(), Refused> {
        self.occupied.enter(u32::MAX >> 1)
    }

    /// Counts one slot less. True if the namespace has ended: the caller is its sole owner.
    pub(super) fn leave(&self) -> bool {
        self.occupied.leave()
    }

    /// The chunk table; `None` before the first chunk.
    fn table<'g>(&self, _guard: &'g Guard) -> Option<&'g Table> {
        // SAFETY: I2; a replaced table is retired, so it outlives the guard.
        // ORDERING: Acquire; pairs with the AcqRel in `exchange`.
        unsafe { self.table.load(Ordering::Acquire).as_ref() }
    }

    fn chunks<'g>(&self, guard: &'g Guard) -> &'g [*const Chunk] {
        self.table(guard).map_or(&[], |table| &table.chunks)
    }

    fn exchange(&self, old: Option<&Table>, chunks: Vec<*const Chunk>, guard: &Guard) -> bool {
        let new = Table::new(chunks);
        let old = old.map_or(std::ptr::null_mut(), |old| (&raw const *old).cast_mut());
        // ORDERING: AcqRel; publishes the table to the Acquire in `table`.
        if self.table.compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire).is_err() {
            // SAFETY: ours was not published.
            drop(unsafe { Box::from_raw(new) });
            return false;
        }
        if !old.is_null() {
            // SAFETY: the exchange took the old table out, so it is ours to retire.
            unsafe { guard.retire(move || drop(Box::from_raw(old))) };
        }
        true
    }

    /// Takes a free slot for a caller who is counted in, with a new chunk if need be. O(1) amortised.
    pub(super) fn take<'g>(&'g self, directory: &'g Directory, guard: &'g Guard) -> &'g Slot {
        loop {
            let table = self.table(guard);
            while let Some((table, at)) = table.and_then(|table| Some((table, table.first_open()?))) {
                // SAFETY: chunks of a reachable table are alive for the guard (I3).
                let chunk = unsafe { &*table.chunks[at] };
                if let Ok(slot) = chunk.take() {
                    return slot;
                }
                table.mark(chunk.id(), false);
                // A slot released since would not be found again before the next release.
                if chunk.occupied() < chunk.capacity() && chunk.occupied() > 0 {
                    table.mark(chunk.id(), true);
                }
            }
            if let Some(slot) = self.grow(table, directory, guard) {
                return slot;
            }
        }
    }

    fn grow<'g>(
        &'g self,
        table: Option<&Table>,
        directory: &'g Directory,
        guard: &'g Guard,
    ) -> Option<&'g Slot> {
        let present = table.map_or(&[][..], |table| &table.chunks);
        // SAFETY: chunks of a reachable table are alive.
        let largest = present.iter().map(|chunk| unsafe { (**chunk).capacity() }).max().unwrap_or(0);
        let next = CAPACITIES.iter().copied().find(|capacity| *capacity > largest);
        let capacity = next.unwrap_or(largest);
        let chunk = directory.add(capacity, NonNull::from(self));
        let slot = chunk.take_first();
        let mut chunks = Vec::with_capacity(present.len() + 1);
        chunks.extend_from_slice(present);
        // SAFETY: as above.
        let at = chunks.partition_point(|other| unsafe { (**other).id() } < chunk.id());
        chunks.insert(at, chunk);
        if self.exchange(table, chunks, guard) {
            return Some(slot);
        }
        // Somebody else grew the table: the chunk was never in it.
        directory.give_up(chunk);
        None
    }

    /// Says that a chunk has a free slot again.
    pub(super) fn reopen(&self, chunk: &Chunk, guard: &Guard) {
        self.table(guard).inspect(|table| table.mark(chunk.id(), true));
    }

    /// Takes an ended chunk out of the table. Only for the chunk's sole owner.
    pub(super) fn remove(&self, chunk: &Chunk, guard: &Guard) {
        loop {
            let table = self.table(guard);
            let present = table.map_or(&[][..], |table| &table.chunks);
            let chunks: Vec<_> =
                present.iter().copied().filter(|other| !std::ptr::addr_eq(*other, chunk)).collect();
            if chunks.len() == present.len() || self.exchange(table, chunks, guard) {
                return;
            }
        }
    }

    /// One of the chunks, each as likely as its slots are many. `random(n)` is a number below n. O(1) amortised.
    pub fn chunk_at_random<'g>(
        &'g self,
        mut random: impl FnMut(u32) -> u32,
        guard: &'g Guard,
    ) -> Option<&'g Chunk> {
        /// Tries before a chunk is taken whatever its size: the small ones are few.
        const TRIES: usize = 16;
        let chunks = self.chunks(guard);
        let mut chunk = None;
        for _ in 0..TRIES {
            let at = random(chunks.len().max(1) as u32) as usize;
            // SAFETY: chunks of a reachable table are alive for the guard.
            chunk = chunks.get(at).map(|chunk| unsafe { &**chunk });
            if chunk.is_none_or(|chunk| random(MAX_SLOTS) < chunk.capacity()) || chunks.len() == 1 {
                break;
            }
        }
        chunk
    }

    /// The first chunk whose number is at least `from`.
    pub fn chunk_from<'g>(&'g self, from: u32, guard: &'g Guard) -> Option<&'g Chunk> {
        let chunks = self.chunks(guard);
        // SAFETY: chunks of a reachable table are alive for the guard.
        unsafe {
            let at = chunks.partition_point(|chunk| (**chunk).id() < from);
            chunks.get(at).map(|chunk| &**chunk)
        }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        #[cfg(kvns_loom)]
        crate::sync::allocations::free(&raw const *self, || {});
        // ORDERING: Acquire; as for any reader of the table.
        let table = self.table.load(Ordering::Acquire);
        if !table.is_null() {
            // SAFETY: nobody else has the namespace any more.
            drop(unsafe { Box::from_raw(table) });
        }
    }
}

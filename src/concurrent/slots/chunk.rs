//! Chunks: arrays of slots that belong to one namespace.
//!
//! # Purpose
//! A namespace's slots lie densely in a few chunks, so that a walk is sequential and a tiny namespace is cheap.
//!
//! # Invariants
//! - I1. A set bit means that the slot is taken, or about to be named; a clear bit that nobody can reach it.
//! - I2. Bits are cleared before the occupied count goes down, so whoever was counted in finds a clear bit.
//! - I3. A chunk belongs to one namespace for life. Its release ends the count, then takes it out of the table and
//!   the directory, then counts its last slot out of the namespace. So whoever reached the chunk under a guard did so
//!   before the namespace could end, and both outlive that guard. Its memory and its number go to another chunk only
//!   a grace period later.
//! - I4. `slots` follows the header directly, and slot `i` says `i`: so a slot finds its chunk.

use super::namespace::Namespace;
use super::releases::Releases;
use super::slot::Slot;
use crate::concurrent::epoch::occupancy::{Occupancy, Refused};
use crate::concurrent::epoch::reclaim::Guard;
use crate::size_class::size_class;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Bug, plain, seeded};
use std::alloc::{Layout, alloc, handle_alloc_error};
use std::ptr::{NonNull, addr_of_mut};

/// The most slots in one chunk.
pub const MAX_SLOTS: u32 = 1 << super::slot::Position::INDEX_BITS;

/// The capacities that a namespace's chunks grow through: a tiny namespace is cheap, a large one dense. Each fills
/// its allocator size class.
///
/// In models those of a few keys are in one chunk: transactions sort cells by address, and a model has to come the
/// same way twice.
pub const CAPACITIES: [u32; 7] = if cfg!(kvns_loom) {
    [4, 8, 16, 32, 64, 128, 256]
} else {
    [
        filling(160),
        filling(384),
        filling(1536),
        filling(6144),
        filling(24_576),
        filling(98_304),
        filling(163_840),
    ]
};

/// How many slots fill an allocation of `bytes`.
const fn filling(bytes: usize) -> u32 {
    let slots = ((bytes - size_of::<Header>()) / size_of::<Slot>()) as u32;
    assert!(slots >= 1 && slots <= MAX_SLOTS);
    slots
}

/// What is said of a chunk, in front of its slots.
#[repr(C, align(8))]
#[derive(Debug)]
struct Header {
    /// The namespace that the slots belong to (I3).
    namespace: NonNull<Namespace>,
    /// Takes the slots that leave the index; outlives the chunk.
    left: NonNull<Releases<Slot>>,
    id: u32,
    capacity: u32,
    /// Tells this chunk from earlier ones with its number.
    birth: u32,
    occupied: Occupancy,
    /// The word of the bitmap to look at first.
    /// ORDERING: Relaxed and plain; from a wrong one the search goes on to the others.
    hint: plain::AtomicU32,
    taken: Box<[AtomicU64]>,
}

// SAFETY: the namespace and the queue are shared between threads, and the pointers never change.
unsafe impl Send for Header {}
// SAFETY: as above.
unsafe impl Sync for Header {}

/// An array of slots.
#[repr(C)]
#[derive(Debug)]
pub struct Chunk {
    header: Header,
    slots: [Slot],
}

impl Chunk {
    /// A chunk with its creator counted in. Its memory stays until the box is dropped.
    pub(super) fn new(
        id: u32,
        birth: u32,
        capacity: u32,
        namespace: NonNull<Namespace>,
        left: NonNull<Releases<Slot>>,
    ) -> Box<Chunk> {
        assert!((1..=MAX_SLOTS).contains(&capacity));
        let words = capacity.div_ceil(64) as usize;
        let header = Header {
            namespace,
            left,
            id,
            capacity,
            birth,
            occupied: Occupancy::one(),
            hint: plain::AtomicU32::new(0),
            taken: (0..words).map(|_| AtomicU64::new(0)).collect(),
        };
        let layout = Layout::new::<Header>()
            .extend(Layout::array::<Slot>(capacity as usize).expect("a chunk is small"))
            .expect("a chunk is small")
            .0
            .pad_to_align();
        // SAFETY: the layout is not empty; every field is written before the box exists; a fat pointer of
        // `capacity` slots over this layout is exactly a `Chunk`.
        unsafe {
            let start = alloc(layout);
            if start.is_null() {
                handle_alloc_error(layout);
            }
            let chunk = std::ptr::slice_from_raw_parts_mut(start, capacity as usize) as *mut Chunk;
            addr_of_mut!((*chunk).header).write(header);
            let slots = addr_of_mut!((*chunk).slots).cast::<Slot>();
            for index in 0..capacity {
                slots.add(index as usize).write(Slot::new(index as u16));
            }
            #[cfg(kvns_loom)]
            crate::sync::allocations::allocate(start);
            Box::from_raw(chunk)
        }
    }

    /// The chunk of a slot.
    pub(super) fn of(slot: &Slot) -> &Chunk {
        let offset = size_of::<Header>().next_multiple_of(align_of::<Slot>());
        let first = (&raw const *slot).wrapping_sub(slot.index() as usize);
        let start = first.cast::<u8>().wrapping_sub(offset);
        // SAFETY: I4; slots exist only inside chunks. The provenance is the whole allocation's, exposed when the
        // directory took the chunk.
        unsafe {
            let start = std::ptr::with_exposed_provenance::<u8>(start.addr());
            let capacity = (*start.cast::<Header>()).capacity as usize;
            &*(std::ptr::slice_from_raw_parts(start, capacity) as *const Chunk)
        }
    }

    /// The chunk's number in its generation's directory.
    pub fn id(&self) -> u32 {
        self.header.id
    }

    /// Which of the chunks that have had this number it is: slots of different ones may have the same position
    /// and seq.
    pub(super) fn birth(&self) -> u32 {
        self.header.birth
    }

    /// Number of slots.
    pub fn capacity(&self) -> u32 {
        self.header.capacity
    }

    /// Bytes the allocator holds for the chunk, its slots and its bitmap.
    pub(super) fn footprint(&self) -> usize {
        size_class(size_of_val(self)) + size_class(size_of_val(&*self.header.taken))
    }

    /// Number of taken slots.
    pub fn occupied(&self) -> u32 {
        self.header.occupied.count()
    }

    /// The namespace that the slots belong to.
    #[inline]
    pub fn namespace<'g>(&self, guard: &'g Guard) -> &'g Namespace {
        guard.touch((&raw const *self).cast::<u8>());
        guard.touch(self.header.namespace.as_ptr());
        // SAFETY: I3.
        unsafe { self.header.namespace.as_ref() }
    }

    /// Slot `index`.
    pub fn slot(&self, index: u32) -> Option<&Slot> {
        self.slots.get(index as usize)
    }

    /// Calls `visit` with each taken slot from `from` on, until it answers false. Returns the index to go on
    /// from, or the capacity.
    pub fn walk<'c>(&'c self, from: u32, mut visit: impl FnMut(&'c Slot) -> bool) -> u32 {
        let mut index = from;
        while index < self.header.capacity {
            // ORDERING: Acquire; pairs with the AcqRel of `claim`. A slot's cell says what may be read of it.
            let word = self.header.taken[index as usize / 64].load(Ordering::Acquire) >> (index % 64);
            if word == 0 {
                index = (index / 64 + 1) * 64;
                continue;
            }
            index += word.trailing_zeros();
            if !visit(&self.slots[index as usize]) {
                return index + 1;
            }
            index += 1;
        }
        self.header.capacity
    }

    /// True if slot `index` is taken.
    pub fn is_taken(&self, index: u32) -> bool {
        // ORDERING: Acquire; as in `walk`.
        self.header.taken[index as usize / 64].load(Ordering::Acquire) & 1 << (index % 64) != 0
    }

    /// Takes a free slot for the creator, who is counted in already.
    pub(super) fn take_first(&self) -> &Slot {
        self.claim()
    }

    /// Takes a free slot.
    pub(super) fn take(&self) -> Result<&Slot, Refused> {
        self.header.occupied.enter(self.header.capacity)?;
        Ok(self.claim())
    }

    /// Finds the clear bit that being counted in promises (I2).
    fn claim(&self) -> &Slot {
        let words = self.header.taken.len();
        let mut at = self.header.hint.load(plain::Ordering::Relaxed) as usize;
        loop {
            at %= words;
            // ORDERING: Acquire, then AcqRel: what the last owner of the bit did to the slot is seen.
            let word = self.header.taken[at].load(Ordering::Acquire);
            let bit = word.trailing_ones();
            let index = at as u32 * 64 + bit;
            debug_assert!(words > 1 || index < self.header.capacity, "counted in, and no slot is free");
            if bit == 64 || index >= self.header.capacity {
                at += 1;
                continue;
            }
            if self.header.taken[at].fetch_or(1 << bit, Ordering::AcqRel) & 1 << bit == 0 {
                self.header.hint.store(at as u32, plain::Ordering::Relaxed);
                return &self.slots[index as usize];
            }
        }
    }

    /// Gives a slot back. True if that emptied the chunk for ever: the caller is then its sole owner.
    pub(super) fn release(&self, slot: &Slot) -> bool {
        let index = slot.index();
        let left_early = seeded(Bug::CountLoweredFirst).then(|| self.header.occupied.leave());
        // ORDERING: AcqRel; pairs with `claim`.
        self.header.taken[index as usize / 64].fetch_and(!(1 << (index % 64)), Ordering::AcqRel);
        self.header.hint.store(index / 64, plain::Ordering::Relaxed);
        left_early.unwrap_or_else(|| self.header.occupied.leave())
    }

    /// Queues a slot whose index key was dropped for its release.
    pub(super) fn left_index(&self, slot: NonNull<Slot>) {
        // SAFETY: the generation drops its chunks before its queue.
        unsafe { self.header.left.as_ref() }.push(slot);
    }
}

#[cfg(kvns_loom)]
impl Drop for Chunk {
    fn drop(&mut self) {
        crate::sync::allocations::free((&raw const *self).cast::<u8>(), || {});
    }
}

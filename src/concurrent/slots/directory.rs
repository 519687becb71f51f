//! The chunk directory: from a chunk's number to the chunk.
//!
//! # Purpose
//! Positions are numbers, not pointers: a cursor, a watch or a wheel entry can outlive what it names. The
//! directory is an array of arrays that double in size, so that it grows without moving.
//!
//! # Invariants
//! - I1. A segment, once there, stays until the directory is dropped.
//! - I2. An entry is cleared before its chunk is retired, a grace period before the chunk is dropped and its
//!   number given out again.
//! - I3. The directory owns the chunks in it: dropping it drops them.

use super::chunk::Chunk;
use super::namespace::Namespace;
use super::releases::Releases;
use super::slot::{Position, Slot};
use crate::concurrent::counters::counter::Tally;
use crate::concurrent::epoch::reclaim::Guard;
use crate::size_class::size_class;
use crate::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use crate::sync::plain;
use crossbeam_queue::SegQueue;
use std::ptr::NonNull;

/// Entries of the first segment; few in models, where each costs time.
const FIRST: u32 = if cfg!(kvns_loom) { 2 } else { 64 };
/// Enough for all numbers below 2^31.
const SEGMENTS: usize = 26;

/// A chunk is kept behind one more pointer, for a pointer to it is fat.
struct Kept(Box<Chunk>);

impl Kept {
    fn footprint(&self) -> i64 {
        (size_class(size_of::<Kept>()) + self.0.footprint()) as i64
    }
}

type ChunkPointer = AtomicPtr<Kept>;

/// From numbers to chunks.
pub struct Directory {
    /// Where the chunks' slots go when they leave the index.
    left: NonNull<Releases<Slot>>,
    /// Chunks that were made and not needed.
    given_up: SegQueue<Removed>,
    segments: [AtomicPtr<ChunkPointer>; SEGMENTS],
    /// Numbers given out so far.
    next: AtomicU32,
    /// Chunks made so far.
    /// ORDERING: Relaxed and plain; only uniqueness matters, and the add gives it.
    births: plain::AtomicU32,
    /// Numbers whose chunks are gone.
    free: SegQueue<u32>,
    /// Bytes that the allocator holds for the segments and the chunks.
    pub bytes: Tally,
    /// Slots of these chunks, taken or free.
    pub slots: Tally,
}

impl std::fmt::Debug for Directory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Directory").field("end", &self.end()).finish_non_exhaustive()
    }
}

// SAFETY: the pointer to the queue is shared and read-only; all else is atomic.
unsafe impl Send for Directory {}
// SAFETY: as above.
unsafe impl Sync for Directory {}

fn locate(id: u32) -> (usize, usize) {
    let segment = ((id / FIRST) + 1).ilog2() as usize;
    (segment, (id - ((1 << segment) - 1) * FIRST) as usize)
}

fn segment_len(segment: usize) -> usize {
    (FIRST as usize) << segment
}

fn segment_footprint(segment: usize) -> usize {
    size_class(segment_len(segment) * size_of::<ChunkPointer>())
}

impl Directory {
    /// An empty directory, whose chunks' slots go to `releases`, which outlives it.
    pub(super) fn new(left: &Releases<Slot>) -> Directory {
        Directory {
            left: NonNull::from(left),
            given_up: SegQueue::new(),
            segments: std::array::from_fn(|_| AtomicPtr::default()),
            next: AtomicU32::new(0),
            births: plain::AtomicU32::new(0),
            free: SegQueue::new(),
            bytes: Tally::default(),
            slots: Tally::default(),
        }
    }

    /// One more than the highest number given out.
    pub fn end(&self) -> u32 {
        // ORDERING: Acquire; a walk sees the chunks added before it began.
        self.next.load(Ordering::Acquire)
    }

    /// Takes out a chunk that its creator has no use for after all, and queues it for its end.
    pub(super) fn give_up(&self, chunk: &Chunk) {
        self.remove(chunk.id()).into_iter().for_each(|removed| self.given_up.push(removed));
    }

    /// Takes the chunks that were given up; they may be recycled when a grace period has passed.
    pub(super) fn take_given_up(&self) -> Vec<Removed> {
        std::iter::from_fn(|| self.given_up.pop()).collect()
    }

    /// True if nothing waits for the housekeeper.
    pub(super) fn is_settled(&self) -> bool {
        self.given_up.is_empty()
    }

    /// Makes a chunk with its creator counted in, and gives it a number.
    pub(super) fn add(&self, capacity: u32, namespace: NonNull<Namespace>) -> &Chunk {
        // ORDERING: AcqRel; pairs with `end`.
        let id = self.free.pop().unwrap_or_else(|| self.next.fetch_add(1, Ordering::AcqRel));
        // ORDERING: Relaxed; only uniqueness matters.
        let birth = self.births.fetch_add(1, plain::Ordering::Relaxed);
        let chunk = Chunk::new(id, birth, capacity, namespace, self.left);
        let kept = Box::new(Kept(chunk));
        self.bytes.add(kept.footprint());
        self.slots.add(i64::from(capacity));
        let kept = Box::into_raw(kept);
        // ORDERING: Release; publishes the chunk to the Acquire in `get`.
        self.entry_or_grow(id).store(kept, Ordering::Release);
        // SAFETY: the chunk stays until `remove`, which only its sole owner calls, after the caller has left it.
        // Its address is exposed for `Chunk::of`.
        unsafe {
            let _ = (&raw const *(*kept).0).cast::<u8>().expose_provenance();
            &(*kept).0
        }
    }

    /// The chunk with this number, if there is one.
    pub fn get<'g>(&self, id: u32, _guard: &'g Guard) -> Option<&'g Chunk> {
        let (segment, index) = locate(id);
        // ORDERING: Acquire; pairs with the Release in `add` and in `entry_or_grow`.
        let entries = self.segments.get(segment)?.load(Ordering::Acquire);
        if entries.is_null() {
            return None;
        }
        // SAFETY: I1 and `locate`; I2 keeps the chunk for this guard.
        unsafe {
            let kept = (*entries.add(index)).load(Ordering::Acquire);
            kept.as_ref().map(|kept| &*kept.0)
        }
    }

    /// The slot at a position, if its chunk exists.
    pub fn slot<'g>(&self, position: Position, guard: &'g Guard) -> Option<&'g Slot> {
        self.get(position.chunk(), guard)?.slot(position.index())
    }

    /// Takes a chunk out. Only for its sole owner, who keeps the result for a grace period, then calls
    /// [`Directory::recycle`].
    pub(super) fn remove(&self, id: u32) -> Option<Removed> {
        // ORDERING: AcqRel; the entry is cleared before the grace period starts (I2).
        let kept = self.entry_or_grow(id).swap(std::ptr::null_mut(), Ordering::AcqRel);
        // SAFETY: the entry came from a box, and the swap made it ours.
        (!kept.is_null()).then(|| Removed(unsafe { Box::from_raw(kept) }, id))
    }

    /// Drops a removed chunk and gives its number out again. A grace period after [`Directory::remove`].
    pub(super) fn recycle(&self, removed: Removed) {
        let Removed(kept, id) = removed;
        self.bytes.add(-kept.footprint());
        self.slots.add(-i64::from(kept.0.capacity()));
        drop(kept);
        self.free.push(id);
    }

    /// Counts anew what `bytes` and `slots` say; for checks, while nothing is added or taken out. O(chunks).
    pub fn recount(&self, guard: &Guard) -> (i64, i64) {
        // ORDERING: Acquire; as in `get`.
        let is_there = |segment: &usize| !self.segments[*segment].load(Ordering::Acquire).is_null();
        let segments: usize = (0..SEGMENTS).filter(is_there).map(segment_footprint).sum();
        let chunks = (0..self.end()).filter_map(|id| self.get(id, guard));
        let kept = size_class(size_of::<Kept>());
        chunks.fold((segments as i64, 0), |(bytes, slots), chunk| {
            (bytes + (kept + chunk.footprint()) as i64, slots + i64::from(chunk.capacity()))
        })
    }

    fn entry_or_grow(&self, id: u32) -> &ChunkPointer {
        let (segment, index) = locate(id);
        let place = &self.segments[segment];
        // ORDERING: Acquire and AcqRel; a segment's cleared entries are visible to who finds it.
        let mut entries = place.load(Ordering::Acquire);
        if entries.is_null() {
            let fresh: Box<[ChunkPointer]> =
                (0..segment_len(segment)).map(|_| ChunkPointer::default()).collect();
            let fresh = Box::into_raw(fresh).cast::<ChunkPointer>();
            let never = std::ptr::null_mut();
            entries = match place.compare_exchange(never, fresh, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => {
                    self.bytes.add(segment_footprint(segment) as i64);
                    fresh
                }
                Err(found) => {
                    // SAFETY: ours was not published.
                    drop(unsafe { segment_box(fresh, segment) });
                    found
                }
            };
        }
        // SAFETY: I1 and `locate`.
        unsafe { &*entries.add(index) }
    }
}

/// # Safety
/// `entries` is the whole of segment `segment`, and nobody else has it.
unsafe fn segment_box(entries: *mut ChunkPointer, segment: usize) -> Box<[ChunkPointer]> {
    // SAFETY: the caller's promise.
    unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(entries, segment_len(segment))) }
}

/// A chunk that has left the directory and waits for its grace period.
pub(super) struct Removed(Box<Kept>, u32);

impl Drop for Directory {
    fn drop(&mut self) {
        for (segment, place) in self.segments.iter().enumerate() {
            // ORDERING: Acquire; the directory is being dropped, nobody writes any more.
            let entries = place.load(Ordering::Acquire);
            if entries.is_null() {
                continue;
            }
            // SAFETY: I1, I3; nobody else has the directory.
            for entry in unsafe { segment_box(entries, segment) } {
                let kept = entry.load(Ordering::Acquire);
                if !kept.is_null() {
                    // SAFETY: I3; the entry came from a box.
                    drop(unsafe { Box::from_raw(kept) });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_its_own_place() {
        let mut last = (0, usize::MAX);
        for id in 0..10_000 {
            let (segment, index) = locate(id);
            assert!(index < segment_len(segment));
            let next = if last.1.wrapping_add(1) == segment_len(last.0) {
                (last.0 + 1, 0)
            } else {
                (last.0, last.1.wrapping_add(1))
            };
            assert_eq!((segment, index), next, "{id}");
            last = (segment, index);
        }
        assert!(locate(u32::MAX >> 1).0 < SEGMENTS);
    }
}

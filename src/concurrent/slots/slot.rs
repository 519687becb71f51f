//! Slots: a key's home for life.
//!
//! # Purpose
//! A slot holds a key's name, its cell and its metadata in 40 bytes, and does not move while the key lives, so
//! that a position gives a SCAN cursor, a random key, an eviction candidate and a WATCH identity.
//!
//! # States
//! ```text
//! free -> absent <-> live          absent <-> closing -> dead -> (out of the index, one grace period) -> free
//! ```
//! A slot enters the index absent; only a compare-and-swap of its cell makes it live.
//!
//! # Invariants
//! - I1. The name is written by the slot's allocator, before the slot enters the index, and stays until the
//!   slot is free again; so it is read only by whoever found the slot in the index, or found it live or absent
//!   while walking, under a guard held since.
//! - I2. A slot's seq never restarts: reuse goes on counting from the dead version's.
//! - I3. A slot closes no earlier than one grace period after it became absent, and not while it is watched:
//!   the reaper puts `closing`, then reads the watch count; a watcher is counted, then reads the cell. One of
//!   them sees the other (SeqCst fences on both sides).
//! - I4. Closing keeps the absent version's seq, so coming back from it changes nothing for a watcher; dead has
//!   another seq.
//! - I5. The wheel's note is kept across reuse, as long as the chunk is there (`wheel.rs`).

use super::chunk::Chunk;
use crate::concurrent::epoch::reclaim::Guard;
use crate::concurrent::versions::cell::Cell;
use crate::concurrent::versions::version::{Content, Version, VersionBox};
use crate::size_class::size_class;
use crate::sync::atomic::{AtomicU16, AtomicU32, Ordering, fence};
use crate::sync::plain;
use crate::sync::{Bug, seeded};
use std::cell::UnsafeCell;
use std::ptr::NonNull;

/// A key's place: the chunk's number and the slot's index in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub(super) u64);

impl Position {
    /// Bits of a position that number the slot within its chunk.
    pub const INDEX_BITS: u32 = 12;

    /// The position of slot `index` of chunk `chunk`.
    pub fn new(chunk: u32, index: u32) -> Position {
        Position(u64::from(chunk) << Position::INDEX_BITS | u64::from(index))
    }

    /// The chunk's number.
    pub fn chunk(self) -> u32 {
        (self.0 >> Position::INDEX_BITS) as u32
    }

    /// The slot's index in its chunk.
    pub fn index(self) -> u32 {
        (self.0 & ((1 << Position::INDEX_BITS) - 1)) as u32
    }

    /// The position as a cursor: below 2^44.
    pub fn cursor(self) -> u64 {
        self.0
    }

    /// The position that a client sent back as a cursor, unless no cursor can be so large.
    pub fn from_cursor(cursor: u64) -> Option<Position> {
        (cursor >> Position::INDEX_BITS < u64::from(u32::MAX >> 1)).then_some(Position(cursor))
    }
}

/// Names up to this length are kept in the slot.
const INLINE: usize = 19;
const HEAP: u8 = 255;

/// A name: inline, or a pointer and a length.
#[repr(C)]
struct Name {
    /// The inline length, or `HEAP`.
    tag: u8,
    bytes: [u8; INLINE],
}

impl Name {
    const EMPTY: Name = Name { tag: 0, bytes: [0; INLINE] };

    fn new(name: &[u8]) -> Name {
        let mut bytes = [0; INLINE];
        if name.len() <= INLINE {
            bytes[..name.len()].copy_from_slice(name);
            return Name { tag: name.len() as u8, bytes };
        }
        let boxed: Box<[u8]> = name.into();
        let len = boxed.len();
        let start = Box::into_raw(boxed).cast::<u8>();
        let mut heap = Name { tag: HEAP, bytes };
        // SAFETY: pointer and length fit the inline bytes; both are written unaligned.
        unsafe {
            let place = heap.bytes.as_mut_ptr();
            place.cast::<*mut u8>().write_unaligned(start);
            place.add(size_of::<*mut u8>()).cast::<usize>().write_unaligned(len);
        }
        heap
    }

    fn heap(&self) -> Option<NonNull<[u8]>> {
        if self.tag != HEAP {
            return None;
        }
        let place = self.bytes.as_ptr();
        // SAFETY: the tag says that `new` put a pointer and a length here.
        unsafe {
            let start = place.cast::<*mut u8>().read_unaligned();
            let len = place.add(size_of::<*mut u8>()).cast::<usize>().read_unaligned();
            NonNull::new(std::ptr::slice_from_raw_parts_mut(start, len))
        }
    }

    fn as_bytes(&self) -> &[u8] {
        match self.heap() {
            // SAFETY: the heap bytes live as long as the name.
            Some(heap) => unsafe { &*heap.as_ptr() },
            None => &self.bytes[..self.tag as usize],
        }
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        if let Some(heap) = self.heap() {
            // SAFETY: `new` made it from a box, and the name is its only owner.
            drop(unsafe { Box::from_raw(heap.as_ptr()) });
        }
    }
}

/// A key's home.
#[repr(C)]
pub struct Slot {
    cell: Cell,
    /// The wheel's note: the earliest bucket scheduled for this slot, plus one; 0 for none.
    note: AtomicU32,
    /// Second of the last access in the upper 24 bits, aged access counter in the lower 8. Lossy.
    /// ORDERING: Relaxed and plain; it only chooses among keys to evict, and a lost access is none.
    access: plain::AtomicU32,
    /// Clients that watch the slot; sticks at its maximum.
    watchers: AtomicU16,
    /// This slot's place in its chunk; never changes.
    index: u16,
    name: UnsafeCell<Name>,
}

#[cfg(not(kvns_loom))]
const _: () = assert!(size_of::<Slot>() == 40);

// SAFETY: the name is the one field without its own synchronisation, and I1 says who touches it when.
unsafe impl Sync for Slot {}
// SAFETY: a slot holds nothing that is tied to a thread.
unsafe impl Send for Slot {}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slot").field("index", &self.index).finish_non_exhaustive()
    }
}

/// What the reaper found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaped {
    /// The slot is dead now; it has to leave the index.
    Dead,
    /// The slot is in use, watched, or not as it was when it was queued: left alone.
    Kept,
}

impl Slot {
    /// A free slot for place `index` of a chunk.
    pub(super) fn new(index: u16) -> Slot {
        Slot {
            cell: Cell::default(),
            note: AtomicU32::new(0),
            access: plain::AtomicU32::new(0),
            watchers: AtomicU16::new(0),
            index,
            name: UnsafeCell::new(Name::EMPTY),
        }
    }

    /// The slot's cell.
    #[inline]
    pub fn cell(&self) -> &Cell {
        &self.cell
    }

    /// The slot's name, for callers that found the slot as I1 says.
    #[inline]
    pub fn name(&self) -> &[u8] {
        // SAFETY: I1.
        unsafe { (*self.name.get()).as_bytes() }
    }

    /// Bytes the allocator holds for the slot and its name.
    pub fn footprint(name: &[u8]) -> usize {
        size_of::<Slot>() + if name.len() > INLINE { size_class(name.len()) } else { 0 }
    }

    /// The slot's place in its chunk.
    pub(super) fn index(&self) -> u32 {
        u32::from(self.index)
    }

    /// The chunk that the slot is part of.
    pub(super) fn chunk(&self) -> &Chunk {
        Chunk::of(self)
    }

    /// The slot.
    pub fn position(&self) -> Position {
        Position::new(self.chunk().id(), self.index())
    }

    /// Makes a free slot absent under a name. Only for the thread that took it from its chunk.
    pub(super) fn occupy(&self, name: &[u8], guard: &Guard) {
        // SAFETY: I1: a free slot's name is its allocator's to write.
        unsafe { *self.name.get() = Name::new(name) };
        self.access.store(0, plain::Ordering::Relaxed);
        let found = self.cell.read(guard);
        if seeded(Bug::SlotEntersLive) {
            let _ = self.cell.replace(found, VersionBox::integer(0, None).into(), None, guard);
            return;
        }
        if found.content() == Content::Dead {
            // I2: reuse goes on counting.
            let seq = if seeded(Bug::SeqRestarts) { 0 } else { found.seq().wrapping_add(1) };
            let absent = Slot::empty(Content::Absent, seq, found);
            let replaced = self.cell.replace(found, absent.into(), None, guard);
            debug_assert!(replaced.is_ok(), "nobody else writes a free slot's cell");
        }
    }

    /// Gives up the name of a slot that leaves. Only for the housekeeper, a grace period after the slot left
    /// the index.
    pub(super) fn vacate(&self) {
        // SAFETY: I1: after the grace period nobody can have found the slot.
        unsafe { *self.name.get() = Name::EMPTY };
    }

    /// Closes the slot if it is still absent at `seq` and not watched. Only for the reaper, a grace period
    /// after the slot was queued (I3).
    pub fn reap(&self, seq: u32, guard: &Guard) -> Reaped {
        // A transaction that only read the slot puts a fresh copy there. Nobody would queue the slot again, so an
        // exchange that lost to one is tried again.
        loop {
            let found = self.cell.settle(guard);
            if found.is_live() || found.is_dead() || found.seq() != seq && !seeded(Bug::ReaperIgnoresSeq) {
                return Reaped::Kept;
            }
            match self.close(found, guard) {
                Some(reaped) => return reaped,
                None if seeded(Bug::ReaperGivesUp) => return Reaped::Kept,
                None => {}
            }
        }
    }

    /// One attempt of [`Slot::reap`], or `None` if another version came in between.
    fn close(&self, found: &Version, guard: &Guard) -> Option<Reaped> {
        let seq = found.seq();
        let closing = if found.content() == Content::Closing || seeded(Bug::ReaperSkipsClosing) {
            found
        } else {
            self.cell.replace(found, Slot::empty(Content::Closing, seq, found).into(), None, guard).ok()?
        };
        if !seeded(Bug::ReaperWithoutFence) {
            // ORDERING: the closing version, then the fence, then the count; `watch` has the mirror image.
            fence(Ordering::SeqCst);
        }
        let (content, seq, reaped) = if self.watchers.load(Ordering::Relaxed) > 0 {
            (Content::Absent, seq, Reaped::Kept)
        } else {
            (Content::Dead, seq.wrapping_add(1), Reaped::Dead)
        };
        self.cell.replace(closing, Slot::empty(content, seq, closing).into(), None, guard).ok()?;
        Some(reaped)
    }

    /// Counts a watcher and says what it watches, or `None` if the slot is dead and the name has to be looked
    /// up again.
    pub fn watch<'g>(&self, guard: &'g Guard) -> Option<&'g Version> {
        // A full count stays full; the slot is then watched for ever, which only keeps it from being reused.
        let _ = self.watchers.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_add(1));
        // ORDERING: the count, then the fence, then the cell; `reap` has the mirror image (I3).
        fence(Ordering::SeqCst);
        loop {
            let found = self.cell.settle(guard);
            match found.content() {
                Content::Dead => {
                    self.unwatch();
                    return None;
                }
                Content::Closing => {
                    let absent = Slot::empty(Content::Absent, found.seq(), found);
                    let _ = self.cell.replace(found, absent.into(), None, guard);
                }
                _ => return Some(found),
            }
        }
    }

    /// Gives a watch back. True if it was the last one.
    pub fn unwatch(&self) -> bool {
        // A count that reached its maximum is no longer exact and stays there.
        let before = self.watchers.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| match n {
            u16::MAX => None,
            n => n.checked_sub(1),
        });
        before == Ok(1)
    }

    /// True if some client watches the slot.
    pub fn is_watched(&self) -> bool {
        // ORDERING: Acquire; for checks, when no command runs.
        self.watchers.load(Ordering::Acquire) > 0
    }

    /// A version without a value that says no more than `before` did, so it keeps its stamp.
    fn empty(content: Content, seq: u32, before: &Version) -> VersionBox {
        let mut version = VersionBox::empty(content);
        version.set_seq(seq);
        version.set_stamp(before.stamp());
        version
    }

    /// True if the wheel has an entry for this slot.
    pub fn is_noted(&self) -> bool {
        // ORDERING: Acquire; for checks, when no command runs.
        self.note.load(Ordering::Acquire) != 0
    }

    /// The wheel's note; see `wheel.rs`.
    pub(super) fn note(&self) -> &AtomicU32 {
        &self.note
    }

    /// Notes an access at second `now_s`. Writes only what changes; concurrent accesses may be counted as one.
    #[inline]
    pub fn touch(&self, now_s: u32) {
        let seen = self.access.load(plain::Ordering::Relaxed);
        let next = access::touched(seen, now_s);
        if next != seen {
            self.access.store(next, plain::Ordering::Relaxed);
        }
    }

    /// Forgets the accesses: the key is gone, and the next key of this name starts from zero.
    pub fn forget(&self) {
        self.access.store(0, plain::Ordering::Relaxed);
    }

    /// False if no key was here since the accesses were forgotten: a hint, for it is not read together with the cell.
    pub fn is_used(&self) -> bool {
        self.access.load(plain::Ordering::Relaxed) != 0
    }

    /// Seconds since the last access.
    pub fn idle_seconds(&self, now_s: u32) -> u32 {
        access::idle(self.access.load(plain::Ordering::Relaxed), now_s)
    }

    /// The aged access counter.
    pub fn frequency(&self, now_s: u32) -> u8 {
        access::frequency(self.access.load(plain::Ordering::Relaxed), now_s)
    }
}

/// The access word: 24 bits of seconds, and a counter that grows ever more slowly and loses one a minute.
mod access {
    use std::cell::Cell;

    thread_local! {
        /// The state of a small generator: the odds of a counter need speed, not quality.
        static RANDOM: Cell<u32> = const { Cell::new(0x9E37_79B9) };
    }

    /// True once in `odds` times.
    fn happens(odds: u32) -> bool {
        RANDOM.with(|state| {
            let mut word = state.get();
            word ^= word << 13;
            word ^= word >> 17;
            word ^= word << 5;
            state.set(word);
            word % odds == 0
        })
    }

    const SECONDS_MASK: u32 = (1 << 24) - 1;
    /// What a new key starts with, so that it is not the first to go.
    const START: u8 = 5;
    /// How much more slowly the counter grows with each step.
    const SLOWDOWN: u32 = 10;
    const SECONDS_PER_STEP_DOWN: u32 = 60;

    pub(super) fn idle(word: u32, now_s: u32) -> u32 {
        if word == 0 { 0 } else { (now_s & SECONDS_MASK).wrapping_sub(word >> 8) & SECONDS_MASK }
    }

    pub(super) fn frequency(word: u32, now_s: u32) -> u8 {
        if word == 0 {
            return START;
        }
        let steps = idle(word, now_s) / SECONDS_PER_STEP_DOWN;
        (word as u8).saturating_sub(steps.min(255) as u8)
    }

    pub(super) fn touched(word: u32, now_s: u32) -> u32 {
        if word == 0 {
            // Made, not used yet: what is read even once is worth more.
            return (now_s & SECONDS_MASK) << 8 | u32::from(START);
        }
        let mut counter = frequency(word, now_s);
        let odds = u32::from(counter.saturating_sub(START)) * SLOWDOWN + 1;
        if counter < u8::MAX && happens(odds) {
            counter += 1;
        }
        (now_s & SECONDS_MASK) << 8 | u32::from(counter)
    }
}

#[cfg(all(test, not(kvns_loom)))]
mod tests {
    use super::*;

    #[test]
    fn names_of_every_length_come_back() {
        for len in [0, 1, INLINE, INLINE + 1, 300, 70_000] {
            let bytes: Vec<u8> = (0..len).map(|i| i as u8).collect();
            assert_eq!(Name::new(&bytes).as_bytes(), bytes);
        }
    }

    #[test]
    fn accesses_age() {
        let word = (0..100).fold(0, |word, _| access::touched(word, 1000));
        let busy = access::frequency(word, 1000);
        assert!(busy > 6);
        assert_eq!(access::idle(word, 1120), 120);
        assert_eq!(access::frequency(word, 1120), busy - 2);
    }

    #[test]
    fn positions_keep_their_parts() {
        let position = Position::new(u32::MAX >> 1, 4095);
        assert_eq!((position.chunk(), position.index()), (u32::MAX >> 1, 4095));
    }
}

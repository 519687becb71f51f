//! Versions: the immutable allocations that cells point to.
//!
//! # Purpose
//! A version is what one write put in place: a header of 16 bytes, a deadline only where there is one, and the
//! value behind it, in one allocation. Absence is a version too, so creating, changing, deleting and expiring a
//! key are all the same compare-and-swap.
//!
//! # Invariants
//! - I1. Once a cell has published a version nothing in it changes but the mark of its first reader, which says
//!   nothing of the value; all else is written only through its box before.
//! - I2. (Rule V) A version that has left a cell never enters any cell again; restoring makes a fresh copy with
//!   the same stamp and seq.
//! - I3. Exactly one party retires a version that left a cell; a version that never entered one is freed at once.
//! - I4. A version owns none of the nodes that its root reaches (`nodes.rs`); copies of it share them.
//! - I5. `FRESH` is the one version that is not allocated: it stands in a slot that was never used, enters each
//!   cell at most once between two grace periods (slots are not reset), and is never freed.

use super::order_index::{LargeSet, OrderAt};
use crate::concurrent::epoch::reclaim::Guard;
use crate::size_class::size_class;
use crate::sync::{give_back, plain};
use crate::value::Kind;
use crate::value::chunks::Chunks;
use crate::value::sorted_set::{Parts, SortedSet};
use crate::value::string::Str;
use crate::value::tree::{Hash, Layout, List, Root, Set, Tree};
use bytes::Bytes;
use std::alloc::{Layout as Memory, alloc, dealloc, handle_alloc_error};
use std::mem::ManuallyDrop;
use std::ptr::{NonNull, addr_of};

/// Strings of at least this many bytes are shared by reference count, so that a reply need not copy them.
pub const SHARED_MIN: usize = 16 << 10;

/// The content of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Content {
    /// No value: the key is absent.
    Absent,
    /// No value, and the reaper is about to close the slot; reads as absent.
    Closing,
    /// No value, for ever: the slot has left the index or is about to.
    Dead,
    /// An integer.
    Integer,
    /// Bytes behind the header.
    Inline,
    /// A `Bytes` behind the header.
    Shared,
    /// The root of a list's tree behind the header; likewise the others.
    List,
    /// The root of a hash's tree.
    Hash,
    /// The root of a set's tree.
    Set,
    /// The root of a long string's chunks; the header has the string's length.
    Chunks,
    /// The root of a small sorted set's leaf.
    SmallSortedSet,
    /// A `LargeSet` behind the header.
    LargeSortedSet,
}

/// A layout of trees that versions hold.
pub trait Collection: Layout {
    /// What a version holds that has such a tree.
    const CONTENT: Content;
}

impl Collection for List {
    const CONTENT: Content = Content::List;
}

impl Collection for Hash {
    const CONTENT: Content = Content::Hash;
}

impl Collection for Set {
    const CONTENT: Content = Content::Set;
}

const HAS_DEADLINE: u8 = 1;

/// The header of a version.
#[repr(C)]
#[derive(Debug)]
pub struct Version {
    /// Written once, before the version enters a cell.
    /// ORDERING: Relaxed and plain; the exchange that publishes the version orders it, and that is modelled.
    stamp: plain::AtomicU32,
    seq: u32,
    content: Content,
    flags: u8,
    /// Set by the first reader of a key that is to go once it was read; see [`Version::mark_read`].
    /// ORDERING: Relaxed and plain; the swap alone decides who is first, and the sweep trusts the seq, not the mark.
    is_read: plain::AtomicBool,
    len: u32,
}

const HEADER: usize = size_of::<Version>();
const _: () = assert!(HEADER == 16 && align_of::<Version>() == 4);

/// The version of a slot that was never used (I5).
pub static FRESH: Version = Version::header(Content::Absent, 0, 0);

impl Version {
    const fn header(content: Content, flags: u8, len: u32) -> Version {
        Version {
            stamp: plain::AtomicU32::new(0),
            seq: 0,
            content,
            flags,
            is_read: plain::AtomicBool::new(false),
            len,
        }
    }

    /// A version without a value, as in a slot that was never used.
    pub fn fresh() -> &'static Version {
        &FRESH
    }

    /// Marks this version as read. True for the first call; a fresh copy may be marked once more.
    pub fn mark_read(&self) -> bool {
        // ORDERING: Relaxed; the mark only keeps what is queued once from being queued again.
        !self.is_read.load(plain::Ordering::Relaxed) && !self.is_read.swap(true, plain::Ordering::Relaxed)
    }

    /// The snapshot epoch this version was written in.
    pub fn stamp(&self) -> u32 {
        // ORDERING: Relaxed; whoever finds the version in a cell sees what was written before it entered.
        self.stamp.load(plain::Ordering::Relaxed)
    }

    /// Sets the snapshot epoch; before the version enters a cell.
    pub fn set_stamp(&self, stamp: u32) {
        // ORDERING: Relaxed; the exchange that publishes the version publishes this too.
        self.stamp.store(stamp, plain::Ordering::Relaxed);
    }

    /// The slot's count of changes when this version was written; fresh copies keep it.
    pub fn seq(&self) -> u32 {
        self.seq
    }

    /// The content.
    pub fn content(&self) -> Content {
        self.content
    }

    /// The type of the value; that of a string if there is none.
    pub fn kind(&self) -> Kind {
        match self.content {
            Content::List => Kind::List,
            Content::Hash => Kind::Hash,
            Content::Set => Kind::Set,
            Content::SmallSortedSet | Content::LargeSortedSet => Kind::SortedSet,
            _ => Kind::String,
        }
    }

    /// Bytes of a string in chunks; of other versions it says nothing.
    pub(super) fn chunks_len(&self) -> usize {
        self.len as usize
    }

    /// True if the version holds a value.
    pub fn is_live(&self) -> bool {
        !matches!(self.content, Content::Absent | Content::Closing | Content::Dead)
    }

    /// When the value expires: Unix time in milliseconds.
    pub fn deadline_ms(&self) -> Option<u64> {
        if self.flags & HAS_DEADLINE == 0 {
            return None;
        }
        // SAFETY: I1; the flag says that a u64 follows the header.
        Some(unsafe { self.behind_header().cast::<u64>().read_unaligned() })
    }

    /// True if the value has expired at `now_ms`.
    #[inline]
    pub fn is_expired(&self, now_ms: u64) -> bool {
        self.flags & HAS_DEADLINE != 0 && self.deadline_ms().is_some_and(|deadline| deadline <= now_ms)
    }

    /// True if the slot is out of use.
    #[inline]
    pub fn is_dead(&self) -> bool {
        self.content == Content::Dead
    }

    /// The value as a string, if it is one.
    pub fn string(&self) -> Option<Str<'_>> {
        #[cfg(kvns_loom)]
        crate::sync::allocations::touch(self);
        let payload = self.payload();
        // SAFETY: I1; the content says what the payload is, and it lives as long as the header.
        unsafe {
            match self.content {
                Content::Integer => Some(Str::Int(payload.cast::<i64>().read_unaligned())),
                Content::Inline => Some(Str::Inline(std::slice::from_raw_parts(payload, self.len as usize))),
                Content::Shared => Some(Str::Shared(&*payload.cast::<Bytes>())),
                // `nodes.rs` I1: the nodes stay as long as who read the version may look at it.
                Content::Chunks => Some(Str::Chunks(Chunks::new(self.root().tree(), self.len as usize))),
                _ => None,
            }
        }
    }

    /// The root of the value's tree; that of an empty tree if the value is none.
    pub fn root(&self) -> Root {
        match self.content {
            // SAFETY: I1; the content says what the payload is.
            Content::List | Content::Hash | Content::Set | Content::Chunks | Content::SmallSortedSet => unsafe {
                self.payload().cast::<Root>().read_unaligned()
            },
            _ => self.large_set().map_or(Root::EMPTY, LargeSet::root),
        }
    }

    /// What it holds, if that is a large sorted set.
    pub fn large_set(&self) -> Option<&LargeSet> {
        // SAFETY: I1; the content says what the payload is, and it lives as long as the header.
        (self.content == Content::LargeSortedSet).then(|| unsafe { &*self.payload().cast::<LargeSet>() })
    }

    /// The value as a sorted set, if it is one.
    pub fn sorted_set<'g>(&'g self, guard: &'g Guard) -> Option<SortedSet<'g, OrderAt<'g>>> {
        // SAFETY: the content says what made the root; `nodes.rs` I1; who has the version found it or planned it
        // under its guard.
        unsafe {
            match self.content {
                Content::SmallSortedSet => Some(SortedSet::small(self.root().tree())),
                _ => self.large_set().map(|set| set.read(guard)),
            }
        }
    }

    /// The value as a collection of layout `L`, if it is one.
    pub fn tree<L: Collection>(&self) -> Option<Tree<'_, L>> {
        // SAFETY: the content says the layout; `nodes.rs` I1: the nodes stay as long as who read the version may
        // look at it.
        (self.content == L::CONTENT).then(|| unsafe { self.root().tree() })
    }

    /// Bytes the allocator holds for a version without a value.
    pub(in crate::concurrent) const EMPTY_FOOTPRINT: usize = size_class(HEADER);

    /// Bytes the allocator holds for this version.
    pub fn footprint(&self) -> usize {
        if std::ptr::eq(self, &FRESH) {
            return 0;
        }
        let heap = match self.string() {
            Some(Str::Shared(bytes)) => size_class(bytes.len()),
            // SAFETY: `nodes.rs` I1; the content says what made the root.
            _ => unsafe {
                let members = || self.root().tree::<Parts>().len();
                let index = self.large_set().map_or(0, |set| set.index_footprint(members()));
                self.root().footprint() as usize + index
            },
        };
        size_class(self.layout().size()) + heap
    }

    fn behind_header(&self) -> *const u8 {
        // SAFETY: one past the header is inside, or at the end of, the allocation. The pointer is derived from
        // the allocation through the reference's address with exposed provenance, as the reference itself
        // covers the header only.
        std::ptr::with_exposed_provenance::<u8>(addr_of!(*self).addr() + HEADER)
    }

    fn payload(&self) -> *const u8 {
        let deadline = if self.flags & HAS_DEADLINE == 0 { 0 } else { 8 };
        self.behind_header().wrapping_add(deadline)
    }

    fn payload_len(&self) -> usize {
        match self.content {
            Content::Integer => 8,
            Content::Inline => self.len as usize,
            Content::Shared => size_of::<Bytes>(),
            Content::List | Content::Hash | Content::Set => size_of::<Root>(),
            Content::Chunks | Content::SmallSortedSet => size_of::<Root>(),
            Content::LargeSortedSet => size_of::<LargeSet>(),
            Content::Absent | Content::Closing | Content::Dead => 0,
        }
    }

    fn layout(&self) -> Memory {
        let deadline = if self.flags & HAS_DEADLINE == 0 { 0 } else { 8 };
        layout(deadline + self.payload_len())
    }

    /// Retires a version that has left its cell (I3).
    ///
    /// # Safety
    /// The version has left its cell by the caller's own compare-and-swap, or the caller is the one party whom
    /// the transaction protocol makes its owner.
    pub(super) unsafe fn retire(version: NonNull<Version>, guard: &Guard) {
        if std::ptr::eq(version.as_ptr(), &FRESH) {
            return;
        }
        #[cfg(kvns_loom)]
        crate::sync::allocations::retire(version.as_ptr());
        // SAFETY: I2 and I3: no later guard finds it, and only this call frees it.
        unsafe {
            let shared = match version.as_ref().string() {
                Some(Str::Shared(bytes)) => bytes.len(),
                _ => 0,
            };
            guard.retire_several(1, shared, move || Version::free(version));
        }
    }

    /// # Safety
    /// Nobody else has the version, and it is freed only here.
    unsafe fn free(version: NonNull<Version>) {
        let start = version.as_ptr().cast::<u8>();
        // SAFETY: the caller's promise; the header is intact until the dealloc below.
        let layout = unsafe {
            let header = version.as_ref();
            match header.content {
                Content::Shared => header.payload().cast_mut().cast::<Bytes>().drop_in_place(),
                Content::LargeSortedSet => header.payload().cast_mut().cast::<LargeSet>().drop_in_place(),
                _ => {}
            }
            header.layout()
        };
        // SAFETY: the caller's promise; `allocate` made it with this layout.
        give_back(start, move || unsafe { dealloc(start, layout) });
    }
}

fn layout(behind_header: usize) -> Memory {
    Memory::from_size_align(HEADER + behind_header, 8).expect("a version's size is bounded by the protocol")
}

/// A version that only its holder can see.
#[derive(Debug)]
pub struct VersionBox(NonNull<Version>);

// SAFETY: a version is plain immutable memory and a `Bytes`, which may move between threads.
unsafe impl Send for VersionBox {}

impl Drop for VersionBox {
    fn drop(&mut self) {
        // SAFETY: I3: it never entered a cell, and the box is its only holder.
        unsafe { Version::free(self.0) };
    }
}

impl std::ops::Deref for VersionBox {
    type Target = Version;
    fn deref(&self) -> &Version {
        // SAFETY: the box holds a valid version.
        unsafe { self.0.as_ref() }
    }
}

impl VersionBox {
    /// Allocates a version whose payload the caller writes through the returned pointer.
    fn allocate(
        content: Content,
        len: u32,
        payload_len: usize,
        deadline: Option<u64>,
    ) -> (VersionBox, *mut u8) {
        let flags = if deadline.is_some() { HAS_DEADLINE } else { 0 };
        let deadline_len = if deadline.is_some() { 8 } else { 0 };
        let layout = layout(deadline_len + payload_len);
        // SAFETY: the layout has the header's size at least.
        let start = unsafe { alloc(layout) };
        let Some(version) = NonNull::new(start.cast::<Version>()) else { handle_alloc_error(layout) };
        let _ = start.expose_provenance();
        #[cfg(kvns_loom)]
        crate::sync::allocations::allocate(version.as_ptr());
        // SAFETY: the allocation is ours and large enough for header, deadline and payload.
        unsafe {
            version.write(Version::header(content, flags, len));
            if let Some(deadline) = deadline {
                start.add(HEADER).cast::<u64>().write_unaligned(deadline);
            }
            (VersionBox(version), start.add(HEADER + deadline_len))
        }
    }

    /// A version without a value.
    pub fn empty(content: Content) -> VersionBox {
        debug_assert!(matches!(content, Content::Absent | Content::Closing | Content::Dead));
        VersionBox::allocate(content, 0, 0, None).0
    }

    /// An integer.
    pub fn integer(value: i64, deadline: Option<u64>) -> VersionBox {
        let (version, payload) = VersionBox::allocate(Content::Integer, 8, 8, deadline);
        // SAFETY: the payload has 8 bytes.
        unsafe { payload.cast::<i64>().write_unaligned(value) };
        version
    }

    /// The bytes of `parts`, one after the other.
    pub fn bytes(parts: &[&[u8]], deadline: Option<u64>) -> VersionBox {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        if len >= SHARED_MIN {
            return VersionBox::shared(Bytes::from(parts.concat()), deadline);
        }
        let (version, mut payload) = VersionBox::allocate(Content::Inline, len as u32, len, deadline);
        for part in parts {
            // SAFETY: the payload has room for all parts.
            unsafe {
                payload.copy_from_nonoverlapping(part.as_ptr(), part.len());
                payload = payload.add(part.len());
            }
        }
        version
    }

    /// Bytes shared by reference count.
    pub fn shared(bytes: Bytes, deadline: Option<u64>) -> VersionBox {
        let (version, payload) = VersionBox::allocate(Content::Shared, 0, size_of::<Bytes>(), deadline);
        // SAFETY: the payload has room for a `Bytes`; the layout's alignment of 8 covers it, for the header and
        // the deadline are multiples of 8.
        unsafe { payload.cast::<Bytes>().write(bytes) };
        version
    }

    /// A collection of layout `L` whose tree has this root.
    pub fn collection<L: Collection>(root: Root, deadline: Option<u64>) -> VersionBox {
        VersionBox::rooted(L::CONTENT, 0, root, deadline)
    }

    /// A string of `len` bytes in chunks, whose tree has this root.
    pub fn chunks(len: usize, root: Root, deadline: Option<u64>) -> VersionBox {
        let len = u32::try_from(len).expect("a string is bounded by the protocol");
        VersionBox::rooted(Content::Chunks, len, root, deadline)
    }

    /// A small sorted set, whose leaf is this root.
    pub fn small_sorted_set(root: Root, deadline: Option<u64>) -> VersionBox {
        VersionBox::rooted(Content::SmallSortedSet, 0, root, deadline)
    }

    /// A large sorted set.
    pub fn large_sorted_set(set: LargeSet, deadline: Option<u64>) -> VersionBox {
        let (version, payload) =
            VersionBox::allocate(Content::LargeSortedSet, 0, size_of::<LargeSet>(), deadline);
        // SAFETY: the payload has room for it and is aligned to 8, as for `shared`.
        unsafe { payload.cast::<LargeSet>().write(set) };
        version
    }

    fn rooted(content: Content, len: u32, root: Root, deadline: Option<u64>) -> VersionBox {
        debug_assert!(root != Root::EMPTY, "an empty collection is an absent key");
        let (version, payload) = VersionBox::allocate(content, len, size_of::<Root>(), deadline);
        // SAFETY: the payload has room for a root.
        unsafe { payload.cast::<Root>().write_unaligned(root) };
        version
    }

    /// The same value with another deadline.
    pub fn with_value_of(version: &Version, deadline: Option<u64>) -> VersionBox {
        if let Some(set) = version.large_set() {
            return VersionBox::large_sorted_set(set.clone(), deadline);
        }
        match version.string() {
            Some(Str::Int(value)) => VersionBox::integer(value, deadline),
            Some(Str::Inline(bytes)) => VersionBox::bytes(&[bytes], deadline),
            Some(Str::Shared(bytes)) => VersionBox::shared(bytes.clone(), deadline),
            _ if version.root() != Root::EMPTY => {
                VersionBox::rooted(version.content, version.len, version.root(), deadline)
            }
            _ => VersionBox::empty(version.content),
        }
    }

    /// A fresh copy: the same value, deadline, stamp and seq (I2).
    pub fn fresh_copy(version: &Version) -> VersionBox {
        let mut copy = VersionBox::with_value_of(version, version.deadline_ms());
        copy.set_seq(version.seq);
        copy.set_stamp(version.stamp());
        copy
    }

    /// Sets the count of changes.
    pub fn set_seq(&mut self, seq: u32) {
        // SAFETY: nobody else sees a boxed version.
        unsafe { self.0.as_mut().seq = seq };
    }

    /// Gives up the box; the version now belongs to whom the pointer is given.
    pub(super) fn into_raw(self) -> NonNull<Version> {
        ManuallyDrop::new(self).0
    }

    /// # Safety
    /// The pointer came from [`VersionBox::into_raw`], and the version never entered a cell.
    pub(super) unsafe fn from_raw(version: NonNull<Version>) -> VersionBox {
        VersionBox(version)
    }
}

/// A version that a transaction plans to put in place. What reads it there may keep it as long as the guard,
/// even if the plan changes.
#[derive(Debug)]
pub struct PlannedVersion<'g> {
    /// Taken only by `publish` and `drop`.
    version: Option<VersionBox>,
    guard: &'g Guard,
}

impl<'g> PlannedVersion<'g> {
    /// Plans `version`.
    pub fn new(version: VersionBox, guard: &'g Guard) -> PlannedVersion<'g> {
        PlannedVersion { version: Some(version), guard }
    }

    /// The planned version.
    pub fn version(&self) -> &'g Version {
        let version = self.version.as_ref().expect("taken only at the end");
        // SAFETY: the version stays at least as long as the guard: published it is retired later, and dropped
        // it is retired below.
        unsafe { version.0.as_ref() }
    }

    /// The version, to be put into its cell.
    pub fn publish(mut self) -> VersionBox {
        self.version.take().expect("taken only at the end")
    }
}

impl Drop for PlannedVersion<'_> {
    fn drop(&mut self) {
        if let Some(version) = self.version.take() {
            // SAFETY: it never entered a cell; only readers under this guard may still have it.
            unsafe { self.guard.retire(move || drop(version)) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_holds_what_it_was_given() {
        let mut version = VersionBox::bytes(&[b"ab", b"", b"cde"], Some(7));
        version.set_seq(9);
        assert!(matches!(version.string(), Some(Str::Inline(b"abcde"))));
        assert_eq!((version.seq(), version.deadline_ms()), (9, Some(7)));
        assert!(version.is_expired(7) && !version.is_expired(6));
        let copy = VersionBox::fresh_copy(&version);
        assert!(matches!(copy.string(), Some(Str::Inline(b"abcde"))));
        assert_eq!((copy.seq(), copy.deadline_ms()), (9, Some(7)));
    }

    #[test]
    fn large_strings_are_shared() {
        let large = vec![b'x'; SHARED_MIN];
        let version = VersionBox::bytes(&[&large], None);
        let Some(Str::Shared(bytes)) = version.string() else { panic!("not shared") };
        assert_eq!(bytes.len(), SHARED_MIN);
        assert_eq!(version.footprint(), 48 + SHARED_MIN);
    }

    #[test]
    fn a_small_string_is_one_allocation_of_its_size() {
        assert_eq!(VersionBox::bytes(&[&[b'x'; 32]], None).footprint(), 48);
    }
}

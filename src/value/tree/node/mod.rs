//! Nodes: plain allocations, written once, shared by versions without counts. The only unsafe code of the tree is
//! in this module.
//!
//! ```text
//! leaf   header | encoded items
//! inner  header | count | footprint | ranks[len] | counts[len] | children[len] | ends[len] | fence keys
//! ```
//! What is searched first lies in front. Ranks are there in keyed layouts only; ends and fence keys only where a
//! fence needs its key (T3).
//!
//! The blocks below cite the invariants of the module's header (T1 to T9).
#![allow(unsafe_code, reason = "nodes are shared by versions without counts; every block cites T1 to T9")]

mod garbage;
mod nursery;

pub use garbage::{Garbage, Root, Sealed};
pub(super) use nursery::Nursery;

use crate::size_class::size_class;
use crate::sync::give_back;
use std::alloc::{Layout as Memory, dealloc};
use std::marker::PhantomData;
use std::ptr::NonNull;

/// Built by a delta that was not sealed yet.
const OWN: u8 = 1;
/// Built by a delta and superseded by it.
const DEAD: u8 = 2;
/// An inner node with ranks.
const RANKS: u8 = 4;
/// An inner node with fence keys.
const FENCE_KEYS: u8 = 8;

#[repr(C)]
struct Header {
    birth: u32,
    /// Items of a leaf, children of an inner node.
    len: u32,
    /// Bytes behind the header.
    size: u32,
    height: u8,
    flags: u8,
    /// What the items of a leaf count for, all together.
    weight: u16,
}

/// Bytes of a node in front of its content.
pub(super) const HEADER: usize = size_of::<Header>();
/// Bytes in front of an inner node's children.
const TOTALS: usize = 16;
const _: () = assert!(HEADER == 16);

type Raw = NonNull<Header>;

/// A node that stays allocated for `'n`.
#[derive(Clone, Copy)]
pub(super) struct Node<'n> {
    raw: Raw,
    life: PhantomData<&'n ()>,
}

impl PartialEq for Node<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.raw == other.raw
    }
}

impl<'n> Node<'n> {
    /// The header; no reference covers it, for its flags may change.
    #[inline]
    fn header(self) -> *mut Header {
        #[cfg(kvns_loom)]
        crate::sync::allocations::touch(self.raw.as_ptr());
        self.raw.as_ptr()
    }

    #[inline]
    pub(super) fn birth(self) -> u32 {
        // SAFETY: T1, the node is allocated and its header written.
        unsafe { (*self.header()).birth }
    }

    /// Items of a leaf, children of an inner node.
    #[inline]
    pub(super) fn len(self) -> usize {
        // SAFETY: T1.
        unsafe { (*self.header()).len as usize }
    }

    /// Bytes behind the header.
    #[inline]
    pub(super) fn size(self) -> usize {
        // SAFETY: T1.
        unsafe { (*self.header()).size as usize }
    }

    /// Levels below this one; 0 for a leaf.
    #[inline]
    pub(super) fn height(self) -> u8 {
        // SAFETY: T1.
        unsafe { (*self.header()).height }
    }

    #[inline]
    fn flags(self) -> u8 {
        // SAFETY: T1. Flags change only while the node's delta is not sealed, on its own thread (T2).
        unsafe { (*self.header()).flags }
    }

    fn add_flag(self, flag: u8) {
        debug_assert!(self.is_own());
        // SAFETY: T2, only the delta that built the node has it; no reference covers the header.
        unsafe { (*self.header()).flags |= flag };
    }

    #[inline]
    pub(super) fn is_leaf(self) -> bool {
        self.height() == 0
    }

    /// True while the delta that built it is not sealed.
    pub(super) fn is_own(self) -> bool {
        self.flags() & OWN != 0
    }

    #[inline]
    fn content(self) -> *const u8 {
        // SAFETY: T1, the header is the front of the allocation.
        unsafe { self.header().cast::<u8>().add(HEADER) }
    }

    #[inline]
    fn total(self, index: usize) -> u64 {
        debug_assert!(!self.is_leaf() && index < 2);
        // SAFETY: T1, an inner node has two totals behind its header, which is aligned to 8.
        unsafe { self.content().cast::<u64>().add(index).read() }
    }

    #[inline]
    fn weight(self) -> u64 {
        // SAFETY: T1.
        u64::from(unsafe { (*self.raw.as_ptr()).weight })
    }

    /// What the items in the subtree count for: their number, but in layouts with weights.
    #[inline]
    pub(super) fn count(self) -> u64 {
        if self.is_leaf() { self.weight() } else { self.total(0) }
    }

    /// Bytes the allocator holds for this node alone.
    pub(super) fn own_footprint(self) -> u64 {
        size_class(HEADER + self.size()) as u64
    }

    /// Bytes the allocator holds for the subtree.
    pub(super) fn footprint(self) -> u64 {
        if self.is_leaf() { self.own_footprint() } else { self.total(1) }
    }

    /// The encoded items of a leaf.
    #[inline]
    pub(super) fn bytes(self) -> &'n [u8] {
        debug_assert!(self.is_leaf());
        // SAFETY: T1, `size` bytes behind the header were written and never change.
        unsafe { std::slice::from_raw_parts(self.content(), self.size()) }
    }

    #[inline]
    fn words(self, array: usize) -> &'n [u64] {
        debug_assert!(!self.is_leaf());
        let len = self.len();
        // SAFETY: T1, an inner node has that array (callers check the flag), written once, aligned to 8.
        unsafe {
            let start = self.content().add(TOTALS + array * len * 8).cast::<u64>();
            std::slice::from_raw_parts(start, len)
        }
    }

    /// Arrays of words in front of an inner node's counts.
    #[inline]
    fn arrays_before_counts(self) -> usize {
        usize::from(self.flags() & RANKS != 0)
    }

    /// Where the children of an inner node start, counted from its content.
    #[inline]
    fn children_offset(self) -> usize {
        TOTALS + (self.arrays_before_counts() + 1) * self.len() * 8
    }

    /// A child of an inner node.
    #[inline]
    pub(super) fn child(self, index: usize) -> Node<'n> {
        assert!(index < self.len() && !self.is_leaf());
        // SAFETY: T1; a node's children live as long as the node (T4).
        unsafe {
            let raw = self.content().add(self.children_offset()).cast::<Raw>().add(index).read();
            Node { raw, life: PhantomData }
        }
    }

    /// Items below each child.
    #[inline]
    pub(super) fn counts(self) -> &'n [u64] {
        self.words(self.arrays_before_counts())
    }

    /// The ranks of the children's fences; empty in layouts without.
    #[inline]
    pub(super) fn ranks(self) -> &'n [u64] {
        if self.flags() & RANKS == 0 { &[] } else { self.words(0) }
    }

    #[inline]
    pub(super) fn has_fence_keys(self) -> bool {
        self.flags() & FENCE_KEYS != 0
    }

    /// The key of a child's fence; empty where the rank alone separates.
    pub(super) fn fence_key(self, index: usize) -> &'n [u8] {
        if !self.has_fence_keys() {
            return &[];
        }
        assert!(index < self.len());
        // SAFETY: T1, the flag says that ends and keys follow the ranks; an end is at most the keys' length.
        unsafe {
            let ends = self.content().add(self.children_offset() + 8 * self.len()).cast::<u32>();
            let start = if index == 0 { 0 } else { ends.add(index - 1).read() as usize };
            let len = ends.add(index).read() as usize - start;
            std::slice::from_raw_parts(ends.add(self.len()).cast::<u8>().add(start), len)
        }
    }

    /// Asks the processor to fetch the first `len` bytes of the node: a hint, which reads nothing.
    #[inline]
    pub(super) fn prefetch(self, len: usize) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a prefetch touches no memory that the program can observe, whatever the address.
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            for line in 0..len.div_ceil(64) {
                _mm_prefetch::<_MM_HINT_T0>(self.raw.as_ptr().cast::<i8>().wrapping_add(64 * line));
            }
        }
    }
}

/// A child as it stands, or will stand, in its parent.
#[derive(Clone, Copy)]
pub(super) struct Child<'n> {
    pub(super) node: Node<'n>,
    pub(super) count: u64,
    /// The fence: nothing in the child orders before (rank, key).
    pub(super) rank: u64,
    pub(super) key: &'n [u8],
    /// False if it stood in the node that is being edited.
    pub(super) fresh: bool,
}

fn memory(size: usize) -> Memory {
    Memory::from_size_align(HEADER + size, 8).expect("items are bounded by the protocol")
}

/// # Safety
/// The node is no longer reachable by anybody and is freed only here (T4).
unsafe fn free(raw: Raw) {
    // SAFETY: the caller's promise; the header says what was allocated (T1).
    let memory = memory(unsafe { (*raw.as_ptr()).size } as usize);
    // SAFETY: as above.
    give_back(raw.as_ptr(), move || unsafe { dealloc(raw.as_ptr().cast(), memory) });
    #[cfg(test)]
    LIVE.with(|live| live.set(live.get() - 1));
}

#[cfg(test)]
thread_local! {
    /// Nodes this thread built and did not free.
    pub(super) static LIVE: std::cell::Cell<i64> = const { std::cell::Cell::new(0) };
}

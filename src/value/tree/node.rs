//! Nodes: plain allocations, written once, shared by versions without counts. The only unsafe code of the tree.
//!
//! ```text
//! leaf   header | encoded items
//! inner  header | count | footprint | ranks[len] | counts[len] | children[len] | ends[len] | fence keys
//! ```
//! What is searched first lies in front. Ranks are there in keyed layouts only; ends and fence keys only where a fence needs its key (T3).
//!
//! The blocks below cite the invariants of the module's header (T1 to T9).
#![allow(unsafe_code, reason = "nodes are shared by versions without counts; every block cites T1 to T9")]

use super::item::{Piece, encode_length};
use super::{Layout, Tree};
use crate::concurrent::size_class::size_class;
use smallvec::SmallVec;
use std::alloc::{Layout as Memory, alloc, dealloc, handle_alloc_error};
use std::cell::{Cell, RefCell};
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
    #[inline]
    pub(super) fn birth(self) -> u32 {
        // SAFETY: T1, the node is allocated and its header written.
        unsafe { (*self.raw.as_ptr()).birth }
    }

    /// Items of a leaf, children of an inner node.
    #[inline]
    pub(super) fn len(self) -> usize {
        // SAFETY: T1.
        unsafe { (*self.raw.as_ptr()).len as usize }
    }

    /// Bytes behind the header.
    #[inline]
    pub(super) fn size(self) -> usize {
        // SAFETY: T1.
        unsafe { (*self.raw.as_ptr()).size as usize }
    }

    /// Levels below this one; 0 for a leaf.
    #[inline]
    pub(super) fn height(self) -> u8 {
        // SAFETY: T1.
        unsafe { (*self.raw.as_ptr()).height }
    }

    #[inline]
    fn flags(self) -> u8 {
        // SAFETY: T1. Flags change only while the node's delta is not sealed, on its own thread (T2).
        unsafe { (*self.raw.as_ptr()).flags }
    }

    fn add_flag(self, flag: u8) {
        debug_assert!(self.is_own());
        // SAFETY: T2, only the delta that built the node has it; no reference covers the header.
        unsafe { (*self.raw.as_ptr()).flags |= flag };
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
        unsafe { self.raw.as_ptr().cast::<u8>().add(HEADER) }
    }

    #[inline]
    fn total(self, index: usize) -> u64 {
        debug_assert!(!self.is_leaf() && index < 2);
        // SAFETY: T1, an inner node has two totals behind its header, which is aligned to 8.
        unsafe { self.content().cast::<u64>().add(index).read() }
    }

    /// Items in the subtree.
    #[inline]
    pub(super) fn count(self) -> u64 {
        if self.is_leaf() { self.len() as u64 } else { self.total(0) }
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

    /// Asks the processor to fetch the node: a hint, which reads nothing.
    #[inline]
    pub(super) fn prefetch(self) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a prefetch touches no memory that the program can observe, whatever the address.
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            for line in 0..16 {
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
    unsafe { dealloc(raw.as_ptr().cast(), memory((*raw.as_ptr()).size as usize)) };
    #[cfg(test)]
    LIVE.with(|live| live.set(live.get() - 1));
}

#[cfg(test)]
thread_local! {
    /// Nodes this thread built and did not free.
    pub(super) static LIVE: Cell<i64> = const { Cell::new(0) };
}

/// Writes a node's content front to back and never past its end.
struct Writer {
    at: *mut u8,
    left: usize,
}

impl Writer {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        assert!(bytes.len() <= self.left);
        // SAFETY: T1, `left` bytes from `at` belong to the allocation that is being written.
        unsafe {
            self.at.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            self.at = self.at.add(bytes.len());
        }
        self.left -= bytes.len();
    }

    fn put_u64(&mut self, value: u64) {
        self.put(&value.to_ne_bytes());
    }

    fn put_node(&mut self, node: Node<'_>) {
        assert!(self.left >= 8);
        // SAFETY: T1 as in `put`; written as a pointer, so that it keeps its provenance.
        unsafe {
            self.at.cast::<Raw>().write_unaligned(node.raw);
            self.at = self.at.add(8);
        }
        self.left -= 8;
    }

    fn put_length(&mut self, len: usize) {
        let (bytes, size) = encode_length(len);
        self.put(&bytes[..size]);
    }
}

/// The nodes that a delta built and those that it replaced. `'g`: how long the nodes of its base stay.
pub(super) struct Nursery<'g> {
    birth: u32,
    base: Option<Raw>,
    root: Cell<Option<Raw>>,
    /// Nodes with the flag `OWN`; some of them `DEAD`.
    built: RefCell<SmallVec<[Raw; 6]>>,
    dead: Cell<usize>,
    /// Nodes of the base that the present root does not reach.
    replaced: RefCell<Garbage>,
    life: PhantomData<&'g ()>,
}

impl<'g> Nursery<'g> {
    /// Starts from a published root (T2). Births never grow from a node to its children (T8).
    pub(super) fn new(base: Option<Node<'g>>, birth: u32) -> Nursery<'g> {
        assert!(base.is_none_or(|node| !node.is_own()), "a delta starts from a published root");
        let raw = base.map(|node| node.raw);
        Nursery {
            birth: base.map_or(birth, |node| node.birth().max(birth)),
            base: raw,
            root: Cell::new(raw),
            built: RefCell::default(),
            dead: Cell::new(0),
            replaced: RefCell::default(),
            life: PhantomData,
        }
    }

    pub(super) fn root(&self) -> Option<Node<'_>> {
        // Built nodes are freed only through an exclusive borrow of the nursery, base nodes after `'g` (T4).
        self.root.get().map(|raw| Node { raw, life: PhantomData })
    }

    /// Makes `root` the present root; a node of the base or one built here.
    pub(super) fn set_root(&self, root: Option<Node<'_>>) {
        self.root.set(root.map(|node| node.raw));
    }

    pub(super) fn is_changed(&self) -> bool {
        self.root.get() != self.base
    }

    fn allocate(&self, len: usize, size: usize, height: u8, flags: u8) -> (Node<'_>, Writer) {
        let layout = memory(size);
        let header = Header {
            birth: self.birth,
            len: u32::try_from(len).expect("bounded by the leaf's size"),
            size: u32::try_from(size).expect("items are bounded by the protocol"),
            height,
            flags: flags | OWN,
        };
        // SAFETY: the layout is not empty, and the header lies at its front; `size` bytes follow (T1).
        let (raw, at) = unsafe {
            let Some(raw) = NonNull::new(alloc(layout).cast::<Header>()) else { handle_alloc_error(layout) };
            raw.write(header);
            (raw, raw.as_ptr().cast::<u8>().add(HEADER))
        };
        #[cfg(test)]
        LIVE.with(|live| live.set(live.get() + 1));
        self.built.borrow_mut().push(raw);
        (Node { raw, life: PhantomData }, Writer { at, left: size })
    }

    /// Builds a leaf of all `pieces`, exactly as large as they are.
    pub(super) fn leaf<L: Layout>(&self, pieces: &[Piece<'_>]) -> Node<'_> {
        let (size, items) = super::item::totals::<L>(pieces);
        let (node, mut writer) = self.allocate(items, size, 0, 0);
        for piece in pieces {
            match piece {
                Piece::Run { bytes, .. } => writer.put(bytes),
                Piece::New(item) => {
                    writer.put_length(item.key.len());
                    if L::VALUES {
                        writer.put_length(item.value.len());
                    }
                    writer.put(item.key);
                    if L::VALUES {
                        writer.put(item.value);
                    }
                }
            }
        }
        assert_eq!(writer.left, 0, "T1: a node is written to its end");
        node
    }

    /// Builds an inner node. `below` is the footprint of all children.
    pub(super) fn inner<L: Layout>(&self, height: u8, children: &[Child<'_>], below: u64) -> Node<'_> {
        let len = children.len();
        let keys: usize = children.iter().map(|child| child.key.len()).sum();
        let (mut size, mut flags) = (TOTALS + 16 * len, 0);
        if L::KEYED {
            size += 8 * len;
            flags |= RANKS;
        }
        if keys > 0 {
            size += 4 * len + keys;
            flags |= FENCE_KEYS;
        }
        let (node, mut writer) = self.allocate(len, size, height, flags);
        writer.put_u64(children.iter().map(|child| child.count).sum());
        writer.put_u64(below + node.own_footprint());
        if L::KEYED {
            children.iter().for_each(|child| writer.put_u64(child.rank));
        }
        children.iter().for_each(|child| writer.put_u64(child.count));
        children.iter().for_each(|child| writer.put_node(child.node));
        if keys > 0 {
            let mut end = 0;
            for child in children {
                end += u32::try_from(child.key.len()).expect("keys are bounded by the protocol");
                writer.put(&end.to_ne_bytes());
            }
            children.iter().for_each(|child| writer.put(child.key));
        }
        assert_eq!(writer.left, 0, "T1: a node is written to its end");
        node
    }

    /// Builds a copy of the inner node `old` with another child at `index`; all fences stay.
    pub(super) fn inner_with(&self, old: Node<'_>, index: usize, child: Node<'_>) -> Node<'_> {
        let before = old.child(index);
        let footprint = old.footprint() - before.footprint() + child.footprint();
        let count = old.count() - old.counts()[index] + child.count();
        let flags = old.flags() & (RANKS | FENCE_KEYS);
        let (node, writer) = self.allocate(old.len(), old.size(), old.height(), flags);
        let counts = TOTALS + old.arrays_before_counts() * old.len() * 8;
        // SAFETY: T1, both nodes have the same size and shape; `index` is one of its children (checked by
        // `child` above), and nobody else sees the new node yet.
        unsafe {
            writer.at.copy_from_nonoverlapping(old.content(), old.size());
            writer.at.cast::<u64>().write(count);
            writer.at.cast::<u64>().add(1).write(footprint);
            writer.at.add(old.children_offset()).cast::<Raw>().add(index).write(child.raw);
            writer.at.add(counts).cast::<u64>().add(index).write(child.count());
        }
        node
    }

    /// Notes that the present root will not reach `node` itself any more.
    pub(super) fn retire(&self, node: Node<'_>) {
        if node.is_own() {
            debug_assert!(node.flags() & DEAD == 0, "T5: superseded once");
            node.add_flag(DEAD);
            self.dead.set(self.dead.get() + 1);
        } else {
            self.replaced.borrow_mut().entries.push(Entry { raw: node.raw, whole: false });
        }
    }

    /// Notes that the present root will not reach `node` and all below it any more.
    pub(super) fn retire_whole(&self, node: Node<'_>) {
        if !node.is_own() {
            self.replaced.borrow_mut().entries.push(Entry { raw: node.raw, whole: true });
            return;
        }
        self.retire(node);
        if !node.is_leaf() {
            (0..node.len()).for_each(|index| self.retire_whole(node.child(index)));
        }
    }

    /// Frees what was built and superseded here, once that is half of what was built.
    pub(super) fn sweep(&mut self) {
        if self.dead.get() * 2 > self.built.get_mut().len() {
            self.free_dead();
        }
    }

    fn free_dead(&mut self) {
        self.built.get_mut().retain(|raw| {
            // SAFETY: T1; built here and not freed yet.
            let is_dead = unsafe { (*raw.as_ptr()).flags & DEAD != 0 };
            if is_dead {
                // SAFETY: T5, neither the root nor a live node reaches it, and the exclusive borrow of the
                // nursery ends every use of it.
                unsafe { free(*raw) };
            }
            !is_dead
        });
        self.dead.set(0);
    }

    /// Ends the editing: the root may now be published.
    pub(super) fn seal<L>(mut self) -> Sealed<L> {
        self.free_dead();
        let built = std::mem::take(self.built.get_mut());
        for raw in &built {
            // SAFETY: T2, nobody else has the node before the sealed root is published.
            unsafe { (*raw.as_ptr()).flags &= !OWN };
        }
        let root = Root { raw: self.root.get(), layout: PhantomData };
        Sealed { root, base: self.base, built, replaced: self.replaced.take() }
    }
}

impl Drop for Nursery<'_> {
    fn drop(&mut self) {
        for raw in self.built.get_mut().drain(..) {
            // SAFETY: T4, never published; only this delta reached it.
            unsafe { free(raw) };
        }
    }
}

/// The root of one version of a tree, as a version holds it: a pointer that neither keeps nor frees anything.
#[derive(Debug)]
pub struct Root<L> {
    raw: Option<Raw>,
    layout: PhantomData<fn() -> L>,
}

impl<L> Clone for Root<L> {
    fn clone(&self) -> Root<L> {
        *self
    }
}

impl<L> Copy for Root<L> {}

impl<L> PartialEq for Root<L> {
    /// True if they are the same version of the same tree.
    fn eq(&self, other: &Root<L>) -> bool {
        self.raw == other.raw
    }
}

// SAFETY: published nodes are immutable memory (T2); the pointer may move and be shared between threads.
unsafe impl<L> Send for Root<L> {}
// SAFETY: as above.
unsafe impl<L> Sync for Root<L> {}

impl<L: Layout> Root<L> {
    /// The root of an empty tree.
    pub const EMPTY: Root<L> = Root { raw: None, layout: PhantomData };

    /// The tree, to be read and to start a delta from.
    ///
    /// # Safety
    /// For `'g` the root's nodes stay allocated: the sealed delta that made it is neither dropped nor was the
    /// garbage with its nodes freed; usually a guard sees to that.
    pub unsafe fn tree<'g>(self) -> Tree<'g, L> {
        Tree::new(self.raw.map(|raw| Node { raw, life: PhantomData }))
    }

    /// All nodes of the tree, to be freed when nobody reads it any more. O(1).
    pub fn retire_all(self) -> Garbage {
        let mut garbage = Garbage::default();
        garbage.entries.extend(self.raw.map(|raw| Entry { raw, whole: true }));
        garbage
    }
}

/// A finished edit: its root may be published. Whoever publishes it commits; dropping it frees what it built.
#[must_use = "dropping a sealed delta frees the nodes of its root"]
pub struct Sealed<L> {
    root: Root<L>,
    base: Option<Raw>,
    built: SmallVec<[Raw; 6]>,
    replaced: Garbage,
}

// SAFETY: as for `Root`; unpublished nodes are reachable through this value only.
unsafe impl<L> Send for Sealed<L> {}

impl<L> Sealed<L> {
    /// The root after all edits.
    pub fn root(&self) -> Root<L> {
        self.root
    }

    /// False if the root is the one that the delta started from.
    pub fn is_changed(&self) -> bool {
        self.root.raw != self.base
    }

    /// The root was published: returns the nodes of the base that it replaced.
    pub fn commit(mut self) -> Garbage {
        self.built.clear();
        std::mem::take(&mut self.replaced)
    }
}

impl<L> Drop for Sealed<L> {
    fn drop(&mut self) {
        for raw in self.built.drain(..) {
            // SAFETY: T4, not committed, so never published (`Root::tree` asks for that).
            unsafe { free(raw) };
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    raw: Raw,
    /// With all nodes below it.
    whole: bool,
}

/// Nodes that left a tree and wait to be freed. Dropping it leaks them.
#[derive(Debug, Default)]
pub struct Garbage {
    entries: SmallVec<[Entry; 6]>,
}

// SAFETY: as for `Root`.
unsafe impl Send for Garbage {}

impl Garbage {
    /// True if there is nothing to free.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Entries: single nodes and whole subtrees.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Adds what another one holds.
    pub fn append(&mut self, mut other: Garbage) {
        self.entries.append(&mut other.entries);
    }

    /// Bytes the allocator holds for it. O(entries).
    pub fn footprint(&self) -> u64 {
        let nodes = self.entries.iter().map(|entry| {
            let node = Node { raw: entry.raw, life: PhantomData };
            if entry.whole { node.footprint() } else { node.own_footprint() }
        });
        nodes.sum()
    }

    /// Frees up to `budget` nodes, the ones last added first, and hands what was born before `keep_below` to
    /// `kept` instead, subtrees whole (births never grow downward). Returns true when nothing is left.
    ///
    /// # Safety
    /// Nobody reads these nodes now or later.
    pub unsafe fn free_some(&mut self, budget: usize, keep_below: u32, kept: &mut Garbage) -> bool {
        for _ in 0..budget {
            let Some(entry) = self.entries.pop() else { return true };
            let node = Node { raw: entry.raw, life: PhantomData };
            if node.birth() < keep_below {
                kept.entries.push(entry);
                continue;
            }
            if entry.whole && !node.is_leaf() {
                let children = (0..node.len()).map(|index| node.child(index));
                self.entries.extend(children.map(|child| Entry { raw: child.raw, whole: true }));
            }
            // SAFETY: the caller's promise, and T5: a node is in garbage once.
            unsafe { free(entry.raw) };
        }
        self.entries.is_empty()
    }

    /// Frees everything.
    ///
    /// # Safety
    /// Nobody reads these nodes now or later.
    pub unsafe fn free_all(mut self) {
        // SAFETY: the caller's promise; nothing is born before 0, so nothing is kept.
        unsafe { self.free_some(usize::MAX, 0, &mut Garbage::default()) };
    }
}

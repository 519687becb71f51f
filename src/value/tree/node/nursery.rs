//! Building nodes: what one delta built and what it replaced.

use super::super::Layout;
use super::super::item::{Piece, encode_length, totals, weight};
use super::garbage::{Dropped, Garbage, Root, Sealed};
use super::{Child, DEAD, FENCE_KEYS, HEADER, Header, Node, OWN, RANKS, Raw, TOTALS, free, memory};
use smallvec::SmallVec;
use std::alloc::{alloc, handle_alloc_error};
use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::ptr::NonNull;

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
pub(in super::super) struct Nursery<'g> {
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
    pub(in super::super) fn new(base: Option<Node<'g>>, birth: u32) -> Nursery<'g> {
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

    pub(in super::super) fn root(&self) -> Option<Node<'_>> {
        // Built nodes are freed only through an exclusive borrow of the nursery, base nodes after `'g` (T4).
        self.root.get().map(|raw| Node { raw, life: PhantomData })
    }

    /// Makes `root` the present root; a node of the base or one built here.
    pub(in super::super) fn set_root(&self, root: Option<Node<'_>>) {
        self.root.set(root.map(|node| node.raw));
    }

    pub(in super::super) fn is_changed(&self) -> bool {
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
            weight: 0,
        };
        // SAFETY: the layout is not empty, and the header lies at its front; `size` bytes follow (T1).
        let (raw, at) = unsafe {
            let Some(raw) = NonNull::new(alloc(layout).cast::<Header>()) else { handle_alloc_error(layout) };
            raw.write(header);
            (raw, raw.as_ptr().cast::<u8>().add(HEADER))
        };
        #[cfg(test)]
        super::LIVE.with(|live| live.set(live.get() + 1));
        #[cfg(kvns_loom)]
        crate::sync::allocations::allocate(raw.as_ptr());
        self.built.borrow_mut().push(raw);
        (Node { raw, life: PhantomData }, Writer { at, left: size })
    }

    /// Builds a leaf of all `pieces`, exactly as large as they are.
    pub(in super::super) fn leaf<L: Layout>(&self, pieces: &[Piece<'_>]) -> Node<'_> {
        let (size, items) = totals::<L>(pieces);
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
        let weight = weight::<L>(pieces, items);
        // SAFETY: T1, the header is written; nobody else sees the node yet.
        unsafe { (*node.raw.as_ptr()).weight = weight };
        node
    }

    /// Builds an inner node. `below` is the footprint of all children.
    pub(in super::super) fn inner<L: Layout>(
        &self,
        height: u8,
        children: &[Child<'_>],
        below: u64,
    ) -> Node<'_> {
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

    /// Builds a copy of the inner node `old` with other children at some places; all fences stay.
    pub(in super::super) fn inner_with<'x>(
        &self,
        old: Node<'_>,
        children: impl Iterator<Item = (usize, Node<'x>)>,
    ) -> Node<'_> {
        let flags = old.flags() & (RANKS | FENCE_KEYS);
        let (node, writer) = self.allocate(old.len(), old.size(), old.height(), flags);
        let counts = TOTALS + old.arrays_before_counts() * old.len() * 8;
        let (mut count, mut footprint) = (old.count(), old.footprint());
        // SAFETY: T1, both nodes have the same size and shape, and nobody else sees the new node yet.
        unsafe { writer.at.copy_from_nonoverlapping(old.content(), old.size()) };
        for (index, child) in children {
            let before = old.child(index);
            footprint = footprint - before.footprint() + child.footprint();
            count = count - old.counts()[index] + child.count();
            // SAFETY: as above; `index` is one of its children (checked by `child`).
            unsafe {
                writer.at.add(old.children_offset()).cast::<Raw>().add(index).write(child.raw);
                writer.at.add(counts).cast::<u64>().add(index).write(child.count());
            }
        }
        // SAFETY: as above; an inner node begins with its totals.
        unsafe {
            writer.at.cast::<u64>().write(count);
            writer.at.cast::<u64>().add(1).write(footprint);
        }
        node
    }

    /// Builds a copy of `node` and all below it that shares nothing with it.
    pub(in super::super) fn copy_of(&self, node: Node<'_>) -> Node<'_> {
        let flags = node.flags() & (RANKS | FENCE_KEYS);
        let (copy, writer) = self.allocate(node.len(), node.size(), node.height(), flags);
        // SAFETY: T1, both nodes have the same size, and nobody else sees the new one yet.
        unsafe {
            writer.at.copy_from_nonoverlapping(node.content(), node.size());
            (*copy.raw.as_ptr()).weight = (*node.raw.as_ptr()).weight;
        }
        if !node.is_leaf() {
            for index in 0..node.len() {
                let child = self.copy_of(node.child(index));
                // SAFETY: as above; the children of both nodes lie in the same place.
                unsafe { writer.at.add(node.children_offset()).cast::<Raw>().add(index).write(child.raw) };
            }
        }
        copy
    }

    /// Notes that the present root will not reach `node` itself any more.
    pub(in super::super) fn retire(&self, node: Node<'_>) {
        if node.is_own() {
            debug_assert!(node.flags() & DEAD == 0, "T5: superseded once");
            node.add_flag(DEAD);
            self.dead.set(self.dead.get() + 1);
        } else {
            self.replaced.borrow_mut().entries.push(Dropped { raw: node.raw, whole: false });
        }
    }

    /// Notes that the present root will not reach `node` and all below it any more.
    pub(in super::super) fn retire_whole(&self, node: Node<'_>) {
        if !node.is_own() {
            self.replaced.borrow_mut().entries.push(Dropped { raw: node.raw, whole: true });
            return;
        }
        self.retire(node);
        if !node.is_leaf() {
            (0..node.len()).for_each(|index| self.retire_whole(node.child(index)));
        }
    }

    /// Frees what was built and superseded here, once that is half of what was built.
    pub(in super::super) fn sweep(&mut self) {
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
    pub(in super::super) fn seal(mut self) -> Sealed {
        self.free_dead();
        let built = std::mem::take(self.built.get_mut());
        for raw in &built {
            // SAFETY: T2, nobody else has the node before the sealed root is published.
            unsafe { (*raw.as_ptr()).flags &= !OWN };
        }
        let (root, base) = (Root { raw: self.root.get() }, Root { raw: self.base });
        Sealed { root, base, built, replaced: self.replaced.take() }
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

//! Publishing and freeing nodes: roots, finished edits, and what they leave behind.

use super::super::{LEAF_SIZE, Layout, Tree};
use super::{Node, Raw, free};
use smallvec::SmallVec;
use std::marker::PhantomData;

/// The root of one version of a tree, as a version holds it: a pointer that neither keeps nor frees anything. Of
/// which layout the tree is, its holder knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Root {
    pub(super) raw: Option<Raw>,
}

// SAFETY: published nodes are immutable memory (T2); the pointer may move and be shared between threads.
unsafe impl Send for Root {}
// SAFETY: as above.
unsafe impl Sync for Root {}

impl Root {
    /// The root of an empty tree.
    pub const EMPTY: Root = Root { raw: None };

    /// The tree, to be read and to start a delta from.
    ///
    /// # Safety
    /// `L` is the layout of the delta that made the root, and for `'g` the root's nodes stay allocated: the
    /// sealed delta is neither dropped nor was the garbage with its nodes freed; usually a guard sees to that.
    pub unsafe fn tree<'g, L: Layout>(self) -> Tree<'g, L> {
        Tree::new(self.raw.map(|raw| Node { raw, life: PhantomData }))
    }

    /// Bytes the allocator holds for all nodes. O(1).
    ///
    /// # Safety
    /// The root's node is allocated.
    pub unsafe fn footprint(self) -> u64 {
        self.raw.map_or(0, |raw| Node { raw, life: PhantomData }.footprint())
    }

    /// All nodes of the tree, to be freed when nobody reads it any more. O(1).
    pub fn retire_all(self) -> Garbage {
        let mut garbage = Garbage::default();
        garbage.entries.extend(self.raw.map(|raw| Dropped { raw, whole: true }));
        garbage
    }
}

/// A finished edit: its root may be published. Whoever publishes it commits; dropping it frees what it built.
#[must_use = "dropping a sealed delta frees the nodes of its root"]
pub struct Sealed {
    pub(super) root: Root,
    pub(super) base: Root,
    pub(super) built: SmallVec<[Raw; 6]>,
    pub(super) replaced: Garbage,
}

// SAFETY: as for `Root`; unpublished nodes are reachable through this value only.
unsafe impl Send for Sealed {}

impl Sealed {
    /// The root after all edits.
    pub fn root(&self) -> Root {
        self.root
    }

    /// The root that the delta started from.
    pub fn base(&self) -> Root {
        self.base
    }

    /// False if the root is the one that the delta started from.
    pub fn is_changed(&self) -> bool {
        self.root != self.base
    }

    /// The root was published: returns the nodes of the base that it replaced.
    pub fn commit(mut self) -> Garbage {
        self.built.clear();
        std::mem::take(&mut self.replaced)
    }
}

impl std::fmt::Debug for Sealed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Sealed").field("root", &self.root).finish_non_exhaustive()
    }
}

impl Drop for Sealed {
    fn drop(&mut self) {
        for raw in self.built.drain(..) {
            // SAFETY: T4, not committed, so never published (`Root::tree` asks for that).
            unsafe { free(raw) };
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Dropped {
    pub(super) raw: Raw,
    /// With all nodes below it.
    pub(super) whole: bool,
}

/// Nodes that left a tree and wait to be freed. Dropping it leaks them.
#[derive(Debug, Default)]
pub struct Garbage {
    pub(super) entries: SmallVec<[Dropped; 6]>,
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

    /// True if freeing it may take longer than a grace period's callback should: more than about `nodes` nodes.
    pub fn is_larger_than(&self, nodes: usize) -> bool {
        let whole = |entry: &Dropped| {
            let node = Node { raw: entry.raw, life: PhantomData };
            entry.whole && node.height() > 0 && node.footprint() > (nodes * LEAF_SIZE) as u64
        };
        self.entries.len() > nodes || self.entries.iter().any(whole)
    }

    /// Bytes the allocator holds for it. O(entries).
    pub fn footprint(&self) -> u64 {
        let nodes = self.entries.iter().map(|entry| {
            let node = Node { raw: entry.raw, life: PhantomData };
            if entry.whole { node.footprint() } else { node.own_footprint() }
        });
        nodes.sum()
    }

    /// Takes out what was born before `below`: single nodes, and subtrees whose root was. Subtrees with a younger
    /// root stay whole, for what lies deeper is to be looked for in slices ([`Garbage::free_some`]). O(entries).
    pub fn take_born_before(&mut self, below: u32) -> Garbage {
        let mut taken = Garbage::default();
        self.entries.retain(|entry| {
            let is_older = Node { raw: entry.raw, life: PhantomData }.birth() < below;
            if is_older {
                taken.entries.push(*entry);
            }
            !is_older
        });
        taken
    }

    /// In models: calls `visit` with the address of each node that was not born before `below`.
    #[cfg(kvns_loom)]
    pub(crate) fn each_node(&self, below: u32, mut visit: impl FnMut(*const u8)) {
        fn walk(node: Node<'_>, whole: bool, below: u32, visit: &mut impl FnMut(*const u8)) {
            if node.birth() < below {
                return;
            }
            visit(node.raw.as_ptr().cast());
            let children = if node.is_leaf() || !whole { 0 } else { node.len() };
            (0..children).for_each(|index| walk(node.child(index), whole, below, visit));
        }
        for entry in &self.entries {
            walk(Node { raw: entry.raw, life: PhantomData }, entry.whole, below, &mut visit);
        }
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
                self.entries.extend(children.map(|child| Dropped { raw: child.raw, whole: true }));
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

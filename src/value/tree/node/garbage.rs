//! Publishing and freeing nodes: roots, finished edits, and what they leave behind.

use super::super::{Layout, Tree};
use super::{Node, Raw, free};
use smallvec::SmallVec;
use std::marker::PhantomData;

/// The root of one version of a tree, as a version holds it: a pointer that neither keeps nor frees anything.
#[derive(Debug)]
pub struct Root<L> {
    pub(super) raw: Option<Raw>,
    pub(super) layout: PhantomData<fn() -> L>,
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
    pub(super) root: Root<L>,
    pub(super) base: Option<Raw>,
    pub(super) built: SmallVec<[Raw; 6]>,
    pub(super) replaced: Garbage,
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
pub(super) struct Entry {
    pub(super) raw: Raw,
    /// With all nodes below it.
    pub(super) whole: bool,
}

/// Nodes that left a tree and wait to be freed. Dropping it leaks them.
#[derive(Debug, Default)]
pub struct Garbage {
    pub(super) entries: SmallVec<[Entry; 6]>,
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

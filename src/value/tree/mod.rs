//! The packed persistent tree: what lists, hashes, sets and the members of sorted sets are made of.
//!
//! # Purpose
//! One immutable counted B+tree with byte-packed leaves of about 1 KiB and wide inner nodes. An edit copies the
//! path from the root to the leaves it touches and shares everything else with the version before. Nodes carry
//! no reference counts: the [`Delta`] of an edit knows exactly which nodes it built and which it replaced.
//!
//! ```text
//! Root --tree()--> Tree --Delta::new--> Delta --edits--> seal() --> Sealed --published--> commit() --> Garbage
//!                                         |                            |                                  |
//!                                         +---- dropped: what it built is freed ----+         freed after a grace
//!                                                                                             period, in slices
//! ```
//! A tree of one leaf is the small representation; it may take [`ROOT_LEAF_SIZE`] bytes. In layouts that say so
//! it keeps the order of insertion and is searched linearly; the edit that makes it too large puts its items in
//! the order of their ranks. The way back is a merge of the last two leaves, at three quarters of a leaf; from
//! there on new items are appended again. Between the two limits lies more than half the size, so a tree does
//! not flip between its forms.
//!
//! # Invariants
//! - T1. A node is written to its end when it is built; header and content say the same.
//! - T2. Nothing in a node changes once its delta is sealed, and it is published no earlier.
//! - T3. In keyed layouts the fence of a child is (rank, key): nothing in the child orders before it, and all in
//!   the children to its left does. The key is empty where ranks alone separate. Fences and items have one
//!   order. The fence of a first child is that of its node, and what the node itself says of it is not read.
//! - T4. A node lives at least as long as every published root that reaches it; who frees it has taken it out of
//!   reach and waited for the readers.
//! - T5. Every node of a base that a delta's root does not reach is in the delta's garbage once, and no other is.
//! - T6. Counts and footprints of inner nodes are the sums of what is below. An item counts for 1, or in layouts with
//!   weights for its weight; positions are counted the same way.
//! - T7. All leaves are at the same depth. A leaf that is not the root holds at most [`Layout::LEAF_SIZE`]
//!   bytes, or one
//!   item; an inner node has 1 to [`FAN`] children, the root at least 2.
//! - T8. A node is not born before its children.
//! - T9. Every node hangs in one place of a version's tree.

pub mod algebra;
mod check;
mod cursor;
mod edit;
mod ends;
mod item;
mod iter;
mod keyed;
mod list;
mod node;
mod patch;
#[cfg(test)]
mod tests;
mod weighted;

pub use edit::Delta;
pub use ends::Ends;
pub use item::Item;
pub use iter::{Backward, Forward};
pub use keyed::{Edit, Op};
pub use list::Splice;
pub use node::{Garbage, Root, Sealed};
pub use patch::Patch;
pub use weighted::Weighed;

use item::Items;
use node::{HEADER, Node};
use std::cmp::Ordering;
use std::marker::PhantomData;

/// Bytes of items in a leaf, at most, where they are read in order: with the header a size class of the allocator.
pub const LEAF_SIZE: usize = 1024 - HEADER;

/// The same where they are found by key: less to search and to copy, for a few bytes more per item.
pub const KEYED_LEAF_SIZE: usize = 512 - HEADER;

/// Bytes of items in a leaf that is the root, at most.
pub const ROOT_LEAF_SIZE: usize = 4096 - HEADER;

/// Items in a leaf, at most: it bounds the linear search, where items are tiny.
pub const LEAF_ITEMS: usize = 128;

/// Weight of an item, at most: those of a leaf fit 16 bits together.
pub const WEIGHT_MAX: u16 = 511;

/// Children of an inner node, at most: with it a keyed inner node fills a size class of the allocator.
pub const FAN: usize = 41;

/// How items are laid out and ordered.
pub trait Layout: Copy + std::fmt::Debug + 'static {
    /// True if an item has a value beside its key.
    const VALUES: bool;

    /// True if items are found by key, false if by position only.
    const KEYED: bool;

    /// Bytes of items in a leaf that is not the root, at most.
    const LEAF_SIZE: usize = if Self::KEYED { KEYED_LEAF_SIZE } else { LEAF_SIZE };

    /// True if items count for something else than 1 in lengths, counts and positions.
    const WEIGHTED: bool = false;

    /// The weight of an item in layouts with weights; at most [`WEIGHT_MAX`].
    fn weight(_item: Item<'_>) -> u16 {
        1
    }

    /// A fence between the neighbours `left` and `right`: above the first, not above the second (T3).
    fn fence<'n>(left: &'n [u8], right: &'n [u8]) -> (u64, &'n [u8]);
}

/// A layout whose items are found by key. Items are ordered by (rank, key).
pub trait Keyed: Layout {
    /// True if a tree of one leaf keeps the order of insertion.
    const INSERTION_ORDER: bool;

    /// What orders keys first.
    fn rank(key: &[u8]) -> u64;

    /// The order of keys of the same rank. The empty key comes first.
    fn compare(left: &[u8], right: &[u8]) -> Ordering {
        left.cmp(right)
    }
}

/// The fence of keyed layouts: the rank, and the key where ranks tie.
pub fn keyed_fence<'n, L: Keyed>(left: &[u8], right: &'n [u8]) -> (u64, &'n [u8]) {
    let rank = L::rank(right);
    if L::rank(left) == rank { (rank, right) } else { (rank, &[]) }
}

/// Items ordered by position: lists.
#[derive(Clone, Copy, Debug)]
pub struct List;

impl Layout for List {
    const VALUES: bool = false;
    const KEYED: bool = false;
    fn fence<'n>(_left: &'n [u8], _right: &'n [u8]) -> (u64, &'n [u8]) {
        (0, &[])
    }
}

/// Keys ordered by hash: sets.
#[derive(Clone, Copy, Debug)]
pub struct Set;

/// Keys with values, ordered by the key's hash: hashes.
#[derive(Clone, Copy, Debug)]
pub struct Hash;

/// The hash that orders sets and hashes: keyed once per process, so that nobody can choose keys that tie. 63 bits.
pub fn key_hash(key: &[u8]) -> u64 {
    static SEED: std::sync::LazyLock<ahash::RandomState> = std::sync::LazyLock::new(ahash::RandomState::new);
    SEED.hash_one(key) >> 1
}

macro_rules! ordered_by_hash {
    ($layout:ty, values: $values:expr) => {
        impl Layout for $layout {
            const VALUES: bool = $values;
            const KEYED: bool = true;
            fn fence<'n>(left: &'n [u8], right: &'n [u8]) -> (u64, &'n [u8]) {
                keyed_fence::<$layout>(left, right)
            }
        }

        impl Keyed for $layout {
            const INSERTION_ORDER: bool = true;
            fn rank(key: &[u8]) -> u64 {
                key_hash(key)
            }
        }
    };
}

ordered_by_hash!(Set, values: false);
ordered_by_hash!(Hash, values: true);

/// One version of a tree, to be read; its nodes stay allocated for `'g`.
#[derive(Clone, Copy)]
pub struct Tree<'g, L> {
    root: Option<Node<'g>>,
    layout: PhantomData<L>,
}

impl<L: Layout> std::fmt::Debug for Tree<'_, L> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_list().entries(self.iter()).finish()
    }
}

impl<'g, L: Layout> Tree<'g, L> {
    fn new(root: Option<Node<'g>>) -> Tree<'g, L> {
        Tree { root, layout: PhantomData }
    }

    /// A tree without items, to start a delta from.
    pub const EMPTY: Tree<'g, L> = Tree { root: None, layout: PhantomData };

    /// Number of items, or their weight in layouts with weights. O(1).
    pub fn len(self) -> u64 {
        self.root.map_or(0, Node::count)
    }

    /// True if there are no items.
    pub fn is_empty(self) -> bool {
        self.root.is_none()
    }

    /// Bytes the allocator holds for all nodes. O(1).
    pub fn footprint(self) -> u64 {
        self.root.map_or(0, Node::footprint)
    }

    /// True if the tree is at most one leaf: the small representation.
    pub fn is_small(self) -> bool {
        self.root.is_none_or(Node::is_leaf)
    }

    /// The item at `index`, counted from the front. O(log n).
    pub fn nth(self, mut index: u64) -> Option<Item<'g>> {
        let mut node = self.root.filter(|root| index < root.count())?;
        while !node.is_leaf() {
            let (child, before) = child_at(node, index);
            index -= before;
            node = node.child(child);
            node.prefetch(LEAF_SIZE);
        }
        let mut items = Items::<L>::new(node.bytes());
        items.pass(index as usize);
        items.next()
    }

    /// All items from the front.
    pub fn iter(self) -> Forward<'g, L> {
        Forward::from_front(self.root)
    }

    /// Items from position `index` to the back. O(log n) to the first.
    pub fn iter_from(self, index: u64) -> Forward<'g, L> {
        Forward::from_index(self.root, index)
    }

    /// Items from position `index` to the front, that of `index` first; from the last one if there are fewer.
    /// O(log n) to the first.
    pub fn iter_back_from(self, index: u64) -> Backward<'g, L> {
        Backward::from_index(self.root, index)
    }
}

/// The child that holds the item at `index` of the subtree, and how many items are before it. The last child if
/// there is no such item. Looked for from the nearer end, for lists are read and edited there most.
fn child_at(node: Node<'_>, index: u64) -> (usize, u64) {
    let (counts, total) = (node.counts(), node.count());
    if index >= total / 2 {
        let mut before = total;
        for (child, count) in counts.iter().enumerate().rev() {
            before -= count;
            if index >= before {
                return (child, before);
            }
        }
    }
    let mut before = 0;
    for (child, count) in counts.iter().enumerate() {
        if index < before + count {
            return (child, before);
        }
        before += count;
    }
    unreachable!("T6: a node's count is the sum of its children's")
}

//! The common parts of all edits: packing items into leaves, rebuilding inner nodes, splitting and merging.

use super::item::{Piece, singles, totals};
use super::node::{Child, Node, Nursery, Sealed};
use super::{FAN, LEAF_ITEMS, Layout, Tree};
use smallvec::{SmallVec, smallvec};
use std::marker::PhantomData;

/// Nodes are merged up to this size, and leaves up to three quarters of theirs, so that a merged one has room to grow
/// before it splits.
const MERGED_ITEMS: usize = LEAF_ITEMS / 4 * 3;
const MERGED_FAN: usize = FAN / 4 * 3;

/// One edit or several of a tree: every one makes a new root and leaves the base as it was.
///
/// It remembers which nodes it built and which of the base's it replaced. Dropping it frees what it built.
pub struct Delta<'g, L> {
    pub(super) nursery: Nursery<'g>,
    layout: PhantomData<L>,
}

impl<L: Layout> std::fmt::Debug for Delta<'_, L> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Delta").field("tree", &self.tree()).finish()
    }
}

impl<'g, L: Layout> Delta<'g, L> {
    /// Starts from `base`. Nodes will carry `birth`, a reading of the snapshot epoch no later than the stamp
    /// of the version they are published in, or the base's birth if that is later.
    ///
    /// # Panics
    /// If `base` belongs to a delta that is not sealed.
    pub fn new(base: Tree<'g, L>, birth: u32) -> Delta<'g, L> {
        Delta { nursery: Nursery::new(base.root, birth), layout: PhantomData }
    }

    /// A tree like `tree` that shares nothing with it, as COPY makes it. O(n).
    pub fn copy_of(tree: Tree<'_, L>, birth: u32) -> Delta<'g, L> {
        let delta = Delta::new(Tree::EMPTY, birth);
        let copy = tree.root.map(|root| delta.nursery.copy_of(root));
        delta.nursery.set_root(copy);
        delta
    }

    /// The tree after the edits so far.
    pub fn tree(&self) -> Tree<'_, L> {
        Tree::new(self.nursery.root())
    }

    /// Removes every item. O(1) for what the base has, which is freed in slices later.
    pub fn clear(&mut self) {
        if let Some(root) = self.nursery.root() {
            self.nursery.retire_whole(root);
        }
        self.nursery.set_root(None);
    }

    /// False if the tree is still the base.
    pub fn is_changed(&self) -> bool {
        self.nursery.is_changed()
    }

    /// Ends the editing, so that the root can be published.
    pub fn seal(self) -> Sealed {
        self.nursery.seal()
    }
}

/// Where a node that must be split keeps its free space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fill {
    /// On both sides: items come anywhere.
    Even,
    /// At the back: items are appended, and what is left behind stays full.
    Front,
    /// At the front: items are pushed there.
    Back,
}

/// The nodes that replace one node: none, one, or several of the same height. The fence of the first is
/// the fence of the place.
pub(super) type Children<'x> = SmallVec<[Child<'x>; 2]>;

/// What changed below an inner node: child by child, in order.
pub(super) type Replacements<'x> = SmallVec<[(usize, Children<'x>); 2]>;

/// A new node in the place of another one, whose fence it gets from the parent.
fn fresh(node: Node<'_>) -> Child<'_> {
    Child { node, count: node.count(), rank: 0, key: &[], fresh: true }
}

/// Packs items into leaves that take the place of `old`, which is retired unless it comes out the same.
/// Up to `limit` bytes they stay in one leaf.
pub(super) fn pack<'x, L: Layout>(
    nursery: &'x Nursery<'_>,
    old: Option<Node<'x>>,
    pieces: &[Piece<'x>],
    limit: usize,
    fill: Fill,
) -> Children<'x> {
    let (size, items) = totals::<L>(pieces);
    let mut children = Children::new();
    let mut kept = false;
    if items == 1 || (items > 0 && items <= LEAF_ITEMS && size <= limit) {
        children.push(fresh(nursery.leaf::<L>(pieces)));
    } else if items > 0 {
        let singles = singles::<L>(pieces);
        let mut start = 0;
        for end in cuts::<L>(&singles, fill) {
            let group = &singles[start..end];
            let (rank, key) = match start {
                0 => (0, [].as_slice()),
                _ => L::fence(singles[start - 1].key::<L>(), group[0].key::<L>()),
            };
            let unchanged = old.filter(|old| is_all_of(*old, group));
            kept |= unchanged.is_some();
            let node = unchanged.unwrap_or_else(|| nursery.leaf::<L>(group));
            children.push(Child { node, count: node.count(), rank, key, fresh: true });
            start = end;
        }
    }
    if let Some(old) = old.filter(|_| !kept) {
        nursery.retire(old);
    }
    children
}

/// True if the pieces, in order, are exactly the items of the leaf.
fn is_all_of(leaf: Node<'_>, pieces: &[Piece<'_>]) -> bool {
    let mut at = leaf.bytes().as_ptr();
    pieces.len() == leaf.len()
        && pieces.iter().all(|piece| match piece {
            Piece::Run { bytes, .. } => {
                let follows = bytes.as_ptr() == at;
                at = at.wrapping_add(bytes.len());
                follows
            }
            Piece::New(_) => false,
        })
}

/// Where to cut a row of items into leaves: the ends of the groups. An item larger than a leaf is alone.
fn cuts<L: Layout>(singles: &[Piece<'_>], fill: Fill) -> Vec<usize> {
    let len = singles.len();
    let size_of =
        |index: usize| singles[if fill == Fill::Back { len - 1 - index } else { index }].size::<L>();
    let total: usize = (0..len).map(size_of).sum();
    let leaves = total.div_ceil(L::LEAF_SIZE).max(len.div_ceil(LEAF_ITEMS)).max(2);
    let target = if fill == Fill::Even { total.div_ceil(leaves) } else { L::LEAF_SIZE };
    let mut ends = Vec::with_capacity(leaves + 1);
    let (mut size, mut start) = (0, 0);
    for index in 0..len {
        let next = size_of(index);
        let is_full = size + next > L::LEAF_SIZE || index - start == LEAF_ITEMS;
        let is_even = fill == Fill::Even && ends.len() + 1 < leaves && size + next / 2 > target;
        if index > start && (is_full || is_even) {
            ends.push(index);
            (size, start) = (0, index);
        }
        size += next;
    }
    ends.push(len);
    if fill == Fill::Back {
        // The ends were counted from the back: turn them into ends counted from the front.
        ends.pop();
        ends = ends.iter().rev().map(|end| len - end).collect();
        ends.push(len);
    }
    ends
}

fn is_small<L: Layout>(node: Node<'_>) -> bool {
    if node.is_leaf() {
        node.size() < L::LEAF_SIZE / 2 && node.len() < LEAF_ITEMS / 2
    } else {
        node.len() < FAN / 2
    }
}

fn fit_together<L: Layout>(left: Node<'_>, right: Node<'_>) -> bool {
    let len = left.len() + right.len();
    if left.is_leaf() {
        left.size() + right.size() <= L::LEAF_SIZE / 4 * 3 && len <= MERGED_ITEMS
    } else {
        len <= MERGED_FAN
    }
}

/// The inner nodes that take the place of `node`, which is retired, when some of its children were replaced.
pub(super) fn rebuild<'x, L: Layout>(
    nursery: &'x Nursery<'_>,
    node: Node<'x>,
    replacements: &Replacements<'x>,
    fill: Fill,
) -> Children<'x> {
    let stays_apart = |(index, children): &(usize, Children<'_>)| match children.as_slice() {
        [child] => !(is_small::<L>(child.node) && child.node.size() < node.child(*index).size()),
        _ => false,
    };
    if replacements.iter().all(stays_apart) {
        let inner = nursery.inner_with(node, replacements.iter().map(|(index, new)| (*index, new[0].node)));
        nursery.retire(node);
        return smallvec![fresh(inner)];
    }
    let mut siblings = Siblings::of(node);
    siblings.substitute(node, replacements);
    siblings.merge_small::<L>(nursery);
    nursery.retire(node);
    siblings.build::<L>(nursery, node.height(), fill)
}

/// The children of one inner node, or of several neighbours, while they are edited.
struct Siblings<'x> {
    children: SmallVec<[Child<'x>; FAN + 3]>,
    /// Footprint of the children that are not fresh.
    kept: u64,
}

impl<'x> Siblings<'x> {
    fn of(node: Node<'x>) -> Siblings<'x> {
        let (counts, ranks) = (node.counts(), node.ranks());
        let children = (0..node.len())
            .map(|index| Child {
                node: node.child(index),
                count: counts[index],
                rank: ranks.get(index).copied().unwrap_or(0),
                key: node.fence_key(index),
                fresh: false,
            })
            .collect();
        Siblings { children, kept: node.footprint() - node.own_footprint() }
    }

    fn substitute(&mut self, node: Node<'x>, replacements: &Replacements<'x>) {
        let old = std::mem::take(&mut self.children);
        let mut rest = replacements.iter().peekable();
        for (index, child) in old.into_iter().enumerate() {
            let Some((_, new)) = rest.next_if(|(replaced, _)| *replaced == index) else {
                self.children.push(child);
                continue;
            };
            self.kept -= node.child(index).footprint();
            let from = self.children.len();
            self.children.extend_from_slice(new);
            if let Some(first) = self.children.get_mut(from) {
                (first.rank, first.key) = (child.rank, child.key);
            }
        }
    }

    /// Merges fresh children that became small with a neighbour, where the two fit well into one node.
    fn merge_small<L: Layout>(&mut self, nursery: &'x Nursery<'_>) {
        let mut index = 0;
        while index < self.children.len() {
            let child = self.children[index];
            let is_candidate = child.fresh && is_small::<L>(child.node);
            if is_candidate && index > 0 && self.merge_pair::<L>(nursery, index - 1) {
                index -= 1;
            } else if !is_candidate || !self.merge_pair::<L>(nursery, index) {
                index += 1;
            }
        }
    }

    /// Merges the children at `index` and behind it, if they fit.
    fn merge_pair<L: Layout>(&mut self, nursery: &'x Nursery<'_>, index: usize) -> bool {
        let &[left, right] = &self.children[index..(index + 2).min(self.children.len())] else {
            return false;
        };
        if !fit_together::<L>(left.node, right.node) {
            return false;
        }
        for child in [left, right] {
            if !child.fresh {
                self.kept -= child.node.footprint();
            }
        }
        let node = merge::<L>(nursery, left.node, right);
        self.children[index] = Child { node, count: left.count + right.count, fresh: true, ..left };
        self.children.remove(index + 1);
        true
    }

    /// Builds as many inner nodes as the children need.
    fn build<L: Layout>(self, nursery: &'x Nursery<'_>, height: u8, fill: Fill) -> Children<'x> {
        let len = self.children.len();
        let nodes = len.div_ceil(FAN);
        let mut parents = Children::new();
        let mut start = 0;
        for node in 0..nodes {
            let end = match fill {
                Fill::Even => (node + 1) * len / nodes,
                Fill::Front => (start + FAN).min(len),
                Fill::Back => len - (nodes - 1 - node) * FAN,
            };
            let group = &self.children[start..end];
            let below = if nodes == 1 {
                let fresh = group.iter().filter(|child| child.fresh);
                self.kept + fresh.map(|child| child.node.footprint()).sum::<u64>()
            } else {
                group.iter().map(|child| child.node.footprint()).sum()
            };
            let parent = nursery.inner::<L>(height, group, below);
            let Child { rank, key, .. } = group[0];
            parents.push(Child { node: parent, count: parent.count(), rank, key, fresh: true });
            start = end;
        }
        parents
    }
}

/// One node of two neighbours, which are retired.
fn merge<'x, L: Layout>(nursery: &'x Nursery<'_>, left: Node<'x>, right: Child<'x>) -> Node<'x> {
    let merged = if left.is_leaf() {
        let run = |leaf: Node<'x>| Piece::Run { bytes: leaf.bytes(), items: leaf.len() };
        nursery.leaf::<L>(&[run(left), run(right.node)])
    } else {
        let mut siblings = Siblings::of(left);
        let mut others = Siblings::of(right.node);
        // The first child's own fence is not kept up (T3); here it is needed.
        (others.children[0].rank, others.children[0].key) = (right.rank, right.key);
        let seam = siblings.children.len() - 1;
        siblings.children.extend(others.children);
        siblings.kept += others.kept;
        let [last, first] = [siblings.children[seam].node, siblings.children[seam + 1].node];
        if is_small::<L>(last) || is_small::<L>(first) {
            siblings.merge_pair::<L>(nursery, seam);
        }
        siblings.build::<L>(nursery, left.height(), Fill::Even)[0].node
    };
    nursery.retire(left);
    nursery.retire(right.node);
    merged
}

/// The root above what took the place of the old root.
pub(super) fn grow<'x, L: Layout>(
    nursery: &'x Nursery<'_>,
    mut level: Children<'x>,
    fill: Fill,
) -> Option<Node<'x>> {
    while level.len() > 1 {
        let height = level[0].node.height() + 1;
        let siblings = Siblings { children: level.into_iter().collect(), kept: 0 };
        level = siblings.build::<L>(nursery, height, fill);
    }
    let mut root = level.pop()?.node;
    while !root.is_leaf() && root.len() == 1 {
        nursery.retire(root);
        root = root.child(0);
    }
    Some(root)
}

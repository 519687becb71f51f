//! Reads by weight: which item covers a position, and what counts before an item.

use super::item::{Item, Items};
use super::keyed::{child_for, compare};
use super::node::Node;
use super::{Keyed, LEAF_SIZE, Layout, Tree, child_at};

/// An item, and what all items before it count for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weighed<'g> {
    /// The item.
    pub item: Item<'g>,
    /// The weight of all items before it.
    pub before: u64,
}

/// The last item of a leaf that `is_wanted`, where those that are come first.
fn last_in<'g, L: Layout>(
    leaf: Node<'g>,
    mut before: u64,
    mut is_wanted: impl FnMut(Item<'g>) -> bool,
) -> Option<Weighed<'g>> {
    let mut last = None;
    for item in Items::<L>::new(leaf.bytes()) {
        if !is_wanted(item) {
            break;
        }
        last = Some(Weighed { item, before });
        before += u64::from(L::weight(item));
    }
    last
}

impl<'g, L: Keyed> Tree<'g, L> {
    /// The last item that does not order behind `key`. For trees whose small form is ordered too. O(log n).
    pub fn floor(self, key: &[u8]) -> Option<Weighed<'g>> {
        let rank = L::rank(key);
        let (mut node, mut before) = (self.root?, 0);
        // The nearest subtree on the left, and what counts before it.
        let mut left = None;
        while !node.is_leaf() {
            let child = child_for::<L>(node, rank, key);
            let counts = node.counts();
            let passed: u64 = counts[..child].iter().sum();
            if child > 0 {
                left = Some((node.child(child - 1), before + passed - counts[child - 1]));
            }
            before += passed;
            node = node.child(child);
            node.prefetch(LEAF_SIZE);
        }
        let is_below = |item: Item<'g>| compare::<L>((L::rank(item.key), item.key), (rank, key)).is_le();
        last_in::<L>(node, before, is_below).or_else(|| {
            let (mut node, mut before) = left?;
            while !node.is_leaf() {
                let last = node.len() - 1;
                before += node.count() - node.counts()[last];
                node = node.child(last);
            }
            last_in::<L>(node, before, |_| true)
        })
    }

    /// The item that covers position `index`, counted by weights from the front. O(log n).
    pub fn covering(self, index: u64) -> Option<Weighed<'g>> {
        let mut node = self.root.filter(|root| index < root.count())?;
        let (mut before, mut index) = (0, index);
        while !node.is_leaf() {
            let (child, passed) = child_at(node, index);
            (before, index) = (before + passed, index - passed);
            node = node.child(child);
            node.prefetch(LEAF_SIZE);
        }
        for item in Items::<L>::new(node.bytes()) {
            let weight = u64::from(L::weight(item));
            if index < weight {
                return Some(Weighed { item, before });
            }
            (before, index) = (before + weight, index - weight);
        }
        None
    }

    /// Items in their order, from the first one whose rank is at least `rank`. For trees of more than one leaf, or
    /// whose small form is ordered too. O(log n) to the first.
    pub fn iter_from_rank(self, rank: u64) -> super::Forward<'g, L> {
        super::Forward::from_rank(self.root, rank)
    }
}

//! The invariants of a tree, recounted.

use super::item::Items;
use super::node::Node;
use super::{FAN, LEAF_ITEMS, Layout, ROOT_LEAF_SIZE, Tree};
use std::cmp::Ordering;

/// A point in the order of keyed layouts.
type Point<'g> = (u64, &'g [u8]);

impl<'g, L: Layout> Tree<'g, L> {
    /// Verifies T1, T3 and T6 to T8 of every node. O(n). `point` tells an item's rank in keyed layouts, `compare`
    /// orders keys of one rank.
    fn check_with(
        self,
        rank: impl Fn(&[u8]) -> u64,
        compare: impl Fn(&[u8], &[u8]) -> Ordering,
        keeps_insertion_order: bool,
    ) -> Result<(), String> {
        let Some(root) = self.root else { return Ok(()) };
        if !root.is_leaf() && root.len() < 2 {
            return Err("T7: a root with one child".into());
        }
        let order =
            |left: Point<'_>, right: Point<'_>| left.0.cmp(&right.0).then_with(|| compare(left.1, right.1));
        let mut walk = Walk::<L, _, _> { rank, order, last: None, layout: std::marker::PhantomData };
        if root.is_leaf() {
            let is_ordered = L::KEYED && !keeps_insertion_order;
            return walk.leaf(root, ROOT_LEAF_SIZE, is_ordered);
        }
        walk.inner(root, (0, &[]))
    }
}

impl<L: super::Keyed> Tree<'_, L> {
    /// Verifies the invariants of the module's header, the order of the keys included. O(n).
    ///
    /// # Errors
    /// The first violation, in words.
    pub fn check(self) -> Result<(), String> {
        self.check_with(L::rank, L::compare, L::INSERTION_ORDER)
    }
}

impl Tree<'_, super::List> {
    /// Verifies the invariants of the module's header. O(n).
    ///
    /// # Errors
    /// The first violation, in words.
    pub fn check(self) -> Result<(), String> {
        self.check_with(|_| 0, |_, _| Ordering::Equal, false)
    }
}

struct Walk<'g, L, R, O> {
    rank: R,
    order: O,
    /// The item visited last.
    last: Option<Point<'g>>,
    layout: std::marker::PhantomData<L>,
}

fn ensure(holds: bool, rule: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(rule.to_string()) }
}

impl<'g, L, R, O> Walk<'g, L, R, O>
where
    L: Layout,
    R: Fn(&[u8]) -> u64,
    O: Fn(Point<'_>, Point<'_>) -> Ordering,
{
    fn leaf(&mut self, leaf: Node<'g>, limit: usize, is_ordered: bool) -> Result<(), String> {
        ensure(leaf.len() >= 1, "T7: an empty leaf")?;
        ensure(leaf.len() <= LEAF_ITEMS, "T7: too many items in a leaf")?;
        ensure(leaf.len() == 1 || leaf.size() <= limit, "T7: a leaf too large")?;
        let items = Items::<L>::new(leaf.bytes());
        ensure(items.clone().count() == leaf.len(), "T1: a leaf's length")?;
        let weight = |item| if L::WEIGHTED { u64::from(L::weight(item)) } else { 1 };
        ensure(items.clone().map(weight).sum::<u64>() == leaf.count(), "T6: a leaf's weight")?;
        if is_ordered {
            for item in items {
                let point = ((self.rank)(item.key), item.key);
                let is_above = self.last.is_none_or(|last| (self.order)(last, point).is_lt());
                ensure(is_above, "T3: items out of order")?;
                self.last = Some(point);
            }
        }
        Ok(())
    }

    fn inner(&mut self, node: Node<'g>, fence: Point<'g>) -> Result<(), String> {
        ensure((1..=FAN).contains(&node.len()), "T7: an inner node's length")?;
        let (mut count, mut footprint) = (0, node.own_footprint());
        for index in 0..node.len() {
            let child = node.child(index);
            ensure(child.birth() <= node.birth(), "T8: a child younger than its parent")?;
            ensure(child.height() + 1 == node.height(), "T7: leaves at different depths")?;
            ensure(child.count() == node.counts()[index], "T6: a child's count")?;
            ensure(child.is_own() <= node.is_own(), "T2: an unsealed child")?;
            count += child.count();
            footprint += child.footprint();
            let own = (node.ranks().get(index).copied().unwrap_or(0), node.fence_key(index));
            let below = if index == 0 { fence } else { own };
            if L::KEYED {
                let is_above = self.last.is_none_or(|last| (self.order)(last, below).is_lt());
                ensure(is_above, "T3: an item left of a fence is not below it")?;
                // What comes next must not be below the fence; the fence itself may be an item's place.
                let before = self.last.take();
                self.visit(child, below)?;
                let first = super::Forward::<L>::from_front(Some(child)).next();
                let first = first.map_or(below, |item| ((self.rank)(item.key), item.key));
                ensure((self.order)(below, first).is_le(), "T3: an item is below its fence")?;
                ensure(
                    before.is_none_or(|last| (self.order)(last, first).is_lt()),
                    "T3: leaves out of order",
                )?;
            } else {
                self.visit(child, below)?;
            }
        }
        ensure(count == node.count(), "T6: an inner node's count")?;
        ensure(footprint == node.footprint(), "T6: an inner node's footprint")
    }

    fn visit(&mut self, node: Node<'g>, fence: Point<'g>) -> Result<(), String> {
        if node.is_leaf() { self.leaf(node, L::LEAF_SIZE, L::KEYED) } else { self.inner(node, fence) }
    }
}

//! Edits by position: lists.

use super::edit::{Children, Delta, Fill, Replacements, grow, pack, rebuild};
use super::item::{Item, Items, Piece};
use super::node::{Node, Nursery};
use super::{LEAF_SIZE, List, ROOT_LEAF_SIZE, child_at};
use smallvec::SmallVec;
use std::ops::Range;

/// A stretch of positions and what takes its place.
#[derive(Clone, Debug)]
pub struct Splice<'a> {
    /// Positions in the tree before the edit; empty to insert only.
    pub range: Range<u64>,
    /// The items that come there, in order.
    pub items: &'a [&'a [u8]],
}

impl Delta<'_, List> {
    /// Replaces stretches of the list, all counted before the edit, in ascending order and apart from each other.
    /// O(log n + items) for each, whatever the length of a removed stretch.
    ///
    /// # Panics
    /// If a range ends behind the list, begins before the one before it ends, or two of them insert in one place.
    pub fn splice(&mut self, splices: &[Splice<'_>]) {
        self.nursery.sweep();
        let nursery = &self.nursery;
        let root = nursery.root();
        let count = root.map_or(0, Node::count);
        let mut end = 0;
        for splice in splices {
            assert!(splice.range.start >= end && splice.range.start <= splice.range.end, "splices in order");
            end = splice.range.end.max(splice.range.start + u64::from(splice.range.is_empty()));
            assert!(splice.range.end <= count, "a splice lies within the list");
        }
        let changes = |splice: &&Splice<'_>| !splice.range.is_empty() || !splice.items.is_empty();
        let splices: SmallVec<[&Splice<'_>; 4]> = splices.iter().filter(changes).collect();
        let (Some(first), Some(last)) = (splices.first(), splices.last()) else { return };
        let fill = if first.range.start == count {
            Fill::Front
        } else if last.range.end == 0 {
            Fill::Back
        } else {
            Fill::Even
        };
        let edit = PositionEdit { nursery, fill };
        let level = match root {
            None => {
                let pieces: Vec<_> =
                    first.items.iter().map(|key| Piece::New(Item { key, value: &[] })).collect();
                pack::<List>(nursery, None, &pieces, ROOT_LEAF_SIZE, fill)
            }
            Some(leaf) if leaf.is_leaf() => edit.leaf(leaf, 0, &splices, true, ROOT_LEAF_SIZE),
            Some(inner) => edit.inner(inner, 0, &splices, true),
        };
        nursery.set_root(grow::<List>(nursery, level, fill));
    }

    /// Adds items behind the last. O(log n + items).
    pub fn push_back(&mut self, items: &[&[u8]]) {
        let len = self.tree().len();
        self.splice(&[Splice { range: len..len, items }]);
    }

    /// Adds items before the first, in the order given. O(log n + items).
    pub fn push_front(&mut self, items: &[&[u8]]) {
        self.insert(0, items);
    }

    /// Inserts items before position `index`. O(log n + items).
    pub fn insert(&mut self, index: u64, items: &[&[u8]]) {
        self.splice(&[Splice { range: index..index, items }]);
    }

    /// Replaces the item at `index`. O(log n).
    pub fn set(&mut self, index: u64, item: &[u8]) {
        self.splice(&[Splice { range: index..index + 1, items: &[item] }]);
    }

    /// Removes a stretch of items. O(log n), whatever its length.
    pub fn remove(&mut self, range: Range<u64>) {
        self.splice(&[Splice { range, items: &[] }]);
    }

    /// Keeps only the stretch `range`, as LTRIM does. O(log n).
    pub fn keep(&mut self, range: Range<u64>) {
        let len = self.tree().len();
        let splice = |range| Splice { range, items: &[] };
        if range.is_empty() {
            self.splice(&[splice(0..len)]);
        } else {
            self.splice(&[splice(0..range.start), splice(range.end..len)]);
        }
    }
}

struct PositionEdit<'x, 'g> {
    nursery: &'x Nursery<'g>,
    fill: Fill,
}

/// True if the splice's items belong into the stretch: it begins there, or at the very end of the list.
fn begins_in(splice: &Splice<'_>, stretch: &Range<u64>, is_last: bool) -> bool {
    stretch.contains(&splice.range.start) || (is_last && splice.range.start == stretch.end)
}

impl<'x> PositionEdit<'x, '_> {
    /// Edits a leaf whose first item is at position `base`; every splice touches it.
    fn leaf(
        &self,
        leaf: Node<'x>,
        base: u64,
        splices: &[&'x Splice<'x>],
        is_last: bool,
        limit: usize,
    ) -> Children<'x> {
        let stretch = base..base + leaf.count();
        let bytes = leaf.bytes();
        let mut items = Items::<List>::new(bytes);
        let mut position = base;
        let mut skip_to = |target: u64| {
            let start = bytes.len() - items.remaining();
            let skipped = (target - position) as usize;
            items.pass(skipped);
            position = target;
            Piece::Run { bytes: &bytes[start..bytes.len() - items.remaining()], items: skipped }
        };
        let mut pieces: SmallVec<[Piece<'x>; 8]> = SmallVec::new();
        for splice in splices {
            pieces.push(skip_to(splice.range.start.max(base)));
            if begins_in(splice, &stretch, is_last) {
                pieces.extend(splice.items.iter().map(|key| Piece::New(Item { key, value: &[] })));
            }
            skip_to(splice.range.end.min(stretch.end).max(splice.range.start.max(base)));
        }
        pieces.push(skip_to(stretch.end));
        pieces.retain(|piece| piece.items() > 0);
        pack::<List>(self.nursery, Some(leaf), &pieces, limit, self.fill)
    }

    /// Edits an inner node whose first item is at position `base`; every splice touches it.
    fn inner(&self, node: Node<'x>, base: u64, splices: &[&'x Splice<'x>], is_last: bool) -> Children<'x> {
        let mut replacements = Replacements::new();
        let (first, before) = child_at(node, splices[0].range.start.saturating_sub(base));
        let mut stretch = base..base + before;
        let mut next = 0;
        for (index, count) in node.counts().iter().enumerate().skip(first) {
            stretch = stretch.end..stretch.end + count;
            let is_last = is_last && index + 1 == node.len();
            let touches = |splice: &Splice<'_>| {
                begins_in(splice, &stretch, is_last)
                    || (splice.range.start < stretch.start && splice.range.end > stretch.start)
            };
            let len = splices[next..].iter().take_while(|splice| touches(splice)).count();
            if len == 0 {
                continue;
            }
            let here = &splices[next..next + len];
            let child = node.child(index);
            replacements.push((index, self.child(child, &stretch, here, is_last)));
            next += len;
            if here[len - 1].range.end > stretch.end {
                next -= 1;
            } else if next == splices.len() {
                break;
            }
        }
        rebuild::<List>(self.nursery, node, &replacements, self.fill)
    }

    fn child(
        &self,
        child: Node<'x>,
        stretch: &Range<u64>,
        splices: &[&'x Splice<'x>],
        is_last: bool,
    ) -> Children<'x> {
        let removes_all = splices[0].range.start <= stretch.start && splices[0].range.end >= stretch.end;
        let inserts = splices.iter().any(|s| begins_in(s, stretch, is_last) && !s.items.is_empty());
        if removes_all && !inserts {
            self.nursery.retire_whole(child);
            return Children::new();
        }
        if child.is_leaf() {
            self.leaf(child, stretch.start, splices, is_last, LEAF_SIZE)
        } else {
            self.inner(child, stretch.start, splices, is_last)
        }
    }
}

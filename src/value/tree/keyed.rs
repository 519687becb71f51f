//! Reads and edits by key: sets, hashes, members of sorted sets.

use super::edit::{Children, Delta, Fill, Replacements, grow, pack, rebuild};
use super::item::{Item, Items, Piece, totals};
use super::node::{HEADER, Node, Nursery};
use super::{FAN, Forward, Keyed, LEAF_ITEMS, ROOT_LEAF_SIZE, Tree, cursor};
use smallvec::SmallVec;
use std::cmp::Ordering;

/// Up to this many edits a small tree looks each key up among them by comparing bytes, without hashing.
const LINEAR_EDITS: usize = 8;

/// Bytes of an inner node up to the end of its ranks.
const RANKS_SIZE: usize = HEADER + 16 + 8 * FAN;

/// What happens to one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op<'a> {
    /// The key is there afterwards, with this value; the value is empty in layouts without values.
    Put(&'a [u8]),
    /// The key is not there afterwards.
    Remove,
}

/// One key and what happens to it.
#[derive(Clone, Copy, Debug)]
pub struct Edit<'a> {
    /// The key.
    pub key: &'a [u8],
    /// The change of it.
    pub op: Op<'a>,
}

/// An edit in its order.
#[derive(Clone, Copy)]
struct Ranked<'x> {
    rank: u64,
    /// Which of the edits named the key first.
    turn: usize,
    edit: Edit<'x>,
}

type Batch<'x> = SmallVec<[Ranked<'x>; 4]>;

pub(super) fn compare<L: Keyed>(left: (u64, &[u8]), right: (u64, &[u8])) -> Ordering {
    left.0.cmp(&right.0).then_with(|| L::compare(left.1, right.1))
}

/// True if the child's fence is not above (rank, key).
fn is_reached<L: Keyed>(node: Node<'_>, child: usize, rank: u64, key: &[u8]) -> bool {
    compare::<L>((node.ranks()[child], node.fence_key(child)), (rank, key)).is_le()
}

/// The child in which (rank, key) is, if it is there: the last one whose fence is not above it.
#[inline]
pub(super) fn child_for<L: Keyed>(node: Node<'_>, rank: u64, key: &[u8]) -> usize {
    let others = &node.ranks()[1..];
    let below = others.partition_point(|fence| *fence < rank);
    if others.get(below) != Some(&rank) {
        return below;
    }
    // Only here a fence's key can matter; ties of ranks are adjacent.
    let tied = others[below..].iter().take_while(|fence| **fence == rank).count();
    (below..below + tied)
        .take_while(|child| is_reached::<L>(node, child + 1, rank, key))
        .last()
        .map_or(below, |c| c + 1)
}

/// The child in which (rank, key) is, on its way into the cache: all of a leaf, of an inner node what is searched.
#[inline]
fn next<'g, L: Keyed>(node: Node<'g>, rank: u64, key: &[u8]) -> Node<'g> {
    let child = node.child(child_for::<L>(node, rank, key));
    child.prefetch(if node.height() == 1 { L::LEAF_SIZE } else { RANKS_SIZE });
    child
}

fn find<'g, L: Keyed>(leaf: Node<'g>, key: &[u8]) -> Option<Item<'g>> {
    Items::<L>::new(leaf.bytes()).find(|item| item.key == key)
}

impl<'g, L: Keyed> Tree<'g, L> {
    /// The item with this key. O(log n).
    pub fn get(self, key: &[u8]) -> Option<Item<'g>> {
        let mut node = self.root?;
        if !node.is_leaf() {
            let rank = L::rank(key);
            while !node.is_leaf() {
                node = next::<L>(node, rank, key);
            }
        }
        find::<L>(node, key)
    }

    /// Brings the paths to keys into the cache: a hint. Looking for all of them level by level lets their cache misses
    /// overlap. O(k log n).
    pub fn prefetch<'k>(self, keys: impl Iterator<Item = &'k [u8]>) {
        let Some(root) = self.root.filter(|root| !root.is_leaf()) else { return };
        let mut paths: SmallVec<[_; 32]> = keys.map(|key| (L::rank(key), key, root)).collect();
        for _ in 0..root.height() {
            for (rank, key, node) in &mut paths {
                *node = next::<L>(*node, *rank, key);
            }
        }
    }

    /// True if the key is there. O(log n).
    pub fn contains(self, key: &[u8]) -> bool {
        self.get(key).is_some()
    }

    /// One step of a walk that survives changes between the steps: calls `visit` for about `count` items from
    /// `cursor` on (0 at the start) and returns the next cursor, or 0 at the end; cursors are below 2^48. What is
    /// there from the first step to the last is visited; some items perhaps twice if the tree was small in between.
    /// O(log n + count); a small tree is visited at once.
    pub fn scan(self, cursor: u64, count: usize, mut visit: impl FnMut(Item<'g>)) -> u64 {
        if self.is_small() {
            self.iter().for_each(visit);
            return 0;
        }
        self.scan_below(u64::MAX, cursor, count, |item| {
            visit(item);
            true
        })
    }

    /// Like [`Tree::scan`], but of the items of ranks below `end`, and it ends where `visit` returns false. For trees
    /// of more than one leaf.
    pub fn scan_below(
        self,
        end: u64,
        cursor: u64,
        count: usize,
        mut visit: impl FnMut(Item<'g>) -> bool,
    ) -> u64 {
        let Some(start) = cursor::decode(cursor) else { return 0 };
        let count = count.max(1);
        let mut last = None;
        for (visited, item) in Forward::<L>::from_rank(self.root, cursor::first_rank(start)).enumerate() {
            if visited + 1 >= count {
                let rank = L::rank(item.key);
                let prefix = cursor::prefix(rank);
                // A cursor cannot point between items of one prefix, so that all of them are of this step.
                if visited >= count && last != Some(prefix) {
                    return if rank < end { cursor::encode(prefix) } else { 0 };
                }
                last = Some(prefix);
            }
            if !visit(item) {
                break;
            }
        }
        0
    }
}

impl<L: Keyed> Delta<'_, L> {
    /// Puts and removes keys; of several edits of one key the last counts. What a key has already, or has not,
    /// is left alone. Each node on the way is copied once, however many of the edits pass it.
    /// O(k log k + k log n) for k edits. How many keys were added or removed shows in the lengths before and
    /// after.
    pub fn apply(&mut self, edits: &[Edit<'_>]) {
        self.nursery.sweep();
        let nursery = &self.nursery;
        let root = nursery.root();
        let edit = KeyedEdit::<L> { nursery, layout: std::marker::PhantomData };
        let level = match root {
            Some(inner) if !inner.is_leaf() => edit.inner(inner, &ranked::<L>(edits)),
            leaf if L::INSERTION_ORDER => edit.small(leaf, edits),
            Some(leaf) => edit.leaf(leaf, &ranked::<L>(edits), ROOT_LEAF_SIZE),
            None => {
                let batch = ranked::<L>(edits);
                let pieces: Vec<Piece<'_>> = batch.iter().filter_map(put).collect();
                Some(pack::<L>(nursery, None, &pieces, ROOT_LEAF_SIZE, Fill::Even))
            }
        };
        if let Some(level) = level {
            nursery.set_root(grow::<L>(nursery, level, Fill::Even));
        }
    }

    /// Puts one key, see [`Delta::apply`]. Returns true if it was not there.
    pub fn insert(&mut self, key: &[u8], value: &[u8]) -> bool {
        let before = self.tree().len();
        self.apply(&[Edit { key, op: Op::Put(value) }]);
        self.tree().len() > before
    }

    /// Removes one key, see [`Delta::apply`]. Returns true if it was there.
    pub fn remove(&mut self, key: &[u8]) -> bool {
        let before = self.tree().len();
        self.apply(&[Edit { key, op: Op::Remove }]);
        self.tree().len() < before
    }
}

/// The edits ordered by (rank, key), the last one of each key.
fn ranked<'x, L: Keyed>(edits: &[Edit<'x>]) -> Batch<'x> {
    let rank = |(turn, edit): (usize, &Edit<'x>)| Ranked { rank: L::rank(edit.key), turn, edit: *edit };
    let mut batch: Batch<'x> = edits.iter().enumerate().map(rank).collect();
    batch.sort_unstable_by(|left, right| {
        compare::<L>((left.rank, left.edit.key), (right.rank, right.edit.key))
            .then(left.turn.cmp(&right.turn))
    });
    batch.dedup_by(|later, first| {
        let same = later.edit.key == first.edit.key;
        if same {
            first.edit = later.edit;
        }
        same
    });
    batch
}

/// The same for a few edits without ranks, in the order in which they name their keys.
fn unranked<'x>(edits: &[Edit<'x>]) -> Batch<'x> {
    let mut batch = Batch::new();
    for (turn, edit) in edits.iter().enumerate() {
        match batch.iter_mut().find(|earlier: &&mut Ranked<'x>| earlier.edit.key == edit.key) {
            Some(earlier) => earlier.edit = *edit,
            None => batch.push(Ranked { rank: 0, turn, edit: *edit }),
        }
    }
    batch
}

fn put<'x>(ranked: &Ranked<'x>) -> Option<Piece<'x>> {
    match ranked.edit.op {
        Op::Put(value) => Some(Piece::New(Item { key: ranked.edit.key, value })),
        Op::Remove => None,
    }
}

/// A leaf's items, as an edit keeps, drops or replaces them.
struct Rewrite<'x, L> {
    bytes: &'x [u8],
    items: Items<'x, L>,
    /// Where the run of kept items started that is not in `pieces` yet, and its items.
    run: (usize, usize),
    /// How many items come after that.
    left: usize,
    pieces: SmallVec<[Piece<'x>; 8]>,
    is_changed: bool,
}

impl<'x, L: Keyed> Rewrite<'x, L> {
    fn new(leaf: Option<Node<'x>>) -> Rewrite<'x, L> {
        let bytes = leaf.map_or([].as_slice(), Node::bytes);
        let left = leaf.map_or(0, Node::len);
        let (items, pieces) = (Items::new(bytes), SmallVec::new());
        Rewrite { bytes, items, run: (0, 0), left, pieces, is_changed: false }
    }

    fn peek(&self) -> Option<Item<'x>> {
        self.items.clone().next()
    }

    /// Keeps the items in front of (rank, key), and returns the one that is there.
    fn keep_until(&mut self, rank: u64, key: &[u8]) -> Option<Item<'x>> {
        loop {
            let mut after = self.items.clone();
            let item = after.next()?;
            match compare::<L>((L::rank(item.key), item.key), (rank, key)) {
                Ordering::Less => {
                    (self.items, self.run.1, self.left) = (after, self.run.1 + 1, self.left - 1)
                }
                Ordering::Equal => return Some(item),
                Ordering::Greater => return None,
            }
        }
    }

    /// Keeps the next `items` items.
    fn keep(&mut self, items: usize) {
        self.items.pass(items);
        self.run.1 += items;
        self.left -= items;
    }

    fn end_run(&mut self, end: usize) {
        if self.run.1 > 0 {
            self.pieces.push(Piece::Run { bytes: &self.bytes[self.run.0..end], items: self.run.1 });
        }
        self.run = (self.bytes.len() - self.items.remaining(), 0);
    }

    /// Applies an operation to the next item, which has the key.
    fn change(&mut self, item: Item<'x>, op: Op<'x>) {
        if let Op::Put(value) = op
            && (!L::VALUES || value == item.value)
        {
            return self.keep(1);
        }
        let end = self.bytes.len() - self.items.remaining();
        self.items.next();
        self.left -= 1;
        self.end_run(end);
        self.is_changed = true;
        if let Op::Put(value) = op {
            self.pieces.push(Piece::New(Item { key: item.key, value }));
        }
    }

    /// Inserts an item before the next one.
    fn insert(&mut self, ranked: &Ranked<'x>) {
        if let Some(piece) = put(ranked) {
            self.end_run(self.bytes.len() - self.items.remaining());
            self.pieces.push(piece);
            self.is_changed = true;
        }
    }

    /// Keeps what is left; `None` if nothing changed.
    fn finish(mut self) -> Option<SmallVec<[Piece<'x>; 8]>> {
        self.run.1 += self.left;
        self.end_run(self.bytes.len());
        self.is_changed.then_some(self.pieces)
    }
}

struct KeyedEdit<'x, 'g, L> {
    nursery: &'x Nursery<'g>,
    layout: std::marker::PhantomData<L>,
}

impl<'x, L: Keyed> KeyedEdit<'x, '_, L> {
    /// Edits a tree of at most one leaf, in the order of insertion. `None` if nothing changed.
    fn small(&self, leaf: Option<Node<'x>>, edits: &[Edit<'x>]) -> Option<Children<'x>> {
        let is_linear = edits.len() <= LINEAR_EDITS;
        let batch = if is_linear { unranked(edits) } else { ranked::<L>(edits) };
        let find = |key: &[u8]| {
            if is_linear {
                return batch.iter().position(|ranked| ranked.edit.key == key);
            }
            let rank = L::rank(key);
            batch.binary_search_by(|r| compare::<L>((r.rank, r.edit.key), (rank, key))).ok()
        };
        let mut is_found: SmallVec<[bool; LINEAR_EDITS]> = SmallVec::from_elem(false, batch.len());
        let mut rewrite = Rewrite::<L>::new(leaf);
        while let Some(item) = rewrite.peek() {
            match find(item.key) {
                Some(index) => {
                    is_found[index] = true;
                    rewrite.change(item, batch[index].edit.op);
                }
                None => rewrite.keep(1),
            }
        }
        let mut added: Batch<'x> =
            batch.iter().zip(is_found).filter(|(_, found)| !found).map(|(ranked, _)| *ranked).collect();
        added.sort_unstable_by_key(|ranked| ranked.turn);
        added.iter().for_each(|ranked| rewrite.insert(ranked));
        let pieces = rewrite.finish()?;
        let (size, items) = totals::<L>(&pieces);
        if items <= 1 || (size <= ROOT_LEAF_SIZE && items <= LEAF_ITEMS) {
            return Some(pack::<L>(self.nursery, leaf, &pieces, ROOT_LEAF_SIZE, Fill::Even));
        }
        let singles = super::item::singles::<L>(&pieces);
        let mut ordered: Vec<(u64, Piece<'x>)> =
            singles.into_iter().map(|piece| (L::rank(piece.key::<L>()), piece)).collect();
        ordered.sort_unstable_by(|left, right| {
            compare::<L>((left.0, left.1.key::<L>()), (right.0, right.1.key::<L>()))
        });
        let ordered: Vec<Piece<'x>> = ordered.into_iter().map(|(_, piece)| piece).collect();
        Some(pack::<L>(self.nursery, leaf, &ordered, ROOT_LEAF_SIZE, Fill::Even))
    }

    /// Edits a leaf that is ordered. `None` if nothing changed.
    fn leaf(&self, leaf: Node<'x>, batch: &[Ranked<'x>], limit: usize) -> Option<Children<'x>> {
        let mut rewrite = Rewrite::<L>::new(Some(leaf));
        let mut rest = batch;
        if let [only] = batch {
            // Most edits meet their key, or remove nothing: that takes no ranks.
            let found = Items::<L>::new(leaf.bytes()).enumerate().find(|(_, item)| item.key == only.edit.key);
            if let Some((index, item)) = found {
                rewrite.keep(index);
                rewrite.change(item, only.edit.op);
                rest = &[];
            } else if only.edit.op == Op::Remove {
                return None;
            }
        }
        for ranked in rest {
            match rewrite.keep_until(ranked.rank, ranked.edit.key) {
                Some(item) => rewrite.change(item, ranked.edit.op),
                None => rewrite.insert(ranked),
            }
        }
        let pieces = rewrite.finish()?;
        Some(pack::<L>(self.nursery, Some(leaf), &pieces, limit, Fill::Even))
    }

    /// Edits an inner node. `None` if nothing changed.
    fn inner(&self, node: Node<'x>, mut batch: &[Ranked<'x>]) -> Option<Children<'x>> {
        let mut replacements = Replacements::new();
        while let Some(first) = batch.first() {
            let index = child_for::<L>(node, first.rank, first.edit.key);
            let here = if index + 1 == node.len() {
                batch.len()
            } else {
                batch.partition_point(|r| !is_reached::<L>(node, index + 1, r.rank, r.edit.key))
            };
            let (edits, rest) = batch.split_at(here);
            let child = node.child(index);
            child.prefetch(L::LEAF_SIZE);
            let new = if child.is_leaf() {
                self.leaf(child, edits, L::LEAF_SIZE)
            } else {
                self.inner(child, edits)
            };
            replacements.extend(new.map(|children| (index, children)));
            batch = rest;
        }
        if replacements.is_empty() {
            return None;
        }
        Some(rebuild::<L>(self.nursery, node, &replacements, Fill::Even))
    }
}

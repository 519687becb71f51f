//! What walks and random choices need of a collection of named items, whatever it is made of.

use crate::concurrent::versions::version::Collection;
use crate::keyspace::{Key, KeyspaceError, SortedSet, View};
use crate::value::sorted_set::Scored;
use crate::value::tree::{Item, Keyed, Tree};

/// One version of a collection of items that have names.
pub trait Items<'g>: Copy {
    /// An item.
    type Item: Copy;

    /// The collection at a key, empty if missing.
    fn read(view: &mut View<'g>, key: Key<'_>) -> Result<Self, KeyspaceError>;

    /// The item's name.
    fn name(item: Self::Item) -> &'g [u8];

    /// How many items there are. O(1).
    fn count(self) -> u64;

    /// The item at a place, below their number, of some order. O(log n).
    fn at(self, place: u64) -> Option<Self::Item>;

    /// All items in that order.
    fn all(self) -> impl Iterator<Item = Self::Item>;

    /// One step of a walk that survives changes between the steps, as [`Tree::scan`].
    fn scan(self, cursor: u64, count: usize, visit: impl FnMut(Self::Item)) -> u64;
}

impl<'g, L: Keyed + Collection> Items<'g> for Tree<'g, L> {
    type Item = Item<'g>;

    fn read(view: &mut View<'g>, key: Key<'_>) -> Result<Self, KeyspaceError> {
        view.tree(key)
    }

    fn name(item: Item<'g>) -> &'g [u8] {
        item.key
    }

    fn count(self) -> u64 {
        self.len()
    }

    fn at(self, place: u64) -> Option<Item<'g>> {
        self.nth(place)
    }

    fn all(self) -> impl Iterator<Item = Item<'g>> {
        self.iter()
    }

    fn scan(self, cursor: u64, count: usize, visit: impl FnMut(Item<'g>)) -> u64 {
        Tree::scan(self, cursor, count, visit)
    }
}

impl<'g> Items<'g> for SortedSet<'g> {
    type Item = Scored<'g>;

    fn read(view: &mut View<'g>, key: Key<'_>) -> Result<Self, KeyspaceError> {
        view.sorted_set(key)
    }

    fn name(scored: Scored<'g>) -> &'g [u8] {
        scored.member
    }

    fn count(self) -> u64 {
        self.len()
    }

    fn at(self, place: u64) -> Option<Scored<'g>> {
        self.nth(place)
    }

    fn all(self) -> impl Iterator<Item = Scored<'g>> {
        self.iter()
    }

    fn scan(self, cursor: u64, count: usize, visit: impl FnMut(Scored<'g>)) -> u64 {
        SortedSet::scan(&self, cursor, count, visit)
    }
}

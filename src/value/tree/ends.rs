//! Edits at the ends of a list, gathered and made at once.

use super::{Delta, List, Splice};
use std::collections::VecDeque;
use std::ops::Range;

/// Pushes and pops at both ends of a list. They are gathered beside the tree and become one edit of it: a run of
/// them costs little more than the first.
#[derive(Debug)]
pub struct Ends<'g> {
    delta: Delta<'g, List>,
    /// Items taken off the tree's front and back.
    taken: (u64, u64),
    /// Items put before the tree and behind it, in the order of the list; places in `bytes`.
    front: VecDeque<Range<usize>>,
    back: VecDeque<Range<usize>>,
    bytes: Vec<u8>,
    is_changed: bool,
}

impl<'g> From<Ends<'g>> for Delta<'g, List> {
    /// Makes the edit. O(log n + items).
    fn from(ends: Ends<'g>) -> Delta<'g, List> {
        let Ends { mut delta, taken, front, back, bytes, is_changed } = ends;
        if !is_changed {
            return delta;
        }
        let items = |places: VecDeque<Range<usize>>| -> Vec<_> {
            places.into_iter().map(|place| &bytes[place]).collect()
        };
        let len = delta.tree().len();
        let (mut front, back) = (items(front), items(back));
        if taken.0 + taken.1 == len {
            front.extend(back);
            delta.splice(&[Splice { range: 0..len, items: &front }]);
        } else {
            delta.splice(&[
                Splice { range: 0..taken.0, items: &front },
                Splice { range: len - taken.1..len, items: &back },
            ]);
        }
        delta
    }
}

impl<'g> From<Delta<'g, List>> for Ends<'g> {
    fn from(delta: Delta<'g, List>) -> Ends<'g> {
        let (front, back) = (VecDeque::new(), VecDeque::new());
        Ends { delta, taken: (0, 0), front, back, bytes: Vec::new(), is_changed: false }
    }
}

impl Ends<'_> {
    /// False if the list is still what it was.
    pub fn is_changed(&self) -> bool {
        self.is_changed
    }

    /// Number of items.
    pub fn len(&self) -> u64 {
        self.left() + (self.front.len() + self.back.len()) as u64
    }

    /// True if there are no items.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Items of the tree that were not taken.
    fn left(&self) -> u64 {
        self.delta.tree().len() - self.taken.0 - self.taken.1
    }

    fn keep(&mut self, item: &[u8]) -> Range<usize> {
        self.is_changed = true;
        let start = self.bytes.len();
        self.bytes.extend_from_slice(item);
        start..self.bytes.len()
    }

    /// Adds an item before the first. Amortised O(1).
    pub fn push_front(&mut self, item: &[u8]) {
        let place = self.keep(item);
        self.front.push_front(place);
    }

    /// Adds an item behind the last. Amortised O(1).
    pub fn push_back(&mut self, item: &[u8]) {
        let place = self.keep(item);
        self.back.push_back(place);
    }

    /// Takes the first item off. O(log n).
    pub fn pop_front(&mut self) -> Option<&[u8]> {
        self.is_changed |= !self.is_empty();
        if let Some(place) = self.front.pop_front() {
            return Some(&self.bytes[place]);
        }
        if self.left() > 0 {
            self.taken.0 += 1;
            return self.delta.tree().nth(self.taken.0 - 1).map(|item| item.key);
        }
        self.back.pop_front().map(|place| &self.bytes[place])
    }

    /// Takes the last item off. O(log n).
    pub fn pop_back(&mut self) -> Option<&[u8]> {
        self.is_changed |= !self.is_empty();
        if let Some(place) = self.back.pop_back() {
            return Some(&self.bytes[place]);
        }
        if self.left() > 0 {
            self.taken.1 += 1;
            let tree = self.delta.tree();
            return tree.nth(tree.len() - self.taken.1).map(|item| item.key);
        }
        self.front.pop_back().map(|place| &self.bytes[place])
    }
}

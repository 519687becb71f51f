//! Edits by key, gathered and made at once.

use super::{Delta, Edit, Keyed, Op, Tree};
use std::ops::Range;

/// Edits that wait at most: each new one is looked for among them.
const WAITING: usize = 64;

/// Puts and removals of single keys. They are gathered beside the tree and become one edit of it, so that a run of
/// them copies the nodes that they share once.
#[derive(Debug)]
pub struct Patch<'g, L: Keyed> {
    delta: Delta<'g, L>,
    waiting: Vec<Waiting>,
    bytes: Vec<u8>,
    len: u64,
    /// False if every edit is made at once.
    gathers: bool,
}

/// One edit; places in `bytes`.
#[derive(Debug)]
struct Waiting {
    key: Range<usize>,
    /// `None` removes the key.
    value: Option<Range<usize>>,
}

impl<'g, L: Keyed> From<Patch<'g, L>> for Delta<'g, L> {
    /// Makes the edit. O(k log n) for k keys.
    fn from(mut patch: Patch<'g, L>) -> Delta<'g, L> {
        patch.make();
        patch.delta
    }
}

impl<'g, L: Keyed> Patch<'g, L> {
    /// Starts from `delta`. One that is made after a single call of [`Patch::apply`] need not gather.
    pub fn new(delta: Delta<'g, L>, gathers: bool) -> Patch<'g, L> {
        let len = delta.tree().len();
        Patch { delta, waiting: Vec::new(), bytes: Vec::new(), len, gathers }
    }

    /// False if the tree is still what it was.
    pub fn is_changed(&self) -> bool {
        !self.waiting.is_empty() || self.delta.is_changed()
    }

    /// Number of keys.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// True if there are no keys.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The value of a key; empty in layouts without values. O(log n).
    pub fn get(&self, key: &[u8]) -> Option<&[u8]> {
        match self.find(key) {
            Some(waiting) => waiting.value.clone().map(|value| &self.bytes[value]),
            None => self.delta.tree().get(key).map(|item| item.value),
        }
    }

    /// Puts keys and removes others, in order. Returns how many keys that adds; below zero it removed more.
    /// O(k log n).
    pub fn apply(&mut self, edits: &[Edit<'_>]) -> i64 {
        let before = self.len;
        if !self.gathers || edits.len() > WAITING / 4 {
            self.make();
            self.delta.apply(edits);
            self.len = self.delta.tree().len();
        } else {
            edits.iter().for_each(|edit| self.gather(*edit));
        }
        self.len as i64 - before as i64
    }

    fn find(&self, key: &[u8]) -> Option<&Waiting> {
        self.waiting.iter().rev().find(|waiting| self.bytes[waiting.key.clone()] == *key)
    }

    fn gather(&mut self, edit: Edit<'_>) {
        // A key that comes back stands where a new one does.
        let comes_back = self.find(edit.key).is_some_and(|earlier| earlier.value.is_none());
        if self.waiting.len() >= WAITING || comes_back {
            self.make();
        }
        let present = self.get(edit.key);
        let is_there = present.is_some();
        match edit.op {
            Op::Put(value) if present == Some(value) => return,
            Op::Remove if !is_there => return,
            Op::Put(_) => self.len += u64::from(!is_there),
            Op::Remove => self.len -= 1,
        }
        let key = self.keep(edit.key);
        let value = match edit.op {
            Op::Put(value) => Some(self.keep(value)),
            Op::Remove => None,
        };
        self.waiting.push(Waiting { key, value });
    }

    fn keep(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }

    fn make(&mut self) {
        let edits: Vec<Edit<'_>> = self
            .waiting
            .iter()
            .map(|waiting| Edit {
                key: &self.bytes[waiting.key.clone()],
                op: waiting.value.clone().map_or(Op::Remove, |value| Op::Put(&self.bytes[value])),
            })
            .collect();
        if !edits.is_empty() {
            self.delta.apply(&edits);
        }
        self.waiting.clear();
        self.bytes.clear();
    }

    /// The tree, all edits made.
    pub fn tree(&mut self) -> Tree<'_, L> {
        self.make();
        self.delta.tree()
    }
}

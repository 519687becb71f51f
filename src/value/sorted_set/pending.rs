//! The operation that made a version and is not yet in the index, and reading the two together.

use super::place::{Cut, Member, Placed, Scored};
use crate::size_class::size_class;
use smallvec::SmallVec;
use std::cmp::Ordering;

/// Places in their order.
pub type Places = SmallVec<[Placed; 1]>;

/// A version's difference from the index: what is to be added to it, and what is to be dropped from it.
#[derive(Clone, Debug, Default)]
pub struct Pending {
    /// In their order.
    pub(super) added: Places,
    /// In their order; all of them are in the index, or were and are already out of it.
    pub(super) dropped: Places,
}

/// The places of `from` that are not in `without`.
fn difference<'p>(from: &'p [Placed], without: &'p [Placed]) -> impl Iterator<Item = &'p Placed> {
    let is_in = |place: &Placed| {
        let at = without.binary_search_by(|other| other.compare(place));
        at.is_ok_and(|at| without[at].is_same(place))
    };
    from.iter().filter(move |place| !is_in(place))
}

/// The places of two lists without a common one, in their order.
fn union<'p>(left: impl Iterator<Item = &'p Placed>, right: impl Iterator<Item = &'p Placed>) -> Places {
    let mut all: Places = left.chain(right).cloned().collect();
    all.sort_by(Placed::compare);
    all
}

impl Pending {
    /// The operation that first does `self`, then drops and adds these.
    pub(super) fn then(&self, dropped: Places, added: Places) -> Pending {
        if self.is_empty() {
            return Pending { added, dropped };
        }
        Pending {
            added: union(difference(&self.added, &dropped), difference(&added, &self.dropped)),
            dropped: union(difference(&self.dropped, &added), difference(&dropped, &self.added)),
        }
    }

    /// True if the index has everything.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.dropped.is_empty()
    }

    /// Places added and dropped.
    pub fn len(&self) -> usize {
        self.added.len() + self.dropped.len()
    }

    /// What is to be added to the index.
    pub fn added(&self) -> &[Placed] {
        &self.added
    }

    /// The members to drop from the index.
    pub fn dropped(&self) -> &[Placed] {
        &self.dropped
    }

    /// Bytes the allocator holds for its places. O(1): long members are counted where the index has them.
    pub fn heap_size(&self) -> usize {
        let spilled = |places: &Places| {
            if places.spilled() { size_class(places.capacity() * size_of::<Placed>()) } else { 0 }
        };
        spilled(&self.added) + spilled(&self.dropped)
    }
}

/// The index of a large set in its order, as it was before the version's pending operation.
pub trait Order<'g>: Copy + std::fmt::Debug {
    /// Members in their order.
    type Walk: Iterator<Item = Scored<'g>>;

    /// The members behind `cut`. O(log n) to the first.
    fn walk_from(self, cut: Cut<'_>) -> Self::Walk;
}

/// The members of a version in their order: those of the index, without what is dropped, with what is added.
#[derive(Clone, Debug)]
pub struct Merged<'g, W> {
    walk: W,
    /// The next member of the index.
    next: Option<Scored<'g>>,
    added: &'g [Placed],
    dropped: &'g [Placed],
}

fn behind<'g>(places: &'g [Placed], cut: Cut<'_>) -> &'g [Placed] {
    let start = places.partition_point(|place| cut.is_above(place.scored()));
    &places[start..]
}

impl<'g, W: Iterator<Item = Scored<'g>>> Merged<'g, W> {
    pub(super) fn new(pending: &'g Pending, cut: Cut<'_>, mut walk: W) -> Merged<'g, W> {
        let next = walk.next();
        Merged { walk, next, added: behind(&pending.added, cut), dropped: behind(&pending.dropped, cut) }
    }

    /// Goes past what is dropped.
    fn pass_dropped(&mut self) {
        while let (Some(next), [first, rest @ ..]) = (self.next, self.dropped) {
            match first.scored().compare(&next) {
                // It is out of the index already.
                Ordering::Less => self.dropped = rest,
                Ordering::Equal => {
                    self.dropped = rest;
                    self.next = self.walk.next();
                }
                Ordering::Greater => return,
            }
        }
    }
}

impl<'g, W: Iterator<Item = Scored<'g>>> Iterator for Merged<'g, W> {
    type Item = Scored<'g>;

    #[inline]
    fn next(&mut self) -> Option<Scored<'g>> {
        self.pass_dropped();
        let [first, rest @ ..] = self.added else {
            let next = self.next?;
            self.next = self.walk.next();
            return Some(next);
        };
        let first = first.scored();
        match self.next.filter(|next| next.compare(&first).is_lt()) {
            Some(next) => {
                self.next = self.walk.next();
                Some(next)
            }
            None => {
                self.added = rest;
                Some(first)
            }
        }
    }
}

/// An owned copy of each, in the same order.
pub(super) fn placed<'g>(members: impl Iterator<Item = Scored<'g>>) -> Vec<Placed> {
    members
        .map(|scored| Placed { code: super::place::code(scored.score), member: Member::new(scored.member) })
        .collect()
}

//! Inputs that were copied, so that what is made of them needs no pin.

use crate::command::family::texts::Texts;
use crate::value::sorted_set::Scored;

/// The members of an input with their scores.
#[derive(Debug, Default)]
pub(super) struct Copied {
    members: Texts,
    scores: Vec<f64>,
    /// The members' numbers in the order of their bytes, once somebody is going to ask for scores.
    by_bytes: Vec<usize>,
}

impl Copied {
    /// Copies members. O(bytes).
    pub(super) fn new<'g>(members: impl Iterator<Item = Scored<'g>>) -> Copied {
        let mut copied = Copied::default();
        for Scored { member, score } in members {
            copied.members.push(member);
            copied.scores.push(score);
        }
        copied
    }

    /// Prepares for [`Copied::score`]. O(n log n).
    pub(super) fn index(&mut self) {
        let mut by_bytes: Vec<usize> = (0..self.members.len()).collect();
        by_bytes.sort_unstable_by_key(|number| self.members.get(*number));
        self.by_bytes = by_bytes;
    }

    pub(super) fn len(&self) -> u64 {
        self.members.len() as u64
    }

    /// The score of a member. O(log n).
    pub(super) fn score(&self, member: &[u8]) -> Option<f64> {
        debug_assert_eq!(self.by_bytes.len(), self.members.len());
        let place = self.by_bytes.binary_search_by_key(&member, |number| self.members.get(*number)).ok()?;
        Some(self.scores[self.by_bytes[place]])
    }

    /// The members in the order in which they were copied.
    pub(super) fn iter(&self) -> impl Iterator<Item = Scored<'_>> {
        self.members.iter().zip(&self.scores).map(|(member, score)| Scored { member, score: *score })
    }
}

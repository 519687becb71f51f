//! The members of one version with their scores, in no particular order: all that the tree alone can say.

use super::layout::{ByScore, Parts};
use super::place::{Scored, score};
use crate::value::tree::{Forward, Tree};

/// A walk over a tree's members that needs no index.
#[derive(Clone)]
pub struct Scores<'g> {
    len: u64,
    walk: Walk<'g>,
}

#[derive(Clone)]
enum Walk<'g> {
    Small(Forward<'g, ByScore>),
    Large(Forward<'g, Parts>),
}

impl<'g> Scores<'g> {
    /// Those of a small set.
    pub fn small(tree: Tree<'g, ByScore>) -> Scores<'g> {
        Scores { len: tree.len(), walk: Walk::Small(tree.iter()) }
    }

    /// Those of a large set.
    pub fn large(tree: Tree<'g, Parts>) -> Scores<'g> {
        Scores { len: tree.len(), walk: Walk::Large(tree.iter()) }
    }

    /// Number of members of the set. O(1).
    pub fn len(&self) -> u64 {
        self.len
    }

    /// True if the set has no members.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl<'g> Iterator for Scores<'g> {
    type Item = Scored<'g>;

    fn next(&mut self) -> Option<Scored<'g>> {
        match &mut self.walk {
            Walk::Small(walk) => walk.next().map(|item| {
                let (code, member) = ByScore::split(item.key);
                Scored { member, score: score(code) }
            }),
            // Members lie in front of the segments.
            Walk::Large(walk) => walk.next().and_then(|item| {
                let member = Parts::member(item.key)?;
                Some(Scored { member, score: score(Parts::code(item.value)) })
            }),
        }
    }
}

impl std::fmt::Debug for Scores<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scores").field("len", &self.len).finish_non_exhaustive()
    }
}

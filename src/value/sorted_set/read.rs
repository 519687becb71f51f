//! Reads of one version.

use super::layout::{ByScore, Parts, SEGMENTS, TreeKey};
use super::pending::{Merged, Order, Pending};
use super::place::{Cut, Scored, score};
use super::segment::{SEGMENT_MAX, Segment};
use crate::value::tree::{Backward, Forward, Item, Tree};
use smallvec::SmallVec;

/// Members that a walk back fetches at once, at least: where a segment begins has to be looked for.
const BACKWARD: u8 = 8;

/// A large set: see the module's head.
#[derive(Clone, Copy, Debug)]
pub struct Large<'g, O> {
    pub(super) tree: Tree<'g, Parts>,
    pub(super) pending: &'g Pending,
    pub(super) order: O,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Form<'g, O> {
    Small(Tree<'g, ByScore>),
    Large(Large<'g, O>),
}

/// One version of a sorted set, to be read.
#[derive(Clone, Copy, Debug)]
pub struct SortedSet<'g, O> {
    pub(super) form: Form<'g, O>,
}

fn scored(item: Item<'_>) -> Scored<'_> {
    let (code, member) = ByScore::split(item.key);
    Scored { member, score: score(code) }
}

impl<'g, O: Order<'g>> SortedSet<'g, O> {
    /// A set without members.
    pub const EMPTY: SortedSet<'g, O> = SortedSet { form: Form::Small(Tree::EMPTY) };

    /// A set in its small form.
    pub fn small(tree: Tree<'g, ByScore>) -> SortedSet<'g, O> {
        SortedSet { form: Form::Small(tree) }
    }

    /// A set in its large form: the tree, the operation that the index has not, and the index without it.
    pub fn large(tree: Tree<'g, Parts>, pending: &'g Pending, order: O) -> SortedSet<'g, O> {
        SortedSet { form: Form::Large(Large { tree, pending, order }) }
    }

    /// Number of members. O(1).
    pub fn len(&self) -> u64 {
        match &self.form {
            Form::Small(tree) => tree.len(),
            Form::Large(large) => large.tree.len(),
        }
    }

    /// True if there are no members.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// True if the set has its small form.
    pub fn is_small(&self) -> bool {
        matches!(self.form, Form::Small(_))
    }

    /// The score of a member. O(log n).
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        match &self.form {
            Form::Small(tree) => {
                tree.iter().map(scored).find(|scored| scored.member == member).map(|found| found.score)
            }
            Form::Large(large) => large.score(member),
        }
    }

    /// Brings what [`SortedSet::score`] reads of members into the cache: a hint. O(k log n).
    pub fn prefetch<'k>(&self, members: impl Iterator<Item = &'k [u8]>) {
        if let Form::Large(large) = &self.form {
            let keys: SmallVec<[TreeKey; 32]> = members.map(Parts::member_key).collect();
            large.tree.prefetch(keys.iter().map(|key| key.as_slice()));
        }
    }

    /// The rank of a member, 0 for the lowest. O(log n).
    pub fn rank(&self, member: &[u8]) -> Option<u64> {
        match &self.form {
            Form::Small(tree) => {
                tree.iter().position(|item| scored(item).member == member).map(|rank| rank as u64)
            }
            Form::Large(large) => large.score(member).map(|score| large.rank_of(Cut::before(member, score))),
        }
    }

    /// Number of members in front of a cut. O(log n).
    pub fn rank_of(&self, cut: Cut<'_>) -> u64 {
        match &self.form {
            Form::Small(tree) => tree.iter().take_while(|item| cut.is_above(scored(*item))).count() as u64,
            Form::Large(large) => large.rank_of(cut),
        }
    }

    /// Number of members between two cuts; 0 if the second is in front of the first. O(log n).
    pub fn count(&self, from: Cut<'_>, to: Cut<'_>) -> u64 {
        self.rank_of(to).saturating_sub(self.rank_of(from))
    }

    /// The member with this rank. O(log n).
    pub fn nth(&self, rank: u64) -> Option<Scored<'g>> {
        self.iter_from_rank(rank).next()
    }

    /// All members in their order.
    pub fn iter(&self) -> Ascending<'g, O::Walk> {
        self.iter_from_rank(0)
    }

    /// Members in their order from this rank on. O(log n) to the first.
    pub fn iter_from_rank(&self, rank: u64) -> Ascending<'g, O::Walk> {
        match &self.form {
            Form::Small(tree) => Ascending::Small(tree.iter_from(rank)),
            Form::Large(large) => match large.segment_with(rank) {
                Some(segment) => {
                    let mut walk = large.walk_from(segment.cut);
                    for _ in segment.before..rank {
                        walk.next();
                    }
                    Ascending::Large(walk)
                }
                None => Ascending::Small(Tree::EMPTY.iter()),
            },
        }
    }

    /// Members in their order from a cut on. O(log n) to the first.
    pub fn iter_from(&self, cut: Cut<'_>) -> Ascending<'g, O::Walk> {
        match &self.form {
            Form::Small(tree) => Ascending::Small(tree.iter_from(self.rank_of(cut))),
            // The first fence is not behind the first member; what lies in front of it in the index left long ago.
            Form::Large(large) => match large.segment_with(0) {
                Some(first) if cut.is_in_front_of(first.cut) => Ascending::Large(large.walk_from(first.cut)),
                Some(_) => Ascending::Large(large.walk_from(cut)),
                None => Ascending::Small(Tree::EMPTY.iter()),
            },
        }
    }

    /// Members in reverse order, from this rank down; from the last one if there are fewer. O(log n) to the first.
    pub fn iter_back_from_rank(&self, rank: u64) -> Descending<'g, O> {
        match &self.form {
            Form::Small(tree) => Descending::Small(tree.iter_back_from(rank)),
            Form::Large(large) => {
                let end = rank.saturating_add(1).min(large.tree.len());
                Descending::Large { set: *large, end, segment: SmallVec::new() }
            }
        }
    }

    /// Members in reverse order, from a cut on. O(log n) to the first.
    pub fn iter_back_from(&self, cut: Cut<'_>) -> Descending<'g, O> {
        match &self.form {
            Form::Small(tree) => match self.rank_of(cut) {
                0 => Descending::Small(Tree::EMPTY.iter_back_from(0)),
                below => Descending::Small(tree.iter_back_from(below - 1)),
            },
            Form::Large(large) => match large.segment_at(cut) {
                Some(found) => {
                    let segment =
                        large.members_of(found).take_while(|scored| cut.is_above(*scored)).collect();
                    Descending::Large { set: *large, end: found.before, segment }
                }
                None => Descending::Large { set: *large, end: 0, segment: SmallVec::new() },
            },
        }
    }

    /// One step of a walk that survives changes between the steps: calls `visit` for about `count` members from
    /// `cursor` on (0 at the start), in no order, and returns the next cursor, or 0 at the end. What is there from
    /// the first step to the last is visited; some members perhaps twice if the set was small in between.
    /// O(log n + count); a small set is visited at once.
    pub fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(Scored<'g>)) -> u64 {
        match &self.form {
            Form::Small(tree) => {
                tree.iter().map(scored).for_each(visit);
                0
            }
            Form::Large(large) => {
                let tree = large.tree;
                tree.scan_below(SEGMENTS, cursor, count, |item| member_of(item).map(&mut visit).is_some())
            }
        }
    }

    /// Verifies the invariants of the module's head and of the tree. O(n log n).
    ///
    /// # Errors
    /// The first violation, in words.
    pub fn check(&self) -> Result<(), String> {
        match &self.form {
            Form::Small(tree) if !tree.is_small() => Err("Z1: a small set of several leaves".into()),
            Form::Small(tree) => tree.check(),
            Form::Large(large) => large.check(),
        }
    }
}

fn member_of(item: Item<'_>) -> Option<Scored<'_>> {
    Parts::member(item.key).map(|member| Scored { member, score: score(Parts::code(item.value)) })
}

/// All members of a large set's tree, in no order.
pub(super) fn members_of<'n>(tree: Tree<'n, Parts>) -> impl Iterator<Item = Scored<'n>> {
    tree.iter().map_while(member_of)
}

impl<'g, O: Order<'g>> Large<'g, O> {
    pub(super) fn score(&self, member: &[u8]) -> Option<f64> {
        let item = self.tree.get(&Parts::member_key(member))?;
        Some(score(Parts::code(item.value)))
    }

    /// The segment that has the member of this rank.
    pub(super) fn segment_with(&self, rank: u64) -> Option<Segment<'g>> {
        self.tree.covering(rank).and_then(Segment::of)
    }

    /// The segment that has the places right in front of a cut; `None` in front of the first segment.
    pub(super) fn segment_at(&self, cut: Cut<'_>) -> Option<Segment<'g>> {
        self.tree.floor(&Parts::segment_key(cut)).and_then(Segment::of)
    }

    pub(super) fn walk_from(&self, cut: Cut<'_>) -> Merged<'g, O::Walk> {
        Merged::new(self.pending, cut, self.order.walk_from(cut))
    }

    pub(super) fn members_of(&self, segment: Segment<'g>) -> impl Iterator<Item = Scored<'g>> + use<'g, O> {
        self.walk_from(segment.cut).take(usize::from(segment.members))
    }

    fn rank_of(&self, cut: Cut<'_>) -> u64 {
        let Some(segment) = self.segment_at(cut) else { return 0 };
        let here = self.members_of(segment).take_while(|scored| cut.is_above(*scored)).count();
        segment.before + here as u64
    }

    fn check(&self) -> Result<(), String> {
        if self.tree.is_small() {
            return Err("Z1: a large set of one leaf".into());
        }
        self.tree.check()?;
        let mut walk = self.walk_from(self.segment_with(0).map_or(Cut::START, |first| first.cut)).peekable();
        let mut members = 0;
        for segment in self.tree.iter_from_rank(SEGMENTS) {
            let Some(cut) = Parts::segment(segment.key) else { return Err("Z2: a foreign item".into()) };
            let count = usize::from(segment.value.first().copied().unwrap_or(0));
            if !(1..=usize::from(SEGMENT_MAX)).contains(&count) {
                return Err(format!("Z2: a segment of {count} members"));
            }
            if walk.peek().is_some_and(|scored| cut.is_above(*scored)) {
                return Err("Z2: a member in front of its segment".into());
            }
            for _ in 0..count {
                let Some(Scored { member, score }) = walk.next() else {
                    return Err("Z3: a member is not in the index".into());
                };
                if self.score(member).map(f64::to_bits) != Some(score.to_bits()) {
                    let name = member[..member.len().min(32)].escape_ascii();
                    return Err(format!("Z3: {name} is at {score} in the index"));
                }
            }
            members += count as u64;
        }
        let is_whole = members_of(self.tree).count() as u64 == members && self.tree.len() == members;
        match walk.next() {
            Some(_) => Err("Z3: the index has a member more".into()),
            None if !is_whole => Err("Z2: the segments do not have all members".into()),
            None => Ok(()),
        }
    }
}

/// Members in their order.
#[derive(Clone)]
pub enum Ascending<'g, W> {
    /// Of a small set.
    Small(Forward<'g, ByScore>),
    /// Of a large set.
    Large(Merged<'g, W>),
}

impl<'g, W: Iterator<Item = Scored<'g>>> Iterator for Ascending<'g, W> {
    type Item = Scored<'g>;

    #[inline]
    fn next(&mut self) -> Option<Scored<'g>> {
        match self {
            Ascending::Small(items) => items.next().map(scored),
            Ascending::Large(walk) => walk.next(),
        }
    }
}

/// Members in reverse order.
pub enum Descending<'g, O> {
    /// Of a small set.
    Small(Backward<'g, ByScore>),
    /// Of a large set.
    Large {
        /// The set.
        set: Large<'g, O>,
        /// The rank of the first member that was fetched.
        end: u64,
        /// Members that were fetched and are still to come.
        segment: SmallVec<[Scored<'g>; (SEGMENT_MAX + BACKWARD) as usize]>,
    },
}

impl<'g, O: Order<'g>> Iterator for Descending<'g, O> {
    type Item = Scored<'g>;

    #[inline]
    fn next(&mut self) -> Option<Scored<'g>> {
        match self {
            Descending::Small(items) => items.next().map(scored),
            Descending::Large { set, end, segment } => {
                if segment.is_empty() && *end > 0 {
                    let found = set.segment_with(end.saturating_sub(BACKWARD.into()))?;
                    let members = set.walk_from(found.cut);
                    segment.extend(members.take((*end - found.before) as usize));
                    *end = found.before;
                }
                segment.pop()
            }
        }
    }
}

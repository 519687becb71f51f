//! Edits: from one version to what the next one consists of.

use super::layout::{ByScore, Parts, TreeKey};
use super::pending::{Order, Pending, Places, placed};
use super::place::{Cut, Member, Placed, Scored, code, order, score};
use super::read::{Ascending, Descending, Form, Large, SortedSet, members_of};
use super::segments;
use crate::value::tree::{self, Delta, LEAF_ITEMS, Op, Sealed, Tree};
use smallvec::SmallVec;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::iter::Peekable;

/// Up to this many changes a member is searched among them; beyond it, looked up.
const SEARCHED: usize = 8;

/// From this many changes on an edit gathers no more: a pop looks at all of them.
const GATHERED: usize = 256;

/// An operation on more members than this, and than a 16th of the set, builds a fresh index.
const INDEX_KEPT: usize = 1000;

/// The parts of a version.
#[derive(Debug)]
pub enum Edited {
    /// Nothing changed.
    Unchanged,
    /// No members are left.
    Empty,
    /// A small set.
    Small(Sealed),
    /// A large set.
    Large {
        /// Its tree.
        tree: Sealed,
        /// What the index has not yet.
        pending: Pending,
        /// All members in their order, if the version gets an index of its own; else it shares that of its base.
        index: Option<Vec<Placed>>,
        /// Bytes of its members that nodes of the index hold elsewhere, as a change; a fresh index begins at 0.
        heap: i64,
    },
}

#[derive(Debug)]
struct MemberChange {
    member: Member,
    /// The codes of the scores before and after; none: it is not a member.
    old: Option<u64>,
    new: Option<u64>,
}

/// Changes of one version, atomic together. Nothing happens before they are finished.
pub struct Edit<'g, O: Order<'g>> {
    base: SortedSet<'g, O>,
    changes: SmallVec<[MemberChange; 2]>,
    /// The position of each member among the changes, once they are many.
    places: HashMap<Member, usize, ahash::RandomState>,
    len: u64,
    /// The base from the lowest member that was not popped, once one was; what is changed is still among them.
    ahead: Option<Box<Peekable<Ascending<'g, O::Walk>>>>,
    /// The same from the highest one down.
    back: Option<Box<Peekable<Descending<'g, O>>>>,
}

impl<'g, O: Order<'g>> std::fmt::Debug for Edit<'g, O> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Edit").field("base", &self.base).field("changes", &self.changes).finish()
    }
}

impl<'g, O: Order<'g>> Edit<'g, O> {
    /// Starts from `base`.
    pub fn new(base: SortedSet<'g, O>) -> Edit<'g, O> {
        Edit {
            base,
            changes: SmallVec::new(),
            places: HashMap::default(),
            len: base.len(),
            ahead: None,
            back: None,
        }
    }

    /// The version that it started from.
    pub fn base(&self) -> SortedSet<'g, O> {
        self.base
    }

    /// Number of members after the changes so far. O(1).
    pub fn len(&self) -> u64 {
        self.len
    }

    /// True if no members are left.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// False if the set is still what it was.
    pub fn is_changed(&self) -> bool {
        self.changes.iter().any(|change| change.old != change.new)
    }

    /// True if there are so many changes that they should be finished before others are gathered.
    pub fn is_full(&self) -> bool {
        self.changes.len() >= GATHERED
    }

    fn place(&self, member: &[u8]) -> Option<usize> {
        if self.changes.len() <= SEARCHED {
            return self.changes.iter().position(|change| change.member.as_bytes() == member);
        }
        self.places.get(member).copied()
    }

    /// The score of a member after the changes so far. O(log n).
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        match self.place(member) {
            Some(place) => self.changes[place].new.map(score),
            None => self.base.score(member),
        }
    }

    /// Gives a member a score, which is no NaN. Returns the score it had; equal ones are left alone. O(log n).
    pub fn put(&mut self, member: &[u8], score: f64) -> Option<f64> {
        self.change(member, Some(score))
    }

    /// Removes a member. Returns the score it had. O(log n).
    pub fn remove(&mut self, member: &[u8]) -> Option<f64> {
        self.change(member, None)
    }

    /// Removes a member as the base has it, which was not changed so far. O(1).
    pub fn take(&mut self, taken: Scored<'_>) {
        debug_assert!(self.place(taken.member).is_none(), "it was changed before");
        self.note(MemberChange {
            member: Member::new(taken.member),
            old: Some(code(taken.score)),
            new: None,
        });
        self.len -= 1;
    }

    /// Removes the lowest member after the changes so far. O(k) for k of them, O(log n) the first time.
    pub fn pop_lowest(&mut self) -> Option<Placed> {
        let mut ahead = self.ahead.take().unwrap_or_else(|| Box::new(self.base.iter().peekable()));
        while ahead.next_if(|scored| self.place(scored.member).is_some()).is_some() {}
        let kept = ahead.peek().copied();
        self.ahead = Some(ahead);
        self.pop(kept, Ordering::Less)
    }

    /// Removes the highest member after the changes so far. O(k) for k of them, O(log n) the first time.
    pub fn pop_highest(&mut self) -> Option<Placed> {
        let from_last = || Box::new(self.base.iter_back_from_rank(u64::MAX).peekable());
        let mut back = self.back.take().unwrap_or_else(from_last);
        while back.next_if(|scored| self.place(scored.member).is_some()).is_some() {}
        let kept = back.peek().copied();
        self.back = Some(back);
        self.pop(kept, Ordering::Greater)
    }

    /// Removes `kept`, which was not changed, or what was put on the `closer` side of it.
    fn pop(&mut self, kept: Option<Scored<'g>>, closer: Ordering) -> Option<Placed> {
        let mut popped = kept.map(|scored| (Placed::new(scored.member, scored.score), None));
        for (place, change) in self.changes.iter().enumerate() {
            let Some(code) = change.new else { continue };
            let is_closer = |other: &Placed| {
                let orders = order(code).cmp(&other.order());
                orders.then_with(|| change.member.as_bytes().cmp(other.scored().member)) == closer
            };
            if popped.as_ref().is_none_or(|(other, _)| is_closer(other)) {
                popped = Some((Placed { code, member: change.member.clone() }, Some(place)));
            }
        }
        let (popped, place) = popped?;
        match place {
            Some(place) => self.changes[place].new = None,
            None => {
                self.note(MemberChange { member: popped.member.clone(), old: Some(popped.code), new: None })
            }
        }
        self.len -= 1;
        Some(popped)
    }

    fn change(&mut self, member: &[u8], to: Option<f64>) -> Option<f64> {
        let place = self.place(member);
        let from = match place {
            Some(place) => self.changes[place].new.map(score),
            None => self.base.score(member),
        };
        if from == to {
            return from;
        }
        self.len = self.len + u64::from(to.is_some()) - u64::from(from.is_some());
        let new = to.map(code);
        match place {
            Some(place) => self.changes[place].new = new,
            None => self.note(MemberChange { member: Member::new(member), old: from.map(code), new }),
        }
        from
    }

    fn note(&mut self, change: MemberChange) {
        let place = self.changes.len();
        if place == SEARCHED {
            let members = self.changes.iter().map(|change| change.member.clone());
            self.places = members.enumerate().map(|(place, member)| (member, place)).collect();
        }
        if place >= SEARCHED {
            self.places.insert(change.member.clone(), place);
        }
        self.changes.push(change);
    }

    /// Ends the edit. Nodes are born at `birth`. `is_planned` says that the base was never published: then its
    /// pending operation is taken into the new one; else the index has it by the time the result is published.
    /// O(k log n) for k changes; with a fresh index O(n log n).
    pub fn finish(self, birth: u32, is_planned: bool) -> Edited {
        if !self.is_changed() {
            return Edited::Unchanged;
        }
        if self.len == 0 {
            return Edited::Empty;
        }
        match self.base.form {
            Form::Small(tree) => self.finish_small(tree, birth),
            Form::Large(large) => self.finish_large(large, birth, is_planned),
        }
    }

    fn dropped(&self) -> Places {
        self.places_of(|change| change.old)
    }

    fn added(&self) -> Places {
        self.places_of(|change| change.new)
    }

    fn places_of(&self, code: impl Fn(&MemberChange) -> Option<u64>) -> Places {
        let place =
            |change: &MemberChange| Some(Placed { code: code(change)?, member: change.member.clone() });
        let changes = self.changes.iter().filter(|change| change.old != change.new);
        let mut places: Places = changes.filter_map(place).collect();
        places.sort_unstable_by(Placed::compare);
        places
    }

    fn finish_small(self, base: Tree<'g, ByScore>, birth: u32) -> Edited {
        if self.len <= LEAF_ITEMS as u64 {
            let mut delta = Delta::new(base, birth);
            let keys = |code: fn(&MemberChange) -> Option<u64>| {
                self.changes.iter().filter_map(move |c| Some(ByScore::key(code(c)?, c.member.as_bytes())))
            };
            let (old, new): (SmallVec<[TreeKey; 2]>, SmallVec<[TreeKey; 2]>) =
                (keys(|change| change.old).collect(), keys(|change| change.new).collect());
            let removes = old.iter().map(|key| tree::Edit { key, op: Op::Remove });
            let puts = new.iter().map(|key| tree::Edit { key, op: Op::Put(&[]) });
            let edits: SmallVec<[tree::Edit<'_>; 4]> = removes.chain(puts).collect();
            delta.apply(&edits);
            if delta.tree().is_small() {
                return Edited::Small(delta.seal());
            }
        }
        let is_changed = |scored: &Scored<'g>| self.place(scored.member).is_some();
        let mut all = placed(self.base.iter().filter(|scored| !is_changed(scored)));
        let put = self
            .changes
            .iter()
            .filter_map(|change| change.new.map(|code| Placed { code, member: change.member.clone() }));
        all.extend(put);
        build(all, birth)
    }

    fn finish_large(self, base: Large<'g, O>, birth: u32, is_planned: bool) -> Edited {
        let (dropped, added) = (self.dropped(), self.added());
        let mut delta = Delta::new(base.tree, birth);
        let segments = segments::changes(&base, &dropped, &added);
        // Members that were taken in their order were not looked for yet.
        if self.changes.len() > 1 && added.is_empty() {
            self.base.prefetch(self.changes.iter().map(|change| change.member.as_bytes()));
        }
        edit_tree(&mut delta, &self.changes, &segments);
        if delta.tree().is_small() {
            return build(placed(members_of(delta.tree())), birth);
        }
        let heap = heap_of(&added) - heap_of(&dropped);
        let pending = match is_planned {
            true => base.pending.then(dropped, added),
            false => Pending { dropped, added },
        };
        if pending.len() <= INDEX_KEPT.max(self.len as usize / 16) {
            return Edited::Large { tree: delta.seal(), pending, index: None, heap };
        }
        let mut all = placed(members_of(delta.tree()));
        all.sort_unstable_by(Placed::compare);
        Edited::Large {
            heap: heap_of(&all),
            tree: delta.seal(),
            pending: Pending::default(),
            index: Some(all),
        }
    }
}

/// Bytes that these members hold outside of what contains them.
fn heap_of(places: &[Placed]) -> i64 {
    places.iter().map(|place| Member::heap_size(place.member.as_bytes().len()) as i64).sum()
}

fn edit_tree(delta: &mut Delta<'_, Parts>, changes: &[MemberChange], segments: &[segments::SegmentChange]) {
    let keys: SmallVec<[(TreeKey, Option<[u8; 8]>); 2]> = changes
        .iter()
        .map(|change| (Parts::member_key(change.member.as_bytes()), change.new.map(u64::to_be_bytes)))
        .collect();
    let members = keys.iter().map(|(key, code)| (key, code.as_ref().map(<[u8; 8]>::as_slice)));
    let segments = segments.iter().map(|(key, members)| (key, members.as_ref().map(std::slice::from_ref)));
    let edits: SmallVec<[tree::Edit<'_>; 4]> = members
        .chain(segments)
        .map(|(key, value)| tree::Edit { key, op: value.map_or(Op::Remove, Op::Put) })
        .collect();
    delta.apply(&edits);
}

/// A set of these members, each once, in any order. O(n log n).
pub fn build(mut members: Vec<Placed>, birth: u32) -> Edited {
    if members.is_empty() {
        return Edited::Empty;
    }
    members.sort_unstable_by(Placed::compare);
    if members.len() <= LEAF_ITEMS {
        let keys: Vec<TreeKey> =
            members.iter().map(|place| ByScore::key(place.code, place.member.as_bytes())).collect();
        let edits: Vec<tree::Edit<'_>> =
            keys.iter().map(|key| tree::Edit { key, op: Op::Put(&[]) }).collect();
        let mut delta = Delta::<ByScore>::new(Tree::EMPTY, birth);
        delta.apply(&edits);
        if delta.tree().is_small() {
            return Edited::Small(delta.seal());
        }
    }
    let mut segments = Vec::with_capacity(members.len() / segments::SEGMENT_FILL + 1);
    let order: Vec<(u64, &[u8])> =
        members.iter().map(|place| (place.order(), place.member.as_bytes())).collect();
    segments::cut_up(Cut::at(order[0].0, &[]), &order, |change| segments.push(change));
    let changes: Vec<MemberChange> = members
        .iter()
        .map(|place| MemberChange { member: place.member.clone(), old: None, new: Some(place.code) })
        .collect();
    let mut delta = Delta::new(Tree::EMPTY, birth);
    edit_tree(&mut delta, &changes, &segments);
    Edited::Large {
        tree: delta.seal(),
        pending: Pending::default(),
        heap: heap_of(&members),
        index: Some(members),
    }
}

/// A set like `base` that shares nothing with it, as COPY makes it. O(n log n).
pub fn copy<'g, O: Order<'g>>(base: SortedSet<'g, O>, birth: u32) -> Edited {
    build(placed(base.iter()), birth)
}

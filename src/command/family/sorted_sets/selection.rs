//! Which members of a sorted set a command is about: bounds as clients write them, made into walks.

use crate::command::args::Args;
use crate::command::error::CommandError;
use crate::keyspace::{Ascending, Descending, SortedSet};
use crate::number::{parse_integer, parse_loose_double};
use crate::value::sorted_set::{Cut, Scored};
use smallvec::SmallVec;
use std::ops::Range;

/// The kind of bounds of a range.
#[derive(Clone, Copy, Debug)]
pub enum By {
    /// Ranks, counted from the back if negative; both ends are included.
    Rank,
    /// Scores: `(` in front excludes one.
    Score,
    /// Members: `[` in front includes one, `(` excludes it, `-` and `+` are before and behind all. Meant for sets
    /// whose members all have one score; what is in a range of others, [`Selection::walked`] says.
    Member,
}

/// Members up to which a range of members is walked, as Redis does: those of its largest listpack.
const WALKED: u64 = 128;

/// A bound of members.
#[derive(Clone, Copy, Debug)]
enum Edge<'r> {
    Start,
    Before(&'r [u8]),
    After(&'r [u8]),
    End,
}

impl<'r> Edge<'r> {
    fn parse(text: &'r [u8], is_low: bool) -> Result<Edge<'r>, CommandError> {
        match text {
            b"-" => Ok(Edge::Start),
            b"+" => Ok(Edge::End),
            [b'[', member @ ..] if is_low => Ok(Edge::Before(member)),
            [b'[', member @ ..] => Ok(Edge::After(member)),
            [b'(', member @ ..] if is_low => Ok(Edge::After(member)),
            [b'(', member @ ..] => Ok(Edge::Before(member)),
            _ => Err(CommandError::BoundNotAMember),
        }
    }

    /// True if the member lies in front of the bound.
    fn is_above(self, member: &[u8]) -> bool {
        match self {
            Edge::Start => false,
            Edge::Before(bound) => member < bound,
            Edge::After(bound) => member <= bound,
            Edge::End => true,
        }
    }

    /// True if nothing can lie behind this bound and in front of the other.
    fn is_not_below(self, other: Edge<'r>) -> bool {
        let place = |edge: Edge<'r>| match edge {
            Edge::Start => (0, &[][..], false),
            Edge::Before(member) => (1, member, false),
            Edge::After(member) => (1, member, true),
            Edge::End => (2, &[][..], false),
        };
        place(self) >= place(other)
    }

    /// The place of the bound among members that all have this score.
    fn cut(self, score: f64) -> Cut<'r> {
        match self {
            Edge::Start => Cut::START,
            Edge::Before(member) => Cut::before(member, score),
            Edge::After(member) => Cut::after(member, score),
            Edge::End => Cut::END,
        }
    }
}

fn score_cut(text: &[u8], is_low: bool) -> Result<Cut<'static>, CommandError> {
    let (number, is_exclusive) = match text {
        [b'(', number @ ..] => (number, true),
        number => (number, false),
    };
    let score = parse_loose_double(number).ok_or(CommandError::BoundNotAFloat)?.value;
    Ok(if is_low == is_exclusive { Cut::after_score(score) } else { Cut::before_score(score) })
}

#[derive(Clone, Copy, Debug)]
enum Bounds<'r> {
    Ranks(i64, i64),
    Scores(Cut<'static>, Cut<'static>),
    Members(Edge<'r>, Edge<'r>),
}

/// A range of members in one direction, and the part of it that LIMIT leaves.
#[derive(Clone, Copy, Debug)]
pub struct Selection<'r> {
    bounds: Bounds<'r>,
    is_reverse: bool,
    /// Members that are passed over; none if that is more than all.
    offset: u64,
    most: u64,
}

/// Where the members of a selection are in one set.
enum Span<'r> {
    /// At these ranks, counted in the direction of the selection, the offset passed over.
    Ranks(Range<u64>),
    Cuts(Cut<'r>, Cut<'r>),
}

/// The start of a walk.
enum Start<'r> {
    /// At this rank, counted from the back in reverse.
    Rank(u64),
    Cut(Cut<'r>),
}

impl<'r> Selection<'r> {
    /// Two bounds in the order in which members are selected, and LIMIT's offset and count: a negative offset
    /// leaves nothing, a negative count everything.
    ///
    /// # Errors
    /// The error reply of bounds that are none.
    pub fn parse(
        by: By,
        (first, second): (&'r [u8], &'r [u8]),
        is_reverse: bool,
        (offset, most): (i64, i64),
    ) -> Result<Selection<'r>, CommandError> {
        let (low, high) = if is_reverse { (second, first) } else { (first, second) };
        let rank = |text| parse_integer(text).ok_or(CommandError::NotAnInteger);
        let (bounds, limit) = match by {
            By::Rank => (Bounds::Ranks(rank(first)?, rank(second)?), (0, -1)),
            By::Score => (Bounds::Scores(score_cut(low, true)?, score_cut(high, false)?), (offset, most)),
            By::Member => {
                (Bounds::Members(Edge::parse(low, true)?, Edge::parse(high, false)?), (offset, most))
            }
        };
        Ok(Selection {
            bounds,
            is_reverse,
            offset: u64::try_from(limit.0).unwrap_or(u64::MAX),
            most: u64::try_from(limit.1).unwrap_or(u64::MAX),
        })
    }

    /// All members between the next two arguments.
    ///
    /// # Errors
    /// The error reply of bounds that are none.
    pub fn all_of(by: By, args: &mut Args<'r>) -> Result<Selection<'r>, CommandError> {
        Selection::parse(by, (args.bytes()?, args.bytes()?), false, (0, -1))
    }

    fn span(&self, set: SortedSet<'_>) -> Span<'r> {
        match self.bounds {
            Bounds::Ranks(first, last) => {
                let len = set.len() as i64;
                let from_back = |rank: i64| if rank < 0 { len + rank } else { rank };
                let (first, last) = (from_back(first).max(0), from_back(last).min(len - 1));
                Span::Ranks(if first > last { 0..0 } else { first as u64..last as u64 + 1 })
            }
            Bounds::Scores(low, high) => Span::Cuts(low, high),
            Bounds::Members(low, high) if set.len() <= WALKED => Span::Ranks(self.walked(set, low, high)),
            Bounds::Members(low, high) => {
                let score = set.nth(0).map_or(0.0, |first| first.score);
                Span::Cuts(low.cut(score), high.cut(score))
            }
        }
    }

    /// The ranks between two bounds of members, of whatever scores, as Redis finds them in a listpack: it walks in
    /// the set's order to the first member behind the near bound, then passes over the offset, and ends in front of
    /// the first member behind the far bound. O(members).
    fn walked(&self, set: SortedSet<'_>, low: Edge<'_>, high: Edge<'_>) -> Range<u64> {
        let mut members: SmallVec<[&[u8]; WALKED as usize]> =
            set.iter().map(|scored| scored.member).collect();
        let (Some(lowest), Some(highest)) = (members.first(), members.last()) else { return 0..0 };
        if low.is_not_below(high) || low.is_above(highest) || !high.is_above(lowest) {
            return 0..0;
        }
        if self.is_reverse {
            members.reverse();
        }
        let is_behind_near = |member: &&[u8]| {
            if self.is_reverse { high.is_above(member) } else { !low.is_above(member) }
        };
        let is_before_far = |member: &&&[u8]| {
            if self.is_reverse { !low.is_above(member) } else { high.is_above(member) }
        };
        let Some(first) = members.iter().position(is_behind_near) else { return 0..0 };
        if !is_before_far(&&members[first]) {
            return 0..0;
        }
        let start = (first as u64).saturating_add(self.offset).min(members.len() as u64);
        let found = members[start as usize..].iter().take_while(is_before_far).count();
        start..start + found as u64
    }

    /// How many members are selected. O(log n).
    pub fn count(&self, set: SortedSet<'_>) -> u64 {
        match self.span(set) {
            Span::Ranks(ranks) => (ranks.end - ranks.start).min(self.most),
            Span::Cuts(low, high) => set.count(low, high).saturating_sub(self.offset).min(self.most),
        }
    }

    /// The selected members. O(log n) to the first, whatever the offset.
    pub fn members<'g>(&self, set: SortedSet<'g>) -> Members<'g, 'r> {
        let (is_reverse, len) = (self.is_reverse, set.len());
        let (start, fence, left) = match self.span(set) {
            Span::Ranks(ranks) => {
                let fence = if is_reverse { Cut::START } else { Cut::END };
                (Start::Rank(ranks.start), fence, (ranks.end - ranks.start).min(self.most))
            }
            Span::Cuts(low, high) => {
                let (near, fence) = if is_reverse { (high, low) } else { (low, high) };
                let start = match self.offset {
                    0 => Start::Cut(near),
                    offset if is_reverse => Start::Rank((len - set.rank_of(near)).saturating_add(offset)),
                    offset => Start::Rank(set.rank_of(near).saturating_add(offset)),
                };
                (start, fence, self.most)
            }
        };
        let walk = match start {
            Start::Rank(rank) if rank >= len => Walk::Nothing,
            Start::Rank(rank) if is_reverse => Walk::Down(Box::new(set.iter_back_from_rank(len - 1 - rank))),
            Start::Rank(rank) => Walk::Up(set.iter_from_rank(rank)),
            Start::Cut(cut) if is_reverse => Walk::Down(Box::new(set.iter_back_from(cut))),
            Start::Cut(cut) => Walk::Up(set.iter_from(cut)),
        };
        Members { walk, fence, left }
    }
}

enum Walk<'g> {
    Nothing,
    Up(Ascending<'g>),
    /// Boxed, for it is large, and what is walked upwards should not be moved about with so much room.
    Down(Box<Descending<'g>>),
}

/// The selected members of one set, from the first one on.
pub struct Members<'g, 'r> {
    walk: Walk<'g>,
    /// Where the selection ends.
    fence: Cut<'r>,
    /// Members that may still come.
    left: u64,
}

impl<'g> Iterator for Members<'g, '_> {
    type Item = Scored<'g>;

    fn next(&mut self) -> Option<Scored<'g>> {
        self.left = self.left.checked_sub(1)?;
        let selected = match &mut self.walk {
            Walk::Nothing => None,
            Walk::Up(members) => members.next().filter(|scored| self.fence.is_above(*scored)),
            Walk::Down(members) => members.next().filter(|scored| !self.fence.is_above(*scored)),
        };
        if selected.is_none() {
            self.left = 0;
        }
        selected
    }
}

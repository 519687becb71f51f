//! The segments of a large set's order, and how an edit changes them.

use super::layout::{Parts, TreeKey};
use super::pending::Order;
use super::place::{Cut, Placed, Scored, code, order};
use super::read::Large;
use super::segment::{SEGMENT_MAX, Segment};
use smallvec::SmallVec;

/// Members of a segment where many are built at once: room to grow.
pub(super) const SEGMENT_FILL: usize = 8;

/// Below this a segment is put together with the one in front of it.
const SEGMENT_MIN: usize = 3;

/// A segment's key and how many members it has after an edit; none: it is gone.
pub(super) type SegmentChange = (TreeKey, Option<u8>);

/// A place that an edit adds or drops.
type Event<'e> = (&'e Placed, bool);

/// Cuts members, in their order, into segments. The first begins at `cut`.
pub(super) fn cut_up(cut: Cut<'_>, members: &[(u64, &[u8])], mut emit: impl FnMut(SegmentChange)) {
    let pieces = members.len().div_ceil(SEGMENT_FILL);
    for piece in 0..pieces {
        let start = piece * members.len() / pieces;
        let end = (piece + 1) * members.len() / pieces;
        let begins = match start {
            0 => cut,
            // The score alone separates, but where scores tie.
            _ if members[start - 1].0 < members[start].0 => Cut::at(members[start].0, &[]),
            _ => Cut::at(members[start].0, members[start].1),
        };
        emit((Parts::segment_key(begins), Some((end - start) as u8)));
    }
}

/// How the segments of `set` change when an edit drops and adds these places, each in their order.
pub(super) fn changes<'g, O: Order<'g>>(
    set: &Large<'g, O>,
    dropped: &[Placed],
    added: &[Placed],
) -> SmallVec<[SegmentChange; 4]> {
    let mut events: SmallVec<[Event<'_>; 4]> =
        dropped.iter().map(|place| (place, false)).chain(added.iter().map(|place| (place, true))).collect();
    events.sort_by(|left, right| left.0.compare(right.0));
    if events.len() > 1 {
        set.prefetch_segments(&events);
    }
    let mut plan = SegmentPlan { set, changes: SmallVec::new(), touched: None };
    let mut rest = events.as_slice();
    while let [(first, _), ..] = rest {
        let cut = Cut::at(first.order(), first.scored().member);
        let Some(segment) = set.segment_at(cut).or_else(|| set.segment_with(0)) else { break };
        let here = match rest.len() {
            1 => 1,
            _ => match set.segment_with(segment.end()) {
                Some(next) => rest.partition_point(|(place, _)| next.cut.is_above(place.scored())),
                None => rest.len(),
            },
        };
        plan.change(segment, &rest[..here]);
        rest = &rest[here..];
    }
    plan.changes
}

impl<'g, O: Order<'g>> Large<'g, O> {
    /// Brings the paths to the segments of places into the cache.
    fn prefetch_segments(&self, events: &[Event<'_>]) {
        let cut = |(place, _): &Event<'_>| Parts::segment_key(Cut::at(place.order(), place.scored().member));
        let keys: SmallVec<[TreeKey; 32]> = events.iter().map(cut).collect();
        self.tree.prefetch(keys.iter().map(|key| key.as_slice()));
    }
}

struct SegmentPlan<'s, 'g, O> {
    set: &'s Large<'g, O>,
    changes: SmallVec<[SegmentChange; 4]>,
    /// The rank of the first member of the segment that was changed last.
    touched: Option<u64>,
}

impl<'g, O: Order<'g>> SegmentPlan<'_, 'g, O> {
    fn put(&mut self, cut: Cut<'_>, members: Option<u8>) {
        self.changes.push((Parts::segment_key(cut), members));
    }

    /// Changes one segment; `events` are those in it, and for the first segment those in front of it.
    fn change(&mut self, segment: Segment<'g>, events: &[Event<'_>]) {
        let added = events.iter().filter(|(_, is_added)| *is_added).count();
        let members = usize::from(segment.members) + added - (events.len() - added);
        let lowest = events[0].0;
        let cut = if segment.cut.is_above(lowest.scored()) {
            self.put(segment.cut, None);
            Cut::at(lowest.order(), &[])
        } else {
            segment.cut
        };
        if members == 0 {
            self.put(segment.cut, None);
        } else if members > usize::from(SEGMENT_MAX) {
            let all = self.members_after(segment, events);
            cut_up(cut, &all, |change| self.changes.push(change));
        } else if members >= SEGMENT_MIN || !self.join(segment, members) {
            self.put(cut, Some(members as u8));
        }
        self.touched = Some(segment.before);
    }

    /// Puts the few members of a segment to the one in front of it, if they fit well. False if not.
    fn join(&mut self, segment: Segment<'g>, members: usize) -> bool {
        let Some(before) = segment.before.checked_sub(1).and_then(|rank| self.set.segment_with(rank)) else {
            return false;
        };
        let together = usize::from(before.members) + members;
        if self.touched == Some(before.before) || together > SEGMENT_FILL {
            return false;
        }
        self.put(before.cut, Some(together as u8));
        self.put(segment.cut, None);
        true
    }

    /// The members of a segment after the edit, in their order.
    fn members_after<'e>(&self, segment: Segment<'g>, events: &'e [Event<'_>]) -> Vec<(u64, &'e [u8])>
    where
        'g: 'e,
    {
        let is_dropped = |scored: &Scored<'g>| {
            let place = (order(code(scored.score)), scored.member);
            events
                .iter()
                .any(|(event, is_added)| !is_added && (event.order(), event.scored().member) == place)
        };
        let kept = self.set.members_of(segment).filter(|scored| !is_dropped(scored));
        let mut all: Vec<(u64, &'e [u8])> =
            kept.map(|scored| (order(code(scored.score)), scored.member)).collect();
        let added = events.iter().filter(|(_, is_added)| *is_added);
        all.extend(added.map(|(place, _)| (place.order(), place.scored().member)));
        all.sort_unstable();
        all
    }
}

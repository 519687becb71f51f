//! A segment of a large set's order, as one version has it.

use super::layout::Parts;
use super::place::Cut;
use crate::value::tree::Weighed;

/// Members of a segment, at most: it bounds the walk that ends a rank.
pub const SEGMENT_MAX: u8 = 12;

/// A segment as one version has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment<'g> {
    /// Where it begins.
    pub(super) cut: Cut<'g>,
    /// How many members it has.
    pub(super) members: u8,
    /// How many members are in front of it.
    pub(super) before: u64,
}

impl<'g> Segment<'g> {
    pub(super) fn of(found: Weighed<'g>) -> Option<Segment<'g>> {
        let cut = Parts::segment(found.item.key)?;
        Some(Segment { cut, members: found.item.value.first().copied()?, before: found.before })
    }

    pub(super) fn end(&self) -> u64 {
        self.before + u64::from(self.members)
    }
}

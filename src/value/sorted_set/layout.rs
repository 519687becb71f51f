//! How sorted sets lie in trees.
//!
//! A small set is one leaf of (score, member). A large set's tree has two regions: members with their scores,
//! ordered by hash; behind them the segments of the order, each a fence with the number of members from there to
//! the next one. Only segments have weight, so the tree's length is the number of members, and what counts before
//! a segment is the rank of its first member.

use super::place::{Cut, order};
use crate::value::tree::{Item, Keyed, Layout, key_hash, keyed_fence};
use smallvec::SmallVec;

/// A tree's key.
pub type TreeKey = SmallVec<[u8; 40]>;

/// The layout of small sets: the key is the score's code and the member. There is no -0.0: it is kept as 0.0, as
/// Redis does in its small sets and only there.
#[derive(Clone, Copy, Debug)]
pub struct ByScore;

impl ByScore {
    pub(super) fn key(code: u64, member: &[u8]) -> TreeKey {
        let mut key = TreeKey::from_slice(&order(code).to_be_bytes());
        key.extend_from_slice(member);
        key
    }

    /// The code and the member of a key.
    pub(super) fn split(key: &[u8]) -> (u64, &[u8]) {
        key.split_first_chunk().map_or((0, key), |(code, member)| (u64::from_be_bytes(*code), member))
    }
}

impl Layout for ByScore {
    const VALUES: bool = false;
    const KEYED: bool = true;
    fn fence<'n>(left: &'n [u8], right: &'n [u8]) -> (u64, &'n [u8]) {
        keyed_fence::<ByScore>(left, right)
    }
}

impl Keyed for ByScore {
    const INSERTION_ORDER: bool = false;
    fn rank(key: &[u8]) -> u64 {
        ByScore::split(key).0
    }
}

const MEMBER: u8 = 0;
const SEGMENT: u8 = 1;

/// The first rank of the segments' region.
pub(super) const SEGMENTS: u64 = 1 << 63;

/// The layout of large sets.
#[derive(Clone, Copy, Debug)]
pub struct Parts;

impl Parts {
    /// The key of a member; its value is the score's code.
    pub(super) fn member_key(member: &[u8]) -> TreeKey {
        let mut key = TreeKey::new();
        key.push(MEMBER);
        key.extend_from_slice(member);
        key
    }

    /// The member of a key, if it is one.
    pub(super) fn member(key: &[u8]) -> Option<&[u8]> {
        match key {
            [MEMBER, member @ ..] => Some(member),
            _ => None,
        }
    }

    /// The key of a segment that begins at `cut`; its value is the number of its members.
    pub(super) fn segment_key(cut: Cut<'_>) -> TreeKey {
        let mut key = TreeKey::new();
        key.push(SEGMENT);
        key.extend_from_slice(&cut.order.to_be_bytes());
        key.extend_from_slice(cut.member);
        key
    }

    /// Where a segment begins, if the key is of one.
    pub(super) fn segment(key: &[u8]) -> Option<Cut<'_>> {
        let [SEGMENT, rest @ ..] = key else { return None };
        let (order, member) = rest.split_first_chunk()?;
        Some(Cut::at(u64::from_be_bytes(*order), member))
    }

    /// The code of a value.
    pub(super) fn code(value: &[u8]) -> u64 {
        value.first_chunk().map_or(0, |code| u64::from_be_bytes(*code))
    }
}

impl Layout for Parts {
    const VALUES: bool = true;
    const KEYED: bool = true;
    const WEIGHTED: bool = true;

    fn weight(item: Item<'_>) -> u16 {
        match (item.key, item.value) {
            ([SEGMENT, ..], [members]) => u16::from(*members),
            _ => 0,
        }
    }

    fn fence<'n>(left: &'n [u8], right: &'n [u8]) -> (u64, &'n [u8]) {
        keyed_fence::<Parts>(left, right)
    }
}

impl Keyed for Parts {
    const INSERTION_ORDER: bool = false;

    fn rank(key: &[u8]) -> u64 {
        match Parts::segment(key) {
            Some(cut) => SEGMENTS | cut.order >> 1,
            None => key_hash(key) >> 1,
        }
    }
}

//! Scores as ordered codes, members, and places in the order of a sorted set.

use std::cmp::Ordering;
use std::sync::Arc;

/// The code of -0.0, which is one below that of 0.0.
const NEGATIVE_ZERO: u64 = !(1 << 63);

/// A score's bits in an order: codes compare as scores do, but that -0.0 is below 0.0. The score is no NaN.
#[inline]
pub(super) fn code(score: f64) -> u64 {
    let bits = score.to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

/// The score of a code.
#[inline]
pub(super) fn score(code: u64) -> f64 {
    f64::from_bits(if code >> 63 == 1 { code & !(1 << 63) } else { !code })
}

/// What orders a code: -0.0 and 0.0 tie.
#[inline]
pub(super) fn order(code: u64) -> u64 {
    code + u64::from(code == NEGATIVE_ZERO)
}

/// Bytes of a member that need no allocation of their own.
const INLINE: usize = 22;

/// A member's bytes: short ones in place, longer ones shared by reference count.
#[derive(Clone)]
pub struct Member(Bytes);

#[derive(Clone)]
enum Bytes {
    Inline { len: u8, bytes: [u8; INLINE] },
    Shared(Arc<[u8]>),
}

const _: () = assert!(size_of::<Member>() == 24);

impl Member {
    /// Copies `bytes`.
    #[inline]
    pub fn new(bytes: &[u8]) -> Member {
        let mut inline = [0; INLINE];
        match inline.get_mut(..bytes.len()) {
            Some(place) => {
                place.copy_from_slice(bytes);
                Member(Bytes::Inline { len: bytes.len() as u8, bytes: inline })
            }
            None => Member(Bytes::Shared(bytes.into())),
        }
    }

    /// The bytes.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Bytes::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Bytes::Shared(bytes) => bytes,
        }
    }

    /// Bytes the allocator holds for a member of `len` bytes beside what contains it.
    pub fn heap_size(len: usize) -> usize {
        /// The two counts in front of shared bytes.
        const COUNTS: usize = 16;
        if len <= INLINE { 0 } else { crate::size_class::size_class(COUNTS + len) }
    }
}

impl std::fmt::Debug for Member {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}", self.as_bytes().escape_ascii())
    }
}

impl std::borrow::Borrow<[u8]> for Member {
    fn borrow(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl std::hash::Hash for Member {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl PartialEq for Member {
    fn eq(&self, other: &Member) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Member {}

/// A member with its score, as a reader sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored<'g> {
    /// The member.
    pub member: &'g [u8],
    /// Its score; no NaN.
    pub score: f64,
}

impl Scored<'_> {
    /// Compares by (score, member).
    #[inline]
    pub fn compare(&self, other: &Scored<'_>) -> Ordering {
        // Zeros tie.
        let scores = self.score.partial_cmp(&other.score).expect("no score is NaN");
        scores.then_with(|| self.member.cmp(other.member))
    }
}

/// A member with its score that owns its bytes: ordered by (score, member), -0.0 and 0.0 tie.
#[derive(Clone, Debug)]
pub struct Placed {
    pub(super) code: u64,
    pub(super) member: Member,
}

impl Placed {
    /// A member at a score, which is no NaN.
    pub fn new(member: &[u8], score: f64) -> Placed {
        Placed { code: code(score), member: Member::new(member) }
    }

    /// The place in front of which `cut` cuts, or behind which.
    pub fn at_cut(cut: Cut<'_>) -> Placed {
        Placed { code: cut.order, member: Member::new(cut.member) }
    }

    /// The member and its score.
    #[inline]
    pub fn scored(&self) -> Scored<'_> {
        Scored { member: self.member.as_bytes(), score: score(self.code) }
    }

    /// The first key of the order.
    #[inline]
    pub(super) fn order(&self) -> u64 {
        order(self.code)
    }

    /// Compares places.
    #[inline]
    pub fn compare(&self, other: &Placed) -> Ordering {
        self.order().cmp(&other.order()).then_with(|| self.member.as_bytes().cmp(other.member.as_bytes()))
    }

    /// True if they are at one place and their scores have the same sign.
    pub(super) fn is_same(&self, other: &Placed) -> bool {
        self.code == other.code && self.member == other.member
    }
}

/// A cut through the order of a sorted set: between two neighbours, in front of the first, or behind the last.
#[derive(Clone, Copy, Debug)]
pub struct Cut<'a> {
    pub(super) order: u64,
    pub(super) member: &'a [u8],
    is_behind: bool,
}

impl<'a> Cut<'a> {
    /// In front of all members.
    pub const START: Cut<'static> = Cut { order: 0, member: &[], is_behind: false };

    /// Behind all members.
    pub const END: Cut<'static> = Cut { order: u64::MAX, member: &[], is_behind: true };

    /// In front of all members with this score; no NaN.
    pub fn before_score(score: f64) -> Cut<'static> {
        Cut { order: order(code(score)), member: &[], is_behind: false }
    }

    /// Behind all members with this score; no NaN.
    pub fn after_score(score: f64) -> Cut<'static> {
        Cut { order: order(code(score)) + 1, member: &[], is_behind: false }
    }

    /// In front of this place, whether somebody is there or not.
    pub fn before(member: &'a [u8], score: f64) -> Cut<'a> {
        Cut { order: order(code(score)), member, is_behind: false }
    }

    /// Right behind this place.
    pub fn after(member: &'a [u8], score: f64) -> Cut<'a> {
        Cut { order: order(code(score)), member, is_behind: true }
    }

    pub(super) fn at(order: u64, member: &'a [u8]) -> Cut<'a> {
        Cut { order, member, is_behind: false }
    }

    /// True if it cuts right behind its place rather than in front of it.
    pub fn is_behind(&self) -> bool {
        self.is_behind
    }

    /// True if nothing fits in front of this cut that does not fit in front of `other`.
    pub(super) fn is_in_front_of(&self, other: Cut<'_>) -> bool {
        (self.order, self.member, self.is_behind) < (other.order, other.member, other.is_behind)
    }

    /// True if the member lies in front of the cut.
    #[inline]
    pub fn is_above(&self, scored: Scored<'_>) -> bool {
        self.is_above_place(order(code(scored.score)), scored.member)
    }

    #[inline]
    pub(super) fn is_above_place(&self, order: u64, member: &[u8]) -> bool {
        match order.cmp(&self.order).then_with(|| member.cmp(self.member)) {
            Ordering::Less => true,
            Ordering::Equal => self.is_behind,
            Ordering::Greater => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_order_as_scores_do() {
        let scores = [
            f64::NEG_INFINITY,
            f64::MIN,
            -1.5,
            -f64::MIN_POSITIVE,
            0.0,
            5e-324,
            1.0,
            f64::MAX,
            f64::INFINITY,
        ];
        for (left, right) in scores.iter().zip(&scores[1..]) {
            assert!(order(code(*left)) < order(code(*right)), "{left} {right}");
            assert!(order(code(*left)) < Cut::after_score(*left).order);
            assert!(Cut::after_score(*left).order <= order(code(*right)));
        }
        for bits in scores.map(f64::to_bits).into_iter().chain([(-0.0_f64).to_bits()]) {
            assert_eq!(score(code(f64::from_bits(bits))).to_bits(), bits);
        }
        assert_eq!(order(code(-0.0)), order(code(0.0)));
    }

    #[test]
    fn members_are_inline_up_to_their_limit() {
        for len in [0, 1, INLINE, INLINE + 1, 1000] {
            let bytes = vec![b'x'; len];
            assert_eq!(Member::new(&bytes).as_bytes(), bytes);
            assert_eq!(Member::heap_size(len) > 0, len > INLINE);
        }
    }
}

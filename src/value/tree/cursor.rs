//! Cursors of walks by key: a prefix of the rank to go on from, in the form in which clients see it.
//!
//! They stay below 2^48, for clients that keep them as doubles lose the bits beyond 2^53. The ranks are hashes, and
//! what hashes of chosen keys tell could be used to find keys that tie, so a cursor is a permutation of the prefix
//! under a key of its own. 0 is both the start and the end, and stands for the prefix 0.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

/// Bits of a cursor.
const BITS: u32 = 48;

/// Bits of a rank that its prefix leaves out.
const OMITTED: u32 = 64 - BITS;

const HALF: u32 = BITS / 2;

/// Rounds of a Luby-Rackoff cipher that cannot be told from a random permutation.
const ROUNDS: u8 = 4;

/// The part of a rank that cursors tell apart.
pub(super) fn prefix(rank: u64) -> u64 {
    rank >> OMITTED
}

/// The first rank with this prefix.
pub(super) fn first_rank(prefix: u64) -> u64 {
    prefix << OMITTED
}

/// The cursor that stands for a prefix: 0 for 0 only.
pub(super) fn encode(prefix: u64) -> u64 {
    // The prefix whose place is 0 takes that of the prefix 0.
    match prefix {
        0 => 0,
        _ => Some(permute(prefix)).filter(|cursor| *cursor != 0).unwrap_or_else(|| permute(0)),
    }
}

/// The prefix that a cursor stands for, unless no cursor is so large.
pub(super) fn decode(cursor: u64) -> Option<u64> {
    match cursor {
        0 => Some(0),
        _ if cursor >> BITS > 0 => None,
        _ => Some(Some(invert(cursor)).filter(|prefix| *prefix != 0).unwrap_or_else(|| invert(0))),
    }
}

fn permute(number: u64) -> u64 {
    let (left, right) =
        (0..ROUNDS).fold(halves(number), |(left, right), round| (right, left ^ mix(round, right)));
    left << HALF | right
}

fn invert(number: u64) -> u64 {
    let rounds = (0..ROUNDS).rev();
    let (left, right) = rounds.fold(halves(number), |(left, right), round| (right ^ mix(round, left), left));
    left << HALF | right
}

fn halves(number: u64) -> (u64, u64) {
    (number >> HALF, number & ((1 << HALF) - 1))
}

/// A keyed function of a half: SipHash.
fn mix(round: u8, half: u64) -> u64 {
    static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    KEY.hash_one((round, half)) >> (64 - HALF)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_stands_for_its_prefix_and_for_no_other() {
        let prefixes = (0..5_000).chain((0..BITS).map(|bit| 1 << bit)).chain([invert(0), (1 << BITS) - 1]);
        for prefix in prefixes {
            let cursor = encode(prefix);
            assert!(cursor < 1 << BITS);
            assert_eq!((cursor == 0, decode(cursor)), (prefix == 0, Some(prefix)));
        }
        assert_eq!((decode(1 << BITS), decode(u64::MAX)), (None, None));
        assert_eq!(prefix(first_rank(12_345) + 1), 12_345);
    }

    /// Neighbours are as far from each other as any two.
    #[test]
    fn cursors_do_not_tell_the_order_of_what_they_stand_for() {
        let ascending = (1..1_000).filter(|prefix| encode(*prefix) < encode(prefix + 1)).count();
        assert!((400..600).contains(&ascending), "{ascending}");
    }
}

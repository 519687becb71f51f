//! Subscriptions to patterns, by the literal text that each begins with.
//!
//! # Purpose
//! A publisher looks only at patterns whose literal text its channel begins with. It reads one immutable map, of which it
//! holds a reference and no guard, so that it may take its time.
//!
//! # Invariants
//! - I1. A map that was published never changes.
//! - I2. A pattern is in the map exactly as long as it has members.
//!
//! # Progress
//! Publishing is wait-free; joining and leaving are lock-free, O(log patterns + sqrt of the members).

use super::hub::{Members, Numbered};
use arc_swap::ArcSwap;
use bytes::Bytes;
use imbl::OrdMap;
use std::cmp::Ordering;
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

type Map<S> = OrdMap<Name, Arc<Members<S>>>;

/// A pattern, or the place behind all those with one literal text. The order is by the literal text first.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Name {
    text: Bytes,
    literal: usize,
    is_end: bool,
}

impl Name {
    /// The place behind all patterns that begin with `literal` and have a special byte there.
    fn end(literal: Bytes) -> Name {
        Name { literal: literal.len(), text: literal, is_end: true }
    }

    fn literal(&self) -> &[u8] {
        &self.text[..self.literal]
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Name) -> Ordering {
        let by_literal = self.literal().cmp(other.literal());
        by_literal.then(self.is_end.cmp(&other.is_end)).then_with(|| self.text.cmp(&other.text))
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Name) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Patterns and their members.
pub struct Prefixes<S> {
    map: ArcSwap<Map<S>>,
}

impl<S> Default for Prefixes<S> {
    fn default() -> Prefixes<S> {
        Prefixes { map: ArcSwap::from_pointee(OrdMap::new()) }
    }
}

impl<S> fmt::Debug for Prefixes<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prefixes").field("patterns", &self.len()).finish_non_exhaustive()
    }
}

impl<S> Prefixes<S> {
    /// Number of patterns with members. O(1).
    pub fn len(&self) -> usize {
        self.map.load().len()
    }

    /// True without patterns.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The patterns as they are now that may match `channel`.
    pub fn candidates(&self, channel: &Bytes) -> Candidates<S> {
        let next = Some(Name::end(channel.clone()));
        Candidates { map: self.map.load_full(), channel: channel.clone(), next }
    }
}

impl<S: Numbered> Prefixes<S> {
    /// Lets `member` listen to a pattern, whose literal text is so many bytes long.
    pub fn join(&self, pattern: &Bytes, literal: usize, member: &Arc<S>) {
        self.change(pattern, literal, |members| match members {
            None => Members::default().with(member),
            Some(members) => members.with(member),
        });
    }

    /// Ends the listening of the member of this number; the last one takes the pattern along (I2).
    pub fn leave(&self, pattern: &Bytes, literal: usize, number: u64) {
        self.change(pattern, literal, |members| members?.without(number));
    }

    fn change(
        &self,
        pattern: &Bytes,
        literal: usize,
        change: impl Fn(Option<&Members<S>>) -> Option<Members<S>>,
    ) {
        let name = Name { text: pattern.clone(), literal, is_end: false };
        self.map.rcu(|map| {
            let Some(members) = change(map.get(&name).map(Arc::as_ref)) else { return Arc::clone(map) };
            let mut map = Map::clone(map);
            if members.is_empty() {
                map.remove(&name);
            } else {
                map.insert(name.clone(), Arc::new(members));
            }
            Arc::new(map)
        });
    }
}

/// Patterns that may match a channel, as they were when a publisher began.
pub struct Candidates<S> {
    map: Arc<Map<S>>,
    channel: Bytes,
    /// Only what is before it was not visited. `None` at the end.
    next: Option<Name>,
}

impl<S> fmt::Debug for Candidates<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Candidates").field("channel", &self.channel).finish_non_exhaustive()
    }
}

impl<S> Candidates<S> {
    /// Visits the patterns with whose literal text the channel begins, in no order, until `visit` is false; the next
    /// call goes on behind that one. True at the end. O(visited + log patterns for each literal text).
    pub fn visit(&mut self, mut visit: impl FnMut(&Bytes, &Arc<Members<S>>) -> bool) -> bool {
        while let Some(end) = self.next.take() {
            let mut before = self.map.range((Bound::Unbounded, Bound::Excluded(&end)));
            while let Some((name, members)) = before.next_back() {
                if !self.channel.starts_with(name.literal()) {
                    // What is left and a prefix of the channel is a prefix of what both have in common: a longer one
                    // would be behind this name.
                    let bytes = name.literal().iter().zip(&self.channel);
                    let common = bytes.take_while(|(one, other)| one == other).count();
                    self.next = Some(Name::end(self.channel.slice(..common)));
                    break;
                }
                if !visit(&name.text, members) {
                    self.next = Some(name.clone());
                    return false;
                }
            }
        }
        true
    }
}

#[cfg(all(test, not(kvns_loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug)]
    struct Listener(u64);

    impl Numbered for Listener {
        fn number(&self) -> u64 {
            self.0
        }
    }

    fn literal(pattern: &[u8]) -> usize {
        pattern.iter().position(|byte| *byte == b'*').unwrap_or(pattern.len())
    }

    /// The candidates for a channel, `each` at a time, and how many names were met.
    fn candidates(prefixes: &Prefixes<Listener>, channel: &str, each: usize) -> Vec<Bytes> {
        let mut candidates = prefixes.candidates(&Bytes::copy_from_slice(channel.as_bytes()));
        let mut found = Vec::new();
        loop {
            let mut left = each;
            let is_over = candidates.visit(|pattern, _| {
                found.push(pattern.clone());
                left -= 1;
                left > 0
            });
            if is_over {
                return found;
            }
        }
    }

    proptest! {
        #[test]
        fn exactly_patterns_with_a_prefix_of_the_channel_are_candidates(
            patterns in proptest::collection::hash_set("[ab]{0,5}\\*?[ab]{0,2}", 0..40),
            channel in "[ab]{0,6}",
            each in 1_usize..4,
        ) {
            let prefixes = Prefixes::default();
            let listener = Arc::new(Listener(1));
            for pattern in &patterns {
                let pattern = Bytes::copy_from_slice(pattern.as_bytes());
                prefixes.join(&pattern, literal(&pattern), &listener);
                prefixes.join(&pattern, literal(&pattern), &listener);
            }
            prop_assert_eq!(prefixes.len(), patterns.len());
            let mut found = candidates(&prefixes, &channel, each);
            found.sort_unstable();
            let may_match = |pattern: &&String| channel.as_bytes().starts_with(&pattern.as_bytes()[..literal(pattern.as_bytes())]);
            let mut expected: Vec<&[u8]> = patterns.iter().filter(may_match).map(|pattern| pattern.as_bytes()).collect();
            expected.sort_unstable();
            prop_assert_eq!(found, expected);
            for pattern in &patterns {
                let pattern = Bytes::copy_from_slice(pattern.as_bytes());
                prefixes.leave(&pattern, literal(&pattern), 2);
                prefixes.leave(&pattern, literal(&pattern), 1);
            }
            prop_assert!(prefixes.is_empty());
        }
    }

    #[test]
    fn joining_and_leaving_at_once_loses_nobody() {
        let prefixes = Prefixes::default();
        let pattern = Bytes::from_static(b"a*");
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (prefixes, pattern) = (&prefixes, &pattern);
                scope.spawn(move || {
                    for round in 0..200 {
                        let listener = Arc::new(Listener(thread * 1_000 + round));
                        prefixes.join(pattern, 1, &listener);
                        if round % 2 == 0 {
                            prefixes.leave(pattern, 1, listener.0);
                        }
                    }
                });
            }
        });
        let mut count = 0;
        prefixes.candidates(&Bytes::from_static(b"abc")).visit(|_, members| {
            count += members.len();
            true
        });
        assert_eq!(count, 400);
    }
}

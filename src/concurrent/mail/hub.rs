//! Subscriptions: names, each with a set of members. Publishers read them without waiting.
//!
//! # Purpose
//! A publisher looks a name up and walks an immutable set of members. Joining and leaving replace the set: one bucket
//! and the list of buckets are copied, so that 10,000 members of one name cost each joiner about a hundred pointers.
//!
//! # Invariants
//! - I1. A set that was published in the map never changes.
//! - I2. A name is in the map exactly as long as it has members: joining creates it, and the leaving of the last member
//!   removes it in one step.
//!
//! # Progress
//! Publishing is wait-free but for papaya's help in a resize; joining and leaving are lock-free.

use bytes::Bytes;
use papaya::{HashMap, Operation};
use std::fmt;
use std::sync::Arc;

/// Members in one bucket, on average, at which a set doubles its buckets.
const BUCKET: usize = 64;

/// Something with a unique number.
pub trait Numbered {
    /// The number.
    fn number(&self) -> u64;
}

/// An immutable set of members.
pub struct Members<S> {
    /// A power of two of them; a member is in the one that its number says.
    buckets: Box<[Arc<[Arc<S>]>]>,
    len: usize,
}

impl<S> Clone for Members<S> {
    fn clone(&self) -> Members<S> {
        Members { buckets: self.buckets.clone(), len: self.len }
    }
}

impl<S> Default for Members<S> {
    fn default() -> Members<S> {
        Members { buckets: Box::new([Arc::new([])]), len: 0 }
    }
}

impl<S> fmt::Debug for Members<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Members").field("len", &self.len).finish_non_exhaustive()
    }
}

impl<S: Numbered> Members<S> {
    /// Number of members. O(1).
    pub fn len(&self) -> usize {
        self.len
    }

    /// True without members.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Every member, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<S>> {
        self.buckets.iter().flat_map(|bucket| bucket.iter())
    }

    /// The set with `member` in it, unless it is in there. O(sqrt of the members), amortised.
    pub fn with(&self, member: &Arc<S>) -> Option<Members<S>> {
        let place = self.place(member.number());
        if self.buckets[place].iter().any(|other| other.number() == member.number()) {
            return None;
        }
        if self.len >= self.buckets.len() * BUCKET {
            return Some(self.doubled().with(member).expect("it is not in there"));
        }
        let bucket = self.buckets[place].iter().chain([member]).cloned().collect();
        Some(self.replaced(place, bucket, self.len + 1))
    }

    /// The set without the member of this number, if it is in there. O(sqrt of the members).
    pub fn without(&self, number: u64) -> Option<Members<S>> {
        let place = self.place(number);
        let is_other = |member: &&Arc<S>| member.number() != number;
        let bucket: Arc<[Arc<S>]> = self.buckets[place].iter().filter(is_other).cloned().collect();
        let is_in = bucket.len() < self.buckets[place].len();
        is_in.then(|| self.replaced(place, bucket, self.len - 1))
    }

    fn place(&self, number: u64) -> usize {
        number as usize & (self.buckets.len() - 1)
    }

    fn replaced(&self, place: usize, bucket: Arc<[Arc<S>]>, len: usize) -> Members<S> {
        let mut buckets = self.buckets.clone();
        buckets[place] = bucket;
        Members { buckets, len }
    }

    fn doubled(&self) -> Members<S> {
        let count = self.buckets.len() * 2;
        let mut buckets: Vec<Vec<Arc<S>>> = vec![Vec::new(); count];
        self.iter()
            .for_each(|member| buckets[member.number() as usize & (count - 1)].push(Arc::clone(member)));
        Members { buckets: buckets.into_iter().map(Arc::from).collect(), len: self.len }
    }
}

/// Names and their members.
pub struct Hub<S> {
    names: HashMap<Bytes, Members<S>, ahash::RandomState>,
}

impl<S> Default for Hub<S> {
    fn default() -> Hub<S> {
        Hub { names: HashMap::default() }
    }
}

impl<S> fmt::Debug for Hub<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("names", &self.names.len()).finish_non_exhaustive()
    }
}

impl<S: Numbered> Hub<S> {
    /// Number of names with members. O(1).
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// True without names.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Lets `member` listen to `name`; nothing happens if it does already.
    pub fn join(&self, name: &Bytes, member: &Arc<S>) {
        self.names.pin().compute(name.clone(), |present| {
            let joined = match present {
                None => Members::default().with(member),
                Some((_, members)) => members.with(member),
            };
            joined.map_or(Operation::Abort(()), Operation::Insert)
        });
    }

    /// Ends the listening of the member of this number; the last one takes the name along (I2).
    pub fn leave(&self, name: &Bytes, number: u64) {
        self.names.pin().compute(name.clone(), |present| {
            match present.and_then(|(_, members)| members.without(number)) {
                None => Operation::Abort(()),
                Some(members) if members.is_empty() => Operation::Remove,
                Some(members) => Operation::Insert(members),
            }
        });
    }

    /// Number of members of a name. O(1).
    pub fn count(&self, name: &[u8]) -> usize {
        self.names.pin().get(name).map_or(0, Members::len)
    }

    /// Visits the members of a name, as they are now, in no order.
    pub fn each_member(&self, name: &[u8], visit: impl FnMut(&Arc<S>)) {
        if let Some(members) = self.names.pin().get(name) {
            members.iter().for_each(visit);
        }
    }

    /// Visits every name with its members, in no order.
    pub fn each(&self, mut visit: impl FnMut(&Bytes, &Members<S>)) {
        self.names.pin().iter().for_each(|(name, members)| visit(name, members));
    }
}

#[cfg(all(test, not(kvns_loom)))]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Listener(u64);

    impl Numbered for Listener {
        fn number(&self) -> u64 {
            self.0
        }
    }

    #[test]
    fn many_join_and_leave_one_name() {
        let hub = Hub::default();
        let listeners: Vec<Arc<Listener>> = (0..1_000).map(|number| Arc::new(Listener(number * 3))).collect();
        let name = Bytes::from_static(b"a");
        for listener in listeners.iter().chain(&listeners) {
            hub.join(&name, listener);
        }
        assert_eq!((hub.count(b"a"), hub.count(b"b"), hub.len()), (1_000, 0, 1));
        let mut seen = Vec::new();
        hub.each_member(b"a", |member| seen.push(member.0));
        seen.sort_unstable();
        assert_eq!(seen, (0..1_000).map(|number| number * 3).collect::<Vec<_>>());
        for listener in &listeners {
            hub.leave(&name, listener.0);
            hub.leave(&name, listener.0);
        }
        assert!(hub.is_empty() && hub.count(b"a") == 0);
    }

    #[test]
    fn joining_and_leaving_at_once_loses_nobody() {
        let hub = Hub::default();
        let name = Bytes::from_static(b"a");
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (hub, name) = (&hub, &name);
                scope.spawn(move || {
                    for round in 0..200 {
                        let listener = Arc::new(Listener(thread * 1_000 + round));
                        hub.join(name, &listener);
                        if round % 2 == 0 {
                            hub.leave(name, listener.0);
                        }
                    }
                });
            }
        });
        assert_eq!(hub.count(b"a"), 400);
        let mut found = 0;
        hub.each(|name, members| {
            assert_eq!(name, "a");
            found += members.iter().filter(|member| member.0 % 2 == 1).count();
        });
        assert_eq!(found, 400);
    }
}

//! Keys of a snapshot on their way into the keyspace.

use super::entry::{Change, Draft};
use super::{Key, Keyspace, KeyspaceError, View};
use crate::concurrent::counters::counter::Counter;
use crate::snapshot::{Extent, Frame, Head, Part, Receiver};
use crate::value::Kind;
use crate::value::sorted_set::{self, Placed};
use crate::value::tree::{Delta, Edit, Hash, Keyed, List, Op, Set, Tree};
use bytes::Bytes;
use std::collections::HashSet;

/// Bytes, or items, of a large hash or set that are put into its tree at once.
const BATCH_BYTES: usize = 64 << 20;
const BATCH_ITEMS: usize = 1 << 20;

/// Bytes of a long string for which room is made before they are there.
const ROOM: usize = 1 << 20;

/// Puts the keys of a snapshot into a keyspace; one for each thread that loads.
///
/// A key takes the place of what is there of its name. What has expired is dropped. A key in parts is built while
/// they come, without a pin, and seen by others when it is whole.
#[derive(Debug)]
pub struct Restorer<'k> {
    keyspace: &'k Keyspace,
    /// The key whose parts are coming.
    growing: Option<Growing>,
    tally: &'k RestoreTally,
}

/// What became of the keys of a snapshot.
#[derive(Debug, Default)]
pub struct RestoreTally {
    /// Keys that were dropped, because they had expired.
    pub expired: Counter,
    /// Keys that were put in place; one that is in the file twice counts twice.
    pub restored: Counter,
}

/// A value that is being built.
#[derive(Debug)]
enum Growing {
    String(Vec<u8>),
    List(Delta<'static, List>),
    Hash(Gathering<Hash>),
    Set(Gathering<Set>),
    SortedSet(Vec<Placed>),
}

/// A hash or set that is being built: in batches, for each of them passes many leaves of the tree.
#[derive(Debug)]
struct Gathering<L: Keyed> {
    delta: Delta<'static, L>,
    /// Keys and values that are not in the tree yet, one after the other.
    bytes: Vec<u8>,
    /// Their lengths.
    lengths: Vec<(u32, u32)>,
}

impl<L: Keyed> Gathering<L> {
    fn new(birth: u32) -> Gathering<L> {
        Gathering { delta: Delta::new(Tree::EMPTY, birth), bytes: Vec::new(), lengths: Vec::new() }
    }

    /// Adds keys with their values. After the last ones all are in the tree.
    fn add<'a>(&mut self, items: impl Iterator<Item = (&'a [u8], &'a [u8])>, is_last: bool) {
        if is_last && self.lengths.is_empty() {
            return put_all(&mut self.delta, items);
        }
        for (key, value) in items {
            self.bytes.extend_from_slice(key);
            self.bytes.extend_from_slice(value);
            // Items are bounded by the protocol, far below 2^32.
            self.lengths.push((key.len() as u32, value.len() as u32));
        }
        if is_last || self.bytes.len() >= BATCH_BYTES || self.lengths.len() >= BATCH_ITEMS {
            let mut rest = &self.bytes[..];
            let mut cut = |len: u32| {
                let (first, others) = rest.split_at(len as usize);
                rest = others;
                first
            };
            put_all(&mut self.delta, self.lengths.iter().map(|(key, value)| (cut(*key), cut(*value))));
            self.bytes.clear();
            self.lengths.clear();
        }
    }
}

impl Growing {
    fn new(head: &Head<'_>, birth: u32) -> Growing {
        match head.kind {
            Kind::String => Growing::String(Vec::with_capacity(head.len.min(ROOM as u64) as usize)),
            Kind::List => Growing::List(Delta::new(Tree::EMPTY, birth)),
            Kind::Hash => Growing::Hash(Gathering::new(birth)),
            Kind::Set => Growing::Set(Gathering::new(birth)),
            Kind::SortedSet => Growing::SortedSet(Vec::new()),
        }
    }

    /// Adds a part. O(k log n) for its k items.
    fn add(&mut self, part: &Part<'_>, is_last: bool) {
        match self {
            Growing::String(bytes) => bytes.extend_from_slice(part.bytes()),
            Growing::List(delta) => delta.push_back(&part.items().collect::<Vec<_>>()),
            Growing::Hash(gathering) => {
                let mut items = part.items();
                gathering.add(std::iter::from_fn(|| Some((items.next()?, items.next()?))), is_last);
            }
            Growing::Set(gathering) => gathering.add(part.items().map(|member| (member, &[][..])), is_last),
            Growing::SortedSet(members) => members
                .extend(part.items().zip(part.scores()).map(|(member, score)| Placed::new(member, score))),
        }
    }

    /// Elements once all are there, each counted once. O(1), of sorted sets O(n).
    fn len(&self) -> u64 {
        match self {
            Growing::String(bytes) => bytes.len() as u64,
            Growing::List(delta) => delta.tree().len(),
            Growing::Hash(gathering) => gathering.delta.tree().len(),
            Growing::Set(gathering) => gathering.delta.tree().len(),
            Growing::SortedSet(members) => {
                let members = members.iter().map(|placed| placed.scored().member);
                members.collect::<HashSet<_, ahash::RandomState>>().len() as u64
            }
        }
    }

    /// The change that puts the value in place.
    fn finish(self, deadline_ms: Option<u64>, view: &View<'_>) -> Change {
        match self {
            Growing::String(bytes) => {
                Change::Put(Draft::shared(Bytes::from(bytes.into_boxed_slice()), deadline_ms))
            }
            Growing::List(delta) => Change::edited(delta, deadline_ms),
            Growing::Hash(gathering) => Change::edited(gathering.delta, deadline_ms),
            Growing::Set(gathering) => Change::edited(gathering.delta, deadline_ms),
            Growing::SortedSet(members) => {
                Change::sorted_set(sorted_set::build(members, view.birth()), None, deadline_ms, view.guard())
            }
        }
    }
}

fn put_all<'a, L: Keyed>(delta: &mut Delta<'_, L>, items: impl Iterator<Item = (&'a [u8], &'a [u8])>) {
    let edits: Vec<Edit<'_>> = items.map(|(key, value)| Edit { key, op: Op::Put(value) }).collect();
    delta.apply(&edits);
}

impl Keyspace {
    /// A receiver that puts the keys of a snapshot into this keyspace and counts them in `tally`.
    pub fn restorer<'k>(&'k self, tally: &'k RestoreTally) -> Restorer<'k> {
        Restorer { keyspace: self, growing: None, tally }
    }
}

impl Restorer<'_> {
    fn take_whole(&mut self, frame: &Frame<'_>) -> Result<(), String> {
        let mut batch = self.keyspace.enter();
        for part in frame.parts() {
            let mut view = batch.view();
            let head = part.head;
            let change = match head.kind {
                Kind::String => Change::Put(Draft::string(part.bytes(), head.deadline_ms)),
                _ => {
                    let mut growing = Growing::new(&head, view.birth());
                    growing.add(&part, true);
                    whole(growing, &head, &view)?
                }
            };
            self.put(&mut view, &head, change)?;
            drop(view);
            batch.between_commands();
        }
        Ok(())
    }

    fn take_part(&mut self, part: &Part<'_>, place: Extent) -> Result<(), String> {
        let mut growing = match self.growing.take() {
            Some(growing) if place != Extent::First => growing,
            _ => Growing::new(&part.head, self.keyspace.enter().view().birth()),
        };
        growing.add(part, place == Extent::Last);
        if place != Extent::Last {
            self.growing = Some(growing);
            return Ok(());
        }
        let mut batch = self.keyspace.enter();
        let mut view = batch.view();
        let change = whole(growing, &part.head, &view)?;
        self.put(&mut view, &part.head, change)
    }

    /// Puts a value in place. If another thread does so at the same time, that is the same key of the same snapshot,
    /// so the order does not matter.
    fn put(&mut self, view: &mut View<'_>, head: &Head<'_>, change: Change) -> Result<(), String> {
        if head.deadline_ms.is_some_and(|deadline_ms| deadline_ms <= view.now_ms()) {
            self.tally.expired.add(1);
            return Ok(());
        }
        let mut change = Some(change);
        // An update fails only to let a transaction run alone, and nobody else writes while a snapshot is loaded.
        view.update(Key::new(head.name), |_| {
            Ok::<_, KeyspaceError>((change.take().unwrap_or(Change::Keep), ()))
        })
        .map_err(|_| "somebody writes while it is loaded".to_owned())?;
        self.tally.restored.add(1);
        Ok(())
    }
}

fn whole(growing: Growing, head: &Head<'_>, view: &View<'_>) -> Result<Change, String> {
    if growing.len() != head.len {
        return Err("a collection has an element twice".to_owned());
    }
    Ok(growing.finish(head.deadline_ms, view))
}

impl Receiver for Restorer<'_> {
    fn expect(&mut self, keys: u64) {
        self.keyspace.enter().view().grow_index(keys as usize);
    }

    fn take(&mut self, frame: &Frame<'_>) -> Result<(), String> {
        if frame.place() == Extent::Whole {
            return self.take_whole(frame);
        }
        frame.parts().try_for_each(|part| self.take_part(&part, frame.place()))
    }
}

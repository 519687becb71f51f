//! Keys of a snapshot on their way into the keyspace.

use super::entry::{Change, Draft};
use super::{Key, Keyspace, KeyspaceError, View};
use crate::concurrent::counter::Counter;
use crate::snapshot::{Frame, Head, Part, Place, Receiver};
use crate::value::Kind;
use crate::value::sorted_set::{self, Placed};
use crate::value::tree::{Delta, Edit, Hash, Keyed, List, Op, Set, Tree};
use bytes::Bytes;
use std::collections::HashSet;

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
    Hash(Delta<'static, Hash>),
    Set(Delta<'static, Set>),
    SortedSet(Vec<Placed>),
}

impl Growing {
    fn new(head: &Head<'_>, birth: u32) -> Growing {
        match head.kind {
            Kind::String => Growing::String(Vec::with_capacity(head.len.min(ROOM as u64) as usize)),
            Kind::List => Growing::List(Delta::new(Tree::EMPTY, birth)),
            Kind::Hash => Growing::Hash(Delta::new(Tree::EMPTY, birth)),
            Kind::Set => Growing::Set(Delta::new(Tree::EMPTY, birth)),
            Kind::SortedSet => Growing::SortedSet(Vec::new()),
        }
    }

    /// Adds a part. O(k log n) for its k items.
    fn add(&mut self, part: &Part<'_>) {
        match self {
            Growing::String(bytes) => bytes.extend_from_slice(part.bytes()),
            Growing::List(delta) => delta.push_back(&part.items().collect::<Vec<_>>()),
            Growing::Hash(delta) => {
                let mut items = part.items();
                let pairs = std::iter::from_fn(|| Some((items.next()?, items.next()?)));
                put_all(delta, pairs);
            }
            Growing::Set(delta) => put_all(delta, part.items().map(|member| (member, &[][..]))),
            Growing::SortedSet(members) => members
                .extend(part.items().zip(part.scores()).map(|(member, score)| Placed::new(member, score))),
        }
    }

    /// Elements so far, each once. O(1), of sorted sets O(n).
    fn len(&self) -> u64 {
        match self {
            Growing::String(bytes) => bytes.len() as u64,
            Growing::List(delta) => delta.tree().len(),
            Growing::Hash(delta) => delta.tree().len(),
            Growing::Set(delta) => delta.tree().len(),
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
            Growing::Hash(delta) => Change::edited(delta, deadline_ms),
            Growing::Set(delta) => Change::edited(delta, deadline_ms),
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
    /// What puts the keys of a snapshot into this keyspace and counts them in `tally`.
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
                    growing.add(&part);
                    whole(growing, &head, &view)?
                }
            };
            self.put(&mut view, &head, change);
            drop(view);
            batch.between_commands();
        }
        Ok(())
    }

    fn take_part(&mut self, part: &Part<'_>, place: Place) -> Result<(), String> {
        let mut growing = match self.growing.take() {
            Some(growing) if place != Place::First => growing,
            _ => Growing::new(&part.head, self.keyspace.enter().view().birth()),
        };
        growing.add(part);
        if place != Place::Last {
            self.growing = Some(growing);
            return Ok(());
        }
        let mut batch = self.keyspace.enter();
        let mut view = batch.view();
        let change = whole(growing, &part.head, &view)?;
        self.put(&mut view, &part.head, change);
        Ok(())
    }

    /// Puts a value in place. If another thread does so at the same time, that is the same key of the same snapshot,
    /// so it does not matter who is first.
    fn put(&mut self, view: &mut View<'_>, head: &Head<'_>, change: Change) {
        if head.deadline_ms.is_some_and(|deadline_ms| deadline_ms <= view.now_ms()) {
            self.tally.expired.add(1);
            return;
        }
        let mut change = Some(change);
        // An update fails only to let a transaction run alone, and nobody else writes while a snapshot is loaded.
        let _ = view.update(Key::new(head.name), |_| {
            Ok::<_, KeyspaceError>((change.take().unwrap_or(Change::Keep), ()))
        });
        self.tally.restored.add(1);
    }
}

fn whole(growing: Growing, head: &Head<'_>, view: &View<'_>) -> Result<Change, String> {
    if growing.len() != head.len {
        return Err("a collection has an element twice".to_owned());
    }
    Ok(growing.finish(head.deadline_ms, view))
}

impl Receiver for Restorer<'_> {
    fn take(&mut self, frame: &Frame<'_>) -> Result<(), String> {
        if frame.place() == Place::Whole {
            return self.take_whole(frame);
        }
        frame.parts().try_for_each(|part| self.take_part(&part, frame.place()))
    }
}

//! Snapshots: the walk that writes the state of one moment, while everybody goes on.
//!
//! `concurrent/versions/retention.rs` says what that state is, and how what writes displace meanwhile is kept. The walk goes
//! through the kept generation slot by slot. It is pinned for a chunk at a time at most, and never while it writes
//! out. What is small is given to the sink under the pin; a large string is shared, and of a large collection the root
//! is taken, which stays: both are given to the sink piece by piece without a pin.
//!
//! A key that is changed while the walk goes on may be given to the sink twice, each time with the same value.

use super::Keyspace;
use crate::concurrent::counters::counter::{Flag, Latest};
use crate::concurrent::epoch::reclaim::{Guard, pin};
use crate::concurrent::slots::chunk::Chunk;
use crate::concurrent::slots::slot::Slot;
use crate::concurrent::snapshot::{Found, HandedOver, KeptTree, Running, Starting, TreeValue, Turn};
use crate::concurrent::versions::version::Version;
use crate::snapshot::{Head, Sink};
use crate::value::string::Str;
use bytes::Bytes;
use std::io;
use std::sync::PoisonError;

/// Bytes that the sink gathers before it writes them out.
const WRITE_AT: usize = 256 << 10;
/// Collections up to this many bytes are given to the sink under the pin; none in models.
const SMALL: u64 = if cfg!(kvns_loom) { 0 } else { 16 << 10 };
/// Bytes of a string that are given to the sink at once.
const PIECE: usize = 64 << 10;

/// Asks a snapshot to stop, and says how far it is. May be shared between threads.
#[derive(Debug)]
pub struct SnapshotControl {
    retain_limit: u64,
    is_cancelled: Flag,
    keys_total: Latest,
    keys: Latest,
    bytes: Latest,
}

impl SnapshotControl {
    /// For a snapshot that is given up when more than `retain_limit` bytes had to be kept for it.
    pub fn new(retain_limit: u64) -> SnapshotControl {
        SnapshotControl {
            retain_limit,
            is_cancelled: Flag::default(),
            keys_total: Latest::default(),
            keys: Latest::default(),
            bytes: Latest::default(),
        }
    }

    /// Asks the snapshot to end as soon as it can, with [`SnapshotError::Cancelled`].
    pub fn cancel(&self) {
        self.is_cancelled.raise();
    }

    /// True once the snapshot was asked to end.
    pub fn is_cancelled(&self) -> bool {
        self.is_cancelled.is_raised()
    }

    /// Keys that were there when the snapshot began.
    pub fn keys_total(&self) -> u64 {
        self.keys_total.get()
    }

    /// Keys written so far; those written twice count twice.
    pub fn keys(&self) -> u64 {
        self.keys.get()
    }

    /// Bytes of names and values written so far, as the sink was given them.
    pub fn bytes(&self) -> u64 {
        self.bytes.get()
    }
}

/// The totals of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotSummary {
    /// Keys given to the sink; those given twice count twice.
    pub keys: u64,
    /// Bytes of names and values given to the sink.
    pub bytes: u64,
    /// The most bytes that were kept for the snapshot only.
    pub retained_peak: u64,
}

/// Why there is no snapshot.
#[derive(Debug)]
pub enum SnapshotError {
    /// Another one is being taken.
    InProgress,
    /// [`SnapshotControl::cancel`] was called.
    Cancelled,
    /// Writes displaced more than so many bytes while it was taken.
    RetainLimit(u64),
    /// The sink could not write.
    Io(io::Error),
}

impl std::fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SnapshotError::InProgress => f.write_str("a snapshot is already in progress"),
            SnapshotError::Cancelled => f.write_str("the snapshot was cancelled"),
            SnapshotError::RetainLimit(limit) => {
                write!(f, "more than {limit} bytes were overwritten or deleted while the snapshot was taken")
            }
            SnapshotError::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SnapshotError {}

impl From<io::Error> for SnapshotError {
    fn from(error: io::Error) -> SnapshotError {
        SnapshotError::Io(error)
    }
}

impl Keyspace {
    /// Gives all keys as they are at one moment after this was called to `sink`, and lets it write everything out. What
    /// was acknowledged before the call is in, what begins after the first key was given is out. Nobody waits for it
    /// but the caller, who holds no batch. Keys that have expired by the start are left out. O(keys), and memory for
    /// what is overwritten or deleted meanwhile.
    ///
    /// # Errors
    /// See [`SnapshotError`]; the sink has then got a part of the keys.
    pub fn snapshot(
        &self,
        sink: &mut dyn Sink,
        control: &SnapshotControl,
    ) -> Result<SnapshotSummary, SnapshotError> {
        let turn = self.snapshots.turn().ok_or(SnapshotError::InProgress)?;
        let running = self.begin_snapshot(turn, control.retain_limit).wait();
        let (keys, bytes) = {
            let mut walker =
                Walker { running: &running, sink, control, now_ms: self.clock.unix_ms(), keys: 0, bytes: 0 };
            walker.walk()?;
            running.wait_for_hand_over();
            walker.take_handed_over()?;
            walker.sink.write_out()?;
            control.bytes.set(walker.bytes);
            (walker.keys, walker.bytes)
        };
        drop(running);
        Ok(SnapshotSummary { keys, bytes, retained_peak: self.retained().1 })
    }

    fn begin_snapshot<'k>(&'k self, turn: Turn<'k>, retain_limit: u64) -> Starting<'k> {
        let _swapping = self.swapping.lock().unwrap_or_else(PoisonError::into_inner);
        turn.begin(self.current.share(&pin()), retain_limit)
    }

    /// Bytes that were overwritten or deleted and are kept for the running snapshot, and the most that were for the
    /// latest one. O(1).
    pub fn retained(&self) -> (u64, u64) {
        self.snapshots.retention.retained()
    }
}

/// The walk of one snapshot.
struct Walker<'r> {
    running: &'r Running<'r>,
    sink: &'r mut dyn Sink,
    control: &'r SnapshotControl,
    now_ms: u64,
    keys: u64,
    bytes: u64,
}

/// A key that is given to the sink without a pin.
struct Large<'r> {
    name: Box<[u8]>,
    deadline_ms: Option<u64>,
    value: LargeValue<'r>,
}

enum LargeValue<'r> {
    String(Bytes),
    Tree(TreeValue<'r>),
}

impl<'r> Walker<'r> {
    fn walk(&mut self) -> Result<(), SnapshotError> {
        let generation = self.running.generation();
        self.control.keys_total.set(generation.keys.get().max(0) as u64);
        // Chunks that are added from now on have no key that the snapshot includes.
        for id in 0..generation.directory().end() {
            let mut next = Some(0);
            while let Some(from) = next {
                let (to, large) = self.walk_chunk(id, from);
                next = to;
                if let Some(large) = large {
                    self.give_large(large)?;
                }
                self.pause()?;
            }
            self.take_handed_over()?;
        }
        Ok(())
    }

    /// Goes on in a chunk under one pin, up to a large value or until the sink has enough. Returns where to go on in
    /// the chunk, if it has more.
    fn walk_chunk(&mut self, id: u32, from: u32) -> (Option<u32>, Option<Large<'r>>) {
        let guard = pin();
        let Some(chunk) = self.running.generation().directory().get(id, &guard) else { return (None, None) };
        let mut large = None;
        let next = chunk.walk(from, |slot| {
            large = self.visit(slot, &guard);
            large.is_none() && self.sink.buffered() < WRITE_AT
        });
        (Some(next).filter(|next| *next < Chunk::capacity(chunk)), large)
    }

    /// Gives what is in a slot to the sink, or returns it if it is large.
    fn visit(&mut self, slot: &Slot, guard: &Guard) -> Option<Large<'r>> {
        let version = slot.cell().read(guard);
        if !self.running.includes(version) || version.is_expired(self.now_ms) {
            return None;
        }
        // The slot is live under this pin, so the name is its own.
        let (name, deadline_ms) = (slot.name(), version.deadline_ms());
        if let Some(tree) = self.running.tree(version) {
            if tree.footprint() <= SMALL {
                self.give_tree(name, deadline_ms, tree.value(), |_| Ok(())).ok();
                return None;
            }
            return Some(Large { name: name.into(), deadline_ms, value: LargeValue::Tree(tree.value()) });
        }
        if let Some(Str::Shared(bytes)) = version.string() {
            return Some(Large { name: name.into(), deadline_ms, value: LargeValue::String(bytes.clone()) });
        }
        self.give_string(name, version);
        None
    }

    /// Gives what was handed over to the sink. Each slot's version is handed over once at most, so it comes to an end.
    fn take_handed_over(&mut self) -> Result<(), SnapshotError> {
        while let Some(handed) = self.running.take() {
            self.give_handed_over(&handed)?;
            drop(handed);
            self.pause()?;
        }
        Ok(())
    }

    fn give_handed_over(&mut self, handed: &HandedOver<'_>) -> Result<(), SnapshotError> {
        let name = handed.name();
        match handed.value() {
            Found::Version(version) if version.is_expired(self.now_ms) => Ok(()),
            Found::Version(version) => match version.string() {
                Some(Str::Shared(bytes)) => self.give_shared(name, version.deadline_ms(), bytes),
                _ => {
                    self.give_string(name, version);
                    Ok(())
                }
            },
            Found::Tree(tree) => self.give_kept(name, tree),
        }
    }

    fn give_kept(&mut self, name: &[u8], tree: KeptTree<'_>) -> Result<(), SnapshotError> {
        if tree.deadline_ms().is_some_and(|deadline| deadline <= self.now_ms) {
            return Ok(());
        }
        self.give_tree(name, tree.deadline_ms(), tree.value(), Walker::pause)
    }

    fn give_large(&mut self, large: Large<'_>) -> Result<(), SnapshotError> {
        let Large { name, deadline_ms, value } = large;
        match value {
            LargeValue::String(bytes) => self.give_shared(&name, deadline_ms, &bytes),
            LargeValue::Tree(value) => self.give_tree(&name, deadline_ms, value, Walker::pause),
        }
    }

    /// Gives a string in one piece that is not large.
    fn give_string(&mut self, name: &[u8], version: &Version) {
        let Some(string) = version.string() else { return };
        self.begin(Head {
            name,
            kind: version.kind(),
            deadline_ms: version.deadline_ms(),
            len: string.len() as u64,
        });
        string.slices(0..string.len(), &mut itoa::Buffer::new()).for_each(|slice| self.item(slice));
        self.end();
    }

    fn give_shared(
        &mut self,
        name: &[u8],
        deadline_ms: Option<u64>,
        bytes: &Bytes,
    ) -> Result<(), SnapshotError> {
        self.begin(Head { name, kind: super::Kind::String, deadline_ms, len: bytes.len() as u64 });
        for piece in bytes.chunks(PIECE) {
            self.item(piece);
            self.pause()?;
        }
        self.end();
        Ok(())
    }

    /// Gives a collection or a long string, with a `pause` after each item.
    fn give_tree(
        &mut self,
        name: &[u8],
        deadline_ms: Option<u64>,
        value: TreeValue<'_>,
        mut pause: impl FnMut(&mut Self) -> Result<(), SnapshotError>,
    ) -> Result<(), SnapshotError> {
        let (kind, len) = value.describe();
        self.begin(Head { name, kind, deadline_ms, len });
        let mut give = |part: &[u8]| {
            self.item(part);
            pause(self)
        };
        match value {
            TreeValue::String(chunks) => chunks.slices(0..chunks.len()).try_for_each(give)?,
            TreeValue::List(tree) => tree.iter().try_for_each(|item| give(item.key))?,
            TreeValue::Set(tree) => tree.iter().try_for_each(|item| give(item.key))?,
            TreeValue::Hash(tree) => {
                tree.iter().try_for_each(|item| give(item.key).and_then(|()| give(item.value)))?;
            }
            TreeValue::SortedSet(mut scores) => scores.try_for_each(|scored| {
                self.item(scored.member);
                self.sink.score(scored.score);
                pause(self)
            })?,
        }
        self.end();
        Ok(())
    }

    fn begin(&mut self, head: Head<'_>) {
        self.keys += 1;
        self.bytes += head.name.len() as u64;
        self.sink.begin(head);
    }

    fn item(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.sink.item(bytes);
    }

    fn end(&mut self) {
        self.sink.end();
        self.control.keys.set(self.keys);
    }

    /// Lets the sink write out what it has if that is enough, and looks whether the snapshot has to stop. Not to be
    /// called with a pin.
    fn pause(&mut self) -> Result<(), SnapshotError> {
        if self.control.is_cancelled() {
            return Err(SnapshotError::Cancelled);
        }
        if self.running.is_over_limit() {
            return Err(SnapshotError::RetainLimit(self.control.retain_limit));
        }
        if self.sink.buffered() >= WRITE_AT {
            self.control.bytes.set(self.bytes);
            self.sink.write_out()?;
        }
        Ok(())
    }
}

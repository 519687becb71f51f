//! Running snapshots: their turn, their start, what they read and their end.
//!
//! What writes keep for a snapshot, and why that is enough, is in `versions/retention.rs`, whose invariants I1 to I5
//! are cited here.
//!
//! ```text
//! begin() --a grace period--> walk, take what was handed over --a grace period--> take the rest
//!    --every pointer into the store is dropped--> end: clear the flag --a grace period--> retire all that was kept
//! ```
//!
//! # Invariants
//! - I6. Snapshots are strictly sequential: each has the one turn until all that it kept was given up. Only the thread
//!   that began a snapshot ends it, after it dropped every root.

use super::epoch::epoch_word::Epoch;
use super::epoch::reclaim::Grace;
use super::slots::generation::Generation;
use super::versions::retention::{Kept, KeptValue, Planted, Retention};
use super::versions::version::{Content, Version};
use crate::sync::{Bug, seeded};
use crate::value::Kind;
use crate::value::chunks::Chunks;
use crate::value::sorted_set::Scores;
use crate::value::tree::{Hash, List, Set, Tree};
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

/// The snapshots of a keyspace, one at a time.
#[derive(Debug, Default)]
pub struct Snapshots {
    /// Held while a snapshot runs (I6).
    turn: Mutex<()>,
    /// The versions that writes keep for the snapshot that runs.
    pub retention: Arc<Retention>,
}

impl Snapshots {
    /// The right to take a snapshot, or `None` while another thread has it.
    pub fn turn(&self) -> Option<Turn<'_>> {
        match self.turn.try_lock() {
            Ok(held) => Some(Turn { retention: &self.retention, _held: held }),
            // A holder that panicked has ended its snapshot all the same.
            Err(TryLockError::Poisoned(poisoned)) => {
                Some(Turn { retention: &self.retention, _held: PoisonError::into_inner(poisoned) })
            }
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

/// The right to take a snapshot (I6).
#[derive(Debug)]
pub struct Turn<'s> {
    retention: &'s Retention,
    _held: MutexGuard<'s, ()>,
}

impl<'s> Turn<'s> {
    /// Begins a snapshot of this generation, for which writes may keep up to `limit` bytes. To be called under the
    /// mutex that flushes share (I1).
    pub fn begin(self, generation: Arc<Generation>, limit: u64) -> Starting<'s> {
        let retention = self.retention;
        Starting(Running {
            epoch: retention.begin(generation.number(), limit),
            retention,
            generation,
            _turn: self,
        })
    }
}

/// A snapshot whose epoch has begun, but not everybody knows it; dropping it ends it, as for [`Running`].
#[derive(Debug)]
pub struct Starting<'s>(Running<'s>);

impl<'s> Starting<'s> {
    /// Waits until every change is stamped with the snapshot's epoch (I2). Not to be called with a guard held.
    pub fn wait(self) -> Running<'s> {
        if !seeded(Bug::StartWithoutGrace) {
            Grace::start().wait();
        }
        self.0
    }
}

/// A snapshot that runs, for the thread that took it; dropping it ends it (I5), which takes a grace period. Not to be
/// dropped with a guard held.
#[derive(Debug)]
pub struct Running<'s> {
    epoch: Epoch,
    retention: &'s Retention,
    generation: Arc<Generation>,
    /// Given back last.
    _turn: Turn<'s>,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.retention.end();
        if !seeded(Bug::EndWithoutGrace) {
            Grace::start().wait();
        }
        self.retention.release();
    }
}

impl Running<'_> {
    /// Waits until everything was handed over that was displaced before now. Not to be called with a guard held.
    pub fn wait_for_hand_over(&self) {
        if !seeded(Bug::LastHandOverWithoutGrace) {
            Grace::start().wait();
        }
    }

    /// The generation that the snapshot is of.
    pub fn generation(&self) -> &Generation {
        &self.generation
    }

    /// True if a version that was found in its generation is a part of it.
    #[inline]
    pub fn includes(&self, version: &Version) -> bool {
        version.stamp() < self.epoch.stamp() && version.is_live()
    }

    /// True if more is kept for the snapshot than was to be.
    pub fn is_over_limit(&self) -> bool {
        self.retention.is_over_limit()
    }

    /// The tree of a version that the snapshot includes, if it has one: it is read without a pin.
    pub fn tree(&self, version: &Version) -> Option<KeptTree<'_>> {
        assert!(self.includes(version), "a snapshot reads what was there when it began");
        Planted::of(version).map(KeptTree::new)
    }

    /// The next version that was handed over. O(1).
    pub fn take(&self) -> Option<HandedOver<'_>> {
        let kept = self.retention.take()?;
        Some(HandedOver { kept: Some(kept), retention: self.retention })
    }
}

/// A version that was handed over to the snapshot; dropping it retires it.
#[derive(Debug)]
pub struct HandedOver<'r> {
    /// Taken by the drop alone.
    kept: Option<Kept>,
    retention: &'r Retention,
}

/// What was handed over: a string's version, or a tree.
#[derive(Debug)]
pub enum Found<'r> {
    /// A string in one piece.
    Version(&'r Version),
    /// Anything else.
    Tree(KeptTree<'r>),
}

impl HandedOver<'_> {
    fn kept(&self) -> &Kept {
        self.kept.as_ref().expect("it is there until the drop")
    }

    /// The key's canonical name.
    pub fn name(&self) -> &[u8] {
        &self.kept().name
    }

    /// The value. A borrow of the handed-over version is one of the snapshot, which it does not outlive.
    pub fn value(&self) -> Found<'_> {
        match &self.kept().value {
            // SAFETY: we own the version.
            KeptValue::Version(version) => Found::Version(unsafe { version.as_ref() }),
            KeptValue::Tree(planted) => Found::Tree(KeptTree::new(*planted)),
        }
    }
}

impl Drop for HandedOver<'_> {
    fn drop(&mut self) {
        self.kept.take().into_iter().for_each(|kept| self.retention.give_up(kept));
    }
}

/// A tree that stays as long as the snapshot runs (I4).
#[derive(Clone, Copy, Debug)]
pub struct KeptTree<'r> {
    planted: Planted,
    running: PhantomData<&'r ()>,
}

/// The kind of a tree.
#[derive(Debug)]
pub enum TreeValue<'r> {
    /// A string in chunks.
    String(Chunks<'r>),
    /// A list.
    List(Tree<'r, List>),
    /// A hash.
    Hash(Tree<'r, Hash>),
    /// A set.
    Set(Tree<'r, Set>),
    /// A sorted set, its members in no particular order.
    SortedSet(Scores<'r>),
}

impl<'r> KeptTree<'r> {
    fn new(planted: Planted) -> KeptTree<'r> {
        KeptTree { planted, running: PhantomData }
    }

    /// When the key expires: Unix time in milliseconds.
    pub fn deadline_ms(&self) -> Option<u64> {
        self.planted.deadline_ms
    }

    /// Bytes the allocator holds for the tree. O(1).
    pub fn footprint(&self) -> u64 {
        // SAFETY: I4.
        unsafe { self.planted.root.footprint() }
    }

    /// The value.
    pub fn value(&self) -> TreeValue<'r> {
        let Planted { content, root, chunks_len, .. } = self.planted;
        // SAFETY: I4; the content says what made the root.
        unsafe {
            match content {
                Content::List => TreeValue::List(root.tree()),
                Content::Hash => TreeValue::Hash(root.tree()),
                Content::Set => TreeValue::Set(root.tree()),
                Content::SmallSortedSet => TreeValue::SortedSet(Scores::small(root.tree())),
                Content::LargeSortedSet => TreeValue::SortedSet(Scores::large(root.tree())),
                _ => TreeValue::String(Chunks::new(root.tree(), chunks_len)),
            }
        }
    }
}

impl TreeValue<'_> {
    /// The type of the value, and its length: bytes of a string, elements of anything else. O(1).
    pub fn describe(&self) -> (Kind, u64) {
        match self {
            TreeValue::String(chunks) => (Kind::String, chunks.len() as u64),
            TreeValue::List(tree) => (Kind::List, tree.len()),
            TreeValue::Hash(tree) => (Kind::Hash, tree.len()),
            TreeValue::Set(tree) => (Kind::Set, tree.len()),
            TreeValue::SortedSet(scores) => (Kind::SortedSet, scores.len()),
        }
    }
}

//! What a running snapshot keeps of what writes displace.
//!
//! # Purpose
//! A snapshot is the state at the moment when its epoch S began: for each slot of one generation the version stamped
//! below S. Nothing hangs behind a version for it. A write that displaces something the snapshot may still have to
//! read gives it to the snapshot instead of retiring it: versions to a queue, nodes of trees to its garbage.
//!
//! ```text
//! begin() --a grace period--> walk, take what was handed over --a grace period--> take the rest
//!    --every pointer into the store is dropped--> end: clear the flag --a grace period--> retire all that was kept
//! ```
//!
//! # Invariants
//! - I1. The number of the generation that a snapshot keeps is there before its flag is. Generation and word are taken
//!   and set under a mutex that flushes share, so the generation is the present one when the epoch begins.
//! - I2. After the grace period of the start every change is stamped S (`epoch_word.rs` I2): who read the word before
//!   did so under a guard that it holds until its change is made and every intent is released. So the version stamped
//!   below S is in a slot's cell until one write displaces it, and that write has read (S, running).
//! - I3. That write hands it over, if it is live and the write's generation, the one that it loaded, is the kept
//!   one. The queue owns the version and a copy of the name; of a version with a tree it has the root, and the version
//!   is retired at once. A version that is displaced by a copy of itself is not handed over, for the copy has its
//!   stamp.
//! - I4. While S runs, nodes born below S that a write would retire, whatever their slot, go to the garbage. Births
//!   never grow downward, so a tree that was dropped whole and is older goes there whole; of a younger one the nodes
//!   born at S are freed where its grace period ends, and the older ones below go to the garbage if S has not ended.
//!   So roots of versions stamped below S are read without a pin as long as the snapshot runs.
//! - I5. Only the thread that began a snapshot ends it, after it dropped every root. What was given to it by those who
//!   read (S, running) is complete a grace period after the flag was cleared; it is retired then, for readers who
//!   found it in its cell may be pinned since later.
//! - I6. Snapshots are strictly sequential: each has the one turn until all that it kept was given up.
//!
//! # Progress
//! Giving is lock-free, and costs nothing but a look at the word that was read anyway while no snapshot runs.

use super::epoch_word::{Epoch, EpochWord};
use super::generation::Generation;
use super::nodes;
use super::reclaim::{Grace, Guard, pin};
use super::slot::Slot;
use super::version::{Content, Version};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Bug, freeing, plain, seeded};
use crate::value::Kind;
use crate::value::chunks::Chunks;
use crate::value::sorted_set::Scores;
use crate::value::tree::{Garbage, Hash, List, Root, Set, Tree};
use crossbeam_queue::SegQueue;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

/// The epoch, and what the running snapshot keeps.
#[derive(Debug, Default)]
pub struct Snapshots {
    /// Held while a snapshot runs (I6).
    turn: Mutex<()>,
    word: EpochWord,
    kept: KeptGeneration,
    queue: SegQueue<Item>,
    garbage: SegQueue<Garbage>,
    retained: Retained,
}

/// The right to take a snapshot (I6).
#[derive(Debug)]
pub struct Turn<'s> {
    snapshots: &'s Arc<Snapshots>,
    _held: MutexGuard<'s, ()>,
}

/// The number of the generation that the running snapshot keeps.
#[derive(Debug)]
struct KeptGeneration(AtomicU64);

impl Default for KeptGeneration {
    fn default() -> KeptGeneration {
        KeptGeneration(AtomicU64::new(0))
    }
}

/// Bytes that are kept for the running snapshot only.
#[derive(Debug, Default)]
struct Retained {
    /// ORDERING: Relaxed and plain, all three; statistics, and a limit that only has to be seen eventually.
    bytes: plain::AtomicU64,
    peak: plain::AtomicU64,
    limit: plain::AtomicU64,
}

impl Retained {
    fn add(&self, bytes: u64) {
        // ORDERING: Relaxed; a statistic, and a limit that only has to be seen eventually.
        let now = self.bytes.fetch_add(bytes, plain::Ordering::Relaxed) + bytes;
        if now > self.peak.load(plain::Ordering::Relaxed) {
            self.peak.fetch_max(now, plain::Ordering::Relaxed);
        }
    }

    fn sub(&self, bytes: u64) {
        // ORDERING: Relaxed; as above.
        self.bytes.fetch_sub(bytes, plain::Ordering::Relaxed);
    }
}

/// A version that was handed over.
#[derive(Debug)]
struct Item {
    name: Box<[u8]>,
    value: Handed,
}

#[derive(Debug)]
enum Handed {
    /// A string, owned.
    Version(NonNull<Version>),
    /// What has a tree.
    Tree(Planted),
}

// SAFETY: the version is owned, and a version and the nodes of a root may be read by any thread.
unsafe impl Send for Item {}

/// What a version with a tree says.
#[derive(Clone, Copy, Debug)]
struct Planted {
    content: Content,
    root: Root,
    /// Bytes of a string.
    chunks_len: usize,
    deadline_ms: Option<u64>,
}

impl Planted {
    fn of(version: &Version) -> Option<Planted> {
        let (content, root) = (version.content(), version.root());
        let (chunks_len, deadline_ms) = (version.chunks_len(), version.deadline_ms());
        (root != Root::EMPTY).then_some(Planted { content, root, chunks_len, deadline_ms })
    }
}

impl Item {
    /// Bytes that are kept for it, without the nodes of a tree, which are shared with what is there now.
    fn footprint(&self) -> u64 {
        let value = match self.value {
            // SAFETY: the queue, or who took the item from it, owns the version.
            Handed::Version(version) => unsafe { version.as_ref() }.footprint(),
            Handed::Tree(_) => 0,
        };
        (size_of::<Item>() + self.name.len() + value) as u64
    }
}

/// What an attempt to write has read in the epoch word, after its last read and before its first compare-and-swap.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'g> {
    epoch: Epoch,
    snapshots: &'g Arc<Snapshots>,
    generation: &'g Generation,
}

impl<'g> Attempt<'g> {
    /// What the attempt stamps its versions with.
    #[inline]
    pub fn stamp(&self) -> u32 {
        self.epoch.stamp()
    }

    /// True if the word still says the same.
    pub fn is_current(&self) -> bool {
        self.snapshots.word.read() == self.epoch
    }

    /// What a running snapshot wants if the attempt displaces what is in `slot`.
    #[inline]
    pub fn claim(&self, slot: &'g Slot) -> Option<Claim<'g>> {
        if !self.epoch.is_running() {
            return None;
        }
        let Attempt { epoch, snapshots, generation } = *self;
        Some(Claim { epoch, snapshots, name: slot.name(), generation: generation.number() })
    }
}

/// What the running snapshot wants of a write that displaces a version.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'g> {
    epoch: Epoch,
    snapshots: &'g Arc<Snapshots>,
    name: &'g [u8],
    generation: u64,
}

impl Claim<'_> {
    /// Hands a version over that `new` has displaced, or retires it if the snapshot does not want it (I3).
    ///
    /// # Safety
    /// As for [`Version::retire`].
    #[cold]
    pub(super) unsafe fn displace(&self, old: NonNull<Version>, new: &Version, guard: &Guard) {
        // SAFETY: the guard was taken before the version left its cell.
        let version = unsafe { old.as_ref() };
        let stamp = self.epoch.stamp();
        let is_wanted = version.is_live()
            && version.stamp() < stamp
            && new.stamp() == stamp
            && (self.snapshots.keeps(self.generation) || seeded(Bug::HandOverAnyGeneration))
            && !seeded(Bug::HandOverMissing);
        let planted = Planted::of(version);
        if is_wanted {
            let value = planted.map_or(Handed::Version(old), Handed::Tree);
            self.snapshots.hand_over(Item { name: self.name.into(), value });
        }
        if !is_wanted || planted.is_some() {
            // SAFETY: the caller's promise; of a tree the queue has the root only.
            unsafe { Version::retire(old, guard) };
        }
    }

    /// Keeps those of the nodes for the snapshot that it may read, and retires the others (I4).
    ///
    /// # Safety
    /// No later version reaches these nodes, and they are given up only here.
    #[cold]
    pub(super) unsafe fn retire_nodes(&self, mut garbage: Garbage, guard: &Guard) {
        let stamp = self.epoch.stamp();
        if !seeded(Bug::OldNodesRetired) {
            self.snapshots.keep(garbage.take_born_before(stamp));
        }
        let owner = Owner { snapshots: Arc::clone(self.snapshots), epoch: self.epoch };
        // SAFETY: the caller's promise; no snapshot but this one wants any of them, and it does not want these.
        unsafe { nodes::retire_for(garbage, owner, guard) };
    }
}

/// The snapshot that wants the older nodes of a tree that was dropped while it ran.
#[derive(Debug)]
pub(super) struct Owner {
    snapshots: Arc<Snapshots>,
    epoch: Epoch,
}

impl Owner {
    /// The stamp of the snapshot.
    #[cfg(kvns_loom)]
    pub(super) fn stamp(&self) -> u32 {
        self.epoch.stamp()
    }

    /// Frees up to `budget` nodes; older ones go to the snapshot, if it still runs. True when none are left.
    ///
    /// # Safety
    /// A grace period has passed since no later version reaches these nodes.
    pub(super) unsafe fn free_some(&self, garbage: &mut Garbage, budget: usize) -> bool {
        // Pinned, so that a snapshot that still runs does not retire what it kept before it has got this too.
        let _guard = pin();
        let is_running = self.snapshots.word.read() == self.epoch && !seeded(Bug::FreerIgnoresBirths);
        let keep_below = if is_running { self.epoch.stamp() } else { 0 };
        let mut kept = Garbage::default();
        // SAFETY: the caller's promise, and I4: what a running snapshot may read was born below its stamp; one that
        // ended reads nothing.
        let is_done = freeing(|| unsafe { garbage.free_some(budget, keep_below, &mut kept) });
        self.snapshots.keep(kept);
        is_done
    }
}

impl Snapshots {
    /// The word, as an attempt reads it that writes in this generation: after its last read.
    #[inline]
    pub fn attempt<'g>(self: &'g Arc<Snapshots>, generation: &'g Generation) -> Attempt<'g> {
        Attempt { epoch: self.word.read(), snapshots: self, generation }
    }

    /// The birth of nodes that are built now: no later than the stamp of the version that will hold them.
    #[inline]
    pub fn birth(&self) -> u32 {
        self.word.read().stamp()
    }

    /// Bytes that are kept for the running snapshot only, and the most that were for the latest one.
    pub fn retained(&self) -> (u64, u64) {
        // ORDERING: Relaxed; statistics.
        let read = |bytes: &plain::AtomicU64| bytes.load(plain::Ordering::Relaxed);
        (read(&self.retained.bytes), read(&self.retained.peak))
    }

    /// The right to take a snapshot, or `None` while another thread has it.
    pub fn turn(self: &Arc<Snapshots>) -> Option<Turn<'_>> {
        match self.turn.try_lock() {
            Ok(held) => Some(Turn { snapshots: self, _held: held }),
            // Whoever panicked has ended its snapshot all the same.
            Err(TryLockError::Poisoned(poisoned)) => {
                Some(Turn { snapshots: self, _held: PoisonError::into_inner(poisoned) })
            }
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// True if the running snapshot keeps this generation.
    fn keeps(&self, generation: u64) -> bool {
        // ORDERING: Relaxed; who asks has read the word that came after it.
        self.kept.0.load(Ordering::Relaxed) == generation
    }

    fn hand_over(&self, item: Item) {
        #[cfg(kvns_loom)]
        crate::sync::memory::step();
        self.retained.add(item.footprint());
        self.queue.push(item);
    }

    fn keep(&self, garbage: Garbage) {
        if !garbage.is_empty() {
            #[cfg(kvns_loom)]
            crate::sync::memory::step();
            self.retained.add(Snapshots::footprint(&garbage));
            self.garbage.push(garbage);
        }
    }

    /// Retires all that was kept, after a grace period (I5).
    fn release(&self) {
        while self.take().is_some() {}
        let mut guard = pin();
        while let Some(garbage) = self.garbage.pop() {
            self.retained.sub(Snapshots::footprint(&garbage));
            // SAFETY: no version has reached the nodes since they were given to the snapshot, and it has ended.
            unsafe { nodes::retire(garbage, &guard) };
            if guard.is_renewal_due() {
                guard.renew();
            }
        }
        guard.renew();
    }

    /// Bytes that are kept for a piece of garbage.
    fn footprint(garbage: &Garbage) -> u64 {
        size_of::<Garbage>() as u64 + garbage.footprint()
    }

    fn take(&self) -> Option<HandedOver<'_>> {
        self.queue.pop().map(|item| HandedOver { item, snapshots: self })
    }

    /// True if nothing is kept; for checks.
    pub fn is_settled(&self) -> bool {
        self.queue.is_empty() && self.garbage.is_empty() && self.retained() == (0, self.retained().1)
    }
}

impl<'s> Turn<'s> {
    /// Begins a snapshot of this generation, for which writes may keep up to `limit` bytes. To be called under the
    /// mutex that flushes share (I1).
    pub fn begin(self, generation: Arc<Generation>, limit: u64) -> Starting<'s> {
        let Snapshots { word, kept, retained, .. } = &**self.snapshots;
        // ORDERING: Relaxed; statistics, and the word publishes the number (I1).
        retained.limit.store(limit, plain::Ordering::Relaxed);
        retained.peak.store(0, plain::Ordering::Relaxed);
        kept.0.store(generation.number(), Ordering::Relaxed);
        Starting(Running { epoch: word.begin(), snapshots: self.snapshots, generation, _turn: self })
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
    snapshots: &'s Arc<Snapshots>,
    generation: Arc<Generation>,
    /// Given back last.
    _turn: Turn<'s>,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.snapshots.word.end();
        if !seeded(Bug::EndWithoutGrace) {
            Grace::start().wait();
        }
        self.snapshots.release();
    }
}

impl Running<'_> {
    /// Waits until everything was handed over that was displaced before now. Not to be called with a guard held.
    pub fn wait_for_hand_over(&self) {
        if !seeded(Bug::LastHandOverWithoutGrace) {
            Grace::start().wait();
        }
        if seeded(Bug::EndsBeforeItsTrees) {
            self.snapshots.word.end();
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
        let limit = self.snapshots.retained.limit.load(plain::Ordering::Relaxed);
        self.snapshots.retained().0 > limit
    }

    /// The tree of a version that the snapshot includes, if it has one: it is read without a pin.
    pub fn tree(&self, version: &Version) -> Option<KeptTree<'_>> {
        assert!(self.includes(version), "a snapshot reads what was there when it began");
        Planted::of(version).map(KeptTree::new)
    }

    /// The next version that was handed over. O(1).
    pub fn take(&self) -> Option<HandedOver<'_>> {
        self.snapshots.take()
    }
}

/// A version that was handed over to the snapshot; dropping it retires it.
#[derive(Debug)]
pub struct HandedOver<'r> {
    item: Item,
    snapshots: &'r Snapshots,
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
    /// The key's canonical name.
    pub fn name(&self) -> &[u8] {
        &self.item.name
    }

    /// The value. A borrow of the handed-over version is one of the snapshot, which it does not outlive.
    pub fn value(&self) -> Found<'_> {
        match self.item.value {
            // SAFETY: the item owns the version.
            Handed::Version(version) => Found::Version(unsafe { version.as_ref() }),
            Handed::Tree(planted) => Found::Tree(KeptTree::new(planted)),
        }
    }
}

impl Drop for HandedOver<'_> {
    fn drop(&mut self) {
        self.snapshots.retained.sub(self.item.footprint());
        if let Handed::Version(version) = self.item.value {
            let guard = pin();
            if seeded(Bug::HandedOverFreedAtOnce) {
                // SAFETY: none; this is the seeded mistake.
                return drop(unsafe { super::version::VersionBox::from_raw(version) });
            }
            // SAFETY: I3: it left its cell, and whoever displaced it gave it to the queue.
            unsafe { Version::retire(version, &guard) };
        }
    }
}

/// A tree that stays as long as the snapshot runs (I4).
#[derive(Clone, Copy, Debug)]
pub struct KeptTree<'r> {
    planted: Planted,
    running: PhantomData<&'r ()>,
}

/// What a tree is.
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

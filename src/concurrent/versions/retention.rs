//! The versions that writes keep for a running snapshot.
//!
//! # Purpose
//! A snapshot is the state at the moment when its epoch S began: for each slot of one generation the version stamped
//! below S. Nothing hangs behind a version for it. A write that displaces something the snapshot may still have to
//! read gives it to the snapshot instead of retiring it: versions to a queue, nodes of trees to its garbage.
//!
//! # Invariants
//! - I1. The number of the generation that a snapshot keeps is there before its flag is. Generation and word are taken
//!   and set under a mutex that flushes share, so the generation is the present one when the epoch begins.
//! - I2. After the grace period of the start every change is stamped S (`epoch_word.rs` I2): whoever read the word before
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
//! - I5. What was given to a snapshot by those who read (S, running) is complete a grace period after the flag was
//!   cleared; it is retired then, for readers who found it in its cell may be pinned since later.
//!
//! # Progress
//! Giving is lock-free. While no snapshot runs it costs a look at the word, which was read anyway.

use super::nodes;
use super::version::{Content, Version};
use crate::concurrent::epoch::epoch_word::{Epoch, EpochWord};
use crate::concurrent::epoch::reclaim::{Guard, pin};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Bug, freeing, plain, seeded};
use crate::value::tree::{Garbage, Root};
use crossbeam_queue::SegQueue;
use std::ptr::NonNull;
use std::sync::Arc;

/// The epoch, and what is kept for the running snapshot.
#[derive(Debug, Default)]
pub struct Retention {
    word: EpochWord,
    kept: KeptGeneration,
    queue: SegQueue<Kept>,
    garbage: SegQueue<Garbage>,
    retained: Retained,
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

/// What was handed over of a key.
#[derive(Debug)]
pub(in crate::concurrent) struct Kept {
    /// The key's canonical name.
    pub(in crate::concurrent) name: Box<[u8]>,
    pub(in crate::concurrent) value: KeptValue,
}

/// The value of a key that was handed over.
#[derive(Debug)]
pub(in crate::concurrent) enum KeptValue {
    /// A string, owned.
    Version(NonNull<Version>),
    /// The owner of a tree.
    Tree(Planted),
}

// SAFETY: the version is owned, and a version and the nodes of a root may be read by any thread.
unsafe impl Send for Kept {}

/// What a version with a tree says.
#[derive(Clone, Copy, Debug)]
pub(in crate::concurrent) struct Planted {
    pub(in crate::concurrent) content: Content,
    pub(in crate::concurrent) root: Root,
    /// Bytes of a string.
    pub(in crate::concurrent) chunks_len: usize,
    pub(in crate::concurrent) deadline_ms: Option<u64>,
}

impl Planted {
    pub(in crate::concurrent) fn of(version: &Version) -> Option<Planted> {
        let (content, root) = (version.content(), version.root());
        let (chunks_len, deadline_ms) = (version.chunks_len(), version.deadline_ms());
        (root != Root::EMPTY).then_some(Planted { content, root, chunks_len, deadline_ms })
    }
}

impl Kept {
    /// Bytes that are kept for it, without the nodes of a tree, which are shared with what is there now.
    fn footprint(&self) -> u64 {
        let value = match self.value {
            // SAFETY: the queue, or who took the item from it, owns the version.
            KeptValue::Version(version) => unsafe { version.as_ref() }.footprint(),
            KeptValue::Tree(_) => 0,
        };
        (size_of::<Kept>() + self.name.len() + value) as u64
    }
}

/// What an attempt to write has read in the epoch word, after its last read and before its first compare-and-swap.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'g> {
    epoch: Epoch,
    retention: &'g Arc<Retention>,
    generation: u64,
}

impl<'g> Attempt<'g> {
    /// What the attempt stamps its versions with.
    #[inline]
    pub fn stamp(&self) -> u32 {
        self.epoch.stamp()
    }

    /// True if the word still says the same.
    pub fn is_current(&self) -> bool {
        self.retention.word.read() == self.epoch
    }

    /// What a running snapshot wants if the attempt displaces what is in the slot of this name.
    #[inline]
    pub fn claim(&self, name: &'g [u8]) -> Option<Claim<'g>> {
        if !self.epoch.is_running() {
            return None;
        }
        let Attempt { epoch, retention, generation } = *self;
        Some(Claim { epoch, retention, name, generation })
    }
}

/// What the running snapshot wants of a write that displaces a version.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'g> {
    epoch: Epoch,
    retention: &'g Arc<Retention>,
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
            && (self.retention.keeps(self.generation) || seeded(Bug::HandOverAnyGeneration))
            && !seeded(Bug::HandOverMissing);
        let planted = Planted::of(version);
        if is_wanted {
            let value = planted.map_or(KeptValue::Version(old), KeptValue::Tree);
            self.retention.hand_over(Kept { name: self.name.into(), value });
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
            self.retention.keep(garbage.take_born_before(stamp));
        }
        let owner = Owner { retention: Arc::clone(self.retention), epoch: self.epoch };
        // SAFETY: the caller's promise; no snapshot but this one wants any of them, and it does not want these.
        unsafe { nodes::retire_for(garbage, owner, guard) };
    }
}

/// The snapshot that wants the older nodes of a tree that was dropped while it ran.
#[derive(Debug)]
pub(super) struct Owner {
    retention: Arc<Retention>,
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
        let is_running = self.retention.word.read() == self.epoch && !seeded(Bug::FreerIgnoresBirths);
        let keep_below = if is_running { self.epoch.stamp() } else { 0 };
        let mut kept = Garbage::default();
        // SAFETY: the caller's promise, and I4: what a running snapshot may read was born below its stamp; one that
        // ended reads nothing.
        let is_done = freeing(|| unsafe { garbage.free_some(budget, keep_below, &mut kept) });
        self.retention.keep(kept);
        is_done
    }
}

impl Retention {
    /// The word, as an attempt reads it that writes in the generation of this number: after its last read.
    #[inline]
    pub fn attempt(self: &Arc<Retention>, generation: u64) -> Attempt<'_> {
        Attempt { epoch: self.word.read(), retention: self, generation }
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

    /// True if the running snapshot keeps this generation.
    fn keeps(&self, generation: u64) -> bool {
        // ORDERING: Relaxed; who asks has read the word that came after it.
        self.kept.0.load(Ordering::Relaxed) == generation
    }

    fn hand_over(&self, item: Kept) {
        #[cfg(kvns_loom)]
        crate::sync::allocations::step();
        self.retained.add(item.footprint());
        self.queue.push(item);
    }

    fn keep(&self, garbage: Garbage) {
        if !garbage.is_empty() {
            #[cfg(kvns_loom)]
            crate::sync::allocations::step();
            self.retained.add(Retention::footprint(&garbage));
            self.garbage.push(garbage);
        }
    }

    /// Begins a snapshot of the generation of this number, for which writes may keep up to `limit` bytes.
    pub(in crate::concurrent) fn begin(&self, generation: u64, limit: u64) -> Epoch {
        // ORDERING: Relaxed; statistics, and the word publishes the number (I1).
        self.retained.limit.store(limit, plain::Ordering::Relaxed);
        self.retained.peak.store(0, plain::Ordering::Relaxed);
        self.kept.0.store(generation, Ordering::Relaxed);
        self.word.begin()
    }

    /// Clears the flag: who reads the word from now on gives nothing to the snapshot.
    pub(in crate::concurrent) fn end(&self) {
        self.word.end();
    }

    /// Retires all that was kept, a grace period after [`Retention::end`] (I5).
    pub(in crate::concurrent) fn release(&self) {
        while let Some(kept) = self.take() {
            self.give_up(kept);
        }
        let mut guard = pin();
        while let Some(garbage) = self.garbage.pop() {
            self.retained.sub(Retention::footprint(&garbage));
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

    /// Takes what was handed over of a key. Give it to [`Retention::give_up`] in the end.
    pub(in crate::concurrent) fn take(&self) -> Option<Kept> {
        self.queue.pop()
    }

    /// Retires what [`Retention::take`] took.
    pub(in crate::concurrent) fn give_up(&self, kept: Kept) {
        self.retained.sub(kept.footprint());
        if let KeptValue::Version(version) = kept.value {
            let guard = pin();
            if seeded(Bug::HandedOverFreedAtOnce) {
                // SAFETY: none; this is the seeded mistake.
                return drop(unsafe { super::version::VersionBox::from_raw(version) });
            }
            // SAFETY: I3: it left its cell, and whoever displaced it gave it to the queue.
            unsafe { Version::retire(version, &guard) };
        }
    }

    /// True if more is kept for the snapshot than was to be.
    pub fn is_over_limit(&self) -> bool {
        self.retained().0 > self.retained.limit.load(plain::Ordering::Relaxed)
    }

    /// True if nothing is kept; for checks.
    pub fn is_settled(&self) -> bool {
        self.queue.is_empty() && self.garbage.is_empty() && self.retained() == (0, self.retained().1)
    }
}

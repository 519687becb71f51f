//! Generations: one whole keyspace, replaced at a flush.
//!
//! # Purpose
//! FLUSHALL swaps one pointer to a fresh generation, so it is O(1) and atomic. Writes in flight land in the old
//! one and are thereby ordered before the flush. The old one is freed in the background.
//!
//! # Invariants
//! - I1. An attempt loads the generation once.
//! - I2. A slot enters the index absent; a dead one is removed by whoever meets it, who then looks again.
//! - I3. What leaves the index or the registry is queued by its key's `Drop`, which does nothing else, and is
//!   released by the housekeeper after one more grace period.
//! - I4. Whoever leaves an absent slot behind queues it once for the reaper. The reaper acts on nothing else, and
//!   only a grace period later.
//! - I5. When a generation is dropped nobody holds a guard from when it was current, and its keys release
//!   nothing any more. The fields drop in their order: index, registry, default namespace, directory, queue of slots.

use super::directory::{Directory, Removed};
use super::index::{Index, Insertion, NODE_BYTES, tables_bytes};
use super::namespace::Namespace;
use super::registry::Registry;
use super::releases::{Left, Releases};
use super::slot::{Position, Reaped, Slot};
use super::wheel::Inbox;
use crate::concurrent::counters::counter::{Gauge, Latest};
use crate::concurrent::epoch::reclaim::{Grace, Guard, pin};
use crate::concurrent::versions::version::Version;
use crate::sync::atomic::{AtomicPtr, Ordering};
use crate::sync::{Bug, seeded};
use crossbeam_queue::SegQueue;
use std::sync::Arc;

/// An absent slot that was left behind. It may be queued more than once, and when the reaper comes to it, its chunk may
/// be gone and the chunk's number reused. So the chunk's birth identifies it too.
#[derive(Clone, Copy, Debug)]
struct Reap {
    position: Position,
    seq: u32,
    birth: u32,
}

/// One whole keyspace.
pub struct Generation {
    number: u64,
    index: Index,
    registry: Registry,
    default: Box<Namespace>,
    directory: Directory,
    /// Slots that have left the index. Shared, for chunks point to it: a box would claim to be the only way to it.
    left: Arc<Releases<Slot>>,
    reaps: SegQueue<Reap>,
    /// Versions that were read and are to go for it.
    reads: SegQueue<Reap>,
    /// Alarms for keys with a deadline.
    pub inbox: Inbox,
    /// Live keys.
    pub keys: Gauge,
    /// Bytes of the live keys.
    pub bytes: Gauge,
    /// Live keys with a deadline.
    pub expiring: Gauge,
    /// The most names there have been in the index, as far as anybody looked.
    peak: Latest,
}

impl std::fmt::Debug for Generation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Generation").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        self.left.close();
    }
}

/// The name of the namespace of keys without a prefix.
pub const DEFAULT_NAMESPACE: &[u8] = b"default";

impl Generation {
    /// An empty keyspace, the `number`th; its wheel counts from `now_ms`.
    pub fn new(number: u64, now_ms: u64) -> Arc<Generation> {
        let left = Arc::<Releases<Slot>>::default();
        Arc::new(Generation {
            number,
            index: Index::new(),
            registry: Registry::new(),
            default: Namespace::new(DEFAULT_NAMESPACE),
            directory: Directory::new(&left),
            left,
            reaps: SegQueue::new(),
            reads: SegQueue::new(),
            inbox: Inbox::new(now_ms),
            keys: Gauge::new(),
            bytes: Gauge::new(),
            expiring: Gauge::new(),
            peak: Latest::default(),
        })
    }

    /// Which generation this is.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The chunks by number.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The slot of a name, unless it is dead. Lock-free, O(1).
    #[inline]
    pub fn find<'g>(&'g self, name: &[u8], guard: &'g Guard) -> Option<&'g Slot> {
        loop {
            let slot = self.index.get(name, guard)?;
            if !slot.cell().read(guard).is_dead() {
                return Some(slot);
            }
            self.index.remove(slot, guard);
            self.index.flush();
        }
    }

    /// Brings the slots and versions of names into the cache: a hint, nothing more.
    pub fn prefetch<'n>(&self, names: impl Iterator<Item = &'n [u8]>, guard: &Guard) {
        self.index.prefetch(names, guard);
    }

    /// The slot of a name, made absent if there is none. True if this call made it: the caller then has to
    /// make the slot live or to queue it with [`Generation::left_absent`].
    pub fn find_or_create<'g>(&'g self, name: &[u8], namespace: &[u8], guard: &'g Guard) -> (&'g Slot, bool) {
        loop {
            if let Some(slot) = self.find(name, guard) {
                return (slot, false);
            }
            let slot = self.enter_namespace(namespace, guard).take(&self.directory, guard);
            slot.occupy(name, guard);
            match self.index.insert(slot, guard) {
                Insertion::Inserted => return (slot, true),
                Insertion::Found => {}
            }
        }
    }

    /// The namespace of a slot.
    #[inline]
    pub fn namespace_of<'g>(&self, slot: &'g Slot, guard: &'g Guard) -> &'g Namespace {
        slot.chunk().namespace(guard)
    }

    /// The namespace with this name, if it has slots.
    pub fn namespace<'g>(&'g self, name: &[u8], guard: &'g Guard) -> Option<&'g Namespace> {
        if name == DEFAULT_NAMESPACE {
            return Some(&self.default);
        }
        self.registry.get(name, guard)
    }

    /// Calls `visit` with each namespace. O(namespaces).
    pub fn each_namespace(&self, _guard: &Guard, mut visit: impl FnMut(&Namespace) -> bool) {
        if visit(&self.default) {
            self.registry.each(visit);
        }
    }

    /// Makes room for so many more keys.
    pub fn grow_index(&self, keys: usize, guard: &Guard) {
        self.index.reserve(keys, guard);
    }

    /// Number of namespaces that have slots, the default one included.
    pub fn namespace_count(&self) -> usize {
        self.registry.len() + 1
    }

    /// The namespace with the caller counted in; made if need be.
    fn enter_namespace<'g>(&'g self, name: &[u8], guard: &'g Guard) -> &'g Namespace {
        loop {
            match self.namespace(name, guard) {
                Some(namespace) if namespace.enter().is_ok() => return namespace,
                Some(ended) => self.registry.remove(ended),
                None => {
                    if let Some(made) = self.registry.insert(Namespace::new(name)) {
                        return made;
                    }
                }
            }
        }
    }

    /// Queues an absent slot for the reaper (I4). `seq` is that of its absent version.
    pub fn left_absent(&self, slot: &Slot, seq: u32) {
        self.reaps.push(Reap { position: slot.position(), seq, birth: slot.chunk().birth() });
    }

    /// Queues a live version that was read and is to go for it.
    pub fn was_read(&self, slot: &Slot, seq: u32) {
        self.reads.push(Reap { position: slot.position(), seq, birth: slot.chunk().birth() });
    }

    /// Takes one of them: the slot and the version, if that is still there and live. `None` if none is queued.
    pub fn take_read<'g>(&'g self, guard: &'g Guard) -> Option<Option<(&'g Slot, &'g Version)>> {
        let Reap { position, seq, birth } = self.reads.pop()?;
        Some(self.read_version(position, seq, birth, guard))
    }

    fn read_version<'g>(
        &'g self,
        position: Position,
        seq: u32,
        birth: u32,
        guard: &'g Guard,
    ) -> Option<(&'g Slot, &'g Version)> {
        let chunk = self.directory.get(position.chunk(), guard)?;
        let slot = chunk.slot(position.index()).filter(|_| chunk.birth() == birth)?;
        let version = slot.cell().settle(guard);
        let is_same = version.seq() == seq || seeded(Bug::SweepIgnoresSeq);
        (version.is_live() && is_same).then_some((slot, version))
    }

    /// Takes up to `most` queued absent slots; they may be reaped when the grace period has passed.
    pub fn begin_reaping(&self, most: usize) -> Option<Reaping> {
        let slots: Vec<Reap> = std::iter::from_fn(|| self.reaps.pop()).take(most).collect();
        (!slots.is_empty()).then(|| Reaping { slots, grace: Grace::start() })
    }

    /// Closes up to `most` of them, where it can be done; true once all were looked at. Only after the grace
    /// period.
    pub fn reap(&self, reaping: &mut Reaping, most: usize, guard: &Guard) -> bool {
        assert!(reaping.is_ready(), "absent slots wait for their grace period");
        let from = reaping.slots.len().saturating_sub(most);
        let dead: Vec<&Slot> = reaping
            .slots
            .drain(from..)
            .filter_map(|Reap { position, seq, birth }| {
                let chunk = self.directory.get(position.chunk(), guard)?;
                let slot = chunk.slot(position.index()).filter(|_| chunk.birth() == birth)?;
                (slot.reap(seq, guard) == Reaped::Dead).then_some(slot)
            })
            .collect();
        self.index.prefetch(dead.iter().map(|slot| slot.name()), guard);
        dead.iter().for_each(|slot| self.index.remove(slot, guard));
        self.index.flush();
        reaping.slots.is_empty()
    }

    /// Takes what has left the index and the registry; it may be released when the grace period has passed.
    pub fn begin_departure(&self) -> Option<Departure> {
        let (slots, namespaces, chunks) =
            (self.left.take(), self.registry.take_left(), self.directory.take_given_up());
        if slots.is_empty() && namespaces.is_empty() && chunks.is_empty() {
            return None;
        }
        Some(Departure { slots, namespaces, chunks, grace: Grace::start() })
    }

    /// Releases what departed. What that ended in turn is returned as the next departure. Call it without a guard
    /// held.
    pub fn depart(&self, mut departure: Departure) -> Option<Departure> {
        assert!(
            departure.is_ready() || seeded(Bug::ReuseWithoutGrace),
            "a departure waits for its grace period"
        );
        let mut guard = pin();
        departure.chunks.drain(..).for_each(|removed| self.directory.recycle(removed));
        for Left(namespace) in departure.namespaces.drain(..) {
            // SAFETY: I3: it left the registry a grace period ago, and all its chunks left before that.
            drop(unsafe { Box::from_raw(namespace.as_ptr()) });
        }
        let mut ended = Vec::new();
        for Left(slot) in departure.slots.drain(..) {
            // SAFETY: the slot's chunk stays until its last slot is released here.
            self.release(unsafe { slot.as_ref() }, &mut ended, &guard);
            if guard.is_renewal_due() {
                guard.renew();
            }
        }
        drop(guard);
        let is_over = ended.is_empty();
        let next = || Departure { slots: vec![], namespaces: vec![], chunks: ended, grace: Grace::start() };
        (!is_over).then(next)
    }

    /// Gives a slot back; with the last one goes its chunk, and with the last chunk its namespace, in this order (I3
    /// of `chunk.rs`).
    fn release(&self, slot: &Slot, ended: &mut Vec<Removed>, guard: &Guard) {
        let chunk = slot.chunk();
        let namespace = chunk.namespace(guard);
        slot.vacate();
        if chunk.release(slot) {
            namespace.remove(chunk, guard);
            if !seeded(Bug::EndedChunkStays) {
                ended.extend(self.directory.remove(chunk.id()));
            }
        } else {
            namespace.reopen(chunk, guard);
        }
        if namespace.leave() {
            self.registry.remove(namespace);
        }
    }

    /// Bytes that the allocator holds for what keys are kept in: chunks with their free slots, the index and the
    /// namespaces. The index's tables do not shrink and do not tell their size, so they are estimated from the largest
    /// number of names so far. Call it now and then, so that it notices that number. O(1).
    pub fn frame_bytes(&self) -> i64 {
        let names = self.index.len() as i64;
        let peak = self.peak.raise(names as u64);
        let free_slots = self.directory.slots.get() - names;
        // A free slot that was used keeps an empty version, so that its numbers go on.
        let spent_slots = (peak as i64 - names).min(free_slots).max(0);
        let index = (names as usize * NODE_BYTES + tables_bytes(peak as usize)) as i64;
        self.directory.bytes.get()
            + spent_slots * Version::EMPTY_FOOTPRINT as i64
            + index
            + self.registry.footprint()
    }

    /// Ends resizes of the index, for what left it during one is not released before. O(n) if there are any.
    pub fn end_resize(&self) {
        self.index.end_resize();
    }

    /// Number of names in the index.
    pub fn indexed(&self) -> usize {
        self.index.len()
    }

    /// True if nothing waits for the housekeeper; for checks.
    pub fn is_settled(&self) -> bool {
        self.reaps.is_empty()
            && self.reads.is_empty()
            && self.left.is_empty()
            && self.registry.is_settled()
            && self.directory.is_settled()
    }
}

/// Absent slots that wait for their grace period.
#[derive(Debug)]
pub struct Reaping {
    slots: Vec<Reap>,
    grace: Grace,
}

impl Reaping {
    /// True once the slots may be closed. To be polled without a guard.
    pub fn is_ready(&self) -> bool {
        self.grace.has_passed() || seeded(Bug::ReapsWithoutGrace)
    }
}

/// Entries that have left the index, the registry or a namespace's table, and wait for their grace period.
pub struct Departure {
    slots: Vec<Left<Slot>>,
    namespaces: Vec<Left<Namespace>>,
    chunks: Vec<Removed>,
    grace: Grace,
}

impl Drop for Departure {
    /// A flush may come before the grace period has passed: what left the old generation's structures is no longer
    /// dropped with them, and a reader may still hold it.
    fn drop(&mut self) {
        if self.chunks.is_empty() && self.namespaces.is_empty() {
            return;
        }
        let guard = pin();
        for removed in self.chunks.drain(..).filter(|_| !seeded(Bug::DepartureFreedAtOnce)) {
            // SAFETY: the chunk has left the directory and its namespace's table, and only we have it.
            unsafe { guard.retire(move || drop(removed)) };
        }
        for Left(namespace) in self.namespaces.drain(..) {
            // SAFETY: the namespace has left the registry, and only we have it.
            unsafe { guard.retire(move || drop(Box::from_raw(namespace.as_ptr()))) };
        }
    }
}

impl std::fmt::Debug for Departure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Departure").field("slots", &self.slots.len()).finish_non_exhaustive()
    }
}

impl Departure {
    /// True once it may be released. To be polled without a guard.
    pub fn is_ready(&self) -> bool {
        self.grace.has_passed()
    }
}

/// The present generation.
#[derive(Debug)]
pub struct Current {
    pointer: AtomicPtr<Generation>,
}

impl Current {
    /// A first generation.
    pub fn new(generation: Arc<Generation>) -> Current {
        Current { pointer: AtomicPtr::new(Arc::into_raw(generation).cast_mut()) }
    }

    /// The present generation, for one attempt (I1).
    #[inline]
    pub fn load<'g>(&self, _guard: &'g Guard) -> &'g Generation {
        // SAFETY: a replaced generation is dropped after every guard from when it was current (I5).
        // ORDERING: Acquire; pairs with the AcqRel in `swap`.
        unsafe { &*self.pointer.load(Ordering::Acquire) }
    }

    /// A counted reference to the present generation.
    pub fn share(&self, guard: &Guard) -> Arc<Generation> {
        let generation = self.load(guard);
        // SAFETY: the pointer came from an `Arc`, whose count of one the pointer owns while it is current; what
        // took it out keeps that count for a grace period.
        unsafe {
            Arc::increment_strong_count(generation);
            Arc::from_raw(generation)
        }
    }

    /// Puts another generation in place. The old one is to be kept until it is [`Replaced::is_unused`].
    #[must_use = "dropping the old generation at once frees it under its users"]
    pub fn swap(&self, next: Arc<Generation>) -> Arc<Generation> {
        // ORDERING: AcqRel; publishes the new one, and orders the old one's use before its release.
        let old = self.pointer.swap(Arc::into_raw(next).cast_mut(), Ordering::AcqRel);
        // SAFETY: the pointer owned a count, which is the caller's now.
        unsafe { Arc::from_raw(old) }
    }

    /// A generation that is not current yet, for the thread that prepares it: it stays at least as long as the
    /// guard.
    pub fn prepare<'g>(next: &Arc<Generation>, guard: &'g Guard) -> &'g Generation {
        let kept = Arc::clone(next);
        let generation = Arc::as_ptr(next);
        // SAFETY: the count that the closure holds outlives the guard.
        unsafe {
            guard.retire(move || drop(kept));
            &*generation
        }
    }
}

impl Drop for Current {
    fn drop(&mut self) {
        // SAFETY: nobody can load the pointer any more; its count is ours.
        // ORDERING: Acquire; as for any load.
        drop(unsafe { Arc::from_raw(self.pointer.load(Ordering::Acquire)) });
    }
}

/// A generation that was replaced.
#[derive(Debug)]
pub struct Replaced {
    generation: Arc<Generation>,
    grace: Grace,
}

impl Replaced {
    /// Starts to wait for the users of a generation that [`Current::swap`] took out. Not to be called with a guard
    /// held.
    pub fn new(generation: Arc<Generation>) -> Replaced {
        Replaced { generation, grace: Grace::start() }
    }

    /// True once nobody uses it any more, so that dropping this frees it. To be polled without a guard.
    pub fn is_unused(&self) -> bool {
        (self.grace.has_passed() || seeded(Bug::FlushFreesAtOnce)) && Arc::strong_count(&self.generation) == 1
    }
}

#[cfg(all(test, not(kvns_loom)))]
mod tests {
    use super::*;
    use crate::concurrent::versions::version::VersionBox;

    fn wait(grace: impl Fn() -> bool) {
        while !grace() {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_namespace_that_waits_for_its_release_is_dropped_with_its_generation() {
        let record = Arc::new(super::super::namespace::Record::default());
        let generation = Generation::new(1, 0);
        let guard = pin();
        let namespace = generation.registry.insert(Namespace::new(b"a")).unwrap();
        namespace.record_or(|| Arc::clone(&record));
        generation.registry.remove(namespace);
        drop((guard, generation));
        assert_eq!(Arc::strong_count(&record), 1);
    }

    /// Releases all that departs.
    fn settle(generation: &Generation) {
        while let Some(mut departure) = generation.begin_departure() {
            loop {
                wait(|| departure.is_ready());
                match generation.depart(departure) {
                    Some(next) => departure = next,
                    None => break,
                }
            }
        }
    }

    /// Reaps and releases all that was queued.
    fn clear(generation: &Generation) {
        while let Some(mut reaping) = generation.begin_reaping(64) {
            wait(|| reaping.is_ready());
            assert!(generation.reap(&mut reaping, 64, &pin()));
        }
        settle(generation);
    }

    #[test]
    fn a_reused_slot_keeps_its_note_and_forgets_its_accesses() {
        let generation = Generation::new(1, 0);
        let (position, seq) = {
            let guard = pin();
            let (slot, _) = generation.find_or_create(b"a/x", b"a", &guard);
            generation.find_or_create(b"a/keeps the chunk", b"a", &guard);
            slot.touch(1000);
            generation.inbox.arm(slot, 5000);
            let seq = slot.cell().read(&guard).seq();
            generation.left_absent(slot, seq);
            (slot.position(), seq)
        };
        clear(&generation);
        let guard = pin();
        let free = generation.directory().slot(position, &guard).expect("the chunk is in use");
        assert!(free.cell().read(&guard).is_dead() && free.cell().read(&guard).seq() != seq);
        let (slot, _) = generation.find_or_create(b"a/y", b"a", &guard);
        assert_eq!(slot.position(), position, "the slot is used again");
        assert!(slot.is_noted(), "the wheel still has an alarm for it");
        assert!(!slot.is_used(), "its name is another");
    }

    #[test]
    fn what_was_read_is_not_another_slot_at_its_place() {
        let generation = Generation::new(1, 0);
        let position = {
            let guard = pin();
            let (slot, _) = generation.find_or_create(b"a/x", b"a", &guard);
            generation.was_read(slot, 1);
            generation.left_absent(slot, slot.cell().read(&guard).seq());
            slot.position()
        };
        clear(&generation);
        let guard = pin();
        let (slot, _) = generation.find_or_create(b"b/y", b"b", &guard);
        assert_eq!(slot.position(), position, "the number is given out again");
        let mut live = VersionBox::integer(7, None);
        live.set_seq(1);
        assert!(slot.cell().replace(slot.cell().read(&guard), live.into(), None, &guard).is_ok());
        assert!(generation.take_read(&guard).is_some_and(|found| found.is_none()), "nobody read it");
    }

    #[test]
    fn a_slot_queued_twice_does_not_end_another_at_its_place() {
        let generation = Generation::new(1, 0);
        let first = {
            let guard = pin();
            let (slot, _) = generation.find_or_create(b"a/x", b"a", &guard);
            generation.left_absent(slot, slot.cell().read(&guard).seq());
            generation.left_absent(slot, slot.cell().read(&guard).seq());
            slot.position()
        };
        let mut reaping = generation.begin_reaping(1).unwrap();
        wait(|| reaping.is_ready());
        assert!(generation.reap(&mut reaping, 1, &pin()));
        settle(&generation);
        let mut stale = generation.begin_reaping(1).unwrap();
        wait(|| stale.is_ready());
        let guard = pin();
        let (slot, _) = generation.find_or_create(b"b/y", b"b", &guard);
        assert_eq!(slot.position(), first, "the number is given out again");
        assert!(generation.reap(&mut stale, 1, &guard));
        assert!(!slot.cell().read(&guard).is_dead(), "its creator is about to write it");
    }

    #[test]
    fn a_slot_that_left_the_index_does_not_take_its_successor_along() {
        let generation = Generation::new(1, 0);
        let guard = pin();
        let (first, _) = generation.find_or_create(b"a/x", b"a", &guard);
        generation.index.remove(first, &guard);
        let (second, is_new) = generation.find_or_create(b"a/x", b"a", &guard);
        assert!(is_new && first.position() != second.position());
        generation.index.remove(first, &guard);
        assert!(generation.find(b"a/x", &guard).is_some_and(|found| found.position() == second.position()));
    }
}

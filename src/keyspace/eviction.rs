//! Making room: which keys go, and how.
//!
//! # How keys are chosen
//! A walk samples a few hundred slots of the namespace, in short runs at random places, by their access counters
//! alone: slots lie densely, so that costs a few nanoseconds each. The lowest (or highest) sixteenth goes. So an
//! eviction costs the same whatever the size of the namespace, and what goes is among the lowest sixteenth or so of
//! all keys. Keys of the same counter go in no order: going by age would empty a namespace that is read in a circle
//! just ahead of the reader.
//!
//! # Rules
//! - V1. A writer evicts between two attempts, without a batch, never within one. It evicts in its own namespace only.
//! - V2. What goes is the very version that was seen, by an ordinary compare-and-swap to a tombstone.
//! - V3. A namespace that is over the limit by more than the writer's need comes down gradually: half of what a writer
//!   evicts is for itself, so that no writer has to evict for all others.
//! - V4. Who finds nothing more to evict waits until what was evicted is reclaimed, and looks at the room once more,
//!   before its command is refused.
//! - V5. A limit or quota that was set below what is held is come down to by the housekeeper, until it is reached once.
//!   For a limit it gives up whole chunks of slots, the coldest of some, of any namespace that evicts: a slot that is
//!   free takes as much room as before until its chunk goes, so that by samples twice as many small keys would go.
//!   Between two turns it waits until what went is cleared away and the room was measured.

use super::commit::Removal;
use super::{Keyspace, KeyspaceError, View};
use crate::concurrent::epoch::freer;
use crate::concurrent::epoch::reclaim::{Grace, Guard, pin};
use crate::concurrent::ledger::credit::{BLOCK, Lease};
use crate::concurrent::slots::chunk::Chunk;
use crate::concurrent::slots::generation::Generation;
use crate::concurrent::slots::namespace::Namespace;
use crate::concurrent::slots::slot::{Position, Slot};
use crate::config::{NO_QUOTA, NamespaceRules, Policy};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use smallvec::SmallVec;
use std::cmp::Reverse;

/// Slots in one run of a sample.
const RUN: usize = 16;
/// Slots in a sample.
const SAMPLE: usize = 512;
/// Runs that a sample tries: some are short or empty.
const RUNS: usize = 64;
/// Of so many sampled keys one goes.
const PER_VICTIM: usize = 16;
/// Fruitless samples after which a namespace has nothing more to evict.
const FRUITLESS: u32 = 64;
/// Looks at whether what was evicted is reclaimed, about one each millisecond.
const LOOKS: u32 = 100;
/// Nodes of large collections that each look frees.
const FREED_NODES: usize = 1024;
/// Of so many chunks a descent gives up the coldest.
const CHUNKS_PER_VICTIM: u32 = 8;
/// Chunks that it gives up in one round.
const CHUNKS_PER_ROUND: u32 = 4096;
/// Bytes that it frees in one round.
const BYTES_PER_ROUND: i64 = 16 << 20;
/// Keys that are looked at under one pin where a sample finds none.
const WALK: u32 = 4096;
/// Read keys that are removed under one pin.
const SLICE: usize = 64;
/// Slices of them in one round.
const SLICES: usize = 1024;
/// Slots that one slice of a namespace's flush looks at.
const FLUSH_SLICE: u32 = 1024;

/// What stands in a command's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    /// The limit; so many bytes of it stay free.
    Room(i64),
    /// The namespace's quota.
    Quota,
}

/// Room that a command needs in its namespace, and what was got together for it so far. To be met by
/// [`Keyspace::make_room`] and adopted by the command's next batch, or given up by [`Keyspace::give_up`].
#[derive(Debug)]
pub struct Need {
    namespace: Box<[u8]>,
    bytes: i64,
    bound: Bound,
    pub(super) lease: Lease,
    /// True if there is nothing more to evict.
    pub(super) is_exhausted: bool,
    fruitless: u32,
    reclamation: Reclamation,
}

/// What is known of the memory of evicted keys (V4).
#[derive(Debug)]
enum Reclamation {
    /// Nobody has asked.
    Unknown,
    /// It is reclaimed when this has passed and nothing large waits to be freed; for so many more looks.
    Awaited(Grace, u32),
    /// It is reclaimed.
    Done,
}

/// How far the housekeeper has come down.
#[derive(Debug, Default)]
pub(super) struct Descent {
    /// The limits that were come down to.
    limits: i64,
    /// Measurements of the room since which nothing waits to be cleared away, or the limit is kept.
    since: Option<i64>,
}

/// What an attempt to make room has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eviction {
    /// There is room.
    Enough,
    /// There is more to evict.
    More,
    /// What was evicted is not reclaimed yet.
    Reclaiming,
    /// There is nothing more to evict.
    Nothing,
}

impl Eviction {
    /// True if the command is to be run again now: it finds room, or is refused.
    pub fn is_over(self) -> bool {
        matches!(self, Eviction::Enough | Eviction::Nothing)
    }
}

impl Need {
    pub(super) fn new(namespace: &[u8], bytes: i64, bound: Bound) -> Need {
        Need {
            namespace: namespace.into(),
            bytes,
            bound,
            lease: Lease::default(),
            is_exhausted: false,
            fruitless: 0,
            reclamation: Reclamation::Unknown,
        }
    }

    /// True if what was evicted has been reclaimed meanwhile: the room is to be measured before it is looked at again.
    pub fn is_reclaimed(&self) -> bool {
        matches!(self.reclamation, Reclamation::Done)
    }
}

/// How far a flush of one namespace has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Where to go on; `None` at the end.
    pub next: Option<u64>,
    /// Keys removed by this slice.
    pub removed: u64,
}

impl Keyspace {
    /// Evicts some keys of the namespace that needs room, for a fraction of a millisecond. To be called until it is
    /// over, without a batch open.
    pub fn make_room(&self, need: &mut Need) -> Eviction {
        if self.exclusive.is_taken() || self.keeps_all() {
            return Eviction::Reclaiming;
        }
        if let Reclamation::Awaited(grace, looks) = &mut need.reclamation {
            // Others may go on removing large ones for ever.
            *looks = looks.saturating_sub(1);
            freer::free_some(FREED_NODES);
            if grace.has_passed() && !freer::is_freeing() || *looks == 0 {
                need.reclamation = Reclamation::Done;
            }
            return Eviction::Reclaiming;
        }
        let eviction = self.evict_for(need);
        if eviction == Eviction::Nothing {
            if need.bound != Bound::Quota && !need.is_reclaimed() {
                need.reclamation = Reclamation::Awaited(Grace::start(), LOOKS);
                return Eviction::Reclaiming;
            }
            need.is_exhausted = true;
        }
        eviction
    }

    fn evict_for(&self, need: &mut Need) -> Eviction {
        let guard = pin();
        let generation = self.current.load(&guard);
        let Some(namespace) = generation.namespace(&need.namespace, &guard) else { return Eviction::Nothing };
        let rules = self.memory.rules_of(namespace);
        if self.is_met(need, namespace, rules) {
            return Eviction::Enough;
        }
        if !rules.policy.evicts() {
            return Eviction::Nothing;
        }
        if need.bytes > self.most_room(need, namespace, rules) {
            return Eviction::Nothing;
        }
        let freed = self.evict_some(generation, namespace, rules.policy, need.bytes + BLOCK, &guard);
        self.share(need, freed);
        need.fruitless = if freed > 0 { 0 } else { need.fruitless + 1 };
        if self.is_met(need, namespace, rules) {
            return Eviction::Enough;
        }
        let is_dry = namespace.keys.get() <= 0 || need.fruitless > FRUITLESS;
        if is_dry { Eviction::Nothing } else { Eviction::More }
    }

    /// Evicts some keys where more is held than a limit or a quota allows (V5), once that was asked for. `is_cleared`
    /// says whether nothing that was removed waits to be cleared away. True if there is more to do at once.
    pub(super) fn descend(&self, descent: &mut Descent, generation: &Generation, is_cleared: bool) -> bool {
        if self.exclusive.is_taken() {
            return false;
        }
        let is_beyond_quotas = self.evict_beyond_quotas(generation);
        let limits = self.memory.lowered_limits.get();
        if descent.limits != limits && self.descend_to_limit(descent, generation, is_cleared) {
            descent.limits = limits;
        }
        is_beyond_quotas
    }

    /// Takes a step towards the limit, unless what went before is to be cleared away or measured first. True at its
    /// end: the limit is reached, or there is nothing to evict.
    fn descend_to_limit(&self, descent: &mut Descent, generation: &Generation, is_cleared: bool) -> bool {
        let measured = self.memory.measured.get();
        let is_calm = is_cleared && !freer::is_freeing();
        if !is_calm && (measured == 0 || self.memory.is_over()) {
            descent.since = None;
            return false;
        }
        if measured != 0 && measured <= *descent.since.get_or_insert(measured) + 1 {
            return false;
        }
        descent.since = None;
        self.correct_room();
        let excess = (-self.memory.room.free()).min(BYTES_PER_ROUND);
        let is_fruitless = || self.give_up_chunks(generation, excess) == 0 && !self.exclusive.is_taken();
        excess <= 0 || is_calm && is_fruitless()
    }

    /// Evicts some keys of the namespaces whose quotas were lowered. Each is looked at until it has nothing to evict. True
    /// if there is more to do at once.
    fn evict_beyond_quotas(&self, generation: &Generation) -> bool {
        let lowered = self.memory.take_lowered_quotas();
        let (mut freed, mut left) = (0, Vec::new());
        for name in lowered {
            if self.exclusive.is_taken() {
                left.push(name);
                continue;
            }
            let before = freed;
            freed += self.evict_beyond_quota(generation, &name);
            if freed > before {
                left.push(name);
            }
        }
        self.memory.room.give(freed);
        let has_more = !left.is_empty();
        self.memory.look_at_quotas(left);
        has_more
    }

    /// Evicts some of a namespace's keys if it is beyond its quota. Returns the bytes, which are to be given to the room.
    fn evict_beyond_quota(&self, generation: &Generation, name: &[u8]) -> i64 {
        let guard = pin();
        let Some(namespace) = generation.namespace(name, &guard) else { return 0 };
        let rules = self.memory.rules_of(namespace);
        let excess = namespace.bytes.get().saturating_sub_unsigned(rules.quota);
        if excess <= 0 || !rules.policy.evicts() {
            return 0;
        }
        self.evict_some(generation, namespace, rules.policy, excess, &guard)
    }

    /// Evicts whole chunks of keys until about `wanted` bytes are freed, or those of one round. Returns the bytes.
    fn give_up_chunks(&self, generation: &Generation, wanted: i64) -> i64 {
        let end = generation.directory().end();
        let mut at = rand::rng().random_range(0..end.max(1));
        let (mut left, mut freed, mut guard) = (end, 0, pin());
        for _ in 0..CHUNKS_PER_ROUND {
            let mut coldest = None;
            let mut candidates = 0;
            while left > 0 && candidates < CHUNKS_PER_VICTIM {
                if let Some(chunk) = generation.directory().get(at, &guard)
                    && let Some(warmth) = self.warmth(chunk, &guard)
                {
                    candidates += 1;
                    coldest = coldest.min(Some((warmth, at))).or(Some((warmth, at)));
                }
                (at, left) = ((at + 1) % end, left - 1);
                if left.is_multiple_of(RUNS as u32) {
                    guard.renew();
                }
            }
            let goes_on = freed < wanted && !self.exclusive.is_taken();
            let Some((_, id)) = coldest.filter(|_| goes_on) else { break };
            freed += self.give_up_chunk(generation, id, wanted - freed, &mut guard);
        }
        self.memory.room.give(freed);
        freed
    }

    /// How much the policy of a chunk's namespace wants to keep its keys, by a run of them; `None` if it evicts none.
    fn warmth(&self, chunk: &Chunk, guard: &Guard) -> Option<u32> {
        let policy = self.memory.rules_of(chunk.namespace(guard)).policy;
        let now_s = (self.steady_ms(self.clock.unix_ms()) / 1000) as u32;
        let (mut slots, mut sum) = (0, 0);
        chunk.walk(0, |slot| {
            if slot.is_used() {
                (slots, sum) = (slots + 1, sum + u32::from(slot.frequency(now_s)));
            }
            slots < RUN as u32
        });
        let mean = (sum * u32::from(u8::MAX)).checked_div(slots)?;
        match policy {
            Policy::Lru => Some(mean),
            Policy::Mru => Some(u32::MAX - mean),
            Policy::None | Policy::Ear => None,
        }
    }

    /// Evicts the keys of one chunk, in slices between which the pin is renewed. Returns the bytes that are to be given
    /// to the room.
    fn give_up_chunk(&self, generation: &Generation, id: u32, wanted: i64, guard: &mut Guard) -> i64 {
        let (mut from, mut freed) = (0, 0);
        loop {
            let Some(chunk) = generation.directory().get(id, guard) else { return freed };
            let evicts = self.memory.rules_of(chunk.namespace(guard)).policy.evicts();
            let mut left = SLICE;
            from = chunk.walk(from, |slot| {
                let version = slot.cell().settle(guard);
                if evicts && version.is_live() {
                    freed += self.remove(generation, slot, version, Removal::Evicted, guard);
                }
                left -= 1;
                left > 0 && freed < wanted
            });
            if from >= chunk.capacity() || freed >= wanted || !evicts || self.exclusive.is_taken() {
                return freed;
            }
            guard.renew();
        }
    }

    /// Gives back what was got together for a command that does not run.
    pub fn give_up(&self, need: &mut Need) {
        self.memory.room.end(&mut need.lease);
    }

    fn is_met(&self, need: &mut Need, namespace: &Namespace, rules: NamespaceRules) -> bool {
        match need.bound {
            Bound::Room(floor) => self.memory.room.lease(&mut need.lease, need.bytes, floor),
            Bound::Quota => {
                rules.quota == NO_QUOTA
                    || namespace.bytes.get().saturating_add(need.bytes) <= rules.quota as i64
            }
        }
    }

    /// The most room that there can be once every key of the namespace is gone.
    fn most_room(&self, need: &Need, namespace: &Namespace, rules: NamespaceRules) -> i64 {
        match need.bound {
            Bound::Room(_) => {
                need.lease.left().saturating_add(self.memory.room.free().max(0)) + namespace.bytes.get()
            }
            Bound::Quota => rules.quota as i64,
        }
    }

    /// What an eviction has freed goes to the command that needs it, unless more than the limit is held (V3).
    fn share(&self, need: &mut Need, freed: i64) {
        let (own, floor) = match need.bound {
            Bound::Room(floor) => (freed, floor),
            Bound::Quota => (0, 0),
        };
        let lacking = (floor - self.memory.room.free()).clamp(0, own / 2);
        need.lease.charge(lacking - own);
        self.memory.room.give(freed - own + lacking);
    }

    /// Evicts keys of a namespace until about `wanted` bytes are freed, but no more than a sample holds. Returns the
    /// bytes, which are to be given to the room.
    fn evict_some(
        &self,
        generation: &Generation,
        namespace: &Namespace,
        policy: Policy,
        wanted: i64,
        guard: &Guard,
    ) -> i64 {
        let now_ms = self.clock.unix_ms();
        let mut sample = sample(namespace, (self.steady_ms(now_ms) / 1000) as u32, guard);
        if sample.is_empty() {
            sample.extend(walk(namespace, guard));
        }
        let victims = sample.len().div_ceil(PER_VICTIM);
        if victims == 0 {
            return 0;
        }
        if victims < sample.len() {
            match policy {
                Policy::Mru => {
                    sample.select_nth_unstable_by_key(victims - 1, |(counter, _)| Reverse(*counter))
                }
                _ => sample.select_nth_unstable_by_key(victims - 1, |(counter, _)| *counter),
            };
        }
        let mut freed = 0;
        for (_, slot) in &sample[..victims] {
            let version = slot.cell().settle(guard);
            if !version.is_live() {
                continue;
            }
            let why = if version.is_expired(now_ms) { Removal::Expired } else { Removal::Evicted };
            freed += self.remove(generation, slot, version, why, guard);
            if freed >= wanted {
                break;
            }
        }
        freed
    }

    /// Removes keys that were read and are to go for it, in slices between which the pin is renewed. True if there
    /// are more.
    pub(super) fn sweep_read(&self, generation: &Generation) -> bool {
        let mut guard = pin();
        for _ in 0..SLICES {
            if self.exclusive.is_taken() || self.keeps_all() {
                return false;
            }
            for _ in 0..SLICE {
                let Some(found) = generation.take_read(&guard) else { return false };
                if let Some((slot, version)) = found
                    && self.memory.rules_of(generation.namespace_of(slot, &guard)).policy == Policy::Ear
                {
                    let freed = self.remove(generation, slot, version, Removal::Read, &guard);
                    if freed == 0 && self.keeps_all() {
                        generation.was_read(slot, version.seq());
                    }
                    self.memory.room.give(freed);
                }
            }
            guard.renew();
        }
        true
    }
}

/// Slots of a namespace with their access counters, from random places.
fn sample<'g>(namespace: &'g Namespace, now_s: u32, guard: &'g Guard) -> SmallVec<[(u8, &'g Slot); SAMPLE]> {
    // Seeded once for each sample: a strong generator's numbers cost more than these are worth.
    let mut rng = SmallRng::from_rng(&mut rand::rng());
    let mut sample = SmallVec::new();
    for _ in 0..RUNS {
        let Some(chunk) = namespace.chunk_at_random(|below| rng.random_range(0..below), guard) else { break };
        let mut left = RUN;
        chunk.walk(rng.random_range(0..chunk.capacity()), |slot| {
            if slot.is_used() {
                sample.push((slot.frequency(now_s), slot));
            }
            left -= 1;
            left > 0 && sample.len() < SAMPLE
        });
        if sample.len() >= SAMPLE {
            break;
        }
    }
    sample
}

/// A slot in use, where almost all of the namespace are not: found by a walk from a random place, some at a time.
fn walk<'g>(namespace: &'g Namespace, guard: &'g Guard) -> Option<(u8, &'g Slot)> {
    let mut rng = rand::rng();
    let mut chunk = namespace.chunk_at_random(|below| rng.random_range(0..below), guard)?;
    let mut left = WALK;
    let mut found = None;
    while left > 0 && found.is_none() {
        chunk.walk(0, |slot| {
            left = left.saturating_sub(1);
            found = slot.cell().read(guard).is_live().then_some((0, slot));
            found.is_none() && left > 0
        });
        chunk = namespace.chunk_from(chunk.id() + 1, guard).or_else(|| namespace.chunk_from(0, guard))?;
        left = left.saturating_sub(1);
    }
    found
}

impl<'g> View<'g> {
    /// Removes the keys of a namespace that it meets from `cursor` on, a slice of them. What is written meanwhile
    /// may stay. O(slots visited).
    pub fn flush_namespace(&mut self, name: &[u8], cursor: u64) -> Result<Swept, KeyspaceError> {
        self.admit()?;
        let (generation, guard) = (self.generation(), self.guard());
        let Some(at) = Position::from_cursor(cursor) else { return Ok(Swept::default()) };
        let chunk =
            generation.namespace(name, guard).and_then(|namespace| namespace.chunk_from(at.chunk(), guard));
        let Some(chunk) = chunk else { return Ok(Swept::default()) };
        let from = if chunk.id() == at.chunk() { at.index() } else { 0 };
        let (mut left, mut removed) = (FLUSH_SLICE, 0);
        let next = chunk.walk(from, |slot| {
            removed += u64::from(self.remove_flushed(generation, slot));
            left -= 1;
            left > 0
        });
        let next = if next < chunk.capacity() {
            Position::new(chunk.id(), next)
        } else {
            Position::new(chunk.id() + 1, 0)
        };
        Ok(Swept { next: Some(next.cursor()), removed })
    }

    /// Removes what is live in a slot. True if something was.
    fn remove_flushed(&self, generation: &'g Generation, slot: &'g Slot) -> bool {
        loop {
            let version = slot.cell().settle(self.guard());
            if !version.is_live() {
                return false;
            }
            let expires = version.is_expired(self.now_ms()) && !self.keyspace().keeps_all();
            let why = if expires { Removal::Expired } else { Removal::Flushed };
            let freed = self.keyspace().remove(generation, slot, version, why, self.guard());
            if freed > 0 {
                self.batch.pay_back(freed);
                return why == Removal::Flushed;
            }
        }
    }
}

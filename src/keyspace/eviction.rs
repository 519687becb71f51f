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
//! - V5. A limit or quota that was set below what is held is come down to by the housekeeper: it evicts where a slot
//!   drawn at random lies, in any namespace that evicts, until the limit is reached once, and nothing after that.

use super::commit::Removal;
use super::{Keyspace, KeyspaceError, View};
use crate::concurrent::chunk::MAX_SLOTS;
use crate::concurrent::credit::{BLOCK, Lease};
use crate::concurrent::generation::Generation;
use crate::concurrent::namespace::Namespace;
use crate::concurrent::nodes;
use crate::concurrent::reclaim::{Grace, Guard, pin};
use crate::concurrent::rules::{NO_QUOTA, NamespaceRules, Policy};
use crate::concurrent::slot::{Position, Slot};
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
/// Steps of a descent in one round.
const DESCENT_STEPS: u32 = 64;
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
    /// It is reclaimed when this has passed.
    Awaited(Grace),
    /// It is reclaimed.
    Done,
}

/// How far the housekeeper has come down.
#[derive(Debug, Default)]
pub(super) struct Descent {
    limit: Goal,
    quotas: Goal,
}

#[derive(Debug, Default)]
struct Goal {
    /// How often it had been asked for when it was taken up last.
    number: i64,
    /// Fruitless steps until it is given up; 0 at the end.
    patience: u32,
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
        if self.reservation.is_taken() {
            return Eviction::Reclaiming;
        }
        if let Reclamation::Awaited(grace) = &need.reclamation {
            if grace.has_passed() && !nodes::is_freeing() {
                need.reclamation = Reclamation::Done;
            }
            return Eviction::Reclaiming;
        }
        let eviction = self.evict_for(need);
        if eviction == Eviction::Nothing {
            if need.bound != Bound::Quota && !need.is_reclaimed() {
                need.reclamation = Reclamation::Awaited(Grace::start());
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
        if !rules.policy.evicts() {
            return Eviction::Nothing;
        }
        if self.is_met(need, namespace, rules) {
            return Eviction::Enough;
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

    /// Evicts some keys where more is held than a limit or a quota allows (V5), once that was asked for. True if there is
    /// more to do.
    pub(super) fn descend(&self, descent: &mut Descent, generation: &Generation) -> bool {
        let quotas = self.memory.changed_quotas.get();
        let limit = self.memory.lowered_limits.get();
        let more = self.pursue(&mut descent.quotas, quotas, || self.evict_beyond_quotas(generation));
        self.pursue(&mut descent.limit, limit, || self.evict_beyond_limit(generation)) | more
    }

    /// Takes steps that evict something until one has nothing to do, or too many are fruitless. True if there are
    /// more to take.
    fn pursue(&self, goal: &mut Goal, asked: i64, mut step: impl FnMut() -> Option<i64>) -> bool {
        if goal.number != asked {
            *goal = Goal { number: asked, patience: FRUITLESS };
        }
        for _ in 0..DESCENT_STEPS {
            if goal.patience == 0 || self.reservation.is_taken() {
                return false;
            }
            goal.patience = match step() {
                None => 0,
                Some(0) => goal.patience - 1,
                Some(freed) => {
                    self.memory.room.give(freed);
                    FRUITLESS
                }
            };
        }
        true
    }

    /// Evicts some keys of the namespaces that are beyond their quotas. Returns the bytes; `None` if there are none.
    fn evict_beyond_quotas(&self, generation: &Generation) -> Option<i64> {
        let guard = pin();
        let excesses = self.memory.names_with_quotas().into_iter().filter_map(|name| {
            let namespace = generation.namespace(&name, &guard)?;
            let rules = self.memory.rules_of(namespace);
            let excess = namespace.bytes.get().saturating_sub_unsigned(rules.quota);
            (excess > 0 && rules.policy.evicts())
                .then(|| self.evict_some(generation, namespace, rules.policy, excess, &guard))
        });
        excesses.reduce(|sum, freed| sum + freed)
    }

    /// Evicts some keys of a namespace if more is held than the limit allows. Returns the bytes; `None` if it is not.
    fn evict_beyond_limit(&self, generation: &Generation) -> Option<i64> {
        let excess = -self.memory.room.free();
        if excess <= 0 {
            return None;
        }
        let guard = pin();
        let Some(namespace) = namespace_at_random(generation, &guard) else { return Some(0) };
        let policy = self.memory.rules_of(namespace).policy;
        Some(if policy.evicts() { self.evict_some(generation, namespace, policy, excess, &guard) } else { 0 })
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
        let mut sample = sample(namespace, (now_ms / 1000) as u32, guard);
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
            if self.reservation.is_taken() {
                return false;
            }
            for _ in 0..SLICE {
                let Some(found) = generation.take_read(&guard) else { return false };
                if let Some((slot, version)) = found
                    && self.memory.rules_of(generation.namespace_of(slot, &guard)).policy == Policy::Ear
                {
                    let freed = self.remove(generation, slot, version, Removal::Read, &guard);
                    self.memory.room.give(freed);
                }
            }
            guard.renew();
        }
        true
    }
}

/// A namespace at random, one with more slots more often; `None` where a chunk is free.
fn namespace_at_random<'g>(generation: &'g Generation, guard: &'g Guard) -> Option<&'g Namespace> {
    let mut rng = rand::rng();
    let chunks = generation.directory().end();
    (0..RUNS).find_map(|_| {
        let chunk = generation.directory().get(rng.random_range(0..chunks.max(1)), guard)?;
        (rng.random_range(0..MAX_SLOTS) < chunk.occupied()).then(|| chunk.namespace(guard))
    })
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
            let why = if version.is_expired(self.now_ms()) { Removal::Expired } else { Removal::Flushed };
            let freed = self.keyspace().remove(generation, slot, version, why, self.guard());
            if freed > 0 {
                self.batch.pay_back(freed);
                return why == Removal::Flushed;
            }
        }
    }
}

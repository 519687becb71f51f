//! Eviction: making room for what a command adds. How keys are chosen is in `sampler.rs`.
//!
//! # Rules
//! - V1. A writer evicts between two attempts, without a batch, never within one. It evicts in its own namespace only.
//! - V2. What goes is the very version that was seen, by an ordinary compare-and-swap to a tombstone.
//! - V3. A namespace that is over the limit by more than the writer's need comes down gradually: half of what a writer
//!   evicts is for itself, so that no writer has to evict for all others.
//! - V4. A writer that finds nothing more to evict waits until what was evicted is reclaimed, and tries to reserve once
//!   more, before its command is refused.
//! - V5. The housekeeper evicts down to a limit or quota that was set below what is held (`descent.rs`).

mod descent;
mod rules;
mod sampler;

pub(super) use descent::Descent;
pub(super) use rules::Rules;

use super::after_commit::Removal;
use super::{Keyspace, KeyspaceError, View};
use crate::concurrent::epoch::freer;
use crate::concurrent::epoch::reclaim::{Grace, pin};
use crate::concurrent::ledger::balance::{BLOCK, Lease};
use crate::concurrent::slots::generation::Generation;
use crate::concurrent::slots::namespace::Namespace;
use crate::concurrent::slots::slot::{Position, Slot};
use crate::config::{NO_QUOTA, NamespaceRules, Policy};

/// Fruitless samples after which a namespace has nothing more to evict.
const FRUITLESS: u32 = 64;
/// Looks at whether what was evicted is reclaimed, about one each millisecond.
const LOOKS: u32 = 100;
/// Nodes of large collections that each look frees.
const FREED_NODES: usize = 1024;
/// Read keys that are removed under one pin.
const SLICE: usize = 64;
/// Slices of them in one round.
const SLICES: usize = 1024;
/// Slots that one slice of a namespace's flush looks at.
const FLUSH_SLICE: u32 = 1024;

/// What refuses a command's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    /// The limit; so many bytes of it stay free.
    Room(i64),
    /// The namespace's quota.
    Quota,
}

/// Bytes that a command needs in its namespace, and what is reserved of them so far. [`Keyspace::make_room`] meets it;
/// then the command's next batch adopts it, or [`Keyspace::give_up`] releases it.
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

/// The state of the memory of evicted keys (V4).
#[derive(Debug)]
enum Reclamation {
    /// It was not checked.
    Unknown,
    /// It is reclaimed when this grace period has passed and nothing large waits to be freed; checked so many more times.
    Awaited(Grace, u32),
    /// It is reclaimed.
    Done,
}

/// The result of an attempt to make room.
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
    /// True if the command runs again now: it finds room, or is refused.
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

    /// True if what was evicted has been reclaimed meanwhile: measure the balance before the next attempt.
    pub fn is_reclaimed(&self) -> bool {
        matches!(self.reclamation, Reclamation::Done)
    }
}

/// How far a flush of one namespace has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// The place to go on from; `None` at the end.
    pub next: Option<u64>,
    /// Keys removed by this slice.
    pub removed: u64,
}

impl Keyspace {
    /// Evicts some keys of the namespace that needs room, for a fraction of a millisecond. Call it until it is
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
        let rules = self.rules.of(namespace);
        if self.is_met(need, namespace, rules) {
            return Eviction::Enough;
        }
        if !rules.policy.evicts() || need.bytes > self.most_room(need, namespace, rules) {
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

    /// Releases what was reserved for a command that does not run.
    pub fn give_up(&self, need: &mut Need) {
        self.memory.balance().release_lease(&mut need.lease);
    }

    fn is_met(&self, need: &mut Need, namespace: &Namespace, rules: NamespaceRules) -> bool {
        match need.bound {
            Bound::Room(floor) => self.memory.balance().lease(&mut need.lease, need.bytes, floor),
            Bound::Quota => {
                rules.quota == NO_QUOTA
                    || namespace.bytes.get().saturating_add(need.bytes) <= rules.quota as i64
            }
        }
    }

    /// The most bytes that can be free once every key of the namespace is gone.
    fn most_room(&self, need: &Need, namespace: &Namespace, rules: NamespaceRules) -> i64 {
        match need.bound {
            Bound::Room(_) => {
                need.lease.left().saturating_add(self.memory.balance().free().max(0)) + namespace.bytes.get()
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
        let lacking = (floor - self.memory.balance().free()).clamp(0, own / 2);
        need.lease.release(own - lacking);
        self.memory.balance().release(freed - own + lacking);
    }

    /// Removes keys that were read, where the policy is [`Policy::Ear`], in slices between which the pin is renewed. True
    /// if there are more.
    pub(super) fn sweep_read(&self, generation: &Generation) -> bool {
        let mut guard = pin();
        for _ in 0..SLICES {
            if self.exclusive.is_taken() || self.keeps_all() {
                return false;
            }
            for _ in 0..SLICE {
                let Some(found) = generation.take_read(&guard) else { return false };
                if let Some((slot, version)) = found
                    && self.rules.of(generation.namespace_of(slot, &guard)).policy == Policy::Ear
                {
                    let freed = self.remove(generation, slot, version, Removal::Read, &guard);
                    if freed == 0 && self.keeps_all() {
                        generation.was_read(slot, version.seq());
                    }
                    self.memory.balance().release(freed);
                }
            }
            guard.renew();
        }
        true
    }
}

impl<'g> View<'g> {
    /// Removes the keys of a namespace in a slice of slots from `cursor` on. What is written meanwhile may stay. O(slots
    /// visited).
    ///
    /// # Errors
    /// [`KeyspaceError::Wait`] while another transaction runs alone.
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
                self.batch.release(freed);
                return why == Removal::Flushed;
            }
        }
    }
}

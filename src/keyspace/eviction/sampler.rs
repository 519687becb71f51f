//! Which keys are evicted.
//!
//! A walk samples a few hundred slots of the namespace, in short runs at random places, by their access counters
//! alone: slots lie densely, so that costs a few nanoseconds each. The lowest (or highest) sixteenth goes. So an
//! eviction costs the same whatever the size of the namespace, and what goes is among the lowest sixteenth or so of
//! all keys. Keys of the same counter go in no order: going by age would empty a namespace that is read in a circle
//! just ahead of the reader.

use super::super::Keyspace;
use super::super::after_commit::Removal;
use crate::concurrent::epoch::reclaim::Guard;
use crate::concurrent::slots::generation::Generation;
use crate::concurrent::slots::namespace::Namespace;
use crate::concurrent::slots::slot::Slot;
use crate::config::Policy;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use smallvec::SmallVec;
use std::cmp::Reverse;

/// Slots in one run of a sample.
pub(super) const RUN: usize = 16;
/// Slots in a sample.
const SAMPLE: usize = 512;
/// Runs that a sample tries: some are short or empty.
pub(super) const RUNS: usize = 64;
/// Of so many sampled keys one goes.
const PER_VICTIM: usize = 16;
/// Keys that are looked at under one pin where a sample finds none.
const WALK: u32 = 4096;

impl Keyspace {
    /// Evicts keys of a namespace until about `wanted` bytes are freed, but no more than a sample holds. Returns the
    /// bytes, which the caller releases.
    pub(super) fn evict_some(
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

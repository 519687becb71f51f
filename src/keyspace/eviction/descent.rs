//! Evicting down to a limit or a quota that was set below what is held.
//!
//! V5. The housekeeper does it, until the limit or quota is reached once. For a limit it gives up whole chunks of slots,
//! the coldest of some, of any namespace that evicts: a free slot takes as much room as before until its chunk goes, so
//! that by samples twice as many small keys would go. Between two rounds it waits until the removed keys are cleared away
//! and the balance was measured.

use super::super::Keyspace;
use super::super::after_commit::Removal;
use super::SLICE;
use super::sampler::{RUN, RUNS};
use crate::concurrent::epoch::freer;
use crate::concurrent::epoch::reclaim::{Guard, pin};
use crate::concurrent::slots::chunk::Chunk;
use crate::concurrent::slots::generation::Generation;
use crate::config::Policy;
use rand::Rng;

/// Of so many chunks a descent gives up the coldest.
const CHUNKS_PER_VICTIM: u32 = 8;
/// Chunks that it gives up in one round.
const CHUNKS_PER_ROUND: u32 = 4096;
/// Bytes that it frees in one round.
const BYTES_PER_ROUND: i64 = 16 << 20;

/// How far the housekeeper has evicted down to a limit.
#[derive(Debug, Default)]
pub(in crate::keyspace) struct Descent {
    /// The lowered limits that were reached.
    limits: i64,
    /// The number of measurements when nothing waited to be cleared away any more, or the limit was kept.
    since: Option<i64>,
}

impl Keyspace {
    /// Evicts some keys where more is held than a limit or a quota allows (V5), once that was asked for. `is_cleared`
    /// says whether nothing that was removed waits to be cleared away. True if there is more to do at once.
    pub(in crate::keyspace) fn descend(
        &self,
        descent: &mut Descent,
        generation: &Generation,
        is_cleared: bool,
    ) -> bool {
        if self.exclusive.is_taken() {
            return false;
        }
        let is_beyond_quotas = self.evict_beyond_quotas(generation);
        let limits = self.rules.lowered_limits.get();
        if descent.limits != limits && self.descend_to_limit(descent, generation, is_cleared) {
            descent.limits = limits;
        }
        is_beyond_quotas
    }

    /// Takes a step towards the limit, unless what went before is to be cleared away or measured first. True at its
    /// end: the limit is reached, or there is nothing to evict.
    fn descend_to_limit(&self, descent: &mut Descent, generation: &Generation, is_cleared: bool) -> bool {
        let measured = self.memory.measured();
        let is_calm = is_cleared && !freer::is_freeing();
        if !is_calm && (measured == 0 || self.memory.is_over()) {
            descent.since = None;
            return false;
        }
        if measured != 0 && measured <= *descent.since.get_or_insert(measured) + 1 {
            return false;
        }
        descent.since = None;
        self.correct_balance();
        let excess = (-self.memory.balance().free()).min(BYTES_PER_ROUND);
        let is_fruitless = || self.give_up_chunks(generation, excess) == 0 && !self.exclusive.is_taken();
        excess <= 0 || is_calm && is_fruitless()
    }

    /// Evicts some keys of the namespaces whose quotas were lowered. Each stays on the list until it has nothing to evict.
    /// True if there is more to do at once.
    fn evict_beyond_quotas(&self, generation: &Generation) -> bool {
        let lowered = self.rules.take_lowered_quotas();
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
        self.memory.balance().release(freed);
        let has_more = !left.is_empty();
        self.rules.check_quotas(left);
        has_more
    }

    /// Evicts some of a namespace's keys if it is beyond its quota. Returns the bytes, which the caller releases.
    fn evict_beyond_quota(&self, generation: &Generation, name: &[u8]) -> i64 {
        let guard = pin();
        let Some(namespace) = generation.namespace(name, &guard) else { return 0 };
        let rules = self.rules.of(namespace);
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
        self.memory.balance().release(freed);
        freed
    }

    /// How much the policy of a chunk's namespace wants to keep its keys, by a run of them; `None` if it evicts none.
    fn warmth(&self, chunk: &Chunk, guard: &Guard) -> Option<u32> {
        let policy = self.rules.of(chunk.namespace(guard)).policy;
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

    /// Evicts the keys of one chunk, in slices between which the pin is renewed. Returns the bytes, which the
    /// caller releases.
    fn give_up_chunk(&self, generation: &Generation, id: u32, wanted: i64, guard: &mut Guard) -> i64 {
        let (mut from, mut freed) = (0, 0);
        loop {
            let Some(chunk) = generation.directory().get(id, guard) else { return freed };
            let evicts = self.rules.of(chunk.namespace(guard)).policy.evicts();
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
}

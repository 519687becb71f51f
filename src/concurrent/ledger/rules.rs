//! The rules of a namespace, as [`RULE_BITS`] bits whose meaning the configuration knows.
//!
//! # Purpose
//! Every growing write reads them, so each namespace caches the rules that it was told last, in two words. The rules in
//! force have a number that grows; whoever finds another number in the namespace looks the rules up and tells it again.
//! So a change costs nothing for namespaces that nobody uses, and there may be a million of those.
//!
//! # Invariants
//! - I1. The rules that a name has under one number are always the same: both are read, and changed, under one lock.
//! - I2. Each of the two words holds a half of the rules beside the number that they are of. So whoever finds one
//!   number in both has that number's rules (I1), whoever told which half, and in whichever order.
//!
//! # Orderings
//! All Relaxed: the words stand for themselves and publish nothing (I2), and the number is only compared.
//!
//! # Progress
//! Asking is wait-free while the rules stay; after a change, each namespace's next asker takes the lock once.

use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Bug, Mutex, seeded};
use std::sync::PoisonError;

/// The bits of one namespace's rules, which mean nothing here.
pub const RULE_BITS: u32 = 50;

/// The bits of one half of the rules. The number has the rest of the word: it does not come round in a lifetime.
const HALF_BITS: u32 = RULE_BITS / 2;
const HALF: u64 = (1 << HALF_BITS) - 1;

/// The rules that a namespace was told last: a word for each half of them, with their number above. Never told is 0.
#[derive(Debug)]
pub struct SeenRules {
    low: AtomicU64,
    high: AtomicU64,
}

impl Default for SeenRules {
    fn default() -> SeenRules {
        SeenRules { low: AtomicU64::new(0), high: AtomicU64::new(0) }
    }
}

impl SeenRules {
    /// The rules with this number, if the namespace was told them.
    #[inline]
    fn get(&self, number: u64) -> Option<u64> {
        // ORDERING: Relaxed; I2.
        let (low, high) = (self.low.load(Ordering::Relaxed), self.high.load(Ordering::Relaxed));
        let is_of = |word: u64| word >> HALF_BITS == number;
        let is_told = is_of(high) && (is_of(low) || seeded(Bug::OneHalfIsBelieved));
        is_told.then_some((high & HALF) << HALF_BITS | low & HALF)
    }

    fn tell(&self, number: u64, rules: u64) {
        debug_assert_eq!(rules >> RULE_BITS, 0);
        let number = number << HALF_BITS;
        // ORDERING: Relaxed; I2.
        self.low.store(number | rules & HALF, Ordering::Relaxed);
        self.high.store(number | rules >> HALF_BITS, Ordering::Relaxed);
    }
}

/// The rules of all namespaces that are in force, and their number.
#[derive(Debug)]
pub struct InForce<R> {
    /// From 1 on.
    number: AtomicU64,
    rules: Mutex<R>,
}

impl<R: Default> Default for InForce<R> {
    fn default() -> InForce<R> {
        InForce { number: AtomicU64::new(1), rules: Mutex::new(R::default()) }
    }
}

impl<R> InForce<R> {
    /// Reads the rules.
    pub fn read<T>(&self, read: impl FnOnce(&R) -> T) -> T {
        read(&self.rules.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the rules. Whoever asks from now on finds the new ones.
    pub fn change<T>(&self, change: impl FnOnce(&mut R) -> T) -> T {
        let mut rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut rules);
        // ORDERING: Relaxed; written under the lock only (I1).
        let number = self.number.load(Ordering::Relaxed);
        self.number.store(number + 1, Ordering::Relaxed);
        result
    }

    /// The rules of the namespace with this cache; `look_up` finds them if the cache is out of date. Three loads of words
    /// that hardly ever change.
    #[inline]
    pub fn of(&self, seen: &SeenRules, look_up: impl FnOnce(&R) -> u64) -> u64 {
        // ORDERING: Relaxed; a client that was told of the change has seen its number, and no later load finds an older one.
        let number = self.number.load(Ordering::Relaxed);
        seen.get(number).unwrap_or_else(|| self.tell(seen, number, look_up))
    }

    #[cold]
    fn tell(&self, seen: &SeenRules, asked: u64, look_up: impl FnOnce(&R) -> u64) -> u64 {
        let (number, rules) = self.read(|rules| {
            // ORDERING: Relaxed; under the lock it is the number of these rules (I1).
            let number = self.number.load(Ordering::Relaxed);
            (if seeded(Bug::ToldUnderOldNumber) { asked } else { number }, look_up(rules))
        });
        seen.tell(number, rules);
        rules
    }
}

#[cfg(all(test, not(kvns_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_keeps_the_rules_until_they_change() {
        let (in_force, seen) = (InForce::<u64>::default(), SeenRules::default());
        for rules in [7 << 2 | 2, (1 << RULE_BITS) - 1, 1 << 49 | 1] {
            in_force.change(|held| *held = rules);
            assert_eq!(in_force.of(&seen, |held| *held), rules);
            assert_eq!(in_force.of(&seen, |_| panic!("known")), rules);
        }
    }
}

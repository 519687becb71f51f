//! What a namespace is bound to: its eviction policy and its quota.
//!
//! # Purpose
//! Every growing write asks for them, so each namespace keeps what it was told last, in two words. What is in force
//! has a number that grows; who finds another number in the namespace looks the rules up and tells it again. So a
//! change costs nothing for namespaces that nobody uses, and there may be a million of those.
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
use std::fmt;
use std::str::FromStr;
use std::sync::PoisonError;

/// Which keys of a namespace go when there is no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Policy {
    /// None: a write beyond the limit is refused.
    #[default]
    None,
    /// Those that are used least; uses age.
    Lru,
    /// Those that are used most.
    Mru,
    /// Each soon after it was read, whether there is room or not.
    Ear,
}

impl Policy {
    const ALL: [Policy; 4] = [Policy::None, Policy::Lru, Policy::Mru, Policy::Ear];

    /// True if keys go to make room.
    pub const fn evicts(self) -> bool {
        matches!(self, Policy::Lru | Policy::Mru)
    }

    /// The name that settings and INFO show.
    pub const fn name(self) -> &'static str {
        match self {
            Policy::None => "none",
            Policy::Lru => "lru",
            Policy::Mru => "mru",
            Policy::Ear => "ear",
        }
    }

    /// The name that Redis has for it, or kvns's own where Redis has none.
    pub const fn redis_name(self) -> &'static str {
        match self {
            Policy::None => "noeviction",
            Policy::Lru => "allkeys-lru",
            Policy::Mru | Policy::Ear => self.name(),
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Policy {
    type Err = ();

    /// Reads one of its names, in any case.
    fn from_str(text: &str) -> Result<Policy, ()> {
        match text.to_ascii_lowercase().as_str() {
            "none" | "noeviction" => Ok(Policy::None),
            "lru" | "lfu" | "allkeys-lru" | "allkeys-lfu" => Ok(Policy::Lru),
            "mru" | "mfu" => Ok(Policy::Mru),
            "ear" | "expire_after_read" | "expireafterread" => Ok(Policy::Ear),
            _ => Err(()),
        }
    }
}

/// A quota that is none.
pub const NO_QUOTA: u64 = u64::MAX;

/// What one namespace is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamespaceRules {
    /// Which keys go.
    pub policy: Policy,
    /// The bytes that its keys may take, or [`NO_QUOTA`].
    pub quota: u64,
}

const POLICY_BITS: u32 = 2;
const QUOTA_BITS: u32 = 48;
/// The bits of one half of the rules. The number has the rest of the word: it does not come round in a lifetime.
const HALF_BITS: u32 = (POLICY_BITS + QUOTA_BITS) / 2;
const HALF: u64 = (1 << HALF_BITS) - 1;

impl NamespaceRules {
    /// From here on a quota is none: no machine has so much memory.
    const LARGEST: u64 = (1 << QUOTA_BITS) - 1;

    /// A policy and, if there is one, a quota.
    pub fn new(policy: Policy, quota: Option<u64>) -> NamespaceRules {
        let quota = quota.filter(|quota| *quota < NamespaceRules::LARGEST);
        NamespaceRules { policy, quota: quota.unwrap_or(NO_QUOTA) }
    }

    fn bits(self) -> u64 {
        self.quota.min(NamespaceRules::LARGEST) << POLICY_BITS | self.policy as u64
    }

    #[inline]
    fn from_bits(bits: u64) -> NamespaceRules {
        let policy = Policy::ALL[(bits & ((1 << POLICY_BITS) - 1)) as usize];
        NamespaceRules::new(policy, Some(bits >> POLICY_BITS))
    }
}

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
    fn get(&self, number: u64) -> Option<NamespaceRules> {
        // ORDERING: Relaxed; I2.
        let (low, high) = (self.low.load(Ordering::Relaxed), self.high.load(Ordering::Relaxed));
        let is_of = |word: u64| word >> HALF_BITS == number;
        let is_told = is_of(high) && (is_of(low) || seeded(Bug::OneHalfIsBelieved));
        is_told.then(|| NamespaceRules::from_bits((high & HALF) << HALF_BITS | low & HALF))
    }

    fn tell(&self, number: u64, rules: NamespaceRules) {
        let (bits, number) = (rules.bits(), number << HALF_BITS);
        // ORDERING: Relaxed; I2.
        self.low.store(number | bits & HALF, Ordering::Relaxed);
        self.high.store(number | bits >> HALF_BITS, Ordering::Relaxed);
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

    /// What the namespace with this memory is bound to; `look_up` finds it in the rules. Three loads of words that hardly
    /// ever change.
    #[inline]
    pub fn of(&self, seen: &SeenRules, look_up: impl FnOnce(&R) -> NamespaceRules) -> NamespaceRules {
        // ORDERING: Relaxed; who was answered that the rules have changed has seen the number, and does not unsee it.
        let number = self.number.load(Ordering::Relaxed);
        seen.get(number).unwrap_or_else(|| self.tell(seen, number, look_up))
    }

    #[cold]
    fn tell(
        &self,
        seen: &SeenRules,
        asked: u64,
        look_up: impl FnOnce(&R) -> NamespaceRules,
    ) -> NamespaceRules {
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
        let (in_force, seen) = (InForce::<Option<NamespaceRules>>::default(), SeenRules::default());
        for (policy, quota) in [(Policy::Mru, Some(7)), (Policy::Ear, None), (Policy::Lru, Some(1 << 47))] {
            let rules = NamespaceRules::new(policy, quota);
            in_force.change(|held| *held = Some(rules));
            assert_eq!(in_force.of(&seen, |held| held.expect("there are rules")), rules);
            assert_eq!(in_force.of(&seen, |_| panic!("known")), rules);
        }
        let boundless = NamespaceRules::new(Policy::None, Some(i64::MAX as u64));
        assert_eq!(boundless.quota, NO_QUOTA);
        assert_eq!(NamespaceRules::from_bits(boundless.bits()), boundless);
    }

    #[test]
    fn policies_have_their_names() {
        for policy in Policy::ALL {
            assert_eq!(policy.name().parse(), Ok(policy));
            assert_eq!(policy.redis_name().to_uppercase().parse(), Ok(policy));
        }
        assert_eq!("mfu".parse(), Ok(Policy::Mru));
        assert_eq!("volatile-lru".parse::<Policy>(), Err(()));
    }
}

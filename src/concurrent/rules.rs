//! What a namespace is bound to: its eviction policy and its quota.
//!
//! # Purpose
//! Every growing write asks for them, so each namespace keeps what it was told last, in two words. What is in force
//! has a number that grows; who finds another number in the namespace looks the rules up and tells it again. So a
//! change costs nothing for namespaces that nobody uses, and there may be a million of those.
//!
//! # Invariants
//! - I1. The quota is written before the word with the number, and read after it: who finds the number finds that
//!   number's quota, or a later one's.

use crate::sync::plain::{AtomicU64, Ordering};
use std::fmt;
use std::str::FromStr;

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

/// The rules that a namespace was told last.
#[derive(Debug, Default)]
pub struct SeenRules {
    /// The number of the rules in force then, and the policy in the lowest bits; 0 for never.
    word: AtomicU64,
    quota: AtomicU64,
}

const POLICY_BITS: u32 = 2;

impl SeenRules {
    /// The rules with this number, which is above 0; `look_up` finds them if the namespace has others.
    #[inline]
    pub fn get(&self, number: u64, look_up: impl FnOnce() -> NamespaceRules) -> NamespaceRules {
        // ORDERING: Acquire; I1, pairs with `tell`.
        let word = self.word.load(Ordering::Acquire);
        if word >> POLICY_BITS == number {
            let policy = Policy::ALL[(word & ((1 << POLICY_BITS) - 1)) as usize];
            return NamespaceRules { policy, quota: self.quota.load(Ordering::Relaxed) };
        }
        self.tell(number, look_up())
    }

    #[cold]
    fn tell(&self, number: u64, rules: NamespaceRules) -> NamespaceRules {
        self.quota.store(rules.quota, Ordering::Relaxed);
        // ORDERING: Release; I1.
        self.word.store(number << POLICY_BITS | rules.policy as u64, Ordering::Release);
        rules
    }
}

#[cfg(all(test, not(kvns_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_keeps_the_rules_of_a_number() {
        let seen = SeenRules::default();
        let rules = |policy, quota| NamespaceRules { policy, quota };
        assert_eq!(seen.get(1, || rules(Policy::Mru, 7)), rules(Policy::Mru, 7));
        assert_eq!(seen.get(1, || panic!("known")), rules(Policy::Mru, 7));
        assert_eq!(seen.get(2, || rules(Policy::Ear, NO_QUOTA)), rules(Policy::Ear, NO_QUOTA));
        assert_eq!(seen.get(2, || panic!("known")), rules(Policy::Ear, NO_QUOTA));
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

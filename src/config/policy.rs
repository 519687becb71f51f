//! The rules of one namespace: its eviction policy and its quota.

use crate::concurrent::ledger::rules::RULE_BITS;
use std::fmt;
use std::str::FromStr;

/// Which keys of a namespace go when there is no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Policy {
    /// None: a write beyond the limit is refused.
    #[default]
    None,
    /// The least used; the counts of uses decay.
    Lru,
    /// The most used.
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

/// The value of a quota that does not bind.
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
const QUOTA_BITS: u32 = RULE_BITS - POLICY_BITS;

impl NamespaceRules {
    /// A quota of this size or more does not bind: no machine has so much memory.
    const LARGEST: u64 = (1 << QUOTA_BITS) - 1;

    /// A policy and, if there is one, a quota.
    pub fn new(policy: Policy, quota: Option<u64>) -> NamespaceRules {
        let quota = quota.filter(|quota| *quota < NamespaceRules::LARGEST);
        NamespaceRules { policy, quota: quota.unwrap_or(NO_QUOTA) }
    }

    /// Packs the rules for the ledger.
    pub fn bits(self) -> u64 {
        self.quota.min(NamespaceRules::LARGEST) << POLICY_BITS | self.policy as u64
    }

    /// Unpacks what [`NamespaceRules::bits`] has packed.
    #[inline]
    pub fn from_bits(bits: u64) -> NamespaceRules {
        let policy = Policy::ALL[(bits & ((1 << POLICY_BITS) - 1)) as usize];
        NamespaceRules::new(policy, Some(bits >> POLICY_BITS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_packed_without_loss() {
        for (policy, quota) in [(Policy::Mru, Some(7)), (Policy::Ear, None), (Policy::Lru, Some(1 << 47))] {
            let rules = NamespaceRules::new(policy, quota);
            assert_eq!(NamespaceRules::from_bits(rules.bits()), rules);
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

//! The rules of eviction in force, and the limits and quotas that the housekeeper has to evict down to.

use super::super::Keyspace;
use crate::concurrent::counters::counter::Tally;
use crate::concurrent::ledger::rules::InForce;
use crate::concurrent::slots::namespace::Namespace;
use crate::config::{EvictionRules, NamespaceRules};
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// The rules in force, and what was lowered and is not reached yet.
#[derive(Debug, Default)]
pub(in crate::keyspace) struct Rules {
    in_force: InForce<EvictionRules>,
    /// Times that the housekeeper was asked to evict down to a limit.
    pub(super) lowered_limits: Tally,
    /// Namespaces that may hold more than their quotas, which the housekeeper has to evict down to.
    lowered_quotas: Mutex<BTreeSet<Vec<u8>>>,
}

impl Rules {
    /// The rules of a namespace. Three loads.
    #[inline]
    pub(in crate::keyspace) fn of(&self, namespace: &Namespace) -> NamespaceRules {
        let look_up = |rules: &EvictionRules| rules.of(namespace.name()).bits();
        NamespaceRules::from_bits(self.in_force.of(&namespace.rules, look_up))
    }

    /// Lets the housekeeper check the quotas of these namespaces.
    pub(super) fn check_quotas(&self, names: impl IntoIterator<Item = Vec<u8>>) {
        self.lowered_quotas.lock().unwrap_or_else(PoisonError::into_inner).extend(names);
    }

    /// Takes the namespaces whose quotas are to be checked.
    pub(super) fn take_lowered_quotas(&self) -> BTreeSet<Vec<u8>> {
        std::mem::take(&mut self.lowered_quotas.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Keyspace {
    /// The rules of the namespace of this name, whether it has keys or not.
    pub fn rules_of_name(&self, name: &[u8]) -> NamespaceRules {
        self.rules.in_force.read(|rules| rules.of(name))
    }

    /// Sets the limit in bytes and the rules of eviction. The housekeeper evicts down to what is lower than before.
    pub fn bind(&self, limit: u64, rules: EvictionRules) {
        let is_lower = self.rules.in_force.change(|bound| {
            let is_lower = self.memory.set(limit, rules.threshold);
            self.rules.check_quotas(bound.lowered_quotas(&rules));
            *bound = rules;
            is_lower
        });
        self.correct_balance();
        self.rules.lowered_limits.add(is_lower.into());
    }

    /// Lets the housekeeper evict down to the limit and the quotas, where the policies let it.
    pub fn come_down(&self) {
        self.rules.lowered_limits.add(1);
        let with_quotas: Vec<_> = self.rules.in_force.read(|rules| rules.quotas.keys().cloned().collect());
        self.rules.check_quotas(with_quotas);
    }
}

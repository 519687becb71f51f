//! The rules of eviction, and the lists of namespaces in settings: `ns1:lru,ns2:mru` and `ns1:256mb,ns2:1gb`.

use super::parse::byte_count;
use super::policy::{NamespaceRules, Policy};
use imbl::OrdMap;
use imbl::ordmap::DiffItem;
use std::fmt::Display;

/// Something for each of some namespaces. Copies share what they do not change: a change of one namespace costs
/// O(log n).
pub type ByNamespace<T> = OrdMap<Vec<u8>, T>;

/// What goes when there is no room, and what each namespace may take.
#[derive(Clone, Debug, PartialEq)]
pub struct EvictionRules {
    /// The policy of namespaces without one of their own (`KVNS_EVICTION_POLICY`).
    pub policy: Policy,
    /// The fraction of the limit at which eviction starts (`KVNS_EVICTION_THRESHOLD`).
    pub threshold: f64,
    /// Policies by namespace (`KVNS_NS_EVICTION`).
    pub policies: ByNamespace<Policy>,
    /// Bytes by namespace (`KVNS_NS_MEMORY_LIMIT`).
    pub quotas: ByNamespace<u64>,
}

impl Default for EvictionRules {
    fn default() -> EvictionRules {
        EvictionRules {
            policy: Policy::None,
            threshold: 1.0,
            policies: ByNamespace::new(),
            quotas: ByNamespace::new(),
        }
    }
}

impl EvictionRules {
    /// The rules of the namespace of this name.
    pub fn of(&self, name: &[u8]) -> NamespaceRules {
        let policy = self.policies.get(name).copied().unwrap_or(self.policy);
        NamespaceRules::new(policy, self.quotas.get(name).copied())
    }

    /// The namespaces that may take less under `next`. O(changes log n).
    pub fn lowered_quotas(&self, next: &EvictionRules) -> Vec<Vec<u8>> {
        let lowered = self.quotas.diff(&next.quotas).filter_map(|change| match change {
            DiffItem::Add(name, _) => Some(name),
            DiffItem::Update { old: (_, old), new: (name, new) } => (new < old).then_some(name),
            DiffItem::Remove(..) => None,
        });
        lowered.cloned().collect()
    }
}

/// Reads an entry's value, or says what is expected.
type ReadValue<T> = fn(&str) -> Option<T>;

/// Reads `name:value,name:value`. A name may have any byte but a comma; the last colon separates.
fn list<T: Clone>(text: &[u8], value: ReadValue<T>) -> Option<ByNamespace<T>> {
    let entries = text.split(|byte| *byte == b',').filter(|entry| !entry.trim_ascii().is_empty());
    entries
        .map(|entry| {
            let entry = entry.trim_ascii();
            let colon = entry.iter().rposition(|byte| *byte == b':')?;
            let (name, text) = (&entry[..colon], &entry[colon + 1..]);
            Some((name.to_vec(), value(std::str::from_utf8(text).ok()?.trim())?))
        })
        .collect()
}

/// What a policy may be.
pub const POLICIES: &str = "none, lru (or lfu), mru (or mfu) or ear (or expire_after_read)";

/// Policies by namespace.
pub fn policies(text: &[u8]) -> Result<ByNamespace<Policy>, String> {
    list(text, |policy| policy.parse().ok())
        .ok_or_else(|| format!("namespaces with policies such as ns1:lru,ns2:mru; a policy is {POLICIES}"))
}

/// Quotas by namespace.
pub fn quotas(text: &[u8]) -> Result<ByNamespace<u64>, String> {
    list(text, |bytes| byte_count(bytes.as_bytes()).filter(|bytes| *bytes > 0 && *bytes <= i64::MAX as u64))
        .ok_or_else(|| "namespaces with bytes above 0 such as ns1:256mb,ns2:1gb".to_owned())
}

/// A fraction from 0 to 1.
pub fn fraction(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| (0.0..=1.0).contains(number));
    number.ok_or_else(|| "a fraction from 0.0 to 1.0".to_owned())
}

/// A list as it is read, for CONFIG GET; names are shown as text.
pub fn shown<T: Display>(entries: &ByNamespace<T>) -> String {
    let entries = entries.iter().map(|(name, value)| format!("{}:{value}", String::from_utf8_lossy(name)));
    entries.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_namespaces() {
        let read = policies(b"a:lru, b/c:MFU,d:e:ear,").expect("a list");
        assert_eq!(shown(&read), "a:lru,b/c:mru,d:e:ear");
        assert_eq!(policies(b""), Ok(ByNamespace::new()));
        let read = quotas(b"a:256mb,b:1k").expect("a list");
        assert_eq!(shown(&read), "a:268435456,b:1000");
        for bad in [&b"a"[..], b"a:", b"a:volatile-lru", b"a:lru;mru"] {
            assert!(policies(bad).is_err(), "{bad:?}");
        }
        for bad in [&b"a:0"[..], b"a:x", b"a:-1", b"a:16777216tb", b"a:\xff"] {
            assert!(quotas(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_namespace_has_its_own_rules_or_the_ones_of_all() {
        let rules = EvictionRules {
            policy: Policy::Lru,
            policies: policies(b"a:none").expect("a list"),
            quotas: quotas(b"b:5").expect("a list"),
            ..EvictionRules::default()
        };
        assert_eq!(rules.of(b"a"), NamespaceRules::new(Policy::None, None));
        assert_eq!(rules.of(b"b"), NamespaceRules::new(Policy::Lru, Some(5)));
    }

    #[test]
    fn quotas_are_lowered_where_they_begin_or_shrink() {
        let rules =
            |text: &[u8]| EvictionRules { quotas: quotas(text).expect("a list"), ..EvictionRules::default() };
        let lowered = rules(b"a:5,b:5,c:5,d:5").lowered_quotas(&rules(b"a:5,b:4,c:6,e:1"));
        assert_eq!(lowered, [b"b".to_vec(), b"e".to_vec()]);
    }

    #[test]
    fn a_threshold_is_a_fraction() {
        assert_eq!(fraction("0.9"), Ok(0.9));
        for bad in ["1.1", "-0.1", "nan", "inf", ""] {
            assert!(fraction(bad).is_err(), "{bad}");
        }
    }
}

//! Records of events by namespace, which outlive their namespaces: capped, the rest is summed up in one.

use crate::concurrent::namespace::Record;
use papaya::HashMap;
use std::sync::Arc;

/// Namespaces with a record of their own.
const MOST: usize = 1000;

/// The records of the first namespaces, and one for all others.
#[derive(Debug, Default)]
pub(super) struct Records {
    named: HashMap<Box<[u8]>, Arc<Record>, ahash::RandomState>,
    others: Arc<Record>,
}

impl Records {
    /// The record of a namespace.
    pub(super) fn of(&self, name: &[u8]) -> Arc<Record> {
        let named = self.named.pin();
        if let Some(record) = named.get(name) {
            return Arc::clone(record);
        }
        if named.len() >= MOST {
            return Arc::clone(&self.others);
        }
        Arc::clone(named.get_or_insert_with(name.into(), Arc::default))
    }
}

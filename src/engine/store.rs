//! The store that serves keys: the lock-free keyspace, or the lock-sharded baseline in its place. What differs between
//! the two is decided here; which handler runs a command in which of them, in the command table.

use super::Engine;
use crate::clock::Clock;
use crate::config::Settings;
use crate::keyspace::{Label, NamespaceInfo, OTHERS, RestoreTally, SnapshotControl, SnapshotError, View};
use crate::sharded::{Sharded, Totals};
use crate::snapshot::{LoadProgress, Loaded, Refused, Sink, load};
use std::path::Path;

/// Which store serves the keys.
#[derive(Debug)]
pub enum Store {
    /// [`Engine::keyspace`].
    LockFree,
    /// The baseline; the keyspace stays empty.
    Sharded(Sharded),
}

impl Store {
    pub(super) fn new(settings: &Settings) -> Store {
        match settings.sharded_mode {
            false => Store::LockFree,
            true => Store::Sharded(Sharded::new(
                settings.shard_count,
                settings.memory_limit,
                settings.shared_values,
            )),
        }
    }

    /// The baseline, if it serves.
    #[inline]
    pub fn sharded(&self) -> Option<&Sharded> {
        match self {
            Store::LockFree => None,
            Store::Sharded(store) => Some(store),
        }
    }
}

impl Engine {
    /// The totals of the store. O(1), in the sharded mode O(shards).
    pub fn totals(&self) -> Totals {
        let keyspace = &self.keyspace;
        match &self.store {
            Store::Sharded(store) => store.totals(),
            Store::LockFree => Totals {
                keys: keyspace.len(),
                expiring: keyspace.expiring(),
                bytes: keyspace.accounted_bytes(),
                hits: keyspace.stats.hits.get(),
                misses: keyspace.stats.misses.get(),
                expired: keyspace.stats.expired.get(),
                changes: keyspace.stats.changes.get(),
            },
        }
    }

    /// The number of keys that a command sees: a transaction sees its own writes.
    pub fn keys_seen(&self, view: &View<'_>) -> u64 {
        self.store.sharded().map_or_else(|| view.len(), |store| store.totals().keys)
    }

    /// The namespaces by their labels. The sharded store has none: there all keys are those of the others.
    pub fn labelled(&self) -> Vec<(Label, NamespaceInfo)> {
        let Some(store) = self.store.sharded() else { return self.keyspace.labelled() };
        let Totals { keys, bytes, hits, misses, expired, .. } = store.totals();
        let name = OTHERS.to_vec();
        let others = NamespaceInfo { name, keys, bytes, hits, misses, expired, ..NamespaceInfo::default() };
        vec![(Label::OTHERS, others)]
    }

    /// One round of housekeeping. True if there is more to do at once.
    pub fn housekeep(&self) -> bool {
        if let Some(store) = self.store.sharded() {
            store.sweep_if_due(self.clock.unix_ms());
        }
        self.keyspace.housekeep()
    }

    /// Gives every key to a sink. Returns the most bytes that had to be kept for that.
    pub(super) fn walk(&self, sink: &mut dyn Sink, control: &SnapshotControl) -> Result<u64, SnapshotError> {
        match &self.store {
            Store::Sharded(store) => {
                let is_cancelled = || control.is_cancelled();
                store.snapshot(self.clock.unix_ms(), sink, is_cancelled).map_err(SnapshotError::Io)?;
                Ok(0)
            }
            Store::LockFree => self.keyspace.snapshot(sink, control).map(|summary| summary.retained_peak),
        }
    }

    /// Puts the keys of a snapshot file into the store.
    pub(super) fn restore(
        &self,
        path: &Path,
        threads: usize,
        tally: &RestoreTally,
        progress: &LoadProgress,
    ) -> Result<Loaded, Refused> {
        let clock: &Clock = &self.clock;
        match &self.store {
            Store::Sharded(store) => {
                let now_ms = clock.unix_ms();
                load(path, threads, || store.restorer(now_ms, tally), progress, clock)
            }
            Store::LockFree => load(path, threads, || self.keyspace.restorer(tally), progress, clock),
        }
    }
}

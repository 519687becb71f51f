//! The slow log: the last commands that took longer than a threshold.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A slow command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlowEntry {
    /// Unique in this run of the server, growing.
    pub id: u64,
    /// When it ended: Unix time in seconds.
    pub unix_s: u64,
    /// How long it ran, in microseconds.
    pub duration_us: u64,
    /// Its arguments, long ones cut.
    pub args: Vec<Vec<u8>>,
    /// The client's address.
    pub client: String,
    /// The client's name.
    pub name: Vec<u8>,
}

/// The slow log. Its mutex is taken for slow commands only.
#[derive(Debug, Default)]
pub struct SlowLog {
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    /// The newest one first.
    kept: VecDeque<SlowEntry>,
    next_id: u64,
}

impl SlowLog {
    /// Adds an entry, whose id is given here, and drops the oldest ones beyond `most`.
    pub fn add(&self, entry: SlowEntry, most: usize) {
        let mut entries = self.entries();
        let id = entries.next_id;
        entries.next_id += 1;
        entries.kept.push_front(SlowEntry { id, ..entry });
        entries.kept.truncate(most);
    }

    /// Up to `most` entries, the newest first.
    pub fn newest(&self, most: usize) -> Vec<SlowEntry> {
        self.entries().kept.iter().take(most).cloned().collect()
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries().kept.len()
    }

    /// True without entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Drops every entry.
    pub fn clear(&self) {
        self.entries().kept.clear();
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! Entries as handlers see them, and the drafts of what is to replace them.

use super::KeyspaceError;
use crate::concurrent::slot::Slot;
use crate::concurrent::version::{Version, VersionBox};
use crate::value::string::Str;
use bytes::Bytes;

/// The index's share of a key's bytes: its node, and about two places in the table.
const INDEX_SHARE: usize = 8 + 18;

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A string, whatever its representation.
    String,
}

/// A value that no one else can see yet, with its deadline: what an update puts in place.
#[derive(Debug)]
pub struct Draft(pub(super) VersionBox);

impl Draft {
    /// A string of these bytes that expires at `deadline_ms`; canonical decimal integers are kept as integers.
    /// One allocation.
    pub fn string(bytes: &[u8], deadline_ms: Option<u64>) -> Draft {
        match crate::number::parse_integer(bytes) {
            Some(value) => Draft(VersionBox::integer(value, deadline_ms)),
            None => Draft(VersionBox::bytes(&[bytes], deadline_ms)),
        }
    }

    /// A string of these parts, one after the other, never kept as an integer.
    pub fn concat(parts: &[&[u8]], deadline_ms: Option<u64>) -> Draft {
        Draft(VersionBox::bytes(parts, deadline_ms))
    }

    /// An integer string.
    pub fn integer(value: i64, deadline_ms: Option<u64>) -> Draft {
        Draft(VersionBox::integer(value, deadline_ms))
    }

    /// A string that shares `bytes`.
    pub fn shared(bytes: Bytes, deadline_ms: Option<u64>) -> Draft {
        Draft(VersionBox::shared(bytes, deadline_ms))
    }

    /// An entry's value with another deadline, for RENAME, COPY and changes of the deadline alone.
    pub fn value_of(entry: &Entry<'_>, deadline_ms: Option<u64>) -> Draft {
        Draft(VersionBox::with_value_of(entry.version, deadline_ms))
    }
}

/// What an update does to its key.
#[derive(Debug)]
pub enum Change {
    /// Leaves the entry as it is; no version changes.
    Keep,
    /// Puts this value and deadline in place of whatever is there.
    Put(Draft),
    /// Removes the entry, if there is one.
    Remove,
}

/// A live entry as one version saw it; immutable.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'g> {
    pub(super) version: &'g Version,
    pub(super) slot: &'g Slot,
    pub(super) now_s: u32,
}

impl<'g> Entry<'g> {
    /// The type of the value.
    pub fn kind(&self) -> Kind {
        Kind::String
    }

    /// The value, if it is a string.
    pub fn string(&self) -> Result<Str<'g>, KeyspaceError> {
        self.version.string().ok_or(KeyspaceError::WrongType)
    }

    /// When the entry expires: Unix time in milliseconds.
    pub fn deadline_ms(&self) -> Option<u64> {
        self.version.deadline_ms()
    }

    /// Bytes the allocator holds for this entry: name, slot, index and value. O(1).
    pub fn footprint(&self) -> usize {
        footprint(self.slot, self.version)
    }

    /// Seconds since the entry was last read or written.
    pub fn idle_seconds(&self) -> u64 {
        u64::from(self.slot.idle_seconds(self.now_s))
    }

    /// The aged access counter, 0 to 255.
    pub fn frequency(&self) -> u8 {
        self.slot.frequency(self.now_s)
    }
}

/// Bytes of a live key.
pub(super) fn footprint(slot: &Slot, version: &Version) -> usize {
    INDEX_SHARE + Slot::footprint(slot.name()) + version.footprint()
}

//! Entries as handlers see them, and the drafts of what is to replace them.

use super::KeyspaceError;
use crate::concurrent::epoch::reclaim::Guard;
use crate::concurrent::slots::slot::Slot;
pub use crate::concurrent::versions::nodes::Draft;
use crate::concurrent::versions::order_index::{LargeSet, OrderAt};
use crate::concurrent::versions::version::{Collection, Version, VersionBox};
use crate::value::Kind;
use crate::value::chunks::{ChunksDelta, FLAT_MAX, ZEROS};
use crate::value::sorted_set::{self, Edited, Order};
use crate::value::string::Str;
use crate::value::tree::{Delta, Hash, List, Set, Tree};
use bytes::Bytes;

/// The index's share of a key's bytes: its node, and about two places in the table.
const INDEX_SHARE: usize = 8 + 18;

/// A key's share of what [`Generation::frame_bytes`](crate::concurrent::slots::generation::Generation::frame_bytes) counts.
pub(super) const FRAME_SHARE: usize = INDEX_SHARE + size_of::<Slot>();

/// One version of a sorted set, to be read.
pub type SortedSet<'g> = sorted_set::SortedSet<'g, OrderAt<'g>>;

/// Members of a sorted set in their order.
pub type Ascending<'g> = sorted_set::Ascending<'g, <OrderAt<'g> as Order<'g>>::Walk>;

/// Members of a sorted set in reverse order.
pub type Descending<'g> = sorted_set::Descending<'g, OrderAt<'g>>;

/// Changes of one sorted set, atomic together.
pub type SortedSetEdit<'g> = sorted_set::Edit<'g, OrderAt<'g>>;

impl Draft {
    /// A string of these bytes that expires at `deadline_ms`; canonical decimal integers are kept as integers.
    /// One allocation.
    pub fn string(bytes: &[u8], deadline_ms: Option<u64>) -> Draft {
        match crate::number::parse_integer(bytes) {
            Some(value) => VersionBox::integer(value, deadline_ms).into(),
            None => VersionBox::bytes(&[bytes], deadline_ms).into(),
        }
    }

    /// A string of these parts, one after the other, never kept as an integer.
    pub fn concat(parts: &[&[u8]], deadline_ms: Option<u64>) -> Draft {
        VersionBox::bytes(parts, deadline_ms).into()
    }

    /// What `string` becomes with `patch` over it from `offset` on, and zero bytes between them where they do not
    /// meet; never kept as an integer. In one piece up to [`FLAT_MAX`] bytes, else in chunks. `birth` is
    /// [`View::birth`](super::View::birth). O([`Draft::patch_cost`]).
    pub fn patched(
        string: Str<'_>,
        offset: usize,
        patch: &[u8],
        deadline_ms: Option<u64>,
        birth: u32,
    ) -> Draft {
        if let Str::Chunks(chunks) = string {
            let mut delta = ChunksDelta::new(chunks, birth);
            delta.write(offset, patch);
            return Draft::chunks(delta, deadline_ms);
        }
        let before = string.bytes();
        if before.len().max(offset + patch.len()) > FLAT_MAX {
            let mut delta = ChunksDelta::of(&before, birth);
            delta.write(offset, patch);
            return Draft::chunks(delta, deadline_ms);
        }
        let head = &before[..offset.min(before.len())];
        let tail = before.get(offset + patch.len()..).unwrap_or_default();
        Draft::concat(&[head, &ZEROS[..offset - head.len()], patch, tail], deadline_ms)
    }

    /// Bytes that [`Draft::patched`] writes, about.
    pub fn patch_cost(string: Str<'_>, offset: usize, patch: &[u8]) -> usize {
        let end = offset + patch.len();
        match string {
            Str::Chunks(chunks) => end - offset.min(chunks.len()),
            flat => flat.len().max(end),
        }
    }

    /// Bytes that [`Draft::copy_of`] writes, about. O(1).
    pub fn copy_cost(entry: &Entry<'_>) -> usize {
        match entry.version.string() {
            Some(Str::Int(_) | Str::Inline(_) | Str::Shared(_)) => 0,
            Some(Str::Chunks(_)) | None => entry.version.footprint(),
        }
    }

    fn chunks(delta: ChunksDelta<'_>, deadline_ms: Option<u64>) -> Draft {
        let (edit, len) = delta.seal();
        let version = VersionBox::chunks(len, edit.root(), deadline_ms);
        Draft { version, edit: Some(Box::new(edit)) }
    }

    /// An integer string.
    pub fn integer(value: i64, deadline_ms: Option<u64>) -> Draft {
        VersionBox::integer(value, deadline_ms).into()
    }

    /// A string that shares `bytes`.
    pub fn shared(bytes: Bytes, deadline_ms: Option<u64>) -> Draft {
        VersionBox::shared(bytes, deadline_ms).into()
    }

    /// A collection: the tree of `delta`, which must not be empty.
    pub fn collection<L: Collection>(delta: Delta<'_, L>, deadline_ms: Option<u64>) -> Draft {
        let edit = Box::new(delta.seal());
        Draft { version: VersionBox::collection::<L>(edit.root(), deadline_ms), edit: Some(edit) }
    }

    /// An entry's value with another deadline: for changes of the deadline alone, and for RENAME, which must
    /// remove the entry in the same transaction, for no two keys may hold one tree. O(1), but for short strings.
    pub fn value_of(entry: &Entry<'_>, deadline_ms: Option<u64>) -> Draft {
        match entry.version.large_set() {
            Some(set) => {
                VersionBox::large_sorted_set(set.moved(entry.is_planned, entry.guard), deadline_ms).into()
            }
            None => VersionBox::with_value_of(entry.version, deadline_ms).into(),
        }
    }

    /// A copy of an entry that shares no tree with it, for COPY. `birth` is [`View::birth`](super::View::birth).
    /// O(n) for collections and strings in chunks.
    pub fn copy_of(entry: &Entry<'_>, birth: u32) -> Draft {
        fn tree<L: Collection>(entry: &Entry<'_>, birth: u32) -> Option<Draft> {
            let tree = entry.version.tree::<L>()?;
            Some(Draft::collection(Delta::copy_of(tree, birth), entry.deadline_ms()))
        }
        if let Some(Str::Chunks(chunks)) = entry.version.string() {
            return Draft::chunks(ChunksDelta::copy_of(chunks, birth), entry.deadline_ms());
        }
        if let Ok(set) = entry.sorted_set() {
            let copy = sorted_set::copy(set, birth);
            return match Change::sorted_set(copy, None, entry.deadline_ms(), entry.guard) {
                Change::Put(draft) => draft,
                Change::Keep | Change::Remove => Draft::value_of(entry, entry.deadline_ms()),
            };
        }
        tree::<List>(entry, birth)
            .or_else(|| tree::<Hash>(entry, birth))
            .or_else(|| tree::<Set>(entry, birth))
            .unwrap_or_else(|| Draft::value_of(entry, entry.deadline_ms()))
    }
}

/// The effect of an update on its key.
#[derive(Debug)]
pub enum Change {
    /// Leaves the entry as it is; no version changes.
    Keep,
    /// Puts this value and deadline in place of whatever is there.
    Put(Draft),
    /// Removes the entry, if there is one.
    Remove,
}

impl Change {
    /// What an edit of a collection with this deadline comes to: an empty one is removed, an unchanged one kept.
    pub fn edited<L: Collection>(delta: Delta<'_, L>, deadline_ms: Option<u64>) -> Change {
        if !delta.is_changed() {
            Change::Keep
        } else if delta.tree().is_empty() {
            Change::Remove
        } else {
            Change::Put(Draft::collection(delta, deadline_ms))
        }
    }

    /// What `edited` comes to, which was made from the sorted set of `entry`, or from nothing.
    pub(super) fn sorted_set(
        edited: Edited,
        entry: Option<Entry<'_>>,
        deadline_ms: Option<u64>,
        guard: &Guard,
    ) -> Change {
        let (version, edit) = match edited {
            Edited::Unchanged => return Change::Keep,
            Edited::Empty => return Change::Remove,
            Edited::Small(edit) => (VersionBox::small_sorted_set(edit.root(), deadline_ms), edit),
            Edited::Large { tree, pending, index, heap } => {
                let base = entry.and_then(|entry| Some((entry.version.large_set()?, entry.is_planned)));
                let set = match (index, base) {
                    (Some(members), _) => LargeSet::new(tree.root(), members, heap, guard),
                    (None, Some((base, is_planned))) => {
                        base.next(tree.root(), pending, heap, is_planned, guard)
                    }
                    (None, None) => unreachable!("what has no large set before it brings its own index"),
                };
                (VersionBox::large_sorted_set(set, deadline_ms), tree)
            }
        };
        Change::Put(Draft { version, edit: Some(Box::new(edit)) })
    }
}

/// A live entry as one version saw it; immutable.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'g> {
    pub(super) version: &'g Version,
    pub(super) slot: &'g Slot,
    /// The guard that it was found under.
    pub(super) guard: &'g Guard,
    /// True if the version is one that this transaction planned, and nobody else has seen.
    pub(super) is_planned: bool,
    pub(super) now_s: u32,
}

impl<'g> Entry<'g> {
    /// The type of the value.
    pub fn kind(&self) -> Kind {
        self.version.kind()
    }

    /// The value, if it is a string.
    ///
    /// # Errors
    /// The value has another type.
    pub fn string(&self) -> Result<Str<'g>, KeyspaceError> {
        self.guard.touch(self.version);
        self.version.string().ok_or(KeyspaceError::WrongType)
    }

    /// The value, if it is a collection of layout `L`.
    ///
    /// # Errors
    /// The value has another type.
    pub fn tree<L: Collection>(&self) -> Result<Tree<'g, L>, KeyspaceError> {
        self.version.tree().ok_or(KeyspaceError::WrongType)
    }

    /// The value, if it is a sorted set.
    ///
    /// # Errors
    /// The value has another type.
    pub fn sorted_set(&self) -> Result<SortedSet<'g>, KeyspaceError> {
        self.version.sorted_set(self.guard).ok_or(KeyspaceError::WrongType)
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
    footprint_of(slot.name(), version)
}

/// Bytes of a live key of this name.
pub(super) fn footprint_of(name: &[u8], version: &Version) -> usize {
    INDEX_SHARE + Slot::footprint(name) + version.footprint()
}

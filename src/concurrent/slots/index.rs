//! The index: from names to slots, on papaya maps.
//!
//! # Why several
//! A map's table is one allocation of some ten bytes a name, and it doubles, or is made anew where names came and
//! went. One table for all names would be a hole of several percent in a limit on memory, made at once, and
//! milliseconds for the one insertion that meets it. So names are spread over [`MAPS`] by their hashes, and each table
//! is small beside the limit.
//!
//! # Invariants
//! - I1. The map's key *is* the slot's owner in the index: papaya may still reach a removed key during a resize,
//!   so the slot is given up only by the key's `Drop`, which queues it for one more grace period.
//! - I2. Keys are never replaced: creating is `try_insert`, then a look-up; removing is `remove_if` it is this
//!   very slot, never by name alone.
//! - I3. The maps of one index have one collector, and no other map has it: papaya's drop reclaims a whole collector.
//!   They are dropped together, with their generation, when nobody uses any of them.
//! - I4. Every access happens inside a crossbeam pin, and papaya's guard does not leave this module.

use super::slot::Slot;
use crate::concurrent::epoch::reclaim::Guard;
use crate::size_class::size_class;
use std::hash::{Hash, Hasher};
use std::ptr::NonNull;

/// A slot's place in the index; dropping it releases the slot (I1).
struct SlotKey(NonNull<Slot>);

// SAFETY: a key is a counted place in the index; slots are shared between threads.
unsafe impl Send for SlotKey {}
// SAFETY: as above.
unsafe impl Sync for SlotKey {}

impl SlotKey {
    fn slot(&self) -> &Slot {
        // SAFETY: I1: the slot is not given up before this key is dropped.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for SlotKey {
    fn drop(&mut self) {
        self.slot().chunk().left_index(self.0);
    }
}

impl Hash for SlotKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.slot().name());
    }
}

impl PartialEq for SlotKey {
    fn eq(&self, other: &SlotKey) -> bool {
        self.0 == other.0 || self.slot().name() == other.slot().name()
    }
}

impl Eq for SlotKey {}

/// Bytes of a node of the index or the registry.
pub(super) const NODE_BYTES: usize = 8;

/// Maps that names are spread over; a power of two.
const MAPS: usize = 16;

/// Bytes of the tables of an index that has held this many names.
pub(super) fn tables_bytes(names: usize) -> usize {
    MAPS.min(names) * table_bytes(names.div_ceil(MAPS))
}

/// Bytes of a papaya table that has held this many names: a byte and a pointer for each place, a power of two of them,
/// of which at most about nine in ten are taken before it doubles.
pub(super) fn table_bytes(names: usize) -> usize {
    const HEADER: usize = 16;
    const FIRST: usize = 32;
    if names == 0 { 0 } else { size_class(HEADER + 9 * (names * 10 / 9).next_power_of_two().max(FIRST)) }
}

/// Whether a slot entered the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Insertion {
    /// It did.
    Inserted,
    /// The name has another slot; this one goes back by itself.
    Found,
}

#[cfg(not(kvns_loom))]
pub(super) use map::Index;
#[cfg(kvns_loom)]
pub(super) use model::Index;

#[cfg(not(kvns_loom))]
mod map {
    use super::*;
    use crate::sync::{Bug, prefetch, seeded};
    use ahash::{AHasher, RandomState};
    use papaya::{Equivalent, HashMap};
    use seize::{Collector, Guard as _, LocalGuard};
    use smallvec::SmallVec;
    use std::cell::Cell;
    use std::hash::BuildHasher;
    use std::sync::Arc;

    /// Retired index nodes that papaya gathers before it looks whether they can go.
    const COLLECTOR_BATCH: usize = 512;

    /// Names that a thread inserts before it flushes the collector.
    const INSERTS_PER_FLUSH: u32 = 1024;

    thread_local! {
        /// Names that this thread has inserted.
        static INSERTED: Cell<u32> = const { Cell::new(0) };
    }

    /// Most names of one prefetch.
    const PREFETCHED: usize = 64;

    /// Hashes names; takes the hash of one where it is known.
    #[derive(Clone)]
    struct NameState(RandomState);

    impl BuildHasher for NameState {
        type Hasher = NameHasher;

        #[inline]
        fn build_hasher(&self) -> NameHasher {
            NameHasher { inner: self.0.build_hasher(), known: None }
        }
    }

    struct NameHasher {
        inner: AHasher,
        known: Option<u64>,
    }

    impl Hasher for NameHasher {
        #[inline]
        fn write(&mut self, name: &[u8]) {
            self.inner.write(name);
        }

        #[inline]
        fn write_u64(&mut self, hash: u64) {
            self.known = Some(hash);
        }

        #[inline]
        fn finish(&self) -> u64 {
            self.known.unwrap_or_else(|| self.inner.finish())
        }
    }

    /// A name as a hint: takes the first key whose hash looks right, without touching it.
    struct Hint(u64);

    impl Hash for Hint {
        #[inline]
        fn hash<H: Hasher>(&self, state: &mut H) {
            state.write_u64(self.0);
        }
    }

    impl Equivalent<SlotKey> for Hint {
        #[inline]
        fn equivalent(&self, _key: &SlotKey) -> bool {
            true
        }
    }

    /// The key of the map.
    struct Name<'a> {
        name: &'a [u8],
        hash: u64,
    }

    impl Hash for Name<'_> {
        #[inline]
        fn hash<H: Hasher>(&self, state: &mut H) {
            state.write_u64(self.hash);
        }
    }

    impl Equivalent<SlotKey> for Name<'_> {
        #[inline]
        fn equivalent(&self, key: &SlotKey) -> bool {
            key.slot().name() == self.name
        }
    }

    type Map = HashMap<SlotKey, (), NameState>;

    /// From names to slots.
    pub struct Index {
        maps: [Map; MAPS],
        collector: Arc<Collector>,
        state: NameState,
    }

    impl Index {
        /// An empty index.
        pub fn new() -> Index {
            let state = NameState(RandomState::new());
            let collector = Arc::new(Collector::new().batch_size(COLLECTOR_BATCH));
            let maps = std::array::from_fn(|_| {
                HashMap::builder().hasher(state.clone()).shared_collector(Arc::clone(&collector)).build()
            });
            Index { maps, collector, state }
        }

        #[inline]
        fn hash(&self, name: &[u8]) -> u64 {
            let mut hasher = self.state.build_hasher();
            hasher.write(name);
            hasher.finish()
        }

        /// The map of a hash: by bits that papaya uses neither for the place in a table (the lowest) nor to tell names
        /// apart at a glance (the highest seven).
        #[inline]
        fn map(&self, hash: u64) -> &Map {
            &self.maps[(hash >> 48) as usize % MAPS]
        }

        /// A guard of the maps' collector (I3, I4).
        #[inline]
        fn enter(&self) -> LocalGuard<'_> {
            self.collector.enter()
        }

        /// The slot of a name. Lock-free, O(1).
        #[inline]
        pub fn get<'g>(&self, name: &[u8], _guard: &'g Guard) -> Option<&'g Slot> {
            let inner = self.enter();
            let hash = self.hash(name);
            let (key, ()) = self.map(hash).get_key_value(&Name { name, hash }, &inner)?;
            // SAFETY: I1 and I4: the slot is given up a crossbeam grace period after its key was dropped, so it
            // outlives the crossbeam guard.
            Some(unsafe { key.0.as_ref() })
        }

        /// Brings the nodes, slots and versions of names into the cache: a hint, nothing more. The steps of one
        /// look-up wait for each other, so each step is taken for all names before the next one.
        pub fn prefetch<'n>(&self, names: impl Iterator<Item = &'n [u8]>, _guard: &Guard) {
            let inner = self.enter();
            let mut keys: SmallVec<[&SlotKey; PREFETCHED]> = SmallVec::new();
            for name in names.take(PREFETCHED) {
                let hash = self.hash(name);
                if let Some((key, ())) = self.map(hash).get_key_value(&Hint(hash), &inner) {
                    prefetch(key);
                    keys.push(key);
                }
            }
            keys.iter().for_each(|key| prefetch(key.0.as_ptr()));
            keys.iter().for_each(|key| key.slot().cell().prefetch());
        }

        /// Inserts a slot under its name, unless the name has one.
        pub fn insert(&self, slot: &Slot, _guard: &Guard) -> Insertion {
            let inner = self.enter();
            let map = self.map(self.hash(slot.name()));
            if map.try_insert(SlotKey(NonNull::from(slot)), (), &inner).is_err() {
                return Insertion::Found;
            }
            // A table that the map grew out of is one retired object: it would wait for a whole batch of them.
            let inserted = INSERTED.with(|inserted| inserted.replace(inserted.get().wrapping_add(1)));
            if inserted.is_multiple_of(INSERTS_PER_FLUSH) {
                inner.flush();
            }
            Insertion::Inserted
        }

        /// Makes room for so many more names at once, which costs less than to grow by and by: each growth reads every
        /// name again. O(`names`).
        pub fn reserve(&self, names: usize, _guard: &Guard) {
            let inner = self.enter();
            self.maps.iter().for_each(|map| map.reserve(names / MAPS, &inner));
        }

        /// Removes this very slot; no other of the same name.
        pub fn remove(&self, slot: &Slot, _guard: &Guard) {
            let is_this = |key: &SlotKey, _: &()| key.0 == NonNull::from(slot) || seeded(Bug::RemoveByName);
            let name = slot.name();
            let hash = self.hash(name);
            let _ = self.map(hash).remove_if(&Name { name, hash }, is_this, &self.enter());
        }

        /// Number of names.
        pub fn len(&self) -> usize {
            self.maps.iter().map(HashMap::len).sum()
        }

        /// Hands over what this thread's removals left in the collector.
        pub fn flush(&self) {
            self.enter().flush();
        }

        /// Ends resizes that insertions have not ended yet, for what was removed during one waits for its end. O(n) if
        /// there are any: not to be called with a guard held, but in checks.
        pub fn end_resize(&self) {
            // A table that goes hands what was removed meanwhile to the collector in its turn.
            for _ in 0..3 {
                for map in &self.maps {
                    // An iterator ends the resize before it begins.
                    let _ = map.iter(&self.enter()).next();
                }
                self.flush();
            }
        }
    }
}

#[cfg(kvns_loom)]
mod model {
    //! A small map that loom sees, for papaya it does not.

    use super::*;
    use crate::sync::{Bug, seeded};
    use loom::sync::Mutex;

    /// From names to slots.
    pub struct Index {
        keys: Mutex<Vec<SlotKey>>,
    }

    impl Index {
        /// An empty index.
        pub fn new() -> Index {
            Index { keys: Mutex::new(Vec::new()) }
        }

        /// A hint that models do not need.
        pub fn prefetch<'n>(&self, _names: impl Iterator<Item = &'n [u8]>, _guard: &Guard) {}

        /// The slot of a name.
        pub fn get<'g>(&self, name: &[u8], _guard: &'g Guard) -> Option<&'g Slot> {
            let keys = self.keys.lock().expect("models do not panic here");
            // SAFETY: as in the real form.
            keys.iter().find(|key| key.slot().name() == name).map(|key| unsafe { key.0.as_ref() })
        }

        /// Inserts a slot under its name, unless the name has one.
        pub fn insert(&self, slot: &Slot, _guard: &Guard) -> Insertion {
            let new = SlotKey(NonNull::from(slot));
            let mut keys = self.keys.lock().expect("models do not panic here");
            if keys.contains(&new) {
                return Insertion::Found;
            }
            keys.push(new);
            Insertion::Inserted
        }

        /// Nothing to make room for.
        pub fn reserve(&self, _names: usize, _guard: &Guard) {}

        /// Removes this very slot; no other of the same name.
        pub fn remove(&self, slot: &Slot, _guard: &Guard) {
            let mut keys = self.keys.lock().expect("models do not panic here");
            let same = |key: &SlotKey| {
                key.0 == NonNull::from(slot) || seeded(Bug::RemoveByName) && key.slot().name() == slot.name()
            };
            let removed = keys.iter().position(same).map(|at| keys.swap_remove(at));
            drop(keys);
            drop(removed);
        }

        /// Number of names.
        pub fn len(&self) -> usize {
            self.keys.lock().expect("models do not panic here").len()
        }

        /// Nothing to hand over.
        pub fn flush(&self) {}

        /// Nothing to end.
        pub fn end_resize(&self) {}
    }
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Index")
    }
}

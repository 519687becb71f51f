//! The registry: from names to namespaces, on a papaya map.
//!
//! # Invariants
//! - R1. A namespace stays in the registry until it has ended. Removing it drops its key, whose `Drop` queues the
//!   namespace; the housekeeper drops it a grace period later.
//! - R2. A registry is dropped when nobody holds a guard from when its generation was current. What leaves it then is
//!   dropped at once.

use super::index::{NODE_BYTES, table_bytes};
use super::namespace::Namespace;
use super::releases::{Left, Releases};
use crate::concurrent::epoch::reclaim::Guard;
use papaya::{Equivalent, HashMap};
use seize::Collector;
use std::hash::{Hash, Hasher};
use std::ptr::NonNull;
use std::sync::Arc;

/// Namespaces that have left the registry which its collector gathers before it looks whether they can go.
const BATCH: usize = if cfg!(kvns_loom) { 1 } else { 32 };

/// A namespace's place in the registry; dropping it lets the namespace go (R1).
struct Key {
    namespace: NonNull<Namespace>,
    left: NonNull<Releases<Namespace>>,
}

// SAFETY: namespaces and the queue are shared between threads.
unsafe impl Send for Key {}
// SAFETY: as above.
unsafe impl Sync for Key {}

impl Key {
    fn namespace(&self) -> &Namespace {
        // SAFETY: R1: a namespace is not given up before its key is dropped.
        unsafe { self.namespace.as_ref() }
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        // SAFETY: the queue outlives the map (the order of the registry's fields).
        if !unsafe { self.left.as_ref() }.push(self.namespace) {
            // SAFETY: R2: nobody else has the namespace any more.
            drop(unsafe { Box::from_raw(self.namespace.as_ptr()) });
        }
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.namespace().name());
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        self.namespace().name() == other.namespace().name()
    }
}

impl Eq for Key {}

struct Name<'a>(&'a [u8]);

impl Hash for Name<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.0);
    }
}

impl Equivalent<Key> for Name<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        key.namespace().name() == self.0
    }
}

/// The namespaces that have slots, but for the default one.
pub(super) struct Registry {
    map: HashMap<Key, (), ahash::RandomState>,
    /// Namespaces that have left the map.
    left: Arc<Releases<Namespace>>,
}

impl Registry {
    pub(super) fn new() -> Registry {
        let collector = Collector::new().batch_size(BATCH);
        let map = HashMap::builder().hasher(ahash::RandomState::new()).collector(collector).build();
        Registry { map, left: Arc::default() }
    }

    /// The namespace with this name. Lock-free, O(1).
    pub(super) fn get<'g>(&self, name: &[u8], _guard: &'g Guard) -> Option<&'g Namespace> {
        let inner = self.map.guard();
        let (key, ()) = self.map.get_key_value(&Name(name), &inner)?;
        // SAFETY: a namespace is dropped a crossbeam grace period after its key (R1).
        Some(unsafe { key.namespace.as_ref() })
    }

    /// Enters a namespace in which its creator is counted, so that it cannot end meanwhile; `None` if there is one of
    /// its name.
    pub(super) fn insert(&self, made: Box<Namespace>) -> Option<&Namespace> {
        let namespace = NonNull::from(Box::leak(made));
        let key = Key { namespace, left: NonNull::from(&*self.left) };
        self.map.try_insert(key, (), &self.map.guard()).ok()?;
        // SAFETY: it cannot end while its creator is counted in.
        Some(unsafe { namespace.as_ref() })
    }

    /// Removes this very namespace, which has ended; no other of the same name.
    pub(super) fn remove(&self, ended: &Namespace) {
        let is_this = |key: &Key, _: &()| key.namespace == NonNull::from(ended);
        let _ = self.map.remove_if(&Name(ended.name()), is_this, &self.map.guard());
    }

    /// Calls `visit` with each namespace until it answers false. O(namespaces).
    pub(super) fn each(&self, mut visit: impl FnMut(&Namespace) -> bool) {
        let inner = self.map.guard();
        let _ = self.map.iter(&inner).all(|(key, ())| visit(key.namespace()));
    }

    /// Number of namespaces.
    pub(super) fn len(&self) -> usize {
        self.map.len()
    }

    /// Bytes that the allocator holds for the namespaces and the map.
    pub(super) fn footprint(&self) -> i64 {
        let namespaces = self.map.len();
        (namespaces * (Namespace::FOOTPRINT + NODE_BYTES) + table_bytes(namespaces)) as i64
    }

    /// Takes the namespaces that have left; they may be dropped when a grace period has passed.
    pub(super) fn take_left(&self) -> Vec<Left<Namespace>> {
        self.left.take()
    }

    /// True if nothing waits for the housekeeper.
    pub(super) fn is_settled(&self) -> bool {
        self.left.is_empty()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.left.close();
        for Left(namespace) in self.left.take() {
            // SAFETY: R2; it has left the map, and only the queue had it.
            drop(unsafe { Box::from_raw(namespace.as_ptr()) });
        }
    }
}

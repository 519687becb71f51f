//! The order of a large sorted set: a concurrent skiplist that all versions of the set share.
//!
//! # Purpose
//! A version of a large sorted set (`value/sorted_set`) is immutable, but its index is shared. So the index has
//! *stamped* nodes: (score, member, created) -> removed. A version names the number of the last operation that it
//! builds on, its *base*, and carries the operation that made it, its *pending* operation, with the number base + 1.
//!
//! ```text
//! write:  z = the cell's version; apply z's pending operation as number z.base + 1; build z' with base z.base + 1
//!         and a pending operation of its own; compare-and-swap z -> z'
//! apply:  get or insert a node (score, member, created = number) for each place added; for each place dropped, CAS
//!         removed: never -> number on its node. Whoever wins that defers the unlink by a grace period.
//! read:   the nodes with created <= z.base < removed, merged with z's pending operation
//! ```
//! The writer that publishes a version also applies its operation right after that and says so: then the next writer finds
//! it done, and has not lost the time between its look at the cell and its compare-and-swap. Both do the same
//! `apply`, and neither waits for the other.
//!
//! So an operation is decided by the compare-and-swap of the cell alone, readers change nothing, and an operation
//! that is half applied, or applied by several threads at once, looks like one that is not applied.
//!
//! # Invariants
//! - I1. When a version enters a cell, all operations up to its base are applied: the version it was built from was
//!   in a cell, and its writer applied that version's pending operation first. So they happened before
//!   for whoever finds the version.
//! - I2. Only pending operations of versions that were in a cell are applied. A transaction that changes a set that
//!   it planned itself takes the planned version's operation into the new one; a copy of a published version
//!   (RENAME, EXPIRE) is made after its operation was applied, with the next base and no operation, or keeps both.
//!   So of each number there is one operation.
//! - I3. A version's successor is its only one: the cell, or a transaction that takes it out of one cell into
//!   another, sees to that; no two keys share an index. So numbers grow along the versions of an index.
//! - I4. Keys are never used again: of each place at most one node was created by an operation, and a place is added
//!   only where it is not. Of the nodes of one place at most one is present at any base.
//! - I5. A node is unlinked after a grace period that begins when it was marked as removed by operation m. Whoever may
//!   still need it is pinned since before that: readers of a base below m found their version before operation m
//!   was published, but for readers of the version whose pending operation is m, which hide the node by that; and
//!   so are those who apply the operation that created it, so nobody inserts it again. Whoever applies m and does
//!   not find the node knows that it was removed.
//! - I6. The closure that unlinks a node, and every version, own a reference to the index. The last one to drop its
//!   reference frees the nodes, many of them in the background.
//!
//! # Orderings
//! `removed` is read and changed with Relaxed: what a reader must see happened before it found its version (I1); for
//! a later operation's mark it does not matter whether it is seen. `is_applied` is set with Release and read with
//! Acquire: whoever finds it set builds on what was applied (I1).
//!
//! # Progress
//! Applying and reading are lock-free. Applying k places is O(k log n), reading O(log n) to the first.

use crate::concurrent::epoch::reclaim::Guard;
use crate::size_class::size_class;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Bug, seeded};
use crate::value::sorted_set::{Cut, Member, Order, Pending, Placed, Scored, SortedSet};
use crate::value::tree::Root;
use std::cmp;
use std::sync::{Arc, LazyLock};

/// What `removed` says of a node that was not removed.
const NEVER: u64 = u64::MAX;

/// Nodes that are unlinked together, at most.
const AT_ONCE: usize = 16;

/// Bytes of a node on average: half of them have a tower of one pointer, a quarter of two, and so on.
const NODE: usize = 75;

/// A node's key.
#[derive(Debug)]
struct Key {
    place: Placed,
    /// The number of the operation that added it.
    created: u64,
}

impl Ord for Key {
    #[inline]
    fn cmp(&self, other: &Key) -> cmp::Ordering {
        self.place.compare(&other.place).then(self.created.cmp(&other.created))
    }
}

impl PartialOrd for Key {
    #[inline]
    fn partial_cmp(&self, other: &Key) -> Option<cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Key {}

#[cfg(not(kvns_loom))]
use list::{List, Node};
#[cfg(kvns_loom)]
use model::{List, Node};

/// The members of a large sorted set in their order, as of all its versions.
#[derive(Debug)]
pub struct OrderIndex {
    list: List,
}

impl OrderIndex {
    /// An index of these members, in any order; for a version with base 0. O(n log n).
    pub fn new(members: Vec<Placed>, guard: &Guard) -> Arc<OrderIndex> {
        let list = List::new();
        for place in members {
            list.insert(Key { place, created: 0 }, guard);
        }
        Arc::new(OrderIndex { list })
    }

    /// Applies a published operation; anyone may, any number of times, while pinned since before the version with
    /// the operation was found (I5).
    pub fn apply(self: &Arc<OrderIndex>, pending: &Pending, number: u64, guard: &Guard) {
        for place in pending.added() {
            self.list.insert(Key { place: place.clone(), created: number }, guard);
        }
        for places in pending.dropped().chunks(AT_ONCE) {
            let found = places.iter().filter_map(|place| self.find(place, number, guard));
            let marked: Vec<Node<'_>> = found.filter(|node| mark(node, number)).collect();
            if !marked.is_empty() {
                self.list.defer_unlink(self, marked, guard);
            }
        }
    }

    /// The node of a place as the operation before `number` left it, unless it was unlinked since.
    fn find<'g>(&'g self, place: &Placed, number: u64, guard: &'g Guard) -> Option<Node<'g>> {
        let mut found = self.list.seek(&Key { place: place.clone(), created: 0 }, guard);
        while let Some(node) = found.filter(|node| node.key().place.compare(place).is_eq()) {
            // ORDERING: see the module's head.
            if node.key().created < number && node.removed().load(Ordering::Relaxed) >= number {
                return Some(node);
            }
            found = node.next();
        }
        None
    }
}

/// Marks a node as removed by an operation. True if this call did it.
fn mark(node: &Node<'_>, number: u64) -> bool {
    // ORDERING: see the module's head.
    node.removed().compare_exchange(NEVER, number, Ordering::Relaxed, Ordering::Relaxed).is_ok()
}

/// An index as one version sees it, without that version's pending operation.
#[derive(Clone, Copy, Debug)]
pub struct OrderAt<'g> {
    index: &'g OrderIndex,
    base: u64,
    guard: &'g Guard,
}

impl<'g> Order<'g> for OrderAt<'g> {
    type Walk = OrderWalk<'g>;

    fn walk_from(self, cut: Cut<'_>) -> OrderWalk<'g> {
        let created = if cut.is_behind() { u64::MAX } else { 0 };
        let next = self.index.list.seek(&Key { place: Placed::at_cut(cut), created }, self.guard);
        OrderWalk { next, base: self.base }
    }
}

/// A walk over the members that an index has at one base, in their order.
#[derive(Clone, Debug)]
pub struct OrderWalk<'g> {
    next: Option<Node<'g>>,
    base: u64,
}

impl<'g> Iterator for OrderWalk<'g> {
    type Item = Scored<'g>;

    #[inline]
    fn next(&mut self) -> Option<Scored<'g>> {
        loop {
            let node = self.next.take()?;
            self.next = node.next();
            // ORDERING: see the module's head.
            let removed = node.removed().load(Ordering::Relaxed);
            let base = if seeded(Bug::IndexReadAsItIs) { NEVER - 1 } else { self.base };
            if node.key().created <= base && base < removed {
                return Some(node.key().place.scored());
            }
        }
    }
}

/// The operation of a version.
#[derive(Debug)]
struct Operation {
    pending: Pending,
    /// True once all of it was applied.
    is_applied: AtomicBool,
}

/// The content of a version of a large sorted set.
#[derive(Clone, Debug)]
pub struct LargeSet {
    /// The root of its tree.
    root: Root,
    /// The number of the last operation that the index has.
    base: u64,
    /// Bytes that nodes of the index hold elsewhere for its members.
    heap: u64,
    index: Arc<OrderIndex>,
    /// The operation with the number base + 1, if there is one.
    pending: Option<Arc<Operation>>,
}

static NOTHING: LazyLock<Pending> = LazyLock::new(Pending::default);

impl LargeSet {
    /// A set with an index of its own, which has all members of the tree.
    pub fn new(root: Root, members: Vec<Placed>, heap: i64, guard: &Guard) -> LargeSet {
        let index = OrderIndex::new(members, guard);
        LargeSet { root, base: 0, heap: heap.max(0) as u64, index, pending: None }
    }

    /// The set that follows this one by the operation `pending`, which changed `heap` by so much. `is_planned` says
    /// that this one was never in a cell; then its own operation is in `pending` already (I2).
    pub fn next(&self, root: Root, pending: Pending, heap: i64, is_planned: bool, guard: &Guard) -> LargeSet {
        let is_own = is_planned && !seeded(Bug::PlannedApplied);
        let LargeSet { base, index, .. } = if is_own { self.clone() } else { self.applied(guard) };
        let pending = (!pending.is_empty())
            .then(|| Arc::new(Operation { pending, is_applied: AtomicBool::new(false) }));
        LargeSet { root, base, heap: self.heap.saturating_add_signed(heap), index, pending }
    }

    /// The same set as it may be planned for this or another cell: if this one was in a cell, its operation is
    /// applied (I1, I2).
    pub fn moved(&self, is_planned: bool, guard: &Guard) -> LargeSet {
        let is_kept = is_planned || seeded(Bug::MovedPendingMerged);
        if is_kept { self.clone() } else { self.applied(guard) }
    }

    /// The same set after its operation was applied.
    fn applied(&self, guard: &Guard) -> LargeSet {
        self.apply(guard);
        LargeSet { base: self.base + 1, pending: None, ..self.clone() }
    }

    /// Applies the operation of this version, which is or was in a cell, unless it is known to be applied.
    /// O(k log n) for k places.
    pub fn apply(&self, guard: &Guard) {
        let Some(operation) = &self.pending else { return };
        // ORDERING: Acquire pairs with the Release below (I1).
        if operation.is_applied.load(Ordering::Acquire) || seeded(Bug::PendingLeftUnapplied) {
            return;
        }
        self.index.apply(&operation.pending, self.base + 1, guard);
        // ORDERING: Release, see above.
        operation.is_applied.store(true, Ordering::Release);
    }

    /// The root of its tree.
    pub fn root(&self) -> Root {
        self.root
    }

    /// The set, to be read.
    ///
    /// # Safety
    /// For `'g` the nodes of the root stay allocated, and `guard` was taken before this version was found.
    pub unsafe fn read<'g>(&'g self, guard: &'g Guard) -> SortedSet<'g, OrderAt<'g>> {
        let order = OrderAt { index: &self.index, base: self.base, guard };
        let pending = self.pending.as_ref().map_or(&*NOTHING, |operation| &operation.pending);
        // SAFETY: the caller's promise; the root was built by an edit of a large set.
        SortedSet::large(unsafe { self.root.tree() }, pending, order)
    }

    /// Recounts what nodes of the index hold elsewhere for the set's members, which are given.
    ///
    /// # Errors
    /// What disagrees, in words.
    pub fn check_heap<'m>(&self, members: impl Iterator<Item = &'m [u8]>) -> Result<(), String> {
        let counted: u64 = members.map(|member| Member::heap_size(member.len()) as u64).sum();
        if counted == self.heap {
            return Ok(());
        }
        Err(format!("bytes of long members: {} accounted, {counted} counted", self.heap))
    }

    /// Bytes the allocator holds for the index and the pending operation of a set with `members` members. O(1): the
    /// heights of the index's nodes are taken as they are on average.
    pub fn index_footprint(&self, members: u64) -> usize {
        /// An operation behind the two counts of its `Arc`.
        const OPERATION: usize = 2 * size_of::<usize>() + size_of::<Operation>();
        let footprint = |operation: &Arc<Operation>| size_class(OPERATION) + operation.pending.heap_size();
        let pending = self.pending.as_ref().map_or(0, footprint);
        (members * NODE as u64 + self.heap) as usize + size_of::<OrderIndex>() + pending
    }
}

#[cfg(not(kvns_loom))]
mod list {
    use super::{Guard, Key, NEVER, OrderIndex};
    use crate::concurrent::epoch::freer::free_later;
    use crate::concurrent::epoch::reclaim::pin;
    use crate::sync::atomic::AtomicU64;
    use crossbeam_skiplist::base::{Entry, IntoIter, RefEntry, SkipList};
    use std::mem::ManuallyDrop;
    use std::ops::Bound;
    use std::sync::Arc;

    /// Nodes that are freed in one go where the last reference is dropped.
    const FREED: usize = 1000;

    type Nodes = SkipList<Key, AtomicU64>;

    /// crossbeam's skiplist, used with explicit guards and unique keys only.
    pub struct List {
        /// Taken by `drop` only.
        nodes: ManuallyDrop<Nodes>,
    }

    /// A node of the list.
    #[derive(Clone)]
    pub struct Node<'g>(Entry<'g, 'g, Key, AtomicU64>);

    impl<'g> Node<'g> {
        #[inline]
        pub fn key(&self) -> &'g Key {
            self.0.key()
        }

        #[inline]
        pub fn removed(&self) -> &'g AtomicU64 {
            self.0.value()
        }

        #[inline]
        pub fn next(&self) -> Option<Node<'g>> {
            self.0.next().map(Node)
        }
    }

    impl List {
        pub fn new() -> List {
            List { nodes: ManuallyDrop::new(SkipList::new(crossbeam_epoch::default_collector().clone())) }
        }

        /// Inserts a node, unless there is one with this key.
        pub fn insert(&self, key: Key, guard: &Guard) {
            let entry = self.nodes.get_or_insert_with(key, || AtomicU64::new(NEVER), guard.epoch());
            entry.release(guard.epoch());
        }

        /// The first node whose key is not below `key`.
        pub fn seek<'g>(&'g self, key: &Key, guard: &'g Guard) -> Option<Node<'g>> {
            self.nodes.lower_bound(Bound::Included(key), guard.epoch()).map(Node)
        }

        /// Unlinks nodes of `index`, which has this list, after a grace period.
        pub fn defer_unlink(&self, index: &Arc<OrderIndex>, nodes: Vec<Node<'_>>, guard: &Guard) {
            let entries: Vec<RefEntry<'_, Key, AtomicU64>> =
                nodes.into_iter().filter_map(|node| node.0.pin()).collect();
            // SAFETY: only the lifetime changes. I6: the closure owns a reference to the index, which has the list,
            // and gives the entries back before that reference.
            let entries: Vec<RefEntry<'static, Key, AtomicU64>> = unsafe { std::mem::transmute(entries) };
            let index = Arc::clone(index);
            // SAFETY: I5; any thread may unlink, and only the thread that marked the nodes comes here.
            unsafe {
                guard.after_grace(move || {
                    let guard = pin();
                    for entry in entries {
                        entry.remove(guard.epoch());
                        entry.release(guard.epoch());
                    }
                    drop(index);
                });
            }
        }
    }

    impl Drop for List {
        fn drop(&mut self) {
            // SAFETY: `nodes` is not used after this.
            let nodes = unsafe { ManuallyDrop::take(&mut self.nodes) };
            if nodes.len() <= FREED {
                drop(nodes);
                return;
            }
            let mut rest = Rest(nodes.into_iter());
            free_later(move |nodes| rest.free_some(nodes));
        }
    }

    /// The nodes of a dropped list.
    struct Rest(IntoIter<Key, AtomicU64>);

    // SAFETY: the nodes belong to the iterator alone, and what they hold may move between threads.
    unsafe impl Send for Rest {}

    impl Rest {
        /// Frees up to so many nodes. True when none are left.
        fn free_some(&mut self, nodes: usize) -> bool {
            self.0.by_ref().take(nodes).count() < nodes
        }
    }
}

#[cfg(kvns_loom)]
mod model {
    //! A small list that loom sees, for the skiplist it does not. Nodes are kept until the list is dropped.

    use super::{Guard, Key, NEVER, OrderIndex};
    use crate::sync::allocations;
    use crate::sync::atomic::AtomicU64;
    use loom::sync::Mutex;
    use std::ptr::NonNull;
    use std::sync::Arc;

    struct Inner {
        key: Key,
        removed: AtomicU64,
    }

    type Linked = Vec<NonNull<Inner>>;

    /// Nodes in the order of their keys.
    pub struct List {
        linked: Mutex<Linked>,
        unlinked: Mutex<Linked>,
    }

    /// A node of the list.
    #[derive(Clone)]
    pub struct Node<'g> {
        list: &'g List,
        inner: &'g Inner,
        guard: &'g Guard,
    }

    impl<'g> Node<'g> {
        pub fn key(&self) -> &'g Key {
            self.guard.touch(self.inner);
            &self.inner.key
        }

        pub fn removed(&self) -> &'g AtomicU64 {
            self.guard.touch(self.inner);
            &self.inner.removed
        }

        pub fn next(&self) -> Option<Node<'g>> {
            self.list.first(self.guard, |key| *key > self.inner.key)
        }
    }

    impl List {
        pub fn new() -> List {
            List { linked: Mutex::new(Vec::new()), unlinked: Mutex::new(Vec::new()) }
        }

        fn first<'g>(&'g self, guard: &'g Guard, is_wanted: impl Fn(&Key) -> bool) -> Option<Node<'g>> {
            let linked = self.linked.lock().expect("models do not panic here");
            // SAFETY: nodes are freed with the list.
            let found =
                linked.iter().map(|node| unsafe { node.as_ref() }).find(|inner| is_wanted(&inner.key));
            found.map(|inner| Node { list: self, inner, guard })
        }

        pub fn insert(&self, key: Key, _guard: &Guard) {
            let mut linked = self.linked.lock().expect("models do not panic here");
            // SAFETY: as above.
            let at = linked.partition_point(|node| unsafe { node.as_ref() }.key < key);
            // SAFETY: as above.
            if linked.get(at).is_none_or(|node| unsafe { node.as_ref() }.key != key) {
                let inner = NonNull::from(Box::leak(Box::new(Inner { key, removed: AtomicU64::new(NEVER) })));
                allocations::allocate(inner.as_ptr());
                linked.insert(at, inner);
            }
        }

        pub fn seek<'g>(&'g self, key: &Key, guard: &'g Guard) -> Option<Node<'g>> {
            self.first(guard, |other| other >= key)
        }

        fn unlink(&self, inner: NonNull<Inner>) {
            self.linked.lock().expect("models do not panic here").retain(|node| *node != inner);
            allocations::retire(inner.as_ptr());
            self.unlinked.lock().expect("models do not panic here").push(inner);
        }

        pub fn defer_unlink(&self, index: &Arc<OrderIndex>, nodes: Vec<Node<'_>>, guard: &Guard) {
            let inners: Vec<NonNull<Inner>> = nodes.iter().map(|node| NonNull::from(node.inner)).collect();
            let index = Arc::clone(index);
            // SAFETY: I5.
            unsafe {
                guard.after_grace(move || inners.into_iter().for_each(|inner| index.list.unlink(inner)))
            };
        }
    }

    impl Drop for List {
        fn drop(&mut self) {
            for nodes in [&self.linked, &self.unlinked] {
                for node in nodes.lock().expect("models do not panic here").drain(..) {
                    // SAFETY: nobody else has the list any more.
                    let inner = unsafe { Box::from_raw(node.as_ptr()) };
                    allocations::free(node.as_ptr(), move || drop(inner));
                }
            }
        }
    }
}

impl std::fmt::Debug for List {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("List")
    }
}

impl std::fmt::Debug for Node<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.key().fmt(f)
    }
}

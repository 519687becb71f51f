//! The keyspace as handlers see it.

use super::after_commit::{Changed, Made, absent_after, growth};
use super::entry::{Change, Draft, Entry, SortedSet};
use super::transaction::{Target, Transaction};
use super::{Batch, Key, Keyspace, KeyspaceError};
use crate::concurrent::epoch::reclaim::Guard;
use crate::concurrent::slots::generation::Generation;
use crate::concurrent::slots::slot::Slot;
use crate::concurrent::versions::version::{Collection, Version};
use crate::config::Policy;
use crate::sync::{Bug, seeded};
use crate::value::sorted_set::{self, Placed};
use crate::value::tree::{Delta, Hash, Set, Tree};
use crate::wait::{Peer, Wait};

/// What one command may do to the keyspace: directly, or inside a transaction.
#[derive(Debug)]
pub struct View<'g> {
    pub(super) batch: &'g Batch<'g>,
    /// Loaded once: all that the command does is done in it, so that nothing of it lands on both sides of a flush.
    pub(super) generation: &'g Generation,
    pub(super) target: Target<'g>,
}

impl<'g> View<'g> {
    pub(super) fn new(batch: &'g Batch<'g>) -> View<'g> {
        View { batch, generation: batch.keyspace.current.load(&batch.guard), target: Target::Keyspace }
    }

    pub(super) fn keyspace(&self) -> &'g Keyspace {
        self.batch.keyspace
    }

    pub(super) fn guard(&self) -> &'g Guard {
        &self.batch.guard
    }

    /// The generation of this attempt.
    pub(super) fn generation(&self) -> &'g Generation {
        self.transaction().map_or(self.generation, |transaction| transaction.generation)
    }

    /// The generation that an attempt is accounted to: its own, unless a model seeds the mistake.
    pub(super) fn accounted(&self, generation: &'g Generation) -> &'g Generation {
        if seeded(Bug::GenerationLoadedTwice) { self.present_generation() } else { generation }
    }

    /// The generation that is present now, which may be another one than the attempt's; for seeded mistakes.
    fn present_generation(&self) -> &'g Generation {
        self.keyspace().current.load(self.guard())
    }

    /// The transaction, if updates are to be buffered. After a flush they go directly to the fresh generation,
    /// which nobody else can see yet.
    pub(super) fn buffering(&mut self) -> Option<&mut Transaction<'g>> {
        match &mut self.target {
            Target::Transaction(transaction) if !transaction.has_flushed() => Some(transaction),
            Target::Transaction(_) | Target::Keyspace => None,
        }
    }

    /// The transaction that the view is in, if it is in one.
    pub(super) fn transaction(&self) -> Option<&Transaction<'g>> {
        match &self.target {
            Target::Transaction(transaction) => Some(transaction),
            Target::Keyspace => None,
        }
    }

    /// The transaction, for those who are called inside one only.
    pub(super) fn buffer(&mut self) -> &mut Transaction<'g> {
        match &mut self.target {
            Target::Transaction(transaction) => transaction,
            Target::Keyspace => unreachable!("updates are buffered in transactions only"),
        }
    }

    /// The client that the command is of, if its work may end since it left: not what belongs to a transaction.
    pub fn peer(&self) -> Option<&'g dyn Peer> {
        self.batch.peer.filter(|_| self.transaction().is_none())
    }

    /// Unix time in milliseconds; one value for the whole command.
    pub fn now_ms(&self) -> u64 {
        self.batch.now_ms
    }

    /// The same for durations ([`Keyspace::steady_ms`]).
    pub fn steady_ms(&self) -> u64 {
        self.keyspace().steady_ms(self.batch.now_ms)
    }

    /// The seconds of [`View::steady_ms`], for accesses of keys.
    pub(super) fn now_s(&self) -> u32 {
        (self.steady_ms() / 1000) as u32
    }

    pub(super) fn entry(&self, slot: &'g Slot, version: &'g Version) -> Entry<'g> {
        Entry { version, slot, guard: self.guard(), is_planned: false, now_s: self.now_s() }
    }

    /// Gives way to a transaction that runs alone. Every attempt that may write comes here before it reads.
    pub(super) fn admit(&self) -> Result<(), KeyspaceError> {
        if self.keyspace().exclusive.is_taken() && !self.batch.is_exclusive {
            return Err(KeyspaceError::Wait(Wait::Exclusive));
        }
        Ok(())
    }

    /// The slot's present version. An expired one is replaced first, unless nothing is removed by itself: then it stays,
    /// and whoever gets it takes it for absent. Not to be asked of a dead slot's value.
    pub(super) fn present(
        &self,
        generation: &'g Generation,
        slot: &'g Slot,
    ) -> Result<&'g Version, KeyspaceError> {
        let mut version = slot.cell().read(self.guard());
        while version.is_expired(self.batch.now_ms) && !self.keyspace().keeps_all() {
            self.admit()?;
            let settled = slot.cell().settle(self.guard());
            if settled.is_expired(self.batch.now_ms) {
                self.keyspace().expire(generation, slot, settled, self.guard());
            }
            version = slot.cell().read(self.guard());
        }
        Ok(version)
    }

    /// The live version in a slot.
    #[inline]
    pub(super) fn found(
        &self,
        generation: &'g Generation,
        slot: &'g Slot,
    ) -> Result<Option<&'g Version>, KeyspaceError> {
        let mut version = slot.cell().read(self.guard());
        if version.is_expired(self.batch.now_ms) {
            version = self.present(generation, slot)?;
            if version.is_expired(self.batch.now_ms) {
                return Ok(None);
            }
        }
        Ok(version.is_live().then_some(version))
    }

    fn look_up(&mut self, key: Key<'_>) -> Result<Option<Entry<'g>>, KeyspaceError> {
        if self.buffering().is_some() {
            return self.look_up_buffered(key);
        }
        let generation = self.generation();
        let Some(slot) = generation.find(key.name(), self.guard()) else { return Ok(None) };
        Ok(self.found(generation, slot)?.map(|version| self.entry(slot, version)))
    }

    /// Reads an entry for its value: counts a hit or a miss, and an access unless the client wants none counted.
    ///
    /// # Errors
    /// [`KeyspaceError::Wait`] if the command has to wait first.
    #[inline]
    pub fn read(&mut self, key: Key<'_>) -> Result<Option<Entry<'g>>, KeyspaceError> {
        self.read_as(key, self.batch.touches)
    }

    /// Reads an entry to count an access, whatever the client wants.
    ///
    /// # Errors
    /// [`KeyspaceError::Wait`] if the command has to wait first.
    pub fn touch(&mut self, key: Key<'_>) -> Result<Option<Entry<'g>>, KeyspaceError> {
        self.read_as(key, true)
    }

    #[inline]
    fn read_as(&mut self, key: Key<'_>, touches: bool) -> Result<Option<Entry<'g>>, KeyspaceError> {
        let found = self.look_up(key)?;
        match &found {
            Some(entry) => {
                if touches {
                    entry.slot.touch(self.now_s());
                }
                let namespace = self.generation().namespace_of(entry.slot, self.guard());
                self.batch.tally.hit(self.keyspace(), namespace);
                if self.keyspace().rules.of(namespace).policy == Policy::Ear && !entry.is_planned {
                    self.goes_once_read(entry);
                }
            }
            None => self.miss(key),
        }
        Ok(found)
    }

    /// Queues an entry of a namespace whose keys go once they were read.
    fn goes_once_read(&self, entry: &Entry<'_>) {
        if entry.version.mark_read() {
            self.accounted(self.generation()).was_read(entry.slot, entry.version.seq());
        }
    }

    #[cold]
    fn miss(&self, key: Key<'_>) {
        let namespace = self.generation().namespace(key.namespace(), self.guard());
        self.batch.tally.miss(self.keyspace(), namespace);
    }

    /// Reads an entry for what is said about it (TYPE, TTL, OBJECT): touches nothing.
    ///
    /// # Errors
    /// [`KeyspaceError::Wait`] if the command has to wait first.
    pub fn peek(&mut self, key: Key<'_>) -> Result<Option<Entry<'g>>, KeyspaceError> {
        self.look_up(key)
    }

    /// Changes one entry atomically. `change` is pure and may run more than once; it sees the present entry, or
    /// `None`. Returns what its last run returned. Lock-free, O(1) but for what `change` does.
    ///
    /// # Errors
    /// Those of `change`; [`KeyspaceError::Wait`] if the command has to wait first; [`KeyspaceError::NoRoom`]
    /// beyond the memory limit.
    pub fn update<R, E: From<KeyspaceError>>(
        &mut self,
        key: Key<'_>,
        mut change: impl FnMut(Option<Entry<'g>>) -> Result<(Change, R), E>,
    ) -> Result<R, E> {
        if self.buffering().is_some() {
            return self.update_buffered(key, change);
        }
        self.admit()?;
        let (generation, guard) = (self.generation(), self.guard());
        // Kept until the update ends, however it does.
        let mut _made = None;
        let mut slot = generation.find(key.name(), guard);
        loop {
            let Some(home) = slot else {
                let (wanted, result) = change(None)?;
                let Change::Put(draft) = &wanted else { return Ok(result) };
                self.check_room_for_new(key, &draft.version)?;
                let (home, is_new) = generation.find_or_create(key.name(), key.namespace(), guard);
                if is_new {
                    _made = Some(Made { generation, slot: home, guard });
                    let base = home.cell().settle(guard);
                    // Once it is in the index another may write first; then `change` has to see that.
                    let is_missing = !base.is_live() || seeded(Bug::CreatorOverwrites);
                    if is_missing {
                        match self.try_change(generation, home, base, wanted) {
                            Ok(true) => return Ok(result),
                            Ok(false) => {}
                            Err(error) => return Err(error.into()),
                        }
                    }
                }
                slot = Some(home);
                continue;
            };
            let base = home.cell().settle(guard);
            if base.is_dead() {
                slot = generation.find(key.name(), guard);
                continue;
            }
            let is_expired = base.is_expired(self.batch.now_ms) && !seeded(Bug::ActsOnExpired);
            if is_expired && !self.keyspace().keeps_all() {
                self.keyspace().expire(generation, home, base, guard);
                continue;
            }
            let entry = (base.is_live() && !is_expired).then(|| self.entry(home, base));
            match change(entry) {
                Ok((wanted, result)) => match self.try_change(generation, home, base, wanted) {
                    Ok(true) => return Ok(result),
                    Ok(false) => self.keyspace().stats.cas_retries.add(1),
                    Err(error) => return Err(error.into()),
                },
                Err(error) => return Err(error),
            }
        }
    }

    /// The birth of nodes that are built now: the snapshot epoch, read before the version that will hold them is
    /// stamped.
    pub fn birth(&self) -> u32 {
        self.keyspace().snapshots.retention.birth()
    }

    /// Reads a collection, as [`View::read`] does; one that is missing is empty.
    ///
    /// # Errors
    /// The value has another type, or the command has to wait first.
    pub fn tree<L: Collection>(&mut self, key: Key<'_>) -> Result<Tree<'g, L>, KeyspaceError> {
        self.read(key)?.map_or(Ok(Tree::EMPTY), |entry| entry.tree())
    }

    /// Brings items of a large collection into the cache, if that is what the key holds: a hint, nothing more.
    pub fn prefetch_items<'k>(&self, key: Key<'_>, items: impl Iterator<Item = &'k [u8]>) {
        let Some(slot) = self.generation().find(key.name(), self.guard()) else { return };
        let version = slot.cell().read(self.guard());
        if let Some(hash) = version.tree::<Hash>() {
            hash.prefetch(items);
        } else if let Some(set) = version.tree::<Set>() {
            set.prefetch(items);
        } else if let Some(set) = version.sorted_set(self.guard()) {
            set.prefetch(items);
        }
    }

    /// Makes room for so many more keys. O(`keys`).
    pub fn grow_index(&self, keys: usize) {
        self.generation().grow_index(keys, self.guard());
    }

    /// Changes one collection atomically, as [`View::update`] does: `change` gets the tree as it is, empty if the key
    /// is missing, and a delta of it to edit. The deadline stays; a collection that became empty is removed.
    ///
    /// # Errors
    /// As [`View::update`].
    pub fn edit<L: Collection, R, E: From<KeyspaceError>>(
        &mut self,
        key: Key<'_>,
        mut change: impl FnMut(Tree<'g, L>, &mut Delta<'g, L>) -> Result<R, E>,
    ) -> Result<R, E> {
        let birth = self.birth();
        self.update(key, |entry| {
            let base = entry.map_or(Ok(Tree::EMPTY), |entry| entry.tree())?;
            let mut delta = Delta::new(base, birth);
            let result = change(base, &mut delta)?;
            Ok((Change::edited(delta, entry.and_then(|entry| entry.deadline_ms())), result))
        })
    }

    /// Reads a sorted set, as [`View::read`] does; one that is missing is empty.
    ///
    /// # Errors
    /// The value has another type, or the command has to wait first.
    pub fn sorted_set(&mut self, key: Key<'_>) -> Result<SortedSet<'g>, KeyspaceError> {
        self.read(key)?.map_or(Ok(SortedSet::EMPTY), |entry| entry.sorted_set())
    }

    /// Puts a sorted set of these members, each once and in any order, in place of whatever is there, without a
    /// deadline; none removes the key. Inside a transaction only. Returns their number. O(n log n).
    ///
    /// # Errors
    /// As [`View::update`].
    pub fn store_sorted_set(&mut self, key: Key<'_>, members: Vec<Placed>) -> Result<u64, KeyspaceError> {
        let len = members.len() as u64;
        match Change::sorted_set(sorted_set::build(members, self.birth()), None, None, self.guard()) {
            Change::Put(draft) => self.put(key, draft)?,
            Change::Keep | Change::Remove => {
                self.update(key, |_| Ok::<_, KeyspaceError>((Change::Remove, ())))?;
            }
        }
        Ok(len)
    }

    /// Puts `draft` in place of whatever is there. Inside a transaction only.
    ///
    /// # Errors
    /// As [`View::update`].
    pub fn put(&mut self, key: Key<'_>, draft: Draft) -> Result<(), KeyspaceError> {
        debug_assert!(self.transaction().is_some(), "a direct update may run its closure again");
        let mut draft = Some(draft);
        self.update(key, |_| Ok((Change::Put(draft.take().expect("a transaction's closure runs once")), ())))
    }

    /// Puts the collection that `delta` built in place of whatever is there, without a deadline; an empty one
    /// removes the key. Inside a transaction only. Returns its length.
    ///
    /// # Errors
    /// As [`View::update`].
    pub fn store<L: Collection>(&mut self, key: Key<'_>, delta: Delta<'_, L>) -> Result<u64, KeyspaceError> {
        let len = delta.tree().len();
        if len == 0 {
            self.update(key, |_| Ok::<_, KeyspaceError>((Change::Remove, ())))?;
        } else {
            self.put(key, Draft::collection(delta, None))?;
        }
        Ok(len)
    }

    /// One attempt to change a slot from `base`. True if it happened, or nothing was to happen; fails, before anything
    /// has changed, if there is no room for it.
    fn try_change(
        &self,
        generation: &'g Generation,
        slot: &'g Slot,
        base: &'g Version,
        change: Change,
    ) -> Result<bool, KeyspaceError> {
        let mut new = match change {
            Change::Keep => return Ok(true),
            Change::Remove if !base.is_live() => return Ok(true),
            Change::Remove => absent_after(base).into(),
            Change::Put(draft) => draft,
        };
        new.version.set_seq(base.seq().wrapping_add(u32::from(!seeded(Bug::WriteKeepsSeq))));
        let bytes = growth(slot, base, &new.version);
        let reservation = self.reserve(|| generation.namespace_of(slot, self.guard()), bytes)?;
        let judged = if seeded(Bug::HandOverAsksPresent) { self.present_generation() } else { generation };
        let attempt = self.keyspace().snapshots.retention.attempt(judged.number());
        new.version.set_stamp(attempt.stamp());
        match slot.cell().replace(base, new, attempt.claim(slot.name()).as_ref(), self.guard()) {
            Ok(new) => {
                self.touch_written(slot, base);
                let changed = Changed { slot, old: base, new };
                self.keyspace().account(self.accounted(generation), changed, bytes, self.guard());
                reservation.commit();
                Ok(true)
            }
            Err(_) => Ok(false),
        }
    }

    /// Counts a write as an access of its key, and always the one that made the key.
    pub(super) fn touch_written(&self, slot: &Slot, old: &Version) {
        if self.batch.touches || !old.is_live() {
            slot.touch(self.now_s());
        }
    }
}

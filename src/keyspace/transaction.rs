//! Several keys at one instant: the transactional view.
//!
//! A transaction's body runs against a buffer. What it read and planned is kept by slot, so that two names of one
//! slot are one cell. Then everything commits by one multi-word compare-and-swap (`concurrent/versions/transaction.rs`),
//! or the body runs again.
//!
//! # Rules
//! - M1. A transaction that writes puts every cell it read into the commit; one that only read re-checks every
//!   cell's seq, and that names without a slot still have none. Nobody can close a slot that became absent while
//!   this thread is pinned, so a name without a slot at both looks was missing in between.
//! - M2. A missing name that a writing transaction read gets a slot, so that there is a cell to validate. It is
//!   enough that the cell is absent at the commit: the value read is then the value there.
//! - M3. An attempt that lost only to fresh copies (all seqs equal) commits again without running its body.
//! - M4. A transaction that keeps losing asks to run alone; the exclusive right then keeps others out.
//! - M5. A flush inside a transaction runs alone: what follows it goes to a fresh generation that nobody sees
//!   before the commit swaps it in.

use super::after_commit::Made;
use super::entry::{Change, Entry};
use super::plan::Plan;
use super::{Key, KeyspaceError, View};
use crate::concurrent::epoch::reclaim::Guard;
use crate::concurrent::slots::generation::{Current, Generation};
use crate::concurrent::slots::slot::Slot;
use crate::concurrent::versions::nodes::Edits;
use crate::concurrent::versions::version::Version;
use crate::sync::spin_hint;
use crate::wait::Wait;
use rand::Rng;
use std::collections::HashMap;
use std::sync::Arc;

/// Attempts before the transaction asks to run alone.
const ATTEMPTS: u32 = 32;
/// From this many cells on they are found by a map instead of a search.
const SEARCHED: usize = 16;

/// A transaction's buffer.
#[derive(Debug)]
pub struct Transaction<'g> {
    pub(super) generation: &'g Generation,
    pub(super) cells: Vec<Touched<'g>>,
    /// The cell that was asked for last.
    latest: usize,
    /// The edits that built the trees that are planned, or were.
    pub(super) edits: Edits<'g>,
    /// Where a slot stands in `cells`, once there are many.
    places: HashMap<usize, usize, ahash::RandomState>,
    /// Names that were read and had no slot.
    pub(super) missing: Vec<Box<[u8]>>,
    /// Slots that this transaction made.
    pub(super) made: Vec<Made<'g>>,
    /// The generation that a flush prepared.
    pub(super) fresh: Option<Arc<Generation>>,
    /// A view operation answered with contention, so the body's error is no result.
    is_contended: bool,
}

/// A slot that the transaction read or wants to change.
#[derive(Debug)]
pub(super) struct Touched<'g> {
    pub(super) slot: &'g Slot,
    pub(super) base: &'g Version,
    pub(super) plan: Plan<'g>,
}

impl<'g> Touched<'g> {
    pub(super) fn version(&self) -> &'g Version {
        match &self.plan {
            Plan::Put(planned) => planned.version(),
            Plan::Unchanged | Plan::Remove => self.base,
            Plan::Open(_) => unreachable!("an open edit is closed before the slot is looked at"),
        }
    }

    fn close(&mut self, edits: &mut Edits<'g>, guard: &'g Guard) {
        if let Plan::Open(_) = self.plan
            && let Plan::Open(open) = std::mem::replace(&mut self.plan, Plan::Unchanged)
        {
            self.plan = open.close(self.base, edits, guard);
        }
    }

    pub(super) fn is_live(&self) -> bool {
        match &self.plan {
            Plan::Remove => false,
            Plan::Open(open) => !open.is_empty(),
            Plan::Put(_) | Plan::Unchanged => self.version().is_live(),
        }
    }

    /// What the transaction sees here. A planned deadline may lie in the past: what is planned so is not seen.
    fn visible(&self, now_ms: u64) -> Option<&'g Version> {
        Some(self.version()).filter(|version| self.is_live() && !version.is_expired(now_ms))
    }

    pub(super) fn changes(&self) -> bool {
        match self.plan {
            Plan::Unchanged => false,
            // What was put and removed again is a change too: a watcher is told, as in Redis.
            Plan::Put(_) | Plan::Remove | Plan::Open(_) => true,
        }
    }
}

impl<'g> Transaction<'g> {
    fn new(generation: &'g Generation, guard: &'g Guard) -> Transaction<'g> {
        Transaction {
            generation,
            cells: Vec::new(),
            latest: 0,
            edits: Edits::new(guard),
            places: HashMap::default(),
            missing: Vec::new(),
            made: Vec::new(),
            fresh: None,
            is_contended: false,
        }
    }

    pub(super) fn has_flushed(&self) -> bool {
        self.fresh.is_some()
    }

    /// Ends every edit that goes on.
    pub(super) fn close(&mut self, guard: &'g Guard) {
        self.cells.iter_mut().for_each(|touched| touched.close(&mut self.edits, guard));
    }

    pub(super) fn place(&self, slot: &Slot) -> Option<usize> {
        if self.cells.len() <= SEARCHED {
            return self.cells.iter().position(|touched| std::ptr::eq(touched.slot, slot));
        }
        self.places.get(&address(slot)).copied()
    }

    pub(super) fn add(&mut self, slot: &'g Slot, base: &'g Version) -> usize {
        let place = self.cells.len();
        self.latest = place;
        self.cells.push(Touched { slot, base, plan: Plan::Unchanged });
        if place == SEARCHED {
            self.places =
                self.cells.iter().enumerate().map(|(at, touched)| (address(touched.slot), at)).collect();
        } else if place > SEARCHED {
            self.places.insert(address(slot), place);
        }
        place
    }

    /// How many keys the plans add.
    pub(super) fn added_keys(&self) -> i64 {
        let change = |touched: &Touched<'_>| i64::from(touched.is_live()) - i64::from(touched.base.is_live());
        self.cells.iter().map(change).sum()
    }

    /// The version that the transaction sees in a slot, if it has touched it.
    pub(super) fn overlay(&self, slot: &Slot, now_ms: u64) -> Option<Option<&'g Version>> {
        Some(self.cells[self.place(slot)?].visible(now_ms))
    }
}

fn address(slot: &Slot) -> usize {
    (&raw const *slot).addr()
}

/// Where a view's updates go.
#[derive(Debug)]
pub(super) enum Target<'g> {
    /// Into the keyspace, each by itself.
    Keyspace,
    /// Into a transaction, which commits them together.
    Transaction(Box<Transaction<'g>>),
}

/// A transaction in its view. However its body ends, by a panic too, the transaction around it is back in its place
/// then.
struct Scope<'v, 'g> {
    view: &'v mut View<'g>,
    outer: Target<'g>,
}

impl<'v, 'g> Scope<'v, 'g> {
    fn begin(view: &'v mut View<'g>, generation: &'g Generation) -> Scope<'v, 'g> {
        let inner = Box::new(Transaction::new(generation, view.guard()));
        let outer = std::mem::replace(&mut view.target, Target::Transaction(inner));
        Scope { view, outer }
    }

    /// Runs the body, and hands over what it planned.
    fn run<R>(self, body: impl FnOnce(&mut View<'g>) -> R) -> (R, Box<Transaction<'g>>) {
        let result = body(self.view);
        match std::mem::replace(&mut self.view.target, Target::Keyspace) {
            Target::Transaction(inner) => (result, inner),
            Target::Keyspace => unreachable!("only its scope ends a transaction"),
        }
    }
}

impl Drop for Scope<'_, '_> {
    fn drop(&mut self) {
        self.view.target = std::mem::replace(&mut self.outer, Target::Keyspace);
    }
}

impl<'g> View<'g> {
    /// Runs `body` so that everything it reads and writes happens at one instant. `body` is pure and may run
    /// more than once; if it fails, nothing is written. Inside a transaction it just runs.
    ///
    /// # Errors
    /// Those of `body`; [`KeyspaceError::Wait`] if the command has to wait first; [`KeyspaceError::NoRoom`] beyond
    /// the memory limit.
    pub fn transact<R, E: From<KeyspaceError>>(
        &mut self,
        mut body: impl FnMut(&mut View<'g>) -> Result<R, E>,
    ) -> Result<R, E> {
        match self.transaction() {
            Some(transaction) if transaction.has_flushed() => return self.transact_after_flush(body),
            Some(_) => return body(self),
            None => {}
        }
        for attempt in 0.. {
            self.admit()?;
            let (result, mut transaction) = Scope::begin(self, self.generation()).run(&mut body);
            if transaction.is_contended {
                return result;
            }
            let is_done = match &result {
                Ok(_) => self.commit(&mut transaction)?,
                Err(_) => self.reads_hold(&transaction),
            };
            if is_done {
                return result;
            }
            self.keyspace().stats.transaction_retries.add(1);
            if attempt >= ATTEMPTS && !self.batch.is_exclusive {
                return Err(KeyspaceError::Wait(Wait::Alone).into());
            }
            back_off(attempt);
        }
        unreachable!("the attempts are not bounded by their number")
    }

    /// Runs `body` as a transaction of its own in the generation that a flush prepared (M5). It cannot lose.
    fn transact_after_flush<R, E: From<KeyspaceError>>(
        &mut self,
        body: impl FnMut(&mut View<'g>) -> Result<R, E>,
    ) -> Result<R, E> {
        let (result, mut inner) = Scope::begin(self, self.generation()).run(body);
        if result.is_ok() {
            let is_done = self.commit(&mut inner)?;
            debug_assert!(is_done, "nobody else sees the generation");
        }
        result
    }

    /// The transaction's cell for a name, if the name has a slot.
    fn touch_cell(&mut self, key: Key<'_>) -> Result<Option<usize>, KeyspaceError> {
        let (generation, guard) = (self.generation(), self.guard());
        let transaction = self.buffer();
        if let Some(touched) = transaction.cells.get(transaction.latest)
            && touched.slot.name() == key.name()
        {
            return Ok(Some(transaction.latest));
        }
        loop {
            let Some(slot) = generation.find(key.name(), guard) else { return Ok(None) };
            if let Some(place) = self.touch_slot(slot)? {
                return Ok(Some(place));
            }
        }
    }

    /// The transaction's cell for a slot, or `None` if the slot is dead.
    fn touch_slot(&mut self, slot: &'g Slot) -> Result<Option<usize>, KeyspaceError> {
        let generation = self.generation();
        let transaction = self.buffer();
        if let Some(place) = transaction.place(slot) {
            transaction.latest = place;
            return Ok(Some(place));
        }
        let base = self.present(generation, slot);
        let transaction = self.buffer();
        match base {
            Ok(base) if base.is_dead() => Ok(None),
            Ok(base) => Ok(Some(transaction.add(slot, base))),
            Err(error) => {
                transaction.is_contended = true;
                Err(error)
            }
        }
    }

    /// The version in a slot as this transaction reads it, or `None` if the slot is dead.
    pub(super) fn seen_in(&mut self, slot: &'g Slot) -> Result<Option<&'g Version>, KeyspaceError> {
        let place = self.touch_slot(slot)?;
        Ok(place.map(|place| self.buffer().cells[place].base))
    }

    pub(super) fn look_up_buffered(&mut self, key: Key<'_>) -> Result<Option<Entry<'g>>, KeyspaceError> {
        let (place, now_ms, guard) = (self.touch_cell(key)?, self.now_ms(), self.guard());
        let transaction = self.buffer();
        let Some(place) = place else {
            transaction.missing.push(key.name().into());
            return Ok(None);
        };
        let touched = &mut transaction.cells[place];
        touched.close(&mut transaction.edits, guard);
        let (slot, found) = (touched.slot, touched.visible(now_ms));
        let is_planned = matches!(touched.plan, Plan::Put(_));
        Ok(found.map(|version| Entry { is_planned, ..self.entry(slot, version) }))
    }

    pub(super) fn update_buffered<R, E: From<KeyspaceError>>(
        &mut self,
        key: Key<'_>,
        mut change: impl FnMut(Option<Entry<'g>>) -> Result<(Change, R), E>,
    ) -> Result<R, E> {
        let entry = self.look_up_buffered(key)?;
        let (change, result) = change(entry)?;
        if matches!(change, Change::Keep) || (matches!(change, Change::Remove) && entry.is_none()) {
            return Ok(result);
        }
        let place = self.cell_for(key)?;
        let guard = self.guard();
        let Transaction { cells, edits, .. } = self.buffer();
        let touched = &mut cells[place];
        touched.plan = match change {
            Change::Put(draft) => Plan::put(draft, touched.base, edits, guard),
            Change::Keep | Change::Remove => Plan::Remove,
        };
        Ok(result)
    }

    /// The transaction's cell for a name, made if need be.
    fn cell_for(&mut self, key: Key<'_>) -> Result<usize, KeyspaceError> {
        match self.touch_cell(key)? {
            Some(place) => Ok(place),
            None => self.make_cell(key),
        }
    }

    /// The plan for a name, if it has a cell.
    pub(super) fn plan_of(&mut self, key: Key<'_>) -> Result<Option<&mut Plan<'g>>, KeyspaceError> {
        let place = self.touch_cell(key)?;
        Ok(place.map(|place| &mut self.buffer().cells[place].plan))
    }

    /// The plan for a name, which gets a cell if it has none. Inside a transaction only.
    pub(super) fn plan_for(&mut self, key: Key<'_>) -> Result<&mut Plan<'g>, KeyspaceError> {
        let place = self.cell_for(key)?;
        Ok(&mut self.buffer().cells[place].plan)
    }

    /// Gives a missing name a slot and a cell (M2).
    fn make_cell(&mut self, key: Key<'_>) -> Result<usize, KeyspaceError> {
        let (generation, guard) = (self.generation(), self.guard());
        loop {
            let (slot, is_new) = generation.find_or_create(key.name(), key.namespace(), guard);
            if is_new {
                self.buffer().made.push(Made { generation, slot, guard });
            }
            if let Some(place) = self.touch_slot(slot)? {
                return Ok(place);
            }
        }
    }

    /// Removes every key at one instant. O(1); the memory is freed in the background. Inside a transaction it has
    /// to run alone (M5).
    ///
    /// # Errors
    /// [`KeyspaceError::Wait`] if the command has to wait first.
    pub fn flush(&mut self) -> Result<(), KeyspaceError> {
        let (keyspace, guard, is_exclusive) = (self.keyspace(), self.guard(), self.batch.is_exclusive);
        let Target::Transaction(transaction) = &mut self.target else {
            self.admit()?;
            self.replace_generation(keyspace.next_generation());
            return Ok(());
        };
        if is_exclusive {
            let fresh = keyspace.next_generation();
            **transaction = Transaction::new(Current::prepare(&fresh, guard), guard);
            transaction.fresh = Some(fresh);
            return Ok(());
        }
        transaction.is_contended = true;
        Err(KeyspaceError::Wait(Wait::Alone))
    }

    pub(super) fn replace_generation(&mut self, next: Arc<Generation>) {
        // The balance is computed anew then, from what is there: what this batch has reserved for that must not count twice.
        self.batch.release_lease();
        self.keyspace().replace_generation(next);
        self.generation = self.keyspace().current.load(self.guard());
    }
}

/// Waits a little longer after each lost attempt, with jitter. Pinned, so only for moments.
fn back_off(attempt: u32) {
    let most = 1 << attempt.min(9);
    // A model has to come the same way twice.
    let spins = if cfg!(kvns_loom) { 1 } else { rand::rng().random_range(0..=most) };
    for _ in 0..spins {
        spin_hint();
    }
}

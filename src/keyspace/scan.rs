//! Walking the slots: SCAN, KEYS and random keys.
//!
//! A cursor is the position to go on from, so a page costs what it visits, and a key that is there from the first
//! page to the last is met: a slot does not move while its key lives.

use super::entry::Entry;
use super::transaction::Transaction;
use super::{KeyspaceError, View};
use crate::concurrent::slots::chunk::{Chunk, MAX_SLOTS};
use crate::concurrent::slots::generation::Generation;
use crate::concurrent::slots::slot::{Position, Slot};
use rand::Rng;

/// Missing chunks that cost a page as much as one entry.
const CHUNKS_PER_ENTRY: usize = 16;
/// Tries at a random place before the walk from there.
const RANDOM_TRIES: usize = 4096;

impl<'g> View<'g> {
    /// What is live in a slot, seen through the transaction if there is one. Expired versions are replaced.
    fn visible(
        &mut self,
        generation: &'g Generation,
        slot: &'g Slot,
    ) -> Result<Option<Entry<'g>>, KeyspaceError> {
        let now_ms = self.now_ms();
        let planned = self.buffering().and_then(|transaction| transaction.overlay(slot, now_ms));
        let version = match planned {
            Some(version) => version,
            None => self.found(generation, slot)?,
        };
        Ok(version.map(|version| self.entry(slot, version)))
    }

    /// Visits entries from `cursor` on until about `budget` entries were looked at or `visit` is false; only those of
    /// `namespace`, if one is given. Returns the next cursor, 0 at the end; cursors are below 2^48. O(budget).
    ///
    /// # Errors
    /// [`KeyspaceError::Wait`] if the command has to wait first.
    pub fn scan(
        &mut self,
        cursor: u64,
        budget: usize,
        namespace: Option<&[u8]>,
        mut visit: impl FnMut(&'g [u8], Entry<'g>) -> bool,
    ) -> Result<u64, KeyspaceError> {
        self.close_edits();
        let (generation, guard) = (self.generation(), self.guard());
        let namespace = match namespace {
            None => None,
            Some(name) => match generation.namespace(name, guard) {
                None => return Ok(0),
                found => found,
            },
        };
        let Some(mut at) = Position::from_cursor(cursor) else { return Ok(0) };
        let mut left = budget.max(1).saturating_mul(CHUNKS_PER_ENTRY);
        while left > 0 {
            let chunk = match namespace {
                Some(namespace) => namespace.chunk_from(at.chunk(), guard),
                None if at.chunk() >= generation.directory().end() => None,
                None => match generation.directory().get(at.chunk(), guard) {
                    None => {
                        at = Position::new(at.chunk() + 1, 0);
                        left -= 1;
                        continue;
                    }
                    found => found,
                },
            };
            let Some(chunk) = chunk else { return Ok(0) };
            let from = if chunk.id() == at.chunk() { at.index() } else { 0 };
            let (mut failed, mut goes_on) = (None, true);
            let next = chunk.walk(from, |slot| {
                left = left.saturating_sub(CHUNKS_PER_ENTRY);
                match self.visible(generation, slot) {
                    Ok(Some(entry)) => goes_on = visit(slot.name(), entry),
                    Ok(None) => {}
                    Err(error) => failed = Some(error),
                }
                left > 0 && goes_on && failed.is_none()
            });
            if let Some(error) = failed {
                return Err(error);
            }
            left = left.saturating_sub(1);
            at = if next < chunk.capacity() {
                Position::new(chunk.id(), next)
            } else {
                Position::new(chunk.id() + 1, 0)
            };
            if !goes_on {
                break;
            }
        }
        Ok(at.cursor())
    }

    /// The name of a random entry, each as likely as any other. O(1) unless almost all slots are free.
    ///
    /// # Errors
    /// [`KeyspaceError::Wait`] if the command has to wait first.
    pub fn random(&mut self) -> Result<Option<&'g [u8]>, KeyspaceError> {
        self.close_edits();
        if self.is_empty() {
            return Ok(None);
        }
        let (generation, guard) = (self.generation(), self.guard());
        let mut rng = rand::rng();
        let chunks = generation.directory().end();
        for _ in 0..RANDOM_TRIES {
            let chunk = rng.random_range(0..chunks.max(1));
            let Some(chunk) = generation.directory().get(chunk, guard) else { continue };
            // A chunk is taken as often as it has slots in use, and then any of those is as likely.
            if rng.random_range(0..MAX_SLOTS) >= chunk.occupied() {
                continue;
            }
            let Some(slot) = random_slot(chunk, &mut rng) else { continue };
            if self.visible(generation, slot)?.is_some() {
                return Ok(Some(slot.name()));
            }
        }
        self.first_from(u64::from(rng.random_range(0..chunks.max(1))) << Position::INDEX_BITS)
    }

    /// The first entry from a cursor on, around the end.
    fn first_from(&mut self, start: u64) -> Result<Option<&'g [u8]>, KeyspaceError> {
        for mut cursor in [start, 0] {
            loop {
                let mut found = None;
                cursor = self.scan(cursor, 64, None, |name, _| {
                    found = Some(name);
                    false
                })?;
                if found.is_some() || cursor == 0 {
                    if found.is_some() {
                        return Ok(found);
                    }
                    break;
                }
            }
        }
        Ok(None)
    }

    /// The number of the generation: another one after a flush.
    pub fn generation_number(&self) -> u64 {
        self.generation().number()
    }

    /// The number of keys. O(1).
    pub fn len(&self) -> u64 {
        let added = self.transaction().map_or(0, Transaction::added_keys);
        (self.generation().keys.get() + added).max(0) as u64
    }

    /// True if there are no keys.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn random_slot<'g>(chunk: &'g Chunk, rng: &mut impl Rng) -> Option<&'g Slot> {
    (0..64).find_map(|_| {
        let index = rng.random_range(0..chunk.capacity());
        chunk.slot(index).filter(|_| chunk.is_taken(index))
    })
}

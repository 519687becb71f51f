//! WATCH: remembering a key as it is, to be compared when a transaction commits.

use super::{Key, KeyspaceError, View};
use crate::concurrent::slots::generation::Generation;
use crate::concurrent::slots::slot::{Position, Slot};
use crate::concurrent::versions::version::{Content, Version};
use crate::sync::{Bug, seeded};

/// A watched key: which slot of which generation, and the change it was at.
///
/// The slot is touched only under a pin, and only while its generation is the present one. While it is counted
/// as watched it is not closed, so its position keeps meaning this key.
#[derive(Debug)]
pub struct Watch {
    generation: u64,
    position: Position,
    seq: u32,
    was_live: bool,
    /// It had expired and could not be removed: that it goes then is no change.
    was_expired: bool,
    name: Box<[u8]>,
}

impl Watch {
    /// The key's canonical name.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// True if a version is the one that was watched, or what is left of it since it expired.
    fn is_of(&self, version: &Version) -> bool {
        let went = || self.was_expired && !version.is_live() && version.seq() == self.seq.wrapping_add(1);
        version.seq() == self.seq || went()
    }
}

impl<'g> View<'g> {
    /// Remembers the key as it is now. The watch is to be given back with [`View::unwatch`].
    ///
    /// # Errors
    /// [`KeyspaceError::Wait`] if the command has to wait first.
    pub fn watch(&mut self, key: Key<'_>) -> Result<Watch, KeyspaceError> {
        self.admit()?;
        let (generation, guard) = (self.generation(), self.guard());
        loop {
            let (slot, _) = generation.find_or_create(key.name(), key.namespace(), guard);
            let Some(mut version) = slot.watch(guard) else { continue };
            if version.is_expired(self.now_ms()) {
                version = match self.present(generation, slot) {
                    Ok(version) => version,
                    Err(error) => {
                        slot.unwatch();
                        return Err(error);
                    }
                };
            }
            let was_expired = version.is_expired(self.now_ms());
            return Ok(Watch {
                generation: generation.number(),
                position: slot.position(),
                seq: version.seq(),
                was_live: version.is_live() && !was_expired,
                was_expired,
                name: key.name().into(),
            });
        }
    }

    fn watched_slot(&self, generation: &'g Generation, watch: &Watch) -> Option<&'g Slot> {
        if generation.number() != watch.generation {
            return None;
        }
        generation.directory().slot(watch.position, self.guard())
    }

    /// Gives a watch back.
    pub fn unwatch(&mut self, watch: Watch) {
        // Loaded once: a flush in between must not put this slot on the fresh generation's queue.
        let generation = self.generation();
        let Some(slot) = self.watched_slot(generation, &watch) else { return };
        if slot.unwatch() {
            let version = slot.cell().read(self.guard());
            // The reaper may just have found it watched, and puts it back from closing.
            let is_left = version.content() == Content::Absent
                || version.content() == Content::Closing && !seeded(Bug::UnwatchIgnoresClosing);
            if is_left {
                generation.left_absent(slot, version.seq());
            }
        }
    }

    /// Inside [`View::transact`]: false if the watched key has changed since; if true, the transaction commits
    /// only if that is still so at its commit. After a flush, a key that was there has changed, and one that was
    /// missing has not if it is missing now.
    ///
    /// # Errors
    /// [`KeyspaceError::Wait`] if the command has to wait first.
    pub fn is_unchanged(&mut self, watch: &Watch) -> Result<bool, KeyspaceError> {
        match self.watched_slot(self.generation(), watch) {
            Some(slot) => Ok(self.seen_in(slot)?.is_some_and(|version| watch.is_of(version))),
            None if watch.was_live => Ok(false),
            None => Ok(self.peek(Key::new(&watch.name))?.is_none()),
        }
    }
}

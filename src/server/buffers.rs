//! What a connection needs while it has something to do: input, decoder, replies.
//!
//! A connection takes a set when bytes arrive and gives it back when everything read is answered, so an idle
//! one holds none, and the few sets in use stay in the cache. Each worker thread keeps its own spare sets, so
//! taking one is no more than popping a vector.

use super::held::{Held, MIN_READ_SIZE, READ_SIZE};
use crate::resp::{Decoder, Limits, ReplyWriter};
use std::cell::RefCell;

/// Spare sets a thread keeps. More than a few are in use only while clients stall within a request.
const MAX_SPARE: usize = 16;

/// A set that grew beyond this was needed for large values and is freed instead of kept.
const MAX_SPARE_BYTES: usize = 256 << 10;

/// An input with more room than this many times its content gives it back before its connection waits.
const KEPT_TIMES: usize = 4;

thread_local! {
    #[allow(clippy::vec_box, reason = "a set moves to its connection and back as a pointer")]
    static SPARE: RefCell<Vec<Box<Buffers>>> = const { RefCell::new(Vec::new()) };
}

/// The buffers of one connection that is not idle.
#[derive(Debug)]
pub(super) struct Buffers {
    /// Received and not yet answered.
    pub input: Vec<u8>,
    /// Received behind it, while it could not be run.
    pub held: Held,
    /// How far `input` is understood.
    pub decoder: Decoder,
    /// Not yet sent.
    pub replies: ReplyWriter,
}

impl Buffers {
    /// A spare set of this thread, or a new one.
    pub fn take() -> Box<Buffers> {
        SPARE.with_borrow_mut(Vec::pop).unwrap_or_else(|| {
            Box::new(Buffers {
                input: Vec::with_capacity(READ_SIZE),
                held: Held::default(),
                decoder: Decoder::new(Limits::default()),
                replies: ReplyWriter::new(),
            })
        })
    }

    /// The set, if a part of a request is left in it; an empty one goes back to this thread.
    pub fn keep_if_used(mut self: Box<Buffers>) -> Option<Box<Buffers>> {
        // Of a request that is read past nothing is there but how far that has come.
        if !self.input.is_empty() || self.decoder.is_passing() {
            if self.input.capacity() > READ_SIZE.max(KEPT_TIMES * self.input.len()) {
                self.input.shrink_to(READ_SIZE);
            }
            return Some(self);
        }
        if self.input.capacity() <= MAX_SPARE_BYTES {
            SPARE.with_borrow_mut(|spare| {
                if spare.len() < MAX_SPARE {
                    spare.push(self);
                }
            });
        }
        None
    }

    /// Makes room for the next read. A request that has not arrived in full gets the room it lacks, but
    /// never more than as much again as was received: announcing a length costs the server nothing.
    pub fn make_room(&mut self) {
        let growth = self.growth();
        if growth > 0 {
            self.input.reserve_exact(growth);
        }
    }

    /// The room beside the input that the next read needs; 0 if there is enough.
    pub fn growth(&self) -> usize {
        let wanted = self.decoder.wanted();
        if self.room() >= wanted.clamp(MIN_READ_SIZE, READ_SIZE) {
            return 0;
        }
        wanted.clamp(READ_SIZE, self.input.len().max(READ_SIZE))
    }

    /// Gives the request up that has arrived in part: what comes of it is read past. False if that is not possible.
    pub fn give_up(&mut self) -> bool {
        let Some(consumed) = self.decoder.give_up(&self.input) else { return false };
        self.consume(consumed);
        self.input.shrink_to(READ_SIZE);
        true
    }

    /// Bytes the next read can take.
    pub fn room(&self) -> usize {
        self.input.capacity() - self.input.len()
    }

    /// Moves the oldest block that is held behind the input, of which the first `answered` bytes are dropped. False if
    /// none is held.
    #[inline]
    pub fn refill(&mut self, answered: &mut usize) -> bool {
        self.held.len() > 0 && self.refill_from_held(answered)
    }

    #[cold]
    fn refill_from_held(&mut self, answered: &mut usize) -> bool {
        let Some(block) = self.held.pop() else { return false };
        self.consume(std::mem::take(answered));
        match self.input.is_empty() {
            true => self.input = block,
            false => self.input.extend_from_slice(&block),
        }
        true
    }

    /// Bytes of memory that stay while the connection waits.
    pub fn footprint(&self) -> u64 {
        let fixed = self.input.capacity() + self.held.footprint() + self.decoder.footprint();
        (fixed + self.replies.footprint()) as u64
    }

    /// Drops the first `count` bytes of the input.
    pub fn consume(&mut self, count: usize) {
        if count == self.input.len() {
            self.input.clear();
        } else {
            self.input.drain(..count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_comes_back_unless_it_grew_large() {
        let mut set = Buffers::take();
        let small = Buffers::take();
        let place = &raw const *small;
        assert!(small.keep_if_used().is_none());
        assert_eq!(&raw const *Buffers::take(), place);
        set.input.reserve_exact(MAX_SPARE_BYTES + 1);
        assert!(set.keep_if_used().is_none());
        assert!(SPARE.with_borrow(Vec::is_empty));
    }

    #[test]
    fn the_input_grows_with_what_was_received_only() {
        let mut set = Buffers::take();
        set.input.resize(READ_SIZE, b'x');
        set.make_room();
        assert!(set.input.capacity() <= 2 * READ_SIZE);
    }
}

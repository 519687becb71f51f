//! Long strings: lists of chunks.
//!
//! # Purpose
//! A string that an edit makes longer than [`FLAT_MAX`] bytes is kept as a tree of chunks, so that the edits to
//! come copy the chunks they touch and the paths to them, whatever the string's length.
//!
//! # Invariants
//! - C1. Every chunk has [`CHUNK`] bytes, but for the last, which has at least one and no more. So the chunk of an
//!   offset is known without searching.
//! - C2. A chunk has a leaf of its own, for two do not fit into one; a full one fills a size class of the allocator.

use super::tree::{Delta, Forward, List, Sealed, Splice, Tree};
use std::borrow::Cow;
use std::ops::Range;

/// Bytes in a chunk: with its length and the leaf's header 8 KiB.
pub const CHUNK: usize = 8192 - 18;

/// A string that is edited stays in one piece up to this length.
pub const FLAT_MAX: usize = 64 << 10;

/// The zero bytes that padding is copied from.
pub static ZEROS: [u8; FLAT_MAX] = [0; FLAT_MAX];

/// A string in chunks, to be read.
#[derive(Clone, Copy, Debug)]
pub struct Chunks<'g> {
    tree: Tree<'g, List>,
    len: usize,
}

impl<'g> Chunks<'g> {
    /// The string of `len` bytes whose chunks are the items of `tree`.
    pub fn new(tree: Tree<'g, List>, len: usize) -> Chunks<'g> {
        Chunks { tree, len }
    }

    /// Length in bytes. O(1).
    pub fn len(self) -> usize {
        self.len
    }

    /// True if there are no bytes.
    pub fn is_empty(self) -> bool {
        self.len == 0
    }

    /// The bytes of `range`, piece by piece. O(log n) to the first.
    ///
    /// # Panics
    /// If the range ends behind the string.
    pub fn slices(self, range: Range<usize>) -> Slices<'g> {
        assert!(range.end <= self.len, "a range lies within the string");
        let items = self.tree.iter_from((range.start / CHUNK) as u64);
        Slices { items, skip: range.start % CHUNK, left: range.len() }
    }

    /// Verifies C1 and the tree's own invariants. O(n).
    ///
    /// # Errors
    /// The first violation, in words.
    pub fn check(self) -> Result<(), String> {
        self.tree.check()?;
        let last = self.tree.len().saturating_sub(1);
        let lengths = self.tree.iter().map(|item| item.key.len());
        let are_full = lengths.clone().zip(0..last).all(|(len, _)| len == CHUNK);
        let is_last = self.tree.nth(last).is_some_and(|item| (1..=CHUNK).contains(&item.key.len()));
        if !are_full || !is_last || lengths.sum::<usize>() != self.len {
            return Err(format!("C1: the chunks of a string of {} bytes", self.len));
        }
        Ok(())
    }
}

/// A stretch of a string in chunks, piece by piece.
#[derive(Clone)]
pub struct Slices<'g> {
    items: Forward<'g, List>,
    /// Bytes of the next chunk that are before the stretch.
    skip: usize,
    left: usize,
}

impl<'g> Iterator for Slices<'g> {
    type Item = &'g [u8];

    fn next(&mut self) -> Option<&'g [u8]> {
        if self.left == 0 {
            return None;
        }
        let chunk = &self.items.next()?.key[std::mem::take(&mut self.skip)..];
        let slice = &chunk[..chunk.len().min(self.left)];
        self.left -= slice.len();
        Some(slice)
    }
}

/// Edits of a string in chunks.
#[derive(Debug)]
pub struct ChunksDelta<'g> {
    delta: Delta<'g, List>,
    len: usize,
}

impl<'g> ChunksDelta<'g> {
    /// Starts from `base`; of `birth` see [`Delta::new`].
    pub fn new(base: Chunks<'g>, birth: u32) -> ChunksDelta<'g> {
        ChunksDelta { delta: Delta::new(base.tree, birth), len: base.len }
    }

    /// Starts from a string in one piece. O(n).
    pub fn of(bytes: &[u8], birth: u32) -> ChunksDelta<'g> {
        let mut delta = ChunksDelta { delta: Delta::new(Tree::EMPTY, birth), len: 0 };
        delta.write(0, bytes);
        delta
    }

    /// Starts from a copy of `base` that shares nothing with it. O(n).
    pub fn copy_of(base: Chunks<'_>, birth: u32) -> ChunksDelta<'g> {
        ChunksDelta { delta: Delta::copy_of(base.tree, birth), len: base.len }
    }

    /// Writes `patch` over the string from `offset` on, with zero bytes between its end and the patch if that
    /// begins behind it. O(log n + chunks written), padding included.
    pub fn write(&mut self, offset: usize, patch: &[u8]) {
        if patch.is_empty() {
            return;
        }
        let len = self.len.max(offset + patch.len());
        let chunks = self.len.min(offset) / CHUNK..(offset + patch.len()).div_ceil(CHUNK);
        let present = self.len.div_ceil(CHUNK).saturating_sub(chunks.start);
        let first = chunks.start as u64;
        let mut old = self.delta.tree().iter_from(first);
        let written: Vec<Cow<'_, [u8]>> = chunks
            .map(|chunk| {
                let before = old.next().map_or(&[][..], |item| item.key);
                patched(before, chunk * CHUNK..len.min((chunk + 1) * CHUNK), offset, patch)
            })
            .collect();
        drop(old);
        let items: Vec<&[u8]> = written.iter().map(|chunk| &**chunk).collect();
        let (replacing, adding) = items.split_at(items.len().min(present));
        let splices: Vec<Splice<'_>> = (first..)
            .zip(replacing)
            .map(|(index, item)| Splice { range: index..index + 1, items: std::slice::from_ref(item) })
            .collect();
        self.delta.splice(&splices);
        self.delta.push_back(adding);
        self.len = len;
    }

    /// Ends the editing: the tree to be published, and the string's length.
    pub fn seal(self) -> (Sealed, usize) {
        (self.delta.seal(), self.len)
    }
}

/// The chunk at `stretch`, which was `before`, once `patch` is written from `offset` on.
fn patched<'p>(before: &[u8], stretch: Range<usize>, offset: usize, patch: &'p [u8]) -> Cow<'p, [u8]> {
    let over = stretch.start.max(offset)..stretch.end.min(offset + patch.len());
    if over == stretch {
        return Cow::Borrowed(&patch[over.start - offset..over.end - offset]);
    }
    if before.is_empty() && over.is_empty() {
        return Cow::Borrowed(&ZEROS[..stretch.len()]);
    }
    let mut chunk = Vec::with_capacity(stretch.len());
    chunk.extend_from_slice(before);
    chunk.resize(stretch.len(), 0);
    if !over.is_empty() {
        chunk[over.start - stretch.start..over.end - stretch.start]
            .copy_from_slice(&patch[over.start - offset..over.end - offset]);
    }
    Cow::Owned(chunk)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};

    /// Writes into both.
    fn write(delta: &mut ChunksDelta<'_>, model: &mut Vec<u8>, offset: usize, patch: &[u8]) {
        delta.write(offset, patch);
        if !patch.is_empty() {
            model.resize(model.len().max(offset + patch.len()), 0);
            model[offset..offset + patch.len()].copy_from_slice(patch);
        }
    }

    fn read<'d>(delta: &'d ChunksDelta<'_>) -> Chunks<'d> {
        Chunks::new(delta.delta.tree(), delta.len)
    }

    #[test]
    fn a_full_chunk_fills_a_size_class() {
        let delta = ChunksDelta::of(&[7; CHUNK], 0);
        assert_eq!(delta.delta.tree().footprint(), 8192);
    }

    #[test]
    fn random_writes_are_those_of_a_plain_string() {
        let mut rng = SmallRng::seed_from_u64(20);
        for _ in 0..20 {
            let mut model = vec![1; rng.random_range(0..100_000)];
            let mut delta = ChunksDelta::of(&model, 0);
            for round in 0..100u8 {
                let offset = match round % 4 {
                    0 => model.len(),
                    1 => rng.random_range(0..=model.len()) / CHUNK * CHUNK,
                    2 => rng.random_range(0..=model.len()),
                    _ => model.len() + rng.random_range(0..3 * CHUNK),
                };
                let size =
                    if round % 5 == 0 { rng.random_range(0..4 * CHUNK) } else { rng.random_range(0..100) };
                let size = if round % 7 == 0 { CHUNK } else { size };
                write(&mut delta, &mut model, offset, &vec![round; size]);
                read(&delta).check().unwrap();
            }
            let whole: Vec<&[u8]> = read(&delta).slices(0..model.len()).collect();
            assert_eq!(whole.concat(), model);
            for _ in 0..100 {
                let end = rng.random_range(0..=model.len());
                let range = rng.random_range(0..=end)..end;
                let slices: Vec<&[u8]> = read(&delta).slices(range.clone()).collect();
                assert_eq!(slices.concat(), model[range]);
            }
            assert!(model.len() > FLAT_MAX);
        }
    }
}

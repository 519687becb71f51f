//! Strings: what a version of kind string holds, and the pure operations on it.

use super::chunks::{Chunks, Slices as ChunkSlices};
use crate::number::parse_integer;
use bytes::Bytes;
use std::borrow::Cow;
use std::ops::Range;

/// The longest string a key may hold: 512 MB, as in Redis.
pub const MAX_STRING_LEN: usize = 512 << 20;

/// Strings up to this length are reported as `embstr` by OBJECT ENCODING, longer ones as `raw`.
const EMBEDDED_LEN: usize = 44;

/// The string held by a version: an integer, bytes inline behind the header, shared bytes, or chunks.
#[derive(Clone, Copy, Debug)]
pub enum Str<'g> {
    /// A value in canonical decimal form that fits an `i64`.
    Int(i64),
    /// Bytes inline in the version.
    Inline(&'g [u8]),
    /// Bytes shared by reference count, so that a reply need not copy them.
    Shared(&'g Bytes),
    /// A long string that was edited.
    Chunks(Chunks<'g>),
}

impl<'g> Str<'g> {
    /// Length in bytes. O(1).
    pub fn len(self) -> usize {
        match self {
            Str::Int(value) => decimal_len(value),
            Str::Inline(bytes) => bytes.len(),
            Str::Shared(bytes) => bytes.len(),
            Str::Chunks(chunks) => chunks.len(),
        }
    }

    /// True if the string has no bytes.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The bytes of `range`, piece by piece; `digits` is where an integer is formatted.
    ///
    /// # Panics
    /// If the range ends behind the string.
    pub fn slices<'b>(self, range: Range<usize>, digits: &'b mut itoa::Buffer) -> Slices<'b>
    where
        'g: 'b,
    {
        let whole: &[u8] = match self {
            Str::Int(value) => digits.format(value).as_bytes(),
            Str::Inline(bytes) => bytes,
            Str::Shared(bytes) => bytes,
            Str::Chunks(chunks) => return Slices::Chunks(chunks.slices(range)),
        };
        Slices::One(Some(&whole[range]))
    }

    /// The string's bytes in one piece; made for this if it is an integer or in chunks.
    pub fn bytes(self) -> Cow<'g, [u8]> {
        match self {
            Str::Int(value) => Cow::Owned(itoa::Buffer::new().format(value).as_bytes().to_vec()),
            Str::Inline(bytes) => Cow::Borrowed(bytes),
            Str::Shared(bytes) => Cow::Borrowed(bytes),
            Str::Chunks(chunks) => Cow::Owned(chunks.slices(0..chunks.len()).collect::<Vec<_>>().concat()),
        }
    }

    /// The string as an integer, if it is one by Redis's strict rule.
    pub fn integer(self) -> Option<i64> {
        match self {
            Str::Int(value) => Some(value),
            Str::Inline(bytes) => parse_integer(bytes),
            Str::Shared(bytes) => parse_integer(bytes),
            Str::Chunks(_) => None,
        }
    }

    /// The representation's name, as OBJECT ENCODING gives it.
    pub fn encoding(self) -> &'static str {
        match self {
            Str::Int(_) => "int",
            Str::Inline(bytes) if bytes.len() <= EMBEDDED_LEN => "embstr",
            Str::Inline(_) | Str::Shared(_) | Str::Chunks(_) => "raw",
        }
    }
}

/// A stretch of a string, piece by piece.
#[derive(Clone)]
pub enum Slices<'b> {
    /// In one piece, if it was not taken yet.
    One(Option<&'b [u8]>),
    /// In chunks.
    Chunks(ChunkSlices<'b>),
}

impl<'b> Iterator for Slices<'b> {
    type Item = &'b [u8];

    fn next(&mut self) -> Option<&'b [u8]> {
        match self {
            Slices::One(bytes) => bytes.take(),
            Slices::Chunks(slices) => slices.next(),
        }
    }
}

/// Number of characters of `value` in decimal.
fn decimal_len(value: i64) -> usize {
    let digits = value.unsigned_abs().checked_ilog10().unwrap_or(0) as usize + 1;
    digits + usize::from(value < 0)
}

/// The part of a string of `len` bytes from `start` to `end`, both inclusive and both counted from the end
/// when negative, as GETRANGE reads them. Empty when they do not meet.
pub fn inclusive_range(len: usize, start: i64, end: i64) -> Range<usize> {
    let len = len as i64;
    if len == 0 || (start < 0 && end < 0 && start > end) {
        return 0..0;
    }
    let from_end = |index: i64| if index < 0 { len.saturating_add(index).max(0) } else { index };
    let (start, end) = (from_end(start), from_end(end).min(len - 1));
    if start > end { 0..0 } else { start as usize..end as usize + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_know_their_length_and_text() {
        for value in [0, 1, 9, 10, -1, -10, 99, 100, i64::MAX, i64::MIN] {
            assert_eq!(Str::Int(value).len(), value.to_string().len());
            assert_eq!(*Str::Int(value).bytes(), *value.to_string().as_bytes());
        }
    }

    #[test]
    fn ranges_are_those_of_getrange() {
        assert_eq!(inclusive_range(11, 0, 3), 0..4);
        assert_eq!(inclusive_range(11, -3, -1), 8..11);
        assert_eq!(inclusive_range(11, 0, -1), 0..11);
        assert_eq!(inclusive_range(11, 10, 100), 10..11);
        assert_eq!(inclusive_range(11, 5, 3), 0..0);
        assert_eq!(inclusive_range(11, -1, -5), 0..0);
        assert_eq!(inclusive_range(11, -100, 2), 0..3);
        assert_eq!(inclusive_range(11, i64::MIN, i64::MAX), 0..11);
        assert_eq!(inclusive_range(11, 11, i64::MAX), 0..0);
        assert_eq!(inclusive_range(0, 0, -1), 0..0);
    }

    #[test]
    fn encodings_have_redis_names() {
        let long = Bytes::from(vec![b'x'; 100]);
        assert_eq!(Str::Int(1).encoding(), "int");
        assert_eq!(Str::Inline(&long[..44]).encoding(), "embstr");
        assert_eq!(Str::Inline(&long[..45]).encoding(), "raw");
        assert_eq!(Str::Shared(&long).encoding(), "raw");
    }
}

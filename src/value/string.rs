//! Strings: what a version of kind string holds, and the pure operations on it.

use crate::number::parse_integer;
use bytes::Bytes;

/// The longest string a key may hold: 512 MB, as in Redis.
pub const MAX_STRING_LEN: usize = 512 << 20;

/// Strings up to this length are reported as `embstr` by OBJECT ENCODING, longer ones as `raw`.
const EMBEDDED_LEN: usize = 44;

/// The string held by a version: an integer, bytes inline behind the header, or shared bytes.
#[derive(Clone, Copy, Debug)]
pub enum Str<'g> {
    /// A value in canonical decimal form that fits an `i64`.
    Int(i64),
    /// Bytes inline in the version.
    Inline(&'g [u8]),
    /// Bytes shared by reference count, so that a reply need not copy them.
    Shared(&'g Bytes),
}

impl<'g> Str<'g> {
    /// Length in bytes. O(1).
    pub fn len(self) -> usize {
        match self {
            Str::Int(value) => decimal_len(value),
            Str::Inline(bytes) => bytes.len(),
            Str::Shared(bytes) => bytes.len(),
        }
    }

    /// True if the string has no bytes.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The string's bytes; `buffer` is where an integer is formatted.
    pub fn bytes<'b>(self, buffer: &'b mut itoa::Buffer) -> &'b [u8]
    where
        'g: 'b,
    {
        match self {
            Str::Int(value) => buffer.format(value).as_bytes(),
            Str::Inline(bytes) => bytes,
            Str::Shared(bytes) => bytes,
        }
    }

    /// The string as an integer, if it is one by Redis's strict rule.
    pub fn integer(self) -> Option<i64> {
        match self {
            Str::Int(value) => Some(value),
            Str::Inline(bytes) => parse_integer(bytes),
            Str::Shared(bytes) => parse_integer(bytes),
        }
    }

    /// The representation's name, as OBJECT ENCODING gives it.
    pub fn encoding(self) -> &'static str {
        match self {
            Str::Int(_) => "int",
            Str::Inline(bytes) if bytes.len() <= EMBEDDED_LEN => "embstr",
            Str::Inline(_) | Str::Shared(_) => "raw",
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
pub fn inclusive_range(len: usize, start: i64, end: i64) -> std::ops::Range<usize> {
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
            let mut buffer = itoa::Buffer::new();
            assert_eq!(Str::Int(value).len(), value.to_string().len());
            assert_eq!(Str::Int(value).bytes(&mut buffer), value.to_string().as_bytes());
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

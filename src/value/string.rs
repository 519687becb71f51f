//! Strings: what a version of kind string holds, and the pure operations on it.

use bytes::Bytes;

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
        todo!()
    }

    /// True if the string has no bytes.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The string's bytes; `buffer` is where an integer is formatted.
    pub fn bytes<'b>(self, _buffer: &'b mut itoa::Buffer) -> &'b [u8]
    where
        'g: 'b,
    {
        todo!()
    }

    /// The string as an integer, if it is one by Redis's strict rule.
    pub fn integer(self) -> Option<i64> {
        todo!()
    }
}

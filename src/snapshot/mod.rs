//! Snapshots, whichever store they are taken of: the seam between the store and the file, and the file.
//!
//! ```text
//! store --keys, items--> Sink = FileSink --frames--> a new file --rename--> PATH
//! PATH --load--> frames --several threads--> Receiver = what puts keys into a store, or only counts them
//! ```
//! `format` has the file byte by byte, `frame` the records in it, `writer` and `loader` the two ways; `home` locks the
//! path for one server.

pub mod format;
mod frame;
mod home;
mod loader;
mod writer;

pub use frame::{Extent, Frame, Items, Part};
pub use home::{Home, NotLocked};
pub use loader::{LoadProgress, Loaded, Receiver, Refused, load, load_from};
pub use writer::{FileSink, Saved, Storage};

use crate::value::Kind;
use std::io;

/// What a snapshot says of a key before its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head<'a> {
    /// The canonical name: namespace, `/`, local key; without them for the default namespace where that is the
    /// key's canonical spelling.
    pub name: &'a [u8],
    /// The type of the value.
    pub kind: Kind,
    /// When the key expires: Unix time in milliseconds.
    pub deadline_ms: Option<u64>,
    /// Bytes of a string, elements of a collection.
    pub len: u64,
}

/// Takes the keys of a snapshot one after the other. A key may come twice, each time with the same value.
///
/// Nothing but [`Sink::write_out`] may wait, for the others are called under a pin. They never fail: an error is
/// kept until `write_out` reports it.
pub trait Sink {
    /// A key begins.
    fn begin(&mut self, head: Head<'_>);

    /// A part of a string, an element of a list, a member of a set or sorted set, and, by turns, a field of a hash
    /// and its value.
    fn item(&mut self, bytes: &[u8]);

    /// The score of the member that came last.
    fn score(&mut self, score: f64);

    /// The key that began last is complete.
    fn end(&mut self);

    /// Bytes taken that are not written out. The walker calls [`Sink::write_out`] when they are some hundred KiB.
    fn buffered(&self) -> usize;

    /// Writes out what it has; called without a pin.
    ///
    /// # Errors
    /// It can't be written.
    fn write_out(&mut self) -> io::Result<()>;
}

#[cfg(test)]
mod tests;

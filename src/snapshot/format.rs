//! The file, byte by byte.
//!
//! All numbers are little-endian. A file is a header of 64 bytes and then frames, one directly after the other, up
//! to the end of the file.
//!
//! # Header
//! | Bytes | What |
//! | --- | --- |
//! | 0-7 | the magic bytes `kvns\r\n\x1a\n`: a file that went through a text conversion has others |
//! | 8-11 | version of the format, 1 |
//! | 12-15 | bytes of the header, 64 |
//! | 16-23 | bytes of the file |
//! | 24-31 | number of frames |
//! | 32-39 | number of keys; one that is there twice counts twice |
//! | 40-47 | when the snapshot was begun: Unix time in milliseconds |
//! | 48-59 | zero |
//! | 60-63 | CRC-32 of the bytes 0-59 |
//!
//! Bytes 0 to 15 mean the same in every version. The header is written last: until then it is all zeros, so a file
//! that was not finished has no magic bytes.
//!
//! # Frame
//! | Bytes | What |
//! | --- | --- |
//! | 0-3 | the letters `FRAM` |
//! | 4-7 | place: 0 whole keys, any number; 1, 2, 3 the first, a further, the last part of one key |
//! | 8-11 | bytes of the body |
//! | 12-15 | CRC-32 of the body |
//! | 16-23 | number of the frame in the file, from 0 on |
//! | 24-27 | stream: number of the key in parts, from 1 on; 0 with whole keys |
//! | 28-31 | CRC-32 of the bytes 0-27 |
//! | 32- | the body |
//!
//! The parts of a key are consecutive frames. Otherwise frames stand for themselves and may be decoded in any order:
//! a key that is there twice has the same value both times, and its beginning replaces what the file said of it.
//!
//! # Body
//! The rkyv 0.8 archive of a [`Body`] (little-endian, aligned, relative pointers of 32 bits), its root at the end;
//! the bytes of names and items come first. In memory it is to begin at an address divisible by 16.
//!
//! ```text
//! bytes    for each entry its name and then its items; nothing between them
//! entries  for each key or part of one: deadline_ms (2^64-1: none), len (bytes of the whole string, elements of the
//!          whole collection), name_len, items (bytes of the string here; otherwise items here), kind
//! lengths  bytes of each item, entry after entry; none for strings
//! scores   of each member of a sorted set, entry after entry
//! ```
//! The items of a hash are its fields and values by turns; a part never ends between a field and its value. The
//! name and the rest of the head are repeated in every part.
//!
//! # Versions
//! A file says its version in front; [`Header::read`] is the one place that looks at it. A later kvns adds an arm
//! there for every version that it can still read, and writes the latest one.

use crate::value::Kind;
use rkyv::vec::{ArchivedVec, VecResolver};
use rkyv::{Archive, Place, Serialize};

/// The first bytes of every snapshot.
pub const MAGIC: [u8; 8] = *b"kvns\r\n\x1a\n";

/// The version that is written.
pub const VERSION: u32 = 1;

/// Bytes of the header.
pub const HEADER_SIZE: usize = 64;

/// Bytes in front of a frame's body; a multiple of the body's alignment.
pub const FRAME_HEADER_SIZE: usize = 32;

/// The first bytes of every frame.
pub const FRAME_MAGIC: [u8; 4] = *b"FRAM";

/// Bytes of a body, at most: the longest item, twice, and what stands beside it.
pub const BODY_MAX: usize = (1 << 30) + (64 << 20);

/// What `deadline_ms` says of a key without a deadline.
pub const NO_DEADLINE: u64 = u64::MAX;

/// The content of a frame.
#[derive(Archive, Serialize)]
pub struct Body {
    /// Names and items.
    pub bytes: Written,
    /// Keys, or the part of one.
    pub entries: Vec<KeyRecord>,
    /// Bytes of each item.
    pub lengths: Vec<u32>,
    /// Scores of members.
    pub scores: Vec<f64>,
}

/// A key, or a part of one.
#[derive(Archive, Clone, Debug, Serialize)]
pub struct KeyRecord {
    /// Unix time in milliseconds, or [`NO_DEADLINE`].
    pub deadline_ms: u64,
    /// Bytes of the whole string, elements of the whole collection.
    pub len: u64,
    /// Bytes of the name.
    pub name_len: u32,
    /// Bytes of the string in this frame, items of a collection in this frame.
    pub items: u32,
    /// The type of the value.
    pub kind: EntryKind,
}

/// The type of a value, as the file has it.
#[derive(Archive, Clone, Copy, Debug, Serialize)]
#[repr(u8)]
pub enum EntryKind {
    /// A string.
    String = 0,
    /// A list.
    List = 1,
    /// A hash.
    Hash = 2,
    /// A set.
    Set = 3,
    /// A sorted set.
    SortedSet = 4,
}

impl From<Kind> for EntryKind {
    fn from(kind: Kind) -> EntryKind {
        match kind {
            Kind::String => EntryKind::String,
            Kind::List => EntryKind::List,
            Kind::Hash => EntryKind::Hash,
            Kind::Set => EntryKind::Set,
            Kind::SortedSet => EntryKind::SortedSet,
        }
    }
}

impl From<&ArchivedEntryKind> for Kind {
    fn from(kind: &ArchivedEntryKind) -> Kind {
        match kind {
            ArchivedEntryKind::String => Kind::String,
            ArchivedEntryKind::List => Kind::List,
            ArchivedEntryKind::Hash => Kind::Hash,
            ArchivedEntryKind::Set => Kind::Set,
            ArchivedEntryKind::SortedSet => Kind::SortedSet,
        }
    }
}

/// Bytes that stand at the front of the archive already, right behind the frame's header: archiving them copies
/// nothing.
pub struct Written {
    /// How many they are.
    pub len: usize,
}

impl Archive for Written {
    type Archived = ArchivedVec<u8>;
    type Resolver = VecResolver;

    fn resolve(&self, resolver: VecResolver, out: Place<ArchivedVec<u8>>) {
        ArchivedVec::resolve_from_len(self.len, resolver, out);
    }
}

impl<S: rkyv::rancor::Fallible + ?Sized> Serialize<S> for Written {
    fn serialize(&self, _: &mut S) -> Result<VecResolver, S::Error> {
        Ok(VecResolver::from_pos(FRAME_HEADER_SIZE))
    }
}

/// What the header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the file.
    pub file_len: u64,
    /// Number of frames.
    pub frames: u64,
    /// Number of keys; one that is there twice counts twice.
    pub keys: u64,
    /// When the snapshot was begun: Unix time in milliseconds.
    pub begun_ms: u64,
}

impl Header {
    /// The header's bytes.
    pub fn write(&self) -> [u8; HEADER_SIZE] {
        let mut bytes = [0; HEADER_SIZE];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&(HEADER_SIZE as u32).to_le_bytes());
        for (place, value) in [self.file_len, self.frames, self.keys, self.begun_ms].into_iter().enumerate() {
            bytes[16 + 8 * place..24 + 8 * place].copy_from_slice(&value.to_le_bytes());
        }
        let sum = crc32fast::hash(&bytes[..HEADER_SIZE - 4]);
        bytes[HEADER_SIZE - 4..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Reads the first bytes of a file of `file_len` bytes.
    ///
    /// # Errors
    /// Why the file is refused.
    pub fn read(bytes: &[u8], file_len: u64) -> Result<Header, String> {
        if file_len == 0 {
            return Err("the file is empty".to_owned());
        }
        let Some((magic, rest)) = bytes.split_first_chunk::<8>() else {
            return Err("it is no kvns snapshot: too short for one".to_owned());
        };
        if *magic != MAGIC {
            return Err(if bytes.iter().all(|byte| *byte == 0) {
                "the snapshot was never finished".to_owned()
            } else {
                "it is no kvns snapshot".to_owned()
            });
        }
        match number(rest, 0) {
            Some(1) => Header::read_first_version(bytes, file_len),
            Some(version) if version > u64::from(VERSION) => Err(format!(
                "its format has version {version}, and this kvns reads versions up to {VERSION}: a newer kvns wrote it"
            )),
            Some(version) => Err(format!("there is no version {version} of the format")),
            None => Err("the header is cut off".to_owned()),
        }
    }

    fn read_first_version(bytes: &[u8], file_len: u64) -> Result<Header, String> {
        let header = bytes.get(..HEADER_SIZE).ok_or("the header is cut off")?;
        let sum = number(header, HEADER_SIZE - 4).unwrap_or_default();
        if u64::from(crc32fast::hash(&header[..HEADER_SIZE - 4])) != sum {
            return Err("the header is damaged: its checksum differs".to_owned());
        }
        let wide =
            |at| number(header, at).unwrap_or_default() | number(header, at + 4).unwrap_or_default() << 32;
        let read = Header { file_len: wide(16), frames: wide(24), keys: wide(32), begun_ms: wide(40) };
        if read.file_len != file_len {
            return Err(format!("it has {file_len} bytes instead of {}: torn or cut off", read.file_len));
        }
        Ok(read)
    }
}

/// The four bytes at `at` as a number.
fn number(bytes: &[u8], at: usize) -> Option<u64> {
    let four = bytes.get(at..)?.first_chunk::<4>()?;
    Some(u64::from(u32::from_le_bytes(*four)))
}

/// The header in front of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// What the frame holds.
    pub place: super::Extent,
    /// Bytes of the body.
    pub body_len: u32,
    /// CRC-32 of the body.
    pub body_sum: u32,
    /// Number of the frame in the file.
    pub number: u64,
    /// Number of the key in parts; 0 with whole keys.
    pub stream: u32,
}

impl FrameHeader {
    /// The header's bytes.
    pub fn write(&self) -> [u8; FRAME_HEADER_SIZE] {
        let mut bytes = [0; FRAME_HEADER_SIZE];
        bytes[..4].copy_from_slice(&FRAME_MAGIC);
        bytes[4..8].copy_from_slice(&(self.place as u32).to_le_bytes());
        bytes[8..12].copy_from_slice(&self.body_len.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.body_sum.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.number.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.stream.to_le_bytes());
        let sum = crc32fast::hash(&bytes[..28]);
        bytes[28..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Reads them; `None` if they are none, or damaged.
    pub fn read(bytes: &[u8; FRAME_HEADER_SIZE]) -> Option<FrameHeader> {
        let field = |at| number(bytes, at).unwrap_or_default();
        if bytes[..4] != FRAME_MAGIC || field(28) != u64::from(crc32fast::hash(&bytes[..28])) {
            return None;
        }
        Some(FrameHeader {
            place: super::Extent::of_number(field(4))?,
            body_len: field(8) as u32,
            body_sum: field(12) as u32,
            number: field(16) | field(20) << 32,
            stream: field(24) as u32,
        })
    }
}

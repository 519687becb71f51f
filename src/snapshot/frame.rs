//! Frames: how the writer fills one and how the loader reads it. `format` has their bytes.

use super::Head;
use super::format::{
    ArchivedBody, ArchivedKeyRecord, Body, EntryKind, FRAME_HEADER_SIZE, FrameHeader, KeyRecord, NO_DEADLINE,
    Written,
};
use crate::value::Kind;
use rkyv::rancor;
use rkyv::rend::{f64_le, u32_le};
use rkyv::util::AlignedVec;
use std::mem::take;

/// Bytes of an entry in a frame, about.
const ENTRY_SIZE: usize = 32;

/// What a frame holds of which keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Extent {
    /// Whole keys.
    Whole = 0,
    /// The first part of one key.
    First = 1,
    /// A part of it between the first and the last.
    Middle = 2,
    /// Its last part.
    Last = 3,
}

impl Extent {
    pub(super) fn of_number(number: u64) -> Option<Extent> {
        [Extent::Whole, Extent::First, Extent::Middle, Extent::Last]
            .into_iter()
            .find(|place| *place as u64 == number)
    }
}

/// A frame that is being filled.
#[derive(Default)]
pub(super) struct Filling {
    /// Room for the frame's header, then names and items.
    bytes: AlignedVec,
    entries: Vec<KeyRecord>,
    lengths: Vec<u32>,
    scores: Vec<f64>,
    /// Where the last key begins in `bytes`, `lengths` and `scores`.
    last: (usize, usize, usize),
}

impl Filling {
    /// Bytes so far, about.
    pub(super) fn size(&self) -> usize {
        self.bytes.len() + ENTRY_SIZE * self.entries.len() + 4 * self.lengths.len() + 8 * self.scores.len()
    }

    /// Bytes so far that are of the last key.
    pub(super) fn size_of_last(&self) -> usize {
        let (bytes, lengths, scores) = self.last;
        self.bytes.len() - bytes + 4 * (self.lengths.len() - lengths) + 8 * (self.scores.len() - scores)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// True if the last key may go on in another frame: a field and its value stay together, and so do a member and
    /// its score.
    pub(super) fn is_between_items(&self) -> bool {
        self.entries.last().is_none_or(|entry| match entry.kind {
            EntryKind::Hash => entry.items.is_multiple_of(2),
            EntryKind::SortedSet => self.scores.len() - self.last.2 == entry.items as usize,
            EntryKind::String | EntryKind::List | EntryKind::Set => true,
        })
    }

    pub(super) fn keys(&self) -> usize {
        self.entries.len()
    }

    /// Starts a key, or a part of one.
    pub(super) fn begin(&mut self, head: Head<'_>) {
        if self.bytes.is_empty() {
            self.bytes.resize(FRAME_HEADER_SIZE, 0);
        }
        self.last = (self.bytes.len(), self.lengths.len(), self.scores.len());
        self.bytes.extend_from_slice(head.name);
        self.entries.push(KeyRecord {
            deadline_ms: head.deadline_ms.unwrap_or(NO_DEADLINE),
            len: head.len,
            // Names and items are bounded by the protocol, far below 2^32.
            name_len: head.name.len() as u32,
            items: 0,
            kind: EntryKind::from(head.kind),
        });
    }

    /// Adds bytes to the string that began last.
    pub(super) fn push_string(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        if let Some(entry) = self.entries.last_mut() {
            entry.items += bytes.len() as u32;
        }
    }

    /// Adds an item to the collection that began last.
    pub(super) fn push_item(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.lengths.push(bytes.len() as u32);
        if let Some(entry) = self.entries.last_mut() {
            entry.items += 1;
        }
    }

    /// Adds the score of the member that came last.
    pub(super) fn push_score(&mut self, score: f64) {
        self.scores.push(score);
    }

    /// Takes the key that began last out, into a frame of its own. O(its bytes).
    pub(super) fn split_last(&mut self) -> Filling {
        let (bytes, lengths, scores) = self.last;
        let mut split = Filling::default();
        split.bytes.resize(FRAME_HEADER_SIZE, 0);
        split.bytes.extend_from_slice(&self.bytes[bytes..]);
        self.bytes.resize(bytes, 0);
        split.lengths = self.lengths.split_off(lengths);
        split.scores = self.scores.split_off(scores);
        split.entries.extend(self.entries.pop());
        split.last = (FRAME_HEADER_SIZE, 0, 0);
        split
    }

    /// Ends the frame: its bytes, header and all. The room of `spare` is used for the next one.
    pub(super) fn seal(
        &mut self,
        place: Extent,
        stream: u32,
        number: u64,
        spare: AlignedVec,
    ) -> Result<AlignedVec, rancor::Error> {
        let bytes = std::mem::replace(&mut self.bytes, spare);
        self.bytes.clear();
        let body = Body {
            bytes: Written { len: bytes.len() - FRAME_HEADER_SIZE },
            entries: take(&mut self.entries),
            lengths: take(&mut self.lengths),
            scores: take(&mut self.scores),
        };
        let mut frame = rkyv::api::high::to_bytes_in::<_, rancor::Error>(&body, bytes)?;
        let Body { entries, lengths, scores, .. } = body;
        (self.entries, self.lengths, self.scores) = (entries, lengths, scores);
        self.entries.clear();
        self.lengths.clear();
        self.scores.clear();
        let body = &frame[FRAME_HEADER_SIZE..];
        let header = FrameHeader {
            place,
            // Frames are some hundred KiB and at most one item beyond that.
            body_len: body.len() as u32,
            body_sum: crc32fast::hash(body),
            number,
            stream,
        };
        frame[..FRAME_HEADER_SIZE].copy_from_slice(&header.write());
        Ok(frame)
    }
}

/// A frame as the loader found it: checked, and to be read as it lies.
#[derive(Clone, Copy)]
pub struct Frame<'f> {
    place: Extent,
    body: &'f ArchivedBody,
}

impl<'f> Frame<'f> {
    /// Reads a body whose checksum was found right. The error says what is wrong with it.
    pub(super) fn decode(body: &'f [u8], place: Extent) -> Result<Frame<'f>, String> {
        let body = rkyv::access::<ArchivedBody, rancor::Error>(body)
            .map_err(|error| format!("its records are damaged: {}", one_line(&error.to_string())))?;
        let frame = Frame { place, body };
        frame.check()?;
        Ok(frame)
    }

    /// Lengths, counts and bytes must come out even, so that reading them cannot fail.
    fn check(&self) -> Result<(), String> {
        let body = self.body;
        let (mut bytes, mut lengths, mut scores) = (0u64, 0usize, 0usize);
        for entry in body.entries.iter() {
            bytes += u64::from(entry.name_len.to_native());
            let items = entry.items.to_native() as usize;
            let kind = Kind::from(&entry.kind);
            if kind == Kind::String {
                bytes += items as u64;
                continue;
            }
            if kind == Kind::Hash && items % 2 == 1 {
                return Err("a field of a hash has no value".to_owned());
            }
            let of_entry = lengths.checked_add(items).and_then(|end| body.lengths.get(lengths..end));
            let of_entry = of_entry.ok_or("items have no lengths")?;
            bytes += of_entry.iter().map(|length| u64::from(length.to_native())).sum::<u64>();
            lengths += items;
            scores += if kind == Kind::SortedSet { items } else { 0 };
        }
        if bytes != body.bytes.len() as u64 || lengths != body.lengths.len() || scores != body.scores.len() {
            return Err("lengths and bytes do not match".to_owned());
        }
        if self.place != Extent::Whole && body.entries.len() != 1 {
            return Err("a part of a key is not alone in its frame".to_owned());
        }
        if body.scores.iter().any(|score| score.to_native().is_nan()) {
            return Err("a score is not a number".to_owned());
        }
        Ok(())
    }

    /// Which part of its key the frame holds, or that it holds whole keys.
    pub fn place(&self) -> Extent {
        self.place
    }

    /// Number of keys in the frame; parts count with the first.
    pub fn keys(&self) -> u64 {
        if matches!(self.place, Extent::Whole | Extent::First) { self.body.entries.len() as u64 } else { 0 }
    }

    /// The keys, or the part of one.
    pub fn parts(&self) -> impl Iterator<Item = Part<'f>> + use<'f> {
        let body = self.body;
        let mut bytes: &'f [u8] = &body.bytes;
        let mut lengths: &'f [u32_le] = &body.lengths;
        let mut scores: &'f [f64_le] = &body.scores;
        body.entries.iter().map(move |entry| {
            let name = cut(&mut bytes, entry.name_len.to_native() as usize);
            let head = head_of(entry, name);
            let items = entry.items.to_native() as usize;
            if head.kind == Kind::String {
                return Part { head, bytes: cut(&mut bytes, items), lengths: &[], scores: &[] };
            }
            let lengths = cut(&mut lengths, items);
            let size = lengths.iter().map(|length| length.to_native() as usize).sum();
            let scores = if head.kind == Kind::SortedSet { cut(&mut scores, items) } else { &[] };
            Part { head, bytes: cut(&mut bytes, size), lengths, scores }
        })
    }
}

fn head_of<'f>(entry: &ArchivedKeyRecord, name: &'f [u8]) -> Head<'f> {
    let deadline_ms = entry.deadline_ms.to_native();
    Head {
        name,
        kind: Kind::from(&entry.kind),
        deadline_ms: (deadline_ms != NO_DEADLINE).then_some(deadline_ms),
        len: entry.len.to_native(),
    }
}

/// Cuts the first `len` off; [`Frame::check`] found that there are so many.
fn cut<'f, T>(rest: &mut &'f [T], len: usize) -> &'f [T] {
    let (first, others) = rest.split_at_checked(len).unwrap_or((rest, &[]));
    *rest = others;
    first
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A key of a snapshot, or a part of one.
#[derive(Clone, Copy, Debug)]
pub struct Part<'f> {
    /// What the file says of the whole key.
    pub head: Head<'f>,
    bytes: &'f [u8],
    lengths: &'f [u32_le],
    scores: &'f [f64_le],
}

impl<'f> Part<'f> {
    /// Bytes of a string.
    pub fn bytes(&self) -> &'f [u8] {
        self.bytes
    }

    /// Items of a collection: fields and values by turns if it is a hash.
    pub fn items(&self) -> Items<'f> {
        Items { bytes: self.bytes, lengths: self.lengths }
    }

    /// Scores of a sorted set's members, in their order.
    pub fn scores(&self) -> impl ExactSizeIterator<Item = f64> + use<'f> {
        self.scores.iter().map(|score| score.to_native())
    }

    /// What of the head's `len` is in this part: bytes of a string, elements of a collection.
    pub fn len(&self) -> u64 {
        match self.head.kind {
            Kind::String => self.bytes.len() as u64,
            Kind::Hash => self.lengths.len() as u64 / 2,
            Kind::List | Kind::Set | Kind::SortedSet => self.lengths.len() as u64,
        }
    }

    /// True if nothing is in this part.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Items of a collection.
#[derive(Clone, Debug)]
pub struct Items<'f> {
    bytes: &'f [u8],
    lengths: &'f [u32_le],
}

impl<'f> Iterator for Items<'f> {
    type Item = &'f [u8];

    fn next(&mut self) -> Option<&'f [u8]> {
        let (length, lengths) = self.lengths.split_first()?;
        self.lengths = lengths;
        Some(cut(&mut self.bytes, length.to_native() as usize))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.lengths.len(), Some(self.lengths.len()))
    }
}

impl ExactSizeIterator for Items<'_> {}

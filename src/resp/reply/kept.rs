//! Large items of collections in replies: what a command answers several times is copied once.
//!
//! HMGET of one field 1,000 times, EXEC of 1,000 LINDEX: such replies hold each item once, however often they name it,
//! so that a client makes the server hold no more than there is.

use super::{MIN_SHARED_LEN, ReplyWriter, Segment};
use bytes::Bytes;
use std::collections::HashMap;

/// Where an item is, and how long.
type Place = (usize, usize);

/// The segments that are copies of items.
#[derive(Debug, Default)]
pub(super) struct Kept {
    segments: HashMap<Place, usize, ahash::RandomState>,
}

/// The place of an item that a segment is a copy of; one without length for none.
pub(super) const NOWHERE: Place = (0, 0);

impl ReplyWriter {
    /// A bulk string of bytes that stay where they are, and as they are, until [`ReplyWriter::forget_kept`].
    #[inline]
    pub fn kept_bulk(&mut self, bytes: &[u8]) {
        if bytes.len() < MIN_SHARED_LEN { self.bulk(bytes) } else { self.kept_segment(bytes) }
    }

    #[cold]
    fn kept_segment(&mut self, bytes: &[u8]) {
        let source = (bytes.as_ptr() as usize, bytes.len());
        let known = self.kept.segments.get(&source).and_then(|index| self.segments.get(*index));
        // The segment may have been taken back or sent since.
        let known = known.filter(|known| known.source == source && known.bytes.len() == bytes.len());
        let is_shared = known.is_some();
        let copy = known.map_or_else(|| Bytes::copy_from_slice(bytes), |known| known.bytes.clone());
        self.header(b'$', bytes.len());
        self.kept.segments.insert(source, self.segments.len());
        self.shared += copy.len();
        self.segments.push(Segment { before: self.buffer.len(), is_shared, bytes: copy, source });
        self.buffer.extend_from_slice(b"\r\n");
    }

    /// From now on items may be elsewhere, or others where they were. To be called before each command outside of a
    /// transaction, and before each one that writes.
    #[inline]
    pub fn forget_kept(&mut self) {
        if !self.kept.segments.is_empty() {
            self.kept.segments.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Buf;

    fn text(writer: &mut ReplyWriter) -> Vec<u8> {
        writer.copy_to_bytes(writer.remaining()).to_vec()
    }

    #[test]
    fn an_item_is_copied_once() {
        let (mut writer, item) = (ReplyWriter::new(), vec![b'x'; MIN_SHARED_LEN]);
        for _ in 0..3 {
            writer.kept_bulk(&item);
        }
        let pointers: Vec<_> = writer.segments.iter().map(|segment| segment.bytes.as_ptr()).collect();
        assert!(pointers.len() == 3 && pointers.iter().all(|pointer| *pointer == pointers[0]));
        let one = [format!("${MIN_SHARED_LEN}\r\n").as_bytes(), &item, b"\r\n"].concat();
        assert_eq!(text(&mut writer), one.repeat(3));
    }

    /// What takes an item's place is another item, whether it was forgotten, taken back or sent.
    #[test]
    fn an_item_in_the_place_of_another_is_copied() {
        let (mut writer, mut item) = (ReplyWriter::new(), vec![b'x'; MIN_SHARED_LEN]);
        writer.kept_bulk(&item);
        writer.forget_kept();
        item.fill(b'y');
        writer.kept_bulk(&item);
        let reply = text(&mut writer);
        assert_eq!(reply.iter().filter(|byte| **byte == b'y').count(), MIN_SHARED_LEN);
        let mark = writer.mark();
        writer.kept_bulk(&item);
        writer.rollback(mark);
        let other = vec![b'z'; MIN_SHARED_LEN];
        writer.kept_bulk(&other);
        writer.kept_bulk(&item);
        let reply = text(&mut writer);
        assert_eq!(reply.iter().filter(|byte| **byte == b'y').count(), MIN_SHARED_LEN);
        assert_eq!(reply.iter().filter(|byte| **byte == b'z').count(), MIN_SHARED_LEN);
    }
}

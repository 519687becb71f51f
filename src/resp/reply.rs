//! Replies to bytes, in RESP2 or RESP3. The one writer of replies.
//!
//! Small replies are collected in one buffer, so that a whole pipelined batch leaves in one write. A reply that
//! grows large leaves the buffer in segments, so that it is never moved as a whole. Large shared values are not
//! copied: they stand beside the buffer as segments, each at its place, and leave by a vectored write. A
//! [`ReplyWriter`] is a [`bytes::Buf`] of what waits to be sent: a connection sends its chunks and advances over
//! what the socket took.

mod kept;

use crate::number::format_double;
use bytes::{Buf, Bytes};
use kept::{Kept, NOWHERE};
use std::io::IoSlice;

/// Shared values of this length and more leave by reference. Below it one copy costs less than the extra
/// pieces of a vectored write and holding the value until it is sent.
pub const MIN_SHARED_LEN: usize = 16 << 10;

/// What a reply writes into the buffer before it becomes a segment.
const SEGMENT_LEN: usize = 256 << 10;

/// What the buffer may keep once everything is sent; larger ones are given back.
const MAX_KEPT_CAPACITY: usize = 256 << 10;

/// The protocol version of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Protocol {
    /// RESP2, what every connection starts with.
    #[default]
    Resp2,
    /// RESP3, after HELLO 3.
    Resp3,
}

/// A shared value that leaves without being copied, or a part of a large reply.
#[derive(Clone, Debug)]
struct Segment {
    /// Offset in the buffer of the byte it stands before.
    before: usize,
    /// True if others share it.
    is_shared: bool,
    bytes: Bytes,
    /// The item that it is a copy of.
    source: (usize, usize),
}

/// Collects the replies of a batch of commands. Aggregates are announced by their length, then written
/// element by element. Every write costs O(bytes copied).
#[derive(Debug, Default)]
pub struct ReplyWriter {
    protocol: Protocol,
    buffer: Vec<u8>,
    segments: Vec<Segment>,
    /// Where the last mark stands in the buffer: what is before it stays there.
    marked: usize,
    /// Bytes in all segments.
    shared: usize,
    /// Bytes of the buffer that were sent.
    sent: usize,
    /// Segments that were sent, and bytes of the next one.
    sent_segments: usize,
    sent_of_segment: usize,
    /// Bytes of all segments that were sent.
    sent_shared: usize,
    /// Where pushes stand among replies that nobody wants; `None` while replies are wanted.
    muted_pushes: Option<Vec<(ReplyMark, ReplyMark)>>,
    kept: Kept,
}

impl ReplyWriter {
    /// An empty writer that speaks RESP2.
    pub fn new() -> ReplyWriter {
        ReplyWriter::default()
    }

    /// The protocol of replies to come.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Changes the protocol of replies to come; what was written stays as it is.
    pub fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    /// `+text`. The text has no line ends: it comes from the server, never from a client.
    pub fn simple(&mut self, text: &str) {
        debug_assert!(!text.contains(['\r', '\n']));
        self.line(b'+', text.as_bytes());
    }

    /// `-text`; CR and LF at the ends of text are dropped, as Redis does, and those inside become spaces.
    pub fn error(&mut self, text: &[u8]) {
        let is_line_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
        let from = text.iter().position(|byte| !is_line_end(byte)).unwrap_or(text.len());
        let to = text.iter().rposition(|byte| !is_line_end(byte)).map_or(from, |last| last + 1);
        let (text, start) = (&text[from..to], self.buffer.len() + 1);
        self.line(b'-', text);
        let end = self.buffer.len() - 2;
        for byte in &mut self.buffer[start..end] {
            if is_line_end(byte) {
                *byte = b' ';
            }
        }
    }

    /// `:value`
    pub fn integer(&mut self, value: i64) {
        match value {
            0..=9 => self.buffer.extend_from_slice(&[b':', b'0' + value as u8, b'\r', b'\n']),
            _ => self.line(b':', itoa::Buffer::new().format(value).as_bytes()),
        }
    }

    /// A reply that was encoded before.
    pub fn encoded(&mut self, reply: &[u8]) {
        self.buffer.extend_from_slice(reply);
    }

    /// A bulk string.
    #[inline]
    pub fn bulk(&mut self, bytes: &[u8]) {
        if self.buffer.len() - self.marked >= SEGMENT_LEN {
            self.cut();
        }
        self.header(b'$', bytes.len());
        self.buffer.extend_from_slice(bytes);
        self.buffer.extend_from_slice(b"\r\n");
    }

    /// A bulk string of `len` bytes that come in `parts`; a large one leaves the buffer in segments.
    pub fn bulk_parts<'p>(&mut self, len: usize, parts: impl Iterator<Item = &'p [u8]>) {
        self.header(b'$', len);
        if len < MIN_SHARED_LEN {
            parts.for_each(|part| self.buffer.extend_from_slice(part));
        } else {
            let mut left = len;
            let mut segment = Vec::new();
            for part in parts {
                if segment.len() + part.len() > segment.capacity() {
                    self.push_segment(Bytes::from(std::mem::take(&mut segment)), false);
                    segment.reserve_exact(left.min(SEGMENT_LEN).max(part.len()));
                }
                segment.extend_from_slice(part);
                left -= part.len();
            }
            self.push_segment(Bytes::from(segment), false);
        }
        self.buffer.extend_from_slice(b"\r\n");
    }

    /// A bulk string of decimal digits.
    pub fn bulk_integer(&mut self, value: i64) {
        self.bulk(itoa::Buffer::new().format(value).as_bytes());
    }

    /// A bulk string of shared bytes: copied if shorter than [`MIN_SHARED_LEN`], else held by reference until
    /// sent.
    pub fn shared_bulk(&mut self, bytes: &Bytes) {
        if bytes.len() < MIN_SHARED_LEN {
            return self.bulk(bytes);
        }
        self.header(b'$', bytes.len());
        self.push_segment(bytes.clone(), true);
        self.buffer.extend_from_slice(b"\r\n");
    }

    /// No value: `$-1`, or `_` in RESP3.
    pub fn null(&mut self) {
        self.either(b"$-1\r\n", b"_\r\n");
    }

    /// No array: `*-1`, or `_` in RESP3.
    pub fn null_array(&mut self) {
        self.either(b"*-1\r\n", b"_\r\n");
    }

    /// Announces an array; its `len` elements follow.
    pub fn array(&mut self, len: usize) {
        self.header(b'*', len);
    }

    /// Announces a map; its `pairs` keys and values follow in turn. RESP2: an array of 2 x `pairs` elements.
    pub fn map(&mut self, pairs: usize) {
        match self.protocol {
            Protocol::Resp2 => self.header(b'*', pairs * 2),
            Protocol::Resp3 => self.header(b'%', pairs),
        }
    }

    /// Announces a set; its `len` members follow. RESP2: an array.
    pub fn set(&mut self, len: usize) {
        self.aggregate(b'~', len);
    }

    /// Announces a push message; its `len` elements follow. RESP2: an array.
    pub fn push(&mut self, len: usize, elements: impl FnOnce(&mut ReplyWriter)) {
        let start = self.muted_pushes.is_some().then(|| self.mark());
        self.aggregate(b'>', len);
        elements(self);
        if let Some(start) = start {
            let end = self.mark();
            self.muted_pushes.get_or_insert_default().push((start, end));
        }
    }

    /// A double. RESP2: a bulk string.
    pub fn double(&mut self, value: f64) {
        let text = format_double(value);
        match self.protocol {
            Protocol::Resp2 => self.bulk(&text),
            Protocol::Resp3 => self.line(b',', &text),
        }
    }

    /// A boolean. RESP2: integer 0 or 1.
    pub fn boolean(&mut self, value: bool) {
        match value {
            true => self.either(b":1\r\n", b"#t\r\n"),
            false => self.either(b":0\r\n", b"#f\r\n"),
        }
    }

    /// Text for people. RESP2: a bulk string. `format` has three characters, such as `txt` or `mkd`.
    pub fn verbatim(&mut self, format: &str, text: &[u8]) {
        debug_assert_eq!(format.len(), 3);
        match self.protocol {
            Protocol::Resp2 => self.bulk(text),
            Protocol::Resp3 => {
                self.header(b'=', format.len() + 1 + text.len());
                self.buffer.extend_from_slice(format.as_bytes());
                self.buffer.push(b':');
                self.buffer.extend_from_slice(text);
                self.buffer.extend_from_slice(b"\r\n");
            }
        }
    }

    /// Bytes waiting to be sent, shared ones included. O(1).
    pub fn pending(&self) -> usize {
        self.buffer.len() - self.sent + self.shared - self.sent_shared
    }

    /// Bytes of memory that it takes; values that are still shared with others are not its own. O(segments).
    pub fn footprint(&self) -> usize {
        let is_own = |segment: &&Segment| !segment.is_shared || segment.bytes.is_unique();
        let own = self.segments[self.sent_segments..].iter().filter(is_own);
        self.buffer.capacity()
            + self.segments.capacity() * size_of::<Segment>()
            + own.map(|segment| segment.bytes.len()).sum::<usize>()
    }

    /// Forgets all that waits to be sent but the first `count` bytes, if no segment was sent in part. O(segments).
    ///
    /// # Panics
    /// If fewer wait.
    pub fn keep_first(&mut self, count: usize) {
        debug_assert_eq!(self.sent_of_segment, 0);
        let mut excess = self.pending().checked_sub(count).expect("no more than what waits");
        while excess > 0 {
            let last = self.segments[self.sent_segments..].last_mut();
            let behind =
                self.buffer.len() - last.as_ref().map_or(self.sent, |segment| segment.before.max(self.sent));
            let cut = excess.min(behind);
            self.buffer.truncate(self.buffer.len() - cut);
            excess -= cut;
            let Some(last) = last else { break };
            let cut = excess.min(last.bytes.len());
            last.bytes.truncate(last.bytes.len() - cut);
            (excess, self.shared) = (excess - cut, self.shared - cut);
            if last.bytes.is_empty() {
                self.segments.pop();
            }
        }
        self.marked = self.marked.min(self.buffer.len());
    }

    /// True if nothing waits to be sent. O(1).
    pub fn is_empty(&self) -> bool {
        self.pending() == 0
    }

    /// A mark to come back to, good until bytes are sent. O(1).
    pub fn mark(&mut self) -> ReplyMark {
        self.marked = self.buffer.len();
        ReplyMark { buffer: self.buffer.len(), segments: self.segments.len(), shared: self.shared }
    }

    /// Forgets everything written since `mark`. What was sent since then cannot be forgotten; the connection
    /// sends nothing while a mark is held.
    pub fn rollback(&mut self, mark: ReplyMark) {
        debug_assert!(mark.buffer >= self.sent && mark.segments >= self.sent_segments);
        self.buffer.truncate(mark.buffer);
        self.segments.truncate(mark.segments);
        self.shared = mark.shared;
        self.marked = mark.buffer;
    }

    /// Forgets everything that waits to be sent, and gives large memory back. The protocol stays.
    pub fn clear(&mut self) {
        self.buffer.clear();
        self.segments.clear();
        self.forget_kept();
        (self.marked, self.shared, self.sent, self.sent_segments) = (0, 0, 0, 0);
        (self.sent_of_segment, self.sent_shared) = (0, 0);
        self.shrink(MAX_KEPT_CAPACITY);
    }

    /// Gives back what an empty writer's buffer holds beyond `capacity` bytes: for connections that fall
    /// idle. Does nothing while bytes wait to be sent.
    pub fn shrink(&mut self, capacity: usize) {
        if self.is_empty() {
            self.buffer.shrink_to(capacity);
            self.segments.shrink_to(capacity / size_of::<Segment>());
        }
    }

    /// Puts a segment behind what was written.
    fn push_segment(&mut self, bytes: Bytes, is_shared: bool) {
        if !bytes.is_empty() {
            self.shared += bytes.len();
            self.segments.push(Segment { before: self.buffer.len(), is_shared, bytes, source: NOWHERE });
        }
    }

    /// Makes a segment of what was written since the last mark, or the last segment, if that is much.
    #[cold]
    fn cut(&mut self) {
        let behind = self.segments.last().map_or(0, |segment| segment.before);
        let start = behind.max(self.marked).max(self.sent);
        if self.buffer.len() - start >= SEGMENT_LEN {
            let bytes = Bytes::from(self.buffer.split_off(start));
            self.shared += bytes.len();
            self.segments.push(Segment { before: start, is_shared: false, bytes, source: NOWHERE });
        }
    }

    /// What is written from now on is wanted for its pushes only, unless [`ReplyWriter::unmute`] says otherwise. The
    /// same holds as for [`ReplyWriter::mark`].
    pub fn mute(&mut self) -> ReplyMark {
        self.muted_pushes = Some(Vec::new());
        self.mark()
    }

    /// What was written since [`ReplyWriter::mute`] is wanted after all.
    pub fn unmute(&mut self) {
        self.muted_pushes = None;
    }

    /// Forgets what was written since `mark`, where [`ReplyWriter::mute`] began, but for the pushes.
    pub fn forget_muted(&mut self, mark: ReplyMark) {
        let pushes = self.muted_pushes.take().unwrap_or_default();
        if pushes.is_empty() {
            return self.rollback(mark);
        }
        let written = self.take_since(mark);
        pushes.into_iter().for_each(|(from, to)| self.rewrite(&written, from, to));
    }

    /// Takes back what was written since `mark`, to write parts of it again. The same holds as for
    /// [`ReplyWriter::rollback`].
    pub fn take_since(&mut self, mark: ReplyMark) -> Written {
        let written = Written {
            start: mark,
            buffer: self.buffer[mark.buffer..].to_vec(),
            segments: self.segments[mark.segments..].to_vec(),
        };
        self.rollback(mark);
        written
    }

    /// Writes again what was written between two marks. O(bytes).
    pub fn rewrite(&mut self, written: &Written, from: ReplyMark, to: ReplyMark) {
        let start = written.start;
        let moved = self.buffer.len();
        self.buffer.extend_from_slice(&written.buffer[from.buffer - start.buffer..to.buffer - start.buffer]);
        for segment in &written.segments[from.segments - start.segments..to.segments - start.segments] {
            self.shared += segment.bytes.len();
            let before = segment.before - from.buffer + moved;
            self.segments.push(Segment { before, ..segment.clone() });
        }
    }

    fn aggregate(&mut self, resp3: u8, len: usize) {
        match self.protocol {
            Protocol::Resp2 => self.header(b'*', len),
            Protocol::Resp3 => self.header(resp3, len),
        }
    }

    fn either(&mut self, resp2: &[u8], resp3: &[u8]) {
        match self.protocol {
            Protocol::Resp2 => self.buffer.extend_from_slice(resp2),
            Protocol::Resp3 => self.buffer.extend_from_slice(resp3),
        }
    }

    /// A type byte, a length and a line end. Lengths of one or two digits, nearly all there are, take one
    /// copy of fixed size.
    #[inline]
    fn header(&mut self, kind: u8, len: usize) {
        match len {
            0..=9 => self.buffer.extend_from_slice(&[kind, b'0' + len as u8, b'\r', b'\n']),
            10..=99 => {
                let (tens, ones) = (b'0' + (len / 10) as u8, b'0' + (len % 10) as u8);
                self.buffer.extend_from_slice(&[kind, tens, ones, b'\r', b'\n']);
            }
            _ => self.line(kind, itoa::Buffer::new().format(len).as_bytes()),
        }
    }

    fn line(&mut self, kind: u8, text: &[u8]) {
        self.buffer.reserve(text.len() + 3);
        self.buffer.push(kind);
        self.buffer.extend_from_slice(text);
        self.buffer.extend_from_slice(b"\r\n");
    }

    /// The end of the buffer's next piece: where the next unsent segment stands, or the buffer's end.
    fn piece_end(&self) -> usize {
        self.segments.get(self.sent_segments).map_or(self.buffer.len(), |segment| segment.before)
    }
}

/// What waits to be sent. Once the last byte was advanced over, the writer is clear again.
impl Buf for ReplyWriter {
    fn remaining(&self) -> usize {
        self.pending()
    }

    fn chunk(&self) -> &[u8] {
        let end = self.piece_end();
        match self.segments.get(self.sent_segments) {
            Some(segment) if self.sent == end => &segment.bytes[self.sent_of_segment..],
            _ => &self.buffer[self.sent..end],
        }
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut filled = 0;
        let mut fill = |bytes: &'a [u8]| {
            if bytes.is_empty() {
                return true;
            }
            let Some(slice) = slices.get_mut(filled) else { return false };
            *slice = IoSlice::new(bytes);
            filled += 1;
            true
        };
        let (mut from, mut skip) = (self.sent, self.sent_of_segment);
        for segment in &self.segments[self.sent_segments..] {
            if !fill(&self.buffer[from..segment.before]) || !fill(&segment.bytes[skip..]) {
                return filled;
            }
            (from, skip) = (segment.before, 0);
        }
        fill(&self.buffer[from..]);
        filled
    }

    /// # Panics
    /// If `count` is more than what waits.
    fn advance(&mut self, mut count: usize) {
        assert!(count <= self.pending(), "cannot advance over more than waits to be sent");
        while count > 0 {
            let chunk = self.chunk().len();
            let step = chunk.min(count);
            if self.sent < self.piece_end() {
                self.sent += step;
            } else {
                self.sent_shared += step;
                self.sent_of_segment += step;
                if step == chunk {
                    // The value's memory is not held longer than it takes to send it.
                    self.segments[self.sent_segments].bytes = Bytes::new();
                    self.sent_segments += 1;
                    self.sent_of_segment = 0;
                }
            }
            count -= step;
        }
        if self.is_empty() {
            self.clear();
        }
    }
}

/// A place in a [`ReplyWriter`]'s output.
#[derive(Clone, Copy, Debug)]
pub struct ReplyMark {
    buffer: usize,
    segments: usize,
    shared: usize,
}

/// Replies that were taken back, to be written again in parts.
#[derive(Debug)]
pub struct Written {
    start: ReplyMark,
    buffer: Vec<u8>,
    segments: Vec<Segment>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything that waits, read as a socket would take it: `step` bytes at a time.
    fn sent(mut writer: ReplyWriter, step: usize) -> Vec<u8> {
        let mut out = Vec::new();
        while writer.has_remaining() {
            let len = writer.chunk().len().min(step);
            out.extend_from_slice(&writer.chunk()[..len]);
            writer.advance(len);
        }
        out
    }

    fn both(write: impl Fn(&mut ReplyWriter)) -> (String, String) {
        let [resp2, resp3] = [Protocol::Resp2, Protocol::Resp3].map(|protocol| {
            let mut writer = ReplyWriter::new();
            writer.set_protocol(protocol);
            write(&mut writer);
            assert_eq!(writer.pending(), writer.buffer.len());
            String::from_utf8(sent(writer, usize::MAX)).unwrap()
        });
        (resp2, resp3)
    }

    #[test]
    fn every_shape_in_both_protocols() {
        type Write = fn(&mut ReplyWriter);
        let cases: &[(Write, &str, &str)] = &[
            (|w| w.simple("OK"), "+OK\r\n", "+OK\r\n"),
            (|w| w.error(b"ERR a\r\nb"), "-ERR a  b\r\n", "-ERR a  b\r\n"),
            (|w| w.integer(7), ":7\r\n", ":7\r\n"),
            (|w| w.integer(-10), ":-10\r\n", ":-10\r\n"),
            (|w| w.integer(i64::MIN), ":-9223372036854775808\r\n", ":-9223372036854775808\r\n"),
            (|w| w.bulk(b""), "$0\r\n\r\n", "$0\r\n\r\n"),
            (|w| w.bulk(b"a\r\nb"), "$4\r\na\r\nb\r\n", "$4\r\na\r\nb\r\n"),
            (|w| w.bulk(b"0123456789"), "$10\r\n0123456789\r\n", "$10\r\n0123456789\r\n"),
            (|w| w.bulk_integer(-12), "$3\r\n-12\r\n", "$3\r\n-12\r\n"),
            (|w| w.shared_bulk(&Bytes::from_static(b"x")), "$1\r\nx\r\n", "$1\r\nx\r\n"),
            (|w| w.null(), "$-1\r\n", "_\r\n"),
            (|w| w.null_array(), "*-1\r\n", "_\r\n"),
            (|w| w.array(3), "*3\r\n", "*3\r\n"),
            (|w| w.array(99), "*99\r\n", "*99\r\n"),
            (|w| w.array(100), "*100\r\n", "*100\r\n"),
            (|w| w.map(7), "*14\r\n", "%7\r\n"),
            (|w| w.set(2), "*2\r\n", "~2\r\n"),
            (|w| w.push(3, |_| {}), "*3\r\n", ">3\r\n"),
            (|w| w.double(1.5), "$3\r\n1.5\r\n", ",1.5\r\n"),
            (|w| w.double(0.1), "$19\r\n0.10000000000000001\r\n", ",0.10000000000000001\r\n"),
            (|w| w.double(f64::NEG_INFINITY), "$4\r\n-inf\r\n", ",-inf\r\n"),
            (|w| w.boolean(true), ":1\r\n", "#t\r\n"),
            (|w| w.boolean(false), ":0\r\n", "#f\r\n"),
            (|w| w.verbatim("txt", b"hi"), "$2\r\nhi\r\n", "=6\r\ntxt:hi\r\n"),
        ];
        for (write, resp2, resp3) in cases {
            assert_eq!(both(write), (resp2.to_string(), resp3.to_string()));
        }
    }

    /// Two large values, one of them first, and what the wire must carry.
    fn with_segments() -> (ReplyWriter, Vec<u8>) {
        let large = Bytes::from(vec![b'x'; MIN_SHARED_LEN]);
        let larger = Bytes::from(vec![b'y'; MIN_SHARED_LEN * 2 + 1]);
        let mut writer = ReplyWriter::new();
        let mut expected = Vec::new();
        for value in [&large, &larger, &larger] {
            writer.shared_bulk(value);
            expected.extend_from_slice(format!("${}\r\n", value.len()).as_bytes());
            expected.extend_from_slice(value);
            expected.extend_from_slice(b"\r\n");
        }
        writer.integer(1);
        expected.extend_from_slice(b":1\r\n");
        (writer, expected)
    }

    #[test]
    fn large_values_leave_by_reference_and_in_place() {
        let (writer, expected) = with_segments();
        assert!(writer.buffer.len() < 100);
        assert_eq!(writer.pending(), expected.len());
        for step in [1, 7, 1000, usize::MAX] {
            assert_eq!(sent(with_segments().0, step), expected);
        }
    }

    #[test]
    fn vectored_chunks_are_the_same_bytes() {
        for (slots, skip) in [(1, 0), (2, 3), (16, 0), (16, 20_000), (3, 16 << 10)] {
            let (mut writer, expected) = with_segments();
            writer.advance(skip);
            let mut slices = vec![IoSlice::new(&[]); slots];
            let filled = writer.chunks_vectored(&mut slices);
            let bytes: Vec<u8> = slices[..filled].iter().flat_map(|slice| slice.iter().copied()).collect();
            assert!(filled <= slots && !bytes.is_empty());
            assert_eq!(bytes, expected[skip..skip + bytes.len()]);
            assert!(slots < 16 || bytes.len() == expected.len() - skip);
        }
    }

    #[test]
    fn rollback_forgets_segments_too() {
        let (mut writer, expected) = with_segments();
        let mark = writer.mark();
        writer.shared_bulk(&Bytes::from(vec![b'z'; MIN_SHARED_LEN]));
        writer.error(b"ERR no");
        writer.rollback(mark);
        assert_eq!(writer.pending(), expected.len());
        assert_eq!(sent(writer, 999), expected);
    }

    #[test]
    fn bulks_in_parts_are_the_same_bytes() {
        for len in [0, 1, 8000, MIN_SHARED_LEN - 1, MIN_SHARED_LEN, SEGMENT_LEN, 3 * SEGMENT_LEN + 1] {
            for size in [1, 5000, 8174, 2 * SEGMENT_LEN] {
                let bytes: Vec<u8> = (0..len).map(|at| at as u8).collect();
                let (mut writer, mut whole) = (ReplyWriter::new(), ReplyWriter::new());
                for _ in 0..2 {
                    writer.bulk_parts(len, bytes.chunks(size));
                    whole.bulk(&bytes);
                }
                assert_eq!(writer.pending(), whole.pending());
                assert_eq!(sent(writer, 99_999), sent(whole, 99_999));
            }
        }
    }

    #[test]
    fn large_replies_leave_the_buffer_and_can_be_taken_back() {
        let (mut writer, mut expected) = (ReplyWriter::new(), Vec::new());
        let item = vec![b'x'; 1000];
        for round in 0..3 {
            let mark = writer.mark();
            let before = expected.len();
            writer.array(1000);
            expected.extend_from_slice(b"*1000\r\n");
            for _ in 0..1000 {
                writer.bulk(&item);
                expected.extend_from_slice(&[b"$1000\r\n", &item[..], b"\r\n"].concat());
            }
            assert!(writer.buffer.len() < 2 * SEGMENT_LEN * (round + 1) && !writer.segments.is_empty());
            if round == 1 {
                writer.rollback(mark);
                expected.truncate(before);
            }
            assert_eq!(writer.pending(), expected.len());
        }
        assert_eq!(sent(writer, 4000), expected);
    }

    #[test]
    fn what_was_taken_back_is_written_again_in_parts() {
        let large = Bytes::from(vec![b'z'; MIN_SHARED_LEN]);
        let (mut writer, mut expected) = with_segments();
        let start = writer.mark();
        writer.shared_bulk(&large);
        let middle = writer.mark();
        writer.integer(5);
        let end = writer.mark();
        let written = writer.take_since(start);
        assert_eq!(writer.pending(), expected.len());
        writer.rewrite(&written, middle, end);
        writer.simple("between");
        writer.rewrite(&written, start, middle);
        expected.extend_from_slice(format!(":5\r\n+between\r\n${}\r\n", large.len()).as_bytes());
        expected.extend_from_slice(&large);
        expected.extend_from_slice(b"\r\n");
        assert_eq!(writer.pending(), expected.len());
        assert_eq!(sent(writer, 999), expected);
    }

    #[test]
    fn replies_written_behind_a_partial_send_follow_in_order() {
        let (mut writer, expected) = with_segments();
        writer.advance(expected.len() - 2);
        writer.integer(2);
        assert_eq!(sent(writer, 1), b"\r\n:2\r\n");
    }

    #[test]
    fn a_sent_writer_gives_large_memory_back() {
        let mut writer = ReplyWriter::new();
        writer.set_protocol(Protocol::Resp3);
        writer.bulk(&vec![b'x'; MAX_KEPT_CAPACITY * 4]);
        writer.advance(writer.pending());
        assert!(writer.is_empty() && writer.buffer.capacity() <= MAX_KEPT_CAPACITY);
        assert_eq!(writer.protocol(), Protocol::Resp3);
        writer.shrink(0);
        assert_eq!(writer.buffer.capacity(), 0);
        writer.integer(1);
        writer.shrink(0);
        assert_eq!(writer.pending(), 4);
    }
}

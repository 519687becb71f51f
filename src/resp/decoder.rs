//! Bytes to requests.
//!
//! [`Decoder::decode`] reads all complete requests at the front of the read buffer, up to a bound, without
//! copying: a request is a list of spans over the buffer. Only inline commands are copied, because their
//! escapes change bytes. An incomplete request leaves behind how far it was read, so bytes that were looked
//! at are not looked at again. Nothing is allocated because a header announces it: spans are stored one by
//! one as their bytes arrive.
//!
//! A request beyond the limits is read past: the caller learns what to answer in its place, and the bytes that follow
//! are counted and dropped as they come. Only what is beyond Redis's own limits is an error.
//!
//! As in Redis, the byte behind a header's CR and the two bytes behind a bulk string are skipped unseen, and
//! empty requests (`*0`, a negative count, a blank line) are skipped without a reply.

use super::inline::{self, UnbalancedQuotes};
use super::{Limits, Request, Span};
use crate::number::parse_integer;
use memchr::memchr;

/// Requests after which a call of [`Decoder::decode`] stops, so that a batch stays bounded.
pub const MAX_BATCH_REQUESTS: usize = 1024;

/// Bytes of requests after which a call of [`Decoder::decode`] stops.
pub const MAX_BATCH_BYTES: usize = 256 << 10;

/// Arguments and bytes of a bulk string up to which a request that is beyond the limits is read past.
const MOST_ARGS: usize = 1 << 20;
const MOST_BULK_LEN: usize = 512 << 20;

/// Lines of this length are never too long: every header of a length in range fits, so that headers can be
/// read without looking at [`Limits::inline_len`].
const MIN_LINE_LEN: usize = 32;

/// Spans and requests that [`Decoder::shrink`] leaves room for.
const KEPT_SPANS: usize = 64;
const KEPT_REQUESTS: usize = 16;

/// What a call of [`Decoder::decode`] found.
#[derive(Debug)]
pub struct Decoded {
    /// Bytes at the front of the input that the decoded requests and skipped empty ones cover; to be dropped
    /// from the input once the requests have run, before `decode` is called again.
    pub consumed: usize,
    /// True if the call stopped at its bound with input left: call again with the rest before reading more.
    pub more: bool,
    /// Which limit the request behind the decoded ones is beyond. It is read past from here on, and `more` is true.
    pub refused: Option<ProtocolError>,
    /// What is wrong with the bytes behind the decoded requests; the connection closes after their replies.
    pub error: Option<ProtocolError>,
}

/// Why the input is not RESP, or more than the limits allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// The number of arguments is no number, or beyond 32 bits.
    InvalidMultibulkLength,
    /// A command announces more arguments than its limit.
    TooManyArguments {
        /// Arguments announced.
        count: usize,
        /// [`Limits::args`].
        limit: usize,
    },
    /// An inline command has more arguments than its limit.
    TooManyInlineArguments {
        /// Arguments found.
        count: usize,
        /// [`Limits::args`].
        limit: usize,
    },
    /// The length of a bulk string is negative or no number.
    InvalidBulkLength,
    /// A bulk string announces more bytes than its limit.
    BulkTooLong {
        /// Bytes announced.
        len: usize,
        /// [`Limits::bulk_len`].
        limit: usize,
    },
    /// Something else than a bulk string stands where an argument should.
    ExpectedBulk {
        /// The byte found in place of `$`.
        found: u8,
    },
    /// The line that announces an array does not end within [`Limits::inline_len`].
    MultibulkLineTooLong,
    /// The line that announces a bulk string does not end within [`Limits::inline_len`].
    BulkLineTooLong,
    /// An inline command does not end within [`Limits::inline_len`].
    InlineTooLong,
    /// The quotes of an inline command do not balance.
    UnbalancedQuotes,
}

impl ProtocolError {
    /// The error reply's text, what follows `-ERR `. One line; a byte that was not expected is shown as it is.
    pub fn message(&self) -> Vec<u8> {
        if let ProtocolError::ExpectedBulk { found } = self {
            let shown = if matches!(found, b'\r' | b'\n') { b' ' } else { *found };
            return [b"Protocol error: expected '$', got '", &[shown][..], b"'"].concat();
        }
        format!("Protocol error: {}", self.reason()).into_bytes()
    }

    /// The text without the words that say that the connection is at its end.
    pub fn reason(&self) -> String {
        match self {
            ProtocolError::InvalidMultibulkLength => "invalid multibulk length".to_string(),
            ProtocolError::TooManyArguments { count, limit } => {
                format!("invalid multibulk length: {count} arguments exceed KVNS_MAX_RESP_ARGS ({limit})")
            }
            ProtocolError::TooManyInlineArguments { count, limit } => {
                format!("too big inline request: {count} arguments exceed KVNS_MAX_RESP_ARGS ({limit})")
            }
            ProtocolError::InvalidBulkLength => "invalid bulk length".to_string(),
            ProtocolError::BulkTooLong { len, limit } => {
                format!("invalid bulk length: {len} bytes exceed KVNS_MAX_RESP_BULK_LEN ({limit})")
            }
            ProtocolError::ExpectedBulk { .. } => "expected '$'".to_string(),
            ProtocolError::MultibulkLineTooLong => "too big mbulk count string".to_string(),
            ProtocolError::BulkLineTooLong => "too big bulk count string".to_string(),
            ProtocolError::InlineTooLong => "too big inline request".to_string(),
            ProtocolError::UnbalancedQuotes => "unbalanced quotes in request".to_string(),
        }
    }
}

impl From<UnbalancedQuotes> for ProtocolError {
    fn from(_: UnbalancedQuotes) -> ProtocolError {
        ProtocolError::UnbalancedQuotes
    }
}

/// How far an incomplete request was read. Offsets count from the request's first byte.
#[derive(Clone, Copy, Debug, Default)]
struct PartialRequest {
    /// Where reading goes on: the first byte of a line, or of a bulk string's content.
    position: usize,
    /// Arguments that are still to come; 0 before the array's header was read.
    missing_args: usize,
    /// The length of the bulk string at `position`, once its header was read.
    bulk_len: Option<usize>,
    /// No line end stands before this offset.
    searched: usize,
}

/// What is still to come of a request that is read past.
#[derive(Debug)]
struct Past {
    /// Arguments, the present one included.
    missing_args: usize,
    /// Bytes of the present argument, its line end included; 0 before its header.
    left: usize,
}

/// What stands at the front of the input.
enum Found {
    /// A request of this many bytes; its spans were stored.
    Request { len: usize },
    /// An empty request of this many bytes.
    Nothing { len: usize },
    /// The beginning of a request; how far it goes was stored.
    Incomplete,
}

/// A decoded request: its spans end at `end_span`, and begin where those of the request before it end.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// The input offset that the spans count from; none for inline commands, whose bytes were copied.
    origin: Option<usize>,
    end_span: usize,
}

/// An incremental decoder of RESP arrays and inline commands. Keeps how far it got with an incomplete
/// request, so a request that arrives in many reads costs O(its length) in total.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    /// The requests the last `decode` found.
    requests: Vec<Bounds>,
    /// Their spans, and behind them those of the incomplete request.
    spans: Vec<Span>,
    /// The bytes of inline commands, without quotes and escapes.
    unquoted: Vec<u8>,
    progress: PartialRequest,
    /// The request that is read past, if there is one; then nothing is known of another.
    past: Option<Past>,
    wanted: usize,
}

impl Decoder {
    /// A decoder at the start of a connection.
    pub fn new(limits: Limits) -> Decoder {
        Decoder {
            limits,
            requests: Vec::new(),
            spans: Vec::new(),
            unquoted: Vec::new(),
            progress: PartialRequest::default(),
            past: None,
            wanted: 0,
        }
    }

    /// Changes the limits. What a half-read request has announced before still stands.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Decodes the complete requests at the front of `input`, up to [`MAX_BATCH_REQUESTS`] requests or
    /// [`MAX_BATCH_BYTES`] bytes. `input` is everything received and not yet consumed: what an earlier call
    /// left, with more bytes behind it. O(bytes that no earlier call has read).
    pub fn decode(&mut self, input: &[u8]) -> Decoded {
        self.forget_requests();
        let mut consumed = 0;
        if self.past.is_some() {
            match self.pass(input) {
                Ok(passed) => consumed = passed,
                Err(error) => return Decoded { consumed, more: false, refused: None, error: Some(error) },
            }
            if self.past.is_some() {
                return Decoded { consumed, more: false, refused: None, error: None };
            }
        }
        let mut more = false;
        let mut refused = None;
        let error = loop {
            if self.requests.len() >= MAX_BATCH_REQUESTS
                || (consumed >= MAX_BATCH_BYTES && !self.requests.is_empty())
            {
                more = consumed < input.len();
                break None;
            }
            let rest = &input[consumed..];
            let found = match rest {
                [b'*', ..] => self.read_array(rest),
                [_, ..] => self.read_inline(rest),
                [] => break None,
            };
            match found {
                Ok(Found::Request { len }) => {
                    let origin = (rest[0] == b'*').then_some(consumed);
                    self.requests.push(Bounds { origin, end_span: self.spans.len() });
                    consumed += len;
                }
                Ok(Found::Nothing { len }) => consumed += len,
                Ok(Found::Incomplete) => break None,
                Err(error) => {
                    let position = self.progress.position;
                    self.forget_incomplete();
                    if self.past.is_some() {
                        (consumed, more, refused) = (consumed + position, true, Some(error));
                        break None;
                    }
                    break Some(error);
                }
            }
        };
        self.wanted = match self.progress.bulk_len {
            Some(len) => len.saturating_add(2) - (input.len() - consumed - self.progress.position),
            None => 0,
        };
        Decoded { consumed, more, refused, error }
    }

    /// True while a request is read past.
    pub fn is_passing(&self) -> bool {
        self.past.is_some()
    }

    /// Reads past the request in progress, which is all that `input` holds, as if it were beyond a limit. Returns the
    /// bytes of it that are consumed; `None` if too little of it is there to know where it ends.
    pub fn give_up(&mut self, input: &[u8]) -> Option<usize> {
        let PartialRequest { position, missing_args, bulk_len, .. } = self.progress;
        if missing_args == 0 {
            return None;
        }
        self.forget_requests();
        self.forget_incomplete();
        let left = bulk_len.map_or(0, |len| len.saturating_add(2));
        let passed = left.min(input.len() - position);
        self.past = Some(Past { missing_args, left: left - passed });
        self.wanted = 0;
        Some(position + passed)
    }

    /// Number of requests the last `decode` found.
    pub fn count(&self) -> usize {
        self.requests.len()
    }

    /// Request `index` of the last `decode`, over the same `input`. O(1).
    ///
    /// # Panics
    /// If `index` is not below [`Decoder::count`].
    #[inline]
    pub fn request<'a>(&'a self, input: &'a [u8], index: usize) -> Request<'a> {
        let bounds = self.requests[index];
        let first_span = index.checked_sub(1).map_or(0, |before| self.requests[before].end_span);
        let spans = &self.spans[first_span..bounds.end_span];
        match bounds.origin {
            Some(origin) => Request::new(&input[origin..], spans),
            None => Request::new(&self.unquoted, spans),
        }
    }

    /// Bytes that the bulk string at the end of the last `decode`'s input still lacks, its line end
    /// included; 0 if none has begun. A hint for the size of the next read, and no more than an
    /// announcement: cap it.
    pub fn wanted(&self) -> usize {
        self.wanted
    }

    /// Bytes of memory that it takes.
    pub fn footprint(&self) -> usize {
        self.unquoted.capacity()
            + self.spans.capacity() * size_of::<Span>()
            + self.requests.capacity() * size_of::<Bounds>()
    }

    /// Forgets the decoded requests and gives memory back but for a few requests: for connections that fall
    /// idle. An incomplete request is kept.
    pub fn shrink(&mut self) {
        self.forget_requests();
        self.requests.shrink_to(KEPT_REQUESTS);
        self.spans.shrink_to(KEPT_SPANS);
        self.unquoted.shrink_to(0);
    }

    /// Drops what the last call found; the incomplete request's spans move to the front.
    fn forget_requests(&mut self) {
        if let Some(last) = self.requests.last() {
            self.spans.drain(..last.end_span);
            self.requests.clear();
            self.unquoted.clear();
        }
    }

    /// Drops what is known of the request in progress, so that it would be read from its start.
    fn forget_incomplete(&mut self) {
        self.spans.truncate(self.requests.last().map_or(0, |last| last.end_span));
        self.progress = PartialRequest::default();
    }

    /// Reads on past a request, which continues at the front of `rest`. Returns the bytes that it has passed.
    #[cold]
    fn pass(&mut self, rest: &[u8]) -> Result<usize, ProtocolError> {
        self.wanted = 0;
        let mut passed = 0;
        let Some(mut past) = self.past.take() else { return Ok(0) };
        while past.missing_args > 0 {
            if past.left == 0 {
                let Some((len, content)) = self.passed_header(&rest[passed..])? else { break };
                (past.left, passed) = (len + 2, passed + content);
            }
            let step = past.left.min(rest.len() - passed);
            (past.left, passed) = (past.left - step, passed + step);
            if past.left > 0 {
                break;
            }
            past.missing_args -= 1;
        }
        self.past = (past.missing_args > 0).then_some(past);
        Ok(passed)
    }

    /// The length that the header at the front of `rest` announces, and where its content begins; `None` if the line is
    /// incomplete.
    fn passed_header(&mut self, rest: &[u8]) -> Result<Option<(usize, usize)>, ProtocolError> {
        if let Some(header) =
            short_length(rest, 0).filter(|(len, _)| rest[0] == b'$' && *len <= MOST_BULK_LEN)
        {
            return Ok(Some(header));
        }
        let limits = Limits { bulk_len: MOST_BULK_LEN, ..self.limits };
        let kept = std::mem::replace(&mut self.limits, limits);
        let header = self.read_bulk_header(rest);
        (self.limits, self.progress) = (kept, PartialRequest::default());
        header
    }

    /// Reads the array at the front of `rest`, from where an earlier call stopped.
    #[inline]
    fn read_array(&mut self, rest: &[u8]) -> Result<Found, ProtocolError> {
        let PartialRequest { mut position, mut missing_args, mut bulk_len, .. } = self.progress;
        if position == 0 {
            let (count, next) = match short_length(rest, 0) {
                Some((count, next)) if count <= self.limits.args => (count, next),
                _ => match self.read_array_header(rest)? {
                    Some(header) => header,
                    None => return Ok(Found::Incomplete),
                },
            };
            if count == 0 {
                self.progress = PartialRequest::default();
                return Ok(Found::Nothing { len: next });
            }
            (missing_args, position) = (count, next);
        }
        while missing_args > 0 {
            let len = match bulk_len.take() {
                Some(len) => len,
                None => {
                    let header = match short_length(rest, position) {
                        Some(header) if rest[position] == b'$' && header.0 <= self.limits.bulk_len => {
                            Some(header)
                        }
                        _ => {
                            self.progress =
                                PartialRequest { position, missing_args, bulk_len: None, ..self.progress };
                            self.read_bulk_header(rest)?
                        }
                    };
                    let Some((len, content)) = header else { return Ok(Found::Incomplete) };
                    position = content;
                    len
                }
            };
            // Both sides stay in range: the position never passes the end, and `len` may be anything.
            if rest.len() - position < len.saturating_add(2) {
                self.progress = PartialRequest { position, missing_args, bulk_len: Some(len), searched: 0 };
                return Ok(Found::Incomplete);
            }
            self.spans.push(Span { start: position, len });
            position += len + 2;
            missing_args -= 1;
        }
        self.progress = PartialRequest::default();
        Ok(Found::Request { len: position })
    }

    /// Reads the header of an array with all its checks: the number of arguments, 0 for a negative one, and
    /// where the first one begins. `None` if the line is incomplete.
    #[cold]
    fn read_array_header(&mut self, rest: &[u8]) -> Result<Option<(usize, usize)>, ProtocolError> {
        let Some(end) = self.find_line_end(rest, b'\r', ProtocolError::MultibulkLineTooLong)? else {
            return Ok(None);
        };
        let count = parse_integer(&rest[1..end])
            .filter(|count| *count <= i64::from(i32::MAX))
            .ok_or(ProtocolError::InvalidMultibulkLength)?;
        let count = usize::try_from(count).unwrap_or(0);
        let limit = self.limits.args;
        if count > limit {
            let error = ProtocolError::TooManyArguments { count, limit };
            return Err(self.begin_passing(error, end + 2, count, 0, count <= MOST_ARGS));
        }
        Ok(Some((count, end + 2)))
    }

    /// Reads the header of a bulk string with all its checks: its length, and where its content begins.
    /// `None` if the line is incomplete.
    #[cold]
    fn read_bulk_header(&mut self, rest: &[u8]) -> Result<Option<(usize, usize)>, ProtocolError> {
        let Some(end) = self.find_line_end(rest, b'\r', ProtocolError::BulkLineTooLong)? else {
            return Ok(None);
        };
        let line = &rest[self.progress.position..end];
        match line.first() {
            Some(b'$') => {}
            first => return Err(ProtocolError::ExpectedBulk { found: *first.unwrap_or(&b'\r') }),
        }
        let len = parse_integer(&line[1..])
            .and_then(|len| usize::try_from(len).ok())
            .ok_or(ProtocolError::InvalidBulkLength)?;
        let limit = self.limits.bulk_len;
        if len > limit {
            let error = ProtocolError::BulkTooLong { len, limit };
            let missing_args = self.progress.missing_args;
            return Err(self.begin_passing(
                error,
                end + 2,
                missing_args,
                len.saturating_add(2),
                len <= MOST_BULK_LEN,
            ));
        }
        Ok(Some((len, end + 2)))
    }

    /// A request is beyond a limit: from `position` on it is read past, if that `is_bearable`. Returns the error.
    fn begin_passing(
        &mut self,
        error: ProtocolError,
        position: usize,
        missing_args: usize,
        left: usize,
        is_bearable: bool,
    ) -> ProtocolError {
        if is_bearable {
            self.progress.position = position;
            self.past = Some(Past { missing_args, left });
        }
        error
    }

    /// Reads the inline command at the front of `rest`.
    #[cold]
    fn read_inline(&mut self, rest: &[u8]) -> Result<Found, ProtocolError> {
        let Some(end) = self.find_line_end(rest, b'\n', ProtocolError::InlineTooLong)? else {
            return Ok(Found::Incomplete);
        };
        self.progress = PartialRequest::default();
        let before = self.spans.len();
        inline::split(&rest[..end], &mut self.unquoted, &mut self.spans)?;
        let (count, limit) = (self.spans.len() - before, self.limits.args);
        let len = end + 1;
        match count {
            0 => Ok(Found::Nothing { len }),
            _ if count > limit => {
                let error = ProtocolError::TooManyInlineArguments { count, limit };
                Err(self.begin_passing(error, len, 0, 0, true))
            }
            _ => Ok(Found::Request { len }),
        }
    }

    /// Finds the end of the line at `progress.position`: a CR with one more byte behind it, or a LF. `None`
    /// if there is none yet; the search goes on from there. Whether a line is too long depends on its
    /// length alone, never on how it was cut into reads.
    fn find_line_end(
        &mut self,
        rest: &[u8],
        terminator: u8,
        too_long: ProtocolError,
    ) -> Result<Option<usize>, ProtocolError> {
        let start = self.progress.position;
        let from = self.progress.searched.max(start);
        let last = start.saturating_add(self.limits.inline_len.max(MIN_LINE_LEN));
        let window = &rest[from..rest.len().min(last.saturating_add(1)).max(from)];
        match memchr(terminator, window) {
            Some(at) if terminator == b'\r' && from + at + 1 == rest.len() => {
                self.progress.searched = from + at;
                Ok(None)
            }
            Some(at) => Ok(Some(from + at)),
            None if rest.len() > last => Err(too_long),
            None => {
                self.progress.searched = rest.len();
                Ok(None)
            }
        }
    }
}

/// Reads a line of a type byte, one to nine digits and a line end, as nearly every header is: the number and
/// where the next line begins. `None` leaves the line, complete or not, to a careful reader.
#[inline(always)]
fn short_length(rest: &[u8], at: usize) -> Option<(usize, usize)> {
    let line = rest.get(at + 1..)?;
    let (first, second) = (line.first()?.wrapping_sub(b'0'), *line.get(1)?);
    if first > 9 {
        return None;
    }
    if second == b'\r' {
        return (line.len() > 2).then_some((usize::from(first), at + 4));
    }
    if first == 0 {
        return None;
    }
    let mut value = usize::from(first);
    for (index, byte) in line.iter().enumerate().take(10).skip(1) {
        let digit = byte.wrapping_sub(b'0');
        if digit <= 9 && index < 9 {
            value = value * 10 + usize::from(digit);
        } else {
            return (*byte == b'\r' && line.len() > index + 1).then_some((value, at + index + 3));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { args: 8, bulk_len: 100, inline_len: 64 };

    /// All requests and the error, if any, of an input that is there at once; and what was not consumed.
    fn decode(input: &[u8]) -> (Vec<Vec<String>>, Option<String>, usize) {
        let mut decoder = Decoder::new(LIMITS);
        let mut requests = Vec::new();
        let mut rest = input;
        loop {
            let decoded = decoder.decode(rest);
            requests.extend((0..decoder.count()).map(|index| {
                let request = decoder.request(rest, index);
                request.iter().map(|arg| String::from_utf8_lossy(arg).into_owned()).collect::<Vec<_>>()
            }));
            rest = &rest[decoded.consumed..];
            requests.extend(decoded.refused.map(|refused| vec![format!("({})", refused.reason())]));
            if !decoded.more {
                let error = decoded.error.map(|error| String::from_utf8_lossy(&error.message()).into_owned());
                return (requests, error, rest.len());
            }
        }
    }

    fn requests(input: &str) -> Vec<Vec<String>> {
        let (requests, error, left) = decode(input.as_bytes());
        assert_eq!((error, left), (None, 0), "{input:?}");
        requests
    }

    fn error(input: &str) -> String {
        let (requests, error, _) = decode(input.as_bytes());
        assert!(requests.is_empty(), "{input:?}");
        let error = error.unwrap_or_else(|| panic!("{input:?} was taken"));
        error.strip_prefix("Protocol error: ").map(str::to_string).unwrap()
    }

    #[test]
    fn arrays_and_inline_commands_mix() {
        assert_eq!(
            requests("*2\r\n$3\r\nGET\r\n$0\r\n\r\nPING \"a b\"\n*1\r\n$4\r\nPING\r\nset k 'v'\r\n"),
            [vec!["GET", ""], vec!["PING", "a b"], vec!["PING"], vec!["set", "k", "v"]]
        );
        let long = "x".repeat(100);
        assert_eq!(requests(&format!("*1\r\n$100\r\n{long}\r\n")), [[long]]);
    }

    #[test]
    fn empty_requests_are_skipped() {
        assert_eq!(requests("*0\r\n*-1\r\n*-77\r\n\r\n\n  \t\r\nPING\r\n*0\r\n"), [["PING"]]);
    }

    #[test]
    fn bytes_redis_skips_unseen_are_skipped() {
        assert_eq!(requests("*1\rx$4\rzPINGxxPING\r\n"), [["PING"], ["PING"]]);
    }

    #[test]
    fn malformed_input_gets_the_texts_of_redis() {
        for input in ["*abc\r\n", "*\r\n", "*+1\r\n", "*01\r\n", "*1 \r\n", "*1\n$4\r\n", "*2147483648\r\n"] {
            assert_eq!(error(input), "invalid multibulk length", "{input:?}");
        }
        for input in ["$-1", "$", "$+4", "$04", "$4294967296000000000000", "$1x", "$9223372036854775808"] {
            assert_eq!(error(&format!("*1\r\n{input}\r\n")), "invalid bulk length", "{input:?}");
        }
        assert_eq!(error("*1\r\n+PING\r\n"), "expected '$', got '+'");
        assert_eq!(error("*1\r\n5\r\n"), "expected '$', got '5'");
        assert_eq!(error("*1\r\n\r\n"), "expected '$', got ' '");
        assert_eq!(error("ping \"a\r\n"), "unbalanced quotes in request");
        let line = "1".repeat(65);
        assert_eq!(error(&line), "too big inline request");
        assert_eq!(error(&format!("*{line}")), "too big mbulk count string");
        assert_eq!(error(&format!("*1\r\n${line}")), "too big bulk count string");
    }

    #[test]
    fn limits_name_themselves() {
        let args = "$1\r\na\r\n".repeat(9);
        let bulk = "x".repeat(101);
        let input = format!(
            "PING\r\n*9\r\n{args}*3\r\n$1\r\na\r\n$101\r\n{bulk}\r\n$1\r\nb\r\na b c d e f g h i\r\nPING\r\n"
        );
        let expected = [
            "PING",
            "(invalid multibulk length: 9 arguments exceed KVNS_MAX_RESP_ARGS (8))",
            "(invalid bulk length: 101 bytes exceed KVNS_MAX_RESP_BULK_LEN (100))",
            "(too big inline request: 9 arguments exceed KVNS_MAX_RESP_ARGS (8))",
            "PING",
        ];
        assert_eq!(requests(&input), expected.map(|text| vec![text.to_string()]));
        assert_eq!(requests("a b c d e f g h\r\n")[0].len(), 8);
    }

    #[test]
    fn what_is_read_past_is_not_kept_however_it_is_cut() {
        let input =
            [b"*9\r\n".to_vec(), b"$150\r\n".to_vec(), vec![b'x'; 152], b"$1\r\na\r\n".repeat(8)].concat();
        for step in 1..input.len() {
            let (mut decoder, mut buffer, mut refused) = (Decoder::new(LIMITS), Vec::new(), 0);
            for piece in input.chunks(step) {
                buffer.extend_from_slice(piece);
                let mut decoded = decoder.decode(&buffer);
                buffer.drain(..decoded.consumed);
                assert!(decoded.more || buffer.len() < 8);
                assert!(decoded.error.is_none() && decoder.count() == 0, "{step}");
                refused += usize::from(decoded.refused.is_some());
                while decoded.more {
                    decoded = decoder.decode(&buffer);
                    buffer.drain(..decoded.consumed);
                }
            }
            assert!(refused == 1 && !decoder.is_passing() && decoder.spans.capacity() == 0);
            assert_eq!(decoder.decode(b"PING\r\n").consumed, 6);
        }
    }

    #[test]
    fn a_request_can_be_given_up_wherever_it_is() {
        let input = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$10\r\n0123456789\r\n";
        for end in 0..input.len() {
            let mut decoder = Decoder::new(LIMITS);
            assert_eq!(decoder.decode(&input[..end]).consumed, 0);
            let given_up = decoder.give_up(&input[..end]);
            assert_eq!(given_up.is_some(), end >= 4, "{end}");
            let from = given_up.unwrap_or(0);
            let rest = [&input[from..], b"PING\r\n"].concat();
            let decoded = decoder.decode(&rest);
            assert_eq!((decoded.consumed, decoded.error), (rest.len(), None), "{end}");
            assert_eq!(decoder.count(), if end >= 4 { 1 } else { 2 }, "{end}");
        }
    }

    #[test]
    fn what_is_beyond_all_bounds_or_malformed_is_not_read_past() {
        assert_eq!(
            error("*1048577\r\n"),
            "invalid multibulk length: 1048577 arguments exceed KVNS_MAX_RESP_ARGS (8)"
        );
        assert_eq!(
            error("*1\r\n$536870913\r\n"),
            "invalid bulk length: 536870913 bytes exceed KVNS_MAX_RESP_BULK_LEN (100)"
        );
        for (rest, expected) in [
            (":1\r\n", "expected '$', got ':'"),
            ("$-1\r\n", "invalid bulk length"),
            (
                "$536870913\r\n",
                "invalid bulk length: 536870913 bytes exceed KVNS_MAX_RESP_BULK_LEN (536870912)",
            ),
        ] {
            let (requests, error, _) = decode(format!("*9\r\n$1\r\na\r\n{rest}").as_bytes());
            assert_eq!((requests.len(), error), (1, Some(format!("Protocol error: {expected}"))));
        }
    }

    #[test]
    fn limits_can_change_between_calls() {
        let mut decoder = Decoder::new(LIMITS);
        decoder.set_limits(Limits { bulk_len: 2, ..LIMITS });
        let refused = decoder.decode(b"*1\r\n$3\r\nabc\r\n").refused;
        assert_eq!(refused, Some(ProtocolError::BulkTooLong { len: 3, limit: 2 }));
    }

    #[test]
    fn requests_before_an_error_are_found_and_the_error_stays() {
        let input = b"PING\r\n*2\r\n$1\r\na\r\n!";
        let mut decoder = Decoder::new(LIMITS);
        let decoded = decoder.decode(input);
        assert_eq!((decoded.consumed, decoder.count()), (6, 1));
        assert_eq!(decoded.error, None);
        let input = [&input[6..], b"\r\n"].concat();
        for _ in 0..2 {
            let decoded = decoder.decode(&input);
            assert_eq!((decoded.consumed, decoder.count()), (0, 0));
            assert_eq!(decoded.error, Some(ProtocolError::ExpectedBulk { found: b'!' }));
        }
    }

    #[test]
    fn an_error_leaves_nothing_of_its_request_behind() {
        let mut decoder = Decoder::new(LIMITS);
        for half in [b"SET a \"b\r\n".as_slice(), b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n!!!\r\n"] {
            assert!(decoder.decode(half).error.is_some());
            let input = b"*1\r\n$4\r\nPING\r\n";
            assert_eq!((decoder.decode(input).error, decoder.count()), (None, 1));
            assert_eq!(decoder.request(input, 0).iter().collect::<Vec<_>>(), [b"PING"]);
        }
    }

    #[test]
    fn a_batch_is_bounded_by_requests_and_by_bytes() {
        let input = b"PING\r\n".repeat(MAX_BATCH_REQUESTS + 1);
        let mut decoder = Decoder::new(Limits::default());
        let first = decoder.decode(&input);
        assert_eq!((decoder.count(), first.more), (MAX_BATCH_REQUESTS, true));
        let second = decoder.decode(&input[first.consumed..]);
        assert_eq!((decoder.count(), second.more), (1, false));

        let large = format!("*1\r\n${MAX_BATCH_BYTES}\r\n{}\r\n", "x".repeat(MAX_BATCH_BYTES));
        let input = large.repeat(2).into_bytes();
        assert!(decoder.decode(&input).more);
        assert_eq!(decoder.count(), 1);

        // However many empty requests come first, a call that stops early has found some request.
        let input = ["*0\r\n".repeat(MAX_BATCH_BYTES), "PING\r\n".to_string()].concat();
        assert_eq!(decoder.decode(input.as_bytes()).consumed, input.len());
        assert_eq!(decoder.count(), 1);
    }

    #[test]
    fn headers_allocate_nothing() {
        let mut decoder = Decoder::new(Limits { args: 1 << 30, bulk_len: 1 << 40, inline_len: 64 });
        assert_eq!(decoder.decode(b"*1000000000\r\n$999999999999\r\nabc").error, None);
        assert!(decoder.spans.capacity() == 0 && decoder.unquoted.capacity() == 0);
        assert_eq!(decoder.wanted(), 999_999_999_999 + 2 - 3);
    }

    #[test]
    fn wanted_counts_down_and_vanishes() {
        let mut decoder = Decoder::new(LIMITS);
        let input = b"*1\r\n$5\r\nhello\r\n";
        let wanted = (0..=input.len()).map(|len| {
            decoder.decode(&input[..len]);
            decoder.wanted()
        });
        assert_eq!(wanted.collect::<Vec<_>>(), [0, 0, 0, 0, 0, 0, 0, 0, 7, 6, 5, 4, 3, 2, 1, 0]);
    }

    #[test]
    fn shrinking_keeps_the_incomplete_request() {
        let input = [b"PING\r\n".repeat(500), b"*2\r\n$1\r\na\r\n$1\r\n".to_vec()].concat();
        let mut decoder = Decoder::new(LIMITS);
        let consumed = decoder.decode(&input).consumed;
        decoder.shrink();
        assert!(decoder.count() == 0 && decoder.spans.capacity() <= KEPT_SPANS);
        let rest = [&input[consumed..], b"b\r\n"].concat();
        assert_eq!(decoder.decode(&rest).consumed, rest.len());
        assert_eq!(decoder.request(&rest, 0).iter().collect::<Vec<_>>(), [b"a", b"b"]);
    }
}

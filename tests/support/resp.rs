//! Commands to bytes and replies to values: RESP2 and RESP3, written independently of `kvns::resp`.

use std::fmt;

/// A command: its name and arguments.
pub type Command = Vec<Vec<u8>>;

/// A parsed reply. Every form of the wire has its own variant, so equal values have equal bytes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Value {
    /// `+`
    Simple(Vec<u8>),
    /// `-`
    Error(Vec<u8>),
    /// `:`
    Integer(i64),
    /// `$`
    Bulk(Vec<u8>),
    /// `$-1`
    NullBulk,
    /// `*-1`
    NullArray,
    /// `_`
    Null,
    /// `*`
    Array(Vec<Value>),
    /// `%`
    Map(Vec<(Value, Value)>),
    /// `~`
    Set(Vec<Value>),
    /// `>`
    Push(Vec<Value>),
    /// `,` as its text
    Double(Vec<u8>),
    /// `#`
    Boolean(bool),
    /// `=` with its format
    Verbatim(Vec<u8>),
    /// `(` as its text
    BigNumber(Vec<u8>),
}

impl Value {
    /// `+OK`
    pub fn ok() -> Value {
        Value::Simple(b"OK".to_vec())
    }

    /// A simple string.
    pub fn simple(text: &str) -> Value {
        Value::Simple(text.as_bytes().to_vec())
    }

    /// An error of this text.
    pub fn error(text: &str) -> Value {
        Value::Error(text.as_bytes().to_vec())
    }

    /// A bulk string.
    pub fn bulk(bytes: impl AsRef<[u8]>) -> Value {
        Value::Bulk(bytes.as_ref().to_vec())
    }

    /// True for any form of null.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::NullBulk | Value::NullArray | Value::Null)
    }

    /// True for an error reply.
    pub fn is_error(&self) -> bool {
        matches!(self, Value::Error(_))
    }

    /// The integer, or the decimal integer in a bulk string.
    pub fn integer(&self) -> i64 {
        match self {
            Value::Integer(value) => *value,
            Value::Bulk(bytes) => String::from_utf8_lossy(bytes).parse().expect("a decimal integer"),
            other => panic!("not an integer: {other:?}"),
        }
    }

    /// The elements of an array, set or push.
    pub fn elements(&self) -> &[Value] {
        match self {
            Value::Array(elements) | Value::Set(elements) | Value::Push(elements) => elements,
            other => panic!("not an array: {other:?}"),
        }
    }

    /// The bytes of a string or error.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Value::Simple(bytes) | Value::Error(bytes) | Value::Bulk(bytes) | Value::Verbatim(bytes) => bytes,
            other => panic!("not a string: {other:?}"),
        }
    }

    /// The bytes of a string or error as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.bytes()).into_owned()
    }

    /// True for an error whose text begins with `prefix`.
    pub fn is_error_of(&self, prefix: &str) -> bool {
        matches!(self, Value::Error(text) if text.starts_with(prefix.as_bytes()))
    }
}

/// Bytes as printable text: what is not printable ASCII is escaped, long ones are cut.
pub fn printable(bytes: &[u8]) -> String {
    const SHOWN: usize = 240;
    let mut text = bytes[..bytes.len().min(SHOWN)].escape_ascii().to_string();
    if bytes.len() > SHOWN {
        text.push_str(&format!("... ({} bytes)", bytes.len()));
    }
    text
}

/// A command as one printable line.
pub fn printable_command(command: &[Vec<u8>]) -> String {
    let words: Vec<String> = command
        .iter()
        .map(|word| {
            let plain = !word.is_empty() && word.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'"');
            if plain && word.len() < 200 { printable(word) } else { format!("\"{}\"", printable(word)) }
        })
        .collect();
    words.join(" ")
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Simple(bytes) => write!(f, "+{}", printable(bytes)),
            Value::Error(bytes) => write!(f, "-{}", printable(bytes)),
            Value::Integer(value) => write!(f, ":{value}"),
            Value::Bulk(bytes) => write!(f, "\"{}\"", printable(bytes)),
            Value::NullBulk => f.write_str("$-1"),
            Value::NullArray => f.write_str("*-1"),
            Value::Null => f.write_str("_"),
            Value::Array(elements) => f.debug_list().entries(elements).finish(),
            Value::Map(pairs) => f.debug_map().entries(pairs.iter().map(|(k, v)| (k, v))).finish(),
            Value::Set(elements) => f.debug_set().entries(elements).finish(),
            Value::Push(elements) => {
                f.write_str(">")?;
                f.debug_list().entries(elements).finish()
            }
            Value::Double(text) => write!(f, ",{}", printable(text)),
            Value::Boolean(value) => write!(f, "#{value}"),
            Value::Verbatim(bytes) => write!(f, "=\"{}\"", printable(bytes)),
            Value::BigNumber(text) => write!(f, "({}", printable(text)),
        }
    }
}

/// Appends a command as a RESP array of bulk strings.
pub fn encode(command: &[Vec<u8>], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("*{}\r\n", command.len()).as_bytes());
    for argument in command {
        out.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        out.extend_from_slice(argument);
        out.extend_from_slice(b"\r\n");
    }
}

/// Parses the reply at the front of `input`: the value and its length, or `None` while it is incomplete.
/// Panics on bytes that are not RESP, with what they are.
pub fn parse(input: &[u8]) -> Option<(Value, usize)> {
    let line_end = input.windows(2).position(|pair| pair == b"\r\n")?;
    let (kind, line) = (input[0], &input[1..line_end]);
    let at = line_end + 2;
    let length = || -> i64 {
        std::str::from_utf8(line)
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or_else(|| panic!("not a RESP header: {}", printable(input)))
    };
    match kind {
        b'+' => Some((Value::Simple(line.to_vec()), at)),
        b'-' => Some((Value::Error(line.to_vec()), at)),
        b':' => Some((Value::Integer(length()), at)),
        b',' => Some((Value::Double(line.to_vec()), at)),
        b'(' => Some((Value::BigNumber(line.to_vec()), at)),
        b'#' => Some((Value::Boolean(line == b"t"), at)),
        b'_' => Some((Value::Null, at)),
        b'$' if line == b"-1" => Some((Value::NullBulk, at)),
        b'*' if line == b"-1" => Some((Value::NullArray, at)),
        b'$' | b'=' => {
            let end = at + length() as usize;
            if input.len() < end + 2 {
                return None;
            }
            assert_eq!(&input[end..end + 2], b"\r\n", "a bulk string without its end: {}", printable(input));
            let bytes = input[at..end].to_vec();
            Some((if kind == b'$' { Value::Bulk(bytes) } else { Value::Verbatim(bytes) }, end + 2))
        }
        b'*' | b'~' | b'>' | b'%' => parse_aggregate(kind, length() as usize, input, at),
        _ => panic!("not a RESP reply: {}", printable(input)),
    }
}

/// Parses the elements of an aggregate of `length` elements (pairs, for a map) from `at` on.
fn parse_aggregate(kind: u8, length: usize, input: &[u8], mut at: usize) -> Option<(Value, usize)> {
    let count = if kind == b'%' { 2 * length } else { length };
    let mut elements = Vec::new();
    for _ in 0..count {
        let (element, used) = parse(&input[at..])?;
        elements.push(element);
        at += used;
    }
    let value = match kind {
        b'*' => Value::Array(elements),
        b'~' => Value::Set(elements),
        b'>' => Value::Push(elements),
        _ => {
            let mut elements = elements.into_iter();
            let mut pairs = Vec::new();
            while let (Some(key), Some(value)) = (elements.next(), elements.next()) {
                pairs.push((key, value));
            }
            Value::Map(pairs)
        }
    };
    Some((value, at))
}

/// Splits a line into words by the quoting rules of inline commands.
pub fn split_line(line: &str) -> Command {
    let bytes = line.as_bytes();
    let (mut words, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        if bytes[at] == b' ' {
            at += 1;
            continue;
        }
        let (word, next) = match bytes[at] {
            b'"' => double_quoted(bytes, at + 1),
            b'\'' => {
                let end =
                    at + 1 + bytes[at + 1..].iter().position(|byte| *byte == b'\'').expect("a closing '");
                (bytes[at + 1..end].to_vec(), end + 1)
            }
            _ => {
                let end = bytes[at..].iter().position(|byte| *byte == b' ').map_or(bytes.len(), |n| at + n);
                (bytes[at..end].to_vec(), end)
            }
        };
        words.push(word);
        at = next;
    }
    words
}

/// The word inside double quotes from `at` on, and where the line goes on.
fn double_quoted(bytes: &[u8], mut at: usize) -> (Vec<u8>, usize) {
    let mut word = Vec::new();
    while bytes[at] != b'"' {
        if bytes[at] == b'\\' {
            at += 1;
            match bytes[at] {
                b'n' => word.push(b'\n'),
                b'r' => word.push(b'\r'),
                b't' => word.push(b'\t'),
                b'x' => {
                    let digits = std::str::from_utf8(&bytes[at + 1..at + 3]).expect("two hex digits");
                    word.push(u8::from_str_radix(digits, 16).expect("two hex digits"));
                    at += 2;
                }
                other => word.push(other),
            }
        } else {
            word.push(bytes[at]);
        }
        at += 1;
    }
    (word, at + 1)
}

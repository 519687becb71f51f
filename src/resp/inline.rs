//! Inline commands: one line of text, split by blanks, with quotes.
//!
//! ```text
//! "..."   \n \r \t \b \a and \xHH stand for a byte, \ and any other byte for that byte
//! '...'   \' stands for a quote
//! ```
//!
//! A closing quote ends its argument: a blank or the end of the line must follow. An opening one may stand
//! anywhere. Because escapes change bytes, arguments are copied into a buffer of their own.

use super::Span;

/// A quote that is not closed, or one that is closed in the middle of an argument.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UnbalancedQuotes;

/// Splits `line`, which has no line end, appending the arguments' bytes to `bytes` and their places in it to
/// `spans`. On an error both hold a part of the arguments. O(length).
pub(super) fn split(line: &[u8], bytes: &mut Vec<u8>, spans: &mut Vec<Span>) -> Result<(), UnbalancedQuotes> {
    let mut rest = line;
    loop {
        while let [b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c, tail @ ..] = rest {
            rest = tail;
        }
        if rest.is_empty() {
            return Ok(());
        }
        let start = bytes.len();
        rest = argument(rest, bytes)?;
        spans.push(Span { start, len: bytes.len() - start });
    }
}

/// Appends the argument at the front of `rest` to `bytes`; returns what follows it.
fn argument<'a>(mut rest: &'a [u8], bytes: &mut Vec<u8>) -> Result<&'a [u8], UnbalancedQuotes> {
    loop {
        let [byte, tail @ ..] = rest else { return Ok(rest) };
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' => return Ok(rest),
            b'"' => return ended(double_quoted(tail, bytes)?),
            b'\'' => return ended(single_quoted(tail, bytes)?),
            _ => bytes.push(*byte),
        }
        rest = tail;
    }
}

/// Checks that nothing but a blank follows a closing quote.
fn ended(rest: &[u8]) -> Result<&[u8], UnbalancedQuotes> {
    match rest {
        [] | [b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c, ..] => Ok(rest),
        _ => Err(UnbalancedQuotes),
    }
}

fn double_quoted<'a>(mut rest: &'a [u8], bytes: &mut Vec<u8>) -> Result<&'a [u8], UnbalancedQuotes> {
    loop {
        rest = match rest {
            [] => return Err(UnbalancedQuotes),
            [b'"', tail @ ..] => return Ok(tail),
            [b'\\', b'x', high, low, tail @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                bytes.push(hex_digit(*high) << 4 | hex_digit(*low));
                tail
            }
            [b'\\', escaped, tail @ ..] => {
                bytes.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 0x08,
                    b'a' => 0x07,
                    other => *other,
                });
                tail
            }
            [byte, tail @ ..] => {
                bytes.push(*byte);
                tail
            }
        }
    }
}

fn single_quoted<'a>(mut rest: &'a [u8], bytes: &mut Vec<u8>) -> Result<&'a [u8], UnbalancedQuotes> {
    loop {
        rest = match rest {
            [] => return Err(UnbalancedQuotes),
            [b'\'', tail @ ..] => return Ok(tail),
            [b'\\', b'\'', tail @ ..] => {
                bytes.push(b'\'');
                tail
            }
            [byte, tail @ ..] => {
                bytes.push(*byte);
                tail
            }
        }
    }
}

/// The value of a byte that is a hexadecimal digit.
fn hex_digit(byte: u8) -> u8 {
    char::from(byte).to_digit(16).unwrap_or_default() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &[u8]) -> Option<Vec<Vec<u8>>> {
        let (mut bytes, mut spans) = (b"before".to_vec(), Vec::new());
        split(line, &mut bytes, &mut spans).ok()?;
        Some(spans.iter().map(|span| bytes[span.start..span.start + span.len].to_vec()).collect())
    }

    #[test]
    fn blanks_separate() {
        assert_eq!(args(b" a \t bc\r\x0b d ").unwrap(), [&b"a"[..], b"bc", b"d"]);
        assert_eq!(args(b"a\x0bb").unwrap(), [b"a\x0bb"]);
        assert_eq!(args(b" \r").unwrap().len(), 0);
        assert_eq!(args(b"").unwrap().len(), 0);
    }

    #[test]
    fn quotes_keep_blanks_and_escapes_change_bytes() {
        assert_eq!(args(b"\"a b\" 'c d'").unwrap(), [b"a b", b"c d"]);
        assert_eq!(args(b"\"\" ''").unwrap(), [b"", b""]);
        assert_eq!(args(br#""a\x41\xfF\x4g\n\r\t\b\a\q\\\"""#).unwrap(), [b"aA\xffx4g\n\r\t\x08\x07q\\\""]);
        assert_eq!(args(br#""\X41\x4""#).unwrap(), [b"X41x4"]);
        assert_eq!(args(br"'it\'s\n'").unwrap(), [br"it's\n"]);
        assert_eq!(args(b"a\"b\" c'd'").unwrap(), [b"ab", b"cd"]);
    }

    #[test]
    fn quotes_must_balance() {
        for line in ["\"a", "'a", "'a'b", "\"a\"b", "a\"b\"c", "\"a\\", "'a\\'", "\"a\\\"", "\"a\"\"b\""] {
            assert_eq!(args(line.as_bytes()), None, "{line}");
        }
    }
}

//! Numbers in the forms clients send and Redis prints: strict parsing, and formatting to the byte.
//!
//! Nothing here allocates except [`LongDouble`] on values far outside everyday use.

mod binary;
mod long_double;
mod natural;

pub use long_double::LongDouble;

use binary::Binary;
use smallvec::SmallVec;
use std::io::Write;

/// The text of a formatted double; the longest has 24 bytes.
pub type DoubleText = SmallVec<[u8; 24]>;

/// Parses a signed integer by Redis's strict rule: an optional `-`, then digits without a leading zero; no
/// `+`, no blanks, and not `-0`. `None` for anything else and for what is outside `i64`. O(1): at most 20
/// bytes are looked at, and most texts that are no numbers are refused by their first byte.
#[inline]
pub fn parse_integer(text: &[u8]) -> Option<i64> {
    match text {
        [b'-', digits @ ..] => match parse_unsigned(digits)? {
            0 => None,
            magnitude if magnitude <= 1 << 63 => Some((magnitude as i64).wrapping_neg()),
            _ => None,
        },
        digits => i64::try_from(parse_unsigned(digits)?).ok(),
    }
}

/// Parses an unsigned integer: digits only, without a leading zero. `None` for anything else and for what
/// is outside `u64`. O(1).
#[inline]
pub fn parse_unsigned(digits: &[u8]) -> Option<u64> {
    /// 19 digits always fit a `u64`; one more may not.
    const SURE_DIGITS: usize = 19;
    match digits {
        [b'0'] => Some(0),
        [b'1'..=b'9', ..] if digits.len() <= SURE_DIGITS + 1 => {
            let (sure, last) = digits.split_at(digits.len().min(SURE_DIGITS));
            let mut value = 0u64;
            for byte in sure {
                let digit = byte.wrapping_sub(b'0');
                if digit > 9 {
                    return None;
                }
                value = value * 10 + u64::from(digit);
            }
            for byte in last {
                let digit = byte.wrapping_sub(b'0');
                if digit > 9 {
                    return None;
                }
                value = value.checked_mul(10)?.checked_add(u64::from(digit))?;
            }
            Some(value)
        }
        _ => None,
    }
}

/// Parses a double as Redis reads scores and increments: what `strtod` takes in full (decimal, `0x` hex,
/// `inf`, `infinity` in any case), without leading blanks. `None` for anything else, for NaN, and for
/// numbers so large or small that they would become infinity or zero. O(length).
pub fn parse_double(text: &[u8]) -> Option<f64> {
    convert_double(text).filter(|double| double.is_in_range).map(|double| double.value)
}

/// A double as `strtod` gives it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LooseDouble {
    /// No NaN.
    pub value: f64,
    /// False if the number is too large or too small, and the value infinite or zero instead.
    pub is_in_range: bool,
}

/// Parses a double where Redis looks only whether `strtod` comes to the text's end: blanks before it are passed
/// over, nothing is 0, and it ends at a zero byte. `None` for anything else, and for NaN. O(length).
pub fn parse_loose_double(text: &[u8]) -> Option<LooseDouble> {
    let text = &text[..memchr::memchr(0, text).unwrap_or(text.len())];
    if text.is_empty() {
        return Some(LooseDouble { value: 0.0, is_in_range: true });
    }
    let start = text.iter().position(|byte| !matches!(byte, b' ' | b'\t'..=b'\r'))?;
    convert_double(&text[start..])
}

fn convert_double(text: &[u8]) -> Option<LooseDouble> {
    let (negative, unsigned) = split_sign(text);
    if let Some(digits) = strip_hex_prefix(unsigned) {
        let number = Binary::parse_hex(digits)?;
        let magnitude = number.to_f64();
        let beyond = if number.exponent > 0 { f64::INFINITY } else { 0.0 };
        let value = magnitude.unwrap_or(beyond) * if negative { -1.0 } else { 1.0 };
        return Some(LooseDouble { value, is_in_range: magnitude.is_some() });
    }
    let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    let is_in_range = match value {
        _ if value.is_infinite() => is_infinity(unsigned),
        _ => value != 0.0 || !has_nonzero_digit(unsigned),
    };
    (!value.is_nan()).then_some(LooseDouble { value, is_in_range })
}

/// Formats a double as replies show it: `%.17g`, that is the 17 significant digits that tell every double
/// from its neighbours, without trailing zeros; `inf`, `-inf` and `nan` by name.
pub fn format_double(value: f64) -> DoubleText {
    /// From here on `%.17g` uses the exponent form.
    const FIRST_WITH_EXPONENT: f64 = 1e17;
    if value.is_nan() {
        return DoubleText::from_slice(b"nan");
    }
    if value.is_infinite() {
        return DoubleText::from_slice(if value > 0.0 { b"inf" } else { b"-inf" });
    }
    if value == value.trunc() && value.abs() < FIRST_WITH_EXPONENT && value != 0.0 {
        return DoubleText::from_slice(itoa::Buffer::new().format(value as i64).as_bytes());
    }
    let mut text = DoubleText::new();
    if value.is_sign_negative() {
        text.push(b'-');
    }
    if value == 0.0 {
        text.push(b'0');
    } else {
        push_magnitude(&mut text, value.abs());
    }
    text
}

/// Appends a finite, positive double in the `%.17g` form.
fn push_magnitude(text: &mut DoubleText, magnitude: f64) {
    // `d.dddddddddddddddde-ddd` has at most 23 bytes, so the write below cannot run out of room.
    let mut scratch = [0u8; 32];
    let mut room = &mut scratch[..];
    let written = match write!(room, "{magnitude:.16e}") {
        Ok(()) => 32 - room.len(),
        Err(_) => 0,
    };
    let scientific = &scratch[..written];
    let split = memchr::memchr(b'e', scientific).unwrap_or(written);
    let exponent = scientific.get(split + 1..).and_then(parse_integer).unwrap_or(0) as i32;
    let mut digits: SmallVec<[u8; 24]> = scientific[..split].iter().copied().filter(|b| *b != b'.').collect();
    while digits.len() > 1 && digits.last() == Some(&b'0') {
        digits.pop();
    }
    match exponent {
        -4..=-1 => {
            text.extend_from_slice(b"0.");
            text.extend(std::iter::repeat_n(b'0', (-exponent - 1) as usize));
            text.extend_from_slice(&digits);
        }
        0..=16 => {
            let whole = exponent as usize + 1;
            text.extend_from_slice(&digits[..whole.min(digits.len())]);
            if digits.len() > whole {
                text.push(b'.');
                text.extend_from_slice(&digits[whole..]);
            } else {
                text.extend(std::iter::repeat_n(b'0', whole - digits.len()));
            }
        }
        _ => {
            text.push(digits[0]);
            if digits.len() > 1 {
                text.push(b'.');
                text.extend_from_slice(&digits[1..]);
            }
            text.push(b'e');
            text.push(if exponent < 0 { b'-' } else { b'+' });
            if exponent.abs() < 10 {
                text.push(b'0');
            }
            text.extend_from_slice(itoa::Buffer::new().format(exponent.unsigned_abs()).as_bytes());
        }
    }
}

/// Splits a leading sign off: whether it was `-`, and what follows.
fn split_sign(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    }
}

/// The rest after `0x`, if the text begins with it.
fn strip_hex_prefix(text: &[u8]) -> Option<&[u8]> {
    match text {
        [b'0', b'x' | b'X', rest @ ..] => Some(rest),
        _ => None,
    }
}

/// True if the text, without its sign, is a name of infinity.
fn is_infinity(text: &[u8]) -> bool {
    text.eq_ignore_ascii_case(b"inf") || text.eq_ignore_ascii_case(b"infinity")
}

/// True if the mantissa of a decimal number has a digit that is not zero.
fn has_nonzero_digit(text: &[u8]) -> bool {
    text.iter().take_while(|byte| !matches!(byte, b'e' | b'E')).any(|byte| (b'1'..=b'9').contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn integers_are_strict() {
        for (text, value) in [
            ("0", 0),
            ("7", 7),
            ("-7", -7),
            ("10", 10),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
            ("-9223372036854775807", i64::MIN + 1),
        ] {
            assert_eq!(parse_integer(text.as_bytes()), Some(value), "{text}");
        }
        for text in [
            "",
            "-",
            "+1",
            "01",
            "-01",
            "-0",
            "00",
            " 1",
            "1 ",
            "1a",
            "a1",
            "0x10",
            "1.0",
            "1e3",
            "--1",
            "9223372036854775808",
            "-9223372036854775809",
            "18446744073709551616",
            "99999999999999999999",
            "100000000000000000000",
            "1\0",
        ] {
            assert_eq!(parse_integer(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn unsigned_integers_reach_the_last_value() {
        assert_eq!(parse_unsigned(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(parse_unsigned(b"18446744073709551616"), None);
        assert_eq!(parse_unsigned(b"1000000000000000000:"), None);
        assert_eq!(parse_unsigned(b"-1"), None);
        assert_eq!(parse_unsigned(b""), None);
    }

    #[test]
    fn doubles_are_what_strtod_takes_in_full() {
        for (text, value) in [
            ("1", 1.0),
            ("-1.5", -1.5),
            ("+2", 2.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("1e3", 1000.0),
            ("1E-3", 0.001),
            ("inf", f64::INFINITY),
            ("+Inf", f64::INFINITY),
            ("-INFINITY", f64::NEG_INFINITY),
            ("0x10", 16.0),
            ("-0X1.8p1", -3.0),
            ("0x.8", 0.5),
            ("0x1p-1074", f64::from_bits(1)),
            ("0e999", 0.0),
            ("5e-324", f64::from_bits(1)),
            ("1.7976931348623157e308", f64::MAX),
        ] {
            assert_eq!(parse_double(text.as_bytes()), Some(value), "{text}");
        }
        for text in [
            "",
            " 1",
            "1 ",
            "1x",
            "nan",
            "-nan",
            "1e400",
            "-1e400",
            "1e-400",
            "e5",
            ".",
            "+",
            "--1",
            "1e",
            "infx",
            "0x",
            "0x1p",
            "0xg",
            "0x1p2000",
            "0x1p-2000",
            "1\0",
            "\u{e9}",
            "1_0",
            "0x-1",
            "+-1",
        ] {
            assert_eq!(parse_double(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn loose_doubles_are_what_strtod_ends_on() {
        for (text, value, is_in_range) in [
            ("", 0.0, true),
            ("\0x", 0.0, true),
            (" \t\n1.5", 1.5, true),
            ("1.5\0x", 1.5, true),
            ("-inf", f64::NEG_INFINITY, true),
            ("1e400", f64::INFINITY, false),
            ("-1e400", f64::NEG_INFINITY, false),
            ("1e-400", 0.0, false),
            ("0x1p2000", f64::INFINITY, false),
            ("-0x1p2000", f64::NEG_INFINITY, false),
            ("0x1p-2000", 0.0, false),
            ("0x10", 16.0, true),
        ] {
            assert_eq!(
                parse_loose_double(text.as_bytes()),
                Some(LooseDouble { value, is_in_range }),
                "{text}"
            );
        }
        for text in [" ", "1 ", "x", "nan", "-nan", "(1", "1e", " \0", "\u{e9}"] {
            assert_eq!(parse_loose_double(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn doubles_print_seventeen_significant_digits() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (3.0, "3"),
            (-42.0, "-42"),
            (0.1, "0.10000000000000001"),
            (1.5, "1.5"),
            (0.0001, "0.0001"),
            (0.00001, "1.0000000000000001e-05"),
            (1e16, "10000000000000000"),
            (1e17, "1e+17"),
            (1e21, "1e+21"),
            (1e100, "1e+100"),
            (123456789012345678.0, "1.2345678901234568e+17"),
            (9223372036854775807.0, "9.2233720368547758e+18"),
            (9007199254740993.0, "9007199254740992"),
            (3.14e-310, "3.140000000000023e-310"),
            (f64::MAX, "1.7976931348623157e+308"),
            (-5e-324, "-4.9406564584124654e-324"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            // Ties at the 17th digit go to the even one, as in the C library.
            (123456789012345.0 + 0.125, "123456789012345.12"),
            (123456789012345.0 + 0.375, "123456789012345.38"),
            (1234567.890625, "1234567.890625"),
        ] {
            assert_eq!(format_double(value).as_slice(), text.as_bytes(), "{value}");
        }
    }

    proptest! {
        #[test]
        fn integers_survive_a_round_trip(value in any::<i64>()) {
            prop_assert_eq!(parse_integer(value.to_string().as_bytes()), Some(value));
        }

        #[test]
        fn only_canonical_integers_parse(text in "-?[0-9]{0,21}") {
            let expected = text.parse::<i64>().ok().filter(|value| value.to_string() == text);
            prop_assert_eq!(parse_integer(text.as_bytes()), expected);
        }

        #[test]
        fn doubles_survive_a_round_trip(bits in any::<u64>()) {
            let value = f64::from_bits(bits);
            if !value.is_nan() {
                let text = format_double(value);
                prop_assert!(text.len() <= 24);
                prop_assert_eq!(parse_double(&text).map(f64::to_bits), Some(bits));
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(text in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = (parse_integer(&text), parse_unsigned(&text), parse_double(&text));
            let _ = LongDouble::parse(&text);
        }
    }
}

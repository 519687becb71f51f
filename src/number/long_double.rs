//! The 80-bit extended floating-point type in which Redis computes INCRBYFLOAT and HINCRBYFLOAT.
//!
//! Their results are stored and replicated as text, so they must be Redis's to the byte: a mantissa of 64
//! bits, sums rounded to the nearest (ties to even), 17 decimals printed from the exact value. The type
//! exists on no other level of the language, hence this small one in software.

use super::binary::{Binary, Format, parse_exponent};
use super::natural::Natural;
use super::{is_infinity, split_sign, strip_hex_prefix};
use std::cmp::Reverse;

/// The extended format of x87.
const EXTENDED: Format = Format { bits: 64, lowest_exponent: -16445, highest_exponent: 16320 };
/// Decimals that are printed.
const DECIMALS: u32 = 17;
/// Texts of this length and longer are refused, as Redis's conversion buffer does.
const MAX_TEXT_LEN: usize = 5 * 1024;

/// An extended floating-point number: a finite one, or an infinity. Never NaN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongDouble {
    negative: bool,
    magnitude: Magnitude,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Magnitude {
    /// `mantissa * 2^exponent`; normalized unless the exponent is the lowest.
    Finite {
        mantissa: u64,
        exponent: i32,
    },
    Infinite,
}

impl From<i64> for LongDouble {
    /// Exact: every `i64` fits the mantissa.
    fn from(value: i64) -> LongDouble {
        let magnitude = u128::from(value.unsigned_abs());
        LongDouble::rounded(value < 0, Binary { mantissa: magnitude, exponent: 0, inexact: false })
    }
}

impl LongDouble {
    /// Parses a number as Redis reads values and increments: what `strtold` takes in full, without leading
    /// blanks. `None` for anything else, for NaN, and for numbers so large or small that they would become
    /// infinity or zero. O(length) for up to 19 digits and everyday exponents.
    pub fn parse(text: &[u8]) -> Option<LongDouble> {
        if text.len() >= MAX_TEXT_LEN {
            return None;
        }
        let (negative, unsigned) = split_sign(text);
        if is_infinity(unsigned) {
            return Some(LongDouble { negative, magnitude: Magnitude::Infinite });
        }
        let exact = match strip_hex_prefix(unsigned) {
            Some(digits) => Binary::parse_hex(digits)?,
            None => parse_decimal(unsigned)?,
        };
        let value = LongDouble::rounded(negative, exact);
        let vanished = value.is_zero() && (exact.mantissa != 0 || exact.inexact);
        (value.is_finite() && !vanished).then_some(value)
    }

    /// The sum, rounded to nearest. `None` if it is infinite or not a number, which Redis refuses.
    pub fn checked_add(self, other: LongDouble) -> Option<LongDouble> {
        let (Magnitude::Finite { mantissa, exponent }, Magnitude::Finite { mantissa: m, exponent: e }) =
            (self.magnitude, other.magnitude)
        else {
            return None;
        };
        if self.is_zero() || other.is_zero() {
            return Some(if self.is_zero() { other } else { self });
        }
        let mut terms = [(exponent, mantissa, self.negative), (e, m, other.negative)];
        terms.sort_by_key(|&(exponent, mantissa, _)| Reverse((exponent, mantissa)));
        let [(high, large, negative), (low, small, small_negative)] = terms;
        // Both mantissas stand 63 bits above the lowest bit: room for the carry on top, and for enough
        // of the smaller number's bits below. What falls out is kept as a lowest bit that is set, which
        // rounds like the exact rest, in sums and in differences.
        let large = u128::from(large) << 63;
        let small = shift_right_sticky(u128::from(small) << 63, (high - low) as u32);
        let mantissa = if negative == small_negative { large + small } else { large - small };
        let sum = LongDouble::rounded(negative, Binary { mantissa, exponent: high - 63, inexact: false });
        sum.is_finite().then_some(sum)
    }

    /// Formats with up to 17 decimals and without trailing zeros, as Redis stores the result: `%.17Lf`,
    /// trimmed. An infinity prints as `inf` or `-inf`.
    pub fn format(self) -> Vec<u8> {
        let digits = match self.magnitude {
            Magnitude::Infinite => b"inf".to_vec(),
            Magnitude::Finite { mantissa: 0, .. } => b"0".to_vec(),
            Magnitude::Finite { mantissa, exponent: exponent @ 0.. } => {
                Natural::shifted(mantissa, exponent.unsigned_abs()).into_decimal()
            }
            Magnitude::Finite { mantissa, exponent } => format_fraction(mantissa, exponent.unsigned_abs()),
        };
        if self.negative && digits != b"0" { [b"-", digits.as_slice()].concat() } else { digits }
    }

    /// False for the infinities.
    pub fn is_finite(self) -> bool {
        self.magnitude != Magnitude::Infinite
    }

    fn is_zero(self) -> bool {
        matches!(self.magnitude, Magnitude::Finite { mantissa: 0, .. })
    }

    fn rounded(negative: bool, exact: Binary) -> LongDouble {
        let magnitude = match exact.round(EXTENDED) {
            Some((mantissa, exponent)) => Magnitude::Finite { mantissa, exponent },
            None => Magnitude::Infinite,
        };
        LongDouble { negative, magnitude }
    }
}

/// `bits >> shift`, with the lowest bit set if any bit fell out.
fn shift_right_sticky(bits: u128, shift: u32) -> u128 {
    if shift >= 128 {
        return u128::from(bits != 0);
    }
    let kept = bits >> shift;
    kept | u128::from(kept << shift != bits)
}

/// Formats `mantissa / 2^shift` for a `shift` of at least 1: rounded to 17 decimals, ties to even.
fn format_fraction(mantissa: u64, shift: u32) -> Vec<u8> {
    // Below 2^121, so every shift beyond that leaves less than a half.
    let scaled = u128::from(mantissa) * 10u128.pow(DECIMALS);
    let units = if shift > 122 {
        0
    } else {
        let (kept, cut) = (scaled >> shift, scaled & ((1 << shift) - 1));
        let half = 1u128 << (shift - 1);
        kept + u128::from(cut > half || (cut == half && kept & 1 == 1))
    };
    let scale = 10u128.pow(DECIMALS);
    let mut text = format!("{}.{:017}", units / scale, units % scale).into_bytes();
    while text.last() == Some(&b'0') {
        text.pop();
    }
    if text.last() == Some(&b'.') {
        text.pop();
    }
    text
}

/// Parses a decimal number without its sign: digits with at most one point, then perhaps `e` and a power of
/// ten. What is returned rounds like the exact value.
fn parse_decimal(text: &[u8]) -> Option<Binary> {
    let end = text.iter().position(|byte| matches!(byte, b'e' | b'E')).unwrap_or(text.len());
    let (mantissa, power) = text.split_at(end);
    let power = if power.is_empty() { 0 } else { parse_exponent(&power[1..])? };
    let point = memchr::memchr(b'.', mantissa);
    let (whole, fraction) = match point {
        Some(at) => (&mantissa[..at], &mantissa[at + 1..]),
        None => (mantissa, &mantissa[..0]),
    };
    let digits = || whole.iter().chain(fraction).map(|byte| byte.wrapping_sub(b'0'));
    if whole.is_empty() && fraction.is_empty() || digits().any(|digit| digit > 9) {
        return None;
    }
    let power = power - fraction.len() as i32;
    let significant = digits().skip_while(|digit| *digit == 0);
    let count = significant.clone().count() as i32;
    if count == 0 {
        return Some(Binary { mantissa: 0, exponent: 0, inexact: false });
    }
    Some(match count + power {
        // Far outside the format's range of 10^-4951 to 10^4932 the exact value does not matter.
        5000.. => Binary { mantissa: 1, exponent: 1 << 20, inexact: false },
        ..=-5000 => Binary { mantissa: 1, exponent: -(1 << 20), inexact: false },
        _ => scale_decimal(significant, count, power),
    })
}

/// The number of these `count` digits times `10^power`.
fn scale_decimal(digits: impl Iterator<Item = u8>, count: i32, power: i32) -> Binary {
    // 19 digits fit a u64. A quotient of a 128-bit number by up to 10^18 keeps at least 68 bits.
    if count <= 19 && (-18..=19).contains(&power) {
        let digits = digits.fold(0u64, |value, digit| value * 10 + u64::from(digit));
        let scale = 10u128.pow(power.unsigned_abs());
        if power >= 0 {
            return Binary { mantissa: u128::from(digits) * scale, exponent: 0, inexact: false };
        }
        let shift = u128::from(digits).leading_zeros();
        let dividend = u128::from(digits) << shift;
        return Binary {
            mantissa: dividend / scale,
            exponent: -(shift as i32),
            inexact: dividend % scale != 0,
        };
    }
    let mut number = Natural::from_digits(digits);
    if power >= 0 {
        number.multiply_by_power_of_ten(power.unsigned_abs());
        return number.leading_bits();
    }
    let fives = power.unsigned_abs();
    // A power of five has 2.322 bits for each step, so the quotient keeps at least 66 bits.
    let shift = (68 + fives * 2322 / 1000).saturating_sub(number.bit_len());
    number.shift_left(shift);
    let inexact = number.divide_by_power_of_five(fives);
    let quotient = number.leading_bits();
    Binary {
        exponent: quotient.exponent - shift as i32 - fives as i32,
        inexact: quotient.inexact | inexact,
        ..quotient
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(left: &str, right: &str) -> Option<String> {
        let (left, right) = (LongDouble::parse(left.as_bytes())?, LongDouble::parse(right.as_bytes())?);
        String::from_utf8(left.checked_add(right)?.format()).ok()
    }

    fn shown(text: &str) -> Option<String> {
        LongDouble::parse(text.as_bytes()).and_then(|value| String::from_utf8(value.format()).ok())
    }

    #[test]
    fn sums_are_what_people_expect() {
        for (left, right, expected) in [
            ("3.0", "1.1", "4.1"),
            ("10.50", "0.1", "10.6"),
            ("5.0e3", "2.0e2", "5200"),
            ("10.6", "-5", "5.6"),
            ("0", "-0", "0"),
            ("-1.5", "1.5", "0"),
            ("1e-20", "0", "0"),
            ("-1e-20", "0", "0"),
            ("0x1p4", "1", "17"),
            ("0x1.8p3", "0", "12"),
            ("0.1", "0.2", "0.3"),
            ("9223372036854775807", "1", "9223372036854775808"),
            ("18446744073709551615", "1", "18446744073709551616"),
            ("18446744073709551616", "1", "18446744073709551616"),
            ("18446744073709551616", "3", "18446744073709551620"),
            ("1e15", "0.00000000000000001", "1000000000000000"),
        ] {
            assert_eq!(sum(left, right).as_deref(), Some(expected), "{left} + {right}");
        }
    }

    #[test]
    fn infinite_sums_are_refused_and_infinite_operands_are_read() {
        assert!(LongDouble::parse(b"-inf").is_some_and(|value| !value.is_finite()));
        assert_eq!(sum("inf", "1"), None);
        assert_eq!(sum("inf", "-inf"), None);
        assert_eq!(sum("1.1e4932", "1.1e4932"), None);
        assert_eq!(LongDouble::parse(b"Infinity").map(LongDouble::format), Some(b"inf".to_vec()));
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in [
            "",
            " 1",
            "1 ",
            "nan",
            "1e4933",
            "1e-4960",
            "1e",
            ".",
            "-",
            "1.1.1",
            "0x",
            "abc",
            "1e99999999999",
            "1e-99999999999",
            "1\0",
            "--1",
        ] {
            assert_eq!(LongDouble::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(LongDouble::parse(&[b'1'; MAX_TEXT_LEN]), None);
        assert_eq!(LongDouble::parse(&[b'0'; MAX_TEXT_LEN - 1]).map(LongDouble::format), Some(b"0".to_vec()));
    }

    #[test]
    fn the_ends_of_the_range_are_read() {
        assert_eq!(shown("1e-4940").as_deref(), Some("0"));
        assert_eq!(shown("3.6451995318824746025e-4951").as_deref(), Some("0"));
        let largest = shown("1.18973149535723176502e+4932").unwrap();
        assert!(largest.starts_with("118973149535723176502126385303097020516") && largest.len() == 4933);
        assert_eq!(shown("1.18973149535723176509e+4932"), None);
        let large = shown("1e4932").unwrap();
        assert!(
            large.starts_with("10000000000000000000060189493879638913238377742545331147737850413525330194")
        );
    }

    #[test]
    fn the_exact_and_the_fast_path_agree() {
        for text in ["0.1", "123456.789", "9999999999999999999e-18", "1e19", "5e-18", "0.00000000000000013"] {
            // Twenty zeros more bring the number onto the slow path without changing its value.
            let (mantissa, power) = text.split_once('e').unwrap_or((text, "0"));
            let point = if mantissa.contains('.') { "" } else { "." };
            let slow = format!("{mantissa}{point}{}e{power}", "0".repeat(20));
            assert_eq!(LongDouble::parse(text.as_bytes()), LongDouble::parse(slow.as_bytes()), "{text}");
        }
    }

    #[test]
    fn integers_are_exact() {
        for value in [0, 1, -1, i64::MAX, i64::MIN] {
            assert_eq!(LongDouble::from(value).format(), value.to_string().into_bytes());
        }
    }
}

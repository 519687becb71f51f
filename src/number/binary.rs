//! Binary numbers of any size on their way to a floating-point format.

/// The number `mantissa * 2^exponent`, not negative; `inexact` if nonzero bits below it were cut off.
#[derive(Clone, Copy, Debug)]
pub(super) struct Binary {
    pub mantissa: u128,
    pub exponent: i32,
    pub inexact: bool,
}

/// What a floating-point format can hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Format {
    /// Bits of the mantissa, at most 64.
    pub bits: u32,
    /// The exponent of the lowest mantissa bit of the smallest number.
    pub lowest_exponent: i32,
    /// The exponent of the lowest mantissa bit of the largest number.
    pub highest_exponent: i32,
}

/// IEEE 754 double precision.
const DOUBLE: Format = Format { bits: 53, lowest_exponent: -1074, highest_exponent: 971 };

impl Binary {
    /// Rounds to the nearest number of `format`, ties to the even mantissa: the mantissa and the exponent of
    /// its lowest bit. The mantissa is normalized unless the exponent is the lowest. `None` if the number is
    /// too large.
    pub fn round(self, format: Format) -> Option<(u64, i32)> {
        let length = 128 - self.mantissa.leading_zeros() as i32;
        let drop = (length - format.bits as i32).max(format.lowest_exponent.saturating_sub(self.exponent));
        if self.mantissa == 0 {
            return Some((0, format.lowest_exponent));
        }
        if drop <= 0 {
            let exponent = self.exponent + drop;
            let mantissa = (self.mantissa << drop.unsigned_abs()) as u64;
            return (exponent <= format.highest_exponent).then_some((mantissa, exponent));
        }
        let kept = if drop < 128 { self.mantissa >> drop } else { 0 };
        let is_set = |bit: i32| bit < 128 && self.mantissa >> bit & 1 == 1;
        let below_half = self.inexact || self.mantissa.trailing_zeros() as i32 + 1 < drop;
        let up = is_set(drop - 1) && (below_half || kept & 1 == 1);
        let (mut rounded, mut exponent) = (kept + u128::from(up), self.exponent.saturating_add(drop));
        if rounded >> format.bits != 0 {
            rounded >>= 1;
            exponent += 1;
        }
        (exponent <= format.highest_exponent).then_some((rounded as u64, exponent))
    }

    /// The nearest double; `None` if it would be infinite, or zero though the number is not.
    pub fn to_f64(self) -> Option<f64> {
        /// The mantissa bit that the double's encoding leaves out.
        const HIDDEN: u64 = 1 << 52;
        let (mantissa, exponent) = self.round(DOUBLE)?;
        if mantissa == 0 {
            return (self.mantissa == 0 && !self.inexact).then_some(0.0);
        }
        let biased = if mantissa >= HIDDEN { (exponent - DOUBLE.lowest_exponent + 1) as u64 } else { 0 };
        Some(f64::from_bits(biased << 52 | mantissa & (HIDDEN - 1)))
    }

    /// Parses the hexadecimal form of C, what follows its `0x`: digits with at most one point, then perhaps
    /// `p` and a decimal power of two. O(length).
    pub fn parse_hex(text: &[u8]) -> Option<Binary> {
        let mut number = Binary { mantissa: 0, exponent: 0, inexact: false };
        let mut digits = 0usize;
        let mut point = false;
        let mut rest = text;
        while let [byte, tail @ ..] = rest {
            if *byte == b'.' && !point {
                point = true;
            } else if let Some(digit) = char::from(*byte).to_digit(16) {
                digits += 1;
                number.push_hex_digit(digit, point);
            } else {
                break;
            }
            rest = tail;
        }
        if digits == 0 {
            return None;
        }
        if let [b'p' | b'P', power @ ..] = rest {
            number.exponent = number.exponent.saturating_add(parse_exponent(power)?);
        } else if !rest.is_empty() {
            return None;
        }
        Some(number)
    }

    /// Appends a digit below the others; what does not fit any more is only remembered as inexact.
    fn push_hex_digit(&mut self, digit: u32, behind_point: bool) {
        if self.mantissa >> 120 == 0 {
            self.mantissa = self.mantissa << 4 | u128::from(digit);
            if behind_point {
                self.exponent = self.exponent.saturating_sub(4);
            }
        } else {
            self.inexact |= digit != 0;
            if !behind_point {
                self.exponent = self.exponent.saturating_add(4);
            }
        }
    }
}

/// Parses an exponent: an optional sign and at least one digit. Beyond a million it stops growing, which is
/// out of every format's range anyway.
pub(super) fn parse_exponent(text: &[u8]) -> Option<i32> {
    let (negative, digits) = super::split_sign(text);
    if digits.is_empty() {
        return None;
    }
    let mut value = 0i32;
    for byte in digits {
        if !byte.is_ascii_digit() {
            return None;
        }
        value = (value * 10 + i32::from(byte - b'0')).min(1_000_000);
    }
    Some(if negative { -value } else { value })
}

//! Natural numbers of any size: just what exact decimal conversion needs.

use super::binary::Binary;

/// The largest power of five in a `u64`, and which power it is.
const FIVES: (u64, u32) = (5u64.pow(27), 27);
/// The largest power of ten in a `u64`, and which power it is.
const TENS: (u64, u32) = (10u64.pow(19), 19);

/// A natural number; limbs of 64 bits, the lowest first, the last one not zero.
#[derive(Clone, Debug, Default)]
pub(super) struct Natural {
    limbs: Vec<u64>,
}

impl Natural {
    /// The number written by these decimal digits. O(digits squared).
    pub fn from_digits(digits: impl Iterator<Item = u8>) -> Natural {
        let mut number = Natural::default();
        let (mut chunk, mut scale) = (0u64, 1u64);
        for digit in digits {
            chunk = chunk * 10 + u64::from(digit);
            scale *= 10;
            if scale == TENS.0 {
                number.multiply_add(scale, chunk);
                (chunk, scale) = (0, 1);
            }
        }
        number.multiply_add(scale, chunk);
        number
    }

    /// The number `mantissa * 2^shift`.
    pub fn shifted(mantissa: u64, shift: u32) -> Natural {
        let mut number = Natural { limbs: vec![mantissa] };
        number.shift_left(shift);
        number
    }

    /// `self * factor + summand`, in place.
    fn multiply_add(&mut self, factor: u64, summand: u64) {
        let mut carry = summand;
        for limb in &mut self.limbs {
            let product = u128::from(*limb) * u128::from(factor) + u128::from(carry);
            *limb = product as u64;
            carry = (product >> 64) as u64;
        }
        if carry != 0 {
            self.limbs.push(carry);
        }
    }

    /// `self / divisor`, in place; returns the remainder.
    fn divide(&mut self, divisor: u64) -> u64 {
        let mut remainder = 0u64;
        for limb in self.limbs.iter_mut().rev() {
            let dividend = u128::from(remainder) << 64 | u128::from(*limb);
            *limb = (dividend / u128::from(divisor)) as u64;
            remainder = (dividend % u128::from(divisor)) as u64;
        }
        self.trim();
        remainder
    }

    /// `self * 10^power`, in place.
    pub fn multiply_by_power_of_ten(&mut self, mut power: u32) {
        while power > 0 {
            let step = power.min(TENS.1);
            self.multiply_add(10u64.pow(step), 0);
            power -= step;
        }
    }

    /// `self / 5^power` rounded down, in place; returns whether there was a remainder.
    pub fn divide_by_power_of_five(&mut self, mut power: u32) -> bool {
        let mut inexact = false;
        while power > 0 {
            let step = power.min(FIVES.1);
            inexact |= self.divide(5u64.pow(step)) != 0;
            power -= step;
        }
        inexact
    }

    /// `self * 2^shift`, in place.
    pub fn shift_left(&mut self, shift: u32) {
        let bits = shift % 64;
        if bits != 0 {
            self.multiply_add(1 << bits, 0);
        }
        self.limbs.splice(0..0, std::iter::repeat_n(0, (shift / 64) as usize));
        self.trim();
    }

    /// Length in bits; 0 for zero.
    pub fn bit_len(&self) -> u32 {
        self.limbs.last().map_or(0, |top| self.limbs.len() as u32 * 64 - top.leading_zeros())
    }

    /// The highest two or three limbs' worth of bits, at least 65 of them if the number has that many.
    pub fn leading_bits(&self) -> Binary {
        let dropped = self.limbs.len().saturating_sub(3);
        let top = &self.limbs[dropped..];
        let mut inexact = self.limbs[..dropped].iter().any(|limb| *limb != 0);
        let (mantissa, exponent) = match *top {
            [low, middle, high] => {
                // The lowest bits of three limbs make room for the highest ones.
                let cut = 64 - high.leading_zeros();
                inexact |= cut != 0 && low << (64 - cut) != 0;
                let joined = u128::from(high) << 64 | u128::from(middle);
                let kept = if cut == 64 { 0 } else { u128::from(low >> cut) };
                (joined << (64 - cut) | kept, cut as i32)
            }
            [low, high] => (u128::from(high) << 64 | u128::from(low), 0),
            [low] => (u128::from(low), 0),
            _ => (0, 0),
        };
        Binary { mantissa, exponent: exponent + dropped as i32 * 64, inexact }
    }

    /// The decimal digits, as text. O(digits squared).
    pub fn into_decimal(mut self) -> Vec<u8> {
        let mut chunks = Vec::new();
        while !self.limbs.is_empty() {
            chunks.push(self.divide(TENS.0));
        }
        let mut text = chunks.pop().unwrap_or(0).to_string();
        for chunk in chunks.iter().rev() {
            text.push_str(&format!("{chunk:019}"));
        }
        text.into_bytes()
    }

    fn trim(&mut self) {
        while self.limbs.last() == Some(&0) {
            self.limbs.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_digits_survive_a_round_trip() {
        let text = b"123456789012345678901234567890123456789000000000000000000000000000000000000000000000007";
        let number = Natural::from_digits(text.iter().map(|byte| byte - b'0'));
        assert_eq!(number.into_decimal(), text);
        assert_eq!(Natural::from_digits([0u8, 0].into_iter()).into_decimal(), b"0");
    }

    #[test]
    fn leading_bits_keep_the_value() {
        for length in [1u32, 63, 64, 65, 127, 128, 129, 190, 191, 192, 193, 300] {
            let mut number = Natural::shifted(1, length - 1);
            assert_eq!(number.bit_len(), length);
            let bits = number.leading_bits();
            assert_eq!(bits.mantissa.ilog2() as i32 + bits.exponent, length as i32 - 1);
            assert!(!bits.inexact);
            number.multiply_add(1, 1);
            assert_eq!(number.leading_bits().inexact, length > 128, "{length}");
        }
    }
}

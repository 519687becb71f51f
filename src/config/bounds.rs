//! The bounds of settings, and the errors for values out of them.

use super::parse::byte_count;
use crate::number::parse_integer;

/// The least and the most of a number.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The least it may be.
    pub least: i128,
    /// The most it may be.
    pub most: i128,
    /// True if it may have a unit of bytes.
    pub is_bytes: bool,
}

impl Bounds {
    /// A whole number.
    pub const fn whole(least: i128, most: i128) -> Bounds {
        Bounds { least, most, is_bytes: false }
    }

    /// A number of bytes.
    pub const fn bytes(least: i128, most: i128) -> Bounds {
        Bounds { least, most, is_bytes: true }
    }

    /// Reads a number.
    ///
    /// # Errors
    /// It is no number, or out of the bounds.
    pub fn read<T: TryFrom<i128>>(self, text: &[u8]) -> Result<T, Invalid> {
        let Bounds { least, most, is_bytes } = self;
        let number =
            if is_bytes { byte_count(text).map(i128::from) } else { parse_integer(text).map(i128::from) };
        let reason = match number {
            None if is_bytes => "argument must be a memory value".to_owned(),
            None => "argument couldn't be parsed into an integer".to_owned(),
            Some(_) => format!("argument must be between {least} and {most} inclusive"),
        };
        let within = number.filter(|number| self.contains(*number));
        within
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| Invalid { expected: self.expected(), reason })
    }

    /// True if it may be `number`.
    pub fn contains(self, number: i128) -> bool {
        (self.least..=self.most).contains(&number)
    }

    fn expected(self) -> String {
        let Bounds { least, most, is_bytes } = self;
        match is_bytes {
            false => format!("a whole number from {least} to {most}"),
            true if most >= i128::from(i64::MAX) && least == 0 => {
                "a number of bytes such as 1073741824, 512mb or 2gb".to_owned()
            }
            true => format!("a number of bytes from {least} to {most}, such as 65536 or 64kb"),
        }
    }
}

/// Why a value is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// What is expected, for the line that ends a start.
    pub expected: String,
    /// The error that CONFIG SET replies.
    pub reason: String,
}

impl From<String> for Invalid {
    /// What is expected.
    fn from(expected: String) -> Invalid {
        Invalid { reason: format!("expected {expected}"), expected }
    }
}

impl From<&str> for Invalid {
    /// The error that CONFIG SET replies, for settings without a flag.
    fn from(reason: &str) -> Invalid {
        Invalid { expected: String::new(), reason: reason.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_values_have_redis_units() {
        let memory = |text| Bounds::bytes(0, u64::MAX as i128).read::<u64>(text);
        assert_eq!(memory(b"1024"), Ok(1024));
        assert_eq!(memory(b"2gb"), Ok(2 << 30));
        assert_eq!(memory(b"1M"), Ok(1_000_000));
        for bad in [&b""[..], b"abc", b"12xb", b"-1", b"99999999999999999999", b"9223372036854775807gb"] {
            assert_eq!(
                memory(bad).expect_err("a refusal").reason,
                "argument must be a memory value",
                "{bad:?}"
            );
        }
    }
}

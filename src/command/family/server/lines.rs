//! The text of INFO.

use std::fmt::{Display, Write};

/// The text of INFO as it grows.
#[derive(Debug, Default)]
pub struct Lines(pub String);

impl Lines {
    /// The title of a section.
    pub fn title(&mut self, title: &str) {
        let gap = if self.0.is_empty() { "" } else { "\r\n" };
        // Writing to a string does not fail.
        let _ = write!(self.0, "{gap}# {title}\r\n");
    }

    /// One line.
    pub fn field(&mut self, name: impl Display, value: impl Display) {
        let _ = write!(self.0, "{name}:{value}\r\n");
    }

    /// A number of bytes, and the same for people.
    pub fn bytes(&mut self, name: &str, bytes: u64) {
        self.field(name, bytes);
        self.field(format_args!("{name}_human"), human_bytes(bytes));
    }
}

/// A number of bytes for people: `954.41K`, `2.58M`.
fn human_bytes(bytes: u64) -> String {
    let units = ["K", "M", "G", "T", "P", "E"];
    let power = bytes.max(1).ilog2() / 10;
    match power.checked_sub(1).and_then(|unit| units.get(unit as usize)) {
        None => format!("{bytes}B"),
        Some(unit) => format!("{:.2}{unit}", bytes as f64 / (1u64 << (10 * power)) as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::human_bytes;

    #[test]
    fn bytes_for_people_are_as_redis_writes_them() {
        assert_eq!(human_bytes(0), "0B");
        assert_eq!(human_bytes(1023), "1023B");
        assert_eq!(human_bytes(977_312), "954.41K");
        assert_eq!(human_bytes(25_276_502_016), "23.54G");
        assert_eq!(human_bytes(u64::MAX), "16.00E");
    }
}

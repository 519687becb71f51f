//! Key names: `namespace/key` as bytes, never text.

use crate::concurrent::slots::generation::DEFAULT_NAMESPACE;
use memchr::memchr;

/// A key's canonical name.
///
/// `x` and `default/x` are one key; its canonical name is `x`. A local key that itself has a `/` stays
/// `default/a/b`, for `a/b` is key `b` of namespace `a`. The canonical name is always a part of what the
/// client sent, so no bytes are copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key<'a> {
    name: &'a [u8],
    /// Length of the namespace prefix in `name`, without the `/`; 0 for a name without one.
    prefix: u32,
    prefixed: bool,
}

impl<'a> Key<'a> {
    /// Reads a name as a client sent it. O(length of the namespace).
    pub fn new(raw: &'a [u8]) -> Key<'a> {
        match memchr(b'/', raw) {
            None => Key { name: raw, prefix: 0, prefixed: false },
            Some(slash) => {
                let local = &raw[slash + 1..];
                if &raw[..slash] == DEFAULT_NAMESPACE && memchr(b'/', local).is_none() {
                    Key { name: local, prefix: 0, prefixed: false }
                } else {
                    Key { name: raw, prefix: slash as u32, prefixed: true }
                }
            }
        }
    }

    /// The canonical name, as replies show it.
    pub fn name(&self) -> &'a [u8] {
        self.name
    }

    /// The namespace's name.
    pub fn namespace(&self) -> &'a [u8] {
        if self.prefixed { &self.name[..self.prefix as usize] } else { DEFAULT_NAMESPACE }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_spellings_of_a_default_key_are_one() {
        assert_eq!(Key::new(b"default/x"), Key::new(b"x"));
        assert_eq!(Key::new(b"default/x").name(), b"x");
        assert_eq!(Key::new(b"default/a/b").name(), b"default/a/b");
        assert_eq!(Key::new(b"default/a/b").namespace(), b"default");
    }

    #[test]
    fn only_the_first_slash_separates() {
        assert_eq!(Key::new(b"ns/a/b").namespace(), b"ns");
        assert_eq!(Key::new(b"/x").namespace(), b"");
        assert_eq!(Key::new(b"").namespace(), b"default");
    }
}

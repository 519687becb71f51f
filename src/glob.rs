//! Glob patterns over bytes, as KEYS, SCAN MATCH, PSUBSCRIBE and CONFIG GET use them.
//!
//! ```text
//! *       any run of bytes, also an empty one        [^e] [!e]  one byte, none of these
//! ?       any one byte                               [a-z]      one byte of this range
//! [ae]    one byte, one of these                     \x         x itself
//! ```
//!
//! Malformed classes mean what they mean in Redis: a class that is not closed ends with the pattern, `[]`
//! matches nothing, `[^]` any byte, a `-` before the closing `]` makes a range up to `]`, and a trailing `\`
//! stands for itself. Only the last star is ever tried again, so a match costs at most O(pattern x subject)
//! and no memory.

/// A pattern, borrowed from what the client sent.
#[derive(Clone, Copy, Debug)]
pub struct Pattern<'p> {
    pattern: &'p [u8],
    /// Length of the part at the front without special bytes; it need not be interpreted.
    literal: usize,
    ignore_case: bool,
}

/// What one step through a pattern found, and how many bytes of the pattern it covers.
enum Token {
    Star,
    One { matches: bool, len: usize },
}

impl<'p> Pattern<'p> {
    /// Reads a pattern. Every sequence of bytes is one. O(length).
    pub fn new(pattern: &'p [u8]) -> Pattern<'p> {
        let is_special = |byte: &u8| matches!(byte, b'*' | b'?' | b'[' | b'\\');
        let literal = pattern.iter().position(is_special).unwrap_or(pattern.len());
        Pattern { pattern, literal, ignore_case: false }
    }

    /// The same pattern without regard to the case of ASCII letters.
    pub fn ignoring_case(self) -> Pattern<'p> {
        Pattern { ignore_case: true, literal: 0, ..self }
    }

    /// The bytes that every match begins with, and whether they are the whole pattern, so that exactly
    /// they match. O(1). Stops at the first special byte, a `\` included; empty when case is ignored.
    pub fn literal_prefix(&self) -> (&'p [u8], bool) {
        (&self.pattern[..self.literal], self.literal == self.pattern.len())
    }

    /// True if the whole subject matches.
    pub fn matches(&self, subject: &[u8]) -> bool {
        let (literal, pattern) = self.pattern.split_at(self.literal);
        match subject.strip_prefix(literal) {
            Some(rest) => pattern == b"*" || self.matches_rest(pattern, rest),
            None => false,
        }
    }

    fn matches_rest(&self, pattern: &[u8], subject: &[u8]) -> bool {
        let (mut at, mut read) = (0, 0);
        // Behind the last star: where its pattern goes on, and what it has not swallowed yet. Earlier stars
        // need no second try: whatever they would swallow more, the last one can swallow instead.
        let mut star: Option<(usize, usize)> = None;
        loop {
            let token = pattern.get(at..).filter(|rest| !rest.is_empty()).map(|rest| {
                let byte = subject.get(read).copied();
                token(rest, byte, self.ignore_case)
            });
            match token {
                Some(Token::Star) => {
                    at += 1;
                    star = Some((at, read));
                    continue;
                }
                Some(Token::One { matches: true, len }) => {
                    at += len;
                    read += 1;
                    continue;
                }
                None if read == subject.len() => return true,
                Some(Token::One { .. }) | None => {}
            }
            match star {
                Some((behind, swallowed)) if swallowed < subject.len() => {
                    star = Some((behind, swallowed + 1));
                    (at, read) = (behind, swallowed + 1);
                }
                _ => return false,
            }
        }
    }
}

/// Reads the token at the front of a pattern that is not empty and compares it with `byte`; at the end of
/// the subject there is no byte, and only a star matches.
fn token(pattern: &[u8], byte: Option<u8>, ignore_case: bool) -> Token {
    let same = |literal: u8| byte.is_some_and(|byte| fold(byte, ignore_case) == fold(literal, ignore_case));
    match *pattern {
        [b'*', ..] => Token::Star,
        [b'?', ..] => Token::One { matches: byte.is_some(), len: 1 },
        [b'[', ref class @ ..] => {
            let (matches, len) = class_contains(class, byte.unwrap_or_default(), ignore_case);
            Token::One { matches: matches && byte.is_some(), len: len + 1 }
        }
        [b'\\', escaped, ..] => Token::One { matches: same(escaped), len: 2 },
        [literal, ..] => Token::One { matches: same(literal), len: 1 },
        [] => Token::One { matches: false, len: 0 },
    }
}

/// Whether a class, what follows its `[`, contains `byte`; and the class's length, its `]` included.
fn class_contains(class: &[u8], byte: u8, ignore_case: bool) -> (bool, usize) {
    let negated = matches!(class, [b'^' | b'!', ..]);
    let byte = fold(byte, ignore_case);
    let mut found = false;
    let mut at = usize::from(negated);
    loop {
        let (low, high, len) = match class[at.min(class.len())..] {
            [] => return (found != negated, class.len()),
            [b'\\', escaped, ..] => (escaped, escaped, 2),
            [b']', ..] => return (found != negated, at + 1),
            [first, b'-', last, ..] => (first.min(last), first.max(last), 3),
            [literal, ..] => (literal, literal, 1),
        };
        found |= (fold(low, ignore_case)..=fold(high, ignore_case)).contains(&byte);
        at += len;
    }
}

fn fold(byte: u8, ignore_case: bool) -> u8 {
    if ignore_case { byte.to_ascii_lowercase() } else { byte }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, subject: &str) -> bool {
        Pattern::new(pattern.as_bytes()).matches(subject.as_bytes())
    }

    #[test]
    fn every_form_matches_what_it_says() {
        for (pattern, subject) in [
            ("", ""),
            ("*", ""),
            ("*", "anything"),
            ("**", ""),
            ("a*", "a"),
            ("*a", "a"),
            ("h?llo", "hello"),
            ("h*llo", "heeeello"),
            ("h[ae]llo", "hallo"),
            ("h[^e]llo", "hallo"),
            ("h[!e]llo", "hallo"),
            ("h[a-b]llo", "hbllo"),
            ("h[b-a]llo", "hbllo"),
            ("\\*", "*"),
            ("\\a", "a"),
            ("[\\]]", "]"),
            ("[a\\-z]", "-"),
            ("*b*c", "abxbxc"),
            ("ns/*", "ns/a/b"),
            ("a[0-9][0-9]*", "a12"),
        ] {
            assert!(matches(pattern, subject), "{pattern} {subject}");
        }
        for (pattern, subject) in [
            ("", "a"),
            ("a", ""),
            ("?", ""),
            ("h?llo", "hllo"),
            ("h[^e]llo", "hello"),
            ("h[!e]llo", "hello"),
            ("h[a-b]llo", "hcllo"),
            ("[a\\-z]", "b"),
            ("\\*", "x"),
            ("a*b", "abc"),
            ("ns/*", "nsx/a"),
            ("abc", "ab"),
            ("[^a]", ""),
        ] {
            assert!(!matches(pattern, subject), "{pattern} {subject}");
        }
    }

    #[test]
    fn malformed_patterns_mean_what_they_mean_in_redis() {
        assert!(matches("[abc", "b") && !matches("[abc", "d") && !matches("[abc", "bx"));
        assert!(!matches("[", "[") && !matches("[", "a"));
        assert!(matches("[^", "x") && !matches("[^", ""));
        assert!(!matches("[]", "]") && !matches("[]", "a"));
        assert!(matches("[^]", "a"));
        assert!(matches("\\", "\\") && matches("a\\", "a\\"));
        assert!(matches("[a-]", "_") && matches("[a-]x", "x") && !matches("[a-]x", "ax"));
        assert!(matches("[a-", "-") && matches("[\\", "\\"));
    }

    #[test]
    fn bytes_are_not_text() {
        assert!(Pattern::new(b"\xff?\x00*").matches(b"\xff\x80\x00\n"));
        assert!(Pattern::new(b"[\x80-\xff]").matches(b"\xc3"));
    }

    #[test]
    fn case_can_be_ignored() {
        let pattern = Pattern::new(b"MaxMemory-*[a-c]\\Z").ignoring_case();
        assert!(pattern.matches(b"maxmemory-xBz"));
        assert_eq!(pattern.literal_prefix(), (&b""[..], false));
    }

    #[test]
    fn the_literal_prefix_ends_at_the_first_special_byte() {
        for (pattern, prefix, whole) in [
            ("ns/*", "ns/", false),
            ("key", "key", true),
            ("", "", true),
            ("a\\*", "a", false),
            ("[a]", "", false),
        ] {
            assert_eq!(Pattern::new(pattern.as_bytes()).literal_prefix(), (prefix.as_bytes(), whole));
        }
    }

    #[test]
    fn many_stars_do_not_explode() {
        let pattern = [b"a*".repeat(40), b"b".to_vec()].concat();
        let subject = vec![b'a'; 20_000];
        assert!(!Pattern::new(&pattern).matches(&subject));
    }

    /// The plainest matcher there is: tries every length for every star.
    fn reference(pattern: &[u8], subject: &[u8]) -> bool {
        match (pattern, subject) {
            ([], _) => subject.is_empty(),
            ([b'*', rest @ ..], _) => (0..=subject.len()).any(|cut| reference(rest, &subject[cut..])),
            (_, []) => false,
            ([b'?', rest @ ..], [_, tail @ ..]) => reference(rest, tail),
            ([b'[', class @ ..], [byte, tail @ ..]) => {
                let (found, len) = class_contains(class, *byte, false);
                found && reference(&class[len..], tail)
            }
            ([b'\\', literal, rest @ ..] | [literal, rest @ ..], [byte, tail @ ..]) => {
                literal == byte && reference(rest, tail)
            }
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_reference(pattern in "[ab*?\\[\\]^!\\\\-]{0,9}", subject in "[ab\\[\\]^!\\\\-]{0,9}") {
            let (pattern, subject) = (pattern.as_bytes(), subject.as_bytes());
            prop_assert_eq!(Pattern::new(pattern).matches(subject), reference(pattern, subject));
        }

        #[test]
        fn a_literal_prefix_is_a_prefix(pattern in "[ab*?]{0,6}", subject in "[ab]{0,6}") {
            let pattern = Pattern::new(pattern.as_bytes());
            let (prefix, whole) = pattern.literal_prefix();
            if pattern.matches(subject.as_bytes()) {
                prop_assert!(subject.as_bytes().starts_with(prefix));
            }
            prop_assert!(!whole || pattern.matches(prefix));
        }
    }
}

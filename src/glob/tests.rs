//! Tests of patterns: their forms, their cost, and the comparison with what Redis does.

use super::*;
use proptest::prelude::*;

fn matches(pattern: &str, subject: &str) -> bool {
    Pattern::new(pattern.as_bytes()).matches(subject.as_bytes())
}

#[test]
fn every_form_matches_what_it_says() {
    for (pattern, subject) in [
        ("", ""),
        ("*", "anything"),
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
        ("*", ""),
        ("**", ""),
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

/// What a match costs, in comparisons of a byte.
fn units(pattern: &[u8], subject: &[u8]) -> (bool, u64) {
    let (mut matching, mut units) = (Matching::default(), u64::MAX);
    let matches = Pattern::new(pattern).step(subject, &mut matching, &mut units);
    (matches.expect("there are units left"), u64::MAX - units)
}

#[test]
fn hostile_patterns_cost_what_they_are_long() {
    let subject = vec![b'a'; 600_000];
    for (pattern, most) in [
        ([&b"*"[..], &b"a".repeat(4_000), b"b*"].concat(), 100_000),
        ([b"*".to_vec(), b"a?".repeat(2_000), b"b*".to_vec()].concat(), 600_000 * 80),
        ([b"*".to_vec(), b"[ab]*?".repeat(1_000), b"b*".to_vec()].concat(), 1_000_000),
        ([&b"*["[..], &b"b".repeat(4_000), b"]*"].concat(), 1_000_000),
    ] {
        let (matches, units) = units(&pattern, &subject);
        assert!(!matches && units < most, "{units} units of {most}");
    }
}

#[test]
fn a_match_is_made_in_steps() {
    let pattern = [b"*".to_vec(), b"a?".repeat(300), b"b*".to_vec()].concat();
    let pattern = Pattern::new(&pattern);
    for end in [&b"b"[..], b"aab"] {
        let subject = [&vec![b'a'; 20_000], end].concat();
        let (mut matching, mut steps) = (Matching::default(), 0);
        let matches = loop {
            let mut units = 1_000;
            if let Some(matches) = pattern.step(&subject, &mut matching, &mut units) {
                break matches;
            }
            assert_eq!(units, 0);
            steps += 1;
        };
        assert!(matches && steps > 20, "{steps}");
    }
}

/// Redis's `stringmatchlen`, with our `!`.
fn oracle(mut pattern: &[u8], mut string: &[u8], ignore_case: bool, skip: &mut bool) -> bool {
    let at = |text: &[u8], index: usize| text.get(index).copied().unwrap_or_default();
    while !pattern.is_empty() && !string.is_empty() {
        match pattern[0] {
            b'*' => {
                while at(pattern, 1) == b'*' {
                    pattern = &pattern[1..];
                }
                if pattern.len() == 1 {
                    return true;
                }
                while !string.is_empty() {
                    if oracle(&pattern[1..], string, ignore_case, skip) {
                        return true;
                    }
                    if *skip {
                        return false;
                    }
                    string = &string[1..];
                }
                *skip = true;
                return false;
            }
            b'?' => {}
            b'[' => {
                let (found, rest) = oracle_class(&pattern[1..], string[0], ignore_case);
                if !found {
                    return false;
                }
                pattern = rest;
            }
            byte => {
                if byte == b'\\' && pattern.len() >= 2 {
                    pattern = &pattern[1..];
                }
                if fold(pattern[0], ignore_case) != fold(string[0], ignore_case) {
                    return false;
                }
            }
        }
        (pattern, string) = (&pattern[1..], &string[1..]);
        while string.is_empty() && at(pattern, 0) == b'*' {
            pattern = &pattern[1..];
        }
    }
    pattern.is_empty() && string.is_empty()
}

/// The part of it that is about classes. Answers the pattern from the class's last byte on.
fn oracle_class(mut pattern: &[u8], byte: u8, ignore_case: bool) -> (bool, &[u8]) {
    let is_negated = matches!(pattern, [b'^' | b'!', ..]);
    let mut last = b"?".as_slice();
    if is_negated {
        (last, pattern) = (pattern, &pattern[1..]);
    }
    let mut found = false;
    loop {
        match *pattern {
            [b'\\', escaped, ..] => {
                pattern = &pattern[1..];
                found |= escaped == byte;
            }
            [b']', ..] => return (found != is_negated, pattern),
            [] => return (found != is_negated, &last[last.len() - 1..]),
            [start, b'-', end, ..] => {
                let int = |byte: u8| i32::from(byte as i8);
                let (start, end) = (int(start).min(int(end)), int(start).max(int(end)));
                let lower = |int: i32| if (65..=90).contains(&int) && ignore_case { int + 32 } else { int };
                pattern = &pattern[2..];
                found |= (lower(start)..=lower(end)).contains(&lower(int(byte)));
            }
            [literal, ..] => found |= fold(literal, ignore_case) == fold(byte, ignore_case),
        }
        (last, pattern) = (pattern, &pattern[1..]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn agrees_with_redis(
        pattern in "[abB*?\\[\\]^!\\\\-]{0,12}",
        subject in "[abB\\[\\]^!\\\\-]{0,9}",
        ignore_case: bool,
    ) {
        let (pattern, subject) = (pattern.as_bytes(), subject.as_bytes());
        let read = Pattern::new(pattern);
        let read = if ignore_case { read.ignoring_case() } else { read };
        prop_assert_eq!(read.matches(subject), oracle(pattern, subject, ignore_case, &mut false));
    }

    #[test]
    fn agrees_with_redis_on_any_bytes(
        front in proptest::collection::vec(any::<u8>(), 0..3),
        class in proptest::collection::vec(any::<u8>(), 0..8),
        subject in proptest::collection::vec(any::<u8>(), 0..4),
        ignore_case: bool,
    ) {
        let pattern = [&front[..], b"*[", &class, b"]*"].concat();
        let read = Pattern::new(&pattern);
        let read = if ignore_case { read.ignoring_case() } else { read };
        prop_assert_eq!(read.matches(&subject), oracle(&pattern, &subject, ignore_case, &mut false));
    }

    /// Long pieces are found block by block, and in steps.
    #[test]
    fn long_pieces_agree_with_redis(
        pieces in proptest::collection::vec(("(a|\\?|\\[ab\\]|\\[\\^b-d\\]|\\\\a){1,90}", 0_usize..30), 1..4),
        runs in proptest::collection::vec((0_usize..300, "[ab]"), 1..6),
        budget in 1_u64..5_000,
    ) {
        let pattern: String = pieces.iter().map(|(piece, repeats)| piece.repeat(repeats % 3 + 1) + "*").collect();
        let pattern = [b"*", pattern.as_bytes()].concat();
        let subject: String = runs.iter().map(|(length, byte)| "a".repeat(*length) + byte).collect();
        let (read, mut matching) = (Pattern::new(&pattern), Matching::default());
        let matches = loop {
            if let Some(matches) = read.step(subject.as_bytes(), &mut matching, &mut budget.clone()) {
                break matches;
            }
        };
        prop_assert_eq!(matches, oracle(&pattern, subject.as_bytes(), false, &mut false));
    }

    #[test]
    fn a_class_is_the_bytes_that_it_contains(
        class in proptest::collection::vec(any::<u8>(), 0..9),
        ignore_case: bool,
    ) {
        let (len, _) = class_len(&class);
        let bytes = class_bytes(&class[..len], ignore_case);
        for byte in 0..=u8::MAX {
            prop_assert_eq!(bytes[usize::from(byte)], class_contains(&class[..len], byte, ignore_case));
        }
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

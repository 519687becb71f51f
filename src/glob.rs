//! Glob patterns over bytes, as KEYS, SCAN MATCH, PSUBSCRIBE, CONFIG GET and all others use them.
//!
//! ```text
//! *       any run of bytes, also an empty one        [^e] [!e]  one byte, none of these
//! ?       any one byte                               [a-z]      one byte of this range
//! [ae]    one byte, one of these                     \x         x itself
//! ```
//!
//! But for `[!e]` a pattern means what it means in Redis, oddities included: a class that is not closed ends with the
//! pattern, `[]` matches nothing, `[^]` any byte, a `-` before the closing `]` makes a range up to `]`, bytes in a range
//! are signed, a trailing `\` stands for itself, what a `\` protects in a class keeps its case, and the empty subject
//! matches the empty pattern alone, not even `*`.
//!
//! Stars cut a pattern into pieces. The first and the last have one place; each of the others is put where it fits first,
//! and never tried again: whatever an earlier star would swallow more, a later one can swallow instead. A piece without
//! special bytes is found by two-way search, so the usual forms cost O(pattern + subject). Any other is compared in place,
//! and once that has cost too much, 64 of its bytes at a time with all places at once: O(subject x piece / 64).

use memchr::memmem;
use std::ops::Range;

/// Bytes of a piece that are compared one by one before all places are looked at together.
const ALLOWANCE: usize = 256;

/// Places that are looked at together at first, and at most unless the piece is longer.
const FIRST_WINDOW: usize = 256;
const LARGEST_WINDOW: usize = 16 << 10;

/// Bytes of a piece that one word stands for.
const BLOCK: usize = 64;

/// Bytes that a search for a plain piece passes in one unit of work.
const SEARCHED: usize = 8;

/// A pattern, borrowed from what the client sent.
#[derive(Clone, Copy, Debug)]
pub struct Pattern<'p> {
    pattern: &'p [u8],
    /// Length of the part at the front without special bytes; it need not be interpreted.
    literal: usize,
    ignore_case: bool,
    /// Where the first star is; the end without one.
    head: usize,
    /// Where the last piece begins, if there is a star.
    tail: Option<usize>,
    /// Bytes of a subject that the first, the last and all pieces stand for.
    head_len: usize,
    tail_len: usize,
    len: usize,
}

/// How far a match has come that is made in steps. The default has not begun.
#[derive(Clone, Debug, Default)]
pub struct Matching {
    /// Where the piece begins that is looked for; 0 before the ends were compared.
    at: usize,
    /// Where in the subject it may begin at the earliest.
    from: usize,
    /// Places that the last window had; 0 while they are tried one by one.
    window: usize,
    /// The places from `from` on where the piece may be as far as it was compared, a bit for each.
    candidates: Vec<u64>,
    /// How much of the piece was compared with these, in bytes of the pattern and of the subject.
    compared: (usize, usize),
}

/// One step through a pattern.
#[derive(Clone, Copy)]
enum Token<'p> {
    Star,
    Any,
    Byte(u8),
    /// What stands between the brackets.
    Class(&'p [u8]),
}

/// A stretch of the pattern between two stars.
struct Piece<'p> {
    pattern: &'p [u8],
    /// Bytes of a subject that it stands for.
    len: usize,
    is_plain: bool,
}

impl<'p> Pattern<'p> {
    /// Reads a pattern. Every sequence of bytes is one. O(length).
    pub fn new(pattern: &'p [u8]) -> Pattern<'p> {
        let literal = Pattern::literal_len(pattern);
        let (mut at, mut len) = (literal, literal);
        let (mut head, mut tail, mut before_tail) = (None, None, 0);
        while let Some((token, size)) = Token::first(&pattern[at..]) {
            match token {
                Token::Star => {
                    head = head.or(Some((at, len)));
                    (tail, before_tail) = (Some(at + size), len);
                }
                _ => len += 1,
            }
            at += size;
        }
        let (head, head_len) = head.unwrap_or((pattern.len(), len));
        let tail_len = len - before_tail;
        Pattern { pattern, literal, ignore_case: false, head, tail, head_len, tail_len, len }
    }

    /// The length of a pattern's part at the front without special bytes.
    pub fn literal_len(pattern: &[u8]) -> usize {
        let is_special = |byte: &u8| matches!(byte, b'*' | b'?' | b'[' | b'\\');
        pattern.iter().position(is_special).unwrap_or(pattern.len())
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
        let (mut matching, mut units) = (Matching::default(), u64::MAX);
        loop {
            if let Some(matches) = self.step(subject, &mut matching, &mut units) {
                return matches;
            }
        }
    }

    /// Goes on with a match of this pattern and this subject, for about `units` comparisons of a byte, and takes what
    /// they were off. `None` if it is not over yet.
    pub fn step(&self, subject: &[u8], matching: &mut Matching, units: &mut u64) -> Option<bool> {
        if matching.at == 0 {
            if !self.ends_match(subject, units) {
                return Some(false);
            }
            (matching.at, matching.from) = (self.head + 1, self.head_len);
        }
        let Some(tail) = self.tail else { return Some(true) };
        let text = &subject[..subject.len() - self.tail_len];
        while matching.at < tail {
            if *units == 0 {
                return None;
            }
            let piece = self.piece(matching.at);
            let Some(place) = self.find(&piece, text, matching, units)? else { return Some(false) };
            let at = matching.at + piece.pattern.len() + 1;
            *matching = Matching { at, from: place + piece.len, ..Matching::default() };
        }
        Some(true)
    }

    /// Compares what has one place only: the first piece, and the last one if there is a star.
    fn ends_match(&self, subject: &[u8], units: &mut u64) -> bool {
        let is_long_enough = match self.tail {
            // Redis looks at no pattern once the subject has ended, but for stars at the end of both.
            Some(_) => subject.len() >= self.len.max(1),
            None => subject.len() == self.len,
        };
        let (literal, head) = self.pattern[..self.head].split_at(self.literal.min(self.head));
        if !is_long_enough || !subject.starts_with(literal) {
            return false;
        }
        let tail = self.tail.map_or(&[][..], |tail| &self.pattern[tail..]);
        *units = units.saturating_sub((head.len() + tail.len()) as u64);
        let mut allowance = usize::MAX;
        self.compare(head, &subject[literal.len()..], &mut allowance)
            && self.compare(tail, &subject[subject.len() - self.tail_len..], &mut allowance)
    }

    /// True if a piece stands at the front of `subject`, which is long enough. Takes what was compared off `allowance`.
    fn compare(&self, mut piece: &[u8], subject: &[u8], allowance: &mut usize) -> bool {
        let mut bytes = subject.iter();
        while let Some((token, size)) = Token::first(piece) {
            *allowance = allowance.saturating_sub(size);
            if !bytes.next().is_some_and(|byte| token.takes(*byte, self.ignore_case)) {
                return false;
            }
            piece = &piece[size..];
        }
        true
    }

    /// The piece that begins at `start`.
    fn piece(&self, start: usize) -> Piece<'p> {
        let pattern = &self.pattern[start..];
        let (mut at, mut len, mut is_plain) = (0, 0, !self.ignore_case);
        while let Some((token, size)) = Token::first(&pattern[at..]) {
            match token {
                Token::Star => break,
                Token::Byte(_) => is_plain &= size == 1,
                Token::Any | Token::Class(_) => is_plain = false,
            }
            at += size;
            len += 1;
        }
        Piece { pattern: &pattern[..at], len, is_plain }
    }

    /// The first place of a piece in `text` from where `matching` is. `None` when the units are used up.
    #[expect(clippy::option_option, reason = "not known yet, and not there, are two things")]
    fn find(
        &self,
        piece: &Piece<'_>,
        text: &[u8],
        matching: &mut Matching,
        units: &mut u64,
    ) -> Option<Option<usize>> {
        if piece.is_plain {
            let place = memmem::find(&text[matching.from..], piece.pattern);
            let passed = place.unwrap_or(text.len() - matching.from) + piece.len;
            *units = units.saturating_sub((passed / SEARCHED + 1) as u64);
            return Some(place.map(|place| matching.from + place));
        }
        if matching.window == 0 {
            let mut allowance = ALLOWANCE;
            let found = self.find_nearby(piece, text, matching, &mut allowance);
            *units = units.saturating_sub((ALLOWANCE - allowance + 1) as u64);
            if found.is_some() {
                return found;
            }
        }
        loop {
            let places = (text.len() + 1).saturating_sub(matching.from + piece.len);
            if places == 0 {
                return Some(None);
            }
            if matching.candidates.is_empty() {
                matching.begin_window(places, piece.pattern.len());
            }
            if let Some(place) = self.narrow(piece, text, matching, units)? {
                return Some(Some(matching.from + place));
            }
            matching.from += matching.window.min(places);
            matching.candidates.clear();
        }
    }

    /// Tries one place after the other as long as that is allowed. `None` if that was not enough.
    #[expect(clippy::option_option, reason = "not known yet, and not there, are two things")]
    fn find_nearby(
        &self,
        piece: &Piece<'_>,
        text: &[u8],
        matching: &mut Matching,
        allowance: &mut usize,
    ) -> Option<Option<usize>> {
        while *allowance > 0 {
            if text.len() - matching.from < piece.len {
                return Some(None);
            }
            if self.compare(piece.pattern, &text[matching.from..], allowance) {
                return Some(Some(matching.from));
            }
            matching.from += 1;
        }
        None
    }

    /// Compares what was not compared yet of a piece with the candidates. Answers the first that is left in the end, or
    /// that none is. `None` when the units are used up.
    #[expect(clippy::option_option, reason = "not known yet, and none, are two things")]
    fn narrow(
        &self,
        piece: &Piece<'_>,
        text: &[u8],
        matching: &mut Matching,
        units: &mut u64,
    ) -> Option<Option<usize>> {
        let places = matching.window.min(text.len() + 1 - matching.from - piece.len);
        while matching.compared.0 < piece.pattern.len() {
            if *units == 0 {
                return None;
            }
            let (at, read) = matching.compared;
            let block = Block::new(&piece.pattern[at..], self.ignore_case);
            *units = units.saturating_sub((places + block.size + usize::from(u8::MAX)) as u64);
            matching.compared = (at + block.size, read + block.len);
            let from = matching.from + read;
            if !block.narrow(&text[from..from + places + block.len - 1], &mut matching.candidates) {
                return Some(None);
            }
        }
        let (word, bits) = matching.candidates.iter().enumerate().find(|(_, bits)| **bits != 0)?;
        Some(Some(word * BLOCK + bits.trailing_zeros() as usize))
    }
}

impl Matching {
    /// Takes so many of the next places together that a long search looks at each about once.
    fn begin_window(&mut self, places: usize, piece: usize) {
        self.window = (self.window * 4).clamp(FIRST_WINDOW, LARGEST_WINDOW.max(piece));
        let count = self.window.min(places);
        self.candidates.resize(count.div_ceil(BLOCK), u64::MAX);
        if let (Some(last), rest @ 1..) = (self.candidates.last_mut(), count % BLOCK) {
            *last = (1 << rest) - 1;
        }
        self.compared = (0, 0);
    }
}

/// Up to 64 bytes that a piece stands for: for each byte a word with a bit for each of them that it can be.
struct Block {
    words: [u64; 256],
    len: usize,
    /// Bytes of the pattern.
    size: usize,
}

impl Block {
    /// The block at the front of a stretch without stars.
    fn new(pattern: &[u8], ignore_case: bool) -> Block {
        let mut block = Block { words: [0; 256], len: 0, size: 0 };
        while block.len < BLOCK
            && let Some((token, size)) = Token::first(&pattern[block.size..])
        {
            let bit = 1 << block.len;
            match token {
                Token::Byte(byte) if !ignore_case => block.words[usize::from(byte)] |= bit,
                Token::Class(class) => {
                    let taken = class_bytes(class, ignore_case);
                    block
                        .words
                        .iter_mut()
                        .zip(taken)
                        .for_each(|(word, taken)| *word |= bit * u64::from(taken));
                }
                _ => {
                    let takes = |byte| u64::from(token.takes(byte, ignore_case));
                    block
                        .words
                        .iter_mut()
                        .zip(0..=u8::MAX)
                        .for_each(|(word, byte)| *word |= bit * takes(byte));
                }
            }
            block.len += 1;
            block.size += size;
        }
        block
    }

    /// Drops the candidates behind which the block does not stand. `text` begins where it would for the first of them
    /// and ends where it would for the last. True if any is left.
    fn narrow(&self, text: &[u8], candidates: &mut [u64]) -> bool {
        let last = self.len - 1;
        let step = |state: u64, byte: &u8| (state << 1 | 1) & self.words[usize::from(*byte)];
        let (first, rest) = text.split_at(last);
        let mut state = first.iter().fold(0, step);
        let mut is_left = false;
        for (candidates, bytes) in candidates.iter_mut().zip(rest.chunks(BLOCK)) {
            let mut found = 0;
            for (place, byte) in bytes.iter().enumerate() {
                state = step(state, byte);
                found |= (state >> last & 1) << place;
            }
            *candidates &= found;
            is_left |= *candidates != 0;
        }
        is_left
    }
}

impl<'p> Token<'p> {
    /// The token at the front of a pattern, and its size there.
    #[inline]
    fn first(pattern: &'p [u8]) -> Option<(Token<'p>, usize)> {
        Some(match *pattern {
            [] => return None,
            [b'*', ..] => (Token::Star, 1),
            [b'?', ..] => (Token::Any, 1),
            [b'[', ref class @ ..] => {
                let (len, size) = class_len(class);
                (Token::Class(&class[..len]), size + 1)
            }
            [b'\\', escaped, ..] => (Token::Byte(escaped), 2),
            [literal, ..] => (Token::Byte(literal), 1),
        })
    }

    /// True if it stands for this byte.
    #[inline]
    fn takes(self, byte: u8, ignore_case: bool) -> bool {
        match self {
            Token::Star => false,
            Token::Any => true,
            Token::Byte(literal) => fold(byte, ignore_case) == fold(literal, ignore_case),
            Token::Class(class) => class_contains(class, byte, ignore_case),
        }
    }
}

/// One entry of a class.
#[derive(Clone, Copy)]
enum ClassEntry {
    /// A byte whose case counts.
    Escaped(u8),
    Byte(u8),
    /// The lower end first.
    Range(i8, i8),
}

impl ClassEntry {
    /// The entry at the front of what follows a `[`, and its size there. `None` where the class ends.
    #[inline]
    fn first(class: &[u8]) -> Option<(ClassEntry, usize)> {
        Some(match *class {
            [] | [b']', ..] => return None,
            [b'\\', escaped, ..] => (ClassEntry::Escaped(escaped), 2),
            [first, b'-', last, ..] => {
                let (first, last) = (first as i8, last as i8);
                (ClassEntry::Range(first.min(last), first.max(last)), 3)
            }
            [literal, ..] => (ClassEntry::Byte(literal), 1),
        })
    }

    fn contains(self, byte: u8, ignore_case: bool) -> bool {
        let folded = fold(byte, ignore_case);
        match self {
            ClassEntry::Escaped(escaped) => escaped == byte,
            ClassEntry::Byte(literal) => fold(literal, ignore_case) == folded,
            ClassEntry::Range(low, high) => {
                self.range(low, high, ignore_case).contains(&i16::from(folded as i8))
            }
        }
    }

    fn range(self, low: i8, high: i8, ignore_case: bool) -> Range<i16> {
        let end = |end: i8| i16::from(fold(end as u8, ignore_case) as i8);
        end(low)..end(high) + 1
    }
}

/// A class's entries, and whether it stands for all other bytes.
fn class_parts(class: &[u8]) -> (&[u8], bool) {
    match class {
        [b'^' | b'!', entries @ ..] => (entries, true),
        entries => (entries, false),
    }
}

/// The length of a class, given what follows its `[`, and its size with the `]`, if there is one.
fn class_len(class: &[u8]) -> (usize, usize) {
    let (entries, negated) = class_parts(class);
    let mut at = usize::from(negated);
    let mut rest = entries;
    while let Some((_, size)) = ClassEntry::first(rest) {
        at += size;
        rest = &rest[size..];
    }
    (at, at + usize::from(!rest.is_empty()))
}

fn class_contains(class: &[u8], byte: u8, ignore_case: bool) -> bool {
    let (mut entries, negated) = class_parts(class);
    let mut found = false;
    while let Some((entry, size)) = ClassEntry::first(entries) {
        found |= entry.contains(byte, ignore_case);
        entries = &entries[size..];
    }
    found != negated
}

/// Which bytes a class contains. O(256 + length).
fn class_bytes(class: &[u8], ignore_case: bool) -> [bool; 256] {
    let (mut entries, negated) = class_parts(class);
    let (mut exact, mut folded) = ([false; 256], [false; 256]);
    // How far each range's first byte reaches, so that many ranges cost no more than their own length.
    let mut reach = [i16::MIN; 256];
    while let Some((entry, size)) = ClassEntry::first(entries) {
        match entry {
            ClassEntry::Escaped(byte) => exact[usize::from(byte)] = true,
            ClassEntry::Byte(byte) => folded[usize::from(fold(byte, ignore_case))] = true,
            ClassEntry::Range(low, high) => {
                let range = entry.range(low, high, ignore_case);
                let reach = &mut reach[usize::from(range.start as i8 as u8)];
                *reach = range.end.max(*reach);
            }
        }
        entries = &entries[size..];
    }
    let mut end = i16::MIN;
    for byte in i8::MIN..=i8::MAX {
        end = end.max(reach[usize::from(byte as u8)]);
        folded[usize::from(byte as u8)] |= i16::from(byte) < end;
    }
    std::array::from_fn(|byte| (exact[byte] || folded[usize::from(fold(byte as u8, ignore_case))]) != negated)
}

#[inline]
fn fold(byte: u8, ignore_case: bool) -> u8 {
    if ignore_case { byte.to_ascii_lowercase() } else { byte }
}

#[cfg(test)]
mod tests;

//! Comparing many names with a pattern, in steps.

use crate::glob::{Matching, Pattern};

/// Comparisons of a byte in one step of long work: some tenths of a millisecond.
pub const STEP: u64 = 200_000;

/// What a name costs at least, in comparisons of a byte.
const NAME: u64 = 16;

/// Names of which those are kept that match.
#[derive(Debug)]
pub struct Sieve<T> {
    /// First those that matched, then those that did not, then from `next` on those that were not compared yet.
    names: Vec<T>,
    kept: usize,
    next: usize,
    matching: Matching,
}

impl<T> Default for Sieve<T> {
    fn default() -> Sieve<T> {
        Sieve::new(Vec::new())
    }
}

impl<T> Sieve<T> {
    /// Names that are to be compared.
    pub fn new(names: Vec<T>) -> Sieve<T> {
        Sieve { names, kept: 0, next: 0, matching: Matching::default() }
    }

    /// The names that match, in no order; the others too as far as they were not compared.
    pub fn into_kept(mut self) -> Vec<T> {
        self.names.truncate(self.kept);
        self.names
    }
}

impl<T: AsRef<[u8]>> Sieve<T> {
    /// Goes on for about `units` comparisons of a byte, with the same pattern each time; none keeps all. True once every
    /// name was compared.
    pub fn step(&mut self, pattern: Option<&Pattern<'_>>, units: &mut u64) -> bool {
        let Some(pattern) = pattern else {
            (self.kept, self.next) = (self.names.len(), self.names.len());
            return true;
        };
        while let Some(name) = self.names.get(self.next).filter(|_| *units > 0) {
            let Some(matches) = pattern.step(name.as_ref(), &mut self.matching, units) else { return false };
            *units = units.saturating_sub(NAME);
            self.matching = Matching::default();
            if matches {
                self.names.swap(self.kept, self.next);
                self.kept += 1;
            }
            self.next += 1;
        }
        self.next == self.names.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_match_are_kept_in_however_many_steps() {
        let names: Vec<Vec<u8>> = (0..1_000).map(|number| format!("name:{number}").into_bytes()).collect();
        let pattern = Pattern::new(b"n*[02468]?");
        let mut expected: Vec<_> = names.iter().filter(|name| pattern.matches(name)).cloned().collect();
        let (mut sieve, mut steps) = (Sieve::new(names), 1);
        while !sieve.step(Some(&pattern), &mut 100) {
            steps += 1;
        }
        let mut kept = sieve.into_kept();
        kept.sort_unstable();
        expected.sort_unstable();
        assert!(kept == expected && steps > 100, "{} names in {steps} steps", kept.len());
    }
}

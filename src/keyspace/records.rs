//! Records of events by namespace, which outlive their namespaces: capped, the rest is summed up in one.
//!
//! A namespace gets its record with its first key, and the record a label, by which commands are counted. Records are
//! never removed, so the table only grows, to a fixed size, and finding one in it takes no lock and no pin.

use crate::concurrent::counters::recorder::Label;
use crate::concurrent::slots::generation::DEFAULT_NAMESPACE;
use crate::concurrent::slots::namespace::Record;
use ahash::RandomState;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// What the others are called together, so that a namespace of this name is one of them.
pub const OTHERS: &[u8] = b"_other";

/// Longer names have no record of their own: each of them would be repeated in every scrape.
const LONGEST_NAME: usize = 128;

/// The record of one namespace.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) name: Box<[u8]>,
    pub(super) label: Label,
    pub(super) record: Arc<Record>,
}

/// The records of the first namespaces, and one for all others.
#[derive(Debug)]
pub(super) struct Records {
    /// Namespaces with a record of their own, the default one not counted.
    most: usize,
    hasher: RandomState,
    /// By the hash of the name; on a collision the next place is tried. At least half of it stays empty.
    table: Box<[OnceLock<Named>]>,
    /// How many are in the table; held to add one.
    count: Mutex<usize>,
    /// Set once no more can be added.
    full: OnceLock<()>,
    /// Set once a namespace is one of the others.
    has_others: OnceLock<()>,
    default: OnceLock<Named>,
    pub(super) others: Arc<Record>,
}

impl Records {
    /// Room for the records of `most` namespaces beside the default one.
    pub(super) fn new(most: usize) -> Records {
        let places = (2 * most).next_power_of_two();
        Records {
            most,
            hasher: RandomState::new(),
            table: std::iter::repeat_with(OnceLock::new).take(places).collect(),
            count: Mutex::default(),
            full: OnceLock::new(),
            has_others: OnceLock::new(),
            default: OnceLock::new(),
            others: Arc::default(),
        }
    }

    /// The record of a namespace, made if there is room.
    pub(super) fn of(&self, name: &[u8]) -> Arc<Record> {
        let named = if name == DEFAULT_NAMESPACE {
            Some(self.default.get_or_init(|| named(name, Label::DEFAULT)))
        } else {
            self.find(name).or_else(|| self.add(name))
        };
        let others = || {
            self.has_others.get_or_init(|| ());
            &self.others
        };
        Arc::clone(named.map_or_else(others, |named| &named.record))
    }

    /// The label under which a namespace is counted. Some nanoseconds.
    #[inline]
    pub(super) fn label(&self, name: &[u8]) -> Label {
        if name == DEFAULT_NAMESPACE {
            return Label::DEFAULT;
        }
        self.find(name).map_or(Label::OTHERS, |named| named.label)
    }

    /// Every record but that of the others. O(room).
    pub(super) fn iter(&self) -> impl Iterator<Item = &Named> {
        std::iter::once(&self.default).chain(&self.table).filter_map(OnceLock::get)
    }

    /// True if a namespace has keys, or had some, that has no record of its own.
    pub(super) fn has_others(&self) -> bool {
        self.has_others.get().is_some()
    }

    fn is_full(&self) -> bool {
        self.full.get().is_some()
    }

    fn places(&self, name: &[u8]) -> impl Iterator<Item = &OnceLock<Named>> {
        let start = self.hasher.hash_one(name) as usize;
        (0..self.table.len()).map(move |step| &self.table[(start + step) % self.table.len()])
    }

    fn find(&self, name: &[u8]) -> Option<&Named> {
        self.places(name).map_while(OnceLock::get).find(|named| *named.name == *name)
    }

    fn add(&self, name: &[u8]) -> Option<&Named> {
        if self.most == 0 || name.len() > LONGEST_NAME || name == OTHERS {
            return None;
        }
        if self.is_full() {
            // Somebody else may have added it as the last one, since `of` looked.
            return self.find(name);
        }
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        // Somebody else may have added it by now.
        if let Some(named) = self.find(name) {
            return Some(named);
        }
        if *count >= self.most {
            return None;
        }
        let place = self.places(name).find(|place| place.get().is_none())?;
        let label = Label::numbered(Label::FIXED + *count);
        *count += 1;
        let added = place.get_or_init(|| named(name, label));
        // Only after the last one is there: then a full table has every name that it will have.
        if *count == self.most {
            self.full.get_or_init(|| ());
        }
        Some(added)
    }
}

fn named(name: &[u8], label: Label) -> Named {
    Named { name: name.into(), label, record: Arc::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_namespaces_have_labels_and_the_rest_is_others() {
        let records = Records::new(3);
        for name in [&b"a"[..], b"default", b"b", b"_other", &[b'x'; 200], b"c", b"d", b"a"] {
            records.of(name);
        }
        let label = |name: &[u8]| records.label(name).number();
        assert_eq!([label(b"a"), label(b"b"), label(b"c")], [2, 3, 4]);
        assert_eq!([label(b"default"), label(b"d"), label(b"_other"), label(&[b'x'; 200])], [1, 0, 0, 0]);
        assert!(Arc::ptr_eq(&records.of(b"d"), &records.others) && records.is_full());
        let mut names: Vec<&[u8]> = records.iter().map(|named| &*named.name).collect();
        names.sort_unstable();
        assert_eq!(names, [&b"a"[..], b"b", b"c", b"default"]);
    }

    #[test]
    fn a_namespace_that_can_have_no_record_is_one_of_the_others_before_there_are_many() {
        let records = Records::new(3);
        records.of(b"a");
        assert!(!records.has_others());
        records.of(&[b'x'; 200]);
        assert!(records.has_others() && !records.is_full());
    }

    #[test]
    fn threads_that_add_one_name_get_one_record() {
        // Many small tables, for the last name that fits is where two threads can differ.
        for _ in 0..500 {
            let records = Records::new(3);
            let all: Vec<Vec<Arc<Record>>> = std::thread::scope(|scope| {
                let add = || (0..3u8).map(|nth| records.of(&[nth])).collect();
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(add)).collect();
                threads.into_iter().map(|thread| thread.join().expect("records")).collect()
            });
            for other in &all[1..] {
                assert!(all[0].iter().zip(other).all(|(one, other)| Arc::ptr_eq(one, other)));
            }
            assert_eq!(records.iter().count(), 3);
        }
    }
}

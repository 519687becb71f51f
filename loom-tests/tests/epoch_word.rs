//! The epoch word against writes: stamps never decrease along a cell, or along a chain of cause and effect.
//!
//! Invariants (`concurrent/epoch/epoch_word.rs`): I1, I2. That stamps do not decrease along a cell is asserted in every
//! model, wherever a version enters a cell.
//!
//! Twin: an attempt that reads the epoch before its last read.

#![cfg(kvns_loom)]

use kvns::concurrent::epoch::epoch_word::EpochWord;
use kvns::concurrent::epoch::reclaim::pin;
use kvns::concurrent::versions::cell::Cell;
use kvns::concurrent::versions::nodes::Edits;
use kvns::concurrent::versions::transaction::{Write, commit};
use kvns::sync::{Bug, seeded};
use loom::thread;
use loom_tests::{cells, model, next, value};
use std::sync::Arc;

/// Reads `from`, then writes `to` with what it read plus one, and returns the stamps read and written.
fn follow(epoch: &EpochWord, from: &Cell, to: &Cell) -> (u32, u32) {
    let guard = pin();
    loop {
        let early = epoch.read().stamp();
        let cause = from.read(&guard);
        let base = to.settle(&guard);
        let stamp = if seeded(Bug::StampReadEarly) { early } else { epoch.read().stamp() };
        let new = next(base, value(cause) + 1);
        new.set_stamp(stamp);
        if to.replace(base, new.into(), None, &guard).is_ok() {
            return (cause.stamp(), stamp);
        }
    }
}

/// Adds one to both cells, with one stamp for both.
fn add_to_both(epoch: &EpochWord, cells: &[Cell]) {
    let guard = pin();
    loop {
        let early = epoch.read().stamp();
        let seen: Vec<_> = cells.iter().map(|cell| (cell, cell.settle(&guard))).collect();
        let stamp = if seeded(Bug::StampReadEarly) { early } else { epoch.read().stamp() };
        let writes = seen.iter().map(|(cell, expected)| {
            let new = next(expected, value(expected) + 1);
            new.set_stamp(stamp);
            Write { cell, expected, new, claim: None }
        });
        if commit(writes.collect(), &mut Edits::new(&guard), &guard).is_ok() {
            return;
        }
    }
}

fn chain() {
    let cells = cells(&[0, 0]);
    let epoch = Arc::new(EpochWord::default());
    let other = {
        let (epoch, cells) = (Arc::clone(&epoch), Arc::clone(&cells));
        thread::spawn(move || {
            epoch.begin();
            follow(&epoch, &cells[1], &cells[0]);
        })
    };
    let (cause, effect) = follow(&epoch, &cells[0], &cells[1]);
    assert!(effect >= cause, "an effect was stamped before its cause");
    other.join().unwrap();
}

model!(
    /// Two writers that read each other's cells, while an epoch begins.
    an_effect_is_not_stamped_before_its_cause, 4, Newest, 50,
    &[(&[Bug::StampReadEarly], "stamp")],
    chain
);

model!(
    /// The same with stale reads.
    an_effect_is_not_stamped_before_its_cause_in_spite_of_stale_reads, 4, Stale, 20,
    &[(&[Bug::StampReadEarly], "stamp")],
    chain
);

model!(
    /// A transaction against a direct write, while an epoch begins: no cell goes back.
    stamps_never_decrease_along_a_cell, 3, Newest, 100,
    &[(&[Bug::StampReadEarly], "a stamp decreased along a cell")],
    || {
        let cells = cells(&[0, 0]);
        let epoch = Arc::new(EpochWord::default());
        let other = {
            let (epoch, cells) = (Arc::clone(&epoch), Arc::clone(&cells));
            thread::spawn(move || add_to_both(&epoch, &cells))
        };
        epoch.begin();
        follow(&epoch, &cells[1], &cells[1]);
        other.join().unwrap();
    }
);

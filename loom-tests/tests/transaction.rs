//! Transactions: several cells change at one instant.
//!
//! Invariants (`concurrent/versions/transaction.rs`): I1, I2, the status changes once, after all intents are there; I3, no
//! read-only cells; I4, I5, who owns which version after commit and abort (every execution checks that each is
//! retired once, freed, and not touched under a later guard; and Rule V); I6, how long a descriptor lives.
//!
//! Twins: an undecided intent read as committed; a status that publishes nothing; an abort that puts
//! the same version back; read cells compared instead of locked; and an aborted descriptor that is retired at
//! once. The latter is a second line: while Rule V holds no helper can install late, for whoever aborts has found
//! a cell that its expected version has left for good, and every cell before it held its intent. So it is seeded
//! together with a breach of Rule V.

#![cfg(kvns_loom)]

use kvns::concurrent::epoch::reclaim::{Guard, pin};
use kvns::concurrent::versions::cell::Cell;
use kvns::concurrent::versions::nodes::Edits;
use kvns::concurrent::versions::transaction::{Write, commit};
use kvns::concurrent::versions::version::VersionBox;
use kvns::sync::Bug;
use loom::thread;
use loom_tests::{add_one, cells, model, next, value};
use std::sync::Arc;

/// Adds one to each of `changed` and only reads each of `read`, if what was read passes `condition`; until that
/// has happened or the condition fails. Returns the number of attempts.
fn add(
    cells: &[Cell],
    changed: &[usize],
    read: &[usize],
    condition: impl Fn(&[i64]) -> bool,
    guard: &Guard,
) -> usize {
    for attempt in 1.. {
        let seen: Vec<_> = changed.iter().chain(read).map(|at| (*at, cells[*at].settle(guard))).collect();
        let values: Vec<i64> = seen.iter().map(|(_, version)| value(version)).collect();
        if !condition(&values) {
            return attempt;
        }
        let writes = seen
            .iter()
            .enumerate()
            .map(|(place, (at, expected))| {
                let new = if place < changed.len() {
                    next(expected, values[place] + 1)
                } else {
                    VersionBox::fresh_copy(expected)
                };
                Write { cell: &cells[*at], expected, new, claim: None }
            })
            .collect();
        if commit(writes, &mut Edits::new(guard), guard).is_ok() {
            return attempt;
        }
        assert!(attempt < 10, "an abort without somebody's commit");
    }
    unreachable!()
}

fn always(_: &[i64]) -> bool {
    true
}

model!(
    /// Two transactions on the same two cells, and a reader, who never sees the second cell behind the first.
    two_cells_change_at_one_instant, 3, Newest, 1_000,
    &[(&[Bug::UndecidedReadsNew], "between")],
    || {
        let cells = cells(&[0, 0]);
        let others: Vec<_> = (0..2)
            .map(|_| {
                let cells = Arc::clone(&cells);
                thread::spawn(move || add(&cells, &[0, 1], &[], always, &pin()))
            })
            .collect();
        {
            let guard = pin();
            let first = value(cells[0].read(&guard));
            let second = value(cells[1].read(&guard));
            assert!(second >= first, "a reader saw a transaction between its cells");
        }
        for other in others {
            other.join().unwrap();
        }
        let guard = pin();
        let sums = (value(cells[0].read(&guard)), value(cells[1].read(&guard)));
        assert_eq!(sums, (2, 2), "a transaction was lost or half done");
    }
);

model!(
    /// A reader with stale reads: who has seen one cell's new value by the transaction's status sees the other's.
    two_cells_change_at_one_instant_in_spite_of_stale_reads, 3, Stale, 20,
    &[(&[Bug::StatusRelaxed], "between")],
    || {
        let cells = cells(&[0, 0]);
        let other = {
            let cells = Arc::clone(&cells);
            thread::spawn(move || add(&cells, &[0, 1], &[], always, &pin()))
        };
        {
            let guard = pin();
            let first = value(cells[0].read(&guard));
            let second = value(cells[1].read(&guard));
            assert!(second >= first, "a reader saw a transaction between its cells");
        }
        other.join().unwrap();
    }
);

model!(
    /// Three cells, overlapping transactions and a direct write in the middle, all of which settle: helping.
    three_cells_with_helping_and_aborts, 3, Newest, 2_000,
    &[(&[Bug::AbortRestoresSameVersion], "entered a cell again")],
    || {
        let cells = cells(&[0, 0, 0]);
        let other = {
            let cells = Arc::clone(&cells);
            thread::spawn(move || add(&cells, &[1, 2], &[], always, &pin()))
        };
        let writer = {
            let cells = Arc::clone(&cells);
            thread::spawn(move || add_one(&cells[1]))
        };
        add(&cells, &[2, 0, 1], &[], always, &pin());
        other.join().unwrap();
        writer.join().unwrap();
        let guard = pin();
        let sums: Vec<i64> = cells.iter().map(|cell| value(cell.read(&guard))).collect();
        assert_eq!(sums, [1, 3, 2]);
    }
);

model!(
    /// Each of two transactions writes one cell if the other one's is still 0: only one may.
    cells_that_were_only_read_are_validated, 4, Newest, 200,
    &[(&[Bug::ReadCellsWithoutIntent], "write skew")],
    || {
        let cells = cells(&[0, 0]);
        let untouched = |values: &[i64]| values[1] == 0;
        let other = {
            let cells = Arc::clone(&cells);
            thread::spawn(move || add(&cells, &[0], &[1], untouched, &pin()))
        };
        add(&cells, &[1], &[0], untouched, &pin());
        other.join().unwrap();
        let guard = pin();
        let sum = value(cells[0].read(&guard)) + value(cells[1].read(&guard));
        assert_eq!(sum, 1, "write skew");
    }
);

model!(
    /// A transaction's read cell against a direct write of it: neither is lost, whoever aborts.
    a_read_cell_against_a_direct_write, 4, Newest, 50,
    &[
        (&[Bug::AbortRestoresSameVersion], "entered a cell again"),
        (&[Bug::ExchangeInTwoSteps], ""),
    ],
    || {
        let cells = cells(&[0, 0]);
        let writer = {
            let cells = Arc::clone(&cells);
            thread::spawn(move || add_one(&cells[1]))
        };
        add(&cells, &[0], &[1], always, &pin());
        writer.join().unwrap();
        let guard = pin();
        assert_eq!((value(cells[0].read(&guard)), value(cells[1].read(&guard))), (1, 1));
    }
);

model!(
    /// A transaction that has to abort, a helper that may be late, and a reader whose guard begins at any time:
    /// nobody meets the descriptor after its grace.
    an_aborted_descriptor_outlives_its_helpers, 3, Newest, 1_000,
    &[(&[Bug::AbortRestoresSameVersion, Bug::AbortedDescriptorOneGrace], "touched something that was retired")],
    || {
        let cells = cells(&[0, 0, 0]);
        let helper = {
            let cells = Arc::clone(&cells);
            thread::spawn(move || {
                cells[0].settle(&pin());
            })
        };
        let late = {
            let cells = Arc::clone(&cells);
            thread::spawn(move || {
                assert_eq!(value(cells[1].read(&pin())), 0);
            })
        };
        {
            let guard = pin();
            let seen: Vec<_> = cells.iter().map(|cell| (cell, cell.settle(&guard))).collect();
            add_one(&cells[2]);
            let writes = seen
                .iter()
                .map(|(cell, expected)| Write { cell, expected, new: next(expected, 7), claim: None })
                .collect();
            let unused = commit(writes, &mut Edits::new(&guard), &guard).expect_err("its last cell has changed");
            assert_eq!(unused.len(), 3);
        }
        helper.join().unwrap();
        late.join().unwrap();
        let guard = pin();
        let sums: Vec<i64> = cells.iter().map(|cell| value(cell.read(&guard))).collect();
        assert_eq!(sums, [0, 0, 1]);
    }
);

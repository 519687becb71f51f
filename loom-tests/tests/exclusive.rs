//! The exclusive right: a transaction that runs alone, against attempts in flight.
//!
//! Invariants (`concurrent/epoch/exclusive.rs`): I1, an attempt reads the word under its pin, before its first read; I2,
//! the holder runs only after a grace period. So nothing changes under it.
//!
//! Twins: running without the grace period; an attempt that looks before it is pinned.

#![cfg(kvns_loom)]

use kvns::concurrent::epoch::exclusive::ExclusiveWord;
use kvns::concurrent::epoch::reclaim::pin;
use kvns::concurrent::versions::cell::Cell;
use kvns::sync::{Bug, seeded};
use loom::thread;
use loom_tests::{cells, model, next, value};
use std::sync::Arc;

/// One attempt to add one, unless somebody runs alone.
fn attempt(word: &ExclusiveWord, cell: &Cell) -> bool {
    let early = seeded(Bug::ExclusiveReadEarly);
    let mut is_taken = early && word.is_taken();
    let guard = pin();
    is_taken |= !early && word.is_taken();
    if is_taken {
        return false;
    }
    let base = cell.settle(&guard);
    cell.replace(base, next(base, value(base) + 1).into(), None, &guard).is_ok()
}

model!(
    /// Two attempts against one who runs alone and is not to lose.
    who_runs_alone_does_not_lose, 3, Newest, 100,
    &[
        (&[Bug::ExclusiveWithoutGrace], "lost while it ran alone"),
        (&[Bug::ExclusiveReadEarly], "lost while it ran alone"),
    ],
    || {
        let cells = cells(&[0]);
        let word = Arc::new(ExclusiveWord::default());
        let others: Vec<_> = (0..2)
            .map(|_| {
                let (word, cells) = (Arc::clone(&word), Arc::clone(&cells));
                thread::spawn(move || attempt(&word, &cells[0]))
            })
            .collect();
        let mut mine = 0;
        {
            let exclusive = word.take().expect("nobody else takes it");
            assert!(word.take().is_none(), "two run alone");
            if exclusive.is_ready() {
                let guard = pin();
                let base = cells[0].settle(&guard);
                let replaced = cells[0].replace(base, next(base, value(base) + 1).into(), None, &guard);
                assert!(replaced.is_ok(), "it lost while it ran alone");
                mine = 1;
            }
        }
        let theirs: i64 = others.into_iter().map(|other| i64::from(other.join().unwrap())).sum();
        assert_eq!(value(cells[0].read(&pin())), mine + theirs);
    }
);

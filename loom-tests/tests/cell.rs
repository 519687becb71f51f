//! Cells: a compare-and-swap against readers and other writers.
//!
//! Invariants (`concurrent/versions/cell.rs`): I2, whoever moves a version out retires it, once, after it has left; I3, no
//! version comes back; and no update is lost. Every execution also checks that nothing leaks and that what a
//! reader touches had not been retired before its guard.
//!
//! Twin: the exchange in two steps (lost updates).

#![cfg(kvns_loom)]

use kvns::concurrent::epoch::reclaim::pin;
use kvns::concurrent::versions::cell::Cell;
use kvns::sync::Bug;
use loom::thread;
use loom_tests::{add_one, cells, model, value};
use std::sync::Arc;

model!(
    /// Two writers and a reader: both additions are there, and the reader sees the count grow.
    no_update_is_lost, 3, Newest, 200,
    &[(&[Bug::ExchangeInTwoSteps], "")],
    || {
        let cell: Arc<[Cell]> = cells(&[0]);
        let writers: Vec<_> = (0..2)
            .map(|_| {
                let cell = Arc::clone(&cell);
                thread::spawn(move || add_one(&cell[0]))
            })
            .collect();
        let mut last = 0;
        for _ in 0..2 {
            let guard = pin();
            let now = value(cell[0].read(&guard));
            assert!(now >= last, "the count went back");
            last = now;
        }
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        assert_eq!(value(cell[0].read(&pin())), 2, "an update was lost");
    }
);

model!(
    /// The same with stale reads: what a reader finds is initialised and not yet retired.
    readers_find_whole_versions, 3, Stale, 8,
    &[(&[Bug::ExchangeInTwoSteps], "")],
    || {
        let cell: Arc<[Cell]> = cells(&[0]);
        let writer = {
            let cell = Arc::clone(&cell);
            thread::spawn(move || (0..2).for_each(|_| add_one(&cell[0])))
        };
        add_one(&cell[0]);
        assert!((1..=3).contains(&value(cell[0].read(&pin()))));
        writer.join().unwrap();
        assert_eq!(value(cell[0].read(&pin())), 3, "an update was lost");
    }
);

//! What namespaces are bound to.
//!
//! Invariants (`concurrent/ledger/rules.rs`): I1, a number's rules are always the same; I2, whoever finds one number in both
//! words has that number's rules.
//!
//! Twins: the number beside one half only is looked at; rules are told under the number with which they were asked for.

#![cfg(kvns_loom)]

use kvns::concurrent::ledger::rules::{InForce, SeenRules};
use kvns::sync::Bug;
use loom::thread;
use loom_tests::model;
use std::sync::Arc;

/// The rules of one namespace before and after each of two changes. No two have a half in common.
const RULES: [u64; 3] = [1 << 42 | 1, 2 << 42 | 2, 3 << 42 | 3];

struct Bound {
    in_force: InForce<usize>,
    seen: SeenRules,
}

fn bound() -> Arc<Bound> {
    Arc::new(Bound { in_force: InForce::default(), seen: SeenRules::default() })
}

impl Bound {
    /// Which rules somebody finds who asks.
    fn ask(&self) -> usize {
        let found = self.in_force.of(&self.seen, |at| RULES[*at]);
        let at = RULES.iter().position(|rules| *rules == found);
        at.unwrap_or_else(|| panic!("nobody ever set {found:?}"))
    }
}

model!(
    /// Two ask while the rules change twice: each finds what was in force at some time, never the half of one and the
    /// half of another, and in the end all find the last.
    askers_find_rules_that_were_set, 3, Stale, 5_000,
    &[
        (&[Bug::OneHalfIsBelieved], "nobody ever set"),
        (&[Bug::ToldUnderOldNumber], "nobody ever set"),
    ],
    || {
        let bound = bound();
        let asker = {
            let bound = Arc::clone(&bound);
            thread::spawn(move || (bound.ask(), bound.ask()))
        };
        let changer = {
            let bound = Arc::clone(&bound);
            thread::spawn(move || {
                bound.in_force.change(|at| *at = 1);
                bound.in_force.change(|at| *at = 2);
            })
        };
        bound.ask();
        let (first, second) = asker.join().unwrap();
        assert!(first <= second, "rules came back");
        changer.join().unwrap();
        assert_eq!((bound.ask(), bound.ask()), (2, 2), "the last change is not in force");
    }
);

model!(
    /// A teller that was overtaken by a change leaves nothing that outlives it.
    a_late_teller_leaves_nothing, 3, Newest, 300,
    &[(&[Bug::OneHalfIsBelieved], "nobody ever set")],
    || {
        let bound = bound();
        let teller = {
            let bound = Arc::clone(&bound);
            thread::spawn(move || bound.ask())
        };
        bound.in_force.change(|at| *at = 1);
        assert_eq!(bound.ask(), 1, "a change that was answered is in force");
        assert!(teller.join().unwrap() <= 1);
        assert_eq!(bound.ask(), 1, "the last change is not in force");
    }
);

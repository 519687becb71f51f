//! The balance under a limit, and what goes to make room.
//!
//! Invariants (`concurrent/ledger/balance.rs`): I1, what was reserved never exceeds the balance; I2, what a lease has left goes
//! back; I3, a correction loses nothing. And `keyspace/eviction/mod.rs`, V2: what goes is the very version that was seen;
//! the sweep of read keys removes the version that was read and no other.
//!
//! Twins: a lease whose rest is lost; a correction that loads, then stores; an eviction
//! of whatever is there by then; a sweep that looks at no seq.

#![cfg(kvns_loom)]

use kvns::concurrent::ledger::balance::{BLOCK, Balance, Lease};
use kvns::config::EvictionRules;
use kvns::config::Policy;
use kvns::keyspace::{Change, Draft, Key, View};
use kvns::sync::Bug;
use loom::thread;
use loom_tests::{Outcome, keyspace, model, run, spawn};
use std::sync::Arc;

/// Reserves in one lease what `balance` allows of `wanted`, and ends the lease. Returns what was reserved.
fn reserve(balance: &Balance, wanted: &[i64]) -> i64 {
    let mut lease = Lease::default();
    let mut reserved = 0;
    for bytes in wanted {
        if balance.lease(&mut lease, *bytes, 0) {
            lease.overdraw(*bytes);
            reserved += bytes;
        }
    }
    balance.release_lease(&mut lease);
    reserved
}

model!(
    /// Two writers and a balance of less than both want: no more is reserved than there is, and the rest is free again.
    no_more_is_reserved_than_there_is, 3, Newest, 10,
    &[(&[Bug::LeaseForgotten], "some was lost")],
    || {
        let bytes = BLOCK + 100;
        let balance = Arc::new(Balance::new(bytes));
        let other = {
            let balance = Arc::clone(&balance);
            thread::spawn(move || reserve(&balance, &[BLOCK, 60]))
        };
        let reserved = reserve(&balance, &[60, BLOCK]) + other.join().unwrap();
        assert!(reserved <= bytes, "more was reserved than there was: {reserved}");
        assert!(balance.free() + reserved <= bytes, "more was reserved, or given back twice");
        assert_eq!(balance.free() + reserved, bytes, "some was lost");
        assert_eq!(balance.leased(), 0);
    }
);

model!(
    /// Two writers, one of which was refused until a third thread freed something, and a correction from scratch once
    /// all are through: what is freed is reserved once.
    what_was_freed_is_reserved_once, 3, Newest, 300,
    &[(&[Bug::LeaseForgotten], "some was lost")],
    || {
        const FREED: i64 = 100;
        let balance = Arc::new(Balance::new(100));
        let other = {
            let balance = Arc::clone(&balance);
            thread::spawn(move || reserve(&balance, &[60, 60]))
        };
        let freer = {
            let balance = Arc::clone(&balance);
            thread::spawn(move || balance.release(FREED))
        };
        let reserved = reserve(&balance, &[100, 60]) + other.join().unwrap();
        freer.join().unwrap();
        assert!(reserved <= 100 + FREED, "more was reserved than there was: {reserved}");
        assert!(balance.free() + reserved <= 100 + FREED, "more was reserved, or given back twice");
        assert_eq!(balance.free() + reserved, 100 + FREED, "some was lost");
        balance.correct(|| 70);
        assert_eq!((balance.free(), balance.leased()), (70, 0), "from scratch it knows of nothing else");
    }
);

model!(
    /// A correction meanwhile errs by what is in flight only, and never on the side of more.
    a_correction_loses_nothing, 3, Newest, 3,
    &[(&[Bug::AddedInTwoSteps], "the correction")],
    || {
        let balance = Arc::new(Balance::new(100));
        let other = {
            let balance = Arc::clone(&balance);
            thread::spawn(move || balance.release(-40))
        };
        // The limit rises by 50; what the other does is not known yet, or it is.
        balance.correct(|| 150);
        other.join().unwrap();
        assert!([110, 150].contains(&balance.free()), "the correction lost the other's change: {}", balance.free());
    }
);

fn put(view: &mut View<'_>, value: i64) -> Outcome<()> {
    view.update(Key::new(b"a"), |_| Ok((Change::Put(Draft::integer(value, None)), ())))
}

model!(
    /// A key that was read is written again while the sweep comes: what nobody has read stays.
    the_sweep_removes_what_was_read_only, 3, Newest, 20,
    &[
        (&[Bug::SweepIgnoresSeq], "nobody has read"),
        (&[Bug::EvictsUnseen], "nobody has read"),
    ],
    || {
        let keyspace = keyspace();
        keyspace.bind(u64::MAX, EvictionRules { policy: Policy::Ear, ..EvictionRules::default() });
        run(&keyspace, |view| put(view, 1));
        run(&keyspace, |view| Ok(view.read(Key::new(b"a"))?.is_some()));
        let writer = spawn(&keyspace, |view| put(view, 2));
        keyspace.housekeep();
        writer.join().unwrap();
        let is_there = run(&keyspace, |view| Ok(view.peek(Key::new(b"a"))?.is_some()));
        assert!(is_there, "what nobody has read was removed");
        keyspace.check_invariants().unwrap();
    }
);

//! Credit under a limit, and what goes to make room.
//!
//! Invariants (`concurrent/ledger/credit.rs`): I1, what was paid never exceeds the room; I2, what a lease has left goes
//! back; I3, a correction loses nothing. And `keyspace/eviction.rs`, V2: what goes is the very version that was seen;
//! the sweep of read keys removes the version that was read and no other.
//!
//! Twins: credit taken by a load and a store; a lease that gives nothing back; a correction by a store; an eviction
//! of whatever is there by then; a sweep that looks at no seq.

#![cfg(kvns_loom)]

use kvns::concurrent::ledger::credit::{BLOCK, Lease, Room};
use kvns::config::EvictionRules;
use kvns::config::Policy;
use kvns::keyspace::{Change, Draft, Key, View};
use kvns::sync::Bug;
use loom::thread;
use loom_tests::{Outcome, keyspace, model, run, spawn};
use std::sync::Arc;

/// Pays in one lease what `room` allows of `payments`, and ends the lease. Returns what was paid.
fn pay(room: &Room, payments: &[i64]) -> i64 {
    let mut lease = Lease::default();
    let mut paid = 0;
    for bytes in payments {
        if room.lease(&mut lease, *bytes, 0) {
            lease.charge(*bytes);
            paid += bytes;
        }
    }
    room.end(&mut lease);
    paid
}

model!(
    /// Two writers and room for less than both want: no more is paid than there is, and the rest is free again.
    no_more_is_paid_than_there_is, 3, Newest, 10,
    &[
        (&[Bug::CreditTakenInTwoSteps], "more was paid"),
        (&[Bug::CreditForgotten], "some was lost"),
    ],
    || {
        let bytes = BLOCK + 100;
        let room = Arc::new(Room::new(bytes));
        let other = {
            let room = Arc::clone(&room);
            thread::spawn(move || pay(&room, &[BLOCK, 60]))
        };
        let paid = pay(&room, &[60, BLOCK]) + other.join().unwrap();
        assert!(paid <= bytes, "more was paid than there was: {paid}");
        assert!(room.free() + paid <= bytes, "more was paid, or given back twice");
        assert_eq!(room.free() + paid, bytes, "some was lost");
        assert_eq!(room.leased(), 0);
    }
);

model!(
    /// Two writers, one of which was refused until a third thread freed something, and a correction from scratch once
    /// all are through: what is freed is paid with once.
    what_was_freed_is_paid_with_once, 3, Newest, 300,
    &[
        (&[Bug::CreditTakenInTwoSteps], "more was paid"),
        (&[Bug::CreditForgotten], "some was lost"),
    ],
    || {
        const FREED: i64 = 100;
        let room = Arc::new(Room::new(100));
        let other = {
            let room = Arc::clone(&room);
            thread::spawn(move || pay(&room, &[60, 60]))
        };
        let freer = {
            let room = Arc::clone(&room);
            thread::spawn(move || room.give(FREED))
        };
        let paid = pay(&room, &[100, 60]) + other.join().unwrap();
        freer.join().unwrap();
        assert!(paid <= 100 + FREED, "more was paid than there was: {paid}");
        assert!(room.free() + paid <= 100 + FREED, "more was paid, or given back twice");
        assert_eq!(room.free() + paid, 100 + FREED, "some was lost");
        room.correct(70);
        assert_eq!((room.free(), room.leased()), (70, 0), "from scratch it knows of nothing else");
    }
);

model!(
    /// A correction meanwhile errs by what is in flight only, and never on the side of more room.
    a_correction_loses_nothing, 3, Newest, 3,
    &[(&[Bug::RoomStored], "the correction")],
    || {
        let room = Arc::new(Room::new(100));
        let other = {
            let room = Arc::clone(&room);
            thread::spawn(move || room.give(-40))
        };
        // The limit rises by 50; what the other does is not known yet, or it is.
        room.correct(150);
        other.join().unwrap();
        assert!([110, 150].contains(&room.free()), "the correction lost the other's change: {}", room.free());
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

//! The wheel's note against a change of the deadline.
//!
//! Invariants (`concurrent/slots/wheel.rs`): I1, the note is the earliest entry; I2, other entries are dropped; I3, a
//! cell with a deadline has an entry no later than that, whoever came first; I5, a leap of the clock overtakes no alarm.
//!
//! I7, sifting drops an alarm only with its note.
//!
//! Twins: either side without its fence, so that it may read before it writes; a later deadline that takes the note; the
//! offset read before the wheel's time; an alarm dropped without its note.

#![cfg(kvns_loom)]

use kvns::concurrent::epoch::reclaim::{Guard, pin};
use kvns::concurrent::slots::generation::{DEFAULT_NAMESPACE, Generation};
use kvns::concurrent::slots::slot::Slot;
use kvns::concurrent::slots::wheel::{BUCKET_MS, Wheel};
use kvns::concurrent::versions::version::VersionBox;
use kvns::sync::Bug;
use loom::thread;
use loom_tests::model;
use std::sync::Arc;

const NAME: &[u8] = b"k";

/// Sets the deadline, then arms the slot, as a write does.
fn set_deadline(generation: &Generation, deadline_ms: u64) {
    let guard = pin();
    let slot = generation.find_or_create(NAME, DEFAULT_NAMESPACE, &guard).0;
    let base = slot.cell().settle(&guard);
    let mut new = VersionBox::integer(0, Some(deadline_ms));
    new.set_seq(base.seq() + 1);
    slot.cell().replace(base, new.into(), None, &guard).expect("nobody else writes");
    generation.inbox.arm(slot, deadline_ms);
}

/// Turns the wheel to `now_ms` as the housekeeper does: what fires is armed again for the deadline it has by then.
fn turn(generation: &Generation, wheel: &mut Wheel, now_ms: u64) {
    let guard = pin();
    let mut fired = Vec::new();
    wheel.turn(&generation.inbox, now_ms, 10, |alarm| fired.push(alarm));
    for alarm in fired {
        let slot = slot(generation, &guard);
        if generation.inbox.fire(alarm, slot)
            && let Some(deadline) = slot.cell().read(&guard).deadline_ms()
        {
            generation.inbox.arm(slot, deadline);
        }
    }
}

fn slot<'g>(generation: &'g Generation, guard: &'g Guard) -> &'g Slot {
    generation.find(NAME, guard).unwrap()
}

/// The firer of an alarm that an earlier life of the slot left behind, against a write with a deadline. The slot's
/// version is the one that is never retired: retiring has a fence of its own in models.
fn fire_against_arm() {
    let generation = Generation::new(1, 0);
    {
        let guard = pin();
        let slot = generation.find_or_create(NAME, DEFAULT_NAMESPACE, &guard).0;
        generation.inbox.arm(slot, BUCKET_MS);
    }
    let writer = {
        let generation = Arc::clone(&generation);
        thread::spawn(move || set_deadline(&generation, 3 * BUCKET_MS))
    };
    let mut wheel = Wheel::default();
    turn(&generation, &mut wheel, BUCKET_MS);
    writer.join().unwrap();
    // The rest happens in order. With a later deadline there has to be an alarm, and it fires in time.
    let guard = pin();
    assert!(slot(&generation, &guard).is_noted(), "a deadline without an alarm");
    let mut fired = false;
    wheel.turn(&generation.inbox, 3 * BUCKET_MS, 10, |alarm| {
        fired |= generation.inbox.fire(alarm, slot(&generation, &guard));
    });
    assert!(fired, "a deadline passed without its alarm");
}

model!(
    /// The firer of an old alarm against the write of a deadline, with stale reads: both fences count.
    a_deadline_has_its_alarm, 4, Stale, 10,
    &[
        (&[Bug::FirerReadsFirst], "without"),
        (&[Bug::WriterReadsNoteFirst], "without"),
    ],
    fire_against_arm
);

model!(
    /// Two writers, the later of which has the earlier deadline: the note is the earliest.
    the_earliest_deadline_is_noted, 4, Newest, 10,
    &[(&[Bug::LaterDeadlineReplacesNote], "late")],
    || {
        let generation = Generation::new(1, 0);
        let arm = |generation: &Generation, bucket: u64| {
            let guard = pin();
            let slot = generation.find(NAME, &guard).unwrap();
            generation.inbox.arm(slot, bucket * BUCKET_MS);
        };
        generation.find_or_create(NAME, DEFAULT_NAMESPACE, &pin());
        let other = {
            let generation = Arc::clone(&generation);
            thread::spawn(move || arm(&generation, 3))
        };
        arm(&generation, 1);
        other.join().unwrap();
        let guard = pin();
        let mut fired = false;
        Wheel::default().turn(&generation.inbox, BUCKET_MS, 10, |alarm| {
            fired |= generation.inbox.fire(alarm, slot(&generation, &guard));
        });
        assert!(fired, "the earlier deadline is late");
    }
);

/// Alarms are sifted, one of which an earlier life of the slot left behind, against a write with a later deadline.
fn sift_against_arm() {
    let generation = Generation::new(1, 0);
    {
        let guard = pin();
        let slot = generation.find_or_create(NAME, DEFAULT_NAMESPACE, &guard).0;
        generation.inbox.arm(slot, 2 * BUCKET_MS);
    }
    let mut wheel = Wheel::default();
    turn(&generation, &mut wheel, 0);
    let writer = {
        let generation = Arc::clone(&generation);
        thread::spawn(move || set_deadline(&generation, 3 * BUCKET_MS))
    };
    while wheel.sift(&generation.inbox, generation.directory(), 1, &pin()) {}
    writer.join().unwrap();
    // The rest happens in order, as after a firing.
    let guard = pin();
    assert!(slot(&generation, &guard).is_noted(), "a deadline without an alarm");
    let mut fired = false;
    wheel.turn(&generation.inbox, 3 * BUCKET_MS, 10, |alarm| {
        fired |= generation.inbox.fire(alarm, slot(&generation, &guard));
    });
    assert!(fired, "a deadline passed without its alarm");
}

model!(
    /// Sifting against the write of a deadline, with stale reads.
    a_deadline_has_its_alarm_while_others_are_sifted, 4, Stale, 10,
    &[
        (&[Bug::FirerReadsFirst], "without"),
        (&[Bug::WriterReadsNoteFirst], "without"),
        (&[Bug::SiftedKeepsNote], "without"),
    ],
    sift_against_arm
);

model!(
    /// The write of a deadline while the clock leaps far ahead: the alarm is there for the time that the clock shows then.
    a_leap_of_the_clock_overtakes_no_alarm, 3, Newest, 10,
    &[(&[Bug::OffsetReadFirst], "without its alarm")],
    || {
        const LEAP_MS: u64 = 1 << 40;
        let generation = Generation::new(1, 0);
        generation.find_or_create(NAME, DEFAULT_NAMESPACE, &pin());
        let writer = {
            let generation = Arc::clone(&generation);
            thread::spawn(move || set_deadline(&generation, LEAP_MS + BUCKET_MS))
        };
        let mut wheel = Wheel::default();
        turn(&generation, &mut wheel, LEAP_MS);
        writer.join().unwrap();
        turn(&generation, &mut wheel, LEAP_MS);
        let guard = pin();
        let mut fired = false;
        wheel.turn(&generation.inbox, LEAP_MS + 2 * BUCKET_MS, 10, |alarm| {
            fired |= generation.inbox.fire(alarm, slot(&generation, &guard));
        });
        assert!(fired, "a deadline passed without its alarm");
    }
);

//! The bytes accounted for keys that are gone: free slots, the index's table, alarms.

use super::{keyspace, remove, set};
use crate::concurrent::epoch::reclaim::pin;
use crate::concurrent::slots::wheel::SPARE;
use crate::keyspace::Keyspace;
use crate::keyspace::entry::FRAME_SHARE;

const KEYS: usize = 20_000;

/// Bytes of a value of up to 16 bytes.
const VALUE: u64 = 32;

fn each(keyspace: &Keyspace, mut change: impl FnMut(&mut crate::keyspace::View<'_>, usize)) {
    let mut batch = keyspace.enter();
    for i in 0..KEYS {
        change(&mut batch.view(), i);
        batch.between_commands();
    }
}

fn fill(keyspace: &Keyspace, deadline: Option<u64>) {
    each(keyspace, |view, i| set(view, format!("k{i}").as_bytes(), b"0123456789abcdef", deadline).unwrap());
}

#[test]
fn slots_and_places_in_the_index_are_accounted_when_their_keys_are_gone() {
    let (keyspace, _) = keyspace();
    assert_eq!(keyspace.accounted_bytes(), 0);
    fill(&keyspace, None);
    let full = keyspace.accounted_bytes();
    assert!(full.abs_diff(keyspace.used_bytes()) < full / 5, "{full}, {}", keyspace.used_bytes());
    each(&keyspace, |view, i| {
        if i % 2 == 0 {
            assert!(remove(view, format!("k{i}").as_bytes()).unwrap());
        }
    });
    keyspace.check_invariants().unwrap();
    let (half, gone) = (keyspace.accounted_bytes(), KEYS as u64 / 2);
    assert_eq!(keyspace.len(), KEYS as u64 - gone);
    // The value and the node in the index are gone; an empty version has taken the value's place.
    assert_eq!(full - half, gone * (VALUE + 8 - 16));
    assert!(half - keyspace.used_bytes() >= gone * FRAME_SHARE as u64 * 2 / 3, "{half}");
    each(&keyspace, |view, i| {
        remove(view, format!("k{i}").as_bytes()).unwrap();
    });
    keyspace.check_invariants().unwrap();
    assert_eq!(keyspace.used_bytes(), 0);
    assert!(keyspace.accounted_bytes() < full / 3, "the chunks are gone, the index's table is there");
    keyspace.enter().view().flush().unwrap();
    keyspace.check_invariants().unwrap();
    assert_eq!(keyspace.accounted_bytes(), 0);
}

#[test]
fn alarms_are_accounted_and_go_when_nobody_needs_them() {
    let (keyspace, clock) = keyspace();
    fill(&keyspace, Some(clock.unix_ms() + 1000));
    let waiting = keyspace.alarm_bytes();
    assert!(waiting >= 16 * KEYS as u64, "{waiting}");
    keyspace.housekeep();
    let placed = keyspace.alarm_bytes();
    assert!((16 * KEYS as u64..64 * KEYS as u64).contains(&placed), "{placed}");
    // The alarms of most keys are dropped, those of the others fire in time.
    each(&keyspace, |view, i| {
        assert!(i % 10 == 0 || remove(view, format!("k{i}").as_bytes()).unwrap());
    });
    keyspace.check_invariants().unwrap();
    let kept = keyspace.alarm_bytes();
    assert!((16 * KEYS as u64 / 10..placed / 4).contains(&kept), "{kept}");
    clock.advance(2000);
    keyspace.check_invariants().unwrap();
    assert_eq!((keyspace.len(), keyspace.stats.expired.get()), (0, KEYS as u64 / 10));
    fill(&keyspace, Some(clock.unix_ms() + 1000));
    keyspace.enter().view().flush().unwrap();
    keyspace.check_invariants().unwrap();
    assert_eq!(keyspace.alarm_bytes(), 0);
}

/// What [`SPARE`] alarms take at most: vectors have up to twice the room that they need.
const SPARE_BYTES: u64 = 4 * 16 * SPARE as u64;

#[test]
fn tenants_whose_keys_had_deadlines_leave_nothing_behind() {
    let (keyspace, clock) = keyspace();
    for _ in 0..3 {
        let far = Some(clock.unix_ms() + 100_000_000);
        each(&keyspace, |view, i| set(view, format!("t{i}/k").as_bytes(), b"v", far).unwrap());
        each(&keyspace, |view, i| assert!(remove(view, format!("t{i}/k").as_bytes()).unwrap()));
        keyspace.check_invariants().unwrap();
        assert_eq!((keyspace.namespace_count(), keyspace.len()), (1, 0));
        assert_eq!(keyspace.current.load(&pin()).directory().slots.get(), 0, "their chunks are gone");
        assert!(keyspace.alarm_bytes() <= SPARE_BYTES, "{}", keyspace.alarm_bytes());
    }
}

#[test]
fn a_key_whose_deadline_comes_ever_nearer_keeps_a_few_alarms() {
    let (keyspace, clock) = keyspace();
    let mut deadline = clock.unix_ms() + 64_000_000;
    for _ in 0..20 {
        each(&keyspace, |view, _| {
            deadline -= 64;
            set(view, b"k", b"v", Some(deadline)).unwrap();
        });
        keyspace.check_invariants().unwrap();
        assert!(keyspace.alarm_bytes() <= SPARE_BYTES, "{}", keyspace.alarm_bytes());
    }
    clock.advance(deadline + 100 - clock.unix_ms());
    keyspace.housekeep();
    assert_eq!((keyspace.len(), keyspace.stats.expired.get()), (0, 1), "its last alarm has fired");
}

#[test]
fn alarms_for_one_deadline_do_not_add_up() {
    let (keyspace, clock) = keyspace();
    let far = clock.unix_ms() + 100_000_000;
    // Each nearer deadline leaves the alarm of the far one behind, which is armed again when the near one fires.
    for _ in 0..5 * SPARE {
        let near = clock.unix_ms() + 64;
        set(&mut keyspace.enter().view(), b"k", b"v", Some(far)).unwrap();
        set(&mut keyspace.enter().view(), b"k", b"v", Some(near)).unwrap();
        set(&mut keyspace.enter().view(), b"k", b"v", Some(far)).unwrap();
        clock.advance(200);
        keyspace.housekeep();
    }
    keyspace.check_invariants().unwrap();
    assert!(keyspace.alarm_bytes() <= SPARE_BYTES, "{}", keyspace.alarm_bytes());
}

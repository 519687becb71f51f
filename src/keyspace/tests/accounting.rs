//! What is accounted for keys that are gone: free slots, the index's table, alarms.

use super::{keyspace, remove, set};
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
fn alarms_are_accounted_until_their_time_comes() {
    let (keyspace, clock) = keyspace();
    fill(&keyspace, Some(clock.unix_ms() + 1000));
    let waiting = keyspace.alarm_bytes();
    assert!(waiting >= 16 * KEYS as u64, "{waiting}");
    keyspace.housekeep();
    let placed = keyspace.alarm_bytes();
    assert!((16 * KEYS as u64..64 * KEYS as u64).contains(&placed), "{placed}");
    each(&keyspace, |view, i| {
        remove(view, format!("k{i}").as_bytes()).unwrap();
    });
    keyspace.check_invariants().unwrap();
    assert_eq!((keyspace.used_bytes(), keyspace.alarm_bytes()), (0, placed));
    clock.advance(2000);
    keyspace.check_invariants().unwrap();
    assert!(keyspace.alarm_bytes() <= placed, "they have fired");
    keyspace.enter().view().flush().unwrap();
    keyspace.check_invariants().unwrap();
    assert_eq!(keyspace.alarm_bytes(), 0);
}

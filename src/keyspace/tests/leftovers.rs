//! Nothing is left behind: slots of names that came to nothing, accesses of a key that is gone, bytes that
//! nobody holds any more.

use super::{Result, get, keyspace, remove, set};
use crate::concurrent::epoch::reclaim::pin;
use crate::config::EvictionRules;
use crate::keyspace::{Change, Draft, Key, Keyspace, KeyspaceError, View};
use crate::value::tree::List;

fn indexed(keyspace: &Keyspace) -> usize {
    keyspace.check_invariants().unwrap();
    keyspace.current.load(&pin()).indexed()
}

#[test]
fn names_that_came_to_nothing_leave_no_slots() {
    let (keyspace, _) = keyspace();
    let transact = |body: fn(&mut View<'_>) -> Result<()>| keyspace.enter().view().transact(body);
    // Read as missing, so that there is a cell to validate.
    transact(|view| {
        assert_eq!(get(view, b"missing")?, None);
        set(view, b"there", b"1", None)
    })
    .unwrap();
    assert_eq!(indexed(&keyspace), 1);
    transact(|view| {
        set(view, b"given/up", b"1", None)?;
        remove(view, b"given/up").map(drop)
    })
    .unwrap();
    assert_eq!(indexed(&keyspace), 1);
    let failed = transact(|view| {
        set(view, b"failed", b"1", None)?;
        Err(KeyspaceError::WrongType)
    });
    assert_eq!(failed, Err(KeyspaceError::WrongType));
    assert_eq!(indexed(&keyspace), 1);
    let watch = keyspace.enter().view().watch(Key::new(b"watched")).unwrap();
    assert_eq!(indexed(&keyspace), 2, "a watched slot stays");
    keyspace.enter().view().unwatch(watch);
    assert_eq!(indexed(&keyspace), 1);
}

#[test]
fn refused_writes_of_new_names_leave_no_slots() {
    let (keyspace, _) = keyspace();
    let quotas = [(b"ns".to_vec(), 10_u64)].into_iter().collect();
    keyspace.bind(64 << 20, EvictionRules { quotas, ..EvictionRules::default() });
    let refuse = |name: &[u8]| {
        let mut batch = keyspace.enter();
        batch.set_checked(true);
        assert_eq!(set(&mut batch.view(), name, b"value", None), Err(KeyspaceError::NoRoom));
    };
    // The quota is looked at when there is a slot already.
    refuse(b"ns/beyond");
    assert_eq!(indexed(&keyspace), 0);
    keyspace.bind(0, EvictionRules::default());
    refuse(b"beyond");
    assert_eq!(keyspace.current.load(&pin()).indexed(), 0, "not even until it is reaped");
}

#[test]
fn a_key_that_is_made_again_has_not_been_used() {
    let (keyspace, _) = keyspace();
    let frequency = |view: &mut View<'_>| view.peek(Key::new(b"k")).unwrap().map(|entry| entry.frequency());
    let mut batch = keyspace.enter();
    let view = &mut batch.view();
    set(view, b"k", b"1", None).unwrap();
    let fresh = frequency(view);
    (0..100).for_each(|_| drop(get(view, b"k").unwrap()));
    assert!(frequency(view) > fresh);
    assert!(remove(view, b"k").unwrap());
    set(view, b"k", b"1", None).unwrap();
    assert_eq!(frequency(view), fresh);
}

#[test]
fn keys_that_go_by_themselves_give_their_bytes_back() {
    let (keyspace, clock) = keyspace();
    keyspace.bind(64 << 20, EvictionRules::default());
    let free = keyspace.memory.free();
    let deadline = Some(clock.unix_ms() + 100);
    set(&mut keyspace.enter().view(), b"lazy", b"1", deadline).unwrap();
    set(&mut keyspace.enter().view(), b"active", b"1", deadline).unwrap();
    assert!(keyspace.memory.free() < free);
    clock.advance(200);
    assert_eq!(get(&mut keyspace.enter().view(), b"lazy").unwrap(), None);
    keyspace.housekeep();
    assert_eq!((keyspace.len(), keyspace.memory.free()), (0, free));
}

#[test]
fn alarms_that_deadlines_left_behind_come_to_one() {
    let (keyspace, clock) = keyspace();
    let start = clock.unix_ms();
    let set_deadline =
        |after_ms| set(&mut keyspace.enter().view(), b"k", b"1", Some(start + after_ms)).unwrap();
    set_deadline(1_000_000);
    set_deadline(1_000_000);
    assert_eq!(keyspace.alarms(), 1, "the bucket is noted");
    set_deadline(500_000);
    set_deadline(100_000_000);
    assert_eq!(keyspace.alarms(), 2, "an earlier bucket was not");
    // The second alarm is the noted one: it goes on to the deadline. The first one is dropped in its time.
    for (after_ms, alarms) in [(600_000, 2), (1_100_000, 1)] {
        clock.advance(start + after_ms - clock.unix_ms());
        while keyspace.housekeep() {}
        assert_eq!(keyspace.alarms(), alarms, "after {after_ms} ms");
    }
    keyspace.check_invariants().unwrap();
    assert_eq!(keyspace.len(), 1);
}

#[test]
fn a_change_of_the_deadline_keeps_the_tree() {
    let (keyspace, clock) = keyspace();
    let items: Vec<Vec<u8>> = (0..2_000).map(|number| format!("item {number}").into_bytes()).collect();
    let pushed: Vec<&[u8]> = items.iter().map(Vec::as_slice).collect();
    let push = keyspace.enter().view().edit::<List, _, KeyspaceError>(Key::new(b"list"), |_, delta| {
        delta.push_back(&pushed);
        Ok(())
    });
    push.unwrap();
    let deadline = Some(clock.unix_ms() + 1_000_000);
    let change = keyspace.enter().view().update(Key::new(b"list"), |entry| {
        let change = entry.map_or(Change::Keep, |entry| Change::Put(Draft::value_of(&entry, deadline)));
        Ok::<_, KeyspaceError>((change, ()))
    });
    change.unwrap();
    // What was retired is freed by then.
    keyspace.check_invariants().unwrap();
    keyspace.help_reclaim();
    let mut batch = keyspace.enter();
    let list = batch.view().tree::<List>(Key::new(b"list")).unwrap();
    assert!(list.iter().map(|item| item.key).eq(pushed));
}

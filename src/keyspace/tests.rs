mod accounting;
mod leftovers;
mod restore;
mod snapshots;
mod sorted_sets;

use super::transaction::Transaction;
use super::*;
use crate::concurrent::slots::slot::Position;
use crate::config::EvictionRules;
use crate::value::string::Str;
use crate::value::tree::List;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

type Result<T> = std::result::Result<T, KeyspaceError>;

fn keyspace() -> (Keyspace, Clock) {
    let clock = Clock::manual(1_000_000);
    (Keyspace::new(clock.clone()), clock)
}

fn set(view: &mut View<'_>, key: &[u8], value: &[u8], deadline: Option<u64>) -> Result<()> {
    view.update(Key::new(key), |_| Ok((Change::Put(Draft::string(value, deadline)), ())))
}

fn get(view: &mut View<'_>, key: &[u8]) -> Result<Option<Vec<u8>>> {
    let Some(entry) = view.read(Key::new(key))? else { return Ok(None) };
    Ok(Some(entry.string()?.bytes().into_owned()))
}

fn remove(view: &mut View<'_>, key: &[u8]) -> Result<bool> {
    view.update(Key::new(key), |entry| Ok((Change::Remove, entry.is_some())))
}

fn add(view: &mut View<'_>, key: &[u8], delta: i64) -> Result<i64> {
    view.update(Key::new(key), |entry| {
        let before = match entry {
            Some(entry) => match entry.string()? {
                Str::Int(value) => value,
                other => panic!("{other:?} is no integer"),
            },
            None => 0,
        };
        Ok((Change::Put(Draft::integer(before + delta, None)), before + delta))
    })
}

#[test]
fn keys_come_and_go_and_leave_nothing_behind() {
    let (keyspace, _) = keyspace();
    let mut batch = keyspace.enter();
    for round in 0..3 {
        for i in 0..10_000 {
            let key =
                if i % 3 == 0 { format!("key:{i}") } else { format!("ns{}/a-longer-key-name:{i}", i % 7) };
            set(&mut batch.view(), key.as_bytes(), format!("value {round}").as_bytes(), None).unwrap();
            batch.between_commands();
        }
        assert_eq!(batch.view().len(), 10_000);
        for i in 0..10_000 {
            let key =
                if i % 3 == 0 { format!("key:{i}") } else { format!("ns{}/a-longer-key-name:{i}", i % 7) };
            assert_eq!(
                get(&mut batch.view(), key.as_bytes()).unwrap(),
                Some(format!("value {round}").into_bytes())
            );
            assert!(remove(&mut batch.view(), key.as_bytes()).unwrap());
            batch.between_commands();
        }
        assert!(batch.view().is_empty());
        drop(batch);
        keyspace.check_invariants().unwrap();
        assert_eq!(keyspace.used_bytes(), 0);
        assert_eq!(keyspace.namespace_count(), 1, "empty namespaces are gone");
        batch = keyspace.enter();
    }
}

#[test]
fn expired_keys_leave_lazily_and_by_themselves() {
    let (keyspace, clock) = keyspace();
    set(&mut keyspace.enter().view(), b"lazy", b"1", Some(1_000_500)).unwrap();
    set(&mut keyspace.enter().view(), b"active", b"1", Some(1_000_600)).unwrap();
    set(&mut keyspace.enter().view(), b"later", b"1", Some(9_000_000)).unwrap();
    clock.advance(499);
    assert!(get(&mut keyspace.enter().view(), b"lazy").unwrap().is_some());
    clock.advance(1);
    assert_eq!(get(&mut keyspace.enter().view(), b"lazy").unwrap(), None);
    assert_eq!(keyspace.len(), 2);
    clock.advance(200);
    keyspace.housekeep();
    assert_eq!((keyspace.len(), keyspace.expiring()), (1, 1));
    keyspace.check_invariants().unwrap();
    assert_eq!(keyspace.stats.expired.get(), 2);
}

#[test]
fn a_deadline_that_moves_is_followed() {
    let (keyspace, clock) = keyspace();
    let now = clock.unix_ms();
    for deadline in [now + 1000, now + 100_000, now + 2000, now + 500_000] {
        set(&mut keyspace.enter().view(), b"k", b"v", Some(deadline)).unwrap();
    }
    clock.advance(3000);
    keyspace.housekeep();
    assert_eq!(keyspace.len(), 1);
    clock.advance(500_000);
    keyspace.housekeep();
    assert_eq!(keyspace.len(), 0);
    keyspace.check_invariants().unwrap();
}

#[test]
fn keys_expire_at_their_time_when_the_clock_is_set() {
    const HOUR_MS: u64 = 3_600_000;
    let start = 20_000 * HOUR_MS;
    let clock = Clock::manual(start);
    let keyspace = Keyspace::new(clock.clone());
    let settle = |keys: u64| {
        let rests = (0..100).any(|_| !keyspace.housekeep());
        assert!(rests, "alarms fire for ever at {}", clock.unix_ms());
        assert_eq!(keyspace.len(), keys, "at {}", clock.unix_ms());
    };
    let put = |name: &[u8], deadline_ms| {
        set(&mut keyspace.enter().view(), name, b"v", Some(deadline_ms)).unwrap();
    };
    settle(0);
    put(b"later", start + HOUR_MS);
    put(b"soon", start + 1_000);
    // Back, beyond where the wheel began, then on.
    clock.set_unix_ms(start - 5_000 * HOUR_MS);
    put(b"earlier", start - 5_000 * HOUR_MS + 1_000);
    settle(3);
    clock.advance(999);
    settle(3);
    clock.advance(100);
    settle(2);
    clock.set_unix_ms(start);
    clock.advance(999);
    settle(2);
    clock.advance(100);
    settle(1);
    // Ahead of a deadline, and of all.
    put(b"next", start + 2 * HOUR_MS);
    clock.set_unix_ms(start + HOUR_MS + 100);
    settle(1);
    // By more than any alarm is ahead.
    let leap = start + 500_000 * HOUR_MS;
    put(b"last", leap + 1_000);
    settle(2);
    clock.set_unix_ms(leap);
    settle(1);
    clock.advance(999);
    settle(1);
    clock.advance(100);
    settle(0);
    keyspace.check_invariants().unwrap();
}

#[test]
fn idle_times_pass_as_the_monotonic_clock_does() {
    let (keyspace, clock) = keyspace();
    set(&mut keyspace.enter().view(), b"k", b"v", None).unwrap();
    let idle = || {
        keyspace.housekeep();
        keyspace.enter().view().peek(Key::new(b"k")).unwrap().expect("it is there").idle_seconds()
    };
    let now = clock.unix_ms();
    for at in [now + 90_000_000, 1_000, now] {
        let before = idle();
        clock.set_unix_ms(at);
        assert_eq!(idle(), before, "nothing has passed");
        clock.advance(7_000);
        assert_eq!(idle(), before + 7);
    }
}

#[test]
fn a_transaction_sees_its_own_writes_and_commits_at_once() {
    let (keyspace, _) = keyspace();
    let mut batch = keyspace.enter();
    let mut view = batch.view();
    set(&mut view, b"a", b"1", None).unwrap();
    let seen: Result<_> = view.transact(|view| {
        set(view, b"b", b"x", None)?;
        assert_eq!(view.len(), 2);
        let moved = get(view, b"a")?;
        remove(view, b"a")?;
        assert_eq!(get(view, b"a")?, None);
        set(view, b"a", b"y", None)?;
        remove(view, b"b")?;
        assert_eq!(get(view, b"missing")?, None);
        set(view, b"ns/c", b"z", None)?;
        Ok((moved, get(view, b"a")?))
    });
    assert_eq!(seen.unwrap(), (Some(b"1".to_vec()), Some(b"y".to_vec())));
    assert_eq!(get(&mut view, b"a").unwrap(), Some(b"y".to_vec()));
    assert_eq!(get(&mut view, b"b").unwrap(), None);
    assert_eq!(view.len(), 2);
    drop(view);
    drop(batch);
    keyspace.check_invariants().unwrap();
}

#[test]
fn a_failed_transaction_changes_nothing() {
    let (keyspace, _) = keyspace();
    let mut batch = keyspace.enter();
    let failed: Result<()> = batch.view().transact(|view| {
        set(view, b"a", b"1", None)?;
        Err(KeyspaceError::WrongType)
    });
    assert_eq!(failed, Err(KeyspaceError::WrongType));
    assert_eq!(batch.view().len(), 0);
    drop(batch);
    keyspace.check_invariants().unwrap();
}

#[test]
fn a_flush_is_one_swap_also_inside_a_transaction() {
    let (keyspace, _) = keyspace();
    for i in 0..1000 {
        set(&mut keyspace.enter().view(), format!("{i}").as_bytes(), b"v", Some(2_000_000)).unwrap();
    }
    keyspace.enter().view().flush().unwrap();
    assert_eq!((keyspace.len(), keyspace.freeing()), (0, 1000));
    while keyspace.freeing() > 0 {
        keyspace.housekeep();
    }
    set(&mut keyspace.enter().view(), b"old", b"v", None).unwrap();

    let refused = keyspace.enter().view().transact(|view| view.flush());
    assert_eq!(refused, Err(KeyspaceError::Wait(Wait::Alone)));
    let exclusive = keyspace.take_exclusive().unwrap();
    assert_eq!(
        set(&mut keyspace.enter().view(), b"x", b"v", None),
        Err(KeyspaceError::Wait(Wait::Exclusive))
    );
    while !exclusive.is_ready() {}
    let after: Result<_> = keyspace.enter_exclusive(&exclusive).view().transact(|view| {
        assert_eq!(get(view, b"old")?, Some(b"v".to_vec()));
        view.flush()?;
        assert_eq!(get(view, b"old")?, None);
        set(view, b"new", b"v", None)?;
        Ok(view.len())
    });
    assert_eq!(after, Ok(1));
    drop(exclusive);
    assert_eq!(get(&mut keyspace.enter().view(), b"new").unwrap(), Some(b"v".to_vec()));
    assert_eq!(get(&mut keyspace.enter().view(), b"old").unwrap(), None);
    keyspace.check_invariants().unwrap();
}

/// Runs a body that panics, in a view of its own that works on afterwards.
fn panics(keyspace: &Keyspace, alone: Option<&Exclusive<'_>>, body: impl Fn(&mut View<'_>)) {
    let mut batch = alone.map_or_else(|| keyspace.enter(), |exclusive| keyspace.enter_exclusive(exclusive));
    let mut view = batch.view();
    let caught = catch_unwind(AssertUnwindSafe(|| body(&mut view)));
    caught.expect_err("the body panics");
    assert!(view.transaction().is_none(), "the transaction outlives its body");
    set(&mut view, b"after", b"v", None).unwrap();
    remove(&mut view, b"after").unwrap();
}

#[test]
fn what_a_body_has_taken_is_given_back_if_it_panics() {
    let (keyspace, _) = keyspace();
    keyspace.bind(1 << 20, EvictionRules::default());
    let sum = || keyspace.memory.free() + keyspace.used_bytes() as i64;
    set(&mut keyspace.enter().view(), b"k", b"v", None).unwrap();
    let before = sum();
    panics(&keyspace, None, |view| {
        let _: Result<()> = view.transact(|view| {
            set(view, b"made", b"v", None)?;
            panic!("in a transaction")
        });
    });
    panics(&keyspace, None, |view| {
        let _: Result<()> = view.update(Key::new(b"found missing"), |entry| {
            assert!(entry.is_some(), "in an update");
            Ok((Change::Keep, ()))
        });
    });
    let exclusive = keyspace.take_exclusive().unwrap();
    while !exclusive.is_ready() {}
    panics(&keyspace, Some(&exclusive), |view| {
        let _: Result<()> = view.transact(|view| {
            view.flush()?;
            let inner = catch_unwind(AssertUnwindSafe(|| {
                let _: Result<()> = view.transact(|view| {
                    set(view, b"made", b"v", None)?;
                    panic!("in a transaction after a flush")
                });
            }));
            assert!(view.transaction().is_some_and(Transaction::has_flushed), "the outer one is back");
            std::panic::resume_unwind(inner.expect_err("the inner body panics"))
        });
    });
    drop(exclusive);
    assert_eq!(get(&mut keyspace.enter().view(), b"k").unwrap(), Some(b"v".to_vec()));
    assert_eq!(sum(), before, "what was paid is paid for what is there");
    keyspace.check_invariants().unwrap();
}

#[test]
fn a_change_that_lost_releases_what_it_reserved() {
    let (keyspace, _) = keyspace();
    keyspace.bind(1 << 20, EvictionRules::default());
    set(&mut keyspace.enter().view(), b"k", b"", None).unwrap();
    let sum = || keyspace.memory.free() + keyspace.used_bytes() as i64;
    let before = sum();
    // Another write comes first, so that the exchange fails once.
    let overtaken = |view: &mut View<'_>, runs: &mut u32| {
        view.update(Key::new(b"k"), |_| {
            *runs += 1;
            if *runs == 1 {
                set(&mut keyspace.enter().view(), b"k", &[b'x'; 500], None)?;
            }
            Ok((Change::Put(Draft::string(&vec![b'y'; 1000 * *runs as usize], None)), ()))
        })
    };
    for in_transaction in [false, true] {
        let mut batch = keyspace.enter();
        batch.set_checked(true);
        let (mut view, mut runs) = (batch.view(), 0);
        let done: Result<()> = match in_transaction {
            true => view.transact(|view| overtaken(view, &mut runs)),
            false => overtaken(&mut view, &mut runs),
        };
        assert_eq!((done, runs), (Ok(()), 2));
        drop(view);
        drop(batch);
        assert_eq!(sum(), before, "in a transaction: {in_transaction}");
    }
}

#[test]
fn reads_at_one_instant_look_again_for_what_was_missing() {
    let (keyspace, _) = keyspace();
    let mut runs = 0;
    let seen: Result<_> = keyspace.enter().view().transact(|view| {
        runs += 1;
        let first = get(view, b"a")?;
        if runs == 1 {
            set(&mut keyspace.enter().view(), b"a", b"1", None)?;
            set(&mut keyspace.enter().view(), b"b", b"1", None)?;
        }
        Ok((first, get(view, b"b")?))
    });
    assert_eq!((seen, runs), (Ok((Some(b"1".to_vec()), Some(b"1".to_vec()))), 2));
    keyspace.check_invariants().unwrap();
}

#[test]
fn nothing_goes_by_itself_while_somebody_runs_alone() {
    let (keyspace, clock) = keyspace();
    let rules = EvictionRules { policy: Policy::Ear, ..EvictionRules::default() };
    keyspace.bind(u64::MAX, rules);
    set(&mut keyspace.enter().view(), b"expires", b"1", Some(1_000_100)).unwrap();
    set(&mut keyspace.enter().view(), b"read", b"1", None).unwrap();
    get(&mut keyspace.enter().view(), b"read").unwrap();
    clock.advance(200);
    let exclusive = keyspace.take_exclusive().unwrap();
    keyspace.housekeep();
    assert_eq!(keyspace.len(), 2);
    let mut need = Need::new(b"default", 1 << 10, eviction::Bound::Room(0));
    assert_eq!(keyspace.make_room(&mut need), Eviction::Reclaiming);
    let met = get(&mut keyspace.enter().view(), b"expires");
    assert_eq!(met, Err(KeyspaceError::Wait(Wait::Exclusive)), "who meets it gives way too");
    drop(exclusive);
    keyspace.housekeep();
    assert_eq!(keyspace.len(), 0);
    keyspace.check_invariants().unwrap();
}

fn unchanged(keyspace: &Keyspace, watch: &Watch) -> bool {
    keyspace.enter().view().transact(|view| view.is_unchanged(watch)).unwrap()
}

#[test]
fn a_watch_sees_every_kind_of_change() {
    let (keyspace, clock) = keyspace();
    let watch = |key: &[u8]| keyspace.enter().view().watch(Key::new(key)).unwrap();
    let give_back = |watch| keyspace.enter().view().unwatch(watch);

    let missing = watch(b"m");
    keyspace.check_invariants().unwrap();
    assert!(unchanged(&keyspace, &missing));
    set(&mut keyspace.enter().view(), b"m", b"1", None).unwrap();
    remove(&mut keyspace.enter().view(), b"m").unwrap();
    keyspace.check_invariants().unwrap();
    assert!(!unchanged(&keyspace, &missing), "created and deleted again");
    give_back(missing);

    set(&mut keyspace.enter().view(), b"e", b"1", Some(1_000_100)).unwrap();
    let expiring = watch(b"e");
    assert!(unchanged(&keyspace, &expiring));
    clock.advance(100);
    assert!(!unchanged(&keyspace, &expiring), "expired");
    give_back(expiring);

    set(&mut keyspace.enter().view(), b"f", b"1", None).unwrap();
    let (live, absent) = (watch(b"f"), watch(b"g"));
    keyspace.enter().view().flush().unwrap();
    assert!(!unchanged(&keyspace, &live), "flushed");
    assert!(unchanged(&keyspace, &absent), "missing before the flush and after");
    set(&mut keyspace.enter().view(), b"g", b"1", None).unwrap();
    assert!(!unchanged(&keyspace, &absent), "made since the flush");
    remove(&mut keyspace.enter().view(), b"g").unwrap();
    give_back(live);
    give_back(absent);
    keyspace.check_invariants().unwrap();
    assert!(keyspace.is_empty());
}

#[test]
fn a_walk_meets_what_is_there_throughout() {
    let (keyspace, _) = keyspace();
    let stop = AtomicBool::new(false);
    for i in 0..5000 {
        set(&mut keyspace.enter().view(), format!("stay:{i}").as_bytes(), b"v", None).unwrap();
    }
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut i = 0u32;
            while !stop.load(Ordering::Relaxed) {
                let key = format!("churn:{}", i % 3000);
                let _ = set(&mut keyspace.enter().view(), key.as_bytes(), b"v", None);
                let _ = remove(&mut keyspace.enter().view(), format!("churn:{}", i % 1700).as_bytes());
                keyspace.housekeep();
                i += 1;
            }
        });
        for _ in 0..20 {
            let mut seen = std::collections::HashSet::new();
            let mut cursor = 0;
            loop {
                cursor = keyspace
                    .enter()
                    .view()
                    .scan(cursor, 10, None, |name, _| {
                        seen.insert(name.to_vec());
                        true
                    })
                    .unwrap();
                if cursor == 0 {
                    break;
                }
            }
            assert_eq!(seen.iter().filter(|name| name.starts_with(b"stay:")).count(), 5000);
        }
        stop.store(true, Ordering::Relaxed);
    });
    keyspace.check_invariants().unwrap();
}

/// A walk of a namespace that goes on after the chunk it was in has gone begins the next one at its first slot.
#[test]
fn a_walk_goes_on_after_its_chunk_has_gone() {
    let (keyspace, _) = keyspace();
    let mut chunks: Vec<(u32, Vec<Vec<u8>>)> = Vec::new();
    for i in 0..1000 {
        set(&mut keyspace.enter().view(), format!("ns/{i}").as_bytes(), b"v", None).unwrap();
    }
    let page = |cursor: u64, names: &mut Vec<Vec<u8>>| {
        let mut batch = keyspace.enter();
        let visit = |name: &[u8], _: entry::Entry<'_>| {
            names.push(name.to_vec());
            true
        };
        batch.view().scan(cursor, 1, Some(b"ns"), visit).unwrap()
    };
    let (mut cursor, mut inside) = (0, 0);
    loop {
        let mut names = Vec::new();
        let next = page(cursor, &mut names);
        // What a page of one entry shows lies before the cursor that it returns.
        let chunk = Position::from_cursor(next.saturating_sub(1)).unwrap().chunk();
        match chunks.last_mut() {
            Some((last, found)) if *last == chunk || next == 0 => found.append(&mut names),
            _ => chunks.push((chunk, names)),
        }
        if next == 0 {
            break;
        }
        if chunks.len() == 2 && chunks[1].1.len() == 3 {
            inside = next;
        }
        cursor = next;
    }
    assert!(chunks.len() > 3 && Position::from_cursor(inside).unwrap().index() > 0, "{inside}");
    for name in &chunks[1].1 {
        assert!(remove(&mut keyspace.enter().view(), name).unwrap());
    }
    while keyspace.housekeep() {}
    let (mut seen, mut cursor) = (Vec::new(), inside);
    while cursor != 0 {
        cursor = page(cursor, &mut seen);
    }
    let expected: Vec<_> = chunks[2..].iter().flat_map(|(_, names)| names).cloned().collect();
    assert_eq!(seen, expected);
    keyspace.check_invariants().unwrap();
}

#[test]
fn random_keys_are_spread_evenly() {
    let (keyspace, _) = keyspace();
    for i in 0..50 {
        let key = if i < 25 { format!("{i}") } else { format!("ns{i}/x") };
        set(&mut keyspace.enter().view(), key.as_bytes(), b"v", None).unwrap();
    }
    let mut counts = std::collections::HashMap::new();
    for _ in 0..5000 {
        let name = keyspace.enter().view().random().unwrap().unwrap().to_vec();
        *counts.entry(name).or_insert(0) += 1;
    }
    assert_eq!(counts.len(), 50);
    assert!(counts.values().all(|count| (40..180).contains(count)), "{counts:?}");
}

/// Transfers between accounts keep their sum, whatever else happens at the same time.
#[test]
fn transfers_keep_the_sum() {
    let (keyspace, _) = keyspace();
    let accounts: Vec<String> = (0..6).map(|i| format!("ns{}/account:{i}", i % 2)).collect();
    for account in &accounts {
        add(&mut keyspace.enter().view(), account.as_bytes(), 100).unwrap();
    }
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..2usize {
            let (keyspace, accounts, stop) = (&keyspace, &accounts, &stop);
            scope.spawn(move || {
                for i in 0..20_000usize {
                    let (from, to) = (&accounts[(i * 7 + thread) % 6], &accounts[(i * 5 + 3) % 6]);
                    loop {
                        let moved: Result<()> = keyspace.enter().view().transact(|view| {
                            add(view, from.as_bytes(), -1)?;
                            add(view, to.as_bytes(), 1)?;
                            Ok(())
                        });
                        match moved {
                            Ok(()) => break,
                            Err(KeyspaceError::Wait(_)) => std::thread::yield_now(),
                            Err(error) => panic!("{error:?}"),
                        }
                    }
                }
                stop.store(true, Ordering::Relaxed);
            });
        }
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let sum: Result<i64> = keyspace.enter().view().transact(|view| {
                    let mut sum = 0;
                    for account in &accounts {
                        sum += String::from_utf8(get(view, account.as_bytes())?.unwrap())
                            .unwrap()
                            .parse::<i64>()
                            .unwrap();
                    }
                    Ok(sum)
                });
                match sum {
                    Ok(sum) => assert_eq!(sum, 600),
                    Err(KeyspaceError::Wait(_)) => {}
                    Err(error) => panic!("{error:?}"),
                }
                keyspace.housekeep();
            }
        });
    });
    keyspace.check_invariants().unwrap();
}

/// Two threads create, delete and rename the same few keys while a third one flushes and one cleans up.
#[test]
fn slots_survive_creation_deletion_and_flush_races() {
    let (keyspace, _) = keyspace();
    std::thread::scope(|scope| {
        for thread in 0..2u32 {
            let keyspace = &keyspace;
            scope.spawn(move || {
                for i in 0..30_000u32 {
                    let key = format!("ns{}/k{}", i % 3, (i * 7 + thread) % 5);
                    let other = format!("k{}", (i * 3) % 4);
                    let mut batch = keyspace.enter();
                    let mut view = batch.view();
                    let _ = match i % 5 {
                        0 => add(&mut view, key.as_bytes(), 1).map(drop),
                        1 => remove(&mut view, key.as_bytes()).map(drop),
                        2 => set(
                            &mut view,
                            other.as_bytes(),
                            b"5",
                            Some(1_000_000 + u64::from(i % 2) * 90_000),
                        ),
                        3 => view.transact(|view| {
                            let value = get(view, key.as_bytes())?;
                            remove(view, key.as_bytes())?;
                            set(view, other.as_bytes(), &value.unwrap_or(b"1".to_vec()), None)
                        }),
                        _ if i % 1000 == 4 => view.flush(),
                        _ => view.watch(Key::new(key.as_bytes())).map(|watch| view.unwatch(watch)),
                    };
                    drop(view);
                    drop(batch);
                    if i % 8 == thread {
                        keyspace.housekeep();
                    }
                }
            });
        }
    });
    keyspace.check_invariants().unwrap();
}

/// An alarm that was armed again by the last round counted as lost.
#[test]
fn a_deadline_that_was_moved_has_an_alarm_as_soon_as_the_first_one_fired() {
    let (keyspace, clock) = keyspace();
    set(&mut keyspace.enter().view(), b"k", b"v", Some(1_000_010)).unwrap();
    set(&mut keyspace.enter().view(), b"k", b"v", Some(9_000_000)).unwrap();
    clock.advance(1_000);
    keyspace.check_invariants().unwrap();
}

fn push(view: &mut View<'_>, key: &[u8], items: &[&[u8]]) -> Result<u64> {
    view.edit::<List, _, _>(Key::new(key), |_, delta| {
        delta.push_back(items);
        Ok(delta.tree().len())
    })
}

fn rename(view: &mut View<'_>, from: &[u8], to: &[u8]) -> Result<()> {
    view.transact(|view| {
        if let Some(entry) = view.peek(Key::new(from))? {
            view.put(Key::new(to), Draft::value_of(&entry, None))?;
            remove(view, from)?;
        }
        Ok(())
    })
}

#[test]
fn trees_go_with_their_keys_through_every_kind_of_change() {
    let (keyspace, _) = keyspace();
    let large: Vec<Vec<u8>> = (0..5000).map(|item: u32| item.to_string().into_bytes()).collect();
    let large: Vec<&[u8]> = large.iter().map(Vec::as_slice).collect();
    for round in 0..64_u32 {
        let mut batch = keyspace.enter();
        let mut view = batch.view();
        push(&mut view, b"a", if round % 3 == 0 { &large } else { &[b"x", b"y"] }).unwrap();
        let steps = |view: &mut View<'_>| -> Result<()> {
            if round & 1 > 0 {
                push(view, b"a", &[b"z"])?;
            }
            if round & 2 > 0 {
                rename(view, b"a", b"b")?;
                push(view, b"b", &[b"1", b"2"])?;
            }
            if round & 4 > 0 {
                view.transact(|view| {
                    let Some(entry) = view.peek(Key::new(b"b"))? else { return Ok(()) };
                    view.put(Key::new(b"c"), Draft::copy_of(&entry, view.birth()))
                })?;
                push(view, b"c", &[b"3"])?;
            }
            if round & 8 > 0 {
                remove(view, b"b")?;
                push(view, b"b", &[b"new"])?;
            }
            if round & 16 > 0 {
                rename(view, b"b", b"a")?;
            }
            Ok(())
        };
        if round & 32 > 0 {
            let aborted: Result<()> = view.transact(|view| {
                steps(view)?;
                Err(KeyspaceError::WrongType)
            });
            assert!(aborted.is_err());
            view.transact(steps).unwrap();
        } else {
            steps(&mut view).unwrap();
        }
        if round % 7 == 0 {
            let overwritten = view.update(Key::new(b"a"), |_| {
                Ok::<_, KeyspaceError>((Change::Put(Draft::integer(1, None)), ()))
            });
            overwritten.unwrap();
            remove(&mut view, b"a").unwrap();
        }
        drop(view);
        drop(batch);
        keyspace.check_invariants().unwrap();
    }
}

#[test]
fn a_rename_after_a_flush_in_one_transaction_moves_the_tree() {
    let (keyspace, _) = keyspace();
    let exclusive = keyspace.take_exclusive().unwrap();
    while !exclusive.is_ready() {}
    let mut batch = keyspace.enter_exclusive(&exclusive);
    let mut view = batch.view();
    view.transact(|view| {
        view.flush()?;
        push(view, b"a", &[b"x"])?;
        rename(view, b"a", b"b")?;
        push(view, b"b", &[b"y"])
    })
    .unwrap();
    assert_eq!(view.tree::<List>(Key::new(b"b")).unwrap().len(), 2);
    drop(view);
    drop(batch);
    drop(exclusive);
    keyspace.check_invariants().unwrap();
}

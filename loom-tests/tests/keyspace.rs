//! The keyspace's views on top of the protocols: direct updates and transactions, with everything that happens on
//! the way (slots made and reaped, accounting, deadlines) and the housekeeper.
//!
//! Invariants: an update is one compare-and-swap (`keyspace/view.rs`); the rules M1, M2 and M3 of
//! `keyspace/transaction.rs`; a watch fails if its key changed, even if it was deleted and made again
//! (`keyspace/watch.rs`). After each model everything is recounted (`Keyspace::check_invariants`), and no slot is left
//! behind.
//!
//! Twins: mistakes in the layers below show here too, and the rules of the views: see each model.

#![cfg(kvns_loom)]

use kvns::clock::Clock;
use kvns::keyspace::{Change, Draft, Entry, Key, Keyspace, View};
use kvns::sync::Bug;
use kvns::value::string::Str;
use loom_tests::{Outcome, keyspace, model, run, spawn};
use std::sync::Arc;

fn get(view: &mut View<'_>, key: &[u8]) -> Outcome<Option<i64>> {
    Ok(view.peek(Key::new(key))?.map(|entry| match entry.string() {
        Ok(Str::Int(value)) => value,
        other => panic!("{other:?} is no integer"),
    }))
}

fn add(view: &mut View<'_>, key: &[u8]) -> Outcome<i64> {
    view.update(Key::new(key), |entry| {
        let before = match entry.map(|entry| entry.string()) {
            Some(Ok(Str::Int(value))) => value,
            None => 0,
            other => panic!("{other:?} is no integer"),
        };
        Ok((Change::Put(Draft::integer(before + 1, None)), before + 1))
    })
}

fn put(view: &mut View<'_>, key: &[u8], value: i64) -> Outcome<()> {
    view.update(Key::new(key), |_| Ok((Change::Put(Draft::integer(value, None)), ())))
}

fn remove(view: &mut View<'_>, key: &[u8]) -> Outcome<()> {
    view.update(Key::new(key), |_| Ok((Change::Remove, ())))
}

/// Both keys, and that as many are counted.
fn end(keyspace: &Keyspace) -> (Option<i64>, Option<i64>) {
    let found = run(keyspace, |view| Ok((get(view, b"a")?, get(view, b"b")?)));
    keyspace.check_invariants().unwrap();
    found
}

model!(
    /// INCR against INCR of a missing key.
    updates_of_one_key, 3, Newest, 200,
    &[(&[Bug::ExchangeInTwoSteps], ""), (&[Bug::CreatorOverwrites], "a result of its own")],
    || {
        let keyspace = keyspace();
        let other = spawn(&keyspace, |view| add(view, b"a"));
        let mine = run(&keyspace, |view| add(view, b"a"));
        assert_eq!(mine + other.join().unwrap(), 3, "each update has a result of its own");
        assert_eq!(end(&keyspace), (Some(2), None));
    }
);

model!(
    /// MSET against INCR.
    a_transaction_against_an_update, 3, Newest, 200,
    &[(&[Bug::ExchangeInTwoSteps], "")],
    || {
        let keyspace = keyspace();
        run(&keyspace, |view| put(view, b"a", 0));
        let other = spawn(&keyspace, |view| add(view, b"a"));
        run(&keyspace, |view| {
            view.transact(|view| {
                add(view, b"a")?;
                add(view, b"b")
            })
        });
        other.join().unwrap();
        assert_eq!(end(&keyspace), (Some(2), Some(1)));
    }
);

model!(
    /// Two conditional writes, each of which reads the other's key: write skew.
    transactions_with_read_only_keys, 3, Newest, 200,
    &[(&[Bug::ReadCellsWithoutIntent], "write skew")],
    || {
        let keyspace = keyspace();
        run(&keyspace, |view| {
            put(view, b"a", 0)?;
            put(view, b"b", 0)
        });
        let set_if_zero = |view: &mut View<'_>, write: &'static [u8], read: &'static [u8]| {
            view.transact(|view| {
                if get(view, read)? == Some(0) {
                    put(view, write, 1)?;
                }
                Ok(())
            })
        };
        let other = spawn(&keyspace, move |view| set_if_zero(view, b"a", b"b"));
        run(&keyspace, |view| set_if_zero(view, b"b", b"a"));
        other.join().unwrap();
        let (a, b) = end(&keyspace);
        assert_eq!(a.unwrap() + b.unwrap(), 1, "write skew");
    }
);

model!(
    /// Two conditional writes, each of which needs the other's key to be missing (M2).
    transactions_that_read_missing_keys, 3, Newest, 200,
    &[(&[Bug::MissingNamesUnchecked], "both found the other missing")],
    || {
        let keyspace = keyspace();
        let set_if_missing = |view: &mut View<'_>, write: &'static [u8], read: &'static [u8]| {
            view.transact(|view| {
                if get(view, read)?.is_none() {
                    put(view, write, 1)?;
                }
                Ok(())
            })
        };
        let other = spawn(&keyspace, move |view| set_if_missing(view, b"a", b"b"));
        run(&keyspace, |view| set_if_missing(view, b"b", b"a"));
        other.join().unwrap();
        let (a, b) = end(&keyspace);
        assert!(a.is_none() || b.is_none(), "both found the other missing");
        assert!(a.is_some() || b.is_some(), "nobody wrote");
    }
);

model!(
    /// MSETNX of the same missing keys: one creates both, the other none.
    creators_of_the_same_keys, 3, Newest, 200,
    &[(&[Bug::MissingNamesTrustCell], "one of the two creates")],
    || {
        let keyspace = keyspace();
        let create = |view: &mut View<'_>, mine: i64| {
            view.transact(|view| {
                if get(view, b"a")?.is_some() || get(view, b"b")?.is_some() {
                    return Ok(false);
                }
                put(view, b"a", mine)?;
                put(view, b"b", mine)?;
                Ok(true)
            })
        };
        let other = spawn(&keyspace, move |view| create(view, 1));
        let mine = run(&keyspace, |view| create(view, 2));
        assert_ne!(mine, other.join().unwrap(), "one of the two creates the keys");
        let expected = Some(if mine { 2 } else { 1 });
        assert_eq!(end(&keyspace), (expected, expected));
    }
);

model!(
    /// MGET against MSET: both old or both new (M1).
    a_reading_transaction_sees_one_instant, 3, Newest, 200,
    &[(&[Bug::ReadsUnchecked], "between")],
    || {
        let keyspace = keyspace();
        run(&keyspace, |view| {
            put(view, b"a", 0)?;
            put(view, b"b", 0)
        });
        let other = spawn(&keyspace, |view| {
            view.transact(|view| {
                put(view, b"a", 1)?;
                put(view, b"b", 1)
            })
        });
        let (a, b) = run(&keyspace, |view| view.transact(|view| Ok((get(view, b"a")?, get(view, b"b")?))));
        assert_eq!(a, b, "a transaction was seen between its keys");
        other.join().unwrap();
        assert_eq!(end(&keyspace), (Some(1), Some(1)));
    }
);

model!(
    /// WATCH against DEL and SET of the same value: an EXEC that finds the watch unchanged commits before them or
    /// not at all.
    a_watch_sees_delete_and_recreate, 3, Newest, 200,
    &[(&[Bug::ReadCellsWithoutIntent], ""), (&[Bug::WriteKeepsSeq], "slept through")],
    || {
        let keyspace = keyspace();
        run(&keyspace, |view| put(view, b"a", 7));
        let watch = run(&keyspace, |view| view.watch(Key::new(b"a")));
        let other = spawn(&keyspace, |view| {
            remove(view, b"a")?;
            let executed = get(view, b"b")?;
            put(view, b"a", 7)?;
            Ok(executed)
        });
        let executed = run(&keyspace, |view| {
            let executed = view.transact(|view| {
                let is_unchanged = view.is_unchanged(&watch)?;
                if is_unchanged {
                    put(view, b"b", 1)?;
                }
                Ok(is_unchanged)
            })?;
            view.unwatch(watch);
            Ok(executed)
        });
        let seen = other.join().unwrap();
        if executed && seen.is_none() {
            panic!("the watch slept through a change");
        }
        assert_eq!(end(&keyspace), (Some(7), executed.then_some(1)));
    }
);

model!(
    /// SET against DEL against the housekeeper: whoever is last, the slot is live or goes.
    a_slot_comes_and_goes_with_its_key, 2, Newest, 200,
    &[(&[Bug::ExchangeInTwoSteps], "")],
    || {
        let keyspace = keyspace();
        run(&keyspace, |view| put(view, b"a", 1));
        run(&keyspace, |view| remove(view, b"a"));
        let writer = spawn(&keyspace, |view| {
            put(view, b"a", 2)?;
            remove(view, b"a")?;
            put(view, b"a", 3)
        });
        keyspace.housekeep();
        keyspace.housekeep();
        writer.join().unwrap();
        assert_eq!(end(&keyspace), (Some(3), None));
    }
);

model!(
    /// Giving back the last watch of a missing key while the reaper closes its slot: the slot does not stay.
    the_last_watch_leaves_no_slot_behind, 3, Newest, 50,
    &[(&[Bug::UnwatchIgnoresClosing], "nobody queued its slot")],
    || {
        let keyspace = keyspace();
        run(&keyspace, |view| put(view, b"a", 1));
        run(&keyspace, |view| remove(view, b"a"));
        let watch = run(&keyspace, |view| view.watch(Key::new(b"a")));
        let unwatcher = spawn(&keyspace, |view| {
            view.unwatch(watch);
            Ok(())
        });
        keyspace.housekeep();
        unwatcher.join().unwrap();
        assert_eq!(end(&keyspace), (None, None));
    }
);

model!(
    /// An expired key is met by a reader, a writer and the housekeeper: it expires once, and the write stays.
    an_expired_key_is_replaced_first, 2, Newest, 200,
    &[(&[Bug::ActsOnExpired], "an expired value was built upon")],
    || {
        let clock = Clock::manual(1_000);
        let keyspace = Arc::new(Keyspace::new(clock.clone()));
        run(&keyspace, |view| {
            let draft = || Draft::integer(1, Some(1_010));
            view.update(Key::new(b"a"), |_| Ok((Change::Put(draft()), ())))
        });
        clock.advance(100);
        let writer = spawn(&keyspace, |view| add(view, b"a"));
        let seen = run(&keyspace, |view| get(view, b"a"));
        assert!(seen != Some(2), "an expired value was built upon");
        keyspace.housekeep();
        assert_eq!(writer.join().unwrap(), 1, "an expired value was built upon");
        assert_eq!(end(&keyspace), (Some(1), None));
        assert_eq!(keyspace.stats.expired.get(), 1, "it expired once");
    }
);

model!(
    /// The last key of a namespace goes while another one is made: the namespace ends before that, or not at all.
    a_namespace_comes_and_goes_with_its_keys, 3, Newest, 200,
    &[(&[Bug::CloseWithoutCheck], "")],
    || {
        let keyspace = keyspace();
        run(&keyspace, |view| put(view, b"n/x", 1));
        run(&keyspace, |view| remove(view, b"n/x"));
        let writer = spawn(&keyspace, |view| put(view, b"n/y", 2));
        keyspace.housekeep();
        writer.join().unwrap();
        assert_eq!(run(&keyspace, |view| get(view, b"n/y")), Some(2));
        assert_eq!(end(&keyspace), (None, None));
    }
);

model!(
    /// FLUSHALL against MSET and a watch: the keys are there together or not at all.
    a_flush_against_a_transaction, 3, Newest, 30,
    &[(&[Bug::GenerationLoadedTwice], "")],
    || {
        let keyspace = keyspace();
        run(&keyspace, |view| put(view, b"a", 0));
        let other = spawn(&keyspace, |view| {
            view.transact(|view| {
                add(view, b"a")?;
                add(view, b"b")
            })
        });
        run(&keyspace, |view| view.flush());
        other.join().unwrap();
        let (a, b) = end(&keyspace);
        assert_eq!(a.is_some(), b.is_some(), "a flush took half a transaction");
        assert!(a != Some(2), "a flush left a value");
    }
);

model!(
    /// A body keeps what it planned and read again, and looks at it in its next run: a plan that lost stays as long as
    /// the guard.
    a_plan_that_lost_outlives_its_readers, 2, Newest, 20,
    &[(&[Bug::GivenUpPlanFreedAtOnce], "was freed")],
    || {
        let keyspace = keyspace();
        run(&keyspace, |view| put(view, b"a", 0));
        let other = spawn(&keyspace, |view| add(view, b"a"));
        run(&keyspace, |view| {
            let mut planned: Option<Entry<'_>> = None;
            view.transact(|view| {
                if let Some(entry) = planned.take() {
                    assert!(matches!(entry.string(), Ok(Str::Int(7))));
                }
                add(view, b"a")?;
                put(view, b"b", 7)?;
                planned = view.peek(Key::new(b"b"))?;
                Ok(())
            })
        });
        other.join().unwrap();
        assert_eq!(end(&keyspace), (Some(2), Some(7)));
    }
);

//! Large sorted sets: versions that share an index, and the operation that each of them carries.
//!
//! Invariants (`concurrent/versions/order_index.rs`): I1, what a version builds on is applied before it enters a cell; I2, only
//! published operations are applied, and of each number there is one; I5, a node is unlinked after everybody who
//! might need it or insert it again has left. Every model reads the set whole, in the middle and at the end: the
//! index as the version sees it, merged with the version's operation, has exactly the members of the version's
//! tree (`SortedSet::check`). Every execution also checks that all nodes of the index are freed.
//!
//! Twins: a reader that takes the index as it is; a writer that leaves the operation of the version it replaces
//! unapplied; a transaction that applies what it only planned; a published
//! operation that a transaction moves to another key and merges with its own.

#![cfg(kvns_loom)]

use kvns::clock::Clock;
use kvns::keyspace::{Change, Draft, Key, Keyspace, KeyspaceError, View};
use kvns::sync::Bug;
use kvns::value::sorted_set::Placed;
use loom::thread;
use loom_tests::model;
use std::sync::Arc;

type Outcome<R> = Result<R, KeyspaceError>;

/// A member so long that two of them make a large set.
fn member(name: u8) -> Vec<u8> {
    vec![name; 2100]
}

/// A keyspace with the set z of m at 1 and n at 5.
fn keyspace() -> Arc<Keyspace> {
    let keyspace = Arc::new(Keyspace::new(Clock::manual(1_000)));
    run(&keyspace, |view| {
        let members = vec![Placed::new(&member(b'm'), 1.0), Placed::new(&member(b'n'), 5.0)];
        view.transact(|view| view.store_sorted_set(Key::new(b"z"), members.clone()))
    })
    .unwrap();
    keyspace
}

/// One command in a batch of its own.
fn run<R>(keyspace: &Keyspace, command: impl FnOnce(&mut View<'_>) -> Outcome<R>) -> Outcome<R> {
    let mut batch = keyspace.enter();
    command(&mut batch.view())
}

fn spawn(
    keyspace: &Arc<Keyspace>,
    command: impl FnOnce(&mut View<'_>) -> Outcome<()> + 'static,
) -> thread::JoinHandle<()> {
    let keyspace = Arc::clone(keyspace);
    thread::spawn(move || run(&keyspace, command).unwrap())
}

fn put(view: &mut View<'_>, key: &[u8], name: u8, score: f64) -> Outcome<()> {
    view.edit_sorted_set(Key::new(key), |edit| {
        edit.put(&member(name), score);
        Ok(())
    })
}

fn remove(view: &mut View<'_>, key: &[u8], name: u8) -> Outcome<()> {
    view.edit_sorted_set(Key::new(key), |edit| {
        edit.remove(&member(name));
        Ok(())
    })
}

fn rename(view: &mut View<'_>, from: &[u8], to: &[u8]) -> Outcome<()> {
    let Some(entry) = view.peek(Key::new(from))? else { return Ok(()) };
    view.put(Key::new(to), Draft::value_of(&entry, None))?;
    view.update(Key::new(from), |_| Ok((Change::Remove, ())))
}

/// Reads the set whole: its members in their order, by their first letters.
fn read(view: &mut View<'_>, key: &[u8]) -> Outcome<Vec<(u8, f64)>> {
    let set = view.sorted_set(Key::new(key))?;
    set.check().unwrap();
    Ok(set.iter().map(|scored| (scored.member[0], scored.score)).collect())
}

/// The set at the end, once one more write has applied what is pending.
fn end(keyspace: &Keyspace, key: &[u8]) -> Vec<(u8, f64)> {
    run(keyspace, |view| put(view, key, b'e', 100.0)).unwrap();
    run(keyspace, |view| remove(view, key, b'e')).unwrap();
    let members = run(keyspace, |view| read(view, key)).unwrap();
    keyspace.check_invariants().unwrap();
    members
}

model!(
    /// Two writers move one member while a third thread reads.
    two_writers_on_one_member, 3, Newest, 3_000,
    &[
        (&[Bug::IndexReadAsItIs], "half a move"),
        (&[Bug::PendingLeftUnapplied], "Z3"),
        (&[Bug::ExchangeInTwoSteps], ""),
    ],
    || {
        let keyspace = keyspace();
        let others = [2.0, 9.0].map(|score| spawn(&keyspace, move |view| put(view, b"z", b'm', score)));
        let seen = run(&keyspace, |view| read(view, b"z")).unwrap();
        assert!(seen.len() == 2, "half a move: {seen:?}");
        others.into_iter().for_each(|other| other.join().unwrap());
        let members = end(&keyspace, b"z");
        assert!(members == [(b'm', 2.0), (b'n', 5.0)] || members == [(b'n', 5.0), (b'm', 9.0)]);
    }
);

model!(
    /// A writer that is late with applying an operation, while the next two are done and the nodes that they
    /// drop are unlinked.
    a_late_writer_inserts_nothing_again, 3, Newest, 3_000,
    &[(&[Bug::PendingLeftUnapplied], "Z3")],
    || {
        let keyspace = keyspace();
        run(&keyspace, |view| put(view, b"z", b'm', 2.0)).unwrap();
        let late = spawn(&keyspace, |view| put(view, b"z", b'n', 7.0));
        for score in [3.0, 4.0] {
            run(&keyspace, |view| put(view, b"z", b'm', score)).unwrap();
        }
        run(&keyspace, |view| read(view, b"z")).unwrap();
        late.join().unwrap();
        assert_eq!(end(&keyspace, b"z"), [(b'm', 4.0), (b'n', 7.0)]);
    }
);

model!(
    /// A reader keeps its version while its members move and their nodes are unlinked.
    a_reader_keeps_its_version, 3, Newest, 1_000,
    &[(&[Bug::IndexReadAsItIs], "")],
    || {
        let keyspace = keyspace();
        let writer = {
            let keyspace = Arc::clone(&keyspace);
            thread::spawn(move || {
                run(&keyspace, |view| put(view, b"z", b'm', 9.0)).unwrap();
                run(&keyspace, |view| put(view, b"z", b'n', 1.0)).unwrap();
            })
        };
        {
            let mut batch = keyspace.enter();
            let mut view = batch.view();
            let set = view.sorted_set(Key::new(b"z")).unwrap();
            let members = |_| -> Vec<_> { set.iter().map(|scored| (scored.member[0], scored.score)).collect() };
            assert_eq!(members(0), members(1), "a version changed");
        }
        writer.join().unwrap();
        assert_eq!(end(&keyspace, b"z"), [(b'n', 1.0), (b'm', 9.0)]);
    }
);

model!(
    /// RENAME and a change of the renamed set in one transaction, while its operation is not applied and another
    /// writer is about to.
    a_set_moves_with_an_unapplied_operation, 3, Newest, 2_500,
    &[(&[Bug::MovedPendingMerged], "Z3"), (&[Bug::PendingLeftUnapplied], "Z3")],
    || {
        let keyspace = keyspace();
        run(&keyspace, |view| put(view, b"z", b'm', 2.0)).unwrap();
        let other = spawn(&keyspace, |view| put(view, b"z", b'm', 3.0));
        run(&keyspace, |view| {
            view.transact(|view| {
                rename(view, b"z", b"y")?;
                put(view, b"y", b'm', 9.0)
            })
        })
        .unwrap();
        other.join().unwrap();
        assert_eq!(end(&keyspace, b"y"), [(b'n', 5.0), (b'm', 9.0)]);
    }
);

model!(
    /// DEL and a new set in its place, while another writer is about to apply and to replace.
    a_set_is_deleted_with_an_unapplied_operation, 3, Newest, 3_000,
    &[(&[Bug::ExchangeInTwoSteps], "")],
    || {
        let keyspace = keyspace();
        run(&keyspace, |view| put(view, b"z", b'm', 2.0)).unwrap();
        let other = spawn(&keyspace, |view| put(view, b"z", b'n', 3.0));
        run(&keyspace, |view| {
            view.transact(|view| {
                view.update(Key::new(b"z"), |_| Ok((Change::Remove, ())))?;
                view.update(Key::new(b"s"), |_| Ok((Change::Put(Draft::integer(1, None)), ())))
            })
        })
        .unwrap();
        run(&keyspace, |view| put(view, b"z", b'o', 1.0)).unwrap();
        other.join().unwrap();
        let members = end(&keyspace, b"z");
        assert!(members == [(b'o', 1.0)] || members == [(b'o', 1.0), (b'n', 3.0)], "{members:?}");
    }
);

model!(
    /// A transaction that changes one set twice and fails, another that does so and succeeds, and a direct write.
    a_transaction_with_two_changes_of_one_set, 3, Newest, 2_000,
    &[(&[Bug::PlannedApplied], "Z3"), (&[Bug::PendingLeftUnapplied], "Z3")],
    || {
        let keyspace = keyspace();
        let other = spawn(&keyspace, |view| put(view, b"z", b'n', 7.0));
        for fails in [true, false] {
            let result = run(&keyspace, |view| {
                view.transact(|view| {
                    put(view, b"z", b'm', 2.0)?;
                    put(view, b"z", b'm', if fails { 3.0 } else { 4.0 })?;
                    assert_eq!(read(view, b"z")?.len(), 2);
                    if fails { Err(KeyspaceError::WrongType) } else { Ok(()) }
                })
            });
            assert_eq!(result.is_err(), fails);
        }
        other.join().unwrap();
        assert_eq!(end(&keyspace, b"z"), [(b'm', 4.0), (b'n', 7.0)]);
    }
);

//! Trees in versions: which nodes are retired and freed, by whom and when.
//!
//! Invariants (`concurrent/versions/nodes.rs`): I1, the nodes of a root stay for the guard under which it was found or
//! planned; I2, one cell holds a root, and every node is retired once; I3, what the edits of a transaction come to;
//! I4, planned nodes go a grace period later. Every execution checks each node: retired once, freed once, not
//! touched when it should not be, and nothing is left at its end (`sync/allocations.rs`). After each model the trees are
//! verified (`Keyspace::check_invariants`).
//!
//! Items are so large that each has a leaf of its own, so that versions share nodes.
//!
//! Twins: whoever loses frees what its own thread still reads; whoever wins retires what the new version still
//! reaches; a renamed tree stays in both cells.

#![cfg(kvns_loom)]

use kvns::keyspace::{Change, Draft, Key, Keyspace, KeyspaceError, View};
use kvns::sync::{Bug, seeded};
use kvns::value::tree::{List, Set, Tree};
use loom_tests::{Outcome, keyspace, model, run, spawn};

const A: &[u8] = b"a";
const B: &[u8] = b"b";

/// An item that is told by its first byte.
fn item(number: u8) -> Vec<u8> {
    vec![number; 3000]
}

/// The numbers of a list's items.
fn numbers(list: Tree<'_, List>) -> Vec<u8> {
    list.iter().map(|item| item.key[0]).collect()
}

fn list(view: &mut View<'_>, key: &[u8]) -> Outcome<Vec<u8>> {
    Ok(numbers(view.tree::<List>(Key::new(key))?))
}

/// RPUSH: the length after it.
fn push(view: &mut View<'_>, key: &[u8], number: u8) -> Outcome<u64> {
    view.edit::<List, _, KeyspaceError>(Key::new(key), |_, delta| {
        delta.push_back(&[&item(number)]);
        Ok(delta.tree().len())
    })
}

/// RPUSH as commands do it, which gathers what one transaction pushes.
fn gather(view: &mut View<'_>, key: &[u8], number: u8) -> Outcome<()> {
    view.gather::<List, _, KeyspaceError>(Key::new(key), |ends| {
        ends.push_back(&item(number));
        Ok(())
    })
}

/// LPOP.
fn pop(view: &mut View<'_>, key: &[u8]) -> Outcome<Option<u8>> {
    view.edit::<List, _, KeyspaceError>(Key::new(key), |base, delta| {
        let first = base.nth(0).map(|item| item.key[0]);
        if first.is_some() {
            delta.remove(0..1);
        }
        Ok(first)
    })
}

/// DEL of a list: what was in it.
fn delete(view: &mut View<'_>, key: &[u8]) -> Outcome<Vec<u8>> {
    view.update(Key::new(key), |entry| {
        let items = entry.map(|entry| entry.tree::<List>().map(numbers)).transpose()?;
        Ok((Change::Remove, items.unwrap_or_default()))
    })
}

/// RENAME of a list.
fn rename(view: &mut View<'_>, from: &[u8], to: &[u8]) -> Outcome<()> {
    let Some(entry) = view.peek(Key::new(from))? else { return Ok(()) };
    view.put(Key::new(to), Draft::value_of(&entry, None))?;
    if !seeded(Bug::RenameKeepsSource) {
        delete(view, from)?;
    }
    Ok(())
}

/// Both lists, once everything is verified.
fn end(keyspace: &Keyspace) -> (Vec<u8>, Vec<u8>) {
    keyspace.check_invariants().unwrap();
    run(keyspace, |view| Ok((list(view, A)?, list(view, B)?)))
}

model!(
    /// RPUSH against LPOP against DEL of one list: every item is popped, deleted or there in the end.
    direct_edits_of_one_list, 3, Newest, 5_000,
    &[
        (&[Bug::WinnerRetiresWhole], "retired"),
        (&[Bug::ExchangeInTwoSteps], ""),
    ],
    || {
        let keyspace = keyspace();
        run(&keyspace, |view| push(view, A, 1));
        run(&keyspace, |view| push(view, A, 2));
        let popper = spawn(&keyspace, |view| pop(view, A));
        let deleter = spawn(&keyspace, |view| delete(view, A));
        let len = run(&keyspace, |view| push(view, A, 3));
        assert!((1..=3).contains(&len));
        let mut seen: Vec<u8> = popper.join().unwrap().into_iter().collect();
        seen.extend(deleter.join().unwrap());
        seen.extend(end(&keyspace).0);
        seen.sort_unstable();
        assert_eq!(seen, [1, 2, 3], "an item was lost or doubled");
    }
);

model!(
    /// A reader walks a list, later than it found it, while another one pushes and pops.
    a_reader_keeps_the_version_it_found, 3, Newest, 300,
    &[(&[Bug::WinnerRetiresWhole], "retired")],
    || {
        let keyspace = keyspace();
        run(&keyspace, |view| push(view, A, 1));
        run(&keyspace, |view| push(view, A, 2));
        let writer = spawn(&keyspace, |view| {
            pop(view, A)?;
            push(view, A, 3)
        });
        let seen = run(&keyspace, |view| {
            let found = view.tree::<List>(Key::new(A))?;
            view.peek(Key::new(A))?;
            Ok(numbers(found))
        });
        assert!([&[1, 2][..], &[2], &[2, 3]].contains(&&seen[..]), "{seen:?} never was the list");
        assert_eq!(writer.join().unwrap(), 2);
        assert_eq!(end(&keyspace).0, [2, 3]);
    }
);

fn members(view: &mut View<'_>, key: &[u8]) -> Outcome<Vec<u8>> {
    let mut members: Vec<u8> = view.tree::<Set>(Key::new(key))?.iter().map(|item| item.key[0]).collect();
    members.sort_unstable();
    Ok(members)
}

/// SADD.
fn add(view: &mut View<'_>, key: &[u8], member: u8) -> Outcome<()> {
    view.edit::<Set, _, KeyspaceError>(Key::new(key), |_, delta| {
        delta.insert(&[member], &[]);
        Ok(())
    })
}

/// SREM: true if it was there.
fn remove(view: &mut View<'_>, key: &[u8], member: u8) -> Outcome<bool> {
    view.edit::<Set, _, KeyspaceError>(Key::new(key), |_, delta| Ok(delta.remove(&[member])))
}

model!(
    /// SMOVE of a set's last member against SADD to the set it goes to: two cells, one transaction.
    a_move_against_an_addition, 3, Newest, 500,
    &[(&[Bug::AbortRestoresSameVersion], "entered a cell again")],
    || {
        let keyspace = keyspace();
        run(&keyspace, |view| add(view, A, 1));
        run(&keyspace, |view| add(view, B, 2));
        let adder = spawn(&keyspace, |view| add(view, B, 3));
        let is_moved = run(&keyspace, |view| {
            view.transact(|view| {
                let is_there = remove(view, A, 1)?;
                if is_there {
                    add(view, B, 1)?;
                }
                Ok(is_there)
            })
        });
        adder.join().unwrap();
        assert!(is_moved);
        keyspace.check_invariants().unwrap();
        let left = run(&keyspace, |view| Ok((members(view, A)?, members(view, B)?)));
        assert_eq!(left, (vec![], vec![1, 2, 3]), "a member was lost");
    }
);

model!(
    /// RPUSH, RPUSH, LRANGE, RPUSH, DEL in one transaction against RPUSH: the base goes whole, what its dead edits replaced is
    /// forgotten, and what they built stays for the thread that planned it, even when the transaction has lost.
    a_list_that_is_edited_and_deleted, 4, Newest, 300,
    &[(&[Bug::LoserFreesAtOnce], "freed")],
    || {
        let keyspace = keyspace();
        run(&keyspace, |view| push(view, A, 1));
        run(&keyspace, |view| push(view, A, 2));
        let writer = spawn(&keyspace, |view| push(view, A, 3));
        let planned = run(&keyspace, |view| {
            let mut planned = None;
            view.transact(|view| {
                gather(view, A, 4)?;
                gather(view, A, 5)?;
                let before = planned.replace(view.tree::<List>(Key::new(A))?);
                assert!(before.is_none_or(|before| numbers(before) == [1, 2, 4, 5]));
                gather(view, A, 6)?;
                delete(view, A).map(drop)
            })?;
            Ok(planned.map(numbers))
        });
        let base: &[u8] = if writer.join().unwrap() == 3 { &[1, 2, 3, 4, 5] } else { &[1, 2, 4, 5] };
        assert_eq!(planned.unwrap(), base);
        assert_eq!(end(&keyspace).0, if base.len() == 5 { vec![] } else { vec![3] });
    }
);

model!(
    /// Two edits of one list in one transaction, which is left without effect if it loses, against RPUSH and against
    /// a reader.
    a_list_that_is_edited_twice, 2, Newest, 1_000,
    &[(&[Bug::WinnerRetiresWhole], "retired")],
    || {
        let keyspace = keyspace();
        run(&keyspace, |view| push(view, A, 1));
        run(&keyspace, |view| push(view, B, 2));
        let writer = spawn(&keyspace, |view| push(view, A, 3));
        let reader = spawn(&keyspace, |view| list(view, A));
        run(&keyspace, |view| {
            view.transact(|view| {
                pop(view, B)?;
                push(view, A, 4)?;
                pop(view, A)
            })
        });
        writer.join().unwrap();
        let seen = reader.join().unwrap();
        assert!([&[1][..], &[1, 3], &[4], &[3, 4], &[4, 3]].contains(&&seen[..]), "{seen:?} never was the list");
        let (a, b) = end(&keyspace);
        assert!(b.is_empty() && (a == [3, 4] || a == [4, 3]), "{a:?} and {b:?}");
    }
);

model!(
    /// RENAME and then RPUSH in one transaction, against RPUSH to the old name, and a reader of the new one.
    a_list_that_is_renamed_and_edited, 2, Newest, 1_000,
    &[
        (&[Bug::RenameKeepsSource], "retired"),
        (&[Bug::WinnerRetiresWhole], "retired"),
    ],
    || {
        let keyspace = keyspace();
        run(&keyspace, |view| push(view, A, 1));
        run(&keyspace, |view| push(view, A, 2));
        let writer = spawn(&keyspace, |view| push(view, A, 3));
        let reader = spawn(&keyspace, |view| list(view, B));
        run(&keyspace, |view| {
            view.transact(|view| {
                rename(view, A, B)?;
                push(view, B, 4)
            })
        });
        writer.join().unwrap();
        let seen = reader.join().unwrap();
        let (a, b) = end(&keyspace);
        assert!((&a[..], &b[..]) == (&[3], &[1, 2, 4]) || (&a[..], &b[..]) == (&[], &[1, 2, 3, 4]));
        assert!(seen.is_empty() || seen == b, "{seen:?} never was the list");
    }
);

//! Snapshots against writes, transactions, flushes and the freeing of trees.
//!
//! Invariants (`concurrent/versions/retention.rs`): I1, the generation is the write's own; I2, after the start every change is
//! stamped; I3, what is displaced is handed over once; I4, nodes that the snapshot may read stay, and are freed in
//! the end; I5, what was given to a snapshot is given back when nobody can give it more.
//!
//! Each model takes a snapshot by `Keyspace::snapshot` and looks whether it is the state of some moment. Trees are
//! read without a pin, and every read of a node that was retired or freed fails (`sync/allocations.rs`), as does anything
//! that is left at the end.
//!
//! Twins: no grace period at the start, before the last hand-over, or at the end; nothing handed over; handed over by
//! a look at another generation, or at none; old nodes retired, or freed with a tree that was dropped later; what
//! was handed over freed under its readers.

#![cfg(kvns_loom)]

use kvns::concurrent::epoch::reclaim::pin;
use kvns::keyspace::{Change, Draft, Key, Keyspace, KeyspaceError, SnapshotControl, View};
use kvns::snapshot::{Head, Sink};
use kvns::sync::Bug;
use kvns::value::string::Str;
use kvns::value::tree::List;
use loom::thread;
use loom_tests::{Outcome, keyspace, model, run, spawn};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

const A: &[u8] = b"a";
const B: &[u8] = b"b";

/// The numbers that each key holds: one, or a list's.
type State = BTreeMap<Vec<u8>, Vec<i64>>;

/// Gathers a snapshot, with a step of loom's between any two items.
struct Collector {
    taken: State,
    open: (Vec<u8>, Vec<i64>),
}

impl Sink for Collector {
    fn begin(&mut self, head: Head<'_>) {
        self.open = (head.name.to_vec(), Vec::new());
    }

    fn item(&mut self, bytes: &[u8]) {
        // An integer as text, or an item of a list, which is told by its first byte.
        let text = std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok());
        self.open.1.push(text.unwrap_or(i64::from(bytes[0])));
    }

    fn score(&mut self, _score: f64) {}

    fn end(&mut self) {
        let (name, numbers) = std::mem::take(&mut self.open);
        let before = self.taken.insert(name, numbers.clone());
        assert!(before.is_none_or(|before| before == numbers), "a key has two values");
    }

    fn buffered(&self) -> usize {
        usize::MAX
    }

    fn write_out(&mut self) -> io::Result<()> {
        // A step whose order with those of others matters to loom.
        drop(pin());
        Ok(())
    }
}

/// BGSAVE.
fn snapshot(keyspace: &Keyspace) -> State {
    let mut sink = Collector { taken: State::new(), open: Default::default() };
    keyspace.snapshot(&mut sink, &SnapshotControl::new(u64::MAX)).unwrap();
    sink.taken
}

/// Both keys of a snapshot.
fn both(state: &State) -> (Option<&[i64]>, Option<&[i64]>) {
    let of = |key: &[u8]| state.get(key).map(Vec::as_slice);
    (of(A), of(B))
}

fn put(view: &mut View<'_>, key: &[u8], value: i64) -> Outcome<()> {
    view.update(Key::new(key), |_| Ok((Change::Put(Draft::integer(value, None)), ())))
}

fn remove(view: &mut View<'_>, key: &[u8]) -> Outcome<()> {
    view.update(Key::new(key), |_| Ok((Change::Remove, ())))
}

/// RPUSH of an item that has a leaf of its own.
fn push(view: &mut View<'_>, key: &[u8], number: u8) -> Outcome<()> {
    view.edit::<List, _, KeyspaceError>(Key::new(key), |_, delta| {
        delta.push_back(&[&[number; 3000]]);
        Ok(())
    })
}

/// LREM of the second item.
fn remove_second(view: &mut View<'_>, key: &[u8]) -> Outcome<()> {
    view.edit::<List, _, KeyspaceError>(Key::new(key), |_, delta| {
        delta.remove(1..2);
        Ok(())
    })
}

/// Two numbers.
fn numbers() -> Arc<Keyspace> {
    let keyspace = keyspace();
    run(&keyspace, |view| {
        put(view, A, 0)?;
        put(view, B, 0)
    });
    keyspace
}

/// A list of two items.
fn list() -> Arc<Keyspace> {
    let keyspace = keyspace();
    run(&keyspace, |view| {
        push(view, A, 1)?;
        push(view, A, 2)
    });
    keyspace
}

model!(
    /// SET after SET against a snapshot: it has neither, the first, or both.
    writes_against_a_snapshot, 3, Newest, 1_500,
    &[
        (&[Bug::HandOverMissing], "no moment"),
        (&[Bug::LastHandOverWithoutGrace], "no moment"),
        (&[Bug::EndWithoutGrace], ""),
    ],
    || {
        let keyspace = numbers();
        let other = Arc::clone(&keyspace);
        let writer = thread::spawn(move || {
            run(&other, |view| put(view, B, 1));
            run(&other, |view| put(view, A, 1));
        });
        let taken = snapshot(&keyspace);
        let moments: [(Option<&[i64]>, Option<&[i64]>); 3] =
            [(Some(&[0]), Some(&[0])), (Some(&[0]), Some(&[1])), (Some(&[1]), Some(&[1]))];
        assert!(moments.contains(&both(&taken)), "{taken:?} is the state of no moment");
        writer.join().unwrap();
        keyspace.check_invariants().unwrap();
    }
);

model!(
    /// MSET against a snapshot: all or nothing.
    a_transaction_against_a_snapshot, 3, Newest, 1_000,
    &[
        (&[Bug::StartWithoutGrace], "torn"),
        (&[Bug::HandOverMissing], "torn"),
        (&[Bug::LastHandOverWithoutGrace], "torn"),
    ],
    || {
        let keyspace = numbers();
        let writer = spawn(&keyspace, |view| {
            view.transact(|view| {
                put(view, A, 1)?;
                put(view, B, 1)
            })
        });
        let taken = snapshot(&keyspace);
        let (a, b) = both(&taken);
        assert!(a.is_some() && a == b, "{taken:?} is torn");
        writer.join().unwrap();
        keyspace.check_invariants().unwrap();
    }
);

model!(
    /// A transaction that reads a key and writes another against one that overwrites the first, which commits again as it
    /// lost to a fresh copy only: a snapshot that has the overwriting has what was written before it.
    a_transaction_that_commits_again, 3, Newest, 50_000,
    &[(&[Bug::RecommitKeepsEpoch], "without its cause")],
    || {
        let keyspace = numbers();
        let overwriting = spawn(&keyspace, |view| view.transact(|view| put(view, A, 1)));
        let reading = spawn(&keyspace, |view| {
            view.transact(|view| {
                let found = view.peek(Key::new(A))?.map(|entry| entry.string());
                let is_first = matches!(found, Some(Ok(Str::Int(0))));
                if is_first { put(view, B, 1).map(|()| true) } else { Ok(false) }
            })
        });
        let taken = snapshot(&keyspace);
        overwriting.join().unwrap();
        let is_first = reading.join().unwrap();
        let (a, b) = both(&taken);
        assert!(!is_first || a == Some(&[0]) || b == Some(&[1]), "{taken:?} has an effect without its cause");
        keyspace.check_invariants().unwrap();
    }
);

model!(
    /// DEL and SET of keys in front of the walker and behind it.
    keys_that_are_deleted_and_made_again, 3, Newest, 2_000,
    &[(&[Bug::HandOverMissing], "no moment")],
    || {
        let keyspace = numbers();
        let other = Arc::clone(&keyspace);
        let writer = thread::spawn(move || {
            run(&other, |view| remove(view, B));
            run(&other, |view| put(view, B, 2));
            run(&other, |view| remove(view, A));
        });
        let taken = snapshot(&keyspace);
        let zero: Option<&[i64]> = Some(&[0]);
        let two: Option<&[i64]> = Some(&[2]);
        let moments = [(zero, zero), (zero, None), (zero, two), (None, two)];
        assert!(moments.contains(&both(&taken)), "{taken:?} is the state of no moment");
        writer.join().unwrap();
        keyspace.check_invariants().unwrap();
    }
);

model!(
    /// A reader keeps what it found, though it was overwritten, handed over and given back since.
    a_reader_of_what_was_handed_over, 3, Newest, 20_000,
    &[(&[Bug::HandedOverFreedAtOnce], "freed")],
    || {
        let keyspace = numbers();
        let writer = spawn(&keyspace, |view| put(view, A, 1));
        let reader = spawn(&keyspace, |view| {
            let found = view.peek(Key::new(A))?;
            view.peek(Key::new(B))?;
            match found.map(|entry| entry.string()) {
                Some(Ok(Str::Int(value))) => Ok(value),
                other => panic!("{other:?} is no integer"),
            }
        });
        snapshot(&keyspace);
        writer.join().unwrap();
        assert!(reader.join().unwrap() < 2);
        keyspace.check_invariants().unwrap();
    }
);

model!(
    /// RPUSH and LREM of a list whose tree is read without a pin, from its start to beyond the snapshot's end.
    a_list_that_is_edited, 3, Newest, 2_000,
    &[
        (&[Bug::OldNodesRetired], "retired"),
        (&[Bug::StartWithoutGrace], ""),
        (&[Bug::HandOverMissing], "no moment"),
        (&[Bug::EndWithoutGrace], ""),
    ],
    || {
        let keyspace = list();
        let other = Arc::clone(&keyspace);
        let writer = thread::spawn(move || {
            run(&other, |view| push(view, A, 3));
            run(&other, |view| remove_second(view, A));
        });
        let taken = snapshot(&keyspace);
        let moments: [Option<&[i64]>; 3] = [Some(&[1, 2]), Some(&[1, 2, 3]), Some(&[1, 3])];
        assert!(moments.contains(&both(&taken).0), "{taken:?} is the state of no moment");
        writer.join().unwrap();
        keyspace.check_invariants().unwrap();
    }
);

model!(
    /// A tree that is young at its root and old below is dropped: its old nodes stay, and are freed in the end.
    a_list_that_is_edited_and_dropped, 3, Newest, 4_000,
    &[
        (&[Bug::FreerIgnoresBirths], "freed"),
        (&[Bug::OldNodesRetired], "retired"),
        (&[Bug::EndWithoutGrace], ""),
    ],
    || {
        let keyspace = list();
        let other = Arc::clone(&keyspace);
        let writer = thread::spawn(move || {
            run(&other, |view| push(view, A, 3));
            run(&other, |view| remove(view, A));
            // So that its grace period ends.
            run(&other, |view| put(view, B, 1));
        });
        let taken = snapshot(&keyspace);
        let (a, b) = both(&taken);
        let moments: [Option<&[i64]>; 3] = [Some(&[1, 2]), Some(&[1, 2, 3]), None];
        assert!(moments.contains(&a) && (b.is_none() || a.is_none()), "{taken:?} is the state of no moment");
        writer.join().unwrap();
        keyspace.check_invariants().unwrap();
    }
);

model!(
    /// A transaction that moves a list and edits it, against a direct write to it, across a whole snapshot.
    a_list_that_is_renamed_and_edited, 2, Newest, 2_000,
    &[
        (&[Bug::OldNodesRetired], "retired"),
        (&[Bug::HandOverMissing], "no moment"),
        (&[Bug::EndWithoutGrace], ""),
    ],
    || {
        let keyspace = list();
        let writer = spawn(&keyspace, |view| push(view, A, 3));
        let mover = spawn(&keyspace, |view| {
            view.transact(|view| {
                let Some(entry) = view.peek(Key::new(A))? else { return Ok(()) };
                view.put(Key::new(B), Draft::value_of(&entry, None))?;
                remove(view, A)?;
                push(view, B, 4)
            })
        });
        let taken = snapshot(&keyspace);
        let moments: [(Option<&[i64]>, Option<&[i64]>); 5] = [
            (Some(&[1, 2]), None),
            (Some(&[1, 2, 3]), None),
            (None, Some(&[1, 2, 4])),
            (None, Some(&[1, 2, 3, 4])),
            (Some(&[3]), Some(&[1, 2, 4])),
        ];
        assert!(moments.contains(&both(&taken)), "{taken:?} is the state of no moment");
        writer.join().unwrap();
        mover.join().unwrap();
        keyspace.check_invariants().unwrap();
    }
);

model!(
    /// FLUSHALL against a write and a snapshot: the write belongs to one generation, and the snapshot to one.
    a_flush_against_a_snapshot, 3, Newest, 10_000,
    &[(&[Bug::HandOverAsksPresent], "no moment"), (&[Bug::HandOverMissing], "no moment")],
    || {
        let keyspace = numbers();
        let writer = spawn(&keyspace, |view| put(view, A, 1));
        let flusher = spawn(&keyspace, |view| view.flush());
        let taken = snapshot(&keyspace);
        let zero: Option<&[i64]> = Some(&[0]);
        let one: Option<&[i64]> = Some(&[1]);
        let moments = [(zero, zero), (one, zero), (None, None), (one, None)];
        assert!(moments.contains(&both(&taken)), "{taken:?} is the state of no moment");
        writer.join().unwrap();
        flusher.join().unwrap();
        keyspace.check_invariants().unwrap();
    }
);

model!(
    /// EXEC with a flush: what it wrote before the snapshot began is in a generation that the snapshot does not keep.
    a_flush_in_a_transaction_against_a_snapshot, 3, Newest, 1_500,
    &[(&[Bug::HandOverAnyGeneration], "two values")],
    || {
        let keyspace = numbers();
        let other = Arc::clone(&keyspace);
        let writer = thread::spawn(move || {
            let exclusive = other.take_exclusive().unwrap();
            while !exclusive.is_ready() {
                thread::yield_now();
            }
            let mut batch = other.enter_exclusive(&exclusive);
            let flushed: Outcome<()> = batch.view().transact(|view| {
                view.flush()?;
                put(view, A, 7)
            });
            flushed.unwrap();
            drop(batch);
            drop(exclusive);
            run(&other, |view| put(view, A, 8));
        });
        let taken = snapshot(&keyspace);
        let zero: Option<&[i64]> = Some(&[0]);
        let moments = [(zero, zero), (Some(&[7][..]), None), (Some(&[8][..]), None)];
        assert!(moments.contains(&both(&taken)), "{taken:?} is the state of no moment");
        writer.join().unwrap();
        keyspace.check_invariants().unwrap();
    }
);

//! Snapshots: the state of one moment, whatever goes on meanwhile.

use super::*;
use crate::config::EvictionRules;
use crate::snapshot::{Head, Sink};
use crate::value::tree::{Hash, Set};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Barrier, Mutex};

/// A key as a snapshot or a reader has it: the order of the items is kept where it means something.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    kind: Kind,
    deadline_ms: Option<u64>,
    len: u64,
    items: Vec<Vec<u8>>,
    /// The bits of a sorted set's scores, in the order of its members.
    scores: Vec<u64>,
}

type State = BTreeMap<Vec<u8>, Found>;

impl Found {
    fn new(kind: Kind, deadline_ms: Option<u64>, len: u64) -> Found {
        Found { kind, deadline_ms, len, items: Vec::new(), scores: Vec::new() }
    }

    /// Puts what has no order into one.
    fn sorted(mut self) -> Found {
        match self.kind {
            Kind::String => self.items = vec![self.items.concat()],
            Kind::List => {}
            Kind::Set => self.items.sort(),
            Kind::Hash => {
                let mut pairs: Vec<_> = self.items.chunks(2).map(<[_]>::to_vec).collect();
                pairs.sort();
                self.items = pairs.concat();
            }
            Kind::SortedSet => {
                let mut members: Vec<_> = self.items.drain(..).zip(self.scores.drain(..)).collect();
                members.sort();
                (self.items, self.scores) = members.into_iter().unzip();
            }
        }
        let len = match self.kind {
            Kind::String => self.items[0].len(),
            Kind::Hash => self.items.len() / 2,
            _ => self.items.len(),
        };
        assert_eq!(self.len, len as u64, "a key has as many items as its head says");
        self
    }
}

/// Gathers a snapshot in memory, and does something whenever it is let.
struct Collector<'a> {
    taken: State,
    open: Option<(Vec<u8>, Found)>,
    repeated: usize,
    /// The result of `buffered`.
    buffered: usize,
    steps: usize,
    step: Box<dyn FnMut(usize) -> io::Result<()> + 'a>,
}

impl<'a> Collector<'a> {
    fn new() -> Collector<'a> {
        Collector::stepping(|_| Ok(()), 0)
    }

    /// Does a step after every item that may be waited for, if `buffered` is large.
    fn stepping(step: impl FnMut(usize) -> io::Result<()> + 'a, buffered: usize) -> Collector<'a> {
        Collector { taken: State::new(), open: None, repeated: 0, buffered, steps: 0, step: Box::new(step) }
    }
}

impl Sink for Collector<'_> {
    fn begin(&mut self, head: Head<'_>) {
        assert!(self.open.is_none());
        self.open = Some((head.name.to_vec(), Found::new(head.kind, head.deadline_ms, head.len)));
    }

    fn item(&mut self, bytes: &[u8]) {
        self.open.as_mut().unwrap().1.items.push(bytes.to_vec());
    }

    fn score(&mut self, score: f64) {
        self.open.as_mut().unwrap().1.scores.push(score.to_bits());
    }

    fn end(&mut self) {
        let (name, found) = self.open.take().unwrap();
        let found = found.sorted();
        if let Some(before) = self.taken.insert(name.clone(), found.clone()) {
            assert_eq!(before, found, "{} has two values", String::from_utf8_lossy(&name));
            self.repeated += 1;
        }
    }

    fn buffered(&self) -> usize {
        self.buffered
    }

    fn write_out(&mut self) -> io::Result<()> {
        self.steps += 1;
        (self.step)(self.steps - 1)
    }
}

/// A snapshot without a limit.
fn take(
    keyspace: &Keyspace,
    sink: &mut Collector<'_>,
) -> std::result::Result<SnapshotSummary, SnapshotError> {
    keyspace.snapshot(sink, &SnapshotControl::new(u64::MAX))
}

/// Everything that is there, read key by key.
fn state(keyspace: &Keyspace) -> State {
    let mut state = State::new();
    let mut batch = keyspace.enter();
    let mut view = batch.view();
    let mut cursor = 0;
    loop {
        cursor = view
            .scan(cursor, 100, None, |name, entry| {
                let mut found = Found::new(entry.kind(), entry.deadline_ms(), 0);
                match entry.kind() {
                    Kind::String => found.items.push(entry.string().unwrap().bytes().into_owned()),
                    Kind::List => {
                        found.items = entry.tree::<List>().unwrap().iter().map(|i| i.key.to_vec()).collect();
                    }
                    Kind::Set => {
                        found.items = entry.tree::<Set>().unwrap().iter().map(|i| i.key.to_vec()).collect();
                    }
                    Kind::Hash => {
                        let pairs = entry.tree::<Hash>().unwrap();
                        found.items = pairs.iter().flat_map(|i| [i.key.to_vec(), i.value.to_vec()]).collect();
                    }
                    Kind::SortedSet => {
                        for scored in entry.sorted_set().unwrap().iter() {
                            found.items.push(scored.member.to_vec());
                            found.scores.push(scored.score.to_bits());
                        }
                    }
                }
                found.len = match found.kind {
                    Kind::String => found.items[0].len() as u64,
                    Kind::Hash => found.items.len() as u64 / 2,
                    _ => found.items.len() as u64,
                };
                state.insert(name.to_vec(), found.sorted());
                true
            })
            .unwrap();
        if cursor == 0 {
            return state;
        }
    }
}

fn put_field(view: &mut View<'_>, key: &[u8], field: &[u8], value: &[u8]) -> Result<()> {
    view.edit::<Hash, _, _>(Key::new(key), |_, delta| {
        delta.insert(field, value);
        Ok(())
    })
}

fn put_member(view: &mut View<'_>, key: &[u8], member: &[u8]) -> Result<()> {
    view.edit::<Set, _, _>(Key::new(key), |_, delta| {
        delta.insert(member, b"");
        Ok(())
    })
}

fn put_score(view: &mut View<'_>, key: &[u8], member: &[u8], score: f64) -> Result<()> {
    view.edit_sorted_set(Key::new(key), |edit| {
        edit.put(member, score);
        Ok(())
    })
}

fn append(view: &mut View<'_>, key: &[u8], patch: &[u8]) -> Result<()> {
    let birth = view.birth();
    view.update(Key::new(key), |entry| {
        let string = entry.map_or(Ok(Str::Inline(b"")), |entry| entry.string())?;
        Ok((Change::Put(Draft::patched(string, string.len(), patch, None, birth)), ()))
    })
}

fn number(i: usize) -> Vec<u8> {
    format!("item {i}").into_bytes()
}

/// Keys of every type and size, and of two namespaces.
fn fill(keyspace: &Keyspace) {
    let mut batch = keyspace.enter();
    for prefix in ["", "ns/"] {
        let mut view = batch.view();
        let view = &mut view;
        let key = |name: &str| format!("{prefix}{name}").into_bytes();
        set(view, &key("integer"), b"-17", None).unwrap();
        set(view, &key("empty"), b"", None).unwrap();
        set(view, &key("short"), b"short", Some(5_000_000)).unwrap();
        set(view, &key("shared"), &vec![b's'; 300_000], None).unwrap();
        append(view, &key("chunks"), &vec![b'c'; 100_000]).unwrap();
        for i in 0..5000 {
            let item = number(i);
            let large = i >= 20;
            for (name, take) in [("small", !large), ("large", true)] {
                if take {
                    push(view, &key(&format!("{name} list")), &[&item]).unwrap();
                    put_field(view, &key(&format!("{name} hash")), &item, &number(i + 1)).unwrap();
                    put_member(view, &key(&format!("{name} set")), &item).unwrap();
                    put_score(view, &key(&format!("{name} sorted set")), &item, i as f64 / 4.0).unwrap();
                }
            }
        }
        for i in 0..300 {
            set(view, &key(&format!("key:{i}")), &number(i), None).unwrap();
        }
    }
}

#[test]
fn a_snapshot_has_every_key_of_every_type() {
    let (keyspace, clock) = keyspace();
    fill(&keyspace);
    set(&mut keyspace.enter().view(), b"expired", b"1", Some(1_000_100)).unwrap();
    clock.advance(100);
    let mut sink = Collector::new();
    let control = SnapshotControl::new(u64::MAX);
    let summary = keyspace.snapshot(&mut sink, &control).unwrap();
    assert_eq!(sink.taken, state(&keyspace));
    assert_eq!(sink.repeated, 0);
    assert_eq!((summary.keys, control.keys()), (sink.taken.len() as u64, summary.keys));
    assert_eq!(summary.retained_peak, 0);
    keyspace.check_invariants().unwrap();
}

/// Changes every key of [`fill`], the same way each round.
fn disturb(keyspace: &Keyspace, step: usize) {
    let prefix = if step.is_multiple_of(2) { "" } else { "ns/" };
    let key = |name: &str| format!("{prefix}{name}").into_bytes();
    let item = number(step * 7 % 5000);
    let change = |view: &mut View<'_>| match step / 2 % 14 {
        0 => set(view, &key("integer"), b"5", None),
        1 => remove(view, &key("empty")).map(drop),
        2 => set(view, &key("short"), b"other", None),
        3 => set(view, &key("shared"), b"not any more", None),
        4 => append(view, &key("chunks"), &item),
        5 => push(view, &key("large list"), &[&item]).map(drop),
        6 => put_field(view, &key("large hash"), &item, b"changed"),
        7 => put_member(view, &key("large set"), &number(step + 10_000)),
        8 => put_score(view, &key("large sorted set"), &item, -1.0),
        9 => put_score(view, &key("small sorted set"), &item, -1.0),
        10 => rename(view, &key("large list"), &key("renamed list")),
        11 => remove(view, &key("large hash")).map(drop),
        12 => rename(view, &key("renamed list"), &key("large list")),
        _ => view.transact(|view| {
            let index = step * 31 % 300;
            remove(view, &key(&format!("key:{index}")))?;
            set(view, &key(&format!("key:{}", (index + 1) % 300)), b"transacted", None)?;
            set(view, &key(&format!("new:{step}")), b"new", None)
        }),
    };
    change(&mut keyspace.enter().view()).unwrap();
    // So that what should not be freed yet would be.
    for _ in 0..3 {
        keyspace.housekeep();
    }
}

#[test]
fn a_snapshot_is_of_its_beginning_whatever_is_done_between_its_steps() {
    for stride in [1, 7, 50] {
        let (keyspace, _) = keyspace();
        fill(&keyspace);
        let before = state(&keyspace);
        let action = |step: usize| {
            if step.is_multiple_of(stride) {
                disturb(&keyspace, step / stride);
            }
            Ok(())
        };
        let mut sink = Collector::stepping(action, usize::MAX);
        let summary = take(&keyspace, &mut sink).unwrap();
        assert!(sink.taken == before, "a snapshot that is not of one moment");
        assert!(sink.steps > 10_000 && summary.retained_peak > 0);
        keyspace.check_invariants().unwrap();
        let mut again = Collector::new();
        take(&keyspace, &mut again).unwrap();
        assert!(again.taken == state(&keyspace));
    }
}

#[test]
fn a_flush_does_not_disturb_a_snapshot() {
    for flushed_at in [0, 3, 200, 9000] {
        let (keyspace, _) = keyspace();
        fill(&keyspace);
        let before = state(&keyspace);
        let mut sink = Collector::stepping(
            |step| {
                if step == flushed_at {
                    keyspace.enter().view().flush().unwrap();
                    set(&mut keyspace.enter().view(), b"integer", b"after", None).unwrap();
                    set(&mut keyspace.enter().view(), b"after", b"after", None).unwrap();
                }
                keyspace.housekeep();
                Ok(())
            },
            usize::MAX,
        );
        take(&keyspace, &mut sink).unwrap();
        assert!(sink.taken == before);
        drop(sink);
        keyspace.check_invariants().unwrap();
        while keyspace.freeing() > 0 {
            keyspace.housekeep();
        }
        let mut after = Collector::new();
        take(&keyspace, &mut after).unwrap();
        assert_eq!(after.taken.len(), 2);
    }
}

#[test]
fn what_goes_by_itself_while_a_snapshot_runs_is_in_it() {
    let (keyspace, _) = keyspace();
    let key = |namespace: &str, i: usize| format!("{namespace}/key:{i}").into_bytes();
    for i in 0..200 {
        for namespace in ["lru", "ear"] {
            set(&mut keyspace.enter().view(), &key(namespace, i), &number(i), None).unwrap();
        }
    }
    let before = state(&keyspace);
    let policies = [(b"lru".to_vec(), Policy::Lru), (b"ear".to_vec(), Policy::Ear)].into_iter().collect();
    let limit = keyspace.accounted_bytes() * 51 / 50;
    keyspace.bind(limit, EvictionRules { policies, ..EvictionRules::default() });
    let mut sink = Collector::stepping(
        |step| {
            if step == 0 {
                let mut need = Need::new(b"lru", 8000, eviction::Bound::Room(0));
                while !keyspace.make_room(&mut need).is_over() {}
                keyspace.give_up(&mut need);
                (0..200).for_each(|i| drop(get(&mut keyspace.enter().view(), &key("ear", i)).unwrap()));
                while keyspace.housekeep() {}
            }
            Ok(())
        },
        usize::MAX,
    );
    take(&keyspace, &mut sink).unwrap();
    assert!(sink.taken == before, "some of what went is missing");
    assert_eq!(keyspace.stats.ear_evicted.get(), 200);
    assert!(keyspace.stats.evicted.get() > 0);
    drop(sink);
    keyspace.check_invariants().unwrap();
}

/// Transactions put copies of what they only read in its place: a copy belongs to the snapshot exactly if the original
/// does, and what it takes the place of is not kept.
#[test]
fn what_transactions_read_while_a_snapshot_runs_is_not_kept() {
    let (keyspace, _) = keyspace();
    let key = |i: usize| format!("key:{i}").into_bytes();
    for i in 0..200 {
        set(&mut keyspace.enter().view(), &key(i), &[b'x'; 100], None).unwrap();
    }
    let before = state(&keyspace);
    let read = |name: &[u8]| {
        keyspace
            .enter()
            .view()
            .transact(|view| {
                get(view, name)?.expect("it is there");
                set(view, b"written", b"v", None)
            })
            .unwrap();
        keyspace.housekeep();
    };
    let mut sink = Collector::stepping(
        |step| {
            if step == 0 {
                (0..1000).for_each(|_| read(&key(7)));
                set(&mut keyspace.enter().view(), &key(199), b"later", None).unwrap();
                read(&key(199));
            }
            Ok(())
        },
        usize::MAX,
    );
    let summary = take(&keyspace, &mut sink).unwrap();
    assert!(sink.taken == before, "a snapshot that is not of one moment");
    drop(sink);
    assert!(summary.retained_peak < 1000, "{summary:?}");
    keyspace.check_invariants().unwrap();
}

/// A list that is pushed to all the time, and trees that are dropped, keep only what the snapshot needs.
#[test]
fn what_is_born_and_dropped_while_a_snapshot_runs_is_not_kept() {
    let (keyspace, _) = keyspace();
    let items: Vec<Vec<u8>> = (0..20_000).map(number).collect();
    let items: Vec<&[u8]> = items.iter().map(Vec::as_slice).collect();
    push(&mut keyspace.enter().view(), b"old", &items).unwrap();
    let mut latest = 0;
    let mut sink = Collector::stepping(
        |step| {
            if step < 1000 {
                push(&mut keyspace.enter().view(), b"old", &[&number(step)]).unwrap();
                push(&mut keyspace.enter().view(), b"new", &items[..200]).unwrap();
                if step % 10 == 9 {
                    remove(&mut keyspace.enter().view(), b"new").unwrap();
                }
                keyspace.housekeep();
            }
            latest = keyspace.retained().0;
            Ok(())
        },
        usize::MAX,
    );
    let summary = take(&keyspace, &mut sink).unwrap();
    drop(sink);
    assert!(latest > 0 && summary.retained_peak < 40_000, "{latest} and {summary:?}");
    keyspace.check_invariants().unwrap();
}

/// A tree that is young at its root and old below: dropped, it is taken apart later.
#[test]
fn a_dropped_tree_is_kept_where_it_is_old() {
    let (keyspace, _) = keyspace();
    let items: Vec<Vec<u8>> = (0..50_000).map(number).collect();
    let items: Vec<&[u8]> = items.iter().map(Vec::as_slice).collect();
    push(&mut keyspace.enter().view(), b"a", &items).unwrap();
    let before = state(&keyspace);
    let mut sink = Collector::stepping(
        |step| {
            match step {
                10 => drop(push(&mut keyspace.enter().view(), b"a", &[b"young"]).unwrap()),
                20 => drop(remove(&mut keyspace.enter().view(), b"a").unwrap()),
                30.. if step % 100 == 0 => {
                    keyspace.housekeep();
                }
                _ => {}
            }
            Ok(())
        },
        usize::MAX,
    );
    let summary = take(&keyspace, &mut sink).unwrap();
    assert!(sink.taken == before);
    assert!(summary.retained_peak > 400_000, "{summary:?}");
    keyspace.check_invariants().unwrap();
}

#[test]
fn a_snapshot_that_fails_leaves_nothing_behind() {
    let (keyspace, _) = keyspace();
    fill(&keyspace);
    let failing = |at: usize, error: fn() -> io::Result<()>| {
        let mut sink = Collector::stepping(
            |step| {
                disturb(&keyspace, step);
                if step == at { error() } else { Ok(()) }
            },
            usize::MAX,
        );
        take(&keyspace, &mut sink)
    };
    for at in [0, 1, 100, 2000] {
        let full = failing(at, || Err(io::Error::other("no space")));
        assert!(matches!(full, Err(SnapshotError::Io(_))));
        keyspace.check_invariants().unwrap();
        let panicked =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| failing(at, || panic!("as intended"))));
        assert!(panicked.is_err());
        keyspace.check_invariants().unwrap();
    }
    let mut sink = Collector::new();
    take(&keyspace, &mut sink).unwrap();
    assert!(sink.taken == state(&keyspace));
}

#[test]
fn a_snapshot_ends_when_it_is_asked_to_or_keeps_too_much() {
    let (keyspace, _) = keyspace();
    fill(&keyspace);
    let control = SnapshotControl::new(u64::MAX);
    let mut sink = Collector::stepping(
        |step| {
            if step == 5 {
                control.cancel();
            }
            let again = take(&keyspace, &mut Collector::new());
            assert!(matches!(again, Err(SnapshotError::InProgress)));
            Ok(())
        },
        usize::MAX,
    );
    assert!(matches!(keyspace.snapshot(&mut sink, &control), Err(SnapshotError::Cancelled)));
    assert_eq!(sink.steps, 6);
    drop(sink);
    keyspace.check_invariants().unwrap();

    let control = SnapshotControl::new(200_000);
    let mut sink = Collector::stepping(
        |step| {
            disturb(&keyspace, step);
            Ok(())
        },
        usize::MAX,
    );
    let over = keyspace.snapshot(&mut sink, &control);
    assert!(matches!(over, Err(SnapshotError::RetainLimit(200_000))), "{over:?}");
    assert_eq!(control.keys_total(), keyspace.len().max(control.keys_total()));
    drop(sink);
    keyspace.check_invariants().unwrap();
}

/// Retries while somebody else runs alone, or this one should.
fn insist<R>(mut command: impl FnMut() -> Result<R>) -> R {
    loop {
        match command() {
            Ok(result) => return result,
            Err(KeyspaceError::Wait(_)) => std::thread::yield_now(),
            Err(error) => panic!("{error:?}"),
        }
    }
}

fn account(i: usize) -> Vec<u8> {
    format!("{}account:{i}", if i.is_multiple_of(3) { "bank/" } else { "" }).into_bytes()
}

const ACCOUNTS: usize = 500;

/// One of four clients: transfers, a counter that only grows, list items that move, keys that come and go.
fn client(keyspace: &Keyspace, thread: usize, stop: &AtomicBool) {
    let counter = format!("counter:{thread}").into_bytes();
    let echo = format!("echo:{thread}").into_bytes();
    let (from, to) = (format!("from:{thread}").into_bytes(), format!("to:{thread}").into_bytes());
    for i in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let (a, b) = (account(i * 7 % ACCOUNTS), account((i * 13 + thread) % ACCOUNTS));
        insist(|| {
            keyspace.enter().view().transact(|view| {
                add(view, &a, -1)?;
                add(view, &b, 1).map(drop)
            })
        });
        // The echo follows the counter: one write after the other has been acknowledged.
        insist(|| add(&mut keyspace.enter().view(), &counter, 1));
        insist(|| add(&mut keyspace.enter().view(), &echo, 1));
        insist(|| push(&mut keyspace.enter().view(), b"shared list", &[&number(i)]));
        insist(|| put_score(&mut keyspace.enter().view(), b"scores", &number(i % 3000), i as f64));
        insist(|| {
            keyspace.enter().view().transact(|view| {
                let tree = view.tree::<List>(Key::new(&from))?;
                let Some(first) = tree.nth(0).map(|item| item.key.to_vec()) else {
                    return rename(view, &to, &from);
                };
                view.edit::<List, _, KeyspaceError>(Key::new(&from), |_, delta| {
                    delta.remove(0..1);
                    Ok(())
                })?;
                push(view, &to, &[&first]).map(drop)
            })
        });
        let transient = format!("transient:{}", i * 31 % 2000).into_bytes();
        insist(|| set(&mut keyspace.enter().view(), &transient, b"there", None));
        let transient = format!("transient:{}", i * 17 % 2000).into_bytes();
        insist(|| remove(&mut keyspace.enter().view(), &transient));
    }
}

fn integer(state: &State, key: &[u8]) -> i64 {
    state.get(key).map_or(0, |found| String::from_utf8_lossy(&found.items[0]).parse().unwrap())
}

#[test]
fn snapshots_are_consistent_while_four_clients_write() {
    let (keyspace, _) = keyspace();
    for i in 0..ACCOUNTS {
        add(&mut keyspace.enter().view(), &account(i), 100).unwrap();
    }
    let moved: Vec<Vec<u8>> = (0..300).map(number).collect();
    let moved: Vec<&[u8]> = moved.iter().map(Vec::as_slice).collect();
    for thread in 0..4 {
        push(&mut keyspace.enter().view(), format!("from:{thread}").as_bytes(), &moved).unwrap();
    }
    let stop = AtomicBool::new(false);
    // What a thread leaves in the index's collector, that thread alone can hand over: once nobody else is at work.
    let (at_rest, turn) = (Barrier::new(5), Mutex::new(()));
    let leave = || {
        at_rest.wait();
        let _turn = turn.lock();
        keyspace.current.share(&pin()).end_resize();
    };
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (keyspace, stop, leave) = (&keyspace, &stop, &leave);
            scope.spawn(move || {
                client(keyspace, thread, stop);
                leave();
            });
        }
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                keyspace.housekeep();
                std::thread::yield_now();
            }
            leave();
        });
        for round in 0..30 {
            let read = |key: String| insist(|| get(&mut keyspace.enter().view(), key.as_bytes()));
            let read_integer =
                |key: String| read(key).map_or(0, |v| String::from_utf8(v).unwrap().parse::<i64>().unwrap());
            let acknowledged: Vec<i64> = (0..4).map(|t| read_integer(format!("echo:{t}"))).collect();
            let buffered = if round % 3 == 0 { usize::MAX } else { 0 };
            let mut sink = Collector::stepping(|_| Ok(()), buffered);
            take(&keyspace, &mut sink).unwrap();
            let taken = &sink.taken;
            let sum: i64 = (0..ACCOUNTS).map(|i| integer(taken, &account(i))).sum();
            assert_eq!(sum, 100 * ACCOUNTS as i64, "a transfer is torn");
            for (thread, acknowledged) in acknowledged.into_iter().enumerate() {
                let counter = integer(taken, format!("counter:{thread}").as_bytes());
                let echo = integer(taken, format!("echo:{thread}").as_bytes());
                assert!(counter == echo || counter == echo + 1, "{counter} and {echo}: no prefix");
                assert!(echo >= acknowledged, "something acknowledged is missing");
                let list = |name: &str| {
                    taken.get(format!("{name}:{thread}").as_bytes()).map_or(vec![], |f| f.items.clone())
                };
                assert_eq!([list("to"), list("from")].concat(), moved, "a move is torn");
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    keyspace.check_invariants().unwrap();
}

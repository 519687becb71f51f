//! The keyspace without protocol and commands: what one look-up, one write, one transaction, one page costs.
//!
//! Operations run in batches, as those of a pipelining client do, over keys in random order. Housekeeping runs
//! beside them on a thread of its own, as in the server.

use criterion::{BenchmarkGroup, Criterion, Throughput, measurement::WallTime};
use kvns::clock::Clock;
use kvns::keyspace::{Batch, Change, Draft, Key, Keyspace, KeyspaceError, View};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use std::hint::black_box;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use tikv_jemallocator::Jemalloc;

/// The server's allocator.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

const KEYS: usize = 100_000;

/// Operations under one pin.
const BATCH: usize = 100;

const VALUE: &[u8] = &[b'x'; 32];

/// Names in random order, dealt out over and over.
struct Names {
    names: Vec<Vec<u8>>,
    next: usize,
}

impl Names {
    fn new(prefix: &str) -> Names {
        let mut names: Vec<Vec<u8>> = (0..KEYS).map(|n| format!("{prefix}{n:012}").into_bytes()).collect();
        names.shuffle(&mut SmallRng::seed_from_u64(7));
        Names { names, next: 0 }
    }

    fn deal(&mut self, count: usize) -> &[Vec<u8>] {
        if self.next + count > self.names.len() {
            self.next = 0;
        }
        self.next += count;
        &self.names[self.next - count..self.next]
    }
}

fn put(view: &mut View<'_>, name: &[u8]) {
    let change = |_| Ok::<_, KeyspaceError>((Change::Put(Draft::string(VALUE, None)), ()));
    view.update(Key::new(name), change).expect("no transaction runs alone");
}

fn remove(view: &mut View<'_>, name: &[u8]) {
    let change = |_| Ok::<_, KeyspaceError>((Change::Remove, ()));
    view.update(Key::new(name), change).expect("no transaction runs alone");
}

fn read_len(view: &mut View<'_>, name: &[u8]) -> Result<usize, KeyspaceError> {
    view.read(Key::new(name))?.map_or(Ok(0), |entry| Ok(entry.string()?.len()))
}

/// A keyspace of [`KEYS`] keys, and their names.
fn filled() -> (Arc<Keyspace>, Names) {
    let (keyspace, names) = (Arc::new(Keyspace::new(Clock::system())), Names::new("key:"));
    for names in names.names.chunks(BATCH) {
        let mut batch = keyspace.enter();
        names.iter().for_each(|name| put(&mut batch.view(), name));
    }
    let housekeeper = Arc::downgrade(&keyspace);
    thread::spawn(move || {
        while let Some(keyspace) = housekeeper.upgrade() {
            if !keyspace.housekeep() {
                drop(keyspace);
                thread::sleep(Duration::from_millis(10));
            }
        }
    });
    (keyspace, names)
}

/// Measures `run` on [`BATCH`] groups of `width` names.
fn measure(
    group: &mut BenchmarkGroup<'_, WallTime>,
    (keyspace, names): (&Keyspace, &mut Names),
    (title, width): (&str, usize),
    mut run: impl FnMut(&mut Batch<'_>, &[Vec<u8>]),
) {
    group.bench_function(title, |bencher| {
        bencher.iter(|| {
            let mut batch = keyspace.enter();
            for names in names.deal(BATCH * width).chunks(width) {
                run(&mut batch, names);
                batch.between_commands();
            }
        });
    });
}

fn single_keys(group: &mut BenchmarkGroup<'_, WallTime>, keyspace: &Keyspace, names: &mut Names) {
    let mut others = Names::new("other:");
    let read = |batch: &mut Batch<'_>, names: &[Vec<u8>]| {
        black_box(read_len(&mut batch.view(), &names[0]).expect("a string"));
    };
    measure(group, (keyspace, names), ("read hit", 1), read);
    measure(group, (keyspace, &mut others), ("read miss", 1), read);
    measure(group, (keyspace, names), ("overwrite", 1), |batch, names| put(&mut batch.view(), &names[0]));
    measure(group, (keyspace, &mut others), ("create and remove", 1), |batch, names| {
        put(&mut batch.view(), &names[0]);
        remove(&mut batch.view(), &names[0]);
    });
}

fn several_keys(group: &mut BenchmarkGroup<'_, WallTime>, keyspace: &Keyspace, names: &mut Names) {
    let write_all = |batch: &mut Batch<'_>, names: &[Vec<u8>]| {
        let write = |view: &mut View<'_>| {
            names.iter().for_each(|name| put(view, name));
            Ok::<_, KeyspaceError>(())
        };
        batch.view().transact(write).expect("no transaction runs alone");
    };
    measure(group, (keyspace, names), ("transaction of 2 writes", 2), write_all);
    measure(group, (keyspace, names), ("transaction of 10 writes", 10), write_all);
    measure(group, (keyspace, names), ("10 reads at one instant", 10), |batch, names| {
        let read = |view: &mut View<'_>| names.iter().map(|name| read_len(view, name)).sum();
        let bytes: Result<usize, KeyspaceError> = batch.view().transact(read);
        black_box(bytes.expect("strings"));
    });
}

fn pages(group: &mut BenchmarkGroup<'_, WallTime>, keyspace: &Keyspace, names: &mut Names) {
    let mut cursor = 0;
    measure(group, (keyspace, names), ("page of 10 keys", 1), |batch, _| {
        let mut bytes = 0;
        let next = batch.view().scan(cursor, 10, None, |name, _| {
            bytes += name.len();
            true
        });
        cursor = next.expect("no transaction runs alone");
        black_box(bytes);
    });
}

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    let (keyspace, mut names) = filled();
    let mut group = criterion.benchmark_group("keyspace");
    group.throughput(Throughput::Elements(BATCH as u64));
    single_keys(&mut group, &keyspace, &mut names);
    several_keys(&mut group, &keyspace, &mut names);
    pages(&mut group, &keyspace, &mut names);
    group.finish();
    criterion.final_summary();
}

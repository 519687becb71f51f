//! Collections: what one edit and one read of the packed tree cost, against size.
#![allow(unsafe_code, reason = "one thread owns the tree and frees old nodes when nobody reads them")]

use criterion::{BenchmarkId, Criterion};
use kvns::value::tree::{Delta, Edit, Garbage, Hash, Layout, List, Op, Root, Tree};
use std::collections::VecDeque;
use std::hint::black_box;

const SIZES: [u32; 3] = [1_000, 100_000, 1_000_000];

/// Edits whose replaced nodes wait before they are freed, as they would for a grace period.
const GRACE: usize = 64;

/// A tree with one owner.
struct Owned<L: Layout> {
    root: Root,
    layout: std::marker::PhantomData<L>,
    waiting: VecDeque<Garbage>,
}

impl<L: Layout> Owned<L> {
    fn new() -> Owned<L> {
        Owned { root: Root::EMPTY, layout: std::marker::PhantomData, waiting: VecDeque::new() }
    }

    fn tree(&self) -> Tree<'_, L> {
        // SAFETY: nodes are freed by `edit` and `drop` only, which borrow exclusively.
        unsafe { self.root.tree() }
    }

    fn edit(&mut self, edit: impl FnOnce(&mut Delta<'_, L>)) {
        let mut delta = Delta::new(self.tree(), 0);
        edit(&mut delta);
        let sealed = delta.seal();
        self.root = sealed.root();
        self.waiting.push_back(sealed.commit());
        if self.waiting.len() > GRACE
            && let Some(garbage) = self.waiting.pop_front()
        {
            // SAFETY: the present root does not reach these nodes, and no older one is read.
            unsafe { garbage.free_all() };
        }
    }
}

impl<L: Layout> Drop for Owned<L> {
    fn drop(&mut self) {
        let rest = self.waiting.drain(..).chain([self.root.retire_all()]);
        // SAFETY: nobody reads the tree any more.
        rest.for_each(|garbage| unsafe { garbage.free_all() });
    }
}

/// Numbers in a fixed random order.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % u64::from(bound)) as u32
    }
}

fn lists(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("list of 32 bytes");
    let item: &[u8] = &[b'x'; 32];
    for size in SIZES {
        let mut list = Owned::<List>::new();
        list.edit(|delta| delta.push_back(&vec![item; size as usize]));
        let mut numbers = Numbers(1);
        group.bench_function(BenchmarkId::new("push and pop", size), |bencher| {
            bencher.iter(|| {
                list.edit(|delta| delta.push_front(&[item]));
                list.edit(|delta| delta.remove(0..1));
            });
        });
        group.bench_function(BenchmarkId::new("set", size), |bencher| {
            bencher.iter(|| list.edit(|delta| delta.set(u64::from(numbers.below(size)), item)));
        });
        group.bench_function(BenchmarkId::new("index", size), |bencher| {
            bencher.iter(|| black_box(list.tree().nth(u64::from(numbers.below(size)))));
        });
    }
    group.finish();
}

fn hashes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hash of 8+32 bytes");
    for size in SIZES {
        let fields: Vec<[u8; 8]> = (0..u64::from(size)).map(u64::to_be_bytes).collect();
        let edits: Vec<Edit<'_>> = fields.iter().map(|key| Edit { key, op: Op::Put(&[b'x'; 32]) }).collect();
        let mut hash = Owned::<Hash>::new();
        hash.edit(|delta| delta.apply(&edits));
        let mut numbers = Numbers(1);
        let mut turn = 0_u64;
        group.bench_function(BenchmarkId::new("put", size), |bencher| {
            bencher.iter(|| {
                turn += 1;
                let value = [turn.to_be_bytes(); 4].concat();
                hash.edit(|delta| {
                    delta.insert(&fields[numbers.below(size) as usize], &value);
                });
            });
        });
        group.bench_function(BenchmarkId::new("get", size), |bencher| {
            bencher.iter(|| black_box(hash.tree().get(&fields[numbers.below(size) as usize])));
        });
        group.bench_function(BenchmarkId::new("put and remove 100", size), |bencher| {
            let fields: Vec<[u8; 9]> = (0..100).map(|i| [i; 9]).collect();
            let put: Vec<Edit<'_>> = fields.iter().map(|key| Edit { key, op: Op::Put(b"x") }).collect();
            let remove: Vec<Edit<'_>> = fields.iter().map(|key| Edit { key, op: Op::Remove }).collect();
            bencher.iter(|| {
                hash.edit(|delta| delta.apply(&put));
                hash.edit(|delta| delta.apply(&remove));
            });
        });
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    lists(&mut criterion);
    hashes(&mut criterion);
    criterion.final_summary();
}

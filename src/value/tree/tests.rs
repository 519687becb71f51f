//! The tree against plain vectors and maps, with all versions alive until the end.
#![allow(unsafe_code, reason = "the tests play the epoch: they free nodes when no version is read any more")]

use super::item::length_size;
use super::node::LIVE;
use super::*;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Keys of few ranks, ordered in small trees too: the shape of a sorted set's scores.
#[derive(Clone, Copy, Debug)]
struct Tied;

impl Layout for Tied {
    const VALUES: bool = true;
    const KEYED: bool = true;
    fn fence<'n>(left: &'n [u8], right: &'n [u8]) -> (u64, &'n [u8]) {
        keyed_fence::<Tied>(left, right)
    }
}

impl Keyed for Tied {
    const INSERTION_ORDER: bool = false;
    fn rank(key: &[u8]) -> u64 {
        key.first().map_or(0, |byte| u64::from(byte & 3))
    }
}

/// The published versions of one tree. Nothing is freed before the end.
struct Versions<L: Layout, M> {
    root: Root,
    layout: std::marker::PhantomData<L>,
    birth: u32,
    garbage: Garbage,
    kept: Vec<(Root, M)>,
}

impl<L: Layout, M> Versions<L, M> {
    fn new() -> Versions<L, M> {
        let layout = std::marker::PhantomData;
        Versions { root: Root::EMPTY, layout, birth: 0, garbage: Garbage::default(), kept: Vec::new() }
    }

    fn tree(&self) -> Tree<'_, L> {
        // SAFETY: nodes are freed by `end` only.
        unsafe { self.root.tree() }
    }

    fn edit(&mut self, edit: impl FnOnce(&mut Delta<'_, L>)) {
        // SAFETY: nodes are freed by `end` only.
        let mut delta = Delta::new(unsafe { self.root.tree() }, self.birth);
        edit(&mut delta);
        let sealed = delta.seal();
        self.root = sealed.root();
        self.garbage.append(sealed.commit());
    }

    /// Runs an edit that loses its race.
    fn lose(&self, edit: impl FnOnce(&mut Delta<'_, L>)) {
        let mut delta = Delta::new(self.tree(), self.birth);
        edit(&mut delta);
    }

    fn end(mut self, verify: impl Fn(Tree<'_, L>, &M)) {
        for (root, model) in &self.kept {
            // SAFETY: nothing was freed so far.
            verify(unsafe { root.tree() }, model);
        }
        self.garbage.append(self.root.retire_all());
        let mut kept = Garbage::default();
        let below = self.birth / 2;
        // SAFETY: no version is read any more.
        unsafe {
            while !self.garbage.free_some(100, below, &mut kept) {}
            kept.free_all();
        }
        assert_eq!(LIVE.with(std::cell::Cell::get), 0, "every node is freed once");
    }
}

/// An editor reads the epoch before it finds the base, which may have been born later.
#[test]
fn nodes_are_not_born_before_the_base_that_they_stand_on() {
    let mut versions = Versions::<List, ()>::new();
    versions.birth = 7;
    versions.edit(|delta| (0..50).for_each(|number: u8| delta.push_back(&[&[number; 300]])));
    versions.birth = 5;
    versions.edit(|delta| delta.push_back(&[&[50; 300]]));
    versions.tree().check().unwrap();
    // What the later epoch's snapshot does not need is not kept for it.
    versions.edit(|delta| delta.remove(0..51));
    let mut kept = versions.garbage.take_born_before(7);
    assert!(kept.is_empty(), "{} bytes", kept.footprint());
    versions.garbage.append(std::mem::take(&mut kept));
    versions.end(|_, ()| {});
}

fn random_bytes(rng: &mut SmallRng, len: usize) -> Vec<u8> {
    (0..len).map(|_| rng.random()).collect()
}

fn random_item(rng: &mut SmallRng) -> Vec<u8> {
    let len = match rng.random_range(0..1000) {
        0..5 => rng.random_range(1000..5000),
        5..50 => rng.random_range(100..700),
        50..400 => rng.random_range(0..6),
        _ => rng.random_range(6..40),
    };
    random_bytes(rng, len)
}

fn verify_list(tree: Tree<'_, List>, model: &[Vec<u8>]) {
    tree.check().unwrap();
    assert_eq!(tree.len(), model.len() as u64);
    assert!(tree.iter().map(|item| item.key).eq(model.iter().map(Vec::as_slice)));
    let backward = tree.iter_back_from(u64::MAX).map(|item| item.key);
    assert!(backward.eq(model.iter().rev().map(Vec::as_slice)));
    let middle = model.len() / 2;
    assert!(tree.iter_from(middle as u64).map(|i| i.key).eq(model[middle..].iter().map(Vec::as_slice)));
    if let Some(item) = model.get(middle) {
        assert_eq!(tree.nth(middle as u64).unwrap().key, item);
        let backward = tree.iter_back_from(middle as u64).map(|item| item.key);
        assert!(backward.eq(model[..=middle].iter().rev().map(Vec::as_slice)));
    }
    assert_eq!(tree.nth(model.len() as u64), None);
}

/// One random edit of a list, on the tree and on the model.
fn edit_list(rng: &mut SmallRng, delta: &mut Delta<'_, List>, model: &mut Vec<Vec<u8>>, grows: bool) {
    let len = model.len();
    let few: Vec<Vec<u8>> = (0..rng.random_range(1..4)).map(|_| random_item(rng)).collect();
    let items: Vec<&[u8]> = few.iter().map(Vec::as_slice).collect();
    let choice = if grows { rng.random_range(0..10) } else { rng.random_range(4..16) };
    match choice {
        0 | 1 => {
            delta.push_back(&items);
            model.extend(few.clone());
        }
        2 | 3 => {
            delta.push_front(&items);
            model.splice(0..0, few.clone());
        }
        4 | 5 => {
            let at = rng.random_range(0..=len);
            delta.insert(at as u64, &items);
            model.splice(at..at, few.clone());
        }
        6 | 7 if len > 0 => {
            let at = rng.random_range(0..len);
            delta.set(at as u64, items[0]);
            model[at] = few[0].clone();
        }
        8 => splice_list(rng, delta, model),
        9 | 10 if len > 0 => {
            let at = rng.random_range(0..len);
            delta.remove(at as u64..at as u64 + 1);
            model.remove(at);
        }
        11 if len > 0 => {
            delta.remove(0..1);
            model.remove(0);
        }
        12 if len > 0 => {
            delta.remove(len as u64 - 1..len as u64);
            model.pop();
        }
        13 => {
            let start = rng.random_range(0..=len);
            let end = rng.random_range(start..=len.min(start + len / 10 + 10));
            delta.remove(start as u64..end as u64);
            model.drain(start..end);
        }
        14 if rng.random_ratio(1, 20) => {
            let start = rng.random_range(0..=len / 3);
            let end = rng.random_range(start..=len);
            delta.keep(start as u64..end as u64);
            *model = model[start..end].to_vec();
        }
        _ => {}
    }
}

fn splice_list(rng: &mut SmallRng, delta: &mut Delta<'_, List>, model: &mut Vec<Vec<u8>>) {
    let mut ranges = Vec::new();
    let mut at = 0;
    while ranges.len() < 20 {
        let start = at + rng.random_range(0..model.len() / 4 + 2);
        let end = start + if rng.random() { rng.random_range(0..model.len() / 20 + 3) } else { 0 };
        if end > model.len() {
            break;
        }
        let items: Vec<Vec<u8>> = (0..rng.random_range(0..3)).map(|_| random_item(rng)).collect();
        ranges.push((start, end, items));
        at = end.max(start + 1);
    }
    let slices: Vec<Vec<&[u8]>> =
        ranges.iter().map(|(_, _, items)| items.iter().map(Vec::as_slice).collect()).collect();
    let splices: Vec<Splice<'_>> = ranges
        .iter()
        .zip(&slices)
        .map(|((start, end, _), items)| Splice { range: *start as u64..*end as u64, items })
        .collect();
    delta.splice(&splices);
    for (start, end, items) in ranges.into_iter().rev() {
        model.splice(start..end, items);
    }
}

fn lists_against_vectors(seed: u64, edits: u32, largest: usize) {
    let rng = &mut SmallRng::seed_from_u64(seed);
    let mut versions = Versions::<List, Vec<Vec<u8>>>::new();
    let mut model = Vec::new();
    let mut grows = true;
    for turn in 0..edits {
        versions.birth = turn / 100;
        grows = if grows { model.len() < largest } else { model.len() < largest / 50 };
        let several = if rng.random_ratio(1, 8) { rng.random_range(2..12) } else { 1 };
        if rng.random_ratio(1, 20) {
            let mut forgotten = model.clone();
            versions.lose(|delta| (0..several).for_each(|_| edit_list(rng, delta, &mut forgotten, grows)));
        }
        versions.edit(|delta| (0..several).for_each(|_| edit_list(rng, delta, &mut model, grows)));
        assert_eq!(versions.tree().len(), model.len() as u64);
        if turn.is_multiple_of(edits / 50) {
            verify_list(versions.tree(), &model);
            versions.kept.push((versions.root, model.clone()));
        }
    }
    verify_list(versions.tree(), &model);
    versions.end(|tree, model| verify_list(tree, model));
}

#[test]
fn random_edits_of_lists_agree_with_vectors() {
    lists_against_vectors(1, 20_000, 300);
    lists_against_vectors(2, 20_000, 3_000);
    lists_against_vectors(3, 20_000, 12_000);
}

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

fn verify_keyed<L: Keyed>(tree: Tree<'_, L>, model: &Map) {
    tree.check().unwrap();
    assert_eq!(tree.len(), model.len() as u64);
    for (key, value) in model {
        let item = tree.get(key).expect("the key is there");
        assert_eq!((item.key, item.value), (key.as_slice(), value.as_slice()));
    }
    let listed: BTreeSet<&[u8]> = tree.iter().map(|item| item.key).collect();
    assert_eq!(listed.len(), model.len());
    let mut cursor = 0;
    let mut scanned = 0;
    loop {
        cursor = tree.scan(cursor, 10, |_| scanned += 1);
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(scanned, model.len());
}

fn random_key(rng: &mut SmallRng, keys: u32) -> Vec<u8> {
    let number = rng.random_range(0..keys);
    let mut key = number.to_le_bytes()[..3].to_vec();
    // The key's length depends on its number, so that a number is one key.
    let more = match number % 997 {
        0 => 2000,
        1..50 => 300,
        rest => rest as usize % 20,
    };
    key.resize(3 + more, b'k');
    key
}

fn edit_keyed<L: Keyed>(
    rng: &mut SmallRng,
    delta: &mut Delta<'_, L>,
    model: &mut Map,
    keys: u32,
    grows: bool,
) {
    let count = if rng.random_ratio(1, 10) { rng.random_range(1..60) } else { 1 };
    let batch: Vec<(Vec<u8>, Option<Vec<u8>>)> = (0..count)
        .map(|_| {
            let value = if L::VALUES { random_item(rng) } else { Vec::new() };
            let is_put = rng.random_ratio(if grows { 4 } else { 1 }, 5);
            let key = match model.keys().next() {
                Some(first) if !is_put && rng.random_ratio(1, 10) => first.clone(),
                _ => random_key(rng, keys),
            };
            (key, is_put.then_some(value))
        })
        .collect();
    let edits: Vec<Edit<'_>> = batch
        .iter()
        .map(|(key, value)| Edit { key, op: value.as_deref().map_or(Op::Remove, Op::Put) })
        .collect();
    delta.apply(&edits);
    for (key, value) in batch {
        match value {
            Some(value) => model.insert(key, value),
            None => model.remove(&key),
        };
    }
}

fn keyed_against_maps<L: Keyed>(seed: u64, edits: u32, keys: u32) {
    let rng = &mut SmallRng::seed_from_u64(seed);
    let mut versions = Versions::<L, Map>::new();
    let mut model = Map::new();
    for turn in 0..edits {
        versions.birth = turn / 100;
        let grows = (turn / (edits / 4)).is_multiple_of(2);
        let several = if rng.random_ratio(1, 8) { rng.random_range(2..12) } else { 1 };
        if rng.random_ratio(1, 50) {
            let mut forgotten = model.clone();
            versions.lose(|delta| edit_keyed(rng, delta, &mut forgotten, keys, grows));
        }
        versions.edit(|delta| (0..several).for_each(|_| edit_keyed(rng, delta, &mut model, keys, grows)));
        assert_eq!(versions.tree().len(), model.len() as u64);
        if turn.is_multiple_of(edits / 40) {
            verify_keyed(versions.tree(), &model);
            versions.kept.push((versions.root, model.clone()));
        }
    }
    verify_keyed(versions.tree(), &model);
    versions.end(verify_keyed);
}

#[test]
fn random_edits_of_sets_agree_with_maps() {
    keyed_against_maps::<Set>(10, 20_000, 200);
    keyed_against_maps::<Set>(11, 20_000, 20_000);
}

#[test]
fn random_edits_of_hashes_agree_with_maps() {
    keyed_against_maps::<Hash>(20, 20_000, 50);
    keyed_against_maps::<Hash>(21, 20_000, 20_000);
}

#[test]
fn random_edits_with_tied_ranks_agree_with_maps() {
    keyed_against_maps::<Tied>(30, 10_000, 100);
    keyed_against_maps::<Tied>(31, 20_000, 10_000);
}

#[test]
fn small_hashes_keep_the_order_of_insertion() {
    let mut versions = Versions::<Hash, ()>::new();
    let fields: Vec<String> = (0..20).map(|i| format!("field {i}")).collect();
    for field in &fields {
        versions.edit(|delta| assert!(delta.insert(field.as_bytes(), b"1")));
    }
    versions.edit(|delta| assert!(!delta.insert(b"field 3", b"a longer value")));
    versions.edit(|delta| assert!(delta.remove(b"field 5")));
    versions.edit(|delta| assert!(!delta.remove(b"nothing")));
    let expected = fields.iter().map(String::as_bytes).filter(|field| *field != b"field 5");
    assert!(versions.tree().iter().map(|item| item.key).eq(expected.clone()));
    let many: Vec<Edit<'_>> = (0..9).map(|_| Edit { key: b"new", op: Op::Put(b"x") }).collect();
    versions.edit(|delta| delta.apply(&many));
    assert!(versions.tree().iter().map(|item| item.key).eq(expected.clone().chain([b"new".as_slice()])));
    let later: Vec<String> = (0..20).map(|i| format!("later {i}")).collect();
    let many: Vec<Edit<'_>> =
        later.iter().map(|key| Edit { key: key.as_bytes(), op: Op::Put(b"x") }).collect();
    versions.edit(|delta| delta.apply(&many));
    let expected = expected.chain([b"new".as_slice()]).chain(later.iter().map(String::as_bytes));
    assert!(versions.tree().iter().map(|item| item.key).eq(expected));
    versions.end(|_, ()| {});
}

#[test]
fn a_field_that_is_removed_and_put_again_in_one_patch_comes_last() {
    let mut versions = Versions::<Hash, ()>::new();
    let fields: Vec<Edit<'_>> = [b"a", b"b", b"c"].map(|key| Edit { key, op: Op::Put(b"1") }).into();
    versions.edit(|delta| delta.apply(&fields));
    versions.edit(|delta| {
        let mut patch = Patch::new(std::mem::replace(delta, Delta::new(Tree::EMPTY, 0)), true);
        patch.apply(&[Edit { key: b"a", op: Op::Remove }]);
        patch.apply(&[Edit { key: b"a", op: Op::Put(b"2") }]);
        *delta = patch.into();
    });
    assert!(versions.tree().iter().map(|item| item.key).eq([b"b", b"c", b"a"]));
    versions.end(|_, ()| {});
}

#[test]
fn edits_that_change_nothing_keep_the_root() {
    let mut versions = Versions::<Hash, ()>::new();
    let keys: Vec<Vec<u8>> = (0..1000_u32).map(|i| i.to_le_bytes().to_vec()).collect();
    let edits: Vec<Edit<'_>> = keys.iter().map(|key| Edit { key, op: Op::Put(b"value") }).collect();
    for count in [10, 1000] {
        versions.edit(|delta| delta.apply(&edits[..count]));
        let mut delta = Delta::new(versions.tree(), 0);
        delta.apply(&edits[..count]);
        delta.insert(&keys[5], b"value");
        delta.remove(b"nothing");
        delta.apply(&[]);
        assert!(!delta.is_changed());
        let sealed = delta.seal();
        assert!(!sealed.is_changed() && sealed.root() == versions.root);
    }
    versions.end(|_, ()| {});
}

/// Keys whose ranks differ where no cursor tells them apart: all with the same first three bits share a prefix.
#[derive(Clone, Copy, Debug)]
struct Prefixed;

impl Layout for Prefixed {
    const VALUES: bool = false;
    const KEYED: bool = true;
    fn fence<'n>(left: &'n [u8], right: &'n [u8]) -> (u64, &'n [u8]) {
        keyed_fence::<Prefixed>(left, right)
    }
}

impl Keyed for Prefixed {
    const INSERTION_ORDER: bool = true;
    fn rank(key: &[u8]) -> u64 {
        let hash = key_hash(key);
        hash >> 60 << 16 | hash & 0xff
    }
}

/// A walk in steps of 7, between which a tree changes so much that it becomes one leaf at times.
fn scan_beside_changes<L: Keyed>(rng: &mut SmallRng, stable: u32) {
    let mut versions = Versions::<L, ()>::new();
    let stable: Vec<Vec<u8>> = (0..stable).map(|i| i.to_be_bytes().to_vec()).collect();
    let mut noise: Vec<Vec<u8>> = Vec::new();
    let edits: Vec<Edit<'_>> = stable.iter().map(|key| Edit { key, op: Op::Put(b"") }).collect();
    versions.edit(|delta| delta.apply(&edits));
    let mut seen = BTreeSet::new();
    let (mut cursor, mut steps) = (0, 0);
    loop {
        cursor = versions.tree().scan(cursor, 7, |item| {
            seen.insert(item.key.to_vec());
        });
        steps += 1;
        assert!(cursor < 1 << 48 && steps < 10_000, "step {steps}: {cursor}");
        if cursor == 0 {
            break;
        }
        let most = if rng.random_range(0..10) == 0 { 500 } else { 30 };
        let grows = rng.random();
        for _ in 0..rng.random_range(0..most) {
            if grows {
                noise.push(random_bytes(rng, 12));
                versions.edit(|delta| assert!(delta.insert(&noise[noise.len() - 1], b"")));
            } else if let Some(key) = noise.pop() {
                versions.edit(|delta| assert!(delta.remove(&key)));
            }
        }
    }
    assert!(stable.iter().all(|key| seen.contains(key)));
    versions.end(|_, ()| {});
}

#[test]
fn scans_return_what_is_there_throughout() {
    let rng = &mut SmallRng::seed_from_u64(40);
    for round in 0..20 {
        scan_beside_changes::<Set>(rng, round * 70);
        scan_beside_changes::<Prefixed>(rng, round * 70);
    }
}

/// No step is longer than what it was asked for and the items of one prefix.
#[test]
fn a_step_of_a_scan_ends_with_the_prefix_that_it_began() {
    let mut versions = Versions::<Prefixed, ()>::new();
    let keys: Vec<Vec<u8>> = (0..4_000_u32).map(|i| i.to_be_bytes().to_vec()).collect();
    let edits: Vec<Edit<'_>> = keys.iter().map(|key| Edit { key, op: Op::Put(b"") }).collect();
    versions.edit(|delta| delta.apply(&edits));
    let (mut cursor, mut steps, mut visited) = (0, 0, 0);
    loop {
        let mut prefixes = BTreeSet::new();
        cursor = versions.tree().scan(cursor, 1, |item| {
            prefixes.insert(Prefixed::rank(item.key) >> 16);
            visited += 1;
        });
        assert_eq!(prefixes.len(), 1);
        steps += 1;
        if cursor == 0 {
            break;
        }
    }
    assert_eq!((steps, visited), (8, keys.len()));
    for cursor in [1 << 48, u64::MAX] {
        assert_eq!(versions.tree().scan(cursor, 10, |_| panic!("no cursor is so large")), 0);
    }
    versions.end(|_, ()| {});
}

#[test]
fn one_delta_copies_a_path_once_for_many_keys() {
    let keys: Vec<Vec<u8>> = (0..50_000_u32).map(|i| i.to_be_bytes().to_vec()).collect();
    let edits: Vec<Edit<'_>> = keys.iter().map(|key| Edit { key, op: Op::Put(b"value") }).collect();
    let mut versions = Versions::<Hash, ()>::new();
    versions.edit(|delta| delta.apply(&edits));
    let nodes = LIVE.with(std::cell::Cell::get);
    assert_eq!(versions.garbage.len(), 0, "a build replaces nothing");
    let changes: Vec<Edit<'_>> = keys.iter().map(|key| Edit { key, op: Op::Put(b"other") }).collect();
    versions.edit(|delta| delta.apply(&changes));
    assert_eq!(versions.garbage.len() as i64, nodes, "each node is replaced once");
    versions.end(|_, ()| {});
}

#[test]
fn an_edit_within_a_delta_frees_what_it_supersedes() {
    let mut versions = Versions::<List, ()>::new();
    let item: &[u8] = &[b'x'; 32];
    versions.edit(|delta| delta.push_back(&vec![item; 10_000]));
    let nodes = LIVE.with(std::cell::Cell::get);
    versions.edit(|delta| {
        for _ in 0..1000 {
            delta.push_back(&[item]);
            delta.set(5000, b"y");
        }
        assert!(LIVE.with(std::cell::Cell::get) < nodes + 100);
    });
    versions.tree().check().unwrap();
    versions.end(|_, ()| {});
}

#[test]
fn ranges_are_dropped_without_visiting_them() {
    let mut versions = Versions::<List, ()>::new();
    let item: &[u8] = &[b'x'; 32];
    versions.edit(|delta| delta.push_back(&vec![item; 100_000]));
    versions.edit(|delta| delta.keep(50_000..50_010));
    assert!(versions.garbage.len() < 3 * FAN, "{}", versions.garbage.len());
    assert!(versions.tree().is_small() && versions.tree().len() == 10);
    versions.end(|_, ()| {});
}

#[test]
fn pushes_leave_full_leaves_and_large_items_stay_where_they_are() {
    let mut versions = Versions::<List, ()>::new();
    let item: &[u8] = &[b'x'; 32];
    for _ in 0..5_000 {
        versions.edit(|delta| delta.push_front(&[item]));
        versions.edit(|delta| delta.push_back(&[item]));
    }
    assert!(versions.tree().footprint() < 36 * 10_000, "{}", versions.tree().footprint());
    let large = vec![b'l'; 1 << 20];
    versions.edit(|delta| delta.push_back(&[&large]));
    let address = versions.tree().nth(10_000).unwrap().key.as_ptr();
    for _ in 0..50 {
        versions.edit(|delta| delta.push_back(&[item]));
        versions.edit(|delta| delta.insert(10_000, &[item]));
        versions.edit(|delta| delta.remove(9_000..9_001));
    }
    assert_eq!(versions.tree().nth(10_000).unwrap().key.as_ptr(), address);
    versions.tree().check().unwrap();
    versions.end(|_, ()| {});
}

#[test]
fn shrinking_merges_nodes() {
    let rng = &mut SmallRng::seed_from_u64(50);
    let mut versions = Versions::<Hash, ()>::new();
    let mut keys: Vec<Vec<u8>> = (0..20_000).map(|_| random_bytes(rng, 10)).collect();
    for key in &keys {
        versions.edit(|delta| assert!(delta.insert(key, &[b'v'; 22])));
    }
    let full = versions.tree().footprint();
    assert!(full < 20_000 * 45, "{full}");
    keys.sort_unstable();
    for key in keys.iter().skip(1_000) {
        versions.edit(|delta| assert!(delta.remove(key)));
    }
    let rest = versions.tree().footprint();
    assert!(rest < 1_000 * 80, "{rest}");
    versions.tree().check().unwrap();
    let some = keys[..1_000].choose(rng).unwrap();
    assert!(versions.tree().contains(some));
    for key in &keys[..1_000] {
        versions.edit(|delta| assert!(delta.remove(key)));
    }
    assert!(versions.tree().is_empty() && versions.root == Root::EMPTY);
    versions.end(|_, ()| {});
}

#[test]
fn bytes_for_each_element() {
    let rng = &mut SmallRng::seed_from_u64(60);
    let count = 100_000_u64;
    let per = |footprint: u64, count: u64| footprint as f64 / count as f64;
    let mut list = Versions::<List, ()>::new();
    list.edit(|delta| (0..count).for_each(|_| delta.push_back(&[&[b'x'; 32]])));
    let mut hash = Versions::<Hash, ()>::new();
    let mut set = Versions::<Set, ()>::new();
    for _ in 0..count {
        let key = random_bytes(rng, 16);
        hash.edit(|delta| assert!(delta.insert(&key[..8], &[b'v'; 32])));
        set.edit(|delta| assert!(delta.insert(&key, b"")));
        // SAFETY: nobody reads an older version.
        unsafe {
            std::mem::take(&mut hash.garbage).free_all();
            std::mem::take(&mut set.garbage).free_all();
        }
    }
    let mut small = Versions::<Hash, ()>::new();
    for _ in 0..100 {
        small.edit(|delta| assert!(delta.insert(&random_bytes(rng, 8), &[b'v'; 32])));
    }
    let figures = [
        ("list of 32 B", per(list.tree().footprint(), count), 42.0),
        ("hash of 8+32 B", per(hash.tree().footprint(), count), 75.0),
        ("set of 16 B", per(set.tree().footprint(), count), 40.0),
        ("hash of 100 fields of 8+32 B", per(small.tree().footprint(), 100), 55.0),
    ];
    for (shape, bytes, bar) in figures {
        println!("{shape}: {bytes:.1} bytes for each element (at most {bar})");
        assert!(bytes <= bar, "{shape}: {bytes}");
    }
    let garbage = [list.garbage, hash.garbage, set.garbage, small.garbage];
    let roots =
        [list.root.retire_all(), hash.root.retire_all(), set.root.retire_all(), small.root.retire_all()];
    // SAFETY: nobody reads any version.
    garbage.into_iter().chain(roots).for_each(|garbage| unsafe { garbage.free_all() });
    assert_eq!(LIVE.with(std::cell::Cell::get), 0);
}

#[test]
fn lengths_are_encoded_in_base_128() {
    for len in [0, 1, 127, 128, 16_383, 16_384, 1 << 21, (1 << 28) - 1, 1 << 28, u32::MAX as usize] {
        let (bytes, size) = super::item::encode_length(len);
        assert_eq!(size, length_size(len), "{len}");
        let item = [&bytes[..size], &[0; 3]].concat();
        assert!(item[..size - 1].iter().all(|byte| byte & 0x80 != 0) && item[size - 1] < 0x80);
    }
}

#[test]
fn gathered_pushes_and_pops_come_to_what_they_say() {
    let rng = &mut SmallRng::seed_from_u64(61);
    let mut versions = Versions::<List, ()>::new();
    let mut model: VecDeque<Vec<u8>> = VecDeque::new();
    for round in 0..3_000 {
        let grows = round % 1_000 < 600;
        versions.edit(|delta| {
            let mut ends = Ends::from(std::mem::replace(delta, Delta::new(Tree::EMPTY, 0)));
            for _ in 0..rng.random_range(0..40) {
                let item = random_bytes(rng, 12);
                match rng.random_range(0..if grows { 10 } else { 30 }) {
                    0..4 => {
                        ends.push_front(&item);
                        model.push_front(item);
                    }
                    4..8 => {
                        ends.push_back(&item);
                        model.push_back(item);
                    }
                    odd if odd % 2 == 1 => assert_eq!(ends.pop_front(), model.pop_front().as_deref()),
                    _ => assert_eq!(ends.pop_back(), model.pop_back().as_deref()),
                }
                assert_eq!(ends.len(), model.len() as u64);
            }
            *delta = ends.into();
        });
        assert!(versions.tree().iter().map(|item| item.key).eq(model.iter().map(Vec::as_slice)));
    }
    versions.tree().check().unwrap();
    versions.end(|_, ()| {});
}

#[test]
fn a_list_that_is_taken_whole_is_filled_again_in_order() {
    for len in [0, 3, 5_000] {
        let mut versions = Versions::<List, ()>::new();
        let items = vec![&b"item"[..]; len];
        versions.edit(|delta| delta.push_back(&items));
        versions.edit(|delta| {
            let mut ends = Ends::from(std::mem::replace(delta, Delta::new(Tree::EMPTY, 0)));
            for taken in 0..len {
                let _ = if taken % 2 == 0 { ends.pop_front() } else { ends.pop_back() };
            }
            ends.push_back(b"2");
            ends.push_front(b"1");
            ends.push_back(b"3");
            *delta = ends.into();
        });
        assert!(versions.tree().iter().map(|item| item.key).eq([b"1", b"2", b"3"]), "of {len}");
        versions.end(|_, ()| {});
    }
}

#[test]
fn gathered_edits_by_key_come_to_what_they_say() {
    let rng = &mut SmallRng::seed_from_u64(62);
    let mut versions = Versions::<Hash, ()>::new();
    let mut model: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    for round in 0..2_000 {
        let keys = if round % 500 < 250 { 40 } else { 5_000 };
        versions.edit(|delta| {
            let base = std::mem::replace(delta, Delta::new(Tree::EMPTY, 0));
            let mut patch = Patch::new(base, rng.random_bool(0.9));
            for _ in 0..rng.random_range(0..12) {
                let names: Vec<Vec<u8>> = (0..rng.random_range(1..24))
                    .map(|_| rng.random_range(0..keys).to_string().into_bytes())
                    .collect();
                let before = model.len() as i64;
                let edits: Vec<Edit<'_>> = names
                    .iter()
                    .map(|key| {
                        let puts = rng.random_bool(0.6);
                        if puts {
                            model.insert(key.clone(), names[0].clone());
                        } else {
                            model.remove(key);
                        }
                        Edit { key, op: if puts { Op::Put(&names[0]) } else { Op::Remove } }
                    })
                    .collect();
                assert_eq!(patch.apply(&edits), model.len() as i64 - before);
                assert_eq!(patch.len(), model.len() as u64);
                assert_eq!(patch.get(&names[0]), model.get(&names[0]).map(Vec::as_slice));
            }
            *delta = patch.into();
        });
        let mut items: Vec<_> = versions.tree().iter().map(|item| (item.key, item.value)).collect();
        items.sort_unstable();
        assert!(items.into_iter().eq(model.iter().map(|(key, value)| (&key[..], &value[..]))));
    }
    versions.tree().check().unwrap();
    versions.end(|_, ()| {});
}

/// Tiny items meet the limit of a leaf's items before that of its bytes, wherever they come.
#[test]
fn leaves_of_tiny_items_keep_to_their_number() {
    let rng = &mut SmallRng::seed_from_u64(50);
    let item: &[u8] = b"x";
    for place in 0..4 {
        let mut versions = Versions::<List, ()>::new();
        for step in 0..600_u64 {
            versions.edit(|delta| match place {
                0 => delta.push_back(&[item]),
                1 => delta.push_front(&[item]),
                2 => delta.insert(rng.random_range(0..=step), &[item]),
                _ => delta.insert(step / 2, &[item]),
            });
            versions.tree().check().unwrap();
        }
        versions.end(|_, ()| {});
    }
    for count in [127, 128, 129, 130, 256, 257, 258, 385, 1000] {
        for is_front in [false, true] {
            let mut versions = Versions::<List, ()>::new();
            for _ in 0..3 {
                let items = vec![item; count];
                versions
                    .edit(|delta| if is_front { delta.push_front(&items) } else { delta.push_back(&items) });
                versions.tree().check().unwrap();
            }
            versions.end(|_, ()| {});
        }
    }
}

fn insert_tiny_keys<L: Keyed>(rng: &mut SmallRng) {
    let mut versions = Versions::<L, ()>::new();
    for number in 0..700_u16 {
        // Those that order behind all others, and those that come anywhere.
        let key = if rng.random() { number.to_be_bytes() } else { rng.random::<u16>().to_be_bytes() };
        versions.edit(|delta| delta.apply(&[Edit { key: &key, op: Op::Put(b"") }]));
        versions.tree().check().unwrap();
    }
    versions.end(|_, ()| {});
    for count in [127_u16, 128, 129, 257, 1000] {
        let keys: Vec<[u8; 2]> = (0..count).map(u16::to_be_bytes).collect();
        let edits: Vec<Edit<'_>> = keys.iter().map(|key| Edit { key, op: Op::Put(b"") }).collect();
        let mut versions = Versions::<L, ()>::new();
        versions.edit(|delta| delta.apply(&edits));
        versions.tree().check().unwrap();
        versions.end(|_, ()| {});
    }
}

#[test]
fn leaves_of_tiny_keys_keep_to_their_number() {
    let rng = &mut SmallRng::seed_from_u64(51);
    insert_tiny_keys::<Set>(rng);
    insert_tiny_keys::<Hash>(rng);
    insert_tiny_keys::<Tied>(rng);
}

/// Nodes that a delta built itself hang above nodes of the base and above others of its own; when it drops them
/// whole, each of those is freed once (`Versions::end` counts).
#[test]
fn what_a_delta_drops_whole_is_freed_with_all_below() {
    const LEN: u64 = 20_000;
    let item: &[u8] = &[b'x'; 32];
    let fill = |versions: &mut Versions<List, ()>| {
        versions.edit(|delta| {
            delta.clear();
            delta.push_back(&vec![item; LEN as usize]);
        });
    };
    let mut versions = Versions::<List, ()>::new();
    fill(&mut versions);
    versions.edit(|delta| {
        (0..LEN).step_by(300).for_each(|index| delta.set(index, b"other"));
        delta.remove(1..LEN - 1);
    });
    versions.tree().check().unwrap();
    fill(&mut versions);
    versions.edit(|delta| {
        (0..LEN).step_by(300).for_each(|index| delta.set(index, b"other"));
        delta.clear();
    });
    // Its own alone, and the base alone.
    versions.edit(|delta| {
        delta.push_back(&vec![item; LEN as usize]);
        delta.clear();
        delta.push_back(&vec![item; LEN as usize]);
    });
    versions.edit(|delta| delta.remove(0..LEN - 1));
    versions.lose(|delta| {
        delta.push_back(&vec![item; LEN as usize]);
        delta.remove(10..LEN);
    });
    versions.end(|_, ()| {});
}

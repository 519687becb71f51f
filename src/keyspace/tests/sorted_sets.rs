//! Sorted sets through the keyspace, against a plain model.

use super::*;
use crate::value::sorted_set::{Cut, Placed, Scored};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};

/// Orders as scores do, with a tie of the zeros.
fn code(score: f64) -> i64 {
    let bits = (score + 0.0).to_bits() as i64;
    if bits < 0 { i64::MIN - bits } else { bits }
}

/// A score's bits; small sets know no -0.0.
fn bits(score: f64) -> u64 {
    (score + 0.0).to_bits()
}

#[derive(Clone, Debug, Default)]
struct Model {
    scores: BTreeMap<Vec<u8>, f64>,
    order: BTreeSet<(i64, Vec<u8>)>,
}

impl Model {
    fn put(&mut self, member: &[u8], score: f64) -> Option<f64> {
        let before = self.scores.get(member).copied();
        if before != Some(score) {
            self.remove(member);
            self.scores.insert(member.to_vec(), score);
            self.order.insert((code(score), member.to_vec()));
        }
        before
    }

    fn remove(&mut self, member: &[u8]) -> Option<f64> {
        let before = self.scores.remove(member)?;
        self.order.remove(&(code(before), member.to_vec()));
        Some(before)
    }

    fn nth(&self, index: usize) -> Option<Vec<u8>> {
        self.order.iter().nth(index).map(|(_, member)| member.clone())
    }

    fn members(&self) -> Vec<(Vec<u8>, u64)> {
        let scored = |(_, member): &(i64, Vec<u8>)| (member.clone(), bits(self.scores[member]));
        self.order.iter().map(scored).collect()
    }
}

fn owned(scored: Scored<'_>) -> (Vec<u8>, u64) {
    (scored.member.to_vec(), bits(scored.score))
}

/// Compares everything.
fn verify(set: SortedSet<'_>, model: &[(Vec<u8>, u64)]) {
    set.check().unwrap();
    assert_eq!(set.len(), model.len() as u64);
    assert!(set.iter().map(owned).eq(model.iter().cloned()));
    assert!(set.iter_back_from_rank(u64::MAX).map(owned).eq(model.iter().rev().cloned()));
    let mut scanned = BTreeMap::new();
    let mut cursor = 0;
    loop {
        cursor = set.scan(cursor, 10, |scored| {
            scanned.insert(scored.member, bits(scored.score));
        });
        if cursor == 0 {
            break;
        }
    }
    assert!(
        scanned.into_iter().eq(model.iter().map(|(m, s)| (m.as_slice(), *s)).collect::<BTreeMap<_, _>>())
    );
}

/// Compares reads at random places.
fn probe(set: SortedSet<'_>, model: &Model, rng: &mut SmallRng) {
    let len = model.scores.len();
    assert_eq!(set.len(), len as u64);
    let score = random_score(rng);
    let member = random_member(rng, 4000);
    assert_eq!(set.score(&member), model.scores.get(&member).copied());
    let rank =
        model.scores.get(&member).map(|s| model.order.range(..(code(*s), member.clone())).count() as u64);
    assert_eq!(set.rank(&member), rank);
    let cuts = [
        (Cut::before_score(score), (code(score), Vec::new())),
        (Cut::after_score(score), (code(score) + 1, Vec::new())),
        (Cut::before(&member, score), (code(score), member.clone())),
        (Cut::after(&member, score), (code(score), [&member[..], &[0]].concat())),
    ];
    let (cut, bound) = &cuts[rng.random_range(0..4)];
    let below = model.order.range(..bound.clone()).count();
    assert_eq!(set.rank_of(*cut), below as u64);
    let ahead: Vec<_> = set.iter_from(*cut).take(40).map(|scored| scored.member.to_vec()).collect();
    assert!(ahead.iter().eq(model.order.range(bound.clone()..).take(40).map(|(_, member)| member)));
    let back: Vec<_> = set.iter_back_from(*cut).take(40).map(|scored| scored.member.to_vec()).collect();
    assert!(back.iter().eq(model.order.range(..bound.clone()).rev().take(40).map(|(_, member)| member)));
    let index = rng.random_range(0..=len);
    assert_eq!(set.nth(index as u64).map(|scored| scored.member.to_vec()), model.nth(index));
}

fn random_score(rng: &mut SmallRng) -> f64 {
    match rng.random_range(0..20) {
        0 => f64::INFINITY,
        1 => f64::NEG_INFINITY,
        2 => -0.0,
        3 => 0.0,
        4..8 => f64::from(rng.random_range(-3..4_i8)),
        8 => f64::from_bits(rng.random_range(0..0x7fef_ffff_ffff_ffff)),
        _ => rng.random_range(-1000.0..1000.0),
    }
}

fn random_member(rng: &mut SmallRng, of: u32) -> Vec<u8> {
    let number = rng.random_range(0..of);
    let len = match number % 50 {
        0 => 200,
        1..5 => 23,
        _ => 4,
    };
    let mut member = number.to_be_bytes().to_vec();
    member.resize(len, b'x');
    member
}

/// One command's random changes, on both.
fn change(edit: &mut SortedSetEdit<'_>, model: &mut Model, rng: &mut SmallRng, members: u32, grows: bool) {
    let base = edit.base();
    assert_eq!(base.len(), model.scores.len() as u64);
    match rng.random_range(0..100) {
        0..3 => {
            let count = rng.random_range(1..if grows { 20 } else { 400 });
            base.iter().take(count).for_each(|scored| {
                edit.take(scored);
                assert_eq!(model.remove(scored.member), Some(scored.score));
            });
        }
        3..6 => base.iter_back_from_rank(u64::MAX).take(3).for_each(|scored| {
            edit.take(scored);
            assert_eq!(model.remove(scored.member), Some(scored.score));
        }),
        6..8 => {
            let start = rng.random_range(0..=base.len());
            base.iter_from_rank(start).take(rng.random_range(0..60)).for_each(|scored| {
                edit.take(scored);
                assert_eq!(model.remove(scored.member), Some(scored.score));
            });
        }
        8..12 => {
            for _ in 0..rng.random_range(1..300) {
                let member = random_member(rng, members);
                let score = random_score(rng);
                assert_eq!(edit.put(&member, score), model.put(&member, score));
            }
        }
        _ => {
            for _ in 0..rng.random_range(1..4) {
                let member = random_member(rng, members);
                if rng.random_bool(if grows { 0.2 } else { 0.8 }) {
                    assert_eq!(edit.remove(&member), model.remove(&member));
                } else {
                    let score = random_score(rng);
                    assert_eq!(edit.put(&member, score), model.put(&member, score));
                }
                assert_eq!(edit.score(&member), model.scores.get(&member).copied());
            }
        }
    }
    assert_eq!(edit.len(), model.scores.len() as u64);
}

/// One quick command's random changes, on both, to an edit that may have others already.
fn gather(edit: &mut SortedSetEdit<'_>, model: &mut Model, rng: &mut SmallRng, grows: bool) {
    let pop = |popped: Option<Placed>, model: &mut Model, member: Option<Vec<u8>>| {
        let expected = member.map(|member| (member.clone(), bits(model.remove(&member).unwrap())));
        assert_eq!(popped.as_ref().map(|placed| owned(placed.scored())), expected);
    };
    let members = if grows { 4000 } else { 1000 };
    match rng.random_range(0..10) {
        0..2 => pop(edit.pop_lowest(), model, model.order.first().map(|(_, member)| member.clone())),
        2 => pop(edit.pop_highest(), model, model.order.last().map(|(_, member)| member.clone())),
        3 => {
            for _ in 0..rng.random_range(1..if grows { 3 } else { 60 }) {
                let member = random_member(rng, members);
                assert_eq!(edit.remove(&member), model.remove(&member));
            }
        }
        _ => {
            for _ in 0..rng.random_range(1..if grows { 60 } else { 3 }) {
                let (member, score) = (random_member(rng, members), random_score(rng));
                assert_eq!(edit.put(&member, score), model.put(&member, score));
                assert_eq!(edit.score(&member), Some(score));
            }
        }
    }
    assert_eq!(edit.len(), model.scores.len() as u64);
}

/// Keys under their models.
type Models = BTreeMap<&'static [u8], Model>;

const KEYS: [&[u8]; 3] = [b"a", b"b", b"c"];

/// One command, on both.
fn command(view: &mut View<'_>, models: &mut Models, rng: &mut SmallRng, grows: bool) -> Result<()> {
    let key = KEYS[rng.random_range(0..KEYS.len())];
    let other = KEYS[rng.random_range(0..KEYS.len())];
    match rng.random_range(0..1000) {
        0..5 => {
            remove(view, key)?;
            models.remove(key);
        }
        5..15 if key != other => {
            rename(view, key, other)?;
            if let Some(model) = models.remove(key).filter(|model| !model.scores.is_empty()) {
                models.insert(other, model);
            }
        }
        15..20 if key != other => {
            let entry = view.peek(Key::new(key))?;
            if let Some(entry) = entry {
                view.transact(|view| view.put(Key::new(other), Draft::copy_of(&entry, view.birth())))?;
                models.insert(other, models[key].clone());
            }
        }
        20..40 => view.update(Key::new(key), |entry| {
            let kept = entry.map(|entry| Change::Put(Draft::value_of(&entry, None)));
            Ok::<_, KeyspaceError>((kept.unwrap_or(Change::Keep), ()))
        })?,
        40..43 => {
            let model = models.entry(key).or_default();
            let mut fresh = Model::default();
            for _ in 0..rng.random_range(0..2000) {
                fresh.put(&random_member(rng, 4000), random_score(rng));
            }
            let members: Vec<Placed> =
                fresh.scores.iter().map(|(member, score)| Placed::new(member, *score)).collect();
            *model = fresh;
            view.transact(|view| view.store_sorted_set(Key::new(key), members.clone()))?;
        }
        43..500 => {
            let model = models.entry(key).or_default();
            view.gather_sorted_set(Key::new(key), |edit| {
                gather(edit, model, rng, grows);
                Ok::<_, KeyspaceError>(())
            })?;
        }
        _ => {
            let model = models.entry(key).or_default();
            view.edit_sorted_set(Key::new(key), |edit| {
                let members = if grows { 4000 } else { 1000 };
                change(edit, model, rng, members, grows);
                Ok::<_, KeyspaceError>(())
            })?;
        }
    }
    Ok(())
}

/// Random commands, alone and in transactions that commit or not, with the versions in between alive.
fn random_commands(seed: u64, commands: usize) {
    let (keyspace, _) = keyspace();
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut models = Models::new();
    let mut batch = keyspace.enter();
    let mut done = 0;
    while done < commands {
        let mut kept = Vec::new();
        {
            let mut view = batch.view();
            for _ in 0..100 {
                let grows = (done * 4 / commands).is_multiple_of(2);
                let count = if rng.random_bool(0.1) { rng.random_range(2..20) } else { 1 };
                done += count;
                if count == 1 {
                    command(&mut view, &mut models, &mut rng, grows).unwrap();
                } else {
                    let aborts = rng.random_bool(0.3);
                    let mut after = models.clone();
                    let result: Result<()> = view.transact(|view| {
                        for _ in 0..count {
                            command(view, &mut after, &mut rng, grows)?;
                            if rng.random_bool(0.8) {
                                continue;
                            }
                            let key = KEYS[rng.random_range(0..KEYS.len())];
                            let empty = Model::default();
                            probe(
                                view.sorted_set(Key::new(key))?,
                                after.get(key).unwrap_or(&empty),
                                &mut rng,
                            );
                        }
                        if aborts { Err(KeyspaceError::WrongType) } else { Ok(()) }
                    });
                    assert_eq!(result.is_err(), aborts);
                    if !aborts {
                        models = after;
                    }
                }
                for key in KEYS {
                    let set = view.sorted_set(Key::new(key)).unwrap();
                    let len = models.get(key).map_or(0, |model| model.scores.len());
                    assert_eq!(set.len(), len as u64, "after {done} commands, the last {count} together");
                }
                let key = KEYS[rng.random_range(0..KEYS.len())];
                let set = view.sorted_set(Key::new(key)).unwrap();
                let empty = Model::default();
                let model = models.get(key).unwrap_or(&empty);
                probe(set, model, &mut rng);
                if rng.random_bool(0.03) {
                    kept.push((set, model.members()));
                }
            }
            kept.iter().for_each(|(set, model)| verify(*set, model));
        }
        batch.between_commands();
    }
    drop(batch);
    keyspace.check_invariants().unwrap();
    let mut batch = keyspace.enter();
    for key in KEYS {
        remove(&mut batch.view(), key).unwrap();
    }
    drop(batch);
    keyspace.check_invariants().unwrap();
    assert_eq!(keyspace.used_bytes(), 0);
}

#[test]
fn sorted_sets_are_what_a_plain_model_says() {
    for seed in 0..4 {
        random_commands(seed, 25_000);
    }
}

#[test]
fn a_large_set_keeps_the_sign_of_zero() {
    let (keyspace, _) = keyspace();
    let mut batch = keyspace.enter();
    let mut view = batch.view();
    for large in [false, true] {
        view.edit_sorted_set(Key::new(b"z"), |edit| {
            edit.remove(b"m");
            for number in 0..if large { 500 } else { 5_u32 } {
                edit.put(&number.to_be_bytes(), f64::from(number));
            }
            Ok::<_, KeyspaceError>(())
        })
        .unwrap();
        view.edit_sorted_set(Key::new(b"z"), |edit| Ok::<_, KeyspaceError>(edit.put(b"m", -0.0))).unwrap();
        let set = view.sorted_set(Key::new(b"z")).unwrap();
        assert_eq!(set.is_small(), !large);
        assert_eq!(set.score(b"m").map(f64::is_sign_negative), Some(large));
        assert_eq!(set.rank(b"m"), Some(1));
    }
}

/// Numbered members of `len` bytes.
fn numbered(number: u32, len: usize) -> Vec<u8> {
    let mut member = number.to_be_bytes().to_vec();
    member.resize(len, b'x');
    member
}

/// The index has a copy of each member; those that do not fit into its nodes are accounted beside them.
#[test]
fn long_members_of_the_order_index_are_accounted() {
    const MEMBERS: u32 = 500;
    const LONG: usize = 100;
    let bytes_with = |len: usize| {
        let (keyspace, _) = keyspace();
        let mut batch = keyspace.enter();
        let mut put = |from: u32, to: u32, len: usize| {
            batch.view().edit_sorted_set(Key::new(b"z"), |edit| {
                for number in from..to {
                    edit.put(&numbered(number, len), f64::from(number));
                }
                Ok::<_, KeyspaceError>(())
            })
        };
        put(0, MEMBERS - 100, len).unwrap();
        // Few at a time, so that the index stays and takes them in.
        (MEMBERS - 100..MEMBERS).step_by(10).for_each(|from| put(from, from + 10, len).unwrap());
        drop(batch);
        keyspace.check_invariants().unwrap();
        let bytes = keyspace.used_bytes();
        let mut batch = keyspace.enter();
        for from in (0..300).step_by(10) {
            let take = |edit: &mut SortedSetEdit<'_>| {
                for number in from..from + 10 {
                    edit.remove(&numbered(number, len));
                }
                Ok::<_, KeyspaceError>(())
            };
            batch.view().edit_sorted_set(Key::new(b"z"), take).unwrap();
        }
        drop(batch);
        keyspace.check_invariants().unwrap();
        bytes
    };
    // Once in the tree and once in the index, there behind two counts.
    let least = u64::from(MEMBERS) * (LONG - 8 + LONG + 16) as u64;
    let (short, long) = (bytes_with(8), bytes_with(LONG));
    assert!(long - short >= least, "{long} - {short} < {least}");
}

/// Segments of three members that lose one are put to the segment in front of them.
#[test]
fn segments_that_become_small_join_and_count_all_members() {
    let (keyspace, _) = keyspace();
    let mut batch = keyspace.enter();
    let mut model = Model::default();
    let members: Vec<Vec<u8>> = (0..800).map(|number| numbered(number, 8)).collect();
    let mut view = batch.view();
    view.edit_sorted_set(Key::new(b"z"), |edit| {
        for (member, number) in members.iter().zip(0_u32..) {
            edit.put(member, f64::from(number));
            model.put(member, f64::from(number));
        }
        Ok::<_, KeyspaceError>(())
    })
    .unwrap();
    // One by one, and each from another segment than the one before.
    for start in 0..7 {
        for member in members.iter().skip(start).step_by(8) {
            let remove = |edit: &mut SortedSetEdit<'_>| Ok::<_, KeyspaceError>(edit.remove(member));
            assert!(view.edit_sorted_set(Key::new(b"z"), remove).unwrap().is_some());
            model.remove(member);
            view.sorted_set(Key::new(b"z")).unwrap().check().unwrap();
        }
        verify(view.sorted_set(Key::new(b"z")).unwrap(), &model.members());
    }
}

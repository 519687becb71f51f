//! Several sorted sets at once: union, intersection and difference, answered, counted or stored. Plain sets take
//! part as sorted sets in which every score is 1.

use super::add::stored;
use super::copied::Copied;
use super::reply_members;
use crate::command::args::Args;
use crate::command::context::Context;
use crate::command::error::{CommandError, CommandResult};
use crate::keyspace::{Entry, Key, KeyspaceError, Kind, SortedSet, View};
use crate::number::{parse_double, parse_integer};
use crate::value::sorted_set::{Placed, Scored};
use crate::value::tree::{Set, Tree};
use smallvec::SmallVec;
use std::collections::{HashMap, HashSet};

/// The operation on several inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Union,
    Intersection,
    Difference,
}

/// How the scores that a member has in several inputs become one.
#[derive(Clone, Copy, Debug)]
enum Aggregate {
    Sum,
    Min,
    Max,
}

impl Aggregate {
    /// Infinity and its opposite sum up to 0.
    fn of(self, one: f64, other: f64) -> f64 {
        match self {
            Aggregate::Sum => number(one + other),
            Aggregate::Min => {
                if other < one {
                    other
                } else {
                    one
                }
            }
            Aggregate::Max => {
                if other > one {
                    other
                } else {
                    one
                }
            }
        }
    }
}

/// A score that a calculation came to; what is no number is 0.
fn number(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

/// What can be an input.
#[derive(Clone, Copy, Debug)]
enum Input<'g> {
    Sorted(SortedSet<'g>),
    Plain(Tree<'g, Set>),
    Copied(&'g Copied),
}

impl<'g> Input<'g> {
    fn of(entry: Option<Entry<'g>>) -> Result<Input<'g>, KeyspaceError> {
        match entry {
            None => Ok(Input::Sorted(SortedSet::EMPTY)),
            Some(entry) if entry.kind() == Kind::Set => Ok(Input::Plain(entry.tree()?)),
            Some(entry) => Ok(Input::Sorted(entry.sorted_set()?)),
        }
    }

    fn len(&self) -> u64 {
        match self {
            Input::Sorted(set) => set.len(),
            Input::Plain(set) => set.len(),
            Input::Copied(set) => set.len(),
        }
    }

    fn score(&self, member: &[u8]) -> Option<f64> {
        match self {
            Input::Sorted(set) => set.score(member),
            Input::Plain(set) => set.contains(member).then_some(1.0),
            Input::Copied(set) => set.score(member),
        }
    }

    fn iter(&self) -> Box<dyn Iterator<Item = Scored<'g>> + 'g> {
        match self {
            Input::Sorted(set) => Box::new(set.iter()),
            Input::Plain(set) => Box::new(set.iter().map(|item| Scored { member: item.key, score: 1.0 })),
            Input::Copied(set) => Box::new(set.iter()),
        }
    }
}

/// The result of inputs that were copied.
#[derive(Debug)]
struct Made {
    placed: Vec<Placed>,
    /// How often the inputs had changed before it could be stored.
    lost: u32,
}

/// Times that the result may be lost before it is made and stored whole.
const MOST_LOST: u32 = 2;

/// The options behind the keys.
#[derive(Debug)]
struct CombineOptions {
    /// One for each key, or none at all.
    weights: SmallVec<[f64; 4]>,
    aggregate: Aggregate,
    with_scores: bool,
}

impl CombineOptions {
    fn parse(
        mut args: Args<'_>,
        keys: usize,
        operation: Operation,
        is_stored: bool,
    ) -> Result<CombineOptions, CommandError> {
        let mut options =
            CombineOptions { weights: SmallVec::new(), aggregate: Aggregate::Sum, with_scores: false };
        let is_weighed = operation != Operation::Difference;
        while !args.is_empty() {
            if is_weighed && args.take_with("WEIGHTS", keys) {
                options.weights.clear();
                for _ in 0..keys {
                    let weight = parse_double(args.bytes()?).ok_or(CommandError::WeightNotAFloat)?;
                    options.weights.push(weight);
                }
            } else if is_weighed && args.take_with("AGGREGATE", 1) {
                options.aggregate = match () {
                    () if args.take("SUM") => Aggregate::Sum,
                    () if args.take("MIN") => Aggregate::Min,
                    () if args.take("MAX") => Aggregate::Max,
                    () => return Err(CommandError::Syntax),
                };
            } else if !is_stored && args.take("WITHSCORES") {
                options.with_scores = true;
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(options)
    }

    fn weighed<'g>(&self, inputs: &[Input<'g>]) -> Vec<(Input<'g>, f64)> {
        let weights = self.weights.iter().copied().chain(std::iter::repeat(1.0));
        inputs.iter().copied().zip(weights).collect()
    }

    /// What the operation comes to, in no order. It touches about as many members as there are in all inputs.
    fn made<'g>(&self, operation: Operation, inputs: &[Input<'g>]) -> Vec<Scored<'g>> {
        let mut weighed = self.weighed(inputs);
        if operation == Operation::Difference {
            return difference(inputs);
        }
        // From the smallest to the largest: that is also the order in which scores are summed up.
        weighed.sort_by_key(|(input, _)| input.len());
        match operation {
            Operation::Union => self.union(&weighed),
            _ => self.intersection(&weighed).collect(),
        }
    }

    /// What the operation comes to of inputs that were copied, in order.
    fn made_of(&self, operation: Operation, mut copied: Vec<Copied>, score: fn(f64) -> f64) -> Vec<Placed> {
        if operation != Operation::Union {
            copied.iter_mut().for_each(Copied::index);
        }
        let inputs: Vec<Input<'_>> = copied.iter().map(Input::Copied).collect();
        let mut made = self.made(operation, &inputs);
        made.sort_unstable_by(Scored::compare);
        made.iter().map(|made| Placed::new(made.member, score(made.score))).collect()
    }

    fn union<'g>(&self, inputs: &[(Input<'g>, f64)]) -> Vec<Scored<'g>> {
        let largest = inputs.last().map_or(0, |(input, _)| input.len() as usize);
        let mut scores: HashMap<&[u8], f64, ahash::RandomState> =
            HashMap::with_capacity_and_hasher(largest, ahash::RandomState::new());
        for (input, weight) in inputs {
            for Scored { member, score } in input.iter() {
                let score = number(score * weight);
                let sum = |sum: &mut f64| *sum = self.aggregate.of(*sum, score);
                scores.entry(member).and_modify(sum).or_insert(score);
            }
        }
        scores.into_iter().map(|(member, score)| Scored { member, score }).collect()
    }

    fn intersection<'a, 'g>(
        &'a self,
        inputs: &'a [(Input<'g>, f64)],
    ) -> impl Iterator<Item = Scored<'g>> + 'a {
        inputs.split_first().into_iter().flat_map(move |((smallest, weight), others)| {
            smallest.iter().filter_map(move |Scored { member, score }| {
                let aggregate = |sum: f64, (other, weight): &(Input<'_>, f64)| {
                    Some(self.aggregate.of(sum, other.score(member)? * weight))
                };
                let score = others.iter().try_fold(number(score * weight), aggregate)?;
                Some(Scored { member, score })
            })
        })
    }
}

/// The members of the first input that are in none of the others.
fn difference<'g>(inputs: &[Input<'g>]) -> Vec<Scored<'g>> {
    let Some((first, others)) = inputs.split_first() else { return Vec::new() };
    if total(others) > first.len() {
        let is_in = |member: &[u8], other: &Input<'_>| other.score(member).is_some();
        return first
            .iter()
            .filter(|scored| !others.iter().any(|other| is_in(scored.member, other)))
            .collect();
    }
    // To gather the members of small inputs costs less than to look for every member in each of them.
    let gathered: HashSet<&[u8], ahash::RandomState> =
        others.iter().flat_map(|input| input.iter().map(|scored| scored.member)).collect();
    first.iter().filter(|scored| !gathered.contains(scored.member)).collect()
}

/// `ZUNION numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE SUM|MIN|MAX] [WITHSCORES]`: an array of the
/// members that are in one input at least, in the order of their weighed and aggregated scores.
pub fn zunion(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    reply(cx, args, Operation::Union)
}

/// `ZINTER numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE SUM|MIN|MAX] [WITHSCORES]`: as ZUNION, of
/// the members that are in every input.
pub fn zinter(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    reply(cx, args, Operation::Intersection)
}

/// `ZDIFF numkeys key [key ...] [WITHSCORES]`: an array of the members of the first input that are in none of the
/// others.
pub fn zdiff(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    reply(cx, args, Operation::Difference)
}

/// `ZUNIONSTORE destination numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE SUM|MIN|MAX]`: as ZUNION,
/// but stores the members and answers how many they are.
pub fn zunionstore(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    store(cx, args, Operation::Union)
}

/// `ZINTERSTORE destination numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE SUM|MIN|MAX]`: as ZINTER,
/// but stores the members and answers how many they are.
pub fn zinterstore(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    store(cx, args, Operation::Intersection)
}

/// `ZDIFFSTORE destination numkeys key [key ...]`: as ZDIFF, but stores the members and answers how many they are.
pub fn zdiffstore(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    store(cx, args, Operation::Difference)
}

fn reply(cx: &mut Context<'_, '_>, mut args: Args<'_>, operation: Operation) -> CommandResult {
    let keys = input_keys(&mut args)?;
    if let Some(made) = cx.session.take_made::<Made>() {
        let options = CombineOptions::parse(args, keys.len(), operation, false)?;
        let members = made.placed.iter().map(Placed::scored);
        reply_members(cx, members, || made.placed.len() as u64, options.with_scores);
        return Ok(());
    }
    let inputs = read_at_once(cx, keys.clone())?;
    // Redis looks at the keys before it looks at the options.
    let options = CombineOptions::parse(args, keys.len(), operation, false)?;
    let (_, bytes) = extent(cx, keys)?;
    if cx.engine.is_worth_copying(total(&inputs), bytes) && !cx.session.is_executing() {
        let copied = cx.engine.run_long(|| copy(&inputs));
        return Err(cx.do_unpinned(move || Made {
            placed: options.made_of(operation, copied, |score| score),
            lost: 0,
        }));
    }
    let made = cx.engine.run_sized(total(&inputs), || {
        let mut made = options.made(operation, &inputs);
        made.sort_unstable_by(Scored::compare);
        made
    });
    reply_members(cx, made.iter().copied(), || made.len() as u64, options.with_scores);
    Ok(())
}

fn store(cx: &mut Context<'_, '_>, mut args: Args<'_>, operation: Operation) -> CommandResult {
    let destination = args.key()?;
    let keys = input_keys(&mut args)?;
    let mut lost = 0;
    if let Some(made) = cx.session.take_made::<Made>() {
        lost = made.lost + 1;
        if let Some(len) = store_made(cx, destination, made)? {
            cx.reply.integer(len as i64);
            return Ok(());
        }
    }
    let (about, bytes) = extent(cx, keys.clone())?;
    if cx.engine.is_worth_copying(about, bytes) && lost < MOST_LOST && !cx.session.is_executing() {
        cx.session.watch_inputs(cx.view, keys.clone())?;
        let Context { engine, session, view, .. } = cx;
        let copied = engine.run_long(|| {
            view.transact(|view| {
                let inputs = read(view, keys.clone())?;
                let options = CombineOptions::parse(args, keys.len(), operation, true)?;
                let is_as_watched = session.are_inputs_unchanged(view)?;
                Ok::<_, CommandError>(is_as_watched.then(|| (copy(&inputs), options)))
            })
        });
        match copied {
            Ok(Some((copied, options))) => {
                return Err(
                    cx.do_unpinned(move || Made { placed: options.made_of(operation, copied, stored), lost })
                );
            }
            other => {
                cx.session.unwatch_inputs(cx.view);
                other?;
            }
        }
    }
    let (engine, view) = (cx.engine, &mut *cx.view);
    let len = engine.run_sized(about, || {
        view.transact(|view| {
            let inputs = read(view, keys.clone())?;
            let options = CombineOptions::parse(args, keys.len(), operation, true)?;
            let made = options.made(operation, &inputs);
            let placed = made.iter().map(|made| Placed::new(made.member, stored(made.score))).collect();
            Ok::<_, CommandError>(view.store_sorted_set(destination, placed)?)
        })
    })?;
    cx.reply.integer(len as i64);
    Ok(())
}

/// Stores what was made of copies, if the inputs are still what they were then.
fn store_made(
    cx: &mut Context<'_, '_>,
    destination: Key<'_>,
    made: Made,
) -> Result<Option<u64>, CommandError> {
    let Context { engine, session, view, .. } = cx;
    let mut placed = Some(made.placed);
    let result = engine.run_long(|| {
        view.transact(|view| {
            if !session.are_inputs_unchanged(view)? {
                return Ok(None);
            }
            // If it has to run again after a conflict, the members are gone: they are not kept twice.
            let Some(members) = placed.take() else { return Ok(None) };
            Ok::<_, CommandError>(Some(view.store_sorted_set(destination, members)?))
        })
    });
    match (placed, &result) {
        (Some(placed), Err(CommandError::Wait(_))) => {
            cx.session.progress = Some(Box::new(Made { placed, lost: made.lost }));
        }
        _ => cx.session.unwatch_inputs(cx.view),
    }
    result
}

/// How many members the inputs at several keys have, and how many bytes.
fn extent<'r>(
    cx: &mut Context<'_, '_>,
    keys: impl Iterator<Item = Key<'r>>,
) -> Result<(u64, usize), CommandError> {
    let (mut members, mut bytes) = (0, 0);
    for key in keys {
        let entry = cx.view.peek(key)?;
        bytes += entry.map_or(0, |entry| entry.footprint());
        members += Input::of(entry)?.len();
    }
    Ok((members, bytes))
}

/// Copies the members of all inputs. O(bytes).
fn copy(inputs: &[Input<'_>]) -> Vec<Copied> {
    inputs.iter().map(|input| Copied::new(input.iter())).collect()
}

/// `ZINTERCARD numkeys key [key ...] [LIMIT limit]`: how many members are in every input, `limit` at most unless it
/// is 0.
pub fn zintercard(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let keys = input_keys(&mut args)?;
    let inputs = read_at_once(cx, keys)?;
    let mut limit = 0;
    while !args.is_empty() {
        if !args.take_with("LIMIT", 1) {
            return Err(CommandError::Syntax);
        }
        limit = parse_integer(args.bytes()?)
            .and_then(|limit| usize::try_from(limit).ok())
            .ok_or(CommandError::Negative("LIMIT"))?;
    }
    let most = if limit == 0 { usize::MAX } else { limit };
    let options = CombineOptions { weights: SmallVec::new(), aggregate: Aggregate::Sum, with_scores: false };
    let mut inputs = options.weighed(&inputs);
    inputs.sort_by_key(|(input, _)| input.len());
    let about = inputs.first().map_or(0, |(smallest, _)| smallest.len());
    let count = cx.engine.run_sized(about, || options.intersection(&inputs).take(most).count());
    cx.reply.integer(count as i64);
    Ok(())
}

/// Reads the number of keys and the keys.
fn input_keys<'r>(
    args: &mut Args<'r>,
) -> Result<impl ExactSizeIterator<Item = Key<'r>> + Clone + use<'r>, CommandError> {
    let numkeys = args.integer()?;
    if numkeys < 1 {
        return Err(CommandError::NoInputKeys);
    }
    if numkeys > args.len() as i64 {
        return Err(CommandError::Syntax);
    }
    let keys = args.rest_keys().take(numkeys as usize);
    for _ in 0..numkeys {
        args.bytes()?;
    }
    Ok(keys)
}

/// The inputs at several keys as of one instant.
fn read_at_once<'g, 'r>(
    cx: &mut Context<'_, 'g>,
    keys: impl ExactSizeIterator<Item = Key<'r>> + Clone,
) -> Result<Vec<Input<'g>>, CommandError> {
    if keys.len() == 1 {
        return Ok(read(cx.view, keys)?);
    }
    cx.view.transact(|view| Ok(read(view, keys.clone())?))
}

fn read<'g, 'r>(
    view: &mut View<'g>,
    keys: impl Iterator<Item = Key<'r>>,
) -> Result<Vec<Input<'g>>, KeyspaceError> {
    keys.map(|key| Input::of(view.read(key)?)).collect()
}

/// How many members there are in all inputs together.
fn total(inputs: &[Input<'_>]) -> u64 {
    inputs.iter().map(Input::len).sum()
}

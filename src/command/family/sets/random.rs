//! Random members: SPOP and SRANDMEMBER. Every member, and every choice of several, is equally likely.

use crate::command::args::Args;
use crate::command::context::Context;
use crate::command::error::{CommandError, CommandResult};
use crate::number::parse_integer;
use crate::value::tree::{Delta, Edit, Op, Set, Tree};
use rand::Rng;
use rand::rngs::ThreadRng;
use std::collections::HashSet;

/// A choice of at least one in this many members is made in one walk over all of them.
const WALKED: u64 = 8;

/// Bytes that SRANDMEMBER with a negative count may answer: the count announces them, the set need not have them.
const MAX_REPEATED: usize = 256 << 20;

/// Bytes of an empty bulk string in a reply.
const MIN_BULK: usize = 6;

/// `SPOP key [count]`: a member, or null; with a count a set of as many different ones, if there are as many.
pub fn spop(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let key = args.key()?;
    let Ok(count) = args.bytes() else {
        let popped = cx.view.edit::<Set, _, CommandError>(key, |base, delta| {
            let member = some_member(base);
            if let Some(member) = member {
                delta.remove(member);
            }
            Ok(member)
        })?;
        reply_member(cx, popped);
        return Ok(());
    };
    args.finish()?;
    let count = parse_integer(count).and_then(|count| u64::try_from(count).ok());
    let count = count.ok_or(CommandError::NotPositive)?;
    let engine = cx.engine;
    // A transaction, for one that keeps losing to short edits gets through in the end.
    let popped = cx.view.transact(|view| {
        view.edit::<Set, _, CommandError>(key, |base, delta| {
            Ok(engine.run_sized(count.min(base.len()), || pop(base, delta, count)))
        })
    })?;
    cx.reply.set(popped.len() as usize);
    engine.run_sized(popped.len(), || popped.for_each(|member| cx.reply.bulk(member)));
    Ok(())
}

fn pop<'g>(base: Tree<'g, Set>, delta: &mut Delta<'g, Set>, count: u64) -> Choice<'g> {
    let popped = Choice::of(base, count);
    match &popped {
        Choice::All(_) => delta.clear(),
        Choice::Some(members) => {
            let edits: Vec<Edit<'_>> = members.iter().map(|key| Edit { key, op: Op::Remove }).collect();
            delta.apply(&edits);
        }
    }
    popped
}

/// `SRANDMEMBER key [count]`: a member, or null; with a count an array of as many different ones, if there are
/// as many; with a negative count of exactly as many, each chosen among all.
pub fn srandmember(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let key = args.key()?;
    let Ok(count) = args.bytes() else {
        let members = cx.view.tree(key)?;
        reply_member(cx, some_member(members));
        return Ok(());
    };
    args.finish()?;
    let count = parse_integer(count).ok_or(CommandError::NotAnInteger)?;
    if count == i64::MIN {
        return Err(CommandError::CountOutOfRange);
    }
    let (members, engine, wanted) = (cx.view.tree::<Set>(key)?, cx.engine, count.unsigned_abs());
    if count < 0 && !members.is_empty() {
        return engine.run_sized(wanted, || reply_repeated(cx, members, wanted));
    }
    engine.run_sized(members.len().min(wanted), || {
        let chosen = Choice::of(members, wanted);
        cx.reply.array(chosen.len() as usize);
        chosen.for_each(|member| cx.reply.bulk(member));
    });
    Ok(())
}

fn reply_member(cx: &mut Context<'_, '_>, member: Option<&[u8]>) {
    match member {
        Some(member) => cx.reply.bulk(member),
        None => cx.reply.null(),
    }
}

/// Answers `count` members, each chosen among all, unless that is more than a reply may be.
fn reply_repeated(cx: &mut Context<'_, '_>, members: Tree<'_, Set>, count: u64) -> CommandResult {
    if count > (MAX_REPEATED / MIN_BULK) as u64 {
        return Err(CommandError::OutOfRange);
    }
    let (mark, before) = (cx.reply.mark(), cx.reply.pending());
    let mut random = rand::rng();
    cx.reply.array(count as usize);
    for _ in 0..count {
        let member = members.nth(random.random_range(0..members.len()));
        cx.reply.bulk(member.map_or(&[], |member| member.key));
        if cx.reply.pending() - before > MAX_REPEATED {
            cx.reply.rollback(mark);
            return Err(CommandError::OutOfRange);
        }
    }
    Ok(())
}

/// One member chosen among all; `None` if there is none. O(log n).
fn some_member<'g>(members: Tree<'g, Set>) -> Option<&'g [u8]> {
    // A range without numbers has no random one.
    let index = rand::rng().random_range(0..members.len().max(1));
    members.nth(index).map(|member| member.key)
}

/// Different members of a set.
enum Choice<'g> {
    All(Tree<'g, Set>),
    Some(Vec<&'g [u8]>),
}

impl<'g> Choice<'g> {
    /// Chooses `count` members, or all if there are no more. O(count log n).
    fn of(members: Tree<'g, Set>, count: u64) -> Choice<'g> {
        let len = members.len();
        if count >= len {
            return Choice::All(members);
        }
        let mut random = rand::rng();
        if count > len / WALKED {
            // Each member is taken with the probability that leaves all choices of the rest equally likely.
            let (mut wanted, mut left) = (count, len);
            let is_chosen = |_: &&[u8]| {
                let takes = random.random_range(0..left) < wanted;
                (wanted, left) = (wanted - u64::from(takes), left - 1);
                takes
            };
            return Choice::Some(members.iter().map(|member| member.key).filter(is_chosen).collect());
        }
        let places = some_places(&mut random, count, len);
        Choice::Some(places.iter().filter_map(|place| Some(members.nth(*place)?.key)).collect())
    }

    fn len(&self) -> u64 {
        match self {
            Choice::All(members) => members.len(),
            Choice::Some(members) => members.len() as u64,
        }
    }

    fn for_each(&self, mut visit: impl FnMut(&[u8])) {
        match self {
            Choice::All(members) => members.iter().for_each(|member| visit(member.key)),
            Choice::Some(members) => members.iter().for_each(|member| visit(member)),
        }
    }
}

/// `count` different numbers below `len`, ascending, every choice equally likely (Floyd's sampling).
fn some_places(random: &mut ThreadRng, count: u64, len: u64) -> Vec<u64> {
    let mut places = HashSet::with_hasher(ahash::RandomState::new());
    for most in len - count..len {
        if !places.insert(random.random_range(0..=most)) {
            places.insert(most);
        }
    }
    let mut places: Vec<u64> = places.into_iter().collect();
    places.sort_unstable();
    places
}

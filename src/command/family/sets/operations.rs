//! Several sets at once: union, intersection and difference, answered, counted or stored; and SMOVE.

use crate::command::args::Args;
use crate::command::context::Context;
use crate::command::error::{CommandError, CommandResult};
use crate::keyspace::{Key, KeyspaceError, View};
use crate::number::parse_integer;
use crate::value::tree::{Delta, Set, Tree, algebra};

/// The operation on several sets.
#[derive(Clone, Copy, Debug)]
enum Operation {
    Union,
    Intersection,
    Difference,
}

impl Operation {
    fn members<'g>(self, sets: &[Tree<'g, Set>]) -> Box<dyn Iterator<Item = &'g [u8]> + 'g> {
        match self {
            Operation::Union => Box::new(algebra::union(sets)),
            Operation::Intersection => Box::new(algebra::intersection(sets)),
            Operation::Difference => Box::new(algebra::difference(sets)),
        }
    }
}

/// `SUNION key [key ...]`: the set of the members that are in one of the sets at least.
pub fn sunion(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    reply(cx, args, Operation::Union)
}

/// `SINTER key [key ...]`: the set of the members that are in every set.
pub fn sinter(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    reply(cx, args, Operation::Intersection)
}

/// `SDIFF key [key ...]`: the set of the members of the first set that are in none of the others.
pub fn sdiff(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    reply(cx, args, Operation::Difference)
}

/// `SUNIONSTORE destination key [key ...]`: as SUNION, but stores the set and answers how many members it has.
pub fn sunionstore(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    store(cx, args, Operation::Union)
}

/// `SINTERSTORE destination key [key ...]`: as SINTER, but stores the set and answers how many members it has.
pub fn sinterstore(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    store(cx, args, Operation::Intersection)
}

/// `SDIFFSTORE destination key [key ...]`: as SDIFF, but stores the set and answers how many members it has.
pub fn sdiffstore(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    store(cx, args, Operation::Difference)
}

fn reply(cx: &mut Context<'_, '_>, args: Args<'_>, operation: Operation) -> CommandResult {
    let sets = read_at_once(cx, args.rest_keys())?;
    cx.engine.run_sized(total(&sets), || {
        let members: Vec<&[u8]> = operation.members(&sets).collect();
        cx.reply.set(members.len());
        members.iter().for_each(|member| cx.reply.bulk(member));
    });
    Ok(())
}

fn store(cx: &mut Context<'_, '_>, mut args: Args<'_>, operation: Operation) -> CommandResult {
    let destination = args.key()?;
    let engine = cx.engine;
    let len = cx.view.transact(|view| {
        let sets = read(view, args.rest_keys())?;
        let birth = view.birth();
        let made = engine.run_sized(total(&sets), || Delta::of_members(operation.members(&sets), birth));
        view.store(destination, made)
    });
    cx.reply.integer(len? as i64);
    Ok(())
}

/// `SINTERCARD numkeys key [key ...] [LIMIT limit]`: how many members are in every set, `limit` at most unless it
/// is 0.
pub fn sintercard(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let numkeys = args.above_zero("numkeys")?;
    if numkeys > args.len() as u64 {
        return Err(CommandError::TooManyKeys);
    }
    let keys = args.rest_keys().take(numkeys as usize);
    for _ in 0..numkeys {
        args.bytes()?;
    }
    let mut limit = 0;
    while !args.is_empty() {
        if !args.take_with("LIMIT", 1) {
            return Err(CommandError::Syntax);
        }
        limit = parse_integer(args.bytes()?)
            .filter(|limit| *limit >= 0)
            .ok_or(CommandError::Negative("LIMIT"))?;
    }
    let sets = read_at_once(cx, keys)?;
    let most = if limit == 0 { usize::MAX } else { usize::try_from(limit).unwrap_or(usize::MAX) };
    let count =
        cx.engine.run_sized(total(&sets), || Operation::Intersection.members(&sets).take(most).count());
    cx.reply.integer(count as i64);
    Ok(())
}

/// `SMOVE source destination member`: 1, or 0 if the source does not have the member.
pub fn smove(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let (source, destination, member) = (args.key()?, args.key()?, args.bytes()?);
    let is_moved = cx.view.transact(|view| {
        let Some(from) = view.peek(source)? else { return Ok(false) };
        let (from, to) = (from.tree::<Set>()?, view.peek(destination)?);
        to.map(|to| to.tree::<Set>()).transpose()?;
        let is_member = from.contains(member);
        if is_member && source != destination {
            view.edit::<Set, _, KeyspaceError>(source, |_, delta| Ok(delta.remove(member)))?;
            view.edit::<Set, _, KeyspaceError>(destination, |_, delta| Ok(delta.insert(member, &[])))?;
        }
        Ok::<_, CommandError>(is_member)
    })?;
    cx.reply.integer(i64::from(is_moved));
    Ok(())
}

/// The sets at several keys as of one instant.
fn read_at_once<'g, 'r>(
    cx: &mut Context<'_, 'g>,
    mut keys: impl ExactSizeIterator<Item = Key<'r>> + Clone,
) -> Result<Vec<Tree<'g, Set>>, CommandError> {
    Ok(match (keys.len(), keys.next()) {
        (1, Some(only)) => vec![cx.view.tree(only)?],
        (_, first) => cx.view.transact(|view| read(view, first.into_iter().chain(keys.clone())))?,
    })
}

fn read<'g, 'r>(
    view: &mut View<'g>,
    keys: impl Iterator<Item = Key<'r>>,
) -> Result<Vec<Tree<'g, Set>>, KeyspaceError> {
    keys.map(|key| view.tree(key)).collect()
}

/// How many members there are in all sets together.
fn total(sets: &[Tree<'_, Set>]) -> u64 {
    sets.iter().map(|set| set.len()).sum()
}

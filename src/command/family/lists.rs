//! Lists: pushing and popping at both ends, and reading by position.

mod edits;
mod moves;
mod search;

use crate::command::args::Args;
use crate::command::context::Context;
use crate::command::error::{CommandError, CommandResult};
use crate::command::spec::Arity::{AtLeast, Exactly};
use crate::command::spec::{CommandSpec, Flags, Group, KeySpec, row};
use crate::keyspace::Key;
use crate::resp::ReplyWriter;
use crate::value::tree::{Ends, List, Tree};
use smallvec::SmallVec;
use std::ops::Range;

const READ: Flags = Flags::READONLY;
const FAST: Flags = Flags::FAST;
const WRITE: Flags = Flags::WRITE;
const GROW: Flags = WRITE.or(Flags::DENYOOM);

const READ_KEY: &[KeySpec] = &[KeySpec::at(1, &["RO", "access"])];
const PUSH_KEY: &[KeySpec] = &[KeySpec::at(1, &["RW", "insert"])];
const CUT_KEY: &[KeySpec] = &[KeySpec::at(1, &["RW", "delete"])];
const MOVE_KEYS: &[KeySpec] =
    &[KeySpec::at(1, &["RW", "access", "delete"]), KeySpec::at(2, &["RW", "insert"])];
const POP_KEY: &[KeySpec] = &[KeySpec::at(1, &["RW", "access", "delete"])];

const LIST: CommandSpec =
    CommandSpec::of(Group::List).complexity("O(log(N)) with N elements in the list").keys(READ_KEY);

const PUSH: CommandSpec =
    LIST.complexity("O(log(N)+M) with N elements in the list and M pushed").keys(PUSH_KEY);

const POP: CommandSpec =
    LIST.complexity("O(log(N)+M) with N elements in the list and M popped").keys(POP_KEY);

/// The family's rows.
pub const ROWS: &[CommandSpec] = &[
    row(PUSH, "lpush", "key:key element...", AtLeast(3), GROW.or(FAST), lpush)
        .summary("Pushes elements at the left end of a list, creating it if needed."),
    row(PUSH, "rpush", "key:key element...", AtLeast(3), GROW.or(FAST), rpush)
        .summary("Pushes elements at the right end of a list, creating it if needed."),
    row(PUSH, "lpushx", "key:key element...", AtLeast(3), GROW.or(FAST), lpushx)
        .since("2.2.0")
        .summary("Pushes elements at the left end of a list that exists."),
    row(PUSH, "rpushx", "key:key element...", AtLeast(3), GROW.or(FAST), rpushx)
        .since("2.2.0")
        .summary("Pushes elements at the right end of a list that exists."),
    row(POP, "lpop", "key:key [count:integer]", AtLeast(2), WRITE.or(FAST), lpop)
        .summary("Removes and returns elements from the left end of a list."),
    row(POP, "rpop", "key:key [count:integer]", AtLeast(2), WRITE.or(FAST), rpop)
        .summary("Removes and returns elements from the right end of a list."),
    row(LIST, "llen", "key:key", Exactly(2), READ.or(FAST), llen)
        .summary("Returns the length of a list.")
        .complexity("O(1)")
        .keys(&[KeySpec::at(1, &["RO"])]),
    row(LIST, "lrange", "key:key start:integer stop:integer", Exactly(4), READ, lrange)
        .summary("Returns a range of elements of a list.")
        .complexity("O(log(N)+M) with N elements in the list and M answered"),
    row(LIST, "lindex", "key:key index:integer", Exactly(3), READ, lindex)
        .summary("Returns the element of a list at an index."),
    row(LIST, "lset", "key:key index:integer element", Exactly(4), GROW, edits::lset)
        .summary("Sets the element of a list at an index.")
        .keys(&[KeySpec::at(1, &["RW", "update"])]),
    row(LIST, "lrem", "key:key count:integer element", Exactly(4), WRITE, edits::lrem)
        .summary("Removes elements of a list that equal a value.")
        .complexity("O(N) with N elements in the list")
        .keys(CUT_KEY),
    row(LIST, "ltrim", "key:key start:integer stop:integer", Exactly(4), WRITE, edits::ltrim)
        .summary("Removes the elements of a list outside a range.")
        .keys(CUT_KEY),
    row(LIST, "linsert", "key:key (BEFORE|AFTER) pivot element", Exactly(5), GROW, edits::linsert)
        .since("2.2.0")
        .summary("Inserts an element before or after another element of a list.")
        .complexity("O(N) with N elements up to the one looked for")
        .keys(PUSH_KEY),
    row(
        LIST,
        "lpos",
        "key:key element [RANK=rank:integer] [COUNT=num-matches:integer] [MAXLEN=len:integer]",
        AtLeast(3),
        READ,
        search::lpos,
    )
    .since("6.0.6")
    .summary("Returns the indexes of elements of a list that equal a value.")
    .complexity("O(N) with N elements compared"),
    row(
        LIST,
        "lmove",
        "source:key destination:key (LEFT|RIGHT) (LEFT|RIGHT)",
        Exactly(5),
        GROW,
        moves::lmove,
    )
    .since("6.2.0")
    .summary("Pops an element from one end of a list, pushes it to an end of a list and returns it.")
    .keys(MOVE_KEYS),
    row(LIST, "rpoplpush", "source:key destination:key", Exactly(3), GROW, moves::rpoplpush)
        .since("1.2.0")
        .summary(
            "Pops an element from the right end of a list, pushes it to the left end of a list and \
            returns it.",
        )
        .keys(MOVE_KEYS),
    row(
        LIST,
        "lmpop",
        "numkeys:integer key:key... (LEFT|RIGHT) [COUNT=count:integer]",
        AtLeast(4),
        WRITE.or(Flags::MOVABLE_KEYS),
        moves::lmpop,
    )
    .since("7.0.0")
    .summary("Pops elements from the first of several lists that is not empty.")
    .complexity("O(K+log(N)+M) with K keys, N elements in the list and M popped")
    .keys(&[KeySpec::numbered(1, &["RW", "access", "delete"])]),
];

/// An end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Left,
    Right,
}

impl End {
    /// The next argument as an end.
    fn of(args: &mut Args<'_>) -> Result<End, CommandError> {
        if args.take("LEFT") {
            Ok(End::Left)
        } else if args.take("RIGHT") {
            Ok(End::Right)
        } else {
            Err(CommandError::Syntax)
        }
    }

    /// The positions of the `count` elements at this end of a list that has `len`, of all if there are fewer.
    fn stretch(self, len: u64, count: u64) -> Range<u64> {
        let count = count.min(len);
        match self {
            End::Left => 0..count,
            End::Right => len - count..len,
        }
    }

    /// The position of the element at this end, if the list has one.
    fn position(self, len: u64) -> Option<u64> {
        match self {
            End::Left => (len > 0).then_some(0),
            End::Right => len.checked_sub(1),
        }
    }

    /// Adds elements at this end, in their order within the list.
    fn push(self, list: &mut Ends<'_>, element: &[u8]) {
        match self {
            End::Left => list.push_front(element),
            End::Right => list.push_back(element),
        }
    }

    fn pop<'l>(self, list: &'l mut Ends<'_>) -> Option<&'l [u8]> {
        match self {
            End::Left => list.pop_front(),
            End::Right => list.pop_back(),
        }
    }
}

/// The positions from `start` to `end`, both included and counted from the back if negative.
fn stretch(len: u64, start: i64, end: i64) -> Range<u64> {
    let len = len as i64;
    let from_back = |index: i64| if index < 0 { len + index } else { index };
    let (start, end) = (from_back(start).max(0), from_back(end).min(len - 1));
    if start > end { 0..0 } else { start as u64..end as u64 + 1 }
}

/// The position that `index` names, counted from the back if negative. It may lie behind the list.
fn position(len: u64, index: i64) -> Option<u64> {
    u64::try_from(if index < 0 { len as i64 + index } else { index }).ok()
}

/// Writes an array of the `count` elements at an end of a list, from the end inwards.
fn reply_end(reply: &mut ReplyWriter, list: Tree<'_, List>, end: End, count: u64) {
    reply.array(count as usize);
    let elements = count as usize;
    match end {
        End::Left => list.iter().take(elements).for_each(|item| reply.bulk(item.key)),
        End::Right => list.iter_back_from(u64::MAX).take(elements).for_each(|item| reply.bulk(item.key)),
    }
}

/// `LPUSH key element [element ...]`: the length after it. The last element comes to the left end.
fn lpush(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    push(cx, args, End::Left, true)
}

/// `RPUSH key element [element ...]`: the length after it. The last element comes to the right end.
fn rpush(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    push(cx, args, End::Right, true)
}

/// `LPUSHX key element [element ...]`: as LPUSH, but 0 for a missing list, which stays missing.
fn lpushx(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    push(cx, args, End::Left, false)
}

/// `RPUSHX key element [element ...]`: as RPUSH, but 0 for a missing list, which stays missing.
fn rpushx(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    push(cx, args, End::Right, false)
}

fn push(cx: &mut Context<'_, '_>, mut args: Args<'_>, end: End, creates: bool) -> CommandResult {
    let key = args.key()?;
    let len = cx.view.gather::<List, _, CommandError>(key, |list| {
        if creates || !list.is_empty() {
            args.rest_bytes().for_each(|element| end.push(list, element));
        }
        Ok(list.len())
    })?;
    cx.reply.integer(len as i64);
    Ok(())
}

/// `LPOP key [count]`: the element at the left end, or null; with a count an array of that many, null for a
/// missing list.
fn lpop(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    pop(cx, args, End::Left)
}

/// `RPOP key [count]`: as LPOP, from the right end inwards.
fn rpop(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    pop(cx, args, End::Right)
}

fn pop(cx: &mut Context<'_, '_>, mut args: Args<'_>, end: End) -> CommandResult {
    let key = args.key()?;
    if !args.is_empty() {
        return pop_several(cx, key, args, end);
    }
    let popped = cx.view.gather::<List, _, CommandError>(key, |list| {
        Ok(end.pop(list).map(SmallVec::<[u8; 64]>::from_slice))
    })?;
    match popped {
        Some(element) => cx.reply.bulk(&element),
        None => cx.reply.null(),
    }
    Ok(())
}

fn pop_several(cx: &mut Context<'_, '_>, key: Key<'_>, mut args: Args<'_>, end: End) -> CommandResult {
    if args.len() > 1 {
        return Err(CommandError::WrongArity);
    }
    let count = args.count()?;
    let list = cx.view.edit::<List, _, CommandError>(key, |list, delta| {
        delta.remove(end.stretch(list.len(), count));
        Ok(list)
    })?;
    if list.is_empty() {
        cx.reply.null_array();
        return Ok(());
    }
    let popped = count.min(list.len());
    cx.engine.run_sized(popped, || reply_end(cx.reply, list, end, popped));
    Ok(())
}

/// `LLEN key`: the length, 0 for a missing list.
fn llen(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let key = args.key()?;
    let len = cx.view.tree::<List>(key)?.len();
    cx.reply.integer(len as i64);
    Ok(())
}

/// `LRANGE key start stop`: an array of the elements from start to stop, both included and counted from the
/// right end if negative.
fn lrange(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let (key, start, stop) = (args.key()?, args.integer()?, args.integer()?);
    let list = cx.view.tree::<List>(key)?;
    let wanted = stretch(list.len(), start, stop);
    let count = wanted.end - wanted.start;
    cx.engine.run_sized(count, || {
        cx.reply.array(count as usize);
        list.iter_from(wanted.start).take(count as usize).for_each(|item| cx.reply.kept_bulk(item.key));
    });
    Ok(())
}

/// `LINDEX key index`: the element at a position, counted from the right end if negative, or null.
fn lindex(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let key = args.key()?;
    let list = cx.view.tree::<List>(key)?;
    if list.is_empty() {
        // Redis looks at the index of a list that is there only.
        cx.reply.null();
        return Ok(());
    }
    match position(list.len(), args.integer()?).and_then(|position| list.nth(position)) {
        Some(item) => cx.reply.kept_bulk(item.key),
        None => cx.reply.null(),
    }
    Ok(())
}

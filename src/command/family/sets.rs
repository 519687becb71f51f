//! Sets: members and how many. Random members and operations on several sets have files of their own.

mod operations;
mod random;

use crate::command::args::Args;
use crate::command::context::Context;
use crate::command::error::{CommandError, CommandResult};
use crate::command::spec::Arity::{AtLeast, Exactly};
use crate::command::spec::{CommandSpec, Flags, Group, KeySpec, row};
use crate::value::tree::{Edit, Op, Set, Tree};
use smallvec::SmallVec;

const READ: Flags = Flags::READONLY;
const READ_FAST: Flags = READ.or(Flags::FAST);
const WRITE_FAST: Flags = Flags::WRITE.or(Flags::FAST);

const READ_KEY: &[KeySpec] = &[KeySpec::at(1, &["RO", "access"])];
const MEASURE_KEY: &[KeySpec] = &[KeySpec::at(1, &["RO"])];
const TAKE_FROM_KEY: &[KeySpec] = &[KeySpec::at(1, &["RW", "access", "delete"])];

const READ_KEYS: &[KeySpec] = &[KeySpec::range(1, -1, 1, &["RO", "access"])];
const STORE_KEYS: &[KeySpec] =
    &[KeySpec::at(1, &["OW", "update"]), KeySpec::range(2, -1, 1, &["RO", "access"])];

const ANY_ORDER: &[&str] = &["nondeterministic_output_order"];
const VARIES: &[&str] = &["nondeterministic_output"];

const SET: CommandSpec = CommandSpec::of(Group::Set).keys(READ_KEY);

/// A row of the SUNION kind.
const SEVERAL: CommandSpec = SET.complexity(LINEAR).keys(READ_KEYS).tips(ANY_ORDER);

/// A row of the SUNIONSTORE kind.
const STORE: CommandSpec = SET.complexity(LINEAR).keys(STORE_KEYS);

const LINEAR: &str = "O(N log K) with N members of K sets";
const SHORTER: &str =
    "O(K M log N) with M members of the smallest and N of the largest of K sets; at most O(K N)";

/// The family's rows.
pub const ROWS: &[CommandSpec] = &[
    row(SET, "sadd", "key:key member...", AtLeast(3), WRITE_FAST.or(Flags::DENYOOM), sadd)
        .summary("Adds members to a set, creating it if needed.")
        .complexity("O(K log N) with K members given and N in the set")
        .keys(&[KeySpec::at(1, &["RW", "insert"])]),
    row(SET, "srem", "key:key member...", AtLeast(3), WRITE_FAST, srem)
        .summary("Removes members from a set.")
        .complexity("O(K log N) with K members given and N in the set")
        .keys(&[KeySpec::at(1, &["RW", "delete"])]),
    row(SET, "smembers", "key:key", Exactly(2), READ, smembers)
        .summary("Returns all members of a set.")
        .complexity("O(N) with N members")
        .tips(ANY_ORDER),
    row(SET, "scard", "key:key", Exactly(2), READ_FAST, scard)
        .summary("Returns the number of members of a set.")
        .keys(MEASURE_KEY),
    row(SET, "sismember", "key:key member", Exactly(3), READ_FAST, sismember)
        .summary("Tells whether a value is a member of a set.")
        .complexity("O(log N) with N members")
        .keys(MEASURE_KEY),
    row(SET, "smismember", "key:key member...", AtLeast(3), READ_FAST, smismember)
        .since("6.2.0")
        .summary("Tells for each of several values whether it is a member of a set.")
        .complexity("O(K log N) with K things asked for and N members"),
    row(SET, "spop", "key:key [count:integer]", AtLeast(2), WRITE_FAST, random::spop)
        .summary("Removes and returns random members of a set.")
        .complexity("O(K log N) with K members removed and N in the set")
        .keys(TAKE_FROM_KEY)
        .tips(VARIES),
    row(SET, "srandmember", "key:key [count:integer]", AtLeast(2), READ, random::srandmember)
        .summary("Returns random members of a set.")
        .complexity("O(K log N) with K members answered and N in the set")
        .tips(VARIES),
    row(
        SET,
        "sscan",
        "key:key cursor:integer [MATCH=pattern:pattern] [COUNT=count:integer]",
        AtLeast(3),
        READ,
        sscan,
    )
    .since("2.8.0")
    .summary("Iterates over the members of a set in pages.")
    .complexity("O(log N + COUNT) for every call with N members; a small set is answered at once")
    .tips(VARIES),
    row(SEVERAL, "sunion", "key:key...", AtLeast(2), READ, operations::sunion)
        .summary("Returns the union of sets."),
    row(SEVERAL, "sinter", "key:key...", AtLeast(2), READ, operations::sinter)
        .summary("Returns the intersection of sets.")
        .complexity(SHORTER),
    row(SEVERAL, "sdiff", "key:key...", AtLeast(2), READ, operations::sdiff)
        .summary("Returns the members of the first set that are in no other."),
    row(
        STORE,
        "sunionstore",
        "destination:key key:key...",
        AtLeast(3),
        Flags::WRITE.or(Flags::DENYOOM),
        operations::sunionstore,
    )
    .summary("Stores the union of sets."),
    row(
        STORE,
        "sinterstore",
        "destination:key key:key...",
        AtLeast(3),
        Flags::WRITE.or(Flags::DENYOOM),
        operations::sinterstore,
    )
    .summary("Stores the intersection of sets.")
    .complexity(SHORTER)
    .keys(&[KeySpec::at(1, &["RW", "update"]), KeySpec::range(2, -1, 1, &["RO", "access"])]),
    row(
        STORE,
        "sdiffstore",
        "destination:key key:key...",
        AtLeast(3),
        Flags::WRITE.or(Flags::DENYOOM),
        operations::sdiffstore,
    )
    .summary("Stores the members of the first set that are in no other."),
    row(
        SET,
        "sintercard",
        "numkeys:integer key:key... [LIMIT=limit:integer]",
        AtLeast(3),
        READ.or(Flags::MOVABLE_KEYS),
        operations::sintercard,
    )
    .since("7.0.0")
    .summary("Returns the number of members of the intersection of sets, up to a limit.")
    .complexity(SHORTER)
    .keys(&[KeySpec::numbered(1, &["RO", "access"])]),
    row(
        SET,
        "smove",
        "source:key destination:key member",
        Exactly(4),
        WRITE_FAST.or(Flags::MOVES),
        operations::smove,
    )
    .summary("Moves a member from one set to another.")
    .complexity("O(log N) with N members of the larger set")
    .keys(&[KeySpec::at(1, &["RW", "access", "delete"]), KeySpec::at(2, &["RW", "insert"])]),
];

/// `SADD key member [member ...]`: how many were not there.
fn sadd(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    edit_members(cx, args, Op::Put(&[]))
}

/// `SREM key member [member ...]`: how many were there. A set without members is removed.
fn srem(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    edit_members(cx, args, Op::Remove)
}

/// Does the same to every member given, and answers by how many the set grew or shrank.
fn edit_members(cx: &mut Context<'_, '_>, mut args: Args<'_>, op: Op<'_>) -> CommandResult {
    let key = args.key()?;
    let edits: SmallVec<[Edit<'_>; 4]> = args.rest_bytes().map(|key| Edit { key, op }).collect();
    let changed = cx.view.gather::<Set, _, CommandError>(key, |set| Ok(set.apply(&edits).unsigned_abs()))?;
    cx.reply.integer(changed as i64);
    Ok(())
}

/// `SMEMBERS key`: every member.
fn smembers(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let members = cx.view.tree::<Set>(args.key()?)?;
    cx.engine.run_sized(members.len(), || {
        cx.reply.set(members.len() as usize);
        members.iter().for_each(|member| cx.reply.bulk(member.key));
    });
    Ok(())
}

/// `SCARD key`: how many members there are.
fn scard(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let len = cx.view.tree::<Set>(args.key()?)?.len();
    cx.reply.integer(len as i64);
    Ok(())
}

/// `SISMEMBER key member`: 1 or 0.
fn sismember(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let members = cx.view.tree::<Set>(args.key()?)?;
    let is_member = members.contains(args.bytes()?);
    cx.reply.integer(i64::from(is_member));
    Ok(())
}

/// `SMISMEMBER key member [member ...]`: 1 or 0 for each.
fn smismember(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let members: Tree<'_, Set> = cx.view.tree(args.key()?)?;
    cx.reply.array(args.len());
    args.rest_bytes().for_each(|member| cx.reply.integer(i64::from(members.contains(member))));
    Ok(())
}

/// `SSCAN key cursor [MATCH pattern] [COUNT count]`: the next cursor, 0 at the end, and members.
fn sscan(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    super::cursors::reply_scan::<Tree<'_, Set>>(cx, args, 1, |reply, item| reply.bulk(item.key))
}

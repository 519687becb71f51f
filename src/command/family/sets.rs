//! Sets: members and how many. Random members and operations on several sets have files of their own.

mod operations;
mod random;

use crate::command::args::Args;
use crate::command::context::Context;
use crate::command::error::{CommandError, CommandResult};
use crate::command::spec::Arity::{AtLeast, Exactly};
use crate::command::spec::{CommandSpec, Flags, Group, KeySpec};
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

const SET: CommandSpec = CommandSpec {
    name: "",
    since: "1.0.0",
    summary: "",
    complexity: "O(1)",
    group: Group::Set,
    arity: Exactly(2),
    arguments: "",
    flags: READ,
    keys: READ_KEY,
    tips: &[],
    handler: super::needs_subcommand,
    subcommands: &[],
};

/// A row of the SUNION kind.
const SEVERAL: CommandSpec =
    CommandSpec { arity: AtLeast(2), keys: READ_KEYS, tips: ANY_ORDER, complexity: LINEAR, ..SET };

/// A row of the SUNIONSTORE kind.
const STORE: CommandSpec = CommandSpec {
    arity: AtLeast(3),
    flags: Flags::WRITE.or(Flags::DENYOOM),
    keys: STORE_KEYS,
    complexity: LINEAR,
    ..SET
};

const LINEAR: &str = "O(N log K) with N members of K sets";
const SHORTER: &str =
    "O(K M log N) with M members of the smallest and N of the largest of K sets; at most O(K N)";

/// The family's rows.
pub const ROWS: &[CommandSpec] = &[
    CommandSpec {
        name: "sadd",
        arguments: "key:key member...",
        summary: "Adds members to a set, creating it if needed.",
        complexity: "O(K log N) with K members given and N in the set",
        arity: AtLeast(3),
        flags: WRITE_FAST.or(Flags::DENYOOM),
        keys: &[KeySpec::at(1, &["RW", "insert"])],
        handler: sadd,
        ..SET
    },
    CommandSpec {
        name: "srem",
        arguments: "key:key member...",
        summary: "Removes members from a set.",
        complexity: "O(K log N) with K members given and N in the set",
        arity: AtLeast(3),
        flags: WRITE_FAST,
        keys: &[KeySpec::at(1, &["RW", "delete"])],
        handler: srem,
        ..SET
    },
    CommandSpec {
        name: "smembers",
        arguments: "key:key",
        flags: READ,
        summary: "Returns all members of a set.",
        complexity: "O(N) with N members",
        tips: ANY_ORDER,
        handler: smembers,
        ..SET
    },
    CommandSpec {
        name: "scard",
        arguments: "key:key",
        summary: "Returns the number of members of a set.",
        flags: READ_FAST,
        keys: MEASURE_KEY,
        handler: scard,
        ..SET
    },
    CommandSpec {
        name: "sismember",
        arguments: "key:key member",
        summary: "Tells whether a value is a member of a set.",
        complexity: "O(log N) with N members",
        arity: Exactly(3),
        flags: READ_FAST,
        keys: MEASURE_KEY,
        handler: sismember,
        ..SET
    },
    CommandSpec {
        name: "smismember",
        arguments: "key:key member...",
        since: "6.2.0",
        summary: "Tells for each of several values whether it is a member of a set.",
        complexity: "O(K log N) with K things asked for and N members",
        arity: AtLeast(3),
        flags: READ_FAST,
        handler: smismember,
        ..SET
    },
    CommandSpec {
        name: "spop",
        arguments: "key:key [count:integer]",
        summary: "Removes and returns random members of a set.",
        complexity: "O(K log N) with K members removed and N in the set",
        arity: AtLeast(2),
        flags: WRITE_FAST,
        keys: TAKE_FROM_KEY,
        tips: VARIES,
        handler: random::spop,
        ..SET
    },
    CommandSpec {
        name: "srandmember",
        arguments: "key:key [count:integer]",
        flags: READ,
        summary: "Returns random members of a set.",
        complexity: "O(K log N) with K members answered and N in the set",
        arity: AtLeast(2),
        tips: VARIES,
        handler: random::srandmember,
        ..SET
    },
    CommandSpec {
        name: "sscan",
        arguments: "key:key cursor:integer [MATCH=pattern:pattern] [COUNT=count:integer]",
        flags: READ,
        since: "2.8.0",
        summary: "Iterates over the members of a set in pages.",
        complexity: "O(log N + COUNT) for every call with N members; a small set is answered at once",
        arity: AtLeast(3),
        tips: VARIES,
        handler: sscan,
        ..SET
    },
    CommandSpec {
        name: "sunion",
        arguments: "key:key...",
        flags: READ,
        summary: "Returns the union of sets.",
        handler: operations::sunion,
        ..SEVERAL
    },
    CommandSpec {
        name: "sinter",
        arguments: "key:key...",
        flags: READ,
        summary: "Returns the intersection of sets.",
        complexity: SHORTER,
        handler: operations::sinter,
        ..SEVERAL
    },
    CommandSpec {
        name: "sdiff",
        arguments: "key:key...",
        flags: READ,
        summary: "Returns the members of the first set that are in no other.",
        handler: operations::sdiff,
        ..SEVERAL
    },
    CommandSpec {
        name: "sunionstore",
        arguments: "destination:key key:key...",
        flags: Flags::WRITE.or(Flags::DENYOOM),
        summary: "Stores the union of sets.",
        handler: operations::sunionstore,
        ..STORE
    },
    CommandSpec {
        name: "sinterstore",
        arguments: "destination:key key:key...",
        flags: Flags::WRITE.or(Flags::DENYOOM),
        summary: "Stores the intersection of sets.",
        complexity: SHORTER,
        keys: &[KeySpec::at(1, &["RW", "update"]), KeySpec::range(2, -1, 1, &["RO", "access"])],
        handler: operations::sinterstore,
        ..STORE
    },
    CommandSpec {
        name: "sdiffstore",
        arguments: "destination:key key:key...",
        flags: Flags::WRITE.or(Flags::DENYOOM),
        summary: "Stores the members of the first set that are in no other.",
        handler: operations::sdiffstore,
        ..STORE
    },
    CommandSpec {
        name: "sintercard",
        arguments: "numkeys:integer key:key... [LIMIT=limit:integer]",
        since: "7.0.0",
        summary: "Returns the number of members of the intersection of sets, up to a limit.",
        complexity: SHORTER,
        arity: AtLeast(3),
        flags: READ.or(Flags::MOVABLE_KEYS),
        keys: &[KeySpec::numbered(1, &["RO", "access"])],
        handler: operations::sintercard,
        ..SET
    },
    CommandSpec {
        name: "smove",
        arguments: "source:key destination:key member",
        summary: "Moves a member from one set to another.",
        complexity: "O(log N) with N members of the larger set",
        arity: Exactly(4),
        flags: WRITE_FAST.or(Flags::MOVES),
        keys: &[KeySpec::at(1, &["RW", "access", "delete"]), KeySpec::at(2, &["RW", "insert"])],
        handler: operations::smove,
        ..SET
    },
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

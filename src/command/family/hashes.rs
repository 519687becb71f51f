//! Hashes: fields and their values. Counters, random fields and HSCAN have files of their own.

mod counters;
mod random;

use crate::command::args::Args;
use crate::command::context::Context;
use crate::command::error::{CommandError, CommandResult};
use crate::command::spec::Arity::{AtLeast, Exactly};
use crate::command::spec::{CommandSpec, Flags, Group, KeySpec};
use crate::keyspace::Key;
use crate::resp::ReplyWriter;
use crate::value::tree::{Edit, Hash, Item, Op, Tree};
use smallvec::SmallVec;

const READ: Flags = Flags::READONLY;
const READ_FAST: Flags = READ.or(Flags::FAST);
const WRITE_FAST: Flags = Flags::WRITE.or(Flags::DENYOOM).or(Flags::FAST);

const READ_KEY: &[KeySpec] = &[KeySpec::at(1, &["RO", "access"])];
const LOOK_AT_KEY: &[KeySpec] = &[KeySpec::at(1, &["RO"])];
const CHANGE_KEY: &[KeySpec] = &[KeySpec::at(1, &["RW", "access", "update"])];
const UPDATE_KEY: &[KeySpec] = &[KeySpec::at(1, &["RW", "update"])];

const HASH: CommandSpec = CommandSpec {
    name: "",
    since: "2.0.0",
    summary: "",
    complexity: "O(log N) with N fields in the hash",
    group: Group::Hash,
    arity: Exactly(3),
    arguments: "",
    flags: READ_FAST,
    keys: READ_KEY,
    tips: &[],
    handler: super::needs_subcommand,
    subcommands: &[],
};

const WHOLE: CommandSpec = CommandSpec {
    complexity: "O(N) with N fields in the hash",
    arity: Exactly(2),
    flags: READ,
    tips: &["nondeterministic_output_order"],
    ..HASH
};

/// The family's rows.
pub const ROWS: &[CommandSpec] = &[
    CommandSpec {
        name: "hset",
        arguments: "key:key {field value}...",
        summary: "Sets fields of a hash, creating it if needed.",
        complexity: "O(M log N) with M fields set and N fields in the hash",
        arity: AtLeast(4),
        flags: WRITE_FAST,
        keys: UPDATE_KEY,
        handler: hset,
        ..HASH
    },
    CommandSpec {
        name: "hmset",
        arguments: "key:key {field value}...",
        summary: "Sets fields of a hash, creating it if needed; HSET with another reply.",
        complexity: "O(M log N) with M fields set and N fields in the hash",
        arity: AtLeast(4),
        flags: WRITE_FAST,
        keys: UPDATE_KEY,
        handler: hmset,
        ..HASH
    },
    CommandSpec {
        name: "hsetnx",
        arguments: "key:key field value",
        summary: "Sets a field of a hash if it does not exist.",
        arity: Exactly(4),
        flags: WRITE_FAST,
        keys: &[KeySpec::at(1, &["RW", "insert"])],
        handler: hsetnx,
        ..HASH
    },
    CommandSpec {
        name: "hget",
        arguments: "key:key field",
        flags: READ_FAST,
        summary: "Returns the value of a field of a hash.",
        handler: hget,
        ..HASH
    },
    CommandSpec {
        name: "hmget",
        arguments: "key:key field...",
        flags: READ_FAST,
        summary: "Returns the values of several fields as of one instant.",
        complexity: "O(M log N) with M fields asked for and N fields in the hash",
        arity: AtLeast(3),
        handler: hmget,
        ..HASH
    },
    CommandSpec {
        name: "hdel",
        arguments: "key:key field...",
        summary: "Deletes fields of a hash; deletes the hash with its last field.",
        complexity: "O(M log N) with M fields to delete and N fields in the hash",
        arity: AtLeast(3),
        flags: Flags::WRITE.or(Flags::FAST),
        keys: &[KeySpec::at(1, &["RW", "delete"])],
        handler: hdel,
        ..HASH
    },
    CommandSpec {
        name: "hexists",
        arguments: "key:key field",
        flags: READ_FAST,
        summary: "Tells whether a field of a hash exists.",
        keys: LOOK_AT_KEY,
        handler: hexists,
        ..HASH
    },
    CommandSpec {
        name: "hstrlen",
        arguments: "key:key field",
        flags: READ_FAST,
        since: "3.2.0",
        summary: "Returns the length of the value of a field of a hash.",
        keys: LOOK_AT_KEY,
        handler: hstrlen,
        ..HASH
    },
    CommandSpec {
        name: "hlen",
        arguments: "key:key",
        flags: READ_FAST,
        summary: "Returns the number of fields of a hash.",
        complexity: "O(1)",
        arity: Exactly(2),
        keys: LOOK_AT_KEY,
        handler: hlen,
        ..HASH
    },
    CommandSpec {
        name: "hincrby",
        arguments: "key:key field increment:integer",
        summary: "Increments the integer of a field; a missing field counts as 0.",
        arity: Exactly(4),
        flags: WRITE_FAST,
        keys: CHANGE_KEY,
        handler: counters::hincrby,
        ..HASH
    },
    CommandSpec {
        name: "hincrbyfloat",
        arguments: "key:key field increment:double",
        since: "2.6.0",
        summary: "Increments the number of a field; a missing field counts as 0.",
        arity: Exactly(4),
        flags: WRITE_FAST,
        keys: CHANGE_KEY,
        handler: counters::hincrbyfloat,
        ..HASH
    },
    CommandSpec {
        name: "hrandfield",
        arguments: "key:key [{count:integer [WITHVALUES]}]",
        since: "6.2.0",
        summary: "Returns random fields of a hash.",
        complexity: "O(M log N) with M fields answered and N fields in the hash",
        arity: AtLeast(2),
        flags: READ,
        tips: &["nondeterministic_output"],
        handler: random::hrandfield,
        ..HASH
    },
    CommandSpec {
        name: "hscan",
        arguments: "key:key cursor:integer [MATCH=pattern:pattern] [COUNT=count:integer]",
        since: "2.8.0",
        summary: "Iterates over the fields and values of a hash in pages.",
        complexity: "O(COUNT + log N) for every call, with N fields in the hash",
        arity: AtLeast(3),
        flags: READ,
        tips: &["nondeterministic_output"],
        handler: hscan,
        ..HASH
    },
    CommandSpec {
        name: "hgetall",
        arguments: "key:key",
        flags: READ,
        summary: "Returns all fields and values of a hash.",
        handler: hgetall,
        ..WHOLE
    },
    CommandSpec {
        name: "hkeys",
        arguments: "key:key",
        flags: READ,
        summary: "Returns all fields of a hash.",
        handler: hkeys,
        ..WHOLE
    },
    CommandSpec {
        name: "hvals",
        arguments: "key:key",
        flags: READ,
        summary: "Returns all values of a hash.",
        handler: hvals,
        ..WHOLE
    },
];

/// Writes the value of a field, or null for a missing one.
fn reply_value(reply: &mut ReplyWriter, item: Option<Item<'_>>) {
    match item {
        Some(item) => reply.kept_bulk(item.value),
        None => reply.null(),
    }
}

/// `HSET key field value [field value ...]`: how many of the fields are new.
fn hset(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    let added = put_fields(cx, args)?;
    cx.reply.integer(added as i64);
    Ok(())
}

/// `HMSET key field value [field value ...]`: `+OK`.
fn hmset(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    put_fields(cx, args)?;
    cx.reply.simple("OK");
    Ok(())
}

/// Sets the fields that the arguments name, at one instant, and returns how many of them are new.
fn put_fields(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> Result<u64, CommandError> {
    let key = args.key()?;
    if !args.len().is_multiple_of(2) {
        return Err(CommandError::WrongArity);
    }
    let mut edits: SmallVec<[Edit<'_>; 4]> = SmallVec::with_capacity(args.len() / 2);
    while !args.is_empty() {
        edits.push(Edit { key: args.bytes()?, op: Op::Put(args.bytes()?) });
    }
    cx.view.gather::<Hash, _, _>(key, |hash| Ok(hash.apply(&edits) as u64))
}

/// `HSETNX key field value`: 1, or 0 if the field exists.
fn hsetnx(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let (key, field, value) = (args.key()?, args.bytes()?, args.bytes()?);
    let is_new = cx.view.gather::<Hash, _, CommandError>(key, |hash| {
        let is_new = hash.get(field).is_none();
        if is_new {
            hash.apply(&[Edit { key: field, op: Op::Put(value) }]);
        }
        Ok(is_new)
    })?;
    cx.reply.integer(i64::from(is_new));
    Ok(())
}

/// `HGET key field`: the field's value, or null.
fn hget(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let (key, field) = (args.key()?, args.bytes()?);
    let item = cx.view.tree::<Hash>(key)?.get(field);
    reply_value(cx.reply, item);
    Ok(())
}

/// `HMGET key field [field ...]`: an array of values, null where there is none.
fn hmget(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let hash = cx.view.tree::<Hash>(args.key()?)?;
    cx.reply.array(args.len());
    while let Ok(field) = args.bytes() {
        reply_value(cx.reply, hash.get(field));
    }
    Ok(())
}

/// `HDEL key field [field ...]`: how many of the fields were there.
fn hdel(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let key = args.key()?;
    let mut edits: SmallVec<[Edit<'_>; 4]> = SmallVec::with_capacity(args.len());
    while !args.is_empty() {
        edits.push(Edit { key: args.bytes()?, op: Op::Remove });
    }
    let removed = cx.view.gather::<Hash, _, CommandError>(key, |hash| Ok(-hash.apply(&edits)))?;
    cx.reply.integer(removed);
    Ok(())
}

/// `HEXISTS key field`: 1 if the field exists, else 0.
fn hexists(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let (key, field) = (args.key()?, args.bytes()?);
    let is_there = cx.view.tree::<Hash>(key)?.contains(field);
    cx.reply.integer(i64::from(is_there));
    Ok(())
}

/// `HSTRLEN key field`: the length of the field's value, 0 for a missing field.
fn hstrlen(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let (key, field) = (args.key()?, args.bytes()?);
    let item = cx.view.tree::<Hash>(key)?.get(field);
    cx.reply.integer(item.map_or(0, |item| item.value.len() as i64));
    Ok(())
}

/// `HLEN key`: the number of fields, 0 for a missing key.
fn hlen(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let hash = cx.view.tree::<Hash>(args.key()?)?;
    cx.reply.integer(hash.len() as i64);
    Ok(())
}

/// `HGETALL key`: a map of fields and values.
fn hgetall(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    reply_whole(cx, args.key()?, ReplyWriter::map, |reply, item| {
        reply.bulk(item.key);
        reply.kept_bulk(item.value);
    })
}

/// `HKEYS key`: an array of fields.
fn hkeys(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    reply_whole(cx, args.key()?, ReplyWriter::array, |reply, item| reply.bulk(item.key))
}

/// `HVALS key`: an array of values.
fn hvals(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    reply_whole(cx, args.key()?, ReplyWriter::array, |reply, item| reply.kept_bulk(item.value))
}

/// Announces a hash by its number of fields, then writes every item.
fn reply_whole(
    cx: &mut Context<'_, '_>,
    key: Key<'_>,
    announce: fn(&mut ReplyWriter, usize),
    write: impl Fn(&mut ReplyWriter, Item<'_>),
) -> CommandResult {
    let hash: Tree<'_, Hash> = cx.view.tree(key)?;
    let reply = &mut *cx.reply;
    announce(reply, hash.len() as usize);
    cx.engine.run_sized(hash.len(), || hash.iter().for_each(|item| write(reply, item)));
    Ok(())
}

/// `HSCAN key cursor [MATCH pattern] [COUNT count]`: the next cursor, and fields and values in turn.
fn hscan(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    super::cursors::reply_scan::<Tree<'_, Hash>>(cx, args, 2, |reply, item| {
        reply.bulk(item.key);
        reply.kept_bulk(item.value);
    })
}

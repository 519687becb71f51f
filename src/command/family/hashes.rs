//! Hashes: fields and their values. Counters, random fields and HSCAN have files of their own.

mod counters;
mod random;

use crate::command::args::Args;
use crate::command::context::Context;
use crate::command::error::{CommandError, CommandResult};
use crate::command::spec::Arity::{AtLeast, Exactly};
use crate::command::spec::{CommandSpec, Flags, Group, KeySpec, row};
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

const HASH: CommandSpec = CommandSpec::of(Group::Hash)
    .since("2.0.0")
    .complexity("O(log N) with N fields in the hash")
    .keys(READ_KEY);

const WHOLE: CommandSpec =
    HASH.complexity("O(N) with N fields in the hash").tips(&["nondeterministic_output_order"]);

/// The family's rows.
pub const ROWS: &[CommandSpec] = &[
    row(HASH, "hset", "key:key {field value}...", AtLeast(4), WRITE_FAST, hset)
        .summary("Sets fields of a hash, creating it if needed.")
        .complexity("O(M log N) with M fields set and N fields in the hash")
        .keys(UPDATE_KEY),
    row(HASH, "hmset", "key:key {field value}...", AtLeast(4), WRITE_FAST, hmset)
        .summary("Sets fields of a hash, creating it if needed; HSET with another reply.")
        .complexity("O(M log N) with M fields set and N fields in the hash")
        .keys(UPDATE_KEY),
    row(HASH, "hsetnx", "key:key field value", Exactly(4), WRITE_FAST, hsetnx)
        .summary("Sets a field of a hash if it does not exist.")
        .keys(&[KeySpec::at(1, &["RW", "insert"])]),
    row(HASH, "hget", "key:key field", Exactly(3), READ_FAST, hget)
        .summary("Returns the value of a field of a hash."),
    row(HASH, "hmget", "key:key field...", AtLeast(3), READ_FAST, hmget)
        .summary("Returns the values of several fields as of one instant.")
        .complexity("O(M log N) with M fields asked for and N fields in the hash"),
    row(HASH, "hdel", "key:key field...", AtLeast(3), Flags::WRITE.or(Flags::FAST), hdel)
        .summary("Deletes fields of a hash; deletes the hash with its last field.")
        .complexity("O(M log N) with M fields to delete and N fields in the hash")
        .keys(&[KeySpec::at(1, &["RW", "delete"])]),
    row(HASH, "hexists", "key:key field", Exactly(3), READ_FAST, hexists)
        .summary("Tells whether a field of a hash exists.")
        .keys(LOOK_AT_KEY),
    row(HASH, "hstrlen", "key:key field", Exactly(3), READ_FAST, hstrlen)
        .since("3.2.0")
        .summary("Returns the length of the value of a field of a hash.")
        .keys(LOOK_AT_KEY),
    row(HASH, "hlen", "key:key", Exactly(2), READ_FAST, hlen)
        .summary("Returns the number of fields of a hash.")
        .complexity("O(1)")
        .keys(LOOK_AT_KEY),
    row(HASH, "hincrby", "key:key field increment:integer", Exactly(4), WRITE_FAST, counters::hincrby)
        .summary("Increments the integer of a field; a missing field counts as 0.")
        .keys(CHANGE_KEY),
    row(
        HASH,
        "hincrbyfloat",
        "key:key field increment:double",
        Exactly(4),
        WRITE_FAST,
        counters::hincrbyfloat,
    )
    .since("2.6.0")
    .summary("Increments the number of a field; a missing field counts as 0.")
    .keys(CHANGE_KEY),
    row(HASH, "hrandfield", "key:key [{count:integer [WITHVALUES]}]", AtLeast(2), READ, random::hrandfield)
        .since("6.2.0")
        .summary("Returns random fields of a hash.")
        .complexity("O(M log N) with M fields answered and N fields in the hash")
        .tips(&["nondeterministic_output"]),
    row(
        HASH,
        "hscan",
        "key:key cursor:integer [MATCH=pattern:pattern] [COUNT=count:integer]",
        AtLeast(3),
        READ,
        hscan,
    )
    .since("2.8.0")
    .summary("Iterates over the fields and values of a hash in pages.")
    .complexity("O(COUNT + log N) for every call, with N fields in the hash")
    .tips(&["nondeterministic_output"]),
    row(WHOLE, "hgetall", "key:key", Exactly(2), READ, hgetall)
        .summary("Returns all fields and values of a hash."),
    row(WHOLE, "hkeys", "key:key", Exactly(2), READ, hkeys).summary("Returns all fields of a hash."),
    row(WHOLE, "hvals", "key:key", Exactly(2), READ, hvals).summary("Returns all values of a hash."),
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

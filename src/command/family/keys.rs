//! Keys of any type: existence, names, copies. Deadlines, walks and OBJECT have files of their own.

mod expiry;
mod object;
mod walk;

use crate::command::args::Args;
use crate::command::context::Context;
use crate::command::error::{CommandError, CommandResult};
use crate::command::spec::Arity::{AtLeast, Exactly};
use crate::command::spec::{CommandSpec, Flags, Group, KeySpec, row};
use crate::keyspace::{Change, Draft, Key, KeyspaceError, View};
pub use object::encoding_of;

const READ: Flags = Flags::READONLY;
const READ_FAST: Flags = READ.or(Flags::FAST);
const WRITE_FAST: Flags = Flags::WRITE.or(Flags::FAST);

const READ_KEY: &[KeySpec] = &[KeySpec::at(1, &["RO"])];
const READ_KEYS: &[KeySpec] = &[KeySpec::range(1, -1, 1, &["RO"])];
const READ_DEADLINE: &[KeySpec] = &[KeySpec::at(1, &["RO", "access"])];
const CHANGE_DEADLINE: &[KeySpec] = &[KeySpec::at(1, &["RW", "update"])];
const REMOVE_KEYS: &[KeySpec] = &[KeySpec::range(1, -1, 1, &["RM", "delete"])];

const SUMS: &[&str] = &["request_policy:multi_shard", "response_policy:agg_sum"];
const VARIES: &[&str] = &["nondeterministic_output"];

const GENERIC: CommandSpec = CommandSpec::of(Group::Generic).keys(READ_KEY);

/// A row of the EXPIRE kind.
const EXPIRE: CommandSpec = GENERIC.keys(CHANGE_DEADLINE);

/// The family's rows.
pub const ROWS: &[CommandSpec] = &[
    row(GENERIC, "del", "key:key...", AtLeast(2), Flags::WRITE, del)
        .summary("Deletes keys atomically.")
        .complexity("O(N) with N keys; the values are freed in the background")
        .keys(REMOVE_KEYS)
        .tips(SUMS),
    row(GENERIC, "unlink", "key:key...", AtLeast(2), WRITE_FAST, del)
        .since("4.0.0")
        .summary("Deletes keys atomically; the same as DEL.")
        .complexity("O(N) with N keys; the values are freed in the background")
        .keys(REMOVE_KEYS)
        .tips(SUMS),
    row(GENERIC, "exists", "key:key...", AtLeast(2), READ_FAST, exists)
        .summary("Returns how many of the keys exist.")
        .complexity("O(N) with N keys")
        .keys(READ_KEYS)
        .tips(SUMS),
    row(GENERIC, "touch", "key:key...", AtLeast(2), READ_FAST, touch)
        .since("3.2.1")
        .summary("Returns how many of the keys exist and counts an access of each.")
        .complexity("O(N) with N keys")
        .keys(READ_KEYS)
        .tips(SUMS),
    row(GENERIC, "type", "key:key", Exactly(2), READ_FAST, kind)
        .summary("Returns the type of the value at a key."),
    row(GENERIC, "ttl", "key:key", Exactly(2), READ_FAST, expiry::ttl)
        .summary("Returns the time to live of a key in seconds.")
        .keys(READ_DEADLINE)
        .tips(VARIES),
    row(GENERIC, "pttl", "key:key", Exactly(2), READ_FAST, expiry::pttl)
        .since("2.6.0")
        .summary("Returns the time to live of a key in milliseconds.")
        .keys(READ_DEADLINE)
        .tips(VARIES),
    row(GENERIC, "expiretime", "key:key", Exactly(2), READ_FAST, expiry::expiretime)
        .since("7.0.0")
        .summary("Returns when a key expires, in Unix seconds.")
        .keys(READ_DEADLINE),
    row(GENERIC, "pexpiretime", "key:key", Exactly(2), READ_FAST, expiry::pexpiretime)
        .since("7.0.0")
        .summary("Returns when a key expires, in Unix milliseconds.")
        .keys(READ_DEADLINE),
    row(EXPIRE, "expire", "key:key seconds:integer [(NX|XX|GT|LT)]", AtLeast(3), WRITE_FAST, expiry::expire)
        .summary("Sets the time to live of a key in seconds."),
    row(
        EXPIRE,
        "expireat",
        "key:key unix-time-seconds:unix-time [(NX|XX|GT|LT)]",
        AtLeast(3),
        WRITE_FAST,
        expiry::expireat,
    )
    .since("1.2.0")
    .summary("Sets when a key expires, in Unix seconds."),
    row(
        EXPIRE,
        "pexpire",
        "key:key milliseconds:integer [(NX|XX|GT|LT)]",
        AtLeast(3),
        WRITE_FAST,
        expiry::pexpire,
    )
    .since("2.6.0")
    .summary("Sets the time to live of a key in milliseconds."),
    row(
        EXPIRE,
        "pexpireat",
        "key:key unix-time-milliseconds:unix-time [(NX|XX|GT|LT)]",
        AtLeast(3),
        WRITE_FAST,
        expiry::pexpireat,
    )
    .since("2.6.0")
    .summary("Sets when a key expires, in Unix milliseconds."),
    row(GENERIC, "persist", "key:key", Exactly(2), WRITE_FAST, expiry::persist)
        .since("2.2.0")
        .summary("Removes the expiry of a key.")
        .keys(CHANGE_DEADLINE),
    row(GENERIC, "rename", "key:key newkey:key", Exactly(3), Flags::WRITE.or(Flags::MOVES), rename)
        .summary("Renames a key; replaces a key of the new name.")
        .keys(&[KeySpec::at(1, &["RW", "access", "delete"]), KeySpec::at(2, &["OW", "update"])]),
    row(GENERIC, "renamenx", "key:key newkey:key", Exactly(3), WRITE_FAST.or(Flags::MOVES), renamenx)
        .summary("Renames a key if no key has the new name.")
        .keys(&[KeySpec::at(1, &["RW", "access", "delete"]), KeySpec::at(2, &["OW", "insert"])]),
    row(
        GENERIC,
        "copy",
        "source:key destination:key [DB=destination-db:integer] [REPLACE]",
        AtLeast(3),
        Flags::WRITE.or(Flags::DENYOOM),
        copy,
    )
    .since("6.2.0")
    .summary("Copies a value with its time to live to another key.")
    .complexity("O(N) with N elements; O(1) for strings that were not edited when they were long")
    .keys(&[KeySpec::at(1, &["RO", "access"]), KeySpec::at(2, &["OW", "update"])]),
    row(
        GENERIC,
        "scan",
        "cursor:integer [MATCH=pattern:pattern] [COUNT=count:integer] [TYPE=type]",
        AtLeast(2),
        READ,
        walk::scan,
    )
    .since("2.8.0")
    .summary("Iterates over the keys in pages.")
    .complexity("O(COUNT) for every call")
    .keys(&[])
    .tips(&["nondeterministic_output", "request_policy:special"]),
    row(GENERIC, "keys", "pattern:pattern", Exactly(2), READ.or(Flags::DANGEROUS), walk::keys)
        .summary("Returns all keys that match a pattern.")
        .complexity("O(N) with N keys, those of one namespace if the pattern names it")
        .keys(&[])
        .tips(&["request_policy:all_shards", "nondeterministic_output_order"]),
    row(GENERIC, "randomkey", "", Exactly(1), READ, walk::randomkey)
        .summary("Returns a random key.")
        .keys(&[])
        .tips(&["request_policy:all_shards", "nondeterministic_output"]),
    object::OBJECT,
];

/// `DEL key [key ...]` and `UNLINK`: how many were there.
fn del(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    let removed =
        count_keys(cx, args, |view, key| view.update(key, |entry| Ok((Change::Remove, entry.is_some()))))?;
    cx.reply.integer(removed);
    Ok(())
}

/// `EXISTS key [key ...]`: how many are there; a key named twice counts twice.
fn exists(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    let present = count_keys(cx, args, |view, key| Ok(view.peek(key)?.is_some()))?;
    cx.reply.integer(present);
    Ok(())
}

/// `TOUCH key [key ...]`: how many are there; they count as just used.
fn touch(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    let present = count_keys(cx, args, |view, key| Ok(view.touch(key)?.is_some()))?;
    cx.reply.integer(present);
    Ok(())
}

/// Counts the keys for which `holds`, all at one instant.
fn count_keys<'g>(
    cx: &mut Context<'_, 'g>,
    args: Args<'_>,
    holds: impl Fn(&mut View<'g>, Key<'_>) -> Result<bool, KeyspaceError>,
) -> Result<i64, CommandError> {
    let keys = args.rest_keys();
    let count = |view: &mut View<'g>| {
        keys.clone().try_fold(0, |count, key| Ok::<_, CommandError>(count + i64::from(holds(view, key)?)))
    };
    if keys.len() == 1 { count(cx.view) } else { cx.view.transact(count) }
}

/// `TYPE key`: the type's name, `none` for a missing key.
fn kind(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let key = args.key()?;
    let name = cx.view.peek(key)?.map_or("none", |entry| entry.kind().name());
    cx.reply.simple(name);
    Ok(())
}

/// `RENAME key newkey`: `+OK`; the time to live moves with the value.
fn rename(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let (from, to) = (args.key()?, args.key()?);
    move_key(cx, from, to, true)?;
    cx.reply.simple("OK");
    Ok(())
}

/// `RENAMENX key newkey`: 1, or 0 if the new name is taken.
fn renamenx(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let (from, to) = (args.key()?, args.key()?);
    let is_moved = move_key(cx, from, to, false)?;
    cx.reply.integer(i64::from(is_moved));
    Ok(())
}

/// Moves the value and the deadline. False if the new name is taken and must not be.
fn move_key(
    cx: &mut Context<'_, '_>,
    from: Key<'_>,
    to: Key<'_>,
    replaces: bool,
) -> Result<bool, CommandError> {
    cx.view.transact(|view| {
        let entry = view.peek(from)?.ok_or(CommandError::NoSuchKey)?;
        if from == to {
            return Ok(replaces);
        }
        if !replaces && view.peek(to)?.is_some() {
            return Ok(false);
        }
        view.put(to, Draft::value_of(&entry, entry.deadline_ms()))?;
        view.update(from, |_| Ok::<_, CommandError>((Change::Remove, ())))?;
        Ok(true)
    })
}

/// `COPY source destination [DB 0] [REPLACE]`: 1, or 0 if the source is missing or the destination is there.
fn copy(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let (from, to) = (args.key()?, args.key()?);
    let mut replaces = false;
    while !args.is_empty() {
        if args.take("REPLACE") {
            replaces = true;
        } else if args.take_with("DB", 1) {
            args.database()?;
        } else {
            return Err(CommandError::Syntax);
        }
    }
    if from == to {
        return Err(CommandError::SameObject);
    }
    let engine = cx.engine;
    let is_copied = cx.view.transact(|view| {
        let Some(entry) = view.read(from)? else { return Ok(false) };
        if !replaces && view.peek(to)?.is_some() {
            return Ok(false);
        }
        let (bytes, birth) = (Draft::copy_cost(&entry), view.birth());
        view.put(to, engine.run_copying(bytes, || Draft::copy_of(&entry, birth)))?;
        Ok::<_, CommandError>(true)
    })?;
    cx.reply.integer(i64::from(is_copied));
    Ok(())
}

//! Strings: SET and GET, counters, ranges. LCS has a file of its own.

mod counters;
mod lcs;
mod ranges;
mod set;

use crate::command::args::Args;
use crate::command::context::Context;
use crate::command::error::{CommandError, CommandResult};
use crate::command::spec::Arity::{AtLeast, Exactly};
use crate::command::spec::{CommandSpec, Flags, Group, KeySpec, row};
use crate::keyspace::{Change, Draft, Entry, Key};
use crate::resp::ReplyWriter;
use crate::value::string::Str;
pub(super) use set::{SetEffect, SetOptions};
use smallvec::SmallVec;
use std::ops::Range;

const READ: Flags = Flags::READONLY;
const READ_FAST: Flags = READ.or(Flags::FAST);
const WRITE: Flags = Flags::WRITE.or(Flags::DENYOOM);
const WRITE_FAST: Flags = WRITE.or(Flags::FAST);

const READ_KEY: &[KeySpec] = &[KeySpec::at(1, &["RO", "access"])];
const CHANGE_KEY: &[KeySpec] = &[KeySpec::at(1, &["RW", "access", "update"])];
const OVERWRITE_KEY: &[KeySpec] = &[KeySpec::at(1, &["OW", "update"])];

const STRING: CommandSpec = CommandSpec::of(Group::String).keys(READ_KEY);

/// The family's rows.
pub const ROWS: &[CommandSpec] = &[
    row(STRING, "get", "key:key", Exactly(2), READ_FAST, get).summary("Returns the string at a key."),
    row(
        STRING,
        "set",
        "key:key value [(NX|XX)] [GET] [(EX=seconds:integer|PX=milliseconds:integer|\
            EXAT=unix-time-seconds:unix-time|PXAT=unix-time-milliseconds:unix-time|KEEPTTL)]",
        AtLeast(3),
        WRITE,
        set::set,
    )
    .summary("Sets the string at a key, with optional conditions and expiry.")
    .keys(&[KeySpec {
        access_of: Some(set::access),
        notes: "RW and ACCESS due to the optional `GET` argument",
        ..KeySpec::at(1, &["RW", "access", "update", "variable_flags"])
    }]),
    row(STRING, "mget", "key:key...", AtLeast(2), READ_FAST, mget)
        .summary("Returns the strings at several keys as of one instant.")
        .complexity("O(N) with N keys")
        .keys(&[KeySpec::range(1, -1, 1, &["RO", "access"])])
        .tips(&["request_policy:multi_shard"]),
    row(STRING, "mset", "{key:key value}...", AtLeast(3), WRITE, mset)
        .since("1.0.1")
        .summary("Sets the strings at several keys atomically.")
        .complexity("O(N) with N keys")
        .keys(&[KeySpec::range(1, -1, 2, &["OW", "update"])])
        .tips(&["request_policy:multi_shard", "response_policy:all_succeeded"]),
    row(STRING, "msetnx", "{key:key value}...", AtLeast(3), WRITE, msetnx)
        .since("1.0.1")
        .summary("Sets the strings at several keys atomically, if none of them exists.")
        .complexity("O(N) with N keys")
        .keys(&[KeySpec::range(1, -1, 2, &["OW", "insert"])])
        .tips(&["request_policy:multi_shard", "response_policy:agg_min"]),
    row(STRING, "setnx", "key:key value", Exactly(3), WRITE_FAST, set::setnx)
        .summary("Sets the string at a key if it does not exist.")
        .keys(&[KeySpec::at(1, &["OW", "insert"])]),
    row(STRING, "setex", "key:key seconds:integer value", Exactly(4), WRITE, set::setex)
        .since("2.0.0")
        .summary("Sets the string at a key and its time to live in seconds.")
        .keys(OVERWRITE_KEY),
    row(STRING, "psetex", "key:key milliseconds:integer value", Exactly(4), WRITE, set::psetex)
        .since("2.6.0")
        .summary("Sets the string at a key and its time to live in milliseconds.")
        .keys(OVERWRITE_KEY),
    row(STRING, "getset", "key:key value", Exactly(3), WRITE_FAST, getset)
        .summary("Sets the string at a key and returns the old one.")
        .keys(CHANGE_KEY),
    row(STRING, "getdel", "key:key", Exactly(2), Flags::WRITE.or(Flags::FAST), getdel)
        .since("6.2.0")
        .summary("Returns the string at a key and deletes the key.")
        .keys(&[KeySpec::at(1, &["RW", "access", "delete"])]),
    row(
        STRING,
        "getex",
        "key:key [(EX=seconds:integer|PX=milliseconds:integer|EXAT=unix-time-seconds:unix-time|\
            PXAT=unix-time-milliseconds:unix-time|PERSIST)]",
        AtLeast(2),
        Flags::WRITE.or(Flags::FAST),
        set::getex,
    )
    .since("6.2.0")
    .summary("Returns the string at a key and changes its time to live.")
    .keys(&[KeySpec {
        notes: "RW and UPDATE because it changes the TTL",
        ..KeySpec::at(1, &["RW", "access", "update"])
    }]),
    row(STRING, "append", "key:key value", Exactly(3), WRITE_FAST, ranges::append)
        .since("2.0.0")
        .summary("Appends bytes to a string, creating it if needed.")
        .complexity("O(N) with N bytes appended, or in the resulting string if it is short")
        .keys(&[KeySpec::at(1, &["RW", "insert"])]),
    row(STRING, "strlen", "key:key", Exactly(2), READ_FAST, ranges::strlen)
        .since("2.2.0")
        .summary("Returns the length of a string.")
        .keys(&[KeySpec::at(1, &["RO"])]),
    row(STRING, "setrange", "key:key offset:integer value", Exactly(4), WRITE, ranges::setrange)
        .since("2.2.0")
        .summary("Overwrites a part of a string; pads with zero bytes if needed.")
        .complexity("O(N) with N bytes written, or in the resulting string if it is short")
        .keys(&[KeySpec::at(1, &["RW", "update"])]),
    row(STRING, "getrange", "key:key start:integer end:integer", Exactly(4), READ, ranges::getrange)
        .since("2.4.0")
        .summary("Returns a part of a string.")
        .complexity("O(N) with N bytes answered"),
    row(STRING, "substr", "key:key start:integer end:integer", Exactly(4), READ, ranges::getrange)
        .summary("Returns a part of a string; the old name of GETRANGE.")
        .complexity("O(N) with N bytes answered"),
    row(STRING, "incr", "key:key", Exactly(2), WRITE_FAST, counters::incr)
        .summary("Increments an integer by one; a missing key counts as 0.")
        .keys(CHANGE_KEY),
    row(STRING, "decr", "key:key", Exactly(2), WRITE_FAST, counters::decr)
        .summary("Decrements an integer by one; a missing key counts as 0.")
        .keys(CHANGE_KEY),
    row(STRING, "incrby", "key:key increment:integer", Exactly(3), WRITE_FAST, counters::incrby)
        .summary("Increments an integer; a missing key counts as 0.")
        .keys(CHANGE_KEY),
    row(STRING, "decrby", "key:key decrement:integer", Exactly(3), WRITE_FAST, counters::decrby)
        .summary("Decrements an integer; a missing key counts as 0.")
        .keys(CHANGE_KEY),
    row(STRING, "incrbyfloat", "key:key increment:double", Exactly(3), WRITE_FAST, counters::incrbyfloat)
        .since("2.6.0")
        .summary("Increments a number; a missing key counts as 0.")
        .keys(CHANGE_KEY),
    row(
        STRING,
        "lcs",
        "key1:key key2:key [LEN] [IDX] [MINMATCHLEN=len:integer] [WITHMATCHLEN]",
        AtLeast(3),
        READ,
        lcs::lcs,
    )
    .since("7.0.0")
    .summary("Finds the longest common subsequence of two strings.")
    .complexity("O(N*M) with N and M bytes in the strings")
    .keys(&[KeySpec::range(1, 2, 1, &["RO", "access"])]),
];

/// Writes a string as a bulk string.
#[inline]
fn reply_string(reply: &mut ReplyWriter, string: Str<'_>) {
    match string {
        Str::Inline(bytes) => reply.kept_bulk(bytes),
        other => reply_range(reply, other, 0..other.len()),
    }
}

/// Writes a part of a string as a bulk string; large ones leave by reference where they are in one piece.
fn reply_range(reply: &mut ReplyWriter, string: Str<'_>, range: Range<usize>) {
    match string {
        Str::Shared(bytes) => reply.shared_bulk(&bytes.slice(range)),
        other => reply.bulk_parts(range.len(), other.slices(range, &mut itoa::Buffer::new())),
    }
}

/// Writes a string, or null for a missing one.
pub(super) fn reply_optional(reply: &mut ReplyWriter, string: Option<Str<'_>>) {
    match string {
        Some(string) => reply_string(reply, string),
        None => reply.null(),
    }
}

/// Answers a string, or null for a missing one, where it holds nobody up.
#[inline]
fn answer(cx: &mut Context<'_, '_>, string: Option<Str<'_>>) {
    let copied = if let Some(Str::Chunks(chunks)) = string { chunks.len() } else { 0 };
    cx.engine.run_copying(copied, || reply_optional(cx.reply, string));
}

/// The entry's string, `None` without an entry.
fn string_of<'g>(entry: Option<Entry<'g>>) -> Result<Option<Str<'g>>, CommandError> {
    Ok(entry.map(|entry| entry.string()).transpose()?)
}

/// `GET key`: the string, or null.
fn get(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let key = args.key()?;
    let string = string_of(cx.view.read(key)?)?;
    answer(cx, string);
    Ok(())
}

/// `MGET key [key ...]`: an array of strings, null where there is none.
fn mget(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    let keys = args.rest_keys();
    let strings = cx.view.transact(|view| {
        let strings = keys.clone().map(|key| Ok(view.read(key)?.and_then(|entry| entry.string().ok())));
        strings.collect::<Result<SmallVec<[Option<Str<'_>>; 16]>, CommandError>>()
    })?;
    cx.reply.array(strings.len());
    for string in strings {
        answer(cx, string);
    }
    Ok(())
}

/// `MSET key value [key value ...]`: `+OK`.
fn mset(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    require_pairs(&args)?;
    cx.view.transact(|view| {
        args.rest_pairs().try_for_each(|(key, value)| {
            view.update(key, |_| Ok::<_, CommandError>((Change::Put(Draft::string(value, None)), ())))
        })
    })?;
    cx.reply.simple("OK");
    Ok(())
}

/// `MSETNX key value [key value ...]`: 1, or 0 if any of the keys exists.
fn msetnx(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    require_pairs(&args)?;
    let is_set = cx.view.transact(|view| {
        for (key, _) in args.rest_pairs() {
            if view.peek(key)?.is_some() {
                return Ok(false);
            }
        }
        args.rest_pairs().try_for_each(|(key, value)| {
            view.update(key, |_| Ok::<_, CommandError>((Change::Put(Draft::string(value, None)), ())))
        })?;
        Ok::<_, CommandError>(true)
    })?;
    cx.reply.integer(i64::from(is_set));
    Ok(())
}

pub(super) fn require_pairs(args: &Args<'_>) -> CommandResult {
    if args.len().is_multiple_of(2) { Ok(()) } else { Err(CommandError::WrongArity) }
}

/// `GETSET key value`: what the key held, or null; the time to live is gone.
fn getset(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let (key, value) = (args.key()?, args.bytes()?);
    let before = exchange(cx, key, || Change::Put(Draft::string(value, None)))?;
    answer(cx, before);
    Ok(())
}

/// `GETDEL key`: what the key held, or null; the key is gone.
fn getdel(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let key = args.key()?;
    let before = exchange(cx, key, || Change::Remove)?;
    answer(cx, before);
    Ok(())
}

/// Applies `change` to a key that holds a string or nothing, and returns what it held.
fn exchange<'g>(
    cx: &mut Context<'_, 'g>,
    key: Key<'_>,
    change: impl Fn() -> Change,
) -> Result<Option<Str<'g>>, CommandError> {
    cx.view.update(key, |entry| Ok((change(), string_of(entry)?)))
}

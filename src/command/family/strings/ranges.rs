//! Lengths and parts of strings: APPEND, STRLEN, SETRANGE, GETRANGE.

use super::{reply_range, string_of};
use crate::command::args::Args;
use crate::command::context::Context;
use crate::command::error::{CommandError, CommandResult};
use crate::engine::Engine;
use crate::keyspace::{Change, Draft};
use crate::value::string::{Str, inclusive_range};

/// `APPEND key tail`: the length after it.
pub fn append(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let (key, tail) = (args.key()?, args.bytes()?);
    let (limit, birth) = (cx.string_limit(), cx.view.birth());
    let len = cx.view.update(key, |entry| {
        let Some(entry) = entry else {
            return Ok((Change::Put(Draft::string(tail, None)), tail.len()));
        };
        let string = entry.string()?;
        let len = checked_len(string.len(), tail.len(), limit)?;
        let change = patch(cx.engine, string, string.len(), tail, entry.deadline_ms(), birth);
        Ok::<_, CommandError>((change, len))
    })?;
    cx.reply.integer(len as i64);
    Ok(())
}

/// `STRLEN key`: the length, 0 for a missing key.
pub fn strlen(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let key = args.key()?;
    let len = string_of(cx.view.read(key)?)?.map_or(0, Str::len);
    cx.reply.integer(len as i64);
    Ok(())
}

/// `SETRANGE key offset bytes`: the length after it. No bytes change nothing.
pub fn setrange(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let (key, offset, bytes) = (args.key()?, args.integer()?, args.bytes()?);
    let offset = usize::try_from(offset).map_err(|_| CommandError::OffsetOutOfRange)?;
    let (limit, birth) = (cx.string_limit(), cx.view.birth());
    let len = cx.view.update(key, |entry| {
        let before = string_of(entry)?.unwrap_or(Str::Inline(b""));
        if bytes.is_empty() {
            return Ok((Change::Keep, before.len()));
        }
        let end = checked_len(offset, bytes.len(), limit)?;
        let deadline_ms = entry.and_then(|entry| entry.deadline_ms());
        let change = patch(cx.engine, before, offset, bytes, deadline_ms, birth);
        Ok::<_, CommandError>((change, before.len().max(end)))
    })?;
    cx.reply.integer(len as i64);
    Ok(())
}

/// The change that writes `bytes` over `before` from `offset` on.
fn patch(
    engine: &Engine,
    before: Str<'_>,
    offset: usize,
    bytes: &[u8],
    deadline_ms: Option<u64>,
    birth: u32,
) -> Change {
    let cost = Draft::patch_cost(before, offset, bytes);
    Change::Put(engine.run_copying(cost, || Draft::patched(before, offset, bytes, deadline_ms, birth)))
}

/// The sum of two lengths, if a string may be that long.
fn checked_len(one: usize, other: usize, limit: usize) -> Result<usize, CommandError> {
    one.checked_add(other).filter(|len| *len <= limit).ok_or(CommandError::StringTooLong)
}

/// `GETRANGE key start end`: the bytes from start to end, both included and counted from the end if negative.
pub fn getrange(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let (key, start, end) = (args.key()?, args.integer()?, args.integer()?);
    let Some(string) = string_of(cx.view.read(key)?)? else {
        cx.reply.bulk(b"");
        return Ok(());
    };
    let range = inclusive_range(string.len(), start, end);
    cx.engine.run_copying(range.len(), || reply_range(cx.reply, string, range.clone()));
    Ok(())
}

//! Lengths and parts of strings: APPEND, STRLEN, SETRANGE, GETRANGE.

use super::{reply_string, string_of};
use crate::command::args::Args;
use crate::command::context::Context;
use crate::command::error::{CommandError, CommandResult};
use crate::keyspace::{Change, Draft};
use crate::value::string::{Str, inclusive_range};
use bytes::Bytes;

/// Padding up to this length is taken from a constant; more of it is worth an allocation of its own.
const ZEROS: [u8; 4096] = [0; 4096];

/// `APPEND key tail`: the length after it.
pub fn append(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let (key, tail) = (args.key()?, args.bytes()?);
    let limit = cx.string_limit();
    let len = cx.view.update(key, |entry| {
        let Some(entry) = entry else {
            return Ok((Change::Put(Draft::string(tail, None)), tail.len()));
        };
        let string = entry.string()?;
        let len = checked_len(string.len(), tail.len(), limit)?;
        let mut digits = itoa::Buffer::new();
        let draft = Draft::concat(&[string.bytes(&mut digits), tail], entry.deadline_ms());
        Ok::<_, CommandError>((Change::Put(draft), len))
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

/// `SETRANGE key offset patch`: the length after it. An empty patch changes nothing.
pub fn setrange(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let (key, offset, patch) = (args.key()?, args.integer()?, args.bytes()?);
    let offset = usize::try_from(offset).map_err(|_| CommandError::OffsetOutOfRange)?;
    let limit = cx.string_limit();
    let len = cx.view.update(key, |entry| {
        let mut digits = itoa::Buffer::new();
        let before = string_of(entry)?.map_or(&[][..], |string| string.bytes(&mut digits));
        if patch.is_empty() {
            return Ok((Change::Keep, before.len()));
        }
        let end = checked_len(offset, patch.len(), limit)?;
        let deadline_ms = entry.and_then(|entry| entry.deadline_ms());
        let change = Change::Put(patched(before, offset, patch, deadline_ms));
        Ok::<_, CommandError>((change, before.len().max(end)))
    })?;
    cx.reply.integer(len as i64);
    Ok(())
}

/// `before` with `patch` over it from `offset` on, padded with zero bytes between the two.
fn patched(before: &[u8], offset: usize, patch: &[u8], deadline_ms: Option<u64>) -> Draft {
    let head = &before[..offset.min(before.len())];
    let tail = before.get(offset + patch.len()..).unwrap_or_default();
    match ZEROS.get(..offset - head.len()) {
        Some(padding) => Draft::concat(&[head, padding, patch, tail], deadline_ms),
        None => {
            // Fresh zero pages cost nothing until they are read.
            let mut bytes = vec![0; offset + patch.len()];
            bytes[..head.len()].copy_from_slice(head);
            bytes[offset..].copy_from_slice(patch);
            Draft::shared(Bytes::from(bytes), deadline_ms)
        }
    }
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
    match string {
        whole if range.len() == whole.len() => reply_string(cx.reply, whole),
        Str::Shared(bytes) => cx.reply.shared_bulk(&bytes.slice(range)),
        other => cx.reply.bulk(&other.bytes(&mut itoa::Buffer::new())[range]),
    }
    Ok(())
}

//! INCR and its kind.

use super::string_of;
use crate::command::args::Args;
use crate::command::context::Context;
use crate::command::error::{CommandError, CommandResult};
use crate::keyspace::{Change, Draft, Key};
use crate::number::LongDouble;
use crate::value::string::Str;

/// `INCR key`: the value after it.
pub fn incr(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let key = args.key()?;
    add(cx, key, 1)
}

/// `DECR key`: the value after it.
pub fn decr(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let key = args.key()?;
    add(cx, key, -1)
}

/// `INCRBY key increment`: the value after it.
pub fn incrby(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let (key, increment) = (args.key()?, args.integer()?);
    add(cx, key, increment)
}

/// `DECRBY key decrement`: the value after it.
pub fn decrby(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let (key, decrement) = (args.key()?, args.integer()?);
    add(cx, key, decrement.checked_neg().ok_or(CommandError::DecrementOverflow)?)
}

fn add(cx: &mut Context<'_, '_>, key: Key<'_>, increment: i64) -> CommandResult {
    let sum = cx.view.update(key, |entry| {
        let before = match string_of(entry)? {
            Some(string) => string.integer().ok_or(CommandError::NotAnInteger)?,
            None => 0,
        };
        let sum = before.checked_add(increment).ok_or(CommandError::IncrementOverflow)?;
        let deadline_ms = entry.and_then(|entry| entry.deadline_ms());
        Ok::<_, CommandError>((Change::Put(Draft::integer(sum, deadline_ms)), sum))
    })?;
    cx.reply.integer(sum);
    Ok(())
}

/// `INCRBYFLOAT key increment`: the value after it, as a bulk string.
pub fn incrbyfloat(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let (key, increment) = (args.key()?, args.bytes()?);
    let sum = cx.view.update(key, |entry| {
        let before = match string_of(entry)? {
            None => LongDouble::from(0),
            Some(Str::Int(value)) => LongDouble::from(value),
            // Longer than any number's text.
            Some(Str::Chunks(_)) => return Err(CommandError::NotAFloat),
            Some(other) => parse_float(&other.bytes())?,
        };
        let sum = before.checked_add(parse_float(increment)?).ok_or(CommandError::NotFinite)?.format();
        let deadline_ms = entry.and_then(|entry| entry.deadline_ms());
        Ok::<_, CommandError>((Change::Put(Draft::concat(&[&sum], deadline_ms)), sum))
    })?;
    cx.reply.bulk(&sum);
    Ok(())
}

fn parse_float(text: &[u8]) -> Result<LongDouble, CommandError> {
    LongDouble::parse(text).ok_or(CommandError::NotAFloat)
}

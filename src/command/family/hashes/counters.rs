//! HINCRBY and HINCRBYFLOAT.

use crate::command::args::Args;
use crate::command::context::Context;
use crate::command::error::{CommandError, CommandResult};
use crate::number::{LongDouble, parse_integer};
use crate::value::tree::{Edit, Hash, Op};

/// `HINCRBY key field increment`: the value after it; a missing field counts as 0.
pub fn hincrby(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let (key, field, increment) = (args.key()?, args.bytes()?, args.integer()?);
    let sum = cx.view.gather::<Hash, _, CommandError>(key, |hash| {
        let before = match hash.get(field) {
            Some(value) => parse_integer(value).ok_or(CommandError::HashValueNotAnInteger)?,
            None => 0,
        };
        let sum = before.checked_add(increment).ok_or(CommandError::IncrementOverflow)?;
        let mut digits = itoa::Buffer::new();
        hash.apply(&[Edit { key: field, op: Op::Put(digits.format(sum).as_bytes()) }]);
        Ok(sum)
    })?;
    cx.reply.integer(sum);
    Ok(())
}

/// `HINCRBYFLOAT key field increment`: the value after it, as a bulk string; a missing field counts as 0.
pub fn hincrbyfloat(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let (key, field) = (args.key()?, args.bytes()?);
    let increment = LongDouble::parse(args.bytes()?).ok_or(CommandError::NotAFloat)?;
    if !increment.is_finite() {
        return Err(CommandError::InfiniteIncrement);
    }
    let sum = cx.view.gather::<Hash, _, CommandError>(key, |hash| {
        let before = match hash.get(field) {
            Some(value) => LongDouble::parse(value).ok_or(CommandError::HashValueNotAFloat)?,
            None => LongDouble::from(0),
        };
        let sum = before.checked_add(increment).ok_or(CommandError::NotFinite)?.format();
        hash.apply(&[Edit { key: field, op: Op::Put(&sum) }]);
        Ok(sum)
    })?;
    cx.reply.bulk(&sum);
    Ok(())
}

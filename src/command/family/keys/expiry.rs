//! Times to live: EXPIRE and its kind, TTL and its kind, PERSIST.

use crate::command::args::Args;
use crate::command::context::Context;
use crate::command::error::{CommandError, CommandResult};
use crate::keyspace::{Change, Draft};

/// How a command writes a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Unit {
    milliseconds: i64,
    is_absolute: bool,
}

/// When EXPIRE is to change the deadline; a key without one lives for ever.
#[derive(Clone, Copy, Debug, Default)]
struct Conditions {
    without: bool,
    with: bool,
    later: bool,
    earlier: bool,
}

impl Conditions {
    fn parse(mut args: Args<'_>) -> Result<Conditions, CommandError> {
        let mut conditions = Conditions::default();
        while let Some(option) = args.peek() {
            if args.take("NX") {
                conditions.without = true;
            } else if args.take("XX") {
                conditions.with = true;
            } else if args.take("GT") {
                conditions.later = true;
            } else if args.take("LT") {
                conditions.earlier = true;
            } else {
                return Err(CommandError::UnsupportedOption(option.to_vec()));
            }
        }
        if conditions.without && (conditions.with || conditions.later || conditions.earlier) {
            return Err(CommandError::ExpireNxConflict);
        }
        if conditions.later && conditions.earlier {
            return Err(CommandError::ExpireGtLtConflict);
        }
        Ok(conditions)
    }

    fn admit(&self, present_ms: Option<u64>, wanted_ms: i64) -> bool {
        let present = present_ms.map(|deadline_ms| deadline_ms as i64);
        !(self.without && present.is_some()
            || self.with && present.is_none()
            || self.later && present.is_none_or(|present| wanted_ms <= present)
            || self.earlier && present.is_some_and(|present| wanted_ms >= present))
    }
}

/// `EXPIRE key seconds [NX|XX|GT|LT]`: 1, or 0 if the key is missing or the condition does not hold.
pub fn expire(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    change_deadline(cx, args, Unit { milliseconds: 1000, is_absolute: false })
}

/// `EXPIREAT key unix-seconds [NX|XX|GT|LT]`: as EXPIRE.
pub fn expireat(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    change_deadline(cx, args, Unit { milliseconds: 1000, is_absolute: true })
}

/// `PEXPIRE key milliseconds [NX|XX|GT|LT]`: as EXPIRE.
pub fn pexpire(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    change_deadline(cx, args, Unit { milliseconds: 1, is_absolute: false })
}

/// `PEXPIREAT key unix-milliseconds [NX|XX|GT|LT]`: as EXPIRE.
pub fn pexpireat(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    change_deadline(cx, args, Unit { milliseconds: 1, is_absolute: true })
}

/// A deadline in the past deletes the key and answers 1.
fn change_deadline(cx: &mut Context<'_, '_>, mut args: Args<'_>, unit: Unit) -> CommandResult {
    let (key, mut time) = (args.key()?, args);
    time.bytes()?;
    let conditions = Conditions::parse(time)?;
    let now_ms = cx.view.now_ms() as i64;
    let start_ms = if unit.is_absolute { 0 } else { now_ms };
    let deadline_ms =
        args.integer()?.checked_mul(unit.milliseconds).and_then(|time| time.checked_add(start_ms));
    let deadline_ms = deadline_ms.ok_or(CommandError::InvalidExpireTime)?;
    let is_changed = cx.view.update(key, |entry| {
        let Some(entry) = entry else { return Ok((Change::Keep, false)) };
        if !conditions.admit(entry.deadline_ms(), deadline_ms) {
            return Ok((Change::Keep, false));
        }
        let change = if deadline_ms <= now_ms {
            Change::Remove
        } else {
            Change::Put(Draft::value_of(&entry, Some(deadline_ms as u64)))
        };
        Ok::<_, CommandError>((change, true))
    })?;
    cx.reply.integer(i64::from(is_changed));
    Ok(())
}

/// `TTL key`: seconds to live, rounded to nearest; -1 without a deadline, -2 without the key.
pub fn ttl(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    reply_deadline(cx, args, |deadline_ms, now_ms| (deadline_ms.saturating_sub(now_ms) + 500) / 1000)
}

/// `PTTL key`: milliseconds to live; -1 without a deadline, -2 without the key.
pub fn pttl(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    reply_deadline(cx, args, |deadline_ms, now_ms| deadline_ms.saturating_sub(now_ms))
}

/// `EXPIRETIME key`: the deadline in Unix seconds, rounded to nearest; -1 without one, -2 without the key.
pub fn expiretime(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    reply_deadline(cx, args, |deadline_ms, _| (deadline_ms + 500) / 1000)
}

/// `PEXPIRETIME key`: the deadline in Unix milliseconds; -1 without one, -2 without the key.
pub fn pexpiretime(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    reply_deadline(cx, args, |deadline_ms, _| deadline_ms)
}

fn reply_deadline(cx: &mut Context<'_, '_>, mut args: Args<'_>, shown: fn(u64, u64) -> u64) -> CommandResult {
    let key = args.key()?;
    let now_ms = cx.view.now_ms();
    let answer = match cx.view.peek(key)? {
        None => -2,
        Some(entry) => entry.deadline_ms().map_or(-1, |deadline_ms| shown(deadline_ms, now_ms) as i64),
    };
    cx.reply.integer(answer);
    Ok(())
}

/// `PERSIST key`: 1, or 0 if the key is missing or has no deadline.
pub fn persist(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let key = args.key()?;
    let is_changed = cx.view.update(key, |entry| {
        Ok::<_, CommandError>(match entry {
            Some(entry) if entry.deadline_ms().is_some() => {
                (Change::Put(Draft::value_of(&entry, None)), true)
            }
            _ => (Change::Keep, false),
        })
    })?;
    cx.reply.integer(i64::from(is_changed));
    Ok(())
}

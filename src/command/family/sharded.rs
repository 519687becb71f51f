//! The handlers of the sharded mode: the same replies from the lock-sharded store.

use super::strings::{SetEffect, SetOptions, require_pairs};
use crate::command::args::Args;
use crate::command::context::Context;
use crate::command::error::{CommandError, CommandResult};
use crate::command::spec::Handler;
use crate::keyspace::Key;
use crate::number::parse_integer;
use crate::resp::ReplyWriter;
use crate::sharded::{Full, Sharded};

/// The commands that the sharded mode serves, subcommands among them; `None` where what runs them touches no keys and
/// is the same.
pub const SERVED: &[(&str, Option<Handler>)] = &[
    ("ping", None),
    ("quit", None),
    ("select", None),
    ("command", None),
    ("command|count", None),
    ("command|docs", None),
    ("command|getkeys", None),
    ("command|getkeysandflags", None),
    ("command|help", None),
    ("command|info", None),
    ("command|list", None),
    ("config", None),
    ("config|get", None),
    ("info", None),
    ("set", Some(set)),
    ("get", Some(get)),
    ("mget", Some(mget)),
    ("mset", Some(mset)),
    ("msetnx", Some(msetnx)),
    ("setnx", Some(setnx)),
    ("incr", Some(incr)),
    ("incrby", Some(incrby)),
    ("decr", Some(decr)),
    ("decrby", Some(decrby)),
];

impl From<Full> for CommandError {
    fn from(_: Full) -> CommandError {
        CommandError::Plain("OOM command not allowed when used memory > 'maxmemory'.")
    }
}

fn store<'a>(cx: &Context<'a, '_>) -> Result<&'a Sharded, CommandError> {
    // The gate calls these handlers only where there is such a store.
    cx.engine.store.sharded().ok_or(CommandError::Plain("ERR no sharded store"))
}

fn reply_optional(reply: &mut ReplyWriter, value: Option<&[u8]>) {
    match value {
        Some(value) => reply.bulk(value),
        None => reply.null(),
    }
}

fn get(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let name = args.key()?.name();
    let mut shard = store(cx)?.lock(name);
    reply_optional(cx.reply, shard.read(name, cx.view.now_ms()));
    Ok(())
}

fn set(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let (key, value) = (args.key()?, args.bytes()?);
    let options = SetOptions::parse(args)?;
    let now_ms = cx.view.now_ms();
    let new_deadline_ms = options.new_deadline_ms(now_ms)?;
    let mut shard = store(cx)?.lock(key.name());
    let present = shard.peek(key.name(), now_ms);
    let before = present.filter(|_| options.answers_old()).map(|(value, _)| value.to_vec());
    let plan = options.plan(present.map(|(_, deadline_ms)| deadline_ms), new_deadline_ms, now_ms);
    match plan {
        SetEffect::Keep => {}
        SetEffect::Remove => shard.remove(key.name()),
        SetEffect::Put(deadline_ms) => shard.put(key.name(), value, deadline_ms)?,
    }
    drop(shard);
    match (options.answers_old(), plan) {
        (true, _) => reply_optional(cx.reply, before.as_deref()),
        (false, SetEffect::Keep) => cx.reply.null(),
        (false, _) => cx.reply.simple("OK"),
    }
    Ok(())
}

fn setnx(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let (key, value) = (args.key()?, args.bytes()?);
    let mut shard = store(cx)?.lock(key.name());
    let is_missing = shard.peek(key.name(), cx.view.now_ms()).is_none();
    if is_missing {
        shard.put(key.name(), value, None)?;
    }
    cx.reply.integer(i64::from(is_missing));
    Ok(())
}

fn mget(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    let now_ms = cx.view.now_ms();
    let mut locked = store(cx)?.lock_all(args.rest_keys().map(|key| key.name()));
    cx.reply.array(args.len());
    for key in args.rest_keys() {
        let value = locked.shard(key.name()).and_then(|shard| shard.read(key.name(), now_ms));
        reply_optional(cx.reply, value);
    }
    Ok(())
}

fn mset(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    require_pairs(&args)?;
    let pairs = args.rest_pairs().map(|(key, value)| (key.name(), value));
    store(cx)?.lock_all(pairs.clone().map(|(name, _)| name)).put_all(pairs)?;
    cx.reply.simple("OK");
    Ok(())
}

fn msetnx(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    require_pairs(&args)?;
    let now_ms = cx.view.now_ms();
    let pairs = args.rest_pairs().map(|(key, value)| (key.name(), value));
    let mut locked = store(cx)?.lock_all(pairs.clone().map(|(name, _)| name));
    let is_there =
        |(name, _): (&[u8], _)| locked.shard(name).is_some_and(|shard| shard.peek(name, now_ms).is_some());
    let are_missing = !pairs.clone().any(is_there);
    if are_missing {
        locked.put_all(pairs)?;
    }
    cx.reply.integer(i64::from(are_missing));
    Ok(())
}

fn incr(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let key = args.key()?;
    add(cx, key, 1)
}

fn decr(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let key = args.key()?;
    add(cx, key, -1)
}

fn incrby(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let (key, increment) = (args.key()?, args.integer()?);
    add(cx, key, increment)
}

fn decrby(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let (key, decrement) = (args.key()?, args.integer()?);
    add(cx, key, decrement.checked_neg().ok_or(CommandError::DecrementOverflow)?)
}

fn add(cx: &mut Context<'_, '_>, key: Key<'_>, increment: i64) -> CommandResult {
    let mut shard = store(cx)?.lock(key.name());
    let (before, deadline_ms) = match shard.peek(key.name(), cx.view.now_ms()) {
        Some((value, deadline_ms)) => (parse_integer(value).ok_or(CommandError::NotAnInteger)?, deadline_ms),
        None => (0, None),
    };
    let sum = before.checked_add(increment).ok_or(CommandError::IncrementOverflow)?;
    shard.put(key.name(), itoa::Buffer::new().format(sum).as_bytes(), deadline_ms)?;
    cx.reply.integer(sum);
    Ok(())
}

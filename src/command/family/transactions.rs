//! MULTI, EXEC, DISCARD, WATCH, UNWATCH.

use crate::command::args::Args;
use crate::command::context::Context;
use crate::command::error::{CommandError, CommandResult};
use crate::command::spec::Arity::{AtLeast, Exactly};
use crate::command::spec::{CommandSpec, Flags, Group, KeySpec, row};

const NOW: Flags = Flags::NOSCRIPT.or(Flags::LOADING).or(Flags::STALE);
const FAST: Flags = NOW.or(Flags::FAST).or(Flags::ALLOW_BUSY);

const TRANSACTIONS: CommandSpec = CommandSpec::of(Group::Transactions).since("2.2.0");

/// The family's rows.
pub const ROWS: &[CommandSpec] = &[
    row(TRANSACTIONS, "multi", "", Exactly(1), FAST.or(Flags::IMMEDIATE), multi)
        .since("1.2.0")
        .summary("Starts a transaction: the commands that follow are queued."),
    row(TRANSACTIONS, "exec", "", Exactly(1), NOW.or(Flags::SKIP_SLOWLOG).or(Flags::IMMEDIATE), exec)
        .since("1.2.0")
        .summary("Runs the queued commands as one atomic transaction.")
        .complexity("Depends on the commands in the transaction"),
    row(TRANSACTIONS, "discard", "", Exactly(1), FAST.or(Flags::IMMEDIATE), discard)
        .since("2.0.0")
        .summary("Discards the transaction and its queued commands.")
        .complexity("O(N) with N commands queued"),
    row(TRANSACTIONS, "watch", "key:key...", AtLeast(2), FAST.or(Flags::IMMEDIATE), watch)
        .summary("Makes the next EXEC run only if these keys have not changed.")
        .complexity("O(1) for every key")
        .keys(&[KeySpec::range(1, -1, 1, &["RO"])]),
    row(TRANSACTIONS, "unwatch", "", Exactly(1), FAST, unwatch).summary("Forgets all watched keys."),
];

/// `MULTI`: `+OK`, and every command until EXEC or DISCARD is queued.
fn multi(cx: &mut Context<'_, '_>, _: Args<'_>) -> CommandResult {
    if cx.session.is_queuing() {
        return Err(CommandError::NestedMulti);
    }
    cx.session.start_queue();
    cx.reply.simple("OK");
    Ok(())
}

/// `EXEC`: the array of the queued commands' replies, or null if a watched key has changed. The gate runs
/// the queue.
fn exec(cx: &mut Context<'_, '_>, _: Args<'_>) -> CommandResult {
    let is_doomed = cx.session.queue().ok_or(CommandError::ExecWithoutMulti)?.is_doomed();
    if is_doomed {
        cx.session.drop_queue();
        cx.session.unwatch(cx.view);
        return Err(CommandError::ExecAbort);
    }
    cx.session.begin_execution();
    Ok(())
}

/// `DISCARD`: `+OK`; the queue and the watches are gone.
fn discard(cx: &mut Context<'_, '_>, _: Args<'_>) -> CommandResult {
    if !cx.session.drop_queue() {
        return Err(CommandError::DiscardWithoutMulti);
    }
    cx.session.unwatch(cx.view);
    cx.reply.simple("OK");
    Ok(())
}

/// `WATCH key [key ...]`: `+OK`.
fn watch(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    if cx.session.is_queuing() {
        return Err(CommandError::WatchInsideMulti);
    }
    for key in args.rest_keys() {
        cx.session.watch(cx.view, key)?;
    }
    cx.reply.simple("OK");
    Ok(())
}

/// `UNWATCH`: `+OK`. Queued, it does nothing: EXEC forgets the watches anyway.
fn unwatch(cx: &mut Context<'_, '_>, _: Args<'_>) -> CommandResult {
    if !cx.session.is_executing() {
        cx.session.unwatch(cx.view);
    }
    cx.reply.simple("OK");
    Ok(())
}

//! MULTI, EXEC, DISCARD, WATCH, UNWATCH.

use crate::command::args::Args;
use crate::command::context::Context;
use crate::command::error::{CommandError, CommandResult};
use crate::command::spec::Arity::{AtLeast, Exactly};
use crate::command::spec::{CommandSpec, Flags, Group, KeySpec};

const NOW: Flags = Flags::NOSCRIPT.or(Flags::LOADING).or(Flags::STALE);
const FAST: Flags = NOW.or(Flags::FAST).or(Flags::ALLOW_BUSY);

const TRANSACTIONS: CommandSpec = CommandSpec {
    name: "",
    since: "2.2.0",
    summary: "",
    complexity: "O(1)",
    group: Group::Transactions,
    arity: Exactly(1),
    arguments: "",
    flags: FAST.or(Flags::IMMEDIATE),
    keys: &[],
    tips: &[],
    handler: super::needs_subcommand,
    subcommands: &[],
};

/// The family's rows.
pub const ROWS: &[CommandSpec] = &[
    CommandSpec {
        name: "multi",
        arguments: "",
        flags: FAST.or(Flags::IMMEDIATE),
        since: "1.2.0",
        summary: "Starts a transaction: the commands that follow are queued.",
        handler: multi,
        ..TRANSACTIONS
    },
    CommandSpec {
        name: "exec",
        arguments: "",
        since: "1.2.0",
        summary: "Runs the queued commands as one atomic transaction.",
        complexity: "Depends on the commands in the transaction",
        flags: NOW.or(Flags::SKIP_SLOWLOG).or(Flags::IMMEDIATE),
        handler: exec,
        ..TRANSACTIONS
    },
    CommandSpec {
        name: "discard",
        arguments: "",
        flags: FAST.or(Flags::IMMEDIATE),
        since: "2.0.0",
        summary: "Discards the transaction and its queued commands.",
        complexity: "O(N) with N commands queued",
        handler: discard,
        ..TRANSACTIONS
    },
    CommandSpec {
        name: "watch",
        arguments: "key:key...",
        flags: FAST.or(Flags::IMMEDIATE),
        summary: "Makes the next EXEC run only if these keys have not changed.",
        complexity: "O(1) for every key",
        arity: AtLeast(2),
        keys: &[KeySpec::range(1, -1, 1, &["RO"])],
        handler: watch,
        ..TRANSACTIONS
    },
    CommandSpec {
        name: "unwatch",
        arguments: "",
        summary: "Forgets all watched keys.",
        flags: FAST,
        handler: unwatch,
        ..TRANSACTIONS
    },
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

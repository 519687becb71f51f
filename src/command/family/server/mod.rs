//! The server as a whole: DBSIZE, FLUSHALL, TIME; the others in files of their own.

pub mod client;
mod command;
mod config;
mod debug;
mod docs;
mod encoded;
mod info;
mod latency;
mod lines;
mod memory;
mod namespace;
mod process;
mod slowlog;
mod snapshots;

use crate::command::args::Args;
use crate::command::context::Context;
use crate::command::error::{CommandError, CommandResult};
use crate::command::spec::Arity::{AtLeast, Exactly};
use crate::command::spec::{CommandSpec, Flags, Group, row};

/// The Redis version whose behaviour clients may rely on.
pub const VERSION: &str = "7.2.0";

const VARIES: &[&str] = &["nondeterministic_output"];

const FLUSHES: Flags = Flags::WRITE.or(Flags::KEYSPACE).or(Flags::DANGEROUS);

const SERVER: CommandSpec = CommandSpec::of(Group::Server);

const FLUSH: CommandSpec = SERVER.tips(&["request_policy:all_shards", "response_policy:all_succeeded"]);

/// The family's rows.
pub const ROWS: &[CommandSpec] = &[
    row(SERVER, "dbsize", "", Exactly(1), Flags::READONLY.or(Flags::FAST).or(Flags::KEYSPACE), dbsize)
        .summary("Returns the number of keys.")
        .tips(&["request_policy:all_shards", "response_policy:agg_sum"]),
    row(FLUSH, "flushdb", "[(ASYNC|SYNC)]", AtLeast(1), FLUSHES, flush)
        .summary("Deletes all keys atomically; the memory is freed in the background."),
    row(FLUSH, "flushall", "[(ASYNC|SYNC)]", AtLeast(1), FLUSHES, flush)
        .summary("Deletes all keys atomically; the same as FLUSHDB, since there is one database."),
    row(SERVER, "time", "", Exactly(1), Flags::LOADING.or(Flags::STALE).or(Flags::FAST), time)
        .since("2.6.0")
        .summary("Returns the server's time.")
        .tips(VARIES),
    row(
        SERVER,
        "info",
        "[section...]",
        AtLeast(1),
        Flags::LOADING.or(Flags::STALE).or(Flags::DANGEROUS),
        info::info,
    )
    .summary("Returns figures about the server, in sections.")
    .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"]),
    command::COMMAND,
    config::CONFIG,
    debug::DEBUG,
    latency::LATENCY,
    memory::MEMORY,
    namespace::NAMESPACE,
    process::LOLWUT,
    process::MONITOR,
    process::ROLE,
    process::WAIT,
    process::XADD,
    slowlog::SLOWLOG,
    snapshots::BGSAVE,
    snapshots::LASTSAVE,
    snapshots::SAVE,
    snapshots::SHUTDOWN,
];

/// `DBSIZE`: the number of keys.
fn dbsize(cx: &mut Context<'_, '_>, _: Args<'_>) -> CommandResult {
    let len = cx.view.len();
    cx.reply.integer(len as i64);
    Ok(())
}

/// `FLUSHDB [ASYNC|SYNC]` and `FLUSHALL`: `+OK`. Both ways free the memory in the background.
fn flush(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    if !args.is_empty() && !args.take("ASYNC") && !args.take("SYNC") {
        return Err(CommandError::Syntax);
    }
    args.finish()?;
    cx.view.flush()?;
    cx.reply.simple("OK");
    Ok(())
}

/// `TIME`: Unix seconds and the microseconds within the second.
fn time(cx: &mut Context<'_, '_>, _: Args<'_>) -> CommandResult {
    let now_us = cx.engine.clock.unix_us();
    cx.reply.array(2);
    cx.reply.bulk_integer((now_us / 1_000_000) as i64);
    cx.reply.bulk_integer((now_us % 1_000_000) as i64);
    Ok(())
}

//! SLOWLOG: the commands that took long.

use super::SERVER;
use crate::command::args::Args;
use crate::command::context::Context;
use crate::command::error::{CommandError, CommandResult};
use crate::command::spec::Arity::{AtLeast, Exactly};
use crate::command::spec::{CommandSpec, Flags, container, row};
use crate::number::parse_integer;

/// Entries that SLOWLOG GET answers unless told otherwise.
const DEFAULT_COUNT: usize = 10;

const FOR_ADMIN: Flags = Flags::ADMIN.or(Flags::LOADING).or(Flags::STALE).or(Flags::AFTER_COMMIT);

const SUBCOMMAND: CommandSpec = SERVER.since("2.2.12");

/// The container and its subcommands.
pub const SLOWLOG: CommandSpec = container(
    SERVER,
    "slowlog",
    &[
        row(SUBCOMMAND, "slowlog|get", "[count:integer]", AtLeast(2), FOR_ADMIN, get)
            .summary("Returns the newest entries of the slow log.")
            .complexity("O(N) with N entries")
            .tips(&["request_policy:all_nodes", "nondeterministic_output"]),
        row(SUBCOMMAND, "slowlog|len", "", Exactly(2), FOR_ADMIN, len)
            .summary("Returns the number of entries in the slow log.")
            .tips(&["request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output"]),
        row(SUBCOMMAND, "slowlog|reset", "", Exactly(2), FOR_ADMIN, reset)
            .summary("Empties the slow log.")
            .complexity("O(N) with N entries")
            .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]),
        row(SUBCOMMAND, "slowlog|help", "", Exactly(2), Flags::LOADING.or(Flags::STALE), help)
            .since("6.2.0")
            .summary("Describes how to use SLOWLOG."),
    ],
)
.since("2.2.12")
.summary("Container for commands about slow commands.");

/// `SLOWLOG GET [count]`: the newest entries first, all of them for -1; each is its id, the Unix time, microseconds,
/// the arguments, the client's address and name.
fn get(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let count = match args.bytes() {
        Err(_) => DEFAULT_COUNT,
        Ok(_) if !args.is_empty() => return Err(CommandError::SubcommandSyntax(args.subcommand().to_vec())),
        Ok(count) => match parse_integer(count) {
            Some(-1) => usize::MAX,
            Some(count @ 0..) => usize::try_from(count).unwrap_or(usize::MAX),
            _ => return Err(CommandError::Plain("ERR count should be greater than or equal to -1")),
        },
    };
    let entries = cx.engine.stats.slowlog.newest(count);
    cx.reply.array(entries.len());
    for entry in entries {
        cx.reply.array(6);
        cx.reply.integer(entry.id as i64);
        cx.reply.integer(entry.unix_s as i64);
        cx.reply.integer(entry.duration_us as i64);
        cx.reply.array(entry.args.len());
        entry.args.iter().for_each(|argument| cx.reply.bulk(argument));
        cx.reply.bulk(entry.client.as_bytes());
        cx.reply.bulk(&entry.name);
    }
    Ok(())
}

/// `SLOWLOG LEN`: the number of entries.
fn len(cx: &mut Context<'_, '_>, _: Args<'_>) -> CommandResult {
    cx.reply.integer(cx.engine.stats.slowlog.len() as i64);
    Ok(())
}

/// `SLOWLOG RESET`: `+OK`.
fn reset(cx: &mut Context<'_, '_>, _: Args<'_>) -> CommandResult {
    cx.engine.stats.slowlog.clear();
    cx.reply.simple("OK");
    Ok(())
}

/// `SLOWLOG HELP`: lines of text.
fn help(cx: &mut Context<'_, '_>, _: Args<'_>) -> CommandResult {
    super::super::reply_help(
        cx,
        &[
            "GET [<count>]",
            "    Return top <count> entries from the slowlog (default: 10, -1 mean all).",
            "    Entries are made of:",
            "    id, timestamp, time in microseconds, arguments array, client IP and port,",
            "    client name",
            "LEN",
            "    Return the length of the slowlog.",
            "RESET",
            "    Reset the slowlog.",
        ],
    )
}

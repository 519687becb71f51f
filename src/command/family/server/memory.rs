//! MEMORY: what the keys and the allocator hold.

use super::SERVER;
use crate::command::args::Args;
use crate::command::context::Context;
use crate::command::error::{CommandError, CommandResult};
use crate::command::spec::Arity::{AtLeast, Exactly};
use crate::command::spec::{CommandSpec, Flags, KeySpec, container, row};
use crate::memory::allocator::Allocator;

const ASKS_ALL: &[&str] =
    &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"];

const SUBCOMMAND: CommandSpec = SERVER.since("4.0.0").tips(ASKS_ALL);

/// The container and its subcommands.
pub const MEMORY: CommandSpec = container(
    SERVER,
    "memory",
    &[
        row(
            SUBCOMMAND,
            "memory|usage",
            "key:key [SAMPLES=count:integer]",
            AtLeast(3),
            Flags::READONLY,
            usage,
        )
        .tips(&[])
        .summary("Returns the number of bytes that a key and its value take.")
        .keys(&[KeySpec::at(2, &["RO"])]),
        row(SUBCOMMAND, "memory|stats", "", Exactly(2), Flags::NONE, stats)
            .summary("Returns what memory is used for."),
        row(SUBCOMMAND, "memory|doctor", "", Exactly(2), Flags::NONE, doctor)
            .summary("Reports memory problems in words."),
        row(SUBCOMMAND, "memory|help", "", Exactly(2), Flags::LOADING.or(Flags::STALE), help)
            .tips(&[])
            .summary("Describes how to use MEMORY."),
    ],
)
.since("4.0.0")
.summary("Container for commands about memory.");

/// `MEMORY USAGE key [SAMPLES count]`: bytes, or null. Footprints are exact, so there is nothing to sample.
fn usage(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let key = args.key()?;
    while !args.is_empty() {
        if !args.take_with("SAMPLES", 1) || args.integer()? < 0 {
            return Err(CommandError::Syntax);
        }
    }
    match cx.view.peek(key)? {
        Some(entry) => cx.reply.integer(entry.footprint() as i64),
        None => cx.reply.null(),
    }
    Ok(())
}

/// `MEMORY STATS`: a map of figures.
fn stats(cx: &mut Context<'_, '_>, _: Args<'_>) -> CommandResult {
    let allocator = Allocator::read();
    let (keys, dataset) = (cx.view.len(), cx.engine.keyspace.accounted_bytes());
    let overhead = allocator.allocated.saturating_sub(dataset);
    let integers = [
        ("total.allocated", allocator.allocated),
        ("keys.count", keys),
        ("keys.bytes-per-key", dataset.checked_div(keys).unwrap_or(0)),
        ("dataset.bytes", dataset),
        ("overhead.total", overhead),
        ("peak.allocated", cx.engine.stats.note_memory(allocator.allocated)),
        ("clients.normal", cx.engine.clients.ledger.held()),
        ("alarms.bytes", cx.engine.keyspace.alarm_bytes()),
        ("freeing.keys", cx.engine.keyspace.freeing()),
        ("limit.bytes", cx.engine.settings.load().memory_limit),
        ("limit.room", cx.engine.keyspace.memory.free().max(0) as u64),
        ("allocator.allocated", allocator.allocated),
        ("allocator.active", allocator.active),
        ("allocator.resident", allocator.resident),
        ("allocator-fragmentation.bytes", allocator.active.saturating_sub(allocator.allocated)),
        ("allocator-rss.bytes", allocator.resident.saturating_sub(allocator.active)),
    ];
    let ratios = [
        ("dataset.percentage", 100.0 * ratio(dataset, allocator.allocated)),
        ("allocator-fragmentation.ratio", ratio(allocator.active, allocator.allocated)),
        ("allocator-rss.ratio", ratio(allocator.resident, allocator.active)),
    ];
    cx.reply.map(integers.len() + ratios.len());
    for (name, value) in integers {
        cx.reply.bulk(name.as_bytes());
        cx.reply.integer(value as i64);
    }
    for (name, value) in ratios {
        cx.reply.bulk(name.as_bytes());
        cx.reply.double(value);
    }
    Ok(())
}

/// `part` by `whole`, 0 when there is no whole.
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// `MEMORY DOCTOR`: what to worry about, in words.
fn doctor(cx: &mut Context<'_, '_>, _: Args<'_>) -> CommandResult {
    /// Below this much memory, ratios say nothing.
    const ENOUGH_BYTES: u64 = 5 << 20;
    let allocator = Allocator::read();
    let limit = cx.engine.settings.load().memory_limit;
    let report = if allocator.allocated < ENOUGH_BYTES {
        "This server uses very little memory: there is nothing to diagnose yet.\n".to_owned()
    } else if cx.engine.keyspace.memory.free() < (limit / 10) as i64 {
        format!(
            "{} of the {limit} bytes allowed are in use: raise maxmemory, delete keys or set an eviction policy.\n",
            allocator.allocated
        )
    } else if ratio(allocator.active, allocator.allocated) > 1.4 {
        "The allocator's pages are fragmented: much was deleted lately, or values vary widely in size.\n"
            .to_owned()
    } else {
        "I found no memory issue in this server.\n".to_owned()
    };
    cx.reply.verbatim("txt", report.as_bytes());
    Ok(())
}

/// `MEMORY HELP`: lines of text.
fn help(cx: &mut Context<'_, '_>, _: Args<'_>) -> CommandResult {
    super::super::reply_help(
        cx,
        &[
            "DOCTOR",
            "    Return memory problems reports.",
            "STATS",
            "    Return information about the memory usage of the server.",
            "USAGE <key> [SAMPLES <count>]",
            "    Return memory in bytes used by <key> and its value.",
        ],
    )
}

//! OBJECT: what is known of a value beside the value.

use super::{GENERIC, READ, VARIES};
use crate::command::args::Args;
use crate::command::context::Context;
use crate::command::error::{CommandError, CommandResult};
use crate::command::spec::Arity::Exactly;
use crate::command::spec::{CommandSpec, Flags, KeySpec, container, row};
use crate::keyspace::{Entry, Kind};
use crate::value::tree::{Hash, List, Set};

const SUBCOMMAND: CommandSpec = GENERIC.since("2.2.3").keys(&[KeySpec::at(2, &["RO"])]);

/// The container and its subcommands.
pub const OBJECT: CommandSpec = container(
    GENERIC,
    "object",
    &[
        row(SUBCOMMAND, "object|encoding", "key:key", Exactly(3), READ, encoding)
            .summary("Returns the name of a value's representation.")
            .tips(VARIES),
        row(SUBCOMMAND, "object|freq", "key:key", Exactly(3), READ, freq)
            .since("4.0.0")
            .summary("Returns the access frequency of a key, from 0 to 255.")
            .tips(VARIES),
        row(SUBCOMMAND, "object|idletime", "key:key", Exactly(3), READ, idletime)
            .summary("Returns the seconds since the last access of a key.")
            .tips(VARIES),
        row(SUBCOMMAND, "object|refcount", "key:key", Exactly(3), READ, refcount)
            .summary("Returns the reference count of a value: always 1.")
            .tips(VARIES),
        row(SUBCOMMAND, "object|help", "", Exactly(2), Flags::LOADING.or(Flags::STALE), help)
            .since("6.2.0")
            .summary("Describes how to use OBJECT.")
            .keys(&[]),
    ],
)
.since("2.2.3")
.summary("Container for commands about the representation of values.")
.keys(&[]);

/// The name of a value's representation.
pub fn encoding_of(entry: &Entry<'_>) -> Result<&'static str, CommandError> {
    let large = |is_small: bool, name| if is_small { "listpack" } else { name };
    Ok(match entry.kind() {
        Kind::String => entry.string()?.encoding(),
        Kind::List => large(entry.tree::<List>()?.is_small(), "quicklist"),
        Kind::Hash => large(entry.tree::<Hash>()?.is_small(), "hashtable"),
        Kind::Set => large(entry.tree::<Set>()?.is_small(), "hashtable"),
        Kind::SortedSet => large(entry.sorted_set()?.is_small(), "skiplist"),
    })
}

/// `OBJECT ENCODING key`: the representation's name, or null.
fn encoding(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    if let Some(entry) = peek(cx, args)? {
        cx.reply.bulk(encoding_of(&entry)?.as_bytes());
    }
    Ok(())
}

/// `OBJECT FREQ key`: the aged access counter, or null.
fn freq(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    if let Some(entry) = peek(cx, args)? {
        cx.reply.integer(i64::from(entry.frequency()));
    }
    Ok(())
}

/// `OBJECT IDLETIME key`: seconds since the key was last used, or null.
fn idletime(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    if let Some(entry) = peek(cx, args)? {
        cx.reply.integer(entry.idle_seconds() as i64);
    }
    Ok(())
}

/// `OBJECT REFCOUNT key`: 1, for keys share no values; or null.
fn refcount(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    if peek(cx, args)?.is_some() {
        cx.reply.integer(1);
    }
    Ok(())
}

/// The entry; without one, null is the reply.
fn peek<'g>(cx: &mut Context<'_, 'g>, mut args: Args<'_>) -> Result<Option<Entry<'g>>, CommandError> {
    let key = args.key()?;
    let entry = cx.view.peek(key)?;
    if entry.is_none() {
        cx.reply.null();
    }
    Ok(entry)
}

/// `OBJECT HELP`: lines of text.
fn help(cx: &mut Context<'_, '_>, _: Args<'_>) -> CommandResult {
    super::super::reply_help(
        cx,
        &[
            "ENCODING <key>",
            "    Return the name of the representation of the value at <key>.",
            "FREQ <key>",
            "    Return how often <key> is used: a counter from 0 to 255 that ages.",
            "IDLETIME <key>",
            "    Return the seconds since <key> was last read or written.",
            "REFCOUNT <key>",
            "    Return the number of keys that hold the value at <key>.",
        ],
    )
}

//! COMMAND: the command table, for clients.

use super::SERVER;
use super::docs::docs;
use super::encoded::Encoded;
use crate::command::args::Args;
use crate::command::context::Context;
use crate::command::error::{CommandError, CommandResult};
use crate::command::spec::Arity::{AtLeast, Exactly};
use crate::command::spec::{CommandSpec, Flags, KeySpec, row};
use crate::command::table::{self, COUNT, ROWS};
use crate::glob::Pattern;
use crate::resp::{ReplyWriter, Request};

const FLAGS: Flags = Flags::LOADING.or(Flags::STALE).or(Flags::CONNECTION);
const ANY_ORDER: &[&str] = &["nondeterministic_output_order"];

const SUBCOMMAND: CommandSpec = SERVER.since("7.0.0").tips(ANY_ORDER);

/// The container and its subcommands.
pub const COMMAND: CommandSpec = row(SERVER, "command", "", AtLeast(1), FLAGS, all)
    .since("2.8.13")
    .summary("Returns information about all commands.")
    .complexity("O(N) with N commands")
    .tips(ANY_ORDER)
    .subcommands(&[
        row(SUBCOMMAND, "command|count", "", Exactly(2), FLAGS, count)
            .since("2.8.13")
            .tips(&[])
            .summary("Returns the number of commands."),
        row(
            SUBCOMMAND,
            "command|list",
            "[FILTERBY=(MODULE=module-name|ACLCAT=category|PATTERN=pattern:pattern)]",
            AtLeast(2),
            FLAGS,
            list,
        )
        .summary("Returns the names of the commands.")
        .complexity("O(N) with N commands"),
        row(SUBCOMMAND, "command|info", "[command-name...]", AtLeast(2), FLAGS, info)
            .since("2.8.13")
            .summary("Returns information about some commands.")
            .complexity("O(N) with N commands asked for"),
        row(SUBCOMMAND, "command|docs", "[command-name...]", AtLeast(2), FLAGS, docs)
            .summary("Returns documentation of some commands.")
            .complexity("O(N) with N commands asked for"),
        row(SUBCOMMAND, "command|getkeys", "", AtLeast(4), FLAGS, getkeys)
            .since("2.8.13")
            .tips(&[])
            .summary("Returns the keys of a full command.")
            .complexity("O(N) with N arguments"),
        row(SUBCOMMAND, "command|getkeysandflags", "", AtLeast(4), FLAGS, getkeysandflags)
            .tips(&[])
            .summary("Returns the keys of a full command with their access flags.")
            .complexity("O(N) with N arguments"),
        row(SUBCOMMAND, "command|help", "", Exactly(2), FLAGS, help)
            .since("5.0.0")
            .tips(&[])
            .summary("Describes how to use COMMAND."),
    ]);

/// `COMMAND`: as COMMAND INFO of every command.
fn all(cx: &mut Context<'_, '_>, _: Args<'_>) -> CommandResult {
    static ENCODED: Encoded = Encoded::new();
    ENCODED.reply(cx, |reply| {
        reply.array(COUNT);
        table::commands().for_each(|spec| reply_info(reply, spec));
    });
    Ok(())
}

/// `COMMAND COUNT`: the number of commands, subcommands not counted.
fn count(cx: &mut Context<'_, '_>, _: Args<'_>) -> CommandResult {
    cx.reply.integer(COUNT as i64);
    Ok(())
}

/// `COMMAND LIST [FILTERBY MODULE name|ACLCAT category|PATTERN pattern]`: names, subcommands among them.
fn list(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let names: Vec<&str> = if args.is_empty() {
        ROWS.iter().map(|spec| spec.name).collect()
    } else if args.len() == 3 && args.take("FILTERBY") {
        let is_wanted: Box<dyn Fn(&CommandSpec) -> bool> = if args.take("MODULE") {
            // There are no modules.
            Box::new(|_| false)
        } else if args.take("ACLCAT") {
            let category = args.bytes()?;
            Box::new(|spec| spec.categories().any(|name| name.as_bytes().eq_ignore_ascii_case(category)))
        } else if args.take("PATTERN") {
            let pattern = Pattern::new(args.bytes()?).ignoring_case();
            Box::new(move |spec| pattern.matches(spec.name.as_bytes()))
        } else {
            return Err(CommandError::Syntax);
        };
        ROWS.iter().filter(|spec| is_wanted(spec)).map(|spec| spec.name).collect()
    } else {
        return Err(CommandError::Syntax);
    };
    cx.reply.array(names.len());
    names.iter().for_each(|name| cx.reply.bulk(name.as_bytes()));
    Ok(())
}

/// `COMMAND INFO [name ...]`: an array for each command, null for unknown names.
fn info(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    if args.is_empty() {
        return all(cx, args);
    }
    cx.reply.array(args.len());
    while let Ok(name) = args.bytes() {
        match table::find_full(name) {
            Some(row) => reply_info(cx.reply, row.spec()),
            None => cx.reply.null(),
        }
    }
    Ok(())
}

fn reply_info(reply: &mut ReplyWriter, spec: &CommandSpec) {
    let (first, last, step) = spec.key_range();
    reply.array(10);
    reply.bulk(spec.name.as_bytes());
    reply.integer(spec.arity.code());
    reply_words(reply, &spec.flags.names().map(str::to_owned).collect::<Vec<_>>());
    reply.integer(first);
    reply.integer(last);
    reply.integer(step);
    reply_words(reply, &spec.categories().map(|name| format!("@{name}")).collect::<Vec<_>>());
    reply.set(spec.tips.len());
    spec.tips.iter().for_each(|tip| reply.bulk(tip.as_bytes()));
    reply.set(spec.keys.len());
    spec.keys.iter().for_each(|keys| reply_key_spec(reply, keys));
    if spec.subcommands.is_empty() {
        reply.set(0)
    } else {
        reply.array(spec.subcommands.len())
    }
    spec.subcommands.iter().for_each(|subcommand| reply_info(reply, subcommand));
}

/// A set of simple strings.
fn reply_words(reply: &mut ReplyWriter, words: &[impl AsRef<str>]) {
    reply.set(words.len());
    words.iter().for_each(|word| reply.simple(word.as_ref()));
}

fn reply_key_spec(reply: &mut ReplyWriter, keys: &KeySpec) {
    reply.map(3 + usize::from(!keys.notes.is_empty()));
    if !keys.notes.is_empty() {
        reply.bulk(b"notes");
        reply.bulk(keys.notes.as_bytes());
    }
    reply.bulk(b"flags");
    reply_words(reply, keys.access);
    reply.bulk(b"begin_search");
    if keys.found_by.is_some() {
        reply_typed(reply, b"unknown", &[]);
        reply.bulk(b"find_keys");
        return reply_typed(reply, b"unknown", &[]);
    }
    reply_typed(reply, b"index", &[(b"index", keys.first as i64 - i64::from(keys.numbered))]);
    reply.bulk(b"find_keys");
    if keys.numbered {
        let step = keys.step as i64;
        return reply_typed(reply, b"keynum", &[(b"keynumidx", 0), (b"firstkey", 1), (b"keystep", step)]);
    }
    // The last key counts from the first one here, unless it counts from the end.
    let last = if keys.last < 0 { keys.last } else { keys.last - keys.first as i64 };
    reply_typed(reply, b"range", &[(b"lastkey", last), (b"keystep", keys.step as i64), (b"limit", 0)]);
}

/// A map of a type's name and its properties.
fn reply_typed(reply: &mut ReplyWriter, kind: &[u8], properties: &[(&[u8], i64)]) {
    reply.map(2);
    reply.bulk(b"type");
    reply.bulk(kind);
    reply.bulk(b"spec");
    reply.map(properties.len());
    for (name, value) in properties {
        reply.bulk(name);
        reply.integer(*value);
    }
}

/// `COMMAND GETKEYS command [argument ...]`: the command's keys.
fn getkeys(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    let request = args.rest_request();
    let request = request.as_request();
    let keys = find_keys(request)?;
    cx.reply.array(keys.len());
    keys.iter().for_each(|(position, _)| cx.reply.bulk(request.get(*position).unwrap_or_default()));
    Ok(())
}

/// `COMMAND GETKEYSANDFLAGS command [argument ...]`: pairs of a key and what the command does to it.
fn getkeysandflags(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    let request = args.rest_request();
    let request = request.as_request();
    let keys = find_keys(request)?;
    cx.reply.array(keys.len());
    for (position, access) in keys {
        cx.reply.array(2);
        cx.reply.bulk(request.get(position).unwrap_or_default());
        reply_words(cx.reply, access);
    }
    Ok(())
}

/// Where a key is among the arguments, and what is done to it.
type Position = (usize, &'static [&'static str]);

/// The positions of the keys of a command that is given in full.
fn find_keys(request: Request<'_>) -> Result<Vec<Position>, CommandError> {
    let (row, arity) = match table::resolve(request) {
        Ok(row) => (row.spec(), Ok(())),
        Err(refused) => {
            (refused.row.ok_or(CommandError::GetKeysUnknown)?.spec(), Err(CommandError::GetKeysArity))
        }
    };
    if row.key_specs().next().is_none() {
        return Err(CommandError::GetKeysNone);
    }
    arity?;
    if row.key_specs().any(|spec| spec.is_contradicted(request)) {
        return find_numbered(row, request).ok_or(CommandError::GetKeysInvalid);
    }
    let access = |spec: &KeySpec| spec.access_of.map_or(spec.access, |access_of| access_of(request));
    let keys: Vec<Position> =
        row.key_positions(request).map(|(position, spec)| (position, access(spec))).collect();
    if keys.is_empty() { Err(CommandError::GetKeysInvalid) } else { Ok(keys) }
}

/// What Redis falls back to where the number of keys is none: it reads it as C does, names the numbered keys first,
/// and does not know what is done to any. `None` if that fails too.
fn find_numbered(row: &CommandSpec, request: Request<'_>) -> Option<Vec<Position>> {
    let mut keys = Vec::new();
    for spec in row.key_specs().filter(|spec| spec.numbered) {
        keys.extend(spec.positions_by(request, leading_integer)?);
    }
    for spec in row.key_specs().filter(|spec| !spec.numbered) {
        keys.extend(spec.positions(request));
    }
    Some(keys.into_iter().map(|position| (position, &[][..])).collect())
}

/// The 32 bits of the number that a text begins with, 0 without one: C's atoi.
fn leading_integer(text: &[u8]) -> i64 {
    let text = text.trim_ascii_start();
    let (sign, digits) = match text {
        [b'-', digits @ ..] => (-1, digits),
        [b'+', digits @ ..] => (1, digits),
        digits => (1, digits),
    };
    let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
    let number = digits.fold(0_i64, |number, digit| {
        number.saturating_mul(10).saturating_add(sign * i64::from(digit - b'0'))
    });
    i64::from(number as i32)
}

/// `COMMAND HELP`: lines of text.
fn help(cx: &mut Context<'_, '_>, _: Args<'_>) -> CommandResult {
    super::super::reply_help(
        cx,
        &[
            "(no subcommand)",
            "    Return details about all commands.",
            "COUNT",
            "    Return the total number of commands in this server.",
            "LIST [FILTERBY (MODULE <name>|ACLCAT <category>|PATTERN <pattern>)]",
            "    Return the names of the commands.",
            "INFO [<command-name> ...]",
            "    Return details about commands, about all of them without a name.",
            "DOCS [<command-name> ...]",
            "    Return documentation of commands, of all of them without a name.",
            "GETKEYS <full-command>",
            "    Return the keys from a full command.",
            "GETKEYSANDFLAGS <full-command>",
            "    Return the keys and the access flags from a full command.",
        ],
    )
}

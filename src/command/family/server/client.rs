//! CLIENT: who is connected, and what a connection asks for itself.

use crate::command::args::Args;
use crate::command::context::Context;
use crate::command::error::{CommandError, CommandResult};
use crate::command::spec::Arity::{AtLeast, Exactly};
use crate::command::spec::{CommandSpec, Flags, Group};
use crate::command::table::Row;
use crate::engine::clients::Client;
use crate::number::parse_integer;
use crate::session::ReplyMode;
use std::fmt::Write;
use std::sync::Arc;

const VARIES: &[&str] = &["nondeterministic_output"];

const SUBCOMMAND: CommandSpec = CommandSpec {
    name: "",
    since: "2.4.0",
    summary: "",
    complexity: "O(1)",
    group: Group::Connection,
    arity: Exactly(2),
    flags: Flags::NOSCRIPT.or(Flags::LOADING).or(Flags::STALE),
    keys: &[],
    tips: &[],
    handler: super::super::needs_subcommand,
    subcommands: &[],
};

const FOR_ADMIN: Flags = SUBCOMMAND.flags.or(Flags::ADMIN);

/// The container and its subcommands.
pub const CLIENT: CommandSpec = CommandSpec {
    name: "client",
    summary: "Container of the commands about connections.",
    complexity: "Depends on subcommand",
    arity: AtLeast(2),
    flags: Flags::NONE,
    subcommands: &[
        CommandSpec {
            name: "client|id",
            since: "5.0.0",
            summary: "Answers the connection's id.",
            handler: id,
            ..SUBCOMMAND
        },
        CommandSpec {
            name: "client|getname",
            since: "2.6.9",
            summary: "Answers the connection's name.",
            handler: getname,
            ..SUBCOMMAND
        },
        CommandSpec {
            name: "client|setname",
            since: "2.6.9",
            summary: "Names the connection.",
            arity: Exactly(3),
            handler: setname,
            ..SUBCOMMAND
        },
        CommandSpec {
            name: "client|setinfo",
            since: "7.2.0",
            summary: "Notes the name or version of the client library.",
            arity: Exactly(4),
            handler: setinfo,
            ..SUBCOMMAND
        },
        CommandSpec {
            name: "client|info",
            since: "6.2.0",
            summary: "Answers what CLIENT LIST says of this connection.",
            tips: VARIES,
            handler: info,
            ..SUBCOMMAND
        },
        CommandSpec {
            name: "client|list",
            summary: "Answers a line of properties for each connection.",
            complexity: "O(N) with N connections",
            arity: AtLeast(2),
            flags: FOR_ADMIN,
            tips: VARIES,
            handler: list,
            ..SUBCOMMAND
        },
        CommandSpec {
            name: "client|reply",
            since: "3.2.0",
            summary: "Turns the connection's replies on or off, or skips the next one.",
            arity: Exactly(3),
            handler: reply,
            ..SUBCOMMAND
        },
        CommandSpec {
            name: "client|no-evict",
            since: "7.0.0",
            summary: "Notes that this connection is not to be closed to save memory.",
            arity: Exactly(3),
            flags: FOR_ADMIN,
            handler: no_evict,
            ..SUBCOMMAND
        },
        CommandSpec {
            name: "client|help",
            since: "5.0.0",
            summary: "Answers how CLIENT is used.",
            flags: Flags::LOADING.or(Flags::STALE),
            handler: help,
            ..SUBCOMMAND
        },
    ],
    ..SUBCOMMAND
};

/// Names and library attributes are shown in lines of space-separated fields, so they have neither.
pub fn validate_label(label: &[u8], error: CommandError) -> CommandResult {
    if label.iter().all(u8::is_ascii_graphic) { Ok(()) } else { Err(error) }
}

/// `CLIENT ID`: the id.
fn id(cx: &mut Context<'_, '_>, _: Args<'_>) -> CommandResult {
    cx.reply.integer(cx.session.client().id as i64);
    Ok(())
}

/// `CLIENT GETNAME`: the name, or null.
fn getname(cx: &mut Context<'_, '_>, _: Args<'_>) -> CommandResult {
    let labels = cx.session.client().labels();
    if labels.name.is_empty() {
        cx.reply.null()
    } else {
        cx.reply.bulk(&labels.name)
    }
    Ok(())
}

/// `CLIENT SETNAME name`: `+OK`; an empty name takes it away.
fn setname(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let name = args.bytes()?;
    validate_label(name, CommandError::InvalidClientName)?;
    cx.session.client().labels().name = name.to_vec();
    cx.reply.simple("OK");
    Ok(())
}

/// `CLIENT SETINFO LIB-NAME|LIB-VER text`: `+OK`.
fn setinfo(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let attribute = args.peek().unwrap_or_default().to_vec();
    let is_name = args.take("LIB-NAME");
    if !is_name && !args.take("LIB-VER") {
        return Err(CommandError::UnrecognizedOption(attribute));
    }
    let text = args.bytes()?;
    validate_label(text, CommandError::InvalidClientInfo(if is_name { "lib-name" } else { "lib-ver" }))?;
    let mut labels = cx.session.client().labels();
    if is_name {
        labels.lib_name = text.to_vec();
    } else {
        labels.lib_version = text.to_vec();
    }
    drop(labels);
    cx.reply.simple("OK");
    Ok(())
}

/// `CLIENT INFO`: this connection's line.
fn info(cx: &mut Context<'_, '_>, _: Args<'_>) -> CommandResult {
    let mut line = String::new();
    describe(&mut line, cx.session.client(), cx.view.now_ms());
    cx.reply.verbatim("txt", line.as_bytes());
    Ok(())
}

/// `CLIENT LIST [TYPE NORMAL|MASTER|REPLICA|PUBSUB] [ID id [id ...]]`: a line for each connection.
/// O((N + I) log N) with N connections and I ids.
fn list(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let (mut ids, mut shows_normal) = (None, true);
    if args.take_with("TYPE", 1) {
        let kind = args.bytes()?;
        let kinds = ["normal", "master", "replica", "slave", "pubsub"];
        let named = kinds.into_iter().find(|name| kind.eq_ignore_ascii_case(name.as_bytes()));
        shows_normal = named == Some("normal");
        if named.is_none() {
            return Err(CommandError::UnknownClientType(kind.to_vec()));
        }
    } else if args.take_with("ID", 1) {
        let mut wanted = Vec::new();
        while let Ok(id) = args.bytes() {
            wanted.push(parse_integer(id).ok_or(CommandError::InvalidClientId)?);
        }
        ids = Some(wanted);
    }
    args.finish()?;
    let (clients, now_ms) = (&cx.engine.clients, cx.view.now_ms());
    let lines = cx.engine.run_long(|| {
        let mut lines = String::new();
        let mut shown = if shows_normal { clients.list() } else { Vec::new() };
        if let Some(ids) = &ids {
            // In the order asked for, as often as asked for; an id that nobody can have is nobody's.
            let find = |id: &i64| shown.binary_search_by_key(id, |client| client.id as i64).ok();
            shown = ids.iter().filter_map(|id| Some(Arc::clone(&shown[find(id)?]))).collect();
        }
        for client in shown {
            describe(&mut lines, &client, now_ms);
        }
        lines
    });
    cx.reply.verbatim("txt", lines.as_bytes());
    Ok(())
}

/// Adds a client's line. Everybody is a normal client of database 0 and the default user.
fn describe(lines: &mut String, client: &Client, now_ms: u64) {
    let labels = client.labels().clone();
    let (shown, (command, active_ms)) = (client.shown(), client.last_command());
    let seconds_since = |then_ms: u64| now_ms.saturating_sub(then_ms) / 1000;
    let flags: String = [(shown.queued.is_some(), 'x'), (shown.no_evict, 'e')]
        .into_iter()
        .filter_map(|(is_set, flag)| is_set.then_some(flag))
        .collect();
    // Writing to a string does not fail.
    let _ = writeln!(
        lines,
        "id={} addr={} laddr={} name={} age={} idle={} flags={} db=0 sub=0 psub=0 ssub=0 multi={} watch={} \
         cmd={} user=default redir=-1 resp={} lib-name={} lib-ver={}",
        client.id,
        client.peer,
        client.local,
        String::from_utf8_lossy(&labels.name),
        seconds_since(client.connected_ms),
        seconds_since(active_ms),
        if flags.is_empty() { "N" } else { &flags },
        shown.queued.map_or(-1, i64::from),
        shown.watched,
        command.and_then(Row::of_number).map_or("NULL", |row| row.spec().name),
        if shown.resp3 { 3 } else { 2 },
        String::from_utf8_lossy(&labels.lib_name),
        String::from_utf8_lossy(&labels.lib_version),
    );
}

/// `CLIENT REPLY ON|OFF|SKIP`: `+OK` for ON, nothing for the others, but `+OK` in a transaction, whose array of
/// replies must not lack one.
fn reply(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let is_executing = cx.session.is_executing();
    let replies = &mut cx.session.preferences.replies;
    if args.take("ON") {
        *replies = ReplyMode::On;
    } else if args.take("OFF") {
        *replies = ReplyMode::Off;
    } else if args.take("SKIP") {
        if *replies != ReplyMode::Off {
            *replies = ReplyMode::Skip;
        }
    } else {
        return Err(CommandError::Syntax);
    }
    if *replies == ReplyMode::On || is_executing {
        cx.reply.simple("OK");
    }
    Ok(())
}

/// `CLIENT NO-EVICT ON|OFF`: `+OK`. Clients are not closed to save memory yet, so it is only noted.
fn no_evict(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let is_on = args.take("ON");
    if !is_on && !args.take("OFF") {
        return Err(CommandError::Syntax);
    }
    cx.session.preferences.no_evict = is_on;
    cx.reply.simple("OK");
    Ok(())
}

/// `CLIENT HELP`: lines of text.
fn help(cx: &mut Context<'_, '_>, _: Args<'_>) -> CommandResult {
    super::super::reply_help(
        cx,
        &[
            "GETNAME",
            "    Return the name of the current connection.",
            "ID",
            "    Return the ID of the current connection.",
            "INFO",
            "    Return information about the current client connection.",
            "LIST [options ...]",
            "    Return information about client connections. Options:",
            "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
            "      Return clients of specified type.",
            "    * ID <client-id> [<client-id> ...]",
            "      Return clients of these ids.",
            "NO-EVICT (ON|OFF)",
            "    Protect the current connection from being closed to save memory.",
            "REPLY (ON|OFF|SKIP)",
            "    Control the replies sent to the current connection.",
            "SETINFO (LIB-NAME|LIB-VER) <text>",
            "    Note the name or version of the client library.",
            "SETNAME <name>",
            "    Assign the name <name> to the current connection.",
        ],
    )
}

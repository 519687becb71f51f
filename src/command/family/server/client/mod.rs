//! CLIENT: who is connected, what a connection asks for itself, and what it does to others.

mod list;
mod others;

use crate::command::args::Args;
use crate::command::context::Context;
use crate::command::error::{CommandError, CommandResult};
use crate::command::spec::Arity::{AtLeast, Exactly};
use crate::command::spec::{CommandSpec, Flags, Group, container, row};
use crate::session::ReplyMode;
use list::{info, list};
use others::{kill, pause, unblock, unpause};

const VARIES: &[&str] = &["nondeterministic_output"];

const SUBCOMMAND: CommandSpec = CommandSpec::of(Group::Connection).since("2.4.0");

const FOR_ALL: Flags = Flags::NOSCRIPT.or(Flags::LOADING).or(Flags::STALE);
const FOR_ADMIN: Flags = FOR_ALL.or(Flags::ADMIN);
const TO_OTHERS: Flags = FOR_ADMIN.or(Flags::AFTER_COMMIT);

/// The container and its subcommands.
pub const CLIENT: CommandSpec = container(
    SUBCOMMAND,
    "client",
    &[
        row(SUBCOMMAND, "client|id", "", Exactly(2), FOR_ALL, id)
            .since("5.0.0")
            .summary("Returns the id of the connection."),
        row(SUBCOMMAND, "client|getname", "", Exactly(2), FOR_ALL, getname)
            .since("2.6.9")
            .summary("Returns the name of the connection."),
        row(SUBCOMMAND, "client|setname", "connection-name", Exactly(3), FOR_ALL, setname)
            .since("2.6.9")
            .summary("Sets the name of the connection."),
        row(SUBCOMMAND, "client|setinfo", "(LIB-NAME=libname|LIB-VER=libver)", Exactly(4), FOR_ALL, setinfo)
            .since("7.2.0")
            .summary("Sets the name or version of the client library."),
        row(SUBCOMMAND, "client|info", "", Exactly(2), FOR_ALL, info)
            .since("6.2.0")
            .summary("Returns what CLIENT LIST shows of this connection.")
            .tips(VARIES),
        row(
            SUBCOMMAND,
            "client|list",
            "[TYPE=(NORMAL|MASTER|REPLICA|PUBSUB)] [ID={client-id:integer...}]",
            AtLeast(2),
            FOR_ADMIN,
            list,
        )
        .summary("Returns a line about each connection.")
        .complexity("O(N) with N connections")
        .tips(VARIES),
        row(SUBCOMMAND, "client|reply", "(ON|OFF|SKIP)", Exactly(3), FOR_ALL, reply)
            .since("3.2.0")
            .summary("Turns the connection's replies on or off, or skips the next one."),
        row(SUBCOMMAND, "client|no-evict", "(ON|OFF)", Exactly(3), FOR_ADMIN, no_evict)
            .since("7.0.0")
            .summary("Asks that this connection is not closed to save memory."),
        row(SUBCOMMAND, "client|no-touch", "(ON|OFF)", Exactly(3), FOR_ALL, no_touch)
            .since("7.2.0")
            .summary("Asks that this connection's commands do not count as accesses of keys."),
        row(
            SUBCOMMAND,
            "client|kill",
            "({ip-port}|{[ID=client-id:integer] [TYPE=(NORMAL|MASTER|SLAVE|REPLICA|PUBSUB)] \
            [USER=username] [ADDR=ip-port] [LADDR=ip-port] [SKIPME=(YES|NO)] \
            [MAXAGE=seconds:integer]})",
            AtLeast(3),
            TO_OTHERS,
            kill,
        )
        .summary("Closes connections.")
        .complexity("O(N) with N connections"),
        row(SUBCOMMAND, "client|pause", "timeout:integer [(WRITE|ALL)]", AtLeast(3), TO_OTHERS, pause)
            .since("3.0.0")
            .summary("Holds the commands of all clients back for some time."),
        row(SUBCOMMAND, "client|unpause", "", Exactly(2), TO_OTHERS, unpause)
            .since("6.2.0")
            .summary("Ends CLIENT PAUSE.")
            .complexity("O(N) with N connections"),
        row(
            SUBCOMMAND,
            "client|unblock",
            "client-id:integer [(TIMEOUT|ERROR)]",
            AtLeast(3),
            TO_OTHERS,
            unblock,
        )
        .since("5.0.0")
        .summary("Ends the wait of another client; no command blocks yet."),
        row(SUBCOMMAND, "client|getredir", "", Exactly(2), FOR_ALL, getredir)
            .since("6.0.0")
            .summary("Returns where tracking messages go; there is no tracking yet."),
        row(SUBCOMMAND, "client|trackinginfo", "", Exactly(2), FOR_ALL, trackinginfo)
            .since("6.2.0")
            .summary("Returns how the connection tracks keys; there is no tracking yet."),
        row(SUBCOMMAND, "client|help", "", Exactly(2), Flags::LOADING.or(Flags::STALE), help)
            .since("5.0.0")
            .summary("Describes how to use CLIENT."),
    ],
)
.summary("Container for commands about connections.");

/// Bytes of a name or library attribute: what a client keeps must not grow without bound.
const MOST_LABEL: usize = 64 << 10;

/// Names and library attributes are shown in lines of space-separated fields, so they have neither.
pub fn validate_label(label: &[u8], error: CommandError) -> CommandResult {
    if label.len() > MOST_LABEL {
        return Err(CommandError::Plain("ERR a client's name, lib-name or lib-ver has at most 65536 bytes"));
    }
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
    cx.session.recharge();
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
    cx.session.recharge();
    cx.reply.simple("OK");
    Ok(())
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

/// `CLIENT NO-EVICT ON|OFF`: `+OK`. With ON the client is not closed to save memory.
fn no_evict(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    cx.session.preferences.no_evict = on_or_off(&mut args)?;
    cx.reply.simple("OK");
    Ok(())
}

/// `CLIENT NO-TOUCH ON|OFF`: `+OK`.
fn no_touch(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    cx.session.preferences.no_touch = on_or_off(&mut args)?;
    cx.reply.simple("OK");
    Ok(())
}

fn on_or_off(args: &mut Args<'_>) -> Result<bool, CommandError> {
    let is_on = args.take("ON");
    if is_on || args.take("OFF") { Ok(is_on) } else { Err(CommandError::Syntax) }
}

/// `CLIENT GETREDIR`: -1, for nobody tracks keys.
fn getredir(cx: &mut Context<'_, '_>, _: Args<'_>) -> CommandResult {
    cx.reply.integer(-1);
    Ok(())
}

/// `CLIENT TRACKINGINFO`: a map that says that tracking is off.
fn trackinginfo(cx: &mut Context<'_, '_>, _: Args<'_>) -> CommandResult {
    cx.reply.map(3);
    cx.reply.bulk(b"flags");
    cx.reply.set(1);
    cx.reply.bulk(b"off");
    cx.reply.bulk(b"redirect");
    cx.reply.integer(-1);
    cx.reply.bulk(b"prefixes");
    cx.reply.array(0);
    Ok(())
}

/// `CLIENT HELP`: lines of text.
fn help(cx: &mut Context<'_, '_>, _: Args<'_>) -> CommandResult {
    super::super::reply_help(
        cx,
        &[
            "GETREDIR",
            "    Return the client ID tracking messages go to: -1, there is no tracking.",
            "GETNAME",
            "    Return the name of the current connection.",
            "ID",
            "    Return the ID of the current connection.",
            "INFO",
            "    Return information about the current client connection.",
            "KILL <ip:port>",
            "    Kill connection made from <ip:port>.",
            "KILL <option> <value> [<option> <value> [...]]",
            "    Kill connections that match every option. Options are:",
            "    * ADDR (<ip:port>)",
            "      Kill connections made from <ip:port>.",
            "    * LADDR (<ip:port>)",
            "      Kill connections made to <ip:port>.",
            "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
            "      Kill connections by type.",
            "    * USER <username>",
            "      Kill connections authenticated by <username>; everybody is the default user.",
            "    * SKIPME (YES|NO)",
            "      Skip killing the current connection (default: yes).",
            "    * ID <client-id>",
            "      Kill connections by client id.",
            "    * MAXAGE <seconds>",
            "      Kill connections that are older.",
            "LIST [options ...]",
            "    Return information about client connections. Options:",
            "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
            "      Return clients of specified type.",
            "    * ID <client-id> [<client-id> ...]",
            "      Return clients of these ids.",
            "NO-TOUCH (ON|OFF)",
            "    Keep the current connection's commands from making keys look used.",
            "PAUSE <timeout> [WRITE|ALL]",
            "    Hold back all, or all write, commands for <timeout> milliseconds.",
            "TRACKINGINFO",
            "    Report tracking status for the current connection.",
            "UNBLOCK <clientid> [TIMEOUT|ERROR]",
            "    Unblock the specified blocked client; none is.",
            "UNPAUSE",
            "    Let the clients that PAUSE holds back go on.",
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

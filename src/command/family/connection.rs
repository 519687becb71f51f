//! The connection itself: PING, HELLO, AUTH, RESET and their kind. CLIENT is with the server's commands.

use super::server::VERSION;
use super::server::client::{CLIENT, validate_label};
use crate::command::args::Args;
use crate::command::context::{Context, Outcome};
use crate::command::error::{CommandError, CommandResult};
use crate::command::spec::Arity::{AtLeast, Exactly};
use crate::command::spec::{CommandSpec, Flags, Group, row};
use crate::number::parse_integer;
use crate::resp::Protocol;
use crate::session::{Preferences, ReplyMode};

/// The user everybody is, without a password.
const DEFAULT_USER: &[u8] = b"default";

const ALWAYS: Flags = Flags::LOADING.or(Flags::STALE).or(Flags::FAST);
const BEFORE_AUTH: Flags = ALWAYS.or(Flags::NOSCRIPT).or(Flags::NO_AUTH).or(Flags::ALLOW_BUSY);

const CONNECTION: CommandSpec = CommandSpec::of(Group::Connection);

/// The family's rows.
pub const ROWS: &[CommandSpec] = &[
    row(CONNECTION, "ping", "[message]", AtLeast(1), Flags::FAST.or(Flags::IN_SUBSCRIBED), ping)
        .summary("Returns PONG, or the given message.")
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"]),
    row(CONNECTION, "echo", "message", Exactly(2), ALWAYS, echo).summary("Returns the given message."),
    row(CONNECTION, "quit", "", AtLeast(1), BEFORE_AUTH.or(Flags::IMMEDIATE).or(Flags::IN_SUBSCRIBED), quit)
        .summary("Closes the connection."),
    row(
        CONNECTION,
        "hello",
        "[{protover:integer [AUTH={username password}] [SETNAME=clientname]}]",
        AtLeast(1),
        BEFORE_AUTH,
        hello,
    )
    .since("6.0.0")
    .summary("Switches the protocol version; may authenticate and name the connection."),
    row(CONNECTION, "auth", "[username] password", AtLeast(2), BEFORE_AUTH, auth)
        .summary("Authenticates the connection."),
    row(
        CONNECTION,
        "reset",
        "",
        Exactly(1),
        BEFORE_AUTH.or(Flags::IMMEDIATE).or(Flags::IN_SUBSCRIBED),
        reset,
    )
    .since("6.2.0")
    .summary("Resets the state of the connection.")
    .complexity("O(N) with N keys watched and commands queued"),
    row(CONNECTION, "select", "index:integer", Exactly(2), ALWAYS, select)
        .summary("Selects the database; there is only database 0."),
    CLIENT,
];

/// `PING [message]`: `+PONG`, or the message as a bulk string. A RESP2 client that is subscribed gets both, in the form
/// of a published message, so that it is able to tell them apart.
fn ping(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let is_listening = cx.session.is_subscribed() && cx.session.preferences.protocol == Protocol::Resp2;
    if is_listening && args.len() < 2 {
        cx.reply.array(2);
        cx.reply.bulk(b"pong");
        cx.reply.bulk(args.peek().unwrap_or_default());
        return Ok(());
    }
    match args.len() {
        0 => cx.reply.simple("PONG"),
        1 => cx.reply.bulk(args.bytes()?),
        _ => return Err(CommandError::WrongArity),
    }
    Ok(())
}

/// `ECHO message`: the message.
fn echo(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    cx.reply.bulk(args.bytes()?);
    Ok(())
}

/// `QUIT`: `+OK`, then the connection closes.
fn quit(cx: &mut Context<'_, '_>, _: Args<'_>) -> CommandResult {
    cx.reply.simple("OK");
    cx.outcome = Outcome::Close;
    Ok(())
}

/// `HELLO [2|3 [AUTH username password] [SETNAME name]]`: a map of the server's properties.
fn hello(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let mut protocol = cx.session.preferences.protocol;
    if let Some(version) = args.peek() {
        protocol = match parse_integer(version) {
            None => return Err(CommandError::ProtocolNotAnInteger),
            Some(2) => Protocol::Resp2,
            Some(3) => Protocol::Resp3,
            Some(_) => return Err(CommandError::UnsupportedProtocol),
        };
        args.bytes()?;
    }
    let (mut user, mut name) = (None, None);
    while let Some(option) = args.peek() {
        if args.take_with("AUTH", 2) {
            user = Some(args.bytes()?);
            args.bytes()?;
        } else if args.take_with("SETNAME", 1) {
            name = Some(args.bytes()?);
        } else {
            return Err(CommandError::HelloOption(option.to_vec()));
        }
    }
    if user.is_some_and(|user| user != DEFAULT_USER) {
        return Err(CommandError::WrongPassword);
    }
    if let Some(name) = name {
        validate_label(name, CommandError::InvalidClientName)?;
        cx.session.client().labels().name = name.to_vec();
        cx.session.recharge();
    }
    cx.session.preferences.protocol = protocol;
    cx.reply.set_protocol(protocol);
    reply_properties(cx);
    Ok(())
}

fn reply_properties(cx: &mut Context<'_, '_>) {
    let protocol = cx.session.preferences.protocol;
    cx.reply.map(7);
    cx.reply.bulk(b"server");
    cx.reply.bulk(b"redis");
    cx.reply.bulk(b"version");
    cx.reply.bulk(VERSION.as_bytes());
    cx.reply.bulk(b"proto");
    cx.reply.integer(if protocol == Protocol::Resp3 { 3 } else { 2 });
    cx.reply.bulk(b"id");
    cx.reply.integer(cx.session.client().id as i64);
    cx.reply.bulk(b"mode");
    cx.reply.bulk(b"standalone");
    cx.reply.bulk(b"role");
    cx.reply.bulk(b"master");
    cx.reply.bulk(b"modules");
    cx.reply.array(0);
}

/// `AUTH [username] password`: `+OK` for the default user, who has no password.
fn auth(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    match args.len() {
        1 => Err(CommandError::AuthWithoutPassword),
        2 if args.bytes()? == DEFAULT_USER => {
            cx.reply.simple("OK");
            Ok(())
        }
        2 => Err(CommandError::WrongPassword),
        _ => Err(CommandError::Syntax),
    }
}

/// `RESET`: discards the transaction, the watches, the subscriptions, the name and the protocol chosen; `+RESET`.
fn reset(cx: &mut Context<'_, '_>, _: Args<'_>) -> CommandResult {
    cx.session.drop_queue();
    cx.session.unwatch(cx.view);
    cx.session.stop_listening();
    // RESET itself may be the one that CLIENT REPLY SKIP mutes; nothing else of it stays.
    let replies = match cx.session.preferences.replies {
        ReplyMode::Skipping => ReplyMode::Skipping,
        _ => ReplyMode::On,
    };
    cx.session.preferences = Preferences { replies, ..Preferences::default() };
    cx.session.client().labels().name.clear();
    cx.session.recharge();
    cx.reply.set_protocol(Protocol::default());
    cx.reply.simple("RESET");
    Ok(())
}

/// `SELECT index`: `+OK` for 0, the only database.
fn select(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    args.database()?;
    cx.reply.simple("OK");
    Ok(())
}

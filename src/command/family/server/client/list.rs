//! CLIENT LIST and CLIENT INFO: a line for each connection.

use crate::command::args::Args;
use crate::command::context::Context;
use crate::command::error::{CommandError, CommandResult};
use crate::command::table::Row;
use crate::engine::clients::Client;
use crate::engine::mail::Topic;
use crate::number::parse_integer;
use std::fmt::Write;
use std::sync::Arc;

/// The kind of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Normal,
    /// A server that replicates to or from this one: there is none.
    Replication,
    PubSub,
}

impl Kind {
    /// The kind of this name.
    pub fn named(name: &[u8]) -> Result<Kind, CommandError> {
        match name.to_ascii_lowercase().as_slice() {
            b"normal" => Ok(Kind::Normal),
            b"master" | b"replica" | b"slave" => Ok(Kind::Replication),
            b"pubsub" => Ok(Kind::PubSub),
            _ => Err(CommandError::UnknownClientType(name.to_vec())),
        }
    }

    /// The kind of a client.
    pub fn of(client: &Client) -> Kind {
        if client.is_subscriber() { Kind::PubSub } else { Kind::Normal }
    }
}

/// `CLIENT INFO`: this connection's line.
pub(super) fn info(cx: &mut Context<'_, '_>, _: Args<'_>) -> CommandResult {
    let mut line = String::new();
    cx.session.show();
    describe(&mut line, cx.session.client(), cx.view.steady_ms());
    cx.reply.verbatim("txt", line.as_bytes());
    Ok(())
}

/// `CLIENT LIST [TYPE NORMAL|MASTER|REPLICA|PUBSUB] [ID id [id ...]]`: a line for each connection.
/// O((N + I) log N) with N connections and I ids.
pub(super) fn list(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let (mut ids, mut kind) = (None, None);
    if args.take_with("TYPE", 1) {
        kind = Some(Kind::named(args.bytes()?)?);
    } else if args.take_with("ID", 1) {
        let mut wanted = Vec::new();
        while let Ok(id) = args.bytes() {
            wanted.push(parse_integer(id).ok_or(CommandError::InvalidClientId)?);
        }
        ids = Some(wanted);
    }
    args.finish()?;
    cx.session.show();
    let (clients, now_ms) = (&cx.engine.clients, cx.view.steady_ms());
    let lines = cx.engine.run_long(|| {
        let mut lines = String::new();
        let mut shown = clients.list();
        shown.retain(|client| kind.is_none_or(|kind| Kind::of(client) == kind));
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

/// Adds a client's line. Everybody uses database 0 and is the default user. What the client's buffers hold is as of
/// its connection's last look at the socket.
fn describe(lines: &mut String, client: &Client, now_ms: u64) {
    let labels = client.labels().clone();
    let (shown, (command, active_ms)) = (client.shown(), client.last_command());
    let seconds_since = |then_ms: u64| now_ms.saturating_sub(then_ms) / 1000;
    let flags: String = [
        (shown.monitors, 'O'),
        (client.is_subscriber(), 'P'),
        (shown.queued.is_some(), 'x'),
        (client.mailbox.is_ended(), 'A'),
        (shown.no_evict, 'e'),
        (shown.no_touch, 'T'),
    ]
    .into_iter()
    .filter_map(|(is_set, flag)| is_set.then_some(flag))
    .collect();
    let buffers = &client.buffers;
    let (input, input_room, output) = (buffers.input.get(), buffers.input_room.get(), buffers.output.get());
    let mail = client.mailbox.weight() as u64;
    // Writing to a string does not fail.
    let _ = write!(
        lines,
        "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={} db=0 sub={} psub={} ssub={} multi={} watch={} \
         qbuf={input} qbuf-free={input_room} multi-mem={} obl={output} oll={} omem={mail} tot-mem={} ",
        client.id,
        client.peer,
        client.local,
        buffers.descriptor.get(),
        String::from_utf8_lossy(&labels.name),
        seconds_since(client.connected_ms),
        seconds_since(active_ms),
        if flags.is_empty() { "N" } else { &flags },
        client.subscriptions(Topic::Channel),
        client.subscriptions(Topic::Pattern),
        client.subscriptions(Topic::Shard),
        shown.queued.map_or(-1, i64::from),
        shown.watched,
        buffers.queue.get(),
        client.mailbox.len(),
        client.memory() + size_of::<Client>() as u64,
    );
    let _ = writeln!(
        lines,
        "events={} cmd={} user=default redir=-1 resp={} lib-name={} lib-ver={}",
        if output > 0 { "rw" } else { "r" },
        command.and_then(Row::of_number).map_or("NULL", |row| row.spec().name),
        if shown.resp3 { 3 } else { 2 },
        String::from_utf8_lossy(&labels.lib_name),
        String::from_utf8_lossy(&labels.lib_version),
    );
}

//! What CLIENT does to other connections: KILL, PAUSE, UNPAUSE, UNBLOCK.

use super::list::Kind;
use crate::command::args::Args;
use crate::command::context::{Context, Outcome};
use crate::command::error::{CommandError, CommandResult};
use crate::engine::clients::Client;
use crate::engine::pause::PauseMode;
use crate::number::parse_integer;

/// The user everybody is.
const DEFAULT_USER: &[u8] = b"default";

/// Which connections CLIENT KILL is about: those that every filter lets through.
#[derive(Clone, Copy, Debug, Default)]
struct Filters<'r> {
    id: Option<u64>,
    peer: Option<&'r [u8]>,
    local: Option<&'r [u8]>,
    kind: Option<Kind>,
    max_age_s: Option<u64>,
    includes_me: bool,
}

impl<'r> Filters<'r> {
    fn parse(mut args: Args<'r>) -> Result<Filters<'r>, CommandError> {
        let mut filters = Filters::default();
        while !args.is_empty() {
            if args.take_with("ID", 1) {
                let id =
                    parse_integer(args.bytes()?).and_then(|id| u64::try_from(id).ok()).filter(|id| *id > 0);
                filters.id = Some(id.ok_or(CommandError::Plain("ERR client-id should be greater than 0"))?);
            } else if args.take_with("ADDR", 1) {
                filters.peer = Some(args.bytes()?);
            } else if args.take_with("LADDR", 1) {
                filters.local = Some(args.bytes()?);
            } else if args.take_with("TYPE", 1) {
                filters.kind = Some(Kind::named(args.bytes()?)?);
            } else if args.take_with("USER", 1) {
                let user = args.bytes()?;
                if user != DEFAULT_USER {
                    return Err(CommandError::NoSuchUser(user.to_vec()));
                }
            } else if args.take_with("MAXAGE", 1) {
                let age = u64::try_from(args.integer()?).ok().filter(|age| *age > 0);
                filters.max_age_s =
                    Some(age.ok_or(CommandError::Plain("ERR maxage should be greater than 0"))?);
            } else if args.take_with("SKIPME", 1) {
                filters.includes_me = args.take("NO");
                if !filters.includes_me && !args.take("YES") {
                    return Err(CommandError::Syntax);
                }
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(filters)
    }

    fn admits(&self, client: &Client, me: u64, now_ms: u64) -> bool {
        let is_at = |wanted: Option<&[u8]>, address: &dyn ToString| {
            wanted.is_none_or(|wanted| address.to_string().as_bytes() == wanted)
        };
        let age_s = now_ms.saturating_sub(client.connected_ms) / 1000;
        self.id.is_none_or(|id| client.id == id)
            && is_at(self.peer, &client.peer)
            && is_at(self.local, &client.local)
            && self.kind.is_none_or(|kind| Kind::of(client) == kind)
            && self.max_age_s.is_none_or(|most| age_s >= most)
            && (self.includes_me || client.id != me)
    }
}

/// `CLIENT KILL ip:port`: `+OK`, or an error if nobody is connected from there.
/// `CLIENT KILL filter value [filter value ...]`: how many connections were closed.
pub(super) fn kill(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    if args.len() > 1 {
        let killed = end_clients(cx, Filters::parse(args)?);
        cx.reply.integer(killed);
        return Ok(());
    }
    let filters = Filters { peer: Some(args.bytes()?), includes_me: true, ..Filters::default() };
    if end_clients(cx, filters) == 0 {
        return Err(CommandError::Plain("ERR No such client"));
    }
    cx.reply.simple("OK");
    Ok(())
}

/// Ends every client that the filters let through; this one once it has its reply.
fn end_clients(cx: &mut Context<'_, '_>, filters: Filters<'_>) -> i64 {
    let (me, now_ms) = (cx.session.client().id, cx.view.steady_ms());
    let mut killed = 0;
    for client in cx.engine.clients.list().iter().filter(|client| filters.admits(client, me, now_ms)) {
        if client.id == me {
            cx.outcome = Outcome::Close;
            killed += 1;
        } else {
            killed += i64::from(client.mailbox.end());
        }
    }
    killed
}

/// `CLIENT PAUSE timeout [WRITE|ALL]`: `+OK`; for that many milliseconds the commands that may write, or all of them,
/// wait. A pause is made longer and stricter by another one, never the opposite.
pub(super) fn pause(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let timeout = args.bytes()?;
    let mode = match args.peek() {
        Some(_) if args.take("WRITE") => PauseMode::Writes,
        Some(_) if !args.take("ALL") => {
            return Err(CommandError::Plain("ERR CLIENT PAUSE mode must be WRITE or ALL"));
        }
        _ => PauseMode::All,
    };
    if !args.is_empty() {
        return Err(CommandError::SubcommandSyntax(args.subcommand().to_vec()));
    }
    let timeout =
        parse_integer(timeout).ok_or(CommandError::Plain("ERR timeout is not an integer or out of range"))?;
    let timeout = u64::try_from(timeout).map_err(|_| CommandError::Plain("ERR timeout is negative"))?;
    let now_us = cx.engine.clock.monotonic_us();
    // Half of the range is enough for anybody and leaves room for the mode.
    let until_us = now_us.saturating_add(timeout.saturating_mul(1000)).min(u64::MAX / 4);
    cx.engine.pause.begin(mode, until_us, now_us);
    cx.reply.simple("OK");
    Ok(())
}

/// `CLIENT UNPAUSE`: `+OK`.
pub(super) fn unpause(cx: &mut Context<'_, '_>, _: Args<'_>) -> CommandResult {
    cx.engine.pause.end();
    cx.engine.clients.wake_all();
    cx.reply.simple("OK");
    Ok(())
}

/// `CLIENT UNBLOCK id [TIMEOUT|ERROR]`: 0, for no command waits for what others do.
pub(super) fn unblock(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let id = args.bytes()?;
    if args.len() > 1 {
        return Err(CommandError::SubcommandSyntax(args.subcommand().to_vec()));
    }
    if !args.is_empty() && !args.take("TIMEOUT") && !args.take("ERROR") {
        return Err(CommandError::Plain("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR"));
    }
    parse_integer(id).ok_or(CommandError::NotAnInteger)?;
    cx.reply.integer(0);
    Ok(())
}

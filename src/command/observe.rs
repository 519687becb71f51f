//! Recording of commands that have run: statistics, MONITOR's line, the slow log's entry and the latency event. Without
//! clients of MONITOR and slow commands this costs two loads.

use super::spec::{CommandSpec, Flags};
use super::table::Row;
use crate::clock::TICKS_PER_US;
use crate::engine::Engine;
use crate::keyspace::Label;
use crate::resp::Request;
use crate::session::Session;
use crate::stats::{LatencyEvent, SlowEntry};
use std::fmt::Write;

/// Arguments that the slow log keeps of a command, and bytes of each, as in Redis.
const SLOWLOG_ARGS: usize = 32;
const SLOWLOG_ARG_BYTES: usize = 128;

/// How a command ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// How long it took, in ticks of the clock.
    pub ticks: u64,
    /// True if it answered an error.
    pub failed: bool,
}

/// Notes a command that has run.
#[inline]
pub(super) fn count(engine: &Engine, session: &Session, row: Row, request: Request<'_>, run: Run) {
    let key = row.spec().first_key(request);
    let label = key.map_or(Label::DEFAULT, |key| engine.keyspace.label(key));
    engine.stats.commands.record(row.number(), label, run.ticks, run.failed);
    if engine.monitors.is_active() {
        show(engine, session, row.spec(), request);
    }
    if engine.is_slow(run.ticks) {
        note_slow(engine, session, row.spec(), request, run.ticks / TICKS_PER_US);
    }
}

/// Shows a command to those who run MONITOR.
#[cold]
fn show(engine: &Engine, session: &Session, spec: &CommandSpec, request: Request<'_>) {
    if spec.flags.has(Flags::ADMIN) {
        return;
    }
    let now_us = engine.clock.unix_us();
    let mut line = format!("{}.{:06} [0 {}]", now_us / 1_000_000, now_us % 1_000_000, session.client().peer);
    for argument in shown_args(spec, request) {
        line.push(' ');
        quote(argument, &mut line);
    }
    engine.show_to_monitors(line);
}

#[cold]
fn note_slow(engine: &Engine, session: &Session, spec: &CommandSpec, request: Request<'_>, duration_us: u64) {
    let settings = engine.settings.load();
    let unix_s = engine.clock.unix_ms() / 1000;
    let is_slow = u64::try_from(settings.slowlog_us).is_ok_and(|threshold| duration_us >= threshold);
    if is_slow && !spec.flags.has(Flags::SKIP_SLOWLOG) {
        let client = session.client();
        let entry = SlowEntry {
            id: 0,
            unix_s,
            duration_us,
            args: cut_args(spec, request),
            client: client.peer.to_string(),
            name: client.labels().name.clone(),
        };
        engine.stats.slowlog.add(entry, settings.slowlog_max_len);
    }
    if settings.latency_ms > 0 && duration_us / 1000 >= settings.latency_ms {
        let is_fast = spec.flags.has(Flags::FAST);
        let event = if is_fast { LatencyEvent::FastCommand } else { LatencyEvent::Command };
        engine.stats.latency.add(event, unix_s, duration_us / 1000);
    }
}

/// The arguments as others may see them: passwords are not shown.
fn shown_args<'r>(spec: &CommandSpec, request: Request<'r>) -> impl Iterator<Item = &'r [u8]> {
    let secret_from = match spec.name {
        "auth" => 1,
        "hello" => request
            .iter()
            .position(|argument| argument.eq_ignore_ascii_case(b"AUTH"))
            .map_or(usize::MAX, |position| position + 1),
        _ => usize::MAX,
    };
    let secret_to = if spec.name == "hello" { secret_from.saturating_add(2) } else { usize::MAX };
    let shown = move |(place, argument)| {
        let is_secret = place >= secret_from && place < secret_to;
        if is_secret { &b"(redacted)"[..] } else { argument }
    };
    request.iter().enumerate().map(shown)
}

fn cut_args(spec: &CommandSpec, request: Request<'_>) -> Vec<Vec<u8>> {
    let cut = |argument: &[u8]| match argument.len().checked_sub(SLOWLOG_ARG_BYTES) {
        None | Some(0) => argument.to_vec(),
        Some(more) => {
            let mut cut = argument[..SLOWLOG_ARG_BYTES].to_vec();
            cut.extend_from_slice(format!("... ({more} more bytes)").as_bytes());
            cut
        }
    };
    let count = request.len();
    let kept = if count > SLOWLOG_ARGS { SLOWLOG_ARGS - 1 } else { count };
    let mut args: Vec<Vec<u8>> = shown_args(spec, request).take(kept).map(cut).collect();
    if kept < count {
        args.push(format!("... ({} more arguments)", count - kept).into_bytes());
    }
    args
}

/// Adds bytes in double quotes, escaped as Redis does.
fn quote(bytes: &[u8], line: &mut String) {
    line.push('"');
    for byte in bytes {
        match byte {
            b'\\' | b'"' => line.extend(['\\', char::from(*byte)]),
            b'\n' => line.push_str("\\n"),
            b'\r' => line.push_str("\\r"),
            b'\t' => line.push_str("\\t"),
            0x07 => line.push_str("\\a"),
            0x08 => line.push_str("\\b"),
            b' '..=b'~' => line.push(char::from(*byte)),
            // Writing to a string does not fail.
            _ => drop(write!(line, "\\x{byte:02x}")),
        }
    }
    line.push('"');
}

#[cfg(test)]
mod tests {
    use super::quote;

    #[test]
    fn bytes_are_quoted_as_redis_does() {
        let mut line = String::new();
        quote(b"a \"\\\n\x07\x00\xff~", &mut line);
        assert_eq!(line, r#""a \"\\\n\a\x00\xff~""#);
    }
}

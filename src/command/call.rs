//! Calling a handler.

use super::args::Args;
use super::context::{Context, Outcome};
use super::error::CommandResult;
use super::spec::Flags;
use super::table::Row;
use crate::clock::TICKS_PER_US;
use crate::engine::Engine;
use crate::keyspace::View;
use crate::resp::{ReplyWriter, Request};
use crate::session::Session;

/// Microseconds of sleep that are counted, at most: a day.
const LONGEST_SLEEP_US: u64 = 24 * 3600 * 1_000_000;

/// Runs a row's handler.
#[inline]
pub(super) fn call(
    engine: &Engine,
    session: &mut Session,
    view: &mut View<'_>,
    row: Row,
    request: Request<'_>,
    reply: &mut ReplyWriter,
) -> (CommandResult, Outcome) {
    let spec = row.spec();
    let handler = row.handler(&engine.store).expect("the gate has found that the store serves the command");
    let first = 1 + usize::from(spec.is_subcommand());
    if !session.is_executing() || !spec.flags.has(Flags::READONLY) {
        reply.forget_kept();
    }
    let mut cx = Context { engine, session, view, reply, name: spec.name, outcome: Outcome::Continue };
    let result = handler(&mut cx, Args::new(request, first));
    (result, cx.outcome)
}

/// Ticks that a command takes after it has run: those for which DEBUG SLEEP lets its client wait.
#[inline]
pub(super) fn slept(outcome: Outcome) -> u64 {
    match outcome {
        Outcome::Sleep(us) => us.min(LONGEST_SLEEP_US) * TICKS_PER_US,
        _ => 0,
    }
}

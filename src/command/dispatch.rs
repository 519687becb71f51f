//! The gate: every request passes here, and only here are handlers called.
//!
//! A command whose row was found is admitted, and then queued (between MULTI and EXEC) or run, timed and counted. A
//! refused one dooms an open transaction. How a queue runs is in [`super::execute`].

use super::call::{call, slept};
use super::context::Outcome;
use super::error::{CommandError, CommandResult};
use super::execute::{execute, weight};
use super::names;
use super::observe;
use super::resolve::Command;
use super::spec::{CommandSpec, Flags, Group};
use super::table::Row;
use crate::engine::Engine;
use crate::engine::pause::PauseMode;
use crate::keyspace::Batch;
use crate::resp::{Protocol, ReplyWriter, Request};
use crate::session::{DELIVERY_SLICE, ReplyMode, Session};
use crate::wait::Wait;
use smallvec::SmallVec;

/// Bytes a transaction may queue; beyond it the connection is closed, as Redis does at its query buffer limit.
const QUEUE_LIMIT: usize = 1 << 30;

/// Bytes of replies after which a run ends: its replies can be sent only when it has committed.
const RUN_REPLIES: usize = 1 << 20;

/// Runs one command for `session`, or queues it, and writes its reply, and behind it what others sent to the client.
pub fn dispatch(
    engine: &Engine,
    session: &mut Session,
    batch: &mut Batch<'_>,
    command: &Command<'_>,
    reply: &mut ReplyWriter,
) -> Outcome {
    batch.set_touches(!session.preferences.no_touch);
    if let Some(need) = session.take_need() {
        batch.adopt(*need);
    }
    let outcome = match session.preferences.replies {
        ReplyMode::On => run(engine, session, batch, command, reply),
        _ => run_muted(engine, session, batch, command, reply),
    };
    if outcome == Outcome::Wait(Wait::Room) {
        session.set_need(batch.take_need());
    }
    batch.forget_need();
    if session.has_mail() && !outcome.waits() && reply.pending() < DELIVERY_SLICE {
        session.deliver(reply);
    }
    outcome
}

/// Runs a command whose reply the client may not want.
fn run_muted(
    engine: &Engine,
    session: &mut Session,
    batch: &mut Batch<'_>,
    command: &Command<'_>,
    reply: &mut ReplyWriter,
) -> Outcome {
    let (before, mark) = (session.preferences.replies, reply.mute());
    if before == ReplyMode::Skip {
        session.preferences.replies = ReplyMode::Skipping;
    }
    let outcome = run(engine, session, batch, command, reply);
    if outcome.waits() {
        session.preferences.replies = before;
        reply.unmute();
        return outcome;
    }
    // CLIENT REPLY ON among the muted requests is answered; nothing else is.
    match session.preferences.replies {
        ReplyMode::On => {
            reply.unmute();
            return outcome;
        }
        ReplyMode::Skipping => session.preferences.replies = ReplyMode::On,
        ReplyMode::Off | ReplyMode::Skip => {}
    }
    // What tells of subscriptions, and messages, are no replies.
    reply.forget_muted(mark);
    outcome
}

/// Runs commands that [`run_length`] found to go together at one instant, and writes their replies. Returns how many
/// of them ran: fewer than all if their replies are large, and none if they have to run one by one; then nothing was
/// replied or changed.
///
/// [`run_length`]: super::resolve::run_length
pub fn dispatch_run(
    engine: &Engine,
    session: &mut Session,
    batch: &mut Batch<'_>,
    commands: &[Command<'_>],
    reply: &mut ReplyWriter,
) -> usize {
    let rows = || commands.iter().filter_map(|command| Some((*command.row.as_ref().ok()?, command.request)));
    if session.preferences.replies != ReplyMode::On {
        return 0;
    }
    if !rows().all(|(row, request)| matches!(admit(engine, session, row, request), Ok(Admission::Run))) {
        return 0;
    }
    let mut started = session.command_start(engine);
    batch.set_touches(!session.preferences.no_touch);
    batch.set_checked(rows().any(|(row, _)| row.spec().flags.is_checked()));
    let mut view = batch.view();
    if let Some(key) = rows().next().and_then(|(row, request)| row.spec().first_key(request)) {
        view.prefetch_items(key, rows().filter_map(|(row, request)| item(row.spec(), request)));
    }
    let (mark, before) = (reply.mark(), reply.pending());
    let mut runs: SmallVec<[observe::Run; 32]> = SmallVec::new();
    let mut errors = Vec::new();
    let result = view.transact(|view| {
        reply.rollback(mark);
        runs.clear();
        errors.clear();
        for (row, request) in rows() {
            if reply.pending() - before > RUN_REPLIES {
                break;
            }
            let failed = match call(engine, session, view, row, request, reply).0 {
                Ok(()) => false,
                Err(again @ CommandError::Wait(_)) => return Err(again),
                Err(error) => {
                    let text = error.text(row.spec().name);
                    reply.error(&text);
                    errors.push(text);
                    true
                }
            };
            let ended = engine.clock.ticks();
            runs.push(observe::Run { ticks: ended.saturating_sub(started), failed });
            started = ended;
        }
        Ok(())
    });
    if result.is_err() {
        reply.rollback(mark);
        return 0;
    }
    session.command_end(started);
    errors.iter().for_each(|text| engine.stats.count_error(text));
    let ran = runs.len();
    for ((row, request), run) in rows().zip(runs) {
        session.client().note_command(row.number(), view.steady_ms());
        observe::count(engine, session, row, request, run);
    }
    session.show();
    if session.has_mail() {
        session.deliver(reply);
    }
    ran
}

/// The argument that is looked for in the collection, if the command has one.
fn item<'r>(spec: &CommandSpec, request: Request<'r>) -> Option<&'r [u8]> {
    request.get(if spec.group == Group::Hash { 2 } else { (request.len() - 1).max(2) })
}

/// The next step of a command that the gate does not refuse.
enum Admission {
    Run,
    Queue,
}

/// What every command passes, alone or in a run.
///
/// # Errors
/// The command is refused, or has to wait first.
#[inline]
fn admit(
    engine: &Engine,
    session: &mut Session,
    row: Row,
    request: Request<'_>,
) -> Result<Admission, CommandError> {
    if session.is_subscribed() || session.is_monitor() {
        forbid_to_listeners(session, row.spec())?;
    }
    if engine.persistence.is_loading() && !row.spec().flags.has(Flags::LOADING) {
        return Err(CommandError::Loading);
    }
    if session.is_queuing() && !row.spec().flags.has(Flags::IMMEDIATE) {
        return may_be_queued(engine, row.spec(), request).map(|()| Admission::Queue);
    }
    if engine.pause.is_set() && is_paused(engine, session, row.spec()) {
        return Err(CommandError::Wait(Wait::Pause));
    }
    Ok(Admission::Run)
}

/// Runs a command that replies, queues it, or refuses it.
fn run(
    engine: &Engine,
    session: &mut Session,
    batch: &mut Batch<'_>,
    command: &Command<'_>,
    reply: &mut ReplyWriter,
) -> Outcome {
    let request = command.request;
    let row = match &command.row {
        Ok(row) => *row,
        Err(_) if is_http(request.name()) => {
            tell_of_http(engine, session);
            return Outcome::Close;
        }
        Err(refused) => return refuse(engine, session, batch, &refused.error, refused.row, reply),
    };
    match admit(engine, session, row, request) {
        Ok(Admission::Run) => {}
        Ok(Admission::Queue) => return enqueue(engine, session, row, request, reply),
        Err(CommandError::Wait(wait)) => return Outcome::Wait(wait),
        Err(error) => return refuse(engine, session, batch, &error, Some(row), reply),
    }
    let started = session.command_start(engine);
    batch.set_checked(
        row.spec().flags.is_checked() || session.queue().is_some_and(|queue| queue.is_checked()),
    );
    let mut view = batch.view();
    session.client().note_command(row.number(), view.steady_ms());
    let (mut result, mut outcome) = call(engine, session, &mut view, row, request, reply);
    if session.is_executing() {
        let weight = session.queue().map_or(0, |queue| weight(queue));
        (result, outcome) = engine.run_sized(weight, || execute(engine, session, &mut view, reply));
    }
    let failed = match result {
        Ok(()) => false,
        Err(CommandError::Wait(wait)) => {
            if wait == Wait::Step {
                session.spend(engine.clock.ticks().saturating_sub(started));
            }
            return Outcome::Wait(wait);
        }
        Err(CommandError::Unwanted) => return Outcome::Close,
        Err(error) => {
            answer_error(engine, &error.text(row.spec().name), reply);
            true
        }
    };
    let ended = engine.clock.ticks();
    session.command_end(ended);
    let ticks = ended.saturating_sub(started) + session.take_spent() + slept(outcome);
    observe::count(engine, session, row, request, observe::Run { ticks, failed });
    session.show();
    outcome
}

/// Writes an error reply and counts it.
pub(super) fn answer_error(engine: &Engine, text: &[u8], reply: &mut ReplyWriter) {
    engine.stats.count_error(text);
    reply.error(text);
}

/// Fails if a subscribed client or one that runs MONITOR may not run the command.
#[cold]
fn forbid_to_listeners(session: &Session, spec: &CommandSpec) -> CommandResult {
    if session.is_monitor() && (spec.flags.has(Flags::WRITE) || spec.flags.has(Flags::READONLY)) {
        return Err(CommandError::Plain("ERR Replica can't interact with the keyspace"));
    }
    let is_limited = session.is_subscribed() && session.preferences.protocol == Protocol::Resp2;
    if is_limited && !spec.flags.has(Flags::IN_SUBSCRIBED) {
        return Err(CommandError::OnlySubscriptions);
    }
    Ok(())
}

/// True if CLIENT PAUSE holds the command back. EXEC is held back if it is to run one that would be.
#[cold]
fn is_paused(engine: &Engine, session: &mut Session, spec: &CommandSpec) -> bool {
    let writes = |spec: &CommandSpec| spec.flags.has(Flags::WRITE) || spec.flags.has(Flags::MAY_REPLICATE);
    match engine.pause.present(engine.clock.monotonic_us()) {
        _ if session.client().is_internal() => false,
        None => false,
        Some((PauseMode::All, _)) => true,
        Some((PauseMode::Writes, _)) if spec.name == "exec" => {
            let queue = session.queue().map(|queue| queue.commands()).unwrap_or_default();
            queue.iter().filter_map(|queued| Row::of_number(queued.row)).any(|row| writes(row.spec()))
        }
        Some((PauseMode::Writes, _)) => writes(spec),
    }
}

/// True for what a browser sends when a page makes it talk to this port: such a connection is closed at once.
fn is_http(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"POST") || name.eq_ignore_ascii_case(b"Host:")
}

/// Logs that a connection is closed since it speaks HTTP; once a minute at most, for anybody can make it happen.
#[cold]
fn tell_of_http(engine: &Engine, session: &Session) {
    if let Some(untold) = engine.stats.http_connections.happened(engine.clock.monotonic_us()) {
        let address = session.client().peer;
        tracing::warn!(%address, untold, "closed a client that sent POST or Host:, as a browser does");
    }
}

/// Answers a request that may not run, and dooms the open transaction.
fn refuse(
    engine: &Engine,
    session: &mut Session,
    batch: &mut Batch<'_>,
    error: &CommandError,
    row: Option<Row>,
    reply: &mut ReplyWriter,
) -> Outcome {
    if let Some(row) = row {
        engine.stats.rejected[row.number()].add(1);
    }
    // It may have waited for a snapshot or done a part of its work; neither is the next command's.
    session.awaited_snapshot = None;
    session.give_up_steps(&mut batch.view());
    let name = row.map_or("", |row| row.spec().name);
    if name == "exec" {
        session.drop_queue();
        session.unwatch(&mut batch.view());
        let text = error.text(name);
        let cause = text.strip_prefix(b"ERR ").unwrap_or(&text);
        let text = [b"EXECABORT Transaction discarded because of: ", cause].concat();
        answer_error(engine, &text, reply);
        return Outcome::Continue;
    }
    if let Some(queue) = session.queue() {
        queue.doom();
    }
    answer_error(engine, &error.text(name), reply);
    Outcome::Continue
}

/// Answers a request that was not kept, since it is beyond the limit that `text` names, in its place among the others: it
/// dooms the open transaction, and CLIENT REPLY SKIP is about it.
#[cold]
pub fn refuse_unread(engine: &Engine, session: &mut Session, text: &str, reply: &mut ReplyWriter) {
    if let Some(queue) = session.queue() {
        queue.doom();
    }
    engine.stats.count_error(text.as_bytes());
    match session.preferences.replies {
        ReplyMode::On => reply.error(text.as_bytes()),
        ReplyMode::Off => {}
        ReplyMode::Skip | ReplyMode::Skipping => session.preferences.replies = ReplyMode::On,
    }
    engine.stats.oversized_requests.add(1);
    if let Some(untold) = engine.stats.oversizes.happened(engine.clock.monotonic_us()) {
        let address = session.client().peer;
        tracing::warn!(%address, untold, text, "refused a request that is beyond a limit");
    }
}

/// Fails if a command may not be queued: it is not allowed in transactions, or there is no room for what it adds and
/// its namespace evicts nothing.
fn may_be_queued(engine: &Engine, spec: &CommandSpec, request: Request<'_>) -> CommandResult {
    if spec.flags.has(Flags::NO_MULTI) {
        return Err(CommandError::Plain("ERR Command not allowed inside a transaction"));
    }
    let memory = &engine.keyspace.memory;
    if !memory.is_over() || !spec.flags.has(Flags::DENYOOM) {
        return Ok(());
    }
    let key = spec.first_key(request).unwrap_or_else(|| names::key(b""));
    let rules = engine.keyspace.rules_of_name(key.namespace());
    if rules.policy.evicts() { Ok(()) } else { Err(CommandError::OutOfMemory) }
}

fn enqueue(
    engine: &Engine,
    session: &mut Session,
    row: Row,
    request: Request<'_>,
    reply: &mut ReplyWriter,
) -> Outcome {
    let Some(queue) = session.queue() else { return Outcome::Continue };
    queue.push(row.number(), request, row.spec().flags.is_checked());
    let footprint = queue.footprint();
    if footprint > QUEUE_LIMIT {
        return Outcome::Close;
    }
    session.client().buffers.queue.set(footprint as u64);
    session.show();
    engine.keep_share();
    reply.simple("QUEUED");
    Outcome::Continue
}

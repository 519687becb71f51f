//! The gate: every request passes here, and only here are handlers called.
//!
//! A request is looked up, its arity checked, and then either queued (between MULTI and EXEC) or run, timed and
//! counted. What is refused dooms an open transaction. How a queue runs is in [`super::execute`].

use super::call::{call, slept};
use super::context::Next;
use super::error::CommandError;
use super::execute::execute;
use super::observe;
use super::spec::{CommandSpec, Flags, Group};
use super::table::{self, Row};
use crate::engine::Engine;
use crate::engine::pause::PauseMode;
use crate::keyspace::{Batch, Contention, Key};
use crate::resp::{Protocol, ReplyWriter, Request};
use crate::session::{ReplyMode, Session};
use smallvec::SmallVec;

/// Bytes a transaction may queue; beyond it the connection is closed, as Redis does at its query buffer limit.
const QUEUE_LIMIT: usize = 1 << 30;

/// Bytes of replies after which a run ends: its replies can be sent only when it has committed.
const RUN_REPLIES: usize = 1 << 20;

/// What the connection does after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Goes on to the next request.
    Continue,
    /// Closes once the replies so far are sent.
    Close,
    /// Lets go of its batch, waits, and dispatches the same request again: nothing was replied or changed.
    Wait(Contention),
    /// The same, until the client is woken: what it waits for may have come then.
    Hold(Hold),
    /// Lets go of its batch, waits for so many microseconds, and goes on to the next request.
    Sleep(u64),
    /// Shuts the server down.
    Shutdown,
}

/// What a request that is to be dispatched again waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// The end of CLIENT PAUSE.
    Pause,
    /// Room for long work.
    LongWork,
    /// The end of the snapshot of this number.
    Snapshot(u64),
}

impl Outcome {
    /// True if the request did not run and is to be dispatched again.
    pub fn is_postponed(self) -> bool {
        matches!(self, Outcome::Wait(_) | Outcome::Hold(_))
    }
}

/// Runs one request for `session`, or queues it, and writes its reply, and behind it what others sent to the client.
pub fn dispatch(
    engine: &Engine,
    session: &mut Session,
    batch: &mut Batch<'_>,
    request: Request<'_>,
    reply: &mut ReplyWriter,
) -> Outcome {
    batch.set_touches(!session.preferences.no_touch);
    if let Some(need) = session.take_need() {
        batch.adopt(*need);
    }
    let outcome = match session.preferences.replies {
        ReplyMode::On => admit(engine, session, batch, request, reply),
        _ => admit_muted(engine, session, batch, request, reply),
    };
    if outcome == Outcome::Wait(Contention::NeedRoom) {
        session.set_need(batch.take_need());
    }
    batch.forget_need();
    if session.has_mail() && !outcome.is_postponed() {
        session.deliver(reply);
    }
    outcome
}

/// Runs a request whose reply the client may not want.
fn admit_muted(
    engine: &Engine,
    session: &mut Session,
    batch: &mut Batch<'_>,
    request: Request<'_>,
    reply: &mut ReplyWriter,
) -> Outcome {
    let (before, mark) = (session.preferences.replies, reply.mute());
    if before == ReplyMode::Skip {
        session.preferences.replies = ReplyMode::Skipping;
    }
    let outcome = admit(engine, session, batch, request, reply);
    if outcome.is_postponed() {
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

/// How many of `requests` may run as one transaction, from the first on: quick commands of one key, the first of
/// them a write. One if the first stands alone.
///
/// Pipelined writes of one key then cost one change of it, and a busy key is fought for less often.
pub fn run_length<'r>(mut requests: impl Iterator<Item = Request<'r>>) -> usize {
    let Some(first) = requests.next() else { return 0 };
    let Some(key) = first.get(1) else { return 1 };
    let joins = |request: Request<'r>| table::resolve(request).is_ok_and(|row| row.spec().joins());
    let mut length = 1;
    for request in requests {
        if request.get(1) != Some(key) {
            break;
        }
        if length == 1 {
            let writes = table::resolve(first).is_ok_and(|row| row.spec().flags.has(Flags::WRITE));
            if !writes || !joins(first) {
                break;
            }
        }
        if !joins(request) {
            break;
        }
        length += 1;
    }
    length
}

/// Runs requests that [`run_length`] found to go together at one instant, and writes their replies. Returns how many
/// of them ran: fewer than all if their replies are large, and none if they have to run one by one; then nothing was
/// replied or changed.
pub fn dispatch_run<'r>(
    engine: &Engine,
    session: &mut Session,
    batch: &mut Batch<'_>,
    requests: impl Iterator<Item = Request<'r>> + Clone,
    reply: &mut ReplyWriter,
) -> usize {
    let is_ordinary = !session.is_queuing() && !session.is_subscribed() && !session.is_monitor();
    let is_paused = engine.pause.is_set() && engine.pause.present(engine.clock.monotonic_us()).is_some();
    let is_held = is_paused || engine.persistence.is_loading();
    if !is_ordinary || engine.sharded.is_some() || session.preferences.replies != ReplyMode::On || is_held {
        return 0;
    }
    let rows = requests.clone().filter_map(|request| Some((table::resolve(request).ok()?, request)));
    let commands: SmallVec<[(Row, Request<'r>); 32]> = rows.collect();
    let mut started = session.command_start(engine);
    batch.set_touches(!session.preferences.no_touch);
    batch.set_checked(commands.iter().any(|(row, _)| row.spec().flags.is_checked()));
    let mut view = batch.view();
    if let Some((_, request)) = commands.first() {
        let key = Key::new(request.get(1).unwrap_or_default());
        view.prefetch_items(key, commands.iter().filter_map(|(row, request)| item(row.spec(), *request)));
    }
    let (mark, before) = (reply.mark(), reply.pending());
    let mut runs: SmallVec<[observe::Run; 32]> = SmallVec::new();
    let mut errors = Vec::new();
    let result = view.transact(|view| {
        reply.rollback(mark);
        runs.clear();
        errors.clear();
        for (row, request) in &commands {
            if reply.pending() - before > RUN_REPLIES {
                break;
            }
            let failed = match call(engine, session, view, *row, *request, reply).0 {
                Ok(()) => false,
                Err(again @ (CommandError::Contention(_) | CommandError::Busy)) => return Err(again),
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
    for ((row, request), run) in commands.iter().zip(runs) {
        session.client().note_command(row.number(), view.steady_ms());
        observe::count(engine, session, *row, *request, run);
    }
    session.show();
    ran
}

/// The argument that is looked for in the collection, if the command has one.
fn item<'r>(spec: &CommandSpec, request: Request<'r>) -> Option<&'r [u8]> {
    request.get(if spec.group == Group::Hash { 2 } else { (request.len() - 1).max(2) })
}

fn admit(
    engine: &Engine,
    session: &mut Session,
    batch: &mut Batch<'_>,
    request: Request<'_>,
    reply: &mut ReplyWriter,
) -> Outcome {
    let row = match resolve(engine, request) {
        Ok(row) => row,
        Err(_) if is_http(request.name()) => {
            tell_of_http(engine, session);
            return Outcome::Close;
        }
        Err((error, row)) => return refuse(engine, session, batch, (error, row), reply),
    };
    if (session.is_subscribed() || session.is_monitor())
        && let Some(error) = forbidden_to_listeners(session, row.spec())
    {
        return refuse(engine, session, batch, (error, Some(row)), reply);
    }
    if engine.persistence.is_loading() && !row.spec().flags.has(Flags::LOADING) {
        return refuse(engine, session, batch, (CommandError::Loading, Some(row)), reply);
    }
    if session.is_queuing() && !row.spec().flags.has(Flags::IMMEDIATE) {
        return match may_be_queued(engine, row.spec(), request) {
            Ok(()) => enqueue(session, row, request, reply),
            Err(error) => refuse(engine, session, batch, (error, Some(row)), reply),
        };
    }
    if engine.pause.is_set() && is_paused(engine, session, row.spec()) {
        return Outcome::Hold(Hold::Pause);
    }
    let started = session.command_start(engine);
    batch.set_checked(
        row.spec().flags.is_checked() || session.queue().is_some_and(|queue| queue.is_checked()),
    );
    let mut view = batch.view();
    session.client().note_command(row.number(), view.steady_ms());
    let (result, next) = call(engine, session, &mut view, row, request, reply);
    let (result, next) = match (result, next) {
        (Ok(()), Next::Execute) => execute(engine, session, &mut view, reply),
        other => other,
    };
    let failed = match result {
        Ok(()) => false,
        Err(CommandError::Contention(contention)) => return Outcome::Wait(contention),
        Err(CommandError::Busy) => return Outcome::Hold(Hold::LongWork),
        Err(CommandError::AwaitSnapshot(number)) => return Outcome::Hold(Hold::Snapshot(number)),
        Err(error) => {
            answer_error(engine, &error.text(row.spec().name), reply);
            true
        }
    };
    let ended = engine.clock.ticks();
    session.command_end(ended);
    let run = observe::Run { ticks: ended.saturating_sub(started) + slept(next), failed };
    observe::count(engine, session, row, request, run);
    session.show();
    conclude(next)
}

/// The row that a request runs in the engine's mode.
#[inline]
fn resolve(engine: &Engine, request: Request<'_>) -> Result<Row, (CommandError, Option<Row>)> {
    match &engine.sharded {
        None => table::resolve(request),
        Some(_) => table::resolve_sharded(request),
    }
}

fn conclude(next: Next) -> Outcome {
    match next {
        Next::Continue | Next::Execute => Outcome::Continue,
        Next::Close => Outcome::Close,
        Next::Sleep(us) => Outcome::Sleep(us),
        Next::Shutdown => Outcome::Shutdown,
    }
}

/// Writes an error reply and counts it.
pub(super) fn answer_error(engine: &Engine, text: &[u8], reply: &mut ReplyWriter) {
    engine.stats.count_error(text);
    reply.error(text);
}

/// Why a client that listens may not run a command, if it may not.
#[cold]
fn forbidden_to_listeners(session: &Session, spec: &CommandSpec) -> Option<CommandError> {
    if session.is_monitor() && (spec.flags.has(Flags::WRITE) || spec.flags.has(Flags::READONLY)) {
        return Some(CommandError::Plain("ERR Replica can't interact with the keyspace"));
    }
    let is_limited = session.is_subscribed() && session.preferences.protocol == Protocol::Resp2;
    (is_limited && !spec.flags.has(Flags::IN_SUBSCRIBED)).then_some(CommandError::OnlySubscriptions)
}

/// True if CLIENT PAUSE holds the command back. EXEC is held back if it is to run one that would be.
#[cold]
fn is_paused(engine: &Engine, session: &mut Session, spec: &CommandSpec) -> bool {
    let writes = |spec: &CommandSpec| spec.flags.has(Flags::WRITE) || spec.flags.has(Flags::MAY_REPLICATE);
    match engine.pause.present(engine.clock.monotonic_us()) {
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
        tracing::warn!(%address, untold, "a client sent POST or Host:, as a browser does: it is closed");
    }
}

/// Answers a request that may not run, and dooms the open transaction.
fn refuse(
    engine: &Engine,
    session: &mut Session,
    batch: &mut Batch<'_>,
    (error, row): (CommandError, Option<Row>),
    reply: &mut ReplyWriter,
) -> Outcome {
    if let Some(row) = row {
        engine.stats.rejected[row.number()].add(1);
    }
    // It may have waited for a snapshot or done a part of its work; neither is the next command's.
    (session.awaited_snapshot, session.progress) = (None, None);
    let name = row.map_or("", |row| row.spec().name);
    if name == "exec" {
        session.take_queue();
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

/// Fails if a command may not even be queued: it is none for transactions, or there is no room for what it adds and
/// its namespace makes none.
fn may_be_queued(engine: &Engine, spec: &CommandSpec, request: Request<'_>) -> Result<(), CommandError> {
    if spec.flags.has(Flags::NO_MULTI) {
        return Err(CommandError::Plain("ERR Command not allowed inside a transaction"));
    }
    let memory = &engine.keyspace.memory;
    if !memory.is_over() || !spec.flags.has(Flags::DENYOOM) {
        return Ok(());
    }
    let key = spec.key_positions(request).next().and_then(|(position, _)| request.get(position));
    let rules = engine.keyspace.rules_of_name(Key::new(key.unwrap_or_default()).namespace());
    if rules.policy.evicts() { Ok(()) } else { Err(CommandError::OutOfMemory) }
}

fn enqueue(session: &mut Session, row: Row, request: Request<'_>, reply: &mut ReplyWriter) -> Outcome {
    let Some(queue) = session.queue() else { return Outcome::Continue };
    queue.push(row.number(), request, row.spec().flags.is_checked());
    let footprint = queue.footprint();
    if footprint > QUEUE_LIMIT {
        return Outcome::Close;
    }
    session.client().buffers.queue.set(footprint as u64);
    session.show();
    reply.simple("QUEUED");
    Outcome::Continue
}

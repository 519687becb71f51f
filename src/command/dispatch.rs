//! The gate: every request passes here, and only here are handlers called.
//!
//! A request is looked up, its arity checked, and then either queued (between MULTI and EXEC) or run and
//! counted. What is refused dooms an open transaction.

use super::args::Args;
use super::context::{Context, Next};
use super::error::{CommandError, CommandResult};
use super::spec::{CommandSpec, Flags, Group};
use super::table::{self, Row};
use crate::engine::Engine;
use crate::keyspace::{Batch, Contention, Key, View};
use crate::resp::{ReplyWriter, Request};
use crate::session::{Queue, ReplyMode, Session};
use smallvec::SmallVec;

/// Bytes a transaction may queue; beyond it the connection is closed, as Redis does at its query buffer limit.
const QUEUE_LIMIT: usize = 1 << 30;

/// What the connection does after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Goes on to the next request.
    Continue,
    /// Closes once the replies so far are sent.
    Close,
    /// Lets go of its batch, waits, and dispatches the same request again: nothing was replied or changed.
    Wait(Contention),
    /// Shuts the server down.
    Shutdown,
}

/// Runs one request for `session`, or queues it, and writes its reply.
pub fn dispatch(
    engine: &Engine,
    session: &mut Session,
    batch: &mut Batch<'_>,
    request: Request<'_>,
    reply: &mut ReplyWriter,
) -> Outcome {
    if session.preferences.replies == ReplyMode::On {
        return admit(engine, session, batch, request, reply);
    }
    let (before, mark) = (session.preferences.replies, reply.mark());
    if before == ReplyMode::Skip {
        session.preferences.replies = ReplyMode::Skipping;
    }
    let outcome = admit(engine, session, batch, request, reply);
    if matches!(outcome, Outcome::Wait(_)) {
        session.preferences.replies = before;
        return outcome;
    }
    // CLIENT REPLY ON among the muted requests is answered; nothing else is.
    match session.preferences.replies {
        ReplyMode::On => return outcome,
        ReplyMode::Skipping => session.preferences.replies = ReplyMode::On,
        ReplyMode::Off | ReplyMode::Skip => {}
    }
    reply.rollback(mark);
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

/// Runs requests that [`run_length`] found to go together at one instant, and writes their replies. False if they
/// have to run one by one: then nothing was replied or changed.
pub fn dispatch_run<'r>(
    engine: &Engine,
    session: &mut Session,
    batch: &mut Batch<'_>,
    requests: impl Iterator<Item = Request<'r>> + Clone,
    reply: &mut ReplyWriter,
) -> bool {
    if session.is_queuing() || session.preferences.replies != ReplyMode::On {
        return false;
    }
    let rows = requests.clone().filter_map(|request| Some((table::resolve(request).ok()?, request)));
    let commands: SmallVec<[(Row, Request<'r>); 32]> = rows.collect();
    let mut view = batch.view();
    if let Some((_, request)) = commands.first() {
        let key = Key::new(request.get(1).unwrap_or_default());
        view.prefetch_items(key, commands.iter().filter_map(|(row, request)| item(row.spec(), *request)));
    }
    let (mark, mut failures) = (reply.mark(), Vec::new());
    let result = view.transact(|view| {
        reply.rollback(mark);
        failures.clear();
        for (position, (row, request)) in commands.iter().enumerate() {
            match call(engine, session, view, row.spec(), *request, reply).0 {
                Ok(()) => {}
                Err(contention @ CommandError::Contention(_)) => return Err(contention),
                Err(error) => {
                    reply.error(&error.text(row.spec().name));
                    failures.push(position);
                }
            }
        }
        Ok(())
    });
    if result.is_err() {
        reply.rollback(mark);
        return false;
    }
    for (row, _) in &commands {
        session.client().note_command(row.number(), view.now_ms());
        engine.stats.commands[row.number()].calls.add(1);
    }
    for position in failures {
        engine.stats.commands[commands[position].0.number()].failed.add(1);
    }
    session.show();
    true
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
    let row = match table::resolve(request) {
        Ok(row) => row,
        Err(_) if is_http(request.name()) => return Outcome::Close,
        Err((error, spec)) => return refuse(engine, session, batch, (error, spec), reply),
    };
    if session.is_queuing() && !row.spec().flags.has(Flags::IMMEDIATE) {
        return enqueue(session, row, request, reply);
    }
    let mut view = batch.view();
    session.client().note_command(row.number(), view.now_ms());
    let (result, next) = call(engine, session, &mut view, row.spec(), request, reply);
    let (result, next) = match (result, next) {
        (Ok(()), Next::Execute) => execute(engine, session, &mut view, reply),
        other => other,
    };
    conclude(engine, session, row, (result, next), reply)
}

/// Runs a row's handler.
#[inline]
fn call(
    engine: &Engine,
    session: &mut Session,
    view: &mut View<'_>,
    spec: &'static CommandSpec,
    request: Request<'_>,
    reply: &mut ReplyWriter,
) -> (CommandResult, Next) {
    let first = 1 + usize::from(spec.is_subcommand());
    let mut cx = Context { engine, session, view, reply, spec, next: Next::Continue };
    let result = (spec.handler)(&mut cx, Args::new(request, first));
    (result, cx.next)
}

/// Writes the error, if there is one, and counts the call.
fn conclude(
    engine: &Engine,
    session: &Session,
    row: Row,
    (result, next): (CommandResult, Next),
    reply: &mut ReplyWriter,
) -> Outcome {
    let counters = &engine.stats.commands[row.number()];
    match result {
        Err(CommandError::Contention(contention)) => return Outcome::Wait(contention),
        Err(error) => {
            reply.error(&error.text(row.spec().name));
            counters.failed.add(1);
        }
        Ok(()) => {}
    }
    counters.calls.add(1);
    session.show();
    if next == Next::Close { Outcome::Close } else { Outcome::Continue }
}

/// True for what a browser sends when a page makes it talk to this port: such a connection is closed at once.
fn is_http(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"POST") || name.eq_ignore_ascii_case(b"Host:")
}

/// Answers a request that may not run, and dooms the open transaction.
fn refuse(
    engine: &Engine,
    session: &mut Session,
    batch: &mut Batch<'_>,
    (error, spec): (CommandError, Option<&'static CommandSpec>),
    reply: &mut ReplyWriter,
) -> Outcome {
    engine.stats.rejected.add(1);
    let name = spec.map_or("", |spec| spec.name);
    if name == "exec" {
        session.take_queue();
        session.unwatch(&mut batch.view());
        reply.error(&CommandError::ExecAbortArity.text(name));
        return Outcome::Continue;
    }
    if let Some(queue) = session.queue() {
        queue.doom();
    }
    reply.error(&error.text(name));
    Outcome::Continue
}

fn enqueue(session: &mut Session, row: Row, request: Request<'_>, reply: &mut ReplyWriter) -> Outcome {
    let Some(queue) = session.queue() else { return Outcome::Continue };
    queue.push(row.number(), request);
    if queue.footprint() > QUEUE_LIMIT {
        return Outcome::Close;
    }
    session.show();
    reply.simple("QUEUED");
    Outcome::Continue
}

/// Runs the session's queue at one instant and gives its watches back.
fn execute(
    engine: &Engine,
    session: &mut Session,
    view: &mut View<'_>,
    reply: &mut ReplyWriter,
) -> (CommandResult, Next) {
    let Some(queue) = session.begin_execution() else { return (Ok(()), Next::Continue) };
    let (preferences, mark) = (session.preferences, reply.mark());
    let labels = session.client().labels().clone();
    let mut failures = Vec::new();
    let result = view.transact(|view| {
        // The body may run again, so each run starts from what the session and the reply were.
        session.preferences = preferences;
        session.client().labels().clone_from(&labels);
        reply.set_protocol(preferences.protocol);
        reply.rollback(mark);
        failures.clear();
        run_queue(engine, session, view, &queue, reply, &mut failures)
    });
    match result {
        Ok(next) => {
            if next.is_some() {
                count_queue(engine, &queue, &failures);
            }
            session.end_execution(None);
            session.unwatch(view);
            (Ok(()), next.unwrap_or(Next::Continue))
        }
        Err(error) => {
            session.preferences = preferences;
            *session.client().labels() = labels;
            reply.set_protocol(preferences.protocol);
            reply.rollback(mark);
            session.end_execution(Some(queue));
            (Err(error), Next::Continue)
        }
    }
}

/// One run of a transaction's body: the array of replies, or null if a watched key has changed, which
/// answers `None`. The positions of the commands that failed go to `failures`.
fn run_queue(
    engine: &Engine,
    session: &mut Session,
    view: &mut View<'_>,
    queue: &Queue,
    reply: &mut ReplyWriter,
    failures: &mut Vec<usize>,
) -> Result<Option<Next>, CommandError> {
    for watch in session.watches() {
        if !view.is_unchanged(watch)? {
            reply.null_array();
            return Ok(None);
        }
    }
    reply.array(queue.len());
    let mut end = Next::Continue;
    for (position, queued) in queue.commands().iter().enumerate() {
        let Some(row) = Row::of_number(queued.row) else { continue };
        let (result, next) = call(engine, session, view, row.spec(), queued.request.as_request(), reply);
        if next == Next::Close {
            end = Next::Close;
        }
        match result {
            Ok(()) => {}
            Err(contention @ CommandError::Contention(_)) => return Err(contention),
            Err(error) => {
                reply.error(&error.text(row.spec().name));
                failures.push(position);
            }
        }
    }
    Ok(Some(end))
}

/// Counts the commands of a transaction once it is through.
fn count_queue(engine: &Engine, queue: &Queue, failures: &[usize]) {
    for queued in queue.commands() {
        engine.stats.commands[queued.row].calls.add(1);
    }
    for position in failures {
        engine.stats.commands[queue.commands()[*position].row].failed.add(1);
    }
}

//! EXEC: a session's queue at one instant.
//!
//! What concerns keys is the body of a transaction: it may run again, so it has no other effects. What acts outside the
//! keyspace ([`Flags::AFTER_COMMIT`]: publishing, subscribing, settings, other clients) runs once, after the commit, in
//! its order; its replies are put where they belong.

use super::call::{call, slept};
use super::context::Outcome;
use super::error::{CommandError, CommandResult};
use super::observe;
use super::spec::Flags;
use super::table::Row;
use crate::engine::Engine;
use crate::keyspace::View;
use crate::resp::{ReplyMark, ReplyWriter};
use crate::session::{Queue, Queued, Session};

/// What became of one command of a queue.
struct Done {
    run: observe::Run,
    /// The text of its error reply; empty without one.
    error: Vec<u8>,
    /// Where its reply ends; it begins where the one before it ends.
    end: ReplyMark,
}

/// What became of a queue.
struct Body {
    /// Where the replies of the commands begin.
    start: ReplyMark,
    done: Vec<Done>,
    outcome: Outcome,
}

/// What a queued command counts for among the elements of long work: a quick one, and any other.
const QUICK: u64 = 4;
const OTHER: u64 = 64;

/// About how much work a queue is.
pub(super) fn weight(queue: &Queue) -> u64 {
    let of = |queued: &Queued| if row_of(queued).spec().flags.has(Flags::FAST) { QUICK } else { OTHER };
    queue.commands().iter().map(of).sum()
}

/// Runs the session's queue at one instant and gives its watches back.
pub(super) fn execute(
    engine: &Engine,
    session: &mut Session,
    view: &mut View<'_>,
    reply: &mut ReplyWriter,
) -> (CommandResult, Outcome) {
    let queue = session.take_executing().expect("EXEC has found a queue");
    let (preferences, mark) = (session.preferences, reply.mark());
    let labels = session.client().labels().clone();
    let result = view.transact(|view| {
        // The body may run again, so each run starts from what the session and the reply were.
        session.preferences = preferences;
        session.client().labels().clone_from(&labels);
        reply.set_protocol(preferences.protocol);
        reply.rollback(mark);
        run_queue(engine, session, view, &queue, reply)
    });
    match result {
        Ok(body) => {
            let outcome =
                body.map_or(Outcome::Continue, |body| finish(engine, session, view, &queue, body, reply));
            session.end_execution(None);
            session.unwatch(view);
            (Ok(()), outcome)
        }
        Err(error) => {
            session.preferences = preferences;
            *session.client().labels() = labels;
            reply.set_protocol(preferences.protocol);
            reply.rollback(mark);
            if error == CommandError::OutOfMemory {
                session.end_execution(None);
                session.unwatch(view);
                return (Err(CommandError::ExecAbortOutOfMemory), Outcome::Continue);
            }
            session.end_execution(Some(queue));
            (Err(error), Outcome::Continue)
        }
    }
}

/// The row that the gate found when it queued the command.
fn row_of(queued: &Queued) -> Row {
    Row::of_number(queued.row).expect("a command is queued by the number of its row")
}

fn is_deferred(queued: &Queued) -> bool {
    row_of(queued).spec().flags.has(Flags::AFTER_COMMIT)
}

/// One run of a transaction's body: the array of replies, or null if a watched key has changed, which answers `None`.
fn run_queue(
    engine: &Engine,
    session: &mut Session,
    view: &mut View<'_>,
    queue: &Queue,
    reply: &mut ReplyWriter,
) -> Result<Option<Body>, CommandError> {
    for watch in session.watches() {
        if !view.is_unchanged(watch)? {
            reply.null_array();
            return Ok(None);
        }
    }
    reply.array(queue.len());
    let mut body =
        Body { start: reply.mark(), done: Vec::with_capacity(queue.len()), outcome: Outcome::Continue };
    let mut started = engine.clock.ticks();
    for queued in queue.commands() {
        let (mut error, mut outcome) = (Vec::new(), Outcome::Continue);
        if !is_deferred(queued) {
            error = run(engine, session, view, queued, reply, &mut outcome)?;
        }
        let ended = engine.clock.ticks();
        let ticks = ended.saturating_sub(started) + slept(outcome);
        let run = observe::Run { ticks, failed: !error.is_empty() };
        if outcome != Outcome::Continue {
            body.outcome = outcome;
        }
        body.done.push(Done { run, error, end: reply.mark() });
        started = ended;
    }
    Ok(Some(body))
}

/// Runs one command and answers the text of its error reply. Fails if the whole is to run again.
fn run(
    engine: &Engine,
    session: &mut Session,
    view: &mut View<'_>,
    queued: &Queued,
    reply: &mut ReplyWriter,
    last: &mut Outcome,
) -> Result<Vec<u8>, CommandError> {
    let row = row_of(queued);
    let (result, outcome) = call(engine, session, view, row, queued.request.as_request(), reply);
    if outcome != Outcome::Continue {
        *last = outcome;
    }
    match result {
        Ok(()) => Ok(Vec::new()),
        Err(again @ (CommandError::Wait(_) | CommandError::Unwanted)) => Err(again),
        Err(error) => {
            let text = error.text(row.spec().name);
            reply.error(&text);
            Ok(text)
        }
    }
}

/// What happens once a transaction is through: the commands that act outside the keyspace run, and all are counted.
fn finish(
    engine: &Engine,
    session: &mut Session,
    view: &mut View<'_>,
    queue: &Queue,
    mut body: Body,
    reply: &mut ReplyWriter,
) -> Outcome {
    if queue.commands().iter().any(is_deferred) {
        let written = reply.take_since(body.start);
        let mut from = body.start;
        let mut started = engine.clock.ticks();
        for (queued, done) in queue.commands().iter().zip(&mut body.done) {
            reply.rewrite(&written, from, done.end);
            from = done.end;
            if !is_deferred(queued) {
                continue;
            }
            // Such commands touch no keys, so they never have to run again.
            done.error = run(engine, session, view, queued, reply, &mut body.outcome).unwrap_or_default();
            let ended = engine.clock.ticks();
            done.run = observe::Run { ticks: ended.saturating_sub(started), failed: !done.error.is_empty() };
            started = ended;
        }
    }
    for (queued, done) in queue.commands().iter().zip(&body.done) {
        if done.run.failed {
            engine.stats.count_error(&done.error);
        }
        observe::count(engine, session, row_of(queued), queued.request.as_request(), done.run);
    }
    body.outcome
}

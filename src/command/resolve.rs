//! Requests with their rows. A connection resolves each request once, and prefetching, runs and the gate share that.

use super::spec::Flags;
use super::table::{self, Refused, Row};
use crate::engine::Engine;
use crate::keyspace::{Batch, PrefetchList};
use crate::resp::Request;

/// Most keys of one request that are worth prefetching: more would push each other out of the cache.
const PREFETCHED_KEYS: usize = 16;

/// A request, and the row that it runs or why it runs none.
#[derive(Debug)]
pub struct Command<'r> {
    pub(super) request: Request<'r>,
    pub(super) row: Result<Row, Box<Refused>>,
}

impl<'r> Command<'r> {
    /// Finds the row that a request runs.
    #[inline]
    pub fn resolve(engine: &Engine, request: Request<'r>) -> Command<'r> {
        Command { request, row: table::resolve_on(&engine.store, request) }
    }

    /// True for quick commands of one key, which may run as one with others of that key.
    fn joins(&self) -> bool {
        self.row.as_ref().is_ok_and(|row| row.spec().joins())
    }

    /// True for commands that read the keyspace and change nothing.
    pub fn only_reads(&self) -> bool {
        self.row.as_ref().is_ok_and(|row| row.spec().flags.has(Flags::READONLY))
    }

    /// True for commands that may change the keyspace.
    fn writes(&self) -> bool {
        self.row.as_ref().is_ok_and(|row| row.spec().flags.has(Flags::WRITE))
    }
}

/// Brings the keys of commands that will run soon into the cache: a hint, nothing more.
pub fn prefetch(engine: &Engine, batch: &Batch<'_>, commands: &[Command<'_>]) {
    if engine.store.sharded().is_some() {
        return;
    }
    let mut keys = PrefetchList::new();
    for Command { request, row } in commands {
        let Ok(row) = row else { continue };
        keys.extend(row.spec().keys_of(*request).take(PREFETCHED_KEYS));
    }
    batch.prefetch(&keys);
}

/// How many of `commands` may run as one transaction, from the first on: quick commands of one key, the first of
/// them a write. One if the first stands alone. The sharded store has no transactions.
///
/// Pipelined writes of one key then cost one change of it, and a busy key is fought for less often.
#[inline]
pub fn run_length(engine: &Engine, commands: &[Command<'_>]) -> usize {
    let Some((first, others)) = commands.split_first() else { return 0 };
    let Some(key) = first.request.get(1) else { return 1 };
    if others.first().is_none_or(|second| second.request.get(1) != Some(key)) {
        return 1;
    }
    if !first.writes() || !first.joins() || engine.store.sharded().is_some() {
        return 1;
    }
    1 + others.iter().take_while(|other| other.request.get(1) == Some(key) && other.joins()).count()
}

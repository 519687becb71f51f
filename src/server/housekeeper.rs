//! The thread that expires keys, reaps slots and frees memory, so that no client's command has to. It samples the
//! counters for INFO's rates too. Another one follows the allocator, for the memory limit and the peak: it is not to wait for the
//! end of a round, nor for its turn behind the workers.

use super::Shared;
use crate::engine::memory::Allocator;
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Pause between two rounds when nothing is left to do.
const INTERVAL: Duration = Duration::from_millis(10);

/// The same while more is held than is allowed: what waits to be reclaimed is then waited for.
const INTERVAL_WHEN_OVER: Duration = Duration::from_millis(1);

/// Lets a worker that wakes up go before a storm of expired keys; a quarter of a contended core is left to it.
const NICENESS: i32 = 5;

/// Starts the thread; it ends with the server.
pub(super) fn spawn(shared: Arc<Shared>) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name("kvns-housekeeper".to_owned()).spawn(move || {
        super::lower_priority(NICENESS);
        while !shared.roster.is_stopping() {
            let engine = &shared.engine;
            if engine.stats.sample(engine.clock.unix_ms())
                && let Some(store) = &engine.sharded
            {
                store.sweep(engine.clock.unix_ms());
            }
            if shared.engine.keyspace.housekeep() {
                thread::yield_now();
            } else {
                thread::sleep(INTERVAL);
            }
        }
    })
}

/// Starts the thread that follows the allocator; it ends with the server.
pub(super) fn spawn_gauge(shared: Arc<Shared>) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name("kvns-memory".to_owned()).spawn(move || {
        while !shared.roster.is_stopping() {
            let (keyspace, allocated) = (&shared.engine.keyspace, Allocator::read().allocated);
            shared.engine.stats.note_memory(allocated);
            keyspace.measure(allocated);
            if keyspace.memory.is_over() {
                keyspace.help_reclaim();
            }
            thread::sleep(if keyspace.memory.is_over() { INTERVAL_WHEN_OVER } else { INTERVAL });
        }
    })
}

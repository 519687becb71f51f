//! The thread that expires keys, reaps slots and frees memory, so that no client's command has to. It samples the
//! counters for INFO's rates too. Another one follows the allocator, for the memory limit and the peak: it is not to wait for the
//! end of a round, nor for its turn behind the workers.

use super::Shared;
use crate::engine::memory;
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::runtime::Handle;

/// Pause between two rounds when nothing is left to do.
const INTERVAL: Duration = Duration::from_millis(10);

/// The same between two measurements while there is ample room: what writes add is paid for without them.
const INTERVAL_WITH_ROOM: Duration = Duration::from_millis(100);

/// The same while more is held than is allowed: what waits to be reclaimed is then waited for.
const INTERVAL_WHEN_OVER: Duration = Duration::from_millis(1);

/// What is given back at once when it has been freed: so many bytes, if they are more than half of all.
const MUCH: u64 = 8 << 20;

/// Rounds after which all threads that wait for work have emptied their caches.
const ROUNDS_BEFORE_PURGE: u32 = 2;

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
                shared.trims.follow();
                thread::sleep(INTERVAL);
            }
        }
    })
}

/// Starts the thread that follows the allocator; it ends with the server. When much was freed it lets `workers` and the
/// others give it back.
pub(super) fn spawn_gauge(shared: Arc<Shared>, workers: Handle) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name("kvns-memory".to_owned()).spawn(move || {
        let keyspace = &shared.engine.keyspace;
        let mut most = 0;
        let mut purge_in = None;
        while !shared.roster.is_stopping() {
            let allocated = shared.engine.measure_memory();
            if keyspace.memory.is_over() {
                keyspace.help_reclaim();
            }
            most = allocated.max(most);
            if most - allocated > allocated.max(MUCH) && !keyspace.is_freeing() {
                most = allocated;
                shared.trims.ask(&workers);
                shared.trims.follow();
                purge_in = Some(ROUNDS_BEFORE_PURGE);
            }
            if purge_in == Some(0) {
                memory::purge();
            }
            purge_in = purge_in.and_then(|rounds: u32| rounds.checked_sub(1));
            let memory = &keyspace.memory;
            let has_room = memory.free() > memory.limit() as i64 / 8;
            thread::sleep(match memory.is_over() {
                true => INTERVAL_WHEN_OVER,
                false if has_room => INTERVAL_WITH_ROOM,
                false => INTERVAL,
            });
        }
    })
}

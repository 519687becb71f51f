//! The thread that expires keys, reaps slots and frees memory, so that no client's command has to. It follows the
//! allocator for the memory limit, and samples the counters for INFO's rates.

use super::Shared;
use crate::engine::memory::Allocator;
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Pause between two rounds when nothing is left to do.
const INTERVAL: Duration = Duration::from_millis(10);

/// Lets a worker that wakes up go before a storm of expired keys.
const NICENESS: i32 = 5;

/// Starts the thread; it ends with the server.
pub(super) fn spawn(shared: Arc<Shared>) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name("kvns-housekeeper".to_owned()).spawn(move || {
        // Only Linux has a priority for each thread. This one keeps a quarter of a contended core.
        if cfg!(target_os = "linux")
            && let Err(error) = rustix::process::setpriority_process(None, NICENESS)
        {
            tracing::debug!(%error, "the housekeeper keeps its priority");
        }
        while !shared.roster.is_stopping() {
            let engine = &shared.engine;
            let allocated = Allocator::read().allocated;
            engine.keyspace.measure(allocated, 0);
            if engine.stats.sample(engine.clock.unix_ms()) {
                engine.stats.note_memory(allocated);
            }
            if shared.engine.keyspace.housekeep() {
                thread::yield_now();
            } else {
                thread::sleep(INTERVAL);
            }
        }
    })
}

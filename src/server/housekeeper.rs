//! The thread that expires keys, reaps slots and frees memory, so that no client's command has to. It samples the
//! counters for INFO's rates too. Another one follows the allocator, for the memory limit and the peak: it is not to
//! wait for the end of a round, nor for its turn behind the workers.

use super::Shared;
use super::trim::{Step, Watch};
use crate::memory::allocator::purge;
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::runtime::Handle;

/// Pause between two rounds when nothing is left to do.
const INTERVAL: Duration = Duration::from_millis(10);

/// The same between two measurements while there is ample room: what writes add is paid for without them.
const INTERVAL_WITH_ROOM: Duration = Duration::from_millis(100);

/// The same while more is held than is allowed, and something happens: what waits to be reclaimed is then waited for.
const INTERVAL_WHEN_OVER: Duration = Duration::from_millis(1);

/// Lets a worker that wakes up go before a storm of expired keys; a quarter of a contended core is left to it.
const NICENESS: i32 = 5;

/// Starts the thread; it ends with the server.
pub(super) fn spawn(shared: Arc<Shared>) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name("kvns-housekeeper".to_owned()).spawn(move || {
        super::lower_priority(NICENESS);
        while !shared.is_gone.is_raised() {
            let engine = &shared.engine;
            engine.stats.sample(engine.clock.monotonic_us() / 1000);
            if engine.housekeep() {
                thread::yield_now();
            } else {
                shared.trims.follow();
                thread::sleep(INTERVAL);
            }
        }
    })
}

/// Starts the thread that follows the allocator; it ends with the server. Where much is kept that is not handed out, it
/// lets `workers` and the others give it back.
pub(super) fn spawn_gauge(shared: Arc<Shared>, workers: Handle) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name("kvns-memory".to_owned()).spawn(move || {
        let Shared { engine, trims, is_gone, .. } = &*shared;
        let memory = &engine.keyspace.memory;
        let mut watch = Watch::new(engine.clock.monotonic_us());
        let mut before = 0;
        while !is_gone.is_raised() {
            let allocator = engine.measure_memory();
            engine.keep_share();
            if memory.is_over() {
                engine.keyspace.help_reclaim();
            }
            match watch.next(allocator, engine.clock.monotonic_us()) {
                Step::Rest => {}
                Step::Ask => {
                    trims.ask(&workers);
                    trims.follow();
                }
                Step::Purge => purge(),
            }
            let has_room = memory.free() > memory.limit() as i64 / 8;
            let is_still = allocator.allocated == std::mem::replace(&mut before, allocator.allocated);
            thread::sleep(match memory.is_over() {
                true if !is_still => INTERVAL_WHEN_OVER,
                false if has_room => INTERVAL_WITH_ROOM,
                _ => INTERVAL,
            });
        }
    })
}

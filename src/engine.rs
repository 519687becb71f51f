//! Everything but sockets: the keyspace, the clients, the settings, the statistics and the clock.

pub mod census;
pub mod clients;
pub mod descriptors;
pub mod ending;
pub mod kept;
pub mod long_work;
pub mod mail;
pub mod monitors;
pub mod pause;
pub mod persistence;
pub mod process;
pub mod pubsub;
pub mod share;
pub mod store;
pub mod wanted;

use crate::clock::{Clock, TICKS_PER_US};
use crate::concurrent::counters::counter::{Counter, Latest};
use crate::config::Settings;
use crate::keyspace::Keyspace;
use crate::memory::allocator::Allocator;
use crate::stats::Stats;
use arc_swap::ArcSwap;
use clients::ClientRegistry;
use ending::Ending;
use kept::Kept;
use long_work::LongWork;
use monitors::Monitors;
use pause::Pause;
use persistence::Persistence;
use pubsub::PubSub;
use rand::Rng;
use std::sync::{Arc, Mutex, PoisonError};
use store::Store;

/// Runs a closure where it holds nobody up, and returns when it has run.
pub type Offload = fn(&mut dyn FnMut());

/// The state that all connections share.
#[derive(Debug)]
pub struct Engine {
    /// The settings in force; [`Engine::change_settings`] swaps them.
    pub settings: ArcSwap<Settings>,
    /// Held while settings are changed, so that what is derived from them never lags behind.
    changing: Mutex<()>,
    /// Ticks from which on a command is looked at by the slow log and the latency monitor.
    slow_ticks: Latest,
    /// Every key of every namespace.
    pub keyspace: Keyspace,
    /// Which store serves the keys.
    pub store: Store,
    /// Statistics of commands, connections and errors.
    pub stats: Stats,
    /// The clock, which tests can drive.
    pub clock: Clock,
    /// The connected clients.
    pub clients: ClientRegistry,
    /// Subscriptions to channels and patterns.
    pub pubsub: PubSub,
    /// The clients that run MONITOR.
    pub monitors: Monitors,
    /// CLIENT PAUSE.
    pub pause: Pause,
    /// Limits how much long work runs at a time.
    pub long_work: LongWork,
    /// Snapshots, and the load at the start.
    pub persistence: Persistence,
    /// The progress of a shutdown.
    pub ending: Ending,
    kept: Kept,
    /// Forty random hexadecimal digits that tell this run of the server from others.
    pub run_id: String,
    /// When the engine was made: Unix time in milliseconds.
    pub started_ms: u64,
    /// The same by the monotonic clock, in microseconds.
    started_us: u64,
    offload: Offload,
}

impl Engine {
    /// An engine with an empty keyspace.
    pub fn new(settings: Settings, clock: Clock) -> Engine {
        let keyspace = Keyspace::with_records(clock.clone(), settings.metrics_max_namespaces - 1);
        keyspace.bind(settings.data_limit(), settings.eviction.clone());
        Engine {
            slow_ticks: Latest::new(slow_ticks(&settings)),
            long_work: LongWork::new(settings.workers),
            store: Store::new(&settings),
            stats: Stats::new(settings.metrics_max_namespaces - 1),
            clients: ClientRegistry::new(settings.client_share()),
            pubsub: PubSub::default(),
            monitors: Monitors::default(),
            pause: Pause::new(Arc::clone(&keyspace.no_removals_until_us)),
            persistence: Persistence::new(&clock),
            ending: Ending::default(),
            kept: Kept::default(),
            run_id: random_run_id(),
            started_ms: clock.unix_ms(),
            started_us: clock.monotonic_us(),
            keyspace,
            clock,
            settings: ArcSwap::from_pointee(settings),
            changing: Mutex::default(),
            offload: |work| work(),
        }
    }

    /// The same engine, with `offload` for work that is known to be long. Without it such work runs in place.
    pub fn with_offload(self, offload: Offload) -> Engine {
        Engine { offload, ..self }
    }

    /// Changes the settings; one change after the other.
    pub fn change_settings(&self, change: impl FnOnce(&mut Settings)) {
        // Nothing is half changed after a panic: the settings are swapped whole.
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut settings = Settings::clone(&self.settings.load());
        change(&mut settings);
        let settings = Arc::new(settings);
        self.settings.store(Arc::clone(&settings));
        self.slow_ticks.set(slow_ticks(&settings));
        self.clients.ledger.set_share(settings.client_share());
        self.keyspace.bind(settings.data_limit(), settings.eviction.clone());
        self.persistence.notice();
    }

    /// Microseconds since the engine was made.
    pub fn uptime_us(&self) -> u64 {
        self.clock.monotonic_us() - self.started_us
    }

    /// Reads the allocator, for the memory limit and the peak. Some microseconds.
    pub fn measure_memory(&self) -> Allocator {
        let mut allocator = Allocator::default();
        self.keyspace.measure(|| {
            let ledger = &self.clients.ledger;
            // What clients hold within their share is no reason to evict data. If that changes meanwhile, the larger
            // number evicts nothing that could stay.
            let before = ledger.held();
            allocator = Allocator::read();
            let held = before.max(ledger.held());
            let share = if ledger.share() == u64::MAX { 0 } else { ledger.share() };
            allocator.allocated.saturating_sub(held.min(share))
        });
        self.stats.note_memory(allocator.allocated);
        allocator
    }

    /// Lets every statistic begin again, as CONFIG RESETSTAT does.
    pub fn reset_stats(&self) {
        self.stats.reset();
        let keyspace = &self.keyspace.stats;
        let counters = [
            &keyspace.hits,
            &keyspace.misses,
            &keyspace.expired,
            &keyspace.evicted,
            &keyspace.ear_evicted,
            &keyspace.cas_retries,
            &keyspace.transaction_retries,
            &keyspace.ran_alone,
        ];
        counters.into_iter().for_each(Counter::reset);
    }

    /// True if a command that ran for so long is one for the slow log or the latency monitor. One load.
    #[inline]
    pub fn is_slow(&self, ticks: u64) -> bool {
        ticks >= self.slow_ticks.get()
    }
}

/// The lower one of the thresholds that are on, in ticks.
fn slow_ticks(settings: &Settings) -> u64 {
    let slowlog_us = u64::try_from(settings.slowlog_us).ok();
    let latency_us = Some(settings.latency_ms * 1000).filter(|us| *us > 0);
    let lower = slowlog_us.into_iter().chain(latency_us).min();
    lower.map_or(u64::MAX, |us| us.saturating_mul(TICKS_PER_US))
}

fn random_run_id() -> String {
    let mut random = rand::rng();
    (0..40).filter_map(|_| char::from_digit(random.random_range(0..16), 16)).collect()
}

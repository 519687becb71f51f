//! Everything but sockets: the keyspace, the clients, the settings, the statistics and the clock.

pub mod clients;
pub mod memory;

use crate::clock::Clock;
use crate::config::Settings;
use crate::keyspace::Keyspace;
use crate::stats::Stats;
use arc_swap::ArcSwap;
use clients::ClientRegistry;
use rand::Rng;

/// From this many elements on work is long: what takes longer than handing a worker's other tasks over.
const LONG_WORK: u64 = 4096;

/// Bytes whose copy takes as long as the work on one element.
const ELEMENT: usize = 1024;

/// Runs a closure where it holds nobody up, and returns when it has run.
pub type Offload = fn(&mut dyn FnMut());

/// What all connections share.
#[derive(Debug)]
pub struct Engine {
    /// The settings in force; CONFIG SET swaps them.
    pub settings: ArcSwap<Settings>,
    /// Every key of every namespace.
    pub keyspace: Keyspace,
    /// What is counted.
    pub stats: Stats,
    /// The reader of time.
    pub clock: Clock,
    /// Who is connected.
    pub clients: ClientRegistry,
    /// Forty random hexadecimal digits that tell this run of the server from others.
    pub run_id: String,
    /// When the engine was made: Unix time in milliseconds.
    pub started_ms: u64,
    offload: Offload,
}

impl Engine {
    /// An engine with an empty keyspace.
    pub fn new(settings: Settings, clock: Clock) -> Engine {
        Engine {
            settings: ArcSwap::from_pointee(settings),
            keyspace: Keyspace::new(clock.clone()),
            stats: Stats::default(),
            clients: ClientRegistry::default(),
            run_id: random_run_id(),
            started_ms: clock.unix_ms(),
            clock,
            offload: |work| work(),
        }
    }

    /// The same engine, with `offload` for work that is known to be long. Without it such work runs in place.
    pub fn with_offload(self, offload: Offload) -> Engine {
        Engine { offload, ..self }
    }

    /// Runs work that touches about `elements` elements: in place, or as long work if they are many.
    pub fn run_sized<R>(&self, elements: u64, mut work: impl FnMut() -> R) -> R {
        if elements > LONG_WORK { self.run_long(work) } else { work() }
    }

    /// Runs work that copies about `bytes` bytes: in place, or as long work if they are many.
    pub fn run_copying<R>(&self, bytes: usize, work: impl FnMut() -> R) -> R {
        self.run_sized((bytes / ELEMENT) as u64, work)
    }

    /// Runs work that is known to be long where it holds nobody up, and returns its result.
    pub fn run_long<R>(&self, mut work: impl FnMut() -> R) -> R {
        let mut result = None;
        (self.offload)(&mut || result = Some(work()));
        result.unwrap_or_else(work)
    }
}

fn random_run_id() -> String {
    let mut random = rand::rng();
    (0..40).filter_map(|_| char::from_digit(random.random_range(0..16), 16)).collect()
}

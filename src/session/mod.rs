//! The state of one connection: its client, its preferences, its open transaction.

mod subscriptions;
mod transaction;

use crate::concurrent::ledger::charge::Charge;
use crate::engine::Engine;
use crate::engine::clients::{Client, Shown};
use crate::keyspace::{Batch, Eviction, Key, KeyspaceError, Need, View, Watch};
use crate::resp::Protocol;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
pub use subscriptions::{DELIVERY_SLICE, Subscriptions};
pub use transaction::{Queue, Queued};

/// Which replies the client wants, by CLIENT REPLY.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReplyMode {
    /// All of them.
    #[default]
    On,
    /// None.
    Off,
    /// Not the next one: CLIENT REPLY SKIP has just run.
    Skip,
    /// Not this one, which follows CLIENT REPLY SKIP.
    Skipping,
}

/// What commands change of a connection, other than its transaction. A value, so that a transaction that
/// runs again starts from what it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Preferences {
    /// By HELLO.
    pub protocol: Protocol,
    /// By CLIENT REPLY.
    pub replies: ReplyMode,
    /// By CLIENT NO-EVICT.
    pub no_evict: bool,
    /// By CLIENT NO-TOUCH.
    pub no_touch: bool,
}

/// Bytes that a watch or subscription takes beside its name.
const NAME_OVERHEAD: u64 = 64;

/// A client's state. Dropping it takes the client off the list and gives its watches back.
#[derive(Debug)]
pub struct Session {
    engine: Arc<Engine>,
    client: Arc<Client>,
    /// What commands change of the connection.
    pub preferences: Preferences,
    /// The commands queued since MULTI; `None` outside.
    queue: Option<Box<Queue>>,
    /// True while the gate runs a queue: watches then stay as they are, for the run may have to be repeated.
    is_executing: bool,
    watches: HashMap<Box<[u8]>, Watch>,
    /// What the client listens to; `None` for nothing.
    subscriptions: Option<Box<Subscriptions>>,
    /// True if the client runs MONITOR.
    monitors: bool,
    /// For its names, subscriptions and watches.
    charge: Charge,
    watched_bytes: u64,
    /// The number of the snapshot that the client's command waits for.
    pub awaited_snapshot: Option<u64>,
    /// The reading of the clock at the end of the last command, if the next one begins then.
    last_end: Option<u64>,
    /// Room that the next command, which has to run again, needs.
    need: Option<Box<Need>>,
    /// How far a command has come that does its work in parts.
    pub progress: Option<WorkDone>,
}

/// How far a command has come that does its work in parts, between which others have their turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkDone {
    /// Where to go on.
    pub cursor: u64,
    /// How much is done.
    pub done: u64,
}

impl Session {
    /// Registers a client that has connected from `peer` to `local`.
    pub fn new(engine: &Arc<Engine>, peer: SocketAddr, local: SocketAddr) -> Session {
        engine.stats.connections.add(1);
        Session {
            client: engine.clients.register(peer, local, engine.keyspace.steady_ms(engine.clock.unix_ms())),
            engine: Arc::clone(engine),
            preferences: Preferences::default(),
            queue: None,
            is_executing: false,
            watches: HashMap::new(),
            subscriptions: None,
            monitors: false,
            charge: Charge::new(&engine.clients.ledger),
            watched_bytes: 0,
            awaited_snapshot: None,
            last_end: None,
            need: None,
            progress: None,
        }
    }

    /// The client as others see it.
    pub fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// The queue, between MULTI and EXEC or DISCARD.
    pub fn queue(&mut self) -> Option<&mut Queue> {
        self.queue.as_deref_mut()
    }

    /// True between MULTI and EXEC or DISCARD.
    #[inline]
    pub fn is_queuing(&self) -> bool {
        self.queue.is_some()
    }

    /// Opens a transaction.
    pub fn start_queue(&mut self) {
        self.queue = Some(Box::new(Queue::new(&self.engine.clients.ledger)));
    }

    /// Ends the transaction and hands its queue over. The watches stay.
    pub fn take_queue(&mut self) -> Option<Box<Queue>> {
        self.client.buffers.queue.set(0);
        self.queue.take()
    }

    /// EXEC has found nothing against running the queue: the gate runs it next.
    pub fn begin_execution(&mut self) {
        self.is_executing = true;
    }

    /// Takes the queue to run it. To be followed by [`Session::end_execution`].
    pub fn take_executing(&mut self) -> Option<Box<Queue>> {
        self.queue.take()
    }

    /// The queue has run, or, if it is given back, could not run yet.
    pub fn end_execution(&mut self, not_run: Option<Box<Queue>>) {
        self.is_executing = false;
        if not_run.is_none() {
            self.client.buffers.queue.set(0);
        }
        self.queue = not_run;
    }

    /// True while a queue runs.
    pub fn is_executing(&self) -> bool {
        self.is_executing
    }

    /// Watches a key from now on, unless it is watched already.
    pub fn watch(&mut self, view: &mut View<'_>, key: Key<'_>) -> Result<(), KeyspaceError> {
        if !self.watches.contains_key(key.name()) {
            self.watches.insert(key.name().into(), view.watch(key)?);
            self.watched_bytes += key.name().len() as u64 + NAME_OVERHEAD;
            self.recharge();
        }
        Ok(())
    }

    /// Gives every watch back.
    pub fn unwatch(&mut self, view: &mut View<'_>) {
        for (_, watch) in self.watches.drain() {
            view.unwatch(watch);
        }
        self.watched_bytes = 0;
        self.recharge();
    }

    /// Charges the client for its names, subscriptions and watches as they are now.
    pub fn recharge(&mut self) {
        let labels = {
            let labels = self.client.labels();
            labels.name.len() + labels.lib_name.len() + labels.lib_version.len()
        };
        let subscribed = self.subscriptions.as_ref().map_or(0, |subscriptions| subscriptions.bytes());
        let bytes = labels as u64 + subscribed + self.watched_bytes;
        self.charge.set(bytes);
        self.client.buffers.kept.set(bytes);
    }

    /// The watches of the transaction that is about to run.
    pub fn watches(&self) -> impl Iterator<Item = &Watch> {
        self.watches.values()
    }

    /// Keeps what a command needs that is to be run again.
    pub fn set_need(&mut self, need: Option<Box<Need>>) {
        self.need = need;
    }

    /// What the command needs that is run again.
    #[inline]
    pub fn take_need(&mut self) -> Option<Box<Need>> {
        self.need.take()
    }

    /// Makes some of the room that the command needs, for a fraction of a millisecond. To be called until it is over,
    /// without a batch open.
    pub fn make_room(&mut self) -> Eviction {
        let engine = &self.engine;
        let Some(need) = &mut self.need else { return Eviction::Enough };
        let eviction = engine.keyspace.make_room(need);
        if eviction == Eviction::Reclaiming && need.is_reclaimed() {
            engine.measure_memory();
        }
        eviction
    }

    /// Between two turns of the connection time passes that no command takes: the next command reads the clock at its
    /// start.
    #[inline]
    pub fn begin_turn(&mut self) {
        self.last_end = None;
    }

    /// When the command that is about to run begins, in ticks: when the last one ended, if that was just now.
    #[inline]
    pub fn command_start(&mut self, engine: &Engine) -> u64 {
        self.last_end.unwrap_or_else(|| engine.clock.ticks())
    }

    /// A command has ended now, in ticks.
    #[inline]
    pub fn command_end(&mut self, ticks: u64) {
        self.last_end = Some(ticks);
    }

    /// Lets CLIENT LIST see the state as it is now. One plain store.
    #[inline]
    pub fn show(&self) {
        self.client.show(Shown {
            resp3: self.preferences.protocol == Protocol::Resp3,
            no_evict: self.preferences.no_evict,
            no_touch: self.preferences.no_touch,
            monitors: self.monitors,
            queued: self.queue.as_ref().map(|queue| queue.len() as u32),
            watched: self.watches.len() as u32,
        });
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.client.mailbox.end();
        self.engine.clients.unregister(self.client.id);
        self.engine.clients.turns.give_back(self.client.id);
        self.stop_listening();
        if let Some(mut need) = self.need.take() {
            self.engine.keyspace.give_up(&mut need);
        }
        if !self.watches.is_empty() {
            let engine = Arc::clone(&self.engine);
            let mut batch: Batch<'_> = engine.keyspace.enter();
            self.unwatch(&mut batch.view());
        }
    }
}

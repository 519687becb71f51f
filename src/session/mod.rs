//! The state of one connection: its client, its preferences, its open transaction.

mod subscriptions;
mod transaction;

use crate::concurrent::ledger::charge::Charge;
use crate::engine::Engine;
use crate::engine::clients::{Client, Shown};
use crate::keyspace::{Batch, Eviction, Key, KeyspaceError, Need, View, Watch};
use crate::resp::Protocol;
use std::any::Any;
use std::collections::HashMap;
use std::fmt;
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
    /// The client's subscriptions; `None` without any.
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
    pub progress: Option<Progress>,
    /// Work of the command that needs no pin and was not done yet.
    work: Option<Work>,
    /// What the command has copied, as it was then.
    inputs: Vec<Watch>,
    /// Ticks that the steps of the command took that are done.
    spent: u64,
}

/// How far a command has come that does its work in steps. Each has a type of its own.
pub type Progress = Box<dyn Any + Send + Sync>;

/// Work that needs no pin, and answers how far the command has come with it.
pub struct Work(Box<dyn FnOnce() -> Progress + Send + Sync>);

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Work")
    }
}

impl Session {
    /// Registers a client that has connected from `peer` to `local`.
    pub fn new(engine: &Arc<Engine>, peer: SocketAddr, local: SocketAddr) -> Session {
        engine.stats.connections.add(1);
        let now_ms = engine.keyspace.steady_ms(engine.clock.unix_ms());
        Session::of(engine, engine.clients.register(peer, local, now_ms))
    }

    /// A session of the server's own.
    pub fn internal(engine: &Arc<Engine>) -> Session {
        Session::of(engine, Client::internal())
    }

    fn of(engine: &Arc<Engine>, client: Arc<Client>) -> Session {
        Session {
            client,
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
            work: None,
            inputs: Vec::new(),
            spent: 0,
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

    /// Ends the transaction without running it; false if there is none. The watches stay.
    pub fn drop_queue(&mut self) -> bool {
        self.client.buffers.queue.set(0);
        let queue = self.queue.take();
        let found = queue.is_some();
        self.free(queue);
        found
    }

    /// Frees a queue where it holds nobody up.
    fn free(&self, mut queue: Option<Box<Queue>>) {
        let commands = queue.as_ref().map_or(0, |queue| queue.len() as u64);
        self.engine.run_sized(commands, || drop(queue.take()));
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
    ///
    /// # Errors
    /// [`KeyspaceError::Wait`] if the command has to wait first.
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

    /// The bytes that the command needs when it runs again.
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

    /// When the last command of this turn ended, in ticks; 0 if none has.
    #[inline]
    pub fn last_end(&self) -> u64 {
        self.last_end.unwrap_or(0)
    }

    /// When the command that is about to run begins, in ticks: when the last one ended, if that was just now.
    #[inline]
    pub fn command_start(&mut self, engine: &Engine) -> u64 {
        self.last_end.unwrap_or_else(|| engine.clock.ticks())
    }

    /// True if a command has done a part of its work and is to be run again.
    pub fn is_in_steps(&self) -> bool {
        self.progress.is_some() || self.work.is_some()
    }

    /// What is to be done before the command is run again.
    pub fn set_work(&mut self, work: impl FnOnce() -> Progress + Send + Sync + 'static) {
        self.work = Some(Work(Box::new(work)));
    }

    /// Does what is to be done before the command is run again. Not to be called with a batch open.
    pub fn work(&mut self) {
        if let Some(Work(work)) = self.work.take() {
            let started = self.engine.clock.ticks();
            self.progress = Some(work());
            self.spent += self.engine.clock.ticks().saturating_sub(started);
        }
    }

    /// What the command's work came to, if it was begun.
    pub fn take_made<P: Any>(&mut self) -> Option<P> {
        self.work();
        self.progress.take().and_then(|progress| progress.downcast().ok()).map(|made| *made)
    }

    /// Remembers keys as they are now, for a commit that depends on them.
    ///
    /// # Errors
    /// [`KeyspaceError::Wait`] if the command has to wait first.
    pub fn watch_inputs<'k>(
        &mut self,
        view: &mut View<'_>,
        keys: impl Iterator<Item = Key<'k>>,
    ) -> Result<(), KeyspaceError> {
        self.unwatch_inputs(view);
        for key in keys {
            self.inputs.push(view.watch(key)?);
        }
        Ok(())
    }

    /// Inside a transaction: true if the command's inputs are what they were when it copied them.
    ///
    /// # Errors
    /// [`KeyspaceError::Wait`] if the command has to wait first.
    pub fn are_inputs_unchanged(&self, view: &mut View<'_>) -> Result<bool, KeyspaceError> {
        for watch in &self.inputs {
            if !view.is_unchanged(watch)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The command depends on its inputs no more.
    pub fn unwatch_inputs(&mut self, view: &mut View<'_>) {
        self.inputs.drain(..).for_each(|watch| view.unwatch(watch));
    }

    /// The command is given up: it may have done a part of its work, which is not the next one's.
    pub fn give_up_steps(&mut self, view: &mut View<'_>) {
        (self.progress, self.work, self.spent) = (None, None, 0);
        self.unwatch_inputs(view);
    }

    /// How far the command has come that is run again; the beginning if it has just begun.
    pub fn take_progress<P: Any + Default>(&mut self) -> P {
        let progress = self.progress.take().and_then(|progress| progress.downcast().ok());
        progress.map(|progress| *progress).unwrap_or_default()
    }

    /// A step of the command took so long, and others follow.
    pub fn spend(&mut self, ticks: u64) {
        self.spent += ticks;
    }

    /// What the steps of the command took that is over now.
    #[inline]
    pub fn take_spent(&mut self) -> u64 {
        std::mem::take(&mut self.spent)
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
        let queue = self.queue.take();
        self.free(queue);
        if let Some(mut need) = self.need.take() {
            self.engine.keyspace.give_up(&mut need);
        }
        if !self.watches.is_empty() || !self.inputs.is_empty() {
            let engine = Arc::clone(&self.engine);
            let mut batch: Batch<'_> = engine.keyspace.enter();
            self.unwatch(&mut batch.view());
            self.unwatch_inputs(&mut batch.view());
        }
    }
}

//! Sockets: the listener, one task for each connection, shutdown. Beside `metrics` the only module
//! that knows tokio.
//!
//! A connection reads what is there, runs every complete request in it and writes all replies at once
//! (`connection`). Signals and probes have a thread of their own (`control`). Between two reads it holds no buffers (`buffers`), so idle clients are cheap. Housekeeping
//! of the keyspace has a thread of its own (`housekeeper`). Nothing here knows a command.

mod buffers;
mod connection;
mod control;
mod departure;
mod health;
mod held;
mod housekeeper;
mod listener;
mod output;
mod probe;
mod roster;
mod shutdown;
mod snapshots;
mod trim;
mod turn;

use crate::concurrent::counters::counter::Flag;
use crate::concurrent::epoch::reclaim;
use crate::engine::Engine;
pub use control::Control;
pub use health::check_health;
pub use listener::bind;
pub use probe::Probe;
use roster::Roster;
pub use shutdown::withstand_signals;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::Notify;
use trim::Trims;
use turn::Turns;

/// How long a dropped runtime may wait for work that runs aside.
const RUNTIME_GRACE: Duration = Duration::from_secs(1);

/// How long connections may take to send their last replies: less than the ten seconds after which a
/// container is killed.
const GRACE: Duration = Duration::from_secs(5);

/// What the listener, the connections and the housekeeper share.
#[derive(Debug)]
struct Shared {
    engine: Arc<Engine>,
    roster: Roster,
    trims: Trims,
    turns: Turns,
    /// Wakes whoever ends the server.
    told_to_end: Notify,
    /// Raised once the server is dropped: the helpers end.
    is_gone: Flag,
}

/// A running server. Dropping it ends it at once; [`Server::shutdown`] lets clients finish first.
#[derive(Debug)]
pub struct Server {
    local_addr: SocketAddr,
    shared: Arc<Shared>,
    /// The housekeeper, the one that follows the allocator, and the one that takes snapshots.
    helpers: Vec<thread::JoinHandle<()>>,
    /// `None` only once the server is dropped.
    runtime: Option<Runtime>,
    workers: Handle,
}

/// Runs long work where it holds nobody up: the worker's other tasks move to another thread meanwhile. To be
/// given to [`Engine::with_offload`].
pub fn offload(work: &mut dyn FnMut()) {
    tokio::task::block_in_place(work);
}

/// Serves `engine` to the clients of `listener` on threads of its own, as many workers as the settings say.
///
/// # Errors
/// A thread can't be started.
pub fn start(engine: Arc<Engine>, listener: TcpListener) -> io::Result<Server> {
    let local_addr = listener.local_addr()?;
    if engine.settings.load().port != local_addr.port() {
        // The kernel has chosen it; what tells of the port tells where clients find the server.
        engine.change_settings(|settings| settings.port = local_addr.port());
    }
    let workers = engine.settings.load().workers;
    let shared = Arc::new(Shared {
        engine,
        turns: Turns::new(workers),
        roster: Roster::default(),
        trims: Trims::default(),
        told_to_end: Notify::new(),
        is_gone: Flag::default(),
    });
    let parking = Arc::clone(&shared);
    let runtime = Builder::new_multi_thread()
        .worker_threads(workers)
        .thread_name("kvns-worker")
        .on_thread_park(move || {
            reclaim::quiesce();
            parking.trims.follow();
        })
        .on_thread_stop(reclaim::quiesce)
        .enable_all()
        .build()?;
    let helpers = vec![
        housekeeper::spawn(Arc::clone(&shared))?,
        housekeeper::spawn_gauge(Arc::clone(&shared), runtime.handle().clone())?,
        snapshots::spawn(Arc::clone(&shared))?,
    ];
    {
        let _inside = runtime.enter();
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        runtime.spawn(listener::serve(Arc::clone(&shared), listener));
    }
    let workers = runtime.handle().clone();
    Ok(Server { local_addr, shared, helpers, runtime: Some(runtime), workers })
}

impl Shared {
    /// Lets the server end: by whoever waits for that, and a load at once.
    fn end(&self) {
        self.told_to_end.notify_one();
        if !self.engine.is_ready() {
            self.stop();
        }
    }

    /// Turns clients away.
    fn stop(&self) {
        // In this order: a load that was ended finds that the server is stopping.
        self.roster.stop();
        self.engine.long_work.stop();
        self.engine.persistence.stop_loading();
    }

    /// Blocks until those who are turned away are gone, for a bounded time: what was read is answered, every connection is
    /// closed. Not to be called from a task.
    fn drain(&self) {
        if !self.roster.wait_until_empty(GRACE) {
            let connections = self.roster.len();
            tracing::warn!(connections, "closing connections that do not read their replies");
        }
    }

    /// Takes clients again.
    fn resume(&self) {
        self.engine.persistence.allow_loading();
        self.engine.long_work.resume();
        self.roster.resume();
    }
}

/// Lowers the priority of this thread; only Linux has one for each.
pub fn lower_priority(niceness: i32) {
    if cfg!(target_os = "linux")
        && let Err(error) = rustix::process::setpriority_process(None, niceness)
    {
        tracing::debug!(%error, "a helper keeps its priority");
    }
}

impl Server {
    /// True once the shutdown has begun.
    pub fn is_stopping(&self) -> bool {
        self.shared.roster.is_stopping()
    }

    /// The address the server listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Makes SIGTERM and SIGINT end the server; a second one ends the process at once. SIGHUP is logged.
    ///
    /// # Errors
    /// The system refuses.
    pub fn stop_on_signals(&self, control: &Control) -> io::Result<()> {
        shutdown::watch_signals(control.handle(), Arc::clone(&self.shared))
    }

    /// What finds out whether the workers answer.
    pub fn probe(&self) -> Probe {
        Probe::new(Arc::clone(&self.shared.engine), self.workers.clone())
    }

    /// Shuts down and blocks until that is done. Not to be called from a task.
    pub fn shutdown(self) {
        self.shared.stop();
        self.shared.drain();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stop();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(RUNTIME_GRACE);
        }
        self.shared.engine.persistence.stop();
        self.shared.is_gone.raise();
        for helper in self.helpers.drain(..) {
            // An error here is a panic of the thread, which the panic hook has logged.
            let _ = helper.join();
        }
    }
}

#[cfg(test)]
mod tests;

//! Sockets: the listener, one task for each connection, shutdown. Beside `metrics` the only module
//! that knows tokio.
//!
//! A connection reads what is there, runs every complete request in it and writes all replies at once
//! (`connection`). Between two reads it holds no buffers (`buffers`), so idle clients are cheap. Housekeeping
//! of the keyspace has a thread of its own (`housekeeper`). Nothing here knows a command.

mod buffers;
mod connection;
mod departure;
mod descriptors;
mod drain;
mod health;
mod held;
mod housekeeper;
mod listener;
mod output;
mod roster;
mod shutdown;
mod snapshots;
mod trim;

use crate::concurrent::counters::counter::Flag;
use crate::concurrent::epoch::reclaim;
use crate::engine::Engine;
pub use descriptors::raise_descriptor_limit;
pub use health::check_health;
pub use listener::bind;
use roster::Roster;
pub use shutdown::withstand_signals;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use trim::Trims;

/// How long a dropped runtime may wait for work that runs aside.
const RUNTIME_GRACE: Duration = Duration::from_secs(1);

/// What the listener, the connections and the housekeeper share.
#[derive(Debug)]
struct Shared {
    engine: Arc<Engine>,
    roster: Roster,
    trims: Trims,
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
    accepting: Option<JoinHandle<tokio::net::TcpListener>>,
    /// The listener while nobody is accepted.
    listener: Option<tokio::net::TcpListener>,
    /// The housekeeper, the one that follows the allocator, and the one that takes snapshots.
    helpers: Vec<thread::JoinHandle<()>>,
    /// `None` only once the server is dropped.
    runtime: Option<Runtime>,
}

/// Runs long work where it holds nobody up: the worker's other tasks move to another thread meanwhile. To be
/// given to [`Engine::with_offload`].
pub fn offload(work: &mut dyn FnMut()) {
    tokio::task::block_in_place(work);
}

/// Serves `engine` to the clients of `listener` on threads of its own, as many workers as the settings say.
pub fn start(engine: Arc<Engine>, listener: TcpListener) -> io::Result<Server> {
    let local_addr = listener.local_addr()?;
    if engine.settings.load().port != local_addr.port() {
        // The kernel has chosen it; what tells of the port tells where clients find the server.
        engine.change_settings(|settings| settings.port = local_addr.port());
    }
    let shared = Arc::new(Shared {
        engine,
        roster: Roster::default(),
        trims: Trims::default(),
        told_to_end: Notify::new(),
        is_gone: Flag::default(),
    });
    let parking = Arc::clone(&shared);
    let runtime = Builder::new_multi_thread()
        .worker_threads(shared.engine.settings.load().workers)
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
    let accepting = {
        let _inside = runtime.enter();
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        runtime.spawn(listener::serve(Arc::clone(&shared), listener))
    };
    Ok(Server {
        local_addr,
        shared,
        accepting: Some(accepting),
        listener: None,
        helpers,
        runtime: Some(runtime),
    })
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
        self.engine.persistence.stop_loading();
    }

    /// Takes clients again.
    fn resume(&self) {
        self.engine.persistence.allow_loading();
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
    pub fn stop_on_signals(&self) -> io::Result<()> {
        match &self.runtime {
            Some(runtime) => shutdown::watch_signals(runtime, Arc::clone(&self.shared)),
            None => Ok(()),
        }
    }

    /// Blocks until clients are turned away and everybody is gone: nothing more is accepted, what was read is answered,
    /// every connection is closed. Not to be called from a task.
    fn wait(&mut self) {
        if let (Some(runtime), Some(accepting)) = (&self.runtime, self.accepting.take()) {
            // An error here is a panic of the accepting task, which the panic hook has logged.
            self.listener = runtime.block_on(accepting).ok();
        }
    }

    /// Shuts down and blocks until that is done. Not to be called from a task.
    pub fn shutdown(mut self) {
        self.shared.stop();
        self.wait();
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

//! What an operator's tools ask over HTTP: `/metrics` for Prometheus, `/healthz`, `/readyz`.
//!
//! It has a thread of its own, so a scrape takes no worker from the clients. The figures are read where they are
//! counted (`figures`), put into the text format by the prometheus library (`exposition`) and served by hyper (`http`).

mod exposition;
mod family;
mod figures;
mod http;

pub use exposition::{described, render};
pub use family::{Described, Kind};

use crate::engine::Engine;
use crate::server::lower_priority;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use tokio::runtime::Builder;
use tokio::sync::oneshot;

/// Lets a worker that wakes up go before a scrape.
const NICENESS: i32 = 10;

/// A running HTTP endpoint. Dropping it ends it.
#[derive(Debug)]
pub struct Endpoint {
    local_addr: SocketAddr,
    /// Dropped to end the thread.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Serves the figures of `engine` to those who connect to `listener`, on a thread of its own.
///
/// # Errors
/// The thread can't be started.
pub fn start(engine: Arc<Engine>, listener: TcpListener) -> io::Result<Endpoint> {
    let local_addr = listener.local_addr()?;
    if engine.settings.load().metrics_port != local_addr.port() {
        engine.change_settings(|settings| settings.metrics_port = local_addr.port());
    }
    listener.set_nonblocking(true)?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let listener = {
        let _inside = runtime.enter();
        tokio::net::TcpListener::from_std(listener)?
    };
    let (stop, stopped) = oneshot::channel();
    let thread = thread::Builder::new().name("kvns-metrics".to_owned()).spawn(move || {
        lower_priority(NICENESS);
        runtime.block_on(async {
            tokio::select! {
                () = http::serve(engine, listener) => {}
                _ = stopped => {}
            }
        });
    })?;
    Ok(Endpoint { local_addr, stop: Some(stop), thread: Some(thread) })
}

impl Endpoint {
    /// The address it listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // An error here is a panic of the thread, which the panic hook has logged.
            let _ = thread.join();
        }
    }
}

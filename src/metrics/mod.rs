//! What an operator's tools ask over HTTP: `/metrics` for Prometheus, `/healthz`, `/readyz`.
//!
//! Requests are answered on the control thread, each in its place (`places`) by hyper (`http`). `/healthz` says that the process
//! lives, `/readyz` that the workers answer. The figures are read where they are counted (`figures`), put into the text
//! format by the prometheus library (`exposition`) and passed on in pieces, one page at a time, by a thread (`pages`).

mod exposition;
mod family;
mod figures;
mod http;
mod pages;
mod places;

pub use exposition::{described, render};
pub use family::{Described, Kind};

use crate::engine::Engine;
use crate::server::{Control, Probe};
use http::Site;
use pages::Pages;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use tokio::task::JoinHandle;

/// A running HTTP endpoint. Dropping it ends it.
#[derive(Debug)]
pub struct Endpoint {
    local_addr: SocketAddr,
    serving: JoinHandle<()>,
    /// The thread that builds pages; it ends with the last connection.
    builder: Option<thread::JoinHandle<()>>,
}

/// Serves the figures of `engine`, and what `probe` finds, to those who connect to `listener`.
///
/// # Errors
/// The listener can't be used, or a thread can't be started.
pub fn start(
    control: &Control,
    engine: Arc<Engine>,
    probe: Probe,
    listener: TcpListener,
) -> io::Result<Endpoint> {
    let local_addr = listener.local_addr()?;
    if engine.settings.load().metrics_port != local_addr.port() {
        engine.change_settings(|settings| settings.metrics_port = local_addr.port());
    }
    listener.set_nonblocking(true)?;
    let listener = {
        let _inside = control.handle().enter();
        tokio::net::TcpListener::from_std(listener)?
    };
    let (pages, builder) = Pages::start(Arc::clone(&engine), control.handle().clone())?;
    let site = Site { engine, probe: Arc::new(probe), pages };
    let serving = control.handle().spawn(http::serve(site, listener));
    Ok(Endpoint { local_addr, serving, builder: Some(builder) })
}

impl Endpoint {
    /// The address it listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.serving.abort();
        if let Some(builder) = self.builder.take() {
            // An error here is a panic of the thread, which the panic hook has logged.
            let _ = builder.join();
        }
    }
}

//! The listening socket: binding it, and taking clients in.

use super::Shared;
use super::connection::Connection;
use super::roster::Roster;
use crate::session::Session;
use crate::stats::Seldom;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use std::fs::File;
use std::future::poll_fn;
use std::io::{self, ErrorKind, Write};
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::sleep;

/// Connections the kernel may hold for us; the kernel bounds it further by net.core.somaxconn.
const BACKLOG: i32 = 4096;

/// Pause after an accept that failed for want of descriptors or memory: the next one would fail too.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Silence after which the kernel asks whether a client's host is still there, as in Redis.
const KEEPALIVE: Duration = Duration::from_secs(300);

/// The reply to a client beyond the limit.
const TOO_MANY_CLIENTS: &[u8] = b"-ERR max number of clients reached\r\n";

/// Binds the first address of `host` that can be bound; port 0 takes any free port.
///
/// # Errors
/// No address of the host can be bound.
pub fn bind(host: &str, port: u16) -> io::Result<TcpListener> {
    let mut refused = io::Error::new(ErrorKind::AddrNotAvailable, "the name has no address");
    for address in (host, port).to_socket_addrs()? {
        match bind_to(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

fn bind_to(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restarted server must not wait for the connections of the last one to be forgotten.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Accepts clients but for the time when they are to be turned away. The kernel goes on queueing them then: they are
/// served if the server cannot end.
pub(super) async fn serve(shared: Arc<Shared>, listener: tokio::net::TcpListener) {
    let (mut spare, untold) = (Spare::default(), Seldom::default());
    spare.keep();
    loop {
        shared.roster.resumed().await;
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shared.roster.stopped() => continue,
        };
        match accepted {
            Ok((stream, peer)) => welcome(&shared, stream, peer),
            Err(error) if concerns_one_client(&error) => {
                tracing::debug!(%error, "a client disconnected while it was accepted")
            }
            Err(error) => {
                if let Some(untold) = untold.happened(shared.engine.clock.monotonic_us()) {
                    tracing::warn!(%error, untold, "cannot accept clients");
                }
                if !spare.turn_away(&shared, &listener).await {
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// A descriptor for the time when there is no other: one client after the other is told why it is closed.
#[derive(Default)]
struct Spare(Option<File>);

impl Spare {
    /// Turns a client away whom there is no descriptor for; false if there is none, or it has to wait.
    async fn turn_away(&mut self, shared: &Shared, listener: &tokio::net::TcpListener) -> bool {
        if self.0.take().is_none() {
            self.keep();
            return false;
        }
        // Without a descriptor the kernel does not say whether anybody is there.
        let accepted = poll_fn(|cx| match listener.poll_accept(cx) {
            Poll::Ready(accepted) => Poll::Ready(accepted.ok()),
            Poll::Pending => Poll::Ready(None),
        })
        .await;
        let is_told = accepted.is_some();
        if let Some((stream, peer)) = accepted {
            reject(shared, stream, canonical(peer));
        }
        self.keep();
        is_told
    }

    /// Takes a descriptor, if there is one and it has none.
    fn keep(&mut self) {
        self.0 = self.0.take().or_else(|| File::open("/dev/null").ok());
    }
}

fn concerns_one_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionRefused
            | ErrorKind::Interrupted
    )
}

/// The address as people know it: one of IPv4 as such, though the socket is of IPv6 and listens to both.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Gives a client its task, or turns it away.
fn welcome(shared: &Arc<Shared>, stream: TcpStream, peer: SocketAddr) {
    let peer = canonical(peer);
    let max_clients = shared.engine.settings.load().max_clients;
    let Some(seat) = Roster::admit(Arc::clone(shared), max_clients) else {
        return reject(shared, stream, peer);
    };
    match configure(&stream).and_then(|()| stream.local_addr()) {
        Ok(local) => {
            let session = Session::new(&shared.engine, peer, canonical(local));
            let connection = Connection::new(Arc::clone(shared), stream, session);
            tokio::spawn(async move {
                connection.serve(&seat).await;
            });
        }
        Err(error) => tracing::debug!(%peer, %error, "a client disconnected while it was accepted"),
    }
}

fn configure(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    SockRef::from(stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))
}

/// Tells a client why it is closed. The socket's buffer is empty, so that the line fits, or the client is gone.
fn reject(shared: &Shared, stream: TcpStream, peer: SocketAddr) {
    shared.engine.stats.rejected_connections.add(1);
    tracing::debug!(%peer, "refused a connection: too many clients");
    if let Ok(mut stream) = stream.into_std() {
        let _ = stream.write(TOO_MANY_CLIENTS);
    }
}

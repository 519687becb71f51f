//! The listening socket: binding it, and taking clients in.

use super::Shared;
use super::connection::Connection;
use super::roster::Roster;
use crate::session::Session;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use std::io::{self, ErrorKind, Write};
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;

/// Connections the kernel may hold for us; the kernel bounds it further by net.core.somaxconn.
const BACKLOG: i32 = 4096;

/// Pause after an accept that failed for want of descriptors or memory: the next one would fail too.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Silence after which the kernel asks whether a client's host is still there, as in Redis.
const KEEPALIVE: Duration = Duration::from_secs(300);

/// What a client beyond the limit is told.
const TOO_MANY_CLIENTS: &[u8] = b"-ERR max number of clients reached\r\n";

/// Binds the first address of `host` that can be bound; port 0 takes any free port.
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
                tracing::warn!(%error, "cannot accept clients");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
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
        shared.engine.stats.rejected_connections.add(1);
        tracing::debug!(%peer, max_clients, "refused a connection: too many clients");
        turn_away(stream);
        return;
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
fn turn_away(stream: TcpStream) {
    if let Ok(mut stream) = stream.into_std() {
        let _ = stream.write(TOO_MANY_CLIENTS);
    }
}

//! The health check of a container: asks a running server whether it answers.

use std::io::{self, Error, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

/// How long the server may take for each step.
const PATIENCE: Duration = Duration::from_secs(3);

/// Sends PING to the server that listens on `host` and `port`. Any reply will do, even that it is loading or has too
/// many clients: it is alive then.
///
/// # Errors
/// Nobody answers there.
pub fn check_health(host: &str, port: u16) -> io::Result<()> {
    let mut refused = Error::other("the name has no address");
    for address in (host, port).to_socket_addrs()? {
        match ping(reachable(address)) {
            Ok(()) => return Ok(()),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

fn ping(address: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(b"*1\r\n$4\r\nPING\r\n")?;
    let mut first = [0];
    stream.read_exact(&mut first)?;
    if matches!(first, [b'+' | b'-']) { Ok(()) } else { Err(Error::other("it does not speak RESP")) }
}

/// An address that stands for all of them cannot be connected to everywhere.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

//! A blocking client over one TCP connection: raw bytes or parsed values, with pipelining.

use super::resp::{self, Command, Value, printable_command};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How long a reply may take before the test fails.
const REPLY_BOUND: Duration = Duration::from_secs(30);
/// Batches beyond this are written by a thread of their own, so that neither side waits for the other.
const WRITE_ASIDE: usize = 32 << 10;

/// One connection.
pub struct Client {
    stream: TcpStream,
    received: Vec<u8>,
    /// Bytes at the front of `received` that were already handed out.
    taken: usize,
}

impl Client {
    /// Connects, or panics.
    pub fn connect(address: SocketAddr) -> Client {
        Client::try_connect(address).unwrap_or_else(|error| panic!("connecting to {address}: {error}"))
    }

    /// Connects.
    pub fn try_connect(address: SocketAddr) -> std::io::Result<Client> {
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(10))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(REPLY_BOUND))?;
        stream.set_write_timeout(Some(REPLY_BOUND))?;
        Ok(Client { stream, received: Vec::new(), taken: 0 })
    }

    /// The socket, for what this client does not offer.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends bytes as they are.
    pub fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap_or_else(|error| panic!("sending: {error}"));
    }

    /// Sends a command without waiting for its reply.
    pub fn send(&mut self, command: &[Vec<u8>]) {
        let mut bytes = Vec::new();
        resp::encode(command, &mut bytes);
        self.send_raw(&bytes);
    }

    /// Tells the server that nothing more will be sent.
    pub fn finish_sending(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap_or_else(|error| panic!("half-closing: {error}"));
    }

    /// The next reply, with its bytes on the wire.
    pub fn receive_raw(&mut self) -> (Value, Vec<u8>) {
        self.try_receive_raw().unwrap_or_else(|error| panic!("waiting for a reply: {error}"))
    }

    /// The next reply, with its bytes on the wire, or why there is none.
    pub fn try_receive_raw(&mut self) -> std::io::Result<(Value, Vec<u8>)> {
        loop {
            if let Some((value, used)) = resp::parse(&self.received[self.taken..]) {
                let raw = self.received[self.taken..self.taken + used].to_vec();
                self.taken += used;
                if self.taken == self.received.len() {
                    self.received.clear();
                    self.taken = 0;
                }
                return Ok((value, raw));
            }
            if self.fill()? == 0 {
                return Err(std::io::Error::new(
                    ErrorKind::UnexpectedEof,
                    "the server closed the connection",
                ));
            }
        }
    }

    /// Reads once; 0 at the end of the stream.
    fn fill(&mut self) -> std::io::Result<usize> {
        let mut buffer = [0; 64 << 10];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(count) => {
                    self.received.extend_from_slice(&buffer[..count]);
                    return Ok(count);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The next reply.
    pub fn receive(&mut self) -> Value {
        self.receive_raw().0
    }

    /// Everything up to the end of the stream; a reset counts as the end.
    pub fn receive_to_end(&mut self) -> Vec<u8> {
        loop {
            match self.fill() {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
                Err(error) => panic!(
                    "waiting for the server to close: {error}; received {}",
                    resp::printable(&self.received)
                ),
            }
        }
        self.received.split_off(self.taken)
    }

    /// True once the server has closed this connection; waits at most `bound`.
    pub fn is_closed_within(&mut self, bound: Duration) -> bool {
        let end = Instant::now() + bound;
        self.stream.set_read_timeout(Some(Duration::from_millis(50))).expect("a read timeout");
        let closed = loop {
            match self.fill() {
                Ok(0) => break true,
                Ok(_) => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => break true,
            }
            if Instant::now() > end {
                break false;
            }
        };
        self.stream.set_read_timeout(Some(REPLY_BOUND)).expect("a read timeout");
        closed
    }

    /// Sends a command and waits for its reply.
    pub fn command(&mut self, command: &[Vec<u8>]) -> Value {
        self.send(command);
        match self.try_receive_raw() {
            Ok((value, _)) => value,
            Err(error) => panic!("{}: {error}", printable_command(command)),
        }
    }

    /// Runs a line of plain words with inline quoting, sent as a RESP array.
    pub fn run(&mut self, line: &str) -> Value {
        self.command(&resp::split_line(line))
    }

    /// Sends all commands at once and returns all replies with their bytes.
    pub fn pipeline_raw(&mut self, commands: &[Command]) -> Vec<(Value, Vec<u8>)> {
        let mut bytes = Vec::new();
        for command in commands {
            resp::encode(command, &mut bytes);
        }
        self.exchange(&bytes, commands.len())
    }

    /// Sends all commands at once and returns all replies.
    pub fn pipeline(&mut self, commands: &[Command]) -> Vec<Value> {
        self.pipeline_raw(commands).into_iter().map(|(value, _)| value).collect()
    }

    /// Sends bytes and waits for `count` replies.
    pub fn exchange(&mut self, bytes: &[u8], count: usize) -> Vec<(Value, Vec<u8>)> {
        if bytes.len() <= WRITE_ASIDE {
            self.send_raw(bytes);
            return (0..count).map(|_| self.receive_raw()).collect();
        }
        let mut writer = self.stream.try_clone().expect("a second handle of the socket");
        std::thread::scope(|scope| {
            scope.spawn(move || writer.write_all(bytes).unwrap_or_else(|error| panic!("sending: {error}")));
            (0..count).map(|_| self.receive_raw()).collect()
        })
    }
}

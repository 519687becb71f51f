use super::*;
use crate::clock::Clock;
use crate::config::Settings;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

mod control;
mod departure;
mod output;
mod oversize;
mod share;

const PATIENCE: Duration = Duration::from_secs(20);

fn server_with(change: impl FnOnce(&mut Settings)) -> Server {
    server_by(Clock::system(), change)
}

fn server_by(clock: Clock, change: impl FnOnce(&mut Settings)) -> Server {
    let mut settings = Settings { workers: 2, ..Settings::default() };
    change(&mut settings);
    let engine = Engine::new(settings, clock).with_offload(offload);
    start(Arc::new(engine), bind("127.0.0.1", 0).expect("a port")).expect("a server")
}

fn server() -> Server {
    server_with(|_| {})
}

/// A client that compares bytes.
struct Client(TcpStream);

impl Client {
    fn of(server: &Server) -> Client {
        let stream = TcpStream::connect(server.local_addr()).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Client(stream)
    }

    fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).expect("sent");
    }

    fn expect(&mut self, expected: &[u8]) {
        let mut received = vec![0; expected.len()];
        self.0.read_exact(&mut received).expect("a reply");
        assert_eq!(String::from_utf8_lossy(&received), String::from_utf8_lossy(expected));
    }

    fn expect_end(&mut self) {
        let mut rest = Vec::new();
        match self.0.read_to_end(&mut rest) {
            Ok(_) => assert_eq!(String::from_utf8_lossy(&rest), ""),
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        }
    }
}

fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let clock = Clock::system();
    let deadline_us = clock.monotonic_us() + PATIENCE.as_micros() as u64;
    while !is_so() {
        assert!(clock.monotonic_us() < deadline_us, "{what}");
        thread::yield_now();
    }
}

fn bulk(bytes: &[u8]) -> Vec<u8> {
    [format!("${}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

fn echo(bytes: &[u8]) -> Vec<u8> {
    [b"*2\r\n$4\r\nECHO\r\n", &bulk(bytes)[..]].concat()
}

#[test]
fn requests_arrive_whole_in_pieces_and_together() {
    let server = server();
    let mut client = Client::of(&server);
    client.send(b"*1\r\n$4\r\nPING\r\n");
    client.expect(b"+PONG\r\n");
    for byte in echo(b"one byte at a time") {
        client.send(&[byte]);
    }
    client.expect(&bulk(b"one byte at a time"));
    client.send(b"PING\r\n\r\n*1\r\n$4\r\nPING\r\n*0\r\nPING hello\r\n*1\r\n$4\r\nPI");
    client.expect(b"+PONG\r\n+PONG\r\n$5\r\nhello\r\n");
    client.send(b"NG\r\n");
    client.expect(b"+PONG\r\n");
}

#[test]
fn a_deep_pipeline_is_answered_in_order() {
    let server = server();
    let mut client = Client::of(&server);
    let numbers: Vec<String> = (0..50_000).map(|number| number.to_string()).collect();
    let requests: Vec<u8> = numbers.iter().flat_map(|number| echo(number.as_bytes())).collect();
    let mut sender = Client(client.0.try_clone().expect("a clone"));
    let sending = thread::spawn(move || sender.send(&requests));
    for number in &numbers {
        client.expect(&bulk(number.as_bytes()));
    }
    sending.join().expect("sent");
}

#[test]
fn a_large_value_goes_through_both_ways() {
    let server = server();
    let mut client = Client::of(&server);
    let value: Vec<u8> = (0..16 << 20).map(|index: u32| (index % 251) as u8).collect();
    let mut sender = Client(client.0.try_clone().expect("a clone"));
    let request = echo(&value);
    let sending = thread::spawn(move || sender.send(&request));
    client.expect(&bulk(&value));
    sending.join().expect("sent");
    client.send(b"PING\r\n");
    client.expect(b"+PONG\r\n");
}

#[test]
fn a_protocol_error_follows_the_replies_before_it() {
    let server = server();
    let mut client = Client::of(&server);
    // What follows the error is never read; the error must arrive all the same.
    let rest = vec![b'x'; 1 << 20];
    client.send(b"PING\r\n*1\r\n:1\r\n");
    let _ = client.0.write_all(&rest);
    client.expect(b"+PONG\r\n-ERR Protocol error: expected '$', got ':'\r\n");
}

#[test]
fn quit_answers_and_closes() {
    let server = server();
    let mut client = Client::of(&server);
    client.send(b"QUIT\r\nPING\r\n");
    client.expect(b"+OK\r\n");
    client.expect_end();
}

#[test]
fn a_client_that_closes_its_half_gets_its_replies() {
    let server = server();
    let mut client = Client::of(&server);
    client.send(b"PING\r\nPING\r\n");
    client.0.shutdown(std::net::Shutdown::Write).expect("half closed");
    client.expect(b"+PONG\r\n+PONG\r\n");
    client.expect_end();
}

#[test]
fn clients_beyond_the_limit_are_turned_away() {
    let server = server_with(|settings| settings.max_clients = 2);
    let mut clients = [Client::of(&server), Client::of(&server)];
    for client in &mut clients {
        client.send(b"PING\r\n");
        client.expect(b"+PONG\r\n");
    }
    let mut third = Client::of(&server);
    third.expect(b"-ERR max number of clients reached\r\n");
    third.expect_end();
    assert_eq!(server.shared.engine.stats.rejected_connections.get(), 1);
    drop(clients);
    let clock = Clock::system();
    let deadline_us = clock.monotonic_us() + PATIENCE.as_micros() as u64;
    while server.shared.roster.len() > 0 {
        assert!(clock.monotonic_us() < deadline_us);
        thread::yield_now();
    }
    let mut fourth = Client::of(&server);
    fourth.send(b"PING\r\n");
    fourth.expect(b"+PONG\r\n");
}

#[test]
fn an_idle_client_is_closed_after_the_timeout() {
    let server = server_with(|settings| settings.timeout_s = 1);
    let mut client = Client::of(&server);
    client.send(b"PING\r\n");
    client.expect(b"+PONG\r\n");
    client.expect_end();
}

#[test]
fn shutdown_closes_idle_and_stalled_clients() {
    let server = server();
    let mut idle = Client::of(&server);
    idle.send(b"PING\r\n");
    idle.expect(b"+PONG\r\n");
    let mut stalled = Client::of(&server);
    stalled.send(b"PING\r\n*2\r\n$4\r\nECHO\r\n$100\r\n");
    stalled.expect(b"+PONG\r\n");
    let address = server.local_addr();
    let clock = Clock::system();
    let begun_us = clock.monotonic_us();
    server.shutdown();
    assert!(clock.monotonic_us() - begun_us < 3_000_000);
    idle.expect_end();
    stalled.expect_end();
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn a_port_in_use_is_an_error() {
    let server = server();
    assert_eq!(
        bind("127.0.0.1", server.local_addr().port()).expect_err("in use").kind(),
        ErrorKind::AddrInUse
    );
}

/// Long work is a stub here that panics, so that NAMESPACE LIST does, and what is left of KEYS after a step.
#[test]
fn a_command_that_panics_closes_its_own_connection_and_no_other() {
    let settings = Settings { workers: 1, ..Settings::default() };
    let engine = Engine::new(settings, Clock::system()).with_offload(|_| panic!("a stub of long work"));
    let server = start(Arc::new(engine), bind("127.0.0.1", 0).expect("a port")).expect("a server");
    let mut witness = Client::of(&server);
    witness.send(b"SET a 1\r\n");
    witness.expect(b"+OK\r\n");
    for n in 0..1_000 {
        witness.send(format!("SET key:{n} v\r\n").as_bytes());
        witness.expect(b"+OK\r\n");
    }
    let in_a_transaction = b"WATCH a\r\nMULTI\r\nSET a 2\r\nNAMESPACE LIST\r\nEXEC\r\n";
    for requests in [&b"NAMESPACE LIST\r\n"[..], b"KEYS *\r\n", in_a_transaction] {
        let mut client = Client::of(&server);
        client.send(requests);
        client.expect_end();
        witness.send(b"GET a\r\n");
        witness.expect(b"$1\r\n1\r\n");
    }
    assert_eq!(server.shared.roster.len(), 1);
    server.shared.engine.keyspace.check_invariants().expect("the keyspace's invariants hold");
    server.shutdown();
    witness.expect_end();
}

#[test]
fn the_port_that_the_kernel_chose_is_the_one_that_is_told() {
    let server = server_with(|settings| settings.port = 0);
    let port = server.local_addr().port().to_string();
    let mut client = Client::of(&server);
    client.send(b"CONFIG GET port\r\n");
    client.expect(&[&b"*2\r\n$4\r\nport\r\n"[..], &bulk(port.as_bytes())].concat());
    let metrics = bind("127.0.0.1", 0).expect("a port");
    let engine = Arc::clone(&server.shared.engine);
    let control = Control::start().expect("a control thread");
    let endpoint = crate::metrics::start(&control, engine, server.probe(), metrics).expect("an endpoint");
    assert_eq!(server.shared.engine.settings.load().metrics_port, endpoint.local_addr().port());
}

/// A socket of IPv6 that listens to IPv4 too calls its peers `[::ffff:127.0.0.1]`.
#[test]
fn clients_of_ipv4_are_shown_as_such() {
    // A machine without IPv6 has nothing to show here.
    let Ok(listener) = bind("::", 0) else { return };
    let engine = Engine::new(Settings { workers: 2, ..Settings::default() }, Clock::system());
    let server = start(Arc::new(engine.with_offload(offload)), listener).expect("a server");
    let stream = TcpStream::connect(("127.0.0.1", server.local_addr().port())).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let (peer, local) = (stream.local_addr().expect("bound"), stream.peer_addr().expect("connected"));
    let mut client = Client(stream);
    client.send(b"PING\r\n");
    client.expect(b"+PONG\r\n");
    let shown = server.shared.engine.clients.list();
    assert_eq!((shown[0].peer, shown[0].local), (peer, local));
    client.send(format!("CLIENT KILL {peer}\r\n").as_bytes());
    client.expect(b"+OK\r\n");
    client.expect_end();
}

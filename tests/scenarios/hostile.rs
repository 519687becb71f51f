//! Clients that send rubbish, announce too much or never read: they cost bounded memory and harm nobody else.

use crate::support::server::subject_is_redis;
use crate::support::{Server, Value, cmd, resp, seed};
use rand::Rng;
use rand::rngs::StdRng;
use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

/// Bytes that frames are made of, so that random ones come near to valid ones.
const PIECES: &[&[u8]] = &[
    b"*",
    b"$",
    b"\r\n",
    b"\n",
    b"\r",
    b"-1",
    b"0",
    b"1",
    b"2",
    b"3",
    b"4",
    b"1024",
    b"1025",
    b"16777217",
    b"9223372036854775807",
    b"9223372036854775808",
    b"*1\r\n",
    b"*2\r\n",
    b"$4\r\nPING\r\n",
    b"$3\r\nGET\r\n",
    b"$3\r\nSET\r\n",
    b"$1\r\nk\r\n",
    b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n",
    b"MULTI\r\n",
    b"EXEC\r\n",
    b"GET k\r\n",
    b"\"",
    b"'",
    b"\\x",
    b" ",
    b"\0",
    b"\xff",
    b"HELLO 3\r\n",
    b"RESET\r\n",
];

fn rubbish(rng: &mut StdRng) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..rng.random_range(1..30) {
        match rng.random_range(0..10) {
            0 => bytes.push(rng.random()),
            _ => bytes.extend_from_slice(PIECES[rng.random_range(0..PIECES.len())]),
        }
    }
    bytes
}

#[test]
fn rubbish_never_takes_the_server_down() {
    let server = Server::start();
    let seed = seed::seed();
    let mut rng = seed::generator(seed, 0);
    let mut witness = server.client();
    for round in 0..1500 {
        let bytes = rubbish(&mut rng);
        let mut client = server.client();
        let (head, tail) = bytes.split_at(rng.random_range(0..=bytes.len()));
        for part in [head, tail] {
            // The server may have closed already: what counts is that it lives.
            let _ = client.stream().write_all(part);
        }
        if round % 2 == 0 {
            let _ = client.stream().shutdown(std::net::Shutdown::Write);
            let replies = client.receive_to_end();
            let mut rest = &replies[..];
            while !rest.is_empty() {
                let shown = resp::printable(&bytes);
                let (_, used) =
                    resp::parse(rest).unwrap_or_else(|| panic!("half a reply to {shown}, seed {seed}"));
                rest = &rest[used..];
            }
        }
        if round % 100 == 0 {
            assert_eq!(witness.run("PING"), Value::simple("PONG"));
        }
    }
    assert_eq!(witness.run("PING"), Value::simple("PONG"));
}

#[test]
fn headers_that_announce_much_cost_nothing() {
    let server = Server::start();
    let before = server.resident_bytes();
    let mut waiting = Vec::new();
    for _ in 0..100 {
        for bytes in [
            &b"*1024\r\n"[..],
            b"*2\r\n$4\r\nECHO\r\n$16777216\r\n",
            b"*1024\r\n$16777216\r\nabc",
            b"*3\r\n$3\r\nSET\r\n",
        ] {
            let mut client = server.client();
            client.send_raw(bytes);
            waiting.push(client);
        }
    }
    assert_eq!(server.client().run("PING"), Value::simple("PONG"));
    let grown = server.resident_bytes().saturating_sub(before);
    println!("{} bytes for 400 announcements", grown);
    assert!(grown < 64 << 20, "{grown} bytes for what was only announced");
}

#[test]
fn a_client_that_never_reads_costs_bounded_memory() {
    const VALUE: usize = 1 << 20;
    let server = Server::start();
    let mut other = server.client();
    assert_eq!(other.command(&cmd!["SET", "big", vec![b'x'; VALUE]]), Value::ok());
    assert_eq!(other.command(&cmd!["SET", "small", "x"]), Value::ok());
    let before = server.resident_bytes();
    let mut silent: Vec<_> = (0..4).map(|_| server.client()).collect();
    for client in &mut silent {
        client.send_raw(&b"GET big\r\n".repeat(500));
    }
    let mut slowest = Duration::ZERO;
    for _ in 0..300 {
        let begin = Instant::now();
        assert_eq!(other.run("GET small"), Value::bulk("x"));
        slowest = slowest.max(begin.elapsed());
    }
    let grown = server.resident_bytes().saturating_sub(before);
    println!(
        "4 silent clients with 2 GB of replies: {grown} bytes; the slowest GET beside them took {slowest:?}"
    );
    if !subject_is_redis() {
        assert!(slowest < Duration::from_secs(1), "a GET of another client took {slowest:?}");
        assert!(grown < 128 << 20, "{grown} bytes for replies that nobody reads");
    }
}

#[test]
fn a_client_that_only_sends_is_not_read_for_ever() {
    const MOST: usize = 256 << 20;
    let server = Server::start();
    let before = server.resident_bytes();
    let client = server.client();
    let mut stream = client.stream();
    stream.set_write_timeout(Some(Duration::from_millis(500))).expect("a write timeout");
    let batch = b"ECHO 0123456789012345678901234567890123456789\r\n".repeat(1000);
    let mut sent = 0;
    while sent < MOST {
        match stream.write(&batch) {
            Ok(count) => sent += count,
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
                break;
            }
        }
    }
    let grown = server.resident_bytes().saturating_sub(before);
    println!("a client that only sends got rid of {sent} bytes; the server grew by {grown}");
    if !subject_is_redis() {
        assert!(sent < MOST, "the server read {sent} bytes from a client that reads no reply");
        assert!(grown < 128 << 20, "{grown} bytes for a client that reads no reply");
    }
    assert_eq!(server.client().run("PING"), Value::simple("PONG"));
}

#[test]
fn a_client_that_sends_byte_by_byte_is_served() {
    let server = Server::start();
    let mut client = server.client();
    for byte in b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\nGET k\r\n" {
        client.send_raw(&[*byte]);
    }
    assert_eq!(client.receive(), Value::ok());
    assert_eq!(client.receive(), Value::bulk("v"));
}

#[test]
fn connections_that_come_and_go_leave_nothing_behind() {
    let server = Server::start();
    let mut witness = server.client();
    for round in 0..2000 {
        let mut client = server.client();
        match round % 4 {
            0 => {}
            1 => client.send_raw(b"*1\r\n$4\r\nPI"),
            2 => client.send_raw(b"MULTI\r\nSET k v\r\n"),
            _ => assert_eq!(client.run("PING"), Value::simple("PONG")),
        }
    }
    crate::support::server::eventually("only this client is left", Duration::from_secs(10), || {
        let info = witness.run("INFO clients").text();
        info.lines().any(|line| line.trim() == "connected_clients:1")
    });
    let mut buffer = [0; 1];
    witness.stream().set_nonblocking(true).expect("a non-blocking socket");
    assert_eq!(
        witness.stream().read(&mut buffer).unwrap_err().kind(),
        ErrorKind::WouldBlock,
        "an unasked reply"
    );
}

/// A page can make a browser speak to this port. Anybody can do it often, so that the log has it once a minute.
#[test]
fn who_speaks_http_is_closed_and_logged_once() {
    let server = Server::start();
    let mut addresses = Vec::new();
    for request in [&b"POST / HTTP/1.1\r\nHost: x\r\n\r\n"[..], b"Host: x\r\n", b"post /\r\nSET a 1\r\n"] {
        let mut client = server.client();
        addresses.push(client.stream().local_addr().expect("an address").to_string());
        client.send_raw(request);
        assert!(client.is_closed_within(Duration::from_secs(20)));
    }
    assert_eq!(server.client().run("EXISTS a"), Value::Integer(0));
    let log = server.expect_log("POST or Host:");
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("POST or Host:")).collect();
    assert!(lines.len() == 1 && lines[0].contains(&addresses[0]), "{log}");
}

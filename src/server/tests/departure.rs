//! Clients that leave: what they sent and what waits is given up, what was read and does not wait runs.

use super::*;
use crate::engine::pause::PauseMode;
use crate::wait::{Peer, Presence};
use socket2::SockRef;
use std::net::Shutdown;

/// How a client leaves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Leave {
    Close,
    CloseHalf,
    Reset,
}

const LEAVING: [Leave; 3] = [Leave::Close, Leave::CloseHalf, Leave::Reset];

/// The client leaves; who closed only a half stays to learn what becomes of its requests.
fn leave(client: Client, how: Leave) -> Option<Client> {
    match how {
        Leave::Close => None,
        Leave::CloseHalf => {
            client.0.shutdown(Shutdown::Write).expect("half closed");
            Some(client)
        }
        Leave::Reset => {
            SockRef::from(&client.0).set_linger(Some(Duration::ZERO)).expect("a socket");
            None
        }
    }
}

/// True if a client's input is not answered.
fn has_waiting(server: &Server) -> bool {
    server.shared.engine.clients.list().iter().any(|client| client.buffers.input.get() > 0)
}

/// Sends `requests`, leaves once they wait, and expects the place to be free while they still would.
fn leave_waiting(server: &Server, requests: &[u8], answered: &[u8]) {
    LEAVING.into_iter().for_each(|how| leave_waiting_by(how, server, requests, answered));
}

fn leave_waiting_by(how: Leave, server: &Server, requests: &[u8], answered: &[u8]) {
    let mut client = Client::of(server);
    client.send(requests);
    client.expect(answered);
    eventually("the request waits", || has_waiting(server));
    let half = leave(client, how);
    let is_free = || server.shared.roster.len() == 0 && server.shared.engine.clients.is_empty();
    eventually("the place is free", is_free);
    half.into_iter().for_each(|mut client| client.expect_end());
}

fn pause(server: &Server, mode: PauseMode) {
    let now_us = server.shared.engine.clock.monotonic_us();
    server.shared.engine.pause.begin(mode, now_us + 3_600_000_000, now_us);
}

fn unpause(server: &Server) {
    server.shared.engine.pause.end();
    server.shared.engine.clients.wake_all();
}

fn expect_nothing_ran(server: &Server) {
    let mut witness = Client::of(server);
    witness.send(b"EXISTS a\r\n");
    witness.expect(b":0\r\n");
}

#[test]
fn requests_that_a_pause_holds_are_given_up_when_their_client_leaves() {
    let server = server();
    pause(&server, PauseMode::Writes);
    leave_waiting(&server, b"PING\r\nINCR a\r\nINCR a\r\n", b"+PONG\r\n");
    leave_waiting(&server, b"MULTI\r\nINCR a\r\nEXEC\r\nINCR a\r\n", b"+OK\r\n+QUEUED\r\n");
    pause(&server, PauseMode::All);
    leave_waiting(&server, b"PING\r\nINCR a\r\n", b"");
    unpause(&server);
    expect_nothing_ran(&server);
}

/// What is behind the held request is more than the kernel keeps for a socket that is not read.
#[test]
fn the_end_behind_much_input_is_noticed() {
    const REQUESTS: usize = 30_000;
    let server = server();
    pause(&server, PauseMode::Writes);
    leave_waiting(&server, &b"INCR a\r\n".repeat(REQUESTS), b"");
    unpause(&server);
    expect_nothing_ran(&server);
}

#[test]
fn requests_behind_a_sleep_are_given_up_when_their_client_leaves() {
    let server = server();
    for how in LEAVING {
        let mut client = Client::of(&server);
        client.send(b"DEBUG SLEEP 3600\r\nINCR a\r\n");
        eventually("the client sleeps", || has_waiting(&server));
        leave(client, how);
        eventually("the place is free", || server.shared.roster.len() == 0);
    }
    expect_nothing_ran(&server);
}

#[test]
fn requests_behind_a_snapshot_are_given_up_when_their_client_leaves() {
    let path = std::env::temp_dir().join(format!("kvns-departure-{}", std::process::id()));
    for how in LEAVING {
        let server = server_with(|settings| settings.persist_path = Some(path.clone()));
        // A snapshot cannot begin while this thread is pinned.
        let batch = server.shared.engine.keyspace.enter();
        leave_waiting_by(how, &server, b"SAVE\r\nINCR a\r\n", b"");
        drop(batch);
        expect_nothing_ran(&server);
    }
    let _ = std::fs::remove_file(path);
}

#[test]
fn requests_beside_a_transaction_that_runs_alone_are_given_up_when_their_client_leaves() {
    let server = server();
    let exclusive = server.shared.engine.keyspace.take_exclusive().expect("nobody else runs alone");
    leave_waiting(&server, b"PING\r\nINCR a\r\n", b"+PONG\r\n");
    drop(exclusive);
    expect_nothing_ran(&server);
}

#[test]
fn what_comes_while_a_request_waits_runs_behind_it_in_order() {
    const REQUESTS: usize = 20_000;
    let server = server();
    pause(&server, PauseMode::Writes);
    let mut client = Client::of(&server);
    client.send(b"INCR a\r\nINC");
    eventually("the request waits", || has_waiting(&server));
    client.send(b"R a\r\n");
    let mut sender = Client(client.0.try_clone().expect("a clone"));
    let sending = thread::spawn(move || sender.send(&b"INCR a\r\n".repeat(REQUESTS)));
    eventually("it is read ahead", || {
        server.shared.engine.clients.list().iter().any(|client| client.buffers.input.get() > 100_000)
    });
    unpause(&server);
    for number in 1..=REQUESTS + 2 {
        client.expect(format!(":{number}\r\n").as_bytes());
    }
    sending.join().expect("sent");
}

/// The replies are more than the kernel takes, so the client is gone before the last request runs.
#[test]
fn what_was_read_and_does_not_wait_runs_without_its_client() {
    let server = server();
    let mut witness = Client::of(&server);
    let value = vec![b'x'; 8 << 20];
    witness.send(&[b"*3\r\n$3\r\nSET\r\n$1\r\nb\r\n", &bulk(&value)[..]].concat());
    witness.expect(b"+OK\r\n");
    for (how, expected) in LEAVING.into_iter().zip(1..) {
        let mut client = Client::of(&server);
        client.send(b"GET b\r\nGET b\r\nGET b\r\nINCR a\r\n");
        client.expect(b"$");
        leave(client, how);
        eventually("the place is free", || server.shared.roster.len() == 1);
        witness.send(b"GET a\r\n");
        witness.expect(&bulk(expected.to_string().as_bytes()));
    }
}

#[test]
fn a_connection_knows_how_its_client_has_left() {
    let runtime = Builder::new_current_thread().enable_io().build().expect("a runtime");
    let _inside = runtime.enter();
    let listener = bind("127.0.0.1", 0).expect("a port");
    for (how, expected) in
        LEAVING.into_iter().zip([Presence::HalfClosed, Presence::HalfClosed, Presence::Gone])
    {
        let client = Client(TcpStream::connect(listener.local_addr().expect("bound")).expect("a connection"));
        let (accepted, _) = listener.accept().expect("accepted");
        accepted.set_nonblocking(true).expect("nonblocking");
        let accepted = tokio::net::TcpStream::from_std(accepted).expect("a stream");
        assert_eq!(accepted.presence(), Presence::There);
        let _half = leave(client, how);
        eventually("it is noticed", || accepted.presence() == expected);
    }
}

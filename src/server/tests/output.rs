//! Clients that do not read what they are sent, or not yet.

use super::*;

/// Sends as much of `request` after `request` as the server takes; returns the bytes.
fn send_until_stuck(client: &mut Client, request: &[u8]) -> usize {
    client.0.set_nonblocking(true).expect("nonblocking");
    let clock = Clock::system();
    let (mut accepted, mut moved_us) = (0, clock.monotonic_us());
    while clock.monotonic_us() - moved_us < 500_000 {
        match client.0.write(&request[accepted % request.len()..]) {
            Ok(count) => {
                accepted += count;
                moved_us = clock.monotonic_us();
                assert!(accepted < 256 << 20, "the server holds whatever it is sent");
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }
    accepted
}

fn shown(server: &Server) -> Vec<Arc<crate::engine::clients::Client>> {
    server.shared.engine.clients.list()
}

fn held(server: &Server) -> u64 {
    server.shared.engine.clients.ledger.held()
}

#[test]
fn all_may_be_written_before_the_first_reply_is_read() {
    let server = server();
    let mut client = Client::of(&server);
    let numbers: Vec<String> = (0..300_000).map(|number| format!("{number:040}")).collect();
    let requests: Vec<u8> = numbers.iter().flat_map(|number| echo(number.as_bytes())).collect();
    client.0.set_write_timeout(Some(PATIENCE)).expect("a timeout");
    client.send(&requests);
    eventually("input is held", || held(&server) > 1 << 20);
    let replies: Vec<u8> = numbers.iter().flat_map(|number| bulk(number.as_bytes())).collect();
    let mut received = vec![0; replies.len()];
    client.0.read_exact(&mut received).expect("all replies");
    assert!(received == replies, "in order");
    eventually("what was held is given back", || held(&server) == 0);
}

/// What comes while the last of all replies leaves is not left behind with it.
#[test]
fn what_comes_while_the_last_reply_leaves_is_answered() {
    let server = server();
    let mut client = Client::of(&server);
    // Below the highest mark, so that it is sent when nothing is left to run.
    let value = vec![b'x'; 900 << 10];
    client.send(&[b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n", &bulk(&value)[..]].concat());
    client.expect(b"+OK\r\n");
    let (engine, reply) = (&server.shared.engine, bulk(&value));
    let waits = || engine.clients.list().iter().any(|client| client.buffers.output.get() > 0);
    let (before, mut asked) = (engine.stats.output_bytes.get(), 0);
    while !waits() {
        client.send(b"GET a\r\n");
        asked += 1;
        let all = before + asked * reply.len() as u64;
        eventually("the reply leaves or waits", || waits() || engine.stats.output_bytes.get() >= all);
    }
    client.send(b"PING\r\n");
    let is_held = || engine.clients.list().iter().any(|client| client.buffers.input.get() > 7);
    eventually("the request is held", is_held);
    (0..asked).for_each(|_| client.expect(&reply));
    client.expect(b"+PONG\r\n");
}

#[test]
fn large_arguments_that_are_held_arrive_whole() {
    let server = server();
    let mut client = Client::of(&server);
    client.0.set_write_timeout(Some(PATIENCE)).expect("a timeout");
    let value: Vec<u8> = (0..3 << 20).map(|index: u32| (index % 251) as u8).collect();
    for _ in 0..10 {
        client.send(&echo(&value));
    }
    for _ in 0..10 {
        client.expect(&bulk(&value));
    }
}

#[test]
fn a_client_that_does_not_read_is_read_from_up_to_a_bound() {
    let server = server_with(|settings| settings.memory_limit = 64 << 20);
    let mut client = Client::of(&server);
    let share = server.shared.engine.clients.ledger.share();
    let accepted = send_until_stuck(&mut client, &echo(&[b'x'; 16 << 10]));
    assert!(accepted > 8 << 20, "{accepted}");
    assert!(held(&server) < share, "{} of {share}", held(&server));
    let mut other = Client::of(&server);
    other.send(b"PING\r\n");
    other.expect(b"+PONG\r\n");
    drop(client);
    eventually("what was held is given back", || held(&server) == 0);
}

#[test]
fn who_takes_nothing_for_a_minute_is_closed_once_it_is_full() {
    let clock = Clock::manual(1_000_000);
    let server = server_by(clock.clone(), |settings| settings.memory_limit = 640 << 20);
    let mut client = Client::of(&server);
    send_until_stuck(&mut client, &echo(&[b'x'; 16 << 10]));
    // It takes nothing either, but more would be read from it.
    let mut slow = Client::of(&server);
    slow.send(&echo(&[b'x'; 6 << 20]));
    eventually("its reply waits", || shown(&server).get(1).is_some_and(|slow| slow.buffers.output.get() > 0));
    clock.advance(59_000);
    let stalled = || server.shared.engine.stats.stalled_clients.get();
    assert_eq!((shown(&server).len(), stalled()), (2, 0));
    clock.advance(2_000);
    eventually("it is closed", || shown(&server).len() == 1);
    assert_eq!(stalled(), 1);
    drop(slow);
    eventually("what it held is given back", || held(&server) == 0);
}

#[test]
fn who_leaves_more_unread_than_the_soft_limit_is_closed_after_its_time() {
    let clock = Clock::manual(1_000_000);
    let server = server_by(clock.clone(), |settings| {
        settings.normal_soft = crate::config::SoftLimit { bytes: 1000, seconds: 2 };
    });
    let mut client = Client::of(&server);
    client.send(&echo(&[b'x'; 16 << 20]));
    eventually("its reply waits", || shown(&server)[0].buffers.output.get() > 0);
    eventually("it is closed", || {
        clock.advance(100);
        shown(&server).is_empty()
    });
    assert_eq!(server.shared.engine.stats.overflowed_clients.get(), 1);
}

#[test]
fn a_reply_beyond_the_hard_limit_is_refused_whole() {
    let server = server_with(|settings| settings.normal_limit = 300_000);
    let mut client = Client::of(&server);
    let value = bulk(&[b'x'; 400_000]);
    client.send(&[b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n", &value[..], b"PING\r\nGET a\r\nPING\r\n"].concat());
    client.expect(b"+OK\r\n+PONG\r\n-ERR a reply of 400011 bytes exceeds the hard limit of ");
    client.expect(b"client-output-buffer-limit normal (300000)\r\n+PONG\r\n");
    // What changes something is answered whole.
    client.send(b"GETDEL a\r\nEXISTS a\r\n");
    client.expect(&[&value[..], b":0\r\n"].concat());
}

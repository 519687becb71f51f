//! What clients make the server hold, and who is closed for it.

use super::*;
use crate::config::ClientMemory;

const BULK: usize = 2 << 20;

/// Clients that send all but the end. Each may keep the turn for a second before whoever gets on has it.
const HOARDERS: u64 = 5;

/// A server whose clients may hold two arguments of the largest size.
fn narrow(clock: Clock) -> Server {
    server_by(clock, |settings| {
        settings.limits.bulk_len = BULK;
        settings.client_memory = ClientMemory::Bytes(2 * BULK as u64 + (512 << 10));
    })
}

fn held(server: &Server) -> u64 {
    server.shared.engine.clients.ledger.held()
}

fn set(value: &[u8]) -> Vec<u8> {
    [b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n", &bulk(value)[..]].concat()
}

#[test]
fn half_sent_arguments_are_charged_and_closed_for_whoever_gets_on() {
    let server = narrow(Clock::system());
    let share = server.shared.engine.clients.ledger.share();
    let request = set(&vec![b'x'; BULK]);
    let mut hoarders: Vec<Client> = (0..HOARDERS).map(|_| Client::of(&server)).collect();
    let most = std::thread::scope(|scope| {
        for hoarder in &mut hoarders {
            // Some are closed while they send.
            scope.spawn(|| drop(hoarder.0.write_all(&request[..request.len() - 1])));
        }
        let clock = Clock::system();
        let end_us = clock.monotonic_us() + 1_000_000;
        let mut most = 0;
        while clock.monotonic_us() < end_us {
            most = held(&server).max(most);
        }
        most
    });
    assert!(most <= share + HOARDERS * (128 << 10), "{most} of {share}");
    let mut client = Client::of(&server);
    for _ in 0..3 {
        client.send(&request);
        client.expect(b"+OK\r\n");
    }
    assert!(server.shared.engine.stats.evicted_clients.get() > 0);
    drop(hoarders);
    eventually("all is given back", || held(&server) == 0);
}

#[test]
fn a_request_of_more_than_half_the_share_is_refused_and_read_past() {
    let server = narrow(Clock::system());
    let mut client = Client::of(&server);
    let value = bulk(&vec![b'x'; BULK - 1]);
    let request = [b"*5\r\n$4\r\nMSET\r\n$1\r\na\r\n", &value[..], b"$1\r\nb\r\n", &value].concat();
    client.send(&[b"PING\r\n", &request[..], b"EXISTS a b\r\n"].concat());
    client.expect(
        b"+PONG\r\n-OOM the request is larger than what clients may still hold (maxmemory-clients)\r\n:0\r\n",
    );
    eventually("all is given back", || held(&server) == 0);
}

#[test]
fn a_request_for_which_nothing_gets_free_is_refused_after_ten_seconds() {
    let clock = Clock::manual(1_000_000);
    let server = narrow(clock.clone());
    let mut dear = Client::of(&server);
    dear.send(b"CLIENT NO-EVICT ON\r\nMULTI\r\n");
    dear.expect(b"+OK\r\n+OK\r\n");
    for _ in 0..2 {
        dear.send(&set(&[b'x'; 3 << 19]));
        dear.expect(b"+QUEUED\r\n");
    }
    let mut client = Client::of(&server);
    let request = set(&vec![b'x'; BULK]);
    let mut sender = Client(client.0.try_clone().expect("a clone"));
    let sending = thread::spawn(move || sender.send(&request));
    eventually("it waits", || server.shared.engine.clients.list().len() == 2 && held(&server) > 7 << 19);
    eventually("it is refused", || {
        clock.advance(1_000);
        thread::sleep(Duration::from_millis(1));
        server.shared.engine.stats.oversized_requests.get() == 1
    });
    client.expect(b"-OOM the request is larger than what clients may still hold (maxmemory-clients)\r\n");
    sending.join().expect("sent");
    client.send(b"PING\r\n");
    client.expect(b"+PONG\r\n");
}

#[test]
fn who_queues_or_leaves_unread_the_most_is_closed_first() {
    let server = narrow(Clock::system());
    let mut modest = Client::of(&server);
    modest.send(b"MULTI\r\nSET a 1\r\n");
    modest.expect(b"+OK\r\n+QUEUED\r\n");
    let mut greedy = Client::of(&server);
    greedy.send(b"MULTI\r\n");
    greedy.expect(b"+OK\r\n");
    let request = set(&[b'x'; 1 << 20]);
    for _ in 0..5 {
        if greedy.0.write_all(&request).is_err() {
            break;
        }
    }
    eventually("it is closed", || server.shared.engine.clients.list().len() == 1);
    modest.send(b"EXEC\r\n");
    modest.expect(b"*1\r\n+OK\r\n");
    assert_eq!(server.shared.engine.stats.evicted_clients.get(), 1);
}

#[test]
fn names_subscriptions_and_watches_are_charged() {
    let server = server();
    let mut client = Client::of(&server);
    let name = "n".repeat(64 << 10);
    let mut last = 0;
    for (request, reply) in [
        (format!("*3\r\n$6\r\nCLIENT\r\n$7\r\nSETNAME\r\n$65536\r\n{name}\r\n"), "+OK\r\n"),
        ("WATCH some-key\r\n".to_owned(), "+OK\r\n"),
        ("SUBSCRIBE channel\r\n".to_owned(), "*3\r\n$9\r\nsubscribe\r\n$7\r\nchannel\r\n:1\r\n"),
    ] {
        client.send(request.as_bytes());
        client.expect(reply.as_bytes());
        let kept = server.shared.engine.clients.list()[0].buffers.kept.get();
        assert!(kept > last && held(&server) >= kept, "{request}");
        last = kept;
    }
    drop(client);
    eventually("all is given back", || held(&server) == 0);
    let mut client = Client::of(&server);
    client.send(format!("*3\r\n$6\r\nCLIENT\r\n$7\r\nSETNAME\r\n$65537\r\n{name}n\r\n").as_bytes());
    client.expect(b"-ERR a client's name, lib-name or lib-ver has at most 65536 bytes\r\n");
}

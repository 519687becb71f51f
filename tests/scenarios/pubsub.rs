//! Published messages over real sockets: many subscribers, slow ones, order, and what ends a client.

use crate::support::server::{eventually, subject_is_redis};
use crate::support::{Client, Server, Value, cmd};
use std::time::Duration;

const BOUND: Duration = Duration::from_secs(30);

fn message(channel: &str, text: &str) -> Value {
    Value::Array(vec![Value::bulk("message"), Value::bulk(channel), Value::bulk(text)])
}

fn subscribed(server: &Server, channel: &str) -> Client {
    let mut client = server.client();
    client.run(&format!("SUBSCRIBE {channel}"));
    client
}

/// A field of INFO, as a number.
fn info(client: &mut Client, field: &str) -> u64 {
    let text = client.run("INFO");
    let text = String::from_utf8_lossy(text.bytes()).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{field} in {text}"))
}

#[test]
fn thousands_hear_one_channel() {
    const SUBSCRIBERS: usize = 2_000;
    let server = Server::start();
    let mut subscribers: Vec<Client> = (0..SUBSCRIBERS).map(|_| subscribed(&server, "news")).collect();
    let mut publisher = server.client();
    for text in ["one", "two"] {
        assert_eq!(publisher.command(&cmd!["PUBLISH", "news", text]).integer(), SUBSCRIBERS as i64);
    }
    for subscriber in &mut subscribers {
        assert_eq!(subscriber.receive(), message("news", "one"));
        assert_eq!(subscriber.receive(), message("news", "two"));
    }
    drop(subscribers);
    eventually("everybody has left", BOUND, || {
        publisher.command(&cmd!["PUBLISH", "news", "three"]).integer() == 0
    });
    assert_eq!(publisher.run("PUBSUB CHANNELS").elements().len(), 0);
}

#[test]
fn one_client_hears_a_hundred_thousand_channels() {
    const CHANNELS: usize = 100_000;
    let server = Server::start();
    let (mut subscriber, mut publisher) = (server.client(), server.client());
    for first in (0..CHANNELS).step_by(500) {
        let mut command = cmd!["SUBSCRIBE"];
        command.extend((first..first + 500).map(|number| format!("channel:{number}").into_bytes()));
        subscriber.send(&command);
        (0..500).for_each(|_| drop(subscriber.receive()));
    }
    assert_eq!(info(&mut publisher, "pubsub_channels"), CHANNELS as u64);
    for number in [0, 77_777, CHANNELS - 1] {
        let channel = format!("channel:{number}");
        assert_eq!(publisher.command(&cmd!["PUBLISH", channel, "x"]).integer(), 1);
        assert_eq!(subscriber.receive(), message(&channel, "x"));
    }
    drop(subscriber);
    eventually("nobody listens any more", BOUND, || info(&mut publisher, "pubsub_channels") == 0);
}

#[test]
fn each_publishers_order_is_kept() {
    const EACH: usize = 3_000;
    let server = Server::start();
    let mut subscribers: Vec<Client> = (0..3).map(|_| subscribed(&server, "news")).collect();
    std::thread::scope(|scope| {
        for publisher in 0..4 {
            let server = &server;
            scope.spawn(move || {
                let mut client = server.client();
                let commands: Vec<_> = (0..EACH)
                    .map(|number| cmd!["PUBLISH", "news", format!("{publisher}:{number}")])
                    .collect();
                assert!(client.pipeline(&commands).iter().all(|receivers| receivers.integer() == 3));
            });
        }
        for subscriber in &mut subscribers {
            let mut next = [0; 4];
            for _ in 0..4 * EACH {
                let received = subscriber.receive();
                let text = String::from_utf8_lossy(received.elements()[2].bytes()).into_owned();
                let (publisher, number) = text.split_once(':').expect("a publisher and a number");
                let publisher: usize = publisher.parse().expect("a publisher");
                assert_eq!(number.parse(), Ok(next[publisher]), "of publisher {publisher}");
                next[publisher] += 1;
            }
        }
    });
}

#[test]
fn a_subscriber_that_does_not_read_is_cut_off_and_others_lose_nothing() {
    const MESSAGES: usize = 600;
    if subject_is_redis() {
        return;
    }
    let server = Server::start_with(&[("KVNS_PUBSUB_LIMIT", "8mb")]);
    let mut slow = subscribed(&server, "news");
    let mut others: Vec<Client> = (0..20).map(|_| subscribed(&server, "news")).collect();
    let mut publisher = server.client();
    let before = server.resident_bytes();
    let text = "x".repeat(64 << 10);
    std::thread::scope(|scope| {
        for other in &mut others {
            let text = &text;
            scope.spawn(move || {
                for number in 0..MESSAGES {
                    assert_eq!(other.receive(), message("news", &format!("{number}:{text}")));
                }
            });
        }
        for number in 0..MESSAGES {
            let receivers = publisher.command(&cmd!["PUBLISH", "news", format!("{number}:{text}")]).integer();
            assert!((20..=21).contains(&receivers), "{receivers} receivers");
        }
    });
    assert_eq!(publisher.command(&cmd!["PUBLISH", "news", "end"]).integer(), 20);
    assert!(slow.is_closed_within(BOUND), "the slow subscriber is closed");
    server.expect_log("does not read its messages fast enough");
    assert_eq!(info(&mut publisher, "client_output_buffer_limit_disconnections"), 1);
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < 100 << 20, "{grown} bytes more");
}

#[test]
fn a_killed_client_is_closed_whatever_it_waits_for() {
    let server = Server::start();
    let mut admin = server.client();
    let mut idle = server.client();
    let mut listening = subscribed(&server, "news");
    // It sends and does not read, so that the server waits to write.
    let mut stuck = server.client();
    let value = "x".repeat(1 << 20);
    assert_eq!(stuck.command(&cmd!["SET", "large", value]), Value::ok());
    let get = b"*2\r\n$3\r\nGET\r\n$5\r\nlarge\r\n".repeat(50);
    stuck.send_raw(&get);
    let id = |client: &mut Client| client.run("CLIENT ID").integer();
    let idle_id = id(&mut idle);
    assert_eq!(admin.command(&cmd!["CLIENT", "KILL", "ID", idle_id.to_string()]).integer(), 1);
    assert_eq!(admin.run("CLIENT KILL TYPE pubsub").integer(), 1);
    assert_eq!(admin.run("CLIENT KILL TYPE normal").integer(), 1);
    for client in [&mut idle, &mut listening, &mut stuck] {
        assert!(client.is_closed_within(BOUND), "a killed client is closed");
    }
    eventually("only the one that kills is left", BOUND, || info(&mut admin, "connected_clients") == 1);
    admin.send(&cmd!["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no"]);
    assert_eq!(admin.receive().integer(), 1);
    assert!(admin.is_closed_within(BOUND));
}

#[test]
fn a_pause_holds_writes_back_until_it_is_over() {
    let server = Server::start();
    let (mut admin, mut writer, mut reader) = (server.client(), server.client(), server.client());
    assert_eq!(admin.run("CLIENT PAUSE 60000 WRITE"), Value::ok());
    writer.send(&cmd!["SET", "a", "1"]);
    assert!(reader.run("GET a").is_null());
    eventually("the writer counts as blocked", BOUND, || info(&mut admin, "blocked_clients") == 1);
    assert_eq!(admin.run("CLIENT UNPAUSE"), Value::ok());
    assert_eq!(writer.receive(), Value::ok());
    eventually("nobody does any more", BOUND, || info(&mut admin, "blocked_clients") == 0);
    assert_eq!(admin.run("CLIENT PAUSE 100 ALL"), Value::ok());
    assert_eq!(reader.run("GET a"), Value::bulk("1"));
    assert_eq!(admin.run("CLIENT PAUSE 60000 WRITE"), Value::ok());
    writer.send(&cmd!["SET", "a", "2"]);
    // A client that waits does not hold the shutdown up.
    server.send_sigterm();
    assert!(server.wait_for_exit().success());
}

#[test]
fn monitor_and_sleep_over_sockets() {
    let server = Server::start();
    let (mut monitor, mut client, mut other) = (server.client(), server.client(), server.client());
    assert_eq!(monitor.run("MONITOR"), Value::ok());
    assert_eq!(client.run("SET a 1"), Value::ok());
    let line = monitor.receive();
    assert!(String::from_utf8_lossy(line.bytes()).ends_with(r#""SET" "a" "1""#), "{line:?}");
    client.send(&cmd!["DEBUG", "SLEEP", "0.05"]);
    assert_eq!(other.run("GET a"), Value::bulk("1"));
    assert_eq!(client.receive(), Value::ok());
    assert_eq!(client.run("PING"), Value::simple("PONG"));
}

//! Deadlines: nothing is seen after its own, many at once go soon, changed ones are obeyed.

use crate::support::seed::now_ms;
use crate::support::server::eventually;
use crate::support::{Command, Server, Value, cmd};
use std::time::{Duration, Instant};

const KEYS: usize = 50_000;

#[test]
fn many_keys_with_one_deadline_go_together() {
    let server = Server::start();
    let (mut client, mut other) = (server.client(), server.client());
    assert_eq!(client.run("SET stays 1"), Value::ok());
    let deadline = now_ms() + 3000;
    let numbers: Vec<usize> = (0..KEYS).collect();
    for chunk in numbers.chunks(1000) {
        let commands: Vec<Command> =
            chunk.iter().map(|n| cmd!["SET", format!("k{n}"), "x", "PXAT", deadline.to_string()]).collect();
        client.pipeline(&commands);
    }
    assert!(now_ms() < deadline, "filling took longer than the deadline allows");
    assert_eq!(client.run("DBSIZE"), Value::Integer(KEYS as i64 + 1));
    let mut slowest = Duration::ZERO;
    eventually("all keys have expired", Duration::from_secs(10), || {
        let begin = Instant::now();
        assert_eq!(other.run("GET stays"), Value::bulk("1"));
        slowest = slowest.max(begin.elapsed());
        client.run("DBSIZE").integer() == 1
    });
    let late = now_ms().saturating_sub(deadline);
    println!("{KEYS} keys were gone {late} ms after their deadline; the slowest GET took {slowest:?}");
    assert!(late < 3000, "{late} ms after the deadline");
    assert!(slowest < Duration::from_secs(1), "a GET took {slowest:?}");
}

#[test]
fn a_key_is_never_seen_after_its_deadline() {
    let server = Server::start();
    let mut client = server.client();
    for round in 0..20 {
        let deadline = now_ms() + 15;
        assert_eq!(client.command(&cmd!["SET", "k", "x", "PXAT", deadline.to_string()]), Value::ok());
        loop {
            let sent = now_ms();
            let seen = !client.run("GET k").is_null();
            if sent > deadline + 20 {
                assert!(!seen, "round {round}: seen {} ms after its deadline", sent - deadline);
                break;
            }
            assert!(seen || now_ms() >= deadline, "round {round}: gone before its deadline");
        }
        assert_eq!(client.run("PTTL k"), Value::Integer(-2));
    }
}

#[test]
fn changed_deadlines_are_obeyed() {
    let server = Server::start();
    let mut client = server.client();
    let replies = client.pipeline(&[
        cmd!["SET", "short", "x", "PX", "150"],
        cmd!["SET", "longer", "x", "PX", "150"],
        cmd!["PEXPIRE", "longer", "100000"],
        cmd!["SET", "persisted", "x", "PX", "150"],
        cmd!["PERSIST", "persisted"],
        cmd!["SET", "rewritten", "x", "PX", "150"],
        cmd!["SET", "rewritten", "y"],
        cmd!["SET", "kept", "x", "PX", "150"],
        cmd!["SET", "kept", "y", "KEEPTTL"],
        cmd!["SET", "sooner", "x", "PX", "100000"],
        cmd!["PEXPIRE", "sooner", "150"],
        cmd!["SET", "moved", "x", "PX", "150"],
        cmd!["RENAME", "moved", "ns/moved"],
        cmd!["SET", "deleted", "x", "PX", "150"],
        cmd!["DEL", "deleted"],
        cmd!["SET", "deleted", "again"],
    ]);
    assert!(replies.iter().all(|reply| !reply.is_error()));
    eventually("the four short ones are gone, without being read", Duration::from_secs(5), || {
        client.run("DBSIZE").integer() == 4
    });
    let left = client.run("MGET short longer persisted rewritten kept sooner ns/moved deleted");
    let left: Vec<bool> = left.elements().iter().map(|value| !value.is_null()).collect();
    assert_eq!(left, [false, true, true, true, false, false, false, true]);
}

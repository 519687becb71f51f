//! Pipelined commands of one key that run as one transaction, and edits that stay open inside EXEC.

use super::harness::{Client, Server};
use kvns::command::resolve::{Command, run_length};
use kvns::resp::OwnedRequest;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// A collection that was emptied and filled again in one transaction was the same edit all along, and kept the
/// deadline of the one that is gone.
#[test]
fn what_takes_the_place_of_an_emptied_collection_has_no_deadline() {
    let cases = [
        ["RPUSH k a", "LPOP k", "LPUSH k b", "RPUSH k x"],
        ["HSET k a 1", "HDEL k a", "HSET k b 1", "HDEL k x"],
        ["SADD k a", "SREM k a", "SADD k b", "SREM k x"],
        ["ZADD k 1 a", "ZREM k a", "ZADD k 1 b", "ZREM k x"],
    ];
    let server = Server::new();
    let mut c = server.client();
    for [create, empty, refill, other] in cases {
        c.run("FLUSHALL");
        c.check_all(&[(create, ":1"), ("EXPIRE k 100", ":1")]);
        assert_eq!(c.run_together(&[empty, refill]).0, 2);
        c.check_all(&[("TTL k", ":-1"), ("EXPIRE k 100", ":1"), ("MULTI", "+OK")]);
        // Here the edit is open already when it empties the collection; what stays keeps its deadline.
        for line in [other, create, "EXPIRE k 200", other, refill, "TTL k", "EXEC"] {
            c.run(line);
        }
        c.check("TTL k", ":200");
    }
}

#[test]
fn commands_of_another_key_or_kind_end_a_run() {
    let server = Server::new();
    let length = |lines: &[&str]| {
        let requests: Vec<OwnedRequest> =
            lines.iter().map(|line| OwnedRequest::from_args(line.split(' ').map(str::as_bytes))).collect();
        let requests = requests.iter().map(OwnedRequest::as_request);
        let commands: Vec<_> = requests.map(|request| Command::resolve(&server.engine, request)).collect();
        run_length(&server.engine, &commands)
    };
    assert_eq!(length(&["RPUSH k a", "LPOP k", "LLEN k"]), 3);
    assert_eq!(length(&["RPUSH k a", "RPUSH k b", "RPUSH other c"]), 2);
    assert_eq!(length(&["RPUSH k a", "RPUSH other b"]), 1);
    assert_eq!(length(&["RPUSH k a", "PUBLISH k b"]), 1);
    assert_eq!(length(&["LLEN k", "RPUSH k a"]), 1, "a run begins with a write");
    assert_eq!(length(&["PING", "PING"]), 1);
    assert_eq!(length(&[]), 0);
}

/// One write and many reads of a large value gathered all their replies before any of them could be sent.
#[test]
fn a_run_ends_where_its_replies_grow_large() {
    let server = Server::new();
    let mut c = server.client();
    c.send(&[b"HSET", b"k", b"f", &[b'x'; 400_000]]);
    let mut lines = vec!["HSET k g 1"];
    lines.extend(["HGET k f"; 31]);
    let (ran, reply) = c.run_together(&lines);
    assert_eq!((ran, reply.len()), (4, 4 + 3 * 400_011));
}

#[test]
fn a_run_reads_its_own_writes_and_goes_on_after_errors() {
    let server = Server::new();
    let mut c = server.client();
    c.run("SET k v PX 1");
    server.clock.advance(2);
    let lines = ["LPUSH k a", "HSET k a 1", "LLEN k", "LPOP k", "TTL k", "LPUSHX k b"];
    let (ran, reply) = c.run_together(&lines);
    assert_eq!(ran, 6);
    let wrong = "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n";
    assert_eq!(String::from_utf8_lossy(&reply), format!(":1\r\n{wrong}:1\r\n$1\r\na\r\n:-2\r\n:0\r\n"));
    c.check("EXISTS k", ":0");
}

/// A run that any of its commands may not join runs one by one, and each command gets its own answer.
#[test]
fn a_run_passes_what_single_commands_pass() {
    let server = Server::new();
    let mut c = server.client();
    let lines = ["RPUSH k a", "LPOP k"];
    for (start, end) in [("MULTI", "DISCARD"), ("CLIENT PAUSE 9999 WRITE", "CLIENT UNPAUSE")] {
        c.check(start, "+OK");
        assert_eq!(c.run_together(&lines), (0, Vec::new()), "{start}");
        c.check(end, "+OK");
        assert_eq!(c.run_together(&lines).0, 2, "{end}");
    }
}

/// Any command on one of few keys, most of them of collections.
fn line(rng: &mut StdRng, key: &str) -> String {
    let keys = ["k1", "k2", "ns/k3"];
    let other = keys[rng.random_range(0..keys.len())];
    let item = rng.random_range(0..300);
    let many = (0..rng.random_range(1..80)).map(|n| format!(" v{}", item + n)).collect::<String>();
    match rng.random_range(0..30) {
        0..=2 => format!("RPUSH {key} v{item}"),
        3..=4 => format!("LPUSH {key}{many}"),
        5..=6 => format!("LPOP {key}"),
        7 => format!("LTRIM {key} 2 100"),
        8 => format!("LREM {key} 0 v{item}"),
        9 => format!("LMOVE {key} {other} LEFT RIGHT"),
        10..=11 => format!("HSET {key} f{item} v{item}"),
        12 => format!("HDEL {key} f{item}"),
        13 => format!("HINCRBY {key} n{item} 1"),
        14..=15 => format!("SADD {key}{many}"),
        16 => format!("SREM {key}{many}"),
        17 => format!("SMOVE {key} {other} v{item}"),
        18 => format!("SUNIONSTORE {other} {key} {other}"),
        19 => format!("SORT {key} ALPHA STORE {other}"),
        20 => format!("RENAME {key} {other}"),
        21 => format!("COPY {key} {other} REPLACE"),
        22 => format!("SET {key} v"),
        23..=24 => format!("DEL {key}"),
        25 => format!("PEXPIRE {key} {}", rng.random_range(-1..50)),
        26 => format!("LRANGE {key} 0 -1"),
        27 => format!("HGETALL {key}"),
        28 => format!("SMEMBERS {key}"),
        _ => format!("EXISTS {key} {other}"),
    }
}

fn wander(c: &mut Client, seed: u64, rounds: usize) {
    let mut rng = StdRng::seed_from_u64(seed);
    for _ in 0..rounds {
        let key = ["k1", "k2", "ns/k3"][rng.random_range(0..3)];
        match rng.random_range(0..10) {
            0..=2 => {
                c.run("MULTI");
                (0..rng.random_range(1..12)).for_each(|_| drop(c.run(&line(&mut rng, key))));
                c.run("EXEC");
            }
            3..=5 => {
                let push = format!("RPUSH {key} a b c");
                let pop = format!("LPOP {key}");
                let (ran, reply) = c.run_together(&[&push, &pop, &push, &pop, &pop, &pop]);
                assert!(ran == 6 || (ran == 0 && reply.is_empty()));
            }
            _ => drop(c.run(&line(&mut rng, key))),
        }
        if rng.random_bool(0.002) {
            c.run("FLUSHALL");
        }
    }
}

/// All collection commands at once on few keys, under whatever tool watches the memory; the invariants are checked at
/// the end.
#[test]
fn many_clients_edit_the_same_collections() {
    const ROUNDS: usize = 1500;
    let server = Server::new();
    std::thread::scope(|scope| {
        for seed in 0..4 {
            let mut c = server.client();
            scope.spawn(move || wander(&mut c, seed, ROUNDS));
        }
        for _ in 0..ROUNDS {
            server.clock.advance(1);
            server.engine.keyspace.housekeep();
        }
    });
}

//! The lock-sharded store behind the same table: the same replies as the lock-free one, and nothing but what it serves.

use crate::harness::{Client, Server};
use kvns::config::Settings;

fn sharded(shares_values: bool) -> Server {
    Server::with(Settings {
        sharded_mode: true,
        shard_count: 4,
        shared_values: shares_values,
        ..Settings::default()
    })
}

/// Runs lines on the lock-free store and on the sharded one in both value modes: every reply is the same.
fn same_replies(lines: &[&str]) {
    let servers = [Server::new(), sharded(true), sharded(false)];
    let mut clients = servers.each_ref().map(Server::client);
    for line in lines {
        if let Some(ms) = line.strip_prefix("advance ") {
            servers.iter().for_each(|server| server.clock.advance(ms.parse().expect("milliseconds")));
            continue;
        }
        let replies = clients.each_mut().map(|client: &mut Client| client.run(line));
        assert!(replies.iter().all(|reply| *reply == replies[0]), "{line}: {replies:?}");
    }
}

#[test]
fn set_replies_the_same_with_every_option() {
    let options = [
        "",
        "NX",
        "XX",
        "GET",
        "NX GET",
        "XX GET",
        "EX 10",
        "PX 1500",
        "EXAT 1700000100",
        "PXAT 1700000005000",
        "KEEPTTL",
        "XX KEEPTTL GET",
        "EX 10 GET NX",
        "PXAT 1",
        "EXAT 1 GET",
        "EX 0",
        "EX -1",
        "EX x",
        "PX",
        "EX 10 PX 10",
        "KEEPTTL EX 1",
        "NX XX",
        "bogus",
        "EX 9223372036854775807",
        "ex 1 ex 2",
    ];
    for before in ["GET k", "SET k old", "SET k old PX 3000"] {
        for option in options {
            let set = format!("SET k new {option}");
            same_replies(&[
                before,
                &set,
                "GET k",
                "advance 2000",
                "GET k",
                "advance 2000",
                "GET k",
                "SETNX k x",
            ]);
        }
    }
}

#[test]
fn counters_and_several_keys_reply_the_same() {
    same_replies(&[
        "INCR n",
        "INCRBY n 41",
        "DECR n",
        "DECRBY n -2",
        "GET n",
        "SET n 9223372036854775807",
        "INCR n",
        "DECRBY n -9223372036854775808",
        "INCRBY n x",
        "SET n abc",
        "INCR n",
        "SET n \"\"",
        "DECR n",
        "INCR",
        "SET m 5 PX 100",
        "INCR m",
        "advance 100",
        "GET m",
        "INCR m",
    ]);
    same_replies(&[
        "MSET a 1 b 2 a 3",
        "MGET a b c a",
        "MSET a",
        "MSET a 1 b",
        "MSETNX c 1 a 2",
        "MGET a c",
        "MSETNX c 1 d 2 c 3",
        "MGET c d",
        "MSETNX",
        "MGET",
        "SET e 1 PX 50",
        "MSETNX e 2 f 3",
        "advance 50",
        "MSETNX e 2 f 3",
        "MGET e f",
    ]);
    same_replies(&[
        "SET default/x 1",
        "GET x",
        "SET default/a/b 1",
        "GET a/b",
        "MGET default/a/b x",
        "SETNX x 2",
    ]);
}

#[test]
fn nothing_else_is_served() {
    let server = sharded(true);
    let mut client = server.client();
    for (line, expected) in [
        ("PING", "+PONG"),
        ("SELECT 0", "+OK"),
        ("SELECT 1", "-ERR DB index is out of range"),
        ("CONFIG GET maxclients", "*2\n$10\nmaxclients\n$5\n10000"),
        ("LPUSH a 1", "-ERR unknown command 'LPUSH', with args beginning with: 'a' '1' (sharded mode)"),
        ("LPUSH", "-ERR unknown command 'LPUSH', with args beginning with: (sharded mode)"),
        ("nosuch", "-ERR unknown command 'nosuch', with args beginning with: (sharded mode)"),
        (
            "CONFIG SET maxclients 1",
            "-ERR unknown command 'CONFIG', with args beginning with: 'SET' 'maxclients' '1' (sharded mode)",
        ),
        ("DEL a", "-ERR unknown command 'DEL', with args beginning with: 'a' (sharded mode)"),
        ("MULTI", "-ERR unknown command 'MULTI', with args beginning with: (sharded mode)"),
        ("GET", "-ERR wrong number of arguments for 'get' command"),
        ("QUIT", "+OK"),
    ] {
        client.check(line, expected);
    }
    assert!(client.run("COMMAND COUNT").starts_with(':'));
    let served = kvns::command::table::ROWS.iter().filter(|spec| {
        kvns::command::table::find_full(spec.name.as_bytes())
            .is_some_and(|row| row.handler(&server.engine.store).is_some())
    });
    assert_eq!(served.filter(|spec| !spec.is_subcommand()).count(), 16);
}

#[test]
fn info_tells_what_is_there() {
    let server = sharded(false);
    let mut client = server.client();
    for line in ["SET a 1", "SET b 2 PX 10", "SET c 3 EX 100", "GET a", "GET x"] {
        client.run(line);
    }
    server.clock.advance(10);
    client.check("GET b", "$-1");
    let info = client.run("INFO");
    for line in ["db0:keys=2,expires=1,avg_ttl=0", "keyspace_hits:1", "keyspace_misses:2", "expired_keys:1"] {
        assert!(info.lines().any(|shown| shown == line), "{line}: {info}");
    }
    let bytes = info.lines().find_map(|line| line.strip_prefix("used_memory_dataset:")).expect("bytes");
    assert!(bytes.parse().is_ok_and(|bytes: u64| bytes > 100), "{bytes}");
}

#[test]
fn writes_beyond_the_limit_are_refused() {
    let settings =
        Settings { sharded_mode: true, shard_count: 1, memory_limit: 10_000, ..Settings::default() };
    let server = Server::with(settings);
    let mut client = server.client();
    let large = format!("SET a {}", "x".repeat(20_000));
    client.check(&large, "-OOM command not allowed when used memory > 'maxmemory'.");
    client.check("SET a 1", "+OK");
    client.check(&large, "-OOM command not allowed when used memory > 'maxmemory'.");
    client.check("GET a", "$1\n1");
}

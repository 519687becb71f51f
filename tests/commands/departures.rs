//! What kvns does otherwise than Redis, on purpose, as far as no other test shows it. COMPATIBILITY.md lists all of it.

use crate::harness::Server;
use kvns::config::Settings;

#[test]
fn there_is_one_database() {
    let server = Server::new();
    server.client().check_all(&[
        ("SELECT 0", "+OK"),
        ("SELECT 1", "-ERR DB index is out of range"),
        ("SET a 1", "+OK"),
        ("COPY a b DB 0", ":1"),
        ("COPY a b DB 1 REPLACE", "-ERR DB index is out of range"),
        ("CONFIG GET databases", "*2\n$9\ndatabases\n$1\n1"),
    ]);
}

/// Redis keeps the key until it is touched: DBSIZE counts it.
#[test]
fn a_deadline_in_the_past_removes_the_key_at_once() {
    let server = Server::new();
    server.client().check_all(&[
        ("SET a 1 EXAT 1", "+OK"),
        ("DBSIZE", ":0"),
        ("SET a 1", "+OK"),
        ("SET a 1 PXAT 1", "+OK"),
        ("DBSIZE", ":0"),
        ("WATCH a", "+OK"),
        ("SET a 1 PXAT 1", "+OK"),
        ("MULTI", "+OK"),
        ("PING", "+QUEUED"),
        ("EXEC", "*1\n+PONG"),
    ]);
}

/// Redis answers FREQ only under an LFU policy, has shared integers whose REFCOUNT is 2147483647, and never turns a
/// raw string back into a short one.
#[test]
fn what_object_tells() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("SET n 5", "+OK"),
        ("OBJECT REFCOUNT n", ":1"),
        ("APPEND s abc", ":3"),
        ("APPEND s def", ":6"),
        ("OBJECT ENCODING s", "$6\nembstr"),
        ("SETRANGE s 1 x", ":6"),
        ("OBJECT ENCODING s", "$6\nembstr"),
        ("RPUSH l a b", ":2"),
        ("OBJECT ENCODING l", "$8\nlistpack"),
        ("SADD set 1 2", ":2"),
        ("OBJECT ENCODING set", "$8\nlistpack"),
        ("CONFIG GET maxmemory-policy", "*2\n$16\nmaxmemory-policy\n$10\nnoeviction"),
    ]);
    assert!(c.run("OBJECT FREQ n").starts_with(':'));
    c.check(&format!("RPUSH l{}", " x".repeat(200)), ":202");
    c.check("OBJECT ENCODING l", "$9\nquicklist");
    let members: Vec<String> = (0..200).map(|n| n.to_string()).collect();
    c.check(&format!("SADD set {}", members.join(" ")), ":198");
    c.check("OBJECT ENCODING set", "$9\nhashtable");
}

/// To Redis the `!` is one of the bytes in the class.
#[test]
fn an_exclamation_mark_negates_a_class() {
    let server = Server::new();
    server.client().check_all(&[
        ("MSET x 1 y 2", "+OK"),
        ("KEYS [!x]", "*1\n$1\ny"),
        ("KEYS [^x]", "*1\n$1\ny"),
        ("SCAN 0 MATCH [!y]", "*2\n$1\n0\n*1\n$1\nx"),
    ]);
}

/// A cursor is a place among the slots, or an enciphered part of a hash, below 2^48. Redis takes whatever strtoul
/// takes, an empty one too.
#[test]
fn cursors_are_decimal_places() {
    let server = Server::new();
    let mut c = server.client();
    for n in 0..1000 {
        for command in [format!("SET key:{n} v"), format!("HSET h f{n} v"), format!("SADD s m{n}")] {
            c.run(&command);
        }
        c.run(&format!("ZADD z {n} m{n}"));
    }
    for walk in ["SCAN", "HSCAN h", "SSCAN s", "ZSCAN z"] {
        let (mut cursor, mut calls) = (0, 0);
        loop {
            let reply = c.run(&format!("{walk} {cursor} COUNT 10"));
            let next = reply.split('\n').nth(2).and_then(|cursor| cursor.parse::<u64>().ok());
            cursor = next.filter(|cursor| *cursor < 1 << 48).expect("a cursor of at most 48 bits");
            calls += 1;
            if cursor == 0 {
                break;
            }
        }
        assert!((90..400).contains(&calls), "{walk}: {calls} calls");
    }
    for cursor in ["\"\"", "1x", "0x1"] {
        c.check(&format!("SCAN {cursor}"), "-ERR invalid cursor");
    }
    for walk in ["HSCAN h", "SSCAN s", "ZSCAN z"] {
        c.check(&format!("{walk} 281474976710656"), "*2\n$1\n0\n*0");
    }
}

/// Redis refuses every command that might add something once it is over the limit.
#[test]
fn what_adds_nothing_is_never_refused() {
    let server = Server::with(Settings { memory_limit: 1 << 20, ..Settings::default() });
    let mut c = server.client();
    assert_eq!(c.send(&[b"SET", b"a", &vec![b'v'; 700_000]]), b"+OK\r\n");
    server.engine.change_settings(|settings| settings.memory_limit = 1 << 19);
    assert_eq!(c.send(&[b"SET", b"a", &vec![b'w'; 700_000]]), b"+OK\r\n");
    c.check("SETRANGE a 5 x", ":700000");
    c.check("SET b 1", "-OOM command not allowed when used memory > 'maxmemory'.");
}

/// Redis takes a limit of 0 for none.
#[test]
fn a_limit_of_0_is_seventy_percent_of_the_memory() {
    let server = Server::new();
    let mut c = server.client();
    c.check("CONFIG SET maxmemory 0", "+OK");
    assert!(server.engine.settings.load().memory_limit > 0);
}

/// Redis shows them up to the zero byte.
#[test]
fn errors_show_what_follows_a_zero_byte() {
    let server = Server::new();
    let reply = server.client().send(&[b"no\0such", b"a\0b"]);
    let expected: &[u8] = b"-ERR unknown command 'no\0such', with args beginning with: 'a\0b' \r\n";
    assert_eq!(reply, expected, "{}", reply.escape_ascii());
}

#[test]
fn messages_to_oneself_follow_the_array_of_exec() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[("MULTI", "+OK"), ("SUBSCRIBE a", "+QUEUED"), ("PUBLISH a hi", "+QUEUED")]);
    c.check("EXEC", "*2\n*3\n$9\nsubscribe\n$1\na\n:1\n:1\n*3\n$7\nmessage\n$1\na\n$2\nhi");
}

#[test]
fn a_second_monitor_is_answered() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[("MONITOR", "+OK"), ("MONITOR", "+OK")]);
}

#[test]
fn what_info_counts_dearly_is_a_tenth_of_a_second_old() {
    let server = Server::new();
    let (mut client, mut subscriber) = (server.client(), server.client());
    assert!(client.run("INFO clients").contains("\npubsub_clients:0\n"));
    subscriber.run("SUBSCRIBE c");
    server.clock.advance(99);
    assert!(client.run("INFO clients").contains("\npubsub_clients:0\n"));
    server.clock.advance(1);
    assert!(client.run("INFO clients").contains("\npubsub_clients:1\n"));
}

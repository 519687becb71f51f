//! Family keys.

use crate::harness::Server;
use kvns::command::context::Outcome;
use kvns::command::dispatch::dispatch;
use kvns::command::resolve::Command;
use kvns::resp::OwnedRequest;
use kvns::wait::{Peer, Presence};
use std::collections::BTreeSet;

const NOT_AN_INTEGER: &str = "-ERR value is not an integer or out of range";
const SYNTAX: &str = "-ERR syntax error";

#[test]
fn existence() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("MSET a 1 b 2 c 3", "+OK"),
        ("EXISTS a", ":1"),
        ("EXISTS a b a missing", ":3"),
        ("TOUCH a missing", ":1"),
        ("TYPE a", "+string"),
        ("TYPE missing", "+none"),
        ("DEL a a missing", ":1"),
        ("UNLINK b missing c", ":2"),
        ("DEL a", ":0"),
        ("DBSIZE", ":0"),
        ("DEL", "-ERR wrong number of arguments for 'del' command"),
    ]);
}

#[test]
fn times_to_live() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("TTL a", ":-2"),
        ("PTTL a", ":-2"),
        ("EXPIRETIME a", ":-2"),
        ("PEXPIRETIME a", ":-2"),
        ("EXPIRE a 10", ":0"),
        ("SET a 1", "+OK"),
        ("TTL a", ":-1"),
        ("EXPIRETIME a", ":-1"),
        ("EXPIRE a 10", ":1"),
        ("TTL a", ":10"),
        ("EXPIRETIME a", ":1700000010"),
        ("PEXPIRETIME a", ":1700000010000"),
        ("PEXPIRE a 1500", ":1"),
        ("TTL a", ":2"),
        ("PEXPIRE a 1499", ":1"),
        ("TTL a", ":1"),
        ("EXPIREAT a 1700000020", ":1"),
        ("TTL a", ":20"),
        ("PEXPIREAT a 1700000030000", ":1"),
        ("PTTL a", ":30000"),
        ("PERSIST a", ":1"),
        ("PERSIST a", ":0"),
        ("PERSIST missing", ":0"),
        ("TTL a", ":-1"),
    ]);
}

#[test]
fn deadlines_in_the_past_delete() {
    let server = Server::new();
    let mut c = server.client();
    for line in ["EXPIRE a -1", "EXPIRE a 0", "EXPIREAT a 1", "PEXPIREAT a 1", "PEXPIRE a -5"] {
        c.check("SET a 1", "+OK");
        c.check(line, ":1");
        c.check("EXISTS a", ":0");
    }
}

#[test]
fn expire_conditions() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("SET a 1", "+OK"),
        ("EXPIRE a 10 XX", ":0"),
        ("EXPIRE a 10 GT", ":0"),
        ("EXPIREAT a 1 GT", ":0"),
        ("EXPIRE a 10 NX", ":1"),
        ("EXPIRE a 20 NX", ":0"),
        ("EXPIRE a 20 XX GT", ":1"),
        ("EXPIRE a 20 GT", ":0"),
        ("EXPIRE a 20 LT", ":0"),
        ("EXPIRE a 15 lt", ":1"),
        ("PERSIST a", ":1"),
        ("EXPIRE a 15 XX LT", ":0"),
        ("EXPIRE a 15 LT", ":1"),
        ("TTL a", ":15"),
    ]);
}

#[test]
fn expire_errors() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("EXPIRE a abc", NOT_AN_INTEGER),
        ("EXPIRE a abc foo", "-ERR Unsupported option foo"),
        ("EXPIRE a 10 NX XX", "-ERR NX and XX, GT or LT options at the same time are not compatible"),
        ("EXPIRE a 10 GT LT", "-ERR GT and LT options at the same time are not compatible"),
        ("EXPIRE a 9223372036854775807", "-ERR invalid expire time in 'expire' command"),
        ("PEXPIRE a 9223372036854775807", "-ERR invalid expire time in 'pexpire' command"),
        ("EXPIREAT a 9223372036854775807", "-ERR invalid expire time in 'expireat' command"),
        ("SET a 1", "+OK"),
        ("PEXPIREAT a 9223372036854770000", ":1"),
        ("PEXPIRETIME a", ":9223372036854770000"),
        ("EXPIRETIME a", ":9223372036854770"),
    ]);
}

#[test]
fn rename() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("RENAME a b", "-ERR no such key"),
        ("RENAME a a", "-ERR no such key"),
        ("RENAMENX a a", "-ERR no such key"),
        ("SET a 1 EX 10", "+OK"),
        ("RENAME a a", "+OK"),
        ("RENAMENX a a", ":0"),
        ("RENAME a default/a", "+OK"),
        ("SET b 2", "+OK"),
        ("RENAMENX a b", ":0"),
        ("RENAME a b", "+OK"),
        ("EXISTS a", ":0"),
        ("GET b", "$1\n1"),
        ("TTL b", ":10"),
        ("RENAMENX b ns/c", ":1"),
        ("MGET b ns/c", "*2\n$-1\n$1\n1"),
        ("DBSIZE", ":1"),
    ]);
}

#[test]
fn copy() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("COPY a b", ":0"),
        ("SET a 1 EX 10", "+OK"),
        ("COPY a b", ":1"),
        ("TTL b", ":10"),
        ("SET a 2", "+OK"),
        ("COPY a b", ":0"),
        ("COPY a b DB 0 REPLACE", ":1"),
        ("GET b", "$1\n2"),
        ("TTL b", ":-1"),
        ("COPY a a", "-ERR source and destination objects are the same"),
        ("COPY a c DB 1", "-ERR DB index is out of range"),
        ("COPY a c DB abc", NOT_AN_INTEGER),
        ("COPY a c DB", SYNTAX),
        ("COPY a c FOO", SYNTAX),
    ]);
}

#[test]
fn object() {
    let server = Server::new();
    let mut c = server.client();
    let long = "x".repeat(45);
    c.check_all(&[
        ("OBJECT ENCODING a", "$-1"),
        ("OBJECT FREQ a", "$-1"),
        ("OBJECT IDLETIME a", "$-1"),
        ("OBJECT REFCOUNT a", "$-1"),
        ("SET a 1", "+OK"),
        ("OBJECT ENCODING a", "$3\nint"),
        ("OBJECT REFCOUNT a", ":1"),
        ("SET a abc", "+OK"),
        ("OBJECT ENCODING a", "$6\nembstr"),
        (&format!("SET a {long}"), "+OK"),
        ("OBJECT ENCODING a", "$3\nraw"),
        ("OBJECT IDLETIME a", ":0"),
        ("OBJECT FOO", "-ERR unknown subcommand 'FOO'. Try OBJECT HELP."),
        ("OBJECT", "-ERR wrong number of arguments for 'object' command"),
        ("OBJECT ENCODING", "-ERR wrong number of arguments for 'object|encoding' command"),
    ]);
    server.clock.advance(5_000);
    c.check("OBJECT IDLETIME a", ":5");
    assert!(c.run("OBJECT FREQ a").starts_with(':'));
    assert!(c.run("OBJECT HELP").starts_with("*11\n+OBJECT <subcommand>"));
}

/// Every name a full SCAN returns; `options` follow the cursor.
fn scan_all(server: &Server, options: &str) -> BTreeSet<String> {
    let (mut c, mut cursor, mut found) = (server.client(), "0".to_owned(), BTreeSet::new());
    loop {
        let reply = c.run(&format!("SCAN {cursor} {options}"));
        let lines: Vec<&str> = reply.split('\n').collect();
        found.extend(lines[4..].iter().skip(1).step_by(2).map(|name| (*name).to_owned()));
        cursor = lines[2].to_owned();
        if cursor == "0" {
            return found;
        }
    }
}

#[test]
fn scan_returns_every_key() {
    let server = Server::new();
    let mut c = server.client();
    for n in 0..500 {
        c.check(&format!("SET {}key:{n} v", if n % 2 == 0 { "ns/" } else { "" }), "+OK");
    }
    for options in ["", "COUNT 1", "COUNT 7", "COUNT 100000", "MATCH *", "TYPE string", "MATCH *key:*"] {
        assert_eq!(scan_all(&server, options).len(), 500, "{options}");
    }
    assert_eq!(scan_all(&server, "MATCH ns/*").len(), 250);
    assert_eq!(scan_all(&server, "MATCH ns/key:1?2").len(), 10);
    assert_eq!(scan_all(&server, "MATCH default/key:*").len(), 250);
    assert_eq!(scan_all(&server, "MATCH other/*").len(), 0);
    assert_eq!(scan_all(&server, "TYPE hash").len(), 0);
    assert_eq!(scan_all(&server, "MATCH key:499").len(), 1);
}

#[test]
fn scan_errors() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("SCAN 0", "*2\n$1\n0\n*0"),
        ("SCAN abc", "-ERR invalid cursor"),
        ("SCAN 18446744073709551616", "-ERR invalid cursor"),
        ("SCAN 18446744073709551615", "*2\n$1\n0\n*0"),
        ("SCAN -1", "-ERR invalid cursor"),
        ("SCAN 0 COUNT 0", SYNTAX),
        ("SCAN 0 COUNT -5", SYNTAX),
        ("SCAN 0 COUNT abc", NOT_AN_INTEGER),
        ("SCAN 0 COUNT 9223372036854775807", "*2\n$1\n0\n*0"),
        ("SCAN 0 FOO bar", SYNTAX),
        ("SCAN 0 MATCH", SYNTAX),
    ]);
}

#[test]
fn keys_by_pattern() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("KEYS *", "*0"),
        ("MSET hello 1 ns/hallo 2 default/a/b 3", "+OK"),
        ("KEYS h[ae]llo", "*1\n$5\nhello"),
        ("KEYS hello", "*1\n$5\nhello"),
        ("KEYS default/hello", "*1\n$5\nhello"),
        ("KEYS missing", "*0"),
        ("KEYS ns/*", "*1\n$8\nns/hallo"),
        ("KEYS default/h*", "*1\n$5\nhello"),
        ("KEYS default/a/*", "*1\n$11\ndefault/a/b"),
        ("KEYS *allo", "*1\n$8\nns/hallo"),
    ]);
    assert!(c.run("KEYS *").starts_with("*3\n"));
    server.client3().check("KEYS hello", "*1\n$5\nhello");
}

#[test]
fn expired_keys_are_not_walked_over() {
    let server = Server::new();
    let mut c = server.client();
    c.check("SET a 1 PX 10", "+OK");
    c.check("SET b 1", "+OK");
    server.clock.advance(10);
    c.check("KEYS *", "*1\n$1\nb");
    assert_eq!(scan_all(&server, "").len(), 1);
}

#[test]
fn randomkey() {
    let server = Server::new();
    let mut c = server.client();
    c.check("RANDOMKEY", "$-1");
    server.client3().check("RANDOMKEY", "_");
    c.check("SET a 1", "+OK");
    c.check("RANDOMKEY", "$1\na");
}

/// Nothing is pinned from one step to the next.
#[test]
fn walks_over_all_keys_go_in_steps() {
    let server = Server::new();
    let (mut c, mut other) = (server.client(), server.client());
    for n in 0..3_000 {
        c.run(&format!("SET key:{n} v"));
    }
    assert_eq!(c.run("KEYS *:1?0").lines().next(), Some("*10"));
    assert!(c.steps >= 5, "{} steps", c.steps);
    c.steps = 0;
    let page = c.run("SCAN 0 COUNT 2000");
    assert!(c.steps >= 3 && page.contains("*2000"), "{} steps", c.steps);
    c.steps = 0;
    let digest = c.run("DEBUG DIGEST");
    assert!(c.steps >= 5, "{} steps", c.steps);
    assert_eq!(other.run("DEBUG DIGEST"), digest);
    c.check_all(&[("MULTI", "+OK"), ("KEYS key:12??", "+QUEUED")]);
    assert!(c.run("EXEC").starts_with("*1\n*100\n"));
}

/// A name for which a step is not enough is copied, and compared in the steps that follow.
#[test]
fn costly_names_are_compared_later() {
    let server = Server::new();
    let mut c = server.client();
    let name = |n: usize| format!("{}{n}", "a".repeat(20_000));
    for n in 0..4 {
        c.run(&format!("SET {} v", name(n)));
        c.run(&format!("SET default/{n} v"));
        c.run(&format!("SET other/{} v", name(n)));
    }
    let pattern = format!("*{}[02]*", "a?".repeat(2_000));
    let found = c.run(&format!("KEYS {pattern}"));
    assert!(found.starts_with("*4\n") && c.steps > 3, "{} steps", c.steps);
    c.steps = 0;
    let found = c.run(&format!("SCAN 0 MATCH {pattern} COUNT 100"));
    assert!(found.starts_with("*2\n$1\n0\n*4\n") && c.steps > 3, "{} steps", c.steps);
    let found = c.run(&format!("KEYS default/{pattern}"));
    assert!(found.starts_with(&format!("*2\n$20001\n{}", &name(0)[..20_000])), "{}", &found[..40]);
    let found = c.run(&format!("KEYS other/{pattern}"));
    assert!(found.starts_with("*2\n$20007\nother/a"));
}

/// A client whose connection is broken.
#[derive(Debug)]
struct Gone;

impl Peer for Gone {
    fn presence(&self) -> Presence {
        Presence::Gone
    }
}

#[test]
fn keys_ends_without_its_client_but_for_what_belongs_to_a_transaction() {
    let server = Server::new();
    let mut client = server.client();
    let mut run = |name: &[&[u8]]| {
        let request = OwnedRequest::from_args(name.iter().copied());
        let mut batch = server.engine.keyspace.enter();
        batch.set_peer(&Gone);
        let command = Command::resolve(&server.engine, request.as_request());
        let outcome = dispatch(&server.engine, &mut client.session, &mut batch, &command, &mut client.reply);
        (outcome, std::mem::take(&mut client.reply).pending())
    };
    for n in 0..2_000 {
        run(&[b"SET", format!("key:{n}").as_bytes(), b"v"]);
    }
    assert_eq!(run(&[b"KEYS", b"*"]), (Outcome::Close, 0));
    for queued in [&[&b"MULTI"[..]][..], &[b"SET", b"a", b"1"], &[b"KEYS", b"a*"]] {
        assert_eq!(run(queued).0, Outcome::Continue);
    }
    assert_eq!(run(&[b"EXEC"]), (Outcome::Continue, "*2\r\n+OK\r\n*1\r\n$1\r\na\r\n".len()));
    // A message is wanted, whether its sender waits for the reply or not.
    assert_eq!(run(&[b"PUBLISH", b"channel", b"message"]), (Outcome::Continue, ":0\r\n".len()));
}

//! Family transactions.

use crate::harness::{Client, START_MS, Server};
use kvns::clock::Clock;
use kvns::command::context::Outcome;
use kvns::config::Settings;
use kvns::engine::Engine;
use std::cell::RefCell;
use std::sync::Arc;

const ABORT: &str = "-EXECABORT Transaction discarded because of previous errors.";

#[test]
fn a_queue_runs_in_order() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("MULTI", "+OK"),
        ("SET a 1", "+QUEUED"),
        ("INCR a", "+QUEUED"),
        ("MGET a b", "+QUEUED"),
        ("DBSIZE", "+QUEUED"),
        ("KEYS *", "+QUEUED"),
        ("DEL a", "+QUEUED"),
        ("EXEC", "*6\n+OK\n:2\n*2\n$1\n2\n$-1\n:1\n*1\n$1\na\n:1"),
        ("EXISTS a", ":0"),
        ("MULTI", "+OK"),
        ("EXEC", "*0"),
    ]);
}

thread_local! {
    /// Who writes `k` while the next long work runs.
    static OVERTAKER: RefCell<Option<Client>> = const { RefCell::new(None) };
}

fn overtaken(work: &mut dyn FnMut()) {
    work();
    if let Some(mut other) = OVERTAKER.take() {
        other.check("SET k 2", "+OK");
    }
}

#[test]
fn a_queue_that_runs_again_starts_from_the_session_as_it_was() {
    let clock = Clock::manual(START_MS);
    let engine = Engine::new(Settings::default(), clock.clone()).with_offload(overtaken);
    let server = Server { engine: Arc::new(engine), clock };
    let mut c = server.client();
    c.check_all(&[("SET k 1", "+OK"), ("HSET h f v", ":1")]);
    for _ in 0..50 {
        c.send(&[&[b"RPUSH".as_slice(), b"l"], &[b"x".as_slice(); 100][..]].concat());
    }
    OVERTAKER.set(Some(server.client()));
    c.check_all(&[
        ("MULTI", "+OK"),
        ("GET k", "+QUEUED"),
        ("HGETALL h", "+QUEUED"),
        ("CLIENT GETNAME", "+QUEUED"),
        ("HELLO 3", "+QUEUED"),
        ("CLIENT SETNAME late", "+QUEUED"),
        ("LRANGE l 0 -1", "+QUEUED"),
    ]);
    let reply = c.run("EXEC");
    let expected = "*6\n$1\n2\n*2\n$1\nf\n$1\nv\n$-1\n%";
    assert_eq!(&reply[..expected.len()], expected);
    assert_eq!(server.engine.keyspace.stats.transaction_retries.get(), 1);
    c.check("CLIENT GETNAME", "$4\nlate");
}

#[test]
fn nothing_is_seen_before_exec() {
    let server = Server::new();
    let (mut c, mut other) = (server.client(), server.client());
    c.check_all(&[("MULTI", "+OK"), ("SET a 1", "+QUEUED")]);
    other.check("GET a", "$-1");
    c.check("EXEC", "*1\n+OK");
    other.check("GET a", "$1\n1");
}

#[test]
fn misplaced_commands() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("EXEC", "-ERR EXEC without MULTI"),
        (
            "EXEC x",
            "-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command",
        ),
        ("DISCARD", "-ERR DISCARD without MULTI"),
        ("MULTI", "+OK"),
        ("MULTI", "-ERR MULTI calls can not be nested"),
        ("WATCH a", "-ERR WATCH inside MULTI is not allowed"),
        ("PING", "+QUEUED"),
        ("EXEC", "*1\n+PONG"),
        ("MULTI", "+OK"),
        ("SET a 1", "+QUEUED"),
        ("DISCARD", "+OK"),
        ("EXISTS a", ":0"),
    ]);
}

#[test]
fn refused_commands_doom_the_transaction() {
    let server = Server::new();
    let mut c = server.client();
    for (line, refusal) in [
        ("GET", "-ERR wrong number of arguments for 'get' command"),
        ("nosuch a b", "-ERR unknown command 'nosuch', with args beginning with: 'a' 'b' "),
        ("CLIENT FOO", "-ERR unknown subcommand 'FOO'. Try CLIENT HELP."),
        ("DISCARD x", "-ERR wrong number of arguments for 'discard' command"),
        ("WATCH", "-ERR wrong number of arguments for 'watch' command"),
    ] {
        c.check_all(&[("MULTI", "+OK"), ("SET a 1", "+QUEUED"), (line, refusal), ("EXEC", ABORT)]);
        c.check_all(&[("EXISTS a", ":0"), ("EXEC", "-ERR EXEC without MULTI")]);
    }
    c.check_all(&[
        ("MULTI", "+OK"),
        (
            "EXEC x",
            "-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command",
        ),
        ("EXEC", "-ERR EXEC without MULTI"),
    ]);
}

#[test]
fn failing_commands_are_elements() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("MULTI", "+OK"),
        ("SET a abc", "+QUEUED"),
        ("INCR a", "+QUEUED"),
        ("SET a b EX 0", "+QUEUED"),
        ("RENAME missing x", "+QUEUED"),
        ("SELECT 5", "+QUEUED"),
        ("STRLEN a", "+QUEUED"),
        (
            "EXEC",
            "*6\n+OK\n-ERR value is not an integer or out of range\n\
             -ERR invalid expire time in 'set' command\n-ERR no such key\n-ERR DB index is out of range\n:3",
        ),
    ]);
}

#[test]
fn session_commands_inside() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("MULTI", "+OK"),
        ("GET a", "+QUEUED"),
        ("HELLO 3", "+QUEUED"),
        ("GET a", "+QUEUED"),
        ("CLIENT SETNAME me", "+QUEUED"),
        ("UNWATCH", "+QUEUED"),
    ]);
    let reply = c.run("EXEC");
    assert!(reply.starts_with("*5\n$-1\n%7\n") && reply.ends_with("_\n+OK\n+OK"), "{reply}");
    c.check_all(&[("GET a", "_"), ("CLIENT GETNAME", "$2\nme")]);
    c.check_all(&[("MULTI", "+OK"), ("SET a 1", "+QUEUED"), ("RESET", "+RESET")]);
    c.check_all(&[("EXEC", "-ERR EXEC without MULTI"), ("GET a", "$-1")]);
    c.check("MULTI", "+OK");
    assert_eq!(c.dispatch(&[b"QUIT"]), (b"+OK\r\n".to_vec(), Outcome::Close));
}

/// Watches `key`, lets `change` happen, and tells whether the transaction still ran.
fn survives(server: &Server, key: &str, change: impl FnOnce(&mut Client)) -> bool {
    let (mut c, mut other) = (server.client(), server.client());
    c.check(&format!("WATCH {key}"), "+OK");
    change(&mut other);
    c.check_all(&[("MULTI", "+OK"), ("SET witness 1", "+QUEUED")]);
    match c.run("EXEC").as_str() {
        "*1\n+OK" => true,
        "*-1" => false,
        reply => panic!("unexpected reply {reply}"),
    }
}

#[test]
fn watched_keys_guard_the_transaction() {
    let server = Server::new();
    let mut setup = server.client();
    let changes: [(&str, bool); 18] = [
        ("SET a 1", false),
        ("SET a 0", false),
        ("APPEND a x", false),
        ("DEL a", false),
        ("EXPIRE a 100", false),
        ("RENAME a b", false),
        ("RENAME z a", false),
        ("GETEX a PERSIST", true),
        ("PERSIST a", true),
        ("FLUSHALL", false),
        ("FLUSHDB", false),
        ("GET a", true),
        ("TOUCH a", true),
        ("SETNX a 1", true),
        ("SET b 1", true),
        ("DEL b", true),
        ("SETRANGE a 0 \"\"", true),
        ("SET a 5 XX", false),
    ];
    for (change, expected) in changes {
        setup.check("MSET a 0 z 9", "+OK");
        let survived = survives(&server, "a", |other| {
            other.run(change);
        });
        assert_eq!(survived, expected, "{change}");
    }
}

#[test]
fn a_missing_key_can_be_watched() {
    let server = Server::new();
    assert!(survives(&server, "a", |_| {}));
    assert!(survives(&server, "a", |other| other.check("DEL a", ":0")));
    assert!(survives(&server, "a", |other| other.check("FLUSHALL", "+OK")));
    assert!(!survives(&server, "a", |other| other.check("SET a 1", "+OK")));
    server.client().check("DEL a", ":1");
    assert!(!survives(&server, "a", |other| other.check_all(&[("SET a 1", "+OK"), ("DEL a", ":1")])));
}

#[test]
fn delete_and_recreate_is_a_change() {
    let server = Server::new();
    server.client().check("SET a 1", "+OK");
    assert!(!survives(&server, "a", |other| other.check_all(&[("DEL a", ":1"), ("SET a 1", "+OK")])));
}

#[test]
fn expiry_is_a_change() {
    let server = Server::new();
    server.client().check("SET a 1 PX 10", "+OK");
    assert!(survives(&server, "a", |_| server.clock.advance(9)));
    assert!(!survives(&server, "a", |_| server.clock.advance(1)));
}

#[test]
fn watches_end_with_exec_discard_unwatch_and_reset() {
    let server = Server::new();
    let (mut c, mut other) = (server.client(), server.client());
    for end in ["UNWATCH", "DISCARD", "RESET", "EXEC"] {
        c.check("WATCH a a", "+OK");
        if end == "DISCARD" || end == "EXEC" {
            c.check("MULTI", "+OK");
        }
        c.run(end);
        other.check("SET a 1", "+OK");
        c.check_all(&[("MULTI", "+OK"), ("PING", "+QUEUED"), ("EXEC", "*1\n+PONG")]);
    }
    server.client3().check_all(&[("WATCH a", "+OK"), ("SET a 2", "+OK"), ("MULTI", "+OK"), ("EXEC", "_")]);
    // A client that goes away takes its watches along.
    server.client().check("WATCH b", "+OK");
}

#[test]
fn the_own_change_between_watch_and_multi_counts() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("WATCH a", "+OK"),
        ("SET a 1", "+OK"),
        ("MULTI", "+OK"),
        ("GET a", "+QUEUED"),
        ("EXEC", "*-1"),
    ]);
    c.check_all(&[("MULTI", "+OK"), ("GET a", "+QUEUED"), ("EXEC", "*1\n$1\n1")]);
}

#[test]
fn a_flush_inside_a_transaction() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("MSET a 1 b 2", "+OK"),
        ("WATCH a missing", "+OK"),
        ("MULTI", "+OK"),
        ("SET c 3", "+QUEUED"),
        ("HELLO 3", "+QUEUED"),
        ("FLUSHALL", "+QUEUED"),
        ("SET d 4", "+QUEUED"),
        ("DBSIZE", "+QUEUED"),
        ("GET a", "+QUEUED"),
    ]);
    let reply = c.run("EXEC");
    assert!(reply.starts_with("*6\n+OK\n%7\n") && reply.ends_with("+OK\n+OK\n:1\n_"), "{reply}");
    c.check_all(&[("KEYS *", "*1\n$1\nd"), ("GET d", "$1\n4")]);
}

#[test]
fn concurrent_transactions_lose_no_increment() {
    const CLIENTS: usize = 4;
    const ROUNDS: usize = 200;
    let server = Server::new();
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut c = server.client();
                for _ in 0..ROUNDS {
                    c.check_all(&[("MULTI", "+OK"), ("INCR ns/a", "+QUEUED"), ("INCR b", "+QUEUED")]);
                    let reply = c.run("EXEC");
                    let counts: Vec<&str> = reply.split('\n').collect();
                    assert_eq!(counts[0], "*2");
                    assert_eq!(counts[1], counts[2], "both counters change at one instant");
                }
            });
        }
        scope.spawn(|| {
            let mut c = server.client();
            for _ in 0..ROUNDS {
                let reply = c.run("MGET ns/a b");
                let counts: Vec<&str> = reply.split('\n').skip(1).collect();
                let (a, b) = counts.split_at(counts.len() / 2);
                assert_eq!(a, b, "no one sees between");
            }
        });
    });
    let total = (CLIENTS * ROUNDS).to_string();
    server.client().check("GET b", &format!("${}\n{total}", total.len()));
}

/// CLIENT REPLY OFF left no reply in the array, so that whatever followed was taken for its last element.
#[test]
fn turning_replies_off_leaves_no_hole_in_the_array() {
    let server = Server::new();
    for mode in ["OFF", "SKIP"] {
        let mut c = server.client();
        c.check_all(&[
            ("MULTI", "+OK"),
            ("SET a 1", "+QUEUED"),
            (&format!("CLIENT REPLY {mode}"), "+QUEUED"),
            ("GET a", "+QUEUED"),
            ("EXEC", "*3\n+OK\n+OK\n$1\n1"),
            ("PING", ""),
            ("PING", if mode == "OFF" { "" } else { "+PONG" }),
            ("CLIENT REPLY ON", "+OK"),
        ]);
    }
}

/// Large items are copied once for a reply, and what a transaction writes in between is seen all the same.
#[test]
fn large_items_are_answered_as_they_are_at_each_command() {
    let server = Server::new();
    let mut c = server.client();
    let item = |letter: char| letter.to_string().repeat(20_000);
    let bulk = |letter: char| format!("$20000\n{}", item(letter));
    c.run(&format!("RPUSH l {} {}", item('a'), item('b')));
    c.run(&format!("HSET h f {}", item('h')));
    c.check("HMGET h f f x f", &format!("*4\n{0}\n{0}\n$-1\n{0}", bulk('h')));
    let mut expected = String::from("*37");
    c.run("MULTI");
    for letter in "cdefghijklmn".chars() {
        c.run("LINDEX l 0");
        c.run(&format!("LSET l 0 {}", item(letter)));
        c.run("LRANGE l 0 -1");
        let before = if letter == 'c' { 'a' } else { (letter as u8 - 1) as char };
        expected += &format!("\n{}\n+OK\n*2\n{}\n{}", bulk(before), bulk(letter), bulk('b'));
    }
    c.run("HGET h f");
    c.check("EXEC", &format!("{expected}\n{}", bulk('h')));
}

thread_local! {
    /// Pieces of work that were run where they hold nobody up.
    static ASIDE: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

#[test]
fn a_long_queue_runs_and_is_freed_where_it_holds_nobody_up() {
    let clock = Clock::manual(START_MS);
    let engine = Engine::new(Settings::default(), clock.clone()).with_offload(|work| {
        ASIDE.set(ASIDE.get() + 1);
        work();
    });
    let server = Server { engine: Arc::new(engine), clock };
    let mut client = server.client();
    for (command, end, aside) in [
        ("INCR n", "EXEC", [(10, 0), (2_000, 1)]),
        ("LRANGE l 0 -1", "EXEC", [(10, 0), (100, 1)]),
        ("INCR n", "DISCARD", [(10, 0), (5_000, 1)]),
    ] {
        for (count, expected) in aside {
            client.check("MULTI", "+OK");
            (0..count).for_each(|_| client.check(command, "+QUEUED"));
            ASIDE.set(0);
            assert!(!client.run(end).starts_with('-'));
            assert_eq!(ASIDE.get(), expected, "{end} of {count} {command}");
        }
    }
    client.check("GET n", "$4\n2010");
}

#[test]
fn commands_about_commands_answer_the_same_again_in_each_protocol() {
    let server = Server::new();
    for command in [&[&b"COMMAND"[..]][..], &[b"COMMAND", b"DOCS"]] {
        let (two, three) = (server.client().send(command), server.client3().send(command));
        assert_ne!(two, three);
        assert!(server.client().send(command) == two && server.client3().send(command) == three);
    }
}

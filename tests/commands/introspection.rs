//! What clients and tools ask a server about itself: CLIENT's power over others, SLOWLOG, LATENCY, MONITOR, DEBUG, ROLE
//! and their kind.

use crate::harness::Server;
use kvns::command::context::Outcome;
use kvns::config::Settings;
use kvns::wait::Wait;

const SYNTAX: &str = "-ERR syntax error";

/// A server whose every command is a slow one.
fn watched_closely() -> Server {
    Server::with(Settings { slowlog_us: 0, ..Settings::default() })
}

#[test]
fn client_kill() {
    let server = Server::new();
    let (mut c, other, third) = (server.client(), server.client(), server.client());
    let other_id = other.session.client().id;
    c.check_all(&[
        ("CLIENT KILL", "-ERR wrong number of arguments for 'client|kill' command"),
        ("CLIENT KILL 1.2.3.4:5", "-ERR No such client"),
        ("CLIENT KILL ID x", "-ERR client-id should be greater than 0"),
        ("CLIENT KILL ID 0", "-ERR client-id should be greater than 0"),
        ("CLIENT KILL ID 99999", ":0"),
        ("CLIENT KILL TYPE foo", "-ERR Unknown client type 'foo'"),
        ("CLIENT KILL USER foo", "-ERR No such user 'foo'"),
        ("CLIENT KILL SKIPME maybe", SYNTAX),
        ("CLIENT KILL foo bar", SYNTAX),
        ("CLIENT KILL ID 1 foo", SYNTAX),
        ("CLIENT KILL TYPE pubsub", ":0"),
        ("CLIENT KILL MAXAGE 10", ":0"),
        ("CLIENT KILL LADDR 1.1.1.1:1", ":0"),
        (&format!("CLIENT KILL ID {other_id} ADDR 127.0.0.1:1"), ":0"),
        (&format!("CLIENT KILL ID {other_id} USER default"), ":1"),
        (&format!("CLIENT KILL ID {other_id}"), ":0"),
    ]);
    assert!(other.session.client().mailbox.is_ended() && !third.session.client().mailbox.is_ended());
    c.check("CLIENT KILL TYPE normal SKIPME yes", ":1");
    assert!(third.session.client().mailbox.is_ended());
    assert_eq!(
        c.dispatch(&[b"CLIENT", b"KILL", b"ADDR", b"127.0.0.1:50000", b"SKIPME", b"no"]),
        (b":1\r\n".to_vec(), Outcome::Close)
    );
    assert_eq!(c.dispatch(&[b"CLIENT", b"KILL", b"127.0.0.1:50000"]), (b"+OK\r\n".to_vec(), Outcome::Close));
}

#[test]
fn client_pause_holds_commands_back() {
    let server = Server::new();
    let (mut c, mut other) = (server.client(), server.client());
    c.check_all(&[
        ("CLIENT PAUSE x", "-ERR timeout is not an integer or out of range"),
        ("CLIENT PAUSE -1", "-ERR timeout is negative"),
        ("CLIENT PAUSE 10 foo", "-ERR CLIENT PAUSE mode must be WRITE or ALL"),
        (
            "CLIENT PAUSE 10 write foo",
            "-ERR unknown subcommand or wrong number of arguments for 'PAUSE'. Try CLIENT HELP.",
        ),
        ("CLIENT PAUSE 1000 WRITE", "+OK"),
        ("GET a", "$-1"),
    ]);
    let held = (Vec::new(), Outcome::Wait(Wait::Pause));
    assert_eq!(other.dispatch(&[b"SET", b"a", b"1"]), held);
    assert_eq!(other.dispatch(&[b"PUBLISH", b"a", b"1"]), held);
    other.check_all(&[("MULTI", "+OK"), ("GET a", "+QUEUED"), ("EXEC", "*1\n$-1")]);
    other.check_all(&[("MULTI", "+OK"), ("GET a", "+QUEUED"), ("SET a 1", "+QUEUED")]);
    assert_eq!(other.dispatch(&[b"EXEC"]), held);
    c.check("CLIENT UNPAUSE", "+OK");
    other.check("EXEC", "*2\n$-1\n+OK");
    c.check_all(&[("CLIENT PAUSE 1000", "+OK")]);
    assert_eq!(other.dispatch(&[b"PING"]), held);
    server.clock.advance(1_000);
    other.check("PING", "+PONG");
}

#[test]
fn a_pause_that_has_run_out_costs_pipelines_nothing() {
    let server = Server::new();
    let mut c = server.client();
    c.check("CLIENT PAUSE 1000 WRITE", "+OK");
    assert_eq!(c.run_together(&["RPUSH l a", "RPUSH l b"]), (0, Vec::new()));
    server.clock.advance(1_000);
    assert_eq!(c.run_together(&["RPUSH l a", "RPUSH l b"]).0, 2);
    assert!(!server.engine.pause.is_set());
}

#[test]
fn nothing_is_removed_by_itself_while_writes_are_paused() {
    let server = Server::new();
    let (mut c, mut watcher) = (server.client(), server.client());
    c.check_all(&[
        ("CONFIG SET ns-eviction e:ear", "+OK"),
        ("SET k v PX 100", "+OK"),
        ("HSET h f v", ":1"),
        ("PEXPIRE h 100", ":1"),
        ("MSET e/read 1 stays 2", "+OK"),
        ("CLIENT PAUSE 1000 WRITE", "+OK"),
        ("GET e/read", "$1\n1"),
    ]);
    server.clock.advance(100);
    watcher.check("WATCH k", "+OK");
    for _ in 0..2 {
        c.check_all(&[
            ("GET k", "$-1"),
            ("MGET k stays", "*2\n$-1\n$1\n2"),
            ("HGETALL h", "*0"),
            ("TTL k", ":-2"),
            ("TYPE h", "+none"),
            ("EXISTS k h stays", ":1"),
            ("KEYS *", "*2\n$6\ne/read\n$5\nstays"),
            ("SCAN 0", "*2\n$1\n0\n*2\n$6\ne/read\n$5\nstays"),
            ("DBSIZE", ":4"),
            ("MULTI", "+OK"),
            ("GET k", "+QUEUED"),
            ("DBSIZE", "+QUEUED"),
            ("EXEC", "*2\n$-1\n:4"),
        ]);
        while server.engine.keyspace.housekeep() {}
    }
    let stats = &server.engine.keyspace.stats;
    assert_eq!((stats.expired.get(), stats.ear_evicted.get()), (0, 0));
    server.clock.advance(900);
    while server.engine.keyspace.housekeep() {}
    assert_eq!((stats.expired.get(), stats.ear_evicted.get()), (2, 1));
    c.check("DBSIZE", ":1");
    // That an expired key goes is no change of it.
    watcher.check_all(&[("MULTI", "+OK"), ("SET k 1", "+QUEUED"), ("EXEC", "*1\n+OK")]);
}

#[test]
fn what_a_client_asks_for_itself() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("CLIENT NO-TOUCH maybe", SYNTAX),
        ("CLIENT NO-TOUCH on", "+OK"),
        ("CLIENT GETREDIR", ":-1"),
        ("CLIENT TRACKINGINFO", "*6\n$5\nflags\n*1\n$3\noff\n$8\nredirect\n:-1\n$8\nprefixes\n*0"),
        ("CLIENT UNBLOCK 99", ":0"),
        ("CLIENT UNBLOCK x", "-ERR value is not an integer or out of range"),
        ("CLIENT UNBLOCK 1 foo", "-ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR"),
        ("CLIENT UNBLOCK 1 error", ":0"),
        ("MULTI", "+OK"),
        ("PING", "+QUEUED"),
    ]);
    let (mut watcher, id) = (server.client(), c.session.client().id);
    let line = watcher.run(&format!("CLIENT LIST ID {id}"));
    assert!(
        line.contains(" flags=xT db=0 sub=0 psub=0 ssub=0 multi=1 watch=0 qbuf=0 qbuf-free=0 multi-mem="),
        "{line}"
    );
    assert!(!line.contains("multi-mem=0 ") && line.contains(" obl=0 oll=0 omem=0 tot-mem="), "{line}");
    c.check("DISCARD", "+OK");
    assert!(watcher.run(&format!("CLIENT LIST ID {id}")).contains(" multi-mem=0 "));
}

#[test]
fn a_client_may_leave_the_access_clocks_alone() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[("SET a 1", "+OK"), ("SET b 1", "+OK")]);
    server.clock.advance(5_000);
    c.check_all(&[
        ("CLIENT NO-TOUCH ON", "+OK"),
        ("GET a", "$1\n1"),
        ("APPEND a 2", ":2"),
        ("SET new 1", "+OK"),
        ("OBJECT IDLETIME a", ":5"),
        ("OBJECT IDLETIME new", ":0"),
        ("TOUCH a", ":1"),
        ("OBJECT IDLETIME a", ":0"),
        ("CLIENT NO-TOUCH OFF", "+OK"),
        ("OBJECT IDLETIME b", ":5"),
        ("GET b", "$1\n1"),
        ("OBJECT IDLETIME b", ":0"),
    ]);
}

#[test]
fn monitor_shows_every_command() {
    let server = Server::new();
    let (mut monitor, mut c) = (server.client(), server.client());
    monitor.check("MONITOR", "+OK");
    c.check_all(&[
        ("MULTI", "+OK"),
        ("SET a \"b c\"", "+QUEUED"),
        ("PING", "+QUEUED"),
        ("EXEC", "*2\n+OK\n+PONG"),
        ("AUTH default secret", "+OK"),
        ("nosuch", "-ERR unknown command 'nosuch', with args beginning with: "),
        ("SLOWLOG LEN", ":0"),
        ("GET a b", "-ERR wrong number of arguments for 'get' command"),
    ]);
    c.send(&[b"ECHO", b"\x01\xff\n\""]);
    let shown = |command: &str| format!("+1700000000.000000 [0 127.0.0.1:50000] {command}");
    let commands = [
        r#""MULTI""#,
        r#""SET" "a" "b c""#,
        r#""PING""#,
        r#""EXEC""#,
        r#""AUTH" "(redacted)" "(redacted)""#,
        r#""ECHO" "\x01\xff\n\"""#,
    ];
    assert_eq!(monitor.mail(), commands.map(shown).join("\n"));
    monitor.check_all(&[
        ("GET a", "-ERR Replica can't interact with the keyspace"),
        ("PING", &format!("+PONG\n{}", shown(r#""PING""#))),
    ]);
    assert!(c.run("CLIENT LIST").contains(" flags=O "));
    assert!(c.run("INFO clients").contains("\nmonitor_clients:1\n"));
    assert!(monitor.mail().ends_with(r#""INFO" "clients""#));
    monitor.check_all(&[("RESET", "+RESET"), ("GET a", "$3\nb c")]);
    assert_eq!(monitor.mail(), "");
    c.check_all(&[("MULTI", "+OK"), ("MONITOR", "+QUEUED")]);
    c.check("EXEC", "*1\n-ERR MONITOR isn't allowed for DENY BLOCKING client");
}

#[test]
fn slowlog_keeps_the_newest() {
    let server = watched_closely();
    let mut c = server.client();
    let long = "x".repeat(200);
    let many: String = (0..40).map(|number| format!(" {number}")).collect();
    c.check_all(&[
        ("CLIENT SETNAME me", "+OK"),
        ("CONFIG SET slowlog-max-len 3", "+OK"),
        ("SLOWLOG RESET", "+OK"),
        (&format!("ECHO {long}"), &format!("$200\n{long}")),
        (&format!("DEL{many}"), ":0"),
    ]);
    let entries = c.run("SLOWLOG GET");
    let kept: String = (0..30).map(|number| format!("${}\n{number}\n", number.to_string().len())).collect();
    assert_eq!(
        entries,
        format!(
            "*3\n*6\n:4\n:1700000000\n:0\n*32\n$3\nDEL\n{kept}$23\n... (10 more arguments)\n$15\n127.0.0.1:50000\n$2\nme\n\
             *6\n:3\n:1700000000\n:0\n*2\n$4\nECHO\n$147\n{}... (72 more bytes)\n$15\n127.0.0.1:50000\n$2\nme\n\
             *6\n:2\n:1700000000\n:0\n*2\n$7\nSLOWLOG\n$5\nRESET\n$15\n127.0.0.1:50000\n$2\nme",
            &long[..128]
        )
    );
    assert!(c.run("SLOWLOG GET 1").starts_with("*1\n*6\n:5\n"));
    assert!(c.run("SLOWLOG GET -1").starts_with("*3\n"));
    c.check_all(&[
        ("SLOWLOG LEN", ":3"),
        ("SLOWLOG GET x", "-ERR count should be greater than or equal to -1"),
        ("SLOWLOG GET -2", "-ERR count should be greater than or equal to -1"),
        (
            "SLOWLOG GET 1 2",
            "-ERR unknown subcommand or wrong number of arguments for 'GET'. Try SLOWLOG HELP.",
        ),
        ("CONFIG SET slowlog-log-slower-than -1", "+OK"),
        ("SLOWLOG RESET", "+OK"),
        ("PING", "+PONG"),
        ("SLOWLOG LEN", ":0"),
        ("CONFIG SET slowlog-log-slower-than 1000", "+OK"),
        ("PING", "+PONG"),
        ("SLOWLOG LEN", ":0"),
    ]);
    assert!(c.run("SLOWLOG HELP").starts_with("*12\n+SLOWLOG"));
}

#[test]
fn commands_of_a_transaction_are_slow_one_by_one() {
    let server = watched_closely();
    let mut c = server.client();
    c.check_all(&[
        ("MULTI", "+OK"),
        ("SET a 1", "+QUEUED"),
        ("SLOWLOG RESET", "+QUEUED"),
        ("EXEC", "*2\n+OK\n+OK"),
    ]);
    let entries = c.run("SLOWLOG GET");
    assert!(
        entries.starts_with("*2\n") && entries.contains("RESET") && entries.contains("SET\n$1\na"),
        "{entries}"
    );
    assert!(!entries.contains("EXEC"), "{entries}");
}

#[test]
fn latency_without_spikes() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("LATENCY LATEST", "*0"),
        ("LATENCY HISTORY command", "*0"),
        ("LATENCY HISTORY foo", "*0"),
        ("LATENCY GRAPH foo", "-ERR No samples available for event 'foo'"),
        ("LATENCY GRAPH command", "-ERR No samples available for event 'command'"),
        ("LATENCY RESET", ":0"),
        ("LATENCY RESET command foo", ":0"),
        ("LATENCY HISTOGRAM nosuch", "*0"),
        ("SET a 1", "+OK"),
        ("LATENCY HISTOGRAM set", "*2\n$3\nset\n*4\n$5\ncalls\n:1\n$14\nhistogram_usec\n*2\n:1\n:1"),
    ]);
    assert!(c.run("LATENCY DOCTOR").contains("latency-monitor-threshold"));
    assert!(c.run("LATENCY HELP").contains("HISTOGRAM"));
    assert!(server.client3().run("LATENCY HISTOGRAM").starts_with("%"));
}

#[test]
fn latency_spikes() {
    let server = Server::new();
    let mut c = server.client();
    let log = &server.engine.stats.latency;
    for (unix_s, ms) in [(1_699_999_940, 50), (1_699_999_990, 100), (1_700_000_000, 75)] {
        log.add(kvns::stats::LatencyEvent::Command, unix_s, ms);
    }
    c.check_all(&[
        ("LATENCY LATEST", "*1\n*4\n$7\ncommand\n:1700000000\n:75\n:100"),
        ("LATENCY HISTORY COMMAND", "*3\n*2\n:1699999940\n:50\n*2\n:1699999990\n:100\n*2\n:1700000000\n:75"),
    ]);
    let graph = c.run("LATENCY GRAPH command");
    let drawing = format!(
        "command - high 100 ms, low 50 ms (all time high 100 ms)\n{}\n # \n | \n |#\n_||\n110\nm0s\n s \n",
        "-".repeat(80)
    );
    assert!(graph.ends_with(&drawing), "{graph}");
    let report = c.run("LATENCY DOCTOR");
    assert!(report.contains("1. command: 3 latency spikes (average 75ms, mean deviation 16ms)"), "{report}");
    c.check_all(&[("LATENCY RESET command", ":1"), ("LATENCY LATEST", "*0")]);
}

#[test]
fn slow_commands_are_latency_events() {
    let server = Server::new();
    let mut c = server.client();
    c.check("CONFIG SET latency-monitor-threshold 1", "+OK");
    let is_slow = |ms: u64| server.engine.is_slow(ms * 1000 * kvns::clock::TICKS_PER_US);
    assert!(is_slow(1) && !is_slow(0));
    c.check("CONFIG SET latency-monitor-threshold 0", "+OK");
    assert!(!is_slow(9) && is_slow(10), "the slow log's threshold is left");
    c.check("CONFIG SET slowlog-log-slower-than -1", "+OK");
    assert!(!is_slow(1_000_000));
}

#[test]
fn statistics_of_errors_and_durations_begin_again() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("SET a x", "+OK"),
        ("INCR a", "-ERR value is not an integer or out of range"),
        ("GET a b", "-ERR wrong number of arguments for 'get' command"),
        ("HELLO 9", "-NOPROTO unsupported protocol version"),
        ("GET a", "$1\nx"),
    ]);
    let info = c.run("INFO everything");
    for line in [
        "errorstat_ERR:count=2",
        "errorstat_NOPROTO:count=1",
        "cmdstat_get:calls=1,usec=0,usec_per_call=0.00,rejected_calls=1,failed_calls=0",
        "cmdstat_incr:calls=1,usec=0,usec_per_call=0.00,rejected_calls=0,failed_calls=1",
        "latency_percentiles_usec_set:p50=0.031,p99=0.031,p99.9=0.031",
        "namespace_default:keys=1,bytes=",
    ] {
        assert!(info.lines().any(|found| found.starts_with(line)), "{line} in {info}");
    }
    for section in ["Server", "Clients", "Memory", "Persistence", "Stats", "Replication", "CPU", "Modules"] {
        assert!(info.contains(&format!("# {section}\n")), "{section}");
    }
    c.check("CONFIG RESETSTAT", "+OK");
    let info = c.run("INFO all");
    assert!(!info.contains("errorstat_") && !info.contains("cmdstat_set:"), "{info}");
    assert!(info.contains("\nkeyspace_hits:0\n") && info.contains("\ntotal_error_replies:0\n"), "{info}");
}

#[test]
fn output_limits_have_classes() {
    let server = Server::new();
    let mut c = server.client();
    let failed = |reason| {
        format!(
            "-ERR CONFIG SET failed (possibly related to argument 'client-output-buffer-limit') - {reason}"
        )
    };
    c.check_all(&[
        (
            "CONFIG GET client-output-buffer-limit",
            "*2\n$26\nclient-output-buffer-limit\n$44\nnormal 0 0 0 slave 0 0 0 pubsub 33554432 0 0",
        ),
        ("CONFIG SET client-output-buffer-limit \"pubsub 1mb 0 0\"", "+OK"),
        ("CONFIG SET client-output-buffer-limit \"normal 1gb 1mb 60 replica 0 0 0\"", "+OK"),
        (
            "CONFIG SET client-output-buffer-limit \"replica 1mb 0 0\"",
            &failed("there are no replicas here, and no limits for them"),
        ),
        (
            "CONFIG SET client-output-buffer-limit \"pubsub 0 0 0\"",
            &failed("the class pubsub has a hard limit of 1kb or more"),
        ),
        (
            "CONFIG SET client-output-buffer-limit \"pubsub 1mb x 60\"",
            &failed("Error in hard, soft or soft_seconds setting in buffer limit configuration."),
        ),
        (
            "CONFIG GET client-output-buffer-limit",
            "*2\n$26\nclient-output-buffer-limit\n$59\nnormal 1073741824 1048576 60 slave 0 0 0 pubsub 1048576 0 0",
        ),
        (
            "CONFIG SET client-output-buffer-limit \"pubsub 1mb 0\"",
            &failed("Wrong number of arguments in buffer limit configuration."),
        ),
        (
            "CONFIG SET client-output-buffer-limit \"foo 1mb 0 0\"",
            &failed("Invalid client class specified in buffer limit configuration."),
        ),
        ("CONFIG GET *slow* latency-tracking*", "*8\n$23\nslowlog-log-slower-than\n$5\n10000\n$15\nslowlog-max-len\n$3\n128\n$16\nlatency-tracking\n$3\nyes\n$33\nlatency-tracking-info-percentiles\n$10\n50 99 99.9"),
    ]);
    assert_eq!(server.engine.settings.load().pubsub_limit, 1 << 20);
}

#[test]
fn debug() {
    let server = Server::new();
    let mut c = server.client();
    let zeros = format!("+{}", "0".repeat(40));
    c.check_all(&[
        ("DEBUG DIGEST", &zeros),
        ("SET a 1", "+OK"),
        ("DEBUG OBJECT nope", "-ERR no such key"),
        ("DEBUG STRINGMATCH-LEN 10 a*", ":1"),
        ("DEBUG STRINGMATCH-LEN 10 a", ":0"),
        ("DEBUG STRINGMATCH-LEN -1 a", "-ERR value is not an integer or out of range"),
        ("DEBUG SET-ACTIVE-EXPIRE 1", "+OK"),
        ("DEBUG CHANGE-REPL-ID", "+OK"),
        ("DEBUG RELOAD", "+OK"),
        ("DEBUG LISTPACK a", "+OK"),
        ("DEBUG LISTPACK nope", "-ERR no such key"),
        ("DEBUG QUICKLIST-PACKED-THRESHOLD 100b", "+OK"),
        ("DEBUG ERROR \"MINE it is\"", "-MINE it is"),
        ("DEBUG JMAP", "-ERR unknown subcommand or wrong number of arguments for 'JMAP'. Try DEBUG HELP."),
        ("DEBUG", "-ERR wrong number of arguments for 'debug' command"),
    ]);
    assert!(c.run("DEBUG OBJECT a").contains(" refcount:1 encoding:int serializedlength:"));
    assert!(c.run("DEBUG HELP").contains("STRINGMATCH-LEN"));
    let digest = c.run("DEBUG DIGEST");
    c.check("SET b 1", "+OK");
    assert_ne!(c.run("DEBUG DIGEST"), digest);
    c.check("DEL b", ":1");
    c.check("DEBUG DIGEST", &digest);
    // Two values are one if their elements are, whatever made them.
    for (one, other, changed) in [
        ("RPUSH l x y", "LPUSH m y x", "LSET m 0 z"),
        ("HSET h f 1 g 2", "HSET i g 2 f 1", "HSET i g 3"),
        ("SADD s x y", "SADD t y x", "SADD t z"),
        ("ZADD z 1 x 2 y", "ZADD zz 2 y 1 x", "ZADD zz 3 x"),
    ] {
        let name = |command: &str| command.split(' ').nth(1).expect("a key").to_owned();
        let pair = format!("DEBUG DIGEST-VALUE {} {}", name(one), name(other));
        c.run(one);
        c.run(other);
        let same = c.run(&pair);
        let lines: Vec<&str> = same.lines().collect();
        assert!(lines[1] == lines[2] && lines[1] != zeros, "{one}: {same}");
        c.run(changed);
        let differs = c.run(&pair);
        let lines: Vec<&str> = differs.lines().collect();
        assert!(lines[1] != lines[2], "{changed}: {differs}");
    }
    let values = c.run("DEBUG DIGEST-VALUE a a nope");
    let lines: Vec<&str> = values.lines().collect();
    assert!(lines[1] == lines[2] && lines[1] != zeros && lines[3] == zeros, "{values}");
    assert_eq!(c.dispatch(&[b"DEBUG", b"SLEEP", b"0.5"]), (b"+OK\r\n".to_vec(), Outcome::Sleep(500_000)));
    assert_eq!(c.dispatch(&[b"DEBUG", b"SLEEP", b"x"]).1, Outcome::Sleep(0));
}

#[test]
fn debug_is_refused_to_other_machines() {
    let remote = std::net::SocketAddr::from(([10, 0, 0, 1], 1234));
    for (is_allowed, reply) in [(false, "-ERR DEBUG command not allowed"), (true, "+OK")] {
        let server = Server::with(Settings { debug_commands: is_allowed, ..Settings::default() });
        let mut c = server.client();
        c.session = kvns::session::Session::new(&server.engine, remote, remote);
        assert!(c.run("DEBUG RELOAD").starts_with(reply));
    }
}

#[test]
fn role_wait_lolwut_xadd() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("ROLE", "*3\n$6\nmaster\n:0\n*0"),
        ("WAIT 0 0", ":0"),
        ("WAIT 5 100000", ":0"),
        ("WAIT x 0", "-ERR value is not an integer or out of range"),
        ("WAIT 1 x", "-ERR timeout is not an integer or out of range"),
        ("WAIT 1 -1", "-ERR timeout is negative"),
        ("XADD s * f v", "-ERR stream type not supported"),
        ("XADD s *", "-ERR wrong number of arguments for 'xadd' command"),
        ("EXISTS s", ":0"),
    ]);
    let art = c.run("LOLWUT VERSION 5 1 2");
    assert!(art.starts_with('$') && art.contains("\nkvns ver. ") && art.contains("* *"), "{art}");
    assert!(server.client3().run("LOLWUT").starts_with('='));
}

#[test]
fn shutdown() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("SHUTDOWN ABORT", "-ERR No shutdown in progress."),
        ("SHUTDOWN foo", SYNTAX),
        ("SHUTDOWN SAVE NOSAVE", SYNTAX),
        ("SHUTDOWN ABORT NOW", SYNTAX),
        ("MULTI", "+OK"),
        ("SHUTDOWN", "-ERR Command not allowed inside a transaction"),
        ("EXEC", "-EXECABORT Transaction discarded because of previous errors."),
    ]);
    assert_eq!(c.dispatch(&[b"SHUTDOWN", b"NOSAVE", b"NOW", b"FORCE"]), (Vec::new(), Outcome::Shutdown));
}

#[test]
fn docs_have_the_grammar_of_arguments() {
    let server = Server::new();
    let mut c = server.client();
    let docs = c.run("COMMAND DOCS set");
    for part in [
        "$9\narguments\n*5\n*8\n$4\nname\n$3\nkey\n$4\ntype\n$3\nkey\n$12\ndisplay_text\n$3\nkey\n$14\nkey_spec_index\n:0\n",
        "$4\ntype\n$5\noneof\n$5\nflags\n*1\n+optional\n$9\narguments\n*2\n",
        "$5\ntoken\n$2\nEX\n",
        "$4\ntype\n$10\npure-token\n$5\ntoken\n$7\nKEEPTTL",
    ] {
        assert!(docs.contains(part), "{part} in {docs}");
    }
    assert!(
        c.run("COMMAND DOCS ping").contains("arguments")
            && !c.run("COMMAND DOCS dbsize").contains("arguments")
    );
}

#[test]
fn long_work_waits_for_room() {
    let server = Server::with(Settings { workers: 1, ..Settings::default() });
    let mut c = server.client();
    c.check("SET a 1", "+OK");
    let reply = server.engine.run_long_if_free(|| {
        let before = server.engine.long_work.has_room(c.session.client());
        (before, c.dispatch(&[b"NAMESPACE", b"LIST"]))
    });
    assert_eq!(reply, Ok((false, (Vec::new(), Outcome::Wait(Wait::LongWork)))));
    assert!(server.engine.long_work.has_room(c.session.client()));
    c.check("NAMESPACE LIST", "*1\n$7\ndefault");
}

/// The command is over when its client goes on. Nothing sleeps here: the connection does.
#[test]
fn debug_sleep_is_slow() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("CONFIG SET slowlog-log-slower-than 50000000 latency-monitor-threshold 50000", "+OK"),
        ("DEBUG SLEEP 1", "+OK"),
        ("SLOWLOG LEN", ":0"),
        ("DEBUG SLEEP 60", "+OK"),
        ("SLOWLOG LEN", ":1"),
        ("MULTI", "+OK"),
        ("DEBUG SLEEP 70", "+QUEUED"),
        ("EXEC", "*1\n+OK"),
        ("SLOWLOG LEN", ":2"),
    ]);
    let newest = c.run("SLOWLOG GET 2");
    for seconds in ["70", "60"] {
        assert!(newest.contains(&format!("\n$5\nDEBUG\n$5\nSLEEP\n$2\n{seconds}\n")), "{newest}");
    }
    let latest = c.run("LATENCY LATEST");
    assert!(latest.contains("\n$7\ncommand\n") && latest.contains("\n:70000"), "{latest}");
}

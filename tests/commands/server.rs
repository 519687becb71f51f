//! Family server: DBSIZE, FLUSHALL, TIME, COMMAND, INFO, CONFIG, MEMORY.

use crate::harness::Server;

const SYNTAX: &str = "-ERR syntax error";

#[test]
fn dbsize_flush_time() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("MSET a 1 ns/b 2", "+OK"),
        ("DBSIZE", ":2"),
        ("FLUSHDB foo", SYNTAX),
        ("FLUSHALL ASYNC SYNC", SYNTAX),
        ("FLUSHALL", "+OK"),
        ("DBSIZE", ":0"),
        ("SET a 1", "+OK"),
        ("FLUSHDB async", "+OK"),
        ("SET a 1", "+OK"),
        ("FLUSHDB SYNC", "+OK"),
        ("GET a", "$-1"),
        ("TIME", "*2\n$10\n1700000000\n$1\n0"),
    ]);
    server.clock.advance(1);
    c.check("TIME", "*2\n$10\n1700000000\n$4\n1000");
}

#[test]
fn command_info() {
    let server = Server::new();
    server.client().check(
        "COMMAND INFO get nosuch",
        "*2\n*10\n$3\nget\n:2\n*2\n+readonly\n+fast\n:1\n:1\n:1\n*3\n+@read\n+@string\n+@fast\n*0\n*1\n\
         *6\n$5\nflags\n*2\n+RO\n+access\n$12\nbegin_search\n*4\n$4\ntype\n$5\nindex\n$4\nspec\n*2\n$5\nindex\n:1\n\
         $9\nfind_keys\n*4\n$4\ntype\n$5\nrange\n$4\nspec\n*6\n$7\nlastkey\n:0\n$7\nkeystep\n:1\n$5\nlimit\n:0\n*0\n\
         $-1",
    );
    server.client3().check(
        "COMMAND INFO client|id",
        "*1\n*10\n$9\nclient|id\n:2\n~3\n+noscript\n+loading\n+stale\n:0\n:0\n:0\n~2\n+@slow\n+@connection\n~0\n~0\n~0",
    );
}

#[test]
fn command_docs_and_lists() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        (
            "COMMAND DOCS get nosuch",
            "*2\n$3\nget\n*10\n$7\nsummary\n$28\nReturns the string at a key.\n$5\nsince\n$5\n1.0.0\n\
             $5\ngroup\n$6\nstring\n$10\ncomplexity\n$4\nO(1)\n$9\narguments\n*1\n*8\n$4\nname\n$3\nkey\n\
             $4\ntype\n$3\nkey\n$12\ndisplay_text\n$3\nkey\n$14\nkey_spec_index\n:0",
        ),
        ("COMMAND DOCS nosuch", "*0"),
        ("COMMAND LIST FILTERBY MODULE json", "*0"),
        ("COMMAND LIST FILTERBY PATTERN SETN*", "*1\n$5\nsetnx"),
        (
            "COMMAND LIST FILTERBY ACLCAT transaction",
            "*5\n$5\nmulti\n$4\nexec\n$7\ndiscard\n$5\nwatch\n$7\nunwatch",
        ),
        ("COMMAND LIST FILTERBY ACLCAT foo", "*0"),
        ("COMMAND LIST FILTERBY foo bar", SYNTAX),
        ("COMMAND LIST foo", SYNTAX),
        ("COMMAND COUNT x", "-ERR wrong number of arguments for 'command|count' command"),
        ("COMMAND FOO", "-ERR unknown subcommand 'FOO'. Try COMMAND HELP."),
    ]);
    let count = c.run("COMMAND COUNT")[1..].to_owned();
    assert!(c.run("COMMAND").starts_with(&format!("*{count}\n*10\n")));
    assert!(c.run("COMMAND INFO").starts_with(&format!("*{count}\n*10\n")));
    assert!(server.client3().run("COMMAND DOCS").starts_with(&format!("%{count}\n")));
}

#[test]
fn command_getkeys() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("COMMAND GETKEYS mset a b c d", "*2\n$1\na\n$1\nc"),
        ("COMMAND GETKEYS mset a b c", "*2\n$1\na\n$1\nc"),
        ("COMMAND GETKEYS object encoding a", "*1\n$1\na"),
        ("COMMAND GETKEYS get a b", "-ERR Invalid number of arguments specified for command"),
        ("COMMAND GETKEYS zunionstore d 5 a b", "-ERR Invalid arguments specified for command"),
        ("COMMAND GETKEYS zunionstore d -1 a", "-ERR Invalid arguments specified for command"),
        ("COMMAND GETKEYS zunionstore d abc a", "-ERR Invalid arguments specified for command"),
        ("COMMAND GETKEYS zunionstore d 4294967297 a b", "*2\n$1\nd\n$1\na"),
        ("COMMAND GETKEYS zunionstore d 1x a b", "*2\n$1\na\n$1\nd"),
        ("COMMAND GETKEYSANDFLAGS zunionstore d 0 a", "-ERR Invalid arguments specified for command"),
        ("COMMAND GETKEYSANDFLAGS zunion 1x a", "*1\n*2\n$1\na\n*0"),
        ("COMMAND GETKEYS nosuch a", "-ERR Invalid command specified"),
        ("COMMAND GETKEYS ping a", "-ERR The command has no key arguments"),
        ("COMMAND GETKEYS ping a b", "-ERR The command has no key arguments"),
        ("COMMAND GETKEYS get", "-ERR wrong number of arguments for 'command|getkeys' command"),
        ("COMMAND GETKEYSANDFLAGS set a b", "*1\n*2\n$1\na\n*2\n+OW\n+update"),
        ("COMMAND GETKEYSANDFLAGS set a b GET", "*1\n*2\n$1\na\n*3\n+RW\n+access\n+update"),
        (
            "COMMAND GETKEYSANDFLAGS rename a b",
            "*2\n*2\n$1\na\n*3\n+RW\n+access\n+delete\n*2\n$1\nb\n*2\n+OW\n+update",
        ),
    ]);
}

#[test]
fn config_get() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("CONFIG GET save", "*2\n$4\nsave\n$0\n"),
        ("CONFIG GET appendonly", "*2\n$10\nappendonly\n$2\nno"),
        ("CONFIG GET DATABASES", "*2\n$9\nDATABASES\n$1\n1"),
        (
            "CONFIG GET maxmemory* timeout timeout",
            "*8\n$9\nmaxmemory\n$10\n1073741824\n$17\nmaxmemory-clients\n$3\n10%\n\
          $16\nmaxmemory-policy\n$10\nnoeviction\n$7\ntimeout\n$1\n0",
        ),
        ("CONFIG GET nosuch", "*0"),
        ("CONFIG GET", "-ERR wrong number of arguments for 'config|get' command"),
        ("CONFIG FOO", "-ERR unknown subcommand 'FOO'. Try CONFIG HELP."),
        (
            "CONFIG REWRITE",
            "-ERR The server is running without a config file: settings come from the environment",
        ),
    ]);
    server.client3().check("CONFIG GET proto-max-bulk-len", "%1\n$18\nproto-max-bulk-len\n$8\n16777216");
}

#[test]
fn config_set_changes_all_or_nothing() {
    let server = Server::new();
    let mut c = server.client();
    let failed =
        |name, reason| format!("-ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}");
    c.check_all(&[
        ("CONFIG SET maxclients 500 timeout 30", "+OK"),
        ("CONFIG GET maxclients timeout", "*4\n$10\nmaxclients\n$3\n500\n$7\ntimeout\n$2\n30"),
        ("CONFIG SET proto-max-bulk-len 32mb", "+OK"),
        ("CONFIG GET proto-max-bulk-len", "*2\n$18\nproto-max-bulk-len\n$8\n33554432"),
        ("CONFIG SET foo bar", "-ERR Unknown option or number of arguments for CONFIG SET - 'foo'"),
        ("CONFIG SET databases 60", &failed("databases", "can't set immutable config")),
        ("CONFIG SET databases 5", &failed("databases", "can't set immutable config")),
        (
            "CONFIG SET maxclients 600 timeout abc",
            &failed("timeout", "argument couldn't be parsed into an integer"),
        ),
        ("CONFIG SET maxclients 600 MAXCLIENTS 50", &failed("MAXCLIENTS", "duplicate parameter")),
        (
            "CONFIG SET maxclients 0",
            &failed("maxclients", "argument must be between 1 and 4294967295 inclusive"),
        ),
        // The bounds of the variables.
        (
            "CONFIG SET max-resp-args 1048577",
            &failed("max-resp-args", "argument must be between 1 and 1048576 inclusive"),
        ),
        (
            "CONFIG SET proto-max-bulk-len 1023",
            &failed("proto-max-bulk-len", "argument must be between 1024 and 536870912 inclusive"),
        ),
        ("CONFIG SET max-resp-inline-len 128kb", "+OK"),
        ("CONFIG SET timeout 10 maxclients", SYNTAX),
        ("CONFIG SET timeout", "-ERR wrong number of arguments for 'config|set' command"),
        ("CONFIG GET maxclients", "*2\n$10\nmaxclients\n$3\n500"),
    ]);
}

#[test]
fn info_has_what_clients_look_for() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[("INFO keyspace", "$12\n# Keyspace\n"), ("INFO nosuch", "$0\n")]);
    c.check_all(&[("SET a 1", "+OK"), ("SET b 1 EX 10", "+OK"), ("GET a", "$1\n1"), ("GET missing", "$-1")]);
    server.client3().check("INFO KEYSPACE", "=48\ntxt:# Keyspace\ndb0:keys=2,expires=1,avg_ttl=0\n");
    let info = c.run("INFO");
    for line in [
        "redis_version:7.2.0",
        "redis_mode:standalone",
        "tcp_port:6480",
        "connected_clients:1",
        "maxclients:10000",
        "maxmemory:1073741824",
        "keyspace_hits:1",
        "keyspace_misses:1",
        "expired_keys:0",
        "evicted_keys:0",
        "cluster_enabled:0",
        "role:master",
        "loading:0",
    ] {
        assert!(info.lines().any(|found| found == line), "{line} in {info}");
    }
    assert!(!info.contains("# Commandstats"));
    let all = c.run("INFO everything");
    assert!(
        all.contains("\ncmdstat_set:calls=2,usec=0,usec_per_call=0.00,rejected_calls=0,failed_calls=0\n"),
        "{all}"
    );
    assert!(c.run("INFO server clients").contains("\n\n# Clients\n"));
}

#[test]
fn statistics_count_commands_and_errors() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("SET a abc", "+OK"),
        ("INCR a", "-ERR value is not an integer or out of range"),
        ("nosuch", "-ERR unknown command 'nosuch', with args beginning with: "),
        ("MULTI", "+OK"),
        ("INCR a", "+QUEUED"),
        ("GET a", "+QUEUED"),
        ("EXEC", "*2\n-ERR value is not an integer or out of range\n$3\nabc"),
    ]);
    let info = c.run("INFO stats commandstats");
    for line in [
        "total_commands_processed:6",
        "total_error_replies:3",
        "total_connections_received:1",
        "cmdstat_incr:calls=2,usec=0,usec_per_call=0.00,rejected_calls=0,failed_calls=2",
        "cmdstat_get:calls=1,usec=0,usec_per_call=0.00,rejected_calls=0,failed_calls=0",
    ] {
        assert!(info.lines().any(|found| found == line), "{line} in {info}");
    }
}

#[test]
fn expired_keys_are_counted() {
    let server = Server::new();
    let mut c = server.client();
    c.check("SET a 1 PX 5", "+OK");
    server.clock.advance(5);
    c.check("GET a", "$-1");
    assert!(c.run("INFO stats").lines().any(|line| line == "expired_keys:1"));
}

#[test]
fn memory() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("MEMORY USAGE a", "$-1"),
        ("SET a 1", "+OK"),
        ("MEMORY USAGE a SAMPLES", SYNTAX),
        ("MEMORY USAGE a SAMPLES -1", SYNTAX),
        ("MEMORY USAGE a SAMPLES x", "-ERR value is not an integer or out of range"),
        ("MEMORY USAGE a FOO 1", SYNTAX),
        ("MEMORY FOO", "-ERR unknown subcommand 'FOO'. Try MEMORY HELP."),
    ]);
    let small: u64 = c.run("MEMORY USAGE a SAMPLES 0")[1..].parse().expect("a number");
    c.check(&format!("SET a {}", "x".repeat(1000)), "+OK");
    let large: u64 = c.run("MEMORY USAGE a")[1..].parse().expect("a number");
    assert!(small < 200 && (small + 900..small + 1300).contains(&large), "{small} {large}");
    assert!(c.run("MEMORY STATS").contains("$10\nkeys.count\n:1\n"));
    assert!(c.run("MEMORY DOCTOR").starts_with('$'));
    assert!(c.run("MEMORY HELP").starts_with("*9\n+MEMORY <subcommand>"));
}

//! Every row of the command table: what Redis says of the command, and what running it does.

use kvns::command::table::{Row, find_full};
use kvns::resp::OwnedRequest;
use std::collections::BTreeSet;

#[allow(dead_code, reason = "the harness serves the command tests too")]
#[path = "commands/harness.rs"]
mod harness;

use harness::Server;

/// One call of every command that may run. The keys `a` and `n` hold strings, `n` an integer, and `t` expires; `h`
/// is a hash of `f`, 1, and `g`, x; `l` holds a list and `s` a set of `x` and `y`; `z` is a sorted set of `x`, 1, and `y`, 2; `w` is missing. A row without an
/// example fails the test below.
const EXAMPLES: &[&str] = &[
    "append a x",
    "auth default x",
    "bgsave",
    "client getname",
    "client getredir",
    "client help",
    "client id",
    "client info",
    "client kill type pubsub",
    "client list",
    "client no-evict on",
    "client no-touch on",
    "client pause 0",
    "client reply on",
    "client setinfo lib-name x",
    "client setname x",
    "client trackinginfo",
    "client unblock 1",
    "client unpause",
    "command",
    "command count",
    "command docs get",
    "command getkeys get a",
    "command getkeysandflags get a",
    "command help",
    "command info get",
    "command list",
    "config get *",
    "config help",
    "config resetstat",
    "config rewrite",
    "config set timeout 1",
    "copy a w",
    "dbsize",
    "debug object a",
    "decr n",
    "decrby n 2",
    "del a",
    "discard",
    "echo x",
    "exec",
    "exists a w",
    "expire a 10",
    "expireat a 4000000000",
    "expiretime a",
    "flushall",
    "flushdb",
    "get a",
    "getdel a",
    "getex a ex 10",
    "getrange a 0 1",
    "getset a x",
    "hdel h f",
    "hello",
    "hexists h f",
    "hget h f",
    "hgetall h",
    "hincrby h f 2",
    "hincrbyfloat h f 2",
    "hkeys h",
    "hlen h",
    "hmget h f x",
    "hmset h f 2",
    "hrandfield h 2",
    "hscan h 0",
    "hset h f 2",
    "hsetnx h x 2",
    "hstrlen h f",
    "hvals h",
    "incr n",
    "incrby n 2",
    "incrbyfloat n 2",
    "info",
    "keys *",
    "lastsave",
    "latency doctor",
    "latency graph command",
    "latency help",
    "latency histogram",
    "latency history command",
    "latency latest",
    "latency reset",
    "lcs a n",
    "lindex l 0",
    "linsert l before x w",
    "llen l",
    "lmove l w left right",
    "lmpop 1 l left",
    "lolwut",
    "lpop l",
    "lpos l x",
    "lpush l x",
    "lpushx l x",
    "lrange l 0 -1",
    "lrem l 0 x",
    "lset l 0 w",
    "ltrim l 0 0",
    "memory doctor",
    "memory help",
    "memory stats",
    "memory usage a",
    "namespace flush default",
    "namespace help",
    "namespace list",
    "namespace set x policy lru",
    "namespace stats x",
    "mget a w",
    "monitor",
    "mset a 1 w 2",
    "msetnx w 1",
    "multi",
    "object encoding a",
    "object freq a",
    "object help",
    "object idletime a",
    "object refcount a",
    "persist t",
    "pexpire a 10000",
    "pexpireat a 4000000000000",
    "pexpiretime a",
    "ping",
    "psetex a 10000 x",
    "psubscribe x",
    "pttl t",
    "publish x y",
    "pubsub channels",
    "pubsub help",
    "pubsub numpat",
    "pubsub numsub x",
    "pubsub shardchannels",
    "pubsub shardnumsub x",
    "punsubscribe",
    "quit",
    "randomkey",
    "rename a w",
    "renamenx a w",
    "reset",
    "role",
    "rpop l",
    "rpoplpush l w",
    "rpush w x",
    "rpushx l x",
    "sadd s z",
    "save",
    "scan 0",
    "scard s",
    "sdiff s w",
    "sdiffstore w s",
    "select 0",
    "set a x",
    "setex a 10 x",
    "setnx w x",
    "setrange a 1 x",
    "shutdown",
    "sinter s w",
    "sintercard 1 s",
    "sinterstore w s",
    "sismember s x",
    "slowlog get",
    "slowlog help",
    "slowlog len",
    "slowlog reset",
    "smembers s",
    "smismember s x z",
    "smove s w x",
    "sort l alpha store w",
    "sort_ro l alpha",
    "spop s",
    "spublish x y",
    "srandmember s",
    "srem s x",
    "sscan s 0",
    "ssubscribe x",
    "strlen a",
    "subscribe x",
    "substr a 0 1",
    "sunion s w",
    "sunionstore w s",
    "sunsubscribe",
    "time",
    "touch a",
    "ttl t",
    "type a",
    "unlink a",
    "unsubscribe",
    "unwatch",
    "wait 0 0",
    "watch a",
    "xadd a * f v",
    "zadd w 1 x",
    "zcard z",
    "zcount z 1 2",
    "zdiff 2 z s",
    "zdiffstore w 1 z",
    "zincrby z 1 x",
    "zinter 2 z s",
    "zintercard 2 z s",
    "zinterstore w 2 z s",
    "zlexcount z - +",
    "zmpop 2 w z min",
    "zmscore z x w",
    "zpopmax z",
    "zpopmin z 1",
    "zrandmember z 2",
    "zrange z 0 -1",
    "zrangebylex z - +",
    "zrangebyscore z 1 2",
    "zrangestore w z 0 -1",
    "zrank z x",
    "zrem z x",
    "zremrangebylex z - +",
    "zremrangebyrank z 0 0",
    "zremrangebyscore z 1 2",
    "zrevrange z 0 -1",
    "zrevrangebylex z + -",
    "zrevrangebyscore z 2 1",
    "zrevrank z x",
    "zscan z 0",
    "zscore z x",
    "zunion 2 z s",
    "zunionstore w 2 z s",
];

/// The rows in the order of their numbers.
fn rows() -> impl Iterator<Item = Row> {
    (0..).map_while(Row::of_number)
}

fn row_of(line: &str) -> Row {
    let words: Vec<&str> = line.split(' ').collect();
    let full = words.get(1).map(|subcommand| format!("{}|{subcommand}", words[0]));
    let subcommand = full.and_then(|full| find_full(full.as_bytes()));
    subcommand.or_else(|| find_full(words[0].as_bytes())).expect("a command of the table")
}

#[test]
fn every_row_has_an_example() {
    let shown: BTreeSet<&str> = EXAMPLES.iter().map(|line| row_of(line).spec().name).collect();
    // A container without its subcommand does not run.
    let containers = |name: &str| {
        ["client", "config", "latency", "memory", "namespace", "object", "pubsub", "slowlog"].contains(&name)
    };
    let missing: Vec<&str> =
        rows().map(|row| row.spec().name).filter(|name| !shown.contains(name) && !containers(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn rows_say_what_redis_says() {
    let mut compared = 0;
    for line in include_str!("command_table.txt").lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(' ').next().unwrap_or_default();
        let spec = find_full(name.as_bytes()).unwrap_or_else(|| panic!("{name} is gone")).spec();
        let listed = |words: &mut dyn Iterator<Item = &'static str>| {
            let words: BTreeSet<&str> = words.collect();
            if words.is_empty() { "-".to_owned() } else { words.into_iter().collect::<Vec<_>>().join(",") }
        };
        let (first, last, step) = spec.key_range();
        let ours = format!(
            "{name} {} {first} {last} {step} {} {}",
            spec.arity.code(),
            listed(&mut spec.flags.names()),
            listed(&mut spec.categories())
        );
        assert_eq!(ours, line);
        compared += 1;
    }
    // CLIENT SETINFO and CLIENT NO-TOUCH came with Redis 7.2; NAMESPACE and its subcommands are kvns's own.
    let own = rows().filter(|row| row.spec().name.starts_with("namespace")).count();
    assert_eq!(compared, rows().count() - 2 - own, "the list is in step with the table");
}

#[test]
fn arity_is_enforced() {
    let server = Server::new();
    let mut c = server.client();
    for row in rows() {
        let (spec, code) = (row.spec(), row.spec().arity.code());
        let mut args: Vec<&[u8]> = spec.name.split('|').map(str::as_bytes).collect();
        let wrong_len = if code < 0 { code.unsigned_abs() - 1 } else { code.unsigned_abs() + 1 } as usize;
        if wrong_len < args.len() {
            continue;
        }
        args.resize(wrong_len, b"x");
        let reply = String::from_utf8(c.send(&args)).expect("a reply of text");
        let is_subcommand = !spec.subcommands.is_empty() && wrong_len > 1;
        let refusal = format!("wrong number of arguments for '{}' command\r\n", spec.name);
        assert!(is_subcommand || reply.ends_with(&refusal), "{args:?}: {reply}");
    }
}

#[test]
fn only_commands_that_write_change_what_is_watched() {
    for line in EXAMPLES {
        let server = Server::new();
        let (mut watcher, mut c) = (server.client(), server.client());
        c.check_all(&[("MSET a abc n 1", "+OK"), ("SET t x EX 100", "+OK")]);
        c.check_all(&[("HSET h f 1 g x", ":2"), ("RPUSH l x y", ":2"), ("SADD s x y", ":2")]);
        c.check("ZADD z 1 x 2 y", ":2");
        watcher.check("WATCH a n t h l s w z", "+OK");
        let reply = c.run(line);
        watcher.check_all(&[("MULTI", "+OK"), ("PING", "+QUEUED")]);
        let is_unchanged = watcher.run("EXEC") == "*1\n+PONG";
        // XADD is a command that writes, to streams that are not there.
        let writes =
            row_of(line).spec().flags.names().any(|flag| flag == "write") && !line.starts_with("xadd");
        assert_eq!(is_unchanged, !writes, "{line}: {reply}");
    }
}

#[test]
fn keys_are_found_and_have_a_purpose() {
    for line in EXAMPLES {
        let spec = row_of(line).spec();
        let request = OwnedRequest::from_args(line.split(' ').map(str::as_bytes));
        let request = request.as_request();
        let keys: Vec<&[u8]> = spec.key_positions(request).filter_map(|(at, _)| request.get(at)).collect();
        let is_known = |key: &&[u8]| matches!(*key, b"a" | b"n" | b"t" | b"h" | b"l" | b"s" | b"w" | b"z");
        assert!(keys.iter().all(is_known), "{line}: {keys:?}");
        assert_eq!(keys.is_empty(), spec.key_specs().next().is_none(), "{line}");
        assert!(spec.keys.iter().all(|keys| !keys.access.is_empty()), "{line}");
    }
}

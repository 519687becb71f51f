//! Random commands over one connection against the sequential model.
//!
//! `KVNS_MODEL_COMMANDS` sets how many, `KVNS_TEST_SEED` repeats a run.

mod support;

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use std::collections::BTreeSet;
use support::model::{Model, all_in_order, in_order};
use support::resp::printable_command;
use support::seed::{self, now_ms};
use support::{Client, Command, Server, Value, cmd};

const COMMANDS: u64 = 200_000;
/// Commands sent at once; also how often the names of all keys are compared.
const BURST: usize = 200;
/// Deadlines lie this far away, so that no key expires while its burst runs.
const FAR_MS: u64 = 1_000_000_000;

struct Planner {
    rng: StdRng,
    /// A whole second of Unix time, as deadlines in seconds need it.
    start_s: u64,
}

impl Planner {
    fn key(&mut self) -> Vec<u8> {
        let local = self.rng.random_range(0..12);
        match self.rng.random_range(0..4) {
            0 => format!("ns/{local}").into_bytes(),
            1 => format!("other/ns/{local}").into_bytes(),
            2 => vec![local, 0xff, b'\n'],
            _ => format!("{local}").into_bytes(),
        }
    }

    /// A key that mostly holds a list.
    fn list_key(&mut self) -> Vec<u8> {
        let names: [&[u8]; 4] = [b"l", b"ns/l", b"other/ns/l", b"l\xff"];
        if self.rng.random_bool(0.05) {
            self.key()
        } else {
            names.choose(&mut self.rng).expect("a name").to_vec()
        }
    }

    /// An element: mostly one of a few, so that lists hold it more than once.
    fn element(&mut self) -> Vec<u8> {
        if self.rng.random_bool(0.1) { self.value() } else { vec![b'e', self.rng.random_range(b'0'..b'6')] }
    }

    fn end(&mut self) -> &'static str {
        if self.rng.random_bool(0.5) { "LEFT" } else { "RIGHT" }
    }

    fn push(&mut self) -> Command {
        let name =
            ["LPUSH", "RPUSH", "LPUSH", "RPUSH", "LPUSHX", "RPUSHX"].choose(&mut self.rng).expect("a name");
        let mut command = cmd![*name, self.list_key()];
        let count = if self.rng.random_bool(0.1) { 300 } else { 3 };
        for _ in 0..self.rng.random_range(1..=count) {
            command.push(self.element());
        }
        command
    }

    fn lpos(&mut self) -> Command {
        let mut command = cmd!["LPOS", self.list_key(), self.element()];
        if self.rng.random_bool(0.5) {
            let rank = [1, 2, 5, -1, -2, -7].choose(&mut self.rng).expect("a rank").to_string();
            command.extend(cmd!["RANK", rank]);
        }
        for option in ["COUNT", "MAXLEN"] {
            if self.rng.random_bool(0.5) {
                command.extend(cmd![option, self.rng.random_range(0..20).to_string()]);
            }
        }
        command
    }

    fn of_lists(&mut self) -> Command {
        let (key, other) = (self.list_key(), self.list_key());
        match self.rng.random_range(0..22) {
            0..6 => self.push(),
            6 => cmd!["LPOP", key],
            7 => cmd!["RPOP", key],
            8 => cmd!["LPOP", key, self.rng.random_range(0..40).to_string()],
            9 => cmd!["RPOP", key, self.rng.random_range(0..40).to_string()],
            10 => cmd!["LLEN", key],
            11 => cmd!["LRANGE", key, self.integer(), self.integer()],
            12 => cmd!["LINDEX", key, self.integer()],
            13 => cmd!["LSET", key, self.integer(), self.element()],
            14 => cmd!["LREM", key, self.rng.random_range(-20..20).to_string(), self.element()],
            15 if self.rng.random_bool(0.3) => cmd!["LTRIM", key, self.integer(), self.integer()],
            15 => cmd!["LTRIM", key, "2", "-3"],
            16 => cmd!["LINSERT", key, "BEFORE", self.element(), self.element()],
            17 => cmd!["LINSERT", key, "AFTER", self.element(), self.element()],
            18 => self.lpos(),
            19 => cmd!["LMOVE", key, other, self.end(), self.end()],
            20 => cmd!["RPOPLPUSH", key, other],
            _ => cmd!["LMPOP", "2", key, other, self.end(), "COUNT", self.rng.random_range(1..9).to_string()],
        }
    }

    /// A key that mostly holds a set.
    fn set_key(&mut self) -> Vec<u8> {
        let names: [&[u8]; 4] = [b"s", b"ns/s", b"other/ns/s", b"s\xff"];
        if self.rng.random_bool(0.05) {
            self.key()
        } else {
            names.choose(&mut self.rng).expect("a name").to_vec()
        }
    }

    /// A member: mostly one of a few, so that sets have some in common.
    fn member(&mut self) -> Vec<u8> {
        match self.rng.random_range(0..10) {
            0 => self.value(),
            1..4 => self.rng.random_range(0..10).to_string().into_bytes(),
            _ => self.rng.random_range(0..400).to_string().into_bytes(),
        }
    }

    /// SADD or SREM, of many members at times.
    fn edit_set(&mut self, name: &str) -> Command {
        let mut command = cmd![name, self.set_key()];
        let count = if self.rng.random_bool(0.1) { 300 } else { 3 };
        for _ in 0..self.rng.random_range(1..=count) {
            command.push(self.member());
        }
        command
    }

    fn of_sets(&mut self) -> Command {
        let (key, other, third) = (self.set_key(), self.set_key(), self.set_key());
        match self.rng.random_range(0..24) {
            0..5 => self.edit_set("SADD"),
            5..8 => self.edit_set("SREM"),
            8 => cmd!["SMEMBERS", key],
            9 => cmd!["SCARD", key],
            10 => cmd!["SISMEMBER", key, self.member()],
            11 => cmd!["SMISMEMBER", key, self.member(), self.member(), self.member()],
            12 => cmd!["SPOP", key, "0"],
            13 if self.rng.random_bool(0.3) => cmd!["SPOP", key, "100000"],
            13 | 14 => cmd!["SRANDMEMBER", key, "100000"],
            15 => cmd!["SUNION", key, other],
            16 => cmd!["SINTER", key, other, third],
            17 => cmd!["SDIFF", key, other, third],
            18 if self.rng.random_bool(0.3) => cmd!["SUNIONSTORE", key, other, third],
            19 if self.rng.random_bool(0.3) => cmd!["SINTERSTORE", key, other, third],
            20 if self.rng.random_bool(0.3) => cmd!["SDIFFSTORE", key, other, third],
            21 => cmd!["SINTERCARD", "2", key, other],
            22 => cmd!["SINTERCARD", "2", key, other, "LIMIT", self.rng.random_range(0..9).to_string()],
            _ => cmd!["SMOVE", key, other, self.member()],
        }
    }

    /// A key that mostly holds a hash.
    fn hash_key(&mut self) -> Vec<u8> {
        let names: [&[u8]; 4] = [b"h", b"ns/h", b"other/ns/h", b"h\xff"];
        if self.rng.random_bool(0.05) {
            self.key()
        } else {
            names.choose(&mut self.rng).expect("a name").to_vec()
        }
    }

    /// HSET, HMSET or HDEL, of many fields at times.
    fn edit_hash(&mut self, name: &str) -> Command {
        let mut command = cmd![name, self.hash_key()];
        let count = if self.rng.random_bool(0.1) { 300 } else { 3 };
        for _ in 0..self.rng.random_range(1..=count) {
            command.push(self.member());
            if name != "HDEL" {
                command.push(if self.rng.random_bool(0.02) { self.value() } else { self.member() });
            }
        }
        command
    }

    fn of_hashes(&mut self) -> Command {
        let (key, field) = (self.hash_key(), self.member());
        match self.rng.random_range(0..24) {
            0..6 => self.edit_hash("HSET"),
            6 => self.edit_hash("HMSET"),
            7..10 => self.edit_hash("HDEL"),
            10 => cmd!["HSETNX", key, field, self.member()],
            11 => cmd!["HGET", key, field],
            12 | 13 => cmd!["HMGET", key, field, self.member(), self.member()],
            14 => cmd!["HEXISTS", key, field],
            15 => cmd!["HSTRLEN", key, field],
            16 => cmd!["HLEN", key],
            17 => cmd!["HGETALL", key],
            18 => cmd!["HKEYS", key],
            19 => cmd!["HVALS", key],
            20 => cmd!["HRANDFIELD", key, "100000", "WITHVALUES"],
            _ => cmd!["HINCRBY", key, field, self.integer()],
        }
    }

    /// A key that mostly holds a sorted set.
    fn sorted_set_key(&mut self) -> Vec<u8> {
        let names: [&[u8]; 4] = [b"z", b"ns/z", b"other/ns/z", b"z\xff"];
        if self.rng.random_bool(0.05) {
            self.key()
        } else {
            names.choose(&mut self.rng).expect("a name").to_vec()
        }
    }

    /// A score: often one of a few, so that members tie.
    fn score(&mut self) -> String {
        match self.rng.random_range(0..20) {
            0 => "inf".to_owned(),
            1 => "-inf".to_owned(),
            2..8 => self.rng.random_range(0..4).to_string(),
            _ => self.rng.random_range(-200..200).to_string(),
        }
    }

    fn score_bound(&mut self) -> String {
        let open = if self.rng.random_bool(0.3) { "(" } else { "" };
        format!("{open}{}", self.score())
    }

    /// ZADD of many members at times.
    fn zadd(&mut self) -> Command {
        let mut command = cmd!["ZADD", self.sorted_set_key()];
        let options = [&["NX"][..], &["XX"], &["GT", "CH"], &["LT", "XX"], &["CH"], &[], &[], &[], &[]];
        command.extend(
            options.choose(&mut self.rng).expect("options").iter().map(|word| word.as_bytes().to_vec()),
        );
        let count = if self.rng.random_bool(0.1) { 300 } else { 3 };
        for _ in 0..self.rng.random_range(1..=count) {
            command.extend(cmd![self.score(), self.member()]);
        }
        command
    }

    fn zrem(&mut self) -> Command {
        let mut command = cmd!["ZREM", self.sorted_set_key()];
        let count = if self.rng.random_bool(0.1) { 300 } else { 3 };
        for _ in 0..self.rng.random_range(1..=count) {
            command.push(self.member());
        }
        command
    }

    /// ZUNION and its kind.
    fn combine_scores(&mut self, name: &str) -> Command {
        let mut command =
            if name.ends_with("STORE") { cmd![name, self.sorted_set_key()] } else { cmd![name] };
        let plain = if self.rng.random_bool(0.2) { self.set_key() } else { self.sorted_set_key() };
        command.extend(cmd!["2", self.sorted_set_key(), plain]);
        if self.rng.random_bool(0.3) && !name.starts_with("ZDIFF") {
            // Only a stored zero has no sign.
            let weights = if name.ends_with("STORE") { ["0", "1", "-1", "2"] } else { ["1", "2", "3", "7"] };
            let mut weight = || *weights.choose(&mut self.rng).expect("a weight");
            command.extend(cmd!["WEIGHTS", weight(), weight()]);
            let aggregate = ["SUM", "MIN", "MAX"].choose(&mut self.rng).expect("an aggregate");
            command.extend(cmd!["AGGREGATE", *aggregate]);
        }
        if !name.ends_with("STORE") {
            command.push(b"WITHSCORES".to_vec());
        }
        command
    }

    fn of_sorted_sets(&mut self) -> Command {
        let (key, other, member) = (self.sorted_set_key(), self.sorted_set_key(), self.member());
        let (low, high) = (self.score_bound(), self.score_bound());
        match self.rng.random_range(0..34) {
            0..7 => self.zadd(),
            7 | 8 => self.zrem(),
            9 => cmd!["ZINCRBY", key, self.score(), member],
            10 => cmd!["ZCARD", key],
            11 => cmd!["ZSCORE", key, member],
            12 => cmd!["ZMSCORE", key, member, self.member(), self.member()],
            13 | 14 => cmd!["ZRANK", key, member],
            15 => cmd!["ZREVRANK", key, member],
            16 | 17 => cmd!["ZRANGE", key, self.integer(), self.integer(), "WITHSCORES"],
            18 => cmd!["ZRANGE", key, "0", "-1"],
            19 => cmd!["ZREVRANGE", key, self.integer(), self.integer(), "WITHSCORES"],
            20 => cmd!["ZREVRANGE", key, "0", "-1", "WITHSCORES"],
            21 => cmd!["ZRANGEBYSCORE", key, low, high, "WITHSCORES"],
            22 => {
                cmd!["ZRANGEBYSCORE", key, low, "+inf", "LIMIT", self.rng.random_range(0..9).to_string(), "7"]
            }
            23 => cmd![
                "ZREVRANGEBYSCORE",
                key,
                high,
                low,
                "LIMIT",
                self.rng.random_range(0..9).to_string(),
                "40"
            ],
            24 => cmd!["ZCOUNT", key, low, high],
            25 => cmd!["ZREMRANGEBYSCORE", key, low, low],
            26 if self.rng.random_bool(0.3) => cmd!["ZREMRANGEBYRANK", key, self.integer(), self.integer()],
            26 | 27 => cmd!["ZPOPMIN", key, self.rng.random_range(0..40).to_string()],
            28 => cmd!["ZPOPMAX", key, self.rng.random_range(0..40).to_string()],
            29 => cmd!["ZPOPMIN", key],
            30 => {
                let name = *["ZUNION", "ZINTER", "ZDIFF"].choose(&mut self.rng).expect("a name");
                self.combine_scores(name)
            }
            31 if self.rng.random_bool(0.5) => {
                let names = ["ZUNIONSTORE", "ZINTERSTORE", "ZDIFFSTORE"];
                let name = *names.choose(&mut self.rng).expect("a name");
                self.combine_scores(name)
            }
            32 if self.rng.random_bool(0.5) => cmd!["ZRANGESTORE", key, other, "5", "-5"],
            _ => cmd!["ZPOPMAX", key],
        }
    }

    fn of_sort(&mut self) -> Command {
        let key = |planner: &mut Planner| match planner.rng.random_range(0..3) {
            0 => planner.list_key(),
            1 => planner.set_key(),
            _ => planner.sorted_set_key(),
        };
        let mut command = cmd!["SORT", key(self), "ALPHA"];
        for (chance, words) in
            [(0.5, cmd!["DESC"]), (0.3, cmd!["GET", "#", "GET", "*"]), (0.2, cmd!["GET", "h*->1"])]
        {
            if self.rng.random_bool(chance) {
                command.extend(words);
            }
        }
        if self.rng.random_bool(0.2) {
            command.extend(cmd!["STORE", self.list_key()]);
        }
        command
    }

    fn value(&mut self) -> Vec<u8> {
        match self.rng.random_range(0..6) {
            0 => Vec::new(),
            1 => self.rng.random::<i64>().to_string().into_bytes(),
            2 => (0..self.rng.random_range(0..200)).map(|_| self.rng.random()).collect(),
            3 => vec![b'x'; self.rng.random_range(0..100_000)],
            _ => self.rng.random_range(-100..100).to_string().into_bytes(),
        }
    }

    fn integer(&mut self) -> String {
        self.rng.random_range(-70..70).to_string()
    }

    /// A deadline in Unix milliseconds: one in six lies in the past.
    fn deadline(&mut self) -> u64 {
        let apart = self.rng.random_range(FAR_MS..2 * FAR_MS);
        if self.rng.random_bool(0.16) { self.start_s * 1000 - apart } else { self.start_s * 1000 + apart }
    }

    fn set(&mut self) -> Command {
        let mut command = cmd!["SET", self.key(), self.value()];
        if self.rng.random_bool(0.4) {
            command.push([&b"NX"[..], b"XX", b"GET"].choose(&mut self.rng).expect("an option").to_vec());
        }
        match self.rng.random_range(0..6) {
            0 => command.extend(cmd!["PXAT", self.deadline().to_string()]),
            1 => command.extend(cmd!["EXAT", (self.deadline() / 1000).to_string()]),
            2 => command.push(b"KEEPTTL".to_vec()),
            _ => {}
        }
        command
    }

    fn expire(&mut self) -> Command {
        let (key, deadline) = (self.key(), self.deadline());
        let mut command = if self.rng.random_bool(0.5) {
            cmd!["PEXPIREAT", key, deadline.to_string()]
        } else {
            cmd!["EXPIREAT", key, (deadline / 1000).to_string()]
        };
        if self.rng.random_bool(0.5) {
            command
                .push([&b"NX"[..], b"XX", b"GT", b"LT"].choose(&mut self.rng).expect("a condition").to_vec());
        }
        command
    }

    fn of_strings(&mut self) -> Command {
        let key = self.key();
        match self.rng.random_range(0..15) {
            0 | 1 => cmd!["GET", key],
            2 => cmd!["SETNX", key, self.value()],
            3 => cmd!["GETSET", key, self.value()],
            4 => cmd!["GETDEL", key],
            5 => cmd!["GETEX", key, "PXAT", self.deadline().to_string()],
            6 => cmd!["GETEX", key, "PERSIST"],
            7 => cmd!["APPEND", key, self.value()],
            8 => cmd!["STRLEN", key],
            9 => cmd!["INCR", key],
            10 => cmd!["DECR", key],
            11 => cmd!["INCRBY", key, self.rng.random::<i64>().to_string()],
            12 => cmd!["DECRBY", key, self.integer()],
            13 => cmd!["SETRANGE", key, self.rng.random_range(0..300).to_string(), self.value()],
            _ => cmd!["GETRANGE", key, self.integer(), self.integer()],
        }
    }

    fn of_keys(&mut self) -> Command {
        let (a, b) = match self.rng.random_range(0..12) {
            0 | 1 => (self.list_key(), self.list_key()),
            2 | 3 => (self.set_key(), self.set_key()),
            4 | 5 => (self.hash_key(), self.hash_key()),
            6 | 7 => (self.sorted_set_key(), self.sorted_set_key()),
            _ => (self.key(), self.key()),
        };
        match self.rng.random_range(0..18) {
            0 => cmd!["MGET", a, b],
            1 => cmd!["MSET", a, self.value(), b, self.value()],
            2 => cmd!["MSETNX", a, self.value(), b, self.value()],
            3 => cmd!["DEL", a, b],
            4 => cmd!["UNLINK", a],
            5 => cmd!["EXISTS", a, b, a],
            6 => cmd!["TOUCH", a, b],
            7 => cmd!["RENAME", a, b],
            8 => cmd!["RENAMENX", a, b],
            9 => cmd!["COPY", a, b],
            10 => cmd!["COPY", a, b, "REPLACE"],
            11 => cmd!["TYPE", a],
            12 => cmd!["PERSIST", a],
            13 => cmd!["EXPIRETIME", a],
            14 => cmd!["PEXPIRETIME", a],
            15 | 16 => self.expire(),
            _ if self.rng.random_bool(0.05) => cmd!["FLUSHALL"],
            _ => cmd!["GET", a],
        }
    }

    fn command(&mut self) -> Command {
        match self.rng.random_range(0..31) {
            26..31 => self.of_sorted_sets(),
            0..2 => self.set(),
            2..6 => self.of_strings(),
            6..11 => self.of_lists(),
            11..16 => self.of_sets(),
            16..21 => self.of_hashes(),
            21 => self.of_sort(),
            _ => self.of_keys(),
        }
    }
}

/// The model of one connection: commands are queued between MULTI and EXEC.
struct Session {
    model: Model,
    queue: Option<Vec<Command>>,
}

impl Session {
    fn run(&mut self, command: &Command, now_ms: u64) -> Value {
        match command[0].as_slice() {
            b"MULTI" => {
                self.queue = Some(Vec::new());
                Value::ok()
            }
            b"EXEC" => self.model.exec(0, &self.queue.take().unwrap_or_default(), now_ms),
            b"DISCARD" => {
                self.queue = None;
                self.model.unwatch(0)
            }
            b"WATCH" => self.model.watch(0, &command[1..], now_ms),
            _ => match &mut self.queue {
                Some(queue) => {
                    queue.push(command.clone());
                    Value::simple("QUEUED")
                }
                None => self.model.apply(command, now_ms),
            },
        }
    }
}

/// False for what a watcher of a missing key sees otherwise than with redis-server: the departures "Flush and
/// watch" and "Stillborn keys" of `tests/compat/departures.rs`.
fn is_plain_for_a_watcher(command: &Command) -> bool {
    let sets_deadline = command[0] == b"SET" && command.iter().any(|word| word == b"EXAT" || word == b"PXAT");
    command[0] != b"FLUSHALL" && !sets_deadline
}

/// A burst of commands, some of them in transactions; every transaction ends within it.
fn plan_burst(planner: &mut Planner) -> Vec<Command> {
    let mut burst = Vec::new();
    while burst.len() < BURST {
        if planner.rng.random_bool(0.05) {
            if planner.rng.random_bool(0.5) {
                burst.push(cmd!["WATCH", planner.key(), planner.key()]);
                burst.extend(Some(planner.command()).filter(is_plain_for_a_watcher));
            }
            burst.push(cmd!["MULTI"]);
            for _ in 0..planner.rng.random_range(0..6) {
                burst.push(planner.command());
            }
            burst.push(if planner.rng.random_bool(0.8) { cmd!["EXEC"] } else { cmd!["DISCARD"] });
        } else {
            burst.push(planner.command());
        }
    }
    burst
}

/// Every key SCAN shows on a whole walk.
fn scan_all(client: &mut Client) -> BTreeSet<Vec<u8>> {
    let (mut names, mut cursor) = (BTreeSet::new(), b"0".to_vec());
    loop {
        let reply = client.command(&cmd!["SCAN", cursor, "COUNT", "7"]);
        names.extend(reply.elements()[1].elements().iter().map(|name| name.bytes().to_vec()));
        cursor = reply.elements()[0].bytes().to_vec();
        if cursor == b"0" {
            return names;
        }
    }
}

#[test]
fn random_commands_follow_the_model() {
    let seed = seed::seed();
    let commands = seed::setting("KVNS_MODEL_COMMANDS").unwrap_or(COMMANDS);
    let server = Server::start();
    let mut client = server.client();
    let mut planner = Planner { rng: seed::generator(seed, 0), start_s: now_ms() / 1000 };
    let mut session = Session { model: Model::default(), queue: None };
    for burst_number in 0..commands / BURST as u64 {
        let burst = plan_burst(&mut planner);
        let now = now_ms();
        for (index, (command, reply)) in burst.iter().zip(client.pipeline(&burst)).enumerate() {
            let reply = match (command[0].as_slice(), &session.queue) {
                (b"EXEC", Some(queue)) => all_in_order(queue, reply),
                _ => in_order(command, reply),
            };
            let expected = session.run(command, now);
            assert_eq!(
                reply,
                expected,
                "seed {seed}, command {index} of burst {burst_number}: {}",
                printable_command(command)
            );
        }
        let expected = session.model.keys(now);
        assert_eq!(scan_all(&mut client), expected, "SCAN, seed {seed}, burst {burst_number}");
        let names = client.run("KEYS *");
        let names: BTreeSet<Vec<u8>> = names.elements().iter().map(|name| name.bytes().to_vec()).collect();
        assert_eq!(names, expected, "KEYS, seed {seed}, burst {burst_number}");
        let size = client.run("DBSIZE").integer();
        assert_eq!(size, expected.len() as i64, "DBSIZE, seed {seed}, burst {burst_number}");
    }
}

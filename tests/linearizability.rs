//! Concurrent histories of real connections, checked against the sequential model.
//!
//! Every round lets four clients run six operations each on a few keys at the same time, step by step or
//! pipelined. Keys are fresh in every round, so creation and deletion race too.
//! `KVNS_LINEARIZABILITY_ROUNDS` sets the rounds of each group.

mod support;

use rand::Rng;
use rand::rngs::StdRng;
use std::collections::BTreeSet;
use std::sync::Barrier;
use std::time::Instant;
use support::checker::{self, Event, History, Sequential};
use support::model::{Model, all_in_order, in_order};
use support::resp::{self, printable_command};
use support::{Client, Command, Server, Value, cmd, seed};

const CLIENTS: usize = 4;
const OPERATIONS: usize = 6;
const ROUNDS: u64 = 2000;
/// The model's time: no key of these histories has a deadline.
const NOW: u64 = 1;

#[derive(Clone, PartialEq, Eq)]
/// What a client asks for.
pub enum Operation {
    /// One command outside a transaction.
    Plain(Command),
    /// WATCH of these keys.
    Watch(Vec<Vec<u8>>),
    /// MULTI, these commands, EXEC: one operation, for nothing happens before EXEC.
    Exec(Vec<Command>),
}

impl std::fmt::Debug for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Operation::Plain(command) => f.write_str(&printable_command(command)),
            Operation::Watch(keys) => write!(f, "WATCH {}", printable_command(keys)),
            Operation::Exec(commands) => {
                let lines: Vec<String> = commands.iter().map(|command| printable_command(command)).collect();
                write!(f, "EXEC {{ {} }}", lines.join("; "))
            }
        }
    }
}

impl Sequential for Model {
    type Operation = Operation;
    type Outcome = Value;

    fn apply(&mut self, client: usize, operation: &Operation) -> Value {
        match operation {
            Operation::Plain(command) => Model::apply(self, command, NOW),
            Operation::Watch(keys) => self.watch(client, keys, NOW),
            Operation::Exec(commands) => self.exec(client, commands, NOW),
        }
    }
}

impl Operation {
    /// The commands that go over the wire.
    fn commands(&self) -> Vec<Command> {
        match self {
            Operation::Plain(command) => vec![command.clone()],
            Operation::Watch(keys) => vec![[&cmd!["WATCH"][..], keys].concat()],
            Operation::Exec(queued) => {
                let mut commands = vec![cmd!["MULTI"]];
                commands.extend(queued.iter().cloned());
                commands.push(cmd!["EXEC"]);
                commands
            }
        }
    }

    /// The keys it touches; none means all of them.
    fn keys(&self) -> Vec<Vec<u8>> {
        let of = |command: &Command| match command[0].as_slice() {
            b"FLUSHALL" => Vec::new(),
            b"MSET" | b"MSETNX" => command[1..].iter().step_by(2).cloned().collect(),
            b"MGET" | b"DEL" | b"EXISTS" | b"SUNION" | b"SINTER" | b"SDIFF" => command[1..].to_vec(),
            b"SUNIONSTORE" | b"SINTERSTORE" | b"SDIFFSTORE" => command[1..].to_vec(),
            b"RENAME" | b"RENAMENX" | b"COPY" | b"LMOVE" | b"RPOPLPUSH" | b"SMOVE" => command[1..3].to_vec(),
            b"LMPOP" => command[2..4].to_vec(),
            b"ZUNIONSTORE" => [&command[1..2], &command[3..5]].concat(),
            b"ZUNION" => command[2..4].to_vec(),
            b"ZRANGESTORE" => command[1..3].to_vec(),
            // Which keys it reads depends on what it finds.
            b"SORT" => Vec::new(),
            _ => vec![command[1].clone()],
        };
        match self {
            Operation::Plain(command) => of(command),
            Operation::Watch(keys) => keys.clone(),
            Operation::Exec(commands) if commands.iter().all(|command| !of(command).is_empty()) => {
                commands.iter().flat_map(of).collect()
            }
            Operation::Exec(_) => Vec::new(),
        }
    }

    /// Its outcome as the model gives it.
    fn in_order(&self, outcome: Value) -> Value {
        match self {
            Operation::Plain(command) => in_order(command, outcome),
            Operation::Watch(_) => outcome,
            Operation::Exec(commands) => all_in_order(commands, outcome),
        }
    }

    /// True if it left everything as it was.
    fn is_idle(&self, outcome: &Value) -> bool {
        let Operation::Plain(command) = self else { return false };
        match command[0].as_slice() {
            b"GET" | b"MGET" | b"EXISTS" | b"LRANGE" | b"LLEN" => true,
            b"SMEMBERS" | b"SCARD" | b"SMISMEMBER" | b"SUNION" | b"SINTER" | b"SDIFF" => true,
            b"HGET" | b"HMGET" | b"HGETALL" | b"HLEN" => true,
            b"ZRANGE" | b"ZREVRANGE" | b"ZRANGEBYSCORE" | b"ZRANK" | b"ZCARD" | b"ZSCORE" | b"ZUNION" => true,
            b"ZPOPMIN" | b"ZPOPMAX" => *outcome == Value::Array(Vec::new()),
            b"SORT" => matches!(outcome, Value::Array(_)),
            b"SETNX" | b"MSETNX" | b"DEL" | b"COPY" | b"RENAMENX" | b"SADD" | b"SREM" | b"SMOVE"
            | b"HDEL" | b"HSETNX" | b"ZREM" => *outcome == Value::Integer(0),
            b"GETDEL" | b"LPOP" | b"RPOP" | b"LMOVE" | b"RPOPLPUSH" | b"LMPOP" => outcome.is_null(),
            _ => outcome.is_error(),
        }
    }
}

/// What the clients of a group do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Group {
    SingleKey,
    MultiKey,
    Exec,
    Watch,
    Flush,
    /// Every step is a race for names that nobody used before.
    Creation,
    /// One list: both ends, its middle and all of it.
    List,
    /// Elements that move between lists.
    ListMoves,
    /// One set: single members, several at once and all.
    Set,
    /// Members that move between sets, and what is made of several.
    SetMoves,
    /// One hash: single fields, several at once and all.
    Hash,
    /// One sorted set, in its small form: members come, move and go.
    SortedSet,
    /// One sorted set of more members than its small form has: it has an index that all its versions share.
    LargeSortedSet,
    /// Sorted sets that are made of others.
    SortedSetMoves,
    /// Lists of names, and what SORT finds in the keys of these names.
    Sort,
}

const GROUPS: [Group; 15] = [
    Group::SingleKey,
    Group::MultiKey,
    Group::Exec,
    Group::Watch,
    Group::Flush,
    Group::Creation,
    Group::List,
    Group::ListMoves,
    Group::Set,
    Group::SetMoves,
    Group::Hash,
    Group::SortedSet,
    Group::LargeSortedSet,
    Group::SortedSetMoves,
    Group::Sort,
];

/// Plans the operations of one client in one round. Every value written is an integer of its own.
struct Planner<'r> {
    rng: &'r mut StdRng,
    keys: Vec<Vec<u8>>,
    next_value: u64,
}

impl Planner<'_> {
    fn key(&mut self) -> Vec<u8> {
        self.keys[self.rng.random_range(0..self.keys.len())].clone()
    }

    fn value(&mut self) -> String {
        self.next_value += 1;
        self.next_value.to_string()
    }

    fn single(&mut self) -> Command {
        let (key, value) = (self.key(), self.value());
        match self.rng.random_range(0..12) {
            0 | 1 => cmd!["SET", key, value],
            2 | 3 => cmd!["GET", key],
            4 | 5 => cmd!["INCR", key],
            6 => cmd!["APPEND", key, value],
            7 => cmd!["GETSET", key, value],
            8 => cmd!["DEL", key],
            9 => cmd!["SETNX", key, value],
            10 => cmd!["GETDEL", key],
            _ => cmd!["EXISTS", key],
        }
    }

    fn multi(&mut self) -> Command {
        let (a, b, first, second) = (self.key(), self.key(), self.value(), self.value());
        match self.rng.random_range(0..14) {
            0 | 1 => cmd!["MSET", a, first, b, second],
            2 | 3 => [cmd!["MGET"], self.keys.clone()].concat(),
            4 | 5 => cmd!["MSETNX", a, first, b, second],
            6 | 7 => cmd!["RENAME", a, b],
            8 => cmd!["RENAMENX", a, b],
            9 => cmd!["COPY", a, b],
            10 => cmd!["COPY", a, b, "REPLACE"],
            11 => cmd!["DEL", a, b],
            12 => cmd!["EXISTS", a, b],
            _ => self.single(),
        }
    }

    fn any(&mut self) -> Command {
        if self.rng.random_bool(0.5) { self.single() } else { self.multi() }
    }

    fn exec(&mut self) -> Operation {
        let count = self.rng.random_range(1..4);
        Operation::Exec((0..count).map(|_| self.any()).collect())
    }

    fn creation(&mut self) -> Operation {
        let (a, b, value) = (self.key(), self.key(), self.value());
        Operation::Plain(match self.rng.random_range(0..10) {
            0..4 => cmd!["MSETNX", a, value, b, value],
            4 => cmd!["MSET", a, value, b, value],
            5 => cmd!["SETNX", a, value],
            6 => cmd!["RENAMENX", a, b],
            7 => [cmd!["MGET"], self.keys.clone()].concat(),
            8 => cmd!["DEL", a, b],
            _ => return Operation::Exec(vec![cmd!["GET", a], cmd!["SETNX", b, value]]),
        })
    }

    fn list(&mut self) -> Command {
        let (key, value) = (self.key(), self.value());
        match self.rng.random_range(0..14) {
            0..2 => cmd!["LPUSH", key, value],
            2 => cmd!["RPUSH", key, value, format!("{value}.")],
            3 => cmd!["RPUSHX", key, value],
            4 => cmd!["LPOP", key],
            5 => cmd!["RPOP", key],
            6 => cmd!["LPOP", key, "2"],
            7..9 => cmd!["LRANGE", key, "0", "-1"],
            9 => cmd!["LLEN", key],
            10 => cmd!["LSET", key, "-1", value],
            11 => cmd!["LTRIM", key, "0", "2"],
            12 => cmd!["LMOVE", key, key, "LEFT", "RIGHT"],
            _ => cmd!["DEL", key],
        }
    }

    fn list_move(&mut self) -> Operation {
        let (a, b) = (self.key(), self.key());
        Operation::Plain(match self.rng.random_range(0..12) {
            0..3 => cmd!["LMOVE", a, b, "LEFT", "RIGHT"],
            3 => cmd!["LMOVE", a, b, "RIGHT", "RIGHT"],
            4 => cmd!["RPOPLPUSH", a, b],
            5 => cmd!["LMPOP", "2", a, b, "LEFT", "COUNT", "2"],
            6 => cmd!["RENAME", a, b],
            7 => {
                let read = |key: &Vec<u8>| cmd!["LRANGE", key, "0", "-1"];
                return Operation::Exec(self.keys.iter().map(read).collect());
            }
            _ => self.list(),
        })
    }

    /// One of few members, so that clients meet at them.
    fn member(&mut self) -> String {
        self.rng.random_range(0..4).to_string()
    }

    fn set(&mut self) -> Command {
        let (key, a, b) = (self.key(), self.member(), self.member());
        match self.rng.random_range(0..13) {
            0 | 1 => cmd!["SADD", key, a],
            2 | 3 => cmd!["SADD", key, a, b],
            4 => cmd!["SREM", key, a],
            5 => cmd!["SREM", key, a, b],
            6 | 7 => cmd!["SMEMBERS", key],
            8 => cmd!["SCARD", key],
            9 => cmd!["SMISMEMBER", key, a, b],
            // Only all members at once are known to the model.
            10 => cmd!["SPOP", key, "9"],
            11 => cmd!["SMOVE", key, key, a],
            _ => cmd!["DEL", key],
        }
    }

    fn set_move(&mut self) -> Operation {
        let (a, b, c) = (self.key(), self.key(), self.key());
        Operation::Plain(match self.rng.random_range(0..14) {
            0..4 => cmd!["SMOVE", a, b, self.member()],
            4 => cmd!["SUNIONSTORE", a, b, c],
            5 => cmd!["SINTERSTORE", a, b, c],
            6 => cmd!["SDIFFSTORE", a, b, c],
            7 => [cmd!["SUNION"], self.keys.clone()].concat(),
            8 => cmd!["SINTER", a, b],
            9 => cmd!["SDIFF", a, b],
            10 => {
                let read = |key: &Vec<u8>| cmd!["SMEMBERS", key];
                return Operation::Exec(self.keys.iter().map(read).collect());
            }
            _ => self.set(),
        })
    }

    fn hash(&mut self) -> Operation {
        let (key, a, b) = (self.key(), self.member(), self.member());
        let (first, second) = (self.value(), self.value());
        Operation::Plain(match self.rng.random_range(0..16) {
            0 => cmd!["HSET", key, a, first],
            1..4 => cmd!["HSET", key, a, first, b, second],
            4 => cmd!["HSETNX", key, a, first],
            5 => cmd!["HDEL", key, a],
            6 => cmd!["HDEL", key, a, b],
            7 => cmd!["HINCRBY", key, a, first],
            8 => cmd!["HGET", key, a],
            9 => cmd!["HMGET", key, "0", "1", "2", "3"],
            10 | 11 => cmd!["HGETALL", key],
            12 => cmd!["HLEN", key],
            13 => cmd!["HKEYS", key],
            14 => {
                return Operation::Exec(vec![cmd!["HINCRBY", key, a, "1"], cmd!["HGETALL", key]]);
            }
            _ => cmd!["DEL", key],
        })
    }

    /// A score that few members have, among those of the members that nobody touches.
    fn score(&mut self) -> String {
        self.rng.random_range(18..24).to_string()
    }

    fn sorted_set(&mut self) -> Command {
        let (key, a, b) = (self.key(), self.member(), self.member());
        let (first, second) = (self.score(), self.score());
        match self.rng.random_range(0..20) {
            0..4 => cmd!["ZADD", key, first, a],
            4 | 5 => cmd!["ZADD", key, first, a, second, b],
            6 => cmd!["ZADD", key, "XX", "CH", first, a],
            7 => cmd!["ZINCRBY", key, "2", a],
            8 => cmd!["ZREM", key, a],
            9 => cmd!["ZREM", key, a, b],
            10 => cmd!["ZPOPMIN", key],
            11 => cmd!["ZPOPMAX", key],
            12 | 13 => cmd!["ZRANGE", key, "0", "-1", "WITHSCORES"],
            14 => cmd!["ZREVRANGE", key, "0", "9", "WITHSCORES"],
            15 => cmd!["ZRANGEBYSCORE", key, "18", "26", "WITHSCORES", "LIMIT", "0", "20"],
            16 => cmd!["ZRANK", key, a],
            17 => cmd!["ZCARD", key],
            18 => cmd!["ZSCORE", key, a],
            _ => cmd!["ZREMRANGEBYSCORE", key, first, second],
        }
    }

    /// Many members at once, so that the set is a large one from then on: the first and last of the plan.
    fn grow(&mut self) -> Command {
        let mut command = cmd!["ZADD", self.key()];
        for n in 100..260 {
            command.extend(cmd![(n % 40).to_string(), n.to_string()]);
        }
        command
    }

    fn large_sorted_set(&mut self, step: usize) -> Operation {
        Operation::Plain(match self.rng.random_range(0..12) {
            _ if step == 0 => self.grow(),
            0 => cmd!["ZREMRANGEBYRANK", self.key(), "50", "-50"],
            1 => cmd!["ZPOPMIN", self.key(), "60"],
            2 => cmd!["DEL", self.key()],
            3 => {
                let (key, member, score) = (self.key(), self.member(), self.score());
                return Operation::Exec(vec![
                    cmd!["ZADD", key, score, member],
                    cmd!["ZRANK", key, member],
                    cmd!["ZINCRBY", key, "1", member],
                    cmd!["ZRANGE", key, "60", "120", "WITHSCORES"],
                ]);
            }
            _ => self.sorted_set(),
        })
    }

    fn sorted_set_move(&mut self) -> Operation {
        let (a, b, c) = (self.key(), self.key(), self.key());
        Operation::Plain(match self.rng.random_range(0..14) {
            0..3 => cmd!["ZUNIONSTORE", a, "2", b, c],
            3 => cmd!["ZRANGESTORE", a, b, "0", "1"],
            4 => cmd!["ZUNION", "2", a, b, "WITHSCORES"],
            5 => cmd!["RENAME", a, b],
            6 => cmd!["COPY", a, b, "REPLACE"],
            7 => cmd!["DEL", a],
            8 => {
                let (member, score) = (self.member(), self.score());
                return Operation::Exec(vec![cmd!["ZREM", a, member], cmd!["ZADD", b, score, member]]);
            }
            9 => {
                let read = |key: &Vec<u8>| cmd!["ZRANGE", key, "0", "-1", "WITHSCORES"];
                return Operation::Exec(self.keys.iter().map(read).collect());
            }
            10 => self.grow(),
            _ => self.sorted_set(),
        })
    }

    fn sort(&mut self) -> Operation {
        let [list, a, b] = [0, 1, 2].map(|index| self.keys[index].clone());
        let (first, second) = (self.value(), self.value());
        Operation::Plain(match self.rng.random_range(0..14) {
            0 | 1 => cmd!["RPUSH", list, a, b],
            2..5 => cmd!["MSET", a, first, b, first],
            5..8 => cmd!["SORT", list, "BY", "nosort", "GET", "*", "GET", "*->f"],
            8 => cmd!["SORT", list, "ALPHA", "DESC", "GET", "#", "GET", "*", "STORE", list],
            9 => cmd!["SORT", list, "BY", "nosort", "GET", "*", "STORE", a],
            10 => cmd!["HSET", a, "f", first, "g", second],
            11 => cmd!["RENAME", a, b],
            12 => {
                return Operation::Exec(vec![
                    cmd!["DEL", a],
                    cmd!["HSET", a, "f", first],
                    cmd!["SORT", list, "ALPHA", "GET", "*->f"],
                ]);
            }
            _ => cmd!["DEL", a, list],
        })
    }

    fn plan(&mut self, group: Group) -> Vec<Operation> {
        let mut plan = Vec::new();
        let names = self.keys.clone();
        while plan.len() < OPERATIONS {
            if group == Group::Creation {
                let suffix = plan.len().to_string().into_bytes();
                self.keys = names.iter().map(|name| [name.clone(), suffix.clone()].concat()).collect();
            }
            match group {
                Group::SingleKey => plan.push(Operation::Plain(self.single())),
                Group::MultiKey => plan.push(Operation::Plain(self.multi())),
                Group::Exec if self.rng.random_bool(0.6) => plan.push(self.exec()),
                Group::Exec => plan.push(Operation::Plain(self.any())),
                Group::Watch if self.rng.random_bool(0.7) => {
                    let (key, value) = (self.key(), self.value());
                    plan.push(Operation::Watch(vec![key.clone()]));
                    plan.push(Operation::Plain(cmd!["GET", key]));
                    plan.push(Operation::Exec(vec![cmd!["SET", key, value], cmd!["GET", key]]));
                }
                Group::Watch => plan.push(Operation::Plain(self.any())),
                Group::Flush if self.rng.random_bool(0.15) => plan.push(Operation::Plain(cmd!["FLUSHALL"])),
                Group::Flush => plan.push(Operation::Plain(self.any())),
                Group::Creation => plan.push(self.creation()),
                Group::List => plan.push(Operation::Plain(self.list())),
                Group::ListMoves => plan.push(self.list_move()),
                Group::Set => plan.push(Operation::Plain(self.set())),
                Group::SetMoves => plan.push(self.set_move()),
                Group::Hash => plan.push(self.hash()),
                Group::SortedSet => plan.push(Operation::Plain(self.sorted_set())),
                Group::LargeSortedSet => plan.push(self.large_sorted_set(plan.len())),
                Group::SortedSetMoves => plan.push(self.sorted_set_move()),
                Group::Sort => plan.push(self.sort()),
            }
        }
        plan
    }
}

/// What every client does in one round.
struct Round {
    plans: Vec<Vec<Operation>>,
    /// Each client sends its operations at once instead of waiting for each reply.
    pipelined: bool,
}

fn plan_round(group: Group, rng: &mut StdRng, number: u64) -> Round {
    let names = match group {
        Group::Flush => cmd!["a", "n/a"],
        _ => cmd![format!("{number}"), format!("n{number}/a"), format!("n{number}/b")],
    };
    let count = match group {
        Group::LargeSortedSet => 1,
        Group::SingleKey | Group::List | Group::Set | Group::Hash | Group::SortedSet => {
            rng.random_range(1..3)
        }
        _ => names.len(),
    };
    let plans = (0..CLIENTS)
        .map(|client| {
            let keys = names[..count].to_vec();
            Planner { rng, keys, next_value: 1000 * (client as u64 + 1) }.plan(group)
        })
        .collect();
    Round { plans, pipelined: number % 2 == 1 }
}

/// Runs one client's operations and notes when each was invoked and returned.
fn run_plan(client: usize, connection: &mut Client, round: &Round, clock: Instant) -> History<Model> {
    let plan = &round.plans[client];
    let burst = if round.pipelined { plan.len() } else { 1 };
    let now = || clock.elapsed().as_nanos() as u64;
    let mut events = Vec::new();
    for operations in plan.chunks(burst) {
        let commands: Vec<Command> = operations.iter().flat_map(Operation::commands).collect();
        let mut bytes = Vec::new();
        for command in &commands {
            resp::encode(command, &mut bytes);
        }
        let invoked = now();
        connection.send_raw(&bytes);
        for operation in operations {
            let mut outcome = connection.receive();
            for _ in 1..operation.commands().len() {
                let expected = if outcome == Value::ok() { "OK" } else { "QUEUED" };
                assert_eq!(outcome, Value::simple(expected), "inside {operation:?}");
                outcome = connection.receive();
            }
            let returned = Some((now(), operation.in_order(outcome)));
            let operation = operation.clone();
            events.push(Event { client, operation, invoked, returned });
        }
    }
    events
}

/// Records the histories of all rounds.
fn record(server: &Server, group: Group, rounds: &[Round]) -> Vec<History<Model>> {
    let (clock, barrier) = (Instant::now(), Barrier::new(CLIENTS));
    let by_client: Vec<Vec<History<Model>>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (mut connection, barrier) = (server.client(), &barrier);
                scope.spawn(move || {
                    let run = |round| {
                        if client == 0 && group == Group::Flush {
                            assert_eq!(connection.run("FLUSHALL"), Value::ok());
                        }
                        barrier.wait();
                        let events = run_plan(client, &mut connection, round, clock);
                        barrier.wait();
                        events
                    };
                    rounds.iter().map(run).collect()
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().expect("a client that finished")).collect()
    });
    let joined = |round: usize| by_client.iter().flat_map(|rounds| rounds[round].clone()).collect();
    (0..rounds.len()).map(joined).collect()
}

/// True if operations of two clients were in flight at the same time.
fn overlaps(history: &History<Model>) -> bool {
    let spans: Vec<(usize, u64, u64)> = history
        .iter()
        .filter_map(|event| Some((event.client, event.invoked, event.returned.as_ref()?.0)))
        .collect();
    spans.iter().any(|a| spans.iter().any(|b| a.0 != b.0 && a.1 < b.2 && b.1 < a.2))
}

fn show(history: &History<Model>) -> String {
    let first = history.iter().map(|event| event.invoked).min().unwrap_or(0);
    let lines: Vec<String> = history
        .iter()
        .map(|event| {
            let us = |time: u64| (time - first) as f64 / 1000.0;
            let (client, operation) = (event.client, &event.operation);
            match &event.returned {
                Some((time, outcome)) => format!(
                    "  {:9.1} ..{:9.1} us  client {client}: {operation:?} -> {outcome:?}",
                    us(event.invoked),
                    us(*time)
                ),
                None => {
                    format!("  {:9.1} ..           us  client {client}: {operation:?}", us(event.invoked))
                }
            }
        })
        .collect();
    lines.join("\n")
}

fn check_group(group: Group) {
    let seed = seed::seed();
    let mut rng = seed::generator(seed, group as u64);
    let count = seed::setting("KVNS_LINEARIZABILITY_ROUNDS").unwrap_or(ROUNDS);
    let rounds: Vec<Round> = (0..count).map(|number| plan_round(group, &mut rng, number)).collect();
    let server = Server::start();
    let histories = record(&server, group, &rounds);
    for (number, history) in histories.iter().enumerate() {
        if !checker::is_linearizable(&Model::default(), history) {
            let minimal = checker::minimal(&Model::default(), history, Operation::keys, Operation::is_idle);
            panic!("round {number} of seed {seed} is not linearizable; its core:\n{}", show(&minimal));
        }
    }
    let overlapping = histories.iter().filter(|history| overlaps(history)).count();
    println!("{count} rounds, {overlapping} of them with operations in flight at the same time");
    assert!(overlapping as u64 * 2 >= count, "the clients hardly ever ran at the same time");
}

#[test]
fn single_key_histories_are_linearizable() {
    check_group(Group::SingleKey);
}

#[test]
fn multi_key_histories_are_linearizable() {
    check_group(Group::MultiKey);
}

#[test]
fn exec_histories_are_linearizable() {
    check_group(Group::Exec);
}

#[test]
fn watch_histories_are_linearizable() {
    check_group(Group::Watch);
}

#[test]
fn creation_histories_are_linearizable() {
    check_group(Group::Creation);
}

#[test]
fn flush_histories_are_linearizable() {
    check_group(Group::Flush);
}

#[test]
fn list_histories_are_linearizable() {
    check_group(Group::List);
}

#[test]
fn histories_of_moves_between_lists_are_linearizable() {
    check_group(Group::ListMoves);
}

#[test]
fn set_histories_are_linearizable() {
    check_group(Group::Set);
}

#[test]
fn histories_of_moves_between_sets_are_linearizable() {
    check_group(Group::SetMoves);
}

#[test]
fn hash_histories_are_linearizable() {
    check_group(Group::Hash);
}

#[test]
fn sorted_set_histories_are_linearizable() {
    check_group(Group::SortedSet);
}

#[test]
fn large_sorted_set_histories_are_linearizable() {
    check_group(Group::LargeSortedSet);
}

#[test]
fn histories_of_moves_between_sorted_sets_are_linearizable() {
    check_group(Group::SortedSetMoves);
}

#[test]
fn histories_of_sorts_over_several_keys_are_linearizable() {
    check_group(Group::Sort);
}

/// A hand-made event: client, line, from, to, outcome.
fn event(client: usize, line: &str, invoked: u64, returned: u64, outcome: Value) -> Event<Operation, Value> {
    let words = resp::split_line(line);
    let operation = match words[0].as_slice() {
        b"WATCH" => Operation::Watch(words[1..].to_vec()),
        b"EXEC" => Operation::Exec(words[1..].split(|word| word == b";").map(<[Vec<u8>]>::to_vec).collect()),
        _ => Operation::Plain(words),
    };
    Event { client, operation, invoked, returned: Some((returned, outcome)) }
}

fn accepted(history: &History<Model>) -> bool {
    checker::is_linearizable(&Model::default(), history)
}

#[test]
fn the_checker_accepts_what_some_order_explains() {
    let concurrent_read =
        |seen| vec![event(0, "SET a 1", 10, 20, Value::ok()), event(1, "GET a", 5, 15, seen)];
    assert!(accepted(&concurrent_read(Value::NullBulk)));
    assert!(accepted(&concurrent_read(Value::bulk("1"))));
    let pending = vec![
        Event { returned: None, ..event(0, "SET a 1", 10, 20, Value::ok()) },
        event(1, "GET a", 30, 40, Value::NullBulk),
        event(1, "GET a", 50, 60, Value::bulk("1")),
    ];
    assert!(accepted(&pending), "an operation without a reply may happen late");
}

#[test]
fn the_checker_refuses_a_stale_read() {
    let history = vec![
        event(0, "SET a 1", 10, 20, Value::ok()),
        event(0, "SET a 2", 30, 40, Value::ok()),
        event(1, "GET a", 50, 60, Value::bulk("1")),
    ];
    assert!(!accepted(&history));
    let minimal = checker::minimal(&Model::default(), &history, Operation::keys, Operation::is_idle);
    assert_eq!(minimal.len(), 3);
}

#[test]
fn the_checker_refuses_reads_that_go_back_and_forth() {
    let history = vec![
        event(0, "SET a 1", 10, 100, Value::ok()),
        event(1, "GET a", 20, 30, Value::bulk("1")),
        event(2, "GET a", 40, 50, Value::NullBulk),
    ];
    assert!(!accepted(&history));
}

#[test]
fn the_checker_refuses_a_lost_increment() {
    let history = vec![
        event(0, "INCR a", 10, 50, Value::Integer(1)),
        event(1, "INCR a", 20, 60, Value::Integer(1)),
        event(2, "GET b", 20, 60, Value::NullBulk),
    ];
    assert!(!accepted(&history));
    let minimal = checker::minimal(&Model::default(), &history, Operation::keys, Operation::is_idle);
    assert_eq!(minimal.len(), 2, "the read of another key says nothing");
}

#[test]
fn the_checker_refuses_a_torn_multi_key_write() {
    let pair = |a: &str, b: &str| Value::Array(vec![Value::bulk(a), Value::bulk(b)]);
    let history = vec![
        event(0, "MSET a 1 b 1", 0, 5, Value::ok()),
        event(0, "MSET a 2 b 2", 10, 100, Value::ok()),
        event(1, "MGET a b", 20, 30, pair("2", "1")),
    ];
    assert!(!accepted(&history));
}

#[test]
fn the_checker_refuses_write_skew_between_transactions() {
    let values = |first: &str| Value::Array(vec![Value::bulk(first), Value::ok()]);
    let history = vec![
        event(0, "MSET a 1 b 1", 0, 5, Value::ok()),
        event(0, "EXEC GET a ; SET b 2", 10, 100, values("1")),
        event(1, "EXEC GET b ; SET a 2", 10, 100, values("1")),
        event(2, "GET a", 110, 120, Value::bulk("2")),
    ];
    assert!(!accepted(&history), "each transaction read what the other had overwritten");
}

#[test]
fn the_checker_refuses_an_exec_that_missed_a_change() {
    let committed = Value::Array(vec![Value::ok()]);
    let exec = |outcome| {
        vec![
            event(0, "WATCH a", 0, 5, Value::ok()),
            event(1, "SET a 1", 10, 20, Value::ok()),
            event(0, "EXEC SET a 2", 30, 40, outcome),
        ]
    };
    assert!(!accepted(&exec(committed)));
    assert!(accepted(&exec(Value::NullArray)));
}

#[test]
fn the_checker_refuses_a_key_that_survives_a_flush() {
    let history = vec![
        event(0, "SET a 1", 0, 5, Value::ok()),
        event(1, "FLUSHALL", 10, 20, Value::ok()),
        event(2, "EXISTS a", 30, 40, Value::Integer(1)),
    ];
    assert!(!accepted(&history));
}

#[test]
fn the_checker_refuses_an_element_that_is_in_two_lists() {
    let list = |elements: &[&str]| Value::Array(elements.iter().map(Value::bulk).collect());
    let history = vec![
        event(0, "RPUSH a 1", 0, 5, Value::Integer(1)),
        event(0, "LMOVE a b LEFT LEFT", 10, 100, Value::bulk("1")),
        event(
            1,
            "EXEC LRANGE a 0 -1 ; LRANGE b 0 -1",
            20,
            30,
            Value::Array(vec![list(&["1"]), list(&["1"])]),
        ),
    ];
    assert!(!accepted(&history));
}

#[test]
fn the_checker_refuses_a_member_that_is_nowhere_for_a_moment() {
    let set = |members: &[&str]| Value::Array(members.iter().map(Value::bulk).collect());
    let seen = |union| {
        vec![
            event(0, "SADD a 1 2", 0, 5, Value::Integer(2)),
            event(0, "SMOVE a b 1", 10, 100, Value::Integer(1)),
            event(1, "SUNION a b", 20, 30, union),
        ]
    };
    assert!(accepted(&seen(set(&["1", "2"]))));
    assert!(!accepted(&seen(set(&["2"]))));
}

#[test]
fn the_checker_refuses_a_hash_that_was_read_half_written() {
    let hash = |words: &[&str]| Value::Array(words.iter().map(Value::bulk).collect());
    let seen = |fields| {
        vec![event(0, "HSET h f 1 g 1", 0, 100, Value::Integer(2)), event(1, "HGETALL h", 20, 30, fields)]
    };
    assert!(accepted(&seen(hash(&[]))));
    assert!(accepted(&seen(hash(&["f", "1", "g", "1"]))));
    assert!(!accepted(&seen(hash(&["f", "1"]))));
}

#[test]
fn the_checker_refuses_a_range_that_has_half_a_move() {
    let range = |words: &[&str]| Value::Array(words.iter().map(Value::bulk).collect());
    let seen = |members| {
        vec![
            event(0, "ZADD z 1 a 2 b", 0, 5, Value::Integer(2)),
            event(0, "ZADD z 3 a", 10, 100, Value::Integer(0)),
            event(1, "ZRANGE z 0 -1 WITHSCORES", 20, 30, members),
        ]
    };
    assert!(accepted(&seen(range(&["a", "1", "b", "2"]))));
    assert!(accepted(&seen(range(&["b", "2", "a", "3"]))));
    assert!(!accepted(&seen(range(&["b", "2"]))));
    assert!(!accepted(&seen(range(&["a", "1", "b", "2", "a", "3"]))));
}

#[test]
fn every_command_of_a_plan_is_known_to_the_model() {
    let mut rng = seed::generator(1, 1);
    let mut names = BTreeSet::new();
    for group in GROUPS {
        for operation in (0..200).flat_map(|number| plan_round(group, &mut rng, number).plans.concat()) {
            names.extend(operation.commands().into_iter().map(|command| command[0].clone()));
            Sequential::apply(&mut Model::default(), 0, &operation);
        }
    }
    assert!(names.len() >= 67, "only {} commands are used", names.len());
}

//! The sequential model: what strings, collections, keys, deadlines and watches mean, one command after the other.
//!
//! Plain and slow on purpose. It covers valid commands of the families strings, lists, hashes, sets, sorted
//! sets, keys and transactions, and SORT; what Redis says about wrong ones is the business of `tests/compat.rs`.

mod hashes;
mod lists;
mod sets;
mod sort;
mod sorted_sets;

use super::resp::{Command, Value, printable_command};
use std::collections::{BTreeMap, BTreeSet};

const NOT_AN_INTEGER: &str = "ERR value is not an integer or out of range";
const OVERFLOW: &str = "ERR increment or decrement would overflow";
const SAME_OBJECT: &str = "ERR source and destination objects are the same";
const NO_SUCH_KEY: &str = "ERR no such key";
const WRONG_TYPE: &str = "WRONGTYPE Operation against a key holding the wrong kind of value";

/// Commands that need a string where there is a value at all.
const OF_STRINGS: &[&str] = &[
    "GET", "GETSET", "GETDEL", "GETEX", "APPEND", "STRLEN", "INCR", "DECR", "INCRBY", "DECRBY", "SETRANGE",
    "GETRANGE", "SUBSTR",
];

/// A value of any type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Content {
    String(Vec<u8>),
    List(Vec<Vec<u8>>),
    Set(BTreeSet<Vec<u8>>),
    Hash(BTreeMap<Vec<u8>, Vec<u8>>),
    SortedSet(sorted_sets::SortedSet),
}

impl Content {
    fn kind(&self) -> &'static str {
        match self {
            Content::String(_) => "string",
            Content::List(_) => "list",
            Content::Set(_) => "set",
            Content::Hash(_) => "hash",
            Content::SortedSet(_) => "zset",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Entry {
    content: Content,
    /// Unix time in milliseconds.
    deadline: Option<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Watching {
    keys: BTreeSet<Vec<u8>>,
    /// A watched key was modified: the next EXEC answers null.
    dirty: bool,
}

/// Every key, and what each client watches.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Model {
    entries: BTreeMap<Vec<u8>, Entry>,
    watching: BTreeMap<usize, Watching>,
}

/// A reply as the model gives it: what comes in no order is sorted.
pub fn in_order(command: &[Vec<u8>], reply: Value) -> Value {
    match (command[0].as_slice(), reply) {
        (
            b"SMEMBERS" | b"SUNION" | b"SINTER" | b"SDIFF" | b"SPOP" | b"SRANDMEMBER" | b"HKEYS" | b"HVALS",
            Value::Array(mut members),
        ) => {
            members.sort();
            Value::Array(members)
        }
        (b"HGETALL" | b"HRANDFIELD", Value::Array(flat)) => {
            let mut pairs: Vec<&[Value]> = flat.chunks(2).collect();
            pairs.sort();
            Value::Array(pairs.concat())
        }
        (_, reply) => reply,
    }
}

/// The same for the replies of EXEC.
pub fn all_in_order(commands: &[Command], reply: Value) -> Value {
    match reply {
        Value::Array(replies) => {
            let in_order = |(command, reply): (&Command, Value)| in_order(command, reply);
            Value::Array(commands.iter().zip(replies).map(in_order).collect())
        }
        other => other,
    }
}

/// The options of SET and GETEX that concern the deadline.
enum NewDeadline {
    None,
    Keep,
    At(u64),
}

impl Model {
    /// The number of keys that have not expired.
    pub fn len(&self, now_ms: u64) -> usize {
        self.entries.values().filter(|entry| entry.deadline.is_none_or(|deadline| deadline > now_ms)).count()
    }

    /// The names of the keys that have not expired.
    pub fn keys(&self, now_ms: u64) -> BTreeSet<Vec<u8>> {
        let live = |entry: &Entry| entry.deadline.is_none_or(|deadline| deadline > now_ms);
        self.entries.iter().filter(|(_, entry)| live(entry)).map(|(key, _)| key.clone()).collect()
    }

    /// WATCH: EXEC of `client` will answer null if one of these keys is modified before it.
    pub fn watch(&mut self, client: usize, keys: &[Vec<u8>], now_ms: u64) -> Value {
        for key in keys {
            self.forget_expired(key, now_ms);
            self.watching.entry(client).or_default().keys.insert(key.clone());
        }
        Value::ok()
    }

    /// UNWATCH and DISCARD.
    pub fn unwatch(&mut self, client: usize) -> Value {
        self.watching.remove(&client);
        Value::ok()
    }

    /// EXEC of these queued commands.
    pub fn exec(&mut self, client: usize, commands: &[Command], now_ms: u64) -> Value {
        let watching = self.watching.get(&client).cloned().unwrap_or_default();
        for key in &watching.keys {
            self.forget_expired(key, now_ms);
        }
        let dirty = self.watching.remove(&client).is_some_and(|watching| watching.dirty);
        if dirty {
            return Value::NullArray;
        }
        Value::Array(commands.iter().map(|command| self.apply(command, now_ms)).collect())
    }

    /// Runs one command of one client that is not in a transaction.
    pub fn apply(&mut self, command: &[Vec<u8>], now_ms: u64) -> Value {
        let name = String::from_utf8_lossy(&command[0]).to_ascii_uppercase();
        let args = &command[1..];
        for key in args {
            self.forget_expired(key, now_ms);
        }
        self.apply_to_strings(&name, args, now_ms)
            .or_else(|| self.apply_to_lists(&name, args))
            .or_else(|| self.apply_to_sets(&name, args))
            .or_else(|| self.apply_to_hashes(&name, args))
            .or_else(|| self.apply_to_sorted_sets(&name, args))
            .or_else(|| self.apply_to_sort(&name, args, now_ms))
            .or_else(|| self.apply_to_several(&name, args))
            .or_else(|| self.apply_to_keys(&name, args, now_ms))
            .unwrap_or_else(|| panic!("the model does not know {}", printable_command(command)))
    }

    fn apply_to_strings(&mut self, name: &str, args: &[Vec<u8>], now_ms: u64) -> Option<Value> {
        let key = args.first().cloned().unwrap_or_default();
        if OF_STRINGS.contains(&name) && self.kind(&key).is_some_and(|kind| kind != "string") {
            return Some(Value::error(WRONG_TYPE));
        }
        let number = |index: usize| integer(&args[index]).expect("a valid integer argument");
        Some(match name {
            "GET" => self.get(&key),
            "SET" => self.set(args, now_ms),
            "SETNX" => {
                let absent = !self.entries.contains_key(&key);
                if absent {
                    self.put_string(&key, &args[1]);
                }
                Value::Integer(absent.into())
            }
            "GETSET" => {
                let old = self.get(&key);
                self.put_string(&key, &args[1]);
                old
            }
            "GETDEL" => {
                let old = self.get(&key);
                self.remove(&key);
                old
            }
            "GETEX" => self.getex(args, now_ms),
            "APPEND" => {
                let mut value = self.value(&key);
                value.extend_from_slice(&args[1]);
                let len = value.len();
                self.replace(&key, Content::String(value));
                Value::Integer(len as i64)
            }
            "STRLEN" => Value::Integer(self.value(&key).len() as i64),
            "INCR" => self.increment(&key, 1),
            "DECR" => self.increment(&key, -1),
            "INCRBY" => self.increment(&key, number(1)),
            "DECRBY" => self.increment(&key, number(1).checked_neg().expect("not the least integer")),
            "SETRANGE" => self.setrange(&key, number(1) as usize, &args[2]),
            "GETRANGE" | "SUBSTR" => Value::Bulk(range(&self.value(&key), number(1), number(2))),
            _ => return None,
        })
    }

    fn apply_to_several(&mut self, name: &str, args: &[Vec<u8>]) -> Option<Value> {
        Some(match name {
            "MGET" => {
                let string = |key| Some(self.get(key)).filter(|value| !value.is_error());
                Value::Array(args.iter().map(|key| string(key).unwrap_or(Value::NullBulk)).collect())
            }
            "MSET" => {
                self.put_pairs(args);
                Value::ok()
            }
            "MSETNX" => {
                let absent = args.chunks(2).all(|pair| !self.entries.contains_key(&pair[0]));
                if absent {
                    self.put_pairs(args);
                }
                Value::Integer(absent.into())
            }
            "DEL" | "UNLINK" => Value::Integer(args.iter().filter(|key| self.remove(key)).count() as i64),
            "EXISTS" | "TOUCH" => {
                Value::Integer(args.iter().filter(|key| self.entries.contains_key(*key)).count() as i64)
            }
            "RENAME" => self.rename(args),
            "RENAMENX" => match (self.entries.contains_key(&args[0]), self.entries.contains_key(&args[1])) {
                (false, _) => Value::error(NO_SUCH_KEY),
                (true, true) => Value::Integer(0),
                (true, false) => {
                    self.rename(args);
                    Value::Integer(1)
                }
            },
            "COPY" => {
                let replace = args.len() > 2;
                match self.entries.get(&args[0]).cloned() {
                    _ if args[0] == args[1] => Value::error(SAME_OBJECT),
                    Some(entry) if replace || !self.entries.contains_key(&args[1]) => {
                        self.put(&args[1], entry.content, entry.deadline);
                        Value::Integer(1)
                    }
                    _ => Value::Integer(0),
                }
            }
            "FLUSHALL" | "FLUSHDB" => {
                let keys: Vec<Vec<u8>> = self.entries.keys().cloned().collect();
                for key in keys {
                    self.remove(&key);
                }
                Value::ok()
            }
            _ => return None,
        })
    }

    fn apply_to_keys(&mut self, name: &str, args: &[Vec<u8>], now_ms: u64) -> Option<Value> {
        let key = args.first().cloned().unwrap_or_default();
        let deadline = self.entries.get(&key).map(|entry| entry.deadline);
        let time = |ms: Option<Option<u64>>, unit: u64| match ms {
            None => Value::Integer(-2),
            Some(None) => Value::Integer(-1),
            Some(Some(ms)) => Value::Integer(((ms + unit / 2) / unit) as i64),
        };
        Some(match name {
            "TYPE" => Value::simple(self.kind(&key).unwrap_or("none")),
            "EXPIRE" => self.expire(args, 1000, now_ms),
            "PEXPIRE" => self.expire(args, 1, now_ms),
            "EXPIREAT" => self.expire(args, 1000, 0),
            "PEXPIREAT" => self.expire(args, 1, 0),
            "PERSIST" => {
                self.persist(&key);
                Value::Integer(deadline.flatten().is_some().into())
            }
            "EXPIRETIME" => time(deadline, 1000),
            "PEXPIRETIME" => time(deadline, 1),
            "DBSIZE" => Value::Integer(self.len(now_ms) as i64),
            "KEYS" => Value::Array(self.keys(now_ms).into_iter().map(Value::Bulk).collect()),
            _ => return None,
        })
    }

    fn get(&self, key: &[u8]) -> Value {
        match self.content(key) {
            None => Value::NullBulk,
            Some(Content::String(value)) => Value::Bulk(value.clone()),
            Some(_) => Value::error(WRONG_TYPE),
        }
    }

    fn content(&self, key: &[u8]) -> Option<&Content> {
        self.entries.get(key).map(|entry| &entry.content)
    }

    fn kind(&self, key: &[u8]) -> Option<&'static str> {
        self.content(key).map(Content::kind)
    }

    /// The string at a key, empty if there is none.
    fn value(&self, key: &[u8]) -> Vec<u8> {
        match self.content(key) {
            Some(Content::String(value)) => value.clone(),
            _ => Vec::new(),
        }
    }

    fn put(&mut self, key: &[u8], content: Content, deadline: Option<u64>) {
        self.entries.insert(key.to_vec(), Entry { content, deadline });
        self.modified(key);
    }

    fn put_string(&mut self, key: &[u8], value: &[u8]) {
        self.put(key, Content::String(value.to_vec()), None);
    }

    /// Changes the value and keeps the deadline.
    fn replace(&mut self, key: &[u8], content: Content) {
        let deadline = self.entries.get(key).and_then(|entry| entry.deadline);
        self.put(key, content, deadline);
    }

    /// Takes the deadline away, if there is one.
    fn persist(&mut self, key: &[u8]) {
        if let Some(entry) = self.entries.get(key).cloned().filter(|entry| entry.deadline.is_some()) {
            self.put(key, entry.content, None);
        }
    }

    fn put_pairs(&mut self, args: &[Vec<u8>]) {
        for pair in args.chunks(2) {
            self.put_string(&pair[0], &pair[1]);
        }
    }

    fn remove(&mut self, key: &[u8]) -> bool {
        let existed = self.entries.remove(key).is_some();
        if existed {
            self.modified(key);
        }
        existed
    }

    fn modified(&mut self, key: &[u8]) {
        for watching in self.watching.values_mut() {
            watching.dirty |= watching.keys.contains(key);
        }
    }

    fn forget_expired(&mut self, key: &[u8], now_ms: u64) {
        let deadline = self.entries.get(key).and_then(|entry| entry.deadline);
        if deadline.is_some_and(|deadline| deadline <= now_ms) {
            self.remove(key);
        }
    }

    fn set(&mut self, args: &[Vec<u8>], now_ms: u64) -> Value {
        let (key, value) = (&args[0], Content::String(args[1].clone()));
        let (options, new_deadline) = options(&args[2..], now_ms);
        let has = |option: &str| options.iter().any(|name| name == option);
        let old = self.get(key);
        if has("GET") && old.is_error() {
            return old;
        }
        let exists = self.entries.contains_key(key);
        let refused = (has("NX") && exists) || (has("XX") && !exists);
        if !refused {
            let deadline = match new_deadline {
                NewDeadline::None => None,
                NewDeadline::Keep => self.entries.get(key).and_then(|entry| entry.deadline),
                NewDeadline::At(deadline) => Some(deadline),
            };
            self.put(key, value, deadline);
        }
        match (has("GET"), refused) {
            (true, _) => old,
            (false, true) => Value::NullBulk,
            (false, false) => Value::ok(),
        }
    }

    fn getex(&mut self, args: &[Vec<u8>], now_ms: u64) -> Value {
        let (options, new_deadline) = options(&args[1..], now_ms);
        let old = self.get(&args[0]);
        if !old.is_null() {
            let value = Content::String(self.value(&args[0]));
            match new_deadline {
                NewDeadline::At(deadline) if deadline <= now_ms => {
                    self.remove(&args[0]);
                }
                NewDeadline::At(deadline) => self.put(&args[0], value, Some(deadline)),
                _ if options.iter().any(|name| name == "PERSIST") => self.persist(&args[0]),
                _ => {}
            }
        }
        old
    }

    fn increment(&mut self, key: &[u8], by: i64) -> Value {
        let value = self.content(key).map_or(Some(0), |_| integer(&self.value(key)));
        let Some(value) = value else { return Value::error(NOT_AN_INTEGER) };
        let Some(sum) = value.checked_add(by) else { return Value::error(OVERFLOW) };
        self.replace(key, Content::String(sum.to_string().into_bytes()));
        Value::Integer(sum)
    }

    fn setrange(&mut self, key: &[u8], offset: usize, bytes: &[u8]) -> Value {
        let mut value = self.value(key);
        if !bytes.is_empty() {
            value.resize(value.len().max(offset + bytes.len()), 0);
            value[offset..offset + bytes.len()].copy_from_slice(bytes);
            self.replace(key, Content::String(value.clone()));
        }
        Value::Integer(value.len() as i64)
    }

    fn rename(&mut self, args: &[Vec<u8>]) -> Value {
        let Some(entry) = self.entries.get(&args[0]).cloned() else { return Value::error(NO_SUCH_KEY) };
        if args[0] != args[1] {
            self.remove(&args[0]);
            self.put(&args[1], entry.content, entry.deadline);
        }
        Value::ok()
    }

    fn expire(&mut self, args: &[Vec<u8>], unit: i64, base: u64) -> Value {
        let Some(entry) = self.entries.get(&args[0]).cloned() else { return Value::Integer(0) };
        let time = integer(&args[1]).expect("a valid time").saturating_mul(unit).saturating_add(base as i64);
        let deadline = time.max(0) as u64;
        let allowed = args[2..].iter().all(|option| match option.as_slice() {
            b"NX" => entry.deadline.is_none(),
            b"XX" => entry.deadline.is_some(),
            b"GT" => entry.deadline.is_some_and(|present| deadline > present),
            b"LT" => entry.deadline.is_none_or(|present| deadline < present),
            _ => panic!("the model knows NX XX GT LT"),
        });
        if allowed {
            self.put(&args[0], entry.content, Some(deadline));
        }
        Value::Integer(allowed.into())
    }
}

/// Option names, and the deadline they ask for.
fn options(args: &[Vec<u8>], now_ms: u64) -> (Vec<String>, NewDeadline) {
    let (mut names, mut deadline, mut at) = (Vec::new(), NewDeadline::None, 0);
    while at < args.len() {
        let name = String::from_utf8_lossy(&args[at]).to_ascii_uppercase();
        let time = |unit: u64, base: u64| {
            let number = integer(&args[at + 1]).expect("a valid time") as u64;
            NewDeadline::At(base + number * unit)
        };
        let with_time = match name.as_str() {
            "EX" => Some(time(1000, now_ms)),
            "PX" => Some(time(1, now_ms)),
            "EXAT" => Some(time(1000, 0)),
            "PXAT" => Some(time(1, 0)),
            _ => None,
        };
        at += if with_time.is_some() { 2 } else { 1 };
        if name == "KEEPTTL" {
            deadline = NewDeadline::Keep;
        }
        deadline = with_time.unwrap_or(deadline);
        names.push(name);
    }
    (names, deadline)
}

/// An integer by Redis's strict rule: the one decimal form, within an `i64`.
pub fn integer(bytes: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(bytes).ok()?;
    text.parse::<i64>().ok().filter(|value| value.to_string() == text)
}

/// The bytes from `start` to `end`, both inclusive, negative ones counted from the end.
fn range(value: &[u8], start: i64, end: i64) -> Vec<u8> {
    let len = value.len() as i64;
    let from_end = |index: i64| if index < 0 { (len.saturating_add(index)).max(0) } else { index };
    if start < 0 && end < 0 && start > end {
        return Vec::new();
    }
    let (start, end) = (from_end(start), from_end(end).min(len - 1));
    if len == 0 || start > end { Vec::new() } else { value[start as usize..=end as usize].to_vec() }
}

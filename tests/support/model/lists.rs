//! Lists in the sequential model: plain vectors.

use super::{Content, Model, NO_SUCH_KEY, WRONG_TYPE, integer};
use crate::support::resp::Value;

type List = Vec<Vec<u8>>;

const OUT_OF_RANGE: &str = "ERR index out of range";

impl Model {
    pub(super) fn apply_to_lists(&mut self, name: &str, args: &[Vec<u8>]) -> Option<Value> {
        let key = args.first()?.clone();
        let run: fn(&mut Model, &str, &[Vec<u8>], List) -> Value = match name {
            "LPUSH" | "RPUSH" | "LPUSHX" | "RPUSHX" => Model::push,
            "LPOP" | "RPOP" => Model::pop,
            "LLEN" | "LRANGE" | "LINDEX" | "LPOS" => Model::read_list,
            "LSET" | "LREM" | "LTRIM" | "LINSERT" => Model::edit_list,
            "LMOVE" | "RPOPLPUSH" => Model::move_element,
            "LMPOP" => return Some(self.pop_first(args)),
            _ => return None,
        };
        Some(self.list(&key).map_or_else(|error| error, |list| run(self, name, args, list)))
    }

    /// The list at a key, empty if there is none.
    fn list(&self, key: &[u8]) -> Result<List, Value> {
        match self.content(key) {
            None => Ok(List::new()),
            Some(Content::List(list)) => Ok(list.clone()),
            Some(_) => Err(Value::error(WRONG_TYPE)),
        }
    }

    /// An empty list is none.
    fn store_list(&mut self, key: &[u8], list: List) {
        if list.is_empty() {
            self.remove(key);
        } else {
            self.replace(key, Content::List(list));
        }
    }

    fn push(&mut self, name: &str, args: &[Vec<u8>], mut list: List) -> Value {
        if list.is_empty() && name.ends_with('X') {
            return Value::Integer(0);
        }
        for element in &args[1..] {
            push_at(&mut list, name.starts_with('L'), element.clone());
        }
        let len = list.len();
        self.store_list(&args[0], list);
        Value::Integer(len as i64)
    }

    fn pop(&mut self, name: &str, args: &[Vec<u8>], mut list: List) -> Value {
        let count = args.get(1).map(|count| integer(count).expect("a valid count") as usize);
        if list.is_empty() {
            return if count.is_some() { Value::NullArray } else { Value::NullBulk };
        }
        let popped = pop_at(&mut list, name.starts_with('L'), count.unwrap_or(1));
        if !popped.is_empty() {
            self.store_list(&args[0], list);
        }
        if count.is_some() { bulks(popped) } else { Value::Bulk(popped.concat()) }
    }

    fn read_list(&mut self, name: &str, args: &[Vec<u8>], list: List) -> Value {
        let number = |at: usize| integer(&args[at]).expect("a valid integer argument");
        let bulk = |element: &Vec<u8>| Value::bulk(element);
        match name {
            "LLEN" => Value::Integer(list.len() as i64),
            "LRANGE" => bulks(list[stretch(list.len(), number(1), number(2))].to_vec()),
            "LINDEX" => place(&list, number(1)).map_or(Value::NullBulk, |place| bulk(&list[place])),
            _ => find(&list, &args[1], &args[2..]),
        }
    }

    fn edit_list(&mut self, name: &str, args: &[Vec<u8>], mut list: List) -> Value {
        let number = |at: usize| integer(&args[at]).expect("a valid integer argument");
        let reply = match name {
            "LSET" if list.is_empty() => Value::error(NO_SUCH_KEY),
            "LSET" => match place(&list, number(1)) {
                None => Value::error(OUT_OF_RANGE),
                Some(place) => {
                    list[place] = args[2].clone();
                    Value::ok()
                }
            },
            "LREM" => Value::Integer(remove(&mut list, number(1), &args[2])),
            "LTRIM" => {
                let kept = stretch(list.len(), number(1), number(2));
                list = list[kept].to_vec();
                Value::ok()
            }
            _ if list.is_empty() => Value::Integer(0),
            _ => match list.iter().position(|element| *element == args[2]) {
                None => Value::Integer(-1),
                Some(pivot) => {
                    list.insert(pivot + usize::from(args[1] == b"AFTER"), args[3].clone());
                    Value::Integer(list.len() as i64)
                }
            },
        };
        let is_idle = reply.is_error() || matches!(reply, Value::Integer(..=0));
        if !is_idle {
            self.store_list(&args[0], list);
        }
        reply
    }

    fn move_element(&mut self, name: &str, args: &[Vec<u8>], mut source: List) -> Value {
        let (from_left, to_left) = match name {
            "LMOVE" => (args[2] == b"LEFT", args[3] == b"LEFT"),
            _ => (false, true),
        };
        if source.is_empty() {
            return Value::NullBulk;
        }
        let mut destination = match self.list(&args[1]) {
            Ok(destination) => destination,
            Err(error) => return error,
        };
        let element = pop_at(&mut source, from_left, 1).concat();
        if args[0] == args[1] {
            push_at(&mut source, to_left, element.clone());
        } else {
            push_at(&mut destination, to_left, element.clone());
            self.store_list(&args[1], destination);
        }
        self.store_list(&args[0], source);
        Value::Bulk(element)
    }

    /// LMPOP.
    fn pop_first(&mut self, args: &[Vec<u8>]) -> Value {
        let numkeys = integer(&args[0]).expect("a valid number of keys") as usize;
        let (keys, rest) = args[1..].split_at(numkeys);
        let count = rest.get(2).map_or(1, |count| integer(count).expect("a valid count") as usize);
        for key in keys {
            let mut list = match self.list(key) {
                Ok(list) if list.is_empty() => continue,
                Ok(list) => list,
                Err(error) => return error,
            };
            let popped = pop_at(&mut list, rest[0] == b"LEFT", count);
            self.store_list(key, list);
            return Value::Array(vec![Value::bulk(key), bulks(popped)]);
        }
        Value::NullArray
    }
}

fn bulks(elements: List) -> Value {
    Value::Array(elements.into_iter().map(Value::Bulk).collect())
}

fn push_at(list: &mut List, left: bool, element: Vec<u8>) {
    let at = if left { 0 } else { list.len() };
    list.insert(at, element);
}

/// Takes elements from an end, from there inwards.
fn pop_at(list: &mut List, left: bool, count: usize) -> List {
    let count = count.min(list.len());
    if left { list.drain(..count).collect() } else { list.drain(list.len() - count..).rev().collect() }
}

fn place(list: &List, index: i64) -> Option<usize> {
    let place = if index < 0 { list.len() as i64 + index } else { index };
    usize::try_from(place).ok().filter(|place| *place < list.len())
}

fn stretch(len: usize, start: i64, stop: i64) -> std::ops::Range<usize> {
    let len = len as i64;
    let from_left = |index: i64| if index < 0 { len + index } else { index };
    let (start, stop) = (from_left(start).max(0), from_left(stop).min(len - 1));
    if start > stop { 0..0 } else { start as usize..stop as usize + 1 }
}

/// LREM; returns how many were removed.
fn remove(list: &mut List, count: i64, element: &[u8]) -> i64 {
    let before = list.len();
    let mut left = if count == 0 { u64::MAX } else { count.unsigned_abs() };
    let mut keep = |candidate: &Vec<u8>| {
        let goes = candidate == element && left > 0;
        left -= u64::from(goes);
        !goes
    };
    if count < 0 {
        list.reverse();
        list.retain(&mut keep);
        list.reverse();
    } else {
        list.retain(&mut keep);
    }
    (before - list.len()) as i64
}

/// LPOS with its options.
fn find(list: &List, element: &[u8], options: &[Vec<u8>]) -> Value {
    let option = |name: &[u8]| {
        let pair = options.chunks(2).rev().find(|pair| pair[0] == name)?;
        Some(integer(&pair[1]).expect("a valid option"))
    };
    let (rank, count) = (option(b"RANK").unwrap_or(1), option(b"COUNT"));
    let compared = option(b"MAXLEN").filter(|maxlen| *maxlen > 0).unwrap_or(i64::MAX) as usize;
    let mut places: Vec<usize> = (0..list.len()).collect();
    if rank < 0 {
        places.reverse();
    }
    let equal = places.into_iter().take(compared).filter(|place| list[*place] == element);
    let wanted = count.filter(|count| *count > 0).map_or(usize::MAX, |count| count as usize);
    let found = equal.skip(rank.unsigned_abs() as usize - 1).take(wanted);
    let mut found = found.map(|place| Value::Integer(place as i64));
    match count {
        Some(_) => Value::Array(found.collect()),
        None => found.next().unwrap_or(Value::NullBulk),
    }
}

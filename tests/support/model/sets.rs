//! Sets in the sequential model: ordered ones of the standard library.

use super::{Content, Model, WRONG_TYPE, integer};
use crate::support::resp::Value;
use std::collections::BTreeSet;

type Set = BTreeSet<Vec<u8>>;

/// A reply, which may be an error that ends a command early.
type Answer = Result<Value, Value>;

type Run = fn(&mut Model, &str, &[Vec<u8>]) -> Answer;

impl Model {
    /// Random members are known only where all are asked for.
    pub(super) fn apply_to_sets(&mut self, name: &str, args: &[Vec<u8>]) -> Option<Value> {
        let run: Run = match name {
            "SADD" | "SREM" => Model::edit_set,
            "SMEMBERS" | "SCARD" | "SISMEMBER" | "SMISMEMBER" => Model::read_set,
            "SPOP" | "SRANDMEMBER" => Model::take_all_or_none,
            "SMOVE" => Model::move_member,
            "SUNION" | "SINTER" | "SDIFF" => |model, name, args| Ok(bulks(model.combine(name, args)?)),
            "SUNIONSTORE" | "SINTERSTORE" | "SDIFFSTORE" => Model::store_combined,
            "SINTERCARD" => Model::count_common,
            _ => return None,
        };
        Some(run(self, name, args).unwrap_or_else(|error| error))
    }

    /// The set at a key, empty if there is none.
    fn set_at(&self, key: &[u8]) -> Result<Set, Value> {
        match self.content(key) {
            None => Ok(Set::new()),
            Some(Content::Set(set)) => Ok(set.clone()),
            Some(_) => Err(Value::error(WRONG_TYPE)),
        }
    }

    /// Changes a set and keeps the deadline. An empty set is none, and the same set is no change.
    fn store_set(&mut self, key: &[u8], set: Set) {
        if self.set_at(key).as_ref() == Ok(&set) {
            return;
        }
        if set.is_empty() {
            self.remove(key);
        } else {
            self.replace(key, Content::Set(set));
        }
    }

    fn edit_set(&mut self, name: &str, args: &[Vec<u8>]) -> Answer {
        let before = self.set_at(&args[0])?;
        let members: Set = args[1..].iter().cloned().collect();
        let after: Set = match name {
            "SADD" => before.union(&members).cloned().collect(),
            _ => before.difference(&members).cloned().collect(),
        };
        let changed = after.len().abs_diff(before.len());
        self.store_set(&args[0], after);
        Ok(Value::Integer(changed as i64))
    }

    fn read_set(&mut self, name: &str, args: &[Vec<u8>]) -> Answer {
        let set = self.set_at(&args[0])?;
        let has = |member: &Vec<u8>| Value::Integer(set.contains(member).into());
        Ok(match name {
            "SMEMBERS" => bulks(set),
            "SCARD" => Value::Integer(set.len() as i64),
            "SISMEMBER" => has(&args[1]),
            _ => Value::Array(args[1..].iter().map(has).collect()),
        })
    }

    fn take_all_or_none(&mut self, name: &str, args: &[Vec<u8>]) -> Answer {
        let set = self.set_at(&args[0])?;
        let Some(count) = args.get(1) else {
            assert!(set.is_empty(), "one of several members is not known");
            return Ok(Value::NullBulk);
        };
        let count = integer(count).expect("a valid count") as usize;
        assert!(count == 0 || count >= set.len(), "some of several members are not known");
        if name == "SPOP" && count > 0 {
            self.store_set(&args[0], Set::new());
        }
        Ok(bulks(if count == 0 { Set::new() } else { set }))
    }

    fn move_member(&mut self, _: &str, args: &[Vec<u8>]) -> Answer {
        if self.content(&args[0]).is_none() {
            return Ok(Value::Integer(0));
        }
        let (mut source, mut destination) = (self.set_at(&args[0])?, self.set_at(&args[1])?);
        let is_member = source.contains(&args[2]);
        if is_member && args[0] != args[1] {
            source.remove(&args[2]);
            destination.insert(args[2].clone());
            self.store_set(&args[0], source);
            self.store_set(&args[1], destination);
        }
        Ok(Value::Integer(is_member.into()))
    }

    fn combine(&self, name: &str, keys: &[Vec<u8>]) -> Result<Set, Value> {
        let sets = keys.iter().map(|key| self.set_at(key)).collect::<Result<Vec<Set>, Value>>()?;
        let combined = sets.into_iter().reduce(|one, other| match name {
            "SUNION" => one.union(&other).cloned().collect(),
            "SINTER" => one.intersection(&other).cloned().collect(),
            _ => one.difference(&other).cloned().collect(),
        });
        Ok(combined.unwrap_or_default())
    }

    fn store_combined(&mut self, name: &str, args: &[Vec<u8>]) -> Answer {
        let set = self.combine(name.trim_end_matches("STORE"), &args[1..])?;
        let len = set.len();
        if len == 0 {
            self.remove(&args[0]);
        } else {
            self.put(&args[0], Content::Set(set), None);
        }
        Ok(Value::Integer(len as i64))
    }

    /// SINTERCARD.
    fn count_common(&mut self, _: &str, args: &[Vec<u8>]) -> Answer {
        let numkeys = integer(&args[0]).expect("a valid number of keys") as usize;
        let (keys, options) = args[1..].split_at(numkeys);
        let limit = options.get(1).map_or(0, |limit| integer(limit).expect("a valid limit") as usize);
        let count = self.combine("SINTER", keys)?.len();
        Ok(Value::Integer(if limit == 0 { count } else { count.min(limit) } as i64))
    }
}

fn bulks(members: Set) -> Value {
    Value::Array(members.into_iter().map(Value::Bulk).collect())
}

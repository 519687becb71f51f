//! Hashes in the sequential model: ordered maps of the standard library. What is answered in no order is sorted.

use super::{Content, Model, NOT_AN_INTEGER, OVERFLOW, WRONG_TYPE, integer};
use crate::support::resp::Value;
use std::collections::BTreeMap;

type Hash = BTreeMap<Vec<u8>, Vec<u8>>;

const HASH_VALUE_NOT_AN_INTEGER: &str = "ERR hash value is not an integer";

impl Model {
    /// Random fields are known only where all are asked for.
    pub(super) fn apply_to_hashes(&mut self, name: &str, args: &[Vec<u8>]) -> Option<Value> {
        let result = match name {
            "HSET" | "HMSET" | "HSETNX" | "HDEL" => self.edit_hash(name, args),
            "HINCRBY" => self.increment_field(args),
            "HGET" | "HMGET" | "HEXISTS" | "HSTRLEN" => self.read_fields(name, args),
            "HLEN" | "HGETALL" | "HKEYS" | "HVALS" | "HRANDFIELD" => self.read_hash(name, args),
            _ => return None,
        };
        Some(result.unwrap_or_else(|error| error))
    }

    /// The hash at a key, empty if there is none.
    pub(super) fn hash_at(&self, key: &[u8]) -> Result<Hash, Value> {
        match self.content(key) {
            None => Ok(Hash::new()),
            Some(Content::Hash(hash)) => Ok(hash.clone()),
            Some(_) => Err(Value::error(WRONG_TYPE)),
        }
    }

    /// Changes a hash and keeps the deadline. An empty hash is none, and the same hash is no change.
    fn store_hash(&mut self, key: &[u8], hash: Hash) {
        if self.hash_at(key).as_ref() == Ok(&hash) {
            return;
        }
        if hash.is_empty() {
            self.remove(key);
        } else {
            self.replace(key, Content::Hash(hash));
        }
    }

    fn edit_hash(&mut self, name: &str, args: &[Vec<u8>]) -> Result<Value, Value> {
        let mut hash = self.hash_at(&args[0])?;
        let before = hash.len();
        match name {
            "HDEL" => hash.retain(|field, _| !args[1..].contains(field)),
            "HSETNX" => {
                hash.entry(args[1].clone()).or_insert_with(|| args[2].clone());
            }
            _ => hash.extend(args[1..].chunks(2).map(|pair| (pair[0].clone(), pair[1].clone()))),
        }
        let changed = hash.len().abs_diff(before);
        self.store_hash(&args[0], hash);
        Ok(if name == "HMSET" { Value::ok() } else { Value::Integer(changed as i64) })
    }

    fn increment_field(&mut self, args: &[Vec<u8>]) -> Result<Value, Value> {
        let mut hash = self.hash_at(&args[0])?;
        let by = integer(&args[2]).ok_or_else(|| Value::error(NOT_AN_INTEGER))?;
        let before = hash.get(&args[1]).map_or(Some(0), |value| integer(value));
        let before = before.ok_or_else(|| Value::error(HASH_VALUE_NOT_AN_INTEGER))?;
        let sum = before.checked_add(by).ok_or_else(|| Value::error(OVERFLOW))?;
        hash.insert(args[1].clone(), sum.to_string().into_bytes());
        self.store_hash(&args[0], hash);
        Ok(Value::Integer(sum))
    }

    fn read_fields(&self, name: &str, args: &[Vec<u8>]) -> Result<Value, Value> {
        let hash = self.hash_at(&args[0])?;
        let value = |field: &Vec<u8>| hash.get(field).map_or(Value::NullBulk, Value::bulk);
        Ok(match name {
            "HGET" => value(&args[1]),
            "HMGET" => Value::Array(args[1..].iter().map(value).collect()),
            "HEXISTS" => Value::Integer(hash.contains_key(&args[1]).into()),
            _ => Value::Integer(hash.get(&args[1]).map_or(0, |value| value.len() as i64)),
        })
    }

    fn read_hash(&self, name: &str, args: &[Vec<u8>]) -> Result<Value, Value> {
        let hash = self.hash_at(&args[0])?;
        let pairs = |(field, value)| [Value::bulk(field), Value::bulk(value)];
        Ok(match name {
            "HLEN" => Value::Integer(hash.len() as i64),
            "HGETALL" => Value::Array(hash.iter().flat_map(pairs).collect()),
            "HVALS" => {
                let mut values: Vec<Value> = hash.values().map(Value::bulk).collect();
                values.sort();
                Value::Array(values)
            }
            "HRANDFIELD" => {
                let count = integer(&args[1]).expect("a valid count") as usize;
                assert!(count >= hash.len(), "some of several fields are not known");
                Value::Array(hash.iter().flat_map(pairs).collect())
            }
            _ => Value::Array(hash.keys().map(Value::bulk).collect()),
        })
    }
}

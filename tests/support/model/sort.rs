//! SORT in the sequential model: BY nosort for lists and sorted sets, or ALPHA; GET and STORE.

use super::{Content, Model, WRONG_TYPE};
use crate::support::resp::Value;

impl Model {
    pub(super) fn apply_to_sort(&mut self, name: &str, args: &[Vec<u8>], now_ms: u64) -> Option<Value> {
        (name == "SORT").then(|| self.sort(args, now_ms).unwrap_or_else(|error| error))
    }

    fn sort(&mut self, args: &[Vec<u8>], now_ms: u64) -> Result<Value, Value> {
        let is_set = self.kind(&args[0]) == Some("set");
        let mut elements = match self.content(&args[0]) {
            None => Vec::new(),
            Some(Content::List(list)) => list.clone(),
            Some(Content::Set(set)) => set.iter().cloned().collect(),
            Some(Content::SortedSet(set)) => set.iter().map(|(_, member)| member.clone()).collect(),
            Some(_) => return Err(Value::error(WRONG_TYPE)),
        };
        let (mut at, mut get, mut store) = (1, Vec::new(), None);
        let (mut is_alphabetic, mut is_descending) = (is_set, false);
        while at < args.len() {
            match args[at].as_slice() {
                b"ALPHA" => is_alphabetic = true,
                b"DESC" => is_descending = true,
                b"GET" => get.push(args[at + 1].clone()),
                b"STORE" => store = Some(args[at + 1].clone()),
                b"BY" => assert_eq!(args[at + 1], b"nosort", "the model knows no other order"),
                other => panic!("the model does not know {}", other.escape_ascii()),
            }
            at += if matches!(args[at].as_slice(), b"GET" | b"STORE" | b"BY") { 2 } else { 1 };
        }
        if is_alphabetic {
            elements.sort();
        }
        if is_descending {
            elements.reverse();
        }
        if get.is_empty() {
            get.push(b"#".to_vec());
        }
        let sources = elements.iter().flat_map(|element| get.iter().map(move |source| (source, element)));
        let outputs: Vec<Option<Vec<u8>>> =
            sources.map(|(source, element)| self.referred(source, element, now_ms)).collect();
        let Some(destination) = store else {
            let value = |output: Option<Vec<u8>>| output.map_or(Value::NullBulk, Value::Bulk);
            return Ok(Value::Array(outputs.into_iter().map(value).collect()));
        };
        let list: Vec<Vec<u8>> = outputs.into_iter().map(Option::unwrap_or_default).collect();
        let len = list.len();
        if list.is_empty() {
            self.remove(&destination);
        } else {
            self.put(&destination, Content::List(list), None);
        }
        Ok(Value::Integer(len as i64))
    }

    /// What a GET pattern makes of an element.
    fn referred(&self, pattern: &[u8], element: &[u8], now_ms: u64) -> Option<Vec<u8>> {
        if pattern == b"#" {
            return Some(element.to_vec());
        }
        let star = pattern.iter().position(|byte| *byte == b'*')?;
        let (before, after) = (&pattern[..star], &pattern[star + 1..]);
        let arrow = after.windows(2).position(|pair| pair == b"->");
        let (after, field) = arrow.map_or((after, None), |at| (&after[..at], Some(&after[at + 2..])));
        let entry = self.entries.get(&[before, element, after].concat())?;
        if entry.deadline.is_some_and(|deadline| deadline <= now_ms) {
            return None;
        }
        match (&entry.content, field) {
            (Content::String(value), None) => Some(value.clone()),
            (Content::Hash(hash), Some(field)) => hash.get(field).cloned(),
            _ => None,
        }
    }
}

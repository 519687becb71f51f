//! Sorted sets in the sequential model: vectors in the order of (score, member). Scores are small whole numbers, or
//! infinite.

use super::{Content, Model, WRONG_TYPE, integer};
use crate::support::resp::Value;

const NOT_A_NUMBER: &str = "ERR resulting score is not a number (NaN)";

/// A score that can be compared and hashed; -0 is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Score {
    Lowest,
    Whole(i64),
    Highest,
}

/// Members in the order of their scores.
pub type SortedSet = Vec<(Score, Vec<u8>)>;

/// A reply, which may be an error that ends a command early.
type Answer = Result<Value, Value>;

type Run = fn(&mut Model, &str, &[Vec<u8>]) -> Answer;

impl Score {
    fn parse(text: &[u8]) -> Score {
        match text {
            b"inf" | b"+inf" => Score::Highest,
            b"-inf" => Score::Lowest,
            text => Score::Whole(integer(text).expect("a score that the model knows")),
        }
    }

    fn text(self) -> Vec<u8> {
        match self {
            Score::Lowest => b"-inf".to_vec(),
            Score::Highest => b"inf".to_vec(),
            Score::Whole(number) => number.to_string().into_bytes(),
        }
    }

    /// `None` for infinity and its opposite.
    fn plus(self, other: Score) -> Option<Score> {
        match (self, other) {
            (Score::Whole(one), Score::Whole(other)) => Some(Score::Whole(one + other)),
            (Score::Whole(_), infinite) | (infinite, Score::Whole(_)) => Some(infinite),
            (one, other) => (one == other).then_some(one),
        }
    }

    /// `None` for nothing of infinity.
    fn times(self, weight: i64) -> Option<Score> {
        match self {
            Score::Whole(number) => Some(Score::Whole(number * weight)),
            _ if weight == 0 => None,
            infinite if weight > 0 => Some(infinite),
            Score::Lowest => Some(Score::Highest),
            Score::Highest => Some(Score::Lowest),
        }
    }
}

fn put(set: &mut SortedSet, member: &[u8], score: Score) {
    set.retain(|(_, other)| other != member);
    set.push((score, member.to_vec()));
    set.sort();
}

fn score_of(set: &SortedSet, member: &[u8]) -> Option<Score> {
    set.iter().find(|(_, other)| other == member).map(|(score, _)| *score)
}

fn scores(members: &[(Score, Vec<u8>)]) -> Value {
    let pair = |(score, member): &(Score, Vec<u8>)| [Value::bulk(member), Value::bulk(score.text())];
    Value::Array(members.iter().flat_map(pair).collect())
}

impl Model {
    pub(super) fn apply_to_sorted_sets(&mut self, name: &str, args: &[Vec<u8>]) -> Option<Value> {
        let run: Run = match name {
            "ZADD" => Model::zadd,
            "ZINCRBY" => Model::zincrby,
            "ZREM" => Model::zrem,
            "ZCARD" | "ZSCORE" | "ZMSCORE" | "ZRANK" | "ZREVRANK" => Model::read_sorted_set,
            "ZRANGE" | "ZREVRANGE" | "ZRANGEBYSCORE" | "ZREVRANGEBYSCORE" | "ZCOUNT" => Model::zrange,
            "ZREMRANGEBYRANK" | "ZREMRANGEBYSCORE" => Model::remove_range,
            "ZPOPMIN" | "ZPOPMAX" => Model::zpop,
            "ZUNION" | "ZINTER" | "ZDIFF" => {
                |model, name, args| Ok(scores(&model.combine_scores(name, args)?))
            }
            "ZUNIONSTORE" | "ZINTERSTORE" | "ZDIFFSTORE" | "ZRANGESTORE" => Model::store_scores,
            _ => return None,
        };
        Some(run(self, name, args).unwrap_or_else(|error| error))
    }

    /// The sorted set at a key, empty if there is none.
    fn sorted_set_at(&self, key: &[u8]) -> Result<SortedSet, Value> {
        match self.content(key) {
            None => Ok(SortedSet::new()),
            Some(Content::SortedSet(set)) => Ok(set.clone()),
            Some(_) => Err(Value::error(WRONG_TYPE)),
        }
    }

    /// Changes a sorted set and keeps the deadline. An empty one is none, and the same one is no change.
    fn store_sorted_set(&mut self, key: &[u8], set: SortedSet) {
        if self.sorted_set_at(key).as_ref() == Ok(&set) {
            return;
        }
        if set.is_empty() {
            self.remove(key);
        } else {
            self.replace(key, Content::SortedSet(set));
        }
    }

    fn zadd(&mut self, _: &str, args: &[Vec<u8>]) -> Answer {
        let mut set = self.sorted_set_at(&args[0])?;
        let is_option = |word: &&Vec<u8>| matches!(word.as_slice(), b"NX" | b"XX" | b"GT" | b"LT" | b"CH");
        let count = args[1..].iter().take_while(is_option).count();
        let (options, pairs) = args[1..].split_at(count);
        let has = |option: &str| options.iter().any(|word| word == option.as_bytes());
        let mut counted = 0;
        for pair in pairs.chunks(2) {
            let (score, member) = (Score::parse(&pair[0]), &pair[1]);
            let is_allowed = match score_of(&set, member) {
                None => !has("XX"),
                Some(_) if has("NX") => false,
                Some(before) => (!has("GT") || score > before) && (!has("LT") || score < before),
            };
            if is_allowed {
                let before = score_of(&set, member);
                counted += i64::from(before.is_none() || has("CH") && before != Some(score));
                put(&mut set, member, score);
            }
        }
        self.store_sorted_set(&args[0], set);
        Ok(Value::Integer(counted))
    }

    fn zincrby(&mut self, _: &str, args: &[Vec<u8>]) -> Answer {
        let mut set = self.sorted_set_at(&args[0])?;
        let before = score_of(&set, &args[2]).unwrap_or(Score::Whole(0));
        let sum = before.plus(Score::parse(&args[1])).ok_or_else(|| Value::error(NOT_A_NUMBER))?;
        put(&mut set, &args[2], sum);
        self.store_sorted_set(&args[0], set);
        Ok(Value::bulk(sum.text()))
    }

    fn zrem(&mut self, _: &str, args: &[Vec<u8>]) -> Answer {
        let mut set = self.sorted_set_at(&args[0])?;
        let before = set.len();
        set.retain(|(_, member)| !args[1..].contains(member));
        let removed = before - set.len();
        self.store_sorted_set(&args[0], set);
        Ok(Value::Integer(removed as i64))
    }

    fn read_sorted_set(&mut self, name: &str, args: &[Vec<u8>]) -> Answer {
        let set = self.sorted_set_at(&args[0])?;
        let score = |member: &Vec<u8>| match score_of(&set, member) {
            Some(score) => Value::bulk(score.text()),
            None => Value::NullBulk,
        };
        let rank = |member: &Vec<u8>| set.iter().position(|(_, other)| other == member);
        Ok(match name {
            "ZCARD" => Value::Integer(set.len() as i64),
            "ZSCORE" => score(&args[1]),
            "ZMSCORE" => Value::Array(args[1..].iter().map(score).collect()),
            _ => match rank(&args[1]) {
                Some(rank) if name == "ZRANK" => Value::Integer(rank as i64),
                Some(rank) => Value::Integer((set.len() - 1 - rank) as i64),
                None => Value::NullBulk,
            },
        })
    }

    /// The members in a range of ranks or scores, in the order of the command.
    fn selected(&self, name: &str, args: &[Vec<u8>]) -> Result<SortedSet, Value> {
        let mut set = self.sorted_set_at(&args[0])?;
        let is_reverse = name.contains("REV") || args[3..].iter().any(|word| word == b"REV");
        if is_reverse {
            set.reverse();
        }
        let (first, second) = (&args[1], &args[2]);
        let (low, high) = if is_reverse { (second, first) } else { (first, second) };
        let mut selected: SortedSet = if name.ends_with("SCORE") || name == "ZCOUNT" {
            let bound = |text: &[u8]| match text {
                [b'(', score @ ..] => (Score::parse(score), true),
                score => (Score::parse(score), false),
            };
            let ((low, above), (high, below)) = (bound(low), bound(high));
            let is_in = |score: Score| {
                (score > low || !above && score == low) && (score < high || !below && score == high)
            };
            set.into_iter().filter(|(score, _)| is_in(*score)).collect()
        } else {
            let len = set.len() as i64;
            let place = |text: &[u8]| {
                let rank = integer(text).expect("a rank");
                if rank < 0 { len + rank } else { rank }
            };
            let (first, last) = (place(first).max(0), place(second).min(len - 1));
            if first > last { SortedSet::new() } else { set[first as usize..=last as usize].to_vec() }
        };
        if let Some(limit) = args.iter().position(|word| word == b"LIMIT") {
            let number = |at: usize| integer(&args[at]).expect("a limit") as usize;
            selected = selected.into_iter().skip(number(limit + 1)).take(number(limit + 2)).collect();
        }
        Ok(selected)
    }

    fn zrange(&mut self, name: &str, args: &[Vec<u8>]) -> Answer {
        let selected = self.selected(name, args)?;
        Ok(match name {
            "ZCOUNT" => Value::Integer(selected.len() as i64),
            _ if args.iter().any(|word| word == b"WITHSCORES") => scores(&selected),
            _ => Value::Array(selected.into_iter().map(|(_, member)| Value::Bulk(member)).collect()),
        })
    }

    fn remove_range(&mut self, name: &str, args: &[Vec<u8>]) -> Answer {
        let selected = self.selected(name, args)?;
        let mut set = self.sorted_set_at(&args[0])?;
        set.retain(|place| !selected.contains(place));
        self.store_sorted_set(&args[0], set);
        Ok(Value::Integer(selected.len() as i64))
    }

    fn zpop(&mut self, name: &str, args: &[Vec<u8>]) -> Answer {
        let mut set = self.sorted_set_at(&args[0])?;
        let count = args.get(1).map_or(1, |count| integer(count).expect("a count") as usize).min(set.len());
        let popped: SortedSet = match name {
            "ZPOPMIN" => set.drain(..count).collect(),
            _ => set.drain(set.len() - count..).rev().collect(),
        };
        self.store_sorted_set(&args[0], set);
        Ok(scores(&popped))
    }

    /// `numkeys key [key ...] [WEIGHTS weight ...] [AGGREGATE MIN|MAX]`, with WITHSCORES.
    fn combine_scores(&self, name: &str, args: &[Vec<u8>]) -> Result<SortedSet, Value> {
        let numkeys = integer(&args[0]).expect("a number of keys") as usize;
        let (keys, options) = args[1..].split_at(numkeys);
        let option = |name: &str| options.iter().position(|word| word == name.as_bytes());
        let weight = |index: usize| match option("WEIGHTS") {
            Some(at) => integer(&options[at + 1 + index]).expect("a weight"),
            None => 1,
        };
        let input = |(index, key): (usize, &Vec<u8>)| -> Result<(SortedSet, i64), Value> {
            let members: SortedSet = match self.content(key) {
                Some(Content::Set(set)) => {
                    set.iter().map(|member| (Score::Whole(1), member.clone())).collect()
                }
                _ => self.sorted_set_at(key)?,
            };
            Ok((members, weight(index)))
        };
        let mut inputs =
            keys.iter().enumerate().map(input).collect::<Result<Vec<(SortedSet, i64)>, Value>>()?;
        // Redis begins with the smallest, and what is no number is 0 there, but neither the least nor the most of the
        // others of an intersection.
        if name != "ZDIFF" {
            inputs.sort_by_key(|(members, _)| members.len());
        }
        let zero = Score::Whole(0);
        let aggregate = |one: Score, other: Option<Score>| match option("AGGREGATE")
            .map(|at| options[at + 1].as_slice())
        {
            Some(b"MIN") => other.map_or(one, |other| one.min(other)),
            Some(b"MAX") => other.map_or(one, |other| one.max(other)),
            _ => other.and_then(|other| one.plus(other)).unwrap_or(zero),
        };
        let weighted = |(members, weight): &(SortedSet, i64)| -> SortedSet {
            let times =
                |(score, member): &(Score, Vec<u8>)| (score.times(*weight).unwrap_or(zero), member.clone());
            members.iter().map(times).collect()
        };
        let mut combined = weighted(&inputs[0]);
        for input in &inputs[1..] {
            let (other, weight) = input;
            match name {
                "ZDIFF" => combined.retain(|(_, member)| score_of(other, member).is_none()),
                "ZINTER" => combined.retain(|(_, member)| score_of(other, member).is_some()),
                _ => {
                    let other = &weighted(input);
                    let is_new = |(_, member): &&(Score, Vec<u8>)| score_of(&combined, member).is_none();
                    let new: SortedSet = other.iter().filter(is_new).cloned().collect();
                    for (score, member) in &mut combined {
                        *score =
                            score_of(other, member).map_or(*score, |other| aggregate(*score, Some(other)));
                    }
                    combined.extend(new);
                    continue;
                }
            }
            if name == "ZINTER" {
                for (score, member) in &mut combined {
                    *score = score_of(other, member)
                        .map_or(*score, |other| aggregate(*score, other.times(*weight)));
                }
            }
        }
        combined.sort();
        Ok(combined)
    }

    fn store_scores(&mut self, name: &str, args: &[Vec<u8>]) -> Answer {
        let mut set = match name {
            "ZRANGESTORE" => self.selected("ZRANGE", &args[1..])?,
            _ => self.combine_scores(name.trim_end_matches("STORE"), &args[1..])?,
        };
        set.sort();
        let len = set.len();
        if len == 0 {
            self.remove(&args[0]);
        } else {
            self.put(&args[0], Content::SortedSet(set), None);
        }
        Ok(Value::Integer(len as i64))
    }
}

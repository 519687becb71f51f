//! What may differ from redis-server 7.0 in a reply, each with a reason, and the name of its row in COMPATIBILITY.md.

use crate::support::Value;

/// One kind of difference.
pub struct Departure {
    pub name: &'static str,
    pub reason: &'static str,
    /// True if these replies to this command are such a difference.
    pub covers: fn(&Call<'_>) -> bool,
}

/// A command and the two replies to it.
pub struct Call<'a> {
    /// The command's name in upper case.
    pub name: String,
    pub args: &'a [Vec<u8>],
    pub ours: &'a Value,
    pub theirs: &'a Value,
}

/// True if the replies are equal or a listed departure explains the difference.
pub fn allow(command: &[Vec<u8>], ours: &Value, theirs: &Value) -> bool {
    let name = String::from_utf8_lossy(&command[0]).to_ascii_uppercase();
    let call = Call { name, args: &command[1..], ours, theirs };
    ours == theirs || BY_NATURE.iter().chain(DEPARTURES).any(|departure| (departure.covers)(&call))
}

/// What differs between two runs of one server too.
pub const BY_NATURE: &[Departure] = &[
    Departure {
        name: "time passes",
        reason: "TTL and the deadline of a relative expiry depend on the instant at which a server ran the command",
        covers: |call| {
            let bound = match call.name.as_str() {
                "TTL" | "EXPIRETIME" => 5,
                "PTTL" | "PEXPIRETIME" => 5000,
                // Two relative deadlines compare by the instants at which they were set.
                "EXPIRE" | "PEXPIRE" if compares_deadlines(call.args) => 1,
                _ => return false,
            };
            matches!((call.ours, call.theirs), (Value::Integer(ours), Value::Integer(theirs))
                if *ours >= 0 && *theirs >= 0 && ours.abs_diff(*theirs) <= bound)
        },
    },
    Departure {
        name: "order of keys",
        reason: "KEYS and SCAN promise no order, SCAN no particular cursors and no exact page size",
        covers: |call| match (call.name.as_str(), call.ours, call.theirs) {
            ("KEYS", Value::Array(ours), Value::Array(theirs)) => sorted(ours) == sorted(theirs),
            ("SCAN", Value::Array(ours), Value::Array(theirs)) => {
                same_page(ours, theirs, call.args.first().is_some_and(|cursor| cursor == b"0"))
            }
            _ => false,
        },
    },
    Departure {
        name: "order of fields",
        reason: "the fields of a hash have no order, and HSCAN has no particular cursors and no exact page size",
        covers: |call| match (call.name.as_str(), call.ours, call.theirs) {
            ("HKEYS" | "HVALS", ours, theirs) => same_members(ours, theirs),
            ("HGETALL", Value::Array(ours), Value::Array(theirs)) => pairs(ours) == pairs(theirs),
            ("HGETALL", Value::Map(ours), Value::Map(theirs)) => {
                let (mut ours, mut theirs) = (ours.clone(), theirs.clone());
                (ours.sort(), theirs.sort()) == ((), ()) && ours == theirs
            }
            ("HSCAN", Value::Array(ours), Value::Array(theirs)) => {
                same_page(ours, theirs, call.args.get(1).is_some_and(|cursor| cursor == b"0"))
            }
            _ => false,
        },
    },
    Departure {
        name: "random fields",
        reason: "HRANDFIELD answers any fields, as many as asked for",
        covers: |call| call.name == "HRANDFIELD" && same_shape(call.ours, call.theirs),
    },
    Departure {
        name: "order of what SORT is told not to sort, or by texts that tie",
        reason: "the members of a set have no order of their own; ties of texts stay in whatever order there was",
        covers: |call| {
            let has = |word: &str| call.args.iter().any(|arg| arg.eq_ignore_ascii_case(word.as_bytes()));
            call.name.starts_with("SORT") && has("BY") && same_shape(call.ours, call.theirs)
        },
    },
    Departure {
        name: "numbers once out of range",
        reason: "Redis 7.0 looks at errno without clearing it: after any number that was out of range, in whatever \
                 command, SORT finds that none of its elements is a number",
        covers: |call| {
            let error = "ERR One or more scores can't be converted into double";
            call.name.starts_with("SORT") && *call.theirs == Value::error(error) && !call.ours.is_error()
        },
    },
    Departure {
        name: "order of members",
        reason: "the members of a set have no order, and SSCAN has no particular cursors and no exact page size",
        covers: |call| match (call.name.as_str(), call.ours, call.theirs) {
            ("SMEMBERS" | "SUNION" | "SINTER" | "SDIFF" | "SPOP", ours, theirs) => same_members(ours, theirs),
            ("SSCAN", Value::Array(ours), Value::Array(theirs)) => {
                same_page(ours, theirs, call.args.get(1).is_some_and(|cursor| cursor == b"0"))
            }
            _ => false,
        },
    },
    Departure {
        name: "random members",
        reason: "SRANDMEMBER answers any members, as many as asked for",
        covers: |call| {
            call.name == "SRANDMEMBER"
                && match (call.ours, call.theirs) {
                    (Value::Array(ours), Value::Array(theirs)) => ours.len() == theirs.len(),
                    (ours, theirs) => matches!((ours, theirs), (Value::Bulk(_), Value::Bulk(_))),
                }
        },
    },
    Departure {
        name: "order of a walk",
        reason: "ZSCAN promises no order, no particular cursors and no exact page size",
        covers: |call| match (call.name.as_str(), call.ours, call.theirs) {
            ("ZSCAN", Value::Array(ours), Value::Array(theirs)) => {
                same_page(ours, theirs, call.args.get(1).is_some_and(|cursor| cursor == b"0"))
            }
            _ => false,
        },
    },
    Departure {
        name: "random members of sorted sets",
        reason: "ZRANDMEMBER answers any members, as many as asked for",
        covers: |call| call.name == "ZRANDMEMBER" && same_draw(call.ours, call.theirs),
    },
    Departure {
        name: "random key",
        reason: "RANDOMKEY answers any key",
        covers: |call| {
            call.name == "RANDOMKEY" && matches!((call.ours, call.theirs), (Value::Bulk(_), Value::Bulk(_)))
        },
    },
    Departure {
        name: "identity",
        reason: "version, connection ids and addresses are those of this server",
        covers: |call| match call.name.as_str() {
            "HELLO" => same_hello(call.ours, call.theirs),
            "CLIENT" => match call.args.first().map(|word| word.to_ascii_uppercase()).as_deref() {
                Some(b"ID") => matches!((call.ours, call.theirs), (Value::Integer(_), Value::Integer(_))),
                Some(b"INFO" | b"LIST") => !call.ours.is_error() && !call.theirs.is_error(),
                _ => false,
            },
            _ => false,
        },
    },
];

/// What is different on purpose.
pub const DEPARTURES: &[Departure] = &[
    Departure {
        name: "`OBJECT ENCODING` of a short string that `APPEND` or `SETRANGE` made",
        reason: "OBJECT ENCODING follows from the value alone: APPEND, SETRANGE and the like leave no raw string \
                 behind; OBJECT REFCOUNT counts no shared integers; OBJECT IDLETIME depends on the instant",
        covers: |call| {
            let kind = call.args.first().map(|word| word.to_ascii_uppercase());
            match (kind.as_deref(), call.ours, call.theirs) {
                (Some(b"ENCODING"), Value::Bulk(ours), Value::Bulk(theirs)) => {
                    call.name == "OBJECT" && ours == b"embstr" && theirs == b"raw"
                }
                (Some(b"IDLETIME" | b"REFCOUNT"), Value::Integer(_), Value::Integer(_)) => {
                    call.name == "OBJECT"
                }
                _ => false,
            }
        },
    },
    Departure {
        name: "`OBJECT ENCODING` of a small list",
        reason: "a list of one leaf is a listpack, as it is for Redis from 7.2 on; for 7.0 it is a quicklist of one",
        covers: |call| {
            call.name == "OBJECT"
                && *call.ours == Value::bulk("listpack")
                && *call.theirs == Value::bulk("quicklist")
        },
    },
    Departure {
        name: "`SORT` by the text of values with zero bytes, or in a locale",
        reason: "texts are compared as bytes; Redis compares what it answers up to the first zero byte",
        covers: |call| {
            let has_zero = |value: &Value| matches!(value, Value::Bulk(bytes) if bytes.contains(&0));
            let is_odd = matches!(call.ours, Value::Array(ours) if ours.iter().any(has_zero));
            call.name.starts_with("SORT") && is_odd && same_shape(call.ours, call.theirs)
        },
    },
    Departure {
        name: "`OBJECT ENCODING` of a hash",
        reason: "a hash of one leaf is a listpack, whatever the lengths of its fields",
        covers: |call| {
            let names = [Value::bulk("listpack"), Value::bulk("hashtable")];
            call.name == "OBJECT" && names.contains(call.ours) && names.contains(call.theirs)
        },
    },
    Departure {
        name: "`OBJECT ENCODING` of a set",
        reason: "a set of one leaf is a listpack, as it may be for Redis from 7.2 on; integers have no other form",
        covers: |call| {
            let ours = [Value::bulk("listpack"), Value::bulk("hashtable")];
            let theirs = [Value::bulk("intset"), Value::bulk("hashtable")];
            call.name == "OBJECT" && ours.contains(call.ours) && theirs.contains(call.theirs)
        },
    },
    Departure {
        name: "`OBJECT ENCODING` of a sorted set",
        reason: "a sorted set of one leaf is a listpack, whatever the lengths of its members and its past",
        covers: |call| {
            let names = [Value::bulk("listpack"), Value::bulk("skiplist")];
            call.name == "OBJECT" && names.contains(call.ours) && names.contains(call.theirs)
        },
    },
    Departure {
        name: "`ZRANK` and `ZREVRANK` with `WITHSCORE`",
        reason: "ZRANK and ZREVRANK take WITHSCORE, as they do from Redis 7.2 on",
        covers: |call| {
            let arity = format!("ERR wrong number of arguments for '{}' command", call.name.to_lowercase());
            matches!(call.name.as_str(), "ZRANK" | "ZREVRANK")
                && call.args.len() == 3
                && *call.theirs == Value::error(&arity)
        },
    },
    Departure {
        name: "A score of -0",
        reason: "a stored score of -0 is 0, as it is in Redis's small sorted sets",
        covers: |call| {
            call.name.starts_with('Z') && with_plain_scores(call.ours) == with_plain_scores(call.theirs)
        },
    },
    Departure {
        name: "Scores of 1e17 and more in `ZSCAN`",
        reason: "ZSCAN writes scores as all commands do; Redis writes whole ones of small sorted sets in full",
        covers: |call| match (with_plain_scores(call.ours), with_plain_scores(call.theirs)) {
            (Value::Array(ours), Value::Array(theirs)) if call.name == "ZSCAN" => {
                pairs(ours[1].elements()) == pairs(theirs[1].elements())
            }
            _ => false,
        },
    },
    Departure {
        name: "Lines of `HELP`",
        reason: "the lines of HELP describe kvns and are its own; their first line is as in Redis",
        covers: |call| {
            let help = call.args.first().is_some_and(|word| word.eq_ignore_ascii_case(b"HELP"));
            match (call.ours, call.theirs) {
                (Value::Array(ours), Value::Array(theirs)) => help && ours.first() == theirs.first(),
                _ => false,
            }
        },
    },
    Departure {
        name: "A zero byte in a name that an error shows",
        reason: "error texts show all bytes of a name; Redis stops at a zero byte",
        covers: |call| {
            let cut = |text: &[u8]| {
                let until_zero =
                    |part: &[u8]| part.split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
                text.split(|byte| *byte == b'\'').map(until_zero).collect::<Vec<_>>()
            };
            match (call.ours, call.theirs) {
                (Value::Error(ours), Value::Error(theirs)) => {
                    theirs.starts_with(b"ERR") && cut(ours) == cut(theirs)
                }
                _ => false,
            }
        },
    },
    Departure {
        name: "Cursors of `SCAN`",
        reason: "SCAN takes a decimal number as its cursor; Redis takes whatever strtoul takes, an empty one too",
        covers: |call| call.name.ends_with("SCAN") && *call.ours == Value::error("ERR invalid cursor"),
    },
];

fn compares_deadlines(args: &[Vec<u8>]) -> bool {
    args.iter().any(|word| word.eq_ignore_ascii_case(b"GT") || word.eq_ignore_ascii_case(b"LT"))
}

fn sorted(values: &[Value]) -> Vec<Value> {
    let mut values = values.to_vec();
    values.sort();
    values
}

/// Fields and values that follow each other, as sorted pairs.
fn pairs(flat: &[Value]) -> Vec<&[Value]> {
    let mut pairs: Vec<&[Value]> = flat.chunks(2).collect();
    pairs.sort();
    pairs
}

/// Two replies of the same types, whatever their strings are.
fn same_shape(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Array(ours), Value::Array(theirs)) => {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(our, their)| same_shape(our, their))
        }
        (Value::Bulk(_), Value::Bulk(_)) => true,
        (Value::Bulk(_), null) | (null, Value::Bulk(_)) => null.is_null(),
        (ours, theirs) => ours == theirs,
    }
}

/// The same reply with zeros that have no sign, and large numbers in one form.
fn with_plain_scores(value: &Value) -> Value {
    let plain = |text: &[u8]| {
        let number: Option<f64> = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
        match number {
            Some(0.0) if text == b"-0" => b"0".to_vec(),
            Some(large) if large.abs() >= 1e17 => format!("{large:e}").into_bytes(),
            _ => text.to_vec(),
        }
    };
    match value {
        Value::Bulk(text) => Value::Bulk(plain(text)),
        Value::Double(text) => Value::Double(plain(text)),
        Value::Array(values) => Value::Array(values.iter().map(with_plain_scores).collect()),
        other => other.clone(),
    }
}

/// Two replies of ZRANDMEMBER: the same shape, whatever the members and scores are.
fn same_draw(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Array(ours), Value::Array(theirs)) => {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(our, their)| same_draw(our, their))
        }
        (ours, theirs) => std::mem::discriminant(ours) == std::mem::discriminant(theirs) && !ours.is_error(),
    }
}

/// Two sets of the same members, in arrays or in RESP3's sets.
fn same_members(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Array(ours), Value::Array(theirs)) | (Value::Set(ours), Value::Set(theirs)) => {
            sorted(ours) == sorted(theirs)
        }
        _ => false,
    }
}

/// Two replies of SCAN: walks that were complete in one call show the same keys, others say nothing.
fn same_page(ours: &[Value], theirs: &[Value], from_start: bool) -> bool {
    let well_formed = |page: &[Value]| matches!(page, [Value::Bulk(_), Value::Array(_)]);
    let complete = |page: &[Value]| from_start && page[0] == Value::bulk("0");
    well_formed(ours)
        && well_formed(theirs)
        && (!complete(ours)
            || !complete(theirs)
            || sorted(ours[1].elements()) == sorted(theirs[1].elements()))
}

/// Two replies of HELLO: the same fields in the same order, the same values beside version and id.
fn same_hello(ours: &Value, theirs: &Value) -> bool {
    let fields = |value: &Value| match value {
        Value::Map(pairs) => Some(pairs.clone()),
        Value::Array(flat) => Some(flat.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()),
        _ => None,
    };
    let (Some(our_fields), Some(their_fields)) = (fields(ours), fields(theirs)) else { return false };
    let varies = |key: &Value| matches!(key.bytes(), b"version" | b"id");
    std::mem::discriminant(ours) == std::mem::discriminant(theirs)
        && our_fields.len() == their_fields.len()
        && our_fields
            .iter()
            .zip(&their_fields)
            .all(|(our, their)| our.0 == their.0 && (varies(&our.0) || our.1 == their.1))
}

#[test]
fn every_departure_says_why_and_is_listed() {
    let paper = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/COMPATIBILITY.md"))
        .expect("COMPATIBILITY.md");
    for departure in BY_NATURE.iter().chain(DEPARTURES) {
        assert!(!departure.name.is_empty() && departure.reason.len() > 20, "{}", departure.name);
    }
    for departure in DEPARTURES {
        let row = format!("| {} |", departure.name);
        assert!(paper.contains(&row), "COMPATIBILITY.md has no row {row}");
    }
}

//! Inputs for the dispatch target that get past parsing: real command names and options, few keys, numbers at their
//! borders, binary. Some are damaged afterwards.

use super::dispatch::CONTROLS;
use kvns::command::table;
use rand::Rng;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;

/// Lines with places for a key (`K`), a value (`V`), a number (`N`), a short time (`T`) and a pattern (`P`).
const LINES: &[&str] = &[
    "GET K",
    "SET K V",
    "SET K N",
    "SET K V NX GET",
    "SET K V XX KEEPTTL",
    "SET K V EX T",
    "SET K V PX T",
    "SET K V PXAT N",
    "SET K V EXAT N",
    "SETEX K T V",
    "PSETEX K T V",
    "SETNX K V",
    "GETSET K V",
    "GETDEL K",
    "GETEX K PX T",
    "GETEX K EXAT N",
    "GETEX K PERSIST",
    "APPEND K V",
    "SETRANGE K N V",
    "SETRANGE K T V",
    "GETRANGE K N N",
    "STRLEN K",
    "INCR K",
    "DECRBY K N",
    "INCRBY K N",
    "INCRBYFLOAT K N",
    "INCRBYFLOAT K 1e308",
    "MGET K K K K",
    "MSET K V K V K V",
    "MSETNX K V K V",
    "LCS K K",
    "LCS K K IDX WITHMATCHLEN MINMATCHLEN T",
    "LPUSH K V V N",
    "RPUSH K V V V V",
    "RPUSH K V N",
    "LPUSHX K V",
    "RPUSHX K V",
    "LPOP K",
    "RPOP K",
    "LPOP K N",
    "RPOP K T",
    "LLEN K",
    "LRANGE K N N",
    "LRANGE K 0 -1",
    "LINDEX K N",
    "LSET K N V",
    "LREM K N V",
    "LTRIM K T N",
    "LINSERT K BEFORE V V",
    "LINSERT K AFTER N V",
    "LPOS K V RANK N COUNT N MAXLEN N",
    "LMOVE K K LEFT RIGHT",
    "LMOVE K K RIGHT LEFT",
    "RPOPLPUSH K K",
    "LMPOP 2 K K LEFT COUNT N",
    "LMPOP N K K RIGHT",
    "SADD K V V V",
    "SADD K N N N N",
    "SREM K V N",
    "SMEMBERS K",
    "SCARD K",
    "SISMEMBER K V",
    "SMISMEMBER K V N",
    "SPOP K",
    "SPOP K N",
    "SPOP K T",
    "SRANDMEMBER K",
    "SRANDMEMBER K T",
    "SRANDMEMBER K N",
    "SUNION K K K",
    "SINTER K K",
    "SDIFF K K K",
    "SUNIONSTORE K K K",
    "SINTERSTORE K K K",
    "SDIFFSTORE K K K",
    "SINTERCARD 2 K K LIMIT N",
    "SINTERCARD N K K",
    "SMOVE K K V",
    "SSCAN K 0 MATCH P COUNT T",
    "SSCAN K N COUNT N",
    "HSET K V V",
    "HSET K V N V V V V",
    "HMSET K V V",
    "HSETNX K V V",
    "HGET K V",
    "HMGET K V V V",
    "HDEL K V V",
    "HEXISTS K V",
    "HSTRLEN K V",
    "HLEN K",
    "HGETALL K",
    "HKEYS K",
    "HVALS K",
    "HINCRBY K V N",
    "HINCRBYFLOAT K V N",
    "HRANDFIELD K",
    "HRANDFIELD K T WITHVALUES",
    "HRANDFIELD K -3",
    "HSCAN K N MATCH P COUNT T",
    "HSCAN K 0 COUNT N",
    "SORT K",
    "SORT K ALPHA DESC LIMIT N N STORE K",
    "SORT K BY P GET # GET P GET *->V",
    "SORT_RO K BY nosort DESC LIMIT T T",
    "DEL K K",
    "UNLINK K",
    "EXISTS K K",
    "TOUCH K",
    "TYPE K",
    "TTL K",
    "PEXPIRETIME K",
    "EXPIRE K T",
    "EXPIRE K N GT",
    "PEXPIRE K T NX",
    "PEXPIREAT K N LT",
    "PERSIST K",
    "RENAME K K",
    "RENAMENX K K",
    "COPY K K",
    "COPY K K REPLACE DB N",
    "OBJECT ENCODING K",
    "OBJECT FREQ K",
    "OBJECT IDLETIME K",
    "MEMORY USAGE K SAMPLES N",
    "RANDOMKEY",
    "DBSIZE",
    "SCAN N MATCH P COUNT T",
    "SCAN 0 COUNT N",
    "SCAN 0 TYPE string",
    "SCAN 0 TYPE list",
    "KEYS P",
    "FLUSHALL",
    "FLUSHDB ASYNC",
    "MULTI",
    "MULTI",
    "EXEC",
    "EXEC",
    "DISCARD",
    "WATCH K K",
    "UNWATCH",
    "HELLO N",
    "HELLO 2",
    "HELLO 3 AUTH default V SETNAME V",
    "RESET",
    "QUIT",
    "CLIENT REPLY SKIP",
    "CLIENT REPLY OFF",
    "CLIENT REPLY ON",
    "CLIENT SETNAME V",
    "CLIENT LIST",
    "CLIENT INFO",
    "CLIENT SETINFO lib-name V",
    "COMMAND GETKEYS SET K V",
    "COMMAND GETKEYSANDFLAGS MSET K V K V",
    "COMMAND INFO get P",
    "COMMAND DOCS set client|list",
    "COMMAND LIST FILTERBY PATTERN P",
    "CONFIG GET P",
    "CONFIG SET timeout N maxclients N",
    "CONFIG SET max-resp-args N",
    "INFO",
    "INFO P",
    "MEMORY STATS",
    "MEMORY DOCTOR",
    "ECHO V",
    "PING V",
];

const OPTIONS: &[&[u8]] = &[
    b"EX",
    b"PX",
    b"EXAT",
    b"PXAT",
    b"NX",
    b"XX",
    b"GT",
    b"LT",
    b"GET",
    b"KEEPTTL",
    b"PERSIST",
    b"MATCH",
    b"COUNT",
    b"TYPE",
    b"REPLACE",
    b"DB",
    b"LEN",
    b"IDX",
    b"MINMATCHLEN",
    b"WITHMATCHLEN",
    b"ASYNC",
    b"SYNC",
    b"AUTH",
    b"SETNAME",
    b"ON",
    b"OFF",
    b"SKIP",
    b"SAMPLES",
    b"FILTERBY",
    b"BY",
    b"ALPHA",
    b"STORE",
    b"LIMIT",
    b"WITHVALUES",
    b"ACLCAT",
    b"MODULE",
    b"HELP",
    b"LEFT",
    b"RIGHT",
    b"BEFORE",
    b"AFTER",
    b"RANK",
    b"MAXLEN",
    b"*",
];

const KEYS: &[&[u8]] = &[
    b"a",
    b"b",
    b"c",
    b"default/a",
    b"default/b",
    b"default/a/b",
    b"ns/a",
    b"ns/b",
    b"ns/a/b",
    b"n2/a",
    b"/",
    b"/a",
    b"ns/",
    b"",
    b"default/",
    b"\x00\xff\r\n",
    b"\xff/\x00",
];

const VALUES: &[&[u8]] = &[
    b"",
    b"v",
    b"hello world",
    b"12",
    b"-9223372036854775808",
    b"9223372036854775807",
    b"007",
    b"1.5",
    b"nan",
    b"\x00\r\n\xff",
    b"aaaaaaaabbbbbbbbccccccccddddddddeeeeeeeeffffff",
];

const NUMBERS: &[&[u8]] = &[
    b"0",
    b"-1",
    b"1",
    b"2",
    b"3",
    b"10",
    b"1023",
    b"1024",
    b"1025",
    b"16383",
    b"16384",
    b"65535",
    b"65536",
    b"16777216",
    b"536870911",
    b"536870912",
    b"2147483647",
    b"2147483648",
    b"4294967295",
    b"4294967296",
    b"9223372036854775",
    b"9223372036854776",
    b"9223372036854775807",
    b"9223372036854775808",
    b"-9223372036854775808",
    b"-9223372036854775809",
    b"18446744073709551615",
    b"18446744073709551616",
    b"1e3",
    b"0x1",
    b"+1",
    b" 1",
    b"01",
    b"1700000000",
    b"1700000001",
    b"1700000000000",
    b"1700000001000",
    b"inf",
    b"-nan",
    b"3.0e-5",
];

const TIMES: &[&[u8]] = &[b"1", b"2", b"10", b"500", b"1000", b"5000", b"100000", b"0", b"-1"];

const PATTERNS: &[&[u8]] = &[
    b"*",
    b"a",
    b"ns/*",
    b"default/*",
    b"*a*",
    b"[a-c]",
    b"[^a]*",
    b"[!a]",
    b"?",
    b"\\*",
    b"a*a*a*a*b",
    b"[",
    b"n?/a",
    b"s*",
    b"keyspace",
];

fn one_of(rng: &mut SmallRng, words: &[&[u8]]) -> Vec<u8> {
    words.choose(rng).copied().unwrap_or_default().to_vec()
}

fn value(rng: &mut SmallRng) -> Vec<u8> {
    match rng.random_range(0..12) {
        // Around the length from which values are shared.
        0 => vec![rng.random(); rng.random_range(16_380..16_390)],
        1 => (0..rng.random_range(0..80)).map(|_| rng.random()).collect(),
        _ => one_of(rng, VALUES),
    }
}

fn word(rng: &mut SmallRng, form: &str) -> Vec<u8> {
    match form {
        "K" => one_of(rng, KEYS),
        "V" => value(rng),
        "N" => one_of(rng, NUMBERS),
        "T" => one_of(rng, TIMES),
        "P" => one_of(rng, PATTERNS),
        plain => plain.as_bytes().to_vec(),
    }
}

/// A command of the table, with about as many arguments as it takes, of any kind.
fn any_command(rng: &mut SmallRng) -> Vec<Vec<u8>> {
    let spec = table::ROWS.choose(rng).expect("a row");
    let mut request: Vec<Vec<u8>> = spec.name.split('|').map(|part| part.as_bytes().to_vec()).collect();
    for _ in 0..rng.random_range(0..6) {
        let form = ["K", "K", "V", "N", "T", "P", "O"].choose(rng).copied().unwrap_or_default();
        request.push(if form == "O" { one_of(rng, OPTIONS) } else { word(rng, form) });
    }
    request
}

fn push_request(rng: &mut SmallRng, input: &mut Vec<u8>) {
    let request: Vec<Vec<u8>> = if rng.random_range(0..4) == 0 {
        any_command(rng)
    } else {
        LINES.choose(rng).copied().unwrap_or_default().split(' ').map(|form| word(rng, form)).collect()
    };
    input.extend_from_slice(format!("*{}\r\n", request.len()).as_bytes());
    for arg in &request {
        input.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        input.extend_from_slice(arg);
        input.extend_from_slice(b"\r\n");
    }
}

/// An input of up to some dozen requests.
pub fn generate(rng: &mut SmallRng) -> Vec<u8> {
    let mut input: Vec<u8> = (0..CONTROLS).map(|_| rng.random()).collect();
    for _ in 0..rng.random_range(1..60) {
        push_request(rng, &mut input);
    }
    if rng.random_range(0..4) == 0 {
        let at = rng.random_range(0..input.len());
        match rng.random_range(0..3) {
            0 => input[at] = rng.random(),
            1 => input.truncate(at),
            _ => drop(input.splice(at..at, one_of(rng, NUMBERS))),
        }
    }
    input
}

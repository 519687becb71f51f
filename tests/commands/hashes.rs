//! Family hashes.

use crate::harness::{Client, Server};
use std::collections::{BTreeMap, BTreeSet};

const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";
const NOT_AN_INTEGER: &str = "-ERR value is not an integer or out of range";
const SYNTAX: &str = "-ERR syntax error";

#[test]
fn set_and_get_fields() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("HGET h a", "$-1"),
        ("HSET h a 1 b two", ":2"),
        ("HGET h a", "$1\n1"),
        ("HGET h b", "$3\ntwo"),
        ("HGET h c", "$-1"),
        ("HSET h a 1", ":0"),
        ("HSET h a other c 3", ":1"),
        ("HSET h d 1 d 2 d 3", ":1"),
        ("HGET h d", "$1\n3"),
        ("HSET h \"\" \"\"", ":1"),
        ("HGET h \"\"", "$0\n"),
        ("HLEN h", ":5"),
        ("HMSET h a 1 b 2", "+OK"),
        ("HMGET h a b nosuch c", "*4\n$1\n1\n$1\n2\n$-1\n$1\n3"),
        ("HMGET nosuch a b", "*2\n$-1\n$-1"),
        ("HSETNX h a 9", ":0"),
        ("HSETNX h e 9", ":1"),
        ("HSETNX new e 9", ":1"),
        ("HGETALL new", "*2\n$1\ne\n$1\n9"),
        ("HEXISTS h a", ":1"),
        ("HEXISTS h nosuch", ":0"),
        ("HEXISTS nosuch a", ":0"),
        ("HSTRLEN h e", ":1"),
        ("HSTRLEN h nosuch", ":0"),
        ("HSTRLEN nosuch a", ":0"),
        ("HLEN nosuch", ":0"),
        ("TYPE h", "+hash"),
        ("OBJECT ENCODING h", "$8\nlistpack"),
    ]);
    let mut c = server.client3();
    c.check_all(&[
        ("HGET h nosuch", "_"),
        ("HMGET h a nosuch", "*2\n$1\n1\n_"),
        ("HGETALL new", "%1\n$1\ne\n$1\n9"),
        ("HGETALL nosuch", "%0"),
    ]);
}

#[test]
fn whole_hashes() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("HSET h b 1 a 2 c 3", ":3"),
        ("HGETALL h", "*6\n$1\nb\n$1\n1\n$1\na\n$1\n2\n$1\nc\n$1\n3"),
        ("HKEYS h", "*3\n$1\nb\n$1\na\n$1\nc"),
        ("HVALS h", "*3\n$1\n1\n$1\n2\n$1\n3"),
        ("HGETALL nosuch", "*0"),
        ("HKEYS nosuch", "*0"),
        ("HVALS nosuch", "*0"),
    ]);
    let mut c = server.client3();
    c.check_all(&[
        ("HGETALL h", "%3\n$1\nb\n$1\n1\n$1\na\n$1\n2\n$1\nc\n$1\n3"),
        ("HKEYS h", "*3\n$1\nb\n$1\na\n$1\nc"),
        ("HVALS h", "*3\n$1\n1\n$1\n2\n$1\n3"),
    ]);
}

#[test]
fn delete_fields() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("HDEL nosuch a", ":0"),
        ("HSET h a 1 b 2 c 3", ":3"),
        ("HDEL h a a nosuch", ":1"),
        ("HDEL h a", ":0"),
        ("HKEYS h", "*2\n$1\nb\n$1\nc"),
        ("EXPIRE h 100", ":1"),
        ("HSET h d 4", ":1"),
        ("HDEL h d", ":1"),
        ("TTL h", ":100"),
        ("HDEL h c b", ":2"),
        ("EXISTS h", ":0"),
        ("HSET h a 1", ":1"),
        ("TTL h", ":-1"),
    ]);
}

#[test]
fn wrong_types_and_arity() {
    let server = Server::new();
    let mut c = server.client();
    c.check("SET s x", "+OK");
    for line in [
        "HSET s a b",
        "HMSET s a b",
        "HSETNX s a b",
        "HGET s a",
        "HMGET s a",
        "HDEL s a",
        "HEXISTS s a",
        "HSTRLEN s a",
        "HLEN s",
        "HGETALL s",
        "HKEYS s",
        "HVALS s",
        "HINCRBY s a 1",
        "HINCRBYFLOAT s a 1",
        "HRANDFIELD s",
        "HRANDFIELD s 0",
        "HSCAN s 0",
    ] {
        c.check(line, WRONG_TYPE);
    }
    c.check_all(&[
        ("HSET s a", "-ERR wrong number of arguments for 'hset' command"),
        ("HSET s a b c", "-ERR wrong number of arguments for 'hset' command"),
        ("HMSET s a b c", "-ERR wrong number of arguments for 'hmset' command"),
        ("HSET h a 1", ":1"),
        ("GET h", WRONG_TYPE),
        ("APPEND h x", WRONG_TYPE),
        ("SET h x", "+OK"),
        ("GET h", "$1\nx"),
    ]);
}

#[test]
fn counters() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("HINCRBY h a 5", ":5"),
        ("HINCRBY h a -7", ":-2"),
        ("HGET h a", "$2\n-2"),
        ("HSET h b x c 9223372036854775807 d \" 1\" e \"\" f -9223372036854775808", ":5"),
        ("HINCRBY h b 1", "-ERR hash value is not an integer"),
        ("HINCRBY h d 1", "-ERR hash value is not an integer"),
        ("HINCRBY h e 1", "-ERR hash value is not an integer"),
        ("HINCRBY h c 1", "-ERR increment or decrement would overflow"),
        ("HINCRBY h f -1", "-ERR increment or decrement would overflow"),
        ("HINCRBY h a abc", NOT_AN_INTEGER),
        ("HINCRBY h a 1.5", NOT_AN_INTEGER),
        ("HINCRBYFLOAT h g 3.0e3", "$4\n3000"),
        ("HINCRBYFLOAT h g 0.5", "$6\n3000.5"),
        ("HINCRBYFLOAT h g -3000.5", "$1\n0"),
        ("HINCRBYFLOAT h a 0.1", "$4\n-1.9"),
        ("HINCRBYFLOAT h b 1", "-ERR hash value is not a float"),
        ("HINCRBYFLOAT h e 1", "-ERR hash value is not a float"),
        ("HINCRBYFLOAT h a abc", "-ERR value is not a valid float"),
        ("HINCRBYFLOAT h a nan", "-ERR value is not a valid float"),
        ("HINCRBYFLOAT h a +inf", "-ERR value is NaN or Infinity"),
        ("HSET h i inf j 1.1e4932", ":2"),
        ("HINCRBYFLOAT h i 1", "-ERR increment would produce NaN or Infinity"),
        ("HINCRBYFLOAT h j 1.1e4932", "-ERR increment would produce NaN or Infinity"),
        ("HGET h i", "$3\ninf"),
        ("EXPIRE h 10", ":1"),
        ("HINCRBY h n 1", ":1"),
        ("TTL h", ":10"),
    ]);
}

/// A hash of `count` fields `f0`, `f1`, ... and their numbers as values.
fn fill(c: &mut Client, key: &str, count: usize) {
    for from in (0..count).step_by(500) {
        let pairs = (from..count.min(from + 500)).map(|n| format!(" f{n} {n}"));
        c.run(&format!("HSET {key}{}", pairs.collect::<String>()));
    }
    c.check(&format!("HLEN {key}"), &format!(":{count}"));
}

/// The bulk strings of a reply.
fn bulks(reply: &str) -> Vec<String> {
    let mut lines = reply.lines();
    let mut found = Vec::new();
    while let Some(line) = lines.next() {
        if line.starts_with('$') {
            found.push(lines.next().unwrap_or_default().to_owned());
        }
    }
    found
}

fn check_pairs(flat: &[String]) -> BTreeMap<&str, &str> {
    let pairs: BTreeMap<&str, &str> = flat.chunks(2).map(|pair| (&*pair[0], &*pair[1])).collect();
    assert!(pairs.iter().all(|(field, value)| field[1..] == **value));
    pairs
}

#[test]
fn large_hashes_answer_like_small_ones() {
    const FIELDS: usize = 20_000;
    let server = Server::new();
    let mut c = server.client();
    fill(&mut c, "h", FIELDS);
    c.check_all(&[
        ("OBJECT ENCODING h", "$9\nhashtable"),
        ("HGET h f19999", "$5\n19999"),
        ("HGET h f20000", "$-1"),
        ("HSETNX h f5 x", ":0"),
        ("HINCRBY h f5 -5", ":0"),
        ("HINCRBY h f5 5", ":5"),
    ]);
    let whole = c.run("HGETALL h");
    assert!(whole.starts_with("*40000\n"));
    let flat = bulks(&whole);
    assert_eq!(check_pairs(&flat).len(), FIELDS);
    let keys: Vec<String> = bulks(&c.run("HKEYS h"));
    let values: Vec<String> = bulks(&c.run("HVALS h"));
    assert!(flat.iter().step_by(2).eq(&keys) && flat.iter().skip(1).step_by(2).eq(&values));
    for n in 0..FIELDS {
        c.check(&format!("HDEL h f{n} nosuch"), ":1");
    }
    c.check("EXISTS h", ":0");
}

#[test]
fn random_fields_have_redis_shapes() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("HRANDFIELD nosuch", "$-1"),
        ("HRANDFIELD nosuch 5", "*0"),
        ("HRANDFIELD nosuch -5 WITHVALUES", "*0"),
        ("HSET h a 1", ":1"),
        ("HRANDFIELD h", "$1\na"),
        ("HRANDFIELD h 0", "*0"),
        ("HRANDFIELD h 5", "*1\n$1\na"),
        ("HRANDFIELD h -3", "*3\n$1\na\n$1\na\n$1\na"),
        ("HRANDFIELD h 9223372036854775807", "*1\n$1\na"),
        ("HRANDFIELD h 5 withvalues", "*2\n$1\na\n$1\n1"),
        ("HRANDFIELD h -2 WITHVALUES", "*4\n$1\na\n$1\n1\n$1\na\n$1\n1"),
        ("HRANDFIELD h abc FOO", NOT_AN_INTEGER),
        ("HRANDFIELD h WITHVALUES", NOT_AN_INTEGER),
        ("HRANDFIELD h 1 FOO", SYNTAX),
        ("HRANDFIELD h 1 WITHVALUES X", SYNTAX),
        ("HRANDFIELD h 9223372036854775807 FOO", SYNTAX),
        (
            "HRANDFIELD h -9223372036854775808",
            "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        ),
        ("HRANDFIELD h 9223372036854775807 WITHVALUES", "-ERR value is out of range"),
        ("HRANDFIELD nosuch -4611686018427387904 WITHVALUES", "-ERR value is out of range"),
    ]);
    let mut c = server.client3();
    c.check_all(&[
        ("HRANDFIELD nosuch", "_"),
        ("HRANDFIELD nosuch 1 WITHVALUES", "*0"),
        ("HRANDFIELD h 5 WITHVALUES", "*1\n*2\n$1\na\n$1\n1"),
        ("HRANDFIELD h -2 WITHVALUES", "*2\n*2\n$1\na\n$1\n1\n*2\n$1\na\n$1\n1"),
        ("HRANDFIELD h 1", "*1\n$1\na"),
    ]);
}

/// Departure: Redis goes on until it has no memory left.
#[test]
fn random_fields_do_not_fill_the_memory() {
    let server = Server::new();
    let mut c = server.client();
    c.check("HSET h a 1", ":1");
    c.check("HRANDFIELD h -4611686018427387903 WITHVALUES", "-ERR value is out of range");
    c.check("HRANDFIELD h -9223372036854775807", "-ERR value is out of range");
    assert!(c.run("HRANDFIELD h -100000").starts_with("*100000\n$1\na\n"));
    assert_eq!(c.send(&[b"HSET", b"h", b"a", &vec![b'v'; 1 << 20]]), b":0\r\n");
    c.check("HRANDFIELD h -257 WITHVALUES", "-ERR value is out of range");
    assert_eq!(c.send(&[b"HRANDFIELD", b"h", b"-3", b"WITHVALUES"]).len(), 4 + 3 * (7 + 10 + (1 << 20) + 2));
}

#[test]
fn random_fields_are_different_and_uniform() {
    let server = Server::new();
    let mut c = server.client();
    for fields in [50, 1000] {
        fill(&mut c, &format!("h{fields}"), fields);
        for count in [1, 7, fields / 2, fields - 1, fields, fields + 1] {
            let flat = bulks(&c.run(&format!("HRANDFIELD h{fields} {count} WITHVALUES")));
            assert_eq!(check_pairs(&flat).len(), count.min(fields));
            assert_eq!(flat.len(), 2 * count.min(fields));
        }
    }
    // Each of 50 fields is expected 2000 times; one in 10^9 such counts is off by more than 300.
    for line in ["HRANDFIELD h50", "HRANDFIELD h50 -10", "HRANDFIELD h50 5", "HRANDFIELD h50 25"] {
        let mut counts: BTreeMap<String, u32> = BTreeMap::new();
        let mut drawn = 0;
        while drawn < 100_000 {
            for field in bulks(&c.run(line)) {
                *counts.entry(field).or_default() += 1;
                drawn += 1;
            }
        }
        assert!(counts.len() == 50 && counts.values().all(|count| count.abs_diff(2000) < 300), "{counts:?}");
    }
}

#[test]
fn scan_options() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("HSCAN nosuch 0", "*2\n$1\n0\n*0"),
        ("HSCAN nosuch 0 FOO", "*2\n$1\n0\n*0"),
        ("HSET h a 1 b 2 ab 3", ":3"),
        ("HSCAN h 0", "*2\n$1\n0\n*6\n$1\na\n$1\n1\n$1\nb\n$1\n2\n$2\nab\n$1\n3"),
        ("HSCAN h 0 MATCH a*", "*2\n$1\n0\n*4\n$1\na\n$1\n1\n$2\nab\n$1\n3"),
        ("HSCAN h 0 match b count 1", "*2\n$1\n0\n*2\n$1\nb\n$1\n2"),
        ("HSCAN h 0 MATCH x COUNT 9223372036854775807", "*2\n$1\n0\n*0"),
        ("HSCAN h abc", "-ERR invalid cursor"),
        ("HSCAN h \"\"", "-ERR invalid cursor"),
        ("HSCAN h 18446744073709551616", "-ERR invalid cursor"),
        ("HSCAN nosuch abc", "-ERR invalid cursor"),
        ("HSCAN h 0 COUNT 0", SYNTAX),
        ("HSCAN h 0 COUNT -1", SYNTAX),
        ("HSCAN h 0 COUNT abc", NOT_AN_INTEGER),
        ("HSCAN h 0 COUNT", SYNTAX),
        ("HSCAN h 0 TYPE string", SYNTAX),
    ]);
    server.client3().check("HSCAN h 0 MATCH b", "*2\n$1\n0\n*2\n$1\nb\n$1\n2");
}

/// The fields of a whole walk. `step` runs before each call, told how many there were.
fn scan_all(c: &mut Client, options: &str, mut step: impl FnMut(usize)) -> BTreeSet<String> {
    let (mut cursor, mut fields, mut calls) = ("0".to_owned(), BTreeSet::new(), 0);
    loop {
        step(calls);
        let mut page = bulks(&c.run(&format!("HSCAN h {cursor} {options}")));
        cursor = page.remove(0);
        assert!(!page.iter().any(|word| word == "other"), "only fields that match");
        fields.extend(page.into_iter().step_by(2));
        calls += 1;
        if cursor == "0" {
            return fields;
        }
    }
}

#[test]
fn scans_return_what_stays_while_fields_come_and_go() {
    let server = Server::new();
    let (mut c, mut other) = (server.client(), server.client());
    fill(&mut c, "h", 3000);
    let stays: BTreeSet<String> = (0..3000).map(|n| format!("f{n}")).collect();
    let seen = scan_all(&mut c, "COUNT 20", |_| {});
    assert_eq!(seen, stays);
    let seen = scan_all(&mut c, "COUNT 20 MATCH f*", |call| {
        for n in 0..20 {
            other.run(&format!("HSET h other{call}x{n} x f{} changed", call * 20 + n));
            other.run(&format!("HDEL h other{}x{n}", call / 2));
        }
    });
    assert!(seen.is_superset(&stays));
    // From large to small: the tree is rebuilt under the walk, and its last leaf answers all that is left.
    let left: BTreeSet<String> = (2990..3000).map(|n| format!("f{n}")).collect();
    let seen = scan_all(&mut c, "COUNT 50 MATCH f*", |call| {
        for n in call * 200..((call + 1) * 200).min(2990) {
            other.run(&format!("HDEL h f{n}"));
        }
    });
    assert!(seen.is_superset(&left));
}

#[test]
fn a_page_of_a_scan_is_about_as_long_as_asked() {
    let server = Server::new();
    let mut c = server.client();
    fill(&mut c, "h", 5000);
    for (options, most) in [("", 10), ("COUNT 1", 1), ("COUNT 300", 300), ("COUNT 100000", 5000)] {
        let page = bulks(&c.run(&format!("HSCAN h 0 {options}")));
        // Fields of one hash value are not split, and there are hardly any.
        assert!(((most * 2 + 1)..=(most * 2 + 3)).contains(&page.len()), "{options}: {}", page.len());
    }
}

#[test]
fn fields_and_values_are_any_bytes_of_any_length() {
    let server = Server::new();
    let mut c = server.client();
    let (field, value) = (&b"\x00\xff\r\n"[..], vec![b'v'; 100_000]);
    assert_eq!(c.send(&[b"HSET", b"h", field, &value, &value, b"x"]), b":2\r\n");
    assert_eq!(c.send(&[b"HGET", b"h", field]), [b"$100000\r\n", value.as_slice(), b"\r\n"].concat());
    assert_eq!(c.send(&[b"HGET", b"h", &value]), b"$1\r\nx\r\n");
    c.check("HSTRLEN h nosuch", ":0");
    assert_eq!(c.send(&[b"HSTRLEN", b"h", field]), b":100000\r\n");
    assert_eq!(c.send(&[b"HDEL", b"h", field, &value]), b":2\r\n");
    c.check("EXISTS h", ":0");
}

/// Departure: what sets a field to the value it has changes nothing, so a watch does not see it.
#[test]
fn writing_what_is_there_changes_nothing() {
    let server = Server::new();
    let (mut c, mut other) = (server.client(), server.client());
    c.check_all(&[("HSET h a 1", ":1"), ("WATCH h", "+OK")]);
    for line in ["HSET h a 1", "HMSET h a 1", "HINCRBY h a 0", "HSETNX h a 2", "HDEL h b"] {
        other.run(line);
    }
    c.check_all(&[("MULTI", "+OK"), ("HGET h a", "+QUEUED"), ("EXEC", "*1\n$1\n1"), ("WATCH h", "+OK")]);
    other.check("HSET h a 2", ":0");
    c.check_all(&[("MULTI", "+OK"), ("HGET h a", "+QUEUED"), ("EXEC", "*-1")]);
}

#[test]
fn hashes_move_and_change_inside_transactions() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("MULTI", "+OK"),
        ("HSET ns/h a 1 b 2", "+QUEUED"),
        ("HINCRBY ns/h a 10", "+QUEUED"),
        ("HDEL ns/h b", "+QUEUED"),
        ("RENAME ns/h h", "+QUEUED"),
        ("HSET h c 3", "+QUEUED"),
        ("HGETALL h", "+QUEUED"),
        ("HGETALL ns/h", "+QUEUED"),
        ("COPY h ns/h", "+QUEUED"),
        ("HDEL h a c", "+QUEUED"),
        ("EXISTS h", "+QUEUED"),
        ("EXEC", "*10\n:2\n:11\n:1\n+OK\n:1\n*4\n$1\na\n$2\n11\n$1\nc\n$1\n3\n*0\n:1\n:2\n:0"),
        ("HGETALL ns/h", "*4\n$1\na\n$2\n11\n$1\nc\n$1\n3"),
    ]);
}

#[test]
fn the_encoding_follows_from_the_size() {
    let server = Server::new();
    let mut c = server.client();
    fill(&mut c, "h", 128);
    let value = vec![b'v'; 3000];
    assert_eq!(c.send(&[b"HSET", b"long", b"f", &value]), b":1\r\n");
    c.check_all(&[
        ("OBJECT ENCODING h", "$8\nlistpack"),
        ("OBJECT ENCODING long", "$8\nlistpack"),
        ("HSET h another x", ":1"),
        ("OBJECT ENCODING h", "$9\nhashtable"),
    ]);
    assert_eq!(c.send(&[b"HSET", b"long", b"g", &value]), b":1\r\n");
    c.check("OBJECT ENCODING long", "$9\nhashtable");
}

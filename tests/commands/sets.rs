//! Family sets.

use crate::harness::{Client, Server};
use std::collections::BTreeSet;

const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";
const NOT_AN_INTEGER: &str = "-ERR value is not an integer or out of range";
const NOT_POSITIVE: &str = "-ERR value is out of range, must be positive";
const SYNTAX: &str = "-ERR syntax error";

#[test]
fn members() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("SCARD s", ":0"),
        ("SMEMBERS s", "*0"),
        ("SISMEMBER s a", ":0"),
        ("SADD s a b a", ":2"),
        ("SADD s b c \"\"", ":2"),
        ("SADD s a b c", ":0"),
        ("SCARD s", ":4"),
        ("TYPE s", "+set"),
        ("SMEMBERS s", "*4\n$1\na\n$1\nb\n$1\nc\n$0\n"),
        ("SISMEMBER s a", ":1"),
        ("SISMEMBER s \"\"", ":1"),
        ("SISMEMBER s x", ":0"),
        ("SMISMEMBER s a x b", "*3\n:1\n:0\n:1"),
        ("SMISMEMBER missing a", "*1\n:0"),
        ("SREM s x y", ":0"),
        ("SREM s a a x \"\"", ":2"),
        ("SREM missing a", ":0"),
        ("SREM s b c", ":2"),
        ("EXISTS s", ":0"),
    ]);
}

#[test]
fn wrong_types_and_arguments() {
    let server = Server::new();
    let mut c = server.client();
    c.check("SET a 1", "+OK");
    for line in ["SADD a x", "SREM a x", "SMEMBERS a", "SCARD a", "SISMEMBER a x", "SMISMEMBER a x", "SPOP a"]
    {
        c.check(line, WRONG_TYPE);
    }
    c.check_all(&[
        ("SPOP a 1", WRONG_TYPE),
        ("SPOP a -1", NOT_POSITIVE),
        ("SPOP a x", NOT_POSITIVE),
        ("SPOP a 1 2", SYNTAX),
        ("SRANDMEMBER a", WRONG_TYPE),
        ("SRANDMEMBER a -1", WRONG_TYPE),
        ("SRANDMEMBER a x", NOT_AN_INTEGER),
        ("SRANDMEMBER a x y", SYNTAX),
        (
            "SRANDMEMBER a -9223372036854775808",
            "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        ),
        ("SADD s x", ":1"),
        ("GET s", WRONG_TYPE),
        ("SET s x", "+OK"),
        ("GET s", "$1\nx"),
    ]);
}

#[test]
fn shapes_in_resp3() {
    let server = Server::new();
    server.client3().check_all(&[
        ("SADD s a b", ":2"),
        ("SMEMBERS s", "~2\n$1\na\n$1\nb"),
        ("SMEMBERS missing", "~0"),
        ("SISMEMBER s a", ":1"),
        ("SMISMEMBER s a x", "*2\n:1\n:0"),
        ("SRANDMEMBER s 5", "*2\n$1\na\n$1\nb"),
        ("SRANDMEMBER missing", "_"),
        ("SRANDMEMBER missing 2", "*0"),
        ("SRANDMEMBER missing -2", "*0"),
        ("SPOP missing", "_"),
        ("SPOP missing 2", "~0"),
        ("SPOP s 0", "~0"),
        ("SPOP s 3", "~2\n$1\na\n$1\nb"),
        ("EXISTS s", ":0"),
    ]);
}

/// The bulk strings of an array.
fn bulks(reply: &str) -> Vec<String> {
    let lines: Vec<&str> = reply.split('\n').collect();
    assert_eq!(lines[0][1..].parse(), Ok(lines.len() / 2), "{reply}");
    lines.iter().skip(2).step_by(2).map(|line| (*line).to_owned()).collect()
}

/// A set of `len` numbers.
fn fill(c: &mut Client, key: &str, len: u32) {
    let members: Vec<u32> = (0..len).collect();
    for chunk in members.chunks(500) {
        let words: Vec<String> = chunk.iter().map(u32::to_string).collect();
        c.check(&format!("SADD {key} {}", words.join(" ")), &format!(":{}", chunk.len()));
    }
}

#[test]
fn some_members_are_different_ones_of_the_set() {
    let server = Server::new();
    let mut c = server.client();
    for len in [1, 2, 10, 128, 129, 5000] {
        fill(&mut c, "s", len);
        for count in [1, 2, 5, len / 8, len / 8 + 1, len - 1, len, len + 1] {
            let chosen = bulks(&c.run(&format!("SRANDMEMBER s {count}")));
            let different: BTreeSet<&String> = chosen.iter().collect();
            assert_eq!((chosen.len(), different.len()), (count.min(len) as usize, count.min(len) as usize));
            assert!(chosen.iter().all(|member| member.parse::<u32>().is_ok_and(|number| number < len)));
        }
        let repeated = bulks(&c.run(&format!("SRANDMEMBER s -{}", 2 * len)));
        assert_eq!(repeated.len(), 2 * len as usize);
        let mut left = len;
        for count in [1, 3, len / 8, len / 2, len] {
            for member in bulks(&c.run(&format!("SPOP s {count}"))) {
                c.check(&format!("SISMEMBER s {member}"), ":0");
                left -= 1;
            }
            c.check("SCARD s", &format!(":{left}"));
        }
        c.check("EXISTS s", ":0");
    }
}

/// Chi-squared of `counts` against equal shares; `counts.len() - 1` degrees of freedom.
fn chi_squared(counts: &[f64]) -> f64 {
    let share = counts.iter().sum::<f64>() / counts.len() as f64;
    counts.iter().map(|count| (count - share).powi(2) / share).sum()
}

/// Counts what `draw` answers, for 200 members and about as many draws as it takes for 100 of each.
fn assert_uniform(c: &mut Client, what: &str, mut draw: impl FnMut(&mut Client) -> Vec<String>) {
    let mut counts = vec![0.0; 200];
    let mut drawn = 0;
    while drawn < 20_000 {
        for member in draw(c) {
            counts[member.parse::<usize>().expect("a number")] += 1.0;
            drawn += 1;
        }
    }
    // Of 199 degrees of freedom: a mean of 199, a standard deviation of 20. Six of them are one in a billion.
    let found = chi_squared(&counts);
    assert!((60.0..330.0).contains(&found), "{what}: chi-squared {found}");
}

#[test]
fn random_members_are_uniform() {
    let server = Server::new();
    let mut c = server.client();
    fill(&mut c, "s", 200);
    let one = |reply: String| vec![reply.split('\n').nth(1).expect("a bulk string").to_owned()];
    assert_uniform(&mut c, "one", |c| one(c.run("SRANDMEMBER s")));
    assert_uniform(&mut c, "repeated", |c| bulks(&c.run("SRANDMEMBER s -50")));
    assert_uniform(&mut c, "few", |c| bulks(&c.run("SRANDMEMBER s 5")));
    for count in [25, 26, 100, 150] {
        assert_uniform_choice(&mut c, count);
    }
    assert_uniform(&mut c, "popped", |c| {
        let popped = one(c.run("SPOP s"));
        c.check(&format!("SADD s {}", popped[0]), ":1");
        popped
    });
    assert_uniform(&mut c, "several popped", |c| {
        let popped = bulks(&c.run("SPOP s 3"));
        c.check(&format!("SADD s {}", popped.join(" ")), ":3");
        popped
    });
}

/// Many of a set at once vary less than single draws do: by the share that is left out.
fn assert_uniform_choice(c: &mut Client, count: u32) {
    let (mut counts, rounds) = (vec![0.0; 200], 400);
    for _ in 0..rounds {
        for member in bulks(&c.run(&format!("SRANDMEMBER s {count}"))) {
            counts[member.parse::<usize>().expect("a number")] += 1.0;
        }
    }
    let found = chi_squared(&counts) / (1.0 - f64::from(count) / 200.0);
    assert!((60.0..330.0).contains(&found), "{count} of 200: chi-squared {found}");
}

#[test]
fn a_negative_count_beyond_what_a_reply_may_be_is_refused() {
    let server = Server::new();
    let mut c = server.client();
    let refusal = "-ERR value is out of range";
    c.check("SADD s a", ":1");
    c.check("SRANDMEMBER s -9223372036854775807", refusal);
    c.check("SRANDMEMBER s -100000000", refusal);
    c.check("SRANDMEMBER missing -9223372036854775807", "*0");
    c.check(&format!("SADD long {}", "x".repeat(16 << 20)), ":1");
    c.check("SRANDMEMBER long -17", refusal);
    assert!(c.run("SRANDMEMBER s -100000").starts_with("*100000\n$1\na\n$1\na\n"));
}

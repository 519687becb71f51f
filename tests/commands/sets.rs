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

#[test]
fn operations_on_small_sets() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("SADD a 1 2 3", ":3"),
        ("SADD ns/b 3 4", ":2"),
        ("SADD c 3", ":1"),
        ("SINTER a ns/b", "*1\n$1\n3"),
        ("SINTER a", "*3\n$1\n1\n$1\n2\n$1\n3"),
        ("SINTER a missing", "*0"),
        ("SDIFF a ns/b", "*2\n$1\n1\n$1\n2"),
        ("SDIFF a a", "*0"),
        ("SDIFF missing a", "*0"),
        ("SDIFF a missing ns/b missing", "*2\n$1\n1\n$1\n2"),
        ("SUNION c missing c", "*1\n$1\n3"),
        ("SUNION missing", "*0"),
        ("SUNIONSTORE other/d a ns/b c", ":4"),
        ("SMISMEMBER other/d 1 2 3 4 5", "*5\n:1\n:1\n:1\n:1\n:0"),
        ("SINTERSTORE d a ns/b", ":1"),
        ("SMEMBERS d", "*1\n$1\n3"),
        ("SDIFFSTORE d a ns/b", ":2"),
        ("SMEMBERS d", "*2\n$1\n1\n$1\n2"),
    ]);
    assert_eq!(sorted(&c.run("SUNION a ns/b c")), ["1", "2", "3", "4"]);
    server.client3().check_all(&[
        ("SINTER a ns/b", "~1\n$1\n3"),
        ("SDIFF a c", "~2\n$1\n1\n$1\n2"),
        ("SUNION c", "~1\n$1\n3"),
        ("SUNION missing", "~0"),
        ("SINTERCARD 1 a", ":3"),
    ]);
}

fn sorted(reply: &str) -> Vec<String> {
    let mut members = bulks(reply);
    members.sort();
    members
}

#[test]
fn a_stored_set_replaces_what_was_there() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("SADD a 1 2", ":2"),
        ("SADD b 2 3", ":2"),
        ("SET d x EX 100", "+OK"),
        ("SUNIONSTORE d a", ":2"),
        ("TTL d", ":-1"),
        ("TYPE d", "+set"),
        ("EXPIRE a 100", ":1"),
        ("SUNIONSTORE a a b", ":3"),
        ("TTL a", ":-1"),
        ("SINTERSTORE a default/a b", ":2"),
        ("SDIFFSTORE a a a", ":0"),
        ("EXISTS a", ":0"),
        ("SINTERSTORE d d missing", ":0"),
        ("EXISTS d", ":0"),
        ("SUNIONSTORE d missing", ":0"),
        ("EXISTS d", ":0"),
    ]);
}

#[test]
fn operations_on_what_is_no_set() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[("SET x 1", "+OK"), ("SADD a 1", ":1"), ("SADD d 5", ":1")]);
    for name in ["SUNION", "SINTER", "SDIFF", "SUNIONSTORE d", "SINTERSTORE d", "SDIFFSTORE d"] {
        c.check(&format!("{name} a missing x"), WRONG_TYPE);
        c.check(&format!("{name} missing x"), WRONG_TYPE);
        c.check(&format!("{name} x"), WRONG_TYPE);
    }
    c.check("SMEMBERS d", "*1\n$1\n5");
    c.check_all(&[
        ("MULTI", "+OK"),
        ("SADD d 6", "+QUEUED"),
        ("SUNIONSTORE d a x", "+QUEUED"),
        ("SMOVE d x 5", "+QUEUED"),
        ("SUNIONSTORE d d a", "+QUEUED"),
        ("EXEC", &format!("*4\n:1\n{WRONG_TYPE}\n{WRONG_TYPE}\n:3")),
    ]);
}

#[test]
fn intersections_are_counted() {
    let server = Server::new();
    let mut c = server.client();
    let numkeys = "-ERR numkeys should be greater than 0";
    let limit = "-ERR LIMIT can't be negative";
    c.check_all(&[
        ("SADD a 1 2 3", ":3"),
        ("SADD b 2 3 4", ":3"),
        ("SET x 1", "+OK"),
        ("SINTERCARD 1 a", ":3"),
        ("SINTERCARD 2 a b", ":2"),
        ("SINTERCARD 2 a missing", ":0"),
        ("SINTERCARD 2 a b LIMIT 0", ":2"),
        ("SINTERCARD 2 a b limit 1", ":1"),
        ("SINTERCARD 2 a b LIMIT 1 LIMIT 9223372036854775807", ":2"),
        ("SINTERCARD 0 a", numkeys),
        ("SINTERCARD -1 a", numkeys),
        ("SINTERCARD x a", numkeys),
        ("SINTERCARD 2 a", "-ERR Number of keys can't be greater than number of args"),
        ("SINTERCARD 9223372036854775807 a", "-ERR Number of keys can't be greater than number of args"),
        ("SINTERCARD 1 a b", SYNTAX),
        ("SINTERCARD 1 a LIMIT", SYNTAX),
        ("SINTERCARD 1 a FOO 1", SYNTAX),
        ("SINTERCARD 1 a LIMIT -1", limit),
        ("SINTERCARD 1 x LIMIT y", limit),
        ("SINTERCARD 2 missing x", WRONG_TYPE),
        ("COMMAND GETKEYS SINTERCARD 2 a b LIMIT 1", "*2\n$1\na\n$1\nb"),
    ]);
}

#[test]
fn members_move() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("SADD a 1 2", ":2"),
        ("SET x 1", "+OK"),
        ("SMOVE a ns/b 3", ":0"),
        ("EXISTS ns/b", ":0"),
        ("SMOVE a ns/b 1", ":1"),
        ("SMEMBERS a", "*1\n$1\n2"),
        ("SMEMBERS ns/b", "*1\n$1\n1"),
        ("SADD ns/b 2", ":1"),
        ("SMOVE a ns/b 2", ":1"),
        ("EXISTS a", ":0"),
        ("SMEMBERS ns/b", "*2\n$1\n1\n$1\n2"),
        ("SADD a 1", ":1"),
        ("SMOVE a default/a 1", ":1"),
        ("SMOVE a a 2", ":0"),
        ("SMEMBERS a", "*1\n$1\n1"),
        ("SMOVE missing x 1", ":0"),
        ("SMOVE a x 1", WRONG_TYPE),
        ("SMOVE a x 9", WRONG_TYPE),
        ("SMOVE x a 1", WRONG_TYPE),
    ]);
}

#[test]
fn what_changes_nothing_is_no_change() {
    let server = Server::new();
    let (mut watcher, mut c) = (server.client(), server.client());
    c.check_all(&[("SADD a 1 2", ":2"), ("SADD b 1", ":1"), ("EXPIRE a 100", ":1")]);
    watcher.check("WATCH a b", "+OK");
    c.check_all(&[
        ("SADD a 1 2", ":0"),
        ("SREM a 3", ":0"),
        ("SPOP a 0", "*0"),
        ("SMOVE a b 3", ":0"),
        ("SMOVE a a 1", ":1"),
    ]);
    watcher.check_all(&[("MULTI", "+OK"), ("PING", "+QUEUED"), ("EXEC", "*1\n+PONG"), ("WATCH b", "+OK")]);
    c.check_all(&[("SMOVE a b 1", ":1"), ("TTL a", ":100"), ("SADD a 5", ":1"), ("TTL a", ":100")]);
    watcher.check_all(&[("MULTI", "+OK"), ("PING", "+QUEUED"), ("EXEC", "*1\n+PONG")]);
}

/// Sets of every size: in one leaf, in a few, in many, and of the sizes at which they are searched.
#[test]
fn operations_on_large_sets() {
    let server = Server::new();
    let mut c = server.client();
    for (key, step) in [("s1", 1), ("s2", 2), ("s3", 3), ("s50", 50), ("s700", 700)] {
        let members: Vec<String> = (0..10_000).step_by(step).map(|n: u32| n.to_string()).collect();
        for chunk in members.chunks(500) {
            c.check(&format!("SADD {key} {}", chunk.join(" ")), &format!(":{}", chunk.len()));
        }
    }
    let numbers = |test: &dyn Fn(u32) -> bool| -> BTreeSet<String> {
        (0..10_000).filter(|n| test(*n)).map(|n| n.to_string()).collect()
    };
    let cases: [(&str, BTreeSet<String>); 9] = [
        ("SINTER s1 s2 s3", numbers(&|n| n % 6 == 0)),
        ("SINTER s50 s3", numbers(&|n| n % 150 == 0)),
        ("SINTER s1 s700 s2", numbers(&|n| n % 700 == 0)),
        ("SUNION s2 s3", numbers(&|n| n % 2 == 0 || n % 3 == 0)),
        ("SUNION s700 s50 s50", numbers(&|n| n % 50 == 0)),
        ("SDIFF s1 s2 s3 s50", numbers(&|n| n % 2 != 0 && n % 3 != 0)),
        ("SDIFF s50 s3", numbers(&|n| n % 50 == 0 && n % 3 != 0)),
        ("SDIFF s700 s1", numbers(&|_| false)),
        ("SDIFF s2 s700", numbers(&|n| n % 2 == 0 && n % 700 != 0)),
    ];
    for (line, expected) in cases {
        let found = bulks(&c.run(line));
        assert_eq!(found.len(), expected.len(), "{line}");
        assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected, "{line}");
        let (name, keys) = line.split_once(' ').expect("a name and keys");
        c.check(&format!("{name}STORE d {keys}"), &format!(":{}", expected.len()));
        assert_eq!(bulks(&c.run("SMEMBERS d")).into_iter().collect::<BTreeSet<_>>(), expected);
    }
    c.check("SINTERCARD 3 s1 s2 s3 LIMIT 100", ":100");
    c.check("SINTERCARD 3 s1 s2 s3", ":1667");
}

/// Every member a full SSCAN returns; `options` follow the cursor. `between` runs after each step.
fn scan_all(c: &mut Client, options: &str, mut between: impl FnMut(&mut Client)) -> BTreeSet<String> {
    let (mut cursor, mut found) = ("0".to_owned(), BTreeSet::new());
    loop {
        let reply = c.run(&format!("SSCAN s {cursor} {options}"));
        let lines: Vec<&str> = reply.split('\n').collect();
        found.extend(lines[4..].iter().skip(1).step_by(2).map(|member| (*member).to_owned()));
        cursor = lines[2].to_owned();
        if cursor == "0" {
            return found;
        }
        between(c);
    }
}

#[test]
fn scans_return_every_member() {
    let server = Server::new();
    let mut c = server.client();
    for len in [1, 20, 1000] {
        fill(&mut c, "s", len);
        for options in ["", "COUNT 1", "COUNT 7", "COUNT 100000", "MATCH *"] {
            assert_eq!(scan_all(&mut c, options, |_| {}).len(), len as usize, "{options}");
        }
        c.check("DEL s", ":1");
    }
    fill(&mut c, "s", 1000);
    assert_eq!(scan_all(&mut c, "MATCH 1?2", |_| {}).len(), 10);
    // What is there from the first step to the last is returned, whatever comes and goes in between.
    let mut step = 0;
    let found = scan_all(&mut c, "COUNT 20", |c| {
        step += 1;
        c.run(&format!("SADD s new:{step} more:{step}"));
        c.run(&format!("SREM s {} new:{}", 900 + step, step - 1));
    });
    assert!((0..900).all(|n: u32| found.contains(&n.to_string())));
}

#[test]
fn scan_errors() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("SSCAN s 0", "*2\n$1\n0\n*0"),
        ("SSCAN s 0 FOO bar", "*2\n$1\n0\n*0"),
        ("SSCAN s x", "-ERR invalid cursor"),
        ("SADD s a", ":1"),
        ("SSCAN s 0", "*2\n$1\n0\n*1\n$1\na"),
        ("SSCAN s 0 MATCH b*", "*2\n$1\n0\n*0"),
        ("SSCAN s 0 FOO bar", SYNTAX),
        ("SSCAN s 0 TYPE set", SYNTAX),
        ("SSCAN s 0 COUNT 0", SYNTAX),
        ("SSCAN s 0 COUNT x", NOT_AN_INTEGER),
        ("SSCAN s 0 MATCH", SYNTAX),
        ("SET x 1", "+OK"),
        ("SSCAN x 0", WRONG_TYPE),
    ]);
}

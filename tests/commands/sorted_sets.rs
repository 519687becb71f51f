//! Family sorted sets.

use crate::harness::{Client, Server};
use std::collections::BTreeSet;

const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";
const SYNTAX: &str = "-ERR syntax error";
const NOT_AN_INTEGER: &str = "-ERR value is not an integer or out of range";
const NOT_A_FLOAT: &str = "-ERR value is not a valid float";
const NO_BOUND: &str = "-ERR min or max is not a float";
const NO_MEMBER: &str = "-ERR min or max not valid string range item";

/// An array of bulk strings, given as words; `''` is the empty one.
fn bulks(words: &str) -> String {
    let bulk = |word: &str| match word {
        "''" => "\n$0\n".to_owned(),
        word => format!("\n${}\n{word}", word.len()),
    };
    let words: Vec<String> = words.split_ascii_whitespace().map(bulk).collect();
    format!("*{}{}", words.len(), words.concat())
}

/// Checks lines whose replies are arrays of bulk strings.
#[track_caller]
fn check_arrays(c: &mut Client, exchanges: &[(&str, &str)]) {
    for (line, words) in exchanges {
        c.check(line, &bulks(words));
    }
}

#[test]
fn scores_are_added_and_moved() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("ZADD z 1 a 2 b", ":2"),
        ("ZADD z 3 a 2 b 4 c", ":1"),
        ("ZSCORE z a", "$1\n3"),
        ("ZSCORE z nosuch", "$-1"),
        ("ZSCORE nosuch a", "$-1"),
        ("ZMSCORE z a nosuch c", "*3\n$1\n3\n$-1\n$1\n4"),
        ("ZMSCORE nosuch a b", "*2\n$-1\n$-1"),
        ("ZCARD z", ":3"),
        ("ZCARD nosuch", ":0"),
        ("ZADD z 1 d 2 d 3 d", ":1"),
        ("ZSCORE z d", "$1\n3"),
        ("ZADD z CH 5 d 6 d 3 a 7 e", ":3"),
        ("ZREM z d e nosuch d", ":2"),
        ("ZREM nosuch a", ":0"),
        ("ZREM z a b c", ":3"),
        ("EXISTS z", ":0"),
        ("ZADD z 1 \"\"", ":1"),
        ("ZSCORE z \"\"", "$1\n1"),
        ("TYPE z", "+zset"),
        ("OBJECT ENCODING z", "$8\nlistpack"),
        ("ZADD z", "-ERR wrong number of arguments for 'zadd' command"),
        ("ZADD z 1 a 2", SYNTAX),
        ("ZADD z NX CH", SYNTAX),
        ("ZADD z x a", NOT_A_FLOAT),
        ("ZADD z 1 a nan b", NOT_A_FLOAT),
        ("ZADD z \" 1\" a", NOT_A_FLOAT),
        ("ZADD z 1e400 a", NOT_A_FLOAT),
        ("ZCARD z", ":1"),
        ("SET s v", "+OK"),
        ("ZADD s 1 a", WRONG_TYPE),
        ("ZADD s x a", NOT_A_FLOAT),
        ("ZADD s XX 1 a", WRONG_TYPE),
        ("ZREM s a", WRONG_TYPE),
        ("ZCARD s", WRONG_TYPE),
        ("ZSCORE s a", WRONG_TYPE),
        ("ZMSCORE s a", WRONG_TYPE),
        ("ZRANK s a", WRONG_TYPE),
        ("ZINCRBY s 1 a", WRONG_TYPE),
        ("GET z", WRONG_TYPE),
    ]);
    let mut c = server.client3();
    c.check_all(&[
        ("ZSCORE z \"\"", ",1"),
        ("ZSCORE z nosuch", "_"),
        ("ZMSCORE z \"\" nosuch", "*2\n,1\n_"),
        ("ZADD z INCR 1.5 \"\"", ",2.5"),
        ("ZADD z NX INCR 1 \"\"", "_"),
        ("ZINCRBY z 1 \"\"", ",3.5"),
        ("ZRANK z nosuch", "_"),
        ("ZRANK z nosuch WITHSCORE", "_"),
        ("ZRANK z \"\" WITHSCORE", "*2\n:0\n,3.5"),
    ]);
}

#[test]
fn conditions_of_zadd() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("ZADD z XX 1 a", ":0"),
        ("EXISTS z", ":0"),
        ("ZADD z NX 1 a", ":1"),
        ("ZADD z nx 2 a 2 b", ":1"),
        ("ZSCORE z a", "$1\n1"),
        ("ZADD z XX CH 3 a 3 c", ":1"),
        ("ZSCORE z c", "$-1"),
        ("ZADD z GT CH 2 a 9 b 1 d", ":2"),
        ("ZSCORE z a", "$1\n3"),
        ("ZADD z LT CH 2 a 10 b 1 e", ":2"),
        ("ZSCORE z b", "$1\n9"),
        ("ZADD z XX LT CH 1 f 1 a", ":1"),
        ("ZADD z GT XX NX 1 a", "-ERR XX and NX options at the same time are not compatible"),
        ("ZADD z NX GT 1 a", "-ERR GT, LT, and/or NX options at the same time are not compatible"),
        ("ZADD z NX LT 1 a", "-ERR GT, LT, and/or NX options at the same time are not compatible"),
        ("ZADD z GT LT 1 a", "-ERR GT, LT, and/or NX options at the same time are not compatible"),
        ("ZADD z INCR 1 a 2 b", "-ERR INCR option supports a single increment-element pair"),
        ("ZADD z INCR 2 a", "$1\n3"),
        ("ZADD z INCR NX 2 a", "$-1"),
        ("ZADD z INCR NX 2 new", "$1\n2"),
        ("ZADD z INCR XX 2 nosuch", "$-1"),
        ("ZADD z INCR GT -1 a", "$-1"),
        ("ZADD z INCR LT -1 a", "$1\n2"),
        ("ZADD z INCR GT 0 a", "$-1"),
    ]);
}

#[test]
fn increments_and_infinities() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("ZINCRBY z 1.5 a", "$3\n1.5"),
        ("ZINCRBY z 1.6 a", "$18\n3.1000000000000001"),
        ("ZINCRBY z 0.1 b", "$19\n0.10000000000000001"),
        ("ZINCRBY z x a", NOT_A_FLOAT),
        ("ZINCRBY z nan a", NOT_A_FLOAT),
        ("ZINCRBY z nx a", SYNTAX),
        ("ZINCRBY z 1 a b", "-ERR wrong number of arguments for 'zincrby' command"),
        ("ZADD z inf i -inf j", ":2"),
        ("ZINCRBY z -inf i", "-ERR resulting score is not a number (NaN)"),
        ("ZADD z INCR +inf j", "-ERR resulting score is not a number (NaN)"),
        ("ZSCORE z i", "$3\ninf"),
        ("ZSCORE z j", "$4\n-inf"),
        ("ZINCRBY z 1e308 i", "$3\ninf"),
        ("ZADD z 1e308 k", ":1"),
        ("ZINCRBY z 1e308 k", "$3\ninf"),
        ("ZADD numbers 1e17 a 1e-7 b 12345678901234567890 c 0x10 d", ":4"),
        ("ZMSCORE numbers a b c d", &bulks("1e+17 9.9999999999999995e-08 1.2345678901234567e+19 16")),
        // Zero has no sign once it is stored.
        ("ZINCRBY zero -0 a", "$2\n-0"),
        ("ZSCORE zero a", "$1\n0"),
        ("ZADD zero CH 0 a", ":0"),
    ]);
    check_arrays(&mut c, &[("ZRANGE z 0 -1", "j b a i k")]);
    c.check("ZADD big -0 first", ":1");
    for n in 0..300 {
        c.check(&format!("ZADD big {n} {n}"), ":1");
    }
    c.check_all(&[("ZADD big -0 x", ":1"), ("ZSCORE big x", "$1\n0"), ("ZRANK big x", ":2")]);
    c.check("OBJECT ENCODING big", "$8\nskiplist");
    server.client3().check_all(&[("ZSCORE z i", ",inf"), ("ZSCORE z j", ",-inf")]);
}

#[test]
fn ranks() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("ZADD z 1 b 1 a 2 c", ":3"),
        ("ZRANK z a", ":0"),
        ("ZRANK z b", ":1"),
        ("ZREVRANK z a", ":2"),
        ("ZREVRANK z c", ":0"),
        ("ZRANK z nosuch", "$-1"),
        ("ZREVRANK nosuch a", "$-1"),
        ("ZRANK z b WITHSCORE", "*2\n:1\n$1\n1"),
        ("ZREVRANK z b withscore", "*2\n:1\n$1\n1"),
        ("ZRANK z nosuch WITHSCORE", "*-1"),
        ("ZREVRANK nosuch a WITHSCORE", "*-1"),
        ("ZRANK z a x", SYNTAX),
        ("ZRANK z a WITHSCORE x", "-ERR wrong number of arguments for 'zrank' command"),
    ]);
}

#[test]
fn ranges_by_rank() {
    let server = Server::new();
    let mut c = server.client();
    c.check("ZADD z 1 a 2 b 3 c 4 d", ":4");
    check_arrays(
        &mut c,
        &[
            ("ZRANGE z 0 -1", "a b c d"),
            ("ZRANGE z 1 2", "b c"),
            ("ZRANGE z -2 -1", "c d"),
            ("ZRANGE z -100 1", "a b"),
            ("ZRANGE z 2 1", ""),
            ("ZRANGE z 4 9", ""),
            ("ZRANGE z 2 9223372036854775807", "c d"),
            ("ZRANGE z -9223372036854775808 0", "a"),
            ("ZRANGE z 0 -9", ""),
            ("ZRANGE z 0 1 REV", "d c"),
            ("ZRANGE z -1 -1 rev", "a"),
            ("ZREVRANGE z 0 -1", "d c b a"),
            ("ZREVRANGE z 1 2 WITHSCORES", "c 3 b 2"),
            ("ZRANGE z 0 0 WITHSCORES REV WITHSCORES", "d 4"),
            ("ZRANGE z 0 0 LIMIT 5 -1", "a"),
            ("ZRANGE nosuch 0 -1", ""),
            ("ZREVRANGE nosuch 0 -1 WITHSCORES", ""),
        ],
    );
    let by_rank = "-ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX";
    c.check_all(&[
        ("ZRANGE z 0 x", NOT_AN_INTEGER),
        ("ZRANGE z 0 1 LIMIT 0 1", by_rank),
        ("ZREVRANGE z 0 1 LIMIT 0 1", by_rank),
        ("ZRANGE z 0 1 LIMIT 0", SYNTAX),
        ("ZRANGE z 0 1 LIMIT 0 x", NOT_AN_INTEGER),
        ("ZRANGE z 0 1 REV REV", SYNTAX),
        ("ZRANGE z 0 1 BYLEX BYSCORE", SYNTAX),
        ("ZREVRANGE z 0 1 REV", SYNTAX),
        ("ZREVRANGE z 0 1 BYSCORE", SYNTAX),
        ("SET s v", "+OK"),
        ("ZRANGE s 0 -1", WRONG_TYPE),
        ("ZRANGE s 0 x", NOT_AN_INTEGER),
    ]);
    server.client3().check_all(&[
        ("ZRANGE z 0 1", "*2\n$1\na\n$1\nb"),
        ("ZRANGE z 0 1 WITHSCORES", "*2\n*2\n$1\na\n,1\n*2\n$1\nb\n,2"),
        ("ZREVRANGE z 0 0 WITHSCORES", "*1\n*2\n$1\nd\n,4"),
        ("ZRANGE nosuch 0 1 WITHSCORES", "*0"),
    ]);
}

#[test]
fn ranges_by_score() {
    let server = Server::new();
    let mut c = server.client();
    c.check("ZADD z -inf a 1 b 2 c 2 d 3 e inf f", ":6");
    check_arrays(
        &mut c,
        &[
            ("ZRANGEBYSCORE z -inf +inf", "a b c d e f"),
            ("ZRANGEBYSCORE z (-inf (inf", "b c d e"),
            ("ZRANGEBYSCORE z 1 2", "b c d"),
            ("ZRANGEBYSCORE z (1 (3", "c d"),
            ("ZRANGEBYSCORE z (2 (2", ""),
            ("ZRANGEBYSCORE z 2 (2", ""),
            ("ZRANGEBYSCORE z 3 1", ""),
            ("ZRANGEBYSCORE z 1 3 LIMIT 1 2", "c d"),
            ("ZRANGEBYSCORE z 1 3 LIMIT 3 9", "e"),
            ("ZRANGEBYSCORE z 1 3 LIMIT 9 9", ""),
            ("ZRANGEBYSCORE z 1 3 LIMIT 0 0", ""),
            ("ZRANGEBYSCORE z 1 3 LIMIT -1 2", ""),
            ("ZRANGEBYSCORE z 1 3 LIMIT 2 -7", "d e"),
            ("ZRANGEBYSCORE z 1 3 LIMIT 9223372036854775807 9223372036854775807", ""),
            ("ZRANGEBYSCORE z 1 2 WITHSCORES LIMIT 0 2", "b 1 c 2"),
            ("ZREVRANGEBYSCORE z 3 1", "e d c b"),
            ("ZREVRANGEBYSCORE z +inf (1 LIMIT 1 2", "e d"),
            ("ZREVRANGEBYSCORE z 1 3", ""),
            ("ZREVRANGEBYSCORE z 2 -inf WITHSCORES", "d 2 c 2 b 1 a -inf"),
            ("ZREVRANGEBYSCORE z 9 8 LIMIT 4 2", ""),
            ("ZRANGE z (1 3 BYSCORE LIMIT 1 2", "d e"),
            ("ZRANGE z 3 (1 REV BYSCORE", "e d c"),
            // What strtod makes of it.
            ("ZRANGEBYSCORE z \"\" 1", "b"),
            ("ZRANGEBYSCORE z \"( 1\" 1e400", "c d e f"),
            ("ZRANGEBYSCORE z 0x2 2.0", "c d"),
        ],
    );
    c.check_all(&[
        ("ZCOUNT z -inf +inf", ":6"),
        ("ZCOUNT z (1 2", ":2"),
        ("ZCOUNT z 3 1", ":0"),
        ("ZCOUNT nosuch 0 1", ":0"),
        ("ZCOUNT z x 1", NO_BOUND),
        ("ZCOUNT z 1 nan", NO_BOUND),
        ("ZRANGEBYSCORE z 1 x", NO_BOUND),
        ("ZRANGEBYSCORE z ((1 2", NO_BOUND),
        ("ZRANGEBYSCORE z \" \" 2", NO_BOUND),
        ("ZRANGEBYSCORE z 1 2 LIMIT 0 1.5", NOT_AN_INTEGER),
        ("ZRANGEBYSCORE z x 2 REV", SYNTAX),
        ("SET s v", "+OK"),
        ("ZRANGEBYSCORE s 1 2", WRONG_TYPE),
        ("ZCOUNT s 1 2", WRONG_TYPE),
    ]);
}

#[test]
fn ranges_by_member() {
    let server = Server::new();
    let mut c = server.client();
    c.check("ZADD z 0 \"\" 0 a 0 aa 0 b 0 c", ":5");
    check_arrays(
        &mut c,
        &[
            ("ZRANGEBYLEX z - +", "'' a aa b c"),
            ("ZRANGEBYLEX z [a [b", "a aa b"),
            ("ZRANGEBYLEX z (a (b", "aa"),
            ("ZRANGEBYLEX z ( +", "a aa b c"),
            ("ZRANGEBYLEX z - (a", "''"),
            ("ZRANGEBYLEX z + -", ""),
            ("ZRANGEBYLEX z - -", ""),
            ("ZRANGEBYLEX z + +", ""),
            ("ZRANGEBYLEX z [b [a", ""),
            ("ZRANGEBYLEX z (b [b", ""),
            ("ZRANGEBYLEX z [b [b", "b"),
            ("ZRANGEBYLEX z - + LIMIT 1 2", "a aa"),
            ("ZREVRANGEBYLEX z + -", "c b aa a ''"),
            ("ZREVRANGEBYLEX z (c [a LIMIT 1 9", "aa a"),
            ("ZRANGE z [b - REV BYLEX", "b aa a ''"),
            ("ZRANGE z [a + BYLEX LIMIT 2 -1", "b c"),
        ],
    );
    c.check_all(&[
        ("ZLEXCOUNT z - +", ":5"),
        ("ZLEXCOUNT z [a (b", ":2"),
        ("ZLEXCOUNT nosuch - +", ":0"),
        ("ZLEXCOUNT z a +", NO_MEMBER),
        ("ZLEXCOUNT z - +x", NO_MEMBER),
        ("ZRANGEBYLEX z \"\" +", NO_MEMBER),
        ("ZRANGEBYLEX z 1 2", NO_MEMBER),
        (
            "ZRANGEBYLEX z - + WITHSCORES",
            "-ERR syntax error, WITHSCORES not supported in combination with BYLEX",
        ),
        ("ZREMRANGEBYLEX z [a (b", ":2"),
        ("ZREMRANGEBYLEX z x y", NO_MEMBER),
        ("ZREMRANGEBYLEX nosuch - +", ":0"),
        ("ZREMRANGEBYLEX z - +", ":3"),
        ("EXISTS z", ":0"),
    ]);
}

/// A set of up to 128 members is walked, as Redis walks a listpack; one with more is searched.
#[test]
fn ranges_by_member_where_scores_differ() {
    let server = Server::new();
    let mut c = server.client();
    c.check("ZADD z 1 b 1 d 2 a 3 c", ":4");
    check_arrays(
        &mut c,
        &[
            ("ZRANGEBYLEX z - +", "b d a c"),
            ("ZRANGEBYLEX z [c +", "d a c"),
            ("ZRANGEBYLEX z - (d", "b"),
            ("ZRANGEBYLEX z [b (d LIMIT 2 5", "a c"),
            ("ZREVRANGEBYLEX z + (d", ""),
            ("ZREVRANGEBYLEX z + [b", "c"),
            ("ZREVRANGEBYLEX z (c -", "a d b"),
        ],
    );
    c.check_all(&[("ZLEXCOUNT z [c +", ":3"), ("ZLEXCOUNT z [b [c", ":1"), ("ZLEXCOUNT z [c [b", ":0")]);
    for n in 0..200 {
        c.check(&format!("ZADD large {n} {:03}", 199 - n), ":1");
    }
    // Places among members with the lowest score, 0, of which 199 is the only one.
    check_arrays(&mut c, &[("ZRANGEBYLEX large [200 + LIMIT 0 2", "198 197")]);
    c.check_all(&[("ZLEXCOUNT large - [199", ":1"), ("ZLEXCOUNT large [200 +", ":199")]);
}

#[test]
fn the_encoding_follows_from_the_size() {
    let server = Server::new();
    let mut c = server.client();
    for n in 0..128 {
        c.check(&format!("ZADD z {n} {n}"), ":1");
    }
    c.check_all(&[
        ("OBJECT ENCODING z", "$8\nlistpack"),
        ("ZADD z 1 x", ":1"),
        ("OBJECT ENCODING z", "$8\nskiplist"),
        ("ZREMRANGEBYRANK z 10 -1", ":119"),
        ("OBJECT ENCODING z", "$8\nlistpack"),
    ]);
    c.check(&format!("ZADD y 1 {} 2 b", "x".repeat(1000)), ":2");
    c.check("OBJECT ENCODING y", "$8\nlistpack");
    c.check(&format!("ZADD y 1 {}", "y".repeat(4000)), ":1");
    c.check("OBJECT ENCODING y", "$8\nskiplist");
}

#[test]
fn ranges_are_stored_and_removed() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("ZADD z 1 a 2 b 3 c 4 d", ":4"),
        ("SET t v EX 100", "+OK"),
        ("ZRANGESTORE t z 1 2", ":2"),
        ("TTL t", ":-1"),
        ("ZRANGE t 0 -1 WITHSCORES", &bulks("b 2 c 3")),
        ("ZRANGESTORE t z (1 +inf BYSCORE LIMIT 1 1", ":1"),
        ("ZRANGE t 0 -1", &bulks("c")),
        ("ZRANGESTORE z z 0 1 REV", ":2"),
        ("ZRANGE z 0 -1", &bulks("c d")),
        ("ZRANGESTORE t nosuch 0 -1", ":0"),
        ("EXISTS t", ":0"),
        ("ZRANGESTORE t z 5 9", ":0"),
        ("ZRANGESTORE t z 0 -1 WITHSCORES", SYNTAX),
        ("ZRANGESTORE t z x -1", NOT_AN_INTEGER),
        ("ZADD r 1 a 2 b 3 c 4 d 5 e", ":5"),
        ("EXPIRE r 100", ":1"),
        ("ZREMRANGEBYRANK r 1 -4", ":1"),
        ("ZREMRANGEBYRANK r 9 10", ":0"),
        ("ZREMRANGEBYRANK r x 1", NOT_AN_INTEGER),
        ("ZREMRANGEBYSCORE r (3 4", ":1"),
        ("ZREMRANGEBYSCORE r 1 x", NO_BOUND),
        ("ZREMRANGEBYSCORE nosuch 1 2", ":0"),
        ("ZRANGE r 0 -1", &bulks("a c e")),
        ("TTL r", ":100"),
        ("ZREMRANGEBYSCORE r -inf inf", ":3"),
        ("EXISTS r", ":0"),
        ("SET s v", "+OK"),
        ("ZREMRANGEBYRANK s 0 1", WRONG_TYPE),
        ("ZRANGESTORE t s 0 -1", WRONG_TYPE),
        ("ZREMRANGEBYSCORE s 0 x", NO_BOUND),
    ]);
}

#[test]
fn members_are_popped() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("ZADD z 1 a 2 b 3 c 4 d 5 e", ":5"),
        ("ZPOPMIN z", &bulks("a 1")),
        ("ZPOPMAX z", &bulks("e 5")),
        ("ZPOPMIN z 0", "*0"),
        ("ZPOPMAX z 2", &bulks("d 4 c 3")),
        ("ZPOPMIN z 9223372036854775807", &bulks("b 2")),
        ("EXISTS z", ":0"),
        ("ZPOPMIN z", "*0"),
        ("ZPOPMAX z 3", "*0"),
        ("ZPOPMIN z -1", "-ERR value is out of range, must be positive"),
        ("ZPOPMIN z x", "-ERR value is out of range, must be positive"),
        ("ZPOPMIN z 1 2", SYNTAX),
        ("ZADD z 1 a 2 b 3 c", ":3"),
        ("ZMPOP 2 nosuch z MIN", "*2\n$1\nz\n*1\n*2\n$1\na\n$1\n1"),
        ("ZMPOP 1 z MAX COUNT 9", "*2\n$1\nz\n*2\n*2\n$1\nc\n$1\n3\n*2\n$1\nb\n$1\n2"),
        ("ZMPOP 1 z MIN", "*-1"),
        ("ZMPOP 0 z MIN", "-ERR numkeys should be greater than 0"),
        ("ZMPOP 2 z MIN", SYNTAX),
        ("ZMPOP 1 z UP", SYNTAX),
        ("ZMPOP 1 z MIN COUNT 0", "-ERR count should be greater than 0"),
        ("ZMPOP 1 z MIN COUNT 1 COUNT 1", SYNTAX),
        ("ZMPOP 1 z MIN COUNT", SYNTAX),
        ("SET s v", "+OK"),
        ("ZPOPMIN s", WRONG_TYPE),
        ("ZPOPMIN s 1", WRONG_TYPE),
        ("ZMPOP 2 s z MIN", WRONG_TYPE),
        ("ZADD z 1 a", ":1"),
        ("ZMPOP 2 z s MIN", "*2\n$1\nz\n*1\n*2\n$1\na\n$1\n1"),
    ]);
    server.client3().check_all(&[
        ("ZADD z 1 a 2 b 3 c 4 d", ":4"),
        ("ZPOPMIN z", "*2\n$1\na\n,1"),
        ("ZPOPMIN z 1", "*1\n*2\n$1\nb\n,2"),
        ("ZMPOP 1 z MAX", "*2\n$1\nz\n*1\n*2\n$1\nd\n,4"),
        ("ZPOPMAX nosuch", "*0"),
        ("ZPOPMAX nosuch 2", "*0"),
        ("ZMPOP 1 nosuch MIN", "_"),
    ]);
}

#[test]
fn members_at_random() {
    let server = Server::new();
    let (mut c, mut c3) = (server.client(), server.client3());
    c.check_all(&[
        ("ZRANDMEMBER z", "$-1"),
        ("ZRANDMEMBER z 3", "*0"),
        ("ZRANDMEMBER z -3 WITHSCORES", "*0"),
        ("ZADD z 1 a", ":1"),
        ("ZRANDMEMBER z", "$1\na"),
        ("ZRANDMEMBER z 2", &bulks("a")),
        ("ZRANDMEMBER z -2", &bulks("a a")),
        ("ZRANDMEMBER z -2 WITHSCORES", &bulks("a 1 a 1")),
        ("ZRANDMEMBER z 0", "*0"),
        ("ZRANDMEMBER z x", NOT_AN_INTEGER),
        ("ZRANDMEMBER z 1 x", SYNTAX),
        ("ZRANDMEMBER z 1 WITHSCORES x", SYNTAX),
        (
            "ZRANDMEMBER z -9223372036854775808",
            "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        ),
        ("ZRANDMEMBER z -9223372036854775807", "-ERR value is out of range"),
        ("ZRANDMEMBER z 9223372036854775807 WITHSCORES", "-ERR value is out of range"),
        ("SET s v", "+OK"),
        ("ZRANDMEMBER s", WRONG_TYPE),
        ("ZRANDMEMBER s 1", WRONG_TYPE),
    ]);
    c3.check("ZRANDMEMBER z 1 WITHSCORES", "*1\n*2\n$1\na\n,1");
    for n in 0..400 {
        c.run(&format!("ZADD big {n} {n}"));
    }
    for (count, answered) in [(5, 5), (300, 300), (1000, 400)] {
        let reply = c.run(&format!("ZRANDMEMBER big {count}"));
        let members: BTreeSet<&str> = reply.lines().skip(2).step_by(2).collect();
        assert_eq!(members.len(), answered, "{reply}");
    }
    let drawn = c.run("ZRANDMEMBER big -20000");
    let drawn: BTreeSet<&str> = drawn.lines().skip(2).step_by(2).collect();
    assert_eq!(drawn.len(), 400, "each of 400 is missed by 20000 draws once in 10^19 times");
}

#[test]
fn several_at_once() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("ZADD a 1 x 2 y 3 z", ":3"),
        ("ZADD b 10 y 20 z 30 w", ":3"),
        ("SADD s y w q", ":3"),
        ("ZADD i inf x -inf y", ":2"),
        ("ZADD j -inf x inf y", ":2"),
    ]);
    check_arrays(
        &mut c,
        &[
            ("ZUNION 2 a b WITHSCORES", "x 1 y 12 z 23 w 30"),
            ("ZUNION 2 a b", "x y z w"),
            ("ZUNION 2 a nosuch WITHSCORES", "x 1 y 2 z 3"),
            ("ZUNION 1 nosuch", ""),
            ("ZUNION 2 a a WITHSCORES", "x 2 y 4 z 6"),
            ("ZUNION 2 a s WITHSCORES", "q 1 w 1 x 1 y 3 z 3"),
            ("ZUNION 2 a b WEIGHTS 2 -1 WITHSCORES", "w -30 z -14 y -6 x 2"),
            ("ZUNION 2 a b AGGREGATE MIN WITHSCORES", "x 1 y 2 z 3 w 30"),
            ("ZUNION 2 a b AGGREGATE MAX WITHSCORES", "x 1 y 10 z 20 w 30"),
            ("ZUNION 2 a b AGGREGATE MAX AGGREGATE sum WEIGHTS 9 9 WEIGHTS 1 1", "x y z w"),
            ("ZUNION 2 i j WITHSCORES", "x 0 y 0"),
            ("ZUNION 1 i WEIGHTS 0 WITHSCORES", "x 0 y 0"),
            ("ZUNION 1 s WEIGHTS inf WITHSCORES", "q inf w inf y inf"),
            ("ZINTER 2 a b WITHSCORES", "y 12 z 23"),
            ("ZINTER 2 a b", "y z"),
            ("ZINTER 3 a b s WITHSCORES", "y 13"),
            ("ZINTER 2 a b WEIGHTS 0.5 1 AGGREGATE MIN WITHSCORES", "y 1 z 1.5"),
            ("ZINTER 2 a b AGGREGATE MAX WITHSCORES", "y 10 z 20"),
            ("ZINTER 2 i j WITHSCORES", "x 0 y 0"),
            ("ZINTER 2 a nosuch", ""),
            ("ZDIFF 1 a WITHSCORES", "x 1 y 2 z 3"),
            ("ZDIFF 2 a b WITHSCORES", "x 1"),
            ("ZDIFF 2 a s", "x z"),
            ("ZDIFF 3 a b s", "x"),
            ("ZDIFF 2 a a", ""),
            ("ZDIFF 2 nosuch a", ""),
            ("ZDIFF 1 s WITHSCORES", "q 1 w 1 y 1"),
        ],
    );
    c.check_all(&[
        ("ZINTERCARD 2 a b", ":2"),
        ("ZINTERCARD 2 a b LIMIT 1", ":1"),
        ("ZINTERCARD 2 a b LIMIT 0", ":2"),
        ("ZINTERCARD 2 a b LIMIT 9", ":2"),
        ("ZINTERCARD 3 a b s", ":1"),
        ("ZINTERCARD 1 nosuch", ":0"),
        ("ZINTERCARD 2 a b LIMIT -1", "-ERR LIMIT can't be negative"),
        ("ZINTERCARD 2 a b LIMIT", SYNTAX),
        ("ZINTERCARD 0 a", "-ERR at least 1 input key is needed for 'zintercard' command"),
        ("ZUNION 0 a", "-ERR at least 1 input key is needed for 'zunion' command"),
        ("ZUNION -1 a", "-ERR at least 1 input key is needed for 'zunion' command"),
        ("ZUNION x a", NOT_AN_INTEGER),
        ("ZUNION 2 a", SYNTAX),
        ("ZUNION 9223372036854775807 a", SYNTAX),
        ("ZUNION 2 a b WEIGHTS 1", SYNTAX),
        ("ZUNION 2 a b WEIGHTS 1 x", "-ERR weight value is not a float"),
        ("ZUNION 2 a b AGGREGATE", SYNTAX),
        ("ZUNION 2 a b AGGREGATE AVG", SYNTAX),
        ("ZDIFF 2 a b WEIGHTS 1 2", SYNTAX),
        ("ZDIFF 2 a b AGGREGATE MIN", SYNTAX),
        ("ZINTERCARD 2 a b WITHSCORES", SYNTAX),
        ("SET str v", "+OK"),
        ("ZUNION 1 str", WRONG_TYPE),
        ("ZUNION 1 str AGGREGATE AVG", WRONG_TYPE),
        ("ZUNIONSTORE t 1 str WEIGHTS x", WRONG_TYPE),
        ("ZUNIONSTORE t 0 a", "-ERR at least 1 input key is needed for 'zunionstore' command"),
        ("ZUNIONSTORE t 1 a WITHSCORES", SYNTAX),
        ("ZINTERSTORE t 2 a str", WRONG_TYPE),
    ]);
    server.client3().check_all(&[
        ("ZUNION 1 a", "*3\n$1\nx\n$1\ny\n$1\nz"),
        ("ZINTER 2 a b WITHSCORES", "*2\n*2\n$1\ny\n,12\n*2\n$1\nz\n,23"),
        ("ZDIFF 2 a b WITHSCORES", "*1\n*2\n$1\nx\n,1"),
    ]);
}

#[test]
fn several_are_stored() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("ZADD a 1 x 2 y 3 z", ":3"),
        ("ZADD b 10 y 20 z 30 w", ":3"),
        ("SADD s y w q", ":3"),
        ("SET t v EX 100", "+OK"),
        ("ZUNIONSTORE t 3 a b s WEIGHTS 1 0 -1 AGGREGATE MIN", ":5"),
        ("TTL t", ":-1"),
        ("ZRANGE t 0 -1 WITHSCORES", &bulks("q -1 w -1 y -1 z 0 x 1")),
        ("ZINTERSTORE t 2 t a", ":3"),
        ("ZRANGE t 0 -1 WITHSCORES", &bulks("y 1 x 2 z 3")),
        ("ZDIFFSTORE a 2 a s", ":2"),
        ("ZRANGE a 0 -1 WITHSCORES", &bulks("x 1 z 3")),
        ("ZUNIONSTORE z 1 a WEIGHTS -0", ":2"),
        ("ZSCORE z x", "$1\n0"),
        ("ZINTERSTORE t 2 a nosuch", ":0"),
        ("EXISTS t", ":0"),
        ("ZDIFFSTORE a 2 a a", ":0"),
        ("EXISTS a", ":0"),
    ]);
}

#[test]
fn walks() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("ZADD z 1.5 a inf b", ":2"),
        ("ZSCAN z 0", "*2\n$1\n0\n*4\n$1\na\n$3\n1.5\n$1\nb\n$3\ninf"),
        ("ZSCAN z 0 MATCH a*", "*2\n$1\n0\n*2\n$1\na\n$3\n1.5"),
        ("ZADD large 1e17 a", ":1"),
        ("ZSCAN large 0", "*2\n$1\n0\n*2\n$1\na\n$5\n1e+17"),
        ("ZSCAN nosuch 0", "*2\n$1\n0\n*0"),
        ("ZSCAN nosuch 0 COUNT 0", "*2\n$1\n0\n*0"),
        ("ZSCAN z 0 COUNT 0", SYNTAX),
        ("ZSCAN z x", "-ERR invalid cursor"),
        ("SET s v", "+OK"),
        ("ZSCAN s 0", WRONG_TYPE),
    ]);
    server.client3().check("ZSCAN z 0 MATCH a", "*2\n$1\n0\n*2\n$1\na\n$3\n1.5");
    for n in 0..1000 {
        c.check(&format!("ZADD big {n} m{n}"), ":1");
    }
    let (mut seen, mut cursor) = (BTreeSet::new(), "0".to_owned());
    loop {
        let reply = c.run(&format!("ZSCAN big {cursor} COUNT 20"));
        let lines: Vec<&str> = reply.lines().collect();
        let page: Vec<(&str, &str)> = lines[4..].chunks(4).map(|pair| (pair[1], pair[3])).collect();
        assert!(page.len() <= 25, "{} members for a count of 20", page.len());
        for (member, score) in page {
            assert!(score == "-1" || score == "5000" || member == format!("m{score}"), "{member} {score}");
            seen.insert(member.to_owned());
        }
        cursor = lines[2].to_owned();
        if cursor == "0" {
            break;
        }
        c.check("ZADD big 5000 moved", if seen.len() < 30 { ":1" } else { ":0" });
        c.run(&format!("ZADD big -1 m{}", seen.len() + 1000));
    }
    assert!((0..1000).all(|n| seen.contains(&format!("m{n}"))), "{} members were seen", seen.len());
}

/// A large sorted set against one in the standard library.
#[test]
fn a_large_sorted_set() {
    let server = Server::new();
    let mut c = server.client();
    let mut expected: BTreeSet<(i64, String)> = BTreeSet::new();
    let score = |n: i64| n * 7919 % 500;
    for n in 0..2000 {
        c.check(&format!("ZADD z {} m{n}", score(n)), ":1");
        expected.insert((score(n), format!("m{n}")));
    }
    for n in (0..2000).step_by(3) {
        c.check(&format!("ZADD z CH {} m{n}", score(n) + 1), ":1");
        expected.remove(&(score(n), format!("m{n}")));
        expected.insert((score(n) + 1, format!("m{n}")));
    }
    c.check("OBJECT ENCODING z", "$8\nskiplist");
    let order: Vec<&(i64, String)> = expected.iter().collect();
    let words = |range: &[&(i64, String)]| {
        let words: Vec<String> = range.iter().map(|(score, member)| format!("{member} {score}")).collect();
        bulks(&words.join(" "))
    };
    c.check("ZRANGE z 0 -1 WITHSCORES", &words(&order));
    let reversed: Vec<&(i64, String)> = order.iter().rev().copied().collect();
    c.check("ZREVRANGE z 0 -1 WITHSCORES", &words(&reversed));
    for at in (0..2000).step_by(97) {
        let (score, member) = order[at];
        c.check(&format!("ZRANK z {member}"), &format!(":{at}"));
        c.check(&format!("ZREVRANK z {member}"), &format!(":{}", 1999 - at));
        c.check(&format!("ZRANGE z {at} {} WITHSCORES", at + 40), &words(&order[at..(at + 41).min(2000)]));
        let from = order.partition_point(|place| place.0 < *score);
        let to = order.partition_point(|place| place.0 <= score + 9);
        c.check(&format!("ZCOUNT z {score} {}", score + 9), &format!(":{}", to - from));
        let line = format!("{score} {} WITHSCORES", score + 9);
        c.check(&format!("ZRANGEBYSCORE z {line}"), &words(&order[from..to]));
        let skipped = (from + 5).min(to);
        c.check(
            &format!("ZRANGEBYSCORE z {line} LIMIT 5 100"),
            &words(&order[skipped..(skipped + 100).min(to)]),
        );
        let line = format!("{} {score} WITHSCORES LIMIT 3 4", score + 9);
        let (behind, kept) = (1999 - to.saturating_sub(1), (to - from).saturating_sub(3).min(4));
        c.check(
            &format!("ZREVRANGEBYSCORE z {line}"),
            &words(&reversed[(behind + 3).min(2000)..(behind + 3).min(2000) + kept]),
        );
    }
    c.check("ZREMRANGEBYRANK z 100 1899", ":1800");
    c.check(
        "ZREMRANGEBYSCORE z -inf 2",
        &format!(":{}", order[..100].iter().filter(|place| place.0 <= 2).count()),
    );
    let rest: Vec<&(i64, String)> =
        order[..100].iter().chain(&order[1900..]).filter(|place| place.0 > 2).copied().collect();
    c.check("ZRANGE z 0 -1 WITHSCORES", &words(&rest));
    c.check("ZPOPMAX z 1000", &words(&rest.iter().rev().copied().collect::<Vec<_>>()));
    c.check("EXISTS z", ":0");
}

#[test]
fn transactions_and_watches() {
    let server = Server::new();
    let (mut c, mut other) = (server.client(), server.client());
    c.check_all(&[
        ("ZADD z 1 a 2 b", ":2"),
        ("MULTI", "+OK"),
        ("ZADD z 3 a 4 c", "+QUEUED"),
        ("ZRANGE z 0 -1", "+QUEUED"),
        ("ZPOPMIN z", "+QUEUED"),
        ("ZINCRBY z inf a", "+QUEUED"),
        ("ZINCRBY z -inf a", "+QUEUED"),
        ("ZUNIONSTORE t 1 z", "+QUEUED"),
        ("ZRANK t a", "+QUEUED"),
        (
            "EXEC",
            "*7\n:1\n*3\n$1\nb\n$1\na\n$1\nc\n*2\n$1\nb\n$1\n2\n$3\ninf\n\
             -ERR resulting score is not a number (NaN)\n:2\n:1",
        ),
        ("WATCH z", "+OK"),
    ]);
    other.check_all(&[("ZADD z inf a", ":0"), ("ZREM z nosuch", ":0"), ("ZADD z XX 1 nosuch", ":0")]);
    c.check_all(&[("MULTI", "+OK"), ("PING", "+QUEUED"), ("EXEC", "*1\n+PONG"), ("WATCH z", "+OK")]);
    other.check("ZADD z 5 a", ":0");
    c.check_all(&[("MULTI", "+OK"), ("PING", "+QUEUED"), ("EXEC", "*-1")]);
}

/// Large inputs are copied and combined without a pin; what comes of them is what comes of small ones.
#[test]
fn large_inputs_are_combined_without_a_pin() {
    let server = Server::new();
    let mut c = server.client();
    for n in 0..6_000 {
        c.run(&format!("ZADD z {} m{n}", n % 100));
        c.run(&format!("SADD s m{}", n * 2));
        c.run(&format!("RPUSH l {}", (n * 7_919) % 6_000));
    }
    for (line, expected) in [
        ("ZUNIONSTORE d 2 z s WEIGHTS 1 -1", ":9000"),
        ("ZINTERSTORE d 2 z s", ":3000"),
        ("ZDIFFSTORE d 2 z s", ":3000"),
        ("ZSCORE d m4101", "$1\n1"),
        ("ZUNIONSTORE z 2 z z", ":6000"),
        ("ZSCORE z m4101", "$1\n2"),
    ] {
        c.steps = 0;
        c.check(line, expected);
        assert_eq!(c.steps, usize::from(!line.starts_with("ZSCORE")), "{line}");
    }
    c.steps = 0;
    let whole = c.run("ZUNION 2 z s WEIGHTS -1 0 WITHSCORES");
    assert!(whole.starts_with("*18000\n$4\nm100\n") || whole.starts_with("*18000\n"), "{}", &whole[..40]);
    c.check("SORT l LIMIT 0 3", "*3\n$1\n0\n$1\n1\n$1\n2");
    c.check("SORT l LIMIT 0 2 DESC ALPHA", "*2\n$3\n999\n$3\n998");
    assert_eq!(c.steps, 3);
    c.check_all(&[
        ("RPUSH l x", ":6001"),
        ("SORT l", "-ERR One or more scores can't be converted into double"),
    ]);
    c.check_all(&[("MULTI", "+OK"), ("ZINTERSTORE d 2 z s", "+QUEUED"), ("EXEC", "*1\n:3000")]);
}

/// What was made of copies is stored only if the inputs are still what they were.
#[test]
fn what_was_made_of_copies_is_made_again_if_an_input_changes() {
    let server = Server::new();
    let (mut c, mut other) = (server.client(), server.client());
    for n in 0..5_000 {
        c.run(&format!("ZADD z {n} m{n}"));
    }
    for rounds in 1..5 {
        let mut left = rounds;
        let line: Vec<&[u8]> = vec![b"ZUNIONSTORE", b"d", b"2", b"z", b"gone"];
        let (reply, _) = c.dispatch_with(&line, || {
            if left > 0 {
                other.run(&format!("ZADD z 1 new:{rounds}:{left}"));
                left -= 1;
            }
        });
        // Twice it is made again, then it is made and stored whole.
        let seen = 5_000 + (1..=rounds).map(|rounds| rounds.min(2)).sum::<usize>();
        assert_eq!(reply, format!(":{seen}\r\n").into_bytes());
    }
    c.check("ZUNIONSTORE d 1 l", ":0");
}

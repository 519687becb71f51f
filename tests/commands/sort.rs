//! SORT and SORT_RO.

use crate::harness::{Client, Server};

const SYNTAX: &str = "-ERR syntax error";
const NOT_A_NUMBER: &str = "-ERR One or more scores can't be converted into double";

/// Checks lines whose replies are arrays, given as words; `-` is null, `''` the empty string.
#[track_caller]
fn check_arrays(c: &mut Client, exchanges: &[(&str, &str)]) {
    for (line, words) in exchanges {
        let bulk = |word: &str| match word {
            "-" => "\n$-1".to_owned(),
            "''" => "\n$0\n".to_owned(),
            word => format!("\n${}\n{word}", word.len()),
        };
        let words: Vec<String> = words.split_ascii_whitespace().map(bulk).collect();
        c.check(line, &format!("*{}{}", words.len(), words.concat()));
    }
}

#[test]
fn numbers_in_order() {
    let server = Server::new();
    let mut c = server.client();
    c.check("RPUSH l 3 1 2 10 -5", ":5");
    check_arrays(
        &mut c,
        &[
            ("SORT l", "-5 1 2 3 10"),
            ("SORT_RO l", "-5 1 2 3 10"),
            ("SORT l DESC", "10 3 2 1 -5"),
            ("SORT l desc asc", "-5 1 2 3 10"),
            ("SORT l ALPHA", "-5 1 10 2 3"),
            ("SORT l ALPHA DESC", "3 2 10 1 -5"),
            ("SORT l LIMIT 1 2", "1 2"),
            ("SORT l LIMIT 1 2 DESC", "3 2"),
            ("SORT l LIMIT 4 10", "10"),
            ("SORT l LIMIT -5 2", "-5 1"),
            ("SORT l LIMIT 1 -7", "1 2 3 10"),
            ("SORT l LIMIT 7 2", ""),
            ("SORT l LIMIT 0 0", ""),
            ("SORT l LIMIT 9223372036854775807 9223372036854775807", ""),
            ("SORT l LIMIT 2 9223372036854775807", "2 3 10"),
            ("SORT nosuch", ""),
        ],
    );
}

#[test]
fn ties_and_strange_numbers() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("RPUSH ties 1 1.0 01 1e0 1", ":5"),
        ("RPUSH odd \"\" 0x10 1e3 inf -inf .5", ":6"),
        ("RPUSH blank \" 1\"", ":1"),
        ("SORT blank", "*1\n$2\n 1"),
    ]);
    check_arrays(
        &mut c,
        &[
            ("SORT ties", "01 1 1 1.0 1e0"),
            ("SORT ties DESC", "1e0 1.0 1 1 01"),
            ("SORT odd", "-inf '' .5 0x10 1e3 inf"),
        ],
    );
    for (key, value) in
        [("a", "\"1 \""), ("b", "abc"), ("c", "1e400"), ("d", "nan"), ("e", "\" \""), ("f", "1x")]
    {
        c.check(&format!("RPUSH {key} 1 {value}"), ":2");
        c.check(&format!("SORT {key}"), NOT_A_NUMBER);
        c.check(&format!("SORT {key} LIMIT 0 0"), NOT_A_NUMBER);
        c.check(&format!("SORT {key} STORE ties"), NOT_A_NUMBER);
        assert!(c.run(&format!("SORT {key} ALPHA")).starts_with("*2\n"));
    }
    c.check("LLEN ties", ":5");
}

#[test]
fn patterns_refer_to_other_keys() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("RPUSH l 3 1 2 10 -5", ":5"),
        ("MSET w_3 1 w_1 2 w_10 0 n_1 one n_2 two n_3 three ns/w/3 9", "+OK"),
        ("HSET h_1 f 5 g x", ":2"),
        ("HSET h_2 f 3", ":1"),
    ]);
    check_arrays(
        &mut c,
        &[
            // A missing key counts as 0; ties are ordered by the elements.
            ("SORT l BY w_*", "-5 10 2 3 1"),
            ("SORT l BY w_* DESC", "1 3 2 10 -5"),
            // Missing ones come first; ties stay in their order.
            ("SORT l BY w_* ALPHA", "2 -5 10 3 1"),
            ("SORT l BY w_* ALPHA DESC", "1 3 10 2 -5"),
            ("SORT l BY w_* LIMIT 3 1", "3"),
            ("SORT l BY w_* ALPHA LIMIT 1 3", "-5 10 3"),
            (
                "SORT l BY w_* GET # GET n_* GET nosuch GET w_*",
                "-5 - - - 10 - - 0 2 two - - 3 three - 1 1 one - 2",
            ),
            ("SORT l BY w_* DESC GET n_* LIMIT 0 2", "one three"),
            ("SORT l BY h_*->f", "-5 10 3 2 1"),
            ("SORT l BY h_*->f GET h_*->g", "- - - - x"),
            ("SORT l LIMIT 1 1 GET h_*->", "-"),
            ("SORT l LIMIT 1 1 GET h_*", "-"),
            ("SORT l LIMIT 1 1 GET h_*->nosuch GET n_*->f", "- -"),
            ("SORT l LIMIT 3 1 GET ns/w/*", "9"),
            ("SORT l BY nosort", "3 1 2 10 -5"),
            ("SORT l BY nosort DESC", "-5 10 2 1 3"),
            ("SORT l BY nosort LIMIT 1 2", "1 2"),
            ("SORT l BY nosort DESC LIMIT 1 2", "10 2"),
            ("SORT l BY nosort LIMIT 5 2", ""),
            ("SORT l BY nosort LIMIT 1 1 GET # GET x GET n_*", "1 - one"),
            ("SORT l BY nosort BY w_* LIMIT 0 2", "3 1"),
            ("SORT l BY nosuch_*->*", "-5 1 10 2 3"),
            ("SORT_RO l BY w_* GET n_*", "- - two three one"),
        ],
    );
    c.check_all(&[("SET w_2 b", "+OK"), ("SORT l BY w_*", NOT_A_NUMBER)]);
    server.client3().check("SORT l BY nosort LIMIT 1 1 GET # GET x", "*2\n$1\n1\n_");
}

#[test]
fn sets_have_no_order_of_their_own() {
    let server = Server::new();
    let mut c = server.client();
    c.check("SADD s c b a 1", ":4");
    check_arrays(
        &mut c,
        &[
            ("SORT s ALPHA", "1 a b c"),
            ("SORT s ALPHA DESC LIMIT 0 3", "c b a"),
            ("SORT s BY nosuch_*", "1 a b c"),
        ],
    );
    c.check("SORT s", NOT_A_NUMBER);
    assert!(c.run("SORT s BY nosort LIMIT 1 2").starts_with("*2\n"));
    c.check("SORT s BY nosort STORE l", ":4");
    check_arrays(&mut c, &[("LRANGE l 0 -1", "1 a b c")]);
    c.check("SORT s BY nosort DESC STORE l", ":4");
    check_arrays(&mut c, &[("LRANGE l 0 -1", "c b a 1")]);
}

#[test]
fn stores_replace_what_is_there() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("RPUSH l 3 1 2", ":3"),
        ("SET d x EX 100", "+OK"),
        ("SORT l STORE d", ":3"),
        ("TTL d", ":-1"),
        ("TYPE d", "+list"),
        ("SET n_1 one", "+OK"),
        ("SORT l GET n_* GET # STORE ns/d", ":6"),
        ("EXPIRE l 100", ":1"),
        ("SORT l DESC STORE l", ":3"),
        ("TTL l", ":-1"),
        ("SORT l STORE e STORE f", ":3"),
        ("EXISTS e f", ":1"),
        ("SORT l LIMIT 0 0 STORE f", ":0"),
        ("SORT nosuch STORE d2", ":0"),
        ("EXISTS f d2", ":0"),
    ]);
    check_arrays(
        &mut c,
        &[("LRANGE d 0 -1", "1 2 3"), ("LRANGE ns/d 0 -1", "one 1 '' 2 '' 3"), ("LRANGE l 0 -1", "3 2 1")],
    );
}

#[test]
fn errors() {
    let server = Server::new();
    let mut c = server.client();
    let wrong_type = "-WRONGTYPE Operation against a key holding the wrong kind of value";
    c.check_all(&[
        ("RPUSH l 1", ":1"),
        ("SET s x", "+OK"),
        ("HSET h f x", ":1"),
        ("SORT s", wrong_type),
        ("SORT h", wrong_type),
        ("SORT s FOO", SYNTAX),
        ("SORT l LIMIT 1", SYNTAX),
        ("SORT l LIMIT a 2", "-ERR value is not an integer or out of range"),
        ("SORT l LIMIT 0 2.5", "-ERR value is not an integer or out of range"),
        ("SORT l STORE", SYNTAX),
        ("SORT l GET", SYNTAX),
        ("SORT l BY", SYNTAX),
        ("SORT_RO l STORE d", SYNTAX),
        ("SORT", "-ERR wrong number of arguments for 'sort' command"),
    ]);
}

#[test]
fn keys_are_those_that_can_be_known() {
    let server = Server::new();
    let mut c = server.client();
    check_arrays(
        &mut c,
        &[
            ("COMMAND GETKEYS SORT l STORE d STORE d2", "l d2"),
            ("COMMAND GETKEYS SORT l BY STORE STORE d2 LIMIT STORE STORE", "l d2"),
            ("COMMAND GETKEYS SORT l GET STORE d2", "l"),
            ("COMMAND GETKEYS SORT l STORE", "l"),
            ("COMMAND GETKEYS SORT_RO l STORE d2", "l"),
        ],
    );
    c.check(
        "COMMAND GETKEYSANDFLAGS SORT l STORE d2",
        "*2\n*2\n$1\nl\n*2\n+RO\n+access\n*2\n$2\nd2\n*2\n+OW\n+update",
    );
}

#[test]
fn a_sort_sees_what_its_transaction_wrote() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("MULTI", "+OK"),
        ("RPUSH l 1 2", "+QUEUED"),
        ("MSET w_1 2 w_2 1", "+QUEUED"),
        ("HSET h_1 f 7", "+QUEUED"),
        ("SORT l BY w_* GET # GET h_*->f STORE d", "+QUEUED"),
        ("LPOP d", "+QUEUED"),
        ("SORT d BY nosort DESC", "+QUEUED"),
        ("SORT l BY h_*", "+QUEUED"),
        ("EXEC", "*7\n:2\n+OK\n:1\n:4\n$1\n2\n*3\n$1\n7\n$1\n1\n$0\n\n*2\n$1\n1\n$1\n2"),
    ]);
}

#[test]
fn large_collections_sort_like_small_ones() {
    const ELEMENTS: usize = 20_000;
    let server = Server::new();
    let mut c = server.client();
    for from in (0..ELEMENTS).step_by(500) {
        let numbers = (from..from + 500).map(|n| format!(" {}", (n * 7919) % ELEMENTS));
        let numbers: String = numbers.collect();
        c.run(&format!("RPUSH l{numbers}"));
        c.run(&format!("SADD s{numbers}"));
    }
    let in_order = |range: std::ops::Range<usize>| -> String {
        let bulks = range.clone().map(|n| format!("\n${}\n{n}", n.to_string().len()));
        format!("*{}{}", range.len(), bulks.collect::<String>())
    };
    for key in ["l", "s"] {
        c.check(&format!("SORT {key}"), &in_order(0..ELEMENTS));
        c.check(&format!("SORT {key} LIMIT 777 1000"), &in_order(777..1777));
        c.check(&format!("SORT {key} STORE d"), &format!(":{ELEMENTS}"));
        c.check("LRANGE d 0 -1", &in_order(0..ELEMENTS));
    }
}

/// Departure: Redis compares texts that are answered up to their first zero byte, and in the order of its locale.
#[test]
fn texts_are_compared_byte_by_byte() {
    let server = Server::new();
    let mut c = server.client();
    assert_eq!(c.send(&[b"RPUSH", b"l", b"a\0b", b"a\0a", b"B", b"\xff"]), b":4\r\n");
    let expected = b"*4\r\n$1\r\nB\r\n$3\r\na\0a\r\n$3\r\na\0b\r\n$1\r\n\xff\r\n";
    assert_eq!(c.send(&[b"SORT", b"l", b"ALPHA"]), expected);
}

#[test]
fn sorted_sets_in_their_order_or_another() {
    let server = Server::new();
    let mut c = server.client();
    c.check("ZADD z 4 1 3 2 2 10 1 x1", ":4");
    check_arrays(
        &mut c,
        &[
            ("SORT z ALPHA", "1 10 2 x1"),
            ("SORT z BY nosort", "x1 10 2 1"),
            ("SORT z BY nosort DESC", "1 2 10 x1"),
            ("SORT z BY nosort LIMIT 1 2", "10 2"),
            ("SORT z BY nosort DESC LIMIT 1 2", "2 10"),
            ("SORT z BY nosort DESC LIMIT 3 9", "x1"),
            ("SORT z BY nosort LIMIT 4 1", ""),
            ("SORT_RO z BY nosort LIMIT 0 1 GET # GET missing_*", "x1 -"),
        ],
    );
    c.check_all(&[
        ("SORT z", NOT_A_NUMBER),
        ("ZREM z x1", ":1"),
        ("SORT z", "*3\n$1\n1\n$1\n2\n$2\n10"),
        ("SORT z BY nosort DESC STORE l", ":3"),
        ("LRANGE l 0 -1", "*3\n$1\n1\n$1\n2\n$2\n10"),
    ]);
    for n in 0..500 {
        c.check(&format!("ZADD big {} {n}", 500 - n), ":1");
    }
    check_arrays(
        &mut c,
        &[
            ("SORT big BY nosort LIMIT 200 3", "299 298 297"),
            ("SORT big BY nosort DESC LIMIT 200 3", "200 201 202"),
            ("SORT big LIMIT 497 9", "497 498 499"),
        ],
    );
}

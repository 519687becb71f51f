//! Family lists.

use crate::harness::Server;

const NOT_AN_INTEGER: &str = "-ERR value is not an integer or out of range";
const NOT_POSITIVE: &str = "-ERR value is out of range, must be positive";
const SYNTAX: &str = "-ERR syntax error";
const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";

/// The reply to LRANGE of elements without spaces.
fn array(elements: &str) -> String {
    let bulks: String =
        elements.split(' ').map(|element| format!("\n${}\n{element}", element.len())).collect();
    format!("*{}{bulks}", elements.split(' ').count())
}

#[test]
fn pushes_and_pops_at_both_ends() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("LPUSH l c b a", ":3"),
        ("RPUSH l d e", ":5"),
        ("LLEN l", ":5"),
        ("LRANGE l 0 -1", &array("a b c d e")),
        ("LPOP l", "$1\na"),
        ("RPOP l", "$1\ne"),
        ("LPOP l 2", &array("b c")),
        ("RPOP l 5", &array("d")),
        ("EXISTS l", ":0"),
        ("TYPE l", "+none"),
        ("RPUSH l a b c", ":3"),
        ("RPOP l 2", &array("c b")),
        ("TYPE l", "+list"),
        ("RPUSH l", "-ERR wrong number of arguments for 'rpush' command"),
    ]);
}

#[test]
fn counts_of_pops() {
    let server = Server::new();
    let exchanges = [
        ("RPUSH l a b", ":2"),
        ("LPOP l 0", "*0"),
        ("LPOP l -1", NOT_POSITIVE),
        ("LPOP l x", NOT_POSITIVE),
        ("RPOP l 9223372036854775808", NOT_POSITIVE),
        ("LPOP l 1 2", "-ERR wrong number of arguments for 'lpop' command"),
        ("LPOP l 9223372036854775807", "*2\n$1\na\n$1\nb"),
        ("LLEN l", ":0"),
    ];
    server.client().check_all(&exchanges);
    server.client3().check_all(&exchanges);
    for line in ["LPOP l", "RPOP l"] {
        server.client().check(line, "$-1");
        server.client3().check(line, "_");
    }
    for line in ["LPOP l 1", "RPOP l 0"] {
        server.client().check(line, "*-1");
        server.client3().check(line, "_");
    }
}

#[test]
fn pushes_to_a_list_that_exists() {
    let server = Server::new();
    server.client().check_all(&[
        ("LPUSHX l a", ":0"),
        ("RPUSHX l a b", ":0"),
        ("EXISTS l", ":0"),
        ("RPUSH l m", ":1"),
        ("LPUSHX l b a", ":3"),
        ("RPUSHX l y z", ":5"),
        ("LRANGE l 0 -1", &array("a b m y z")),
    ]);
}

#[test]
fn elements_are_any_bytes_of_any_length() {
    let server = Server::new();
    let mut c = server.client();
    let (key, element) = (&b"\x00\xff\r\n"[..], &b"\xc3\x28\r\n\x00"[..]);
    assert_eq!(c.send(&[b"RPUSH", key, element, b""]), b":2\r\n");
    assert_eq!(c.send(&[b"LRANGE", key, b"0", b"-1"]), b"*2\r\n$5\r\n\xc3\x28\r\n\x00\r\n$0\r\n\r\n");
    let large = vec![b'x'; 1 << 20];
    assert_eq!(c.send(&[b"LPUSH", key, &large]), b":3\r\n");
    let reply = [b"$1048576\r\n", large.as_slice(), b"\r\n"].concat();
    assert_eq!(c.send(&[b"LINDEX", key, b"0"]), reply);
    assert_eq!(c.send(&[b"LPOS", key, &large]), b":0\r\n");
    assert_eq!(c.send(&[b"LPOP", key]), reply);
    assert_eq!(c.send(&[b"LLEN", key]), b":2\r\n");
}

#[test]
fn ranges() {
    let server = Server::new();
    let mut c = server.client();
    c.check("RPUSH l a b c d e", ":5");
    for (range, expected) in [
        ("0 0", array("a")),
        ("1 3", array("b c d")),
        ("-2 -1", array("d e")),
        ("-100 1", array("a b")),
        ("3 100", array("d e")),
        ("0 9223372036854775807", array("a b c d e")),
        ("-9223372036854775808 -1", array("a b c d e")),
        ("-200 -100", "*0".to_owned()),
        ("3 1", "*0".to_owned()),
        ("5 9", "*0".to_owned()),
        ("x 1", NOT_AN_INTEGER.to_owned()),
        ("0 1.0", NOT_AN_INTEGER.to_owned()),
    ] {
        c.check(&format!("LRANGE l {range}"), &expected);
    }
    c.check_all(&[("LRANGE missing 0 -1", "*0"), ("LRANGE missing x -1", NOT_AN_INTEGER)]);
    server.client3().check("LRANGE missing 0 -1", "*0");
}

#[test]
fn elements_by_index() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("RPUSH l a b c", ":3"),
        ("LINDEX l 0", "$1\na"),
        ("LINDEX l -1", "$1\nc"),
        ("LINDEX l -3", "$1\na"),
        ("LINDEX l 3", "$-1"),
        ("LINDEX l -4", "$-1"),
        ("LINDEX l -9223372036854775808", "$-1"),
        ("LINDEX l x", NOT_AN_INTEGER),
        ("LINDEX missing x", "$-1"),
        ("LSET l 0 A", "+OK"),
        ("LSET l -1 C", "+OK"),
        ("LRANGE l 0 -1", &array("A b C")),
        ("LSET l 3 x", "-ERR index out of range"),
        ("LSET l -4 x", "-ERR index out of range"),
        ("LSET l x x", NOT_AN_INTEGER),
        ("LSET missing x x", "-ERR no such key"),
    ]);
    server.client3().check_all(&[("LINDEX l 9", "_"), ("LINDEX missing 0", "_")]);
}

#[test]
fn removal_by_value() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("RPUSH l x a x x b x", ":6"),
        ("LREM l 2 x", ":2"),
        ("LRANGE l 0 -1", &array("a x b x")),
        ("LREM l -1 x", ":1"),
        ("LRANGE l 0 -1", &array("a x b")),
        ("LREM l 0 nosuch", ":0"),
        ("LREM missing 0 x", ":0"),
        ("LREM l x a", NOT_AN_INTEGER),
        ("LREM l -9223372036854775808 x", ":1"),
        ("RPUSH l b b a b", ":6"),
        ("LREM l -3 b", ":3"),
        ("LRANGE l 0 -1", &array("a b a")),
        ("LREM l 0 a", ":2"),
        ("LREM l 9223372036854775807 b", ":1"),
        ("EXISTS l", ":0"),
    ]);
}

#[test]
fn trimming() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("RPUSH l a b c d e f", ":6"),
        ("PEXPIRE l 5000", ":1"),
        ("LTRIM l 0 -1", "+OK"),
        ("LTRIM l 1 100", "+OK"),
        ("LRANGE l 0 -1", &array("b c d e f")),
        ("LTRIM l 1 -2", "+OK"),
        ("LRANGE l 0 -1", &array("c d e")),
        ("PTTL l", ":5000"),
        ("LTRIM l x 1", NOT_AN_INTEGER),
        ("LTRIM l 2 1", "+OK"),
        ("EXISTS l", ":0"),
        ("LTRIM l 0 1", "+OK"),
        ("EXISTS l", ":0"),
    ]);
}

/// As in Redis, which tells watchers of a list that LTRIM left as it was.
#[test]
fn a_trim_that_cuts_nothing_is_a_change_to_watchers() {
    let server = Server::new();
    let (mut watcher, mut c) = (server.client(), server.client());
    c.check("RPUSH l a b", ":2");
    watcher.check("WATCH l", "+OK");
    c.check("LTRIM l 0 -1", "+OK");
    watcher.check_all(&[("MULTI", "+OK"), ("EXEC", "*-1"), ("WATCH l", "+OK")]);
    c.check_all(&[("LREM l 0 nosuch", ":0"), ("LINSERT l BEFORE nosuch x", ":-1"), ("LPOP l 0", "*0")]);
    watcher.check_all(&[("MULTI", "+OK"), ("EXEC", "*0")]);
}

#[test]
fn insertion_beside_a_pivot() {
    let server = Server::new();
    server.client().check_all(&[
        ("LINSERT l BEFORE b a", ":0"),
        ("EXISTS l", ":0"),
        ("RPUSH l b d b", ":3"),
        ("LINSERT l BEFORE b a", ":4"),
        ("LINSERT l after b c", ":5"),
        ("LINSERT l AFTER nosuch c", ":-1"),
        ("LRANGE l 0 -1", &array("a b c d b")),
        ("LREM l -1 b", ":1"),
        ("LINSERT l AFTER d e", ":5"),
        ("LRANGE l 0 -1", &array("a b c d e")),
        ("LINSERT l BESIDE d e", SYNTAX),
    ]);
}

#[test]
fn positions() {
    let server = Server::new();
    let mut c = server.client();
    c.check("RPUSH l a b c 1 2 3 c c", ":8");
    for (arguments, expected) in [
        ("c", ":2"),
        ("c RANK 1", ":2"),
        ("c RANK 2", ":6"),
        ("c RANK 4", "$-1"),
        ("c RANK -1", ":7"),
        ("c RANK -3", ":2"),
        ("c RANK -4", "$-1"),
        ("nosuch", "$-1"),
        ("c COUNT 2", "*2\n:2\n:6"),
        ("c COUNT 0", "*3\n:2\n:6\n:7"),
        ("c COUNT 9223372036854775807", "*3\n:2\n:6\n:7"),
        ("nosuch COUNT 1", "*0"),
        ("c rank -1 count 2", "*2\n:7\n:6"),
        ("c COUNT 0 RANK 2", "*2\n:6\n:7"),
        ("c COUNT 0 MAXLEN 7", "*2\n:2\n:6"),
        ("c COUNT 0 MAXLEN 2 RANK -1", "*2\n:7\n:6"),
        ("c MAXLEN 2", "$-1"),
        ("c MAXLEN 0", ":2"),
        ("c RANK 1 RANK 2", ":6"),
        ("c COUNT", SYNTAX),
        ("c NOSUCH 1", SYNTAX),
        ("c RANK x", NOT_AN_INTEGER),
        ("c COUNT -1", "-ERR COUNT can't be negative"),
        ("c COUNT x", "-ERR COUNT can't be negative"),
        ("c MAXLEN -1", "-ERR MAXLEN can't be negative"),
        (
            "c RANK 0",
            "-ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to \
             start from the end of the list",
        ),
    ] {
        c.check(&format!("LPOS l {arguments}"), expected);
    }
    c.check_all(&[("LPOS missing a", "$-1"), ("LPOS missing a COUNT 0", "*0")]);
    server.client3().check_all(&[
        ("LPOS l nosuch", "_"),
        ("LPOS missing a", "_"),
        ("LPOS missing a COUNT 1", "*0"),
    ]);
}

#[test]
fn moves_between_lists() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("RPUSH l a b c d e", ":5"),
        ("LMOVE l ns/l LEFT RIGHT", "$1\na"),
        ("LMOVE l ns/l left left", "$1\nb"),
        ("LMOVE l ns/l RIGHT LEFT", "$1\ne"),
        ("LMOVE l ns/l RIGHT RIGHT", "$1\nd"),
        ("LRANGE ns/l 0 -1", &array("e b a d")),
        ("RPOPLPUSH l ns/l", "$1\nc"),
        ("LRANGE ns/l 0 -1", &array("c e b a d")),
        ("EXISTS l", ":0"),
        ("LMOVE l ns/l LEFT LEFT", "$-1"),
        ("RPOPLPUSH l l", "$-1"),
        ("LMOVE l ns/l UP LEFT", SYNTAX),
        ("LMOVE l ns/l LEFT DOWN", SYNTAX),
    ]);
    server.client3().check_all(&[("LMOVE l m LEFT LEFT", "_"), ("RPOPLPUSH l m", "_")]);
}

#[test]
fn moves_within_a_list() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("RPUSH l a b c", ":3"),
        ("RPOPLPUSH l l", "$1\nc"),
        ("LRANGE l 0 -1", &array("c a b")),
        ("LMOVE l default/l LEFT RIGHT", "$1\nc"),
        ("LRANGE l 0 -1", &array("a b c")),
        ("LMOVE l l LEFT LEFT", "$1\na"),
        ("LMOVE l l RIGHT RIGHT", "$1\nc"),
        ("LRANGE l 0 -1", &array("a b c")),
        ("LTRIM l 0 0", "+OK"),
        ("RPOPLPUSH l l", "$1\na"),
        ("LRANGE l 0 -1", &array("a")),
    ]);
}

#[test]
fn pops_from_the_first_list_of_several() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("LMPOP 2 a ns/b LEFT", "*-1"),
        ("RPUSH ns/b 1 2 3 4", ":4"),
        ("RPUSH c 9", ":1"),
        ("LMPOP 3 a ns/b c LEFT", "*2\n$4\nns/b\n*1\n$1\n1"),
        ("LMPOP 1 default/c right count 2", "*2\n$1\nc\n*1\n$1\n9"),
        ("LMPOP 2 ns/b c RIGHT COUNT 2", "*2\n$4\nns/b\n*2\n$1\n4\n$1\n3"),
        ("LMPOP 1 ns/b LEFT COUNT 9223372036854775807", "*2\n$4\nns/b\n*1\n$1\n2"),
        ("DBSIZE", ":0"),
        ("LMPOP 0 a LEFT", "-ERR numkeys should be greater than 0"),
        ("LMPOP x a LEFT", "-ERR numkeys should be greater than 0"),
        ("LMPOP 1 a LEFT COUNT 0", "-ERR count should be greater than 0"),
        ("LMPOP 1 a LEFT COUNT x", "-ERR count should be greater than 0"),
        ("LMPOP 1 a LEFT COUNT", SYNTAX),
        ("LMPOP 1 a LEFT COUNT 1 COUNT 1", SYNTAX),
        ("LMPOP 2 a LEFT", SYNTAX),
        ("LMPOP 1 a b LEFT", SYNTAX),
        ("LMPOP 9223372036854775807 a LEFT", SYNTAX),
        ("COMMAND GETKEYS LMPOP 2 a b LEFT", "*2\n$1\na\n$1\nb"),
        ("COMMAND GETKEYS LMPOP 9 a b LEFT", "-ERR Invalid arguments specified for command"),
    ]);
    server.client3().check("LMPOP 1 a LEFT", "_");
}

#[test]
fn other_types_are_refused() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[("SET s v", "+OK"), ("RPUSH l a", ":1")]);
    for line in [
        "LPUSH s a",
        "RPUSHX s a",
        "LPOP s",
        "LPOP s 0",
        "LLEN s",
        "LRANGE s 0 -1",
        "LINDEX s x",
        "LSET s x a",
        "LREM s 0 a",
        "LTRIM s 0 1",
        "LINSERT s BEFORE a b",
        "LPOS s a",
        "LMOVE s l LEFT LEFT",
        "LMOVE l s LEFT LEFT",
        "RPOPLPUSH s s",
        "LMPOP 2 missing s LEFT",
        "GET l",
        "INCR l",
    ] {
        c.check(line, WRONG_TYPE);
    }
    c.check_all(&[("LMOVE missing s LEFT LEFT", "$-1"), ("LMPOP 2 l s LEFT", "*2\n$1\nl\n*1\n$1\na")]);
}

/// A command that fails inside a transaction has changed nothing.
#[test]
fn a_refused_move_in_a_transaction_changes_nothing() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("RPUSH l a b", ":2"),
        ("MULTI", "+OK"),
        ("SET s v", "+QUEUED"),
        ("LMOVE l s LEFT LEFT", "+QUEUED"),
        ("LPOP l", "+QUEUED"),
        ("RPUSH l c", "+QUEUED"),
        ("LMOVE l m RIGHT LEFT", "+QUEUED"),
        ("LRANGE l 0 -1", "+QUEUED"),
        ("EXEC", &format!("*6\n+OK\n{WRONG_TYPE}\n$1\na\n:2\n$1\nc\n*1\n$1\nb")),
        ("LRANGE m 0 -1", &array("c")),
    ]);
}

#[test]
fn deadlines_survive_changes_but_not_an_empty_list() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("RPUSH l a b a", ":3"),
        ("EXPIRE l 100", ":1"),
        ("RPUSH l c", ":4"),
        ("LSET l 0 x", "+OK"),
        ("LREM l 0 a", ":1"),
        ("LINSERT l AFTER x y", ":4"),
        ("LMOVE l l LEFT RIGHT", "$1\nx"),
        ("LMOVE l m LEFT RIGHT", "$1\ny"),
        ("TTL l", ":100"),
        ("TTL m", ":-1"),
        ("LPOP l 9", &array("b c x")),
        ("RPUSH l a", ":1"),
        ("TTL l", ":-1"),
    ]);
}

/// Large enough to have inner nodes, edited at both ends and inside, and compared with a plain vector.
#[test]
fn large_lists() {
    let server = Server::new();
    let mut c = server.client();
    let mut expected: Vec<String> = Vec::new();
    for n in 0..5_000 {
        c.check(&format!("RPUSH l e{n} x"), &format!(":{}", 2 * n + 2));
        expected.extend([format!("e{n}"), "x".to_owned()]);
    }
    c.check("OBJECT ENCODING l", "$9\nquicklist");
    c.check_all(&[("LREM l 1000 x", ":1000"), ("LREM l -1000 x", ":1000")]);
    let mut seen = 0;
    expected.retain(|element| {
        seen += usize::from(element == "x");
        element != "x" || (1000 < seen && seen <= 4000)
    });
    c.check("LRANGE l 0 -1", &array(&expected.join(" ")));
    c.check("LRANGE l 2500 2999", &array(&expected[2500..3000].join(" ")));
    c.check("LINSERT l AFTER e2500 y", &format!(":{}", expected.len() + 1));
    let place = expected.iter().position(|element| element == "e2500").expect("an element");
    expected.insert(place + 1, "y".to_owned());
    c.check("LPOS l y", &format!(":{}", place + 1));
    c.check("LPOS l x RANK -1", &format!(":{}", expected.iter().rposition(|e| e == "x").expect("an x")));
    c.check(&format!("LINDEX l {place}"), "$5\ne2500");
    c.check("RPOP l 10", &array(&expected.iter().rev().take(10).cloned().collect::<Vec<_>>().join(" ")));
    c.check("LTRIM l 3000 -3000", "+OK");
    let kept = &expected[3000..expected.len() - 10 - 2999];
    c.check("LRANGE l 0 -1", &array(&kept.join(" ")));
    c.check("LPOP l 100000", &array(&kept.join(" ")));
    c.check("EXISTS l", ":0");
}

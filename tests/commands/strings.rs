//! Family strings.

use crate::harness::{START_MS, Server};

const WRONG_ARITY_MSET: &str = "-ERR wrong number of arguments for 'mset' command";
const NOT_AN_INTEGER: &str = "-ERR value is not an integer or out of range";
const SYNTAX: &str = "-ERR syntax error";

#[test]
fn set_and_get() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("GET a", "$-1"),
        ("SET a hello", "+OK"),
        ("GET a", "$5\nhello"),
        ("set a \"\"", "+OK"),
        ("gEt a", "$0\n"),
        ("SET a 12345", "+OK"),
        ("GET a", "$5\n12345"),
        ("SET a 007", "+OK"),
        ("GET a", "$3\n007"),
        ("GET", "-ERR wrong number of arguments for 'get' command"),
        ("SET a", "-ERR wrong number of arguments for 'set' command"),
    ]);
    server.client3().check("GET missing", "_");
}

#[test]
fn keys_and_values_are_any_bytes() {
    let server = Server::new();
    let mut c = server.client();
    let (key, value) = (&b"\x00\xff\r\n"[..], &b"\xc3\x28\r\n\x00"[..]);
    assert_eq!(c.send(&[b"SET", key, value]), b"+OK\r\n");
    assert_eq!(c.send(&[b"GET", key]), b"$5\r\n\xc3\x28\r\n\x00\r\n");
}

#[test]
fn large_values_come_back_whole() {
    let server = Server::new();
    let mut c = server.client();
    let value = vec![b'v'; 1 << 20];
    assert_eq!(c.send(&[b"SET", b"a", &value]), b"+OK\r\n");
    let reply = c.send(&[b"GET", b"a"]);
    assert_eq!(reply, [b"$1048576\r\n", value.as_slice(), b"\r\n"].concat());
    assert_eq!(c.send(&[b"GETRANGE", b"a", b"1", b"1048574"]).len(), 1_048_574 + 12);
}

#[test]
fn set_options() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("SET a 1 XX", "$-1"),
        ("SET a 1 NX", "+OK"),
        ("SET a 2 NX", "$-1"),
        ("SET a 2 XX", "+OK"),
        ("SET a 3 GET", "$1\n2"),
        ("SET b 3 GET", "$-1"),
        ("SET a 4 NX GET", "$1\n3"),
        ("GET a", "$1\n3"),
        ("SET a 5 XX GET EX 10", "$1\n3"),
        ("TTL a", ":10"),
        ("SET a 6 KEEPTTL", "+OK"),
        ("TTL a", ":10"),
        ("SET a 7", "+OK"),
        ("TTL a", ":-1"),
        ("SET a 8 px 1500", "+OK"),
        ("PTTL a", ":1500"),
        ("SET a 8 EX 5 ex 10", "+OK"),
        ("TTL a", ":10"),
        ("SET a 8 EXAT 1700000100", "+OK"),
        ("TTL a", ":100"),
        ("SET a 8 PXAT 1700000100500", "+OK"),
        ("PTTL a", ":100500"),
        ("SET a 9 EXAT 1", "+OK"),
        ("GET a", "$-1"),
        ("MULTI", "+OK"),
        ("SET a 9 PXAT 1", "+QUEUED"),
        ("EXISTS a", "+QUEUED"),
        ("EXEC", "*2\n+OK\n:0"),
    ]);
    server.client3().check("SET missing 1 XX", "_");
}

#[test]
fn set_errors() {
    let server = Server::new();
    let mut c = server.client();
    for line in [
        "SET a b EX",
        "SET a b NX XX",
        "SET a b XX NX",
        "SET a b FOO",
        "SET a b EX 10 PX 10",
        "SET a b KEEPTTL EX 10",
        "SET a b EX 10 KEEPTTL",
        "SET a b EX abc FOO",
        "SET a b PERSIST",
    ] {
        c.check(line, SYNTAX);
    }
    for line in ["SET a b EX 0", "SET a b PX -1", "SET a b EX 9223372036854775807", "SET a b PXAT 0"] {
        c.check(line, "-ERR invalid expire time in 'set' command");
    }
    c.check("SET a b EX abc", NOT_AN_INTEGER);
    c.check("SET a b PX 9223372036854775807", "-ERR invalid expire time in 'set' command");
    c.check("EXISTS a", ":0");
}

#[test]
fn setnx_setex_psetex() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("SETNX a 1", ":1"),
        ("SETNX a 2", ":0"),
        ("GET a", "$1\n1"),
        ("SETEX a 10 x", "+OK"),
        ("TTL a", ":10"),
        ("PSETEX a 10 y", "+OK"),
        ("PTTL a", ":10"),
        ("SETEX a 0 b", "-ERR invalid expire time in 'setex' command"),
        ("SETEX a abc b", NOT_AN_INTEGER),
        ("PSETEX a -1 b", "-ERR invalid expire time in 'psetex' command"),
        ("GET a", "$1\ny"),
    ]);
    server.clock.advance(10);
    c.check("GET a", "$-1");
}

#[test]
fn several_keys() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("MSET a 1 b two", "+OK"),
        ("MGET a missing b a", "*4\n$1\n1\n$-1\n$3\ntwo\n$1\n1"),
        ("MSET a 1 a 2", "+OK"),
        ("GET a", "$1\n2"),
        ("MSETNX b 1 c 2", ":0"),
        ("EXISTS c", ":0"),
        ("MSETNX c 1 d 2", ":1"),
        ("MGET c d", "*2\n$1\n1\n$1\n2"),
        ("MSET a", WRONG_ARITY_MSET),
        ("MSET a 1 b", WRONG_ARITY_MSET),
        ("MSETNX a 1 b 2 c", "-ERR wrong number of arguments for 'msetnx' command"),
    ]);
    server.client3().check("MGET a missing", "*2\n$1\n2\n_");
}

#[test]
fn exchange_and_delete() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("GETSET a 1", "$-1"),
        ("EXPIRE a 10", ":1"),
        ("GETSET a 2", "$1\n1"),
        ("TTL a", ":-1"),
        ("GETDEL a", "$1\n2"),
        ("GETDEL a", "$-1"),
        ("EXISTS a", ":0"),
    ]);
}

#[test]
fn getex() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("GETEX a EX 10", "$-1"),
        ("GETEX a EX 0", "$-1"),
        ("SET a v", "+OK"),
        ("GETEX a", "$1\nv"),
        ("GETEX a EX 10", "$1\nv"),
        ("TTL a", ":10"),
        ("GETEX a PERSIST", "$1\nv"),
        ("TTL a", ":-1"),
        ("GETEX a EX 0", "-ERR invalid expire time in 'getex' command"),
        ("GETEX a EX x", NOT_AN_INTEGER),
        ("GETEX a PERSIST EX 10", SYNTAX),
        ("GETEX a KEEPTTL", SYNTAX),
        ("GETEX a PXAT 1", "$1\nv"),
        ("GET a", "$-1"),
    ]);
}

#[test]
fn append_strlen_and_ranges() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("APPEND a Hello", ":5"),
        ("EXPIRE a 10", ":1"),
        ("APPEND a World", ":10"),
        ("TTL a", ":10"),
        ("APPEND a \"\"", ":10"),
        ("STRLEN a", ":10"),
        ("STRLEN missing", ":0"),
        ("SET n -123", "+OK"),
        ("STRLEN n", ":4"),
        ("APPEND n 4", ":5"),
        ("INCR n", ":-1233"),
        ("GETRANGE n 0 1", "$2\n-1"),
        ("GETRANGE a 0 4", "$5\nHello"),
        ("SUBSTR a -5 -1", "$5\nWorld"),
        ("GETRANGE a 5 2", "$0\n"),
        ("GETRANGE a 20 30", "$0\n"),
        ("GETRANGE missing 0 -1", "$0\n"),
        ("GETRANGE a 0 x", NOT_AN_INTEGER),
        ("GETRANGE a -9223372036854775808 9223372036854775807", "$10\nHelloWorld"),
    ]);
}

#[test]
fn setrange() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("SETRANGE a 2 xy", ":4"),
        ("GET a", "$4\n\0\0xy"),
        ("SETRANGE a 0 ab", ":4"),
        ("GET a", "$4\nabxy"),
        ("SETRANGE a 1 -", ":4"),
        ("GET a", "$4\na-xy"),
        ("SETRANGE a 3 zzz", ":6"),
        ("GET a", "$6\na-xzzz"),
        ("SETRANGE a 10000 end", ":10003"),
        ("GETRANGE a 9998 -1", "$5\n\0\0end"),
        ("SETRANGE a 0 \"\"", ":10003"),
        ("SETRANGE missing 5 \"\"", ":0"),
        ("EXISTS missing", ":0"),
        ("SETRANGE a -1 x", "-ERR offset is out of range"),
        ("SETRANGE a x x", NOT_AN_INTEGER),
        ("SETRANGE a 536870912 x", "-ERR string exceeds maximum allowed size (proto-max-bulk-len)"),
        ("SETRANGE a 9223372036854775807 x", "-ERR string exceeds maximum allowed size (proto-max-bulk-len)"),
        ("SETRANGE missing 536870912 \"\"", ":0"),
    ]);
}

#[test]
fn strings_are_limited_as_bulk_strings_are() {
    let server = Server::new();
    let mut c = server.client();
    c.check("SETRANGE a 16777215 x", ":16777216");
    c.check("SETRANGE a 16777215 xy", "-ERR string exceeds maximum allowed size (proto-max-bulk-len)");
    c.check("APPEND a x", "-ERR string exceeds maximum allowed size (proto-max-bulk-len)");
    c.check("GETRANGE a -2 -1", "$2\n\0x");
}

#[test]
fn counters() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("INCR a", ":1"),
        ("DECR b", ":-1"),
        ("INCRBY a 41", ":42"),
        ("DECRBY a 2", ":40"),
        ("EXPIRE a 10", ":1"),
        ("INCR a", ":41"),
        ("TTL a", ":10"),
        ("INCRBY a 9223372036854775807", "-ERR increment or decrement would overflow"),
        ("DECRBY a -9223372036854775808", "-ERR decrement would overflow"),
        ("INCRBY a 9223372036854775808", NOT_AN_INTEGER),
        ("INCRBY a 1.5", NOT_AN_INTEGER),
        ("SET s abc", "+OK"),
        ("INCR s", NOT_AN_INTEGER),
        ("SET s \" 1\"", "+OK"),
        ("INCR s", NOT_AN_INTEGER),
        ("SET s 9223372036854775807", "+OK"),
        ("INCR s", "-ERR increment or decrement would overflow"),
        ("GET s", "$19\n9223372036854775807"),
    ]);
}

#[test]
fn incrbyfloat() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("INCRBYFLOAT f 10.5", "$4\n10.5"),
        ("INCRBYFLOAT f 0.1", "$4\n10.6"),
        ("INCRBYFLOAT f -10.6", "$1\n0"),
        ("SET f 5.0e3", "+OK"),
        ("INCRBYFLOAT f 200", "$4\n5200"),
        ("INCR f", ":5201"),
        ("INCRBYFLOAT f 1", "$4\n5202"),
        ("EXPIRE f 10", ":1"),
        ("INCRBYFLOAT f 1.5", "$6\n5203.5"),
        ("TTL f", ":10"),
        ("INCRBYFLOAT f abc", "-ERR value is not a valid float"),
        ("INCRBYFLOAT f nan", "-ERR value is not a valid float"),
        ("INCRBYFLOAT f inf", "-ERR increment would produce NaN or Infinity"),
        ("SET f abc", "+OK"),
        ("INCRBYFLOAT f 1", "-ERR value is not a valid float"),
    ]);
}

#[test]
fn lcs() {
    let server = Server::new();
    let mut c = server.client();
    let all_runs = "*4\n$7\nmatches\n*2\n*2\n*2\n:4\n:7\n*2\n:5\n:8\n*2\n*2\n:2\n:3\n*2\n:0\n:1\n$3\nlen\n:6";
    c.check_all(&[
        ("MSET k1 ohmytext k2 mynewtext", "+OK"),
        ("LCS k1 k2", "$6\nmytext"),
        ("LCS k1 k2 LEN", ":6"),
        ("LCS k1 k2 IDX", all_runs),
        (
            "LCS k1 k2 idx minmatchlen 4 withmatchlen",
            "*4\n$7\nmatches\n*1\n*3\n*2\n:4\n:7\n*2\n:5\n:8\n:4\n$3\nlen\n:6",
        ),
        ("LCS k1 missing", "$0\n"),
        ("LCS k1 k2 FOO", SYNTAX),
        ("LCS k1 k2 MINMATCHLEN x", NOT_AN_INTEGER),
        ("LCS k1 k2 LEN IDX", "-ERR If you want both the length and indexes, please just use IDX."),
    ]);
    server.client3().check("LCS k1 missing IDX", "%2\n$7\nmatches\n*0\n$3\nlen\n:0");
}

#[test]
fn a_deadline_is_kept_to_the_millisecond() {
    let server = Server::new();
    let mut c = server.client();
    c.check(&format!("SET a 1 PXAT {}", START_MS + 5), "+OK");
    server.clock.advance(4);
    c.check("GET a", "$1\n1");
    server.clock.advance(1);
    c.check("GET a", "$-1");
    c.check("DBSIZE", ":0");
}

/// Bytes in a chunk; a test may know, for edits at its borders are the ones that go wrong.
const CHUNK: usize = kvns::value::chunks::CHUNK;

fn bulk(bytes: &[u8]) -> Vec<u8> {
    [format!("${}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

/// A string in chunks: what APPEND makes of a long one.
fn long_string(c: &mut crate::harness::Client, key: &str, len: usize) -> Vec<u8> {
    let bytes: Vec<u8> = (0..len).map(|at| b'a' + (at * 7 % 26) as u8).collect();
    c.send(&[b"SET", key.as_bytes(), &bytes[..len - 1]]);
    assert_eq!(c.send(&[b"APPEND", key.as_bytes(), &bytes[len - 1..]]), format!(":{len}\r\n").as_bytes());
    bytes
}

#[test]
fn long_strings_are_read_like_short_ones() {
    let server = Server::new();
    for mut c in [server.client(), server.client3()] {
        let long = long_string(&mut c, "a", 100_000);
        assert_eq!(c.send(&[b"GET", b"a"]), bulk(&long));
        c.check("STRLEN a", ":100000");
        c.check("TYPE a", "+string");
        c.check("OBJECT ENCODING a", "$3\nraw");
        let all = [b"*2\r\n", &bulk(&long)[..], &bulk(&long)[..]].concat();
        assert_eq!(c.send(&[b"MGET", b"a", b"a"]), all);
        let (chunk, len) = (CHUNK as i64, 100_000);
        for (start, end) in [
            (0, 0),
            (0, -1),
            (chunk - 1, chunk),
            (chunk, 2 * chunk - 1),
            (chunk + 1, 5 * chunk),
            (-1, -1),
            (-chunk, 200_000),
            (3, 2),
            (99_999, 99_999),
            (100_000, 100_001),
        ] {
            let from = if start < 0 { start + len } else { start };
            let to = if end < 0 { end + len } else { end.min(len - 1) } + 1;
            let part = if from < to { &long[from as usize..to as usize] } else { b"" };
            let reply =
                c.send(&[b"GETRANGE", b"a", start.to_string().as_bytes(), end.to_string().as_bytes()]);
            assert_eq!(reply, bulk(part), "{start} {end}");
        }
        c.check_all(&[
            ("INCR a", NOT_AN_INTEGER),
            ("DECRBY a 5", NOT_AN_INTEGER),
            ("INCRBYFLOAT a 1.5", "-ERR value is not a valid float"),
            ("LPUSH a x", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
            ("SET b abc", "+OK"),
            ("LCS a b LEN", ":3"),
            ("LCS a missing LEN", ":0"),
            ("STRLEN a", ":100000"),
        ]);
    }
}

#[test]
fn long_strings_are_changed_like_short_ones() {
    let server = Server::new();
    let mut c = server.client();
    let mut long = long_string(&mut c, "a", 100_000);
    for (round, (offset, len)) in [
        (0, 1),
        (CHUNK - 1, 2),
        (CHUNK, CHUNK),
        (2 * CHUNK - 10, 3 * CHUNK),
        (99_999, 1),
        (99_999, 2),
        (13 * CHUNK - 5, 5),
        (13 * CHUNK, 1),
        (15 * CHUNK - 1, 1),
        (16 * CHUNK + 100, 5),
        (20 * CHUNK, 3 * CHUNK),
        (200_000, 0),
    ]
    .into_iter()
    .enumerate()
    {
        let patch = vec![b'A' + round as u8; len];
        if len > 0 {
            long.resize(long.len().max(offset + len), 0);
            long[offset..offset + len].copy_from_slice(&patch);
        }
        let reply = c.send(&[b"SETRANGE", b"a", offset.to_string().as_bytes(), &patch]);
        assert_eq!(reply, format!(":{}\r\n", long.len()).as_bytes());
        let tail = vec![b'z'; round * 1000];
        long.extend_from_slice(&tail);
        assert_eq!(c.send(&[b"APPEND", b"a", &tail]), format!(":{}\r\n", long.len()).as_bytes());
        assert_eq!(c.send(&[b"GET", b"a"]), bulk(&long));
    }
    c.check("SETRANGE a 16777215 xy", "-ERR string exceeds maximum allowed size (proto-max-bulk-len)");
    let zeros = vec![0; 16_777_215];
    c.check("SETRANGE new 16777215 x", ":16777216");
    assert_eq!(c.send(&[b"GET", b"new"]), bulk(&[&zeros[..], b"x"].concat()));
    c.check("SETRANGE short 65535 x", ":65536");
    c.check("SETRANGE short 65536 x", ":65537");
    assert_eq!(c.send(&[b"GET", b"short"]), bulk(&[&zeros[..65535], b"xx"].concat()));
    c.check("SET n 12", "+OK");
    c.check("SETRANGE n 70000 x", ":70001");
    assert_eq!(c.send(&[b"GET", b"n"]), bulk(&[b"12", &zeros[..69_998], b"x"].concat()));
}

#[test]
fn long_strings_move_and_go_like_short_ones() {
    let server = Server::new();
    let mut c = server.client();
    let long = long_string(&mut c, "a", 150_000);
    c.check_all(&[("COPY a b", ":1"), ("RENAME a c", "+OK"), ("EXPIRE c 100", ":1"), ("TTL c", ":100")]);
    c.check("APPEND b !", ":150001");
    assert_eq!(c.send(&[b"GET", b"c"]), bulk(&long));
    assert_eq!(c.send(&[b"GETEX", b"c", b"PERSIST"]), bulk(&long));
    c.check_all(&[("TTL c", ":-1"), ("APPEND c ?", ":150001"), ("SETRANGE c 150000 \"\"", ":150001")]);
    assert_eq!(c.send(&[b"GETSET", b"c", b"7"]), bulk(&[&long[..], b"?"].concat()));
    c.check("GET c", "$1\n7");
    assert_eq!(c.send(&[b"SET", b"b", b"8", b"GET"]), bulk(&[&long[..], b"!"].concat()));
    let long = long_string(&mut c, "b", 70_000);
    assert_eq!(c.send(&[b"GETDEL", b"b"]), bulk(&long));
    c.check("GET b", "$-1");
    let long = long_string(&mut c, "b", 70_000);
    c.check_all(&[
        ("MULTI", "+OK"),
        ("APPEND b 1", "+QUEUED"),
        ("RENAME b d", "+QUEUED"),
        ("SETRANGE d 69999 23", "+QUEUED"),
        ("COPY d e", "+QUEUED"),
        ("APPEND d \"\"", "+QUEUED"),
        ("DEL e", "+QUEUED"),
        ("GETRANGE d -3 -1", "+QUEUED"),
        ("EXEC", "*7\n:70001\n+OK\n:70001\n:1\n:70001\n:1\n$3\nq23"),
    ]);
    assert_eq!(c.send(&[b"GET", b"d"]), bulk(&[&long[..69_999], b"23"].concat()));
    c.check_all(&[("DEL d", ":1"), ("DBSIZE", ":1")]);
}

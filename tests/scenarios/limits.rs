//! The largest and the strangest: offsets, lengths, numbers and bytes at and beyond their borders.

use crate::support::server::subject_is_redis;
use crate::support::{Server, Value, cmd};
use std::time::Duration;

const BULK_LIMIT: usize = 16 << 20;

#[test]
fn huge_offsets_are_refused_before_anything_is_allocated() {
    let server = Server::start();
    let mut client = server.client();
    let before = server.resident_bytes();
    for offset in
        ["16777216", "536870911", "4294967295", "4294967296", "9223372036854775806", "9223372036854775807"]
    {
        let reply = client.command(&cmd!["SETRANGE", "k", offset, "x"]);
        assert!(reply.is_error_of("ERR string exceeds maximum allowed size"), "{offset}: {reply:?}");
    }
    for offset in ["-1", "-9223372036854775808"] {
        let reply = client.command(&cmd!["SETRANGE", "k", offset, "x"]);
        assert!(reply.is_error_of("ERR offset is out of range"), "{offset}: {reply:?}");
    }
    for offset in ["9223372036854775808", "-9223372036854775809", "1e3", "", "abc"] {
        let reply = client.command(&cmd!["SETRANGE", "k", offset, "x"]);
        assert!(reply.is_error_of("ERR value is not an integer"), "{offset}: {reply:?}");
    }
    assert_eq!(client.run("EXISTS k"), Value::Integer(0));
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < 32 << 20, "{grown} bytes for refused commands");
}

#[test]
fn a_string_grows_to_the_limit_and_not_beyond() {
    let server = Server::start();
    let mut client = server.client();
    let value: Vec<u8> = (0..BULK_LIMIT).map(|index| (index % 251) as u8).collect();
    assert_eq!(client.command(&cmd!["SET", "k", value]), Value::ok());
    assert_eq!(client.run("STRLEN k"), Value::Integer(BULK_LIMIT as i64));
    assert!(client.run("GET k") == Value::Bulk(value.clone()), "16 MiB did not come back as they were");
    assert!(client.run("APPEND k x").is_error_of("ERR string exceeds maximum allowed size"));
    assert_eq!(client.run("APPEND k \"\""), Value::Integer(BULK_LIMIT as i64));
    assert_eq!(client.command(&cmd!["SETRANGE", "k", "16777215", "x"]), Value::Integer(BULK_LIMIT as i64));
    assert!(client.command(&cmd!["SETRANGE", "k", "16777215", "xy"]).is_error_of("ERR string exceeds"));
    assert_eq!(
        client.command(&cmd!["GETRANGE", "k", "16777214", "-1"]),
        Value::bulk([value[BULK_LIMIT - 2], b'x'])
    );
    assert_eq!(client.command(&cmd!["SETRANGE", "new", "16777215", "x"]), Value::Integer(BULK_LIMIT as i64));
    assert_eq!(client.run("GETRANGE new 0 2"), Value::bulk([0, 0, 0]));
    let mut piece = value;
    piece.truncate(1 << 20);
    for count in 1..=16 {
        assert_eq!(client.command(&cmd!["APPEND", "grown", piece]), Value::Integer(count << 20));
    }
    assert!(client.command(&cmd!["APPEND", "grown", "x"]).is_error_of("ERR string exceeds"));
}

#[test]
fn integers_stop_at_their_borders() {
    let server = Server::start();
    let mut client = server.client();
    let overflow = "ERR increment or decrement would overflow";
    for (value, line) in [
        ("9223372036854775807", "INCR n"),
        ("9223372036854775807", "INCRBY n 1"),
        ("9223372036854775807", "INCRBY n 9223372036854775807"),
        ("9223372036854775807", "DECRBY n -1"),
        ("-9223372036854775808", "DECR n"),
        ("-9223372036854775808", "INCRBY n -9223372036854775808"),
        ("-9223372036854775808", "DECRBY n 9223372036854775807"),
    ] {
        assert_eq!(client.command(&cmd!["SET", "n", value]), Value::ok());
        assert_eq!(client.run(line), Value::error(overflow), "{line} of {value}");
        assert_eq!(client.run("GET n"), Value::bulk(value), "after {line}");
    }
    assert!(client.run("DECRBY n -9223372036854775808").is_error());
    assert!(client.run("INCRBY n 9223372036854775808").is_error_of("ERR value is not an integer"));
}

#[test]
fn counts_beyond_an_integer_are_errors() {
    let server = Server::start();
    let mut client = server.client();
    let beyond =
        ["9223372036854775808", "-9223372036854775809", "99999999999999999999999999999999", "1e9", "", "0x1"];
    for number in beyond {
        for command in [
            cmd!["SCAN", "0", "COUNT", number],
            cmd!["EXPIRE", "k", number],
            cmd!["PEXPIREAT", "k", number],
            cmd!["SET", "k", "v", "EX", number],
            cmd!["SETEX", "k", number, "v"],
            cmd!["INCRBY", "k", number],
            cmd!["GETRANGE", "k", number, "1"],
            cmd!["COPY", "a", "b", "DB", number],
            cmd!["SELECT", number],
            cmd!["HELLO", number],
        ] {
            let reply = client.command(&command);
            assert!(reply.is_error(), "{:?}: {reply:?}", String::from_utf8_lossy(&command.join(&b' ')));
        }
    }
    assert_eq!(client.run("DBSIZE"), Value::Integer(0));
    for count in ["9223372036854775807", "2147483648"] {
        let reply = client.command(&cmd!["SCAN", "0", "COUNT", count]);
        assert_eq!(reply.elements()[0], Value::bulk("0"), "COUNT {count} on an empty server");
    }
}

#[test]
fn keys_and_values_are_any_bytes() {
    let server = Server::start();
    let mut client = server.client();
    for byte in 0..=255u8 {
        for key in [vec![byte], vec![byte, byte], vec![b'k', byte], vec![byte, 0, byte]] {
            let value = vec![byte, 0, 13, 10, byte];
            assert_eq!(client.command(&cmd!["SET", key, value]), Value::ok(), "{key:?}");
            assert_eq!(client.command(&cmd!["GET", key]), Value::Bulk(value), "{key:?}");
        }
    }
    let long = vec![b'k'; 1 << 20];
    assert_eq!(client.command(&cmd!["SET", long, ""]), Value::ok());
    assert_eq!(client.command(&cmd!["GET", long]), Value::bulk(""));
    let long_namespace = [vec![b'n'; 1 << 20], b"/k".to_vec()].concat();
    assert_eq!(client.command(&cmd!["SET", long_namespace, "v"]), Value::ok());
    assert_eq!(client.command(&cmd!["MGET", long_namespace, long]).elements().len(), 2);
    assert_eq!(client.command(&cmd!["DEL", long_namespace, long]), Value::Integer(2));
    let size = client.run("DBSIZE").integer();
    assert_eq!(crate::scan::scan_all(&mut client, &[]).len() as i64, size);
}

/// The error a server gives to bytes that go beyond a limit.
fn refusal(server: &Server, bytes: &[u8]) -> String {
    let mut client = server.client();
    client.send_raw(bytes);
    let text = client.receive().text();
    let mut probe = server.client();
    assert_eq!(probe.run("PING"), Value::simple("PONG"), "after {text}");
    text
}

#[test]
fn requests_beyond_a_limit_name_it_and_its_setting() {
    if subject_is_redis() {
        return;
    }
    let server = Server::start();
    let text = refusal(&server, b"*1025\r\n");
    assert!(
        text.starts_with("ERR") && text.contains("1024") && text.contains("KVNS_MAX_RESP_ARGS"),
        "{text}"
    );
    let text = refusal(&server, b"*2\r\n$4\r\nECHO\r\n$16777217\r\n");
    assert!(text.contains("16777216") && text.contains("KVNS_MAX_RESP_BULK_LEN"), "{text}");
    let text = refusal(&server, &[b'x'; 70_000]);
    assert!(text.contains("65536") || text.contains("too big inline"), "{text}");
    let arguments = vec![b"k".to_vec(); 1023];
    let command = [cmd!["EXISTS"], arguments].concat();
    assert_eq!(server.client().command(&command), Value::Integer(0), "exactly the limit is allowed");
}

#[test]
fn limits_follow_their_settings() {
    if subject_is_redis() {
        return;
    }
    let server = Server::start_with(&[
        ("KVNS_MAX_RESP_ARGS", "4"),
        ("KVNS_MAX_RESP_BULK_LEN", "2000000"),
        ("KVNS_MAX_RESP_INLINE_LEN", "1000"),
    ]);
    let mut client = server.client();
    assert_eq!(client.run("MGET a b c").elements().len(), 3);
    assert!(refusal(&server, b"*5\r\n").contains("KVNS_MAX_RESP_ARGS"));
    assert_eq!(client.command(&cmd!["SET", "k", vec![b'x'; 2_000_000]]), Value::ok());
    assert!(refusal(&server, b"*2\r\n$4\r\nECHO\r\n$2000001\r\n").contains("KVNS_MAX_RESP_BULK_LEN"));
    assert!(client.run("SETRANGE s 2000000 x").is_error_of("ERR string exceeds"));
    let text = refusal(&server, &[b'x'; 2000]);
    assert!(text.starts_with("ERR"), "{text}");
}

#[test]
fn a_thousand_idle_connections_are_cheap() {
    let server = Server::start();
    let count = open_files_limit().saturating_sub(200).min(1000);
    if count < 1000 {
        eprintln!("REDUCED: this process may open too few files; {count} idle connections instead of 1000");
    }
    let before = server.resident_bytes();
    let mut clients: Vec<_> = (0..count).map(|_| server.client()).collect();
    for client in &mut clients {
        assert_eq!(client.run("PING"), Value::simple("PONG"));
    }
    let each = server.resident_bytes().saturating_sub(before) / count as u64;
    println!("{each} resident bytes for each of {count} idle connections");
    assert!(each < 32 << 10, "{each} bytes for each idle connection");
    let mut client = server.client();
    let begin = std::time::Instant::now();
    assert_eq!(client.run("SET k v"), Value::ok());
    assert!(begin.elapsed() < Duration::from_secs(1));
    for client in &mut clients {
        assert_eq!(client.run("GET k"), Value::bulk("v"));
    }
}

/// The soft limit on open files of this process.
fn open_files_limit() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find(|line| line.starts_with("Max open files"));
    line.and_then(|line| line.split_whitespace().nth(3)?.parse().ok()).unwrap_or(1024)
}

//! Settings: bad ones stop the start with one line that says which and why.

use crate::support::server::subject_is_redis;
use crate::support::{Server, Value, cmd};
use std::time::Duration;

#[test]
fn a_bad_setting_stops_the_start() {
    if subject_is_redis() {
        return;
    }
    let bad = [
        ("KVNS_PORT", "abc"),
        ("KVNS_PORT", "70000"),
        ("KVNS_MAX_CLIENTS", "many"),
        ("KVNS_MAX_CLIENTS", "-1"),
        ("KVNS_MAX_RESP_ARGS", "x"),
        ("KVNS_LOG_FORMAT", "xml"),
    ];
    for (variable, value) in bad {
        let (status, output) = Server::start_refused(&[(variable, value)]);
        assert!(!status.success(), "{variable}={value} was accepted");
        assert!(output.contains(variable), "{variable}={value}: the output does not name it: {output}");
        assert!(output.contains(value), "{variable}={value}: the output does not show the value: {output}");
        assert!(!output.contains("panicked"), "{variable}={value}: {output}");
    }
}

#[test]
fn an_unknown_setting_is_warned_about() {
    if subject_is_redis() {
        return;
    }
    let server = Server::start_with(&[("KVNS_MAX_CLIENT", "5"), ("KVNS_LOG_FORMAT", "json")]);
    assert_eq!(server.client().run("PING"), Value::simple("PONG"));
    server.expect_log("KVNS_MAX_CLIENT");
}

#[test]
fn clients_beyond_the_maximum_are_refused() {
    let server = Server::start_with(&[("KVNS_MAX_CLIENTS", "5")]);
    let bound = std::time::Duration::from_secs(5);
    let mut clients: Vec<_> = Vec::new();
    crate::support::server::eventually("five clients are served", bound, || {
        let mut client = server.client();
        client.send(&crate::support::cmd!["PING"]);
        if client.try_receive_raw().is_ok_and(|(reply, _)| reply == Value::simple("PONG")) {
            clients.push(client);
        }
        clients.len() == 5
    });
    let refused = server.client().receive_to_end();
    assert_eq!(refused, b"-ERR max number of clients reached\r\n");
    for client in &mut clients {
        assert_eq!(client.run("PING"), Value::simple("PONG"));
    }
    clients.pop();
    crate::support::server::eventually("a place is free again", bound, || {
        let mut client = server.client();
        let mut stream = client.stream();
        std::io::Write::write_all(&mut stream, b"PING\r\n").is_ok()
            && client.try_receive_raw().is_ok_and(|(reply, _)| reply == Value::simple("PONG"))
    });
}

#[test]
fn limits_changed_at_run_time_hold_for_open_connections() {
    if subject_is_redis() {
        return;
    }
    let server = Server::start();
    let (mut admin, mut large, mut refused) = (server.client(), server.client(), server.client());
    let mut many = server.client();
    for client in [&mut large, &mut refused, &mut many] {
        assert_eq!(client.run("PING"), Value::simple("PONG"));
    }
    assert_eq!(admin.run("CONFIG SET proto-max-bulk-len 18mb max-resp-args 4"), Value::ok());
    let value = vec![b'x'; 18 << 20];
    assert_eq!(large.command(&cmd!["SET", "k", value]), Value::ok());
    assert_eq!(large.run("STRLEN k"), Value::Integer(18 << 20));
    assert_eq!(admin.run("CONFIG SET proto-max-bulk-len 1mb"), Value::ok());
    assert!(large.run("APPEND k x").is_error_of("ERR string exceeds maximum allowed size"));
    refused.send_raw(b"*2\r\n$4\r\nECHO\r\n$1048577\r\n");
    let text = refused.receive().text();
    assert!(text.contains("1048576") && text.contains("KVNS_MAX_RESP_BULK_LEN"), "{text}");
    assert_eq!(many.run("MGET a b c").elements().len(), 3);
    many.send_raw(b"*5\r\n");
    let text = many.receive().text();
    assert!(text.contains("(4)") && text.contains("KVNS_MAX_RESP_ARGS"), "{text}");
}

/// Departure: Redis lets a changed timeout hold for a client that waits, too.
#[test]
fn a_changed_timeout_holds_from_the_next_command_on() {
    let server = Server::start();
    let (mut idle, mut admin) = (server.client(), server.client());
    assert_eq!(idle.run("PING"), Value::simple("PONG"));
    assert_eq!(admin.run("CONFIG SET timeout 1"), Value::ok());
    if !subject_is_redis() {
        assert!(!idle.is_closed_within(Duration::from_millis(2500)), "a client that waits was closed");
        assert_eq!(idle.run("PING"), Value::simple("PONG"));
    }
    assert!(idle.is_closed_within(Duration::from_secs(15)), "an idle client was not closed");
}

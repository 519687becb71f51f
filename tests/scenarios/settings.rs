//! Settings: bad ones stop the start with one line that says which and why.

use crate::support::server::subject_is_redis;
use crate::support::{Server, Value};

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
    assert!(server.log().contains("KVNS_MAX_CLIENT"), "no warning:\n{}", server.log());
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

//! WATCH: every way a key can change makes EXEC answer null, and nothing else does.

use crate::support::server::{eventually, subject_is_redis};
use crate::support::{Server, Value};
use std::time::Duration;

/// Whether EXEC commits when another client runs `between` while `k` is watched; `before` prepares.
fn commits(server: &Server, before: &[&str], between: &[&str]) -> bool {
    let (mut watcher, mut other) = (server.client(), server.client());
    assert_eq!(other.run("FLUSHALL"), Value::ok());
    for line in before {
        assert!(!other.run(line).is_error(), "{line}");
    }
    assert_eq!(watcher.run("WATCH k"), Value::ok());
    for line in between {
        assert!(!other.run(line).is_error(), "{line}");
    }
    assert_eq!(watcher.run("MULTI"), Value::ok());
    assert_eq!(watcher.run("SET result done"), Value::simple("QUEUED"));
    let committed = !watcher.run("EXEC").is_null();
    assert_eq!(
        other.run("EXISTS result").integer() == 1,
        committed,
        "EXEC answered one thing and did another"
    );
    committed
}

#[test]
fn any_change_of_a_watched_key_aborts() {
    let server = Server::start();
    let changes: &[&[&str]] = &[
        &["SET k 2"],
        &["SET k 1"],
        &["APPEND k x"],
        &["INCR k"],
        &["DEL k"],
        &["UNLINK k"],
        &["GETDEL k"],
        &["GETSET k 1"],
        &["SETRANGE k 0 x"],
        &["MSET a 1 k 2"],
        &["RENAME k other"],
        &["MSET other 5", "RENAME other k"],
        &["MSET other 5", "COPY other k REPLACE"],
        &["EXPIRE k 1000"],
        &["PEXPIREAT k 1"],
        &["FLUSHALL"],
        &["FLUSHDB"],
        &["FLUSHALL ASYNC"],
        &["DEL k", "SET k 1"],
        &["RENAME k other", "RENAME other k"],
        &["FLUSHALL", "SET k 1"],
        &["MULTI", "SET k 1", "EXEC"],
    ];
    for change in changes {
        assert!(!commits(&server, &["SET k 1"], change), "{change:?} did not abort");
    }
    for change in [&["SET k 1"][..], &["SET k 1", "DEL k"], &["INCR k"], &["SET a 1", "RENAME a k"]] {
        assert!(!commits(&server, &[], change), "{change:?} on a missing key did not abort");
    }
}

#[test]
fn what_changes_nothing_does_not_abort() {
    let server = Server::start();
    let harmless: &[&[&str]] = &[
        &[],
        &["GET k", "MGET k", "EXISTS k", "TYPE k", "TTL k", "TOUCH k", "STRLEN k"],
        &["SETNX k 5"],
        &["SET k 5 NX"],
        &["PERSIST k"],
        &["MSETNX k 1 other 2"],
        &["SET other 5", "COPY other k"],
        &["SET other 5", "RENAMENX other k"],
        &["SET other 5", "DEL other", "INCR other"],
        &["MULTI", "GET k", "EXEC"],
        &["MULTI", "SET k 5", "DISCARD"],
    ];
    for lines in harmless {
        assert!(commits(&server, &["SET k 1"], lines), "{lines:?} aborted");
    }
    for lines in [&["DEL k"][..], &["GET k"], &["EXPIRE k 1000"], &["PERSIST k"]] {
        assert!(commits(&server, &[], lines), "{lines:?} on a missing key aborted");
    }
}

/// Departure: a key that was missing at WATCH, came, and was flushed, is as it was; Redis aborts there.
#[test]
fn a_flush_aborts_where_the_watched_key_was_there() {
    let server = Server::start();
    assert!(!commits(&server, &["SET k 1"], &["FLUSHALL"]));
    assert!(!commits(&server, &["SET k 1"], &["FLUSHDB", "SET k 1"]));
    assert!(commits(&server, &[], &["FLUSHALL"]));
    assert!(!commits(&server, &[], &["FLUSHALL", "SET k 1"]));
    if !subject_is_redis() {
        assert!(commits(&server, &[], &["SET k 1", "FLUSHALL"]));
    }
}

#[test]
fn expiry_of_a_watched_key_aborts() {
    let server = Server::start();
    let (mut watcher, mut other) = (server.client(), server.client());
    assert_eq!(watcher.run("SET k 1 PX 60"), Value::ok());
    assert_eq!(watcher.run("WATCH k"), Value::ok());
    assert_eq!(watcher.run("GET k"), Value::bulk("1"));
    eventually("the key expires", Duration::from_secs(5), || other.run("EXISTS k").integer() == 0);
    assert_eq!(watcher.run("MULTI"), Value::ok());
    assert_eq!(watcher.run("SET k 2"), Value::simple("QUEUED"));
    assert!(watcher.run("EXEC").is_null());
    assert_eq!(other.run("GET k"), Value::NullBulk);
}

#[test]
fn expiry_that_nobody_saw_aborts_too() {
    let server = Server::start();
    let mut client = server.client();
    assert_eq!(client.run("SET k 1 PX 40"), Value::ok());
    assert_eq!(client.run("WATCH k"), Value::ok());
    eventually("the key expires", Duration::from_secs(5), || client.run("DBSIZE").integer() == 0);
    assert_eq!(client.run("MULTI"), Value::ok());
    assert_eq!(client.run("SET k 2"), Value::simple("QUEUED"));
    assert!(client.run("EXEC").is_null());
}

#[test]
fn watches_of_closed_connections_leave_nothing_behind() {
    let server = Server::start();
    for round in 0..500 {
        let mut client = server.client();
        assert_eq!(client.run(&format!("WATCH k{} ns{round}/k", round % 7)), Value::ok());
    }
    let mut client = server.client();
    for round in 0..7 {
        assert_eq!(client.run(&format!("SET k{round} 1")), Value::ok());
    }
    assert_eq!(client.run("DBSIZE"), Value::Integer(7));
}

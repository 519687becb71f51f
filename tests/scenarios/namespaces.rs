//! Namespaces: spellings, separation, and many tiny ones.

use crate::scan::scan_all;
use crate::support::server::{eventually, subject_is_redis};
use crate::support::{Command, Server, Value, cmd};
use std::time::Duration;

const NAMESPACES: usize = 100_000;
/// Resident bytes that a namespace with one small key may cost in this build.
const BYTES_EACH: u64 = 1500;

#[test]
fn two_spellings_name_one_default_key() {
    if subject_is_redis() {
        return;
    }
    let server = Server::start();
    let mut client = server.client();
    assert_eq!(client.run("SET default/x 1"), Value::ok());
    assert_eq!(client.run("GET x"), Value::bulk("1"));
    assert_eq!(client.run("INCR x"), Value::Integer(2));
    assert_eq!(client.run("KEYS *"), Value::Array(vec![Value::bulk("x")]));
    assert_eq!(client.run("KEYS default/*"), Value::Array(vec![Value::bulk("x")]));
    assert_eq!(client.run("EXISTS x default/x"), Value::Integer(2));
    assert_eq!(client.run("MSET x 1 default/x 2"), Value::ok());
    assert_eq!(client.run("GET x"), Value::bulk("2"));
    assert!(client.run("COPY x default/x").is_error(), "a key cannot be copied to itself");
    assert_eq!(client.run("RENAME default/x x"), Value::ok());
    assert_eq!(client.run("DBSIZE"), Value::Integer(1));
    assert_eq!(client.run("DEL x default/x"), Value::Integer(1));
    assert_eq!(client.run("SET default/a/b 1"), Value::ok());
    assert_eq!(client.run("EXISTS a/b"), Value::Integer(0), "a/b is key b of namespace a");
    assert_eq!(client.run("RANDOMKEY"), Value::bulk("default/a/b"));
}

#[test]
fn namespaces_are_apart() {
    let server = Server::start();
    let mut client = server.client();
    assert_eq!(client.run("MSET db1/x 1 db2/x 2 x 3 db1/a/b 4 /x 5 db1/ 6"), Value::ok());
    assert_eq!(
        client.run("MGET db1/x db2/x x db1/a/b /x db1/"),
        Value::Array(["1", "2", "3", "4", "5", "6"].map(Value::bulk).to_vec())
    );
    let names = |reply: Value| {
        let mut names: Vec<String> = reply.elements().iter().map(Value::text).collect();
        names.sort();
        names
    };
    assert_eq!(names(client.run("KEYS db1/*")), ["db1/", "db1/a/b", "db1/x"]);
    assert_eq!(names(client.run("KEYS db?/x")), ["db1/x", "db2/x"]);
    assert_eq!(names(client.run("KEYS /*")), ["/x"]);
    assert_eq!(names(client.run("KEYS nosuch/*")), Vec::<String>::new());
    assert_eq!(scan_all(&mut client, &["MATCH", "db1/*"]).len(), 3);
    assert_eq!(client.run("RENAME db1/x db2/x"), Value::ok());
    assert_eq!(client.run("GET db2/x"), Value::bulk("1"));
    assert_eq!(client.run("DBSIZE"), Value::Integer(5));
}

#[test]
fn many_tiny_namespaces_stay_cheap() {
    let server = Server::start();
    let mut client = server.client();
    let before = server.resident_bytes();
    let numbers: Vec<usize> = (0..NAMESPACES).collect();
    for chunk in numbers.chunks(1000) {
        let commands: Vec<Command> = chunk.iter().map(|n| cmd!["SET", format!("{n}/profile"), "x"]).collect();
        assert!(client.pipeline(&commands).iter().all(|reply| *reply == Value::ok()));
    }
    let each = server.resident_bytes().saturating_sub(before) / NAMESPACES as u64;
    println!("{each} resident bytes for each of {NAMESPACES} namespaces with one key");
    assert_eq!(client.run("DBSIZE"), Value::Integer(NAMESPACES as i64));
    let seen = scan_all(&mut client, &["COUNT", "1000"]);
    assert_eq!(seen.len(), NAMESPACES, "SCAN shows every namespace's key");
    assert_eq!(client.run("KEYS 4711/*"), Value::Array(vec![Value::bulk("4711/profile")]));
    assert!(each <= BYTES_EACH, "{each} bytes for each namespace, at most {BYTES_EACH}");
    for chunk in numbers.chunks(500) {
        let names = chunk.iter().map(|n| format!("{n}/profile").into_bytes());
        let command: Command = cmd!["DEL"].into_iter().chain(names).collect();
        assert_eq!(client.command(&command), Value::Integer(500));
    }
    assert_eq!(client.run("DBSIZE"), Value::Integer(0));
    assert_eq!(scan_all(&mut client, &["COUNT", "100000"]).len(), 0);
    let mut again = server.client();
    eventually("the server goes on after its namespaces are gone", Duration::from_secs(5), || {
        again.run("SET 4711/profile y") == Value::ok() && again.run("GET 4711/profile") == Value::bulk("y")
    });
}

#[test]
fn namespaces_come_and_go_under_concurrent_writers() {
    let server = Server::start();
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let mut client = server.client();
            scope.spawn(move || {
                for round in 0..300 {
                    let key = format!("shared{}/k", round % 3);
                    let own = format!("own{worker}/k{round}");
                    let replies = client.pipeline(&[
                        cmd!["MSET", key, "1", own, "2"],
                        cmd!["GET", own],
                        cmd!["DEL", key],
                        cmd!["RENAME", own, format!("moved{worker}/k")],
                    ]);
                    assert_eq!(replies[1], Value::bulk("2"));
                    assert_eq!(replies[3], Value::ok());
                }
            });
        }
    });
    let mut client = server.client();
    let left: Vec<String> =
        scan_all(&mut client, &[]).iter().map(|name| name.escape_ascii().to_string()).collect();
    assert_eq!(left, (0..4).map(|worker| format!("moved{worker}/k")).collect::<Vec<_>>());
    assert_eq!(client.run("DBSIZE"), Value::Integer(4));
}

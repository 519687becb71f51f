//! SCAN: what is present from start to end is returned, whatever other clients do meanwhile.

use crate::support::{Client, Command, Server, Value, cmd};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

const STABLE: usize = 20_000;

/// Every name one whole walk of SCAN shows.
pub fn scan_all(client: &mut Client, options: &[&str]) -> BTreeSet<Vec<u8>> {
    let (mut names, mut cursor) = (BTreeSet::new(), b"0".to_vec());
    loop {
        let options = options.iter().map(|option| option.as_bytes().to_vec());
        let command: Command = cmd!["SCAN", cursor].into_iter().chain(options).collect();
        let reply = client.command(&command);
        names.extend(reply.elements()[1].elements().iter().map(|name| name.bytes().to_vec()));
        cursor = reply.elements()[0].bytes().to_vec();
        if cursor == b"0" {
            return names;
        }
    }
}

fn stable_name(number: usize) -> String {
    if number.is_multiple_of(2) {
        format!("stable:{number}")
    } else {
        format!("ns{}/stable:{number}", number % 50)
    }
}

/// Creates and deletes keys, and rewrites stable ones, until told to stop.
fn churn(mut client: Client, worker: usize, done: &AtomicBool) {
    let mut round = 0;
    while !done.load(Ordering::Relaxed) {
        let mut commands = Vec::new();
        for step in 0..50 {
            let number = round * 50 + step;
            commands.push(cmd!["SET", format!("churn{worker}:{number}"), "x"]);
            commands.push(cmd!["SET", format!("passing{}/{worker}:{number}", number % 500), "x"]);
            commands.push(cmd!["SET", stable_name((number * 7919) % STABLE), "rewritten"]);
            commands.push(cmd!["DEL", format!("churn{worker}:{}", number.saturating_sub(300))]);
            let past = number.saturating_sub(300);
            commands.push(cmd!["DEL", format!("passing{}/{worker}:{past}", past % 500)]);
        }
        assert!(client.pipeline(&commands).iter().all(|reply| !reply.is_error()));
        round += 1;
    }
}

#[test]
fn a_walk_under_concurrent_writes_misses_nothing() {
    let server = Server::start();
    let mut client = server.client();
    let numbers: Vec<usize> = (0..STABLE).collect();
    for chunk in numbers.chunks(1000) {
        let commands: Vec<Command> = chunk.iter().map(|n| cmd!["SET", stable_name(*n), "x"]).collect();
        client.pipeline(&commands);
    }
    let expected: BTreeSet<Vec<u8>> = numbers.iter().map(|n| stable_name(*n).into_bytes()).collect();
    let in_namespace: BTreeSet<Vec<u8>> =
        expected.iter().filter(|name| name.starts_with(b"ns7/")).cloned().collect();
    let done = AtomicBool::new(false);
    let results = std::thread::scope(|scope| {
        for worker in 0..2 {
            let (client, done) = (server.client(), &done);
            scope.spawn(move || churn(client, worker, done));
        }
        let results: Vec<_> = ["10", "100", "1000"]
            .iter()
            .map(|count| {
                let all = scan_all(&mut client, &["COUNT", count]);
                (all, scan_all(&mut client, &["MATCH", "ns7/*", "COUNT", count]))
            })
            .collect();
        done.store(true, Ordering::Relaxed);
        results
    });
    for (all, of_namespace) in results {
        let missed: Vec<_> = expected.difference(&all).take(5).collect();
        assert!(missed.is_empty(), "SCAN missed {missed:?}");
        assert_eq!(of_namespace, in_namespace, "SCAN MATCH ns7/*");
    }
}

#[test]
fn foreign_cursors_are_harmless() {
    let server = Server::start();
    let mut client = server.client();
    client.pipeline(&(0..1000).map(|n| cmd!["SET", format!("k{n}"), "x"]).collect::<Vec<_>>());
    for cursor in ["1", "12345", "18446744073709551615", "9223372036854775807", "9223372036854775808"] {
        let reply = client.command(&cmd!["SCAN", cursor, "COUNT", "10"]);
        assert_eq!(reply.elements().len(), 2, "cursor {cursor}");
    }
    assert_eq!(client.run("DBSIZE"), Value::Integer(1000));
}

/// Every field one whole walk of HSCAN shows.
fn hscan_all(client: &mut Client, count: &str) -> BTreeSet<Vec<u8>> {
    let (mut fields, mut cursor) = (BTreeSet::new(), b"0".to_vec());
    loop {
        let reply = client.command(&cmd!["HSCAN", "ns/h", cursor, "COUNT", count]);
        fields.extend(reply.elements()[1].elements().iter().step_by(2).map(|field| field.bytes().to_vec()));
        cursor = reply.elements()[0].bytes().to_vec();
        if cursor == b"0" {
            return fields;
        }
    }
}

/// Adds and removes fields, and rewrites stable ones, until told to stop.
fn churn_fields(mut client: Client, worker: usize, done: &AtomicBool) {
    let mut round = 0;
    while !done.load(Ordering::Relaxed) {
        let mut commands = Vec::new();
        for number in round * 50..(round + 1) * 50 {
            commands.push(cmd!["HSET", "ns/h", format!("passing{worker}:{number}"), "x"]);
            commands.push(cmd!["HINCRBY", "ns/h", stable_name((number * 7919) % STABLE), "1"]);
            commands.push(cmd!["HDEL", "ns/h", format!("passing{worker}:{}", number.saturating_sub(3000))]);
        }
        assert!(client.pipeline(&commands).iter().all(|reply| !reply.is_error()));
        round += 1;
    }
}

#[test]
fn a_walk_over_fields_under_concurrent_writes_misses_nothing() {
    let server = Server::start();
    let mut client = server.client();
    let numbers: Vec<usize> = (0..STABLE).collect();
    for chunk in numbers.chunks(500) {
        let pairs = chunk.iter().flat_map(|n| cmd![stable_name(*n), "0"]);
        client.command(&cmd!["HSET", "ns/h"].into_iter().chain(pairs).collect::<Command>());
    }
    let expected: BTreeSet<Vec<u8>> = numbers.iter().map(|n| stable_name(*n).into_bytes()).collect();
    let done = AtomicBool::new(false);
    let results = std::thread::scope(|scope| {
        for worker in 0..2 {
            let (client, done) = (server.client(), &done);
            scope.spawn(move || churn_fields(client, worker, done));
        }
        let results = ["10", "100", "1000"].map(|count| hscan_all(&mut client, count));
        done.store(true, Ordering::Relaxed);
        results
    });
    for fields in results {
        let missed: Vec<_> = expected.difference(&fields).take(5).collect();
        assert!(missed.is_empty(), "HSCAN missed {missed:?}");
    }
}

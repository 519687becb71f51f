//! Long runs, ignored by default: `cargo test --test stress -- --ignored`, sized by `KVNS_STRESS_SECONDS`.
//!
//! Every family at once from many pipelined connections, with flushes, expiry and connections that come and go,
//! while invariants that hold at every instant are checked by readers.

mod support;

use rand::Rng;
use std::time::{Duration, Instant};
use support::{Client, Command, Server, Value, cmd, seed};

const SECONDS: u64 = 30;
const WORKERS: u64 = 6;

/// Pairs of keys that are only ever written together with one value, or deleted together.
fn pair(number: u32) -> (String, String) {
    (format!("twin{number}"), format!("ns{number}/twin"))
}

fn write_pair(rng: &mut impl Rng) -> Vec<Command> {
    let (a, b) = pair(rng.random_range(0..50));
    let value = rng.random::<u32>().to_string();
    match rng.random_range(0..6) {
        0 => vec![cmd!["DEL", a, b]],
        1 => vec![cmd!["MSETNX", a, value, b, value]],
        2 => vec![cmd!["MULTI"], cmd!["SET", a, value], cmd!["SET", b, value], cmd!["EXEC"]],
        3 => vec![cmd!["MULTI"], cmd!["DEL", a], cmd!["COPY", a, b], cmd!["DEL", b], cmd!["EXEC"]],
        _ => vec![cmd!["MSET", a, value, b, value]],
    }
}

fn noise(rng: &mut impl Rng) -> Vec<Command> {
    let key = format!("noise{}/{}", rng.random_range(0..2000), rng.random_range(0..5));
    match rng.random_range(0..8) {
        0 => vec![cmd!["SET", key, "x", "PX", rng.random_range(1..300).to_string()]],
        1 => vec![cmd!["SET", key, vec![b'x'; rng.random_range(0..100_000)]]],
        2 => vec![cmd!["APPEND", key, "more"]],
        3 => vec![cmd!["DEL", key]],
        4 => vec![cmd!["INCR", format!("hot{}", rng.random_range(0..2))]],
        5 => vec![cmd!["SCAN", rng.random_range(0..1000).to_string(), "COUNT", "100"]],
        6 => vec![cmd!["RENAME", key, "noise/renamed"]],
        _ if rng.random_bool(0.002) => vec![cmd!["FLUSHALL"]],
        _ => vec![cmd!["GETEX", key, "PX", "50"]],
    }
}

fn work(server: &Server, seed: u64, stream: u64, end: Instant) -> u64 {
    let mut rng = seed::generator(seed, stream);
    let (mut client, mut count) = (server.client(), 0);
    while Instant::now() < end {
        let mut batch = Vec::new();
        while batch.len() < 64 {
            batch.extend(if rng.random_bool(0.5) { write_pair(&mut rng) } else { noise(&mut rng) });
        }
        count += client.pipeline(&batch).len() as u64;
        if rng.random_bool(0.01) {
            client = server.client();
        }
    }
    count
}

fn watch_pairs(client: &mut Client, rng: &mut impl Rng) {
    let (a, b) = pair(rng.random_range(0..50));
    let reply = client.command(&cmd!["MGET", a, b]);
    let values = reply.elements();
    assert_eq!(values[0], values[1], "{a} and {b} are written together only");
}

#[test]
#[ignore = "runs for KVNS_STRESS_SECONDS"]
fn everything_at_once() {
    let seed = seed::seed();
    let seconds = seed::setting("KVNS_STRESS_SECONDS").unwrap_or(SECONDS);
    let server = Server::start();
    let end = Instant::now() + Duration::from_secs(seconds);
    let commands: u64 = std::thread::scope(|scope| {
        let server = &server;
        let workers: Vec<_> =
            (0..WORKERS).map(|stream| scope.spawn(move || work(server, seed, stream, end))).collect();
        scope.spawn(move || {
            let (mut client, mut rng) = (server.client(), seed::generator(seed, WORKERS));
            while Instant::now() < end {
                watch_pairs(&mut client, &mut rng);
            }
        });
        workers.into_iter().map(|worker| worker.join().expect("a worker that saw no fault")).sum()
    });
    let mut client = server.client();
    println!("{commands} commands in {seconds} s; {} resident bytes", server.resident_bytes());
    assert_eq!(client.run("FLUSHALL"), Value::ok());
    assert_eq!(client.run("DBSIZE"), Value::Integer(0));
    println!("{} resident bytes after FLUSHALL", server.resident_bytes());
}

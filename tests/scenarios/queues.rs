//! Lists as queues: many clients at one list.

use crate::support::{Command, Server, Value, cmd, seed};
use rand::Rng;
use std::collections::BTreeSet;

const CLIENTS: u64 = 4;
const BURSTS: u64 = 1000;
const BURST: usize = 16;

/// The elements of a reply to a pop: one, several, or none.
fn popped(reply: &Value) -> Vec<Vec<u8>> {
    match reply {
        Value::Bulk(element) => vec![element.clone()],
        Value::Array(elements) => elements.iter().map(|element| element.bytes().to_vec()).collect(),
        other => {
            assert!(other.is_null() || matches!(other, Value::Integer(_)), "{other:?}");
            Vec::new()
        }
    }
}

/// A burst of pushes of elements that nobody else pushes, and of pops.
fn burst(rng: &mut impl Rng, client: u64, pushed: &mut Vec<Vec<u8>>) -> Vec<Command> {
    let mut element = || {
        pushed.push(format!("{client}:{}", pushed.len()).into_bytes());
        pushed.last().cloned().unwrap_or_default()
    };
    let mut command = || match rng.random_range(0..9) {
        0..2 => cmd!["LPUSH", "queue", element()],
        2..4 => cmd!["RPUSH", "queue", element()],
        4 => cmd!["LPUSH", "queue", element(), element()],
        5 => cmd!["LPOP", "queue"],
        6 => cmd!["RPOP", "queue"],
        7 => cmd!["RPOP", "queue", "3"],
        _ => cmd!["LMOVE", "queue", "queue", "LEFT", "RIGHT"],
    };
    (0..BURST).map(|_| command()).collect()
}

#[test]
fn four_clients_at_one_list_lose_and_duplicate_nothing() {
    let (server, seed) = (Server::start(), seed::seed());
    let mut pushed = BTreeSet::new();
    let mut taken: Vec<Vec<u8>> = Vec::new();
    std::thread::scope(|scope| {
        let server = &server;
        let work = move |number: u64| {
            let (mut client, mut rng) = (server.client(), seed::generator(seed, number));
            let (mut pushed, mut taken) = (Vec::new(), Vec::new());
            for _ in 0..BURSTS {
                let commands = burst(&mut rng, number, &mut pushed);
                for (command, reply) in commands.iter().zip(client.pipeline(&commands)) {
                    if command[0] != b"LMOVE" {
                        taken.extend(popped(&reply));
                    }
                }
            }
            (pushed, taken)
        };
        let workers: Vec<_> = (0..CLIENTS).map(|number| scope.spawn(move || work(number))).collect();
        for worker in workers {
            let (by_one, from_one) = worker.join().expect("a client that finished");
            pushed.extend(by_one);
            taken.extend(from_one);
        }
    });
    let left = server.client().run("LRANGE queue 0 -1");
    taken.extend(popped(&left));
    let distinct: BTreeSet<Vec<u8>> = taken.iter().cloned().collect();
    assert_eq!(distinct.len(), taken.len(), "seed {seed}: an element came twice");
    assert!(distinct == pushed, "seed {seed}: {} pushed, {} came back", pushed.len(), distinct.len());
}

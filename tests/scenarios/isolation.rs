//! Transactions under contention: no other client ever sees between their commands.

use crate::support::{Client, Server, Value, cmd, seed};
use rand::Rng;
use std::sync::atomic::{AtomicBool, Ordering};

const ACCOUNTS: [&str; 4] = ["account:0", "account:1", "bank/account", "other/bank/account"];
const START_BALANCE: i64 = 1000;
const TOTAL: i64 = START_BALANCE * ACCOUNTS.len() as i64;
const TRANSFERS: u64 = 2000;

fn open_accounts(server: &Server) {
    let mut client = server.client();
    for account in ACCOUNTS {
        assert_eq!(client.command(&cmd!["SET", account, START_BALANCE.to_string()]), Value::ok());
    }
}

fn balances(reply: &Value) -> Vec<i64> {
    reply.elements().iter().map(Value::integer).collect()
}

fn read_with_mget(client: &mut Client) -> Vec<i64> {
    balances(&client.command(&[cmd!["MGET"], ACCOUNTS.iter().flat_map(|name| cmd![name]).collect()].concat()))
}

fn read_with_exec(client: &mut Client) -> Vec<i64> {
    let mut commands = vec![cmd!["MULTI"]];
    commands.extend(ACCOUNTS.iter().map(|account| cmd!["GET", account]));
    commands.push(cmd!["EXEC"]);
    balances(client.pipeline(&commands).last().expect("the reply of EXEC"))
}

/// Runs `writers` to their end while readers watch the sum of all balances.
fn sum_stays_while(server: &Server, writers: Vec<Box<dyn FnOnce(Client) + Send>>) {
    let done = AtomicBool::new(false);
    let reads: usize = std::thread::scope(|scope| {
        let readers: Vec<_> = [read_with_mget, read_with_exec]
            .into_iter()
            .map(|read: fn(&mut Client) -> Vec<i64>| {
                let (mut client, done) = (server.client(), &done);
                scope.spawn(move || {
                    let mut reads = 0;
                    while !done.load(Ordering::Relaxed) {
                        let seen = read(&mut client);
                        assert_eq!(seen.iter().sum::<i64>(), TOTAL, "a reader saw between: {seen:?}");
                        reads += 1;
                    }
                    reads
                })
            })
            .collect();
        let writers: Vec<_> = writers
            .into_iter()
            .map(|writer| {
                let client = server.client();
                scope.spawn(move || writer(client))
            })
            .collect();
        let results: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
        done.store(true, Ordering::Relaxed);
        assert!(results.iter().all(Result::is_ok), "a writer failed");
        readers.into_iter().map(|reader| reader.join().expect("a reader that saw no fault")).sum()
    });
    println!("{reads} reads beside the transfers");
    assert_eq!(read_with_mget(&mut server.client()).iter().sum::<i64>(), TOTAL);
}

#[test]
fn readers_never_see_between_the_commands_of_a_transaction() {
    let server = Server::start();
    open_accounts(&server);
    let seed = seed::seed();
    let transfer = |stream| -> Box<dyn FnOnce(Client) + Send> {
        Box::new(move |mut client: Client| {
            let mut rng = seed::generator(seed, stream);
            for _ in 0..TRANSFERS {
                let (from, to) = (rng.random_range(0..4), rng.random_range(0..4));
                let amount = rng.random_range(1..50).to_string();
                let replies = client.pipeline(&[
                    cmd!["MULTI"],
                    cmd!["DECRBY", ACCOUNTS[from], amount],
                    cmd!["INCRBY", ACCOUNTS[to], amount],
                    cmd!["EXEC"],
                ]);
                assert_eq!(replies[3].elements().len(), 2);
            }
        })
    };
    sum_stays_while(&server, vec![transfer(1), transfer(2)]);
}

#[test]
fn optimistic_transfers_lose_no_update() {
    let server = Server::start();
    open_accounts(&server);
    let seed = seed::seed();
    let transfer = |stream| -> Box<dyn FnOnce(Client) + Send> {
        Box::new(move |mut client: Client| {
            let mut rng = seed::generator(seed, stream);
            for _ in 0..TRANSFERS / 4 {
                let from = rng.random_range(0..4);
                let to = (from + rng.random_range(1..4)) % 4;
                while !try_transfer(&mut client, ACCOUNTS[from], ACCOUNTS[to]) {}
            }
        })
    };
    sum_stays_while(&server, vec![transfer(1), transfer(2), transfer(3)]);
    let transfers = server.client().run("GET transfers").integer();
    assert_eq!(transfers as u64, 3 * (TRANSFERS / 4), "a committed transaction was lost or ran twice");
}

/// Moves 1 with WATCH, GET, MULTI, SET, EXEC; false if another client was faster.
fn try_transfer(client: &mut Client, from: &str, to: &str) -> bool {
    assert_eq!(client.command(&cmd!["WATCH", from, to]), Value::ok());
    let read = client.pipeline(&[cmd!["GET", from], cmd!["GET", to]]);
    let replies = client.pipeline(&[
        cmd!["MULTI"],
        cmd!["SET", from, (read[0].integer() - 1).to_string()],
        cmd!["SET", to, (read[1].integer() + 1).to_string()],
        cmd!["INCR", "transfers"],
        cmd!["EXEC"],
    ]);
    !replies[4].is_null()
}

#[test]
fn one_of_many_msetnx_wins() {
    const CLIENTS: usize = 4;
    let server = Server::start();
    let barrier = std::sync::Barrier::new(CLIENTS);
    for round in 0..200 {
        let winners: i64 = std::thread::scope(|scope| {
            let attempts: Vec<_> = (0..CLIENTS)
                .map(|number| {
                    let (mut client, barrier) = (server.client(), &barrier);
                    scope.spawn(move || {
                        let mine = number.to_string();
                        let keys = [format!("a{round}"), format!("ns{round}/b")];
                        barrier.wait();
                        client
                            .command(&cmd!["MSETNX", keys[number % 2], mine, keys[1 - number % 2], mine])
                            .integer()
                    })
                })
                .collect();
            attempts.into_iter().map(|attempt| attempt.join().expect("an attempt")).sum()
        });
        let values = server.client().command(&cmd!["MGET", format!("a{round}"), format!("ns{round}/b")]);
        assert_eq!(winners, 1, "round {round}");
        assert_eq!(values.elements()[0], values.elements()[1], "round {round}: a torn MSETNX");
    }
}

#[test]
fn increments_of_one_key_by_many_clients_add_up() {
    const CLIENTS: u64 = 8;
    const EACH: u64 = 2000;
    let server = Server::start();
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            let mut client = server.client();
            scope.spawn(move || {
                let batch = vec![cmd!["INCR", "counter"]; 100];
                for _ in 0..EACH / 100 {
                    let replies = client.pipeline(&batch);
                    let values: Vec<i64> = replies.iter().map(Value::integer).collect();
                    assert!(
                        values.is_sorted_by(|a, b| a < b),
                        "one client's increments went back: {values:?}"
                    );
                }
            });
        }
    });
    assert_eq!(server.client().run("GET counter").integer() as u64, CLIENTS * EACH);
}

//! The limit under several writers at once, for each policy; `KVNS_STRESS_SECONDS` makes each run longer.

use crate::harness::{Client, Server};
use kvns::config::{EvictionRules, Settings};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Barrier, Mutex};
use std::time::{Duration, Instant};

const WRITERS: u64 = 4;
const LIMIT: u64 = 8 << 20;
/// Keys of a writer: together several times what the limit allows.
const NAMES: u32 = 20_000;
/// Commands that a writer sends at least, however slow the machine is: together more than the limit allows.
const LEAST: u64 = 10_000;
/// How long a run is unless the environment says otherwise.
const SHORT: Duration = Duration::from_millis(500);
/// Keys of the namespace that nobody writes to while the others thrash.
const QUIET: u32 = 500;

/// The limit itself, and what may come between two measurements.
const MOST: u64 = LIMIT + LIMIT / 50;

fn length() -> Duration {
    let seconds = std::env::var("KVNS_STRESS_SECONDS").ok().and_then(|text| text.parse().ok());
    seconds.map_or(SHORT, Duration::from_secs)
}

/// What a writer was told of each of its keys last: a stamp, or `None` for a deletion.
type Acknowledged = HashMap<Vec<u8>, Option<Vec<u8>>>;

fn write(mut client: Client, number: u64, end: Instant) -> Acknowledged {
    let (mut rng, mut acknowledged) = (StdRng::seed_from_u64(number), Acknowledged::new());
    let mut sent = 0;
    while sent < LEAST || Instant::now() < end {
        sent += 1;
        let key = format!("a/{number}:{}", rng.random_range(0..NAMES)).into_bytes();
        let stamp = rng.random::<u64>().to_string().into_bytes();
        let value = [stamp.clone(), vec![b'v'; rng.random_range(0..1000)]].concat();
        let (reply, written) = match rng.random_range(0..20) {
            0 => (client.send(&[b"DEL", &key]), None),
            1 => (client.send(&[b"GET", &key]), None),
            2 => (client.send(&[b"SET", &key, &value, b"EX", b"1000"]), Some(stamp)),
            _ => (client.send(&[b"SET", &key, &value]), Some(stamp)),
        };
        match (&reply[0], written) {
            (b'+', Some(stamp)) => drop(acknowledged.insert(key, Some(stamp))),
            (b':', _) => drop(acknowledged.insert(key, None)),
            (b'$', None) => {}
            _ => assert!(reply.starts_with(b"-OOM "), "{}", String::from_utf8_lossy(&reply)),
        }
    }
    acknowledged
}

/// Keeps house and measures, as the server's own threads do, until the writers are done. The allocator is taken to hold
/// just what is accounted. Returns the most that the keys took: what they leave, such as slots, goes when there is time.
fn keep(server: &Server, is_done: impl Fn() -> bool) -> u64 {
    let keyspace = &server.engine.keyspace;
    let mut most = 0;
    while !is_done() {
        keyspace.housekeep();
        keyspace.measure(|| keyspace.accounted_bytes());
        most = most.max(keyspace.used_bytes());
        std::thread::yield_now();
    }
    most
}

fn run(policy: &str) -> (Server, Vec<Acknowledged>) {
    let eviction = EvictionRules { policy: policy.parse().expect("a policy"), ..EvictionRules::default() };
    let server = Server::with(Settings { memory_limit: LIMIT, eviction, ..Settings::default() });
    let mut client = server.client();
    client.check("CONFIG SET ns-eviction b:lru", "+OK");
    (0..QUIET).for_each(|i| client.check(&format!("SET b/{i} quiet"), "+OK"));
    // To set a limit where there was none is to lower it. The housekeeper evicts down to a lowered limit in any namespace,
    // so it has to find out that nothing is beyond it before the writers begin.
    while server.engine.keyspace.housekeep() {}
    let end = Instant::now() + length();
    let (done, at_rest, turn) = (AtomicU64::new(0), Barrier::new(WRITERS as usize + 1), Mutex::new(()));
    let acknowledged = std::thread::scope(|scope| {
        let (server, done, at_rest, turn) = (&server, &done, &at_rest, &turn);
        let writer = |number| {
            let client = server.client();
            scope.spawn(move || {
                // A writer that sees a fault comes to the barrier too.
                let acknowledged = catch_unwind(AssertUnwindSafe(|| write(client, number, end)));
                done.fetch_add(1, Ordering::Relaxed);
                // What a thread has taken out of the index it alone hands over, once nobody else is at work: a check
                // does so first. It finds nothing right before all have.
                at_rest.wait();
                let _turn = turn.lock();
                let _ = server.engine.keyspace.check_invariants();
                acknowledged.unwrap_or_else(|fault| resume_unwind(fault))
            })
        };
        let writers: Vec<_> = (0..WRITERS).map(writer).collect();
        let most = keep(server, || done.load(Ordering::Relaxed) == WRITERS);
        at_rest.wait();
        println!("{policy}: {most} of {LIMIT} bytes");
        assert!(most <= MOST, "{policy}: {most} of {LIMIT} bytes");
        writers.into_iter().map(|writer| writer.join().expect("a writer that saw no fault")).collect()
    });
    let keyspace = &server.engine.keyspace;
    keyspace.check_invariants().expect("the keyspace's invariants hold");
    assert_eq!(
        keyspace.namespace(b"b").map(|b| (b.keys, b.evicted)),
        Some((u64::from(QUIET), 0)),
        "{policy}"
    );
    (server, acknowledged)
}

#[test]
fn without_a_policy_no_acknowledged_write_is_lost_under_several_writers() {
    let (server, acknowledged) = run("none");
    let mut client = server.client();
    for (key, stamp) in acknowledged.iter().flatten() {
        let reply = client.send(&[b"GET", key]);
        let Some(stamp) = stamp else {
            assert_eq!(reply, b"$-1\r\n", "{}", String::from_utf8_lossy(key));
            continue;
        };
        let value = reply.splitn(2, |byte| *byte == b'\n').nth(1).unwrap_or_default();
        assert!(value.starts_with(stamp), "{}", String::from_utf8_lossy(key));
    }
    assert_eq!(server.engine.keyspace.stats.evicted.get(), 0);
    assert!(client.run("INFO errorstats").contains("errorstat_OOM"), "the limit was reached");
}

#[test]
fn with_a_policy_several_writers_stay_within_the_limit_and_their_namespace() {
    for policy in ["lru", "mru", "ear"] {
        let (server, _) = run(policy);
        let stats = &server.engine.keyspace.stats;
        assert!(stats.evicted.get() + stats.ear_evicted.get() > 0, "{policy}");
        let refused = server.client().run("INFO errorstats");
        // With ear only what was read makes room.
        assert!(policy == "ear" || !refused.contains("errorstat_OOM"), "{policy}: {refused}");
    }
}

//! Commands through the gate, without sockets and decoding: what each costs in a pipelined batch.

use bytes::Buf;
use criterion::{BenchmarkGroup, Criterion, Throughput, measurement::WallTime};
use kvns::clock::Clock;
use kvns::command::context::Outcome;
use kvns::command::dispatch::dispatch;
use kvns::command::resolve::{Command, prefetch};
use kvns::config::Settings;
use kvns::engine::Engine;
use kvns::resp::{OwnedRequest, ReplyWriter};
use kvns::session::Session;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use tikv_jemallocator::Jemalloc;

/// The server's allocator.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

const KEYS: usize = 100_000;

/// Commands in one batch.
const PIPELINE: usize = 100;

/// Commands whose keys are prefetched together, as a connection does.
const PREFETCHED: usize = 32;

/// Batches that are prepared and sent in turn.
const BATCHES: usize = 200;

const VALUE: &str = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";

/// A client of an engine with [`KEYS`] keys that hold numbers.
struct Client {
    engine: Arc<Engine>,
    session: Session,
    replies: ReplyWriter,
}

impl Client {
    fn new() -> Client {
        let engine = Arc::new(Engine::new(Settings::default(), Clock::system()));
        let address = SocketAddr::from(([127, 0, 0, 1], 6480));
        let session = Session::new(&engine, address, address);
        let mut client = Client { engine, session, replies: ReplyWriter::new() };
        for first in (0..KEYS).step_by(PIPELINE) {
            let set = |number| request(&format!("SET {} {number}", key(number)));
            client.send(&(first..first + PIPELINE).map(set).collect::<Vec<_>>());
        }
        let engine = Arc::clone(&client.engine);
        thread::spawn(move || {
            loop {
                if !engine.keyspace.housekeep() {
                    thread::sleep(Duration::from_millis(10));
                }
            }
        });
        client
    }

    fn send(&mut self, requests: &[OwnedRequest]) {
        let mut batch = self.engine.keyspace.enter();
        for group in requests.chunks(PREFETCHED) {
            let requests = group.iter().map(OwnedRequest::as_request);
            let commands: Vec<_> = requests.map(|request| Command::resolve(&self.engine, request)).collect();
            prefetch(&self.engine, &batch, &commands);
            for command in &commands {
                let outcome =
                    dispatch(&self.engine, &mut self.session, &mut batch, command, &mut self.replies);
                assert_eq!(outcome, Outcome::Continue);
                batch.between_commands();
            }
        }
        self.replies.advance(black_box(self.replies.pending()));
    }
}

fn key(number: usize) -> String {
    format!("key:{number:012}")
}

fn request(line: &str) -> OwnedRequest {
    OwnedRequest::from_args(line.split(' ').map(str::as_bytes))
}

/// Measures batches of commands; each line is made of fresh random keys in place of every `K`.
fn measure(group: &mut BenchmarkGroup<'_, WallTime>, client: &mut Client, title: &str, lines: &[&str]) {
    let mut rng = SmallRng::seed_from_u64(7);
    let mut fill = |line: &str| -> String {
        let words = line.split(' ').map(|word| match word {
            "K" => key(rng.random_range(0..KEYS)),
            plain => plain.to_owned(),
        });
        words.collect::<Vec<_>>().join(" ")
    };
    let batches: Vec<Vec<OwnedRequest>> = (0..BATCHES)
        .map(|_| lines.iter().cycle().take(PIPELINE * lines.len()).map(|line| request(&fill(line))).collect())
        .collect();
    let mut next = (0..BATCHES).cycle();
    group.bench_function(title, |bencher| {
        bencher.iter(|| client.send(&batches[next.next().unwrap_or_default()]));
    });
}

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    let mut client = Client::new();
    let mut group = criterion.benchmark_group("dispatch");
    // A transaction counts as one command.
    group.throughput(Throughput::Elements(PIPELINE as u64));
    let (set, mset) = (format!("SET K {VALUE}"), format!("MSET{}", format!(" K {VALUE}").repeat(10)));
    measure(&mut group, &mut client, "ping", &["PING"]);
    measure(&mut group, &mut client, "get", &["GET K"]);
    measure(&mut group, &mut client, "incr", &["INCR K"]);
    measure(&mut group, &mut client, "set of 32 bytes", &[&set]);
    measure(&mut group, &mut client, "mset of 10 keys", &[&mset]);
    measure(&mut group, &mut client, "transaction of 3 sets", &["MULTI", &set, &set, &set, "EXEC"]);
    group.finish();
    criterion.final_summary();
}

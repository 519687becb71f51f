//! Servers that fight for one snapshot path and are killed at random moments under load, while they start, serve, save
//! and end. Every file that a start finds is whole, one server serves at a time, and nothing older than the last completed
//! snapshot is served.
//!
//! `KVNS_CONTENDER_KILLS` sets how many are killed (default 12).

mod support;

use kvns::engine::census::census;
use rand::Rng;
use rand::rngs::StdRng;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use support::{Client, Value, cmd, seed};

const CONTENDERS: u64 = 2;

/// How long a server may take to be ready, or to be gone.
const BOUND: Duration = Duration::from_secs(60);

/// What the contenders know of each other.
struct Ring {
    path: PathBuf,
    wanted: u64,
    kills: AtomicU64,
    refusals: AtomicU64,
    snapshots: AtomicU64,
    is_taken: AtomicBool,
    /// The count in the last snapshot that was acknowledged.
    least: AtomicU64,
    /// The highest count that was written.
    most: AtomicU64,
}

/// A server; killed when dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail if it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn spawn(path: &Path) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kvns"));
    for (variable, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("KVNS_")) {
        command.env_remove(variable);
    }
    command.env("KVNS_HOST", "127.0.0.1").env("KVNS_PORT", "0").env("KVNS_METRICS_HOST", "127.0.0.1");
    command.env("KVNS_METRICS_PORT", "0").env("KVNS_PERSIST_INTERVAL", "0").env("KVNS_PERSIST_PATH", path);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    Process(child.expect("kvns starts"))
}

impl Ring {
    fn goes_on(&self) -> bool {
        self.kills.load(Ordering::SeqCst) < self.wanted
    }

    fn kill(&self, mut process: Process) {
        // It fails if the process has ended.
        let _ = process.0.kill();
        let status = process.0.wait().expect("an end");
        self.kills.fetch_add(u64::from(status.signal() == Some(9)), Ordering::SeqCst);
    }

    /// One contender's life: start after start.
    fn contend(&self, mut random: StdRng) {
        while self.goes_on() {
            let process = spawn(&self.path);
            if random.random_ratio(1, 4) {
                std::thread::sleep(Duration::from_millis(random.random_range(0..80)));
                // If it has the path, it is killed before anybody was served.
                self.kill(process);
            } else {
                self.play(process, &mut random);
            }
            // Whoever looks while others write, finds a whole file too.
            if self.path.exists() {
                census(&self.path, 1).unwrap_or_else(|error| panic!("{error}"));
            }
        }
    }

    /// Waits until the server is ready or refused. If it is ready, uses it and ends it.
    fn play(&self, mut process: Process, random: &mut StdRng) {
        let mut lines = BufReader::new(process.0.stdout.take().expect("standard output")).lines();
        let mut log = String::new();
        let address = loop {
            let Some(line) = lines.next() else {
                assert!(log.contains("uses it for its snapshots"), "a start failed: {log}");
                self.refusals.fetch_add(1, Ordering::SeqCst);
                return;
            };
            log += &line.expect("text");
            if let Some((_, rest)) = log.split_once("address=") {
                break rest.split_whitespace().next().and_then(|word| word.parse().ok()).expect("an address");
            }
        };
        assert!(!self.is_taken.swap(true, Ordering::SeqCst), "two servers have the path");
        let acknowledged = self.use_server(Client::connect(address), random, &process);
        if random.random_ratio(1, 4) {
            let pid = process.0.id().to_string();
            Command::new("kill").args(["-TERM", &pid]).status().expect("kill");
            if random.random() {
                let end = Instant::now() + BOUND;
                let status = loop {
                    assert!(Instant::now() < end, "it does not end: {log}");
                    match process.0.try_wait().expect("its state") {
                        Some(status) => break status,
                        None => std::thread::sleep(Duration::from_millis(2)),
                    }
                };
                if status.success() {
                    // Its last snapshot has all that it has acknowledged.
                    self.least.fetch_max(acknowledged, Ordering::SeqCst);
                }
                return self.kill(process);
            }
            std::thread::sleep(Duration::from_millis(random.random_range(0..30)));
        }
        self.kill(process);
    }

    /// Verifies what the server has, then writes to it and saves, for a random time. Returns the last count that it has
    /// acknowledged.
    fn use_server(&self, mut client: Client, random: &mut StdRng, process: &Process) -> u64 {
        let values = client.run("MGET twin ns/twin");
        let count = |value: &Value| if value.is_null() { 0 } else { value.integer() as u64 };
        let twins: Vec<u64> = values.elements().iter().map(count).collect();
        let (least, most) = (self.least.load(Ordering::SeqCst), self.most.load(Ordering::SeqCst));
        assert_eq!(twins[0], twins[1], "a snapshot of one moment");
        assert!((least..=most).contains(&twins[0]), "{} is not in {least}..={most}", twins[0]);
        let mut acknowledged = twins[0];
        let ends = AtomicBool::new(false);
        let saver = Client::connect(client.stream().peer_addr().expect("its address"));
        std::thread::scope(|scope| {
            scope.spawn(|| self.save(saver, &ends));
            let end = Instant::now() + Duration::from_millis(random.random_range(1..300));
            while Instant::now() < end {
                // Each number is written once, also after those that a kill has lost.
                let number = self.most.fetch_add(1, Ordering::SeqCst) + 1;
                let count = number.to_string();
                let key = format!("k{}", random.random_range(0..5_000));
                let write = cmd!["MSET", "twin", &count, "ns/twin", &count, key, count.repeat(60)];
                assert_eq!(client.command(&write), Value::ok());
                acknowledged = number;
            }
            // From here on the other one may get it.
            self.is_taken.store(false, Ordering::SeqCst);
            ends.store(true, Ordering::SeqCst);
            // In the middle of a snapshot, most probably, which the saver then sees.
            if random.random() {
                let pid = process.0.id().to_string();
                Command::new("kill").args(["-9", &pid]).status().expect("kill");
            }
        });
        acknowledged
    }

    /// Takes one snapshot after the other, until it is told to end or the server is gone.
    fn save(&self, mut client: Client, ends: &AtomicBool) {
        let mut ask = |line: &str| {
            client.stream().write_all(line.as_bytes()).ok()?;
            client.try_receive_raw().ok().map(|(value, _)| value)
        };
        while !ends.load(Ordering::SeqCst) {
            let Some(count) = ask("GET twin\r\n") else { return };
            let Some(reply) = ask("SAVE\r\n") else { return };
            assert_eq!(reply, Value::ok());
            if !count.is_null() {
                self.least.fetch_max(count.integer() as u64, Ordering::SeqCst);
            }
            self.snapshots.fetch_add(1, Ordering::SeqCst);
        }
    }
}

#[test]
fn servers_that_fight_for_one_path_serve_nothing_old_and_leave_it_whole() {
    let folder =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("contenders-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    let ring = Ring {
        path: folder.join("kvns.snapshot"),
        wanted: seed::setting("KVNS_CONTENDER_KILLS").unwrap_or(12),
        kills: AtomicU64::new(0),
        refusals: AtomicU64::new(0),
        snapshots: AtomicU64::new(0),
        is_taken: AtomicBool::new(false),
        least: AtomicU64::new(0),
        most: AtomicU64::new(0),
    };
    let seed = seed::seed();
    std::thread::scope(|scope| {
        for number in 0..CONTENDERS {
            let ring = &ring;
            scope.spawn(move || ring.contend(seed::generator(seed, number)));
        }
    });
    let Ring { kills, refusals, snapshots, most, .. } = ring;
    eprintln!("{kills:?} kills, {refusals:?} refused starts, {snapshots:?} snapshots, {most:?} writes");
    let _ = fs::remove_dir_all(&folder);
}

//! Snapshots of real servers: what is saved is loaded, whatever happens in between.
//!
//! `KVNS_CRASH_ROUNDS` sets how often the crash test kills a server (default 12), `KVNS_SNAPSHOT_ROUNDS` how many
//! snapshots the consistency test takes (default 12).

mod support;

use kvns::clock::Clock;
use kvns::keyspace::Kind;
use kvns::snapshot::{Extent, Frame, LoadProgress, Receiver, load};
use rand::Rng;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use support::server::eventually;
use support::{Client, Server, Value, cmd, seed};

const BOUND: Duration = Duration::from_secs(20);

/// A folder of one test; removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("snapshots-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a folder");
        Folder(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("a path of text").to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A server with this snapshot file and no schedule.
fn start(path: &str) -> Server {
    Server::start_with(&[("KVNS_PERSIST_PATH", path), ("KVNS_PERSIST_INTERVAL", "0")])
}

/// A field of INFO's section about snapshots.
fn info(client: &mut Client, field: &str) -> String {
    let text = client.run("INFO persistence").text();
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {field} in {text}")).to_owned()
}

fn bgsave(client: &mut Client) {
    let saves = info(client, "rdb_saves");
    assert_eq!(client.run("BGSAVE"), Value::simple("Background saving started"));
    eventually("the snapshot is saved", BOUND, || info(client, "rdb_saves") != saves);
}

/// Keys of every type, small and large, with and without a deadline.
fn fill(client: &mut Client) {
    let long = vec![b'x'; 3_000_000];
    let item = |index: u32| format!("item:{index}:{}", "y".repeat(index as usize % 50));
    client.command(&cmd!["SET", "string", "value"]);
    client.command(&cmd!["SET", "ns/integer", "-12"]);
    client.command(&cmd!["SET", "default/a/b", "", "PX", "100000000"]);
    client.command(&cmd!["SET", "ns/long", long, "EXAT", "4000000000"]);
    client.command(&cmd!["SET", "chunks", &long[..200_000]]);
    client.command(&cmd!["APPEND", "chunks", "the end"]);
    client.command(&cmd!["SET", "gone", "x", "PX", "300"]);
    for (name, count) in [("small", 5), ("large", 30_000)] {
        for from in (0..count).step_by(300) {
            let (mut list, mut hash) =
                (cmd!["RPUSH", format!("{name}/list")], cmd!["HSET", format!("{name}/hash")]);
            let (mut set, mut scores) =
                (cmd!["SADD", format!("{name}/set")], cmd!["ZADD", format!("{name}/zset")]);
            for index in from..count.min(from + 300) {
                list.push(item(index).into());
                hash.extend([item(index).into_bytes(), index.to_string().into()]);
                set.push(item(index).into());
                scores.extend([(f64::from(index) / 7.0).to_string().into(), item(index).into_bytes()]);
            }
            for command in [list, hash, set, scores] {
                assert!(!client.command(&command).is_error());
            }
        }
        client.run(&format!("EXPIRE {name}/zset 5000"));
    }
    for index in 0..2_000 {
        client.command(&cmd!["SET", format!("ns{}/k{index}", index % 100), item(index)]);
    }
}

#[test]
fn every_type_survives_a_crash_and_a_reload() {
    let folder = Folder::new("types");
    let path = folder.path("deep/er/kvns.snapshot");
    let server = start(&path);
    let mut client = server.client();
    fill(&mut client);
    eventually("the key expires", BOUND, || client.run("EXISTS gone").integer() == 0);
    client.command(&cmd!["SET", "soon", "x", "PX", "1500"]);
    let digest = client.run("DEBUG DIGEST");
    let size = client.run("DBSIZE").integer();
    bgsave(&mut client);
    assert_eq!(client.run("SET after-the-snapshot x"), Value::ok());
    server.kill();
    let census =
        Process::new(env!("CARGO_BIN_EXE_kvns")).args(["--check", &path]).output().expect("kvns runs");
    let text = String::from_utf8_lossy(&census.stdout).into_owned();
    assert!(census.status.success() && text.starts_with(&format!("ok: {size} keys, ")), "{text}");
    assert!(text.contains("namespace\tstring\tlist\thash\tset\tzset\n"), "{text}");
    assert!(text.contains("large\t0\t1\t1\t1\t1\n") && text.contains("default\t4\t0\t0\t0\t0\n"), "{text}");

    std::thread::sleep(Duration::from_millis(1500));
    let server = start(&path);
    let mut client = server.client();
    assert_eq!(info(&mut client, "rdb_last_load_keys_loaded"), (size - 1).to_string());
    assert_eq!(info(&mut client, "rdb_last_load_keys_expired"), "1");
    assert_eq!(info(&mut client, "rdb_changes_since_last_save"), "0");
    assert_eq!(client.run("EXISTS soon after-the-snapshot").integer(), 0);
    assert_eq!(client.run("EXPIRETIME ns/long").integer(), 4_000_000_000);
    assert!((4_900..=5_000).contains(&client.run("TTL large/zset").integer()));
    assert_eq!(client.run("LINDEX large/list 29999"), client.run("LRANGE large/list -1 -1").elements()[0]);
    assert_eq!(client.run("ZRANK large/zset item:700:").integer(), 700);
    assert_eq!(client.run("GETRANGE chunks 199999 -1"), Value::bulk("xthe end"));
    assert_eq!(client.run("OBJECT ENCODING ns/integer"), Value::bulk("int"));
    assert_eq!(client.run("SET soon x PXAT 4000000000000"), Value::ok());
    assert_eq!(client.run("DEBUG DIGEST"), digest, "a digest tells whether a key expires, not when");
    assert_eq!(client.run("DEBUG RELOAD"), Value::ok());
    assert_eq!(client.run("DEBUG DIGEST"), digest);
    assert_eq!(client.run("DBSIZE").integer(), size);
}

#[test]
fn a_server_saves_at_its_end_unless_told_otherwise() {
    let folder = Folder::new("end");
    let path = folder.path("kvns.snapshot");
    let server = start(&path);
    server.client().run("SET a 1");
    drop(server);
    let server = start(&path);
    let mut client = server.client();
    assert_eq!(client.run("GET a"), Value::bulk("1"));
    client.run("SET a 2");
    client.send(&cmd!["SHUTDOWN"]);
    assert_eq!(client.receive_to_end(), b"");
    assert!(server.wait_for_exit().success());
    let server = start(&path);
    let mut client = server.client();
    assert_eq!(client.run("GET a"), Value::bulk("2"));
    client.run("SET a 3");
    client.send(&cmd!["SHUTDOWN", "NOSAVE"]);
    assert_eq!(client.receive_to_end(), b"");
    assert!(server.wait_for_exit().success());
    let server = start(&path);
    assert_eq!(server.client().run("GET a"), Value::bulk("2"));
}

#[test]
fn a_schedule_takes_snapshots_when_something_has_changed() {
    let folder = Folder::new("schedule");
    let path = folder.path("kvns.snapshot");
    let server = Server::start_with(&[("KVNS_PERSIST_PATH", &path), ("KVNS_PERSIST_INTERVAL", "1")]);
    let mut client = server.client();
    assert_eq!(client.run("CONFIG GET save").elements()[1], Value::bulk("1 1"));
    client.run("SET a 1");
    eventually("it is saved", BOUND, || info(&mut client, "rdb_changes_since_last_save") == "0");
    let saves = info(&mut client, "rdb_saves");
    client.run("CONFIG SET save \"\"");
    assert_eq!(client.run("CONFIG GET persist-interval").elements()[1], Value::bulk("0"));
    client.run("SET a 2");
    assert_eq!(info(&mut client, "rdb_changes_since_last_save"), "1");
    client.run("CONFIG SET save \"1 1\"");
    eventually("it is saved again", BOUND, || info(&mut client, "rdb_saves") != saves);
}

#[test]
fn a_damaged_file_stops_the_start_with_one_line() {
    let folder = Folder::new("damaged");
    let path = folder.path("kvns.snapshot");
    let server = start(&path);
    fill(&mut server.client());
    drop(server);
    let good = fs::read(&path).expect("a snapshot");
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    let newer = [&good[..8], &[9, 0, 0, 0], &good[12..]].concat();
    let cases: [(&[u8], &str); 5] = [
        (b"", "the file is empty"),
        (b"REDIS0010 something else", "it is no kvns snapshot"),
        (&good[..good.len() - 100], "torn or cut off"),
        (&flipped, "is damaged"),
        (&newer, "a newer kvns wrote it"),
    ];
    for (bytes, reason) in cases {
        fs::write(&path, bytes).expect("a file");
        let (status, log) = Server::start_refused(&[("KVNS_PERSIST_PATH", &path)]);
        assert_eq!(status.code(), Some(1), "{log}");
        let lines: Vec<&str> = log.lines().filter(|line| line.contains("ERROR")).collect();
        assert!(lines.len() == 1 && lines[0].contains("cannot load the snapshot"), "{log}");
        assert!(lines[0].contains(&path) && lines[0].contains(reason), "{reason}: {log}");
        let check = Process::new(env!("CARGO_BIN_EXE_kvns")).args(["--check", &path]).output();
        let check = check.expect("kvns runs");
        let error = String::from_utf8_lossy(&check.stderr).into_owned();
        assert!(check.status.code() == Some(1) && check.stdout.is_empty(), "{error}");
        assert!(error.lines().count() == 1 && error.contains(reason), "{error}");
        assert_eq!(fs::read(&path).expect("the file"), bytes, "a refused file is left alone");
    }
}

#[test]
fn a_snapshot_that_fails_is_told_and_harms_nothing() {
    let folder = Folder::new("failing");
    let path = folder.path("sub/kvns.snapshot");
    let server = start(&path);
    let mut client = server.client();
    client.run("SET a 1");
    assert_eq!(client.run("SAVE"), Value::ok());
    let before = fs::read(&path).expect("a snapshot");
    // A file stands where the folder was.
    fs::rename(folder.path("sub"), folder.path("aside")).expect("renamed");
    fs::write(folder.path("sub"), "").expect("a file");
    client.run("SET a 2");
    let error = client.run("SAVE");
    assert!(error.is_error_of("ERR the snapshot failed: cannot write "), "{error:?}");
    assert_eq!(info(&mut client, "rdb_last_bgsave_status"), "err");
    assert_eq!(info(&mut client, "snapshot_failures"), "1");
    assert!(info(&mut client, "snapshot_last_error").contains("cannot write"));
    assert_eq!(client.run("SHUTDOWN"), Value::error("ERR Errors trying to SHUTDOWN. Check logs."));
    fs::remove_file(folder.path("sub")).expect("removed");
    fs::rename(folder.path("aside"), folder.path("sub")).expect("renamed");
    assert_eq!((client.run("GET a"), fs::read(&path).expect("the file")), (Value::bulk("2"), before));
    assert_eq!(client.run("SAVE"), Value::ok());
    assert_eq!(info(&mut client, "rdb_last_bgsave_status"), "ok");
}

#[test]
fn a_second_server_of_one_path_is_refused_by_the_name_of_the_first() {
    let folder = Folder::new("lock");
    let path = folder.path("sub/kvns.snapshot");
    let server = start(&path);
    let mut client = server.client();
    client.run("SET a 1");
    assert_eq!(client.run("SAVE"), Value::ok());
    std::os::unix::fs::symlink("sub", folder.path("link")).expect("a link");
    let before = fs::read(&path).expect("a snapshot");
    for spelling in [&path, &folder.path("link/../link/kvns.snapshot")] {
        let (status, log) = Server::start_refused(&[("KVNS_PERSIST_PATH", spelling)]);
        assert_eq!(status.code(), Some(1), "{log}");
        let holder = format!("cannot use the snapshot {path}: process {} on host ", server.pid());
        assert!(log.lines().count() == 1 && log.contains(&holder), "{log}");
    }
    assert_eq!(fs::read(&path).expect("the file"), before);
    // To verify a file takes no lock.
    let check =
        Process::new(env!("CARGO_BIN_EXE_kvns")).args(["--check", &path]).output().expect("kvns runs");
    assert!(check.status.success());
    // A killed server leaves no lock, and the next one removes what it did not finish.
    server.kill();
    fs::write(folder.path("sub/kvns.snapshot.tmp"), "left behind").expect("a file");
    fs::write(folder.path("sub/kvns.snapshot.tmp.0123456789abcdef"), "left behind").expect("a file");
    let server = start(&path);
    assert_eq!(server.client().run("GET a"), Value::bulk("1"));
    let mut left: Vec<_> = fs::read_dir(folder.path("sub")).expect("a folder").flatten().collect();
    left.sort_by_key(fs::DirEntry::file_name);
    let names: Vec<_> = left.iter().map(fs::DirEntry::file_name).collect();
    assert_eq!(names, ["kvns.snapshot", "kvns.snapshot.lock"]);
}

#[test]
fn a_link_to_the_file_stays_a_link() {
    let folder = Folder::new("link");
    let (path, file) = (folder.path("kvns.snapshot"), folder.path("elsewhere/file"));
    std::os::unix::fs::symlink("elsewhere/file", &path).expect("a link");
    for round in 1..=2 {
        let server = start(&path);
        let mut client = server.client();
        assert_eq!(client.run("INCR rounds").integer(), round);
        // Whoever lays a link where an early version wrote does not get a file of his choice overwritten.
        let _ = std::os::unix::fs::symlink("../victim", folder.path("elsewhere/file.tmp"));
        assert_eq!(client.run("SAVE"), Value::ok());
        assert_eq!(fs::read_link(&path).expect("a link"), Path::new("elsewhere/file"));
        assert!(
            fs::symlink_metadata(&file).expect("a file").is_file()
                && !Path::new(&folder.path("victim")).exists()
        );
    }
}

#[test]
fn where_nothing_can_be_written_the_server_starts_with_a_warning() {
    // Nobody can make a file there, whoever runs the test.
    let server = start("/proc/kvns.snapshot");
    let mut client = server.client();
    server.expect_log("nothing keeps other servers from the snapshot /proc/kvns.snapshot");
    assert!(client.run("SAVE").is_error_of("ERR the snapshot failed: cannot write /proc/kvns.snapshot"));
    client.send(&cmd!["SHUTDOWN", "NOSAVE"]);
    assert_eq!(client.receive_to_end(), b"");
    assert!(server.wait_for_exit().success());
}

#[test]
fn a_fifo_in_the_snapshots_place_does_not_hold_the_start_up() {
    let folder = Folder::new("fifo");
    let path = folder.path("kvns.snapshot");
    assert!(Process::new("mkfifo").arg(&path).status().expect("mkfifo").success());
    let (status, log) = Server::start_refused(&[("KVNS_PERSIST_PATH", &path)]);
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("it is a FIFO, not a regular file"), "{log}");
}

/// A server that has something to save and cannot: a file stands where its folder was.
fn start_unable(folder: &Folder) -> Server {
    let server = start(&folder.path("sub/kvns.snapshot"));
    assert_eq!(server.client().run("SET a 1"), Value::ok());
    fs::rename(folder.path("sub"), folder.path("aside")).expect("renamed");
    fs::write(folder.path("sub"), "").expect("a file");
    server
}

fn said_that_it_cannot_end(server: &Server) -> usize {
    server.log().matches("cannot shut down: the last snapshot failed: cannot write").count()
}

#[test]
fn a_server_that_cannot_save_serves_on_until_it_can() {
    let folder = Folder::new("unable");
    let server = start_unable(&folder);
    let mut client = server.client();
    server.send_sigterm();
    eventually("it says why", BOUND, || said_that_it_cannot_end(&server) > 0);
    assert_eq!(client.run("INCR a").integer(), 2, "who was connected is served");
    assert_eq!(server.client().run("INCR a").integer(), 3, "who comes is served");
    assert_eq!(client.run("SHUTDOWN"), Value::error("ERR Errors trying to SHUTDOWN. Check logs."));
    fs::remove_file(folder.path("sub")).expect("removed");
    // It tries again by itself, and makes the folder.
    assert!(server.wait_for_exit().success());
    assert_eq!(start(&folder.path("sub/kvns.snapshot")).client().run("GET a"), Value::bulk("3"));
}

#[test]
fn an_end_that_fails_can_be_called_off_or_forced() {
    let folder = Folder::new("forced");
    let server = start_unable(&folder);
    let mut client = server.client();
    let refused = Value::error("ERR No shutdown in progress.");
    assert_eq!(client.run("SHUTDOWN ABORT"), refused);
    server.send_sigterm();
    eventually("it says why", BOUND, || said_that_it_cannot_end(&server) > 0);
    assert_eq!(client.run("SHUTDOWN ABORT"), Value::ok());
    assert_eq!(client.run("SHUTDOWN ABORT"), refused);
    fs::remove_file(folder.path("sub")).expect("removed");
    assert_eq!(client.run("SAVE"), Value::ok());
    server.expect_log("aborted the shutdown");
    assert_eq!(client.run("INCR a").integer(), 2);
    assert_eq!(client.run("KEYS *"), Value::Array(vec![Value::bulk("a")]), "long work is wanted again");
    fs::remove_dir_all(folder.path("sub")).expect("removed");
    fs::write(folder.path("sub"), "").expect("a file");
    let before = said_that_it_cannot_end(&server);
    server.send_sigterm();
    eventually("it says why", BOUND, || said_that_it_cannot_end(&server) > before);
    client.send(&cmd!["SHUTDOWN", "NOSAVE"]);
    assert_eq!(client.receive_to_end(), b"");
    assert!(server.wait_for_exit().success());

    fs::remove_file(folder.path("sub")).expect("removed");
    fs::remove_dir_all(folder.path("aside")).expect("removed");
    let server = start_unable(&folder);
    server.send_sigterm();
    eventually("it says why", BOUND, || said_that_it_cannot_end(&server) > 0);
    server.send_sigterm();
    assert_eq!(server.wait_for_exit().code(), Some(1), "a second signal ends it without");
}

/// Collects the strings and lists of a snapshot.
struct Collector<'k> {
    strings: &'k Mutex<HashMap<String, String>>,
    lists: &'k Mutex<HashMap<String, Vec<String>>>,
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Receiver for Collector<'_> {
    fn take(&mut self, frame: &Frame<'_>) -> Result<(), String> {
        for part in frame.parts() {
            assert_eq!(frame.place(), Extent::Whole, "the keys are small");
            let name = text(part.head.name);
            if part.head.kind == Kind::String {
                self.strings.lock().expect("no panic").insert(name, text(part.bytes()));
            } else {
                self.lists.lock().expect("no panic").insert(name, part.items().map(text).collect());
            }
        }
        Ok(())
    }
}

/// What a snapshot has: its strings and its lists.
fn read(path: &Path) -> (HashMap<String, String>, HashMap<String, Vec<String>>) {
    let (strings, lists) = (Mutex::default(), Mutex::default());
    let collector = || Collector { strings: &strings, lists: &lists };
    load(path, 2, collector, &LoadProgress::default(), &Clock::system()).expect("a snapshot that loads");
    (strings.into_inner().expect("no panic"), lists.into_inner().expect("no panic"))
}

const CLIENTS: u64 = 8;
const ACCOUNTS: u64 = 60;
const LISTS: u64 = 6;
const ITEMS: u64 = 500;

fn account(number: u64) -> String {
    format!("bank{}/account{number}", number % 5)
}

/// One client's work: transfers, moves between lists, and a pair of counters that only grow.
fn transfer(server: &Server, number: u64, seed: u64, acknowledged: &AtomicU64, ends: &AtomicBool) {
    let mut random = seed::generator(seed, number);
    let mut client = server.client();
    for count in 1.. {
        if ends.load(Ordering::Relaxed) {
            return;
        }
        let (from, to) = (random.random_range(0..ACCOUNTS), random.random_range(0..ACCOUNTS));
        let amount = random.random_range(1..100).to_string();
        let (one, other) = (random.random_range(0..LISTS), random.random_range(0..LISTS));
        let commands = [
            cmd!["SET", format!("counter/{number}"), count.to_string()],
            cmd!["SET", format!("echo/{number}"), count.to_string()],
            cmd!["MULTI"],
            cmd!["DECRBY", account(from), amount],
            cmd!["INCRBY", account(to), amount],
            cmd!["EXEC"],
            cmd!["LMOVE", format!("list{one}"), format!("list{other}"), "LEFT", "RIGHT"],
        ];
        for reply in client.pipeline(&commands) {
            assert!(!reply.is_error(), "{reply:?}");
        }
        acknowledged.store(count, Ordering::SeqCst);
    }
}

#[test]
fn every_snapshot_is_of_one_moment() {
    let seed = seed::seed();
    let rounds = seed::setting("KVNS_SNAPSHOT_ROUNDS").unwrap_or(12);
    let folder = Folder::new("moment");
    let path = folder.path("kvns.snapshot");
    let server = start(&path);
    let mut client = server.client();
    for number in 0..ACCOUNTS {
        client.command(&cmd!["SET", account(number), "1000"]);
    }
    for item in 0..ITEMS {
        client.command(&cmd!["RPUSH", format!("list{}", item % LISTS), item.to_string()]);
    }
    // Enough other keys for a snapshot to take a while.
    for from in (0..30_000).step_by(500) {
        let fill: Vec<_> =
            (from..from + 500).map(|key| cmd!["SET", format!("fill/{key}"), "x".repeat(200)]).collect();
        client.pipeline(&fill);
    }
    let acknowledged: Vec<AtomicU64> = (0..CLIENTS).map(|_| AtomicU64::new(0)).collect();
    let ends = AtomicBool::new(false);
    let counts = || acknowledged.iter().map(|count| count.load(Ordering::SeqCst)).collect::<Vec<u64>>();
    std::thread::scope(|scope| {
        for (number, acknowledged) in acknowledged.iter().enumerate() {
            let (server, ends) = (&server, &ends);
            scope.spawn(move || transfer(server, number as u64, seed, acknowledged, ends));
        }
        let stop = StopAtEnd(&ends);
        for _ in 0..rounds {
            let before = counts();
            assert_eq!(client.run("SAVE"), Value::ok());
            let after = counts();
            let (strings, lists) = read(Path::new(&path));
            let number =
                |name: &str| strings.get(name).map_or(0, |value| value.parse::<i64>().expect("a number"));
            let sum: i64 = (0..ACCOUNTS).map(|account_number| number(&account(account_number))).sum();
            assert_eq!(sum, 1000 * ACCOUNTS as i64, "no transfer is torn");
            let mut items: Vec<u64> =
                lists.values().flatten().map(|item| item.parse().expect("a number")).collect();
            items.sort_unstable();
            assert_eq!(items, (0..ITEMS).collect::<Vec<u64>>(), "no move is torn");
            for (client, (before, after)) in before.into_iter().zip(after).enumerate() {
                let counter = number(&format!("counter/{client}")) as u64;
                let echo = number(&format!("echo/{client}")) as u64;
                assert!(counter == echo || counter == echo + 1, "a prefix of the writes: {counter}, {echo}");
                assert!(echo >= before, "what was acknowledged before is in: {echo}, {before}");
                assert!(counter <= after + 2, "nothing of after the snapshot: {counter}, {after}");
            }
            assert_eq!(strings.keys().filter(|name| name.starts_with("fill/")).count(), 30_000);
        }
        drop(stop);
    });
    assert!(counts().iter().all(|count| *count > 10), "{:?}", counts());
}

/// Ends the others however a test ends.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Kills a server at a random instant while it writes and takes snapshots back to back. The next one loads what the
/// last snapshot that was acknowledged has, or a later one.
#[test]
fn a_kill_at_any_instant_leaves_a_whole_snapshot() {
    let seed = seed::seed();
    let mut random = seed::generator(seed, 0);
    let rounds = seed::setting("KVNS_CRASH_ROUNDS").unwrap_or(12);
    let folder = Folder::new("crash");
    let path = folder.path("kvns.snapshot");
    let mut least = 0;
    for round in 0..rounds {
        let server = start(&path);
        let mut client = server.client();
        let values = client.run("MGET twin ns/twin");
        let twins: Vec<Option<u64>> = values
            .elements()
            .iter()
            .map(|value| (!value.is_null()).then(|| value.integer() as u64))
            .collect();
        assert_eq!(twins[0], twins[1], "a snapshot of one moment");
        let mut count = twins[0].unwrap_or(0);
        assert!(count >= least, "round {round}: {count} of {least} acknowledged");
        assert!(client.run("DBSIZE").integer() >= if count == 0 { 0 } else { 502 });
        let end = Instant::now() + Duration::from_millis(random.random_range(5..400));
        let saver = std::thread::scope(|scope| {
            let saver = scope.spawn(|| save_until_killed(&server));
            while Instant::now() < end {
                count += 1;
                let mut twins = cmd!["MSET", "twin", count.to_string(), "ns/twin", count.to_string()];
                if count == 1 {
                    (0..500).for_each(|key| twins.extend([format!("k{key}").into(), "x".repeat(300).into()]));
                }
                let key = format!("k{}", random.random_range(0..2_000));
                client.pipeline(&[twins, cmd!["SET", key, count.to_string().repeat(50)]]);
            }
            // The saver still runs: it ends with its connection.
            Process::new("kill").args(["-9", &server.pid().to_string()]).status().expect("kill");
            saver.join().expect("no panic")
        });
        server.kill();
        least = saver.max(least);
    }
}

/// Takes snapshots until the server is gone. Returns the count that the last good one must have.
fn save_until_killed(server: &Server) -> u64 {
    let mut client = server.client();
    let mut least = 0;
    let mut ask = |command: &[Vec<u8>]| -> Option<Value> {
        let mut bytes = Vec::new();
        support::resp::encode(command, &mut bytes);
        std::io::Write::write_all(&mut client.stream(), &bytes).ok()?;
        client.try_receive_raw().ok().map(|(value, _)| value)
    };
    loop {
        let Some(count) = ask(&cmd!["GET", "twin"]) else { return least };
        let count = if count.is_null() { 0 } else { count.integer() as u64 };
        match ask(&cmd!["SAVE"]) {
            Some(reply) => assert_eq!(reply, Value::ok()),
            None => return least,
        }
        least = count;
    }
}

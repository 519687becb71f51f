//! SAVE, BGSAVE, LASTSAVE, SHUTDOWN and what commands answer while a snapshot is loaded. `tests/snapshots.rs` has the
//! files themselves.

use crate::harness::{START_MS, Server};
use kvns::command::context::Outcome;
use kvns::config::Settings;
use kvns::engine::Engine;
use kvns::wait::Wait;
use std::path::PathBuf;
use std::sync::Arc;

const OFF: &str = "-ERR snapshots are off: KVNS_PERSIST_PATH is not set";
const IN_PROGRESS: &str = "-ERR Background save already in progress";
const LOADING: &str = "-LOADING Redis is loading the dataset in memory";

/// A file that is removed at the end of its test.
struct File(PathBuf);

impl File {
    fn new(name: &str) -> File {
        File(std::env::temp_dir().join(format!("kvns-commands-{}-{name}", std::process::id())))
    }

    fn server(&self) -> Server {
        Server::with(Settings { persist_path: Some(self.0.clone()), ..Settings::default() })
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The thread that takes snapshots; it ends with its test.
struct Snapshots(Arc<Engine>, Option<std::thread::JoinHandle<()>>);

impl Snapshots {
    fn start(engine: &Arc<Engine>) -> Snapshots {
        let own = Arc::clone(engine);
        Snapshots(Arc::clone(engine), Some(std::thread::spawn(move || own.take_snapshots())))
    }

    fn wait(&self, number: u64) {
        while self.0.persistence.result(number).is_none() {
            std::thread::yield_now();
        }
    }
}

impl Drop for Snapshots {
    fn drop(&mut self) {
        self.0.persistence.stop();
        self.1.take().expect("a thread").join().expect("no panic");
    }
}

fn assert_info(server: &Server, fields: &[&str]) {
    let text = server.client().run("INFO persistence");
    for field in fields {
        assert!(text.lines().any(|line| line == *field), "no {field} in {text}");
    }
}

#[test]
fn without_a_file_saving_is_refused_by_name() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[("SAVE", OFF), ("BGSAVE", OFF), ("BGSAVE SCHEDULE", OFF), ("SHUTDOWN SAVE", OFF)]);
    c.check_all(&[("BGSAVE foo", "-ERR syntax error"), ("BGSAVE SCHEDULE foo", "-ERR syntax error")]);
    c.check("LASTSAVE", &format!(":{}", START_MS / 1000));
    c.check("CONFIG GET dir", "*2\n$3\ndir\n$0\n");
    c.check("CONFIG GET dbfilename", "*2\n$10\ndbfilename\n$0\n");
    c.check_all(&[("MULTI", "+OK"), ("SAVE", "-ERR Command not allowed inside a transaction")]);
    c.check("DISCARD", "+OK");
    assert_info(&server, &["snapshot_enabled:0", "rdb_last_bgsave_status:ok", "rdb_last_bgsave_time_sec:-1"]);
    assert_eq!(c.dispatch(&[b"SHUTDOWN"]).1, Outcome::Shutdown);
}

#[test]
fn a_snapshot_at_a_time_and_only_its_client_waits() {
    let file = File::new("one-at-a-time");
    let server = file.server();
    let (mut saver, mut other) = (server.client(), server.client());
    other.check_all(&[("SET a 1", "+OK"), ("HSET ns/h f v", ":1")]);
    let name = file.0.file_name().and_then(|name| name.to_str()).expect("text");
    other.check("CONFIG GET dbfilename", &format!("*2\n$10\ndbfilename\n${}\n{name}", name.len()));
    assert_info(&server, &["rdb_changes_since_last_save:2", "snapshot_enabled:1"]);
    let (_, outcome) = saver.dispatch(&[b"SAVE"]);
    let Outcome::Wait(Wait::Snapshot(number)) = outcome else { panic!("{outcome:?}") };
    other.check_all(&[("SAVE", IN_PROGRESS), ("BGSAVE", IN_PROGRESS), ("SET a 2", "+OK")]);
    assert_info(&server, &["rdb_bgsave_in_progress:1"]);
    server.clock.advance(5_000);
    let snapshots = Snapshots::start(&server.engine);
    snapshots.wait(number);
    saver.check("SAVE", "+OK");
    other.check("LASTSAVE", &format!(":{}", START_MS / 1000 + 5));
    let saved =
        ["rdb_changes_since_last_save:0", "rdb_saves:1", "rdb_bgsave_in_progress:0", "snapshot_last_keys:2"];
    assert_info(&server, &saved);
    other.check("BGSAVE", "+Background saving started");
    snapshots.wait(number + 1);
    other.check_all(&[("MULTI", "+OK"), ("BGSAVE SCHEDULE", "+QUEUED")]);
    other.check("EXEC", "*1\n+Background saving scheduled");
    snapshots.wait(number + 2);
    let (_, outcome) = saver.dispatch(&[b"SHUTDOWN"]);
    assert_eq!(outcome, Outcome::Wait(Wait::Snapshot(number + 3)));
    snapshots.wait(number + 3);
    assert_eq!(saver.dispatch(&[b"SHUTDOWN"]).1, Outcome::Shutdown);
    assert_info(&server, &["rdb_saves:4"]);
}

#[test]
fn commands_wait_for_the_load_with_an_error() {
    let file = File::new("loading");
    let first = file.server();
    first.client().check_all(&[("SET a 1", "+OK"), ("SET t x PX 100", "+OK"), ("RPUSH l 1 2", ":2")]);
    let snapshots = Snapshots::start(&first.engine);
    snapshots.wait(first.engine.begin_snapshot().expect("a file"));
    drop(snapshots);

    let server = file.server();
    server.clock.advance(1_000);
    server.engine.expect_load();
    let mut c = server.client();
    c.check_all(&[("GET a", LOADING), ("PING", LOADING), ("SAVE", LOADING), ("DBSIZE", LOADING)]);
    c.check_all(&[("MULTI", "+OK"), ("GET a", LOADING)]);
    c.check("EXEC", "-EXECABORT Transaction discarded because of previous errors.");
    c.check("LASTSAVE", &format!(":{}", START_MS / 1000));
    assert_info(&server, &["loading:1", "loading_loaded_bytes:0"]);
    assert!(!server.engine.is_ready());
    server.engine.load_snapshot().expect("a snapshot");
    assert!(server.engine.is_ready());
    c.check_all(&[("GET a", "$1\n1"), ("EXISTS t", ":0"), ("LRANGE l 0 -1", "*2\n$1\n1\n$1\n2")]);
    let fields = ["loading:0", "rdb_last_load_keys_loaded:2", "rdb_last_load_keys_expired:1"];
    assert_info(&server, &fields);
    assert_info(&server, &["rdb_changes_since_last_save:0"]);
}

#[test]
fn the_schedule_is_a_setting() {
    let file = File::new("schedule");
    let server = file.server();
    let mut c = server.client();
    c.check("CONFIG GET save", "*2\n$4\nsave\n$5\n300 1");
    c.check_all(&[("CONFIG SET save \"60 1\"", "+OK"), ("CONFIG GET save", "*2\n$4\nsave\n$4\n60 1")]);
    c.check_all(&[("CONFIG SET save \"\"", "+OK"), ("CONFIG GET save", "*2\n$4\nsave\n$0\n")]);
    c.check("CONFIG SET persist-interval 7", "+OK");
    c.check("CONFIG GET persist-interval", "*2\n$16\npersist-interval\n$1\n7");
    for bad in ["60", "\"60 100\"", "\"60 1 300 1\"", "\"0 1\"", "\"x 1\""] {
        assert!(c.run(&format!("CONFIG SET save {bad}")).starts_with("-ERR CONFIG SET failed"), "{bad}");
    }
}

#[test]
fn a_reload_that_fails_serves_no_part_of_the_keys_and_leaves_the_file_alone() {
    let file = File::new("reload-fails");
    let server = file.server();
    let engine = Arc::clone(&server.engine);
    let snapshots = Snapshots::start(&engine);
    server.client().check("SET a 1", "+OK");
    // As a shutdown does that comes while the keys are loaded again.
    engine.persistence.stop_loading();
    let number = engine.queue_reload().expect("a file");
    snapshots.wait(number);
    assert!(engine.persistence.result(number).is_some_and(|result| result.is_err()));
    assert!(!engine.is_ready());
    server.client().check("GET a", LOADING);
    assert_eq!(engine.take_last_snapshot(), Ok(()));
    drop(snapshots);
    let restarted = file.server();
    restarted.engine.load_snapshot().expect("the snapshot of before the reload");
    restarted.client().check("GET a", "$1\n1");
}

#[test]
fn a_save_that_is_refused_while_it_waits_leaves_nothing_to_the_next_one() {
    let file = File::new("refused-save");
    let server = file.server();
    let mut c = server.client();
    c.check("SET a 1", "+OK");
    let (_, outcome) = c.dispatch(&[b"SAVE"]);
    let Outcome::Wait(Wait::Snapshot(number)) = outcome else { panic!("{outcome:?}") };
    let snapshots = Snapshots::start(&server.engine);
    snapshots.wait(number);
    // As a reload does that was asked for meanwhile.
    server.engine.expect_load();
    c.check("SAVE", LOADING);
    server.engine.load_snapshot().expect("a snapshot");
    assert_eq!(c.dispatch(&[b"SAVE"]).1, Outcome::Wait(Wait::Snapshot(number + 1)));
    snapshots.wait(number + 1);
    c.check("SAVE", "+OK");
}

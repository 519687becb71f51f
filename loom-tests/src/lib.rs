//! Loom models of the kvns concurrency protocols; see `tests/`.
//!
//! A model is a body that loom runs once for every interleaving (and, where the orderings allow them, every stale
//! read) within a bound of preemptions. A model proves nothing if loom tries too little, so each asserts a
//! minimum of executions; and nothing if it would not see a mistake, so each has *twins*: the same body with
//! known mistakes seeded in the real code ([`kvns::sync::Bug`]), which must fail.
//!
//! A twin runs in a process of its own: a panic inside a model leaves loom's threads half-way, and unwinding
//! them is not worth the trouble.

#![cfg(kvns_loom)]

use kvns::concurrent::epoch::reclaim::sim;
use kvns::sync::{Bug, Loads, seed};
use std::cell::Cell;
use std::io::Write;
use std::process::Command;
use std::sync::Arc;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// What loom says when a model is too long for it, which is no finding.
const TOO_LONG: &str = "Model exceeded maximum number of branches";
const TWIN: &str = "KVNS_LOOM_TWIN";
/// Set where the sources have a mistake already, and only the model itself is to find it: no twins, and no minimum.
const NO_TWINS: &str = "KVNS_LOOM_NO_TWINS";
const FAILED: i32 = 101;
/// The stack of a model's body, in words.
const STACK: usize = 1 << 15;

/// How a model is explored, and with which mistakes it has to fail.
#[derive(Clone, Copy, Debug)]
pub struct Model {
    /// The test's own name, by which its twins are started.
    pub name: &'static str,
    /// Preemptions in one execution; `LOOM_MAX_PREEMPTIONS` overrides it, but for twins.
    pub preemptions: usize,
    /// What loads are.
    pub loads: Loads,
    /// Executions that loom has to try at least.
    pub at_least: usize,
    /// The twins: mistakes that are seeded together, and a part of the message with which the model then fails.
    pub twins: &'static [Twin],
}

/// Mistakes that are seeded together, and a part of the message with which the model then fails.
pub type Twin = (&'static [Bug], &'static str);

impl Model {
    /// Runs the model, then its twins.
    pub fn check(self, body: fn()) {
        if let Ok(twin) = std::env::var(TWIN) {
            let at: usize = twin.parse().expect("a twin is started by its number");
            self.explore(self.twins[at].0, self.preemptions, body);
            return;
        }
        let preemptions = std::env::var("LOOM_MAX_PREEMPTIONS").ok().and_then(|bound| bound.parse().ok());
        let start = Instant::now();
        let tried = self.explore(&[], preemptions.unwrap_or(self.preemptions), body);
        report(&format!("{}: {tried} executions in {:.1?}", self.name, start.elapsed()));
        if std::env::var_os(NO_TWINS).is_some() {
            return;
        }
        if preemptions.is_none() {
            assert!(tried >= self.at_least, "only {tried} executions, {} expected", self.at_least);
        }
        for (at, (bugs, message)) in self.twins.iter().enumerate() {
            let start = Instant::now();
            self.check_twin(at, message);
            report(&format!(
                "{} with {bugs:?}: fails as it should, after {:.1?}",
                self.name,
                start.elapsed()
            ));
        }
    }

    fn check_twin(&self, at: usize, message: &str) {
        let bugs = self.twins[at].0;
        let binary = std::env::current_exe().expect("a test knows its binary");
        let output = Command::new(binary)
            .args([self.name, "--exact", "--nocapture"])
            .env(TWIN, at.to_string())
            .env_remove("LOOM_MAX_PREEMPTIONS")
            .output()
            .expect("a twin can be started");
        let said = String::from_utf8_lossy(&output.stderr);
        let fails =
            output.status.code() == Some(FAILED) && said.contains(message) && !said.contains(TOO_LONG);
        let said_out = String::from_utf8_lossy(&output.stdout);
        assert!(fails, "{} with {bugs:?} does not fail with {message:?}: {said}{said_out}", self.name);
    }

    /// Explores the model; the process ends if it fails. Returns the number of executions.
    fn explore(&self, bugs: &'static [Bug], preemptions: usize, body: fn()) -> usize {
        end_process_on_panic();
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(preemptions);
        builder.max_branches = 20_000;
        let tried = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&tried);
        seed(bugs, self.loads);
        EXPLORING.set(true);
        builder.check(move || {
            count.fetch_add(1, Ordering::Relaxed);
            sim::begin();
            // loom's first thread has a small stack.
            let main = loom::thread::Builder::new().stack_size(STACK).spawn(body);
            main.expect("there is room for a thread").join().expect("a failure ends the process");
            sim::end();
        });
        EXPLORING.set(false);
        tried.load(Ordering::Relaxed)
    }
}

thread_local! {
    static EXPLORING: Cell<bool> = const { Cell::new(false) };
}

/// Makes the first panic of a model the end of the process, with its message.
fn end_process_on_panic() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let otherwise = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !EXPLORING.get() {
                return otherwise(info);
            }
            let trace = std::backtrace::Backtrace::capture();
            let _ = writeln!(std::io::stderr(), "a model failed: {info}\n{trace}");
            std::process::exit(FAILED);
        }));
    });
}

fn report(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Declares a test: a model with its name, its bounds, its twins and its body.
#[macro_export]
macro_rules! model {
    ($(#[$doc:meta])* $name:ident, $preemptions:literal, $loads:ident, $at_least:literal, $twins:expr, $body:expr) => {
        $(#[$doc])*
        #[test]
        fn $name() {
            $crate::Model {
                name: stringify!($name),
                preemptions: $preemptions,
                loads: kvns::sync::Loads::$loads,
                at_least: $at_least,
                twins: $twins,
            }
            .check($body);
        }
    };
}

use kvns::concurrent::epoch::reclaim::pin;
use kvns::concurrent::versions::cell::Cell as VersionCell;
use kvns::concurrent::versions::version::{Version, VersionBox};
use kvns::value::string::Str;

/// The integer that a version holds.
pub fn value(version: &Version) -> i64 {
    match version.string() {
        Some(Str::Int(value)) => value,
        other => panic!("{other:?} is no integer"),
    }
}

/// The version that follows `base` with another value.
pub fn next(base: &Version, value: i64) -> VersionBox {
    let mut version = VersionBox::integer(value, None);
    version.set_seq(base.seq() + 1);
    version.set_stamp(base.stamp());
    version
}

/// Cells that hold these integers, in the order of their addresses.
pub fn cells(values: &[i64]) -> Arc<[VersionCell]> {
    let cells: Arc<[VersionCell]> = values.iter().map(|_| VersionCell::default()).collect();
    for (cell, value) in cells.iter().zip(values) {
        set(cell, *value);
    }
    cells
}

/// Puts a value into a cell, whatever is there.
pub fn set(cell: &VersionCell, value: i64) {
    change(cell, |_| value);
}

/// Adds one to a cell.
pub fn add_one(cell: &VersionCell) {
    change(cell, |before| before + 1);
}

fn change(cell: &VersionCell, to: impl Fn(i64) -> i64) {
    let guard = pin();
    loop {
        let base = cell.settle(&guard);
        let before = base.string().map_or(0, |_| value(base));
        if cell.replace(base, next(base, to(before)).into(), None, &guard).is_ok() {
            return;
        }
    }
}

use kvns::clock::Clock;
use kvns::keyspace::{Keyspace, KeyspaceError, View};
use kvns::wait::Wait;
use loom::thread;

/// What a command in a model comes to.
pub type Outcome<R> = Result<R, KeyspaceError>;

/// An empty keyspace with a clock that stands still.
pub fn keyspace() -> Arc<Keyspace> {
    Arc::new(Keyspace::new(Clock::manual(1_000)))
}

/// One command in a batch of its own.
pub fn run<R>(keyspace: &Keyspace, command: impl FnOnce(&mut View<'_>) -> Outcome<R>) -> R {
    let mut batch = keyspace.enter();
    let mut view = batch.view();
    match command(&mut view) {
        Ok(result) => result,
        Err(KeyspaceError::Wait(Wait::Alone)) => panic!("it lost too often"),
        Err(error) => panic!("{error:?}"),
    }
}

/// One command in a thread of its own.
pub fn spawn<R: 'static>(
    keyspace: &Arc<Keyspace>,
    command: impl FnOnce(&mut View<'_>) -> Outcome<R> + 'static,
) -> thread::JoinHandle<R> {
    let keyspace = Arc::clone(keyspace);
    thread::spawn(move || run(&keyspace, command))
}

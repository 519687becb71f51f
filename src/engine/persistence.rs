//! Snapshots of the running server: when they are taken, what became of them, and the load at the start.
//!
//! One thread takes them, one after the other ([`Engine::take_snapshots`]). Whoever wants one asks for it and gets
//! its number; when a snapshot of that number or a later one has ended, the asker finds its result. Nobody else ever
//! waits for a snapshot.

use super::Engine;
use crate::clock::Clock;
use crate::concurrent::counters::counter::{Flag, Latest};
use crate::concurrent::epoch::reclaim::Grace;
use crate::keyspace::{RestoreTally, SnapshotControl};
use crate::snapshot::{FileSink, Head, Home, LoadProgress, NotLocked, Refused, Sink};
use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Snapshots whose results are kept for those who asked.
const RESULTS: usize = 64;

/// How long the thread sleeps at most before it looks at the clock again.
const LOOK_EVERY_US: u64 = 1_000_000;

/// Microseconds between two lines about the progress.
const REPORT_EVERY_US: u64 = 2_000_000;

/// Why a snapshot cannot be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSnapshot {
    /// There is no file to write to.
    Off,
    /// One is being taken.
    InProgress,
}

/// What a snapshot came to: why it failed, if it did.
pub type SnapshotResult = Result<(), String>;

/// The state of snapshots. Its mutex is held for a few words at a time, never while a snapshot is taken.
#[derive(Debug)]
pub struct Persistence {
    state: Mutex<State>,
    changed: Condvar,
    /// The snapshot's path, once this server has tried to lock it. Nobody who serves clients waits for its mutex.
    home: Mutex<Option<Home>>,
    loading: Flag,
    /// How far the load has come.
    pub load_progress: LoadProgress,
    /// The totals of the loads.
    pub load_tally: RestoreTally,
    /// When the load began: Unix time in seconds.
    pub load_started_s: Latest,
    /// The same by the monotonic clock, in microseconds.
    pub load_started_us: Latest,
}

#[derive(Debug, Default)]
struct State {
    /// Number of the last snapshot that was asked for.
    asked: u64,
    /// Number of the last one that has ended.
    ended: u64,
    /// What the next one is to do beside being taken.
    reloads: bool,
    running: Option<Running>,
    results: VecDeque<(u64, SnapshotResult)>,
    /// When the last one was begun: microseconds of the monotonic clock.
    begun_us: u64,
    /// The keyspace's count of changes that the file has.
    saved_changes: Option<u64>,
    figures: Figures,
    is_stopping: bool,
}

#[derive(Clone, Debug)]
struct Running {
    begun_us: u64,
    control: Arc<SnapshotControl>,
}

/// The figures of the snapshots so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// When the last good one was complete: Unix time in seconds; at first when the server was started.
    pub last_save_s: u64,
    /// The same by the monotonic clock, in microseconds.
    pub last_save_us: u64,
    /// Why the last one failed, if it did.
    pub last_error: Option<String>,
    /// How long the last one took.
    pub last_duration_us: Option<u64>,
    /// Bytes of the last good one's file.
    pub last_bytes: u64,
    /// Keys in the last good one; one that is there twice counts twice.
    pub last_keys: u64,
    /// The most bytes that were kept for the last one.
    pub last_retained_peak: u64,
    /// Good ones.
    pub saves: u64,
    /// Those that failed.
    pub failures: u64,
    /// Changes since the last good one began.
    pub changes: u64,
    /// The one that is being taken, from the moment it was asked for.
    pub running: Option<RunningFigures>,
}

/// What there is to tell of a snapshot that is being taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunningFigures {
    /// How long it has been running.
    pub duration_us: u64,
    /// Keys written.
    pub keys: u64,
    /// Keys that were there when it began.
    pub keys_total: u64,
    /// Bytes that are kept for it now.
    pub retained: u64,
}

impl Persistence {
    pub(super) fn new(clock: &Clock) -> Persistence {
        let begun_us = clock.monotonic_us();
        let figures =
            Figures { last_save_s: clock.unix_ms() / 1000, last_save_us: begun_us, ..Figures::default() };
        Persistence {
            state: Mutex::new(State { figures, begun_us, ..State::default() }),
            changed: Condvar::new(),
            home: Mutex::default(),
            loading: Flag::default(),
            load_progress: LoadProgress::default(),
            load_tally: RestoreTally::default(),
            load_started_s: Latest::default(),
            load_started_us: Latest::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change of the state is whole before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True while commands that need the keys have to wait for a load. One load.
    #[inline]
    pub fn is_loading(&self) -> bool {
        self.loading.is_raised()
    }

    /// Lets the thread look at the settings and the clock again.
    pub(super) fn notice(&self) {
        // A thread that has just looked and is about to wait must be woken too.
        drop(self.state());
        self.changed.notify_all();
    }

    /// The result of the snapshot of this number; `None` while it is not taken.
    pub fn result(&self, number: u64) -> Option<SnapshotResult> {
        self.state().result(number)
    }

    /// Gives up the snapshot that is being taken.
    pub(super) fn cancel(&self) {
        self.state().cancel();
    }

    /// Ends a load that is going on.
    pub fn stop_loading(&self) {
        self.load_progress.cancelled.raise();
    }

    /// Lets loads be taken up again.
    pub fn allow_loading(&self) {
        self.load_progress.cancelled.lower();
    }

    /// Ends the thread, and what it is at.
    pub fn stop(&self) {
        let mut state = self.state();
        state.is_stopping = true;
        state.cancel();
        drop(state);
        self.changed.notify_all();
    }

    /// Does something with the place that the path `given` leads to.
    fn with_home<R>(&self, given: &Path, act: impl FnOnce(&mut Home) -> R) -> R {
        // Each change of it is whole.
        let mut home = self.home.lock().unwrap_or_else(PoisonError::into_inner);
        act(home.get_or_insert_with(|| Home::new(given)))
    }

    /// Locks the path, unless it is locked already. Returns where it leads to.
    fn lock(&self, given: &Path) -> (PathBuf, Result<(), NotLocked>) {
        self.with_home(given, |home| {
            let locked = home.lock();
            (home.path().to_owned(), locked)
        })
    }

    /// Waits until a snapshot of this number or a later one has ended.
    pub(super) fn wait(&self, number: u64) -> SnapshotResult {
        let mut state = self.state();
        loop {
            if let Some(outcome) = state.result(number) {
                return outcome;
            }
            if state.is_stopping {
                return Err("the server ends".to_owned());
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until another snapshot succeeds or `is_over`, but not for longer than `bound`.
    pub(super) fn wait_for_save(&self, bound: Duration, is_over: impl Fn() -> bool) {
        let state = self.state();
        let saves = state.figures.saves;
        let goes_on = |state: &mut State| state.figures.saves == saves && !state.is_stopping && !is_over();
        drop(self.changed.wait_timeout_while(state, bound, goes_on).unwrap_or_else(PoisonError::into_inner));
    }
}

impl State {
    fn result(&self, number: u64) -> Option<SnapshotResult> {
        let found = self.results.iter().find(|(ended, _)| *ended >= number);
        found.map(|(_, outcome)| outcome.clone())
    }

    fn cancel(&self) {
        if let Some(running) = &self.running {
            running.control.cancel();
        }
    }

    /// Asks for one that has not begun, and returns its number.
    fn ask(&mut self) -> u64 {
        let number = self.ended + 1 + u64::from(self.running.is_some());
        self.asked = self.asked.max(number);
        number
    }
}

impl Engine {
    /// Asks for a snapshot now. Returns its number.
    ///
    /// # Errors
    /// There is no file for one, or it can't begin now.
    pub fn begin_snapshot(&self) -> Result<u64, NoSnapshot> {
        self.ask_for_snapshot(|state| if state.asked > state.ended { None } else { Some(state.ask()) })
    }

    /// Asks for a snapshot that begins after this call. Returns its number.
    ///
    /// # Errors
    /// There is no file for one.
    pub fn queue_snapshot(&self) -> Result<u64, NoSnapshot> {
        self.ask_for_snapshot(|state| Some(state.ask()))
    }

    /// Asks for a snapshot whose keys then replace those in memory, as DEBUG RELOAD does. Returns its number.
    ///
    /// # Errors
    /// There is no file for one.
    pub fn queue_reload(&self) -> Result<u64, NoSnapshot> {
        self.ask_for_snapshot(|state| {
            state.reloads = true;
            Some(state.ask())
        })
    }

    fn ask_for_snapshot(&self, ask: impl FnOnce(&mut State) -> Option<u64>) -> Result<u64, NoSnapshot> {
        if self.settings.load().persist_path.is_none() {
            return Err(NoSnapshot::Off);
        }
        let number = ask(&mut self.persistence.state()).ok_or(NoSnapshot::InProgress)?;
        self.persistence.notice();
        Ok(number)
    }

    /// The figures of the snapshots so far. O(1).
    pub fn snapshot_figures(&self) -> Figures {
        let state = self.persistence.state();
        let now_us = self.clock.monotonic_us();
        let running = state.running.as_ref().map(|running| RunningFigures {
            duration_us: now_us.saturating_sub(running.begun_us),
            keys: running.control.keys(),
            keys_total: running.control.keys_total(),
            retained: self.keyspace.retained().0,
        });
        // So the client that asked does not see how long the thread takes to wake up.
        let running = running.or_else(|| (state.asked > state.ended).then(RunningFigures::default));
        let changes = self.totals().changes.saturating_sub(state.saved_changes.unwrap_or(0));
        Figures { running, changes, ..state.figures.clone() }
    }

    /// Takes the snapshots that are asked for and those that are due, until [`Persistence::stop`]. For one thread.
    pub fn take_snapshots(&self) {
        while let Some((number, reloads, control)) = self.next_snapshot() {
            let persistence = &self.persistence;
            if reloads {
                persistence.loading.raise();
                // A command that has passed the gate may still write what the reload would then drop.
                Grace::start().wait();
            }
            let begun_us = self.clock.monotonic_us();
            let taken = catch_unwind(AssertUnwindSafe(|| self.take_snapshot(&control)));
            let taken = taken.unwrap_or_else(|_| Err("its thread panicked; the log says where".to_owned()));
            let mut outcome = self.note_snapshot(taken, begun_us);
            if reloads {
                let is_saved = outcome.is_ok();
                outcome = outcome.and_then(|()| self.reload());
                if is_saved && let Err(error) = &outcome {
                    // What is there is a part of the keys, and the file has them all: the one is neither served nor
                    // written over the other.
                    tracing::error!("{error}; commands are refused until the server is started again");
                } else {
                    persistence.loading.lower();
                }
            }
            let mut state = persistence.state();
            state.running = None;
            state.ended = number;
            state.results.push_back((number, outcome));
            if state.results.len() > RESULTS {
                state.results.pop_front();
            }
            drop(state);
            persistence.changed.notify_all();
            self.clients.wake_all();
        }
    }

    /// Waits for the next snapshot: its number, whether it is for a reload, and what controls it. `None` at the end.
    fn next_snapshot(&self) -> Option<(u64, bool, Arc<SnapshotControl>)> {
        let persistence = &self.persistence;
        let mut state = persistence.state();
        loop {
            if state.is_stopping {
                return None;
            }
            let settings = self.settings.load();
            let now_us = self.clock.monotonic_us();
            let has_schedule = settings.persist_path.is_some() && settings.persist_interval_s > 0;
            let wait_us = if has_schedule && !persistence.is_loading() {
                let interval_us = settings.persist_interval_s.saturating_mul(1_000_000);
                state.begun_us.saturating_add(interval_us).saturating_sub(now_us)
            } else {
                LOOK_EVERY_US
            };
            if wait_us == 0 {
                state.begun_us = now_us;
                if state.saved_changes != Some(self.totals().changes) {
                    state.ask();
                }
            }
            if state.asked > state.ended {
                let control = Arc::new(SnapshotControl::new(settings.snapshot_retain_limit));
                state.begun_us = now_us;
                state.running = Some(Running { begun_us: now_us, control: Arc::clone(&control) });
                return Some((state.ended + 1, std::mem::take(&mut state.reloads), control));
            }
            let pause = Duration::from_micros(wait_us.clamp(1, LOOK_EVERY_US));
            state = persistence.changed.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn take_snapshot(&self, control: &SnapshotControl) -> Result<Taken, String> {
        let settings = self.settings.load_full();
        let given = settings.persist_path.as_deref().ok_or("KVNS_PERSIST_PATH is not set")?;
        let (path, locked) = self.persistence.lock(given);
        if let Err(refused @ NotLocked::Held(_)) = locked {
            return Err(format!("cannot write {}: {refused}", path.display()));
        }
        // What keeps a lock from being made either keeps the file from being written, or there are no locks.
        let path = &*path;
        let failed = |error: &dyn std::fmt::Display| format!("cannot write {}: {error}", path.display());
        let changes = self.totals().changes;
        let sink = FileSink::create(path, self.clock.unix_ms()).map_err(|error| failed(&error))?;
        let report_us = self.clock.monotonic_us() + REPORT_EVERY_US;
        let mut reporting = Reporting { sink, control, clock: &self.clock, report_us };
        let retained_peak = self.walk(&mut reporting, control).map_err(|error| failed(&error))?;
        let saved = reporting.sink.finish(path).map_err(|error| failed(&error))?;
        Ok(Taken { changes, keys: saved.keys, bytes: saved.bytes, retained_peak })
    }

    /// Notes what a snapshot came to that was begun at these microseconds of the monotonic clock.
    fn note_snapshot(&self, taken: Result<Taken, String>, begun_us: u64) -> SnapshotResult {
        let now_us = self.clock.monotonic_us();
        let duration_us = now_us.saturating_sub(begun_us);
        let mut state = self.persistence.state();
        let figures = &mut state.figures;
        figures.last_duration_us = Some(duration_us);
        match taken {
            Ok(Taken { changes, keys, bytes, retained_peak }) => {
                figures.saves += 1;
                figures.last_error = None;
                (figures.last_save_s, figures.last_save_us) = (self.clock.unix_ms() / 1000, now_us);
                (figures.last_keys, figures.last_bytes) = (keys, bytes);
                figures.last_retained_peak = retained_peak;
                state.saved_changes = Some(changes);
                drop(state);
                tracing::info!(keys, bytes, ms = duration_us / 1000, retained_peak, "snapshot saved");
                Ok(())
            }
            Err(error) => {
                figures.failures += 1;
                figures.last_error = Some(error.clone());
                figures.last_retained_peak = self.keyspace.retained().1;
                drop(state);
                tracing::error!("the snapshot failed: {error}");
                Err(error)
            }
        }
    }

    /// Locks the snapshot's path for this server, and removes what was left there by one that was killed. Refused while
    /// another server has it. To be called before anything of the snapshot is read.
    ///
    /// # Errors
    /// Another server has the path, or it can't be locked.
    pub fn claim_snapshots(&self) -> Result<(), String> {
        let settings = self.settings.load_full();
        let Some(given) = settings.persist_path.as_deref() else { return Ok(()) };
        match self.persistence.lock(given) {
            (path, Ok(())) => {
                match self.persistence.with_home(given, |home| home.remove_leftovers()) {
                    Ok(0) => {}
                    Ok(files) => tracing::info!(files, "removed what unfinished snapshots left behind"),
                    Err(error) => {
                        tracing::warn!(path = %path.display(), %error, "unfinished snapshots may be left behind");
                    }
                }
                Ok(())
            }
            (path, Err(refused @ NotLocked::Held(_))) => {
                Err(format!("cannot use the snapshot {}: {refused}", path.display()))
            }
            (path, Err(refused)) => {
                tracing::warn!(
                    "nothing keeps other servers from the snapshot {}, and it may not be written: {refused}",
                    path.display()
                );
                Ok(())
            }
        }
    }

    /// True if the file has what the keyspace has, and no snapshot is being taken.
    pub(super) fn is_saved(&self) -> bool {
        let settings = self.settings.load();
        let Some(given) = settings.persist_path.as_deref() else { return true };
        let state = self.persistence.state();
        state.saved_changes == Some(self.totals().changes) && state.running.is_none() && given.exists()
    }

    /// Lets commands that need the keys be refused until [`Engine::load_snapshot`] is through. To be called before
    /// the first client comes.
    pub fn expect_load(&self) {
        if self.settings.load().persist_path.is_some() {
            self.persistence.loading.raise();
        }
    }

    /// True if commands are served: the server has loaded what it was to load.
    pub fn is_ready(&self) -> bool {
        !self.persistence.is_loading()
    }

    /// Loads the snapshot that is there, if there is one, into the empty keyspace. Returns when it is loaded; on an
    /// error the keyspace has a part of it, and the server is not to serve it.
    ///
    /// # Errors
    /// The file can't be read or is damaged.
    pub fn load_snapshot(&self) -> Result<(), Refused> {
        let settings = self.settings.load_full();
        let Some(given) = settings.persist_path.as_deref() else { return Ok(()) };
        let path = &*self.persistence.with_home(given, |home| home.path().to_owned());
        if path.try_exists().is_ok_and(|exists| !exists) {
            tracing::info!(path = %path.display(), "there is no snapshot yet");
        } else {
            self.load_file(path, settings.workers)?;
        }
        self.persistence.loading.lower();
        Ok(())
    }

    fn load_file(&self, path: &Path, threads: usize) -> Result<(), Refused> {
        let persistence = &self.persistence;
        let (tally, progress) = (&persistence.load_tally, &persistence.load_progress);
        progress.restart();
        tally.expired.reset();
        tally.restored.reset();
        persistence.load_started_s.set(self.clock.unix_ms() / 1000);
        let begun_us = self.clock.monotonic_us();
        persistence.load_started_us.set(begun_us);
        let loaded = self.restore(path, threads, tally, progress)?;
        let ms = (self.clock.monotonic_us() - begun_us) / 1000;
        let (keys, expired) = (tally.restored.get(), tally.expired.get());
        tracing::info!(keys, expired, bytes = loaded.bytes, ms, "snapshot loaded");
        persistence.state().saved_changes = Some(self.totals().changes);
        // The limit may be lower than it was when the snapshot was taken.
        self.keyspace.come_down();
        Ok(())
    }

    /// Replaces the keys by those of the snapshot that was just taken.
    fn reload(&self) -> SnapshotResult {
        let settings = self.settings.load_full();
        let Some(given) = settings.persist_path.as_deref() else { return Ok(()) };
        let path = &*self.persistence.with_home(given, |home| home.path().to_owned());
        // A transaction may run alone just now; those after it are refused by now.
        while self.keyspace.enter().view().flush().is_err() {
            std::thread::yield_now();
        }
        self.load_file(path, settings.workers).map_err(|refused| refused.to_string())
    }
}

/// A snapshot that was taken.
struct Taken {
    /// The keyspace's count of changes when it began.
    changes: u64,
    keys: u64,
    bytes: u64,
    retained_peak: u64,
}

/// A sink that says now and then how far the snapshot has come.
struct Reporting<'c> {
    sink: FileSink,
    control: &'c SnapshotControl,
    clock: &'c Clock,
    report_us: u64,
}

impl Sink for Reporting<'_> {
    fn begin(&mut self, head: Head<'_>) {
        self.sink.begin(head);
    }

    fn item(&mut self, bytes: &[u8]) {
        self.sink.item(bytes);
    }

    fn score(&mut self, score: f64) {
        self.sink.score(score);
    }

    fn end(&mut self) {
        self.sink.end();
    }

    fn buffered(&self) -> usize {
        self.sink.buffered()
    }

    fn write_out(&mut self) -> io::Result<()> {
        self.sink.write_out()?;
        let now_us = self.clock.monotonic_us();
        if now_us >= self.report_us {
            self.report_us = now_us + REPORT_EVERY_US;
            let (keys, total) = (self.sink.keys(), self.control.keys_total());
            let percent = (keys as f64 * 100.0 / total.max(1) as f64).min(100.0) as u64;
            tracing::info!(keys, bytes = self.sink.written(), percent, "writing the snapshot");
        }
        Ok(())
    }
}

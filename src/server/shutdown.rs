//! The shutdown: signals, the last snapshot, and how long clients may take.
//!
//! A server that is told to end first takes a snapshot while it serves, which shows that saving works. Only then does
//! it stop accepting, lets its clients finish, and saves what they wrote meanwhile. If either snapshot fails, it serves
//! on and tries again, as redis-server goes on serving: its data would be lost.

use super::{Server, Shared};
use std::io;
use std::process;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Handle};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The exit code of a shutdown that a second signal cut short.
const IMPATIENT_EXIT_CODE: i32 = 1;

/// Pause before a failed last snapshot is tried again; it doubles with each failure up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Keeps SIGHUP and SIGXFSZ from ending the process: a hang-up is no reason to end, and a write beyond the limit on
/// the size of files is to fail with an error. To be called before the first line is logged. The others are left as
/// redis-server leaves them: SIGPIPE is ignored, as in every Rust program, SIGQUIT and SIGABRT dump core, the rest ends
/// the process.
///
/// # Errors
/// The system refuses.
pub fn withstand_signals() -> io::Result<()> {
    // A handler stays when its stream is dropped, and so does what it writes to when this runtime is.
    let runtime = Builder::new_current_thread().enable_io().build()?;
    let _inside = runtime.enter();
    drop(signal(SignalKind::hangup())?);
    drop(signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?);
    Ok(())
}

/// The signals that mean something to a server.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

/// Begins the end at the first SIGTERM or SIGINT and exits at once at the second.
pub(super) fn watch_signals(control: &Handle, shared: Arc<Shared>) -> io::Result<()> {
    let _inside = control.enter();
    let mut signals = Signals {
        terminate: signal(SignalKind::terminate())?,
        interrupt: signal(SignalKind::interrupt())?,
        hangup: signal(SignalKind::hangup())?,
    };
    control.spawn(async move {
        loop {
            let name = signals.next().await;
            if !shared.engine.ending.signal() {
                tracing::warn!(signal = name, "a second signal ends the process at once");
                crate::log::flush();
                process::exit(IMPATIENT_EXIT_CODE);
            }
            tracing::info!(signal = name, "shutting down");
            shared.end();
        }
    });
    Ok(())
}

impl Signals {
    /// The name of the next signal that is to end the server.
    async fn next(&mut self) -> &'static str {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return "SIGINT",
                _ = self.hangup.recv() => tracing::info!("SIGHUP is ignored: there is nothing to read again"),
            }
        }
    }
}

impl Server {
    /// Serves until a signal or a client asks for a shutdown and its snapshot is taken.
    /// Not to be called from a task.
    pub fn run(&mut self) {
        while !self.end_when_told() {
            tracing::info!("a client aborted the shutdown");
        }
    }

    /// Waits until the server is told to end. False if the shutdown was aborted before its snapshot.
    fn end_when_told(&mut self) -> bool {
        let shared = Arc::clone(&self.shared);
        let engine = &shared.engine;
        if let Some(runtime) = &self.runtime {
            // The notification of an aborted shutdown may still be pending.
            while !engine.ending.is_ending() {
                runtime.block_on(shared.told_to_end.notified());
            }
        }
        let mut pause = FIRST_PAUSE;
        loop {
            let Err(error) = self.try_to_end() else { return true };
            if engine.ending.is_ending() && !engine.ending.skips_last() {
                tracing::error!(
                    "cannot shut down: the last snapshot failed: {error}. Serving goes on until one succeeds; a second \
                     signal or SHUTDOWN NOSAVE shuts down without it, SHUTDOWN ABORT aborts the shutdown"
                );
                self.resume();
                engine.wait_for_good_snapshot(pause);
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            if !engine.ending.is_ending() {
                engine.long_work.resume();
                return false;
            }
        }
    }

    /// Saves, closes every connection, and saves what changed meanwhile.
    fn try_to_end(&mut self) -> Result<(), String> {
        // SHUTDOWN has taken the first snapshot itself.
        if !self.is_stopping() {
            // It keeps a snapshot from beginning while it is pinned.
            self.shared.engine.long_work.stop();
            self.shared.engine.take_last_snapshot()?;
            if !self.shared.engine.ending.close() {
                return Err("the shutdown was aborted".to_owned());
            }
            self.shared.stop();
        }
        self.shared.drain();
        self.shared.engine.take_last_snapshot()
    }

    /// Accepts clients again, after the last snapshot failed.
    fn resume(&mut self) {
        self.shared.engine.ending.reopen();
        self.shared.resume();
    }
}

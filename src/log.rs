//! The log: lines go to standard output by a thread of its own.
//!
//! No other thread waits for the reader of standard error: lines queue up to a bound, and beyond it they are dropped and counted. A line
//! that cannot be written, because the disk is full or the reader has gone, is counted too, and the server runs on. When
//! a line can be written again, another one says how many are missing.

use rustix::fd::AsFd;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::Cell;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::panic;
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// Bytes of lines that may wait.
const MOST_BYTES: usize = 1 << 20;

/// Pause before standard output is tried again that is full and does not let its writer wait.
const FULL_PAUSE: Duration = Duration::from_millis(20);

/// How long the end of the process waits for the last lines.
const FLUSH: Duration = Duration::from_secs(1);

static LOG: Log = Log { state: Mutex::new(State::EMPTY), filled: Condvar::new(), written: Condvar::new() };

thread_local! {
    /// True on the thread that writes: it may always add its word about missing lines.
    static IS_WRITER: Cell<bool> = const { Cell::new(false) };
}

struct Log {
    state: Mutex<State>,
    /// There are lines.
    filled: Condvar,
    /// There are none any more.
    written: Condvar,
}

struct State {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// The thread has taken lines that it has not written yet.
    is_writing: bool,
    /// Lines that nobody will see.
    lost: u64,
    /// Those of them that no line has told of.
    untold: u64,
}

impl State {
    const EMPTY: State = State { lines: VecDeque::new(), bytes: 0, is_writing: false, lost: 0, untold: 0 };

    fn push(&mut self, line: &[u8]) {
        if self.bytes + line.len() > MOST_BYTES && !IS_WRITER.get() {
            self.lose();
        } else {
            self.bytes += line.len();
            self.lines.push_back(line.to_vec());
        }
    }

    fn lose(&mut self) {
        self.lost += 1;
        self.untold += 1;
    }
}

impl Log {
    fn state(&self) -> MutexGuard<'_, State> {
        // Every change of the state is whole before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next line, once there is one.
    fn next(&self) -> Vec<u8> {
        let mut state = self.state();
        state.is_writing = false;
        loop {
            if let Some(line) = state.lines.pop_front() {
                state.bytes -= line.len();
                state.is_writing = true;
                return line;
            }
            self.written.notify_all();
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Writes the lines as they come.
    fn write_to(&self, output: &mut impl Write) {
        IS_WRITER.set(true);
        let mut is_torn = false;
        loop {
            let line = self.next();
            if write_line(output, &line, &mut is_torn).is_err() {
                self.state().lose();
                continue;
            }
            let (untold, lost) = {
                let mut state = self.state();
                (std::mem::take(&mut state.untold), state.lost)
            };
            if untold > 0 {
                // An error, so that whatever lost its errors says so.
                tracing::error!(
                    lines = untold,
                    since_start = lost,
                    "the log could not be written: lines are missing"
                );
            }
        }
    }
}

/// Writes a line, behind the end of one that was written in part.
fn write_line(output: &mut impl Write, line: &[u8], is_torn: &mut bool) -> io::Result<()> {
    if *is_torn {
        write_whole(output, b"\n", is_torn)?;
        *is_torn = false;
    }
    write_whole(output, line, is_torn)
}

fn write_whole(output: &mut impl Write, mut bytes: &[u8], is_torn: &mut bool) -> io::Result<()> {
    let whole = bytes.len();
    while !bytes.is_empty() {
        match output.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(FULL_PAUSE),
            Err(error) => {
                *is_torn |= bytes.len() < whole;
                return Err(error);
            }
        }
    }
    Ok(())
}

/// Takes the lines of one thread after the other.
struct Lines;

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        LOG.state().push(line);
        LOG.filled.notify_one();
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Lines;

    fn make_writer(&self) -> Lines {
        Lines
    }
}

/// Starts the log, with a filter that was checked; a panic of any thread is a line in it.
///
/// # Errors
/// The thread that writes lines can't be started.
pub fn start(filter: &str, is_json: bool) -> io::Result<()> {
    let mut output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let is_terminal = output.is_terminal();
    thread::Builder::new().name("kvns-log".to_owned()).spawn(move || LOG.write_to(&mut output))?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_ansi(is_terminal)
        .log_internal_errors(false)
        .with_writer(Lines);
    // A second start in one process changes nothing.
    let _ = if is_json { log.json().try_init() } else { log.try_init() };
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(log_panics);
    Ok(())
}

/// A panic ends one connection, not the server; it must be seen where the operator looks.
fn log_panics() {
    panic::set_hook(Box::new(|panic| {
        let backtrace = Backtrace::capture();
        let message = panic.to_string().replace('\n', " ");
        if backtrace.status() == BacktraceStatus::Captured {
            tracing::error!(panic = %message, %backtrace, "a task panicked");
        } else {
            tracing::error!(panic = %message, "a task panicked");
        }
    }));
}

/// Waits until every line is written or lost, for a bounded time: nobody may read them.
pub fn flush() {
    let is_busy = |state: &mut State| !state.lines.is_empty() || state.is_writing;
    // What is left is lost with the process.
    let _ = LOG.written.wait_timeout_while(LOG.state(), FLUSH, is_busy);
}

/// Lines that nobody will see.
pub fn lost_lines() -> u64 {
    LOG.state().lost
}

/// Tells the person at the terminal, if standard error can be written: what cannot be told is no reason to panic.
pub fn complain(line: impl std::fmt::Display) {
    let _ = writeln!(io::stderr(), "kvns: {line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many bytes, then fails as often as it is told to.
    struct Disk {
        room: usize,
        failures: usize,
        bytes: Vec<u8>,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.room == 0 && self.failures > 0 {
                self.failures -= 1;
                return Err(ErrorKind::StorageFull.into());
            }
            let taken = if self.failures > 0 { bytes.len().min(self.room) } else { bytes.len() };
            self.room -= taken.min(self.room);
            self.bytes.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_follows_a_torn_line_is_a_line_of_its_own() {
        let mut disk = Disk { room: 6, failures: 2, bytes: Vec::new() };
        let mut is_torn = false;
        let lines = [&b"one\n"[..], b"two\n", b"three\n", b"four\n"];
        let written = lines.map(|line| write_line(&mut disk, line, &mut is_torn).is_ok());
        assert_eq!(written, [true, false, false, true]);
        assert_eq!(String::from_utf8_lossy(&disk.bytes), "one\ntw\nfour\n");
    }

    #[test]
    fn lines_beyond_the_bound_are_counted_instead_of_waited_for() {
        let mut state = State::EMPTY;
        let line = vec![b'x'; 1000];
        (0..2000).for_each(|_| state.push(&line));
        assert_eq!(state.lines.len(), MOST_BYTES / line.len());
        assert_eq!((state.lost, state.untold), (2000 - state.lines.len() as u64, state.lost));
    }
}

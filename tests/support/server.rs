//! Servers under test: each on a free port, stopped by its own process id when the fixture is dropped.

use super::client::Client;
use super::resp::split_line;
use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long a server may take to answer its first PING.
const START_BOUND: Duration = Duration::from_secs(20);
/// How long a server may take to exit after SIGTERM.
const STOP_BOUND: Duration = Duration::from_secs(20);
/// How often a start is tried again when another process took the port in between.
const START_ATTEMPTS: usize = 5;

/// A running kvns (or the subject chosen by `KVNS_TEST_SUBJECT`).
pub struct Server {
    process: Running,
}

/// A running redis-server to compare with.
pub struct RedisPeer {
    process: Running,
}

struct Running {
    /// `None` once the process was waited for.
    child: Option<Child>,
    name: &'static str,
    pid: u32,
    address: SocketAddr,
    log: PathBuf,
}

/// True if the tests run against redis-server to prove themselves.
pub fn subject_is_redis() -> bool {
    match std::env::var("KVNS_TEST_SUBJECT").as_deref() {
        Ok("redis-server") => true,
        Ok(other) => panic!("KVNS_TEST_SUBJECT={other}: expected redis-server, or unset for kvns"),
        Err(_) => false,
    }
}

impl Server {
    /// Starts with default settings.
    pub fn start() -> Server {
        Server::start_with(&[])
    }

    /// Starts with these environment settings on top of host and ports.
    pub fn start_with(settings: &[(&str, &str)]) -> Server {
        let process = if subject_is_redis() {
            Running::start("redis-server", |port| redis_command(port, &redis_arguments(settings)))
        } else {
            Running::start("kvns", |port| kvns_command(port, settings))
        };
        Server { process }
    }

    /// Runs kvns with settings that it is to refuse: its exit status and what it wrote.
    pub fn start_refused(settings: &[(&str, &str)]) -> (ExitStatus, String) {
        let mut child = kvns_command(0, settings)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starting kvns");
        let end = Instant::now() + START_BOUND;
        while child.try_wait().expect("the state of a child").is_none() {
            if Instant::now() > end {
                let _ = child.kill();
                let _ = child.wait();
                panic!("kvns started with {settings:?}");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let output = child.wait_with_output().expect("its output");
        let text = [output.stdout, output.stderr].concat();
        (output.status, String::from_utf8_lossy(&text).into_owned())
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.process.address
    }

    /// A new connection.
    pub fn client(&self) -> Client {
        Client::connect(self.process.address)
    }

    /// Where it serves its metrics, as its log says.
    pub fn metrics_address(&self) -> SocketAddr {
        let log = self.expect_log("metrics=");
        let from = log.find("metrics=").expect("it is there") + "metrics=".len();
        log[from..].split_whitespace().next().and_then(|word| word.parse().ok()).expect("an address")
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.process.pid
    }

    /// Resident memory in bytes.
    pub fn resident_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.process.pid);
        let status = fs::read_to_string(&path).unwrap_or_else(|error| panic!("reading {path}: {error}"));
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a VmRSS line");
        let kib: u64 = line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).expect("a number");
        kib * 1024
    }

    /// Asks for a graceful stop, without waiting.
    pub fn send_sigterm(&self) {
        self.process.send_sigterm();
    }

    /// Waits for the exit after a signal or SHUTDOWN; panics when it takes too long.
    pub fn wait_for_exit(mut self) -> ExitStatus {
        self.process.wait_for_exit()
    }

    /// Ends the process at once, as `kill -9` does.
    pub fn kill(mut self) {
        let child = self.process.child.as_mut().expect("a process that was not waited for");
        child.kill().expect("the process is there");
        child.wait().expect("its end");
        self.process.child = None;
    }

    /// Waits until the server has logged a text, and returns its log: a thread of its own writes it, a little later.
    pub fn expect_log(&self, text: &str) -> String {
        eventually(&format!("{text:?} in the log"), START_BOUND, || self.log().contains(text));
        self.log()
    }

    /// What the server logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.process.log).unwrap_or_default()
    }
}

impl RedisPeer {
    /// Starts redis-server with the limits of kvns's defaults; `None` if it is not installed and
    /// `KVNS_SKIP_COMPAT=1` allows to go without.
    pub fn start() -> Option<RedisPeer> {
        let installed = Command::new("redis-server").arg("--version").stdout(Stdio::null()).status().is_ok();
        if !installed {
            if std::env::var("KVNS_SKIP_COMPAT").as_deref() == Ok("1") {
                eprintln!("SKIPPED: KVNS_SKIP_COMPAT=1, nothing is compared with redis-server");
                return None;
            }
            panic!(
                "redis-server is not installed: install the package `redis-server` (`redis` on some systems), \
                 or set KVNS_SKIP_COMPAT=1 to go without the comparison"
            );
        }
        Some(RedisPeer { process: Running::start("redis-server", |port| redis_command(port, &[])) })
    }

    /// A new connection.
    pub fn client(&self) -> Client {
        Client::connect(self.process.address)
    }
}

fn kvns_command(port: u16, settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kvns"));
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("KVNS_") {
            command.env_remove(variable);
        }
    }
    command
        .env("KVNS_HOST", "127.0.0.1")
        .env("KVNS_PORT", port.to_string())
        .env("KVNS_METRICS_HOST", "127.0.0.1")
        .env("KVNS_METRICS_PORT", free_port().to_string())
        .env("KVNS_LOG", "info")
        .envs(settings.iter().copied());
    command
}

fn redis_command(port: u16, arguments: &[String]) -> Command {
    let mut command = Command::new("redis-server");
    command.args([
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--appendonly",
        "no",
        "--proto-max-bulk-len",
        "16777216",
    ]);
    command.args(["--enable-debug-command", "local"]);
    command.args(["--databases", "1", "--daemonize", "no", "--port"]).arg(port.to_string()).args(arguments);
    command.current_dir(env!("CARGO_TARGET_TMPDIR"));
    command
}

/// The settings of kvns that redis-server has too, as its arguments.
fn redis_arguments(settings: &[(&str, &str)]) -> Vec<String> {
    let known = |variable: &str| match variable {
        "KVNS_MAX_CLIENTS" => Some("--maxclients"),
        _ => None,
    };
    settings
        .iter()
        .filter_map(|(variable, value)| Some([known(variable)?.to_string(), value.to_string()]))
        .flatten()
        .collect()
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

impl Running {
    fn start(name: &'static str, command: impl Fn(u16) -> Command) -> Running {
        for _ in 0..START_ATTEMPTS {
            if let Some(running) = Running::try_start(name, &command) {
                return running;
            }
        }
        panic!("{name} exited at its start {START_ATTEMPTS} times; its output is printed above");
    }

    /// `None` if the process exited, as it does when another one took the port.
    fn try_start(name: &'static str, command: &impl Fn(u16) -> Command) -> Option<Running> {
        static STARTED: AtomicU64 = AtomicU64::new(0);
        let port = free_port();
        let count = STARTED.fetch_add(1, Ordering::Relaxed);
        let log = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("{name}-{}-{count}.log", std::process::id()));
        let output = fs::File::create(&log).expect("a log file");
        let child = command(port)
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a second handle"))
            .stderr(output)
            .spawn()
            .unwrap_or_else(|error| panic!("starting {name}: {error}"));
        let pid = child.id();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let mut running = Running { child: Some(child), name, pid, address, log };
        let end = Instant::now() + START_BOUND;
        loop {
            let child = running.child.as_mut().expect("a child");
            if let Some(status) = child.try_wait().expect("the state of a child") {
                eprintln!(
                    "{name} exited with {status}:\n{}",
                    fs::read_to_string(&running.log).unwrap_or_default()
                );
                running.child = None;
                return None;
            }
            if running.answers_ping() {
                return Some(running);
            }
            assert!(Instant::now() < end, "{name} did not answer PING within {START_BOUND:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn answers_ping(&self) -> bool {
        let Ok(mut client) = Client::try_connect(self.address) else { return false };
        let ping = b"*1\r\n$4\r\nPING\r\n";
        let mut stream = client.stream();
        if stream.write_all(ping).is_err() {
            return false;
        }
        matches!(client.try_receive_raw(), Ok((_, raw)) if raw == b"+PONG\r\n")
    }

    fn send_sigterm(&self) {
        let status = Command::new("kill").args(["-TERM", &self.pid.to_string()]).status().expect("kill");
        assert!(status.success(), "no process {} to stop", self.pid);
    }

    fn wait_for_exit(&mut self) -> ExitStatus {
        let child = self.child.as_mut().expect("a process that was not waited for");
        let end = Instant::now() + STOP_BOUND;
        loop {
            if let Some(status) = child.try_wait().expect("the state of a child") {
                self.child = None;
                return status;
            }
            assert!(Instant::now() < end, "{} did not exit within {STOP_BOUND:?}", self.name);
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Running {
    /// Stops the process and, unless the test already failed, checks that it stopped well and never panicked.
    fn drop(&mut self) {
        let mut complaint = None;
        if let Some(child) = self.child.as_mut() {
            if let Some(status) = child.try_wait().expect("the state of a child") {
                complaint = Some(format!("{} exited during the test with {status}", self.name));
            } else if std::thread::panicking() {
                let _ = child.kill();
                let _ = child.wait();
            } else {
                self.send_sigterm();
                let status = self.wait_for_exit();
                if !status.success() {
                    complaint = Some(format!("{} exited with {status} on SIGTERM", self.name));
                }
            }
        }
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        if log.contains("panicked at") {
            complaint = Some(format!("{} panicked", self.name));
        }
        if complaint.is_some() || (std::thread::panicking() && self.name == "kvns") {
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines[lines.len().saturating_sub(40)..].join("\n");
            eprintln!("--- {} ({}) logged at last:\n{tail}", self.name, self.log.display());
        } else {
            let _ = fs::remove_file(&self.log);
        }
        if let Some(complaint) = complaint {
            if std::thread::panicking() {
                eprintln!("{complaint}");
            } else {
                panic!("{complaint}");
            }
        }
    }
}

/// Polls `condition` until it holds; panics with `what` when `bound` is over.
pub fn eventually(what: &str, bound: Duration, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + bound;
    while !condition() {
        assert!(Instant::now() < end, "not within {bound:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// One line of words as a command.
pub fn line(text: &str) -> Vec<Vec<u8>> {
    split_line(text)
}

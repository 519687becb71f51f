//! The binary's start and end: settings from the environment, exit codes, signals.

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const KVNS: &str = env!("CARGO_BIN_EXE_kvns");

fn kvns(settings: &[(&str, &str)]) -> Command {
    with_settings(Command::new(KVNS), settings)
}

/// A command that starts kvns with these settings and no others.
fn with_settings(mut command: Command, settings: &[(&str, &str)]) -> Command {
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("KVNS_") {
            command.env_remove(variable);
        }
    }
    command.envs(settings.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Where the tests' servers listen: on free ports of this machine.
const LOCAL: &[(&str, &str)] = &[("KVNS_HOST", "127.0.0.1"), ("KVNS_PORT", "0"), ("KVNS_METRICS_PORT", "0")];

/// A server on a free port of this machine; it is killed when the test ends before it does.
struct Running {
    child: Child,
    /// The log up to its readiness.
    log: String,
    address: String,
}

impl Running {
    fn start(settings: &[(&str, &str)]) -> Running {
        Running::spawn(kvns(&[LOCAL, settings].concat()))
    }

    fn spawn(mut command: Command) -> Running {
        let child = command.spawn().expect("kvns starts");
        let mut running = Running { child, log: String::new(), address: String::new() };
        let mut lines = BufReader::new(running.child.stdout.as_mut().expect("standard output")).lines();
        while running.address.is_empty() {
            let line = lines.next().expect("kvns is ready").expect("text");
            if line.contains("kvns is ready") {
                let from = line.find("127.0.0.1:").expect("the address");
                running.address = line[from..].split([' ', '"']).next().expect("the address").to_owned();
            }
            running.log += &line;
            running.log.push('\n');
        }
        running
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).expect("a connection");
        stream.set_read_timeout(Some(std::time::Duration::from_secs(20))).expect("a bound");
        stream
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the process is there");
    }

    fn exit_code(&mut self) -> Option<i32> {
        self.child.wait().expect("an end").code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail if it has ended, as it should have.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_bad_variable_stops_the_start_with_one_line() {
    for (variable, value, expected) in [
        ("KVNS_PORT", "seven", "a whole number from 0 to 65535"),
        ("KVNS_MEMORY_LIMIT", "lots", "a number of bytes"),
        ("KVNS_LOG_FORMAT", "xml", "text or json"),
        ("KVNS_MAX_CLIENTS", "0", "a whole number from 1 to 4294967295"),
        ("KVNS_WORKERS", "0", "a whole number from 1 to 1024"),
    ] {
        let output = kvns(&[(variable, value)]).output().expect("kvns runs");
        let error = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(error.contains(variable) && error.contains(value) && error.contains(expected), "{error}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn help_and_version_go_to_standard_output() {
    let help = kvns(&[("KVNS_PORT", "0")]).arg("--help").output().expect("kvns runs");
    let text = String::from_utf8(help.stdout).expect("text");
    assert!(
        help.status.success() && text.contains("[env: KVNS_MAX_CLIENTS]") && text.contains("[default: 6480]")
    );
    let version = kvns(&[]).arg("--version").output().expect("kvns runs");
    assert_eq!(version.stdout, concat!("kvns ", env!("CARGO_PKG_VERSION"), "\n").as_bytes());
}

#[test]
fn a_signal_ends_it_in_order() {
    for name in [Signal::TERM, Signal::INT] {
        let mut server = Running::start(&[]);
        let mut client = server.connect();
        client.write_all(b"PING\r\n").expect("sent");
        let mut reply = [0; 7];
        client.read_exact(&mut reply).expect("a reply");
        assert_eq!(&reply, b"+PONG\r\n");
        server.signal(name);
        assert_eq!(server.exit_code(), Some(0));
    }
}

#[test]
fn a_hang_up_is_logged_and_changes_nothing() {
    let mut server = Running::start(&[]);
    server.signal(Signal::HUP);
    let mut lines = BufReader::new(server.child.stdout.take().expect("standard output")).lines();
    assert!(lines.any(|line| line.expect("text").contains("SIGHUP is ignored")));
    ping(&server.address);
    server.signal(Signal::TERM);
    assert_eq!(server.exit_code(), Some(0));
}

/// Runs a line of a shell in front of the server.
fn behind(line: &str, settings: &[(&str, &str)]) -> Command {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("{line} && exec \"$0\"")).arg(KVNS);
    with_settings(shell, &[LOCAL, settings].concat())
}

#[test]
fn the_limit_on_the_size_of_files_fails_the_snapshot_alone() {
    let folder =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("startup-{}-size", std::process::id()));
    let path = folder.join("kvns.snapshot");
    let settings = [("KVNS_PERSIST_PATH", path.to_str().expect("text"))];
    let mut server = Running::spawn(behind("ulimit -f 8", &settings));
    let value = "v".repeat(30_000);
    assert_eq!(ask(&server.address, &format!("SET k {value}\r\n")), "+OK");
    let error = ask(&server.address, "SAVE\r\n");
    assert!(error.starts_with("-ERR the snapshot failed: ") && error.contains("File too large"), "{error}");
    assert_eq!(ask(&server.address, "STRLEN k\r\n"), ":30000");
    assert_eq!(ask(&server.address, "SHUTDOWN\r\n"), "-ERR Errors trying to SHUTDOWN. Check logs.");
    assert_eq!(ask(&server.address, "DEL k\r\n"), ":1");
    assert_eq!(ask(&server.address, "SAVE\r\n"), "+OK");
    server.signal(Signal::TERM);
    assert_eq!(server.exit_code(), Some(0));
    let _ = fs::remove_dir_all(folder);
}

/// What the server says to a client that says nothing.
fn said(mut client: TcpStream) -> String {
    let mut said = String::new();
    client.read_to_string(&mut said).expect("text");
    said
}

const TOO_MANY: &str = "-ERR max number of clients reached\r\n";

#[test]
fn few_descriptors_are_shared_between_clients_and_the_server() {
    let folder =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("startup-{}-few", std::process::id()));
    let path = folder.join("kvns.snapshot");
    let settings = [("KVNS_PERSIST_PATH", path.to_str().expect("text"))];
    let mut server = Running::spawn(behind("ulimit -n 100", &settings));
    assert!(server.log.contains("KVNS_MAX_CLIENTS=10000 is lowered"), "{}", server.log);
    let mut clients: Vec<_> = (0..50).map(|_| BufReader::new(server.connect())).collect();
    let mut ask_of = |client: usize, request: &[u8]| {
        let mut line = String::new();
        clients[client].get_mut().write_all(request).expect("sent");
        clients[client].read_line(&mut line).expect("a reply");
        line
    };
    for client in 0..50 {
        assert_eq!(ask_of(client, b"PING\r\n"), "+PONG\r\n");
    }
    assert_eq!(said(server.connect()), TOO_MANY);
    assert_eq!(ask_of(0, b"SAVE\r\n"), "+OK\r\n");
    let refused = ask_of(0, b"CONFIG SET maxclients 1000\r\n");
    assert!(refused.ends_with("specified number of clients, try with 50\r\n"), "{refused}");
    server.signal(Signal::TERM);
    assert_eq!(server.exit_code(), Some(0));
    let _ = fs::remove_dir_all(folder);
}

#[test]
fn a_client_without_a_descriptor_is_told_that_there_are_too_many() {
    let mut server = Running::start(&[]);
    let pid = Some(Pid::from_child(&server.child));
    let limit = getrlimit(Resource::Nofile);
    let open = fs::read_dir(format!("/proc/{}/fd", server.child.id())).expect("its descriptors").count();
    let few = Rlimit { current: Some(open as u64), maximum: limit.maximum };
    prlimit(pid, Resource::Nofile, few).expect("a limit");
    // Numbers below the limit may be free.
    let mut clients = Vec::new();
    loop {
        let (mut client, mut first) = (server.connect(), [0]);
        client.write_all(b"PING\r\n").expect("sent");
        client.read_exact(&mut first).expect("a reply");
        clients.push(client);
        if &first == b"-" {
            break;
        }
    }
    for _ in 0..3 {
        assert_eq!(said(server.connect()), TOO_MANY);
    }
    prlimit(pid, Resource::Nofile, limit).expect("a limit");
    ping(&server.address);
    server.signal(Signal::TERM);
    assert_eq!(server.exit_code(), Some(0));
}

/// The line that the server answers; empty if it closes the connection.
fn ask(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).expect("a line");
    line.trim_end().to_owned()
}

fn ping(address: &str) {
    assert_eq!(ask(address, "PING\r\n"), "+PONG");
}

/// Lines of the log that the server has lost so far.
fn lost(address: &str) -> u64 {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.write_all(b"INFO stats\r\nQUIT\r\n").expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("text");
    let line = text.lines().find_map(|line| line.strip_prefix("log_lines_lost:"));
    line.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("no log_lines_lost: {text}"))
}

/// A server whose log nobody can follow, and where it listens.
fn start_unseen(log: Stdio, settings: &[(&str, &str)]) -> Running {
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("it").port();
    let port = port.to_string();
    let mut command = kvns(&[LOCAL, settings, &[("KVNS_PORT", &port)]].concat());
    let child = command.stdout(log).spawn().expect("kvns starts");
    let mut running = Running { child, log: String::new(), address: format!("127.0.0.1:{port}") };
    let is_up = |running: &Running| TcpStream::connect(&running.address).is_ok();
    while !is_up(&running) {
        assert!(running.child.try_wait().expect("its state").is_none(), "it has ended");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    running
}

/// Lets the server log a line and waits until it is lost.
fn lose_a_line(server: &Running) {
    let before = lost(&server.address);
    server.signal(Signal::HUP);
    while lost(&server.address) == before {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

#[test]
fn a_log_that_cannot_be_written_ends_nothing() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("the full device");
    for (name, log) in [("full", Stdio::from(full)), ("pipe", Stdio::from(writer))] {
        let folder =
            PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("startup-{}-{name}", std::process::id()));
        let path = folder.join("kvns.snapshot");
        let settings = [("KVNS_PERSIST_PATH", path.to_str().expect("text"))];
        let mut server = start_unseen(log, &settings);
        lose_a_line(&server);
        assert_eq!(ask(&server.address, "SET k v\r\n"), "+OK");
        server.signal(Signal::TERM);
        assert_eq!(server.exit_code(), Some(0));
        assert!(path.exists(), "its last snapshot");
        let _ = fs::remove_dir_all(folder);
    }
}

#[test]
fn a_log_that_can_be_written_again_says_what_it_lacks() {
    let fifo =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("startup-{}-fifo", std::process::id()));
    assert!(Command::new("mkfifo").arg(&fifo).status().expect("mkfifo").success());
    let open = || {
        let mut options = fs::OpenOptions::new();
        options
            .read(true)
            .custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32)
            .open(&fifo)
            .expect("a reader")
    };
    let reader = open();
    let writer = fs::OpenOptions::new().write(true).open(&fifo).expect("a writer");
    let mut server = start_unseen(Stdio::from(writer), &[]);
    ping(&server.address);
    drop(reader);
    lose_a_line(&server);
    lose_a_line(&server);
    let mut reader = open();
    server.signal(Signal::HUP);
    let mut log = Vec::new();
    while !String::from_utf8_lossy(&log).contains("lines are missing") {
        // Nothing is there yet, or nobody writes.
        let _ = reader.read_to_end(&mut log);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let log = String::from_utf8_lossy(&log);
    assert!(log.contains("lines=2") && log.contains("SIGHUP is ignored"), "{log}");
    server.signal(Signal::TERM);
    assert_eq!(server.exit_code(), Some(0));
    let _ = fs::remove_file(fifo);
}

#[test]
fn what_cannot_be_told_at_the_terminal_is_no_panic() {
    for arguments in [&["--check", "/nowhere"][..], &["--port", "seven"], &["--healthcheck", "--port", "1"]] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("the full device");
        let status = kvns(&[]).args(arguments).stderr(full).status().expect("kvns runs");
        assert!(matches!(status.code(), Some(1 | 2)), "{arguments:?}: {status}");
    }
}

#[test]
fn empty_variables_and_those_of_kubernetes_count_as_unset() {
    let settings = [
        ("KVNS_WORKERS", ""),
        ("KVNS_LOG", ""),
        ("KVNS_PERSIST_PATH", ""),
        ("KVNS_MEMORY_LIMIT", ""),
        ("KVNS_PORT", "tcp://10.0.0.1:6480"),
        ("KVNS_METRICS_PORT", "tcp://10.0.0.1:9090"),
        ("KVNS_SERVICE_HOST", "10.0.0.1"),
    ];
    let mut command = kvns(&[LOCAL, &settings].concat());
    command.args(["--port", "0", "--metrics-port", "0"]);
    let server = Running::spawn(command);
    let told: Vec<&str> = server.log.lines().filter(|line| line.contains("WARN")).collect();
    assert!(
        told.len() == 1 && told[0].contains("KVNS_METRICS_PORT, KVNS_PORT, KVNS_SERVICE_HOST"),
        "{}",
        server.log
    );
    // Where nothing else says so, it is the default.
    let output = kvns(&[LOCAL, &settings].concat()).arg("--healthcheck").output().expect("kvns runs");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() || error.contains("127.0.0.1:6480 is not healthy"), "{error}");
}

/// Writes `request` over and over, without reading, until the server has taken nothing for a second.
fn fill(client: &mut TcpStream, request: &[u8]) {
    let (mut sent, mut refused) = (0, 0);
    while refused < 100 {
        match client.write(&request[sent..]) {
            // A write may take a part: the next one goes on there, for the server must see whole requests.
            Ok(taken) => (sent, refused) = ((sent + taken) % request.len(), 0),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                refused += 1;
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            Err(error) => panic!("the connection ended: {error}"),
        }
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let mut server = Running::start(&[]);
    // A client that never reads its replies holds the shutdown up.
    let mut client = server.connect();
    client.set_nonblocking(true).expect("nonblocking");
    let request = format!("*2\r\n$4\r\nECHO\r\n$100000\r\n{}\r\n", "x".repeat(100_000));
    fill(&mut client, request.as_bytes());
    server.signal(Signal::TERM);
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert!(server.child.try_wait().expect("its state").is_none(), "it waits for its client");
    server.signal(Signal::TERM);
    assert_eq!(server.exit_code(), Some(1));
}

#[test]
fn the_log_is_json_when_asked_and_names_typos() {
    let settings = [("KVNS_LOG_FORMAT", "json"), ("KVNS_PROT", "1"), ("KVNS_SHARED_VALUES", "false")];
    let server = Running::start(&settings);
    let log = &server.log;
    assert!(log.lines().all(|line| line.starts_with('{') && line.ends_with('}')), "{log}");
    assert!(log.contains("KVNS_SHARED_VALUES=false is ignored"), "{log}");
    assert!(log.contains("unknown setting KVNS_PROT; ignored (did you mean KVNS_PORT?)"), "{log}");
}

#[test]
fn an_address_in_use_is_one_line_and_a_failure() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("its address").port().to_string();
    let output = kvns(&[("KVNS_HOST", "127.0.0.1"), ("KVNS_PORT", &port)]).output().expect("kvns runs");
    let log = String::from_utf8(output.stdout).expect("text");
    assert_eq!(output.status.code(), Some(1));
    assert!(log.contains("cannot listen on 127.0.0.1:") && log.lines().count() == 1, "{log}");
}

/// A memory cgroup, of version 1 or 2, where this machine lets one be made.
struct Cgroup(PathBuf);

impl Cgroup {
    fn make(bytes: u64) -> Option<Cgroup> {
        let name = format!("kvns-test-{}", std::process::id());
        let places = [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")];
        places.into_iter().find_map(|(mount, limit)| {
            let group = Path::new(mount).join(&name);
            fs::create_dir(&group).ok()?;
            let group = Cgroup(group);
            let limit = group.0.join(limit);
            (limit.exists() && fs::write(limit, bytes.to_string()).is_ok()).then_some(group)
        })
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn the_limit_follows_the_cgroup_and_the_kernel_kills_nobody() {
    // Beside a busy machine more is waiting to be reclaimed than a third of a much smaller one.
    const BYTES: u64 = 256 << 20;
    let Some(group) = Cgroup::make(BYTES) else {
        return eprintln!("skipped: no cgroup can be made here");
    };
    // No limit is set: the default is more than there is.
    let settings = [("KVNS_EVICTION_POLICY", "lru")];
    let mut inside = Command::new("sh");
    inside.args(["-c", "echo $$ >\"$0/cgroup.procs\" && exec \"$1\""]).arg(&group.0).arg(KVNS);
    let mut server = Running::spawn(with_settings(inside, &[LOCAL, &settings].concat()));
    assert!(server.log.contains(&format!("memory_limit={}", BYTES / 10 * 7)), "{}", server.log);
    let mut client = server.connect();
    let value = "v".repeat(1000);
    for thousand in 0..400 {
        let requests: String =
            (0..1000).map(|i| format!("SET {} {value}\r\n", thousand * 1000 + i)).collect();
        client.write_all(requests.as_bytes()).expect("requests");
        let mut replies = vec![0; 1000 * b"+OK\r\n".len()];
        client.read_exact(&mut replies).expect("replies");
        assert!(replies.starts_with(b"+OK"), "{}", String::from_utf8_lossy(&replies[..80]));
    }
    server.signal(Signal::TERM);
    assert_eq!(server.exit_code(), Some(0));
}

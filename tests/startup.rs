//! The binary's start and end: settings from the environment, exit codes, signals.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

fn kvns(settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kvns"));
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("KVNS_") {
            command.env_remove(variable);
        }
    }
    command.envs(settings.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Starts a server on a free port; returns it with the log up to its readiness, and its address.
fn started(settings: &[(&str, &str)]) -> (Child, String, String) {
    let mut child = kvns(&[&[("KVNS_HOST", "127.0.0.1"), ("KVNS_PORT", "0")], settings].concat())
        .spawn()
        .expect("kvns starts");
    let mut log = String::new();
    let mut lines = BufReader::new(child.stdout.as_mut().expect("standard output")).lines();
    loop {
        let line = lines.next().expect("kvns is ready").expect("text");
        log.push_str(&line);
        log.push('\n');
        if line.contains("kvns is ready") {
            let from = line.find("127.0.0.1:").expect("the address");
            let address = line[from..].split([' ', '"']).next().expect("the address");
            return (child, log, address.to_owned());
        }
    }
}

fn signal(child: &Child, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, signal).expect("the process is there");
}

#[test]
fn a_bad_variable_stops_the_start_with_one_line() {
    for (variable, value, expected) in [
        ("KVNS_PORT", "seven", "a whole number from 0 to 65535"),
        ("KVNS_MEMORY_LIMIT", "lots", "a number of bytes"),
        ("KVNS_LOG_FORMAT", "xml", "text or json"),
        ("KVNS_MAX_CLIENTS", "0", "a whole number from 1 to 1000000"),
        ("KVNS_WORKERS", "", "a whole number from 1 to 1024"),
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
    for name in [rustix::process::Signal::TERM, rustix::process::Signal::INT] {
        let (mut child, _, address) = started(&[]);
        let mut client = TcpStream::connect(&address).expect("a connection");
        client.write_all(b"PING\r\n").expect("sent");
        let mut reply = [0; 7];
        client.read_exact(&mut reply).expect("a reply");
        assert_eq!(&reply, b"+PONG\r\n");
        signal(&child, name);
        assert_eq!(child.wait().expect("an end").code(), Some(0));
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let (mut child, _, address) = started(&[]);
    // A client that never reads its replies holds the shutdown up.
    let mut client = TcpStream::connect(&address).expect("a connection");
    client.set_nonblocking(true).expect("nonblocking");
    let request = format!("*2\r\n$4\r\nECHO\r\n$100000\r\n{}\r\n", "x".repeat(100_000));
    let mut refused = 0;
    while refused < 50 {
        if client.write(request.as_bytes()).is_err() {
            refused += 1;
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
    signal(&child, rustix::process::Signal::TERM);
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert!(child.try_wait().expect("its state").is_none(), "it waits for its client");
    signal(&child, rustix::process::Signal::TERM);
    assert_eq!(child.wait().expect("an end").code(), Some(1));
}

#[test]
fn the_log_is_json_when_asked_and_names_typos() {
    let (mut child, log, _) = started(&[("KVNS_LOG_FORMAT", "json"), ("KVNS_PROT", "1")]);
    signal(&child, rustix::process::Signal::TERM);
    child.wait().expect("an end");
    assert!(log.lines().all(|line| line.starts_with('{') && line.ends_with('}')), "{log}");
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

//! Signals and probes while the workers answer nobody.

use super::*;
use std::sync::mpsc::{Sender, channel};

/// Keeps every worker busy until what is returned is dropped.
fn hold_workers(server: &Server) -> Sender<()> {
    let (release, held) = channel::<()>();
    let held = Arc::new(std::sync::Mutex::new(held));
    let (holding, begun) = channel();
    for _ in 0..server.workers.metrics().num_workers() {
        let (held, holding) = (Arc::clone(&held), holding.clone());
        server.workers.spawn(async move {
            holding.send(()).expect("the test waits");
            let _ = held.lock().map(|held| held.recv());
        });
        begun.recv().expect("a worker is held");
    }
    release
}

fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).expect("sent");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).expect("a reply");
    reply
}

#[test]
fn probes_are_answered_while_no_worker_does_and_say_so() {
    let server = server();
    let control = Control::start().expect("a control thread");
    let engine = Arc::clone(&server.shared.engine);
    let listener = bind("127.0.0.1", 0).expect("a port");
    let endpoint = crate::metrics::start(&control, Arc::clone(&engine), server.probe(), listener);
    let address = endpoint.as_ref().expect("an endpoint").local_addr();
    assert!(get(address, "/readyz").contains("200 OK"));
    let release = hold_workers(&server);
    for _ in 0..3 {
        assert!(get(address, "/readyz").ends_with("no reply to PING\n"));
    }
    assert!(get(address, "/healthz").contains("200 OK"));
    let processed = engine.stats.total_commands();
    drop(release);
    while !get(address, "/readyz").contains("200 OK") {
        thread::yield_now();
    }
    assert!(engine.stats.total_commands() <= processed + 2, "one PING at a time");
    assert_eq!(engine.clients.len(), 0, "the probe is no client");
    let now_us = engine.clock.monotonic_us();
    engine.pause.begin(crate::engine::pause::PauseMode::All, now_us + 3_600_000_000, now_us);
    assert!(get(address, "/readyz").contains("200 OK"), "a pause holds clients, not the probe");
    server.shared.stop();
    assert!(get(address, "/readyz").ends_with("stopping\n"));
}

#[test]
fn the_shutdown_waits_for_no_worker() {
    let server = server();
    let mut client = Client::of(&server);
    client.send(b"PING\r\n");
    client.expect(b"+PONG\r\n");
    let release = hold_workers(&server);
    server.shared.stop();
    assert!(!server.shared.roster.wait_until_empty(Duration::from_millis(1)), "its task cannot run");
    drop(release);
    assert!(server.shared.roster.wait_until_empty(PATIENCE));
    server.shared.resume();
    Client::of(&server).send(b"PING\r\n");
}

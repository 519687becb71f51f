//! Graceful shutdown: what was read is answered, connections close, the exit status is 0.

use crate::support::{Client, Server, Value, cmd, resp};
use std::io::{Read, Write};
use std::thread::sleep;
use std::time::Duration;

#[test]
fn sigterm_answers_what_was_read_and_exits_with_success() {
    let server = Server::start();
    let address = server.address();
    let (mut busy, mut idle) = (server.client(), server.client());
    assert_eq!(idle.run("PING"), Value::simple("PONG"));
    // One small segment arrives in one read: with its first reply here, all of it was read.
    busy.send_raw(&b"INCR n\r\n".repeat(50));
    assert_eq!(busy.receive(), Value::Integer(1));
    server.send_sigterm();
    let mut rest = &busy.receive_to_end()[..];
    for expected in 2..=50 {
        let (value, used) = resp::parse(rest).unwrap_or_else(|| panic!("reply {expected} never came"));
        assert_eq!(value, Value::Integer(expected));
        rest = &rest[used..];
    }
    assert!(idle.is_closed_within(Duration::from_secs(10)), "an idle connection was left open");
    let status = server.wait_for_exit();
    assert!(status.success(), "{status}");
    assert!(Client::try_connect(address).is_err(), "something still listens");
}

#[test]
fn sigterm_ends_connections_in_any_state() {
    let server = Server::start();
    let mut in_transaction = server.client();
    in_transaction.pipeline(&[cmd!["WATCH", "k"], cmd!["MULTI"], cmd!["SET", "k", "v"]]);
    let mut half_sent = server.client();
    half_sent.send_raw(b"*2\r\n$4\r\nECHO\r\n$100\r\nabc");
    let mut unread = server.client();
    assert_eq!(unread.command(&cmd!["SET", "big", vec![b'x'; 4 << 20]]), Value::ok());
    unread.send_raw(&b"GET big\r\n".repeat(50));
    let mut probe = server.client();
    assert_eq!(probe.run("PING"), Value::simple("PONG"));
    server.send_sigterm();
    let status = server.wait_for_exit();
    assert!(status.success(), "{status}");
}

#[test]
fn shutdown_while_clients_write_loses_no_acknowledged_reply() {
    let server = Server::start();
    let address = server.address();
    let workers: Vec<_> = (0..4)
        .map(|worker| {
            std::thread::spawn(move || {
                let mut client = Client::connect(address);
                let mut count = 0;
                loop {
                    let mut stream = client.stream();
                    let line = format!("INCR n{worker}\r\n");
                    if std::io::Write::write_all(&mut stream, line.as_bytes()).is_err() {
                        return count;
                    }
                    match client.try_receive_raw() {
                        Ok((reply, _)) => {
                            count += 1;
                            assert_eq!(reply, Value::Integer(count));
                        }
                        Err(_) => return count,
                    }
                }
            })
        })
        .collect();
    let mut probe = server.client();
    let bound = Duration::from_secs(10);
    crate::support::server::eventually("the clients are busy", bound, || {
        (0..4).all(|worker| {
            let count = probe.run(&format!("GET n{worker}"));
            !count.is_null() && count.integer() > 100
        })
    });
    server.send_sigterm();
    let status = server.wait_for_exit();
    assert!(status.success(), "{status}");
    for worker in workers {
        assert!(worker.join().expect("a client that saw no fault") > 100);
    }
    assert!(Client::try_connect(address).is_err());
}

/// A socket closed with unread input is reset, and the kernel then drops replies that are still on their way.
#[test]
fn a_pipeline_that_sigterm_cuts_keeps_the_replies_of_what_ran() {
    const VALUE: usize = 1000;
    let server = Server::start_with(&[("KVNS_MEMORY_LIMIT", "64mb")]);
    let mut client = server.client();
    assert_eq!(client.command(&cmd!["SET", "v", vec![b'x'; VALUE]]), Value::ok());
    let mut stream = client.stream();
    stream.set_write_timeout(Some(Duration::from_millis(300))).expect("a write timeout");
    // Nobody reads the replies, so the server holds requests back, and then stops reading.
    let sent = b"GET v\r\n".repeat(10 << 20);
    assert!(stream.write_all(&sent).is_err(), "the server read 70 MB of a client that reads no reply");
    server.send_sigterm();
    let mut replies = Vec::new();
    let mut part = vec![0; 64 << 10];
    loop {
        match stream.read(&mut part).expect("an end without a reset") {
            0 => break,
            count => replies.extend_from_slice(&part[..count]),
        }
        sleep(Duration::from_millis(1));
    }
    let reply = format!("$1000\r\n{}\r\n", "x".repeat(VALUE));
    assert!(replies.len() > reply.len() && replies.len() % reply.len() == 0, "the last reply is torn");
    drop(client);
    let status = server.wait_for_exit();
    assert!(status.success(), "{status}");
}

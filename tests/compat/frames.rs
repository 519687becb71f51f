//! Bytes that are not commands: protocol errors, inline forms, quoting, headers that announce too much.

use crate::pair::Pair;
use crate::support::resp::printable;

/// Sent as they are, then the sending half is closed; everything up to the server's close is compared.
const FRAMES: &[&[u8]] = &[
    b"PING\r\n",
    b"PING\n",
    b"   PING   \r\n",
    b"\r\n\r\nPING\r\n",
    b"\n\n \n\t\r\nPING\r\n",
    b"*0\r\nPING\r\n",
    b"*-1\r\nPING\r\n",
    b"*-10\r\nPING\r\n",
    b"ECHO \"a b\"\r\n",
    b"ECHO 'a b'\r\n",
    b"ECHO \"\\x41\\n\\r\\t\\b\\a\\\\\\\"\"\r\n",
    b"ECHO \"\\xzz\\q\"\r\n",
    b"ECHO 'it\\'s'\r\n",
    b"ECHO 'a\\nb'\r\n",
    b"ECHO \"\"\r\n",
    b"ECHO ''\r\n",
    b"ECHO a\"b c\"d\r\n",
    b"ECHO a\"b c\"\r\n",
    b"ECHO \"a\"b\r\n",
    b"ECHO 'a'b\r\n",
    b"ECHO \"unbalanced\r\n",
    b"ECHO 'unbalanced\r\n",
    b"ECHO \"unbalanced\\\r\n",
    b"ECHO a\tb\r\n",
    b"ECHO\ta\r\n",
    b"ECHO a\x0bb\r\n",
    b"\"PING\"\r\n",
    b"'PI'\r\n",
    b"GET \xff\xfe\r\n",
    b"*1\r\nPING\r\n",
    b"*1\r\n$4\r\nPING\r\n*x\r\n",
    b"*x\r\n",
    b"*\r\n",
    b"*1x\r\n$4\r\nPING\r\n",
    b"* 1\r\n$4\r\nPING\r\n",
    b"*+1\r\n$4\r\nPING\r\n",
    b"*01\r\n$4\r\nPING\r\n",
    b"*9223372036854775808\r\n",
    b"*-9223372036854775809\r\n",
    b"*2147483648\r\n",
    b"*1\r\n:4\r\n",
    b"*1\r\n+PING\r\n",
    b"*1\r\n\r\n",
    b"*1\r\n*1\r\n$4\r\nPING\r\n",
    b"*1\r\n$-1\r\n",
    b"*1\r\n$x\r\n",
    b"*1\r\n$\r\n",
    b"*1\r\n$4x\r\nPING\r\n",
    b"*1\r\n$+4\r\nPING\r\n",
    b"*1\r\n$04\r\nPING\r\n",
    b"*1\r\n$-0\r\n",
    b"*1\r\n$9223372036854775808\r\n",
    b"*1\r\n$18446744073709551617\r\n",
    b"*2\r\n$4\r\nECHO\r\n$3\r\nabcXY*1\r\n$4\r\nPING\r\n",
    b"*2\r\n$4\r\nECHO\r\n$0\r\n\r\n",
    b"*1\r\n$0\r\n\r\n",
    b"*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPI",
    b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nab\r\nc\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n",
    b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv",
    b"*1\n$4\nPING\n",
    b"*1\r$4\r\nPING\r\n",
    b"*1\r\n$4\r\nPING\r\nPING inline\r\n*1\r\n$4\r\nPING\r\n",
    b"GET\r\n",
    b"NOSUCH a b c\r\n",
    b"QUIT\r\nPING\r\n",
    b"*1\r\n$4\r\nQUIT\r\n*1\r\n$4\r\nPING\r\n",
    b"QUIT now please\r\nPING\r\n",
    b"MULTI\r\nQUIT\r\nPING\r\n",
    b"GET / HTTP/1.1\r\nUser-Agent: x\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\nPING\r\n",
    b"post x\r\nPING\r\n",
    b"Host: localhost\r\nPING\r\n",
    b"HOST: localhost\r\nPING\r\n",
    b"",
    b"\r",
    b"PING",
    b"$4\r\nPING\r\n",
    b":1\r\n",
    b"+PING\r\n",
    b"%1\r\n",
];

#[test]
fn frames_are_answered_alike() {
    let Some(pair) = Pair::start() else { return };
    let mut report = String::new();
    for frame in FRAMES {
        pair.flush();
        let (ours, theirs) = pair.link().drain(frame, true);
        if ours != theirs {
            report += &format!(
                "{}\n  kvns:  {}\n  redis: {}\n",
                printable(frame),
                printable(&ours),
                printable(&theirs)
            );
        }
    }
    assert!(report.is_empty(), "frames with other answers:\n{report}");
}

/// Departure: Redis reads an inline line only up to a zero byte and then waits for ever; here it is a byte as
/// any other.
#[test]
fn zero_bytes_in_lines_are_bytes() {
    let server = crate::support::Server::start();
    if crate::support::server::subject_is_redis() {
        return;
    }
    let mut client = server.client();
    client.send_raw(b"PING a\0b\r\n*1\r\n\0\r\n");
    client.finish_sending();
    let replies = client.receive_to_end();
    assert!(
        replies.starts_with(b"$3\r\na\0b\r\n-ERR Protocol error: expected '$', got"),
        "{}",
        printable(&replies)
    );
}

/// Frames after which the server itself closes the connection.
const FATAL: &[&[u8]] = &[
    b"*1\r\n$-1\r\n",
    b"*1\r\n:4\r\n",
    b"*x\r\n",
    b"ECHO \"a\r\n",
    b"QUIT\r\n",
    b"*1\r\n$4\r\nPING\r\n*1\r\n$4x\r\nPING\r\n*1\r\n$4\r\nPING\r\n",
    b"POST / HTTP/1.1\r\n",
];

#[test]
fn fatal_frames_close_the_connection_after_the_replies_before_them() {
    let Some(pair) = Pair::start() else { return };
    for frame in FATAL {
        let (ours, theirs) = pair.link().drain(frame, false);
        assert_eq!(printable(&ours), printable(&theirs), "after {}", printable(frame));
    }
}

#[test]
fn every_cut_of_a_frame_is_answered_alike() {
    let Some(pair) = Pair::start() else { return };
    let stream: &[u8] = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4\r\na\r\nb\r\nGET k\r\n*2\r\n$4\r\nECHO\r\n$0\r\n\r\n*1\r\n$4\r\nQUIT\r\n";
    for cut in 1..stream.len() {
        let mut client = pair.ours.client();
        client.send_raw(&stream[..cut]);
        std::thread::yield_now();
        client.send_raw(&stream[cut..]);
        let reply = client.receive_to_end();
        assert_eq!(
            printable(&reply),
            "+OK\\r\\n$4\\r\\na\\r\\nb\\r\\n$0\\r\\n\\r\\n+OK\\r\\n",
            "cut at {cut}"
        );
    }
}

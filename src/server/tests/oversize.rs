//! Requests beyond the limits on arguments: they are read past, and the connection goes on.

use super::*;

const TOO_MANY: &[u8] = b"-ERR invalid multibulk length: 2000 arguments exceed KVNS_MAX_RESP_ARGS (1024)\r\n";
const TOO_LONG: &[u8] =
    b"-ERR invalid bulk length: 20000000 bytes exceed KVNS_MAX_RESP_BULK_LEN (16777216)\r\n";

fn many() -> Vec<u8> {
    [b"*2000\r\n$3\r\nDEL\r\n".to_vec(), bulk(b"a").repeat(1999)].concat()
}

fn long() -> Vec<u8> {
    [&b"*3\r\n$3\r\nSET\r\n"[..], &bulk(b"a"), &bulk(&[b'x'; 20_000_000])].concat()
}

#[test]
fn the_connection_goes_on_behind_them() {
    let server = server();
    let mut client = Client::of(&server);
    for _ in 0..2 {
        client.send(&[b"PING\r\n", &many()[..], &long(), &many(), b"PING\r\n"].concat());
        client.expect(&[b"+PONG\r\n", TOO_MANY, TOO_LONG, TOO_MANY, b"+PONG\r\n"].concat());
    }
    assert_eq!(server.shared.engine.stats.oversized_requests.get(), 6);
    client.send(b"EXISTS a\r\n");
    client.expect(b":0\r\n");
}

#[test]
fn they_are_counted_not_kept() {
    let server = server();
    let mut client = Client::of(&server);
    let request = long();
    client.send(&request[..request.len() - 1]);
    client.expect(TOO_LONG);
    eventually("it is read", || server.shared.engine.stats.input_bytes.get() == request.len() as u64 - 1);
    assert!(server.shared.engine.clients.ledger.held() < 1 << 20);
    // Its decoder, which knows how far it has come, is no one else's.
    let mut other = Client::of(&server);
    other.send(b"PING\r\n");
    other.expect(b"+PONG\r\n");
    client.send(b"\nPING\r\n");
    client.expect(b"+PONG\r\n");
}

#[test]
fn they_doom_the_transaction_and_are_what_reply_skip_is_about() {
    let server = server();
    let mut client = Client::of(&server);
    client.send(&[b"MULTI\r\nSET b 1\r\n", &many()[..], b"SET b 2\r\nEXEC\r\nEXISTS b\r\n"].concat());
    client
        .expect(&[b"+OK\r\n+QUEUED\r\n", TOO_MANY, b"+QUEUED\r\n-EXECABORT Transaction discarded"].concat());
    client.expect(b" because of previous errors.\r\n:0\r\n");
    client.send(&[b"CLIENT REPLY SKIP\r\n", &long()[..], b"PING\r\nCLIENT REPLY OFF\r\n", &many()].concat());
    client.send(&[b"CLIENT REPLY ON\r\n", &many()[..]].concat());
    client.expect(&[b"+PONG\r\n+OK\r\n", TOO_MANY].concat());
}

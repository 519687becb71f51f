//! Keys of several namespaces, and the two spellings of the default one.

use crate::harness::Server;

#[test]
fn the_default_namespace_has_two_spellings() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("SET default/x 1", "+OK"),
        ("GET x", "$1\n1"),
        ("EXISTS x default/x", ":2"),
        ("KEYS *", "*1\n$1\nx"),
        ("SCAN 0", "*2\n$1\n0\n*1\n$1\nx"),
        ("RANDOMKEY", "$1\nx"),
        ("COPY x default/x", "-ERR source and destination objects are the same"),
        ("DEL default/x", ":1"),
        ("DBSIZE", ":0"),
    ]);
}

#[test]
fn namespaces_are_apart_and_commands_span_them() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("MSET db1/x 1 db2/x 2 x 0 /x 9", "+OK"),
        ("MGET db1/x db2/x x /x", "*4\n$1\n1\n$1\n2\n$1\n0\n$1\n9"),
        ("KEYS db1/*", "*1\n$5\ndb1/x"),
        ("KEYS /*", "*1\n$2\n/x"),
        ("DEL db1/x db2/x", ":2"),
        ("DBSIZE", ":2"),
    ]);
}

//! Family connection, and CLIENT.

use crate::harness::Server;
use kvns::command::context::Outcome;

const BAD_NAME: &str = "-ERR Client names cannot contain spaces, newlines or special characters.";

#[test]
fn ping_echo_select() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("PING", "+PONG"),
        ("ping hello", "$5\nhello"),
        ("PING a b", "-ERR wrong number of arguments for 'ping' command"),
        ("ECHO \"a b\"", "$3\na b"),
        ("SELECT 0", "+OK"),
        ("SELECT 1", "-ERR DB index is out of range"),
        ("SELECT -1", "-ERR DB index is out of range"),
        ("SELECT abc", "-ERR value is not an integer or out of range"),
    ]);
    assert_eq!(c.dispatch(&[b"QUIT", b"x"]), (b"+OK\r\n".to_vec(), Outcome::Close));
}

#[test]
fn unknown_commands() {
    let server = Server::new();
    let mut c = server.client();
    let long = "f".repeat(200);
    c.check_all(&[
        ("nosuch", "-ERR unknown command 'nosuch', with args beginning with: "),
        ("NoSuch a \"b c\"", "-ERR unknown command 'NoSuch', with args beginning with: 'a' 'b c' "),
        ("\"\" a", "-ERR unknown command '', with args beginning with: 'a' "),
        (
            &format!("abc \"d e\" {long} more"),
            &format!("-ERR unknown command 'abc', with args beginning with: 'd e' '{}' ", &long[..122]),
        ),
        (
            &format!("{long} x"),
            &format!("-ERR unknown command '{}', with args beginning with: 'x' ", &long[..128]),
        ),
    ]);
    assert_eq!(
        c.send(&[b"a\r\nb", b"\r\n\xff"]),
        b"-ERR unknown command 'a  b', with args beginning with: '  \xff' \r\n"
    );
}

#[test]
fn hello_chooses_the_protocol() {
    let server = Server::new();
    let mut c = server.client();
    let id = c.run("CLIENT ID")[1..].to_owned();
    let properties = |proto: u8| {
        format!(
            "$6\nserver\n$5\nredis\n$7\nversion\n$5\n7.2.0\n$5\nproto\n:{proto}\n$2\nid\n:{id}\n$4\nmode\n\
             $10\nstandalone\n$4\nrole\n$6\nmaster\n$7\nmodules\n*0"
        )
    };
    c.check("HELLO", &format!("*14\n{}", properties(2)));
    c.check("HELLO 3", &format!("%7\n{}", properties(3)));
    c.check("GET missing", "_");
    c.check("HELLO", &format!("%7\n{}", properties(3)));
    c.check("HELLO 3 AUTH default any SETNAME me", &format!("%7\n{}", properties(3)));
    c.check("CLIENT GETNAME", "$2\nme");
    c.check("HELLO 2", &format!("*14\n{}", properties(2)));
    c.check("GET missing", "$-1");
}

#[test]
fn hello_errors_change_nothing() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("HELLO 4", "-NOPROTO unsupported protocol version"),
        ("HELLO 1", "-NOPROTO unsupported protocol version"),
        ("HELLO abc", "-ERR Protocol version is not an integer or out of range"),
        ("HELLO 3 foo", "-ERR Syntax error in HELLO option 'foo'"),
        ("HELLO 3 AUTH a", "-ERR Syntax error in HELLO option 'AUTH'"),
        ("HELLO 3 SETNAME", "-ERR Syntax error in HELLO option 'SETNAME'"),
        ("HELLO 3 AUTH a b", "-WRONGPASS invalid username-password pair or user is disabled."),
        ("HELLO 3 SETNAME \"a b\"", BAD_NAME),
        ("GET missing", "$-1"),
        ("CLIENT GETNAME", "$-1"),
    ]);
}

#[test]
fn auth_without_a_password() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        (
            "AUTH a",
            "-ERR AUTH <password> called without any password configured for the default user. \
             Are you sure your configuration is correct?",
        ),
        ("AUTH a b", "-WRONGPASS invalid username-password pair or user is disabled."),
        ("AUTH default b", "+OK"),
        ("AUTH a b c", "-ERR syntax error"),
    ]);
}

#[test]
fn reset_makes_the_connection_new() {
    let server = Server::new();
    let mut c = server.client3();
    c.check_all(&[("CLIENT SETNAME me", "+OK"), ("WATCH a", "+OK"), ("RESET", "+RESET")]);
    c.check_all(&[("GET missing", "$-1"), ("CLIENT GETNAME", "$-1")]);
}

#[test]
fn client_names_and_library() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("CLIENT GETNAME", "$-1"),
        ("CLIENT SETNAME \"a b\"", BAD_NAME),
        ("CLIENT SETNAME me", "+OK"),
        ("CLIENT GETNAME", "$2\nme"),
        ("CLIENT SETNAME \"\"", "+OK"),
        ("CLIENT GETNAME", "$-1"),
        ("CLIENT SETINFO lib-name redis-py", "+OK"),
        ("CLIENT SETINFO LIB-VER 5.0", "+OK"),
        (
            "CLIENT SETINFO LIB-VER \"5 0\"",
            "-ERR lib-ver cannot contain spaces, newlines or special characters.",
        ),
        ("CLIENT SETINFO foo x", "-ERR Unrecognized option 'foo'"),
        ("CLIENT ID x", "-ERR wrong number of arguments for 'client|id' command"),
        ("CLIENT", "-ERR wrong number of arguments for 'client' command"),
        ("client foo", "-ERR unknown subcommand 'foo'. Try CLIENT HELP."),
    ]);
    let info = c.run("CLIENT INFO");
    assert!(info.contains(" lib-name=redis-py lib-ver=5.0"), "{info}");
    let help = c.run("CLIENT HELP");
    assert!(help.contains("\n+CLIENT <subcommand>") && help.contains("\n+UNPAUSE\n"), "{help}");
}

#[test]
fn client_list_shows_everybody() {
    let server = Server::new();
    let (mut c, mut other) = (server.client(), server.client3());
    other.check_all(&[
        ("CLIENT SETNAME other", "+OK"),
        ("WATCH a", "+OK"),
        ("MULTI", "+OK"),
        ("PING", "+QUEUED"),
    ]);
    server.clock.advance(3_500);
    let list = c.run("CLIENT LIST");
    assert!(
        list.contains("addr=127.0.0.1:50000 laddr=127.0.0.1:6480 fd=0 name=other age=3 idle=3 flags=x db=0"),
        "{list}"
    );
    assert!(
        list.contains(" multi=1 watch=1 qbuf=0 ")
            && list.contains(" cmd=multi user=default redir=-1 resp=3 "),
        "{list}"
    );
    assert!(list.contains(" idle=0 flags=N ") && list.contains(" cmd=client|list "), "{list}");
    let (id, other_id) = (c.session.client().id, other.session.client().id);
    assert_eq!(c.run(&format!("CLIENT LIST ID {other_id}")).matches("id=").count(), 1);
    assert_eq!(c.run(&format!("CLIENT LIST ID {id} {other_id}")).matches("\nid=").count(), 2);
    let repeated = c.run(&format!("CLIENT LIST ID {other_id} {id} 99 {other_id}"));
    let shown: Vec<&str> =
        repeated.split_whitespace().filter_map(|field| field.strip_prefix("id=")).collect();
    assert_eq!(shown, [other_id, id, other_id].map(|id| id.to_string()));
    assert_eq!(c.run("CLIENT LIST TYPE normal").matches("\nid=").count(), 2);
    c.check_all(&[
        ("CLIENT LIST ID 99", "$0\n"),
        ("CLIENT LIST ID 0 -1", "$0\n"),
        ("CLIENT LIST ID 0 x", "-ERR Invalid client ID"),
        ("CLIENT LIST ID", "-ERR syntax error"),
        ("CLIENT LIST ID abc", "-ERR Invalid client ID"),
        ("CLIENT LIST TYPE foo", "-ERR Unknown client type 'foo'"),
        ("CLIENT LIST TYPE pubsub", "$0\n"),
        ("CLIENT LIST foo", "-ERR syntax error"),
    ]);
    drop(other);
    assert_eq!(c.run("CLIENT LIST").matches("\nid=").count(), 1);
}

#[test]
fn client_reply_mutes() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("CLIENT REPLY SKIP", ""),
        ("PING", ""),
        ("PING", "+PONG"),
        ("CLIENT REPLY SKIP", ""),
        ("CLIENT REPLY SKIP", ""),
        ("SET a 1", ""),
        ("GET a", "$1\n1"),
        ("CLIENT REPLY SKIP", ""),
        ("CLIENT REPLY ON", "+OK"),
        ("PING", "+PONG"),
        ("CLIENT REPLY OFF", ""),
        ("nosuch", ""),
        ("CLIENT REPLY SKIP", ""),
        ("PING", ""),
        ("CLIENT REPLY ON", "+OK"),
        ("CLIENT REPLY SKIP", ""),
        ("RESET", ""),
        ("PING", "+PONG"),
        ("CLIENT REPLY OFF", ""),
        ("RESET", "+RESET"),
        ("CLIENT REPLY foo", "-ERR syntax error"),
        ("CLIENT NO-EVICT ON", "+OK"),
        ("CLIENT NO-EVICT foo", "-ERR syntax error"),
    ]);
    assert!(c.run("CLIENT INFO").contains(" flags=e "));
}

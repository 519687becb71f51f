//! Family pubsub.

use crate::harness::Server;
use bytes::Bytes;
use kvns::config::Settings;
use kvns::engine::mail::{Mail, Topic};

/// What a RESP2 client reads when its subscriptions change.
fn change(word: &str, name: &str, count: usize) -> String {
    format!("*3\n${}\n{word}\n${}\n{name}\n:{count}", word.len(), name.len())
}

fn message(channel: &str, text: &str) -> String {
    format!("*3\n$7\nmessage\n${}\n{channel}\n${}\n{text}", channel.len(), text.len())
}

#[test]
fn messages_reach_channels_and_patterns() {
    let server = Server::new();
    let (mut one, mut two, mut publisher) = (server.client(), server.client3(), server.client());
    one.check("SUBSCRIBE a b", &format!("{}\n{}", change("subscribe", "a", 1), change("subscribe", "b", 2)));
    one.check("SUBSCRIBE a", &change("subscribe", "a", 2));
    two.check("PSUBSCRIBE a* \"[\"", ">3\n$10\npsubscribe\n$2\na*\n:1\n>3\n$10\npsubscribe\n$1\n[\n:2");
    two.check("SUBSCRIBE a", ">3\n$9\nsubscribe\n$1\na\n:3");
    publisher.check_all(&[
        ("PUBLISH a hello", ":3"),
        ("PUBLISH abc more", ":1"),
        ("PUBLISH c nobody", ":0"),
        ("PUBLISH a", "-ERR wrong number of arguments for 'publish' command"),
    ]);
    assert_eq!(one.mail(), message("a", "hello"));
    assert_eq!(
        two.mail(),
        ">3\n$7\nmessage\n$1\na\n$5\nhello\n>4\n$8\npmessage\n$2\na*\n$1\na\n$5\nhello\n\
         >4\n$8\npmessage\n$2\na*\n$3\nabc\n$4\nmore"
    );
    one.check(
        "UNSUBSCRIBE a x",
        &format!("{}\n{}", change("unsubscribe", "a", 1), change("unsubscribe", "x", 1)),
    );
    publisher.check("PUBLISH a again", ":2");
    assert_eq!(one.mail(), "");
    drop(two);
    publisher.check_all(&[("PUBLISH a again", ":0"), ("PUBSUB NUMPAT", ":0")]);
}

/// Who publishes may have found a listener that has unsubscribed since.
#[test]
fn a_message_that_comes_after_unsubscribe_is_not_delivered() {
    let server = Server::new();
    let mut c = server.client();
    let late = |topic, pattern: &'static [u8], channel: &'static [u8]| Mail::Message {
        topic,
        pattern: Bytes::from_static(pattern),
        channel: Bytes::from_static(channel),
        payload: Bytes::from_static(b"late"),
    };
    c.check_all(&[
        ("SUBSCRIBE a", &change("subscribe", "a", 1)),
        ("PSUBSCRIBE a*", &change("psubscribe", "a*", 2)),
        ("UNSUBSCRIBE a", &change("unsubscribe", "a", 1)),
    ]);
    for mail in
        [late(Topic::Channel, b"", b"a"), late(Topic::Pattern, b"*", b"a"), late(Topic::Pattern, b"a*", b"a")]
    {
        c.session.client().mailbox.post(mail.into(), 1, usize::MAX);
    }
    assert_eq!(c.mail(), "*4\n$8\npmessage\n$2\na*\n$1\na\n$4\nlate");
}

#[test]
fn unsubscribing_from_everything_and_from_nothing() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("UNSUBSCRIBE", "*3\n$11\nunsubscribe\n$-1\n:0"),
        ("PUNSUBSCRIBE", "*3\n$12\npunsubscribe\n$-1\n:0"),
        ("SUNSUBSCRIBE", "*3\n$12\nsunsubscribe\n$-1\n:0"),
        ("SUBSCRIBE a", &change("subscribe", "a", 1)),
        ("PSUBSCRIBE b", &change("psubscribe", "b", 2)),
        ("SSUBSCRIBE c", &change("ssubscribe", "c", 1)),
        ("UNSUBSCRIBE", &change("unsubscribe", "a", 1)),
        ("GET a", "-ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"),
        ("PUNSUBSCRIBE", &change("punsubscribe", "b", 0)),
        ("SUNSUBSCRIBE", &change("sunsubscribe", "c", 0)),
        ("GET a", "$-1"),
    ]);
    let mut c = server.client3();
    c.check("UNSUBSCRIBE", ">3\n$11\nunsubscribe\n_\n:0");
}

#[test]
fn a_subscribed_resp2_client_may_do_little() {
    let server = Server::new();
    let mut c = server.client();
    let refused = |name: &str| {
        format!(
            "-ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in \
             this context"
        )
    };
    c.check_all(&[
        ("PSUBSCRIBE a*", &change("psubscribe", "a*", 1)),
        ("GET x", &refused("get")),
        ("CLIENT ID", &refused("client|id")),
        ("PUBLISH a x", &refused("publish")),
        ("PING", "*2\n$4\npong\n$0\n"),
        ("PING hi", "*2\n$4\npong\n$2\nhi"),
        ("PING a b", "-ERR wrong number of arguments for 'ping' command"),
        ("nosuch", "-ERR unknown command 'nosuch', with args beginning with: "),
        ("RESET", "+RESET"),
        ("GET x", "$-1"),
        ("PUBSUB NUMPAT", ":0"),
    ]);
    let mut c = server.client3();
    c.check_all(&[
        ("SUBSCRIBE a", ">3\n$9\nsubscribe\n$1\na\n:1"),
        ("PING", "+PONG"),
        ("GET x", "_"),
        // The publisher hears itself before it reads how many heard it.
        ("PUBLISH a x", ">3\n$7\nmessage\n$1\na\n$1\nx\n:1"),
    ]);
}

#[test]
fn shard_channels_are_apart() {
    let server = Server::new();
    let (mut c, mut publisher) = (server.client(), server.client());
    c.check("SSUBSCRIBE a", &change("ssubscribe", "a", 1));
    publisher.check_all(&[
        ("PUBLISH a x", ":0"),
        ("SPUBLISH a y", ":1"),
        ("PUBSUB SHARDCHANNELS", "*1\n$1\na"),
        ("PUBSUB SHARDCHANNELS b*", "*0"),
        ("PUBSUB SHARDNUMSUB a b", "*4\n$1\na\n:1\n$1\nb\n:0"),
        ("PUBSUB CHANNELS", "*0"),
        ("COMMAND GETKEYS spublish a b", "-ERR The command has no key arguments"),
    ]);
    assert_eq!(c.mail(), "*3\n$8\nsmessage\n$1\na\n$1\ny");
}

#[test]
fn who_listens_to_what() {
    let server = Server::new();
    let (mut one, mut two, mut c) = (server.client(), server.client(), server.client());
    one.run("SUBSCRIBE a");
    two.run("SUBSCRIBE a ab");
    two.run("PSUBSCRIBE x* y*");
    one.run("PSUBSCRIBE x*");
    c.check_all(&[
        ("PUBSUB NUMSUB", "*0"),
        ("PUBSUB NUMSUB a ab c", "*6\n$1\na\n:2\n$2\nab\n:1\n$1\nc\n:0"),
        ("PUBSUB NUMPAT", ":2"),
        ("PUBSUB CHANNELS a?", "*1\n$2\nab"),
        (
            "PUBSUB CHANNELS a b",
            "-ERR unknown subcommand or wrong number of arguments for 'CHANNELS'. Try PUBSUB HELP.",
        ),
        ("PUBSUB FOO", "-ERR unknown subcommand 'FOO'. Try PUBSUB HELP."),
    ]);
    assert!(c.run("PUBSUB CHANNELS").starts_with("*2\n"));
    assert!(c.run("PUBSUB HELP").contains("NUMPAT"));
    let list = c.run("CLIENT LIST TYPE pubsub");
    assert!(list.contains(" flags=P db=0 sub=2 psub=2 ssub=0 ") && list.contains(" sub=1 psub=1 "), "{list}");
    assert_eq!(c.run("CLIENT LIST TYPE normal").matches("\nid=").count(), 1);
}

#[test]
fn what_a_transaction_publishes_leaves_after_its_commit_once_and_in_order() {
    let server = Server::new();
    let (mut listener, mut c, mut other) = (server.client(), server.client(), server.client());
    listener.run("SUBSCRIBE a");
    c.check_all(&[
        ("WATCH k", "+OK"),
        ("MULTI", "+OK"),
        ("PUBLISH a 1", "+QUEUED"),
        ("SET k v", "+QUEUED"),
        ("PUBLISH a 2", "+QUEUED"),
        ("GET k", "+QUEUED"),
    ]);
    assert_eq!(listener.mail(), "");
    c.check("EXEC", "*4\n:1\n+OK\n:1\n$1\nv");
    assert_eq!(listener.mail(), format!("{}\n{}", message("a", "1"), message("a", "2")));
    c.check_all(&[("WATCH k", "+OK"), ("MULTI", "+OK"), ("PUBLISH a 3", "+QUEUED")]);
    other.check("SET k w", "+OK");
    c.check("EXEC", "*-1");
    assert_eq!(listener.mail(), "");
}

#[test]
fn a_transaction_that_runs_again_changes_settings_once() {
    let server = Server::new();
    let mut c = server.client();
    // FLUSHALL makes the whole run alone, after a first attempt.
    c.check_all(&[
        ("MULTI", "+OK"),
        ("CONFIG SET timeout 7", "+QUEUED"),
        ("CONFIG GET timeout", "+QUEUED"),
        ("PUBLISH nobody x", "+QUEUED"),
        ("SUBSCRIBE s", "+QUEUED"),
        ("FLUSHALL", "+QUEUED"),
        ("SLOWLOG LEN", "+QUEUED"),
        ("EXEC", &format!("*6\n+OK\n*2\n$7\ntimeout\n$1\n7\n:0\n{}\n+OK\n:0", change("subscribe", "s", 1))),
        ("PING", "*2\n$4\npong\n$0\n"),
    ]);
}

#[test]
fn large_messages_are_shared() {
    let server = Server::new();
    let (mut one, mut two, mut c) = (server.client(), server.client(), server.client());
    one.run("SUBSCRIBE a");
    two.run("SUBSCRIBE a");
    let text = "x".repeat(100_000);
    c.check(&format!("PUBLISH a {text}"), ":2");
    assert_eq!(one.mail(), message("a", &text));
    assert_eq!(two.mail(), message("a", &text));
}

#[test]
fn a_subscriber_that_does_not_read_is_ended_at_its_limit() {
    let server = Server::with(Settings { pubsub_limit: 1_000, ..Settings::default() });
    let (mut slow, mut quick, mut c) = (server.client(), server.client(), server.client());
    slow.run("SUBSCRIBE a");
    quick.run("SUBSCRIBE a");
    let text = "x".repeat(300);
    for nth in 0..5 {
        let receivers = c.run(&format!("PUBLISH a {text}"));
        assert_eq!(receivers, if nth < 2 { ":2" } else { ":1" }, "{nth}");
        assert_eq!(quick.mail(), message("a", &text));
    }
    assert!(slow.session.client().mailbox.is_ended() && !quick.session.client().mailbox.is_ended());
    let info = c.run("INFO stats");
    assert!(info.contains("\nclient_output_buffer_limit_disconnections:1\n"), "{info}");
    assert!(info.contains("\npubsub_channels:1\n"), "{info}");
}

#[test]
fn subscriptions_are_answered_though_replies_are_off() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("CLIENT REPLY OFF", ""),
        ("SUBSCRIBE a", &change("subscribe", "a", 1)),
        ("PING", ""),
        ("UNSUBSCRIBE a", &change("unsubscribe", "a", 0)),
        ("CLIENT REPLY ON", "+OK"),
    ]);
}

/// Messages that waited were written into the publisher's reply and forgotten with it.
#[test]
fn messages_pass_replies_that_nobody_wants() {
    let server = Server::new();
    for mode in ["OFF", "SKIP"] {
        let (mut c, mut other) = (server.client3(), server.client());
        let push = |text: &str| message("a", text).replacen('*', ">", 1);
        c.check("SUBSCRIBE a", &change("subscribe", "a", 1).replacen('*', ">", 1));
        c.check(&format!("CLIENT REPLY {mode}"), "");
        let texts: Vec<String> = (0..200).map(|nth| nth.to_string()).collect();
        for text in &texts {
            other.check(&format!("PUBLISH a {text}"), ":1");
        }
        let expected: Vec<String> = texts.iter().map(|text| push(text)).chain([push("own")]).collect();
        c.check("PUBLISH a own", &expected.join("\n"));
        c.check("CLIENT REPLY ON", "+OK");
    }
}

/// So does what tells of subscriptions, within a transaction too; errors do not.
#[test]
fn subscriptions_of_a_transaction_are_told_though_its_reply_is_not() {
    let server = Server::new();
    let mut c = server.client3();
    let push = |word: &str, name: &str, count| change(word, name, count).replacen('*', ">", 1);
    c.check_all(&[
        ("CLIENT REPLY OFF", ""),
        ("SUBSCRIBE", ""),
        ("MULTI", ""),
        ("SUBSCRIBE a", ""),
        ("SET k v", ""),
        ("SUBSCRIBE b", ""),
        ("EXEC", &[push("subscribe", "a", 1), push("subscribe", "b", 2)].join("\n")),
        ("CLIENT REPLY ON", "+OK"),
        ("GET k", "$1\nv"),
    ]);
}

/// The number of arguments is looked at first, as in Redis; then who may run what.
#[test]
fn what_a_subscribed_client_may_not_run() {
    let server = Server::new();
    let mut c = server.client();
    let allowed = "only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context";
    c.check_all(&[
        ("SUBSCRIBE a", &change("subscribe", "a", 1)),
        ("EXEC", &format!("-EXECABORT Transaction discarded because of: Can't execute 'exec': {allowed}")),
        (
            "EXEC a",
            "-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command",
        ),
        ("MULTI", &format!("-ERR Can't execute 'multi': {allowed}")),
        ("MULTI a", "-ERR wrong number of arguments for 'multi' command"),
        ("DISCARD", &format!("-ERR Can't execute 'discard': {allowed}")),
        ("CLIENT ID", &format!("-ERR Can't execute 'client|id': {allowed}")),
        ("CLIENT", "-ERR wrong number of arguments for 'client' command"),
        ("SUBSCRIBE", "-ERR wrong number of arguments for 'subscribe' command"),
    ]);
}

#[test]
fn a_pattern_of_more_than_4096_bytes_is_refused() {
    let server = Server::new();
    let mut c = server.client();
    let (long, longest) = ("a".repeat(4097), "a".repeat(4096));
    c.check(&format!("PSUBSCRIBE a* {long}"), "-ERR pattern is longer than 4096 bytes");
    c.check("PUBSUB NUMPAT", ":0");
    c.check(&format!("PSUBSCRIBE {longest}"), &change("psubscribe", &longest, 1));
    c.check("PUNSUBSCRIBE", &change("punsubscribe", &longest, 0));
    c.check(&format!("SUBSCRIBE {long}"), &change("subscribe", &long, 1));
}

/// What costs much is searched in steps, and nothing is lost or comes out of order.
#[test]
fn a_hostile_pattern_is_compared_in_steps() {
    let server = Server::new();
    let (mut listener, mut publisher) = (server.client(), server.client());
    let hostile = format!("*{}b*", "a?".repeat(1_000));
    for pattern in ["*", "aa*", "b*", &hostile, &hostile.replace('b', "c")] {
        listener.run(&format!("PSUBSCRIBE {pattern}"));
    }
    let channel = format!("{}b", "a".repeat(30_000));
    publisher.check(&format!("PUBLISH {channel} x"), ":3");
    assert!(publisher.steps > 2, "{} steps", publisher.steps);
    assert_eq!(listener.mail().matches("pmessage").count(), 3);
    let mut own = server.client();
    own.run("MULTI");
    own.run(&format!("PUBLISH {channel} x"));
    own.check("EXEC", "*1\n:3");
    publisher.run(&format!("SUBSCRIBE {channel}"));
    publisher.steps = 0;
    let channels = publisher.run(&format!("PUBSUB CHANNELS {hostile}"));
    assert!(channels.ends_with(&channel) || channels.starts_with("-ERR Can't"), "{channels}");
}

#[test]
fn an_empty_channel_matches_no_star() {
    let server = Server::new();
    let mut listener = server.client3();
    listener.run("PSUBSCRIBE * **");
    listener.check("PUBLISH \"\" x", ":0");
    listener.run("SUBSCRIBE \"\"");
    listener.check("PUBSUB CHANNELS *", "*0");
    listener.check("PUBSUB CHANNELS", "*1\n$0\n");
}

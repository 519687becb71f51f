//! The memory limit, eviction, quotas and NAMESPACE, through the gate.

use crate::harness::{Client, Server};
use kvns::config::{ClientMemory, EvictionRules, Settings};
use kvns::keyspace::Keyspace;

const OOM: &str = "-OOM command not allowed when used memory > 'maxmemory'.";
const MB: u64 = 1 << 20;

/// Clients have no share of their own, so that data fills the limit.
fn limited(bytes: u64) -> Server {
    let client_memory = ClientMemory::Bytes(0);
    Server::with(Settings { memory_limit: bytes, client_memory, ..Settings::default() })
}

fn evicting(bytes: u64, policy: &str) -> Server {
    let eviction = EvictionRules { policy: policy.parse().expect("a policy"), ..EvictionRules::default() };
    let client_memory = ClientMemory::Bytes(0);
    Server::with(Settings { memory_limit: bytes, client_memory, eviction, ..Settings::default() })
}

#[test]
fn a_tenth_of_the_limit_is_for_clients() {
    let server = Server::with(Settings { memory_limit: MB, ..Settings::default() });
    let mut c = server.client();
    let (taken, limit) = (fill(&mut c, "k", 1000), limited(MB));
    let most = fill(&mut limit.client(), "k", 1000);
    assert!((most * 8 / 10..most * 95 / 100).contains(&taken), "{taken} of {most}");
    c.check("CONFIG SET maxmemory-clients 0", "+OK");
    assert_eq!(set(&mut c, "last", 1000), "+OK");
    for bad in ["0%", "101%", "x", "-1"] {
        let reply = c.run(&format!("CONFIG SET maxmemory-clients {bad}"));
        assert!(reply.contains("expected a number of bytes such as 100mb, or a percentage"), "{reply}");
    }
    c.check_all(&[
        ("CONFIG SET maxmemory-clients 5%", "+OK"),
        ("CONFIG GET maxmemory-clients", "*2\n$17\nmaxmemory-clients\n$2\n5%"),
        ("CONFIG SET maxmemory-clients 2mb", "+OK"),
        ("CONFIG GET maxmemory-clients", "*2\n$17\nmaxmemory-clients\n$7\n2097152"),
    ]);
}

fn set(c: &mut Client, key: &str, len: usize) -> String {
    let reply = c.send(&[b"SET", key.as_bytes(), &vec![b'v'; len]]);
    String::from_utf8(reply).expect("text").trim_end().to_owned()
}

/// Fills until a write is refused; returns how many were taken.
fn fill(c: &mut Client, prefix: &str, len: usize) -> usize {
    (0..1_000_000).find(|i| set(c, &format!("{prefix}{i}"), len) != "+OK").expect("a limit")
}

#[test]
fn without_a_policy_writes_beyond_the_limit_are_refused_and_nothing_is_lost() {
    let server = limited(MB);
    let mut c = server.client();
    let taken = fill(&mut c, "k", 1000);
    assert!((900..1000).contains(&taken), "{taken}");
    c.check("DBSIZE", &format!(":{taken}"));
    assert!(server.engine.keyspace.used_bytes() <= MB);
    c.check(&format!("EXISTS k{taken}"), ":0");
    c.check("INFO errorstats", "$37\n# Errorstats\nerrorstat_OOM:count=1\n");
}

#[test]
fn every_kind_of_growth_is_refused_before_anything_changes() {
    let server = limited(MB);
    let mut c = server.client();
    c.check_all(&[
        ("SET s 1", "+OK"),
        ("RPUSH l a", ":1"),
        ("HSET h f v", ":1"),
        ("SADD st a b c", ":3"),
        ("SADD other d e f", ":3"),
        ("ZADD z 1 a 2 b", ":2"),
    ]);
    set(&mut c, "big", 400_000);
    fill(&mut c, "k", 100);
    let long = "x".repeat(500);
    let refused = [
        format!("SET new {long}"),
        format!("APPEND s {long}"),
        "SETRANGE s 5000 x".to_owned(),
        format!("MSET new {long} s {long}"),
        format!("MSETNX new {long}"),
        format!("RPUSH l {long}"),
        format!("LPUSH l {long}"),
        format!("LINSERT l BEFORE a {long}"),
        format!("LSET l 0 {long}"),
        format!("HSET h g {long}"),
        format!("SADD st {long}"),
        format!("ZADD z 1 {long}"),
        format!("SUNIONSTORE {long} st other"),
        format!("ZUNIONSTORE {long} 1 z"),
        format!("SORT st ALPHA STORE {long}"),
        format!("COPY big {long}"),
        format!("RENAME s {long}"),
        format!("RENAMENX s {long}"),
        format!("GETSET s {long}"),
    ];
    for line in &refused {
        c.check(line, OOM);
    }
    c.check_all(&[
        ("GET s", "$1\n1"),
        ("LRANGE l 0 -1", "*1\n$1\na"),
        ("HLEN h", ":1"),
        ("SCARD st", ":3"),
        ("ZCARD z", ":2"),
        ("EXISTS new", ":0"),
    ]);
}

#[test]
fn what_frees_is_never_refused() {
    let server = limited(MB);
    let mut c = server.client();
    c.check_all(&[
        ("RPUSH l a b c d", ":4"),
        ("HSET h f v g w", ":2"),
        ("SADD s a b c", ":3"),
        ("ZADD z 1 a 2 b", ":2"),
        ("SET n 1", "+OK"),
    ]);
    let taken = fill(&mut c, "k", 500);
    server.engine.change_settings(|settings| settings.memory_limit = 1000);
    c.check("SET n 2", "+OK");
    c.check_all(&[
        ("SET new x", OOM),
        ("LPOP l", "$1\na"),
        ("LTRIM l 0 0", "+OK"),
        ("HDEL h f", ":1"),
        ("SREM s a", ":1"),
        ("ZREM z a", ":1"),
        ("EXPIRE n 100", ":1"),
        ("PERSIST n", ":1"),
        ("GETDEL n", "$1\n2"),
        ("DEL k0", ":1"),
        ("UNLINK k1", ":1"),
        ("MULTI", "+OK"),
        ("DEL k2", "+QUEUED"),
        ("EXEC", "*1\n:1"),
    ]);
    c.check("DBSIZE", &format!(":{}", taken - 3 + 4));
    c.check("FLUSHALL", "+OK");
    c.check("SET new x", "+OK");
}

#[test]
fn a_transaction_without_room_is_refused_whole() {
    let server = limited(MB);
    let mut c = server.client();
    c.check("SET a 1", "+OK");
    fill(&mut c, "k", 100);
    let long = "x".repeat(500);
    let abort = format!("-EXECABORT Transaction discarded because of: {}", &OOM[1..]);
    c.check_all(&[
        ("WATCH a", "+OK"),
        ("MULTI", "+OK"),
        ("SET a 2", "+QUEUED"),
        (&format!("SET b {long}"), "+QUEUED"),
        ("EXEC", &abort),
        ("GET a", "$1\n1"),
        ("EXEC", "-ERR EXEC without MULTI"),
    ]);
    // What one frees another may take.
    c.check_all(&[
        ("MULTI", "+OK"),
        ("DEL k0 k1 k2 k3 k4 k5", "+QUEUED"),
        (&format!("SET b {long}"), "+QUEUED"),
        ("EXEC", "*2\n:6\n+OK"),
    ]);
    // Over the limit such commands are not even queued.
    server.engine.change_settings(|settings| settings.memory_limit = 1000);
    c.check_all(&[
        ("MULTI", "+OK"),
        ("GET a", "+QUEUED"),
        ("SET a 3", OOM),
        ("EXEC", "-EXECABORT Transaction discarded because of previous errors."),
    ]);
}

#[test]
fn what_follows_a_flush_in_its_transaction_finds_the_room_that_the_flush_makes() {
    for (policy, len) in [("noeviction", 1000), ("allkeys-lru", 100)] {
        let server = evicting(MB, policy);
        let mut c = server.client();
        (0..20_000).for_each(|i| drop(set(&mut c, &format!("k{i}"), len)));
        let long = "x".repeat(300_000);
        c.check_all(&[
            ("MULTI", "+OK"),
            ("FLUSHALL", "+QUEUED"),
            (&format!("MSET k0 {long} k1 {long}"), "+QUEUED"),
            ("INCR c", "+QUEUED"),
            ("EXEC", "*3\n+OK\n+OK\n:1"),
            ("DBSIZE", ":3"),
            ("SET d x", "+OK"),
        ]);
        assert!(!server.engine.keyspace.is_exclusive());
    }
}

#[test]
fn a_pipelined_run_without_room_is_refused_one_by_one() {
    let server = limited(MB);
    let mut c = server.client();
    c.check("RPUSH l a", ":1");
    fill(&mut c, "k", 100);
    let push = format!("RPUSH l {}", "x".repeat(500));
    assert_eq!(c.run_together(&[&push, "LPUSH l a"]), (0, Vec::new()));
    c.check(&push, OOM);
    c.check("LRANGE l 0 -1", "*1\n$1\na");
}

#[test]
fn the_least_used_keys_go_first_and_the_most_used_with_mru() {
    for (policy, keeps_busy) in [("lru", true), ("mru", false)] {
        let server = evicting(MB, policy);
        let mut c = server.client();
        for i in 0..100 {
            set(&mut c, &format!("busy{i}"), 1000);
            (0..50).for_each(|_| drop(c.run(&format!("GET busy{i}"))));
        }
        for i in 0..3000 {
            assert_eq!(set(&mut c, &format!("k{i}"), 1000), "+OK");
        }
        assert!(server.engine.keyspace.used_bytes() <= MB);
        let busy = (0..100).filter(|i| c.run(&format!("EXISTS busy{i}")) == ":1").count();
        assert!(if keeps_busy { busy > 95 } else { busy < 5 }, "{policy}: {busy}");
        let evicted = server.engine.keyspace.stats.evicted.get();
        assert!(evicted > 2000, "{policy}: {evicted}");
        let info = c.run("INFO namespaces");
        assert!(info.contains(&format!("evicted={evicted},policy={policy},limit=0")), "{info}");
        assert!(c.run("INFO stats").contains(&format!("evicted_keys:{evicted}\n")));
    }
}

#[test]
fn a_transaction_makes_room_before_it_commits() {
    let server = evicting(MB, "lru");
    let mut c = server.client();
    for i in 0..2000 {
        set(&mut c, &format!("k{i}"), 1000);
    }
    let long = "x".repeat(100_000);
    c.check_all(&[
        ("MULTI", "+OK"),
        (&format!("MSET a {long} b {long}"), "+QUEUED"),
        (&format!("SET c {long}"), "+QUEUED"),
        ("EXEC", "*2\n+OK\n+OK"),
        ("EXISTS a b c", ":3"),
    ]);
    assert!(server.engine.keyspace.used_bytes() <= MB);
    // More than there can ever be room for evicts nothing.
    let before = server.engine.keyspace.stats.evicted.get();
    assert_eq!(set(&mut c, "huge", 2 << 20), OOM);
    assert_eq!(server.engine.keyspace.stats.evicted.get(), before);
}

#[test]
fn a_namespace_never_evicts_from_another() {
    let server = limited(MB);
    let mut c = server.client();
    c.check("CONFIG SET ns-eviction a:lru", "+OK");
    (0..200).for_each(|i| assert_eq!(set(&mut c, &format!("b/{i}"), 1000), "+OK"));
    (0..3000).for_each(|i| assert_eq!(set(&mut c, &format!("a/{i}"), 1000), "+OK"));
    assert_eq!(set(&mut c, "b/new", 200_000), OOM, "b has no policy");
    let stats = |c: &mut Client, name: &str| c.run(&format!("NAMESPACE STATS {name}"));
    assert!(stats(&mut c, "b").contains("$4\nkeys\n:200\n"));
    assert!(stats(&mut c, "b").contains("$7\nevicted\n:0\n"));
    assert!(!stats(&mut c, "a").contains("$7\nevicted\n:0\n"));
    // With all the memory taken by others, there is nothing to evict.
    c.check("NAMESPACE FLUSH a", &format!(":{}", server.engine.keyspace.len() - 200));
    fill(&mut c, "b/more", 1000);
    assert_eq!(set(&mut c, "a/1", 10_000), OOM);
}

#[test]
fn a_quota_binds_one_namespace() {
    let server = limited(100 * MB);
    let mut c = server.client();
    c.check_all(&[
        ("CONFIG SET ns-memory-limit a:100kb,b:100kb ns-eviction b:lru", "+OK"),
        ("CONFIG GET ns-*", "*4\n$11\nns-eviction\n$5\nb:lru\n$15\nns-memory-limit\n$17\na:102400,b:102400"),
    ]);
    let taken = fill(&mut c, "a/", 1000);
    assert!((80..100).contains(&taken), "{taken}");
    (0..500).for_each(|i| assert_eq!(set(&mut c, &format!("b/{i}"), 1000), "+OK"));
    (0..500).for_each(|i| assert_eq!(set(&mut c, &format!("c/{i}"), 1000), "+OK"));
    for info in server.engine.keyspace.namespaces(10) {
        assert!(info.quota.is_none_or(|quota| info.bytes <= quota), "{info:?}");
    }
    // A transaction that moves bytes from one to the other is refused too.
    c.check("SET free 1", "+OK");
    let long = "y".repeat(3000);
    c.check(&format!("SET free {long}"), "+OK");
    c.check("RENAME free a/free", OOM);
    c.check("EXISTS free a/free", ":1");
    assert_eq!(set(&mut c, "b/huge", 200_000), OOM);
    c.check_all(&[
        ("NAMESPACE SET a LIMIT 0", "+OK"),
        ("RENAME free a/free", "+OK"),
        ("NAMESPACE SET a LIMIT 1mb POLICY mru", "+OK"),
        ("CONFIG GET ns-eviction", "*2\n$11\nns-eviction\n$11\na:mru,b:lru"),
        ("NAMESPACE SET a POLICY default", "+OK"),
        ("CONFIG GET ns-eviction", "*2\n$11\nns-eviction\n$5\nb:lru"),
    ]);
}

#[test]
fn with_ear_a_key_goes_once_it_was_read() {
    let server = limited(100 * MB);
    let mut c = server.client();
    c.check_all(&[
        ("CONFIG SET ns-eviction e:ear", "+OK"),
        ("MSET e/a 1 e/b 2 e/c 3 other 4", "+OK"),
        ("GET e/a", "$1\n1"),
        ("GET e/a", "$1\n1"),
        ("GET other", "$1\n4"),
        ("TYPE e/b", "+string"),
        ("TTL e/b", ":-1"),
        ("GET e/c", "$1\n3"),
        ("SET e/c 33", "+OK"),
    ]);
    while server.engine.keyspace.housekeep() {}
    c.check_all(&[("EXISTS e/a e/b e/c other", ":3"), ("GET e/c", "$2\n33")]);
    while server.engine.keyspace.housekeep() {}
    c.check("EXISTS e/c", ":0");
    assert_eq!(server.engine.keyspace.stats.ear_evicted.get(), 2);
    assert!(c.run("INFO stats").contains("ear_evicted_keys:2\n"));
}

#[test]
fn nothing_is_evicted_while_writes_are_paused() {
    let server = evicting(MB, "lru");
    let mut c = server.client();
    (0..5000).for_each(|i| drop(set(&mut c, &format!("k{i}"), 100)));
    c.check_all(&[("CLIENT PAUSE 1000 WRITE", "+OK"), ("CONFIG SET maxmemory 500kb", "+OK")]);
    let evicts = |rounds| {
        (0..rounds).any(|_| {
            server.engine.keyspace.housekeep();
            std::thread::yield_now();
            server.engine.keyspace.stats.evicted.get() > 0
        })
    };
    assert!(!evicts(300));
    server.clock.advance(1_000);
    assert!(evicts(30_000));
}

#[test]
fn eviction_begins_at_the_threshold() {
    let server = evicting(MB, "lru");
    let mut c = server.client();
    c.check("CONFIG SET eviction-threshold 0.5", "+OK");
    (0..3000).for_each(|i| assert_eq!(set(&mut c, &format!("k{i}"), 1000), "+OK"));
    let used = server.engine.keyspace.used_bytes();
    assert!((MB / 4..=MB / 2).contains(&used), "{used}");
    c.check("CONFIG SET ns-eviction none:none", "+OK");
    assert_eq!(set(&mut c, "none/k", 300_000), "+OK", "up to the limit");
}

#[test]
fn a_lower_limit_is_reached_by_writing() {
    let server = evicting(4 * MB, "lru");
    let mut c = server.client();
    (0..3000).for_each(|i| assert_eq!(set(&mut c, &format!("k{i}"), 1000), "+OK"));
    server.engine.change_settings(|settings| settings.memory_limit = MB);
    (0..3000).for_each(|i| assert_eq!(set(&mut c, &format!("n{i}"), 1000), "+OK"));
    assert!(server.engine.keyspace.used_bytes() <= MB);
}

/// Keeps house until `is_down`. Grace periods take as many rounds as other tests in this process are busy.
fn come_down(server: &Server, is_down: impl Fn(&Keyspace) -> bool) {
    const ROUNDS: usize = 3_000_000;
    let keyspace = &server.engine.keyspace;
    let comes_down = (0..ROUNDS).any(|_| {
        keyspace.housekeep();
        std::thread::yield_now();
        is_down(keyspace)
    });
    assert!(comes_down, "{} bytes, {} keys", keyspace.accounted_bytes(), keyspace.len());
}

/// True if what is kept takes at most so many bytes.
fn takes(most: u64) -> impl Fn(&Keyspace) -> bool {
    move |keyspace| keyspace.accounted_bytes() <= most
}

fn keys_of(server: &Server, name: &str) -> u64 {
    server.engine.keyspace.namespace(name.as_bytes()).map_or(0, |namespace| namespace.keys)
}

#[test]
fn the_housekeeper_comes_down_to_a_lower_limit() {
    let server = evicting(4 * MB, "lru");
    let mut c = server.client();
    c.check("CONFIG SET ns-eviction kept:none", "+OK");
    (0..100).for_each(|i| assert_eq!(set(&mut c, &format!("kept/{i}"), 1000), "+OK"));
    for name in ["a", "b", "c"] {
        (0..900).for_each(|i| assert_eq!(set(&mut c, &format!("{name}/{i}"), 1000), "+OK"));
    }
    c.check("CONFIG SET maxmemory 2mb", "+OK");
    come_down(&server, takes(2 * MB));
    let accounted = server.engine.keyspace.accounted_bytes();
    assert!((MB..=2 * MB).contains(&accounted), "{accounted}");
    let sizes = ["kept", "a", "b", "c"].map(|name| keys_of(&server, name));
    assert_eq!(sizes[0], 100, "without a policy nothing goes");
    assert!(sizes[1..].iter().sum::<u64>() > 1_000, "{sizes:?}");
    // A quota is come down to in its namespace only.
    c.check("CONFIG SET ns-memory-limit a:50kb", "+OK");
    come_down(&server, |keyspace| keyspace.namespace(b"a").is_none_or(|a| a.bytes <= 50 << 10));
    assert_eq!(["b", "c"].map(|name| keys_of(&server, name)), sizes[2..]);
    // Where nothing may go the housekeeper gives up.
    c.check("CONFIG SET maxmemory-policy none maxmemory 1", "+OK");
    for _ in 0..30_000 {
        server.engine.keyspace.housekeep();
    }
    assert_eq!(["b", "c"].map(|name| keys_of(&server, name)), sizes[2..]);
}

#[test]
fn what_small_keys_were_kept_in_goes_with_them() {
    let server = evicting(16 * MB, "lru");
    let mut c = server.client();
    (0..50_000).for_each(|i| assert_eq!(set(&mut c, &format!("small:{i}"), 20), "+OK"));
    let accounted = server.engine.keyspace.accounted_bytes();
    c.check(&format!("CONFIG SET maxmemory {}", accounted / 2), "+OK");
    come_down(&server, takes(accounted / 2));
    let left = server.engine.keyspace.len();
    assert!(
        (15_000..25_000).contains(&left),
        "{left}: half of the memory has room for about half of the keys"
    );
}

#[test]
fn a_lower_limit_is_reached_in_namespaces_of_one_key_and_beside_some_that_keep_theirs() {
    let server = evicting(16 * MB, "none");
    let mut c = server.client();
    (0..5_000).for_each(|i| assert_eq!(set(&mut c, &format!("n{i}/x"), 100), "+OK"));
    (0..5).for_each(|i| assert_eq!(set(&mut c, &format!("large/{i}"), 500_000), "+OK"));
    c.check("CONFIG SET ns-eviction large:lru", "+OK");
    c.check("CONFIG SET maxmemory 3mb", "+OK");
    come_down(&server, |keyspace| keyspace.used_bytes() <= 3 * MB);
    assert!(keys_of(&server, "large") < 5 && server.engine.keyspace.len() >= 5_000);
    c.check("CONFIG SET maxmemory-policy lru maxmemory 1500000", "+OK");
    come_down(&server, takes(1_500_000));
}

#[test]
fn a_lower_limit_meets_only_namespaces_that_are_there() {
    let server = evicting(64 * MB, "lru");
    let mut c = server.client();
    (0..3_000).for_each(|i| c.check(&format!("SET ns{i}/k v EX 100000"), "+OK"));
    (0..3_000).for_each(|i| c.check(&format!("DEL ns{i}/k"), ":1"));
    server.engine.keyspace.check_invariants().expect("the tenants are gone");
    // What was theirs holds values of others by now.
    (0..60_000).for_each(|i| assert_eq!(set(&mut c, &format!("key:{i}"), 64), "+OK"));
    c.check("CONFIG SET maxmemory 1mb", "+OK");
    come_down(&server, |keyspace| keyspace.len() < 10_000);
    let is_whole =
        |value: &[u8]| value == b"$-1\r\n" || value == format!("$64\r\n{}\r\n", "v".repeat(64)).as_bytes();
    (0..60_000).for_each(|i| assert!(is_whole(&c.send(&[b"GET", format!("key:{i}").as_bytes()])), "key:{i}"));
}

#[test]
fn a_flush_beside_writers_leaves_nothing_to_be_freed() {
    let server = evicting(MB, "lru");
    std::thread::scope(|scope| {
        for writer in 0..3 {
            let mut c = server.client();
            scope.spawn(move || {
                (0..3_000).for_each(|i| assert_eq!(set(&mut c, &format!("{writer}:{i}"), 1000), "+OK"));
            });
        }
        let mut c = server.client();
        (0..50).for_each(|_| c.check("FLUSHALL", "+OK"));
    });
    let keyspace = &server.engine.keyspace;
    let settle = || {
        while keyspace.freeing() > 0 {
            keyspace.housekeep();
        }
    };
    let mut c = server.client();
    c.check("FLUSHALL", "+OK");
    settle();
    c.check_all(&[("MSET a 1 b 2 c 3", "+OK"), ("FLUSHALL", "+OK")]);
    assert_eq!(keyspace.freeing(), 3, "neither more nor less than was flushed");
    settle();
}

#[test]
fn the_limit_follows_what_the_allocator_holds() {
    let server = evicting(8 * MB, "lru");
    let mut c = server.client();
    (0..2000).for_each(|i| assert_eq!(set(&mut c, &format!("k{i}"), 1000), "+OK"));
    let keyspace = &server.engine.keyspace;
    // Buffers of 7 MB somewhere else leave 1 MB for keys.
    keyspace.measure(|| keyspace.accounted_bytes() + 7 * MB);
    (0..4000).for_each(|i| assert_eq!(set(&mut c, &format!("n{i}"), 1000), "+OK"));
    assert!(keyspace.used_bytes() <= MB);
}

#[test]
fn namespaces_are_listed_flushed_and_bound() {
    let server = Server::new();
    let mut c = server.client();
    c.check_all(&[
        ("MSET x 1 a/1 1 b/1 1 b/2 2", "+OK"),
        ("NAMESPACE LIST", "*3\n$1\na\n$1\nb\n$7\ndefault"),
        ("NAMESPACE LIST d*", "*1\n$7\ndefault"),
        ("NAMESPACE LIST a b", "-ERR syntax error"),
        ("NAMESPACE FLUSH b", ":2"),
        ("NAMESPACE FLUSH b", ":0"),
        ("NAMESPACE FLUSH nosuch", ":0"),
        ("DBSIZE", ":2"),
        ("NAMESPACE SET a POLICY allkeys-lfu", "+OK"),
        ("NAMESPACE SET a", "-ERR wrong number of arguments for 'namespace|set' command"),
        ("NAMESPACE SET a FOO 1", "-ERR syntax error"),
        ("NAMESPACE SET a LIMIT x", "-ERR argument must be a memory value"),
        (
            "NAMESPACE SET a POLICY volatile-ttl",
            "-ERR there is no policy 'volatile-ttl' here: it is noeviction, allkeys-lru, allkeys-lfu, or one of \
             none, lru (or lfu), mru (or mfu) or ear (or expire_after_read)",
        ),
        ("NAMESPACE SET a,b LIMIT 1", "-ERR a namespace with a comma in its name has no settings of its own"),
        ("MULTI", "+OK"),
        ("NAMESPACE FLUSH a", "-ERR Command not allowed inside a transaction"),
        ("DISCARD", "+OK"),
    ]);
    for i in 0..5000 {
        set(&mut c, &format!("many/{i}"), 10);
    }
    c.check("NAMESPACE FLUSH many", ":5000");
    c.check("DBSIZE", ":2");
    let stats = server.client3().run("NAMESPACE STATS a");
    assert!(stats.starts_with("%8\n$4\nkeys\n:1\n$5\nbytes\n:"), "{stats}");
    assert!(stats.ends_with("$5\nlimit\n:0\n$6\npolicy\n$3\nlru"), "{stats}");
}

#[test]
fn policies_have_redis_names_where_one_matches() {
    let server = Server::new();
    let mut c = server.client();
    for (name, shown) in [
        ("allkeys-lru", "allkeys-lru"),
        ("allkeys-lfu", "allkeys-lru"),
        ("LFU", "allkeys-lru"),
        ("mru", "mru"),
        ("ear", "ear"),
        ("noeviction", "noeviction"),
    ] {
        c.check(&format!("CONFIG SET maxmemory-policy {name}"), "+OK");
        c.check(
            "CONFIG GET maxmemory-policy",
            &format!("*2\n$16\nmaxmemory-policy\n${}\n{shown}", shown.len()),
        );
        assert!(c.run("INFO memory").contains(&format!("maxmemory_policy:{shown}\n")));
    }
    for name in ["volatile-lru", "allkeys-random"] {
        let reply = c.run(&format!("CONFIG SET maxmemory-policy {name}"));
        assert!(reply.contains(&format!("there is no policy '{name}' here")), "{reply}");
    }
    c.check("CONFIG SET maxmemory 100mb", "+OK");
    c.check("CONFIG GET maxmemory", "*2\n$9\nmaxmemory\n$9\n104857600");
    let usage = c.run("MEMORY STATS");
    assert!(usage.contains("limit.bytes\n:104857600"), "{usage}");
}

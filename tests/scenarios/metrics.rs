//! What is served over HTTP: every series of the contract with its type, namespaces within their cap, probes.

use crate::support::{Server, Value};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

const BOUND: Duration = Duration::from_secs(20);

/// A reply: its status line and headers, and its body.
fn ask(address: SocketAddr, request: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(BOUND)).expect("a bound");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).expect("a reply");
    let (head, body) = reply.split_once("\r\n\r\n").expect("a head and a body");
    let is_chunked = head.contains("transfer-encoding: chunked");
    (head.to_owned(), if is_chunked { unchunked(body) } else { body.to_owned() })
}

/// The text of a body in chunks, which has come to its end.
fn unchunked(mut body: &str) -> String {
    let mut text = String::new();
    loop {
        let (len, rest) = body.split_once("\r\n").expect("a chunk's length");
        let len = usize::from_str_radix(len, 16).expect("a number");
        if len == 0 {
            return text;
        }
        text.push_str(&rest[..len]);
        body = &rest[len + 2..];
    }
}

pub fn get(address: SocketAddr, path: &str) -> (String, String) {
    ask(address, &format!("GET {path} HTTP/1.1\r\nHost: kvns\r\nConnection: close\r\n\r\n"))
}

/// A scrape: the type of each family, and the value of each series.
struct Scrape {
    types: BTreeMap<String, String>,
    values: BTreeMap<String, f64>,
    text: String,
}

impl Scrape {
    fn of(server: &Server) -> Scrape {
        let (head, text) = get(server.metrics_address(), "/metrics");
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
        let (mut types, mut values) = (BTreeMap::new(), BTreeMap::new());
        for line in text.lines() {
            if let Some(described) = line.strip_prefix("# TYPE ") {
                let (name, kind) = described.split_once(' ').expect("a name and a type");
                assert_eq!(types.insert(name.to_owned(), kind.to_owned()), None, "{name} stands twice");
            } else if !line.starts_with("# HELP ") {
                let (series, value) = line.rsplit_once(' ').expect("a series and a value");
                let value = value.parse().unwrap_or_else(|_| panic!("{line}: a number"));
                assert_eq!(values.insert(series.to_owned(), value), None, "{series} stands twice");
            }
        }
        Scrape { types, values, text }
    }

    fn value(&self, series: &str) -> Option<f64> {
        self.values.get(series).copied()
    }

    fn count(&self, command: &str, namespace: &str) -> Option<f64> {
        let labels = format!("{{command=\"{command}\",namespace=\"{namespace}\"}}");
        self.value(&format!("kvns_command_duration_seconds_count{labels}"))
    }
}

#[test]
fn every_series_of_the_contract_is_there_with_its_type() {
    let server = Server::start();
    let mut client = server.client();
    for line in
        ["SET a 1", "SET db1/a 1", "GET db1/a", "GET db1/b", "GET nowhere/b", "PING", "MSET x 1 db1/y 2"]
    {
        client.run(line);
    }
    client.run("INCR");
    assert_eq!(client.run("OBJECT ENCODING db1/a"), Value::bulk("int"));
    let scrape = Scrape::of(&server);
    for (name, kind) in [
        ("kvns_keys_total", "gauge"),
        ("kvns_memory_used_bytes", "gauge"),
        ("kvns_memory_used_bytes_total", "gauge"),
        ("kvns_memory_limit_bytes", "gauge"),
        ("kvns_command_duration_seconds", "histogram"),
        ("kvns_evictions_total", "counter"),
        ("kvns_ear_evictions_total", "counter"),
    ] {
        assert_eq!(scrape.types.get(name).map(String::as_str), Some(kind), "{name}");
    }
    for family in kvns::metrics::described() {
        let kind = scrape.types.get(family.name).map(String::as_str);
        assert_eq!(kind, Some(family.kind.name()), "{}", family.name);
    }
    assert_eq!(scrape.value("kvns_keys_total{namespace=\"default\"}"), Some(2.0));
    assert_eq!(scrape.value("kvns_keys_total{namespace=\"db1\"}"), Some(2.0));
    assert_eq!(scrape.value("kvns_memory_limit_bytes"), Some(1_073_741_824.0));
    let bytes = |name: &str| scrape.value(name).expect("bytes");
    let sum = bytes("kvns_memory_used_bytes{namespace=\"default\"}")
        + bytes("kvns_memory_used_bytes{namespace=\"db1\"}");
    let total = bytes("kvns_memory_used_bytes_total");
    assert!(
        (sum / 2.0..sum * 20.0).contains(&total),
        "{sum} bytes of keys, {total} with what they are kept in"
    );
    let counts = [("set", "default"), ("set", "db1"), ("get", "db1"), ("get", "_other"), ("mset", "default")];
    let counts = counts.map(|(command, namespace)| scrape.count(command, namespace));
    assert_eq!(counts, [Some(1.0), Some(1.0), Some(2.0), Some(1.0), Some(1.0)]);
    assert_eq!(scrape.count("object|encoding", "db1"), Some(1.0));
    assert!(scrape.count("ping", "default") >= Some(1.0));
    assert_eq!(scrape.value("kvns_keyspace_hits_total{namespace=\"db1\"}"), Some(1.0));
    assert_eq!(scrape.value("kvns_keyspace_misses_total{namespace=\"db1\"}"), Some(1.0));
    assert_eq!(scrape.value("kvns_keyspace_misses_total{namespace=\"_other\"}"), Some(1.0));
    assert_eq!(scrape.value("kvns_error_replies_total{code=\"ERR\"}"), Some(1.0));
    // The one that waited for the start may not have left yet.
    assert!(scrape.value("kvns_connected_clients") >= Some(1.0));
    for name in ["process_threads", "process_resident_memory_bytes", "kvns_allocator_allocated_bytes"] {
        assert!(scrape.value(name) > Some(0.0), "{name}");
    }
}

#[test]
fn histograms_are_cumulative_and_end_with_their_count() {
    let server = Server::start();
    let mut client = server.client();
    (0..1000).for_each(|nth| drop(client.run(&format!("SET k{nth} {nth}"))));
    let scrape = Scrape::of(&server);
    let prefix = "kvns_command_duration_seconds_bucket{command=\"set\",namespace=\"default\",le=\"";
    let lines = scrape.text.lines().filter_map(|line| line.strip_prefix(prefix)?.split_once("\"} "));
    let buckets: Vec<(f64, f64)> = lines
        .map(|(bound, count)| (bound.parse().expect("a bound"), count.parse().expect("a count")))
        .collect();
    assert!(buckets.len() > 10 && buckets.is_sorted_by(|one, other| one.0 < other.0 && one.1 <= other.1));
    assert_eq!(buckets.last().map(|last| (last.0.is_infinite(), last.1)), Some((true, 1000.0)));
    assert_eq!(scrape.count("set", "default"), Some(1000.0));
    let sum = "kvns_command_duration_seconds_sum{command=\"set\",namespace=\"default\"}";
    assert!(scrape.value(sum).is_some_and(|seconds| seconds > 0.0 && seconds < 10.0));
}

#[test]
fn a_namespace_appears_at_its_first_write_and_reads_zero_without_keys() {
    let server = Server::start();
    let mut client = server.client();
    client.run("GET db1/a");
    client.run("WATCH db1/a");
    assert_eq!(Scrape::of(&server).value("kvns_keys_total{namespace=\"db1\"}"), None);
    client.run("SET db1/a 1");
    assert_eq!(Scrape::of(&server).value("kvns_keys_total{namespace=\"db1\"}"), Some(1.0));
    for end in ["DEL db1/a", "FLUSHALL"] {
        client.run("SET db1/a 1");
        client.run(end);
        let scrape = Scrape::of(&server);
        assert_eq!(scrape.value("kvns_keys_total{namespace=\"db1\"}"), Some(0.0), "{end}");
        assert_eq!(scrape.value("kvns_memory_used_bytes{namespace=\"db1\"}"), Some(0.0), "{end}");
    }
}

#[test]
fn namespaces_beyond_the_cap_are_summed_up() {
    let server = Server::start_with(&[("KVNS_METRICS_MAX_NAMESPACES", "3")]);
    let mut client = server.client();
    client.run("SET x 1");
    (0..50).for_each(|nth| drop(client.run(&format!("SET ns{nth}/x 1"))));
    let odd = vec![b"SET".to_vec(), b"\xff\"\n/x".to_vec(), b"1".to_vec()];
    assert_eq!(client.command(&odd), Value::ok());
    let scrape = Scrape::of(&server);
    let keys: Vec<(&str, f64)> = scrape
        .values
        .iter()
        .filter_map(|(series, value)| Some((series.strip_prefix("kvns_keys_total")?, *value)))
        .filter(|(series, _)| series.starts_with('{'))
        .collect();
    let expected = [
        ("{namespace=\"_other\"}", 49.0),
        ("{namespace=\"default\"}", 1.0),
        ("{namespace=\"ns0\"}", 1.0),
        ("{namespace=\"ns1\"}", 1.0),
    ];
    assert_eq!(keys, expected);
    assert_eq!(scrape.count("set", "_other"), Some(49.0));
}

#[test]
fn evictions_are_counted_by_namespace() {
    let settings = [("KVNS_MEMORY_LIMIT", "64mb"), ("KVNS_NS_EVICTION", "db1:lru")];
    let server = Server::start_with(&settings);
    let mut client = server.client();
    let value = "x".repeat(1 << 20);
    (0..100).for_each(|nth| assert_eq!(client.run(&format!("SET db1/k{nth} {value}")), Value::ok()));
    let scrape = Scrape::of(&server);
    let keys = scrape.value("kvns_keys_total{namespace=\"db1\"}").expect("keys");
    assert_eq!(scrape.value("kvns_evictions_total{namespace=\"db1\"}"), Some(100.0 - keys));
    assert!(keys < 70.0 && scrape.value("kvns_memory_limit_bytes") == Some(f64::from(64 << 20)));
}

#[test]
fn names_that_are_no_text_stay_apart() {
    let server = Server::start();
    let mut client = server.client();
    for name in [&b"\xff/x"[..], b"\\xff/x", b"a\"b/x", b"a\nb/x", b"/x", b"_other/x"] {
        client.command(&[b"SET".to_vec(), name.to_vec(), b"1".to_vec()]);
    }
    let scrape = Scrape::of(&server);
    for name in ["\\\\xff", "\\\\\\\\xff", "a\\\"b", "a\\\\nb", ""] {
        let series = format!("kvns_keys_total{{namespace=\"{name}\"}}");
        assert_eq!(scrape.value(&series), Some(1.0), "{series}");
    }
}

#[test]
fn probes_and_what_is_not_there() {
    let server = Server::start();
    let address = server.metrics_address();
    for path in ["/healthz", "/readyz"] {
        let (head, body) = get(address, path);
        assert!(head.starts_with("HTTP/1.1 200 OK") && body == "ok\n", "{path}: {head} {body}");
    }
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: k\r\nConnection: close\r\n\r\n", "404 Not Found"),
        ("GET /metrics/ HTTP/1.1\r\nHost: k\r\nConnection: close\r\n\r\n", "404 Not Found"),
        ("POST /metrics HTTP/1.1\r\nHost: k\r\nConnection: close\r\n\r\n", "405 Method Not Allowed"),
        ("GET /metrics?x=1 HTTP/1.0\r\n\r\n", "200 OK"),
        ("*1\r\n$4\r\nPING\r\n\r\n", "400 Bad Request"),
    ] {
        let (head, _) = ask(address, request);
        assert!(head.split("\r\n").next().is_some_and(|line| line.ends_with(status)), "{request}: {head}");
    }
    let (head, body) = ask(address, "HEAD /healthz HTTP/1.1\r\nHost: k\r\nConnection: close\r\n\r\n");
    assert!(head.contains("content-length: 3") && body.is_empty(), "{head}");
}

#[test]
fn connections_are_bounded_and_the_oldest_silent_one_makes_room() {
    let server = Server::start();
    let address = server.metrics_address();
    let mut held: Vec<TcpStream> =
        (0..33).map(|_| TcpStream::connect(address).expect("a connection")).collect();
    let oldest = &mut held[0];
    oldest.set_read_timeout(Some(BOUND)).expect("a bound");
    assert_eq!(oldest.read(&mut [0]).expect("closed"), 0);
    for path in ["/healthz", "/readyz", "/metrics"] {
        let (head, _) = get(address, path);
        assert!(head.starts_with("HTTP/1.1 200 OK"), "{path}: {head}");
    }
}

#[test]
fn the_health_check_exits_with_what_the_server_says() {
    let server = Server::start_with(&[("KVNS_MAX_CLIENTS", "1")]);
    let check = |port: u16| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kvns"));
        let port = port.to_string();
        command.args(["--healthcheck", "--host", "0.0.0.0", "--port", &port]).stderr(Stdio::null());
        command.status().expect("kvns runs").code()
    };
    assert_eq!(check(server.address().port()), Some(0));
    let _only = server.client().run("PING");
    assert_eq!(check(server.address().port()), Some(0), "a server with too many clients is alive");
    assert_eq!(check(server.metrics_address().port()), Some(1), "HTTP is not RESP");
    let unused =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
    assert_eq!(check(unused.port()), Some(1));
}

/// What promtool has against names that the contract fixes.
const FIXED_NAMES: &[&str] = &["kvns_keys_total", "kvns_memory_used_bytes_total"];

#[test]
fn promtool_finds_nothing_but_the_names_of_the_contract() {
    let server = Server::start();
    let mut client = server.client();
    client.run("SET db1/a 1");
    let (_, text) = get(server.metrics_address(), "/metrics");
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = promtool else {
        eprintln!("SKIPPED: promtool is not installed (package prometheus)");
        return;
    };
    promtool.stdin.take().expect("its input").write_all(text.as_bytes()).expect("written");
    let output = promtool.wait_with_output().expect("its output");
    let complaints = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let unexpected: Vec<&str> = complaints
        .lines()
        .filter(|line| !FIXED_NAMES.iter().any(|name| line.starts_with(&format!("{name} "))))
        .collect();
    assert!(unexpected.is_empty(), "{unexpected:#?}");
}

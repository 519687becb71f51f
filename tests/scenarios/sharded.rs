//! The lock-sharded store as a server: its snapshots, which either store loads, and its metrics.

use crate::support::{Server, Value};
use std::path::PathBuf;

#[test]
fn snapshots_go_from_one_store_to_the_other() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("sharded-{}", std::process::id()));
    let path = folder.join("kvns.snapshot").display().to_string();
    let large = "x".repeat(1 << 20);
    let modes: [&[(&str, &str)]; 4] = [
        &[("KVNS_SHARDED_MODE", "true")],
        &[("KVNS_SHARDED_MODE", "true"), ("KVNS_SHARED_VALUES", "false"), ("KVNS_SHARD_COUNT", "3")],
        &[],
        &[("KVNS_SHARDED_MODE", "true")],
    ];
    for (nth, mode) in modes.into_iter().enumerate() {
        let server = Server::start_with(&[&[("KVNS_PERSIST_PATH", path.as_str())], mode].concat());
        let mut client = server.client();
        for before in 0..nth {
            assert_eq!(client.run(&format!("GET a{before}")), Value::bulk(before.to_string()));
            assert_eq!(client.run(&format!("GET db{before}/l")), Value::bulk(&large));
            assert!(client.run(&format!("GET short{before}")).is_null());
        }
        let lines = [format!("MSET a{nth} {nth} db{nth}/l {large}"), format!("SET short{nth} 1 PX 1")];
        lines.iter().for_each(|line| assert_eq!(client.run(line), Value::ok()));
        server.send_sigterm();
        assert!(server.wait_for_exit().success());
    }
    std::fs::remove_dir_all(folder).expect("its folder");
}

#[test]
fn what_it_holds_is_in_the_metrics() {
    let server = Server::start_with(&[("KVNS_SHARDED_MODE", "true")]);
    let mut client = server.client();
    client.run("MSET a 1 db1/b 2");
    let (_, text) = crate::metrics::get(server.metrics_address(), "/metrics");
    for line in ["kvns_keys_total{namespace=\"_other\"} 2", "kvns_snapshots_total 0"] {
        assert!(text.lines().any(|shown| shown == line), "{line}: {text}");
    }
    assert!(client.run("DBSIZE").is_error_of("ERR unknown command"), "the baseline serves little");
}

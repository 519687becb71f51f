//! The files for containers, dashboards and alerts agree with the server: every metric and setting that they name
//! exists, and the alerts are the same wherever they stand.

use kvns::metrics::{Kind, described};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

const DASHBOARD: &str = "scripts/deploy/grafana/dashboards/kvns.json";
const ALERTS: &str = "scripts/deploy/alerts.yml";
const KUBERNETES: &str = "scripts/deploy/kubernetes.yaml";

fn read(path: &str) -> String {
    let full = format!("{}/{path}", env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(&full).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The words of a text that begin with one of `prefixes`.
fn words<'t>(text: &'t str, prefixes: &[&str]) -> BTreeSet<&'t str> {
    let words = text.split(|char: char| !char.is_ascii_alphanumeric() && char != '_');
    words.filter(|word| prefixes.iter().any(|prefix| word.starts_with(prefix))).collect()
}

/// Every name that a query may use.
fn series() -> BTreeSet<String> {
    let names = described().flat_map(|family| {
        let parts: &[&str] =
            if family.kind == Kind::Histogram { &["_bucket", "_sum", "_count"] } else { &[""] };
        parts.iter().map(move |part| format!("{}{part}", family.name))
    });
    names.collect()
}

#[test]
fn every_metric_that_is_asked_for_is_served() {
    let series = series();
    for path in [DASHBOARD, ALERTS, KUBERNETES] {
        let text = read(path);
        for word in words(&text, &["kvns_", "process_"]) {
            assert!(series.contains(word), "{path}: there is no {word}");
        }
    }
}

/// What an operator looks at stands on the dashboard.
#[test]
fn every_metric_of_the_contract_is_on_the_dashboard() {
    let text = read(DASHBOARD);
    let shown = words(&text, &["kvns_"]);
    for name in [
        "kvns_keys_total",
        "kvns_memory_used_bytes",
        "kvns_memory_used_bytes_total",
        "kvns_memory_limit_bytes",
        "kvns_command_duration_seconds_bucket",
        "kvns_evictions_total",
        "kvns_ear_evictions_total",
        "kvns_snapshot_age_seconds",
        "kvns_connected_clients",
        "kvns_cas_retries_total",
    ] {
        assert!(shown.contains(name), "{name}");
    }
}

#[test]
fn the_dashboard_is_whole() {
    let dashboard: Value = serde_json::from_str(&read(DASHBOARD)).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let (mut ids, mut places) = (BTreeSet::new(), BTreeSet::new());
    for panel in panels {
        let title = panel["title"].as_str().expect("a title");
        assert!(ids.insert(panel["id"].as_u64()), "{title}: its id stands twice");
        assert_eq!(panel["datasource"]["uid"], "prometheus", "{title}: the provisioned source");
        let targets = panel["targets"].as_array().expect("targets");
        assert!(targets.iter().all(|target| target["expr"].as_str().is_some()), "{title}");
        let place = |name: &str| panel["gridPos"][name].as_u64().expect("a place");
        for x in place("x")..place("x") + place("w") {
            for y in place("y")..place("y") + place("h") {
                assert!(x < 24 && places.insert((x, y)), "{title}: it lies over another panel");
            }
        }
    }
    assert!(panels.iter().any(|panel| panel["type"] == "heatmap"));
}

#[test]
fn every_setting_that_is_given_exists() {
    let command = kvns::config::command();
    let known: BTreeSet<&str> = command
        .get_arguments()
        .filter_map(|arg| arg.get_env()?.to_str())
        .chain(["KVNS_CONTAINER_MEMORY"])
        .collect();
    for path in ["Dockerfile", "docker-compose.yaml", KUBERNETES, "scripts/deploy/kvns.service"] {
        let text = read(path);
        for word in words(&text, &["KVNS_"]).into_iter().filter(|word| *word != "KVNS_") {
            assert!(known.contains(word), "{path}: there is no {word}");
        }
    }
}

#[test]
fn the_alerts_of_kubernetes_are_those_of_prometheus() {
    fn rules(text: &str) -> Vec<&str> {
        text.lines().map(str::trim).skip_while(|line| *line != "groups:").collect()
    }
    let (alerts, kubernetes) = (read(ALERTS), read(KUBERNETES));
    assert!(rules(&alerts).len() > 20);
    assert_eq!(rules(&alerts), rules(&kubernetes));
}

#[test]
fn promtool_accepts_configuration_and_rules() {
    for (kind, path) in [("config", "scripts/deploy/prometheus.yml"), ("rules", ALERTS)] {
        let file = format!("{}/{path}", env!("CARGO_MANIFEST_DIR"));
        let Ok(output) = Command::new("promtool").args(["check", kind, &file]).output() else {
            eprintln!("SKIPPED: promtool is not installed (package prometheus)");
            return;
        };
        assert!(output.status.success(), "{path}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

use super::*;

fn parse(args: &[&str]) -> Result<Settings, Refusal> {
    let args = std::iter::once("kvns").chain(args.iter().copied()).map(OsString::from);
    Settings::parse(command_without_environment(), args, || Some(10 << 30))
}

fn refused(args: &[&str]) -> String {
    let line = parse(args).expect_err("a refusal").to_string();
    assert_eq!(line.lines().count(), 1, "{line}");
    line
}

#[test]
fn the_defaults() {
    let settings = Settings::default();
    assert_eq!(settings.log, "info");
    assert_eq!(settings.log_format, LogFormat::Text);
    assert_eq!((settings.host.as_str(), settings.port), ("0.0.0.0", 6480));
    assert_eq!((settings.metrics_host.as_str(), settings.metrics_port), ("0.0.0.0", 9090));
    assert_eq!(settings.memory_limit, 1 << 30);
    assert_eq!(settings.max_clients, 10_000);
    assert_eq!(settings.limits, Limits::default());
    assert!(settings.workers >= 1);
    assert_eq!(settings.timeout_s, 0);
    assert!(!settings.debug_commands);
}

#[test]
fn flags_of_every_kind() {
    let settings = parse(&[
        "--log=kvns=debug",
        "--log-format=JSON",
        "--port",
        "7000",
        "--memory-limit=512mb",
        "--max-clients=5",
        "--max-resp-bulk-len=1kb",
        "--workers=3",
        "--timeout=60",
        "--debug-commands",
    ])
    .expect("settings");
    assert_eq!(settings.log, "kvns=debug");
    assert_eq!(settings.log_format, LogFormat::Json);
    assert_eq!(settings.port, 7000);
    assert_eq!(settings.memory_limit, 512 << 20);
    assert_eq!(settings.max_clients, 5);
    assert_eq!(settings.limits.bulk_len, 1024);
    assert_eq!((settings.workers, settings.timeout_s, settings.debug_commands), (3, 60, true));
}

#[test]
fn memory_units_are_those_of_redis() {
    for (text, bytes) in [
        ("1", 1),
        ("2b", 2),
        ("3k", 3000),
        ("3KB", 3072),
        ("2m", 2_000_000),
        ("2Mb", 2 << 20),
        ("1g", 1_000_000_000),
    ] {
        assert_eq!(parse(&["--memory-limit", text]).expect("settings").memory_limit, bytes, "{text}");
    }
}

#[test]
fn a_given_memory_limit_is_capped_and_zero_means_the_cap() {
    let cap = (10u64 << 30) / 10 * 7;
    assert_eq!(parse(&["--memory-limit=100gb"]).expect("settings").memory_limit, cap);
    assert_eq!(parse(&["--memory-limit=0"]).expect("settings").memory_limit, cap);
    assert_eq!(parse(&[]).expect("settings").memory_limit, 1 << 30);
    let small = |args: &[&str]| {
        let args = std::iter::once("kvns").chain(args.iter().copied()).map(OsString::from);
        Settings::parse(command_without_environment(), args, || Some(1000)).expect("settings").memory_limit
    };
    assert_eq!((small(&[]), small(&["--memory-limit=1gb"])), (700, 700));
}

#[test]
fn a_bad_value_is_one_line_with_variable_value_and_expectation() {
    assert_eq!(
        refused(&["--port=65536"]),
        "invalid value \"65536\" for KVNS_PORT (--port): expected a whole number from 0 to 65535"
    );
    assert_eq!(
        refused(&["--log-format=xml"]),
        "invalid value \"xml\" for KVNS_LOG_FORMAT (--log-format): expected text or json"
    );
    assert_eq!(
        refused(&["--debug-commands=perhaps"]),
        "invalid value \"perhaps\" for KVNS_DEBUG_COMMANDS (--debug-commands): expected true or false"
    );
}

#[test]
fn every_number_is_bounded() {
    for (flag, bad) in [
        ("port", "-1"),
        ("port", "+1"),
        ("port", ""),
        ("metrics-port", "99999999999999999999"),
        ("memory-limit", "1tb"),
        ("memory-limit", "-1"),
        ("memory-limit", "mb"),
        ("memory-limit", "99999999999999gb"),
        ("max-clients", "0"),
        ("max-resp-args", "0"),
        ("max-resp-bulk-len", "1gb"),
        ("max-resp-inline-len", "1"),
        ("workers", "0"),
        ("timeout", "1.5"),
        ("host", ""),
        ("log", "kvns=loud"),
        ("log", ""),
    ] {
        let line = refused(&[&format!("--{flag}={bad}")]);
        let variable = format!("KVNS_{}", flag.to_uppercase().replace('-', "_"));
        assert!(line.contains(&variable) && line.contains(&format!("\"{bad}\"")), "{line}");
        assert!(line.contains("expected "), "{line}");
    }
}

#[test]
fn other_mistakes_are_one_line_too() {
    assert_eq!(refused(&["--prot=1"]), "unexpected argument '--prot' found");
    assert_eq!(refused(&["--port"]), "KVNS_PORT (--port) needs a value");
    assert!(refused(&["serve"]).contains("'serve'"));
}

#[test]
fn every_setting_has_a_variable_named_like_its_flag_and_help() {
    // What is no setting but another thing to do has no variable.
    for arg in
        command().get_arguments().filter(|arg| !["healthcheck", "check"].contains(&arg.get_id().as_str()))
    {
        let long = arg.get_long().expect("a flag");
        let variable = format!("KVNS_{}", long.to_uppercase().replace('-', "_"));
        assert_eq!(arg.get_env().and_then(|name| name.to_str()), Some(variable.as_str()));
        assert!(arg.get_help().is_some(), "{long}");
    }
}

#[test]
fn a_typo_in_a_variable_is_not_silent() {
    let names = ["KVNS_PROT", "KVNS_PORT", "PATH", "KVNS_SOMETHING_ELSE"];
    assert_eq!(
        unknown_variables(names.map(|name| (OsString::from(name), OsString::from("7")))),
        [
            "unknown setting KVNS_PROT; ignored (did you mean KVNS_PORT?)",
            "unknown setting KVNS_SOMETHING_ELSE; ignored"
        ]
    );
}

#[test]
fn what_kubernetes_says_of_services_is_passed_over_in_one_line() {
    let links = [
        ("KVNS_PORT", "tcp://10.0.0.1:6480"),
        ("KVNS_METRICS_PORT", "udp://10.0.0.1:9090"),
        ("KVNS_SERVICE_HOST", "10.0.0.1"),
        ("KVNS_SERVICE_PORT", "6480"),
        ("KVNS_SERVICE_PORT_RESP", "6480"),
        ("KVNS_PORT_6480_TCP", "tcp://10.0.0.1:6480"),
        ("KVNS_PORT_6480_TCP_ADDR", "10.0.0.1"),
    ];
    let settings =
        [("KVNS_PORT", "6480"), ("KVNS_HOST", "tcp://a"), ("KVNS_PORT_FORWARD", "1"), ("KVNS_PORT_1_A", "1")];
    let os = |(name, value): (&str, &str)| (OsString::from(name), OsString::from(value));
    for (name, value) in links.map(os) {
        assert!(links::is_link(&name, &value), "{name:?}");
    }
    for (name, value) in settings.map(os) {
        assert!(!links::is_link(&name, &value), "{name:?}");
    }
    let warnings = unknown_variables(links.map(os));
    assert!(warnings.len() == 1 && links.iter().all(|(name, _)| warnings[0].contains(name)), "{warnings:?}");
}

//! Every setting once: variable, flag, default, bounds, help. A bad value stops the start.
//!
//! [`Arguments`] is the table: clap reads flags and `KVNS_*` variables through it, `kvns --help` prints it, and
//! the table in the README is generated from it. [`Settings`] is what the rest of the server sees.

pub mod bounds;
mod eviction;
mod links;
mod parse;
mod policy;

use crate::memory::{cgroup, limit};
use crate::resp::Limits;
use bounds::Bounds;
use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, FromArgMatches, Parser};
pub use eviction::{ByNamespace, EvictionRules, POLICIES, fraction, policies, quotas, shown};
use parse::{boolean, host, log_filter};
pub use parse::{byte_count, client_memory};
pub use policy::{NO_QUOTA, NamespaceRules, Policy};
use std::error::Error;
use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// What every variable of this program begins with.
const PREFIX: &str = "KVNS_";

/// The exit code of a start that a bad setting stopped, as usual for a usage error.
const USAGE_EXIT_CODE: u8 = 2;

/// A Redis-compatible, lock-free, multi-tenant in-memory key-value server.
///
/// Every setting is an environment variable and a flag; the flag wins.
#[derive(Debug, Parser)]
#[command(name = "kvns", version, max_term_width = 110, hide_possible_values = true)]
struct Arguments {
    /// Log filter: a level (error, warn, info, debug, trace) or targets with levels, such as kvns=debug
    #[arg(long, env = "KVNS_LOG", value_name = "FILTER", default_value = "info", value_parser = log_filter)]
    log: String,

    /// Form of the log lines: text or json
    #[arg(long, env = "KVNS_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    #[arg(value_parser = parse::log_format)]
    log_format: LogFormat,

    /// Address or name the server listens on
    #[arg(long, env = "KVNS_HOST", value_name = "HOST", default_value = "0.0.0.0", value_parser = host)]
    host: String,

    /// Port the server listens on; 0 takes any free one
    #[arg(long, env = "KVNS_PORT", value_name = "PORT", default_value = "6480")]
    #[arg(value_parser = Bounds::whole(0, 65_535).parser::<u16>())]
    port: u16,

    /// Memory limit in bytes, or with a unit, such as 512mb or 2gb. It is capped at 70% of the memory of the
    /// container or else the machine; 0 means that cap. CONFIG SET maxmemory changes it
    #[arg(long, env = "KVNS_MEMORY_LIMIT", value_name = "BYTES", default_value = "1073741824")]
    #[arg(value_parser = bounds::MEMORY_LIMIT.parser::<u64>())]
    memory_limit: u64,

    /// What clients may make the server hold (requests that arrived in part, replies that they do not read, queued
    /// commands): bytes, or a percentage of the memory limit, which is at least two of the largest arguments. Beyond it the
    /// largest clients are closed; 0 means no limit. CONFIG SET maxmemory-clients changes it
    #[arg(long, env = "KVNS_MAXMEMORY_CLIENTS", value_name = "BYTES", default_value = "10%")]
    #[arg(value_parser = parse::client_memory)]
    maxmemory_clients: ClientMemory,

    /// Which keys go when a write finds no room, always of its own namespace: none (the write is refused), lru
    /// (those used least; lfu is the same), mru (those used most) or ear (each soon after it was read)
    #[arg(long, env = "KVNS_EVICTION_POLICY", value_name = "POLICY", default_value = "none")]
    #[arg(value_parser = eviction::policy)]
    eviction_policy: Policy,

    /// Fraction of the memory limit at which eviction starts
    #[arg(long, env = "KVNS_EVICTION_THRESHOLD", value_name = "FRACTION", default_value = "1.0")]
    #[arg(value_parser = eviction::fraction)]
    eviction_threshold: f64,

    /// Policies of single namespaces, such as ns1:lru,ns2:mru
    #[arg(long, env = "KVNS_NS_EVICTION", value_name = "LIST", value_parser = policy_list)]
    ns_eviction: Option<ByNamespace<Policy>>,

    /// Bytes that the keys of single namespaces may take, such as ns1:256mb,ns2:1gb; beyond them the namespace's
    /// policy applies as beyond the memory limit
    #[arg(long, env = "KVNS_NS_MEMORY_LIMIT", value_name = "LIST", value_parser = quota_list)]
    ns_memory_limit: Option<ByNamespace<u64>>,

    /// Address or name on which /metrics, /healthz and /readyz are served over HTTP
    #[arg(long, env = "KVNS_METRICS_HOST", value_name = "HOST", default_value = "0.0.0.0", value_parser = host)]
    metrics_host: String,

    /// Port on which they are served; 0 takes any free one
    #[arg(long, env = "KVNS_METRICS_PORT", value_name = "PORT", default_value = "9090")]
    #[arg(value_parser = Bounds::whole(0, 65_535).parser::<u16>())]
    metrics_port: u16,

    /// Namespaces with series of their own in /metrics; the rest is summed up under namespace="_other"
    #[arg(long, env = "KVNS_METRICS_MAX_NAMESPACES", value_name = "COUNT", default_value = "1000")]
    #[arg(value_parser = Bounds::whole(1, 100_000).parser::<usize>())]
    metrics_max_namespaces: usize,

    /// The snapshot file: written at every interval, by SAVE, BGSAVE and SHUTDOWN and at the end, loaded at the start.
    /// Without it nothing is kept
    #[arg(long, env = "KVNS_PERSIST_PATH", value_name = "FILE", value_parser = parse::file)]
    persist_path: Option<PathBuf>,

    /// Seconds between two snapshots; 0 for none but those that are asked for. One is left out if nothing has changed.
    /// CONFIG SET save changes it
    #[arg(long, env = "KVNS_PERSIST_INTERVAL", value_name = "SECONDS", default_value = "300")]
    #[arg(value_parser = bounds::PERSIST_INTERVAL.parser::<u64>())]
    persist_interval: u64,

    /// Bytes that may be kept because they were overwritten or deleted while a snapshot is taken; beyond it the snapshot
    /// is given up. Without it three tenths of the memory limit
    #[arg(long, env = "KVNS_SNAPSHOT_RETAIN_LIMIT", value_name = "BYTES", value_parser = bounds::SNAPSHOT_RETAIN_LIMIT.parser::<u64>())]
    snapshot_retain_limit: Option<u64>,

    /// Whether a snapshot shares values with the store instead of copying them: true or false. The lock-free store
    /// always shares
    #[arg(long, env = "KVNS_SHARED_VALUES", value_name = "BOOL", default_value = "true")]
    #[arg(num_args = 0..=1, default_missing_value = "true", value_parser = boolean)]
    shared_values: bool,

    /// Whether to serve strings from the lock-sharded store instead, a baseline to compare with: true or false
    #[arg(long, env = "KVNS_SHARDED_MODE", value_name = "BOOL", default_value = "false")]
    #[arg(num_args = 0..=1, default_missing_value = "true", value_parser = boolean)]
    sharded_mode: bool,

    /// Shards of the lock-sharded store; without it four for each core
    #[arg(long, env = "KVNS_SHARD_COUNT", value_name = "COUNT")]
    #[arg(value_parser = Bounds::whole(1, 65_536).parser::<usize>())]
    shard_count: Option<usize>,

    /// Verifies a snapshot file, prints what it has by namespace and type, and exits with 0 or 1
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,

    /// Clients connected at once; one more is told "ERR max number of clients reached" and closed
    #[arg(long, env = "KVNS_MAX_CLIENTS", value_name = "COUNT", default_value = "10000")]
    #[arg(value_parser = bounds::MAX_CLIENTS.parser::<usize>())]
    max_clients: usize,

    /// Arguments in one command
    #[arg(long, env = "KVNS_MAX_RESP_ARGS", value_name = "COUNT", default_value = "1024")]
    #[arg(value_parser = bounds::MAX_RESP_ARGS.parser::<usize>())]
    max_resp_args: usize,

    /// Bytes in one bulk string
    #[arg(long, env = "KVNS_MAX_RESP_BULK_LEN", value_name = "BYTES", default_value = "16777216")]
    #[arg(value_parser = bounds::MAX_RESP_BULK_LEN.parser::<usize>())]
    max_resp_bulk_len: usize,

    /// Bytes in one inline command or header line
    #[arg(long, env = "KVNS_MAX_RESP_INLINE_LEN", value_name = "BYTES", default_value = "65536")]
    #[arg(value_parser = bounds::MAX_RESP_INLINE_LEN.parser::<usize>())]
    max_resp_inline_len: usize,

    /// Worker threads; without it one for each core
    #[arg(long, env = "KVNS_WORKERS", value_name = "COUNT")]
    #[arg(value_parser = Bounds::whole(1, 1024).parser::<usize>())]
    workers: Option<usize>,

    /// Seconds after which an idle client is closed; 0 means never
    #[arg(long, env = "KVNS_TIMEOUT", value_name = "SECONDS", default_value = "0")]
    #[arg(value_parser = bounds::TIMEOUT.parser::<u64>())]
    timeout: u64,

    /// Bytes of published messages that may wait for one subscriber; one more, and it is closed. CONFIG SET
    /// client-output-buffer-limit changes it
    #[arg(long, env = "KVNS_PUBSUB_LIMIT", value_name = "BYTES", default_value = "33554432")]
    #[arg(value_parser = bounds::PUBSUB_LIMIT.parser::<usize>())]
    pubsub_limit: usize,

    /// Microseconds from which on a command enters the slow log; -1 means none does
    #[arg(long, env = "KVNS_SLOWLOG_LOG_SLOWER_THAN", value_name = "MICROSECONDS", default_value = "10000")]
    #[arg(allow_negative_numbers = true, value_parser = bounds::SLOWLOG_LOG_SLOWER_THAN.parser::<i64>())]
    slowlog_log_slower_than: i64,

    /// Entries that the slow log keeps
    #[arg(long, env = "KVNS_SLOWLOG_MAX_LEN", value_name = "COUNT", default_value = "128")]
    #[arg(value_parser = bounds::SLOWLOG_MAX_LEN.parser::<usize>())]
    slowlog_max_len: usize,

    /// Milliseconds from which on a command is a latency event; 0 means that there are none
    #[arg(long, env = "KVNS_LATENCY_MONITOR_THRESHOLD", value_name = "MILLISECONDS", default_value = "0")]
    #[arg(value_parser = bounds::LATENCY_MONITOR_THRESHOLD.parser::<u64>())]
    latency_monitor_threshold: u64,

    /// Whether clients of other machines may use DEBUG, as those of this one always may: true or false
    #[arg(long, env = "KVNS_DEBUG_COMMANDS", value_name = "BOOL", default_value = "false")]
    #[arg(num_args = 0..=1, default_missing_value = "true", value_parser = boolean)]
    debug_commands: bool,

    /// Asks the server that runs with these settings whether it answers, and exits with 0 or 1
    #[arg(long)]
    healthcheck: bool,
}

fn policy_list(text: &str) -> Result<ByNamespace<Policy>, String> {
    eviction::policies(text.as_bytes())
}

fn quota_list(text: &str) -> Result<ByNamespace<u64>, String> {
    eviction::quotas(text.as_bytes())
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One line of text for an event.
    Text,
    /// One JSON object for an event.
    Json,
}

/// What clients may make the server hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientMemory {
    /// Bytes; 0 for no limit.
    Bytes(u64),
    /// Hundredths of the memory limit, and at least two of the largest arguments.
    Percent(u8),
}

impl fmt::Display for ClientMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientMemory::Bytes(bytes) => write!(f, "{bytes}"),
            ClientMemory::Percent(part) => write!(f, "{part}%"),
        }
    }
}

/// Bytes of output that a client may leave unread for some time only; 0 bytes for no such limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SoftLimit {
    /// The bytes.
    pub bytes: u64,
    /// The time.
    pub seconds: u64,
}

/// Every setting, checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Log filter directives (`KVNS_LOG`).
    pub log: String,
    /// Form of the log lines (`KVNS_LOG_FORMAT`).
    pub log_format: LogFormat,
    /// Address or name of the RESP listener (`KVNS_HOST`).
    pub host: String,
    /// Port of the RESP listener, 0 for any (`KVNS_PORT`).
    pub port: u16,
    /// Memory limit in bytes after the cap, never 0 (`KVNS_MEMORY_LIMIT`).
    pub memory_limit: u64,
    /// What clients may make the server hold (`KVNS_MAXMEMORY_CLIENTS`).
    pub client_memory: ClientMemory,
    /// What goes when there is no room, and what each namespace may take.
    pub eviction: EvictionRules,
    /// Address or name of the metrics listener (`KVNS_METRICS_HOST`).
    pub metrics_host: String,
    /// Port of the metrics listener (`KVNS_METRICS_PORT`).
    pub metrics_port: u16,
    /// Namespaces with series of their own in the metrics (`KVNS_METRICS_MAX_NAMESPACES`).
    pub metrics_max_namespaces: usize,
    /// The snapshot file (`KVNS_PERSIST_PATH`).
    pub persist_path: Option<PathBuf>,
    /// Seconds between two snapshots, 0 for never (`KVNS_PERSIST_INTERVAL`).
    pub persist_interval_s: u64,
    /// Bytes that may be kept for a snapshot (`KVNS_SNAPSHOT_RETAIN_LIMIT`).
    pub snapshot_retain_limit: u64,
    /// What `KVNS_SHARED_VALUES` says.
    pub shared_values: bool,
    /// Whether the lock-sharded store serves (`KVNS_SHARDED_MODE`).
    pub sharded_mode: bool,
    /// Its shards (`KVNS_SHARD_COUNT`).
    pub shard_count: usize,
    /// A snapshot to be verified, instead of serving (`--check`).
    pub check: Option<PathBuf>,
    /// Clients connected at once (`KVNS_MAX_CLIENTS`).
    pub max_clients: usize,
    /// Limits on one request (`KVNS_MAX_RESP_ARGS`, `_BULK_LEN`, `_INLINE_LEN`).
    pub limits: Limits,
    /// Worker threads (`KVNS_WORKERS`).
    pub workers: usize,
    /// Seconds until an idle client is closed, 0 for never (`KVNS_TIMEOUT`).
    pub timeout_s: u64,
    /// Bytes of messages that may wait for one subscriber (`KVNS_PUBSUB_LIMIT`).
    pub pubsub_limit: usize,
    /// Bytes beyond which a subscriber is closed if it stays there.
    pub pubsub_soft: SoftLimit,
    /// Bytes of a reply from which on it is refused, if its command changes nothing; 0 for none.
    pub normal_limit: u64,
    /// Bytes of unread replies beyond which a client is closed if it stays there.
    pub normal_soft: SoftLimit,
    /// Microseconds from which on a command enters the slow log, negative for never
    /// (`KVNS_SLOWLOG_LOG_SLOWER_THAN`).
    pub slowlog_us: i64,
    /// Entries that the slow log keeps (`KVNS_SLOWLOG_MAX_LEN`).
    pub slowlog_max_len: usize,
    /// Milliseconds from which on a command is a latency event, 0 for never (`KVNS_LATENCY_MONITOR_THRESHOLD`).
    pub latency_ms: u64,
    /// Whether clients of other machines may use DEBUG (`KVNS_DEBUG_COMMANDS`).
    pub debug_commands: bool,
    /// True if a running server is to be asked for its health, instead of being one (`--healthcheck`).
    pub healthcheck: bool,
}

impl Settings {
    /// The settings of this process: its arguments, then its environment, then the defaults.
    pub fn from_process() -> Result<Settings, Refusal> {
        let command = command().mut_args(|arg| {
            let value = arg.get_env().and_then(|name| Some((name, std::env::var_os(name)?)));
            match value {
                Some((name, value)) if value.is_empty() || links::is_link(name, &value) => {
                    arg.env(Resettable::Reset)
                }
                _ => arg,
            }
        });
        Settings::parse(command, std::env::args_os(), cgroup::detected)
    }

    /// Bytes that clients may make the server hold; [`u64::MAX`] for no limit.
    pub fn client_share(&self) -> u64 {
        match self.client_memory {
            ClientMemory::Bytes(0) => u64::MAX,
            ClientMemory::Bytes(bytes) => bytes,
            // Two of the largest arguments can always arrive.
            ClientMemory::Percent(part) => {
                (self.memory_limit / 100 * u64::from(part)).max(2 * self.limits.bulk_len as u64)
            }
        }
    }

    /// Bytes that data may take: what clients may hold of the memory limit, up to a tenth of it, is theirs.
    pub fn data_limit(&self) -> u64 {
        let tenth = self.memory_limit / 10;
        let share = if self.client_share() == u64::MAX { 0 } else { self.client_share() };
        self.memory_limit - share.min(tenth)
    }

    fn parse(
        command: clap::Command,
        args: impl IntoIterator<Item = OsString>,
        detected_memory: impl FnOnce() -> Option<u64>,
    ) -> Result<Settings, Refusal> {
        let matches = command.try_get_matches_from(args).map_err(Refusal)?;
        let arguments = Arguments::from_arg_matches(&matches).map_err(Refusal)?;
        let memory_limit = limit::capped(arguments.memory_limit, detected_memory());
        Ok(Settings {
            log: arguments.log,
            log_format: arguments.log_format,
            host: arguments.host,
            port: arguments.port,
            memory_limit,
            client_memory: arguments.maxmemory_clients,
            eviction: EvictionRules {
                policy: arguments.eviction_policy,
                threshold: arguments.eviction_threshold,
                policies: arguments.ns_eviction.unwrap_or_default(),
                quotas: arguments.ns_memory_limit.unwrap_or_default(),
            },
            metrics_host: arguments.metrics_host,
            metrics_port: arguments.metrics_port,
            metrics_max_namespaces: arguments.metrics_max_namespaces,
            persist_path: arguments.persist_path,
            persist_interval_s: arguments.persist_interval,
            snapshot_retain_limit: arguments.snapshot_retain_limit.unwrap_or(memory_limit / 10 * 3),
            shared_values: arguments.shared_values,
            sharded_mode: arguments.sharded_mode,
            shard_count: arguments.shard_count.unwrap_or_else(|| 4 * cores()),
            check: arguments.check,
            max_clients: arguments.max_clients,
            limits: Limits {
                args: arguments.max_resp_args,
                bulk_len: arguments.max_resp_bulk_len,
                inline_len: arguments.max_resp_inline_len,
            },
            workers: arguments.workers.unwrap_or_else(cores),
            timeout_s: arguments.timeout,
            pubsub_limit: arguments.pubsub_limit,
            pubsub_soft: SoftLimit::default(),
            normal_limit: 0,
            normal_soft: SoftLimit::default(),
            slowlog_us: arguments.slowlog_log_slower_than,
            slowlog_max_len: arguments.slowlog_max_len,
            latency_ms: arguments.latency_monitor_threshold,
            debug_commands: arguments.debug_commands,
            healthcheck: arguments.healthcheck,
        })
    }
}

impl Default for Settings {
    /// The defaults, whatever the environment says.
    fn default() -> Settings {
        let name = OsString::from("kvns");
        Settings::parse(command_without_environment(), [name], || None)
            .expect("the defaults are valid settings")
    }
}

/// The command line of `kvns`: every setting with its variable, flag, default and help. For documentation.
pub fn command() -> clap::Command {
    Arguments::command().mut_args(|arg| arg.hide_env_values(true))
}

fn command_without_environment() -> clap::Command {
    Arguments::command().mut_args(|arg| arg.env(Resettable::Reset))
}

/// The limit that a configured one comes to on this machine: no more than 70% of its memory, which 0 stands for.
pub fn capped_memory_limit(configured: u64) -> u64 {
    limit::capped(configured, cgroup::detected())
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Why there are no settings: a bad value, or a request for the help or the version.
#[derive(Debug)]
pub struct Refusal(clap::Error);

impl Refusal {
    /// Prints the help or the version to standard output, or one line about the bad value to standard error.
    /// Returns the exit code that goes with it.
    pub fn report(&self) -> ExitCode {
        match self.0.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                // Nobody is left to tell when standard output is closed.
                let _ = self.0.print();
                ExitCode::SUCCESS
            }
            _ => {
                // Nobody is left to tell when standard error is closed.
                let _ = writeln!(io::stderr(), "kvns: {self}");
                ExitCode::from(USAGE_EXIT_CODE)
            }
        }
    }

    fn text(&self, kind: ContextKind) -> Option<&str> {
        match self.0.get(kind) {
            Some(ContextValue::String(text)) => Some(text),
            _ => None,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let expected = self.0.source().map(|source| source.to_string());
        let variable = self.text(ContextKind::InvalidArg).and_then(variable_of);
        match (variable, self.text(ContextKind::InvalidValue), expected) {
            (Some((variable, flag)), Some(value), Some(expected)) => {
                write!(
                    f,
                    "invalid value \"{}\" for {variable} ({flag}): expected {expected}",
                    value.escape_debug()
                )
            }
            (Some((variable, flag)), _, _) => write!(f, "{variable} ({flag}) needs a value"),
            _ => {
                let rendered = self.0.render().to_string();
                let line = rendered.lines().next().unwrap_or("invalid arguments");
                f.write_str(line.strip_prefix("error: ").unwrap_or(line))
            }
        }
    }
}

impl Error for Refusal {}

/// The variable and the flag of an argument that clap names as `--flag <VALUE>`.
fn variable_of(usage: &str) -> Option<(String, String)> {
    let flag = usage.split([' ', '[', '=']).next()?;
    let long = flag.strip_prefix("--")?;
    let command = command();
    let arg = command.get_arguments().find(|arg| arg.get_long() == Some(long))?;
    Some((arg.get_env()?.to_str()?.to_owned(), flag.to_owned()))
}

/// A warning for each of `variables` that looks like a setting and is none, for a typo must not be silent; and one for
/// all that Kubernetes has set for services with such names.
pub fn unknown_variables(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Vec<String> {
    let command = command();
    let known: Vec<&str> = command
        .get_arguments()
        .filter_map(|arg| arg.get_env()?.to_str())
        .filter(|name| name.starts_with(PREFIX))
        .collect();
    let (mut links, mut unknown) = (Vec::new(), Vec::new());
    for (name, value) in variables {
        let text = name.to_string_lossy().into_owned();
        if !text.starts_with(PREFIX) {
        } else if links::is_link(&name, &value) {
            links.push(text);
        } else if !known.contains(&text.as_str()) {
            unknown.push(text);
        }
    }
    unknown.sort();
    let mut warnings: Vec<String> = unknown.iter().map(|name| unknown_variable(name, &known)).collect();
    if !links.is_empty() {
        links.sort();
        warnings.push(format!(
            "passed over, because Kubernetes sets them for a service of that name: {} (enableServiceLinks: false in \
             the pod's spec keeps them away)",
            links.join(", ")
        ));
    }
    warnings
}

fn unknown_variable(name: &str, known: &[&str]) -> String {
    // More than a few wrong letters is another word, not a typo.
    const FURTHEST_TYPO: usize = 3;
    let nearest = known.iter().map(|known| (strsim::damerau_levenshtein(name, known), known)).min();
    match nearest {
        Some((distance, nearest)) if distance <= FURTHEST_TYPO => {
            format!("unknown setting {name}; ignored (did you mean {nearest}?)")
        }
        _ => format!("unknown setting {name}; ignored"),
    }
}

#[cfg(test)]
mod tests;

//! The settings: every one is a flag and a `KVNS_*` variable; a bad value stops the start.
//!
//! [`table`] has each of them once. [`Settings`] is what the rest of the server sees.

pub mod bounds;
mod eviction;
mod links;
mod parse;
mod policy;
pub mod table;

use crate::memory::{cgroup, limit};
use crate::resp::Limits;
use bounds::Invalid;
use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction};
pub use eviction::{ByNamespace, EvictionRules};
pub use parse::byte_count;
pub use policy::{NO_QUOTA, NamespaceRules, Policy};
use std::error::Error;
use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use table::{SETTINGS, Setting};

/// The flags that ask for something else than serving.
const CHECK: &str = "check";
const HEALTHCHECK: &str = "healthcheck";

/// The prefix of all variables.
const PREFIX: &str = "KVNS_";

/// Bytes that a request may take beside its largest argument: its other arguments, and the connection's buffers.
const BESIDE_ARGUMENT: u64 = 1 << 20;

/// The exit code of a start that a bad setting stopped, as usual for a usage error.
const USAGE_EXIT_CODE: u8 = 2;

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One line of text for an event.
    Text,
    /// One JSON object for an event.
    Json,
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        })
    }
}

/// The share of clients in the memory.
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
    /// Whether a snapshot of the lock-sharded store shares values (`KVNS_SHARED_VALUES`).
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
    ///
    /// # Errors
    /// A value is refused, or the help or the version was asked for.
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
            // Two requests with the largest argument can always arrive.
            ClientMemory::Percent(part) => {
                let least = 2 * (self.limits.bulk_len as u64 + BESIDE_ARGUMENT);
                (self.memory_limit / 100 * u64::from(part)).max(least)
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
        let mut settings = Settings::blank();
        for setting in SETTINGS {
            if let Some(value) = setting.given(&matches) {
                let refused =
                    |Invalid { reason, .. }| Refusal(clap::Error::raw(ErrorKind::InvalidValue, reason));
                setting.set(&mut settings, value.as_bytes()).map_err(refused)?;
            }
        }
        settings.memory_limit = limit::capped(settings.memory_limit, detected_memory());
        if !matches.contains_id("snapshot-retain-limit") {
            settings.snapshot_retain_limit = settings.memory_limit / 10 * 3;
        }
        settings.check = matches.get_one(CHECK).cloned();
        settings.healthcheck = matches.get_flag(HEALTHCHECK);
        Ok(settings)
    }

    /// Settings before any are read.
    fn blank() -> Settings {
        Settings {
            log: String::new(),
            log_format: LogFormat::Text,
            host: String::new(),
            port: 0,
            memory_limit: 0,
            client_memory: ClientMemory::Bytes(0),
            eviction: EvictionRules::default(),
            metrics_host: String::new(),
            metrics_port: 0,
            metrics_max_namespaces: 0,
            persist_path: None,
            persist_interval_s: 0,
            snapshot_retain_limit: 0,
            shared_values: false,
            sharded_mode: false,
            shard_count: 4 * cores(),
            check: None,
            max_clients: 0,
            limits: Limits::default(),
            workers: cores(),
            timeout_s: 0,
            pubsub_limit: 0,
            pubsub_soft: SoftLimit::default(),
            normal_limit: 0,
            normal_soft: SoftLimit::default(),
            slowlog_us: 0,
            slowlog_max_len: 0,
            latency_ms: 0,
            debug_commands: false,
            healthcheck: false,
        }
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
    let check = Arg::new(CHECK).long(CHECK).value_name("FILE").value_parser(clap::value_parser!(PathBuf));
    let healthcheck = Arg::new(HEALTHCHECK).long(HEALTHCHECK).action(ArgAction::SetTrue);
    clap::Command::new("kvns")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A Redis-compatible, lock-free, multi-tenant in-memory key-value server.")
        .long_about(
            "A Redis-compatible, lock-free, multi-tenant in-memory key-value server.\n\n\
             Every setting is an environment variable and a flag; the flag wins.",
        )
        .max_term_width(110)
        .args(SETTINGS.iter().filter_map(Setting::argument))
        .arg(check.help(
            "Verifies a snapshot file, prints what it has by namespace and type, and exits with 0 or 1",
        ))
        .arg(
            healthcheck.help(
                "Asks the server that runs with these settings whether it answers, and exits with 0 or 1",
            ),
        )
        .mut_args(|arg| arg.hide_env_values(true))
}

fn command_without_environment() -> clap::Command {
    command().mut_args(|arg| arg.env(Resettable::Reset))
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
                // A closed standard output leaves nobody to tell.
                let _ = self.0.print();
                ExitCode::SUCCESS
            }
            _ => {
                // A closed standard error leaves nobody to tell.
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

//! The table of settings. The start, `kvns --help`, CONFIG GET, CONFIG SET and REFERENCE.md are made from it, so a setting
//! is described, read and bounded in one place.

use super::bounds::{Bounds, Invalid};
use super::eviction::{POLICIES, fraction, policies, quotas, shown};
use super::parse::{boolean, client_memory, file, host, log_filter, log_format};
use super::{ClientMemory, LogFormat, Policy, Settings, SoftLimit};
use clap::Arg;
use std::path::{Path, PathBuf};

/// A setting.
pub struct Setting {
    /// The flag without its dashes; the variable is named like it. `None` if only CONFIG has the setting.
    flag: Option<&'static str>,
    /// What the help calls the value.
    value: &'static str,
    /// The value without flag and variable; `None` if there is none, or if it depends on the machine.
    default: Option<&'static str>,
    help: &'static str,
    /// The name that CONFIG GET has for it, if it shows it.
    pub config: Option<&'static str>,
    /// True if CONFIG SET may change it.
    pub can_change: bool,
    access: Access,
}

/// How a setting is shown and read.
struct Access {
    get: fn(&Settings) -> String,
    set: fn(&mut Settings, &[u8]) -> Result<(), Invalid>,
}

impl Setting {
    /// The value as CONFIG GET shows it.
    pub fn get(&self, settings: &Settings) -> String {
        (self.access.get)(settings)
    }

    /// Reads a value into `settings`.
    ///
    /// # Errors
    /// The setting can't have this value; nothing has changed then.
    pub fn set(&self, settings: &mut Settings, value: &[u8]) -> Result<(), Invalid> {
        (self.access.set)(settings, value)
    }

    /// The setting's argument of the command line, if it has one.
    pub(super) fn argument(&'static self) -> Option<Arg> {
        let flag = self.flag?;
        let read = |text: &str| match self.set(&mut Settings::blank(), text.as_bytes()) {
            Ok(()) => Ok(text.to_owned()),
            Err(invalid) => Err(invalid.expected),
        };
        let mut arg = Arg::new(flag).long(flag).env(variable(flag)).help(self.help).value_parser(read);
        arg = arg.value_name(self.value).allow_negative_numbers(true);
        if self.value == BOOL {
            arg = arg.num_args(0..=1).default_missing_value("true");
        }
        Some(match self.default {
            Some(default) => arg.default_value(default),
            None => arg,
        })
    }

    /// The value that the command line or the environment has for it, or the default.
    pub(super) fn given<'m>(&self, matches: &'m clap::ArgMatches) -> Option<&'m String> {
        matches.get_one(self.flag?)
    }

    const fn default(self, default: &'static str) -> Setting {
        Setting { default: Some(default), ..self }
    }

    const fn help(self, help: &'static str) -> Setting {
        Setting { help, ..self }
    }

    /// Shown by CONFIG GET.
    const fn shown_as(self, config: &'static str) -> Setting {
        Setting { config: Some(config), ..self }
    }

    /// Shown by CONFIG GET, and changed by CONFIG SET.
    const fn changed_as(self, config: &'static str) -> Setting {
        Setting { config: Some(config), can_change: true, ..self }
    }
}

/// A setting that is given at the start.
const fn flag(flag: &'static str, value: &'static str, access: Access) -> Setting {
    Setting { flag: Some(flag), value, default: None, help: "", config: None, can_change: false, access }
}

/// A setting that only CONFIG has.
const fn only(access: Access) -> Setting {
    Setting { flag: None, value: "", default: None, help: "", config: None, can_change: false, access }
}

/// A constant that Redis's tools ask CONFIG GET for.
macro_rules! constant {
    ($name:literal, $value:literal) => {
        only(Access { get: |_| $value.to_owned(), set: |_, _| Ok(()) }).shown_as($name)
    };
}

/// A number within bounds, kept in a field.
macro_rules! number {
    ($bounds:expr, $($field:ident).+) => {
        Access {
            get: |settings| settings.$($field).+.to_string(),
            set: |settings, value| put(&mut settings.$($field).+, $bounds.read(value)),
        }
    };
}

/// A setting read as text, kept in a field.
macro_rules! text {
    ($read:expr, $show:expr, $($field:ident).+) => {
        Access {
            get: |settings| $show(&settings.$($field).+),
            set: |settings, value| {
                put(&mut settings.$($field).+, $read(&String::from_utf8_lossy(value)).map_err(Invalid::from))
            },
        }
    };
}

/// A list of namespaces, whose names may have any bytes, kept in a field.
macro_rules! list {
    ($read:expr, $($field:ident).+) => {
        Access {
            get: |settings| shown(&settings.$($field).+),
            set: |settings, value| put(&mut settings.$($field).+, $read(value).map_err(Invalid::from)),
        }
    };
}

/// Puts what was read into its field.
fn put<T>(field: &mut T, value: Result<T, Invalid>) -> Result<(), Invalid> {
    value.map(|value| *field = value)
}

const BOOL: &str = "BOOL";

/// The largest number that Redis takes for many of its settings.
const INT: Bounds = Bounds::whole(0, i32::MAX as i128);
const PORT: Bounds = Bounds::whole(0, 65_535);
/// Any number of bytes.
pub const BYTES: Bounds = Bounds::bytes(0, u64::MAX as i128);
/// With the least of a bulk string CONFIG SET can still raise it.
const BULK: Bounds = Bounds::bytes(1024, 512 << 20);
const PUBSUB: Bounds = Bounds::bytes(1024, i64::MAX as i128);

/// Every setting.
pub static SETTINGS: &[Setting] = &[
    flag("log", "FILTER", text!(log_filter, String::clone, log)).default("info").shown_as("log").help(
        "Log filter: a level (error, warn, info, debug, trace) or targets with levels, such as \
            kvns=debug",
    ),
    flag("log-format", "FORMAT", text!(log_format, LogFormat::to_string, log_format))
        .default("text")
        .help("Form of the log lines: text or json"),
    flag("host", "HOST", text!(host, String::clone, host))
        .default("0.0.0.0")
        .shown_as("bind")
        .help("Address or name the server listens on"),
    flag("port", "PORT", number!(PORT, port))
        .default("6480")
        .shown_as("port")
        .help("Port the server listens on; 0 takes any free one"),
    flag("memory-limit", "BYTES", number!(BYTES, memory_limit))
        .default("1073741824")
        .changed_as("maxmemory")
        .help(
            "Memory limit in bytes, or with a unit, such as 512mb or 2gb. It is capped at 70% of the \
            memory of the container or else the machine; 0 means that cap. CONFIG SET maxmemory changes \
            it",
        ),
    flag("maxmemory-clients", "BYTES", text!(client_memory, ClientMemory::to_string, client_memory))
        .default("10%")
        .changed_as("maxmemory-clients")
        .help(
            "What clients may make the server hold (requests that arrived in part, replies that they do not read, queued \
            commands): bytes, or a percentage of the memory limit, which is at least two of the largest arguments. Beyond \
            it the largest clients are closed; 0 means no limit. CONFIG SET maxmemory-clients changes it",
        ),
    flag("eviction-policy", "POLICY", text!(policy, redis_name, eviction.policy))
        .default("none")
        .changed_as("maxmemory-policy")
        .help(
            "Which keys go when a write finds no room, always of its own namespace: none (the write is \
            refused), lru (those used least; lfu is the same), mru (those used most) or ear (each soon \
            after it was read)",
        ),
    flag("eviction-threshold", "FRACTION", text!(fraction, f64::to_string, eviction.threshold))
        .default("1.0")
        .changed_as("eviction-threshold")
        .help("Fraction of the memory limit at which eviction starts"),
    flag("ns-eviction", "LIST", list!(policies, eviction.policies))
        .changed_as("ns-eviction")
        .help("Policies of single namespaces, such as ns1:lru,ns2:mru"),
    flag("ns-memory-limit", "LIST", list!(quotas, eviction.quotas)).changed_as("ns-memory-limit").help(
        "Bytes that the keys of single namespaces may take, such as ns1:256mb,ns2:1gb; beyond them \
            the namespace's policy applies as beyond the memory limit",
    ),
    flag("metrics-host", "HOST", text!(host, String::clone, metrics_host))
        .default("0.0.0.0")
        .help("Address or name on which /metrics, /healthz and /readyz are served over HTTP"),
    flag("metrics-port", "PORT", number!(PORT, metrics_port))
        .default("9090")
        .help("Port on which they are served; 0 takes any free one"),
    flag("metrics-max-namespaces", "COUNT", number!(Bounds::whole(1, 100_000), metrics_max_namespaces))
        .default("1000")
        .help(
            "Namespaces with series of their own in /metrics; the rest is summed up under \
            namespace=\"_other\"",
        ),
    flag("persist-path", "FILE", text!(snapshot_file, path, persist_path)).help(
        "The snapshot file: written at every interval, by SAVE, BGSAVE and SHUTDOWN and at the end, \
            loaded at the start. Without it nothing is kept",
    ),
    flag("persist-interval", "SECONDS", number!(INT, persist_interval_s))
        .default("300")
        .changed_as("persist-interval")
        .help(
            "Seconds between two snapshots; 0 for none but those that are asked for. One is left out if \
            nothing has changed. CONFIG SET save changes it",
        ),
    flag("snapshot-retain-limit", "BYTES", number!(BYTES, snapshot_retain_limit))
        .changed_as("snapshot-retain-limit")
        .help(
            "Bytes that may be kept because they were overwritten or deleted while a snapshot is taken; \
            beyond it the snapshot is given up. Without it three tenths of the memory limit",
        ),
    flag("shared-values", BOOL, text!(boolean, bool::to_string, shared_values)).default("true").help(
        "Whether a snapshot shares values with the store instead of copying them: true or false. The \
            lock-free store always shares",
    ),
    flag("sharded-mode", BOOL, text!(boolean, bool::to_string, sharded_mode)).default("false").help(
        "Whether to serve strings from the lock-sharded store instead, a baseline to compare with: \
            true or false",
    ),
    flag("shard-count", "COUNT", number!(Bounds::whole(1, 65_536), shard_count))
        .help("Shards of the lock-sharded store; without it four for each core"),
    flag("max-clients", "COUNT", number!(Bounds::whole(1, u32::MAX as i128), max_clients))
        .default("10000")
        .changed_as("maxclients")
        .help("Clients connected at once; one more is told \"ERR max number of clients reached\" and closed"),
    flag("max-resp-args", "COUNT", number!(Bounds::whole(1, 1 << 20), limits.args))
        .default("1024")
        .changed_as("max-resp-args")
        .help("Arguments in one command"),
    flag("max-resp-bulk-len", "BYTES", number!(BULK, limits.bulk_len))
        .default("16777216")
        .changed_as("proto-max-bulk-len")
        .help("Bytes in one bulk string"),
    flag("max-resp-inline-len", "BYTES", number!(Bounds::bytes(64, 64 << 20), limits.inline_len))
        .default("65536")
        .changed_as("max-resp-inline-len")
        .help("Bytes in one inline command or header line"),
    flag("workers", "COUNT", number!(Bounds::whole(1, 1024), workers))
        .shown_as("workers")
        .help("Worker threads; without it one for each core"),
    flag("timeout", "SECONDS", number!(INT, timeout_s))
        .default("0")
        .changed_as("timeout")
        .help("Seconds after which an idle client is closed; 0 means never"),
    flag("pubsub-limit", "BYTES", number!(PUBSUB, pubsub_limit)).default("33554432").help(
        "Bytes of published messages that may wait for one subscriber; one more, and it is closed. \
            CONFIG SET client-output-buffer-limit changes it",
    ),
    flag("slowlog-log-slower-than", "MICROSECONDS", number!(Bounds::whole(-1, i64::MAX as i128), slowlog_us))
        .default("10000")
        .changed_as("slowlog-log-slower-than")
        .help("Microseconds from which on a command enters the slow log; -1 means none does"),
    flag("slowlog-max-len", "COUNT", number!(Bounds::whole(0, 1 << 20), slowlog_max_len))
        .default("128")
        .changed_as("slowlog-max-len")
        .help("Entries that the slow log keeps"),
    flag("latency-monitor-threshold", "MILLISECONDS", number!(INT, latency_ms))
        .default("0")
        .changed_as("latency-monitor-threshold")
        .help("Milliseconds from which on a command is a latency event; 0 means that there are none"),
    flag("debug-commands", BOOL, text!(boolean, bool::to_string, debug_commands))
        .default("false")
        .shown_as("debug-commands")
        .help(
            "Whether clients of other machines may use DEBUG, as those of this one always may: true or \
            false",
        ),
    constant!("appendonly", "no"),
    only(Access { get: output_limits, set: set_output_limits }).changed_as("client-output-buffer-limit"),
    constant!("cluster-enabled", "no"),
    constant!("databases", "1"),
    only(Access {
        get: |settings| part_of_path(settings, |path| path.file_name().map(Path::new)),
        set: |_, _| Ok(()),
    })
    .shown_as("dbfilename"),
    only(Access { get: |settings| part_of_path(settings, Path::parent), set: |_, _| Ok(()) }).shown_as("dir"),
    constant!("latency-tracking", "yes"),
    constant!("latency-tracking-info-percentiles", "50 99 99.9"),
    constant!("notify-keyspace-events", ""),
    constant!("requirepass", ""),
    only(Access { get: schedule, set: set_schedule }).changed_as("save"),
    constant!("stop-writes-on-bgsave-error", "no"),
];

fn variable(flag: &str) -> String {
    format!("KVNS_{}", flag.to_uppercase().replace('-', "_"))
}

/// Reads a policy by its name here or in Redis. Redis's others are refused by name.
///
/// # Errors
/// There is no such policy.
pub fn policy(name: &str) -> Result<Policy, Invalid> {
    name.parse().map_err(|()| Invalid {
        expected: POLICIES.to_owned(),
        reason: format!(
            "there is no policy '{}' here: it is noeviction, allkeys-lru, allkeys-lfu, or one of {POLICIES}",
            name.escape_default()
        ),
    })
}

fn redis_name(policy: &Policy) -> String {
    policy.redis_name().to_owned()
}

fn snapshot_file(text: &str) -> Result<Option<PathBuf>, String> {
    file(text).map(Some)
}

fn path(path: &Option<PathBuf>) -> String {
    path.as_deref().map_or_else(String::new, |path| path.display().to_string())
}

/// A part of the snapshot file's path; empty without a file.
fn part_of_path(settings: &Settings, part: fn(&Path) -> Option<&Path>) -> String {
    let part = settings.persist_path.as_deref().and_then(part);
    part.map_or_else(String::new, |part| part.display().to_string())
}

/// The schedule of snapshots as Redis shows it: seconds, and changes that are enough for one.
fn schedule(settings: &Settings) -> String {
    match (&settings.persist_path, settings.persist_interval_s) {
        (None, _) | (_, 0) => String::new(),
        (Some(_), seconds) => format!("{seconds} 1"),
    }
}

fn set_schedule(settings: &mut Settings, value: &[u8]) -> Result<(), Invalid> {
    let words: Vec<&[u8]> = value.split(|byte| *byte == b' ').filter(|word| !word.is_empty()).collect();
    settings.persist_interval_s = match words[..] {
        [] => 0,
        [seconds, b"1"] => Bounds { least: 1, ..INT }.read(seconds)?,
        _ => return Err("a snapshot has one schedule: seconds, and 1 for the changes that are enough".into()),
    };
    Ok(())
}

/// The limits of each class: hard, soft, and the seconds that the soft one may be passed. There are no replicas.
fn output_limits(settings: &Settings) -> String {
    let (normal, pubsub) = (settings.normal_soft, settings.pubsub_soft);
    format!(
        "normal {} {} {} slave 0 0 0 pubsub {} {} {}",
        settings.normal_limit,
        normal.bytes,
        normal.seconds,
        settings.pubsub_limit,
        pubsub.bytes,
        pubsub.seconds
    )
}

fn set_output_limits(settings: &mut Settings, value: &[u8]) -> Result<(), Invalid> {
    let mut words = value.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    while let Some(class) = words.next() {
        let (Some(hard), Some(soft), Some(seconds)) = (words.next(), words.next(), words.next()) else {
            return Err("Wrong number of arguments in buffer limit configuration.".into());
        };
        let (Ok(hard), Ok(bytes), Ok(seconds)) =
            (BYTES.read::<u64>(hard), BYTES.read(soft), INT.read(seconds))
        else {
            return Err("Error in hard, soft or soft_seconds setting in buffer limit configuration.".into());
        };
        let soft = SoftLimit { bytes, seconds };
        match class.to_ascii_lowercase().as_slice() {
            b"normal" => (settings.normal_limit, settings.normal_soft) = (hard, soft),
            b"slave" | b"replica" if hard == 0 && bytes == 0 => {}
            b"slave" | b"replica" => return Err("there are no replicas here, and no limits for them".into()),
            b"pubsub" if !PUBSUB.contains(hard.into()) => {
                return Err("the class pubsub has a hard limit of 1kb or more".into());
            }
            b"pubsub" => (settings.pubsub_limit, settings.pubsub_soft) = (hard as usize, soft),
            _ => return Err("Invalid client class specified in buffer limit configuration.".into()),
        }
    }
    Ok(())
}

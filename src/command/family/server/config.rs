//! CONFIG: kvns's settings under the names Redis's tools ask for, and under their own.

use super::SERVER;
use crate::command::args::Args;
use crate::command::context::Context;
use crate::command::error::{CommandError, CommandResult};
use crate::command::spec::Arity::{AtLeast, Exactly};
use crate::command::spec::{CommandSpec, Flags};
use crate::config::bounds::{self, Bounds};
use crate::config::{self, POLICIES, Policy, Settings, SoftLimit, byte_count, capped_memory_limit};
use crate::glob::Pattern;
use crate::number::parse_integer;
use std::borrow::Cow;
use std::path::Path;

const FOR_ADMIN: Flags =
    Flags::ADMIN.or(Flags::NOSCRIPT).or(Flags::LOADING).or(Flags::STALE).or(Flags::AFTER_COMMIT);

const SUBCOMMAND: CommandSpec = CommandSpec { since: "2.0.0", flags: FOR_ADMIN, ..SERVER };

/// The container and its subcommands.
pub const CONFIG: CommandSpec = CommandSpec {
    name: "config",
    arguments: "",
    since: "2.0.0",
    summary: "Container for commands about settings.",
    complexity: "Depends on subcommand",
    arity: AtLeast(2),
    flags: Flags::NONE,
    subcommands: &[
        CommandSpec {
            name: "config|get",
            arguments: "{parameter}...",
            flags: FOR_ADMIN,
            summary: "Returns the settings whose names match a pattern.",
            complexity: "O(N) with N patterns",
            arity: AtLeast(3),
            handler: get,
            ..SUBCOMMAND
        },
        CommandSpec {
            name: "config|set",
            arguments: "{parameter value}...",
            flags: FOR_ADMIN,
            summary: "Changes settings, all of them or none.",
            complexity: "O(N) with N settings given",
            arity: AtLeast(4),
            tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
            handler: set,
            ..SUBCOMMAND
        },
        CommandSpec {
            name: "config|resetstat",
            arguments: "",
            flags: FOR_ADMIN,
            summary: "Resets the statistics of INFO.",
            complexity: "O(N) with N commands",
            arity: Exactly(2),
            tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
            handler: resetstat,
            ..SUBCOMMAND
        },
        CommandSpec {
            name: "config|rewrite",
            arguments: "",
            flags: FOR_ADMIN,
            since: "2.8.0",
            summary: "Refuses: kvns has no configuration file.",
            arity: Exactly(2),
            handler: rewrite,
            ..SUBCOMMAND
        },
        CommandSpec {
            name: "config|help",
            arguments: "",
            since: "5.0.0",
            summary: "Describes how to use CONFIG.",
            arity: Exactly(2),
            flags: Flags::LOADING.or(Flags::STALE),
            handler: help,
            ..SUBCOMMAND
        },
    ],
    ..SERVER
};

/// What is wrong with a value.
pub(super) type Refusal = Cow<'static, str>;
/// Reads a setting.
type Get = fn(&Settings) -> String;
/// Changes a setting, or says what is wrong with the value.
type Set = fn(&mut Settings, &[u8]) -> Result<(), Refusal>;

/// A setting: its name, how it is read, and how it is changed at run time, if it can be.
struct Setting {
    name: &'static str,
    get: Get,
    set: Option<Set>,
}

const fn fixed(name: &'static str, get: Get) -> Setting {
    Setting { name, get, set: None }
}

const fn variable(name: &'static str, get: Get, set: Set) -> Setting {
    Setting { name, get, set: Some(set) }
}

const SETTINGS: &[Setting] = &[
    fixed("appendonly", |_| "no".to_owned()),
    variable("client-output-buffer-limit", output_limits, set_output_limits),
    fixed("bind", |settings| settings.host.clone()),
    fixed("cluster-enabled", |_| "no".to_owned()),
    fixed("databases", |_| "1".to_owned()),
    fixed("debug-commands", |settings| settings.debug_commands.to_string()),
    fixed("log", |settings| settings.log.clone()),
    fixed("latency-tracking", |_| "yes".to_owned()),
    fixed("latency-tracking-info-percentiles", |_| "50 99 99.9".to_owned()),
    fixed("notify-keyspace-events", |_| String::new()),
    fixed("port", |settings| settings.port.to_string()),
    fixed("requirepass", |_| String::new()),
    fixed("stop-writes-on-bgsave-error", |_| "no".to_owned()),
    fixed("dir", |settings| part_of_path(settings, Path::parent)),
    fixed("dbfilename", |settings| part_of_path(settings, |path| path.file_name().map(Path::new))),
    variable("save", schedule, set_schedule),
    variable(
        "persist-interval",
        |settings| settings.persist_interval_s.to_string(),
        |settings, value| put(&mut settings.persist_interval_s, number(bounds::PERSIST_INTERVAL, value)),
    ),
    variable(
        "snapshot-retain-limit",
        |settings| settings.snapshot_retain_limit.to_string(),
        |settings, value| {
            put(&mut settings.snapshot_retain_limit, number(bounds::SNAPSHOT_RETAIN_LIMIT, value))
        },
    ),
    fixed("workers", |settings| settings.workers.to_string()),
    variable(
        "maxmemory",
        |settings| settings.memory_limit.to_string(),
        |settings, value| {
            put(&mut settings.memory_limit, number(bounds::MEMORY_LIMIT, value).map(capped_memory_limit))
        },
    ),
    variable(
        "maxmemory-clients",
        |settings| settings.client_memory.to_string(),
        |settings, value| {
            let read = config::client_memory(&String::from_utf8_lossy(value));
            put(&mut settings.client_memory, read.map_err(expected))
        },
    ),
    variable(
        "maxmemory-policy",
        |settings| settings.eviction.policy.redis_name().to_owned(),
        |settings, value| put(&mut settings.eviction.policy, policy(value)),
    ),
    variable(
        "eviction-threshold",
        |settings| settings.eviction.threshold.to_string(),
        |settings, value| {
            let fraction = config::fraction(&String::from_utf8_lossy(value));
            put(&mut settings.eviction.threshold, fraction.map_err(expected))
        },
    ),
    variable(
        "ns-eviction",
        |settings| config::shown(&settings.eviction.policies),
        |settings, value| put(&mut settings.eviction.policies, config::policies(value).map_err(expected)),
    ),
    variable(
        "ns-memory-limit",
        |settings| config::shown(&settings.eviction.quotas),
        |settings, value| put(&mut settings.eviction.quotas, config::quotas(value).map_err(expected)),
    ),
    variable(
        "maxclients",
        |settings| settings.max_clients.to_string(),
        |settings, value| put(&mut settings.max_clients, number(bounds::MAX_CLIENTS, value)),
    ),
    variable(
        "max-resp-args",
        |settings| settings.limits.args.to_string(),
        |settings, value| put(&mut settings.limits.args, number(bounds::MAX_RESP_ARGS, value)),
    ),
    variable(
        "max-resp-inline-len",
        |settings| settings.limits.inline_len.to_string(),
        |settings, value| put(&mut settings.limits.inline_len, number(bounds::MAX_RESP_INLINE_LEN, value)),
    ),
    variable(
        "proto-max-bulk-len",
        |settings| settings.limits.bulk_len.to_string(),
        |settings, value| put(&mut settings.limits.bulk_len, number(bounds::MAX_RESP_BULK_LEN, value)),
    ),
    variable(
        "latency-monitor-threshold",
        |settings| settings.latency_ms.to_string(),
        |settings, value| put(&mut settings.latency_ms, number(bounds::LATENCY_MONITOR_THRESHOLD, value)),
    ),
    variable(
        "slowlog-log-slower-than",
        |settings| settings.slowlog_us.to_string(),
        |settings, value| put(&mut settings.slowlog_us, number(bounds::SLOWLOG_LOG_SLOWER_THAN, value)),
    ),
    variable(
        "slowlog-max-len",
        |settings| settings.slowlog_max_len.to_string(),
        |settings, value| put(&mut settings.slowlog_max_len, number(bounds::SLOWLOG_MAX_LEN, value)),
    ),
    variable(
        "timeout",
        |settings| settings.timeout_s.to_string(),
        |settings, value| put(&mut settings.timeout_s, number(bounds::TIMEOUT, value)),
    ),
];

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

fn set_schedule(settings: &mut Settings, value: &[u8]) -> Result<(), Refusal> {
    let words: Vec<&[u8]> = value.split(|byte| *byte == b' ').filter(|word| !word.is_empty()).collect();
    settings.persist_interval_s = match words[..] {
        [] => 0,
        [seconds, b"1"] => number(Bounds { least: 1, ..bounds::PERSIST_INTERVAL }, seconds)?,
        _ => return Err("a snapshot has one schedule: seconds, and 1 for the changes that are enough".into()),
    };
    Ok(())
}

/// The setting of this name, in any case.
fn find(name: &[u8]) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name.as_bytes().eq_ignore_ascii_case(name))
}

/// Puts what was read into its field.
fn put<T>(field: &mut T, value: Result<T, Refusal>) -> Result<(), Refusal> {
    value.map(|value| *field = value)
}

/// Reads a number within its bounds.
fn number<T: TryFrom<i128>>(bounds: Bounds, value: &[u8]) -> Result<T, Refusal> {
    let number = bounds.read(value).ok_or(match bounds.is_bytes {
        true => "argument must be a memory value",
        false => "argument couldn't be parsed into an integer",
    })?;
    let Bounds { least, most, .. } = bounds;
    let found =
        Some(number).filter(|number| bounds.contains(*number)).and_then(|found| T::try_from(found).ok());
    found.ok_or_else(|| format!("argument must be between {least} and {most} inclusive").into())
}

fn expected(what: String) -> Refusal {
    format!("expected {what}").into()
}

/// Reads a policy by its name here or in Redis. Redis's others are refused by name.
pub(super) fn policy(value: &[u8]) -> Result<Policy, Refusal> {
    let name = String::from_utf8_lossy(value);
    name.parse().map_err(|()| {
        let text = format!(
            "there is no policy '{}' here: it is noeviction, allkeys-lru, allkeys-lfu, or one of {POLICIES}",
            name.escape_default()
        );
        text.into()
    })
}

/// Reads bytes with Redis's units.
pub(super) fn memory(value: &[u8]) -> Result<u64, Refusal> {
    byte_count(value).ok_or(Cow::Borrowed("argument must be a memory value"))
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

fn set_output_limits(settings: &mut Settings, value: &[u8]) -> Result<(), Refusal> {
    let mut words = value.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    while let Some(class) = words.next() {
        let (Some(hard), Some(soft), Some(seconds)) = (words.next(), words.next(), words.next()) else {
            return Err("Wrong number of arguments in buffer limit configuration.".into());
        };
        let seconds = parse_integer(seconds).and_then(|seconds| u64::try_from(seconds).ok());
        let (Ok(hard), Ok(bytes), Some(seconds)) = (memory(hard), memory(soft), seconds) else {
            return Err("Error in hard, soft or soft_seconds setting in buffer limit configuration.".into());
        };
        let soft = SoftLimit { bytes, seconds };
        match class.to_ascii_lowercase().as_slice() {
            b"normal" => (settings.normal_limit, settings.normal_soft) = (hard, soft),
            b"slave" | b"replica" if hard == 0 && bytes == 0 => {}
            b"slave" | b"replica" => return Err("there are no replicas here, and no limits for them".into()),
            b"pubsub" if !bounds::PUBSUB_LIMIT.contains(hard.into()) => {
                return Err("the class pubsub has a hard limit of 1kb or more".into());
            }
            b"pubsub" => (settings.pubsub_limit, settings.pubsub_soft) = (hard as usize, soft),
            _ => return Err("Invalid client class specified in buffer limit configuration.".into()),
        }
    }
    Ok(())
}

/// `CONFIG GET pattern [pattern ...]`: a map of names and values.
fn get(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let settings = cx.engine.settings.load();
    let mut found: Vec<(&[u8], String)> = Vec::new();
    let mut add = |name, setting: &Setting| {
        if !found.iter().any(|(known, _)| name == *known) {
            found.push((name, (setting.get)(&settings)));
        }
    };
    while let Ok(text) = args.bytes() {
        let pattern = Pattern::new(text);
        if pattern.literal_prefix().1 {
            // A plain name is shown as it was asked for.
            find(text).into_iter().for_each(|setting| add(text, setting));
        } else {
            let pattern = pattern.ignoring_case();
            let matching = SETTINGS.iter().filter(|setting| pattern.matches(setting.name.as_bytes()));
            matching.for_each(|setting| add(setting.name.as_bytes(), setting));
        }
    }
    cx.reply.map(found.len());
    for (name, value) in found {
        cx.reply.bulk(name);
        cx.reply.bulk(value.as_bytes());
    }
    Ok(())
}

/// `CONFIG SET name value [name value ...]`: `+OK`, or the first error and nothing changed.
fn set(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    if !args.len().is_multiple_of(2) {
        return Err(CommandError::Syntax);
    }
    let mut changes: Vec<(&[u8], Set, &[u8])> = Vec::new();
    while let (Ok(name), Ok(value)) = (args.bytes(), args.bytes()) {
        let refused =
            |reason| CommandError::SettingRefused { name: name.to_vec(), reason: Cow::Borrowed(reason) };
        let setting = find(name).ok_or_else(|| CommandError::UnknownSetting(name.to_vec()))?;
        let set = setting.set.ok_or_else(|| refused("can't set immutable config"))?;
        if changes.iter().any(|(known, ..)| known.eq_ignore_ascii_case(name)) {
            return Err(refused("duplicate parameter"));
        }
        changes.push((name, set, value));
    }
    let apply = |settings: &mut Settings| {
        changes.iter().try_for_each(|(name, set, value)| {
            set(settings, value)
                .map_err(|reason| CommandError::SettingRefused { name: name.to_vec(), reason })
        })
    };
    apply(&mut Settings::clone(&cx.engine.settings.load()))?;
    cx.engine.change_settings(|settings| {
        // Values were found good above, and that does not depend on the other settings.
        let _ = apply(settings);
    });
    cx.reply.simple("OK");
    Ok(())
}

/// `CONFIG RESETSTAT`: `+OK`.
fn resetstat(cx: &mut Context<'_, '_>, _: Args<'_>) -> CommandResult {
    cx.engine.reset_stats();
    cx.reply.simple("OK");
    Ok(())
}

/// `CONFIG REWRITE`: the error that Redis answers without a configuration file.
fn rewrite(_: &mut Context<'_, '_>, _: Args<'_>) -> CommandResult {
    Err(CommandError::NoConfigFile)
}

/// `CONFIG HELP`: lines of text.
fn help(cx: &mut Context<'_, '_>, _: Args<'_>) -> CommandResult {
    super::super::reply_help(
        cx,
        &[
            "GET <pattern>",
            "    Return parameters matching the glob-like <pattern> and their values.",
            "SET <directive> <value>",
            "    Set the configuration <directive> to <value>.",
            "RESETSTAT",
            "    Reset the statistics reported by the INFO command.",
            "REWRITE",
            "    Refused: settings come from the environment and the command line.",
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_values_have_redis_units() {
        assert_eq!(memory(b"1024"), Ok(1024));
        assert_eq!(memory(b"2gb"), Ok(2 << 30));
        assert_eq!(memory(b"1M"), Ok(1_000_000));
        for bad in [&b""[..], b"abc", b"12xb", b"-1", b"99999999999999999999", b"9223372036854775807gb"] {
            assert!(memory(bad).is_err(), "{bad:?}");
        }
    }
}

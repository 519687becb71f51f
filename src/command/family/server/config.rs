//! CONFIG: kvns's settings under the names Redis's tools ask for, and under their own.

use super::SERVER;
use crate::command::args::Args;
use crate::command::context::Context;
use crate::command::error::{CommandError, CommandResult};
use crate::command::spec::Arity::{AtLeast, Exactly};
use crate::command::spec::{CommandSpec, Flags, container, row};
use crate::config::bounds::Invalid;
use crate::config::table::{SETTINGS, Setting};
use crate::config::{Settings, capped_memory_limit};
use crate::engine::descriptors::make_room_for_clients;
use crate::glob::Pattern;

const FOR_ADMIN: Flags =
    Flags::ADMIN.or(Flags::NOSCRIPT).or(Flags::LOADING).or(Flags::STALE).or(Flags::AFTER_COMMIT);

const SUBCOMMAND: CommandSpec = SERVER.since("2.0.0");

/// The container and its subcommands.
pub const CONFIG: CommandSpec = container(
    SERVER,
    "config",
    &[
        row(SUBCOMMAND, "config|get", "{parameter}...", AtLeast(3), FOR_ADMIN, get)
            .summary("Returns the settings whose names match a pattern.")
            .complexity("O(N) with N patterns"),
        row(SUBCOMMAND, "config|set", "{parameter value}...", AtLeast(4), FOR_ADMIN, set)
            .summary("Changes settings, all of them or none.")
            .complexity("O(N) with N settings given")
            .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]),
        row(SUBCOMMAND, "config|resetstat", "", Exactly(2), FOR_ADMIN, resetstat)
            .summary("Resets the statistics of INFO.")
            .complexity("O(N) with N commands")
            .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]),
        row(SUBCOMMAND, "config|rewrite", "", Exactly(2), FOR_ADMIN, rewrite)
            .since("2.8.0")
            .summary("Refuses: kvns has no configuration file."),
        row(SUBCOMMAND, "config|help", "", Exactly(2), Flags::LOADING.or(Flags::STALE), help)
            .since("5.0.0")
            .summary("Describes how to use CONFIG."),
    ],
)
.since("2.0.0")
.summary("Container for commands about settings.");

/// The setting of this name, in any case.
fn find(name: &[u8]) -> Option<&'static Setting> {
    SETTINGS
        .iter()
        .find(|setting| setting.config.is_some_and(|own| own.as_bytes().eq_ignore_ascii_case(name)))
}

/// `CONFIG GET pattern [pattern ...]`: a map of names and values.
fn get(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let settings = cx.engine.settings.load();
    let mut found: Vec<(&[u8], String)> = Vec::new();
    let mut add = |name, setting: &Setting| {
        if !found.iter().any(|(known, _)| name == *known) {
            found.push((name, setting.get(&settings)));
        }
    };
    while let Ok(text) = args.bytes() {
        let pattern = Pattern::new(text);
        if pattern.literal_prefix().1 {
            // A plain name is shown as it was asked for.
            find(text).into_iter().for_each(|setting| add(text, setting));
        } else {
            let pattern = pattern.ignoring_case();
            for (name, setting) in SETTINGS.iter().filter_map(|setting| Some((setting.config?, setting))) {
                if pattern.matches(name.as_bytes()) {
                    add(name.as_bytes(), setting);
                }
            }
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
    let mut changes: Vec<(&[u8], &Setting, &[u8])> = Vec::new();
    while let (Ok(name), Ok(value)) = (args.bytes(), args.bytes()) {
        let refused =
            |reason: &str| CommandError::SettingRefused { name: name.to_vec(), reason: reason.to_owned() };
        let setting = find(name).ok_or_else(|| CommandError::UnknownSetting(name.to_vec()))?;
        if !setting.can_change {
            return Err(refused("can't set immutable config"));
        }
        if changes.iter().any(|(known, ..)| known.eq_ignore_ascii_case(name)) {
            return Err(refused("duplicate parameter"));
        }
        changes.push((name, setting, value));
    }
    let apply = |settings: &mut Settings| -> CommandResult {
        changes.iter().try_for_each(|(name, setting, value)| {
            let refused =
                |Invalid { reason, .. }| CommandError::SettingRefused { name: name.to_vec(), reason };
            setting.set(settings, value).map_err(refused)
        })?;
        settings.memory_limit = capped_memory_limit(settings.memory_limit);
        let room = make_room_for_clients(settings.max_clients);
        if room < settings.max_clients {
            let reason = format!(
                "The operating system is not able to handle the specified number of clients, try with {room}"
            );
            return Err(CommandError::SettingRefused { name: b"maxclients".to_vec(), reason });
        }
        Ok(())
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

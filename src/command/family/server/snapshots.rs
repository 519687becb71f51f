//! SAVE, BGSAVE, LASTSAVE, SHUTDOWN; what DEBUG RELOAD does; INFO's section about them.

use super::SERVER;
use super::lines::Lines;
use crate::command::args::Args;
use crate::command::context::{Context, Outcome};
use crate::command::error::{CommandError, CommandResult};
use crate::command::spec::Arity::{AtLeast, Exactly};
use crate::command::spec::{CommandSpec, Flags, row};
use crate::engine::Engine;
use crate::engine::persistence::{Figures, NoSnapshot, SnapshotResult};
use crate::wait::Wait;

const SAVING: Flags = Flags::ADMIN.or(Flags::NOSCRIPT).or(Flags::NO_ASYNC_LOADING);

/// SAVE's row.
pub const SAVE: CommandSpec = row(SERVER, "save", "", Exactly(1), SAVING.or(Flags::NO_MULTI), save)
    .summary("Takes a snapshot and replies when it is on disk; only this client waits.")
    .complexity("O(N) with N keys");

/// BGSAVE's row.
pub const BGSAVE: CommandSpec =
    row(SERVER, "bgsave", "[SCHEDULE]", AtLeast(1), SAVING.or(Flags::AFTER_COMMIT), bgsave)
        .summary("Starts a snapshot in the background.");

/// LASTSAVE's row.
pub const LASTSAVE: CommandSpec = row(
    SERVER,
    "lastsave",
    "",
    Exactly(1),
    Flags::LOADING.or(Flags::STALE).or(Flags::FAST).or(Flags::SHOWN_AS_ADMIN).or(Flags::DANGEROUS),
    lastsave,
)
.summary("Returns when the last good snapshot was completed, in Unix seconds.")
.tips(&["nondeterministic_output"]);

/// SHUTDOWN's row.
pub const SHUTDOWN: CommandSpec = row(
    SERVER,
    "shutdown",
    "[(NOSAVE|SAVE)] [NOW] [FORCE] [ABORT]",
    AtLeast(1),
    Flags::ADMIN
        .or(Flags::NOSCRIPT)
        .or(Flags::LOADING)
        .or(Flags::STALE)
        .or(Flags::NO_MULTI)
        .or(Flags::ALLOW_BUSY),
    shutdown,
)
.summary(
    "Takes a snapshot if there is a file for it, and ends the server once the other clients \
            have their replies.",
)
.complexity("O(N) with N keys when saving, otherwise O(1)");

impl From<NoSnapshot> for CommandError {
    fn from(reason: NoSnapshot) -> CommandError {
        CommandError::Plain(match reason {
            NoSnapshot::Off => "ERR snapshots are off: KVNS_PERSIST_PATH is not set",
            NoSnapshot::InProgress => "ERR Background save already in progress",
        })
    }
}

/// The result of the snapshot that this client waits for, which `ask` asks for first. As long as there is none, the
/// command lets go of everything and is run again.
fn awaited(
    cx: &mut Context<'_, '_>,
    ask: fn(&Engine) -> Result<u64, NoSnapshot>,
) -> Result<SnapshotResult, CommandError> {
    let number = match cx.session.awaited_snapshot {
        Some(number) => number,
        None => ask(cx.engine)?,
    };
    let result = cx.engine.persistence.result(number);
    cx.session.awaited_snapshot = result.is_none().then_some(number);
    result.ok_or(CommandError::Wait(Wait::Snapshot(number)))
}

/// `SAVE`: `+OK` when the snapshot is on the disk, or why it is not.
fn save(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    args.finish()?;
    awaited(cx, Engine::begin_snapshot)?.map_err(CommandError::SnapshotFailed)?;
    cx.reply.simple("OK");
    Ok(())
}

/// `BGSAVE [SCHEDULE]`: a line that it has started. Nothing but a snapshot keeps another one from starting, so that
/// SCHEDULE changes nothing.
fn bgsave(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    if !args.is_empty() && !args.take("SCHEDULE") {
        return Err(CommandError::Syntax);
    }
    args.finish().map_err(|_| CommandError::Syntax)?;
    cx.engine.begin_snapshot()?;
    let is_executing = cx.session.is_executing();
    cx.reply.simple(if is_executing { "Background saving scheduled" } else { "Background saving started" });
    Ok(())
}

/// `LASTSAVE`: Unix seconds; at first when the server was started.
fn lastsave(cx: &mut Context<'_, '_>, _: Args<'_>) -> CommandResult {
    let last_save_s = cx.engine.snapshot_figures().last_save_s;
    cx.reply.integer(last_save_s as i64);
    Ok(())
}

/// `SHUTDOWN [NOSAVE|SAVE] [NOW] [FORCE] [ABORT]`: no reply, the connection closes; or an error if the snapshot failed.
/// That one shows that saving works; what is written while it is taken goes into another one, at the very end.
fn shutdown(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let (mut save, mut nosave, mut abort, mut now, mut force) = (false, false, false, false, false);
    while !args.is_empty() {
        match () {
            () if args.take("SAVE") => save = true,
            () if args.take("NOSAVE") => nosave = true,
            () if args.take("NOW") => now = true,
            () if args.take("FORCE") => force = true,
            () if args.take("ABORT") => abort = true,
            () => return Err(CommandError::Syntax),
        }
    }
    if (save && nosave) || (abort && (save || nosave || now || force)) {
        return Err(CommandError::Syntax);
    }
    if abort {
        if !cx.engine.abort_shutdown() {
            return Err(CommandError::Plain("ERR No shutdown in progress."));
        }
        cx.reply.simple("OK");
        return Ok(());
    }
    let has_file = cx.engine.settings.load().persist_path.is_some();
    if nosave {
        cx.engine.skip_last_snapshot();
    } else if (has_file || save) && cx.engine.is_ready() && awaited(cx, Engine::queue_snapshot)?.is_err() {
        if !force {
            return Err(CommandError::Plain("ERR Errors trying to SHUTDOWN. Check logs."));
        }
        cx.engine.skip_last_snapshot();
    }
    cx.outcome = Outcome::Shutdown;
    Ok(())
}

/// `DEBUG RELOAD [option ...]`: takes a snapshot, and replaces the keys by what it has. Without a file, or between MULTI
/// and EXEC, the keys stay as they are.
pub fn reload(cx: &mut Context<'_, '_>) -> CommandResult {
    if cx.engine.settings.load().persist_path.is_some() && !cx.session.is_executing() {
        awaited(cx, Engine::queue_reload)?.map_err(CommandError::SnapshotFailed)?;
    }
    Ok(())
}

/// INFO's section `Persistence`.
pub fn persistence(cx: &Context<'_, '_>, lines: &mut Lines) {
    let (engine, seconds) = (cx.engine, |us: u64| (us / 1_000_000).to_string());
    let figures = engine.snapshot_figures();
    let load = &engine.persistence;
    let running = figures.running;
    let retained = running.map_or(0, |running| running.retained);
    let percent =
        running.map_or(0.0, |running| running.keys as f64 * 100.0 / running.keys_total.max(1) as f64);
    lines.field("loading", u8::from(load.is_loading()));
    lines.field("async_loading", 0);
    lines.field("current_cow_peak", if running.is_some() { engine.keyspace.retained().1 } else { 0 });
    lines.field("current_cow_size", retained);
    lines.field("current_fork_perc", format_args!("{:.2}", percent.min(100.0)));
    lines.field("current_save_keys_processed", running.map_or(0, |running| running.keys));
    lines.field("current_save_keys_total", running.map_or(0, |running| running.keys_total));
    lines.field("rdb_changes_since_last_save", figures.changes);
    lines.field("rdb_bgsave_in_progress", u8::from(running.is_some()));
    lines.field("rdb_last_save_time", figures.last_save_s);
    lines.field("rdb_last_bgsave_status", if figures.last_error.is_none() { "ok" } else { "err" });
    let never = || "-1".to_owned();
    lines.field("rdb_last_bgsave_time_sec", figures.last_duration_us.map_or_else(never, seconds));
    let current = running.map(|running| running.duration_us);
    lines.field("rdb_current_bgsave_time_sec", current.map_or_else(never, seconds));
    lines.field("rdb_saves", figures.saves);
    lines.field("rdb_last_cow_size", figures.last_retained_peak);
    lines.field("rdb_last_load_keys_expired", load.load_tally.expired.get());
    lines.field("rdb_last_load_keys_loaded", load.load_tally.restored.get());
    // There is no append-only file.
    lines.field("aof_enabled", 0);
    lines.field("aof_rewrite_in_progress", 0);
    lines.field("aof_rewrite_scheduled", 0);
    own_fields(engine, &figures, lines);
    if load.is_loading() {
        loading(engine, lines);
    }
}

fn own_fields(engine: &Engine, figures: &Figures, lines: &mut Lines) {
    lines.field("snapshot_enabled", u8::from(engine.settings.load().persist_path.is_some()));
    lines.field("snapshot_failures", figures.failures);
    lines.field("snapshot_last_error", figures.last_error.as_deref().unwrap_or_default());
    lines.field("snapshot_last_duration_ms", figures.last_duration_us.unwrap_or(0) / 1000);
    lines.field("snapshot_last_keys", figures.last_keys);
    lines.field("snapshot_last_bytes", figures.last_bytes);
}

/// The lines of INFO about a load that goes on.
fn loading(engine: &Engine, lines: &mut Lines) {
    let progress = &engine.persistence.load_progress;
    let (total, read) = (progress.total_bytes.get(), progress.bytes.get());
    let started_s = engine.persistence.load_started_s.get();
    let elapsed_s = (engine.clock.monotonic_us() - engine.persistence.load_started_us.get()) / 1_000_000;
    let left_s = elapsed_s.saturating_mul(total.saturating_sub(read)) / read.max(1);
    lines.field("loading_start_time", started_s);
    lines.field("loading_total_bytes", total);
    lines.field("loading_rdb_used_mem", engine.keyspace.used_bytes());
    lines.field("loading_loaded_bytes", read);
    lines.field("loading_loaded_perc", format_args!("{:.2}", progress.percent()));
    lines.field("loading_eta_seconds", left_s);
}

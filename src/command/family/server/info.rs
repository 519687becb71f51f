//! INFO: figures about the server, in sections of `name:value` lines.

use super::VERSION;
use super::lines::Lines;
use crate::clock::TICKS_PER_US;
use crate::command::args::Args;
use crate::command::context::Context;
use crate::command::error::CommandResult;
use crate::command::table::ROWS;
use crate::concurrent::counters::recorder::Series;
use crate::engine::kept::Costly;
use crate::engine::mail::Topic;
use crate::sharded::Totals;

/// Namespaces that INFO shows, one line each.
const NAMESPACES: usize = 1_000;

/// The percentiles that INFO shows, as in Redis.
const PERCENTILES: [&str; 3] = ["50", "99", "99.9"];

/// Writes a section's lines.
type Fill = fn(&Context<'_, '_>, &mut Lines);

/// A section: its title, whether INFO alone shows it, and what writes it.
struct Section {
    title: &'static str,
    is_default: bool,
    fill: Fill,
}

const SECTIONS: &[Section] = &[
    Section { title: "Server", is_default: true, fill: server },
    Section { title: "Clients", is_default: true, fill: clients },
    Section { title: "Memory", is_default: true, fill: memory },
    Section { title: "Persistence", is_default: true, fill: super::snapshots::persistence },
    Section { title: "Stats", is_default: true, fill: stats },
    Section { title: "Replication", is_default: true, fill: replication },
    Section { title: "CPU", is_default: true, fill: cpu },
    Section { title: "Modules", is_default: true, fill: |_, _| {} },
    Section { title: "Commandstats", is_default: false, fill: commandstats },
    Section { title: "Errorstats", is_default: true, fill: errorstats },
    Section { title: "Latencystats", is_default: false, fill: latencystats },
    Section { title: "Cluster", is_default: true, fill: cluster },
    Section { title: "Keyspace", is_default: true, fill: keyspace },
    Section { title: "Namespaces", is_default: false, fill: namespaces },
];

/// `INFO [section ...]`: the sections' text; `default`, `all` and `everything` stand for many.
pub fn info(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let mut wanted = Vec::new();
    while let Ok(section) = args.bytes() {
        wanted.push(section);
    }
    let names = |word: &str| wanted.iter().any(|section| section.eq_ignore_ascii_case(word.as_bytes()));
    let wants_default = wanted.is_empty() || names("default");
    let wants_all = names("all") || names("everything");
    let mut lines = Lines::default();
    for section in SECTIONS {
        if wants_all || (wants_default && section.is_default) || names(section.title) {
            lines.title(section.title);
            (section.fill)(cx, &mut lines);
        }
    }
    cx.reply.verbatim("txt", lines.0.as_bytes());
    Ok(())
}

fn server(cx: &Context<'_, '_>, lines: &mut Lines) {
    let settings = cx.engine.settings.load();
    let now_us = cx.engine.clock.unix_us();
    let uptime_s = cx.engine.uptime_us() / 1_000_000;
    lines.field("redis_version", VERSION);
    lines.field("kvns_version", env!("CARGO_PKG_VERSION"));
    lines.field("redis_git_sha1", "00000000");
    lines.field("redis_git_dirty", 0);
    lines.field("redis_mode", "standalone");
    lines.field("os", format_args!("{} {}", std::env::consts::OS, std::env::consts::ARCH));
    lines.field("arch_bits", usize::BITS);
    lines.field("multiplexing_api", if cfg!(target_os = "linux") { "epoll" } else { "kqueue" });
    lines.field("process_id", std::process::id());
    lines.field("run_id", &cx.engine.run_id);
    lines.field("tcp_port", settings.port);
    lines.field("server_time_usec", now_us);
    lines.field("uptime_in_seconds", uptime_s);
    lines.field("uptime_in_days", uptime_s / 86_400);
    lines.field("io_threads_active", u8::from(settings.workers > 1));
}

fn clients(cx: &Context<'_, '_>, lines: &mut Lines) {
    lines.field("connected_clients", cx.engine.clients.len());
    lines.field("maxclients", cx.engine.settings.load().max_clients);
    // No command blocks, so none but paused ones wait; and no client is tracked.
    lines.field("blocked_clients", cx.engine.pause.held());
    lines.field("tracking_clients", 0);
    let Costly { subscribers, monitors, .. } = cx.engine.costly();
    lines.field("pubsub_clients", subscribers);
    lines.field("monitor_clients", monitors);
}

fn memory(cx: &Context<'_, '_>, lines: &mut Lines) {
    let Costly { allocator, resident_bytes: resident, machine_bytes, .. } = cx.engine.costly();
    let dataset = cx.engine.totals().bytes;
    let limit = cx.engine.settings.load().memory_limit;
    lines.bytes("used_memory", allocator.allocated);
    lines.bytes("used_memory_rss", resident);
    lines.bytes("used_memory_peak", cx.engine.stats.note_memory(allocator.allocated));
    lines.field("used_memory_overhead", allocator.allocated.saturating_sub(dataset));
    lines.field("used_memory_dataset", dataset);
    lines.field("allocator_allocated", allocator.allocated);
    lines.field("allocator_active", allocator.active);
    lines.field("allocator_resident", allocator.resident);
    lines.bytes("total_system_memory", machine_bytes);
    lines.bytes("maxmemory", limit);
    lines.field("maxmemory_policy", cx.engine.settings.load().eviction.policy.redis_name());
    let memory = &cx.engine.keyspace.memory;
    lines.field("memory_room", memory.free());
    lines.field("memory_overhead_measured", memory.overhead());
    lines.field("mem_clients_normal", cx.engine.clients.ledger.held());
    lines.field("mem_clients_slaves", 0);
    lines.field("memory_alarms", cx.engine.keyspace.alarm_bytes());
    lines.field("allocator_frag_ratio", ratio(allocator.active, allocator.allocated));
    lines.field("allocator_frag_bytes", allocator.active.saturating_sub(allocator.allocated));
    lines.field("allocator_rss_ratio", ratio(allocator.resident, allocator.active));
    lines.field("allocator_rss_bytes", allocator.resident.saturating_sub(allocator.active));
    if allocator.allocated > 0 {
        lines.field("mem_fragmentation_ratio", ratio(resident, allocator.allocated));
        lines.field("mem_fragmentation_bytes", resident.saturating_sub(allocator.allocated));
    }
    lines.field("mem_allocator", if cfg!(kvns_asan) { "libc" } else { "jemalloc" });
    lines.field("lazyfree_pending_objects", cx.engine.keyspace.freeing());
}

/// `part` by `whole`, as INFO shows ratios.
fn ratio(part: u64, whole: u64) -> String {
    format!("{:.2}", part as f64 / whole.max(1) as f64)
}

fn stats(cx: &Context<'_, '_>, lines: &mut Lines) {
    let (stats, keyspace) = (&cx.engine.stats, &cx.engine.keyspace);
    lines.field("total_connections_received", stats.connections.get());
    lines.field("total_commands_processed", stats.total_commands());
    let rates = stats.rates.per_second();
    lines.field("instantaneous_ops_per_sec", rates.commands.round());
    lines.field("total_net_input_bytes", stats.input_bytes.get());
    lines.field("total_net_output_bytes", stats.output_bytes.get());
    lines.field("instantaneous_input_kbps", format_args!("{:.2}", rates.input_bytes / 1024.0));
    lines.field("instantaneous_output_kbps", format_args!("{:.2}", rates.output_bytes / 1024.0));
    lines.field("rejected_connections", stats.rejected_connections.get());
    lines.field("log_lines_lost", crate::log::lost_lines());
    let totals = cx.engine.totals();
    lines.field("expired_keys", totals.expired);
    lines.field("evicted_keys", keyspace.stats.evicted.get());
    lines.field("ear_evicted_keys", keyspace.stats.ear_evicted.get());
    lines.field("keyspace_hits", totals.hits);
    lines.field("keyspace_misses", totals.misses);
    let pubsub = &cx.engine.pubsub;
    lines.field("pubsub_channels", pubsub.len(Topic::Channel));
    lines.field("pubsub_patterns", pubsub.len(Topic::Pattern));
    lines.field("pubsubshard_channels", pubsub.len(Topic::Shard));
    lines.field("client_output_buffer_limit_disconnections", stats.overflowed_clients.get());
    lines.field("evicted_clients", stats.evicted_clients.get());
    lines.field("stalled_clients", stats.stalled_clients.get());
    lines.field("total_error_replies", stats.total_errors());
    lines.field("total_reads_processed", stats.reads.get());
    lines.field("total_writes_processed", stats.writes.get());
    lines.field("transaction_retries", keyspace.stats.transaction_retries.get());
    lines.field("transactions_run_alone", keyspace.stats.ran_alone.get());
}

fn replication(cx: &Context<'_, '_>, lines: &mut Lines) {
    lines.field("role", "master");
    lines.field("connected_slaves", 0);
    lines.field("master_replid", &cx.engine.run_id);
    lines.field("master_repl_offset", 0);
}

fn cpu(cx: &Context<'_, '_>, lines: &mut Lines) {
    let (system_us, user_us) = cx.engine.costly().cpu_us;
    for (name, us) in [("used_cpu_sys", system_us), ("used_cpu_user", user_us)] {
        lines.field(name, format_args!("{}.{:06}", us / 1_000_000, us % 1_000_000));
    }
}

fn commandstats(cx: &Context<'_, '_>, lines: &mut Lines) {
    let stats = &cx.engine.stats;
    for (row, spec) in ROWS.iter().enumerate() {
        let (series, rejected) = (stats.commands.series(row), stats.rejected[row].get());
        if series.is_none() && rejected == 0 {
            continue;
        }
        let Series { ticks, failed, .. } = series.clone().unwrap_or_default();
        let (calls, us) = (series.map_or(0, |series| series.count()), ticks / TICKS_PER_US);
        let per_call = ticks as f64 / TICKS_PER_US as f64 / calls.max(1) as f64;
        lines.field(
            format_args!("cmdstat_{}", spec.name),
            format_args!(
                "calls={calls},usec={us},usec_per_call={per_call:.2},rejected_calls={rejected},failed_calls={failed}"
            ),
        );
    }
}

fn errorstats(cx: &Context<'_, '_>, lines: &mut Lines) {
    for (code, count) in cx.engine.stats.errors() {
        lines.field(format_args!("errorstat_{code}"), format_args!("count={count}"));
    }
}

fn latencystats(cx: &Context<'_, '_>, lines: &mut Lines) {
    for (row, spec) in ROWS.iter().enumerate() {
        let Some(series) = cx.engine.stats.commands.series(row) else { continue };
        let percentiles: Vec<String> = PERCENTILES
            .iter()
            .map(|percent| {
                let ticks = series.percentile(percent.parse().unwrap_or(100.0));
                format!("p{percent}={:.3}", ticks as f64 / TICKS_PER_US as f64)
            })
            .collect();
        lines.field(format_args!("latency_percentiles_usec_{}", spec.name), percentiles.join(","));
    }
}

fn cluster(_: &Context<'_, '_>, lines: &mut Lines) {
    lines.field("cluster_enabled", 0);
}

fn keyspace(cx: &Context<'_, '_>, lines: &mut Lines) {
    let Totals { expiring, .. } = cx.engine.totals();
    let keys = cx.engine.keys_seen(cx.view);
    if keys > 0 {
        lines.field("db0", format_args!("keys={keys},expires={expiring},avg_ttl=0"));
    }
}

/// The first namespaces that have or had keys, in no order; names are shown as text, without line ends.
fn namespaces(cx: &Context<'_, '_>, lines: &mut Lines) {
    lines.field("namespaces", cx.engine.keyspace.namespace_count());
    for namespace in cx.engine.keyspace.namespaces(NAMESPACES) {
        lines.field(
            format_args!("namespace_{}", namespace.name.escape_ascii()),
            format_args!(
                "keys={},bytes={},hits={},misses={},expired={},evicted={},policy={},limit={}",
                namespace.keys,
                namespace.bytes,
                namespace.hits,
                namespace.misses,
                namespace.expired,
                namespace.evicted,
                namespace.policy,
                namespace.quota.unwrap_or(0)
            ),
        );
    }
}

//! The figures of `/metrics`: name, type, help, and where each is read.

use super::family::{Described, Kind};
use crate::engine::Engine;
use crate::engine::mail::Topic;
use crate::engine::persistence::Figures;
use crate::engine::process::Process;
use crate::keyspace::NamespaceInfo;
use crate::memory::allocator::Allocator;
use crate::sharded::Totals;

/// A figure that each namespace has.
pub(super) struct OfNamespace {
    pub family: Described,
    pub read: fn(&NamespaceInfo) -> u64,
}

/// A figure that the server has once.
pub(super) struct OfServer {
    pub family: Described,
    pub read: fn(&Readings<'_>) -> f64,
}

/// What figures are read from: the engine, and what costs more than a load and is read once for a scrape.
pub(super) struct Readings<'e> {
    engine: &'e Engine,
    commands: u64,
    totals: Totals,
    allocator: Allocator,
    process: Process,
    snapshots: Figures,
}

impl<'e> Readings<'e> {
    pub(super) fn take(engine: &'e Engine) -> Readings<'e> {
        Readings {
            engine,
            commands: engine.stats.total_commands(),
            totals: engine.totals(),
            allocator: Allocator::read(),
            process: Process::read(),
            snapshots: engine.snapshot_figures(),
        }
    }
}

const NAMESPACE: &[&str] = &["namespace"];

/// How long commands took.
pub(super) const COMMAND_DURATION: Described = Described {
    name: "kvns_command_duration_seconds",
    kind: Kind::Histogram,
    labels: &["command", "namespace"],
    help: "How long commands ran, by the namespace of their first key; default without keys.",
};

/// Error replies by their first word.
pub(super) const ERRORS: Described = Described {
    name: "kvns_error_replies_total",
    kind: Kind::Counter,
    labels: &["code"],
    help: "Error replies by their first word.",
};

/// The program.
pub(super) const fn of_build() -> Described {
    Described { name: "kvns_build_info", kind: Kind::Gauge, labels: &["version"], help: "Always 1." }
}

const fn namespace_gauge(
    name: &'static str,
    help: &'static str,
    read: fn(&NamespaceInfo) -> u64,
) -> OfNamespace {
    OfNamespace { family: Described { name, kind: Kind::Gauge, labels: NAMESPACE, help }, read }
}

const fn namespace_counter(
    name: &'static str,
    help: &'static str,
    read: fn(&NamespaceInfo) -> u64,
) -> OfNamespace {
    OfNamespace { family: Described { name, kind: Kind::Counter, labels: NAMESPACE, help }, read }
}

const fn gauge(name: &'static str, help: &'static str, read: fn(&Readings<'_>) -> f64) -> OfServer {
    OfServer { family: Described { name, kind: Kind::Gauge, labels: &[], help }, read }
}

const fn counter(name: &'static str, help: &'static str, read: fn(&Readings<'_>) -> f64) -> OfServer {
    OfServer { family: Described { name, kind: Kind::Counter, labels: &[], help }, read }
}

/// The figures of each namespace.
pub(super) const BY_NAMESPACE: &[OfNamespace] = &[
    namespace_gauge("kvns_keys_total", "Keys in a namespace.", |info| info.keys),
    namespace_gauge("kvns_memory_used_bytes", "Accounted bytes of a namespace's keys.", |info| info.bytes),
    namespace_gauge(
        "kvns_namespace_limit_bytes",
        "Bytes that a namespace's keys may take; 0 for no bound.",
        |info| info.quota.unwrap_or(0),
    ),
    namespace_counter("kvns_evictions_total", "Keys evicted from a namespace.", |info| info.evicted),
    namespace_counter("kvns_keyspace_hits_total", "Reads that found their key.", |info| info.hits),
    namespace_counter("kvns_keyspace_misses_total", "Reads that did not find their key.", |info| info.misses),
    namespace_counter("kvns_expired_keys_total", "Keys that expired.", |info| info.expired),
];

/// The figures of the server.
pub(super) const OF_SERVER: &[OfServer] = &[
    gauge(
        "kvns_memory_used_bytes_total",
        "Accounted bytes of all keys, with free slots, the index and alarms.",
        |from| from.totals.bytes as f64,
    ),
    gauge("kvns_memory_limit_bytes", "The memory limit.", |from| {
        from.engine.settings.load().memory_limit as f64
    }),
    counter("kvns_ear_evictions_total", "Keys deleted after they were read, by the policy ear.", |from| {
        from.engine.keyspace.stats.ear_evicted.get() as f64
    }),
    gauge("kvns_namespaces", "Namespaces that have keys or had some a moment ago.", |from| {
        from.engine.keyspace.namespace_count() as f64
    }),
    gauge("kvns_expiring_keys", "Keys with a deadline.", |from| from.totals.expiring as f64),
    gauge("kvns_freeing_keys", "Flushed keys whose memory is not freed yet.", |from| {
        from.engine.keyspace.freeing() as f64
    }),
    gauge("kvns_connected_clients", "Connected clients.", |from| from.engine.clients.len() as f64),
    gauge("kvns_max_clients", "Clients that may be connected at once.", |from| {
        from.engine.settings.load().max_clients as f64
    }),
    counter("kvns_connections_total", "Connections accepted.", |from| {
        from.engine.stats.connections.get() as f64
    }),
    counter(
        "kvns_rejected_connections_total",
        "Connections turned away because there were too many.",
        |from| from.engine.stats.rejected_connections.get() as f64,
    ),
    counter("kvns_commands_processed_total", "Commands run.", |from| from.commands as f64),
    counter("kvns_cas_retries_total", "Writes that ran again because another one came first.", |from| {
        from.engine.keyspace.stats.cas_retries.get() as f64
    }),
    counter(
        "kvns_transaction_retries_total",
        "Transactions that ran again because another one came first.",
        |from| from.engine.keyspace.stats.transaction_retries.get() as f64,
    ),
    counter("kvns_transactions_alone_total", "Transactions that kept losing and ran alone.", |from| {
        from.engine.keyspace.stats.ran_alone.get() as f64
    }),
    counter("kvns_network_input_bytes_total", "Bytes read from clients.", |from| {
        from.engine.stats.input_bytes.get() as f64
    }),
    counter("kvns_network_output_bytes_total", "Bytes written to clients.", |from| {
        from.engine.stats.output_bytes.get() as f64
    }),
    gauge("kvns_pubsub_channels", "Channels that somebody listens to.", |from| {
        from.engine.pubsub.len(Topic::Channel) as f64
    }),
    gauge("kvns_pubsub_patterns", "Patterns that somebody listens to.", |from| {
        from.engine.pubsub.len(Topic::Pattern) as f64
    }),
    counter(
        "kvns_pubsub_dropped_clients_total",
        "Clients closed because they left more unread than client-output-buffer-limit allows.",
        |from| from.engine.stats.overflowed_clients.get() as f64,
    ),
    counter(
        "kvns_evicted_clients_total",
        "Clients closed because clients held more than maxmemory-clients.",
        |from| from.engine.stats.evicted_clients.get() as f64,
    ),
    gauge("kvns_clients_memory_bytes", "Bytes that clients make the server hold.", |from| {
        from.engine.clients.ledger.held() as f64
    }),
    counter(
        "kvns_oversized_requests_total",
        "Requests refused because they were beyond KVNS_MAX_RESP_ARGS or KVNS_MAX_RESP_BULK_LEN.",
        |from| from.engine.stats.oversized_requests.get() as f64,
    ),
    counter(
        "kvns_stalled_clients_total",
        "Clients closed because they took no replies for a minute and sent more than may be held.",
        |from| from.engine.stats.stalled_clients.get() as f64,
    ),
    counter("kvns_log_lines_lost_total", "Log lines that could not be written.", |_| {
        crate::log::lost_lines() as f64
    }),
    counter("kvns_snapshots_total", "Snapshots completed.", |from| from.snapshots.saves as f64),
    counter("kvns_snapshot_failures_total", "Snapshots that failed.", |from| from.snapshots.failures as f64),
    gauge("kvns_snapshot_running", "1 while a snapshot is taken.", |from| {
        f64::from(u8::from(from.snapshots.running.is_some()))
    }),
    gauge("kvns_snapshot_last_duration_seconds", "How long the last snapshot took.", |from| {
        from.snapshots.last_duration_us.unwrap_or(0) as f64 / 1e6
    }),
    gauge(
        "kvns_snapshot_age_seconds",
        "Time since the last good snapshot was complete, or else since the start.",
        |from| ((from.engine.clock.monotonic_us() - from.snapshots.last_save_us) / 1_000_000) as f64,
    ),
    gauge("kvns_snapshot_pending_changes", "Changes of keys since the last good snapshot began.", |from| {
        from.snapshots.changes as f64
    }),
    gauge("kvns_snapshot_last_size_bytes", "Size of the last snapshot.", |from| {
        from.snapshots.last_bytes as f64
    }),
    gauge(
        "kvns_snapshot_retained_bytes",
        "Bytes not freed because the running snapshot needs them.",
        |from| from.snapshots.running.map_or(0, |running| running.retained) as f64,
    ),
    gauge("kvns_allocator_allocated_bytes", "Bytes that the allocator has handed out.", |from| {
        from.allocator.allocated as f64
    }),
    gauge("kvns_allocator_active_bytes", "Bytes in pages that hold something handed out.", |from| {
        from.allocator.active as f64
    }),
    gauge("kvns_allocator_resident_bytes", "Bytes of the allocator in physical memory.", |from| {
        from.allocator.resident as f64
    }),
    counter("process_cpu_seconds_total", "Processor time used.", |from| from.process.cpu_us as f64 / 1e6),
    gauge("process_resident_memory_bytes", "Bytes in physical memory.", |from| {
        from.process.resident_bytes as f64
    }),
    gauge("process_virtual_memory_bytes", "Bytes of address space.", |from| {
        from.process.virtual_bytes as f64
    }),
    gauge("process_start_time_seconds", "When the process began: Unix time.", |from| {
        from.engine.started_ms as f64 / 1e3
    }),
    gauge("process_threads", "Threads.", |from| from.process.threads as f64),
    gauge("process_open_fds", "Open file descriptors.", |from| from.process.open_descriptors as f64),
    gauge("process_max_fds", "File descriptors that may be open.", |from| {
        from.process.max_descriptors as f64
    }),
];

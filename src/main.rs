//! The kvns server binary: settings, logging, engine, server, exit code.

use kvns::clock::Clock;
use kvns::config::{self, LogFormat, Settings};
use kvns::engine::Engine;
use kvns::engine::census::census;
use kvns::engine::descriptors::make_room_for_clients;
use kvns::server::Control;
use kvns::{log, metrics, server};
use std::io::{self, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

/// Its size classes are the ones that footprints are computed with. AddressSanitizer watches the system's allocator
/// only; then the figures of this one say nothing, and the limit on memory goes by what is accounted.
#[cfg(not(kvns_asan))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let settings = match Settings::from_process() {
        Ok(settings) => settings,
        Err(refusal) => return refusal.report(),
    };
    if settings.healthcheck {
        return match server::check_health(&settings.host, settings.port) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                log::complain(format_args!("{}:{} is not healthy: {error}", settings.host, settings.port));
                ExitCode::FAILURE
            }
        };
    }
    if let Some(path) = &settings.check {
        return check(path, settings.workers);
    }
    let is_json = settings.log_format == LogFormat::Json;
    if let Err(error) = server::withstand_signals().and_then(|()| log::start(&settings.log, is_json)) {
        log::complain(format_args!("cannot start: {error}"));
        return ExitCode::FAILURE;
    }
    let code = run(settings);
    log::flush();
    code
}

fn run(mut settings: Settings) -> ExitCode {
    for warning in config::unknown_variables(std::env::vars_os()) {
        tracing::warn!("{warning}");
    }
    if !settings.shared_values && !settings.sharded_mode {
        tracing::warn!(
            "KVNS_SHARED_VALUES=false is ignored: this store always shares values with a snapshot"
        );
    }
    let wanted = settings.max_clients;
    settings.max_clients = make_room_for_clients(wanted);
    if settings.max_clients < wanted {
        tracing::warn!(
            max_clients = settings.max_clients,
            "KVNS_MAX_CLIENTS={wanted} is lowered: the system allows too few file descriptors (ulimit -n)"
        );
    }
    match serve(settings) {
        Ok(()) => {
            tracing::info!("bye");
            ExitCode::SUCCESS
        }
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(settings: Settings) -> io::Result<()> {
    let engine = Arc::new(Engine::new(settings, Clock::system()).with_offload(server::offload));
    // Before the ports: who starts a server twice is told of the snapshot.
    engine.claim_snapshots().map_err(io::Error::other)?;
    let settings = engine.settings.load_full();
    let listener = bind(&settings.host, settings.port, "clients")?;
    let metrics_listener = bind(&settings.metrics_host, settings.metrics_port, "metrics")?;
    // Clients that come early are told that the data is loading, and so are probes.
    engine.expect_load();
    let control = Control::start()?;
    let mut server = server::start(Arc::clone(&engine), listener)?;
    server.stop_on_signals(&control)?;
    let metrics = metrics::start(&control, Arc::clone(&engine), server.probe(), metrics_listener)?;
    if let Err(refused) = engine.load_snapshot() {
        return if server.is_stopping() { Ok(()) } else { Err(io::Error::other(refused)) };
    }
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        address = %server.local_addr(),
        metrics = %metrics.local_addr(),
        pid = std::process::id(),
        workers = settings.workers,
        memory_limit = settings.memory_limit,
        max_clients = settings.max_clients,
        "kvns is ready"
    );
    server.run();
    Ok(())
}

/// Verifies a snapshot and prints what it has.
fn check(path: &Path, threads: usize) -> ExitCode {
    match census(path, threads) {
        Ok(census) => {
            // A closed standard output leaves nobody to tell.
            let _ = write!(io::stdout(), "{census}");
            ExitCode::SUCCESS
        }
        Err(refused) => {
            log::complain(refused);
            ExitCode::FAILURE
        }
    }
}

fn bind(host: &str, port: u16, purpose: &str) -> io::Result<TcpListener> {
    let refused = |error: io::Error| {
        io::Error::new(error.kind(), format!("cannot listen on {host}:{port} for {purpose}: {error}"))
    };
    server::bind(host, port).map_err(refused)
}

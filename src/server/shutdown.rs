//! The end of a server: signals, and how long clients may take.

use super::Shared;
use std::io;
use std::process;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

/// How long connections may take to send their last replies: less than the ten seconds after which a
/// container is killed.
const GRACE: Duration = Duration::from_secs(5);

/// The exit code of a shutdown that a second signal cut short.
const IMPATIENT_EXIT_CODE: i32 = 1;

/// Shuts down at the first SIGTERM or SIGINT and exits at once at the second.
pub(super) fn watch_signals(runtime: &Runtime, shared: Arc<Shared>) -> io::Result<()> {
    let _inside = runtime.enter();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    runtime.spawn(async move {
        for is_first in [true, false] {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            if is_first {
                tracing::info!(signal = name, "shutting down");
                shared.stop();
            }
        }
        tracing::warn!("a second signal ends the process at once");
        process::exit(IMPATIENT_EXIT_CODE);
    });
    Ok(())
}

/// Waits for the open connections to finish what they have read, for a bounded time.
pub(super) async fn drain(shared: &Shared) {
    if timeout(GRACE, shared.roster.emptied()).await.is_err() {
        tracing::warn!(
            connections = shared.roster.len(),
            "closing connections that do not read their replies"
        );
    }
}

//! How long the server waits for its clients at the end.

use super::Shared;
use std::time::Duration;
use tokio::time::timeout;

/// How long connections may take to send their last replies: less than the ten seconds after which a
/// container is killed.
const GRACE: Duration = Duration::from_secs(5);

/// Waits for the open connections to finish what they have read, for a bounded time.
pub(super) async fn drain(shared: &Shared) {
    if timeout(GRACE, shared.roster.emptied()).await.is_err() {
        tracing::warn!(
            connections = shared.roster.len(),
            "closing connections that do not read their replies"
        );
    }
}

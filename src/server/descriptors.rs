//! File descriptors: as many as there may be clients.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors beside those of clients: listeners, scrapers, the log, epoll, files being read and written.
const OWN_DESCRIPTORS: u64 = 128;

/// Asks the kernel for a descriptor for each client; without enough of them, says so and goes on.
pub fn raise_descriptor_limit(max_clients: u64) {
    let limit = getrlimit(Resource::Nofile);
    let needed = max_clients + OWN_DESCRIPTORS;
    if limit.current.is_none_or(|current| current >= needed) {
        return;
    }
    let current = Some(limit.maximum.map_or(needed, |maximum| maximum.min(needed)));
    let raised = setrlimit(Resource::Nofile, Rlimit { current, maximum: limit.maximum });
    if raised.is_err() || current < Some(needed) {
        tracing::warn!(needed, limit = current, "fewer file descriptors allowed than KVNS_MAX_CLIENTS needs");
    }
}

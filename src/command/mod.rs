//! Commands: one typed table, one gate, a file per family.

pub mod args;
mod call;
pub mod context;
pub mod dispatch;
pub mod error;
mod execute;
mod family;
mod grammar;
mod observe;
pub mod spec;
pub mod table;

use crate::engine::Engine;
use crate::keyspace::{Batch, Key, PrefetchList};
use crate::resp::Request;

/// Most keys of one request that are worth prefetching: more would push each other out of the cache.
const PREFETCHED_KEYS: usize = 16;

/// Brings the keys of requests that will run soon into the cache: a hint, nothing more.
pub fn prefetch<'r>(engine: &Engine, batch: &Batch<'_>, requests: impl Iterator<Item = Request<'r>>) {
    if engine.sharded.is_some() {
        return;
    }
    let mut keys = PrefetchList::new();
    for request in requests {
        let Some(row) = table::find(request.name()) else { continue };
        for (position, _) in row.spec().key_positions(request).take(PREFETCHED_KEYS) {
            if let Some(name) = request.get(position) {
                keys.push(Key::new(name));
            }
        }
    }
    batch.prefetch(&keys);
}

//! Commands: one typed table, one gate, a file per family.

pub mod args;
pub mod context;
pub mod dispatch;
pub mod error;
mod family;
pub mod spec;
pub mod table;

use crate::keyspace::{Batch, Key};
use crate::resp::Request;

/// Most keys of one request that are worth prefetching: more would push each other out of the cache.
const PREFETCHED_KEYS: usize = 16;

/// Brings the keys of requests that will run soon into the cache: a hint, nothing more.
pub fn prefetch<'r>(batch: &Batch<'_>, requests: impl Iterator<Item = Request<'r>>) {
    batch.prefetch(requests.flat_map(keys));
}

/// The first keys of a request.
fn keys(request: Request<'_>) -> impl Iterator<Item = Key<'_>> {
    let row = table::find(request.name());
    let positions =
        row.into_iter().flat_map(move |row| row.spec().key_positions(request).take(PREFETCHED_KEYS));
    positions.filter_map(move |(position, _)| request.get(position).map(Key::new))
}

//! Commands without sockets: a request in, the exact bytes of its reply out, in RESP2 and RESP3.
//!
//! Expected replies are written with `\n` for the line end and without the last one.

mod connection;
mod departures;
mod harness;
mod hashes;
mod introspection;
mod keys;
mod lists;
mod memory;
mod memory_stress;
mod namespaces;
mod pubsub;
mod runs;
mod server;
mod sets;
mod sharded;
mod snapshots;
mod sort;
mod sorted_sets;
mod strings;
mod transactions;

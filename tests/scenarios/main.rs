//! Whole-server scenarios over real sockets: isolation, namespaces, hostile clients, limits, expiry, shutdown,
//! metrics.

#[path = "../support/mod.rs"]
mod support;

mod expiry;
mod hostile;
mod isolation;
mod limits;
mod metrics;
mod namespaces;
mod pubsub;
mod queues;
mod scan;
mod settings;
mod sharded;
mod shutdown;
mod watch;

//! kvns: a Redis-compatible in-memory server on lock-free data structures.
//!
//! The map. Modules import downward only; `tests/tidy.rs` reads the `use` lines and fails otherwise.
//!
//! ```text
//! 7  main
//! 6  server     metrics
//! 5  command    (inside: spec, args, context, error  <  family  <  table  <  dispatch)
//! 4  engine  <  session
//! 3  keyspace   sharded
//! 2  stats      config     snapshot   log
//! 1  concurrent memory     value      resp
//! 0  sync       clock      glob      number     size_class wait
//! ```
//!
//! What is absent matters most:
//!
//! - A1. `resp` knows no command, `value` no key, clock or reply, `keyspace` no RESP, session
//!   or command, and of policy that of eviction alone.
//! - A2. Handlers see no socket, no papaya and no epoch: they see a [`keyspace::View`].
//! - A3. Unsafe code lives in `concurrent` and in the tree's nodes (`value::tree::node`), beside the processor's
//!   instructions in `sync`. Atomics live in `concurrent` only, and `sync` chooses them: those that loom explores, or
//!   plain ones, each of which says why it needs no model. Elsewhere threads share by what the libraries have: locks,
//!   cells that are written once, queues, swapped pointers.
//! - A4. `clock` is the only reader of time.
//! - A5. tokio appears in `server`, `metrics` and `main` only; dispatch is synchronous.

pub mod clock;
pub mod command;
pub mod concurrent;
pub mod config;
pub mod engine;
pub mod glob;
pub mod keyspace;
pub mod log;
pub mod memory;
pub mod metrics;
pub mod number;
pub mod resp;
pub mod server;
pub mod session;
pub mod sharded;
pub mod size_class;
pub mod snapshot;
pub mod stats;
pub mod sync;
pub mod value;
pub mod wait;

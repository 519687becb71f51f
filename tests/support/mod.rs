//! Shared test code: a blocking RESP client, the servers under test, the sequential model and its checker.
//!
//! With `KVNS_TEST_SUBJECT=redis-server` every [`Server`] is a redis-server instead of kvns, which proves the
//! tests themselves: what redis-server fails is a mistake in the test.
#![allow(dead_code, unused_imports, unused_macros, unreachable_pub)] // Each test binary uses its own part of this module.

pub mod checker;
pub mod client;
pub mod model;
pub mod resp;
pub mod seed;
pub mod server;

pub use client::Client;
pub use resp::{Command, Value};
pub use server::{RedisPeer, Server};

/// A command from its arguments: anything that is bytes.
macro_rules! cmd {
    ($($argument:expr),+ $(,)?) => {
        vec![$(AsRef::<[u8]>::as_ref(&$argument).to_vec()),+]
    };
}
pub(crate) use cmd;

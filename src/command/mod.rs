//! Commands: one typed table, one gate, a file per family.

pub mod args;
mod call;
pub mod context;
pub mod dispatch;
pub mod error;
mod execute;
mod family;
mod grammar;
mod names;
mod observe;
pub mod resolve;
mod sieve;
pub mod spec;
pub mod table;

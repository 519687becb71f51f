//! The lock-free parts: everything with an atomic or an unsafe block in it.
//!
//! A generation holds an index from names to slots. A slot's cell points to one immutable version; a write is
//! one compare-and-swap of that cell, or, for several cells, one transaction descriptor. What leaves a cell or
//! the index is reclaimed after a grace period.
//!
//! Each module's header states its invariants by number; SAFETY and ORDERING comments cite them.
#![allow(unsafe_code, reason = "lock-free structures; every block cites its module's invariants")]

pub mod counters;
pub mod epoch;
pub mod ledger;
pub mod mail;
pub mod slots;
pub mod snapshot;
pub mod versions;

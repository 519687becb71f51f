//! The lock-free parts: everything with an atomic or an unsafe block in it.
//!
//! A generation holds an index from names to slots. A slot's cell points to one immutable version; a write is
//! one compare-and-swap of that cell, or, for several cells, one transaction descriptor. What leaves a cell or
//! the index is reclaimed after a grace period.
//!
//! Each module's header states its invariants by number; SAFETY and ORDERING comments cite them.
#![allow(unsafe_code, reason = "lock-free structures; every block cites its module's invariants")]

pub mod cell;
pub mod chunk;
pub mod counter;
pub mod credit;
pub mod directory;
pub mod epoch_word;
pub mod generation;
pub mod hub;
pub mod index;
pub mod mailbox;
pub mod namespace;
pub mod nodes;
pub mod occupancy;
pub mod order_index;
pub mod reclaim;
pub mod recorder;
pub mod reservation;
pub mod rules;
pub mod slot;
pub mod snapshot;
pub mod transaction;
pub mod version;
pub mod wheel;

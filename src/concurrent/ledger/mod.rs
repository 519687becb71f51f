//! The ledger of memory: room under a limit, and the rules of namespaces.

pub mod credit;
pub mod rules;

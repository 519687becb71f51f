//! The ledger of memory: the bytes that are free under a limit, and the rules of namespaces.

pub mod balance;
pub mod rules;

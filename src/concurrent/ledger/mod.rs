//! The ledger of memory: the bytes that are free under a limit, those that clients hold, and the rules of namespaces.

pub mod balance;
pub mod charge;
pub mod rules;
pub mod turn;

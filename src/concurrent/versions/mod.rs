//! Immutable versions, the cells that hold them, and the transactions that change several cells at one instant.

pub mod cell;
pub mod nodes;
pub mod order_index;
pub mod retention;
pub mod transaction;
pub mod version;

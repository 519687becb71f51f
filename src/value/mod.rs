//! Immutable value types with pure operations old -> new. Values know no key, clock or reply.

pub mod chunks;
pub mod sorted_set;
pub mod string;
pub mod tree;

//! Immutable value types with pure operations old -> new. Values know no key, clock or reply.

pub mod string;
pub mod tree;

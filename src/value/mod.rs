//! Immutable value types with pure operations old -> new. Values know no key, clock or reply.

pub mod chunks;
pub mod sorted_set;
pub mod string;
pub mod tree;

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A string, whatever its representation.
    String,
    /// A list.
    List,
    /// A hash.
    Hash,
    /// A set.
    Set,
    /// A sorted set.
    SortedSet,
}

impl Kind {
    /// The type's name, as TYPE gives it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::String => "string",
            Kind::List => "list",
            Kind::Hash => "hash",
            Kind::Set => "set",
            Kind::SortedSet => "zset",
        }
    }
}

//! The home of keys: slots in chunks of their namespace, found by name in the index of a generation.

pub mod chunk;
pub mod directory;
pub mod generation;
pub mod index;
pub mod namespace;
mod registry;
mod releases;
pub mod slot;
pub mod wheel;

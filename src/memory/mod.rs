//! Memory: the limit and what is free under it, the allocator, and how much memory there is.
//!
//! A change *reserves* the bytes that it adds before its compare-and-swap, *commits* the reservation when it has happened,
//! and *releases* it when it has not. What a change frees is released too. A *footprint* is the bytes that a key, an
//! entry or a client's buffers take.

pub mod allocator;
pub mod cgroup;
pub mod limit;

//! Counters that many threads add to, and distributions that they record in.

pub mod counter;
pub mod recorder;

//! Epochs: what a pin keeps, when a grace period has passed, and who runs alone.

pub mod epoch_word;
pub mod exclusive;
pub mod freer;
pub mod occupancy;
pub mod reclaim;

//! Byte-for-byte comparison with redis-server: scripts of every family, protocol errors, random commands.
//!
//! What may differ is listed in one place, [`departures`], each with its reason. Everything else is compared
//! as the bytes on the wire. `KVNS_COMPAT_ROUNDS` sets the number of random rounds, `KVNS_TEST_SEED` repeats
//! one run.

mod support;

#[path = "compat/departures.rs"]
mod departures;
#[path = "compat/frames.rs"]
mod frames;
#[path = "compat/pair.rs"]
mod pair;
#[path = "compat/patterns.rs"]
mod patterns;
#[path = "compat/random.rs"]
mod random;
#[path = "compat/scripts.rs"]
mod scripts;

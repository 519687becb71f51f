//! Seeds: random by default, printed always, repeated through `KVNS_TEST_SEED`.

use rand::SeedableRng;
use rand::rngs::StdRng;
use std::time::{SystemTime, UNIX_EPOCH};

/// The seed of this run: `KVNS_TEST_SEED`, or one from the clock. Printed, so that a failure can be repeated.
pub fn seed() -> u64 {
    let seed =
        setting("KVNS_TEST_SEED").unwrap_or_else(|| now_ms().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 16);
    println!("repeat with KVNS_TEST_SEED={seed}");
    seed
}

/// A generator for part `stream` of a run.
pub fn generator(seed: u64, stream: u64) -> StdRng {
    StdRng::seed_from_u64(seed ^ stream.wrapping_mul(0xD134_2543_DE82_EF95))
}

/// A number from an environment variable; panics if it is not one.
pub fn setting(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is not a number")))
}

/// Unix time in milliseconds.
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_millis() as u64
}

//! A bounded run of every fuzz target on random inputs. Each input has a seed of its own, which is printed when it
//! fails: `KVNS_FUZZ_SEED` repeats that input alone, and `KVNS_FUZZ_SECONDS` makes a run longer. The targets
//! themselves run with `cargo +nightly fuzz run decoder`.

#[path = "fuzz/decoder.rs"]
mod decoder;
#[path = "fuzz/decoder_seeds.rs"]
mod decoder_seeds;
#[path = "fuzz/dispatch.rs"]
mod dispatch;
#[path = "fuzz/dispatch_inputs.rs"]
mod dispatch_inputs;
#[path = "fuzz/snapshot.rs"]
mod snapshot;
#[path = "fuzz/snapshot_inputs.rs"]
mod snapshot_inputs;

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

/// Seconds that each target gets.
const SECONDS: u64 = 8;

/// Pieces of the protocol; random bytes alone rarely get past a header.
const DICTIONARY: &[&[u8]] = &[
    b"\r\n",
    b"*1\r\n",
    b"*2\r\n",
    b"*-1\r\n",
    b"*0\r\n",
    b"*1024\r\n",
    b"*1025\r\n",
    b"$0\r\n\r\n",
    b"$1\r\na\r\n",
    b"$-1\r\n",
    b"$16777217\r\n",
    b"PING\r\n",
    b"*",
    b"$",
    b"\r",
    b"\n",
    b"\"",
    b"'",
    b"\\",
    b"\\x",
    b"9",
    b"0",
    b"-",
    b" ",
];

#[test]
fn decoder() {
    smoke("decoder", |rng| mutant(rng, decoder_seeds::STREAMS), decoder::run);
}

#[test]
fn dispatch() {
    smoke("dispatch", dispatch_inputs::generate, dispatch::run);
}

#[test]
fn snapshot() {
    smoke("snapshot", snapshot_inputs::generate, snapshot::run);
}

/// Runs `body` on inputs that `generate` makes until the time is over.
fn smoke(target: &str, generate: impl Fn(&mut SmallRng) -> Vec<u8>, body: impl Fn(&[u8])) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let check = |seed: u64| {
        let input = generate(&mut SmallRng::seed_from_u64(seed));
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| body(&input))) {
            eprintln!("{target}: KVNS_FUZZ_SEED={seed} fails on b\"{}\"", input.escape_ascii());
            resume_unwind(panic);
        }
    };
    if let Some(seed) = number("KVNS_FUZZ_SEED") {
        return check(seed);
    }
    let end = Instant::now() + Duration::from_secs(number("KVNS_FUZZ_SECONDS").unwrap_or(SECONDS));
    let (mut rng, mut inputs) = (rand::rng(), 0);
    while Instant::now() < end {
        check(rng.random());
        inputs += 1;
    }
    println!("{target}: {inputs} inputs");
}

fn mutant(rng: &mut SmallRng, seeds: &[&[u8]]) -> Vec<u8> {
    // The two bytes in front choose limits and cuts in the decoder's target.
    let mut input = vec![rng.random(), rng.random()];
    for _ in 0..rng.random_range(1..4) {
        input.extend_from_slice(seeds.choose(rng).copied().unwrap_or_default());
    }
    for _ in 0..rng.random_range(0..6) {
        let at = rng.random_range(0..=input.len());
        let end = rng.random_range(at..=input.len().min(at + 8));
        match rng.random_range(0..4) {
            0 => drop(
                input.splice(at..at, DICTIONARY.choose(rng).copied().unwrap_or_default().iter().copied()),
            ),
            1 => drop(input.drain(at..end)),
            2 => input.truncate(at.max(2)),
            _ => {
                if let Some(byte) = input.get_mut(at) {
                    *byte = rng.random();
                }
            }
        }
    }
    input
}

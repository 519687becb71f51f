//! A bounded run of every fuzz target with random mutations of its seeds. The seed of a failed run is printed;
//! `KVNS_FUZZ_SEED` repeats it, and `KVNS_FUZZ_ROUNDS` makes a run longer. The targets themselves run with
//! `cargo +nightly fuzz run decoder`.

#[path = "fuzz/decoder.rs"]
mod decoder;
#[path = "fuzz/decoder_seeds.rs"]
mod decoder_seeds;

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

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
    smoke("decoder", 1_500_000, decoder_seeds::STREAMS, decoder::run);
}

/// Runs `body` on `rounds` inputs, each made of some seeds and changed in a few places.
fn smoke(target: &str, rounds: u64, seeds: &[&[u8]], body: impl Fn(&[u8])) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = number("KVNS_FUZZ_SEED").unwrap_or_else(|| rand::rng().random());
    let rounds = number("KVNS_FUZZ_ROUNDS").unwrap_or(rounds);
    let mut rng = SmallRng::seed_from_u64(seed);
    for round in 0..rounds {
        let input = mutant(&mut rng, seeds);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| body(&input))) {
            eprintln!(
                "{target}: KVNS_FUZZ_SEED={seed} fails in round {round} on {:?}",
                input.escape_ascii().to_string()
            );
            resume_unwind(panic);
        }
    }
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

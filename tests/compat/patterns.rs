//! Random patterns and names, any byte among them: KEYS, SCAN and PUBLISH say the same of them.

use crate::pair::Pair;
use crate::support::Command;
use crate::support::seed::{generator, seed};
use rand::Rng;
use rand::rngs::StdRng;

/// Bytes of names and patterns; no `/` and no `!`, which mean more here than in Redis.
const BYTES: &[u8] = b"aaabbABz*?[]^\\-\x00\x7f\x80\xff";

fn text(rng: &mut StdRng, most: usize) -> Vec<u8> {
    let len = rng.random_range(0..=most);
    (0..len).map(|_| BYTES[rng.random_range(0..BYTES.len())]).collect()
}

/// A pattern: random bytes with classes and stars among them more often than chance has it.
fn pattern(rng: &mut StdRng) -> Vec<u8> {
    let part = |rng: &mut StdRng| match rng.random_range(0..4) {
        0 => b"*".to_vec(),
        1 => [&b"["[..], &text(rng, 5), b"]"].concat(),
        _ => text(rng, 3),
    };
    (0..rng.random_range(0..5)).flat_map(|_| part(rng)).collect()
}

fn command(words: &[&[u8]]) -> Command {
    words.iter().map(|word| word.to_vec()).collect()
}

#[test]
fn patterns_match_what_they_match_in_redis() {
    let Some(pair) = Pair::start() else { return };
    let mut rng = generator(seed(), 7);
    for _ in 0..30 {
        pair.flush();
        let (mut link, mut listener) = (pair.link(), pair.link());
        let names: Vec<Vec<u8>> = (0..40).map(|_| text(&mut rng, 6)).collect();
        let patterns: Vec<Vec<u8>> = (0..40).map(|_| pattern(&mut rng)).collect();
        let mut commands: Vec<Command> = names.iter().map(|name| command(&[b"SET", name, b"v"])).collect();
        for pattern in &patterns {
            commands.push(command(&[b"KEYS", pattern]));
            commands.push(command(&[b"SCAN", b"0", b"MATCH", pattern, b"COUNT", b"1000"]));
        }
        let subscribe = |pattern: &Vec<u8>| command(&[b"PSUBSCRIBE", pattern]);
        let listen: Vec<Command> = patterns[..20].iter().map(subscribe).collect();
        listener.compare(&listen).unwrap_or_else(|difference| panic!("{difference}"));
        commands.extend(names.iter().map(|name| command(&[b"PUBLISH", name, b"message"])));
        link.compare(&commands).unwrap_or_else(|difference| panic!("{difference}"));
    }
}

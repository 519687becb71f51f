//! The loader of snapshots under arbitrary files: shared by the fuzz target and the smoke test.

use kvns::clock::Clock;
use kvns::keyspace::{Keyspace, RestoreTally};
use kvns::snapshot::format::{FRAME_HEADER_SIZE, FrameHeader, HEADER_SIZE, Header};
use kvns::snapshot::{Extent, LoadProgress, load_from};

const PLACES: [Extent; 4] = [Extent::Whole, Extent::First, Extent::Middle, Extent::Last];

/// Loads what follows the first byte of `data` into a keyspace. With an odd first byte the checksums are corrected
/// before, so that the checks behind them are reached. Whatever the file says, it is loaded whole or refused in one
/// line, and the keyspace stays consistent.
pub fn run(data: &[u8]) {
    let Some((mode, file)) = data.split_first() else { return };
    let mut file = file.to_vec();
    if mode & 1 == 1 {
        correct(&mut file);
    }
    let clock = Clock::manual(1 << 40);
    let (keyspace, tally, progress) =
        (Keyspace::new(clock.clone()), RestoreTally::default(), LoadProgress::default());
    let threads = 1 + usize::from(mode & 2 == 2);
    match load_from(&file[..], file.len() as u64, threads, || keyspace.restorer(&tally), &progress, &clock) {
        Ok(loaded) => assert_eq!(loaded.keys, tally.restored.get() + tally.expired.get()),
        Err(reason) => assert!(!reason.is_empty() && !reason.contains('\n'), "{reason:?}"),
    }
    keyspace.check_invariants().expect("the keyspace's invariants hold");
}

/// Corrects the lengths and checksums of what looks like a header and frames.
fn correct(file: &mut [u8]) {
    let file_len = file.len() as u64;
    let Some((header, mut frames)) = file.split_first_chunk_mut::<HEADER_SIZE>() else { return };
    let keys = u64::from_le_bytes(std::array::from_fn(|at| header[32 + at]));
    let mut number = 0;
    while let Some((start, rest)) = frames.split_first_chunk_mut::<FRAME_HEADER_SIZE>() {
        let field = |at: usize| u32::from_le_bytes([start[at], start[at + 1], start[at + 2], start[at + 3]]);
        let body_len = (field(8) as usize).min(rest.len());
        let (body, others) = rest.split_at_mut(body_len);
        let place = PLACES[field(4) as usize % PLACES.len()];
        let body_sum = crc32fast::hash(body);
        let read = FrameHeader { place, body_len: body_len as u32, body_sum, number, stream: field(24) };
        *start = read.write();
        (number, frames) = (number + 1, others);
    }
    *header = Header { file_len, frames: number, keys, begun_ms: 0 }.write();
}

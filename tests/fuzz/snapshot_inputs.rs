//! Snapshots with mistakes in them.

use kvns::keyspace::Kind;
use kvns::snapshot::{FileSink, Head, Sink, Storage};
use rand::Rng;
use rand::rngs::SmallRng;
use std::io::{self, Cursor, Seek, SeekFrom, Write};

/// A file in memory.
struct Memory<'m>(&'m mut Cursor<Vec<u8>>);

impl Write for Memory<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Memory<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

impl Storage for Memory<'_> {
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A small snapshot with some bytes changed, behind the byte that says how it is to be loaded.
pub fn generate(rng: &mut SmallRng) -> Vec<u8> {
    let mut input = vec![rng.random()];
    input.extend(snapshot(rng));
    for _ in 0..rng.random_range(0..5) {
        let at = rng.random_range(1..input.len());
        match rng.random_range(0..8) {
            0 => input.truncate(at.max(2)),
            1 => {
                let end = rng.random_range(at..=input.len().min(at + 40));
                drop(input.drain(at..end));
            }
            2 => {
                let end = rng.random_range(at..=input.len().min(at + 200));
                let copy = input[at..end].to_vec();
                drop(input.splice(at..at, copy));
            }
            3 => input[at] ^= 1 << rng.random_range(0..8),
            _ => input[at] = rng.random_range(0..4),
        }
        if input.len() < 2 {
            break;
        }
    }
    input
}

fn snapshot(rng: &mut SmallRng) -> Vec<u8> {
    let mut storage = Cursor::new(Vec::new());
    let mut sink = FileSink::new(Memory(&mut storage), 7);
    let kinds = [Kind::String, Kind::List, Kind::Hash, Kind::Set, Kind::SortedSet];
    for key in 0..rng.random_range(0..8) {
        let kind = kinds[rng.random_range(0..kinds.len())];
        let is_large = rng.random_ratio(1, 60);
        let count = if is_large { 3_000 } else { rng.random_range(1..6) };
        let piece = vec![b'x'; if is_large { 200 } else { rng.random_range(0..30) }];
        let len = if kind == Kind::String { count * piece.len() as u64 } else { count };
        let deadline_ms = rng.random_bool(0.3).then(|| rng.random_range(1 << 39..1 << 41));
        sink.begin(Head { name: format!("n{}/{key}", key % 3).as_bytes(), kind, deadline_ms, len });
        for index in 0..count {
            if kind == Kind::String {
                sink.item(&piece);
                continue;
            }
            sink.item(&[index.to_string().as_bytes(), &piece].concat());
            match kind {
                Kind::Hash => sink.item(&piece),
                Kind::SortedSet => sink.score(index as f64),
                _ => {}
            }
        }
        sink.end();
    }
    sink.complete().expect("memory takes it all");
    drop(sink);
    storage.into_inner()
}

//! What is in a snapshot: its keys by namespace and type, counted without a store.

use crate::clock::Clock;
use crate::keyspace::{Key, Kind};
use crate::snapshot::{Extent, Frame, LoadProgress, Loaded, Receiver, Refused, load};
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

const KINDS: [Kind; 5] = [Kind::String, Kind::List, Kind::Hash, Kind::Set, Kind::SortedSet];

type Counts = BTreeMap<Vec<u8>, [u64; KINDS.len()]>;

/// The keys of a snapshot, counted. A key that is in the file twice, because it was changed while the snapshot was
/// taken, counts twice.
#[derive(Debug)]
pub struct Census {
    loaded: Loaded,
    /// By namespace, then by type.
    counts: Counts,
}

/// Reads the file `path` as a start would, on so many threads, and counts its keys. O(its bytes).
///
/// # Errors
/// The file can't be read or is damaged.
pub fn census(path: &Path, threads: usize) -> Result<Census, Refused> {
    let total = Mutex::default();
    let counter = || Counter { counts: Counts::new(), total: &total };
    let loaded = load(path, threads, counter, &LoadProgress::default(), &Clock::system())?;
    Ok(Census { loaded, counts: total.into_inner().unwrap_or_else(PoisonError::into_inner) })
}

impl fmt::Display for Census {
    /// A line about the file, then a table with a line for each namespace.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Loaded { keys, bytes, begun_ms } = self.loaded;
        writeln!(f, "ok: {keys} keys, {bytes} bytes, begun at Unix time {}", begun_ms / 1000)?;
        writeln!(f, "namespace\t{}", KINDS.map(Kind::name).join("\t"))?;
        for (namespace, counts) in &self.counts {
            writeln!(
                f,
                "{}\t{}",
                namespace.escape_ascii(),
                counts.map(|count| count.to_string()).join("\t")
            )?;
        }
        Ok(())
    }
}

/// Counts for one thread, and adds up at its end.
struct Counter<'t> {
    counts: Counts,
    total: &'t Mutex<Counts>,
}

impl Receiver for Counter<'_> {
    fn take(&mut self, frame: &Frame<'_>) -> Result<(), String> {
        if !matches!(frame.place(), Extent::Whole | Extent::First) {
            return Ok(());
        }
        for part in frame.parts() {
            let namespace = Key::new(part.head.name).namespace();
            let column = KINDS.iter().position(|kind| *kind == part.head.kind).unwrap_or_default();
            match self.counts.get_mut(namespace) {
                Some(counts) => counts[column] += 1,
                None => self.counts.entry(namespace.to_vec()).or_default()[column] += 1,
            }
        }
        Ok(())
    }
}

impl Drop for Counter<'_> {
    fn drop(&mut self) {
        let mut total = self.total.lock().unwrap_or_else(PoisonError::into_inner);
        for (namespace, counts) in std::mem::take(&mut self.counts) {
            let sums = total.entry(namespace).or_default();
            sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        }
    }
}

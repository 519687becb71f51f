//! Recounting: does what was accounted agree with what is there?

use super::Keyspace;
use super::entry::footprint;
use crate::concurrent::epoch::reclaim::{Guard, pin};
use crate::concurrent::slots::generation::{DEFAULT_NAMESPACE, Generation};
use crate::concurrent::slots::namespace::Namespace;
use crate::concurrent::slots::slot::Slot;
use crate::concurrent::versions::version::{Content, Version};
use crate::value::string::Str;
use crate::value::tree::{Hash, List, Set, Tree};
use std::collections::HashMap;

/// Rounds of housekeeping that a check waits for quiescence: on a busy machine a pinned thread may not run for long.
const ROUNDS: usize = 10_000_000;

#[derive(Default)]
struct Counted {
    taken: i64,
    keys: i64,
    bytes: i64,
    expiring: i64,
    by_namespace: HashMap<Vec<u8>, (i64, i64, u32)>,
}

impl Keyspace {
    /// Recounts keys, bytes, deadlines and slots, by namespace and in all, and compares them with the counters
    /// and the index. To be called when no command and no snapshot runs. O(keys).
    ///
    /// # Errors
    /// What disagrees.
    pub fn check_invariants(&self) -> Result<(), String> {
        self.current.share(&pin()).end_resize();
        if !self.settle(ROUNDS) {
            return Err("the housekeeper does not come to rest".into());
        }
        if !self.snapshots.retention.is_settled() {
            return Err(format!("{:?} bytes are kept for a snapshot", self.retained().0));
        }
        let guard = pin();
        let generation = self.current.load(&guard);
        let counted = count(generation, &guard)?;
        equal("keys", generation.keys.get(), counted.keys)?;
        equal("bytes", generation.bytes.get(), counted.bytes)?;
        equal("keys with a deadline", generation.expiring.get(), counted.expiring)?;
        let (frame, slots) = generation.directory().recount(&guard);
        equal("bytes of chunks", generation.directory().bytes.get(), frame)?;
        equal("slots of chunks", generation.directory().slots.get(), slots)?;
        self.check_wheel()?;
        equal("bytes in leases", self.memory.balance().leased(), 0)?;
        equal("names in the index", generation.indexed() as i64, counted.taken)?;
        let mut failed = Ok(());
        let mut namespaces = 0;
        generation.each_namespace(&guard, |namespace| {
            let found = counted.by_namespace.get(namespace.name()).copied().unwrap_or_default();
            namespaces += usize::from(found.2 > 0);
            failed = check_namespace(namespace, found);
            failed.is_ok()
        });
        failed?;
        equal("namespaces with slots", namespaces as i64, counted.by_namespace.len() as i64)?;
        if (self.alarms() as i64) < counted.expiring {
            return Err(format!("{} alarms for {} keys with a deadline", self.alarms(), counted.expiring));
        }
        Ok(())
    }
}

/// Compares a namespace's counters with its counted keys, bytes and taken slots.
fn check_namespace(namespace: &Namespace, (keys, bytes, taken): (i64, i64, u32)) -> Result<(), String> {
    let name = String::from_utf8_lossy(namespace.name());
    let permanent = u32::from(namespace.name() == DEFAULT_NAMESPACE);
    equal(&format!("keys of {name}"), namespace.keys.get(), keys)?;
    equal(&format!("bytes of {name}"), namespace.bytes.get(), bytes)?;
    equal(&format!("slots of {name}"), i64::from(namespace.occupied()), i64::from(taken + permanent))
}

fn count(generation: &Generation, guard: &Guard) -> Result<Counted, String> {
    let mut counted = Counted::default();
    for id in 0..generation.directory().end() {
        let Some(chunk) = generation.directory().get(id, guard) else { continue };
        let mut failed = Ok(());
        let mut taken = 0;
        chunk.walk(0, |slot| {
            taken += 1;
            failed = count_slot(generation, slot, &mut counted, guard);
            failed.is_ok()
        });
        failed?;
        equal("taken slots of a chunk", i64::from(chunk.occupied()), taken)?;
    }
    Ok(counted)
}

fn count_slot(
    generation: &Generation,
    slot: &Slot,
    counted: &mut Counted,
    guard: &Guard,
) -> Result<(), String> {
    let version = slot.cell().read(guard);
    let name = String::from_utf8_lossy(slot.name());
    if version.is_dead() {
        return Err(format!("{name} is dead and was not released"));
    }
    match generation.find(slot.name(), guard) {
        Some(found) if std::ptr::eq(found, slot) => {}
        _ => return Err(format!("{name} is not in the index with its slot")),
    }
    if !version.is_live() && !slot.is_watched() {
        return Err(format!("{name} is absent and nobody queued its slot"));
    }
    check_value(version, guard).map_err(|error| format!("{name}: {error}"))?;
    counted.taken += 1;
    let namespace = generation.namespace_of(slot, guard).name().to_vec();
    let tally = counted.by_namespace.entry(namespace).or_default();
    tally.2 += 1;
    if version.is_live() {
        let bytes = footprint(slot, version) as i64;
        counted.keys += 1;
        counted.bytes += bytes;
        tally.0 += 1;
        tally.1 += bytes;
    }
    if version.deadline_ms().is_some() {
        counted.expiring += 1;
        if !slot.is_noted() {
            return Err(format!("{name} has a deadline and no alarm"));
        }
    }
    Ok(())
}

/// Verifies a collection: its tree, and the index of a sorted set; or a long string. O(n log n).
fn check_value(version: &Version, guard: &Guard) -> Result<(), String> {
    match version.content() {
        Content::List => version.tree::<List>().map_or(Ok(()), Tree::<List>::check),
        Content::Hash => version.tree::<Hash>().map_or(Ok(()), Tree::<Hash>::check),
        Content::Set => version.tree::<Set>().map_or(Ok(()), Tree::<Set>::check),
        Content::Chunks => match version.string() {
            Some(Str::Chunks(chunks)) => chunks.check(),
            _ => Ok(()),
        },
        _ => {
            let Some(set) = version.sorted_set(guard) else { return Ok(()) };
            set.check()?;
            version
                .large_set()
                .map_or(Ok(()), |large| large.check_heap(set.iter().map(|scored| scored.member)))
        }
    }
}

fn equal(what: &str, accounted: i64, counted: i64) -> Result<(), String> {
    if accounted == counted {
        return Ok(());
    }
    Err(format!("{what}: {accounted} accounted, {counted} counted"))
}

//! The housekeeper's round: what happens by itself, on one thread of its own.
//!
//! It expires keys as their alarms fire, closes slots that were left absent, releases what has left the index, evicts
//! what a lowered limit has no room for, and frees generations that were flushed. Everything goes in slices between
//! which its pin is renewed.

use super::Keyspace;
use super::eviction::Descent;
use crate::concurrent::counters::counter::Gauge;
use crate::concurrent::epoch::freer;
use crate::concurrent::epoch::reclaim::{Guard, pin};
use crate::concurrent::slots::generation::{Departure, Generation, Reaping, Replaced};
use crate::concurrent::slots::wheel::{Alarm, Wheel};
use std::sync::{Arc, PoisonError, TryLockError};

/// Alarms or slots that are handled under one pin.
const SLICE: usize = 64;
/// Slices of alarms in one round: many, for keys that are due are to be gone before what they leave is cleared.
const ALARM_SLICES: usize = 8192;
/// Slices of alarms that are sifted in one round: those that are due wait for its end.
const SIFTING_SLICES: usize = 512;
/// Slices of absent slots in one round.
const REAPING_SLICES: usize = 256;

/// Nodes of dropped collections that are freed in one round.
const FREED_NODES: usize = 4096;

/// The housekeeper's state.
#[derive(Debug, Default)]
pub(super) struct Housekeeper {
    /// The generation that the rest is about.
    generation: u64,
    wheel: Wheel,
    reaping: Option<Reaping>,
    departure: Option<Departure>,
    replaced: Vec<(Replaced, Freeing)>,
    descent: Descent,
    /// Names in the index at the last round.
    names: usize,
    /// True if no resize of the index waits for insertions.
    is_resized: bool,
}

impl Keyspace {
    /// One round of expiry, reaping, releasing and freeing. True if there is more to do at once. Only one thread
    /// does it at a time; another call returns at once. Not to be called with a batch open.
    pub fn housekeep(&self) -> bool {
        let mut housekeeper = match self.housekeeper.try_lock() {
            Ok(housekeeper) => housekeeper,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return false,
        };
        self.follow_clock();
        housekeeper.round(self)
    }

    /// Runs rounds until nothing is left to do, or `rounds` have passed. True if nothing is left.
    pub(super) fn settle(&self, rounds: usize) -> bool {
        for _ in 0..rounds {
            let mut housekeeper = self.housekeeper.lock().unwrap_or_else(PoisonError::into_inner);
            let more = housekeeper.round(self);
            let idle = housekeeper.is_idle() && self.current.share(&pin()).is_settled();
            drop(housekeeper);
            if !more && idle {
                return true;
            }
            std::thread::yield_now();
        }
        false
    }

    /// Bytes of the alarms for keys that have a deadline, and of some for keys that had one. Those of the wheel as they
    /// were at the last round. O(1).
    pub fn alarm_bytes(&self) -> u64 {
        self.wheel_bytes.get() + self.current.load(&pin()).inbox.footprint() as u64
    }

    /// Recounts what the wheel says of itself; for checks. O(alarms).
    pub(super) fn check_wheel(&self) -> Result<(), String> {
        let housekeeper = self.housekeeper.lock().unwrap_or_else(PoisonError::into_inner);
        let wheel = &housekeeper.wheel;
        let (bytes, alarms) = wheel.recount();
        let accounted = self.wheel_bytes.get();
        if wheel.footprint() != bytes || accounted != bytes as u64 || wheel.len() != alarms {
            return Err(format!(
                "alarms: {} in {accounted} bytes accounted, {alarms} in {bytes} counted",
                wheel.len()
            ));
        }
        if wheel.is_crowded(self.expiring() as usize) {
            return Err(format!("{alarms} alarms for {} keys with a deadline", self.expiring()));
        }
        Ok(())
    }

    /// Alarms that the wheel holds or will take in its next turn; for checks.
    pub(super) fn alarms(&self) -> usize {
        let housekeeper = self.housekeeper.lock().unwrap_or_else(PoisonError::into_inner);
        housekeeper.wheel.len() + self.current.load(&pin()).inbox.len()
    }
}

impl Housekeeper {
    fn round(&mut self, keyspace: &Keyspace) -> bool {
        let generation = keyspace.current.share(&pin());
        if generation.number() != self.generation {
            *self = Housekeeper {
                generation: generation.number(),
                replaced: std::mem::take(&mut self.replaced),
                descent: std::mem::take(&mut self.descent),
                ..Housekeeper::default()
            };
        }
        let more = self.expire(keyspace, &generation);
        let more = self.sift(keyspace, &generation) | more;
        keyspace.wheel_bytes.set(self.wheel.footprint() as u64);
        let more = keyspace.sweep_read(&generation) | more;
        let more = self.reap(&generation) | more;
        let more = self.release(&generation) | more;
        let is_cleared = self.is_idle() && generation.is_settled();
        let more =
            !keyspace.keeps_all() && keyspace.descend(&mut self.descent, &generation, is_cleared) | more;
        self.end_resize(&generation);
        let more = freer::free_some(FREED_NODES) | more;
        drop(generation);
        self.free(keyspace);
        pin().renew();
        more
    }

    fn is_idle(&self) -> bool {
        self.reaping.is_none() && self.departure.is_none() && self.replaced.is_empty()
    }

    fn expire(&mut self, keyspace: &Keyspace, generation: &Arc<Generation>) -> bool {
        let mut guard = pin();
        let mut fired = Vec::with_capacity(SLICE);
        for _ in 0..ALARM_SLICES {
            if keyspace.exclusive.is_taken() || keyspace.keeps_all() {
                return false;
            }
            let now_ms = keyspace.clock.unix_ms();
            let more = self.wheel.turn(&generation.inbox, now_ms, SLICE, |alarm| fired.push(alarm));
            for alarm in fired.drain(..) {
                keyspace.on_alarm(generation, alarm, now_ms, &guard);
            }
            if !more {
                return false;
            }
            guard.renew();
        }
        true
    }

    /// Drops alarms that nobody needs, where there are many. True if there are more.
    fn sift(&mut self, keyspace: &Keyspace, generation: &Generation) -> bool {
        if !self.wheel.is_crowded(generation.expiring.get().max(0) as usize) {
            return false;
        }
        let mut guard = pin();
        for _ in 0..SIFTING_SLICES {
            if keyspace.exclusive.is_taken() {
                return false;
            }
            if !self.wheel.sift(&generation.inbox, generation.directory(), SLICE, &guard) {
                break;
            }
            guard.renew();
        }
        // What was armed again and what has come meanwhile is in the inbox.
        true
    }

    fn reap(&mut self, generation: &Arc<Generation>) -> bool {
        if self.reaping.is_none() {
            self.reaping = generation.begin_reaping(SLICE * REAPING_SLICES);
        }
        let Some(reaping) = self.reaping.as_mut().filter(|reaping| reaping.is_ready()) else { return false };
        let mut guard = pin();
        while !generation.reap(reaping, SLICE, &guard) {
            guard.renew();
        }
        self.reaping = None;
        true
    }

    fn release(&mut self, generation: &Arc<Generation>) -> bool {
        if self.departure.is_none() {
            self.departure = generation.begin_departure();
        }
        match self.departure.take() {
            Some(departure) if departure.is_ready() => {
                self.departure = generation.depart(departure);
                true
            }
            waiting => {
                self.departure = waiting;
                false
            }
        }
    }

    /// Ends resizes of the index once it rests: both tables stay until then, and all that was removed meanwhile.
    fn end_resize(&mut self, generation: &Generation) {
        let names = generation.indexed();
        let rests = names == self.names;
        if rests && !self.is_resized {
            generation.end_resize();
        }
        self.names = names;
        self.is_resized = rests;
    }

    /// Frees what was flushed, on a thread of its own: it may be a lot.
    fn free(&mut self, keyspace: &Keyspace) {
        while let Some((generation, keys)) = keyspace.replaced.pop() {
            self.replaced.push((Replaced::new(generation), keys));
        }
        let is_unused = |(replaced, _): &(Replaced, Freeing)| replaced.is_unused();
        let (unused, used) = std::mem::take(&mut self.replaced).into_iter().partition(is_unused);
        self.replaced = used;
        let unused: Vec<(Replaced, Freeing)> = unused;
        if unused.is_empty() {
            return;
        }
        let work = move || drop(unused);
        // Models know no other threads than loom's.
        if cfg!(kvns_loom) {
            return work();
        }
        // Without a thread to spare the closure is dropped here, and what it owns with it.
        let _ = std::thread::Builder::new().name("kvns-freer".into()).spawn(work);
    }
}

/// Flushed keys that are counted as being freed until this is dropped, behind what they were in.
#[derive(Debug)]
pub(super) struct Freeing {
    gauge: Arc<Gauge>,
    keys: i64,
}

impl Freeing {
    pub(super) fn new(gauge: &Arc<Gauge>, keys: i64) -> Freeing {
        gauge.add(keys);
        Freeing { gauge: Arc::clone(gauge), keys }
    }
}

impl Drop for Freeing {
    fn drop(&mut self) {
        self.gauge.add(-self.keys);
    }
}

impl Keyspace {
    fn on_alarm(&self, generation: &Generation, alarm: Alarm, now_ms: u64, guard: &Guard) {
        let Some(slot) = generation.directory().slot(alarm.position(), guard) else { return };
        if !generation.inbox.fire(alarm, slot) {
            return;
        }
        let version = slot.cell().settle(guard);
        if version.is_expired(now_ms) {
            self.expire(generation, slot, version, guard);
            // Someone else may have replaced it by another value with a deadline, and seen the old note.
        }
        if let Some(deadline) = slot.cell().read(guard).deadline_ms() {
            generation.inbox.arm(slot, deadline);
        }
    }
}

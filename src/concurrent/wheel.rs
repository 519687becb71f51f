//! The timing wheel: when slots have to be looked at for expiry.
//!
//! # Purpose
//! Expired keys leave within about 100 ms, at O(1) a key, without sampling. Writers put positions into a
//! lock-free inbox; the housekeeper alone owns the wheel and moves them into its buckets.
//!
//! # Invariants
//! - I1. A slot's note is the earliest bucket (plus one) for which the wheel has an entry of this slot; only a
//!   deadline in an earlier bucket adds another entry. The note survives the slot's reuse, so a slot that is
//!   created and deleted again and again does not fill the wheel.
//! - I2. A fired entry that is not the noted one is dropped. An entry may outlive its chunk and meet another slot at
//!   its position that notes the same bucket: then it fires in place of that one's own, for firing is right at any
//!   time.
//! - I3. The writer changes the cell, then reads the note; the firer clears the note, then reads the cell; a
//!   SeqCst fence stands between on both sides. So either the writer sees the cleared note and adds an entry,
//!   or the firer sees the new deadline and re-arms.
//! - I4. The wheel never goes back. Where the clock does, an alarm whose bucket the wheel has passed and the clock
//!   has not reached again waits beside the wheel: firing it at once would only arm it again, for ever.
//! - I5. There are about twice as many entries as slots that need one, and [`SPARE`], at most. Beyond that all are
//!   *sifted*, in slices: each is fired early, and in the end those slots are armed again that have a deadline still.
//!   So an entry goes that is not the noted one, whose slot has no deadline any more, or whose chunk is gone. Between
//!   its firing and the end a slot has no entry: a key whose time comes then leaves late by as much.
//!
//! # Progress
//! Arming is lock-free. Cascading costs each entry at most one move for each level. Sifting costs as much as firing,
//! and is paid for by as many entries that came or slots that lost their deadline since.

use super::directory::Directory;
use super::reclaim::Guard;
use super::slot::{Position, Slot};
use crate::size_class::size_class;
use crate::sync::atomic::{Ordering, fence};
use crate::sync::{Bug, seeded};
use crossbeam_queue::SegQueue;
use std::collections::BTreeMap;

/// Length of the finest bucket in milliseconds.
pub const BUCKET_MS: u64 = 64;
const LEVELS: usize = 6;
const LEVEL_BITS: u32 = 6;
const LEVEL_LEN: usize = 1 << LEVEL_BITS;
/// The furthest bucket that can be noted; later deadlines are looked at then, and armed again.
const LAST_BUCKET: u64 = u32::MAX as u64 - 2;
/// Entries that are not worth sifting.
pub const SPARE: usize = if cfg!(kvns_loom) { 0 } else { 4096 };

/// An entry: look at this slot in this bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alarm {
    position: Position,
    bucket: u32,
}

/// Where writers leave their alarms.
#[derive(Debug)]
pub struct Inbox {
    /// Unix time in milliseconds at which bucket 0 began.
    base_ms: u64,
    alarms: SegQueue<Alarm>,
}

impl Inbox {
    /// An inbox whose buckets count from `now_ms`.
    pub fn new(now_ms: u64) -> Inbox {
        Inbox { base_ms: now_ms, alarms: SegQueue::new() }
    }

    /// Number of alarms that the wheel has not taken yet.
    pub fn len(&self) -> usize {
        self.alarms.len()
    }

    /// Bytes of the alarms that the wheel has not taken yet, about. O(1).
    pub fn footprint(&self) -> usize {
        /// The queue keeps a word beside each.
        const PLACE: usize = size_of::<Alarm>() + size_of::<usize>();
        self.len() * PLACE
    }

    /// True if the wheel has taken every alarm.
    pub fn is_empty(&self) -> bool {
        self.alarms.is_empty()
    }

    /// The bucket at whose firing a deadline has passed.
    fn bucket(&self, deadline_ms: u64) -> u32 {
        deadline_ms.saturating_sub(self.base_ms).div_ceil(BUCKET_MS).min(LAST_BUCKET) as u32
    }

    /// Makes sure that the slot is looked at when `deadline_ms` has passed. To be called after the cell was
    /// changed (I3).
    pub fn arm(&self, slot: &Slot, deadline_ms: u64) {
        let bucket = self.bucket(deadline_ms);
        if !seeded(Bug::WriterReadsNoteFirst) {
            // ORDERING: the cell, then the fence, then the note; `fire` has the mirror image.
            fence(Ordering::SeqCst);
        }
        let note = slot.note();
        let mut noted = note.load(Ordering::Acquire);
        while noted == 0 || noted > bucket + 1 || seeded(Bug::LaterDeadlineReplacesNote) {
            match note.compare_exchange(noted, bucket + 1, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => {
                    self.alarms.push(Alarm { position: slot.position(), bucket });
                    return;
                }
                Err(found) => noted = found,
            }
        }
    }

    /// Clears the note of a fired alarm. False if the alarm is not the noted one. The cell is to be read after
    /// (I3), and the slot armed again if it has a later deadline.
    pub fn fire(&self, alarm: Alarm, slot: &Slot) -> bool {
        let noted = alarm.bucket + 1;
        let fired = slot.note().compare_exchange(noted, 0, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if !seeded(Bug::FirerReadsFirst) {
            // ORDERING: the note, then the fence, then the cell; `arm` has the mirror image.
            fence(Ordering::SeqCst);
        }
        fired
    }
}

impl Alarm {
    /// Where the slot is.
    pub fn position(self) -> Position {
        self.position
    }
}

/// The housekeeper's wheel: six levels of 64 buckets, each level 64 times coarser.
#[derive(Debug)]
pub struct Wheel {
    /// The next bucket to fire.
    next: u64,
    levels: Vec<[Vec<Alarm>; LEVEL_LEN]>,
    /// Alarms in all levels and beside the wheel.
    len: usize,
    /// Alarms that are being sifted.
    sifting: Option<Sifting>,
    /// Alarms that wait for a clock that went back, by bucket (I4).
    behind: BTreeMap<u32, Vec<Alarm>>,
    /// Fired alarms that were not yet taken.
    due: Vec<Alarm>,
    /// Bytes that the allocator holds for the alarms of the levels and beside the wheel.
    bytes: usize,
}

/// All alarms that there were when a sifting began, less those that it has dealt with (I5).
#[derive(Debug)]
struct Sifting {
    old: Vec<Vec<Alarm>>,
    /// Slots that need an alarm again.
    needy: Vec<Position>,
    /// Alarms in `old`.
    len: usize,
    /// Bytes that the allocator holds for them.
    bytes: usize,
}

impl Sifting {
    fn pop(&mut self) -> Option<Alarm> {
        while let Some(alarms) = self.old.last_mut() {
            if let Some(alarm) = alarms.pop() {
                self.len -= 1;
                return Some(alarm);
            }
            self.bytes -= bytes_of(alarms);
            self.old.pop();
        }
        None
    }
}

fn bytes_of<T>(items: &Vec<T>) -> usize {
    size_class(items.capacity() * size_of::<T>())
}

impl Default for Wheel {
    fn default() -> Wheel {
        let level = || std::array::from_fn(|_| Vec::new());
        Wheel {
            next: 0,
            levels: (0..LEVELS).map(|_| level()).collect(),
            len: 0,
            sifting: None,
            behind: BTreeMap::new(),
            due: Vec::new(),
            bytes: 0,
        }
    }
}

impl Wheel {
    /// Moves the wheel on to `now_ms` and gives up to `most` fired alarms to `fired`. True if more are due.
    pub fn turn(&mut self, inbox: &Inbox, now_ms: u64, most: usize, mut fired: impl FnMut(Alarm)) -> bool {
        let now = now_ms.saturating_sub(inbox.base_ms) / BUCKET_MS;
        while let Some(alarm) = inbox.alarms.pop() {
            self.place(alarm, now);
        }
        while let Some(first) = self.behind.first_entry().filter(|first| u64::from(*first.key()) <= now) {
            let alarms = first.remove();
            self.len -= alarms.len();
            self.bytes -= bytes_of(&alarms);
            self.due.extend(alarms);
        }
        while self.next <= now && self.due.len() < most {
            if self.len == 0 {
                self.next = now + 1;
                break;
            }
            self.step(now);
        }
        let from = self.due.len().saturating_sub(most);
        self.due.drain(from..).for_each(&mut fired);
        !self.due.is_empty() || self.next <= now
    }

    /// True if there are so many more alarms than the slots with a deadline, of which there are `alive`, that they are
    /// to be sifted (I5), or if they are being sifted.
    pub fn is_crowded(&self, alive: usize) -> bool {
        self.sifting.is_some() || self.len > alive.saturating_mul(2).saturating_add(SPARE)
    }

    /// Goes on with sifting, or begins it, up to `most` alarms and slots (I5). True if there are more. What it arms
    /// again is in the inbox.
    pub fn sift(&mut self, inbox: &Inbox, directory: &Directory, most: usize, guard: &Guard) -> bool {
        if self.sifting.is_none() {
            self.begin_sifting();
        }
        for _ in 0..most {
            let Some(sifting) = &mut self.sifting else { break };
            if let Some(alarm) = sifting.pop() {
                if let Some(slot) = directory.slot(alarm.position, guard)
                    && (seeded(Bug::SiftedKeepsNote) || inbox.fire(alarm, slot))
                    && slot.cell().read(guard).deadline_ms().is_some()
                {
                    sifting.needy.push(alarm.position);
                }
            } else if let Some(position) = sifting.needy.pop() {
                if let Some(slot) = directory.slot(position, guard)
                    && let Some(deadline) = slot.cell().read(guard).deadline_ms()
                {
                    inbox.arm(slot, deadline);
                }
            } else {
                self.sifting = None;
            }
        }
        self.sifting.is_some()
    }

    fn begin_sifting(&mut self) {
        let levels = self.levels.iter_mut().flatten().map(std::mem::take);
        let behind = std::mem::take(&mut self.behind).into_values();
        let old = levels.chain(behind).filter(|alarms| !alarms.is_empty()).collect();
        let (len, bytes) = (std::mem::take(&mut self.len), std::mem::take(&mut self.bytes));
        self.sifting = Some(Sifting { old, needy: Vec::new(), len, bytes });
    }

    /// Number of alarms not yet fired, and of slots that are to have one again.
    pub fn len(&self) -> usize {
        let sifted = |sifting: &Sifting| sifting.len + sifting.needy.len();
        self.len + self.due.len() + self.sifting.as_ref().map_or(0, sifted)
    }

    /// Bytes that the allocator holds for the alarms. O(1).
    pub fn footprint(&self) -> usize {
        let sifted = |sifting: &Sifting| sifting.bytes + bytes_of(&sifting.needy);
        self.bytes + bytes_of(&self.due) + self.sifting.as_ref().map_or(0, sifted)
    }

    /// What [`Wheel::footprint`] and [`Wheel::len`] are to say; for checks. O(alarms).
    pub fn recount(&self) -> (usize, usize) {
        let waiting = self.levels.iter().flatten().chain(self.behind.values()).chain([&self.due]);
        let old = self.sifting.iter().flat_map(|sifting| &sifting.old);
        let needy = self.sifting.iter().map(|sifting| &sifting.needy);
        let alarms = waiting.chain(old).map(|alarms| (bytes_of(alarms), alarms.len()));
        let all = alarms.chain(needy.map(|slots| (bytes_of(slots), slots.len())));
        all.fold((0, 0), |(bytes, len), (more, others)| (bytes + more, len + others))
    }

    /// True if no alarm is left.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn step(&mut self, now: u64) {
        // Where a coarser bucket begins, its alarms move down; where a whole empty level passes, skip it.
        for level in (1..LEVELS).rev() {
            let shift = LEVEL_BITS * level as u32;
            if self.next & ((1 << shift) - 1) == 0 {
                let at = (self.next >> shift) as usize % LEVEL_LEN;
                let alarms = self.empty(level, at);
                alarms.into_iter().for_each(|alarm| self.place(alarm, now));
            }
        }
        let alarms = self.empty(0, self.next as usize % LEVEL_LEN);
        self.due.extend(alarms);
        self.next += 1;
        let mut skipped = self.next;
        for level in 0..LEVELS {
            if !self.levels[level].iter().all(Vec::is_empty) {
                break;
            }
            skipped = self.next.next_multiple_of(1 << (LEVEL_BITS * (level as u32 + 1)));
        }
        self.next = skipped.min(now + 1).max(self.next);
    }

    /// Takes the alarms out of a bucket, and their memory out of the figure.
    fn empty(&mut self, level: usize, at: usize) -> Vec<Alarm> {
        let alarms = std::mem::take(&mut self.levels[level][at]);
        self.len -= alarms.len();
        self.bytes -= bytes_of(&alarms);
        alarms
    }

    fn place(&mut self, alarm: Alarm, now: u64) {
        let bucket = u64::from(alarm.bucket);
        if bucket <= now && bucket < self.next {
            self.due.push(alarm);
            return;
        }
        self.len += 1;
        let alarms = if bucket < self.next {
            self.behind.entry(alarm.bucket).or_default()
        } else {
            let distance = bucket - self.next;
            let level = (0..LEVELS - 1).find(|level| distance < 1 << (LEVEL_BITS * (*level as u32 + 1)));
            let level = level.unwrap_or(LEVELS - 1);
            &mut self.levels[level][(bucket >> (LEVEL_BITS * level as u32)) as usize % LEVEL_LEN]
        };
        let before = bytes_of(alarms);
        alarms.push(alarm);
        self.bytes += bytes_of(alarms) - before;
    }
}

#[cfg(all(test, not(kvns_loom)))]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng, rngs::SmallRng};

    #[test]
    fn alarms_wait_for_a_clock_that_went_back() {
        let inbox = Inbox::new(0);
        let mut wheel = Wheel::default();
        let far = Alarm { position: Position::new(2, 0), bucket: inbox.bucket(9_000_000) };
        inbox.alarms.push(far);
        let mut fired = Vec::new();
        assert!(!wheel.turn(&inbox, 1_000_000, 1, |alarm| fired.push(alarm)));
        let behind = [100, 101].map(|bucket| Alarm { position: Position::new(1, 0), bucket });
        behind.iter().for_each(|alarm| inbox.alarms.push(*alarm));
        assert!(!wheel.turn(&inbox, 99 * BUCKET_MS, 1, |alarm| fired.push(alarm)));
        assert!(fired.is_empty(), "not due by this clock");
        assert_eq!(wheel.len(), 3);
        let kept = 2 * size_class(4 * size_of::<Alarm>());
        assert_eq!(wheel.recount(), (wheel.footprint(), 3));
        assert!(wheel.footprint() > kept, "those that wait are accounted, beside the one in the wheel");
        while wheel.turn(&inbox, 101 * BUCKET_MS, 1, |alarm| fired.push(alarm)) {}
        assert_eq!((fired.len(), wheel.len()), (2, 1));
        while wheel.turn(&inbox, 9_000_064, 1, |alarm| fired.push(alarm)) {}
        assert_eq!((fired.len(), wheel.len()), (3, 0));
    }

    #[test]
    fn alarms_fire_in_their_bucket_however_the_clock_jumps() {
        for seed in 0..50 {
            let mut rng = SmallRng::seed_from_u64(seed);
            let inbox = Inbox::new(1_000_000);
            let mut wheel = Wheel::default();
            let mut now = 1_000_000;
            let mut waiting = Vec::new();
            for step in 0..400u32 {
                for _ in 0..rng.random_range(0..4) {
                    let deadline = now + (1u64 << rng.random_range(0..33)) + rng.random_range(0..500);
                    let alarm = Alarm { position: Position::new(step, 0), bucket: inbox.bucket(deadline) };
                    waiting.push((deadline, alarm));
                    inbox.alarms.push(alarm);
                }
                now += 1u64 << rng.random_range(0..27);
                let mut fired = Vec::new();
                while wheel.turn(&inbox, now, 3, |alarm| fired.push(alarm)) {}
                for alarm in fired {
                    let at = waiting.iter().position(|(_, other)| *other == alarm).expect("fired once");
                    let (deadline, _) = waiting.swap_remove(at);
                    assert!(deadline <= now, "seed {seed}: fired early");
                }
                let late = waiting.iter().filter(|(deadline, _)| deadline + 2 * BUCKET_MS <= now).count();
                assert_eq!(late, 0, "seed {seed}: fired late");
                assert_eq!(wheel.len(), waiting.len());
            }
        }
    }
}

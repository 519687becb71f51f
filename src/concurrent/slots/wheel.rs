//! The timing wheel: when slots are checked for expiry.
//!
//! # Purpose
//! Expired keys leave within about 100 ms, at O(1) a key, without sampling. Writers put positions into a
//! lock-free inbox; the housekeeper alone owns the wheel and moves them into its buckets.
//!
//! # Invariants
//! - I1. A slot's note is the number of the earliest bucket for which the wheel has an entry of this slot; only a
//!   deadline in an earlier bucket adds another entry. The note survives the slot's reuse, so a slot that is
//!   created and deleted again and again does not fill the wheel.
//! - I2. A fired entry that is not the noted one is dropped. An entry may outlive its chunk and meet another slot at
//!   its position that notes the same bucket: then it fires in place of that slot's own entry, which is right at any
//!   time.
//! - I3. The writer changes the cell, then reads the note; the firer clears the note, then reads the cell; a
//!   SeqCst fence stands between on both sides. So either the writer sees the cleared note and adds an entry,
//!   or the firer sees the new deadline and re-arms.
//! - I4. The wheel has a time of its own, which never goes back: `offset` is what the clock is ahead of it. It goes on
//!   as the clock does. Where the clock goes back, the offset shrinks: alarms that were armed before fire early, and are
//!   armed again for later. Where the clock leaps beyond the reach, the offset grows by the rest.
//! - I5. No alarm is behind the wheel, nor further ahead of it than the reach, so a leap fires all of them. A writer that
//!   arms reads the wheel's time, then the offset, and the housekeeper writes them in the other order: an alarm that misses
//!   a leap stays within the reach of the time before it, and fires at once. A deadline beyond the reach is armed at the
//!   reach, and armed again there.
//! - I6. Bucket numbers wrap around: all that are in use lie within half a round (I5).
//! - I7. There are about twice as many entries as slots that need one, and [`SPARE`], at most. Beyond that all are
//!   *sifted*, in slices: each is fired early, and in the end those slots are armed again that have a deadline still.
//!   So an entry goes that is not the noted one, whose slot has no deadline any more, or whose chunk is gone. Between
//!   its firing and the end a slot has no entry: a key that expires then leaves late by as much.
//!
//! # Progress
//! Arming is lock-free. Cascading costs each entry at most one move for each level. Sifting costs as much as firing,
//! and is paid for by as many entries that came or slots that lost their deadline since.

use super::directory::Directory;
use super::slot::{Position, Slot};
use crate::concurrent::epoch::reclaim::Guard;
use crate::size_class::size_class;
use crate::sync::atomic::{AtomicI64, AtomicU64, Ordering, fence};
use crate::sync::{Bug, seeded};
use crossbeam_queue::SegQueue;

/// Length of the finest bucket in milliseconds.
pub const BUCKET_MS: u64 = 64;
const LEVELS: usize = 6;
const LEVEL_BITS: u32 = 6;
const LEVEL_LEN: usize = 1 << LEVEL_BITS;
/// Milliseconds that an alarm is ahead of the wheel at most: some fifty days.
const REACH_MS: u64 = BUCKET_MS << 26;
/// Entries that are not worth sifting.
pub const SPARE: usize = if cfg!(kvns_loom) { 0 } else { 4096 };

/// The number of a bucket, which is never 0 (I6). One in a round shares that of the next one.
fn number(bucket: u64) -> u32 {
    (bucket as u32).max(1)
}

/// Buckets from `next` to the one of this number.
fn ahead(number: u32, next: u64) -> i32 {
    number.wrapping_sub(next as u32) as i32
}

/// An entry: look at this slot in the bucket of this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alarm {
    position: Position,
    bucket: u32,
}

/// Where writers leave their alarms.
#[derive(Debug)]
pub struct Inbox {
    /// Milliseconds that the wheel has run. Only the housekeeper writes this and the offset.
    wheel_ms: AtomicU64,
    /// Unix time in milliseconds less the wheel's (I4).
    offset_ms: AtomicI64,
    alarms: SegQueue<Alarm>,
}

impl Inbox {
    /// An inbox whose wheel begins at `now_ms`.
    pub fn new(now_ms: u64) -> Inbox {
        Inbox {
            wheel_ms: AtomicU64::new(0),
            offset_ms: AtomicI64::new(now_ms as i64),
            alarms: SegQueue::new(),
        }
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

    /// The number of the bucket at whose firing a deadline has passed.
    fn bucket(&self, deadline_ms: u64) -> u32 {
        let early = seeded(Bug::OffsetReadFirst).then(|| self.offset_ms.load(Ordering::Relaxed));
        // ORDERING: Acquire; pairs with the Release in `follow` (I5).
        let wheel_ms = self.wheel_ms.load(Ordering::Acquire);
        let offset_ms = early.unwrap_or_else(|| self.offset_ms.load(Ordering::Relaxed));
        let due_ms = deadline_ms.saturating_add_signed(-offset_ms);
        number(due_ms.clamp(wheel_ms, wheel_ms + REACH_MS).div_ceil(BUCKET_MS))
    }

    /// Lets the wheel's time follow the clock (I4), and returns it. Only for the housekeeper.
    fn follow(&self, now_ms: u64) -> u64 {
        let before = self.wheel_ms.load(Ordering::Relaxed);
        let clock_ms = (now_ms as i64).saturating_sub(self.offset_ms.load(Ordering::Relaxed));
        // A bucket more than the reach: the furthest alarm's bucket may end so much later.
        let wheel_ms = clock_ms.clamp(before as i64, (before + REACH_MS + BUCKET_MS) as i64);
        if clock_ms != wheel_ms {
            self.offset_ms.store((now_ms as i64).saturating_sub(wheel_ms), Ordering::Relaxed);
        }
        // ORDERING: Release; the offset is written before (I5).
        self.wheel_ms.store(wheel_ms as u64, Ordering::Release);
        wheel_ms as u64
    }

    /// Makes sure that the slot is checked when `deadline_ms` has passed. Call it after the cell was changed (I3).
    pub fn arm(&self, slot: &Slot, deadline_ms: u64) {
        let bucket = self.bucket(deadline_ms);
        if !seeded(Bug::WriterReadsNoteFirst) {
            // ORDERING: the cell, then the fence, then the note; `fire` has the mirror image.
            fence(Ordering::SeqCst);
        }
        let note = slot.note();
        let mut noted = note.load(Ordering::Acquire);
        while noted == 0 || ahead(noted, bucket.into()) > 0 || seeded(Bug::LaterDeadlineReplacesNote) {
            match note.compare_exchange(noted, bucket, Ordering::AcqRel, Ordering::Acquire) {
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
        let noted = slot.note().compare_exchange(alarm.bucket, 0, Ordering::AcqRel, Ordering::Acquire);
        let fired = noted.is_ok();
        if !seeded(Bug::FirerReadsFirst) {
            // ORDERING: the note, then the fence, then the cell; `arm` has the mirror image.
            fence(Ordering::SeqCst);
        }
        fired
    }
}

impl Alarm {
    /// The slot.
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
    /// Alarms in all levels.
    len: usize,
    /// Alarms that are being sifted.
    sifting: Option<Sifting>,
    /// Fired alarms that were not yet taken.
    due: Vec<Alarm>,
    /// Bytes that the allocator holds for the alarms of the levels.
    bytes: usize,
}

/// All alarms that there were when a sifting began, less those that it has dealt with (I7).
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
            due: Vec::new(),
            bytes: 0,
        }
    }
}

impl Wheel {
    /// Moves the wheel on to `now_ms` and gives up to `most` fired alarms to `fired`. True if more are due.
    pub fn turn(&mut self, inbox: &Inbox, now_ms: u64, most: usize, mut fired: impl FnMut(Alarm)) -> bool {
        let now = inbox.follow(now_ms) / BUCKET_MS;
        while let Some(alarm) = inbox.alarms.pop() {
            self.place(alarm);
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
    /// to be sifted (I7), or if they are being sifted.
    pub fn is_crowded(&self, alive: usize) -> bool {
        self.sifting.is_some() || self.len > alive.saturating_mul(2).saturating_add(SPARE)
    }

    /// Goes on with sifting, or begins it, up to `most` alarms and slots (I7). True if there are more. What it arms
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
        let old = levels.filter(|alarms| !alarms.is_empty()).collect();
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
        let waiting = self.levels.iter().flatten().chain([&self.due]);
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
                alarms.into_iter().for_each(|alarm| self.place(alarm));
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

    fn place(&mut self, alarm: Alarm) {
        let Ok(distance) = u64::try_from(ahead(alarm.bucket, self.next)) else {
            self.due.push(alarm);
            return;
        };
        self.len += 1;
        let bucket = self.next + distance;
        let level = (0..LEVELS - 1).find(|level| distance < 1 << (LEVEL_BITS * (*level as u32 + 1)));
        let level = level.unwrap_or(LEVELS - 1);
        let at = (bucket >> (LEVEL_BITS * level as u32)) as usize % LEVEL_LEN;
        let alarms = &mut self.levels[level][at];
        let before = bytes_of(alarms);
        alarms.push(alarm);
        self.bytes += bytes_of(alarms) - before;
    }
}

#[cfg(all(test, not(kvns_loom)))]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng, rngs::SmallRng};

    /// A wheel and the deadlines of its slots, by number.
    struct Run {
        inbox: Inbox,
        wheel: Wheel,
        deadlines: Vec<Option<u64>>,
        fired: usize,
    }

    impl Run {
        fn new(now_ms: u64, deadlines: &[u64]) -> Run {
            let deadlines = deadlines.iter().map(|deadline| Some(*deadline)).collect();
            let run = Run { inbox: Inbox::new(now_ms), wheel: Wheel::default(), deadlines, fired: 0 };
            (0..run.deadlines.len()).for_each(|at| run.arm(at));
            run
        }

        fn arm(&self, at: usize) {
            if let Some(deadline) = self.deadlines[at] {
                let position = Position::new(at as u32, 0);
                self.inbox.alarms.push(Alarm { position, bucket: self.inbox.bucket(deadline) });
            }
        }

        /// Turns the wheel as the housekeeper does, and arms again what fires before its time. Nothing is late by more
        /// than a bucket after it.
        fn turn(&mut self, now_ms: u64) {
            let mut more = true;
            while more {
                let mut fired = Vec::new();
                more = self.wheel.turn(&self.inbox, now_ms, 1, |alarm| fired.push(alarm));
                self.fired += fired.len();
                for alarm in fired {
                    let at = alarm.position().chunk() as usize;
                    self.deadlines[at] = self.deadlines[at].filter(|deadline| *deadline > now_ms);
                    self.arm(at);
                }
            }
            let is_late = |deadline: &u64| deadline + BUCKET_MS <= now_ms;
            assert!(!self.deadlines.iter().flatten().any(is_late), "late at {now_ms}: {:?}", self.deadlines);
        }

        /// Turns it every 10 ms for so long.
        fn run(&mut self, from_ms: u64, for_ms: u64) {
            (from_ms..=from_ms + for_ms).step_by(10).for_each(|now_ms| self.turn(now_ms));
        }
    }

    const DAY_MS: u64 = 86_400_000;
    /// A day in 2026, and the time of a clock that was never set: milliseconds after 1970.
    const NOW_MS: u64 = 20_500 * DAY_MS;
    const UNSET_MS: u64 = 5_000;

    #[test]
    fn alarms_fire_at_their_time_however_the_clock_steps() {
        let steps = [1, 50, 1_000, 3_600_000, DAY_MS, 400 * DAY_MS, NOW_MS - UNSET_MS - 20_000];
        for step in steps {
            // Back, with deadlines before and after where the wheel began.
            let mut run = Run::new(NOW_MS, &[NOW_MS + 500, NOW_MS + step + 2_000]);
            run.run(NOW_MS, 100);
            run.deadlines.push(Some(NOW_MS - step + 2_000));
            run.arm(2);
            run.run(NOW_MS + 100 - step, 5_000);
            let fired = run.fired;
            assert!(fired <= 6, "{fired} alarms fired for three keys");
            run.run(NOW_MS - step + 10_000, 5_000);
            // Back where it was.
            run.run(NOW_MS + 1_000, 5_000);
            run.turn(NOW_MS + step + 10_000);
            assert_eq!((run.wheel.len(), run.deadlines.iter().flatten().count()), (0, 0));
            assert!(run.fired <= 15, "{} alarms fired for three keys", run.fired);

            // Ahead.
            let start = NOW_MS - step;
            let mut run =
                Run::new(start, &[start + 1_000, NOW_MS + 500, NOW_MS + 2_000, NOW_MS + 3_000 * DAY_MS]);
            run.run(start, 100);
            run.run(NOW_MS, 5_000);
            assert_eq!(run.deadlines.iter().flatten().count(), 1);
            assert!(run.fired <= 8, "{} alarms fired for four keys", run.fired);
        }
    }

    #[test]
    fn alarms_fire_at_their_time_however_long_the_wheel_runs() {
        // Five rounds of the buckets' numbers, by the week.
        let (mut now, mut run) = (NOW_MS, Run::new(NOW_MS, &[]));
        for week in 0..2_300 {
            run.deadlines.push(Some(now + [3 * DAY_MS + 17, 9 * DAY_MS + 1, 99 * DAY_MS + 30_000][week % 3]));
            run.arm(week);
            now += 7 * DAY_MS;
            run.turn(now - 4 * DAY_MS);
            run.turn(now);
        }
        assert!(run.fired < 2 * 2_300, "{} alarms fired", run.fired);
    }

    #[test]
    fn a_wheel_that_nothing_is_due_in_does_not_fire() {
        let deadlines: Vec<u64> = (0..100).map(|at| NOW_MS + at * DAY_MS + 10_000).collect();
        for start in [UNSET_MS, NOW_MS, NOW_MS + 4_000 * DAY_MS] {
            let mut run = Run::new(start, &deadlines);
            run.run(NOW_MS - 1_000, 1_000);
            let fired = run.fired;
            assert!(fired <= 2 * deadlines.len());
            run.run(NOW_MS, 9_000);
            assert_eq!(run.fired, fired, "what is not due is left alone");
        }
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
                    let deadline = now + (1u64 << rng.random_range(0..32)) + rng.random_range(0..500);
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

//! How often and how long: histograms by command, and by command and namespace, recorded by many threads without sharing
//! a cache line.
//!
//! # Purpose
//! Each thread has a sheet of its own and adds to it by plain loads and stores; readers sum the sheets up.
//! Recording costs two additions in the thread's own memory. A command has a fine histogram of its runs in the default
//! namespace, and one of its runs in all others. There, each pair of a command and a namespace's label has a coarse one
//! beside it, for there may be thousands of pairs.
//!
//! # Buckets
//! Ticks are 1/1024 microsecond. The first fine buckets are 1/32 microsecond wide; from 1/8 microsecond on, each power
//! of two has four. Every power of two of microseconds is the lower bound of some bucket, and so is each of [`BOUNDS`],
//! which the coarse histograms are made of.
//!
//! # Pairs
//! A pair takes memory from its first use on. It gets a number then, in order of first use, so that the used ones lie
//! together in every sheet. There are [`PAIRS_PER_LABEL`] for each label, shared by all; once they are gone, a new pair
//! counts as the command's pair with [`Label::OTHERS`], which has a number from the start.
//!
//! # Invariants
//! - I1. A sheet is written by one thread. When that ends, `thread_local` gives its sheet, with what it holds, to a
//!   thread that starts later, so that there are no more sheets than there were threads at one time.
//! - I2. A pair's number, once given under the mutex, never changes.
//!
//! # Orderings
//! All Relaxed: figures and numbers that stand for themselves. Sheets change hands under a mutex of `thread_local`.

use crate::sync::plain::{AtomicU32, AtomicU64, Ordering};
use std::fmt;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use thread_local::ThreadLocal;

/// Ticks, as a power of two, that the first buckets are wide.
const FINEST: u32 = 5;
/// Buckets of each power of two, as a power of two.
const SPLIT: u32 = 2;
/// Number of buckets; the last one takes everything from about 15 seconds on.
pub const BUCKETS: usize = 116;

/// The bucket of a duration in ticks.
#[inline]
pub fn bucket_of(ticks: u64) -> usize {
    let units = ticks >> FINEST;
    let bucket = match units.checked_ilog2() {
        Some(power) if power > SPLIT => {
            (((power - SPLIT) as usize) << SPLIT) + (units >> (power - SPLIT)) as usize
        }
        _ => units as usize,
    };
    bucket.min(BUCKETS - 1)
}

/// The least ticks of a bucket; that of the one behind it is the bucket's end.
pub const fn bucket_start(bucket: usize) -> u64 {
    let splits = 1 << SPLIT;
    let units = match bucket {
        small if small < 2 * splits => small as u64,
        large => ((large % splits + splits) as u64) << (large / splits - 1),
    };
    units << FINEST
}

/// The upper bounds of the coarse buckets in ticks, from half a microsecond to a second; one more bucket has the rest.
pub const BOUNDS: [u64; 14] = [
    1 << 9,
    1 << 10,
    1 << 11,
    1 << 12,
    1 << 13,
    1 << 14,
    1 << 15,
    1 << 16,
    1 << 18,
    1 << 20,
    1 << 22,
    1 << 24,
    1 << 27,
    1 << 30,
];

/// Number of coarse buckets.
const COARSE_BUCKETS: usize = BOUNDS.len() + 1;

/// The coarse bucket that each fine one lies in.
const COARSE: [u8; BUCKETS] = {
    let mut coarse = [0; BUCKETS];
    let mut bucket = 0;
    while bucket < BUCKETS {
        while (coarse[bucket] as usize) < BOUNDS.len()
            && BOUNDS[coarse[bucket] as usize] <= bucket_start(bucket)
        {
            coarse[bucket] += 1;
        }
        bucket += 1;
    }
    coarse
};

/// Pairs that have numbers for each label; most namespaces see few commands.
const PAIRS_PER_LABEL: usize = 16;

/// Pairs whose memory is taken together.
const CHUNK: usize = 32;

/// The number of a namespace in the figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Label(u32);

impl Label {
    /// All namespaces that have no label of their own.
    pub const OTHERS: Label = Label(0);
    /// The default namespace, and commands without keys.
    pub const DEFAULT: Label = Label(1);
    /// Number of the labels above.
    pub const FIXED: usize = 2;

    /// The label of this number.
    pub fn numbered(number: usize) -> Label {
        Label(number as u32)
    }

    /// Its number.
    pub fn number(self) -> usize {
        self.0 as usize
    }
}

/// What one thread recorded of one command.
struct Cell {
    ticks: AtomicU64,
    failed: AtomicU64,
    buckets: [AtomicU64; BUCKETS],
}

impl Default for Cell {
    fn default() -> Cell {
        Cell {
            ticks: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            buckets: [const { AtomicU64::new(0) }; BUCKETS],
        }
    }
}

/// Adds to a word that only this thread writes.
#[inline]
fn add(word: &AtomicU64, amount: u64) {
    // ORDERING: Relaxed; I1, the only writer, and readers take the word for itself.
    word.store(word.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
}

/// The record of one thread for one pair.
#[derive(Default)]
struct Pair {
    ticks: AtomicU64,
    buckets: [AtomicU64; COARSE_BUCKETS],
}

/// What one thread recorded.
struct Sheet {
    /// By command: that of the default namespace and, behind it, that of all others.
    cells: Box<[OnceLock<Box<Cell>>]>,
    /// By the pair's number, [`CHUNK`] of them together.
    pairs: Box<[OnceLock<Box<[Pair; CHUNK]>>]>,
}

/// The record of a pair.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PairSeries {
    /// Ticks of all durations together.
    pub ticks: u64,
    /// How many were below each of [`BOUNDS`] but not below the one before it, and at last how many the rest is.
    pub buckets: [u64; COARSE_BUCKETS],
}

impl PairSeries {
    /// How many durations were recorded.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    fn add(&mut self, pair: &Pair) {
        // ORDERING: Relaxed; figures.
        self.ticks = self.ticks.wrapping_add(pair.ticks.load(Ordering::Relaxed));
        for (sum, count) in self.buckets.iter_mut().zip(&pair.buckets) {
            *sum += count.load(Ordering::Relaxed);
        }
    }
}

/// What was recorded of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    /// Ticks of all durations together.
    pub ticks: u64,
    /// How many of them failed.
    pub failed: u64,
    /// How many fell into each bucket.
    pub buckets: [u64; BUCKETS],
}

impl Default for Series {
    fn default() -> Series {
        Series { ticks: 0, failed: 0, buckets: [0; BUCKETS] }
    }
}

impl Series {
    /// How many durations were recorded.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The duration in ticks that `percent` of the recorded ones do not exceed, to the bucket's precision; 0 without
    /// any.
    pub fn percentile(&self, percent: f64) -> u64 {
        let wanted = ((self.count() as f64) * percent / 100.0).ceil().max(1.0) as u64;
        let mut below = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            below += count;
            if below >= wanted {
                return bucket_start(bucket + 1);
            }
        }
        0
    }

    fn add(&mut self, cell: &Cell) {
        // ORDERING: Relaxed; figures.
        self.ticks = self.ticks.wrapping_add(cell.ticks.load(Ordering::Relaxed));
        self.failed += cell.failed.load(Ordering::Relaxed);
        for (sum, count) in self.buckets.iter_mut().zip(&cell.buckets) {
            *sum += count.load(Ordering::Relaxed);
        }
    }

    /// The same, seen less finely.
    fn coarse(&self) -> PairSeries {
        let mut coarse = PairSeries { ticks: self.ticks, ..PairSeries::default() };
        for (bucket, count) in self.buckets.iter().enumerate() {
            coarse.buckets[usize::from(COARSE[bucket])] += count;
        }
        coarse
    }

    /// The record since `earlier`.
    fn since(&self, earlier: &Series) -> Series {
        let mut buckets = self.buckets;
        buckets.iter_mut().zip(&earlier.buckets).for_each(|(count, before)| *count -= before);
        Series {
            ticks: self.ticks.wrapping_sub(earlier.ticks),
            failed: self.failed - earlier.failed,
            buckets,
        }
    }
}

#[derive(Default)]
struct Rows {
    /// The pairs that were given numbers, in order; those of the others come before them.
    pairs: Vec<(usize, Label)>,
    /// What [`Recorder::reset`] found.
    before: Vec<Series>,
}

/// Records durations by command, and by command and label.
pub struct Recorder {
    /// Number of commands.
    commands: usize,
    /// Most pairs that get a number when they are first used.
    most_pairs: usize,
    /// Of each label but the fixed ones, the pairs' numbers by command, plus one; 0 for none yet (I2).
    numbers: Box<[OnceLock<Box<[AtomicU32]>>]>,
    /// One for each thread (I1).
    sheets: ThreadLocal<Sheet>,
    rows: Mutex<Rows>,
}

impl Recorder {
    /// The number of a pair; the default namespace has none.
    #[inline]
    fn pair(&self, command: usize, label: Label) -> usize {
        let Some(named) = label.number().checked_sub(Label::FIXED) else { return command };
        let number = self.numbers.get(named).and_then(OnceLock::get).and_then(|row| row.get(command));
        // ORDERING: Relaxed; I2, a number that stands for itself.
        match number.map_or(0, |number| number.load(Ordering::Relaxed)) {
            0 => self.number_pair(command, label),
            number => number as usize - 1,
        }
    }

    /// Gives a pair a number: a new one, or that of the command's pair with the others.
    #[cold]
    fn number_pair(&self, command: usize, label: Label) -> usize {
        let of_others = command;
        let mut rows = self.rows();
        let Some(row) = self.numbers.get(label.number() - Label::FIXED) else { return of_others };
        let row =
            row.get_or_init(|| std::iter::repeat_with(AtomicU32::default).take(self.commands).collect());
        let Some(place) = row.get(command) else { return of_others };
        // ORDERING: Relaxed; the mutex orders those who give numbers.
        if let Some(number) = place.load(Ordering::Relaxed).checked_sub(1) {
            return number as usize;
        }
        let number = if rows.pairs.len() < self.most_pairs {
            rows.pairs.push((command, label));
            self.commands + rows.pairs.len() - 1
        } else {
            of_others
        };
        // ORDERING: Relaxed; I2.
        place.store(number as u32 + 1, Ordering::Relaxed);
        number
    }

    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("commands", &self.commands).finish_non_exhaustive()
    }
}

impl Recorder {
    /// A recorder of `commands` commands and `labels` labels beside the fixed ones.
    pub fn new(commands: usize, labels: usize) -> Recorder {
        Recorder {
            commands,
            most_pairs: PAIRS_PER_LABEL * labels,
            numbers: std::iter::repeat_with(OnceLock::new).take(labels).collect(),
            sheets: ThreadLocal::new(),
            rows: Mutex::default(),
        }
    }

    /// Records a duration of a command in a namespace. A few nanoseconds.
    #[inline]
    pub fn record(&self, command: usize, label: Label, ticks: u64, has_failed: bool) {
        let sheet = self.sheets.get_or(|| self.sheet());
        let is_default = label == Label::DEFAULT;
        let Some(cell) = sheet.cells.get(2 * command + usize::from(!is_default)) else { return };
        let cell = cell.get_or_init(Box::default);
        let bucket = bucket_of(ticks);
        add(&cell.ticks, ticks);
        add(&cell.buckets[bucket], 1);
        if has_failed {
            add(&cell.failed, 1);
        }
        if is_default {
            return;
        }
        let number = self.pair(command, label);
        let Some(chunk) = sheet.pairs.get(number / CHUNK) else { return };
        let pair = &chunk.get_or_init(Box::default)[number % CHUNK];
        add(&pair.ticks, ticks);
        add(&pair.buckets[usize::from(COARSE[bucket])], 1);
    }

    #[cold]
    fn sheet(&self) -> Sheet {
        let pairs = self.commands + self.most_pairs;
        Sheet {
            cells: std::iter::repeat_with(OnceLock::new).take(2 * self.commands).collect(),
            pairs: std::iter::repeat_with(OnceLock::new).take(pairs.div_ceil(CHUNK)).collect(),
        }
    }

    /// The record of a command since the start or the last [`Recorder::reset`]; `None` if nothing was.
    /// O(threads).
    pub fn series(&self, command: usize) -> Option<Series> {
        let sum = self.sum(command)?;
        let rows = self.rows();
        let recorded = rows.before.get(command).map_or_else(|| sum.clone(), |before| sum.since(before));
        (recorded.count() > 0).then_some(recorded)
    }

    /// Calls `visit` with every pair that was recorded since the start, whatever [`Recorder::reset`] did: its command,
    /// its label, what was recorded. O(pairs x threads), without blocking those who record.
    pub fn each_pair(&self, mut visit: impl FnMut(usize, Label, &PairSeries)) {
        let numbered = self.rows().pairs.clone();
        let mut visit_used = |command, label, sum: &PairSeries| {
            if sum.count() > 0 {
                visit(command, label, sum);
            }
        };
        let others = (0..self.commands).map(|command| (command, Label::OTHERS));
        for (number, (command, label)) in others.chain(numbered).enumerate() {
            let mut sum = PairSeries::default();
            let chunks = self.sheets.iter().filter_map(|sheet| sheet.pairs.get(number / CHUNK)?.get());
            chunks.for_each(|chunk| sum.add(&chunk[number % CHUNK]));
            visit_used(command, label, &sum);
        }
        for command in 0..self.commands {
            let mut sum = Series::default();
            let cells = self.sheets.iter().filter_map(|sheet| sheet.cells.get(2 * command)?.get());
            cells.for_each(|cell| sum.add(cell));
            visit_used(command, Label::DEFAULT, &sum.coarse());
        }
    }

    fn sum(&self, command: usize) -> Option<Series> {
        let mut cells = self
            .sheets
            .iter()
            .flat_map(|sheet| sheet.cells.get(2 * command..2 * command + 2).unwrap_or_default())
            .filter_map(OnceLock::get)
            .peekable();
        cells.peek()?;
        let mut sum = Series::default();
        cells.for_each(|cell| sum.add(cell));
        Some(sum)
    }

    /// Lets every command begin again.
    pub fn reset(&self) {
        let mut rows = self.rows();
        rows.before = (0..self.commands).map(|command| self.sum(command).unwrap_or_default()).collect();
    }
}

#[cfg(all(test, not(kvns_loom)))]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_one_another_and_hold_what_they_say() {
        for bucket in 0..BUCKETS {
            let (start, end) = (bucket_start(bucket), bucket_start(bucket + 1));
            assert!(start < end);
            assert_eq!((bucket_of(start), bucket_of(end - 1)), (bucket, bucket));
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
        let starts: Vec<u64> = (0..BUCKETS).map(bucket_start).collect();
        assert!((0..24).all(|power| starts.contains(&(1024 << power))), "{starts:?}");
    }

    #[test]
    fn threads_record_and_leave_their_sheets_behind() {
        let recorder = Recorder::new(3, 1);
        for _ in 0..5 {
            std::thread::scope(|scope| {
                let one =
                    scope.spawn(|| (0..100).for_each(|_| recorder.record(1, Label::DEFAULT, 2048, false)));
                (0..100).for_each(|nth| recorder.record(1, Label::DEFAULT, 1 << 20, nth == 0));
                one.join().expect("recording does not panic");
            });
        }
        assert!(recorder.sheets.iter().count() < 6, "a thread takes the sheet of one that has ended");
        let series = recorder.series(1).expect("recorded");
        assert_eq!((series.count(), series.failed), (1000, 5));
        assert_eq!(series.ticks, 500 * 2048 + (500 << 20));
        assert!((2048..=2560).contains(&series.percentile(50.0)));
        assert!(series.percentile(51.0) > 1 << 20);
        assert_eq!(recorder.series(0), None);
        recorder.record(7, Label::DEFAULT, 1, false);
        recorder.reset();
        assert_eq!(recorder.series(1), None);
        recorder.record(1, Label::DEFAULT, 1, true);
        assert_eq!(recorder.series(1).map(|series| (series.count(), series.failed)), Some((1, 1)));
    }

    #[test]
    fn two_recorders_of_one_thread_do_not_mix() {
        let (one, other) = (Recorder::new(1, 0), Recorder::new(1, 0));
        for _ in 0..10 {
            one.record(0, Label::DEFAULT, 1, false);
            other.record(0, Label::DEFAULT, 1, false);
        }
        assert_eq!(one.series(0).map(|series| series.count()), Some(10));
        assert_eq!(other.series(0).map(|series| series.count()), Some(10));
    }

    #[test]
    fn every_bound_is_the_start_of_a_fine_bucket() {
        for (nth, bound) in BOUNDS.into_iter().enumerate() {
            let bucket = bucket_of(bound);
            assert_eq!((bucket_start(bucket), usize::from(COARSE[bucket])), (bound, nth + 1));
            assert_eq!(usize::from(COARSE[bucket - 1]), nth);
        }
        assert_eq!(usize::from(COARSE[BUCKETS - 1]), BOUNDS.len());
    }

    fn pairs(recorder: &Recorder) -> Vec<(usize, usize, u64, u64)> {
        let mut pairs = Vec::new();
        recorder.each_pair(|command, label, pair| {
            pairs.push((command, label.number(), pair.count(), pair.ticks));
        });
        pairs
    }

    #[test]
    fn pairs_of_commands_and_labels_are_told_apart() {
        let recorder = Recorder::new(2, 3);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for (command, label) in [(0, 1), (1, 1), (1, 2), (0, 4), (1, 0)] {
                        recorder.record(command, Label::numbered(label), 700 + label as u64, false);
                    }
                });
            }
        });
        let mut found = pairs(&recorder);
        found.sort_unstable();
        let expected = [(0, 1, 3, 2103), (0, 4, 3, 2112), (1, 0, 3, 2100), (1, 1, 3, 2103), (1, 2, 3, 2106)];
        assert_eq!(found, expected);
        recorder.reset();
        assert_eq!(pairs(&recorder).len(), 5, "what counts up for ever is not reset");
    }

    #[test]
    fn pairs_are_bounded_and_the_rest_counts_as_others() {
        let commands = 2 * PAIRS_PER_LABEL;
        let recorder = Recorder::new(commands, 1);
        for _ in 0..2 {
            (0..commands).for_each(|command| recorder.record(command, Label::numbered(2), 1, false));
        }
        let found = pairs(&recorder);
        let of = |label| found.iter().filter(|pair| pair.1 == label).count();
        assert_eq!((of(2), of(0), of(1)), (PAIRS_PER_LABEL, commands - PAIRS_PER_LABEL, 0));
        assert!(found.iter().all(|pair| pair.2 == 2));
        // A label beyond those there are counts as others too, and a command beyond them not at all.
        recorder.record(0, Label::numbered(9), 1, false);
        recorder.record(commands, Label::DEFAULT, 1, false);
        assert_eq!(pairs(&recorder).iter().map(|pair| pair.2).sum::<u64>(), 2 * commands as u64 + 1);
    }
}

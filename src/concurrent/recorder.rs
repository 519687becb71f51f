//! How often and how long: a histogram for each series, recorded by many threads without sharing a cache line.
//!
//! # Purpose
//! A series is a number that the user of this module gives a meaning: the row of a command, or a pair of a command and
//! a namespace. Each thread has a sheet of its own and adds to it by plain loads and stores; who wants to know sums the
//! sheets up. Recording costs two additions in the thread's own memory.
//!
//! # Buckets
//! Ticks are 1/1024 microsecond. The first buckets are 1/32 microsecond wide; from 1/8 microsecond on, each power of
//! two has four. Every power of two of microseconds is the lower bound of some bucket.
//!
//! # Invariants
//! - I1. A sheet is written by the one thread that holds its lease. A lease ends with its thread; the sheet, with what
//!   it holds, goes to the next thread that needs one, so that sheets are as many as threads at one time.
//!
//! # Orderings
//! All Relaxed: figures that stand for themselves. Leases change hands under the mutex.

use crate::sync::plain::{AtomicU64, Ordering};
use std::cell::RefCell;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

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
pub fn bucket_start(bucket: usize) -> u64 {
    let splits = 1 << SPLIT;
    let units = match bucket {
        small if small < 2 * splits => small as u64,
        large => ((large % splits + splits) as u64) << (large / splits - 1),
    };
    units << FINEST
}

/// What one thread recorded of one series.
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

/// What one thread recorded.
struct Sheet {
    cells: Box<[OnceLock<Box<Cell>>]>,
}

/// What was recorded of a series.
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

    /// What was recorded since `earlier`.
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

/// The sheets of one recorder.
struct Sheets {
    /// Number of series.
    series: usize,
    rows: Mutex<Rows>,
}

#[derive(Default)]
struct Rows {
    all: Vec<Arc<Sheet>>,
    /// Those that no thread holds.
    free: Vec<Arc<Sheet>>,
    /// What [`Recorder::reset`] found.
    before: Vec<Series>,
}

impl Sheets {
    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A thread's hold of a sheet (I1).
struct Lease {
    sheets: Weak<Sheets>,
    sheet: Arc<Sheet>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(sheets) = self.sheets.upgrade() {
            sheets.rows().free.push(Arc::clone(&self.sheet));
        }
    }
}

thread_local! {
    /// The lease of the recorder that this thread used last. A thread of a server has one recorder.
    static LEASE: RefCell<Option<Lease>> = const { RefCell::new(None) };
}

/// Records durations by series.
pub struct Recorder {
    sheets: Arc<Sheets>,
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("series", &self.sheets.series).finish_non_exhaustive()
    }
}

impl Recorder {
    /// A recorder of series 0 to `series` - 1.
    pub fn new(series: usize) -> Recorder {
        Recorder { sheets: Arc::new(Sheets { series, rows: Mutex::default() }) }
    }

    /// Records a duration of a series. A few nanoseconds.
    #[inline]
    pub fn record(&self, series: usize, ticks: u64, has_failed: bool) {
        LEASE.with_borrow_mut(|lease| {
            let is_mine =
                lease.as_ref().is_some_and(|lease| std::ptr::eq(lease.sheets.as_ptr(), &*self.sheets));
            if !is_mine {
                *lease = Some(self.lease());
            }
            let Some(cell) = lease.as_ref().and_then(|lease| lease.sheet.cells.get(series)) else { return };
            let cell = cell.get_or_init(Box::default);
            add(&cell.ticks, ticks);
            add(&cell.buckets[bucket_of(ticks)], 1);
            if has_failed {
                add(&cell.failed, 1);
            }
        });
    }

    #[cold]
    fn lease(&self) -> Lease {
        let mut rows = self.sheets.rows();
        let sheet = rows.free.pop().unwrap_or_else(|| {
            let cells = std::iter::repeat_with(OnceLock::new).take(self.sheets.series).collect();
            let sheet = Arc::new(Sheet { cells });
            rows.all.push(Arc::clone(&sheet));
            sheet
        });
        Lease { sheets: Arc::downgrade(&self.sheets), sheet }
    }

    /// What was recorded of a series since the start or the last [`Recorder::reset`]; `None` if nothing was.
    /// O(threads).
    pub fn series(&self, series: usize) -> Option<Series> {
        let rows = self.sheets.rows();
        let sum = Recorder::sum(&rows, series)?;
        let recorded = rows.before.get(series).map_or_else(|| sum.clone(), |before| sum.since(before));
        (recorded.count() > 0).then_some(recorded)
    }

    fn sum(rows: &Rows, series: usize) -> Option<Series> {
        let mut cells = rows.all.iter().filter_map(|sheet| sheet.cells.get(series)?.get()).peekable();
        cells.peek()?;
        let mut sum = Series::default();
        cells.for_each(|cell| sum.add(cell));
        Some(sum)
    }

    /// Lets every series begin again.
    pub fn reset(&self) {
        let mut rows = self.sheets.rows();
        let sums = (0..self.sheets.series).map(|series| Recorder::sum(&rows, series).unwrap_or_default());
        rows.before = sums.collect();
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
        let recorder = Recorder::new(3);
        for _ in 0..5 {
            std::thread::scope(|scope| {
                scope.spawn(|| (0..100).for_each(|_| recorder.record(1, 2048, false)));
                scope.spawn(|| (0..100).for_each(|nth| recorder.record(1, 1 << 20, nth == 0)));
            });
        }
        assert!(recorder.sheets.rows().all.len() <= 2);
        let series = recorder.series(1).expect("recorded");
        assert_eq!((series.count(), series.failed), (1000, 5));
        assert_eq!(series.ticks, 500 * 2048 + (500 << 20));
        assert!((2048..=2560).contains(&series.percentile(50.0)));
        assert!(series.percentile(51.0) > 1 << 20);
        assert_eq!(recorder.series(0), None);
        recorder.record(7, 1, false);
        recorder.reset();
        assert_eq!(recorder.series(1), None);
        recorder.record(1, 1, true);
        assert_eq!(recorder.series(1).map(|series| (series.count(), series.failed)), Some((1, 1)));
    }

    #[test]
    fn two_recorders_of_one_thread_do_not_mix() {
        let (one, other) = (Recorder::new(1), Recorder::new(1));
        for _ in 0..10 {
            one.record(0, 1, false);
            other.record(0, 1, false);
        }
        assert_eq!(one.series(0).map(|series| series.count()), Some(10));
        assert_eq!(other.series(0).map(|series| series.count()), Some(10));
    }
}

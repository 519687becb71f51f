//! The only reader of time; tests drive it by hand.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A source of the time of day and of durations. Cheap to clone; clones of a manual clock are one clock.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    manual: Option<Arc<Mutex<Manual>>>,
}

/// What a manual clock shows.
#[derive(Clone, Copy, Debug)]
struct Manual {
    unix_us: u64,
    monotonic_us: u64,
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Clock {
        Clock { manual: None }
    }

    /// A clock that stands at `unix_ms` until [`Clock::advance`] moves it.
    pub fn manual(unix_ms: u64) -> Clock {
        let shown = Manual { unix_us: unix_ms * 1000, monotonic_us: unix_ms * 1000 };
        Clock { manual: Some(Arc::new(Mutex::new(shown))) }
    }

    fn shown(manual: &Mutex<Manual>) -> MutexGuard<'_, Manual> {
        manual.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves a manual clock on by `ms` milliseconds; the machine's clock goes its own way.
    pub fn advance(&self, ms: u64) {
        if let Some(manual) = &self.manual {
            let mut shown = Clock::shown(manual);
            shown.unix_us += ms * 1000;
            shown.monotonic_us += ms * 1000;
        }
    }

    /// Sets the time of day of a manual clock, as somebody does whose clock was wrong: no time passes.
    pub fn set_unix_ms(&self, unix_ms: u64) {
        if let Some(manual) = &self.manual {
            Clock::shown(manual).unix_us = unix_ms * 1000;
        }
    }

    /// Unix time in microseconds.
    pub fn unix_us(&self) -> u64 {
        match &self.manual {
            Some(manual) => Clock::shown(manual).unix_us,
            None => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64),
        }
    }

    /// Unix time in milliseconds.
    pub fn unix_ms(&self) -> u64 {
        self.unix_us() / 1000
    }

    /// Microseconds since some fixed instant; never goes back.
    pub fn monotonic_us(&self) -> u64 {
        static START: OnceLock<Instant> = OnceLock::new();
        match &self.manual {
            Some(manual) => Clock::shown(manual).monotonic_us,
            None => START.get_or_init(Instant::now).elapsed().as_micros() as u64,
        }
    }
}

/// Ticks in a microsecond: a power of two, so that histograms have exact bounds in microseconds.
pub const TICKS_PER_US: u64 = 1 << 10;

impl Clock {
    /// Ticks of 1/1024 microsecond since some fixed instant, for durations only: cheap enough to read for every
    /// command (about 9 ns where the processor's cycle counter can be trusted).
    #[inline]
    pub fn ticks(&self) -> u64 {
        match &self.manual {
            Some(_) => self.monotonic_us() * TICKS_PER_US,
            None => match crate::sync::cycles() {
                Some(cycles) => CycleRate::measured().ticks(cycles),
                None => nanos_to_ticks(elapsed_nanos()),
            },
        }
    }
}

/// Nanoseconds since the first call.
fn elapsed_nanos() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

fn nanos_to_ticks(nanos: u64) -> u64 {
    (u128::from(nanos) * u128::from(TICKS_PER_US) / 1000) as u64
}

/// How fast the cycle counter runs.
#[derive(Clone, Copy, Debug)]
struct CycleRate {
    first: u64,
    /// Ticks for each cycle, times 2^32.
    scale: u64,
}

impl CycleRate {
    /// How long the rate is measured, once, when the clock is first asked for ticks: the error is below 0.01%.
    const MEASURED_NANOS: u64 = 1_000_000;

    #[inline]
    fn measured() -> CycleRate {
        static RATE: OnceLock<CycleRate> = OnceLock::new();
        *RATE.get_or_init(CycleRate::measure)
    }

    fn measure() -> CycleRate {
        let sample = || (elapsed_nanos(), crate::sync::cycles().unwrap_or_default());
        let (from_nanos, first) = sample();
        loop {
            let (nanos, cycles) = sample();
            let (passed, cycles) = (nanos - from_nanos, cycles.saturating_sub(first));
            if passed >= CycleRate::MEASURED_NANOS {
                let scaled = (u128::from(nanos_to_ticks(passed)) << 32) / u128::from(cycles.max(1));
                return CycleRate { first, scale: scaled as u64 };
            }
        }
    }

    #[inline]
    fn ticks(self, cycles: u64) -> u64 {
        // A core whose counter is a little behind must not read as far ahead.
        ((u128::from(cycles.saturating_sub(self.first)) * u128::from(self.scale)) >> 32) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = Clock::manual(1_000);
        let other = clock.clone();
        clock.advance(5);
        assert_eq!((other.unix_ms(), other.monotonic_us()), (1_005, 1_005_000));
        clock.set_unix_ms(3);
        assert_eq!((other.unix_ms(), other.monotonic_us()), (3, 1_005_000));
    }

    #[test]
    fn ticks_pass_as_time_does() {
        let clock = Clock::system();
        let (from_ticks, from_us) = (clock.ticks(), clock.monotonic_us());
        while clock.monotonic_us() < from_us + 5_000 {}
        let (ticks, us) = (clock.ticks() - from_ticks, clock.monotonic_us() - from_us);
        // The thread may have lost its core between two readings.
        assert!(
            ticks >= 4_900 * TICKS_PER_US && ticks / TICKS_PER_US <= us + 200_000,
            "{ticks} ticks in {us} us"
        );
        let manual = Clock::manual(5);
        assert_eq!(manual.ticks(), 5_000 * TICKS_PER_US);
    }
}

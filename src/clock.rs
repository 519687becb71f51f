//! The only reader of time; tests drive it by hand.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A source of the time of day and of durations. Cheap to clone; clones of a manual clock are one clock.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// Unix time in microseconds of a manual clock.
    manual: Option<Arc<Mutex<u64>>>,
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Clock {
        Clock { manual: None }
    }

    /// A clock that stands at `unix_ms` until [`Clock::advance`] moves it.
    pub fn manual(unix_ms: u64) -> Clock {
        Clock { manual: Some(Arc::new(Mutex::new(unix_ms * 1000))) }
    }

    /// Moves a manual clock on by `ms` milliseconds; the machine's clock goes its own way.
    pub fn advance(&self, ms: u64) {
        if let Some(manual) = &self.manual {
            *manual.lock().unwrap_or_else(PoisonError::into_inner) += ms * 1000;
        }
    }

    /// Unix time in microseconds.
    pub fn unix_us(&self) -> u64 {
        match &self.manual {
            Some(manual) => *manual.lock().unwrap_or_else(PoisonError::into_inner),
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
            Some(manual) => *manual.lock().unwrap_or_else(PoisonError::into_inner),
            None => START.get_or_init(Instant::now).elapsed().as_micros() as u64,
        }
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
    }
}

//! What is worth a line in the log, but not one for each time that it happens.

use std::sync::{Mutex, PoisonError};

/// Microseconds between two lines.
const INTERVAL_US: u64 = 60_000_000;

/// Counts what happens and says once a minute at most that it is to be told.
#[derive(Debug, Default)]
pub struct Seldom {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    told_us: Option<u64>,
    untold: u64,
}

impl Seldom {
    /// It has happened at `now_us`. If that is to be told now: how many times before it were not.
    pub fn happened(&self, now_us: u64) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.told_us.is_some_and(|told_us| now_us.saturating_sub(told_us) < INTERVAL_US) {
            state.untold += 1;
            return None;
        }
        state.told_us = Some(now_us);
        Some(std::mem::take(&mut state.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_once_a_minute_with_the_number_of_times_before() {
        let seldom = Seldom::default();
        assert_eq!(seldom.happened(5), Some(0));
        assert_eq!(seldom.happened(6), None);
        assert_eq!(seldom.happened(5 + INTERVAL_US - 1), None);
        assert_eq!(seldom.happened(5 + INTERVAL_US), Some(2));
        assert_eq!(seldom.happened(6 + INTERVAL_US), None);
        assert_eq!(seldom.happened(6 + 9 * INTERVAL_US), Some(1));
    }
}

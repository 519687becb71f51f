//! How much happens in a second: samples of counters that only grow, taken ten times a second.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// Samples that the rates are taken over, as in Redis: those of about 1.6 seconds.
const SAMPLES: usize = 16;

/// Milliseconds between two samples.
const INTERVAL_MS: u64 = 100;

/// The counters at some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Milliseconds of the monotonic clock.
    pub at_ms: u64,
    /// Commands run.
    pub commands: u64,
    /// Bytes read from clients.
    pub input_bytes: u64,
    /// Bytes written to clients.
    pub output_bytes: u64,
}

/// The events of one second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PerSecond {
    /// Commands run.
    pub commands: f64,
    /// Bytes read from clients.
    pub input_bytes: f64,
    /// Bytes written to clients.
    pub output_bytes: f64,
}

/// The last samples.
#[derive(Debug, Default)]
pub struct Rates {
    samples: Mutex<VecDeque<Sample>>,
}

impl Rates {
    /// True if it is time for the next sample.
    pub fn is_due(&self, now_ms: u64) -> bool {
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        samples.back().is_none_or(|last| now_ms >= last.at_ms + INTERVAL_MS)
    }

    /// Takes a sample in.
    pub fn add(&self, sample: Sample) {
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        samples.push_back(sample);
        if samples.len() > SAMPLES {
            samples.pop_front();
        }
    }

    /// The rates over the last samples. Counters that began again in between count as still.
    pub fn per_second(&self) -> PerSecond {
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some(first), Some(last)) = (samples.front(), samples.back()) else {
            return PerSecond::default();
        };
        let seconds = last.at_ms.saturating_sub(first.at_ms).max(1) as f64 / 1000.0;
        let rate = |from: u64, to: u64| to.saturating_sub(from) as f64 / seconds;
        PerSecond {
            commands: rate(first.commands, last.commands),
            input_bytes: rate(first.input_bytes, last.input_bytes),
            output_bytes: rate(first.output_bytes, last.output_bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_of_the_last_samples() {
        let rates = Rates::default();
        assert!(rates.is_due(0));
        for nth in 0..40 {
            let at_ms = 1_000 + nth * 100;
            assert!(rates.is_due(at_ms));
            rates.add(Sample { at_ms, commands: nth * nth, input_bytes: nth * 50, output_bytes: 7 });
            assert!(!rates.is_due(at_ms + 99));
        }
        let per_second = rates.per_second();
        assert_eq!((per_second.input_bytes, per_second.output_bytes), (500.0, 0.0));
        assert_eq!(per_second.commands, f64::from(39 * 39 - 24 * 24) / 1.5);
    }
}

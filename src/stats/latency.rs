//! Latency events: when something took longer than the threshold of the latency monitor.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Spikes kept of each event, as in Redis.
const KEPT: usize = 160;

/// The kinds of latency events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LatencyEvent {
    /// A command of constant or logarithmic cost.
    FastCommand,
    /// Any other command.
    Command,
}

impl LatencyEvent {
    /// The name, as LATENCY shows it.
    pub const fn name(self) -> &'static str {
        match self {
            LatencyEvent::FastCommand => "fast-command",
            LatencyEvent::Command => "command",
        }
    }

    /// The event of this name.
    pub fn named(name: &[u8]) -> Option<LatencyEvent> {
        [LatencyEvent::FastCommand, LatencyEvent::Command]
            .into_iter()
            .find(|event| event.name().as_bytes().eq_ignore_ascii_case(name))
    }
}

/// One latency spike: the worst of its second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spike {
    /// Unix time in seconds.
    pub unix_s: u64,
    /// Milliseconds it took.
    pub ms: u64,
}

/// The spikes of every event. Its mutex is taken for spikes only.
#[derive(Debug, Default)]
pub struct LatencyLog {
    events: Mutex<BTreeMap<LatencyEvent, Spikes>>,
}

#[derive(Debug, Default)]
struct Spikes {
    kept: VecDeque<Spike>,
    worst_ms: u64,
}

impl LatencyLog {
    /// Adds a spike of `ms` milliseconds.
    pub fn add(&self, event: LatencyEvent, unix_s: u64, ms: u64) {
        let mut events = self.events();
        let spikes = events.entry(event).or_default();
        spikes.worst_ms = spikes.worst_ms.max(ms);
        match spikes.kept.back_mut().filter(|last| last.unix_s == unix_s) {
            Some(last) => last.ms = last.ms.max(ms),
            None => spikes.kept.push_back(Spike { unix_s, ms }),
        }
        if spikes.kept.len() > KEPT {
            spikes.kept.pop_front();
        }
    }

    /// The spikes of an event, the oldest first.
    pub fn history(&self, event: LatencyEvent) -> Vec<Spike> {
        self.events().get(&event).map(|spikes| spikes.kept.iter().copied().collect()).unwrap_or_default()
    }

    /// Each event that occurred, its last spike, and the worst one's milliseconds.
    pub fn latest(&self) -> Vec<(LatencyEvent, Spike, u64)> {
        let events = self.events();
        let latest =
            |(event, spikes): (&LatencyEvent, &Spikes)| Some((*event, *spikes.kept.back()?, spikes.worst_ms));
        events.iter().filter_map(latest).collect()
    }

    /// Forgets an event. True if it had occurred.
    pub fn forget(&self, event: LatencyEvent) -> bool {
        self.events().remove(&event).is_some()
    }

    fn events(&self) -> MutexGuard<'_, BTreeMap<LatencyEvent, Spikes>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_keeps_its_worst_spike_and_history_is_bounded() {
        let log = LatencyLog::default();
        for (unix_s, ms) in [(1, 5), (1, 9), (1, 7), (2, 3)] {
            log.add(LatencyEvent::Command, unix_s, ms);
        }
        let spikes = [Spike { unix_s: 1, ms: 9 }, Spike { unix_s: 2, ms: 3 }];
        assert_eq!(log.history(LatencyEvent::Command), spikes);
        assert_eq!(log.latest(), [(LatencyEvent::Command, spikes[1], 9)]);
        (3..500).for_each(|unix_s| log.add(LatencyEvent::Command, unix_s, 1));
        assert_eq!(log.history(LatencyEvent::Command).len(), KEPT);
        assert!(log.forget(LatencyEvent::Command) && !log.forget(LatencyEvent::Command));
        assert_eq!(log.history(LatencyEvent::FastCommand), []);
    }
}

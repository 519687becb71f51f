//! What the server counts and times: plain counters that the hot path bumps, the slow log, latency events. INFO, the
//! commands about them and the metrics read it.

mod latency;
mod rates;
mod seldom;
mod slowlog;

use crate::concurrent::counters::counter::{Counter, Latest, Tally};
use crate::concurrent::counters::recorder::Recorder;
pub use latency::{LatencyEvent, LatencyLog, Spike};
pub use rates::{PerSecond, Rates, Sample};
pub use seldom::Seldom;
pub use slowlog::{SlowEntry, SlowLog};

/// Most commands and subcommands there can be counters for.
pub const MAX_COMMANDS: usize = 512;

/// The first words of error replies, which errors are counted by; the last one stands for all others.
pub const ERROR_CODES: [&str; 14] = [
    "ERR",
    "WRONGTYPE",
    "OOM",
    "EXECABORT",
    "NOAUTH",
    "WRONGPASS",
    "NOPROTO",
    "NOPERM",
    "BUSYKEY",
    "LOADING",
    "MISCONF",
    "READONLY",
    "UNBLOCKED",
    "other",
];

/// The server's statistics, counted from the start or from CONFIG RESETSTAT.
#[derive(Debug)]
pub struct Stats {
    /// Calls, failures and durations, by the row's place in the command table; durations by namespace, too.
    pub commands: Recorder,
    /// Commands refused before they ran, by the same place: of wrong arity, or not allowed now.
    pub rejected: Box<[Tally]>,
    /// Error replies by [`ERROR_CODES`].
    errors: [Counter; ERROR_CODES.len()],
    /// Connections accepted.
    pub connections: Counter,
    /// Connections turned away because there were too many.
    pub rejected_connections: Counter,
    /// Bytes read from clients.
    pub input_bytes: Counter,
    /// Bytes written to clients.
    pub output_bytes: Counter,
    /// Reads from clients.
    pub reads: Counter,
    /// Writes to clients.
    pub writes: Counter,
    /// Connections closed because a browser spoke HTTP to them.
    pub http_connections: Seldom,
    /// Clients closed because they did not read what they had subscribed to.
    pub overflowed_clients: Counter,
    /// Clients closed because clients held more than their share of the memory.
    pub evicted_clients: Counter,
    /// The same, for the log.
    pub client_evictions: Seldom,
    /// Requests refused because they were beyond the limits on arguments.
    pub oversized_requests: Counter,
    /// The same, for the log.
    pub oversizes: Seldom,
    /// Clients closed because they took no replies for long and could not be read from any more.
    pub stalled_clients: Counter,
    /// The same, for the log.
    pub stalls: Seldom,
    /// The slowest commands of late.
    pub slowlog: SlowLog,
    /// Latency spikes.
    pub latency: LatencyLog,
    /// The events of one second.
    pub rates: Rates,
    /// The most bytes that the allocator was seen to have handed out.
    pub peak_bytes: Latest,
}

impl Stats {
    /// Counters at zero. Commands are timed for `labels` namespaces beside the default one and the others.
    pub fn new(labels: usize) -> Stats {
        Stats {
            commands: Recorder::new(MAX_COMMANDS, labels),
            rejected: std::iter::repeat_with(Tally::default).take(MAX_COMMANDS).collect(),
            errors: Default::default(),
            connections: Counter::new(),
            rejected_connections: Counter::new(),
            input_bytes: Counter::new(),
            output_bytes: Counter::new(),
            reads: Counter::new(),
            writes: Counter::new(),
            http_connections: Seldom::default(),
            overflowed_clients: Counter::new(),
            evicted_clients: Counter::new(),
            client_evictions: Seldom::default(),
            oversized_requests: Counter::new(),
            oversizes: Seldom::default(),
            stalled_clients: Counter::new(),
            stalls: Seldom::default(),
            slowlog: SlowLog::default(),
            latency: LatencyLog::default(),
            rates: Rates::default(),
            peak_bytes: Latest::default(),
        }
    }

    /// Counts an error reply of this text.
    pub fn count_error(&self, text: &[u8]) {
        let code = text.split(|byte| *byte == b' ').next().unwrap_or_default();
        let other = ERROR_CODES.len() - 1;
        let place = ERROR_CODES.iter().position(|known| known.as_bytes() == code).unwrap_or(other);
        self.errors[place].add(1);
    }

    /// The error codes that were answered, and how often.
    pub fn errors(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = ERROR_CODES.into_iter().zip(self.errors.iter().map(Counter::get));
        counts.filter(|(_, count)| *count > 0)
    }

    /// Commands run. O(number of commands x threads).
    pub fn total_commands(&self) -> u64 {
        (0..MAX_COMMANDS).filter_map(|row| self.commands.series(row)).map(|series| series.count()).sum()
    }

    /// Error replies.
    pub fn total_errors(&self) -> u64 {
        self.errors.iter().map(Counter::get).sum()
    }

    /// Takes a sample for the rates, if it is time for one by the monotonic clock. To be called now and then.
    /// O(number of commands x threads).
    pub fn sample(&self, now_ms: u64) {
        if self.rates.is_due(now_ms) {
            self.rates.add(Sample {
                at_ms: now_ms,
                commands: self.total_commands(),
                input_bytes: self.input_bytes.get(),
                output_bytes: self.output_bytes.get(),
            });
        }
    }

    /// Notes how many bytes the allocator has handed out, and answers the most that was ever noted.
    pub fn note_memory(&self, allocated: u64) -> u64 {
        self.peak_bytes.raise(allocated)
    }

    /// Lets every counter and histogram begin again. The slow log and the latency events stay.
    pub fn reset(&self) {
        self.commands.reset();
        self.rejected.iter().for_each(Tally::reset);
        self.errors.iter().for_each(Counter::reset);
        let counters = [
            &self.connections,
            &self.rejected_connections,
            &self.input_bytes,
            &self.output_bytes,
            &self.reads,
            &self.writes,
            &self.overflowed_clients,
            &self.evicted_clients,
            &self.oversized_requests,
            &self.stalled_clients,
        ];
        counters.into_iter().for_each(Counter::reset);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_counted_by_their_first_word() {
        let stats = Stats::new(0);
        for text in [&b"ERR syntax error"[..], b"WRONGTYPE x", b"ERR", b"MINE is this", b""] {
            stats.count_error(text);
        }
        assert_eq!(stats.errors().collect::<Vec<_>>(), [("ERR", 2), ("WRONGTYPE", 1), ("other", 2)]);
        assert_eq!(stats.total_errors(), 5);
        stats.reset();
        assert_eq!(stats.total_errors(), 0);
    }
}

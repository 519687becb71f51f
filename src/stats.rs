//! Plain counters that the hot path bumps and INFO and the metrics read.

use crate::concurrent::counter::Counter;

/// Most commands and subcommands there can be counters for.
pub const MAX_COMMANDS: usize = 320;

/// What is counted of one command.
#[derive(Debug, Default)]
pub struct CommandStats {
    /// Times it ran.
    pub calls: Counter,
    /// Times it ran and answered an error.
    pub failed: Counter,
}

/// What the server counts. Everything counts up from the start, or from CONFIG RESETSTAT.
#[derive(Debug)]
pub struct Stats {
    /// By the row's place in the command table.
    pub commands: Box<[CommandStats]>,
    /// Commands refused before they ran: unknown, of wrong arity, not allowed now.
    pub rejected: Counter,
    /// Connections accepted.
    pub connections: Counter,
    /// Connections turned away because there were too many.
    pub rejected_connections: Counter,
    /// Bytes read from clients.
    pub input_bytes: Counter,
    /// Bytes written to clients.
    pub output_bytes: Counter,
}

impl Default for Stats {
    fn default() -> Stats {
        Stats {
            commands: std::iter::repeat_with(CommandStats::default).take(MAX_COMMANDS).collect(),
            rejected: Counter::new(),
            connections: Counter::new(),
            rejected_connections: Counter::new(),
            input_bytes: Counter::new(),
            output_bytes: Counter::new(),
        }
    }
}

impl Stats {
    /// Commands run since the start. O(number of commands).
    pub fn total_commands(&self) -> u64 {
        self.commands.iter().map(|command| command.calls.get()).sum()
    }

    /// Error replies since the start. O(number of commands).
    pub fn total_errors(&self) -> u64 {
        self.commands.iter().map(|command| command.failed.get()).sum::<u64>() + self.rejected.get()
    }
}

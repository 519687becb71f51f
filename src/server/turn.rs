//! How long one connection's requests run before others have their turn: a millisecond, or less where many connections
//! never wait for their clients. A turn lasts across reads, until the connection waits or has given way.

use super::Shared;
use crate::clock::TICKS_PER_US;
use crate::concurrent::counters::counter::Tally;
use std::sync::Arc;

/// The longest and the shortest turn, in microseconds.
const LONGEST_US: u64 = 1_000;
const SHORTEST_US: u64 = 100;

/// How long a worker's busy connections may take together.
const ROUND_US: u64 = 4_000;

/// The connections whose turns were ended by the time, or by what they had to send.
#[derive(Debug)]
pub(super) struct Turns {
    busy: Tally,
    workers: u64,
}

impl Turns {
    pub fn new(workers: usize) -> Turns {
        Turns { busy: Tally::new(), workers: workers as u64 }
    }

    /// The connections that never wait for their clients.
    #[inline]
    pub fn busy(&self) -> u64 {
        self.busy.get().max(0) as u64
    }

    /// How long a turn that begins now may last, in ticks.
    fn length(&self) -> u64 {
        let busy = self.busy();
        let us = if busy * LONGEST_US <= self.workers * ROUND_US {
            LONGEST_US
        } else {
            (self.workers * ROUND_US / busy).max(SHORTEST_US)
        };
        us * TICKS_PER_US
    }
}

/// One connection's turn.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// The tick at which it ends; 0 if it has not begun.
    end: u64,
    busy: Option<Busy>,
}

/// Counts a connection as busy until this is dropped.
#[derive(Debug)]
struct Busy(Arc<Shared>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.turns.busy.add(-1);
    }
}

impl Turn {
    /// Begins at this tick, unless it has begun.
    #[inline]
    pub fn begin(&mut self, turns: &Turns, now: u64) {
        if self.end == 0 {
            self.end = now + turns.length();
        }
    }

    /// True if others are to have their turn at this tick.
    #[inline]
    pub fn is_over(&self, now: u64) -> bool {
        self.end != 0 && now > self.end
    }

    /// Others have their turn while the connection could go on.
    pub fn give_way(&mut self, shared: &Arc<Shared>) {
        self.end = 0;
        self.busy.get_or_insert_with(|| {
            shared.turns.busy.add(1);
            Busy(Arc::clone(shared))
        });
    }

    /// The connection waits for its client.
    #[inline]
    pub fn rest(&mut self) {
        self.end = 0;
        if self.busy.is_some() {
            self.busy = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_shorter_where_many_are_busy() {
        let turns = Turns::new(2);
        for (busy, us) in [(0, 1000), (8, 1000), (9, 888), (40, 200), (80, 100), (1000, 100)] {
            turns.busy.add(busy - turns.busy.get());
            assert_eq!(turns.length(), us * TICKS_PER_US, "{busy} connections");
        }
    }

    #[test]
    fn a_turn_lasts_until_the_connection_waits() {
        let turns = Turns::new(1);
        let mut turn = Turn::default();
        turn.begin(&turns, 5);
        turn.begin(&turns, 500_000);
        let last = 5 + LONGEST_US * TICKS_PER_US;
        assert!(!turn.is_over(last) && turn.is_over(last + 1));
        turn.rest();
        turn.begin(&turns, last);
        assert!(!turn.is_over(last + 1));
    }
}

//! The open connections, so that the server can limit their number, and wake and await them at a shutdown.
//!
//! tokio-util's tracker and token do not fit: SHUTDOWN ABORT takes the stop back, the limit has to be checked in the
//! step that counts, and a token takes a lock where a connection reads a flag.
//!
//! Its mutex is taken when a connection comes or goes and once at shutdown, never for a request: a running
//! connection learns of the shutdown from a flag that it reads where it would wait for its client.

use crate::concurrent::counters::counter::Flag;
use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;
use tokio::sync::Notify;

/// The open connections.
#[derive(Debug, Default)]
pub(super) struct Roster {
    seats: Mutex<Seats>,
    /// Raised at shutdown, before the sleepers are woken.
    stopping: Flag,
    /// Tells the listener that the shutdown has begun, or was taken back.
    turned: Notify,
    /// Tells who waits for the end that a connection has closed.
    left: Condvar,
}

#[derive(Debug, Default)]
struct Seats {
    next: u64,
    /// The waker of each connection's task, once the task has run.
    taken: HashMap<u64, Option<Waker>>,
}

/// One connection's place among the clients; dropping it leaves.
#[derive(Debug)]
pub(super) struct Seat<R: AsRef<Roster>> {
    roster: R,
    number: u64,
}

impl Roster {
    /// A place for one more connection, unless `max` are taken.
    pub fn admit<R: AsRef<Roster>>(roster: R, max: usize) -> Option<Seat<R>> {
        let number = {
            let mut seats = roster.as_ref().seats();
            if seats.taken.len() >= max {
                return None;
            }
            let number = seats.next;
            seats.next += 1;
            seats.taken.insert(number, None);
            number
        };
        Some(Seat { roster, number })
    }

    /// Begins the shutdown: whoever waits for its client is woken. Repeating it does nothing.
    pub fn stop(&self) {
        // A waker stored after this is stored by a task that will see the flag before it sleeps: the mutex orders them.
        self.stopping.raise();
        let wakers: Vec<Waker> = self.seats().taken.values().flatten().cloned().collect();
        wakers.into_iter().for_each(Waker::wake);
        self.turned.notify_one();
    }

    /// Takes the shutdown back. Nobody is woken: those who are still here go on as their clients let them.
    pub fn resume(&self) {
        self.stopping.lower();
        self.turned.notify_one();
    }

    /// True while the server shuts down. One load.
    pub fn is_stopping(&self) -> bool {
        self.stopping.is_raised()
    }

    /// Returns once the shutdown has begun. For one waiter.
    pub async fn stopped(&self) {
        while !self.is_stopping() {
            self.turned.notified().await;
        }
    }

    /// Returns once the shutdown was taken back. For the same waiter.
    pub async fn resumed(&self) {
        while self.is_stopping() {
            self.turned.notified().await;
        }
    }

    /// Blocks until nobody is connected any more; false if that is not so within `bound`.
    pub fn wait_until_empty(&self, bound: Duration) -> bool {
        let waited = self.left.wait_timeout_while(self.seats(), bound, |seats| !seats.taken.is_empty());
        waited.unwrap_or_else(PoisonError::into_inner).0.taken.is_empty()
    }

    /// Number of open connections.
    pub fn len(&self) -> usize {
        self.seats().taken.len()
    }

    fn seats(&self) -> MutexGuard<'_, Seats> {
        // The map is whole after any panic: nothing in between can fail.
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R: AsRef<Roster>> Seat<R> {
    /// Leaves the waker of the connection's task for the shutdown to wake it.
    pub fn set_waker(&self, waker: &Waker) {
        self.roster.as_ref().seats().taken.insert(self.number, Some(waker.clone()));
    }
}

impl<R: AsRef<Roster>> Drop for Seat<R> {
    fn drop(&mut self) {
        let roster = self.roster.as_ref();
        let waker = roster.seats().taken.remove(&self.number);
        // The last waker of a task may free it, which is not for under the mutex.
        drop(waker);
        if roster.is_stopping() {
            roster.left.notify_all();
        }
    }
}

impl AsRef<Roster> for Arc<super::Shared> {
    fn as_ref(&self) -> &Roster {
        &self.roster
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl AsRef<Roster> for Roster {
        fn as_ref(&self) -> &Roster {
            self
        }
    }

    #[test]
    fn a_seat_is_free_again_when_its_connection_leaves() {
        let roster = Roster::default();
        let first = Roster::admit(&roster, 2).expect("a seat");
        let _second = Roster::admit(&roster, 2).expect("a seat");
        assert!(Roster::admit(&roster, 2).is_none());
        drop(first);
        assert!(Roster::admit(&roster, 2).is_some());
        assert_eq!(roster.len(), 1);
    }

    #[test]
    fn stopping_lasts_until_it_is_taken_back() {
        let roster = Roster::default();
        assert!(!roster.is_stopping());
        roster.stop();
        roster.stop();
        assert!(roster.is_stopping());
        roster.resume();
        assert!(!roster.is_stopping());
    }
}

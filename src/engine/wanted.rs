//! Whether long work is still wanted. It asks between two of its steps, and ends with nothing done once its client
//! broke the connection, closed its sending half a second ago or was told to end, or once the server stops.
//!
//! What a transaction has planned is its client's wish, whether that stays or not: there only the latter two end it.

use super::Engine;
use super::clients::Client;
use crate::wait::{Peer, Presence};
use std::sync::Arc;

/// Microseconds between two looks at a client: a system call.
const LOOK_EVERY_US: u64 = 500;

/// How long a client that closed its sending half is waited for, in microseconds.
const HALF_CLOSED_US: u64 = 1_000_000;

/// Nobody wants the work any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unwanted;

/// One piece of long work, which asks whether it is wanted.
#[derive(Debug)]
pub struct Wanted<'a> {
    engine: &'a Engine,
    client: Arc<Client>,
    peer: Option<&'a dyn Peer>,
    /// What was seen of the client so far; work that goes on later keeps it.
    pub looks: Looks,
}

/// What was seen of a client while work for it went on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Looks {
    /// When the client is looked at again, by the monotonic clock.
    next_us: u64,
    /// When it was first seen to have closed its half.
    half_closed_us: Option<u64>,
}

impl Engine {
    /// Lets work for `client` ask whether it is wanted. Without a `peer` the client is taken to be there.
    pub fn wanted<'a>(&'a self, client: &Arc<Client>, peer: Option<&'a dyn Peer>) -> Wanted<'a> {
        Wanted { engine: self, client: Arc::clone(client), peer, looks: Looks::default() }
    }
}

impl Wanted<'_> {
    /// To be asked every few thousand elements: it reads the clock.
    ///
    /// # Errors
    /// The work is to end with nothing done.
    pub fn ask(&mut self) -> Result<(), Unwanted> {
        if self.client.mailbox.is_ended() || self.engine.long_work.is_stopping() {
            return Err(Unwanted);
        }
        let Some(peer) = self.peer else { return Ok(()) };
        let now_us = self.engine.clock.monotonic_us();
        if now_us < self.looks.next_us {
            return Ok(());
        }
        self.looks.next_us = now_us + LOOK_EVERY_US;
        let is_wanted = match peer.presence() {
            Presence::There => true,
            Presence::HalfClosed => {
                now_us - *self.looks.half_closed_us.get_or_insert(now_us) < HALF_CLOSED_US
            }
            Presence::Gone => false,
        };
        if is_wanted { Ok(()) } else { Err(Unwanted) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::config::Settings;
    use std::cell::Cell;
    use std::net::SocketAddr;

    #[derive(Debug)]
    struct Stub(Cell<Presence>);

    impl Peer for Stub {
        fn presence(&self) -> Presence {
            self.0.get()
        }
    }

    fn client(engine: &Engine) -> Arc<Client> {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        engine.clients.register(address, address, 0)
    }

    #[test]
    fn work_ends_with_its_connection_or_a_second_after_a_half_of_it() {
        let engine = Engine::new(Settings::default(), Clock::manual(1_000));
        let peer = Stub(Cell::new(Presence::There));
        let mut wanted = engine.wanted(&client(&engine), Some(&peer));
        assert_eq!(wanted.ask(), Ok(()));
        peer.0.set(Presence::HalfClosed);
        for ms in [1, 998, 1] {
            engine.clock.advance(ms);
            assert_eq!(wanted.ask(), Ok(()));
        }
        engine.clock.advance(1);
        assert_eq!(wanted.ask(), Err(Unwanted));
        peer.0.set(Presence::Gone);
        let mut wanted = engine.wanted(&client(&engine), Some(&peer));
        assert_eq!(wanted.ask(), Err(Unwanted));
    }

    #[test]
    fn work_ends_when_its_client_is_told_to_and_when_the_server_stops() {
        let engine = Engine::new(Settings::default(), Clock::manual(1_000));
        let killed = client(&engine);
        let mut wanted = engine.wanted(&killed, None);
        assert_eq!(wanted.ask(), Ok(()));
        killed.mailbox.end();
        assert_eq!(wanted.ask(), Err(Unwanted));
        let mut wanted = engine.wanted(&client(&engine), None);
        engine.long_work.stop();
        assert_eq!(wanted.ask(), Err(Unwanted));
        engine.long_work.resume();
        assert_eq!(wanted.ask(), Ok(()));
    }
}

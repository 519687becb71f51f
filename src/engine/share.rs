//! The clients' share of the memory: who may grow, who waits for that, and who is closed.
//!
//! What clients hold is charged to one ledger (`concurrent/ledger/charge.rs`). A request that arrives in part may grow if
//! there is room; else its client takes *the turn*, if nobody has it, and others are closed for it, the largest first,
//! while it gets on. Who neither has room nor the turn waits. Without the turn nobody would ever finish: of many clients
//! that send large requests, whoever is nearest its end is the largest.
//!
//! What cannot wait (replies, messages, queued commands, names) is charged all the same, and the largest client of all is
//! closed for it.

use super::Engine;
use super::clients::Client;
use crate::concurrent::ledger::charge::Charge;
use bytes::Bytes;

/// Microseconds for which nobody looks again who is the largest, if nobody could be closed.
const FUTILE_US: u64 = 10_000;

/// Bytes that a message takes beside its text.
const MESSAGE_OVERHEAD: u64 = 64;

impl Engine {
    /// True if a client's request may grow by `bytes`; else it is to ask again soon. Others may be closed for it.
    pub fn may_grow(&self, client: &Client, bytes: u64) -> bool {
        let clients = &self.clients;
        // The room that is made for whoever has the turn is not for others.
        let is_reserved = clients.turns.holder().is_some_and(|holder| holder != client.id);
        let reserved = if is_reserved { clients.ledger.most_of_one() } else { 0 };
        if clients.ledger.room() >= reserved.saturating_add(bytes) {
            return true;
        }
        let received = |id| clients.find(id).map(|client| client.buffers.input.get());
        if clients.turns.take(client.id, self.clock.monotonic_us(), received) {
            self.close_largest(Some(client.id), bytes);
        }
        false
    }

    /// Closes the largest clients if they hold more than their share together.
    #[inline]
    pub fn keep_share(&self) {
        if self.clients.ledger.is_over() {
            let holder = self.clients.turns.holder();
            self.close_largest(holder, 0);
        }
    }

    /// Closes the largest clients but for one, until there are `bytes` of room. O(clients).
    #[cold]
    fn close_largest(&self, spared: Option<u64>, bytes: u64) {
        let clients = &self.clients;
        // Who closes already sees what the others hold, too.
        let Some(mut futile_us) = clients.turns.try_close() else { return };
        let now_us = self.clock.monotonic_us();
        if bytes == 0 && now_us.saturating_sub(*futile_us) < FUTILE_US {
            return;
        }
        let (gone, mut others): (Vec<_>, Vec<_>) = clients
            .list()
            .into_iter()
            .map(|client| (client.memory(), client))
            .partition(|(_, client)| client.mailbox.is_ended());
        // Bytes of clients that were told to leave count as coming.
        let coming: u64 = gone.iter().map(|(bytes, _)| bytes).sum();
        let wanted = clients.ledger.held().saturating_add(bytes);
        let mut has_closed = false;
        let mut excess = wanted.saturating_sub(clients.ledger.share()).saturating_sub(coming);
        others.retain(|(bytes, client)| *bytes > 0 && Some(client.id) != spared && !client.shown().no_evict);
        others.sort_unstable_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        for (bytes, client) in others {
            if excess == 0 {
                break;
            }
            if client.mailbox.end() {
                excess = excess.saturating_sub(bytes);
                has_closed = true;
                self.tell_of_closing(&client, bytes);
            }
        }
        if !has_closed {
            *futile_us = now_us;
        }
    }

    fn tell_of_closing(&self, client: &Client, bytes: u64) {
        self.stats.evicted_clients.add(1);
        if let Some(untold) = self.stats.client_evictions.happened(self.clock.monotonic_us()) {
            tracing::warn!(
                client = client.id,
                address = %client.peer,
                bytes,
                share = self.clients.ledger.share(),
                untold,
                "closing the largest client: clients hold more than maxmemory-clients"
            );
        }
    }

    /// A part of a message, charged for as long as anybody holds it.
    pub(super) fn charged(&self, text: &[u8]) -> Bytes {
        let mut charge = Charge::new(&self.clients.ledger);
        charge.set(text.len() as u64 + MESSAGE_OVERHEAD);
        Bytes::from_owner(Paid { text: text.into(), _charge: charge })
    }
}

/// Bytes with the charge for them.
struct Paid {
    text: Box<[u8]>,
    _charge: Charge,
}

impl AsRef<[u8]> for Paid {
    fn as_ref(&self) -> &[u8] {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::config::Settings;
    use std::sync::Arc;

    const MB: u64 = 1 << 20;

    fn engine() -> (Engine, Clock) {
        let clock = Clock::manual(1_000_000);
        (Engine::new(Settings::default(), clock.clone()), clock)
    }

    fn client(engine: &Engine, bytes: u64) -> (Arc<Client>, Charge) {
        let address = ([127, 0, 0, 1], 1).into();
        let client = engine.clients.register(address, address, 0);
        let mut charge = Charge::new(&engine.clients.ledger);
        charge.set(bytes);
        client.buffers.held.set(bytes);
        (client, charge)
    }

    #[test]
    fn the_largest_are_closed_until_the_others_are_within_the_share() {
        let (engine, clock) = engine();
        engine.clients.ledger.set_share(60 * MB);
        let clients = [10, 40, 30, 20].map(|size| client(&engine, size * MB));
        engine.keep_share();
        let ended = || clients.each_ref().map(|(client, _)| client.mailbox.is_ended());
        assert_eq!(ended(), [false, true, false, false]);
        engine.keep_share();
        assert_eq!(ended(), [false, true, false, false], "what comes back is waited for");
        assert_eq!(engine.stats.evicted_clients.get(), 1);
        engine.clients.ledger.set_share(45 * MB);
        clock.advance(10);
        engine.keep_share();
        assert_eq!(ended(), [false, true, true, false]);
    }

    #[test]
    fn who_has_the_turn_grows_while_others_are_closed_for_it() {
        let (engine, clock) = engine();
        engine.clients.ledger.set_share(60 * MB);
        let [(largest, charge), (second, _second), (third, _third)] =
            [30, 20, 10].map(|size| client(&engine, size * MB));
        let (second, third) = (&second, &third);
        assert!(!engine.may_grow(second, MB), "it has the turn now");
        assert!(largest.mailbox.is_ended() && !second.mailbox.is_ended());
        assert!(!engine.may_grow(third, MB), "it waits");
        engine.clients.unregister(largest.id);
        drop(charge);
        assert!(engine.may_grow(second, MB) && !engine.may_grow(third, MB), "the room is not for others");
        assert!(!second.mailbox.is_ended() && !third.mailbox.is_ended());
        clock.advance(1_000);
        second.buffers.input.set(MB);
        assert!(!engine.may_grow(third, MB) && !second.mailbox.is_ended(), "who gets on keeps the turn");
        clock.advance(1_000);
        assert!(!engine.may_grow(third, 31 * MB), "the turn passes to it from one that does not get on");
        assert!(second.mailbox.is_ended() && !third.mailbox.is_ended());
        engine.clients.turns.give_back(third.id);
        assert!(engine.clients.turns.holder().is_none());
    }

    #[test]
    fn who_is_not_to_be_evicted_is_not() {
        let (engine, _) = engine();
        engine.clients.ledger.set_share(MB);
        let (dear, _charge) = client(&engine, 2 * MB);
        let (other, _other) = client(&engine, 1000);
        dear.show(crate::engine::clients::Shown { no_evict: true, ..dear.shown() });
        engine.keep_share();
        assert!(!dear.mailbox.is_ended() && other.mailbox.is_ended());
    }

    #[test]
    fn a_message_is_charged_while_somebody_holds_it() {
        let (engine, _) = engine();
        let text = engine.charged(b"hello");
        let copy = text.clone();
        drop(text);
        assert_eq!((&copy[..], engine.clients.ledger.held()), (&b"hello"[..], 5 + MESSAGE_OVERHEAD));
        drop(copy);
        assert_eq!(engine.clients.ledger.held(), 0);
    }
}

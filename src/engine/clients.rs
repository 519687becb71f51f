//! The connected clients: what CLIENT LIST shows of each, and their number.

use super::mail::{Mail, Topic};
use crate::concurrent::counters::counter::{Latest, NextId};
use crate::concurrent::ledger::charge::Ledger;
use crate::concurrent::ledger::turn::Turns;
use crate::concurrent::mail::hub::Numbered;
use crate::concurrent::mail::mailbox::Mailbox;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The id of the server itself. Clients begin at 1.
const INTERNAL: u64 = 0;

/// What others may see of a client. Its session alone writes it.
#[derive(Debug)]
pub struct Client {
    /// Unique in this run of the server, growing.
    pub id: u64,
    /// The client's address.
    pub peer: SocketAddr,
    /// The server's address it connected to.
    pub local: SocketAddr,
    /// When it connected: milliseconds of the steady time (`Keyspace::steady_ms`).
    pub connected_ms: u64,
    /// Messages that others send it outside its replies, and the word that ends it.
    pub mailbox: Mailbox<Arc<Mail>>,
    /// What its connection holds.
    pub buffers: BufferSizes,
    labels: Mutex<Labels>,
    last: Last,
    /// How many channels, patterns and shard channels it listens to.
    subscriptions: [Latest; 3],
}

impl Numbered for Client {
    fn number(&self) -> u64 {
        self.id
    }
}

/// The memory of a connection, for CLIENT LIST. Each number is written by the connection and read for itself.
#[derive(Debug, Default)]
pub struct BufferSizes {
    /// The number of the socket's descriptor.
    pub descriptor: Latest,
    /// Bytes received and not answered, when the connection looked last.
    pub input: Latest,
    /// Bytes for which its input buffer has room.
    pub input_room: Latest,
    /// Bytes of replies that the client has not taken yet.
    pub output: Latest,
    /// Bytes of the commands queued since MULTI.
    pub queue: Latest,
    /// Bytes that its buffers take while it waits.
    pub held: Latest,
    /// Bytes of its names, subscriptions and watches.
    pub kept: Latest,
}

/// What a client says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    /// By CLIENT SETNAME or HELLO; empty for none.
    pub name: Vec<u8>,
    /// By CLIENT SETINFO LIB-NAME.
    pub lib_name: Vec<u8>,
    /// By CLIENT SETINFO LIB-VER.
    pub lib_version: Vec<u8>,
}

/// The state that a session leaves for CLIENT LIST at each command. Each word is read for itself.
#[derive(Debug, Default)]
struct Last {
    command: Latest,
    active_ms: Latest,
    state: Latest,
}

/// The parts of a session's state that CLIENT LIST shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Speaks RESP3.
    pub resp3: bool,
    /// CLIENT NO-EVICT ON.
    pub no_evict: bool,
    /// CLIENT NO-TOUCH ON.
    pub no_touch: bool,
    /// Runs MONITOR.
    pub monitors: bool,
    /// Commands queued by MULTI; `None` outside.
    pub queued: Option<u32>,
    /// Keys watched.
    pub watched: u32,
}

impl Shown {
    fn to_word(self) -> u64 {
        let queued = self.queued.map_or(0, |queued| u64::from(queued.min(u32::MAX >> 1)) + 1);
        u64::from(self.resp3)
            | u64::from(self.no_evict) << 1
            | u64::from(self.no_touch) << 2
            | u64::from(self.monitors) << 3
            | u64::from(self.watched.min(u32::MAX >> 4)) << 4
            | queued << 32
    }

    fn from_word(word: u64) -> Shown {
        Shown {
            resp3: word & 1 != 0,
            no_evict: word & 2 != 0,
            no_touch: word & 4 != 0,
            monitors: word & 8 != 0,
            watched: (word as u32) >> 4,
            queued: (word >> 32).checked_sub(1).map(|queued| queued as u32),
        }
    }
}

impl Client {
    fn new(id: u64, peer: SocketAddr, local: SocketAddr, now_ms: u64) -> Client {
        Client {
            id,
            peer,
            local,
            connected_ms: now_ms,
            mailbox: Mailbox::default(),
            buffers: BufferSizes::default(),
            subscriptions: Default::default(),
            labels: Mutex::default(),
            last: Last { active_ms: Latest::new(now_ms), ..Last::default() },
        }
    }

    /// The server itself, which nobody sees among the clients.
    pub fn internal() -> Arc<Client> {
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        Arc::new(Client::new(INTERNAL, nowhere, nowhere, 0))
    }

    /// True for the server itself.
    pub fn is_internal(&self) -> bool {
        self.id == INTERNAL
    }

    /// What the client says of itself.
    pub fn labels(&self) -> MutexGuard<'_, Labels> {
        self.labels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a command by its row's number and the steady time when it ran, in milliseconds. Two plain stores.
    #[inline]
    pub fn note_command(&self, number: usize, now_ms: u64) {
        self.last.command.set(number as u64 + 1);
        self.last.active_ms.set(now_ms);
    }

    /// The number of the last command's row, if there was one, and when it ran.
    pub fn last_command(&self) -> (Option<usize>, u64) {
        let command = self.last.command.get();
        (command.checked_sub(1).map(|number| number as usize), self.last.active_ms.get())
    }

    /// Lets others see this much of the session's state.
    pub fn show(&self, shown: Shown) {
        // ORDERING: Relaxed; the word stands for itself.
        self.last.state.set(shown.to_word());
    }

    /// The part of the session's state that others see.
    pub fn shown(&self) -> Shown {
        // ORDERING: Relaxed; the word stands for itself.
        Shown::from_word(self.last.state.get())
    }

    /// Bytes that it makes the server hold, beside what any connection costs. Messages that wait for several count for each.
    pub fn memory(&self) -> u64 {
        let BufferSizes { queue, held, kept, .. } = &self.buffers;
        queue.get() + held.get() + kept.get() + self.mailbox.weight() as u64
    }

    /// How many topics of one kind the client listens to.
    pub fn subscriptions(&self, topic: Topic) -> u64 {
        self.subscriptions[topic as usize].get()
    }

    /// Notes how many topics of one kind the client listens to.
    pub fn note_subscriptions(&self, topic: Topic, count: usize) {
        self.subscriptions[topic as usize].set(count as u64);
    }

    /// True if the client listens to anything that is published.
    pub fn is_subscriber(&self) -> bool {
        self.subscriptions.iter().any(|count| count.get() > 0)
    }
}

/// The connected clients by id.
///
/// The mutex is taken when a client comes or goes and to collect references for CLIENT LIST; no reply is
/// formatted and nothing is waited for under it.
#[derive(Debug, Default)]
pub struct ClientRegistry {
    /// The memory that they make the server hold.
    pub ledger: Arc<Ledger>,
    /// Who of them may grow where there is no room.
    pub turns: Turns,
    ids: NextId,
    connected: Mutex<BTreeMap<u64, Arc<Client>>>,
}

impl ClientRegistry {
    /// Nobody is connected yet; together they may make the server hold `share` bytes.
    pub fn new(share: u64) -> ClientRegistry {
        ClientRegistry { ledger: Arc::new(Ledger::new(share)), ..ClientRegistry::default() }
    }

    /// Adds a client that connects now, in milliseconds of the steady time.
    pub fn register(&self, peer: SocketAddr, local: SocketAddr, now_ms: u64) -> Arc<Client> {
        let client = Arc::new(Client::new(self.ids.next(), peer, local, now_ms));
        self.connected().insert(client.id, Arc::clone(&client));
        client
    }

    /// Removes a client.
    pub fn unregister(&self, id: u64) {
        self.connected().remove(&id);
    }

    /// Number of connected clients.
    pub fn len(&self) -> usize {
        self.connected().len()
    }

    /// True if nobody is connected.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The client of this id, if it is connected.
    pub fn find(&self, id: u64) -> Option<Arc<Client>> {
        self.connected().get(&id).cloned()
    }

    /// Wakes every client's task: something that those who wait look at has changed.
    pub fn wake_all(&self) {
        self.list().iter().for_each(|client| client.mailbox.wake());
    }

    /// Every connected client, ordered by id.
    pub fn list(&self) -> Vec<Arc<Client>> {
        self.connected().values().cloned().collect()
    }

    fn connected(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Client>>> {
        self.connected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_survives_its_packing() {
        for queued in [None, Some(0), Some(5)] {
            let shown =
                Shown { resp3: true, no_evict: false, no_touch: true, monitors: false, queued, watched: 7 };
            assert_eq!(Shown::from_word(shown.to_word()), shown);
        }
    }
}

//! Who is connected: what CLIENT LIST shows of each client, and their number.

use crate::concurrent::counter::{Latest, NextId};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What others may see of a client. Its session alone writes it.
#[derive(Debug)]
pub struct Client {
    /// Unique in this run of the server, growing.
    pub id: u64,
    /// The client's address.
    pub peer: SocketAddr,
    /// The server's address it connected to.
    pub local: SocketAddr,
    /// When it connected: Unix time in milliseconds.
    pub connected_ms: u64,
    labels: Mutex<Labels>,
    last: Last,
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

/// What a session leaves for CLIENT LIST at each command. Each word is read for itself.
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
            | u64::from(self.watched.min(u32::MAX >> 4)) << 2
            | queued << 32
    }

    fn from_word(word: u64) -> Shown {
        Shown {
            resp3: word & 1 != 0,
            no_evict: word & 2 != 0,
            watched: (word as u32) >> 2,
            queued: (word >> 32).checked_sub(1).map(|queued| queued as u32),
        }
    }
}

impl Client {
    /// What the client says of itself.
    pub fn labels(&self) -> MutexGuard<'_, Labels> {
        self.labels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a command by its row's number and the time it ran, in Unix milliseconds. Two plain stores.
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

    /// What others see of the session's state.
    pub fn shown(&self) -> Shown {
        // ORDERING: Relaxed; the word stands for itself.
        Shown::from_word(self.last.state.get())
    }
}

/// The connected clients by id.
///
/// The mutex is taken when a client comes or goes and to collect references for CLIENT LIST; no reply is
/// formatted and nothing is waited for under it.
#[derive(Debug, Default)]
pub struct ClientRegistry {
    ids: NextId,
    connected: Mutex<BTreeMap<u64, Arc<Client>>>,
}

impl ClientRegistry {
    /// Adds a client that connects now, in Unix milliseconds.
    pub fn register(&self, peer: SocketAddr, local: SocketAddr, now_ms: u64) -> Arc<Client> {
        let client = Arc::new(Client {
            id: self.ids.next(),
            peer,
            local,
            connected_ms: now_ms,
            labels: Mutex::default(),
            last: Last { active_ms: Latest::new(now_ms), ..Last::default() },
        });
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
            let shown = Shown { resp3: true, no_evict: false, queued, watched: 7 };
            assert_eq!(Shown::from_word(shown.to_word()), shown);
        }
    }
}

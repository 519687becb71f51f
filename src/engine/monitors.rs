//! The clients that run MONITOR. Without any, a command pays one load for them.

use super::Engine;
use super::clients::Client;
use super::mail::Mail;
use crate::concurrent::counters::counter::Latest;
use crate::concurrent::mail::hub::Members;
use arc_swap::ArcSwap;
use std::sync::{Arc, Mutex, PoisonError};

/// The clients that see every command.
#[derive(Debug, Default)]
pub struct Monitors {
    members: ArcSwap<Members<Client>>,
    /// Their number, for the hot path.
    count: Latest,
    /// Held to change the two together.
    changing: Mutex<()>,
}

impl Monitors {
    /// True if some client runs MONITOR. One load.
    #[inline]
    pub fn is_active(&self) -> bool {
        self.count.get() > 0
    }

    /// Shows every command to a client from now on.
    pub fn add(&self, client: &Arc<Client>) {
        self.change(|members| members.with(client));
    }

    /// Stops showing commands to the client of this id.
    pub fn remove(&self, id: u64) {
        self.change(|members| members.without(id));
    }

    fn change(&self, change: impl Fn(&Members<Client>) -> Option<Members<Client>>) {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(members) = change(&self.members.load()) {
            self.count.set(members.len() as u64);
            self.members.store(Arc::new(members));
        }
    }
}

impl Engine {
    /// Shows a line to everybody who runs MONITOR.
    pub fn show_to_monitors(&self, line: String) {
        let mail = Arc::new(Mail::Line(line));
        self.monitors.members.load().iter().for_each(|client| {
            self.post(client, &mail);
        });
    }
}

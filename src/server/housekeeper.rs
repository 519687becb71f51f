//! The thread that expires keys, reaps slots and frees memory, so that no client's command has to.

use super::Shared;
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Pause between two rounds when nothing is left to do.
const INTERVAL: Duration = Duration::from_millis(10);

/// Starts the thread; it ends with the server.
pub(super) fn spawn(shared: Arc<Shared>) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name("kvns-housekeeper".to_owned()).spawn(move || {
        while !shared.roster.is_stopping() {
            if shared.engine.keyspace.housekeep() {
                thread::yield_now();
            } else {
                thread::sleep(INTERVAL);
            }
        }
    })
}

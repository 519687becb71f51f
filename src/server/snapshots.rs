//! The thread that takes snapshots.

use super::Shared;
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

/// Lets workers that have something to do go before a snapshot; a tenth of a contended core is left to it.
const NICENESS: i32 = 10;

/// Starts the thread; [`Persistence::stop`](crate::engine::persistence::Persistence::stop) ends it.
pub(super) fn spawn(shared: Arc<Shared>) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name("kvns-snapshot".to_owned()).spawn(move || {
        super::lower_priority(NICENESS);
        shared.engine.take_snapshots();
    })
}

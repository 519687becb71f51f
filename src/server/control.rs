//! The thread that answers signals and probes, whatever the workers do.
//!
//! What runs here sets flags, wakes others and answers from what is at hand. It never pins, never renders, and takes no
//! lock that is held for longer than a few words.

use std::io;
use std::thread::{self, JoinHandle};
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// The thread. Dropping it ends what runs there.
#[derive(Debug)]
pub struct Control {
    handle: Handle,
    /// Dropped to end the thread.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Control {
    /// Starts the thread.
    ///
    /// # Errors
    /// The thread can't be started.
    pub fn start() -> io::Result<Control> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new().name("kvns-control".to_owned()).spawn(move || {
            let _ = runtime.block_on(stopped);
        })?;
        Ok(Control { handle, stop: Some(stop), thread: Some(thread) })
    }

    /// What runs tasks there.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // An error here is a panic of the thread, which the panic hook has logged.
            let _ = thread.join();
        }
    }
}

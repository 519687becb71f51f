//! The pages of figures: one is built at a time, on a thread of its own, and passed on in pieces as the scraper takes them.

use super::exposition::render;
use super::places::{Busy, Place, Places};
use crate::engine::Engine;
use crate::server::lower_priority;
use hyper::body::Bytes;
use std::io;
use std::ops::ControlFlow;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::mpsc as pieces;
use tokio::time::timeout;

/// Lets a worker that wakes up go before a scrape.
const NICENESS: i32 = 10;

/// How long a scraper may take for one piece, and for a whole page while others wait for theirs.
const PATIENCE: Duration = Duration::from_secs(10);

/// Pieces that wait for the scraper beside the one that it is sent.
const WAITING: usize = 1;

/// A piece of a page, or `None` for its end. A page that ends without was given up.
pub(super) type Piece = Option<Bytes>;

/// A page that somebody wants.
#[derive(Debug)]
struct Wanted {
    to: pieces::Sender<Piece>,
    /// Whose page it is: closed if it takes too long.
    scraper: Arc<Place>,
    places: Arc<Places>,
}

/// Where pages are ordered. The thread ends with the last of them.
#[derive(Clone, Debug)]
pub(super) struct Pages(mpsc::Sender<Wanted>);

impl Pages {
    /// Starts the thread that builds pages, on which `control` keeps the time.
    pub fn start(engine: Arc<Engine>, control: Handle) -> io::Result<(Pages, JoinHandle<()>)> {
        let (pages, wanted) = mpsc::channel::<Wanted>();
        let thread = thread::Builder::new().name("kvns-metrics".to_owned()).spawn(move || {
            lower_priority(NICENESS);
            for page in wanted {
                page.build(&engine, &control);
            }
        })?;
        Ok((Pages(pages), thread))
    }

    /// Orders a page for a scraper.
    pub fn order(&self, scraper: &Busy) -> pieces::Receiver<Piece> {
        let (to, page) = pieces::channel(WAITING);
        let (scraper, places) = (Arc::clone(&scraper.place), Arc::clone(&scraper.places));
        // Without the thread the page ends before its end.
        let _ = self.0.send(Wanted { to, scraper, places });
        page
    }
}

impl Wanted {
    fn build(self, engine: &Engine, control: &Handle) {
        let begun_us = engine.clock.monotonic_us();
        let pass = |piece: Piece| {
            let lasted_us = engine.clock.monotonic_us() - begun_us;
            let is_late = u128::from(lasted_us) > PATIENCE.as_micros() && self.places.has_waiting();
            if !is_late || piece.is_none() {
                match control.block_on(async { timeout(PATIENCE, self.to.send(piece)).await }) {
                    Ok(Ok(())) => return ControlFlow::Continue(()),
                    // It has left.
                    Ok(Err(_)) => return ControlFlow::Break(()),
                    Err(_) => {}
                }
            }
            tracing::debug!("gave up a page of figures that is not read");
            self.scraper.close();
            ControlFlow::Break(())
        };
        if render(engine, |text| pass(Some(Bytes::from(text)))).is_continue() {
            let _ = pass(None);
        }
    }
}

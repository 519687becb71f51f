//! The places for connections, of which some are kept from scrapers, and who gives way when all are taken.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// What a connection does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It has no whole request.
    Silent,
    /// It is answered.
    Busy,
    /// It gets the figures.
    Scraping,
}

/// The places. Those that are silent are in the order in which they fell silent.
#[derive(Debug)]
pub(super) struct Places {
    most: usize,
    taken: Mutex<Vec<(Arc<Place>, State)>>,
}

/// One connection's place.
#[derive(Debug, Default)]
pub(super) struct Place {
    /// Tells the connection that it is closed.
    closed: Notify,
}

impl Place {
    /// Closes the connection.
    pub fn close(&self) {
        self.closed.notify_one();
    }

    /// Returns when the connection is to close. For one waiter.
    pub async fn closed(&self) {
        self.closed.notified().await;
    }
}

impl Places {
    /// So many places.
    pub fn new(most: usize) -> Arc<Places> {
        Arc::new(Places { most, taken: Mutex::default() })
    }

    fn taken(&self) -> MutexGuard<'_, Vec<(Arc<Place>, State)>> {
        // Each change is whole before anything can panic.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a new connection; where all are taken, that of the one that has been silent for longest. `None` if none is.
    pub fn enter(self: &Arc<Self>) -> Option<Seat> {
        let mut taken = self.taken();
        if taken.len() >= self.most {
            let silent = taken.iter().position(|(_, state)| *state == State::Silent)?;
            taken.remove(silent).0.close();
        }
        let place = Arc::<Place>::default();
        taken.push((Arc::clone(&place), State::Silent));
        Some(Seat { places: Arc::clone(self), place })
    }

    /// True if somebody scrapes beside the one who is answered.
    pub fn has_waiting(&self) -> bool {
        scrapers(&self.taken()) > 1
    }

    /// Puts a connection behind the others, in another state.
    fn change(&self, place: &Arc<Place>, state: State) {
        let mut taken = self.taken();
        // One that has given way is not there any more.
        if let Some(found) = taken.iter().position(|(other, _)| Arc::ptr_eq(other, place)) {
            let entry = taken.remove(found);
            taken.push((entry.0, state));
        }
    }
}

fn scrapers(taken: &[(Arc<Place>, State)]) -> usize {
    taken.iter().filter(|(_, state)| *state == State::Scraping).count()
}

/// A connection's hold on its place; dropping it leaves.
#[derive(Debug)]
pub(super) struct Seat {
    places: Arc<Places>,
    pub place: Arc<Place>,
}

impl Seat {
    /// The connection is answered until what is returned is dropped.
    pub fn answer(&self) -> Busy {
        self.places.change(&self.place, State::Busy);
        Busy { places: Arc::clone(&self.places), place: Arc::clone(&self.place) }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.places.taken().retain(|(place, _)| !Arc::ptr_eq(place, &self.place));
    }
}

/// A connection that is answered; dropping this makes it a silent one.
#[derive(Debug)]
pub(super) struct Busy {
    pub places: Arc<Places>,
    pub place: Arc<Place>,
}

impl Busy {
    /// Lets it get the figures, unless half of the places are taken for that.
    pub fn scrape(&self) -> bool {
        let may_scrape = scrapers(&self.places.taken()) < self.places.most / 2;
        if may_scrape {
            self.places.change(&self.place, State::Scraping);
        }
        may_scrape
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.places.change(&self.place, State::Silent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_there(places: &Places, seat: &Seat) -> bool {
        places.taken().iter().any(|(place, _)| Arc::ptr_eq(place, &seat.place))
    }

    #[test]
    fn who_has_been_silent_for_longest_makes_room() {
        let places = Places::new(2);
        let (first, second) = (places.enter().expect("a place"), places.enter().expect("a place"));
        drop(first.answer());
        let third = places.enter().expect("the place of the second, who has never asked");
        assert!(is_there(&places, &first) && !is_there(&places, &second) && is_there(&places, &third));
        let _busy = (first.answer(), third.answer());
        assert!(places.enter().is_none(), "nobody is silent");
        drop(first);
        assert!(places.enter().is_some());
    }

    #[test]
    fn scrapers_take_half_of_the_places() {
        let places = Places::new(4);
        let seats: Vec<Seat> = (0..4).map(|_| places.enter().expect("a place")).collect();
        let busy: Vec<Busy> = seats.iter().map(Seat::answer).collect();
        let scrape: Vec<bool> = busy.iter().map(Busy::scrape).collect();
        assert_eq!(scrape, [true, true, false, false]);
        assert!(places.has_waiting());
        drop(busy);
        assert!(!places.has_waiting() && seats[3].answer().scrape());
    }
}

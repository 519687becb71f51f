//! The background freer: what is too large to be freed where its grace period ends.
//!
//! A callback of a grace period runs on whatever thread helps reclamation along, maybe between two commands. So what is
//! large is queued here, and the housekeeper frees it piece by piece.

use crate::concurrent::counters::counter::Tally;
use crossbeam_queue::SegQueue;

/// Frees up to so many objects of a structure that nobody reads any more. True when none are left.
type Step = Box<dyn FnMut(usize) -> bool + Send>;

/// Garbage that waits to be freed.
static WAITING: SegQueue<Step> = SegQueue::new();

/// Structures that are in [`WAITING`], or were taken out of it to free some more of them.
static UNFREED: Tally = Tally::new();

/// Queues a structure that nobody reads any more: `step` frees up to so many objects, and is true when none are left.
pub(in crate::concurrent) fn free_later(step: impl FnMut(usize) -> bool + Send + 'static) {
    UNFREED.add(1);
    WAITING.push(Box::new(step));
}

/// Frees up to `objects` objects of large structures that nobody reads any more. True if more are waiting.
pub fn free_some(objects: usize) -> bool {
    let Some(mut step) = WAITING.pop() else { return false };
    if step(objects) {
        UNFREED.add(-1);
    } else {
        WAITING.push(step);
    }
    !WAITING.is_empty()
}

/// True while large structures that nobody reads any more are not freed yet.
pub fn is_freeing() -> bool {
    UNFREED.get() > 0
}

//! Why a request cannot go on now. The layer that finds out says so, and the connection waits.

/// What a request waits for. It has replied nothing, lets go of its batch, and runs again from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// A turn of the others: a slice is over, and the work goes on where it was.
    Turn,
    /// Nothing: a step of long work is done, and the next one runs where it holds nobody up.
    Step,
    /// The end of a transaction of others that runs alone.
    Exclusive,
    /// The exclusive right for itself: the transaction kept losing.
    Alone,
    /// Room for what it adds.
    Room,
    /// A place among those who do long work.
    LongWork,
    /// The end of CLIENT PAUSE.
    Pause,
    /// The end of the snapshot of this number.
    Snapshot(u64),
}

/// What a connection knows of its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It may send more.
    There,
    /// It has closed its sending half, and may still read.
    HalfClosed,
    /// The connection is broken.
    Gone,
}

/// The client of whoever works, for long work to ask whether it is still there.
pub trait Peer: std::fmt::Debug {
    /// What is known of it now. One system call.
    fn presence(&self) -> Presence;
}

//! The one door to entries.
//!
//! A handler sees a [`View`]: direct (each update is one compare-and-swap) or inside a transaction (updates
//! are buffered and commit together). Handlers do not know which.

mod key;

use crate::value::string::Str;
use bytes::Bytes;
pub use key::Key;
use std::marker::PhantomData;

/// Why an operation on the keyspace did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyspaceError {
    /// The key holds a value of another type.
    WrongType,
    /// The command must stop, let go of its batch, and be run again from its start.
    Contention(Contention),
}

/// What to wait for before a command is run again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contention {
    /// Another transaction runs alone: wait until [`Keyspace::is_reserved`] is false.
    Reserved,
    /// This transaction kept losing: take a [`Keyspace::reserve`] and run inside [`Keyspace::enter_alone`].
    RunAlone,
}

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A string, whatever its representation.
    String,
}

/// A value that no one else can see yet, with its deadline: what an update puts in place.
#[derive(Debug)]
pub struct Draft(());

impl Draft {
    /// A string of these bytes; canonical decimal integers are kept as integers. One allocation.
    pub fn string(_bytes: &[u8]) -> Draft {
        todo!()
    }
    /// A string of these parts, one after the other, never kept as an integer.
    pub fn concat(_parts: &[&[u8]]) -> Draft {
        todo!()
    }
    /// An integer string.
    pub fn integer(_value: i64) -> Draft {
        todo!()
    }
    /// A string that shares `bytes`.
    pub fn shared(_bytes: Bytes) -> Draft {
        todo!()
    }
    /// A copy of an entry's value and deadline, for RENAME, COPY and changes of the deadline alone.
    pub fn copy_of(_entry: &Entry<'_>) -> Draft {
        todo!()
    }
    /// Sets the deadline: Unix time in milliseconds, or none. A draft starts without one.
    pub fn with_deadline(self, _deadline_ms: Option<u64>) -> Draft {
        todo!()
    }
}

/// What an update does to its key.
#[derive(Debug)]
pub enum Change {
    /// Leaves the entry as it is; no version changes.
    Keep,
    /// Puts this value and deadline in place of whatever is there.
    Put(Draft),
    /// Removes the entry, if there is one.
    Remove,
}

/// A live entry as one version saw it; immutable.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'g>(PhantomData<&'g ()>);

impl<'g> Entry<'g> {
    /// The type of the value.
    pub fn kind(&self) -> Kind {
        todo!()
    }
    /// The value, if it is a string.
    pub fn string(&self) -> Result<Str<'g>, KeyspaceError> {
        todo!()
    }
    /// When the entry expires: Unix time in milliseconds.
    pub fn deadline_ms(&self) -> Option<u64> {
        todo!()
    }
    /// Bytes the allocator holds for this entry: name, slot, index and value.
    pub fn footprint(&self) -> usize {
        todo!()
    }
    /// Seconds since the entry was last read or written.
    pub fn idle_seconds(&self) -> u64 {
        todo!()
    }
    /// The aged access counter, 0 to 255.
    pub fn frequency(&self) -> u8 {
        todo!()
    }
}

/// Every key of every namespace.
#[derive(Debug)]
pub struct Keyspace(());

impl Keyspace {
    /// Pins this thread for a batch of commands. Not to be held across any wait.
    pub fn enter(&self) -> Batch<'_> {
        todo!()
    }
    /// Like [`Keyspace::enter`], for the transaction that holds the reservation.
    pub fn enter_alone<'k>(&'k self, _reservation: &'k Reservation<'_>) -> Batch<'k> {
        todo!()
    }
    /// True while some transaction runs alone; every write of others answers [`Contention::Reserved`].
    pub fn is_reserved(&self) -> bool {
        todo!()
    }
    /// Takes the process-wide reservation, or `None` while another holds it. Dropping it gives it back.
    pub fn reserve(&self) -> Option<Reservation<'_>> {
        todo!()
    }
}

/// The right to run alone, once the attempts in flight have ended.
#[derive(Debug)]
pub struct Reservation<'k>(PhantomData<&'k ()>);

impl Reservation<'_> {
    /// True once every attempt that began before the reservation has ended. To be polled, not pinned.
    pub fn is_ready(&self) -> bool {
        todo!()
    }
}

/// One pin of this thread over a batch of commands. Not `Send`.
#[derive(Debug)]
pub struct Batch<'k>(PhantomData<(&'k (), *const ())>);

impl Batch<'_> {
    /// A direct view for one command.
    pub fn view(&mut self) -> View<'_> {
        todo!()
    }
    /// Brings a key's index node, slot and version into the cache: a hint, nothing more.
    pub fn prefetch(&self, _key: Key<'_>) {
        todo!()
    }
    /// To be called between two commands: renews the pin and the time when that is due.
    pub fn between_commands(&mut self) {
        todo!()
    }
}

/// A watched key: which slot, and the change it was at.
#[derive(Debug)]
pub struct Watch(());

/// What a command may do to the keyspace.
#[derive(Debug)]
pub struct View<'g>(PhantomData<&'g ()>);

impl<'g> View<'g> {
    /// Unix time in milliseconds; one value for the whole command.
    pub fn now_ms(&self) -> u64 {
        todo!()
    }

    /// Reads an entry for its value: counts a hit or a miss and touches the access clock.
    pub fn read(&mut self, _key: Key<'_>) -> Result<Option<Entry<'g>>, KeyspaceError> {
        todo!()
    }

    /// Reads an entry for what is said about it (TYPE, TTL, OBJECT): touches nothing.
    pub fn peek(&mut self, _key: Key<'_>) -> Result<Option<Entry<'g>>, KeyspaceError> {
        todo!()
    }

    /// Changes one entry atomically. `change` is pure and may run more than once; it sees the present
    /// entry, or `None`. Returns what its last run returned.
    pub fn update<R, E: From<KeyspaceError>>(
        &mut self,
        _key: Key<'_>,
        _change: impl FnMut(Option<Entry<'g>>) -> Result<(Change, R), E>,
    ) -> Result<R, E> {
        todo!()
    }

    /// Runs `body` so that everything it reads and writes happens at one instant. `body` is pure and may
    /// run more than once. Inside a transaction it just runs.
    pub fn transact<R, E: From<KeyspaceError>>(
        &mut self,
        _body: impl FnMut(&mut View<'g>) -> Result<R, E>,
    ) -> Result<R, E> {
        todo!()
    }

    /// Visits entries from `cursor` on until about `budget` entries were looked at; only those of
    /// `namespace`, if one is given. Returns the next cursor, 0 at the end.
    pub fn scan(
        &mut self,
        _cursor: u64,
        _budget: usize,
        _namespace: Option<&[u8]>,
        _visit: impl FnMut(&[u8], Entry<'g>),
    ) -> Result<u64, KeyspaceError> {
        todo!()
    }

    /// The name of a uniformly random entry.
    pub fn random(&mut self) -> Result<Option<&'g [u8]>, KeyspaceError> {
        todo!()
    }

    /// The number of keys. O(1).
    pub fn len(&self) -> u64 {
        todo!()
    }

    /// True if there are no keys.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Removes every key at one instant. O(1); the memory is freed in the background.
    pub fn flush(&mut self) -> Result<(), KeyspaceError> {
        todo!()
    }

    /// Remembers the key as it is now.
    pub fn watch(&mut self, _key: Key<'_>) -> Result<Watch, KeyspaceError> {
        todo!()
    }

    /// Forgets a watch. Every watch is to be given back here.
    pub fn unwatch(&mut self, _watch: Watch) {
        todo!()
    }

    /// Inside `transact`: false if a watched key has changed since; if true, the transaction commits only
    /// if that is still so at its commit.
    pub fn is_unchanged(&mut self, _watch: &Watch) -> Result<bool, KeyspaceError> {
        todo!()
    }
}

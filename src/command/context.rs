//! The context of a running command, and its outcome for the connection.

use crate::engine::Engine;
use crate::engine::wanted::Wanted;
use crate::keyspace::View;
use crate::resp::ReplyWriter;
use crate::session::Session;
use crate::wait::Wait;

/// What becomes of a connection after a request: its handler says so, the gate passes it on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Goes on to the next request.
    Continue,
    /// Closes once the replies so far are sent.
    Close,
    /// Lets go of its batch, waits for so many microseconds, and goes on to the next request.
    Sleep(u64),
    /// Shuts the server down, without a reply.
    Shutdown,
    /// Lets go of its batch, waits, and dispatches the same request again: it has replied nothing.
    Wait(Wait),
}

impl Outcome {
    /// True if the request is to be dispatched again.
    pub fn waits(self) -> bool {
        matches!(self, Outcome::Wait(_))
    }
}

/// One running command: the engine, its session, its view of the keyspace and its reply.
#[derive(Debug)]
pub struct Context<'a, 'g> {
    /// Everything but sockets.
    pub engine: &'a Engine,
    /// The client that sent the command.
    pub session: &'a mut Session,
    /// The keyspace: direct, or inside a transaction; handlers do not know which.
    pub view: &'a mut View<'g>,
    /// Where the reply goes. Nothing may fail after its first byte.
    pub reply: &'a mut ReplyWriter,
    /// The command's full name.
    pub name: &'static str,
    /// What becomes of the connection; [`Outcome::Continue`] unless the handler says otherwise.
    pub outcome: Outcome,
}

impl<'a> Context<'a, '_> {
    /// For long work, to ask between its steps whether it is still wanted.
    pub fn wanted(&self) -> Wanted<'a> {
        self.engine.wanted(self.session.client(), self.view.peer())
    }

    /// How long a command may make a string, in bytes: as long as one that a client could send.
    pub fn string_limit(&self) -> usize {
        self.engine.settings.load().limits.bulk_len
    }
}

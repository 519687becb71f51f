//! What a handler may touch.

use super::spec::CommandSpec;
use crate::engine::Engine;
use crate::keyspace::View;
use crate::resp::ReplyWriter;
use crate::session::Session;

/// What the gate does after the handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Goes on to the next request.
    Continue,
    /// Closes the connection once the replies are sent.
    Close,
    /// Runs the session's queue.
    Execute,
    /// Lets go of the batch and waits for so many microseconds.
    Sleep(u64),
    /// Shuts the server down, without a reply.
    Shutdown,
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
    /// The command's row.
    pub spec: &'static CommandSpec,
    /// What the gate does after the handler; [`Next::Continue`] unless the handler says otherwise.
    pub next: Next,
}

impl Context<'_, '_> {
    /// How long a command may make a string, in bytes: as long as one that a client could send.
    pub fn string_limit(&self) -> usize {
        self.engine.settings.load().limits.bulk_len
    }
}

//! The context of a running command, and its outcome for the connection.

use super::error::CommandError;
use crate::engine::Engine;
use crate::engine::wanted::{Looks, Wanted};
use crate::keyspace::View;
use crate::resp::ReplyWriter;
use crate::session::Session;
use crate::wait::Wait;
use std::any::Any;

/// The effect of a request on its connection: the handler sets it, the gate passes it on.
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
    /// The effect on the connection; [`Outcome::Continue`] unless the handler sets another.
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

    /// Does long work in steps and returns what came of it. `step` is called until it is true; between two steps
    /// nothing is pinned and the client may leave, but for a transaction, which goes through them where it holds nobody
    /// up. To be called before anything else was changed, or replied, and with the same arguments each time.
    ///
    /// # Errors
    /// Those of `step`; [`Wait::Step`] between two steps; that the work is no longer wanted.
    pub fn in_steps<P: Any + Default + Send + Sync>(
        &mut self,
        step: impl FnMut(&mut Self, &mut P) -> Result<bool, CommandError>,
    ) -> Result<P, CommandError> {
        self.in_steps_while(self.wanted(), step)
    }

    /// The same for work with effects, which its client wants even if it does not wait for the reply.
    ///
    /// # Errors
    /// As [`Context::in_steps`].
    pub fn in_steps_to_the_end<P: Any + Default + Send + Sync>(
        &mut self,
        step: impl FnMut(&mut Self, &mut P) -> Result<bool, CommandError>,
    ) -> Result<P, CommandError> {
        self.in_steps_while(self.engine.wanted(self.session.client(), None), step)
    }

    fn in_steps_while<P: Any + Default + Send + Sync>(
        &mut self,
        mut wanted: Wanted<'a>,
        mut step: impl FnMut(&mut Self, &mut P) -> Result<bool, CommandError>,
    ) -> Result<P, CommandError> {
        let (mut progress, looks) = self.session.take_progress::<(P, Looks)>();
        wanted.looks = looks;
        let wait = match step(self, &mut progress) {
            Ok(true) => return Ok(progress),
            Ok(false) if self.session.is_executing() => {
                let engine = self.engine;
                engine.run_long(|| {
                    while !step(self, &mut progress)? {
                        wanted.ask()?;
                    }
                    Ok::<_, CommandError>(())
                })?;
                return Ok(progress);
            }
            Ok(false) => {
                wanted.ask()?;
                CommandError::Wait(Wait::Step)
            }
            Err(wait @ CommandError::Wait(_)) if !self.session.is_executing() => wait,
            Err(error) => return Err(error),
        };
        self.session.progress = Some(Box::new((progress, wanted.looks)));
        Err(wait)
    }

    /// Lets `work` be done without a pin, where it holds nobody up; then the command is run again and finds what it made
    /// by [`Session::take_made`]. The answer is for the handler to return.
    pub fn do_unpinned<P: Any + Send + Sync>(
        &mut self,
        work: impl FnOnce() -> P + Send + Sync + 'static,
    ) -> CommandError {
        self.session.set_work(move || Box::new(work()));
        CommandError::Wait(Wait::Step)
    }
}

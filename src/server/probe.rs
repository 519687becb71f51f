//! Whether the workers answer: a PING passes the gate as a client's would.

use crate::command::context::Outcome;
use crate::command::dispatch::dispatch;
use crate::command::resolve::Command;
use crate::engine::Engine;
use crate::resp::{OwnedRequest, ReplyWriter};
use crate::session::Session;
use bytes::Buf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::timeout;

/// How long the workers may take.
const PATIENCE: Duration = Duration::from_millis(100);

/// Sends one PING at a time to the workers. Who asks meanwhile waits for the reply to that one.
#[derive(Debug)]
pub struct Probe {
    engine: Arc<Engine>,
    workers: Handle,
    /// The number of the last PING that was sent.
    sent: Mutex<u64>,
    answered: watch::Sender<Answer>,
}

/// What became of a PING.
#[derive(Clone, Copy, Debug, Default)]
struct Answer {
    number: u64,
    is_pong: bool,
}

impl Probe {
    pub(super) fn new(engine: Arc<Engine>, workers: Handle) -> Probe {
        Probe { engine, workers, sent: Mutex::default(), answered: watch::Sender::default() }
    }

    /// True if the workers answer within a tenth of a second.
    pub async fn is_answered(self: &Arc<Self>) -> bool {
        let mut answered = self.answered.subscribe();
        let number = self.send();
        let answer = timeout(PATIENCE, answered.wait_for(|answer| answer.number >= number)).await;
        matches!(answer, Ok(Ok(answer)) if answer.is_pong)
    }

    /// Sends a PING unless one is on its way. Returns its number.
    fn send(self: &Arc<Self>) -> u64 {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        if self.answered.borrow().number == *sent {
            *sent += 1;
            let (probe, number) = (Arc::clone(self), *sent);
            self.workers.spawn(async move {
                let is_pong = probe.ping();
                probe.answered.send_replace(Answer { number, is_pong });
            });
        }
        *sent
    }

    fn ping(&self) -> bool {
        let engine = &*self.engine;
        let mut session = Session::internal(&self.engine);
        let mut reply = ReplyWriter::new();
        let request = OwnedRequest::from_args([&b"PING"[..]]);
        let command = Command::resolve(engine, request.as_request());
        let outcome = dispatch(engine, &mut session, &mut engine.keyspace.enter(), &command, &mut reply);
        outcome == Outcome::Continue && reply.chunk() == b"+PONG\r\n"
    }
}

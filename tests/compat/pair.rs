//! kvns and redis-server side by side: the same commands to both, replies compared as bytes.

use crate::departures;
use crate::support::resp::{printable, printable_command};
use crate::support::{Client, Command, RedisPeer, Server, Value};

/// The two servers.
pub struct Pair {
    pub ours: Server,
    pub theirs: RedisPeer,
}

impl Pair {
    /// Starts both; `None` if redis-server is missing and may be.
    pub fn start() -> Option<Pair> {
        let theirs = RedisPeer::start()?;
        Some(Pair { ours: Server::start(), theirs })
    }

    /// Empties both.
    pub fn flush(&self) {
        for client in [&mut self.ours.client(), &mut self.theirs.client()] {
            assert_eq!(client.run("FLUSHALL"), Value::ok());
        }
    }

    /// A connection to each.
    pub fn link(&self) -> Link {
        Link { ours: self.ours.client(), theirs: self.theirs.client(), queued: Vec::new() }
    }
}

/// A connection to each of the two servers, driven alike.
pub struct Link {
    ours: Client,
    theirs: Client,
    /// Commands that were answered with QUEUED, to compare the replies of EXEC one by one.
    queued: Vec<Command>,
}

/// Where the two servers differ.
#[derive(Clone, Debug)]
pub struct Difference {
    /// Position of the command among those that were sent.
    pub index: usize,
    pub command: Command,
    pub ours: Vec<u8>,
    pub theirs: Vec<u8>,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (command, ours) = (printable_command(&self.command), printable(&self.ours));
        write!(f, "{command}\n  kvns:  {ours}\n  redis: {}", printable(&self.theirs))
    }
}

impl Link {
    /// Sends commands to both, pipelined, and compares every reply.
    pub fn compare(&mut self, commands: &[Command]) -> Result<(), Difference> {
        let ours = self.ours.pipeline_raw(commands);
        let theirs = self.theirs.pipeline_raw(commands);
        self.compare_replies(commands, ours, theirs)
    }

    /// Sends one inline line to both and compares the reply to what `command` may answer.
    pub fn compare_inline(&mut self, line: &str, command: &Command) -> Result<(), Difference> {
        let bytes = format!("{line}\r\n").into_bytes();
        let (ours, theirs) = (self.ours.exchange(&bytes, 1), self.theirs.exchange(&bytes, 1));
        self.compare_replies(std::slice::from_ref(command), ours, theirs)
    }

    fn compare_replies(
        &mut self,
        commands: &[Command],
        ours: Vec<(Value, Vec<u8>)>,
        theirs: Vec<(Value, Vec<u8>)>,
    ) -> Result<(), Difference> {
        let mut found = Ok(());
        for (index, (command, ((our, our_raw), (their, their_raw)))) in
            commands.iter().zip(ours.into_iter().zip(theirs)).enumerate()
        {
            if our_raw != their_raw && found.is_ok() && !self.may_differ(command, &our, &their) {
                let command = command.clone();
                found = Err(Difference { index, command, ours: our_raw, theirs: their_raw });
            }
            self.follow_transaction(command, &their);
        }
        found
    }

    fn may_differ(&self, command: &Command, ours: &Value, theirs: &Value) -> bool {
        let is_exec = command[0].eq_ignore_ascii_case(b"EXEC");
        match (ours, theirs) {
            (Value::Array(ours), Value::Array(theirs)) if is_exec && ours.len() == theirs.len() => {
                let pairs = self.queued.iter().zip(ours.iter().zip(theirs));
                pairs.into_iter().all(|(queued, (our, their))| departures::allow(queued, our, their))
            }
            _ => departures::allow(command, ours, theirs),
        }
    }

    fn follow_transaction(&mut self, command: &Command, reply: &Value) {
        if *reply == Value::simple("QUEUED") {
            self.queued.push(command.clone());
        } else if !reply.is_error() || command[0].eq_ignore_ascii_case(b"EXEC") {
            self.queued.clear();
        }
    }

    /// Lets both sides read the end of the stream and returns what came before it.
    pub fn drain(mut self, bytes: &[u8], half_close: bool) -> (Vec<u8>, Vec<u8>) {
        let end = |client: &mut Client| {
            client.send_raw(bytes);
            if half_close {
                client.finish_sending();
            }
            client.receive_to_end()
        };
        (end(&mut self.ours), end(&mut self.theirs))
    }
}

//! An engine on a manual clock, and clients that talk to its gate.

use bytes::Buf;
use kvns::clock::Clock;
use kvns::command::context::Outcome;
use kvns::command::dispatch::{dispatch, dispatch_run};
use kvns::command::resolve::{Command, prefetch, run_length};
use kvns::config::Settings;
use kvns::engine::Engine;
use kvns::resp::{OwnedRequest, Protocol, ReplyWriter};
use kvns::session::Session;
use kvns::wait::Wait;
use std::net::SocketAddr;
use std::sync::Arc;

/// When every test starts: Unix time in milliseconds.
pub const START_MS: u64 = 1_700_000_000_000;

/// An engine; its invariants are checked at the end of the test.
pub struct Server {
    pub engine: Arc<Engine>,
    pub clock: Clock,
}

impl Server {
    pub fn new() -> Server {
        Server::with(Settings::default())
    }

    pub fn with(settings: Settings) -> Server {
        let clock = Clock::manual(START_MS);
        Server { engine: Arc::new(Engine::new(settings, clock.clone())), clock }
    }

    /// A client that speaks RESP2.
    pub fn client(&self) -> Client {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let session = Session::new(&self.engine, address(50_000), address(6480));
        Client { engine: Arc::clone(&self.engine), session, reply: ReplyWriter::new(), steps: 0 }
    }

    /// A client that speaks RESP3.
    pub fn client3(&self) -> Client {
        let mut client = self.client();
        client.session.preferences.protocol = Protocol::Resp3;
        client.reply.set_protocol(Protocol::Resp3);
        client
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.engine.keyspace.check_invariants().expect("the keyspace's invariants hold");
        }
    }
}

/// A connected client.
pub struct Client {
    engine: Arc<Engine>,
    pub session: Session,
    pub reply: ReplyWriter,
    /// Steps of long work that another one followed.
    pub steps: usize,
}

impl Client {
    /// Sends arguments and returns the reply's bytes and what the connection does next.
    pub fn dispatch(&mut self, args: &[&[u8]]) -> (Vec<u8>, Outcome) {
        self.dispatch_with(args, || {})
    }

    /// The same; `meanwhile` runs after each step of long work that another one follows.
    pub fn dispatch_with(&mut self, args: &[&[u8]], mut meanwhile: impl FnMut()) -> (Vec<u8>, Outcome) {
        let request = OwnedRequest::from_args(args.iter().copied());
        let mut alone = false;
        let outcome = loop {
            self.session.work();
            let keyspace = &self.engine.keyspace;
            let exclusive =
                alone.then(|| std::iter::from_fn(|| Some(keyspace.take_exclusive())).flatten().next());
            let exclusive = exclusive.flatten();
            let mut batch = match &exclusive {
                Some(exclusive) => {
                    while !exclusive.is_ready() {
                        std::thread::yield_now();
                    }
                    keyspace.enter_exclusive(exclusive)
                }
                None => keyspace.enter(),
            };
            let command = Command::resolve(&self.engine, request.as_request());
            prefetch(&self.engine, &batch, std::slice::from_ref(&command));
            self.session.begin_turn();
            let outcome = dispatch(&self.engine, &mut self.session, &mut batch, &command, &mut self.reply);
            drop(batch);
            match outcome {
                Outcome::Wait(wait) => {
                    assert_eq!(self.reply.pending(), 0, "a command that has to wait replies nothing");
                    if matches!(wait, Wait::LongWork | Wait::Pause | Wait::Snapshot(_)) {
                        break outcome;
                    }
                    alone = wait == Wait::Alone;
                    if wait == Wait::Step {
                        self.steps += 1;
                        meanwhile();
                    }
                    while wait == Wait::Room && !self.session.make_room().is_over() {}
                    std::thread::yield_now();
                }
                other => break other,
            }
        };
        let reply = self.reply.copy_to_bytes(self.reply.remaining()).to_vec();
        self.reply.clear();
        (reply, outcome)
    }

    /// What others sent to this client since it last looked, in the form of [`Client::run`].
    pub fn mail(&mut self) -> String {
        self.session.deliver(&mut self.reply);
        let mail = self.reply.copy_to_bytes(self.reply.remaining()).to_vec();
        let mail = String::from_utf8(mail).expect("mail of text").replace("\r\n", "\n");
        mail.strip_suffix('\n').unwrap_or(&mail).to_owned()
    }

    /// Sends arguments and returns the reply's bytes.
    pub fn send(&mut self, args: &[&[u8]]) -> Vec<u8> {
        self.dispatch(args).0
    }

    /// Sends a line, with double quotes around arguments that are empty or have spaces, and returns the reply
    /// with `\n` for the line end and without the last one.
    pub fn run(&mut self, line: &str) -> String {
        let args = split(line);
        let args: Vec<&[u8]> = args.iter().map(String::as_bytes).collect();
        let reply = String::from_utf8(self.send(&args)).expect("a reply of text");
        let reply = reply.replace("\r\n", "\n");
        reply.strip_suffix('\n').unwrap_or(&reply).to_owned()
    }

    /// Sends a line and compares its reply.
    #[track_caller]
    pub fn check(&mut self, line: &str, expected: &str) {
        assert_eq!(self.run(line), expected, "{line}");
    }

    /// Sends lines of one key as one run. Returns how many of them ran, and their replies.
    pub fn run_together(&mut self, lines: &[&str]) -> (usize, Vec<u8>) {
        let owned = |line: &&str| OwnedRequest::from_args(split(line).iter().map(String::as_bytes));
        let requests: Vec<OwnedRequest> = lines.iter().map(owned).collect();
        let requests = requests.iter().map(OwnedRequest::as_request);
        let commands: Vec<_> = requests.map(|request| Command::resolve(&self.engine, request)).collect();
        assert_eq!(run_length(&self.engine, &commands), lines.len(), "they go together");
        let mut batch = self.engine.keyspace.enter();
        let ran = dispatch_run(&self.engine, &mut self.session, &mut batch, &commands, &mut self.reply);
        drop(batch);
        let reply = self.reply.copy_to_bytes(self.reply.remaining()).to_vec();
        self.reply.clear();
        (ran, reply)
    }

    /// Sends lines and compares their replies.
    #[track_caller]
    pub fn check_all(&mut self, exchanges: &[(&str, &str)]) {
        for (line, expected) in exchanges {
            self.check(line, expected);
        }
    }
}

fn split(line: &str) -> Vec<String> {
    let mut args = Vec::new();
    for (nth, part) in line.split('"').enumerate() {
        if nth % 2 == 1 {
            args.push(part.to_owned());
        } else {
            args.extend(part.split_ascii_whitespace().map(str::to_owned));
        }
    }
    args
}

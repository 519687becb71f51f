//! Commands under arbitrary bytes: shared by the fuzz target and the smoke test.
//!
//! An input is a few bytes of control, which repeat, and a stream of requests. The control of a request says which
//! of two clients sends it, and what happens after it: nothing, the passing of time, or a round of housekeeping.

#[path = "reply_checker.rs"]
mod reply_checker;

use bytes::Buf;
use kvns::clock::Clock;
use kvns::command::context::Outcome;
use kvns::command::dispatch::dispatch;
use kvns::command::resolve::{Command, prefetch};
use kvns::config::Settings;
use kvns::engine::Engine;
use kvns::keyspace::Batch;
use kvns::resp::{Decoder, Protocol, ReplyWriter, Request};
use kvns::session::{ReplyMode, Session};
use kvns::wait::Wait;
use reply_checker::{Dialect, count_replies};
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};

/// Bytes of control in front of the stream.
pub const CONTROLS: usize = 8;

/// How long a string may become, so that an input costs little memory. Large enough for shared ones.
const STRING_LIMIT: usize = 64 << 10;

/// When every input starts: Unix time in milliseconds.
const START_MS: u64 = 1_700_000_000_000;

/// Steps of time, in milliseconds. Some of the last one pass the furthest bucket of the timing wheel.
const STEPS_MS: [u64; 3] = [1, 1_000, 40 * 24 * 3600 * 1000];

static SETTINGS: LazyLock<Settings> = LazyLock::new(|| {
    let mut settings = Settings::default();
    settings.limits.bulk_len = STRING_LIMIT;
    settings
});

/// What happens after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pause {
    /// The next request may run in the same batch.
    None,
    Time(u64),
    Housekeeping,
}

fn pause(control: u8) -> Pause {
    match control >> 1 & 7 {
        step @ 4..=6 => Pause::Time(STEPS_MS[usize::from(step) - 4]),
        7 => Pause::Housekeeping,
        _ => Pause::None,
    }
}

/// One client; it connects again when it is closed.
struct Client {
    engine: Arc<Engine>,
    session: Session,
    replies: ReplyWriter,
}

impl Client {
    fn connect(engine: &Arc<Engine>, protocol: Protocol) -> Client {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let mut session = Session::new(engine, address(50_000), address(6480));
        let mut replies = ReplyWriter::new();
        session.preferences.protocol = protocol;
        replies.set_protocol(protocol);
        Client { engine: Arc::clone(engine), session, replies }
    }

    /// Sends requests that run one after the other, as a connection does.
    fn send(&mut self, requests: &[Request<'_>]) {
        let engine = Arc::clone(&self.engine);
        let mut sent = 0;
        while sent < requests.len() {
            let mut batch = engine.keyspace.enter();
            let commands: Vec<_> =
                requests[sent..].iter().map(|request| Command::resolve(&engine, *request)).collect();
            prefetch(&engine, &batch, &commands);
            let mut waits = None;
            while sent < requests.len() && waits.is_none() {
                match self.dispatch(&mut batch, requests[sent]) {
                    Answer::Waits(wait) => waits = Some(wait),
                    _ => sent += 1,
                }
                batch.between_commands();
            }
            drop(batch);
            match waits {
                Some(Wait::Alone) => {
                    self.run_alone(requests[sent]);
                    sent += 1;
                }
                // Work in steps goes on where it was.
                Some(Wait::Turn | Wait::Step) | None => {}
                Some(Wait::Room) => while !self.session.make_room().is_over() {},
                Some(wait) => panic!("only two clients of one thread are there: {wait:?}"),
            }
        }
    }

    fn run_alone(&mut self, request: Request<'_>) {
        let engine = Arc::clone(&self.engine);
        let exclusive = engine.keyspace.take_exclusive().expect("nobody else runs alone");
        assert!(exclusive.is_ready(), "nobody else runs");
        let mut batch = engine.keyspace.enter_exclusive(&exclusive);
        assert_eq!(self.dispatch(&mut batch, request), Answer::Done);
    }

    fn listens(&self) -> bool {
        self.session.is_subscribed() || self.session.is_monitor()
    }

    /// Runs one request and checks its reply.
    fn dispatch(&mut self, batch: &mut Batch<'_>, request: Request<'_>) -> Answer {
        if raises_the_string_limit(request) {
            return Answer::Done;
        }
        let before = self.session.preferences;
        let listened = self.listens();
        let command = Command::resolve(&self.engine, request);
        let outcome = dispatch(&self.engine, &mut self.session, batch, &command, &mut self.replies);
        let bytes = self.replies.copy_to_bytes(self.replies.remaining());
        let after = self.session.preferences;
        if let Outcome::Wait(wait) = outcome {
            assert!(bytes.is_empty(), "a request that waits is answered");
            if !matches!(wait, Wait::LongWork | Wait::Pause | Wait::Snapshot(_)) {
                return Answer::Waits(wait);
            }
            self.engine.pause.end();
            return Answer::Done;
        }
        let dialect = match (before.protocol, after.protocol) {
            // HELLO in a transaction changes the protocol on the way, perhaps there and back.
            _ if request.name().eq_ignore_ascii_case(b"EXEC") => Dialect::Both,
            (Protocol::Resp2, Protocol::Resp2) => Dialect::Resp2,
            (Protocol::Resp3, Protocol::Resp3) => Dialect::Resp3,
            _ => Dialect::Both,
        };
        let replies =
            count_replies(&bytes, dialect).unwrap_or_else(|error| panic!("{error} after {}", shown(request)));
        let expected = match (before.replies, after.replies) {
            // CLIENT REPLY OFF is not answered; an EXEC of it is.
            (ReplyMode::On, ReplyMode::Off | ReplyMode::Skip) => 0..=1,
            (_, ReplyMode::Off | ReplyMode::Skip | ReplyMode::Skipping) => 0..=0,
            // What follows CLIENT REPLY SKIP is muted, unless it is CLIENT REPLY ON.
            (ReplyMode::Skip | ReplyMode::Skipping, ReplyMode::On) => 0..=1,
            (ReplyMode::Off | ReplyMode::On, ReplyMode::On)
                if matches!(outcome, Outcome::Close | Outcome::Shutdown) =>
            {
                0..=1
            }
            (ReplyMode::Off | ReplyMode::On, ReplyMode::On) => 1..=1,
        };
        // Subscriptions are answered one by one, and who listens gets messages too.
        let is_listening = listened
            || self.listens()
            || request.name().to_ascii_lowercase().ends_with(b"subscribe")
            || request.name().eq_ignore_ascii_case(b"EXEC");
        assert!(is_listening || expected.contains(&replies), "{replies} replies to {}", shown(request));
        if outcome != Outcome::Continue {
            *self = Client::connect(&self.engine, Protocol::default());
        }
        Answer::Done
    }
}

fn shown(request: Request<'_>) -> String {
    request.iter().map(|arg| arg.escape_ascii().to_string()).collect::<Vec<_>>().join(" ")
}

#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Done,
    Waits(Wait),
}

/// CONFIG SET of the one setting that bounds what strings cost; it is not sent.
fn raises_the_string_limit(request: Request<'_>) -> bool {
    request.iter().any(|arg| arg.eq_ignore_ascii_case(b"proto-max-bulk-len"))
        && request.get(1).is_some_and(|arg| arg.eq_ignore_ascii_case(b"set"))
}

/// Runs one input: nothing panics, each request gets one well-formed reply, and in the end the keyspace's
/// invariants hold.
pub fn run(data: &[u8]) {
    let Some((controls, mut stream)) = data.split_first_chunk::<CONTROLS>() else { return };
    let clock = Clock::manual(START_MS);
    let engine = Arc::new(Engine::new(SETTINGS.clone(), clock.clone()));
    let mut clients = [Protocol::Resp2, Protocol::Resp3].map(|protocol| Client::connect(&engine, protocol));
    let mut decoder = Decoder::new(SETTINGS.limits);
    let mut number = 0;
    loop {
        let decoded = decoder.decode(stream);
        let requests: Vec<Request<'_>> =
            (0..decoder.count()).map(|index| decoder.request(stream, index)).collect();
        let mut rest = &requests[..];
        while !rest.is_empty() {
            let control = |index: usize| controls[(number + index) % CONTROLS];
            // The requests up to a pause or to one of the other client are one batch.
            let together = (1..rest.len())
                .find(|index| {
                    pause(control(*index - 1)) != Pause::None || (control(*index) ^ control(0)) & 1 != 0
                })
                .unwrap_or(rest.len());
            clients[usize::from(control(0) & 1)].send(&rest[..together]);
            match pause(control(together - 1)) {
                Pause::None => {}
                Pause::Time(ms) => clock.advance(ms),
                Pause::Housekeeping => drop(engine.keyspace.housekeep()),
            }
            number += together;
            rest = &rest[together..];
        }
        stream = &stream[decoded.consumed..];
        if !decoded.more || decoded.error.is_some() {
            break;
        }
    }
    drop(clients);
    assert!(!engine.keyspace.is_exclusive());
    engine.keyspace.check_invariants().expect("the keyspace's invariants hold");
}

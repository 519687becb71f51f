//! What a client has not taken of its replies yet, and what becomes of it meanwhile.
//!
//! A connection *runs* while its unread replies are below a mark. At the mark it *holds*: no request starts, but input
//! is read on ([`super::held`]), so that a client may write everything before it reads. Once no more may be held it is
//! *full*: the client is not read from, and closed if it takes nothing for a minute. So nobody waits in a write for
//! ever, and nobody is closed for being slow. What a client leaves unread for longer than its soft limit allows closes
//! it, too.

use super::Shared;
use super::buffers::Buffers;
use super::departure::has_left;
use crate::command::resolve::Command;
use crate::concurrent::ledger::charge::Charge;
use crate::config::{Settings, SoftLimit};
use crate::engine::Engine;
use crate::resp::ReplyWriter;
use crate::session::{DELIVERY_SLICE, Session};
use bytes::Buf;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// The highest mark: bytes of replies that are sent before more requests run.
const HIGHEST_MARK: u64 = 1 << 20;

/// Bytes of replies that busy connections gather together, where the lowest mark allows it.
const BUSY_BYTES: u64 = 8 << 20;

/// The lowest mark.
const LOWEST_MARK: u64 = 64 << 10;

/// Segments of replies in one write. Replies are one segment unless large values are shared.
const SEGMENTS: usize = 32;

/// How often a connection that holds looks at the clock.
const LOOK: Duration = Duration::from_millis(500);

/// Microseconds after which a client that is full and takes nothing is closed.
const STALLED_US: u64 = 60_000_000;

/// How often a request that waits for room looks for it.
const LOOK_FOR_ROOM: Duration = Duration::from_millis(50);

/// Microseconds after which it is refused.
const NO_ROOM_US: u64 = 10_000_000;

/// Whom a connection serves.
pub(super) struct Peer<'c> {
    pub shared: &'c Shared,
    pub stream: &'c mut TcpStream,
    pub session: &'c Session,
}

/// How a connection's output goes.
#[derive(Debug)]
pub(super) struct Output {
    /// What the connection's buffers hold while it waits.
    charge: Charge,
    /// True if it may have the turn to grow.
    pub has_turn: bool,
    /// The socket is closed when the client keeps it waiting for longer.
    pub patience: Option<Duration>,
    /// Bytes of unread replies from which on no request starts.
    pub mark: usize,
    /// True once a reply could not be sent: nobody is there to read the others.
    pub is_broken: bool,
    /// Since when more than the soft limit is unread.
    beyond_since_us: Option<u64>,
}

impl Output {
    /// That of a new connection.
    pub fn new(shared: &Shared) -> Output {
        let charge = Charge::new(&shared.engine.clients.ledger);
        let mut output = Output {
            charge,
            has_turn: false,
            patience: None,
            mark: 0,
            is_broken: false,
            beyond_since_us: None,
        };
        output.follow(&shared.engine.settings.load(), 0);
        output
    }

    /// Pays for what the connection's buffers hold while it waits.
    #[inline]
    pub fn pay(&mut self, session: &Session, bytes: u64) {
        if bytes != self.charge.bytes() {
            self.charge.set(bytes);
            session.client().buffers.held.set(bytes);
        }
    }

    /// Reads what the client has sent behind what cannot run yet, within its bound.
    pub fn read_on(
        &mut self,
        shared: &Shared,
        stream: &TcpStream,
        session: &Session,
        buffers: &mut Buffers,
        cx: &mut Context<'_>,
    ) {
        buffers.held.read(shared, stream, &shared.engine.clients.ledger, cx);
        self.pay(session, buffers.footprint());
        shared.engine.keep_share();
        let sizes = &session.client().buffers;
        sizes.input.set((buffers.input.len() + buffers.held.len()) as u64);
        sizes.input_room.set(buffers.room() as u64);
    }

    /// Waits until the request that has arrived in part may grow by `growth` bytes, and pays for them. False if it cannot.
    /// A client that has left meanwhile is for its next read to notice.
    pub async fn afford(&mut self, peer: Peer<'_>, footprint: u64, growth: u64) -> io::Result<bool> {
        let Peer { shared, stream, session } = peer;
        let engine = &*shared.engine;
        let wanted = footprint + growth;
        // What a connection needs to read at all is not refused.
        if wanted > 2 * LOWEST_MARK {
            if wanted > engine.clients.ledger.most_of_one() {
                return Ok(false);
            }
            let since_us = engine.clock.monotonic_us();
            while !engine.may_grow(session.client(), growth) {
                self.has_turn = true;
                end_if_told(session)?;
                if shared.roster.is_stopping() || has_left(stream) {
                    return Ok(true);
                }
                if engine.clock.monotonic_us().saturating_sub(since_us) > NO_ROOM_US {
                    return Ok(false);
                }
                sleep(LOOK_FOR_ROOM).await;
            }
        }
        self.pay(session, wanted);
        Ok(true)
    }

    /// Follows the settings, the room that there is, and how many connections are busy: they gather replies at the same
    /// time, and what they gather is charged only when they wait for their clients.
    pub fn follow(&mut self, settings: &Settings, busy: u64) {
        self.patience = (settings.timeout_s > 0).then(|| Duration::from_secs(settings.timeout_s));
        let limit = if settings.normal_limit > 0 { settings.normal_limit } else { u64::MAX };
        let least = limit.min(self.charge.ledger().room()) / 4;
        let highest = (BUSY_BYTES / busy.max(1)).clamp(LOWEST_MARK, HIGHEST_MARK);
        self.mark = least.clamp(LOWEST_MARK, highest) as usize;
    }

    /// Sends everything gathered: one system call if the client reads its replies. Once it cannot, they are
    /// dropped: what was read before runs all the same.
    pub async fn send(&mut self, peer: Peer<'_>, buffers: &mut Buffers) -> io::Result<()> {
        let Peer { shared, stream, session } = peer;
        while buffers.replies.pending() > 0 && !self.is_broken {
            let at_once = poll_fn(|cx| Poll::Ready(poll_write(stream, session, &buffers.replies, cx))).await;
            let sent = match at_once {
                Poll::Ready(sent) => sent,
                Poll::Pending => self.hold(Peer { shared, stream, session }, buffers).await,
            };
            let sent = match sent {
                Err(error) if is_reset(&error) => {
                    self.is_broken = true;
                    break;
                }
                sent => sent?,
            };
            if sent == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            shared.engine.stats.output_bytes.add(sent as u64);
            shared.engine.stats.writes.add(1);
            buffers.replies.advance(sent);
        }
        if self.is_broken {
            buffers.replies.clear();
        }
        session.client().buffers.output.set(0);
        end_if_told(session)
    }

    /// Reads on until the client takes something; answers how much.
    #[cold]
    async fn hold(&mut self, peer: Peer<'_>, buffers: &mut Buffers) -> io::Result<usize> {
        let Peer { shared, stream, session } = peer;
        let engine = &*shared.engine;
        let since_us = engine.clock.monotonic_us();
        loop {
            let taken = poll_fn(|cx| {
                self.read_on(shared, stream, session, buffers, cx);
                poll_write(stream, session, &buffers.replies, cx)
            });
            if let Ok(taken) = timeout(LOOK, taken).await {
                return taken;
            }
            let now_us = engine.clock.monotonic_us();
            self.close_if_beyond(engine, session, buffers, now_us)?;
            let waited_us = now_us.saturating_sub(since_us);
            if self.patience.is_some_and(|patience| u128::from(waited_us) >= patience.as_micros()) {
                return Err(io::ErrorKind::TimedOut.into());
            }
            if waited_us >= STALLED_US && buffers.held.is_full() {
                tell_of_stall(engine, session, buffers);
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
    }

    /// Fails once the client has left more unread than its soft limit for longer than that allows.
    fn close_if_beyond(
        &mut self,
        engine: &Engine,
        session: &Session,
        buffers: &Buffers,
        now_us: u64,
    ) -> io::Result<()> {
        let client = session.client();
        let (class, SoftLimit { bytes, seconds }) = {
            let settings = engine.settings.load();
            match session.is_subscribed() {
                true => ("pubsub", settings.pubsub_soft),
                false => ("normal", settings.normal_soft),
            }
        };
        let unread = (buffers.replies.pending() + client.mailbox.weight()) as u64;
        if bytes == 0 || unread <= bytes {
            self.beyond_since_us = None;
            return Ok(());
        }
        let since_us = *self.beyond_since_us.get_or_insert(now_us);
        if now_us.saturating_sub(since_us) < seconds.saturating_mul(1_000_000) {
            return Ok(());
        }
        engine.stats.overflowed_clients.add(1);
        tracing::warn!(
            client = client.id,
            address = %client.peer,
            class,
            unread,
            limit = bytes,
            seconds,
            "closing a client that left more unread than its soft limit for too long"
        );
        Err(io::ErrorKind::TimedOut.into())
    }
}

/// Counts and logs that a client is closed because it takes nothing.
fn tell_of_stall(engine: &Engine, session: &Session, buffers: &Buffers) {
    let client = session.client();
    engine.stats.stalled_clients.add(1);
    if let Some(untold) = engine.stats.stalls.happened(engine.clock.monotonic_us()) {
        tracing::warn!(
            client = client.id,
            address = %client.peer,
            unread = buffers.replies.pending(),
            held = buffers.held.len(),
            untold,
            "closing a client that took no replies for a minute and sent more than may be held"
        );
    }
}

/// Takes a reply back that is larger than the hard limit of its client's class, and answers so, if its command has changed
/// nothing: it leaves whole or not at all.
#[cold]
pub(super) fn refuse_if_too_large(
    engine: &Engine,
    command: &Command<'_>,
    before: usize,
    replies: &mut ReplyWriter,
) {
    let limit = engine.settings.load().normal_limit;
    let len = replies.pending() - before;
    // Below this much others' messages may stand behind the reply.
    if limit == 0 || len as u64 <= limit || len <= DELIVERY_SLICE || !command.only_reads() {
        return;
    }
    replies.keep_first(before);
    let text = format!(
        "ERR a reply of {len} bytes exceeds the hard limit of client-output-buffer-limit normal ({limit})"
    );
    engine.stats.count_error(text.as_bytes());
    replies.error(text.as_bytes());
}

/// Fails once the client was ended: by CLIENT KILL, or because it let too many messages wait.
pub(super) fn end_if_told(session: &Session) -> io::Result<()> {
    if session.client().mailbox.is_ended() { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
}

/// True if the client has broken the connection.
fn is_reset(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}

/// Writes once, as many segments as fit in one call. Their list lives on the stack of this call, not in the
/// task, which would make every connection larger.
fn poll_write(
    stream: &mut TcpStream,
    session: &Session,
    replies: &ReplyWriter,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    end_if_told(session)?;
    let mut segments = [IoSlice::new(&[]); SEGMENTS];
    let count = replies.chunks_vectored(&mut segments);
    let sent = match &segments[..count] {
        [only] => Pin::new(stream).poll_write(cx, only),
        several => Pin::new(stream).poll_write_vectored(cx, several),
    };
    if sent.is_pending() {
        session.client().buffers.output.set(replies.pending() as u64);
    }
    sent
}

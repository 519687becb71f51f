//! One connection: read what is there, run every complete request, write all replies at once.
//!
//! Requests run in slices, each under one batch (a pin of this thread) that never lives across a wait. A slice
//! ends when the input is used up, when enough replies have gathered to be sent, or when the connection's turn is
//! over ([`super::turn`]). What a client that does not read its replies can make the server hold is bounded
//! ([`super::output`]).
//!
//! What was read runs, whether its client is still there or not, but a request that has to wait is given up, with
//! all behind it, once its client has left ([`super::departure`]). Closing only the sending half counts as leaving.

use super::Shared;
use super::buffers::Buffers;
use super::departure::{has_left, left};
use super::output::{Output, Peer, end_if_told, refuse_if_too_large};
use super::roster::Seat;
use super::turn::Turn;
use crate::command::context::Outcome;
use crate::command::dispatch::{dispatch, dispatch_run, refuse_unread};
use crate::command::resolve::{Command, prefetch, run_length};
use crate::keyspace::Eviction;
use crate::session::Session;
use crate::wait::Wait;
use smallvec::SmallVec;
use std::future::{Future, poll_fn};
use std::io;
use std::ops::ControlFlow;
use std::os::fd::AsRawFd;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};

/// Requests whose keys are brought into the cache before they run: enough to overlap their cache misses, few
/// enough to be still there.
const PREFETCH_GROUP: usize = 32;

/// A request with more arguments than this may have keys worth prefetching even if it is alone.
const FEW_ARGUMENTS: usize = 4;

/// Times to yield to other tasks before sleeping, while a transaction runs alone.
const CONTENTION_YIELDS: usize = 64;

/// Sleep between two looks at a transaction that runs alone for long.
const CONTENTION_PAUSE: Duration = Duration::from_millis(1);

/// How long a request waits for a snapshot before it looks again, should nobody wake it.
const SNAPSHOT_PAUSE: Duration = Duration::from_secs(1);

/// How long a request waits for room for long work before it looks again, should nobody wake it.
const LONG_WORK_PAUSE: Duration = Duration::from_millis(100);

/// The longest time that a request waits at once: a day, after which it looks again.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

/// How long a closing connection goes on dropping input: closing a socket with unread input would make the
/// kernel discard the last reply.
const LINGER: Duration = Duration::from_secs(1);

/// What is answered to a request that arrives in part and cannot be held.
const NO_ROOM: &str = "OOM the request is larger than what clients may still hold (maxmemory-clients)";

/// Whether a connection goes on; at a break it closes once its replies are sent.
type Flow = ControlFlow<()>;

/// A client's socket and session.
pub(super) struct Connection {
    shared: Arc<Shared>,
    stream: TcpStream,
    session: Session,
    /// Kept while a request has arrived in part.
    partial: Option<Box<Buffers>>,
    turn: Turn,
    output: Output,
}

impl Connection {
    /// A connection that has just been accepted.
    pub fn new(shared: Arc<Shared>, stream: TcpStream, session: Session) -> Connection {
        let output = Output::new(&shared);
        Connection { shared, stream, session, partial: None, turn: Turn::default(), output }
    }

    /// Serves the client until it leaves, is to be closed, or the server shuts down.
    pub async fn serve(mut self, seat: &Seat<Arc<Shared>>) {
        self.session.client().buffers.descriptor.set(self.stream.as_raw_fd() as u64);
        poll_fn(|cx| {
            seat.set_waker(cx.waker());
            self.session.client().mailbox.set_waker(cx.waker());
            Poll::Ready(())
        })
        .await;
        match self.converse().await {
            Ok(()) => tracing::trace!("closed"),
            Err(error) => tracing::debug!(%error, "closed"),
        }
    }

    async fn converse(&mut self) -> io::Result<()> {
        while let Some(mut buffers) = self.read().await? {
            // A full read means that more is waiting: this client could go on forever.
            let is_greedy = buffers.room() == 0;
            if self.answer(&mut buffers).await?.is_break() {
                return self.linger(&mut buffers.input).await;
            }
            self.partial = buffers.keep_if_used();
            self.output.pay(&self.session, self.partial.as_ref().map_or(0, |kept| kept.footprint()));
            if self.partial.is_some() || self.output.has_turn {
                self.afford_more().await?;
            }
            if is_greedy || self.turn.is_over(self.session.last_end()) {
                self.give_way().await;
            }
        }
        // Commands of the input that the shutdown leaves unread have not run; the replies of those before them
        // must still arrive.
        if self.has_unread() { self.linger(&mut Buffers::take().input).await } else { Ok(()) }
    }

    /// Waits until the server can afford what the request that has arrived in part needs next. One that it cannot afford
    /// is answered, and read past.
    async fn afford_more(&mut self) -> io::Result<()> {
        let growth = self.partial.as_ref().map_or(0, |partial| partial.growth() as u64);
        if growth == 0 {
            // Most requests never needed the turn.
            if self.output.has_turn && self.partial.is_none() {
                self.output.has_turn = false;
                self.shared.engine.clients.turns.give_back(self.session.client().id);
            }
            return Ok(());
        }
        let Some(mut partial) = self.partial.take() else { return Ok(()) };
        let Connection { shared, stream, session, output, .. } = self;
        let footprint = partial.footprint();
        if output.afford(Peer { shared, stream, session }, footprint, growth).await? {
            self.partial = Some(partial);
            return Ok(());
        }
        if !partial.give_up() {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        refuse_unread(&self.shared.engine, &mut self.session, NO_ROOM, &mut partial.replies);
        self.send(&mut partial).await?;
        self.partial = partial.keep_if_used();
        self.output.pay(&self.session, self.partial.as_ref().map_or(0, |kept| kept.footprint()));
        Ok(())
    }

    /// True if the client has sent more than was read. Drops a part of that, so only for a closing connection.
    fn has_unread(&self) -> bool {
        matches!(self.stream.try_read(&mut [0; 64]), Ok(1..))
    }

    /// Waits for input; `None` at the end of it or when the server shuts down. One system call if the socket
    /// has something to read, none if it has not.
    async fn read(&mut self) -> io::Result<Option<Box<Buffers>>> {
        let Connection { shared, stream, session, partial, turn, output } = self;
        // A subscriber may stay silent.
        let patience = output.patience.filter(|_| !session.is_subscribed() && !session.is_monitor());
        let read = poll_fn(|cx| {
            let read = poll_read(shared, stream, session, partial, cx);
            if read.is_pending() {
                turn.rest();
            }
            read
        });
        within(patience, read).await
    }

    /// Lets others have their turn.
    async fn give_way(&mut self) {
        self.turn.give_way(&self.shared);
        yield_now().await;
    }

    /// Runs the complete requests of the input and sends their replies.
    async fn answer(&mut self, buffers: &mut Buffers) -> io::Result<Flow> {
        {
            let settings = self.shared.engine.settings.load();
            buffers.decoder.set_limits(settings.limits);
            self.output.follow(&settings, self.shared.turns.busy());
            let sizes = &self.session.client().buffers;
            sizes.input.set(buffers.input.len() as u64);
            sizes.input_room.set(buffers.room() as u64);
        }
        buffers.replies.set_protocol(self.session.preferences.protocol);
        let mut answered = 0;
        let flow = loop {
            let decoded = buffers.decoder.decode(&buffers.input[answered..]);
            if self.run_all(buffers, answered).await?.is_break() {
                break Flow::Break(());
            }
            answered += decoded.consumed;
            if let Some(limit) = decoded.refused {
                let text = format!("ERR {}", limit.reason());
                refuse_unread(&self.shared.engine, &mut self.session, &text, &mut buffers.replies);
            }
            if let Some(error) = decoded.error {
                let text = [b"ERR ", &error.message()[..]].concat();
                self.shared.engine.stats.count_error(&text);
                buffers.replies.error(&text);
                break Flow::Break(());
            }
            if decoded.more {
                continue;
            }
            if self.shared.roster.is_stopping() {
                break Flow::Break(());
            }
            // More may have been read while a request or its reply waited.
            if !buffers.refill(&mut answered) {
                self.flush(buffers).await?;
                if !buffers.refill(&mut answered) {
                    break Flow::Continue(());
                }
            }
            yield_now().await;
        };
        if flow.is_break() {
            self.flush(buffers).await?;
        }
        if self.output.is_broken {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        buffers.consume(answered);
        let sizes = &self.session.client().buffers;
        sizes.input.set(buffers.input.len() as u64);
        sizes.input_room.set(if buffers.input.is_empty() { 0 } else { buffers.room() as u64 });
        Ok(flow)
    }

    /// Sends all replies.
    fn send(&mut self, buffers: &mut Buffers) -> impl Future<Output = io::Result<()>> {
        let Connection { shared, stream, session, output, .. } = self;
        output.send(Peer { shared, stream, session }, buffers)
    }

    /// Sends all replies, and behind them what others sent to the client.
    fn flush(&mut self, buffers: &mut Buffers) -> impl Future<Output = io::Result<()>> {
        if self.session.has_mail() {
            self.session.deliver(&mut buffers.replies);
        }
        self.send(buffers)
    }

    /// Runs the decoded requests, which begin at `start` of the input, slice by slice. Some of their replies
    /// may be left to be sent.
    async fn run_all(&mut self, buffers: &mut Buffers, start: usize) -> io::Result<Flow> {
        let (mut next, mut last) = (0, Outcome::Continue);
        while next < buffers.decoder.count() {
            let outcome = match last {
                Outcome::Wait(Wait::Alone) => self.run_alone(buffers, start, &mut next).await,
                _ if self.session.is_in_steps() => self.run_steps(buffers, start, &mut next),
                _ => self.run_slice(buffers, start, &mut next),
            };
            last = outcome;
            let flow = match outcome {
                Outcome::Continue => Flow::Continue(()),
                Outcome::Close => Flow::Break(()),
                Outcome::Shutdown => {
                    self.shared.shut_down();
                    Flow::Break(())
                }
                Outcome::Sleep(us) => {
                    next += 1;
                    self.wait(Duration::from_micros(us), buffers, || false).await?
                }
                Outcome::Wait(wait) => {
                    self.send(buffers).await?;
                    self.outwait(wait, buffers).await?
                }
            };
            if flow.is_break() {
                return Ok(flow);
            }
        }
        Ok(Flow::Continue(()))
    }

    /// Runs requests from `next` on under one batch, until there is a reason to stop.
    fn run_slice(&mut self, buffers: &mut Buffers, start: usize, next: &mut usize) -> Outcome {
        let Buffers { input, decoder, replies, .. } = buffers;
        let input = &input[start..];
        let engine = &*self.shared.engine;
        let count = decoder.count();
        let mut batch = engine.keyspace.enter();
        batch.set_peer(&self.stream);
        let now = engine.clock.ticks();
        self.turn.begin(&self.shared.turns, now);
        self.session.command_end(now);
        let mut commands: SmallVec<[Command<'_>; PREFETCH_GROUP]> = SmallVec::new();
        loop {
            commands.clear();
            for index in *next..(*next + PREFETCH_GROUP).min(count) {
                commands.push(Command::resolve(engine, decoder.request(input, index)));
            }
            if commands.len() > 1 || decoder.request(input, *next).len() > FEW_ARGUMENTS {
                prefetch(engine, &batch, &commands);
                self.session.begin_turn();
            }
            let (mut ahead, mut alone, mut before) = (&commands[..], 0, replies.pending());
            while let [command, ..] = ahead {
                let length = if alone > 0 { 1 } else { run_length(engine, ahead) };
                let ran = if length > 1 {
                    let ran = dispatch_run(engine, &mut self.session, &mut batch, &ahead[..length], replies);
                    alone = if ran == 0 { length } else { 0 };
                    ran
                } else {
                    match dispatch(engine, &mut self.session, &mut batch, command, replies) {
                        Outcome::Continue => {}
                        outcome => return outcome,
                    }
                    alone = alone.saturating_sub(1);
                    1
                };
                *next += ran;
                let pending = replies.pending();
                let is_over = self.turn.is_over(self.session.last_end());
                if pending > self.output.mark || is_over || self.session.client().mailbox.is_ended() {
                    if ran == 1 {
                        refuse_if_too_large(engine, command, before, replies);
                    }
                    return Outcome::Wait(Wait::Turn);
                }
                (ahead, before) = (&ahead[ran..], pending);
                batch.between_commands();
            }
            if *next == count {
                return Outcome::Continue;
            }
            // Commands that are refused are not timed.
            if self.turn.is_over(engine.clock.ticks()) {
                return Outcome::Wait(Wait::Turn);
            }
        }
    }

    /// Runs the steps of request `next` where they hold nobody up. Each has a batch of its own, so that nothing is
    /// pinned from one to the next.
    fn run_steps(&mut self, buffers: &mut Buffers, start: usize, next: &mut usize) -> Outcome {
        let Connection { shared, stream, session, .. } = self;
        let Buffers { input, decoder, replies, .. } = buffers;
        let engine = &*shared.engine;
        let request = decoder.request(&input[start..], *next);
        let steps = || loop {
            session.work();
            session.begin_turn();
            let command = Command::resolve(engine, request);
            let mut batch = engine.keyspace.enter();
            batch.set_peer(stream);
            let outcome = dispatch(engine, session, &mut batch, &command, replies);
            if outcome != Outcome::Wait(Wait::Step) {
                break outcome;
            }
        };
        let outcome = engine.run_long_if_free(steps).unwrap_or_else(Outcome::Wait);
        *next += usize::from(outcome == Outcome::Continue);
        outcome
    }

    /// Runs request `next` alone, once no long work and nobody else runs so.
    async fn run_alone(&mut self, buffers: &mut Buffers, start: usize, next: &mut usize) -> Outcome {
        let shared = Arc::clone(&self.shared);
        let engine = &*shared.engine;
        let asking = engine.ask_to_run_alone();
        let mut exclusive = None;
        let taken = self.until(|| {
            exclusive = asking.take_exclusive();
            exclusive.is_some()
        });
        if taken.await.is_break() {
            return Outcome::Close;
        }
        let Some(exclusive) = exclusive else { return Outcome::Close };
        if self.until(|| exclusive.is_ready()).await.is_break() {
            return Outcome::Close;
        }
        drop(asking);
        let Buffers { input, decoder, replies, .. } = buffers;
        let mut batch = engine.keyspace.enter_exclusive(&exclusive);
        let command = Command::resolve(engine, decoder.request(&input[start..], *next));
        let outcome = dispatch(engine, &mut self.session, &mut batch, &command, replies);
        *next += usize::from(outcome == Outcome::Continue);
        outcome
    }

    /// Waits until what holds the next request back may be over.
    async fn outwait(&mut self, wait: Wait, buffers: &mut Buffers) -> io::Result<Flow> {
        let engine = Arc::clone(&self.shared.engine);
        let client = Arc::clone(self.session.client());
        let flow = match wait {
            Wait::Turn => {
                self.give_way().await;
                return Ok(Flow::Continue(()));
            }
            // It asks for the right itself, or its next step runs at once.
            Wait::Alone | Wait::Step => return Ok(Flow::Continue(())),
            Wait::Exclusive => return Ok(self.until(|| !engine.keyspace.is_exclusive()).await),
            Wait::Room => return Ok(self.make_room().await),
            Wait::LongWork => {
                self.wait(LONG_WORK_PAUSE, buffers, || engine.long_work.has_room(&client)).await?
            }
            Wait::Snapshot(number) => {
                let is_over = || engine.persistence.result(number).is_some();
                self.wait(SNAPSHOT_PAUSE, buffers, is_over).await?
            }
            Wait::Pause => {
                let now_us = engine.clock.monotonic_us();
                let Some((_, until_us)) = engine.pause.present(now_us) else {
                    return Ok(Flow::Continue(()));
                };
                let remaining = Duration::from_micros(until_us - now_us);
                let _held = engine.pause.hold();
                let is_over = || engine.pause.present(engine.clock.monotonic_us()).is_none();
                self.wait(remaining, buffers, is_over).await?
            }
        };
        // The request has not run, and the server's end waits for no other client's word.
        if self.shared.roster.is_stopping() { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(flow) }
    }

    /// Waits for `limit`, or until `is_over` when this task is woken, or for the end of the server. The client is
    /// read from meanwhile, up to a bound; the connection is closing once it has left. Fails once it was ended.
    async fn wait(
        &mut self,
        limit: Duration,
        buffers: &mut Buffers,
        is_over: impl Fn() -> bool,
    ) -> io::Result<Flow> {
        let Connection { shared, stream, session, output, .. } = self;
        {
            let mut left = pin!(left(stream));
            let over = poll_fn(|cx| {
                output.read_on(shared, stream, session, buffers, cx);
                let is_ended = shared.roster.is_stopping() || session.client().mailbox.is_ended();
                if is_ended || is_over() { Poll::Ready(()) } else { left.as_mut().poll(cx) }
            });
            // At its end the limit is as good as what was waited for.
            let _ = timeout(limit.min(LONGEST_WAIT), over).await;
        }
        end_if_told(session)?;
        // A client that left while waiting has left, even if the wait ended at the same time.
        Ok(if has_left(stream) { Flow::Break(()) } else { Flow::Continue(()) })
    }

    /// Evicts what the request needs, in slices between which others run.
    async fn make_room(&mut self) -> Flow {
        let mut yields = 0;
        loop {
            match self.session.make_room() {
                Eviction::Enough | Eviction::Nothing => return Flow::Continue(()),
                Eviction::More => {
                    yield_now().await;
                    yields += 1;
                    if yields < CONTENTION_YIELDS {
                        continue;
                    }
                }
                // The thread that reclaims it needs the processor.
                Eviction::Reclaiming => sleep(CONTENTION_PAUSE).await,
            }
            if self.has_ended() {
                return Flow::Break(());
            }
        }
    }

    /// Waits until `is_so`; others run meanwhile. Nothing may be pinned. A request for which others only had their
    /// turn was not held up; one that slept is given up once its client has left.
    async fn until(&self, mut is_so: impl FnMut() -> bool) -> Flow {
        let mut yields = 0;
        while !is_so() {
            if yields < CONTENTION_YIELDS {
                yields += 1;
                yield_now().await;
                continue;
            }
            sleep(CONTENTION_PAUSE).await;
            if self.has_ended() {
                return Flow::Break(());
            }
        }
        Flow::Continue(())
    }

    /// True once the client has left, or was told to.
    fn has_ended(&self) -> bool {
        self.session.client().mailbox.is_ended() || has_left(&self.stream)
    }

    /// Closes our half, then drops what the client still sends until it closes its own.
    async fn linger(&mut self, input: &mut Vec<u8>) -> io::Result<()> {
        self.stream.shutdown().await?;
        // The shutdown waits for no client that has nothing to lose.
        if self.shared.roster.is_stopping() && !self.has_unread() {
            return Ok(());
        }
        let draining = async {
            input.clear();
            while self.stream.read_buf(input).await? > 0 {
                input.clear();
            }
            Ok(())
        };
        timeout(LINGER, draining).await.unwrap_or(Ok(()))
    }
}

impl Shared {
    /// Shuts the server down, as a client asked.
    fn shut_down(&self) {
        tracing::info!("a client asked for the shutdown");
        self.engine.ending.begin();
        self.end();
        self.stop();
    }
}

/// Waits for `work`, but no longer than `limit`, if there is one.
async fn within<T>(limit: Option<Duration>, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match limit {
        None => work.await,
        Some(limit) => timeout(limit, work).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())),
    }
}

/// Reads once. Buffers are taken only when there is something to read, so a waiting connection holds none.
fn poll_read(
    shared: &Shared,
    stream: &mut TcpStream,
    session: &Session,
    partial: &mut Option<Box<Buffers>>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<Option<Box<Buffers>>>> {
    end_if_told(session)?;
    if shared.roster.is_stopping() {
        return Poll::Ready(Ok(None));
    }
    match stream.poll_read_ready(cx) {
        // What others sent is as good a reason to go on as input.
        Poll::Pending if session.has_mail() => {
            return Poll::Ready(Ok(Some(partial.take().unwrap_or_else(Buffers::take))));
        }
        readiness => ready!(readiness)?,
    }
    let mut buffers = partial.take().unwrap_or_else(Buffers::take);
    buffers.make_room();
    // Unlike `try_read`, this notes when a read has emptied the socket, which saves the read that would say so.
    let received = pin!(stream.read_buf(&mut buffers.input)).poll(cx);
    match received {
        Poll::Ready(Ok(0)) => Poll::Ready(Ok(None)),
        Poll::Ready(Ok(count)) => {
            shared.engine.stats.input_bytes.add(count as u64);
            shared.engine.stats.reads.add(1);
            Poll::Ready(Ok(Some(buffers)))
        }
        Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
        Poll::Pending if session.has_mail() => Poll::Ready(Ok(Some(buffers))),
        Poll::Pending => {
            *partial = buffers.keep_if_used();
            Poll::Pending
        }
    }
}

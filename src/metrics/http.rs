//! The HTTP side: three paths, a bounded number of connections, each for a bounded time. It runs on the control thread.

use super::exposition::CONTENT_TYPE;
use super::pages::{Pages, Piece};
use super::places::{Busy, Places, Seat};
use crate::engine::Engine;
use crate::server::Probe;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::header::{ALLOW, CONTENT_TYPE as CONTENT_TYPE_HEADER, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::Receiver;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Connections at one time, of which scrapers get half. One more takes the place of one that is silent.
const MOST_CONNECTIONS: usize = 32;

/// How long a connection may be silent between two requests and within the head of one.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a connection may last: who does not read a reply must not keep it for ever.
const LONGEST_CONNECTION: Duration = Duration::from_secs(600);

/// Bytes of a request's head; the smallest that the library takes.
const LARGEST_HEAD: usize = 8 << 10;

/// Pause after an accept that failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What answers.
#[derive(Debug)]
pub(super) struct Site {
    pub engine: Arc<Engine>,
    pub probe: Arc<Probe>,
    pub pages: Pages,
}

/// Accepts connections for ever. They end with it.
pub(super) async fn serve(site: Site, listener: TcpListener) {
    let (site, places) = (Arc::new(site), Places::new(MOST_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(%error, "cannot accept a scraper");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some(seat) = places.enter() else {
            tracing::debug!(most = MOST_CONNECTIONS, "too many connections to the metrics");
            continue;
        };
        let site = Arc::clone(&site);
        connections.spawn(async move {
            let place = Arc::clone(&seat.place);
            tokio::select! {
                ended = timeout(LONGEST_CONNECTION, converse(site, stream, seat)) => if ended.is_err() {
                    tracing::debug!("a connection to the metrics lasted too long");
                },
                () = place.closed() => tracing::debug!("a connection to the metrics made room for others"),
            }
        });
    }
}

async fn converse(site: Arc<Site>, stream: TcpStream, seat: Seat) {
    let answer = service_fn(move |request: Request<Incoming>| {
        let (site, busy) = (Arc::clone(&site), seat.answer());
        async move { Ok::<_, Infallible>(answer(&site, request.method(), request.uri().path(), busy).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(LARGEST_HEAD)
        .serve_connection(TokioIo::new(stream), answer)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection to the metrics ended");
    }
}

async fn answer(site: &Site, method: &Method, path: &str, busy: Busy) -> Response<Reply> {
    let text = |status, text: &'static str, busy| {
        let content = Content::Text(Bytes::from_static(text.as_bytes()));
        response(status, "text/plain; charset=utf-8", Reply { content, _busy: busy })
    };
    if !["/metrics", "/healthz", "/readyz"].contains(&path) {
        return text(StatusCode::NOT_FOUND, "not found: there are /metrics, /healthz and /readyz\n", busy);
    }
    if !matches!(*method, Method::GET | Method::HEAD) {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are allowed\n", busy);
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match path {
        "/metrics" if *method == Method::HEAD => response(StatusCode::OK, CONTENT_TYPE, Reply::empty(busy)),
        "/metrics" if !busy.scrape() => text(StatusCode::SERVICE_UNAVAILABLE, "too many scrapers\n", busy),
        "/metrics" => {
            let content = Content::Page(site.pages.order(&busy));
            response(StatusCode::OK, CONTENT_TYPE, Reply { content, _busy: busy })
        }
        "/readyz" => match unready(site).await {
            Some(why) => text(StatusCode::SERVICE_UNAVAILABLE, why, busy),
            None => text(StatusCode::OK, "ok\n", busy),
        },
        _ => text(StatusCode::OK, "ok\n", busy),
    }
}

/// Why the server is not to be sent clients, if it is not.
async fn unready(site: &Site) -> Option<&'static str> {
    if site.engine.long_work.is_stopping() {
        Some("stopping\n")
    } else if !site.engine.is_ready() {
        Some("loading\n")
    } else if !site.probe.is_answered().await {
        Some("no reply to PING\n")
    } else {
        None
    }
}

fn response(status: StatusCode, content_type: &'static str, body: Reply) -> Response<Reply> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE_HEADER, HeaderValue::from_static(content_type));
    response
}

/// A reply's body. Its connection counts as busy as long as it is there.
struct Reply {
    content: Content,
    _busy: Busy,
}

enum Content {
    Text(Bytes),
    Page(Receiver<Piece>),
}

impl Reply {
    fn empty(busy: Busy) -> Reply {
        Reply { content: Content::Text(Bytes::new()), _busy: busy }
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let piece = match &mut self.content {
            Content::Text(text) => Some(std::mem::take(text)).filter(|text| !text.is_empty()),
            // A page that was given up must not look whole.
            Content::Page(page) => match ready!(page.poll_recv(cx)) {
                Some(piece) => piece,
                None => return Poll::Ready(Some(Err(io::ErrorKind::BrokenPipe.into()))),
            },
        };
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(&self.content, Content::Text(text) if text.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Text(text) => SizeHint::with_exact(text.len() as u64),
            Content::Page(_) => SizeHint::default(),
        }
    }
}

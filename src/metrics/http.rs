//! The HTTP side: three paths, a bounded number of connections, each for a bounded time.

use super::exposition::{CONTENT_TYPE, render};
use crate::engine::Engine;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE as CONTENT_TYPE_HEADER, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

/// Connections at one time; one more is closed at once. Some scrapers and some probes, and nobody can hold much.
const MOST_CONNECTIONS: usize = 32;

/// How long a connection may be silent between two requests and within the head of one.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a connection may last: who does not read a reply must not keep it for ever.
const LONGEST_CONNECTION: Duration = Duration::from_secs(600);

/// Bytes of a request's head; the smallest that the library takes.
const LARGEST_HEAD: usize = 8 << 10;

/// Pause after an accept that failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts connections for ever.
pub(super) async fn serve(engine: Arc<Engine>, listener: TcpListener) {
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(%error, "cannot accept a scraper");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            tracing::debug!(most = MOST_CONNECTIONS, "too many connections to the metrics");
            continue;
        };
        let engine = Arc::clone(&engine);
        tokio::spawn(async move {
            if timeout(LONGEST_CONNECTION, converse(engine, stream)).await.is_err() {
                tracing::debug!("a connection to the metrics lasted too long");
            }
            drop(place);
        });
    }
}

async fn converse(engine: Arc<Engine>, stream: TcpStream) {
    let answer = service_fn(move |request: Request<Incoming>| {
        let response = answer(&engine, request.method(), request.uri().path());
        async { Ok::<_, Infallible>(response) }
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

fn answer(engine: &Engine, method: &Method, path: &str) -> Response<Full<Bytes>> {
    if !["/metrics", "/healthz", "/readyz"].contains(&path) {
        return text(StatusCode::NOT_FOUND, "not found: there are /metrics, /healthz and /readyz\n");
    }
    if !matches!(*method, Method::GET | Method::HEAD) {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are allowed\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match path {
        "/metrics" => response(StatusCode::OK, CONTENT_TYPE, Bytes::from(render(engine))),
        "/readyz" if !engine.is_ready() => text(StatusCode::SERVICE_UNAVAILABLE, "loading\n"),
        _ => text(StatusCode::OK, "ok\n"),
    }
}

fn text(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    response(status, "text/plain; charset=utf-8", Bytes::from_static(text.as_bytes()))
}

fn response(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE_HEADER, HeaderValue::from_static(content_type));
    response
}

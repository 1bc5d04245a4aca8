//! HTTP-FLV, WebSocket-FLV and HLS on sockets.
//!
//! Owns: what requests are answered, in whichever version of HTTP they come.

mod answer;
mod head;
mod http1;
mod http2;

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tracing::info;
use vhost::{Protocol, Query};

use crate::accept::accept;
use crate::gate::Pass;
use crate::{Desk, Playing, Refused, Visit};
use answer::Answer;
use head::Head;
pub use head::accepts;

/// For the head of a request; players of HLS ask every few seconds.
const HEAD_LIMIT: Duration = Duration::from_secs(20);
/// For an answer to leave, which may be a segment.
const BODY_LIMIT: Duration = Duration::from_secs(60);
/// For the first frame of a stream that has to be fetched.
const FIRST_LIMIT: Duration = Duration::from_secs(20);
/// Bytes of a head.
const MAX_HEAD: usize = 16 << 10;

/// What is said to connections for which there is no room.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 25\r\nRetry-After: 10\r\nAccess-Control-Allow-Origin: *\r\nConnection: close\r\n\r\n\
    503 too many connections\n";

/// Serves connections until `stop` ends, over TLS if there is an acceptor; HTTP/2 where that offers `h2`.
pub async fn serve(
    desk: Desk,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    stop: impl Future<Output = ()>,
) {
    let serve = {
        let desk = desk.clone();
        move |arrival: crate::accept::Arrival| {
            let desk = desk.clone();
            async move {
                match arrival.is_h2 {
                    true => http2::connection(desk, arrival).await,
                    false => http1::connection(desk, arrival).await,
                }
            }
        }
    };
    accept(&desk, listener, tls, FULL, stop, serve).await;
}

/// What becomes of a request.
#[derive(Debug)]
enum Outcome {
    Answer(Answer),
    /// A stream without end follows.
    Play(Box<Playing>),
}

/// Judges a request. Whoever may have what it asks for is no stranger any more.
async fn handle(desk: &Desk, head: &Head, from: SocketAddr, pass: &Pass) -> Outcome {
    let found = match head.method.as_str() {
        "OPTIONS" => Ok(Outcome::Answer(Answer::options())),
        "GET" | "HEAD" if head.is_flv() => play(desk, head, from, pass).await,
        "GET" | "HEAD" => file(desk, head, from, pass).await.map(Outcome::Answer),
        _ => Ok(Outcome::Answer(Answer::text(405, "GET, HEAD or OPTIONS\n".to_owned()))),
    };
    match found.unwrap_or_else(|refused| Outcome::Answer(Answer::refusal(&refused))) {
        Outcome::Answer(answer) if head.method == "HEAD" => Outcome::Answer(answer.without_body()),
        outcome => outcome,
    }
}

/// A playlist or a piece of a stream.
async fn file(desk: &Desk, head: &Head, from: SocketAddr, pass: &Pass) -> Result<Answer, Refused> {
    let (visit, name) = visit(desk, head, from)?;
    let file = crate::hls::file(desk, visit, &name, pass).await?;
    // Compressing into memory cannot fail.
    Ok(Answer::file(file, head.takes_gzip)
        .unwrap_or_else(|error| Answer::text(503, format!("503 {error}\n"))))
}

async fn play(desk: &Desk, head: &Head, from: SocketAddr, pass: &Pass) -> Result<Outcome, Refused> {
    let (visit, _) = visit(desk, head, from)?;
    let mut playing = desk.play(visit).await?;
    pass.let_in();
    // Whether there is a frame, or comes one in time: an answer cannot be taken back.
    match tokio::time::timeout(FIRST_LIMIT, playing.beyond(0)).await {
        Ok(true) => {}
        Ok(false) => return Err(media::PlayError::NotFound.into()),
        Err(_) => return Err(Refused::NotYet),
    }
    info!(stream = %playing.place().name, %from, "played over http");
    match head.method.as_str() {
        "HEAD" => Ok(Outcome::Answer(Answer::flv())),
        _ => Ok(Outcome::Play(Box::new(playing))),
    }
}

/// Who comes, for which file.
fn visit(desk: &Desk, head: &Head, from: SocketAddr) -> Result<(Visit, String), Refused> {
    let (path, query) = head.target.split_once('?').unwrap_or((&head.target, ""));
    let found = desk.config().directory.file(&head.host, path)?;
    let protocol = match found.file.ends_with(".flv") {
        true => Protocol::Flv,
        false => crate::hls::protocol(&found.place.app),
    };
    let query = Query::parse(query);
    Ok((Visit { place: found.place, query, protocol, address: Some(from) }, found.file))
}

#[cfg(test)]
mod tests;

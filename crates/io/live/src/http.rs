//! HTTP-FLV and WebSocket-FLV on sockets.
//!
//! Owns: a connection's one request, after which its socket goes to the stream's sweep. A body has no length
//! and ends with the connection (RFC 9112 section 6.3).

mod head;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tracing::{debug, info};
use vhost::{AddressError, Protocol, Query};

use crate::fan::{Form, Seat, Socket};
use crate::{Desk, Playing, Refused, Visit};
use head::Head;

/// For TLS, and for the head of a request.
const HEAD_LIMIT: Duration = Duration::from_secs(10);
/// For an answer to leave.
const WRITE_LIMIT: Duration = Duration::from_secs(10);
/// For the first frame of a stream that has to be fetched.
const FIRST_LIMIT: Duration = Duration::from_secs(20);
/// Bytes of a head.
const MAX_HEAD: usize = 16 << 10;
/// Connections at once that were not let in.
const STRANGERS: usize = 1024;

/// Any page may play: what is allowed is decided by tokens.
const OPEN: &str = "Access-Control-Allow-Origin: *\r\nAccess-Control-Allow-Methods: GET, HEAD, OPTIONS\r\n\
                    Access-Control-Allow-Headers: *\r\n";

/// Serves connections until `stop` ends, over TLS if there is an acceptor.
pub async fn serve(
    desk: Desk,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    stop: impl Future<Output = ()>,
) {
    let strangers = Arc::new(Semaphore::new(STRANGERS));
    tokio::pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((socket, from)) = accepted else {
            // Out of file descriptors, most likely: the listener stays, and others leave.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let Ok(permit) = strangers.clone().try_acquire_owned() else {
            debug!(%from, "too many connections that were not let in");
            continue;
        };
        let _ = socket.set_nodelay(true);
        let (desk, tls) = (desk.clone(), tls.clone());
        tokio::spawn(async move {
            if let Err(gone) = connection(&desk, socket, tls, from).await {
                debug!(%from, %gone, "http connection ended");
            }
            drop(permit);
        });
    }
}

async fn connection(
    desk: &Desk,
    socket: TcpStream,
    tls: Option<TlsAcceptor>,
    from: SocketAddr,
) -> std::io::Result<()> {
    let mut socket: Box<dyn Socket> = match tls {
        None => Box::new(socket),
        Some(tls) => Box::new(in_time(HEAD_LIMIT, tls.accept(socket)).await?),
    };
    let head = in_time(HEAD_LIMIT, read(&mut socket)).await?;
    match head {
        Some(head) if head.method == "OPTIONS" => answer(socket, 204, "").await,
        Some(head) if head.method == "GET" || head.method == "HEAD" => play(desk, socket, head, from).await,
        Some(_) => answer(socket, 405, "GET, HEAD or OPTIONS\n").await,
        None => answer(socket, 400, "not a request\n").await,
    }
}

async fn in_time<T>(limit: Duration, work: impl Future<Output = std::io::Result<T>>) -> std::io::Result<T> {
    tokio::time::timeout(limit, work).await.unwrap_or(Err(std::io::ErrorKind::TimedOut.into()))
}

/// Reads a head; none if it is not one, or too long.
async fn read(socket: &mut Box<dyn Socket>) -> std::io::Result<Option<Head>> {
    let mut buffer = BytesMut::with_capacity(1024);
    loop {
        if socket.read_buf(&mut buffer).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        match Head::parse(&buffer) {
            Ok(None) if buffer.len() < MAX_HEAD => {}
            Ok(head) => return Ok(head),
            Err(_) => return Ok(None),
        }
    }
}

async fn play(desk: &Desk, socket: Box<dyn Socket>, head: Head, from: SocketAddr) -> std::io::Result<()> {
    let visit = match visit(desk, &head, from) {
        Ok(visit) => visit,
        Err(refused) => return refuse(socket, &refused).await,
    };
    let mut playing = match desk.play(visit).await {
        Ok(playing) => playing,
        Err(refused) => return refuse(socket, &refused).await,
    };
    if !has_begun(&mut playing).await {
        return answer(socket, 404, "404 the stream cannot be fetched\n").await;
    }
    info!(stream = %playing.place().name, %from, "played over http");
    if head.method == "HEAD" {
        return answer(socket, 200, "").await;
    }
    let (form, first) = match &head.websocket {
        Some(key) => (Form::FlvMessages, upgrade(key)),
        None => (Form::Flv, begin()),
    };
    desk.seat(Seat::new(socket, form, playing, first));
    Ok(())
}

fn visit(desk: &Desk, head: &Head, from: SocketAddr) -> Result<Visit, Refused> {
    let (path, query) = head.target.split_once('?').unwrap_or((&head.target, ""));
    let found = desk.config().directory.file(&head.host, path)?;
    if !found.file.ends_with(".flv") {
        return Err(AddressError::UnknownFile.into());
    }
    let query = Query::parse(query);
    Ok(Visit { place: found.place, query, protocol: Protocol::Flv, address: Some(from) })
}

/// Whether there is a frame, or comes one in time: an answer cannot be taken back.
async fn has_begun(playing: &mut Playing) -> bool {
    tokio::time::timeout(FIRST_LIMIT, playing.beyond(0)).await.unwrap_or(false)
}

fn begin() -> Bytes {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: video/x-flv\r\n{OPEN}Cache-Control: no-store\r\nConnection: close\r\n\r\n"
    );
    head.into()
}

/// RFC 6455 section 4.2.2.
fn upgrade(key: &str) -> Bytes {
    let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes());
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    head.into()
}

async fn refuse(socket: Box<dyn Socket>, refused: &Refused) -> std::io::Result<()> {
    let status = refused.status();
    answer(socket, status, &format!("{status} {refused}\n")).await
}

async fn answer(mut socket: Box<dyn Socket>, status: u16, text: &str) -> std::io::Result<()> {
    let reason = match status {
        200 => "OK",
        204 => "No Content",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        _ => "Service Unavailable",
    };
    // A 204 has no body and says nothing of one (RFC 9110 section 8.6).
    let body = match status {
        204 => String::new(),
        200 => "Content-Type: video/x-flv\r\n".to_owned(),
        _ => format!("Content-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n", text.len()),
    };
    let head = format!("HTTP/1.1 {status} {reason}\r\n{body}{OPEN}Connection: close\r\n\r\n{text}");
    let write = async {
        socket.write_all(head.as_bytes()).await?;
        socket.shutdown().await
    };
    in_time(WRITE_LIMIT, write).await
}

#[cfg(test)]
mod tests;

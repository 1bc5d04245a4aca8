//! HTTP-FLV, WebSocket-FLV and HLS on sockets.
//!
//! Owns: connections and their requests. One for FLV is the last: its body has no length and ends with the
//! connection (RFC 9112 section 6.3), and the socket goes to the stream's sweep.

mod head;

use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tracing::info;
use vhost::{Protocol, Query};

use crate::accept::{Arrival, accept, close};
use crate::fan::{Form, Seat, Socket};
use crate::{Desk, Playing, Refused, Visit};
use head::Head;

/// For the head of a request; players of HLS ask every few seconds.
const HEAD_LIMIT: Duration = Duration::from_secs(20);
/// For an answer to leave.
const WRITE_LIMIT: Duration = Duration::from_secs(10);
/// For a segment to leave.
const BODY_LIMIT: Duration = Duration::from_secs(60);
/// For the first frame of a stream that has to be fetched.
const FIRST_LIMIT: Duration = Duration::from_secs(20);
/// Bytes of a head.
const MAX_HEAD: usize = 16 << 10;

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
    let serve = {
        let desk = desk.clone();
        move |arrival| connection(desk.clone(), arrival)
    };
    accept(&desk, listener, tls, stop, serve).await;
}

async fn connection(desk: Desk, mut arrival: Arrival) -> std::io::Result<()> {
    let mut buffer = BytesMut::with_capacity(1024);
    loop {
        let socket = &mut arrival.socket;
        let Some(head) = in_time(HEAD_LIMIT, read(socket, &mut buffer)).await? else {
            return answer(socket, 400, "not a request\n", false).await;
        };
        let is_kept = head.is_kept;
        match head.method.as_str() {
            "OPTIONS" => answer(socket, 204, "", is_kept).await?,
            "GET" | "HEAD" if is_flv(&head) => return play(&desk, arrival, head).await,
            "GET" | "HEAD" => {
                if file(&desk, socket, &head, arrival.from).await? {
                    arrival.pass.let_in();
                }
            }
            _ => answer(socket, 405, "GET, HEAD or OPTIONS\n", is_kept).await?,
        }
        if !is_kept {
            return close(&mut arrival.socket).await;
        }
    }
}

fn is_flv(head: &Head) -> bool {
    head.target.split('?').next().is_some_and(|path| path.ends_with(".flv"))
}

async fn in_time<T>(limit: Duration, work: impl Future<Output = std::io::Result<T>>) -> std::io::Result<T> {
    tokio::time::timeout(limit, work).await.unwrap_or(Err(std::io::ErrorKind::TimedOut.into()))
}

/// Reads a head; none if it is not one, or too long.
async fn read(socket: &mut Box<dyn Socket>, buffer: &mut BytesMut) -> std::io::Result<Option<Head>> {
    loop {
        match Head::parse(buffer) {
            Ok(Some(head)) => {
                buffer.advance(head.len);
                return Ok(Some(head));
            }
            Ok(None) if buffer.len() < MAX_HEAD => {}
            Ok(None) | Err(_) => return Ok(None),
        }
        if socket.read_buf(buffer).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Answers a request for a playlist or a piece of a stream; whether it was let in.
async fn file(
    desk: &Desk,
    socket: &mut Box<dyn Socket>,
    head: &Head,
    from: SocketAddr,
) -> std::io::Result<bool> {
    let found = match visit(desk, head, from) {
        Ok((visit, file)) => crate::hls::file(desk, visit, &file).await,
        Err(refused) => Err(refused),
    };
    let mut file = match found {
        Ok(file) => file,
        Err(refused) => return refuse(socket, &refused, head.is_kept).await.map(|()| false),
    };
    // Segments are compressed as they are. Caches are told in either case (RFC 9110 section 12.5.5).
    let coding = match file.is_lasting {
        true => "",
        false if head.takes_gzip => {
            file.pieces = vec![gzip(&file.pieces)?];
            "Content-Encoding: gzip\r\nVary: Accept-Encoding\r\n"
        }
        false => "Vary: Accept-Encoding\r\n",
    };
    let length: usize = file.pieces.iter().map(Bytes::len).sum();
    let cache = if file.is_lasting { "max-age=60" } else { "no-cache" };
    let connection = connection_header(head.is_kept);
    let mut pieces = vec![Bytes::from(format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {}\r\nContent-Length: {length}\r\nCache-Control: {cache}\r\n\
         {coding}{OPEN}{connection}\r\n",
        file.content_type
    ))];
    if head.method == "GET" {
        pieces.extend(file.pieces);
    }
    let write = async {
        for mut piece in pieces {
            socket.write_all_buf(&mut piece).await?;
        }
        socket.flush().await
    };
    in_time(BODY_LIMIT, write).await.map(|()| true)
}

/// The lines of a playlist repeat each other: little effort makes them a tenth.
fn gzip(pieces: &[Bytes]) -> std::io::Result<Bytes> {
    let mut out = GzEncoder::new(Vec::new(), Compression::fast());
    for piece in pieces {
        out.write_all(piece)?;
    }
    out.finish().map(Bytes::from)
}

fn connection_header(is_kept: bool) -> &'static str {
    if is_kept { "Connection: keep-alive\r\n" } else { "Connection: close\r\n" }
}

async fn play(desk: &Desk, mut arrival: Arrival, head: Head) -> std::io::Result<()> {
    let Arrival { socket, from, pass } = &mut arrival;
    let admitted = match visit(desk, &head, *from) {
        Ok((visit, _)) => desk.play(visit).await,
        Err(refused) => Err(refused),
    };
    let mut playing = match admitted {
        Ok(playing) => playing,
        Err(refused) => return refuse(socket, &refused, false).await,
    };
    pass.let_in();
    if !has_begun(&mut playing).await {
        return answer(socket, 404, "404 the stream cannot be fetched\n", false).await;
    }
    info!(stream = %playing.place().name, %from, "played over http");
    if head.method == "HEAD" {
        return answer(socket, 200, "", false).await;
    }
    let (form, first) = match &head.websocket {
        Some(key) => (Form::FlvMessages, upgrade(key)),
        None => (Form::Flv, begin()),
    };
    desk.seat(Seat::new(arrival, form, playing, first));
    Ok(())
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

async fn refuse(socket: &mut Box<dyn Socket>, refused: &Refused, is_kept: bool) -> std::io::Result<()> {
    let status = refused.status();
    answer(socket, status, &format!("{status} {refused}\n"), is_kept).await
}

async fn answer(socket: &mut Box<dyn Socket>, status: u16, text: &str, is_kept: bool) -> std::io::Result<()> {
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
    let connection = connection_header(is_kept);
    let head = format!("HTTP/1.1 {status} {reason}\r\n{body}{OPEN}{connection}\r\n{text}");
    let write = async {
        socket.write_all(head.as_bytes()).await?;
        socket.flush().await
    };
    in_time(WRITE_LIMIT, write).await?;
    if is_kept { Ok(()) } else { close(socket).await }
}

#[cfg(test)]
mod tests;

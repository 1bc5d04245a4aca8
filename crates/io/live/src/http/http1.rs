//! HTTP/1.1 and 1.0 (RFC 9112).
//!
//! Owns: one connection, request after request. One for FLV is the last: its body has no length and ends with the
//! connection (section 6.3), and the socket goes to the stream's sweep. So does that of a WebSocket.

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::answer::Answer;
use super::head::Head;
use super::{BODY_LIMIT, HEAD_LIMIT, MAX_HEAD, Outcome, handle};
use crate::Desk;
use crate::accept::Arrival;
use crate::fan::{Form, Seat};
use crate::socket::Socket;

const KEEP: &str = "Connection: keep-alive\r\n";
const CLOSE: &str = "Connection: close\r\n";

pub(super) async fn connection(desk: Desk, mut arrival: Arrival) -> io::Result<()> {
    let mut buffer = BytesMut::with_capacity(1024);
    loop {
        let Arrival { socket, from, pass, .. } = &mut arrival;
        let Some(head) = in_time(HEAD_LIMIT, read(socket, &mut buffer)).await? else {
            write(socket, Answer::text(400, "not a request\n".to_owned()), CLOSE).await?;
            return linger::farewell(socket).await;
        };
        let outcome = handle(&desk, &head, *from, pass).await;
        // Players of FLV ask once, and some take a kept connection for a stream that begins late.
        let is_kept = head.is_kept && !head.is_flv();
        match outcome {
            Outcome::Answer(answer) => write(socket, answer, if is_kept { KEEP } else { CLOSE }).await?,
            Outcome::Play(playing) => {
                let (form, first) = match &head.websocket {
                    Some(key) => (Form::FlvMessages, upgrade(key)),
                    None => (Form::Flv, text(&Answer::flv(), CLOSE)),
                };
                desk.seat(Seat::new(arrival, form, *playing, first));
                return Ok(());
            }
        }
        if !is_kept {
            return linger::farewell(socket).await;
        }
    }
}

async fn in_time<T>(limit: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(limit, work).await.unwrap_or(Err(io::ErrorKind::TimedOut.into()))
}

/// Reads a head; none if it is not one, or too long.
async fn read(socket: &mut Socket, buffer: &mut BytesMut) -> io::Result<Option<Head>> {
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
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

async fn write(socket: &mut Socket, answer: Answer, connection: &str) -> io::Result<()> {
    let head = text(&answer, connection);
    let write = async {
        for mut piece in std::iter::once(head).chain(answer.pieces) {
            socket.write_all_buf(&mut piece).await?;
        }
        socket.flush().await
    };
    in_time(BODY_LIMIT, write).await
}

/// The head of an answer.
fn text(answer: &Answer, connection: &str) -> Bytes {
    let reason = match answer.status {
        200 => "OK",
        204 => "No Content",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        _ => "Service Unavailable",
    };
    let mut head = format!("HTTP/1.1 {} {reason}\r\n", answer.status);
    for (name, value) in &answer.headers {
        // Writing to a string cannot fail.
        let _ = write!(head, "{name}: {value}\r\n");
    }
    head.push_str(connection);
    head.push_str("\r\n");
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

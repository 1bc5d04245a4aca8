//! One participant's WebSocket.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::bail;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use client::Mode;
use futures_util::{SinkExt as _, StreamExt as _};
use livekit_protocol as proto;
use prost::Message as _;
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::crowd::{Post, ToCrowd};
use crate::server::{Server, Stream};

/// A server that has not let somebody in by then is said not to answer.
const JOIN_TIMEOUT: Duration = Duration::from_secs(20);
/// LiveKit's protocol as of livekit-client 2.23.
const PROTOCOL: i32 = 16;

/// Bytes that a WebSocket reads and gathers at once: with those of the library thousands would need gigabytes.
const BUFFER: usize = 4096;

/// Who joins which server.
#[derive(Clone)]
pub(crate) struct Join {
    pub(crate) index: usize,
    pub(crate) server: Arc<Server>,
    pub(crate) token: String,
    pub(crate) mode: Mode,
    pub(crate) subscribes: bool,
}

impl Join {
    fn target(&self) -> String {
        let Self { server, token, subscribes, .. } = self;
        let base = &server.url;
        match self.mode {
            Mode::Dual => format!(
                "{base}/rtc?access_token={token}&auto_subscribe={}&sdk=rust&version=0&protocol={PROTOCOL}",
                u8::from(*subscribes)
            ),
            Mode::Single => {
                let mut client = proto::ClientInfo { protocol: PROTOCOL, ..Default::default() };
                client.set_sdk(proto::client_info::Sdk::Rust);
                let settings =
                    proto::ConnectionSettings { auto_subscribe: *subscribes, ..Default::default() };
                let request = proto::JoinRequest {
                    client_info: Some(client),
                    connection_settings: Some(settings),
                    ..Default::default()
                };
                let wrapped =
                    proto::WrappedJoinRequest { join_request: request.encode_to_vec(), ..Default::default() };
                let text = URL_SAFE_NO_PAD.encode(wrapped.encode_to_vec());
                format!("{base}/rtc/v1?access_token={token}&join_request={text}")
            }
        }
    }
}

/// Lives a participant's signalling: from the join to the end of its WebSocket. What it hears goes to the
/// crowd's thread; what that wants said comes back by a queue.
pub(crate) async fn live(join: Join, crowd: Post) {
    let index = join.index;
    let began = Instant::now();
    match tokio::time::timeout(JOIN_TIMEOUT, connect(&join)).await {
        Ok(Ok((socket, ip))) => {
            let (say, wanted) = mpsc::unbounded_channel();
            crowd.send(ToCrowd::Entered { index, began, ip, say });
            talk(index, socket, wanted, &crowd).await;
        }
        Ok(Err(error)) => crowd.send(ToCrowd::Refused { why: format!("{error:#}") }),
        Err(_) => {
            let why = format!("the server did not answer within {} s", JOIN_TIMEOUT.as_secs());
            crowd.send(ToCrowd::Refused { why });
        }
    }
}

type Socket = WebSocketStream<Box<dyn Stream>>;

/// The WebSocket and our address towards the server.
async fn connect(join: &Join) -> anyhow::Result<(Socket, IpAddr)> {
    let (stream, ip) = join.server.connect(join.index).await?;
    let config = WebSocketConfig::default().read_buffer_size(BUFFER).write_buffer_size(BUFFER);
    let opened = tokio_tungstenite::client_async_with_config(join.target(), stream, Some(config)).await;
    match opened {
        Ok((socket, _)) => Ok((socket, ip)),
        Err(tungstenite::Error::Http(answer)) => {
            let body = answer.body().as_deref().map(String::from_utf8_lossy).unwrap_or_default();
            let hint = match answer.status().as_u16() {
                401 | 403 => "; check --api-key and --api-secret",
                404 => "; --url should be the server's own, without /rtc",
                _ => "",
            };
            bail!("the server answered {} {}{hint}", answer.status(), body.trim());
        }
        Err(error) => {
            bail!(
                "--url {}: no WebSocket opened ({error}); is that the server's port of HTTP?",
                join.server.url
            )
        }
    }
}

async fn talk(
    index: usize,
    socket: Socket,
    mut wanted: mpsc::UnboundedReceiver<proto::SignalRequest>,
    crowd: &Post,
) {
    let (mut write, mut read) = socket.split();
    loop {
        tokio::select! {
            message = read.next() => match message {
                Some(Ok(Message::Binary(bytes))) => match proto::SignalResponse::decode(bytes) {
                    Ok(response) => crowd.send(ToCrowd::Said { index, response: Box::new(response) }),
                    Err(_) => break,
                },
                Some(Ok(_)) => {}
                Some(Err(_)) | None => break,
            },
            request = wanted.recv() => {
                let Some(request) = request else { break };
                if write.send(Message::Binary(request.encode_to_vec().into())).await.is_err() {
                    break;
                }
            }
        }
    }
    // What was still to be said, such as goodbye.
    while let Ok(request) = wanted.try_recv() {
        let _ = write.send(Message::Binary(request.encode_to_vec().into())).await;
    }
    let _ = write.close().await;
    crowd.send(ToCrowd::Closed { index });
}

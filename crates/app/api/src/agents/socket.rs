//! One worker's WebSocket on `/agent`.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use livekit_protocol as proto;
use prost::Message as _;
use proto::worker_message::Message as Heard;
use tokio::sync::mpsc;
use tokio::time::{Instant, interval, timeout};
use tracing::{debug, info};

use super::{WorkerId, nanos};
use crate::admit::{self, Refusal};
use crate::app::Shared;
use crate::protojson;

/// Messages that may wait for a worker to read them.
const OUTBOX: usize = 256;
/// For a worker to introduce itself.
const INTRODUCTION: Duration = Duration::from_secs(10);

type Upgrade = Result<WebSocketUpgrade, WebSocketUpgradeRejection>;

/// `GET /agent`
pub(crate) async fn connect(
    State(shared): State<Arc<Shared>>,
    upgrade: Upgrade,
    request: Request<Body>,
) -> Response {
    let Ok(upgrade) = upgrade else { return (StatusCode::NOT_FOUND, "not found").into_response() };
    let claims = match admit::verify(&shared, admit::bearer(request.headers())) {
        Ok(claims) => claims,
        Err(refusal) => return refusal.into_response(),
    };
    if !claims.video.is_some_and(|video| video.agent) {
        return Refusal::new(StatusCode::UNAUTHORIZED, "permissions denied").into_response();
    }
    if shared.directory.is_draining() {
        return Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "server is shutting down").into_response();
    }
    let limit = shared.config().limits.agent_message;
    upgrade
        .max_message_size(limit)
        .max_frame_size(limit)
        .on_upgrade(move |socket| async move { run(shared, socket).await })
}

/// A worker is forgotten however its connection ends.
struct Registered {
    shared: Arc<Shared>,
    id: WorkerId,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.shared.worker_gone(self.id);
    }
}

async fn run(shared: Arc<Shared>, mut socket: WebSocket) {
    let Ok(Some(Heard::Register(asked))) = timeout(INTRODUCTION, next(&mut socket)).await else {
        close(&mut socket, close_code::POLICY).await;
        return;
    };
    let (outbox, mut messages) = mpsc::channel(OUTBOX);
    let id = shared.next_worker();
    info!(worker = id.0, agent = %asked.agent_name, kind = asked.r#type, "agent worker registered");
    let server = signal::server_info(&shared.config().rooms.server);
    let worker = Registered { shared: Arc::clone(&shared), id };
    let said = shared.agents.with(|pool| pool.register(id, outbox, asked, server, nanos()));
    shared.carry_out(said);
    let code = exchange(&shared, &mut socket, &mut messages, id).await;
    drop(worker);
    info!(worker = id.0, code, "agent worker gone");
    close(&mut socket, code).await;
}

/// Runs until either side ends it; the code to close with.
async fn exchange(
    shared: &Arc<Shared>,
    socket: &mut WebSocket,
    messages: &mut mpsc::Receiver<proto::ServerMessage>,
    id: WorkerId,
) -> u16 {
    let limits = shared.config().limits;
    let mut pings = interval(limits.ping_interval);
    let mut last_heard = Instant::now();
    loop {
        let frame = tokio::select! {
            received = socket.recv() => {
                last_heard = Instant::now();
                match read(received) {
                    Ok(Some(message)) => {
                        if !shared.hear_worker(id, message) {
                            return close_code::POLICY;
                        }
                    }
                    Ok(None) => {}
                    Err(code) => return code,
                }
                continue;
            }
            message = messages.recv() => match message {
                Some(message) => Message::Binary(message.encode_to_vec().into()),
                None => return close_code::NORMAL,
            },
            _ = pings.tick() => {
                if last_heard.elapsed() >= limits.silence {
                    return close_code::POLICY;
                }
                Message::Ping(Bytes::new())
            }
        };
        if !matches!(timeout(limits.write_timeout, socket.send(frame)).await, Ok(Ok(()))) {
            return close_code::POLICY;
        }
    }
}

/// The first message, whatever comes before it on the level of the WebSocket.
async fn next(socket: &mut WebSocket) -> Option<Heard> {
    loop {
        if let Some(message) = read(socket.recv().await).ok()? {
            return Some(message);
        }
    }
}

/// A message, nothing that matters here, or the code to close with.
fn read(received: Option<Result<Message, axum::Error>>) -> Result<Option<Heard>, u16> {
    match received {
        Some(Ok(Message::Binary(bytes))) => match proto::WorkerMessage::decode(bytes) {
            Ok(message) => Ok(message.message),
            Err(error) => {
                debug!(%error, "a worker's message is malformed");
                Err(close_code::INVALID)
            }
        },
        Some(Ok(Message::Text(text))) => match protojson::read::<proto::WorkerMessage>(text.as_bytes()) {
            Ok(message) => Ok(message.message),
            Err(_) => Err(close_code::INVALID),
        },
        Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(None),
        Some(Ok(Message::Close(_))) | None => Err(close_code::NORMAL),
        Some(Err(_)) => Err(close_code::SIZE),
    }
}

async fn close(socket: &mut WebSocket, code: u16) {
    // The last word: whoever does not take it soon does without.
    let goodbye = Message::Close(Some(CloseFrame { code, reason: "".into() }));
    let _ = timeout(Duration::from_secs(1), socket.send(goodbye)).await;
}

//! One client's WebSocket: frames in, frames out, and its end.
//!
//! Owns: framing (protobuf in binary frames; protojson for whoever speaks in text), size limits, pings, and
//! telling the room exactly once that the client has gone. Understands no message.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use bytes::Bytes;
use livekit_protocol::{SignalRequest, SignalResponse};
use prost::Message as _;
use signal::SessionId;
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, timeout};
use tracing::debug;

use crate::app::Shared;
use crate::directory::ToRoom;
use crate::protojson;
use crate::queue::Receiver;

/// A client that a room has let in (or sent away: the queue says).
pub(crate) struct Session {
    id: SessionId,
    queue: Receiver,
    shared: Arc<Shared>,
}

/// Why a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The room has said all it had to.
    Room,
    /// The client closed, or the network did.
    Client,
    /// No sign of life, or what was sent to it did not leave.
    Silent,
    /// It does not read what the room says.
    Slow,
    TooLarge,
    Undecodable,
}

impl Session {
    pub(crate) fn new(id: SessionId, queue: Receiver, shared: Arc<Shared>) -> Self {
        shared.sessions.send_modify(|n| *n += 1);
        Self { id, queue, shared }
    }

    /// What the room says next. `None`: it has nothing more to say.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        self.queue.next().await
    }

    /// Tells the room something; nothing if it has ended.
    pub(crate) async fn say(&self, message: livekit_protocol::signal_request::Message) {
        let request = Box::new(SignalRequest { message: Some(message) });
        let _ = self.queue.room().send(ToRoom::Request { session: self.id, request }).await;
    }

    /// Runs until either side ends it.
    pub(crate) async fn run(mut self, mut socket: WebSocket, first: Bytes) {
        let end = self.exchange(&mut socket, first).await;
        let code = match end {
            End::Room | End::Client => close_code::NORMAL,
            End::Silent | End::Slow => close_code::POLICY,
            End::TooLarge => close_code::SIZE,
            End::Undecodable => close_code::INVALID,
        };
        debug!(session = self.id.0, ?end, "signalling ended");
        // The last word: whoever does not take it soon does without.
        let goodbye = Message::Close(Some(CloseFrame { code, reason: "".into() }));
        if !matches!(end, End::Client | End::Silent | End::Slow) {
            let _ = timeout(Duration::from_secs(1), socket.send(goodbye)).await;
        }
    }

    async fn exchange(&mut self, socket: &mut WebSocket, first: Bytes) -> End {
        let limits = self.shared.config().limits;
        let abort = self.queue.abort();
        let mut json = false;
        let mut pings = ticks(limits.ping_interval);
        let mut last_heard = Instant::now();
        if let Err(end) = self.write(socket, frame(first, json), limits.write_timeout).await {
            return end;
        }
        loop {
            tokio::select! {
                received = socket.recv() => {
                    last_heard = Instant::now();
                    match self.read(received, &mut json).await {
                        Ok(()) => {}
                        Err(end) => return end,
                    }
                }
                message = self.queue.next() => {
                    let Some(message) = message else { return End::Room };
                    if let Err(end) = self.write(socket, frame(message, json), limits.write_timeout).await {
                        return end;
                    }
                }
                _ = pings.tick() => {
                    if last_heard.elapsed() >= limits.silence {
                        return End::Silent;
                    }
                    if let Err(end) = self.write(socket, Message::Ping(Bytes::new()), limits.write_timeout).await {
                        return end;
                    }
                }
                () = abort.requested() => return End::Slow,
            }
        }
    }

    async fn read(&self, received: Option<Result<Message, axum::Error>>, json: &mut bool) -> Result<(), End> {
        let metrics = &self.shared.metrics;
        let request = match received {
            Some(Ok(Message::Binary(bytes))) => SignalRequest::decode(bytes).ok(),
            Some(Ok(Message::Text(text))) => {
                *json = true;
                protojson::read(text.as_bytes()).ok()
            }
            // Pongs only show that someone is there; pings are answered by the WebSocket itself.
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => return Ok(()),
            Some(Ok(Message::Close(_))) | None => return Err(End::Client),
            Some(Err(error)) => {
                if is_too_large(error) {
                    metrics.messages_too_large.add_one();
                    return Err(End::TooLarge);
                }
                return Err(End::Client);
            }
        };
        let Some(request) = request else {
            metrics.messages_undecodable.add_one();
            return Err(End::Undecodable);
        };
        metrics.messages_in.add_one();
        if request.message.is_none() {
            // A kind of request that is newer than this server.
            return Ok(());
        }
        // A full inbox makes this client wait, and through TCP whatever fills it.
        let message = ToRoom::Request { session: self.id, request: Box::new(request) };
        self.queue.room().send(message).await.map_err(|_| End::Room)
    }

    async fn write(&self, socket: &mut WebSocket, message: Message, patience: Duration) -> Result<(), End> {
        let abort = self.queue.abort();
        let sent = tokio::select! {
            sent = timeout(patience, socket.send(message)) => sent,
            () = abort.requested() => return Err(End::Slow),
        };
        match sent {
            Ok(Ok(())) => {
                self.shared.metrics.messages_out.add_one();
                Ok(())
            }
            Ok(Err(_)) => Err(End::Client),
            Err(_) => Err(End::Silent),
        }
    }
}

impl Drop for Session {
    /// However it ends, also between the handshake's two halves: the room hears of it.
    fn drop(&mut self) {
        self.shared.sessions.send_modify(|n| *n = n.saturating_sub(1));
        let message = ToRoom::Closed { session: self.id };
        let room = self.queue.room();
        if let Err(mpsc::error::TrySendError::Full(message)) = room.try_send(message)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(async move { room.send(message).await });
        }
    }
}

/// A message as this client wants it.
fn frame(message: Bytes, json: bool) -> Message {
    if !json {
        return Message::Binary(message);
    }
    let text = SignalResponse::decode(message).ok().and_then(|m| serde_json::to_string(&m).ok());
    Message::Text(text.unwrap_or_default().into())
}

fn ticks(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.reset();
    ticks
}

fn is_too_large(error: axum::Error) -> bool {
    use tokio_tungstenite::tungstenite::Error as Cause;
    matches!(error.into_inner().downcast_ref(), Some(Cause::Capacity(_)))
}

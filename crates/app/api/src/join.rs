//! From a request to an open WebSocket.
//!
//! The room answers before the handshake does, so that whatever goes wrong until then is a plain HTTP error,
//! which clients understand better than a WebSocket that closes.

use std::sync::Arc;

use axum::extract::ws::WebSocketUpgrade;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use tokio::time::timeout;

use crate::admit::{self, Admitted, Path, Refusal};
use crate::app::Shared;
use crate::directory::ToRoom;
use crate::queue::queue;
use crate::socket::Session;

/// A room can end between being found and being joined; its successor cannot as easily.
pub(crate) const ATTEMPTS: usize = 3;

/// Lets a client in, or says why not.
pub(crate) async fn join(
    shared: &Arc<Shared>,
    path: Path,
    upgrade: WebSocketUpgrade,
    parts: &Parts,
) -> Result<Response, Refusal> {
    let admitted = admit::admit(shared, path, parts)?;
    let limits = shared.config().limits;
    let busy = || Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the room does not answer");
    for _ in 0..ATTEMPTS {
        let mut session = enter(shared, &admitted).await?;
        let Ok(first) = timeout(limits.join_timeout, session.next()).await else {
            return Err(busy());
        };
        let Some(first) = first else { continue };
        shared.metrics.joins.add_one();
        return Ok(upgrade
            .max_message_size(limits.message)
            .max_frame_size(limits.message)
            .read_buffer_size(4 * 1024)
            .write_buffer_size(0)
            .on_upgrade(move |socket| session.run(socket, first)));
    }
    Err(busy())
}

/// Knocks at the room's door.
pub(crate) async fn enter(shared: &Arc<Shared>, admitted: &Admitted) -> Result<Session, Refusal> {
    let room = shared.room(&admitted.room, &admitted.claims)?;
    let limits = shared.config().limits;
    let (sender, receiver) = queue(room.inbox.clone(), limits.queued_messages, limits.queued_bytes);
    let id = shared.next_session();
    let join = signal::Join {
        session: id,
        claims: admitted.claims.clone(),
        request: admitted.request.clone(),
        worker: shared.engine.beside(room.worker),
    };
    let message = ToRoom::Join { join: Box::new(join), queue: sender };
    // If the room is over, the message and with it the queue's other end are gone, and the queue says so.
    let _ = timeout(limits.join_timeout, room.inbox.send(message)).await;
    Ok(Session::new(id, receiver, Arc::clone(shared)))
}

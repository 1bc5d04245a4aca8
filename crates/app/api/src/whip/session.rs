//! What holds the server's end of a publication: it reads what the room says, and keeps the answers.
//!
//! Owns: the offer that was last answered, the tag of its ICE session, and the end of both. A task runs as long as
//! the participant is in the room; nobody waits for it but those who asked it something.

use std::sync::Arc;

use axum::http::StatusCode;
use bytes::Bytes;
use livekit_protocol as proto;
use prost::Message as _;
use proto::signal_request::Message as Say;
use proto::signal_response::Message;
use signal::whip::{self, Fragment};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::{Ask, Begun, Publication, Restarted};
use crate::admit::{Admitted, Refusal};
use crate::app::Shared;
use crate::join::{ATTEMPTS, enter};
use crate::socket::Session;

/// Questions that wait for their turn.
const ASKS: usize = 8;
/// Restarts that wait for their answer.
const RESTARTS: usize = 4;

/// Joins the room, and returns its answer to the offer.
pub(super) async fn begin(shared: &Arc<Shared>, admitted: &Admitted) -> Result<Begun, Refusal> {
    let patience = shared.config().limits.join_timeout;
    let busy = || Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the room does not answer");
    for _ in 0..ATTEMPTS {
        let mut seat = enter(shared, admitted).await?;
        let begun = timeout(patience, first_answer(&mut seat)).await.map_err(|_| busy())?;
        // The room is over; its successor may not be.
        let Some(begun) = begun? else { continue };
        shared.metrics.joins.add_one();
        keep(shared, admitted, seat, &begun);
        return Ok(begun);
    }
    Err(busy())
}

/// `None` if the room has ended without a word.
async fn first_answer(seat: &mut Session) -> Result<Option<Begun>, Refusal> {
    let mut joined: Option<proto::JoinResponse> = None;
    while let Some(bytes) = seat.next().await {
        match (decode(bytes), joined.as_mut()) {
            (Some(Message::Join(join)), None) => joined = Some(join),
            (Some(Message::Answer(answer)), Some(join)) => {
                let tag = whip::ufrag_of(&answer.sdp).unwrap_or_default();
                let participant = join.participant.take().map(|p| p.sid).unwrap_or_default();
                let ice_servers = std::mem::take(&mut join.ice_servers);
                return Ok(Some(Begun { participant, answer: answer.sdp, tag, ice_servers }));
            }
            (Some(Message::Leave(leave)), _) => {
                let reason = leave.reason().as_str_name();
                let text = format!("the room does not take this participant: {reason}");
                return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, text));
            }
            _ => {}
        }
    }
    Ok(None)
}

fn keep(shared: &Arc<Shared>, admitted: &Admitted, seat: Session, begun: &Begun) {
    let (asks, asked) = mpsc::channel(ASKS);
    let publication =
        Publication { room: admitted.room.clone(), identity: admitted.claims.identity.clone(), asks };
    shared.publications.lock().insert(begun.participant.clone(), publication);
    let offer = admitted.request.offer.as_ref().map(|o| o.sdp.clone()).unwrap_or_default();
    let keeper = Keeper {
        place: Place { shared: Arc::clone(shared), participant: begun.participant.clone() },
        seat,
        asked,
        offer,
        offers: 1,
        tag: begun.tag.clone(),
        restarts: Vec::new(),
    };
    tokio::spawn(keeper.run());
}

/// A publication's place among the others, given up when its task ends, however that happens.
struct Place {
    shared: Arc<Shared>,
    participant: String,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.publications.lock().remove(&self.participant);
    }
}

struct Keeper {
    place: Place,
    seat: Session,
    asked: mpsc::Receiver<Ask>,
    /// As it was last answered.
    offer: String,
    /// Made until now: their ids.
    offers: u32,
    tag: String,
    /// Those who wait for the answers to their restarts, by the id of the offer.
    restarts: Vec<(u32, oneshot::Sender<Result<Restarted, Refusal>>)>,
}

impl Keeper {
    async fn run(mut self) {
        loop {
            tokio::select! {
                message = self.seat.next() => match message {
                    Some(bytes) => self.hear(bytes),
                    // The participant has left the room.
                    None => break,
                },
                ask = self.asked.recv() => match ask {
                    Some(ask) => self.answer(ask).await,
                    None => break,
                },
            }
        }
        tracing::debug!(participant = %self.place.participant, "publication over HTTP ended");
    }

    fn hear(&mut self, bytes: Bytes) {
        let Some(Message::Answer(answer)) = decode(bytes) else { return };
        let Some(at) = self.restarts.iter().position(|(id, _)| *id == answer.id) else { return };
        let (_, reply) = self.restarts.swap_remove(at);
        let restarted = whip::fragment_of(&answer.sdp).zip(whip::ufrag_of(&answer.sdp));
        let restarted = restarted.map(|(fragment, tag)| Restarted { tag, fragment });
        if let Some(restarted) = &restarted {
            self.tag.clone_from(&restarted.tag);
        }
        let failed = || Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "no answer to the restart");
        // Whoever asked may have gone.
        let _ = reply.send(restarted.ok_or_else(failed));
    }

    async fn answer(&mut self, ask: Ask) {
        match ask {
            Ask::Trickle { tag, fragment, reply } => {
                let result = self.trickle(&tag, fragment).await;
                let _ = reply.send(result);
            }
            Ask::Restart { fragment, reply } => self.restart(fragment, reply).await,
            Ask::End => {
                self.seat.say(Say::Leave(proto::LeaveRequest::default())).await;
            }
        }
    }

    async fn trickle(&mut self, tag: &str, fragment: Fragment) -> Result<(), Refusal> {
        if tag != self.tag {
            let text = "entity tag is not that of the ICE session";
            return Err(Refusal::new(StatusCode::PRECONDITION_FAILED, text));
        }
        let is_ours = |line: &str| line.strip_prefix("a=ice-ufrag:").is_some_and(|u| u == fragment.ufrag);
        if !fragment.ufrag.is_empty() && !self.offer.lines().map(str::trim_end).any(is_ours) {
            return Err(Refusal::new(StatusCode::BAD_REQUEST, "ice-ufrag is not that of the offer"));
        }
        self.add_candidates(fragment.candidates).await;
        Ok(())
    }

    async fn restart(&mut self, fragment: Fragment, reply: oneshot::Sender<Result<Restarted, Refusal>>) {
        let refusal = |status, text: &'static str| Err(Refusal::new(status, text));
        let Some(offer) = fragment.restart(&self.offer) else {
            let _ = reply.send(refusal(StatusCode::BAD_REQUEST, "a restart needs ice-ufrag and ice-pwd"));
            return;
        };
        if self.restarts.len() >= RESTARTS {
            let _ = reply.send(refusal(StatusCode::TOO_MANY_REQUESTS, "restarts wait for their answers"));
            return;
        }
        self.offers += 1;
        self.restarts.push((self.offers, reply));
        self.offer.clone_from(&offer);
        let offer = proto::SessionDescription {
            r#type: "offer".into(),
            sdp: offer,
            id: self.offers,
            ..Default::default()
        };
        self.seat.say(Say::Offer(offer)).await;
        self.add_candidates(fragment.candidates).await;
    }

    async fn add_candidates(&self, candidates: Vec<String>) {
        for candidate in candidates {
            let init = serde_json::json!({ "candidate": candidate, "sdpMLineIndex": 0 });
            let trickle = proto::TrickleRequest {
                candidate_init: init.to_string(),
                target: proto::SignalTarget::Publisher.into(),
                ..Default::default()
            };
            self.seat.say(Say::Trickle(trickle)).await;
        }
    }
}

fn decode(bytes: Bytes) -> Option<Message> {
    proto::SignalResponse::decode(bytes).ok()?.message
}

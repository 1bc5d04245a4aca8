//! Data packets: who may send them, what is said about their sender, and whom they go to.
//!
//! A packet is edited on the wire, field by field: what this server does not know, such as an encrypted
//! payload or a field of a newer client, passes through as it came.

use std::collections::BTreeSet;
use std::time::Duration;

use clock::Time;
use livekit_protocol as proto;
use prost::Message as _;
use prost::bytes::{Buf, BufMut, Bytes};
use prost::encoding::{WireType, decode_key, decode_varint, encode_key, encode_varint};
use room::{Participant, ParticipantSid, State};
use sfu::PeerId;

use crate::{AdminError, AdminReply, Conference};

/// The reliable channel's label.
pub(crate) const RELIABLE: &str = "_reliable";
/// The lossy channel's label.
pub(crate) const LOSSY: &str = "_lossy";
/// The label of the channel of data tracks.
pub(crate) const DATA_TRACK: &str = "_data_track";
/// What a packet may have beside its payload, in bytes.
pub(crate) const ENVELOPE: usize = 4096;
/// Between two complaints to whoever sends too much.
const REFUSAL_INTERVAL: Duration = Duration::from_secs(1);
/// Names of receivers read from one packet.
const DESTINATIONS_MAX: usize = 1000;

/// `DataPacket`'s field numbers.
mod field {
    pub(super) const KIND: u32 = 1;
    pub(super) const USER: u32 = 2;
    pub(super) const SPEAKER: u32 = 3;
    pub(super) const IDENTITY: u32 = 4;
    pub(super) const DESTINATIONS: u32 = 5;
    pub(super) const TRANSCRIPTION: u32 = 7;
    pub(super) const METRICS: u32 = 8;
    pub(super) const CHAT: u32 = 9;
    pub(super) const RPC_ACK: u32 = 11;
    pub(super) const RPC_RESPONSE: u32 = 12;
    pub(super) const STREAM_HEADER: u32 = 13;
    pub(super) const STREAM_CHUNK: u32 = 14;
    pub(super) const STREAM_TRAILER: u32 = 15;
    pub(super) const SEQUENCE: u32 = 16;
    pub(super) const SID: u32 = 17;
    pub(super) const ENCRYPTED: u32 = 18;
}

/// What routing needs to know of a packet.
#[derive(Debug, Default, PartialEq)]
struct Outline {
    /// The field of its value; 0 if it has none.
    value: u32,
    /// Said by the sender about itself.
    identity: String,
    destinations: Vec<String>,
    sids: Vec<String>,
    sequence: u32,
    /// All that passes unchanged.
    kept: Vec<u8>,
    user: Option<proto::UserPacket>,
}

impl Outline {
    /// `None` if the packet is malformed.
    fn read(packet: &Bytes) -> Option<Self> {
        let mut outline = Self::default();
        let mut rest = packet.clone();
        while rest.has_remaining() {
            let before = rest.clone();
            let (field, wire) = decode_key(&mut rest).ok()?;
            let body = match wire {
                WireType::Varint => {
                    let value = decode_varint(&mut rest).ok()?;
                    if field == field::SEQUENCE {
                        outline.sequence = u32::try_from(value).unwrap_or(u32::MAX);
                    }
                    Bytes::new()
                }
                WireType::SixtyFourBit => take(&mut rest, 8)?,
                WireType::ThirtyTwoBit => take(&mut rest, 4)?,
                WireType::LengthDelimited => {
                    let len = usize::try_from(decode_varint(&mut rest).ok()?).ok()?;
                    take(&mut rest, len)?
                }
                WireType::StartGroup | WireType::EndGroup => return None,
            };
            let whole = before.slice(..before.len() - rest.len());
            outline.note(field, wire, body, &whole)?;
        }
        Some(outline)
    }

    fn note(&mut self, number: u32, wire: WireType, body: Bytes, whole: &Bytes) -> Option<()> {
        let is_message = wire == WireType::LengthDelimited;
        match number {
            field::KIND | field::SID => return Some(()),
            field::IDENTITY if is_message => {
                self.identity = String::from_utf8(body.to_vec()).ok()?;
                return Some(());
            }
            field::USER if is_message => {
                let user = proto::UserPacket::decode(body).ok()?;
                self.value = number;
                self.user = Some(user);
                return Some(());
            }
            field::DESTINATIONS if is_message && self.destinations.len() < DESTINATIONS_MAX => {
                self.destinations.push(String::from_utf8(body.to_vec()).ok()?);
            }
            field::SEQUENCE => {}
            field::SPEAKER..=field::STREAM_TRAILER | field::ENCRYPTED if is_message => self.value = number,
            _ => {}
        }
        self.kept.extend_from_slice(whole);
        Some(())
    }

    /// The packet as receivers get it.
    fn write(mut self, reliable: bool, sid: &str, identity: &str) -> Bytes {
        let mut out = std::mem::take(&mut self.kept);
        if !reliable {
            encode_key(field::KIND, WireType::Varint, &mut out);
            encode_varint(1, &mut out);
        }
        if let Some(mut user) = self.user.take() {
            name_sender(&mut user, sid, identity);
            put(&mut out, field::USER, &user.encode_to_vec());
        }
        put(&mut out, field::IDENTITY, identity.as_bytes());
        put(&mut out, field::SID, sid.as_bytes());
        Bytes::from(out)
    }
}

/// What is no packet, as one for everybody.
fn wrapped(payload: &Bytes) -> Bytes {
    let user = proto::UserPacket { payload: payload.to_vec(), ..proto::UserPacket::default() };
    let value = Some(proto::data_packet::Value::User(user));
    Bytes::from(proto::DataPacket { value, ..proto::DataPacket::default() }.encode_to_vec())
}

#[allow(deprecated)] // Old clients read the sender inside the user packet.
fn name_sender(user: &mut proto::UserPacket, sid: &str, identity: &str) {
    user.participant_sid = sid.to_owned();
    user.participant_identity = identity.to_owned();
}

#[allow(deprecated)] // Old clients name receivers inside the user packet.
fn legacy_destinations(user: &proto::UserPacket) -> (Vec<String>, Vec<String>) {
    (user.destination_identities.clone(), user.destination_sids.clone())
}

/// Under whose name a packet goes. Agents may speak for others.
fn name_of(sender: &Participant, is_agent: bool, packet: &Outline) -> String {
    let may_be_another = matches!(
        packet.value,
        field::CHAT
            | field::TRANSCRIPTION
            | field::STREAM_HEADER
            | field::STREAM_CHUNK
            | field::STREAM_TRAILER
    );
    if sender.who.permission.hidden {
        String::new()
    } else if is_agent && may_be_another && !packet.identity.is_empty() {
        packet.identity.clone()
    } else {
        sender.who.identity.clone()
    }
}

fn take(rest: &mut Bytes, len: usize) -> Option<Bytes> {
    (rest.len() >= len).then(|| rest.split_to(len))
}

fn put(out: &mut Vec<u8>, number: u32, body: &[u8]) {
    if body.is_empty() {
        return;
    }
    encode_key(number, WireType::LengthDelimited, out);
    encode_varint(body.len() as u64, out);
    out.put_slice(body);
}

impl Conference {
    pub(crate) fn on_data(&mut self, now: Time, peer: PeerId, label: &str, payload: Bytes) {
        let (label, bare) = match label {
            RELIABLE => (RELIABLE, false),
            LOSSY => (LOSSY, false),
            DATA_TRACK => return self.on_data_frame(now, peer, &payload),
            // A channel of an application's own.
            _ => (RELIABLE, true),
        };
        let Some(sid) = self.peers.get(&peer).cloned() else { return };
        if !self.may_send_data(now, peer) {
            return;
        }
        if payload.len() > self.config.limits.data_packet + ENVELOPE {
            return;
        }
        let payload = if bare { wrapped(&payload) } else { payload };
        let Some(packet) = Outline::read(&payload) else { return };
        if label == LOSSY {
            self.route(now, &sid, label, packet, &payload);
        } else if self.is_due(now, &sid, packet.sequence, &payload) {
            self.route(now, &sid, label, packet, &payload);
            self.pass_early(now, &sid, false);
        }
    }

    /// Passes on a packet that has been waiting.
    pub(crate) fn pass_on(&mut self, now: Time, sid: &ParticipantSid, label: &'static str, payload: &Bytes) {
        if let Some(packet) = Outline::read(payload) {
            self.route(now, sid, label, packet, payload);
        }
    }

    /// Sends a packet, of which `payload` are the bytes, to those it is for, if its sender may.
    fn route(
        &mut self,
        now: Time,
        sid: &ParticipantSid,
        label: &'static str,
        mut packet: Outline,
        payload: &Bytes,
    ) {
        let reliable = label == RELIABLE;
        let Some(sender) = self.room.participant(sid) else { return };
        if !sender.who.permission.can_publish_data {
            return;
        }
        let is_agent = sender.who.kind == auth::Kind::Agent;
        if packet.value == field::SPEAKER || (packet.value == field::TRANSCRIPTION && !is_agent) {
            return;
        }
        if let Some(user) = &packet.user {
            let (identities, sids) = legacy_destinations(user);
            packet.destinations.extend(identities);
            packet.sids.extend(sids);
        }
        let identity = name_of(sender, is_agent, &packet);
        let hidden = sender.who.permission.hidden;
        if matches!(packet.value, field::RPC_ACK | field::RPC_RESPONSE) && self.on_call_answer(sid, payload) {
            return;
        }
        let metrics = packet.value == field::METRICS;
        let peers = self.receivers(&packet.destinations, &packet.sids, |p| {
            p.sid != *sid && (!metrics || p.who.permission.can_subscribe_metrics)
        });
        if peers.is_empty() {
            return;
        }
        if self.crowd.has(sid) {
            // Receivers are to know whom they hear.
            self.update(sid, true);
        }
        let sequence = packet.sequence;
        let payload = packet.write(reliable, if hidden { "" } else { &sid.0 }, &identity);
        // Without a publisher's sid receivers tell no repeats.
        if reliable
            && sequence != 0
            && !hidden
            && let Some(session) = self.sessions.get_mut(sid)
        {
            session.reliable.keep(now.mono, sequence, &peers, &payload);
        }
        self.command(sfu::Command::SendData { peers, label, payload });
    }

    /// Whether a client may send one more packet. What is beyond that is dropped, and it is told so.
    pub(crate) fn may_send_data(&mut self, now: Time, peer: PeerId) -> bool {
        let rate = self.config.limits.data;
        let Some(sid) = self.peers.get(&peer).cloned() else { return false };
        let Some(session) = self.sessions.get_mut(&sid) else { return false };
        if session.data.take(rate, now.mono) {
            return true;
        }
        self.data_refused += 1;
        let due = session.data_refused.is_none_or(|at| now.mono >= at + REFUSAL_INTERVAL);
        if due {
            session.data_refused = Some(now.mono);
            let response = proto::RequestResponse {
                reason: proto::request_response::Reason::LimitExceeded.into(),
                message: "too much data: packets were dropped".to_owned(),
                ..proto::RequestResponse::default()
            };
            self.tell(&sid, proto::signal_response::Message::RequestResponse(response));
        }
        false
    }

    /// The named participants, or all if none is named. A client learns that it is connected a moment before
    /// the server does, and says so to its user: what is sent to it from then on is kept for it, bounded,
    /// until its channel is open. So those who have joined count, whether or not they are active yet.
    fn receivers(
        &self,
        identities: &[String],
        sids: &[String],
        fits: impl Fn(&Participant) -> bool,
    ) -> Vec<PeerId> {
        // A packet may name thousands, and there may be thousands to look for.
        let identities: BTreeSet<&str> = identities.iter().map(String::as_str).collect();
        let sids: BTreeSet<&str> = sids.iter().map(String::as_str).collect();
        let named = |p: &Participant| {
            (identities.is_empty() && sids.is_empty())
                || identities.contains(p.who.identity.as_str())
                || sids.contains(p.sid.as_str())
        };
        let everyone =
            self.room.participants().filter(|p| p.state != State::Disconnected && named(p) && fits(p));
        // Who has no SDK opens no channel: what is kept for it would be kept for ever.
        let heard = everyone.filter_map(|p| self.sessions.get(&p.sid)).filter(|s| !s.media_only);
        heard.map(|s| s.sending_peer()).collect()
    }

    /// From the server API: nobody's packet.
    pub(crate) fn send_server_data(
        &mut self,
        payload: &[u8],
        reliable: bool,
        topic: Option<String>,
        identities: Vec<String>,
        sids: Vec<String>,
        nonce: &[u8],
    ) -> Result<AdminReply, AdminError> {
        if payload.len() > self.config.limits.data_packet {
            return Err(AdminError::DataTooLarge);
        }
        let peers = self.receivers(&identities, &sids, |_| true);
        let user = proto::UserPacket {
            payload: payload.to_vec(),
            topic,
            nonce: nonce.to_vec(),
            ..proto::UserPacket::default()
        };
        let packet = proto::DataPacket {
            destination_identities: identities,
            value: Some(proto::data_packet::Value::User(user)),
            ..proto::DataPacket::default()
        };
        let outline = Outline::read(&Bytes::from(packet.encode_to_vec())).unwrap_or_default();
        let payload = outline.write(reliable, "", "");
        if !peers.is_empty() {
            let label = if reliable { RELIABLE } else { LOSSY };
            self.command(sfu::Command::SendData { peers, label, payload });
        }
        Ok(AdminReply::Done)
    }
}

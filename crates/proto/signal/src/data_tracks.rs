//! Data tracks: frames in packets on a channel of their own, which go to those who asked for them.
//!
//! A packet begins with 12 bytes, big-endian: version (3 bits), start and end of a frame (1 bit each), extensions (1
//! bit), 10 bits for later; the track's handle, sequence number and frame number (16 bits each); a timestamp (32
//! bits). All but the handle passes unchanged. A track has one handle for all who receive it, so that a packet is
//! copied once, however many they are.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use clock::Time;
use livekit_protocol as proto;
use prost::Message as _;
use prost::bytes::Bytes;
use proto::request_response::{Reason, Request};
use proto::signal_response::Message;
use room::{Command, DataDraft, DataTrack, Outcome, ParticipantSid, TrackSid};
use sfu::PeerId;

use crate::data::{DATA_TRACK, ENVELOPE};
use crate::requests::reason_of;
use crate::{Conference, messages};

/// Bytes up to the extensions or the payload.
const HEADER: usize = 12;
/// The only version there is, in the first byte.
const VERSION_MASK: u8 = 0b1110_0000;
/// A frame's first packet, in the first byte.
const START: u8 = 0b0001_0000;
/// Subscriptions read from one request.
const UPDATES_MAX: usize = 1000;

/// Where packets of data tracks go.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    by_source: BTreeMap<(PeerId, u16), Route>,
    /// Of the tracks that somebody receives.
    handles: BTreeSet<u16>,
    last_handle: u16,
}

#[derive(Debug)]
struct Route {
    track: TrackSid,
    /// In the packets that go out.
    handle: u16,
    receivers: BTreeMap<ParticipantSid, Receiver>,
}

#[derive(Debug)]
struct Receiver {
    peer: PeerId,
    /// The least time between two frames; none gets all.
    interval: Option<Duration>,
    /// The next frame may go then.
    due: Option<Instant>,
    /// The frame that goes now.
    passing: Option<u16>,
}

impl Receiver {
    fn takes(&mut self, now: Instant, packet: &Packet) -> bool {
        let Some(interval) = self.interval else { return true };
        if packet.starts && self.passing != Some(packet.frame) {
            let due = self.due.unwrap_or(now);
            self.passing = None;
            if now >= due {
                self.passing = Some(packet.frame);
                // A steady rate, but no catching up after a pause.
                let next = due + interval;
                self.due = Some(if next < now { now + interval } else { next });
            }
        }
        self.passing == Some(packet.frame)
    }
}

/// What routing needs of a packet.
#[derive(Debug, PartialEq)]
struct Packet {
    handle: u16,
    frame: u16,
    starts: bool,
}

impl Packet {
    fn read(payload: &[u8]) -> Option<Self> {
        let [first, _, h0, h1, _, _, f0, f1, ..] = *payload.first_chunk::<HEADER>()?;
        (first & VERSION_MASK == 0).then_some(Self {
            handle: u16::from_be_bytes([h0, h1]),
            frame: u16::from_be_bytes([f0, f1]),
            starts: first & START != 0,
        })
    }
}

impl Routes {
    /// A handle that no track has that goes out; `None` if there are too many tracks.
    fn take_handle(&mut self) -> Option<u16> {
        for _ in 0..u16::MAX {
            self.last_handle = self.last_handle.checked_add(1).unwrap_or(1);
            if self.handles.insert(self.last_handle) {
                return Some(self.last_handle);
            }
        }
        None
    }

    fn of(&mut self, track: &TrackSid) -> Option<&mut Route> {
        self.by_source.values_mut().find(|r| r.track == *track)
    }

    fn remove(&mut self, track: &TrackSid) {
        let handles = &mut self.handles;
        self.by_source.retain(|_, route| {
            let stays = route.track != *track;
            if !stays {
                handles.remove(&route.handle);
            }
            stays
        });
    }
}

impl Conference {
    pub(crate) fn on_publish_data(
        &mut self,
        now: Time,
        sid: &ParticipantSid,
        request: proto::PublishDataTrackRequest,
    ) {
        if !self.config.limits.data_tracks {
            let request = Request::PublishDataTrack(request);
            self.refuse(sid, 0, Reason::NotAllowed, "data tracks are off", request);
            return;
        }
        let contents = proto::DataTrackInfo {
            encryption: request.encryption,
            frame_encoding: request.frame_encoding.clone(),
            schema: request.schema.clone(),
            ..proto::DataTrackInfo::default()
        };
        let draft = DataDraft {
            // What is no handle is refused as 0 is.
            handle: u16::try_from(request.pub_handle).unwrap_or(0),
            name: request.name.clone(),
            opaque: contents.encode_to_vec(),
        };
        let command = Command::PublishData { publisher: sid.clone(), draft: Box::new(draft) };
        // Its publisher hears of a track before the others do.
        match self.room.handle(now, command) {
            Ok(Outcome::Track(track)) => {
                let info = self.room.data_track(&track).map(messages::data_track_info);
                self.tell(sid, Message::PublishDataTrackResponse(proto::PublishDataTrackResponse { info }));
            }
            Ok(_) => {}
            Err(refusal) => {
                let request = Request::PublishDataTrack(request);
                self.refuse(sid, 0, reason_of(refusal), &refusal.to_string(), request);
            }
        }
        self.after(now);
    }

    pub(crate) fn on_unpublish_data(
        &mut self,
        now: Time,
        sid: &ParticipantSid,
        request: proto::UnpublishDataTrackRequest,
    ) {
        let handle = u16::try_from(request.pub_handle).unwrap_or(0);
        if self.tell_room(now, Command::UnpublishData { publisher: sid.clone(), handle }).is_err() {
            let request = Request::UnpublishDataTrack(request);
            self.refuse(sid, 0, Reason::NotFound, "no such data track", request);
        }
    }

    /// Its publisher hears of a track's end, whoever ended it.
    pub(crate) fn on_data_unpublished(&mut self, track: &DataTrack) {
        self.routes.remove(&track.sid);
        let info = Some(messages::data_track_info(track));
        let message = Message::UnpublishDataTrackResponse(proto::UnpublishDataTrackResponse { info });
        self.tell(&track.publisher, message);
    }

    pub(crate) fn on_data_subscription(
        &mut self,
        now: Time,
        sid: &ParticipantSid,
        update: proto::UpdateDataSubscription,
    ) {
        for update in update.updates.into_iter().take(UPDATES_MAX) {
            let track = TrackSid(update.track_sid);
            let command = Command::SubscribeData {
                subscriber: sid.clone(),
                track: track.clone(),
                on: update.subscribe,
            };
            // A track that has just ended is no longer to be had: its end is told to everybody.
            let _ = self.tell_room(now, command);
            let fps = update.options.and_then(|o| o.target_fps).filter(|fps| *fps > 0);
            let receiver = self.routes.of(&track).and_then(|r| r.receivers.get_mut(sid));
            if let Some(receiver) = receiver.filter(|_| update.subscribe) {
                receiver.interval = fps.map(|fps| Duration::from_secs(1) / fps);
            }
        }
    }

    pub(crate) fn on_data_subscribed(&mut self, subscriber: &ParticipantSid, track: &TrackSid, on: bool) {
        if !on {
            if let Some(route) = self.routes.of(track) {
                route.receivers.remove(subscriber);
            }
            return;
        }
        let Some(peer) = self.sessions.get(subscriber).map(|s| s.sending_peer()) else { return };
        let Some(published) = self.room.data_track(track) else { return };
        let Some(source) = self.sessions.get(&published.publisher).map(|s| s.up.peer) else { return };
        let key = (source, published.draft.handle);
        if !self.routes.by_source.contains_key(&key) {
            // 65,535 tracks in one room: the rest is not to be had.
            let Some(handle) = self.routes.take_handle() else { return };
            let route = Route { track: track.clone(), handle, receivers: BTreeMap::new() };
            self.routes.by_source.insert(key, route);
        }
        if let Some(route) = self.routes.by_source.get_mut(&key) {
            let receiver = Receiver { peer, interval: None, due: None, passing: None };
            route.receivers.insert(subscriber.clone(), receiver);
        }
        self.tell_handles(subscriber, Some(track));
    }

    /// Which packets are of which track: of one, or of all that somebody receives.
    pub(crate) fn tell_handles(&mut self, subscriber: &ParticipantSid, only: Option<&TrackSid>) {
        let mut sub_handles = std::collections::HashMap::new();
        for route in self.routes.by_source.values() {
            if !route.receivers.contains_key(subscriber) || only.is_some_and(|track| *track != route.track) {
                continue;
            }
            let Some(track) = self.room.data_track(&route.track) else { continue };
            let Some(publisher) = self.room.participant(&track.publisher) else { continue };
            let source = proto::data_track_subscriber_handles::PublishedDataTrack {
                publisher_identity: publisher.who.identity.clone(),
                publisher_sid: publisher.sid.0.clone(),
                track_sid: track.sid.0.clone(),
            };
            sub_handles.insert(u32::from(route.handle), source);
        }
        if !sub_handles.is_empty() {
            let handles = proto::DataTrackSubscriberHandles { sub_handles };
            self.tell(subscriber, Message::DataTrackSubscriberHandles(handles));
        }
    }

    /// A packet of a data track. Who receives none, or falls behind, misses frames: their channel does not repeat,
    /// and its buffer is short.
    pub(crate) fn on_data_frame(&mut self, now: Time, peer: PeerId, payload: &Bytes) {
        if payload.len() > self.config.limits.data_packet + ENVELOPE {
            return;
        }
        if !self.may_send_data(now, peer) {
            return;
        }
        let Some(packet) = Packet::read(payload) else { return };
        let Some(route) = self.routes.by_source.get_mut(&(peer, packet.handle)) else { return };
        let takers =
            route.receivers.values_mut().filter_map(|r| r.takes(now.mono, &packet).then_some(r.peer));
        let peers: Vec<_> = takers.collect();
        if peers.is_empty() {
            return;
        }
        let mut out = payload.to_vec();
        if let Some(handle) = out.get_mut(2..4) {
            handle.copy_from_slice(&route.handle.to_be_bytes());
        }
        self.command(sfu::Command::SendData { peers, label: DATA_TRACK, payload: Bytes::from(out) });
    }
}

//! Hooks with which SDKs test themselves (`SimulateScenario`): they do to the asking client only what its network
//! could.

use std::time::Duration;

use clock::Time;
use livekit_protocol as proto;
use proto::signal_response::Message;
use proto::simulate_scenario::Scenario;
use room::{LeaveReason, ParticipantSid};

use crate::conference::Timer;
use crate::session::{NextResume, Way};
use crate::{Conference, Output};

/// Ways remembered in one room: these are for tests.
const WAYS_MAX: usize = 64;
/// The longest that somebody is made to seem to speak, in seconds.
const SPEAKING_MAX: i32 = 60;
/// How loud that is, of 1; in eighths, as loudness is told.
const SPEAKING_LEVEL: f32 = 0.875;

/// To which way clients are limited when they come again, by identity: the newest.
#[derive(Debug, Default)]
pub(crate) struct Ways(Vec<(String, Way)>);

impl Ways {
    pub(crate) fn of(&self, identity: &str) -> Way {
        self.0.iter().find(|(who, _)| who == identity).map_or(Way::Any, |(_, way)| *way)
    }

    fn set(&mut self, identity: &str, way: Way) {
        self.0.retain(|(who, _)| who != identity);
        if way != Way::Any {
            if self.0.len() >= WAYS_MAX {
                self.0.remove(0);
            }
            self.0.push((identity.to_owned(), way));
        }
    }
}

impl Conference {
    pub(crate) fn on_simulate(&mut self, now: Time, sid: &ParticipantSid, simulate: proto::SimulateScenario) {
        match simulate.scenario {
            Some(Scenario::ServerLeave(_)) => self.expel(now, sid, LeaveReason::ServerShutdown),
            Some(Scenario::LeaveRequestFullReconnect(_)) => self.expel(now, sid, LeaveReason::StateMismatch),
            Some(Scenario::NodeFailure(_) | Scenario::Migration(_)) => {
                // As if the node were gone: no word, and no memory of the client.
                self.hang_up(sid);
                self.expel(now, sid, LeaveReason::SignalClose);
            }
            Some(Scenario::DisconnectSignalOnResume(_)) => self.spoil(sid, NextResume::EndsEarly),
            Some(Scenario::DisconnectSignalOnResumeNoMessages(_)) => self.spoil(sid, NextResume::EndsSilent),
            Some(Scenario::SwitchCandidateProtocol(protocol)) => {
                let way = match proto::CandidateProtocol::try_from(protocol) {
                    Ok(proto::CandidateProtocol::Tcp) => Way::Tcp,
                    Ok(proto::CandidateProtocol::Tls) => Way::Relay,
                    Ok(proto::CandidateProtocol::Udp) | Err(_) => Way::Any,
                };
                // The client makes everything new by itself, and finds this then.
                if let Some(identity) = self.room.participant(sid).map(|p| p.who.identity.clone()) {
                    self.ways.set(&identity, way);
                }
            }
            Some(Scenario::SpeakerUpdate(seconds)) => {
                self.pretend_speaking(sid, true);
                let seconds = u64::from(seconds.clamp(0, SPEAKING_MAX).unsigned_abs());
                self.set_timer(now.mono + Duration::from_secs(seconds), Timer::Hush(sid.clone()));
            }
            Some(Scenario::SubscriberBandwidth(bitrate)) => {
                let Some(session) = self.sessions.get(sid) else { return };
                let peer = session.sending_peer();
                // Zero and less is no limit.
                let limit = u64::try_from(bitrate).ok().filter(|bitrate| *bitrate > 0).map(rtp::Bitrate);
                self.command(sfu::Command::LimitBandwidth { peer, limit });
            }
            None => {}
        }
    }

    /// Ends a client's socket without a word, and without the participant.
    pub(crate) fn hang_up(&mut self, sid: &ParticipantSid) {
        if let Some(socket) = self.sessions.get_mut(sid).and_then(|s| s.socket.take()) {
            self.sockets.remove(&socket);
            self.output.push_back(Output::Close { session: socket });
        }
    }

    fn spoil(&mut self, sid: &ParticipantSid, next: NextResume) {
        if let Some(session) = self.sessions.get_mut(sid) {
            session.hold.next_resume = next;
        }
    }

    /// Everybody hears that somebody speaks, or no longer does.
    pub(crate) fn pretend_speaking(&mut self, sid: &ParticipantSid, active: bool) {
        if self.room.participant(sid).is_none_or(|p| p.who.permission.hidden) {
            return;
        }
        let level = if active { SPEAKING_LEVEL } else { 0.0 };
        let speakers = vec![proto::SpeakerInfo { sid: sid.0.clone(), level, active }];
        self.broadcast(Message::SpeakersChanged(proto::SpeakersChanged { speakers }), |_| true);
    }
}

//! Services whose work is done by other processes, none of which can be connected: egress, ingress, SIP.
//!
//! They answer as LiveKit's server does when it runs alone, so that a program which asks gets a clear word
//! instead of a route that is not there.

use axum::response::Response;
use livekit_protocol as proto;

use super::{Answer, Call, Caller, Code, Error};

pub(super) const NO_EGRESS: &str = "egress not connected (redis required)";
const NO_INGRESS: &str = "ingress not connected (redis required)";
const NO_SIP: &str = "sip not connected (redis required)";

/// What a SIP method needs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sip {
    Admin,
    Call,
}

const EGRESS: [&str; 9] = [
    "StartEgress",
    "UpdateLayout",
    "UpdateStream",
    "StopEgress",
    "StartRoomCompositeEgress",
    "StartWebEgress",
    "StartParticipantEgress",
    "StartTrackCompositeEgress",
    "StartTrackEgress",
];
const INGRESS: [&str; 4] = ["CreateIngress", "UpdateIngress", "ListIngress", "DeleteIngress"];
const SIP_CALL: [&str; 2] = ["CreateSIPParticipant", "TransferSIPParticipant"];
const SIP_ADMIN: [&str; 15] = [
    "CreateSIPTrunk",
    "ListSIPTrunk",
    "CreateSIPInboundTrunk",
    "CreateSIPOutboundTrunk",
    "UpdateSIPInboundTrunk",
    "UpdateSIPOutboundTrunk",
    "GetSIPInboundTrunk",
    "GetSIPOutboundTrunk",
    "ListSIPInboundTrunk",
    "ListSIPOutboundTrunk",
    "DeleteSIPTrunk",
    "CreateSIPDispatchRule",
    "UpdateSIPDispatchRule",
    "ListSIPDispatchRule",
    "DeleteSIPDispatchRule",
];

pub(super) async fn serve(service: &str, method: &str, call: Call) -> Answer {
    match service {
        "livekit.Egress" if method == "ListEgress" => call.answer(list_egress).await,
        "livekit.Egress" if EGRESS.contains(&method) => {
            call.caller.may(|video| video.room_record)?;
            absent(NO_EGRESS)
        }
        "livekit.Ingress" if INGRESS.contains(&method) => {
            call.caller.may(|video| video.ingress_admin)?;
            absent(NO_INGRESS)
        }
        "livekit.SIP" if SIP_ADMIN.contains(&method) => sip(&call.caller, Sip::Admin),
        "livekit.SIP" if SIP_CALL.contains(&method) => sip(&call.caller, Sip::Call),
        _ => Ok(None),
    }
}

fn absent(why: &'static str) -> Result<Option<Response>, Error> {
    Err(Error::new(Code::Internal, why))
}

fn sip(caller: &Caller, needed: Sip) -> Answer {
    let granted = caller.claims.sip.is_some_and(|sip| match needed {
        Sip::Admin => sip.admin,
        Sip::Call => sip.call,
    });
    if granted { absent(NO_SIP) } else { Err(Error::denied()) }
}

async fn list_egress(
    caller: Caller,
    _: proto::ListEgressRequest,
) -> Result<proto::ListEgressResponse, Error> {
    caller.may(|video| video.room_record)?;
    Ok(proto::ListEgressResponse::default())
}

"""A back end that uses PyPI livekit-api (protobuf). Says what it got as one line of JSON.

server_api.py rooms URL KEY SECRET ROOM IDENTITY   every method of RoomService, good and refused, on a running room
server_api.py dispatch URL KEY SECRET ROOM AGENT   every method of AgentDispatchService, good and refused
server_api.py absent URL KEY SECRET                every method of the services whose workers are not there
server_api.py verify KEY SECRET                    lines of {"body", "token"} as its WebhookReceiver reads them
"""

import asyncio
import json
import sys

from google.protobuf.json_format import MessageToDict
from livekit import api


async def refusal(work) -> list:
    """The code, status and message with which something is refused."""
    try:
        await work
    except api.TwirpError as error:
        return [error.code, error.status, error.message]
    return ["not refused", 200, ""]


async def rooms(url: str, key: str, secret: str, room: str, identity: str) -> dict:
    got = {}
    async with api.LiveKitAPI(url, key, secret) as lk:
        spare = f"{room}-spare"
        made = await lk.room.create_room(api.CreateRoomRequest(name=spare, metadata="made", max_participants=3))
        got["made"] = MessageToDict(made)
        listed = await lk.room.list_rooms(api.ListRoomsRequest(names=[room, spare]))
        got["listed"] = sorted(r.name for r in listed.rooms)
        changed = await lk.room.update_room_metadata(api.UpdateRoomMetadataRequest(room=spare, metadata="changed"))
        got["changed"] = changed.metadata
        await lk.room.delete_room(api.DeleteRoomRequest(room=spare))
        got["deleted"] = [r.name for r in (await lk.room.list_rooms(api.ListRoomsRequest(names=[spare]))).rooms]

        everyone = await lk.room.list_participants(api.ListParticipantsRequest(room=room))
        got["everyone"] = [p.identity for p in everyone.participants]
        who = api.RoomParticipantIdentity(room=room, identity=identity)
        them = await lk.room.get_participant(who)
        got["tracks"] = [t.sid for t in them.tracks]
        updated = await lk.room.update_participant(
            api.UpdateParticipantRequest(room=room, identity=identity, name="Renamed", attributes={"from": "python"})
        )
        got["updated"] = [updated.name, dict(updated.attributes)]
        track = them.tracks[0].sid
        mute = lambda muted: api.MuteRoomTrackRequest(room=room, identity=identity, track_sid=track, muted=muted)
        got["muted"] = (await lk.room.mute_published_track(mute(True))).track.muted
        await lk.room.update_subscriptions(
            api.UpdateSubscriptionsRequest(room=room, identity=identity, track_sids=[track], subscribe=False)
        )
        await lk.room.send_data(
            api.SendDataRequest(room=room, data=b"from livekit-api", kind=0, topic="api", destination_identities=[identity])
        )

        nobody = api.RoomParticipantIdentity(room=room, identity="nobody")
        nowhere = api.SendDataRequest(room="nowhere", data=b"x")
        unknown = api.MuteRoomTrackRequest(room=room, identity=identity, track_sid="TR_none", muted=True)
        move = api.MoveParticipantRequest(room=room, identity=identity, destination_room=room)
        got["refused"] = {
            "unmute": await refusal(lk.room.mute_published_track(mute(False))),
            "unknown track": await refusal(lk.room.mute_published_track(unknown)),
            "nobody": await refusal(lk.room.get_participant(nobody)),
            "remove nobody": await refusal(lk.room.remove_participant(nobody)),
            "nameless": await refusal(lk.room.create_room(api.CreateRoomRequest())),
            "nowhere": await refusal(lk.room.send_data(nowhere)),
            "delete nowhere": await refusal(lk.room.delete_room(api.DeleteRoomRequest(room="nowhere"))),
            "move to itself": await refusal(lk.room.move_participant(move)),
            "egress": await refusal(lk.egress.stop_egress(api.StopEgressRequest(egress_id="EG_1"))),
            "ingress": await refusal(lk.ingress.list_ingress(api.ListIngressRequest())),
        }
        got["egress"] = len((await lk.egress.list_egress(api.ListEgressRequest())).items)
        await lk.room.remove_participant(who)
    async with api.LiveKitAPI(url, key, "another secret") as stranger:
        got["stranger"] = await refusal(stranger.room.list_rooms(api.ListRoomsRequest()))
    return got


async def dispatch(url: str, key: str, secret: str, room: str, agent: str) -> dict:
    got = {}
    async with api.LiveKitAPI(url, key, secret) as lk:
        ask = lambda **more: api.CreateAgentDispatchRequest(room=room, agent_name=agent, **more)
        made = await lk.agent_dispatch.create_dispatch(ask(metadata="by Python"))
        got["made"] = [made.agent_name, made.metadata]
        got["listed"] = len(await lk.agent_dispatch.list_dispatch(room))
        got["found"] = (await lk.agent_dispatch.get_dispatch(made.id, room)).id == made.id
        got["unknown"] = await lk.agent_dispatch.get_dispatch("AD_none", room)
        await lk.agent_dispatch.delete_dispatch(made.id, room)
        got["refused"] = {
            "delete unknown": await refusal(lk.agent_dispatch.delete_dispatch(made.id, room)),
            "long metadata": await refusal(lk.agent_dispatch.create_dispatch(ask(metadata="m" * 600_000))),
        }
        async with api.LiveKitAPI(url, key, "another secret") as stranger:
            got["refused"]["stranger"] = await refusal(stranger.agent_dispatch.list_dispatch(room))
    got["refused"] = {what: answer[:2] for what, answer in got["refused"].items()}
    return got


async def absent(url: str, key: str, secret: str) -> list:
    """Every method of egress, ingress and SIP but ListEgress, which has an answer: its name and its refusal."""
    answers = []
    async with api.LiveKitAPI(url, key, secret) as lk:
        rule = api.SIPDispatchRule(dispatch_rule_direct=api.SIPDispatchRuleDirect(room_name="r"))
        for service, method, *given in [
            (lk.egress, "start_room_composite_egress", api.RoomCompositeEgressRequest(room_name="r")),
            (lk.egress, "start_web_egress", api.WebEgressRequest(url="https://example.org")),
            (lk.egress, "start_participant_egress", api.ParticipantEgressRequest(room_name="r", identity="a")),
            (lk.egress, "start_track_composite_egress", api.TrackCompositeEgressRequest(room_name="r")),
            (lk.egress, "start_track_egress", api.TrackEgressRequest(room_name="r", track_id="TR_a")),
            (lk.egress, "start_egress", api.StartEgressRequest(room_name="r")),
            (lk.egress, "update_layout", api.UpdateLayoutRequest(egress_id="EG_1", layout="grid")),
            (lk.egress, "update_stream", api.UpdateStreamRequest(egress_id="EG_1")),
            (lk.egress, "stop_egress", api.StopEgressRequest(egress_id="EG_1")),
            (lk.ingress, "create_ingress", api.CreateIngressRequest(room_name="r")),
            (lk.ingress, "update_ingress", api.UpdateIngressRequest(ingress_id="IN_1")),
            (lk.ingress, "list_ingress", api.ListIngressRequest()),
            (lk.ingress, "delete_ingress", api.DeleteIngressRequest(ingress_id="IN_1")),
            (lk.sip, "create_inbound_trunk", api.CreateSIPInboundTrunkRequest(trunk=api.SIPInboundTrunkInfo(name="n"))),
            (lk.sip, "create_outbound_trunk", api.CreateSIPOutboundTrunkRequest(trunk=api.SIPOutboundTrunkInfo(name="n"))),
            (lk.sip, "update_inbound_trunk", "ST_1", api.SIPInboundTrunkInfo(name="n")),
            (lk.sip, "update_outbound_trunk", "ST_1", api.SIPOutboundTrunkInfo(name="n")),
            (lk.sip, "update_inbound_trunk_fields", "ST_1"),
            (lk.sip, "update_outbound_trunk_fields", "ST_1"),
            (lk.sip, "list_inbound_trunk", api.ListSIPInboundTrunkRequest()),
            (lk.sip, "list_outbound_trunk", api.ListSIPOutboundTrunkRequest()),
            (lk.sip, "delete_trunk", api.DeleteSIPTrunkRequest(sip_trunk_id="ST_1")),
            (lk.sip, "create_dispatch_rule", api.CreateSIPDispatchRuleRequest(rule=rule)),
            (lk.sip, "update_dispatch_rule", "SDR_1", api.SIPDispatchRuleInfo(name="n")),
            (lk.sip, "update_dispatch_rule_fields", "SDR_1"),
            (lk.sip, "list_dispatch_rule", api.ListSIPDispatchRuleRequest()),
            (lk.sip, "delete_dispatch_rule", api.DeleteSIPDispatchRuleRequest(sip_dispatch_rule_id="SDR_1")),
            (lk.sip, "create_sip_participant", api.CreateSIPParticipantRequest(sip_trunk_id="ST_1", room_name="r")),
            (lk.sip, "transfer_sip_participant", api.TransferSIPParticipantRequest(room_name="r", participant_identity="a")),
        ]:
            answers.append([method, *await refusal(getattr(service, method)(*given))])
    return answers


def verify(key: str, secret: str) -> list:
    """Each event's name, or why it is refused."""
    receiver = api.WebhookReceiver(api.TokenVerifier(key, secret))
    events = []
    for line in sys.stdin:
        told = json.loads(line)
        try:
            events.append(receiver.receive(told["body"], told["token"]).event)
        except Exception as error:  # which one is the receiver's affair
            events.append(f"refused: {error}")
    return events


what, arguments = sys.argv[1], sys.argv[2:]
if what == "verify":
    print(json.dumps(verify(*arguments)))
else:
    print(json.dumps(asyncio.run({"rooms": rooms, "dispatch": dispatch, "absent": absent}[what](*arguments))))

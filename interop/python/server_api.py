"""A back end that uses PyPI livekit-api (protobuf). Says what it got as one line of JSON.

server_api.py rooms URL KEY SECRET ROOM IDENTITY   every method of RoomService, good and refused, on a running room
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
print(json.dumps(verify(*arguments) if what == "verify" else asyncio.run(rooms(*arguments))))

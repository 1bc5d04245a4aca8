"""Somebody in a room who runs the Python SDK (real libwebrtc), told what to do by lines of JSON on standard input.

Each line is {"id", "do", ...arguments}; each answer {"id", "result"} or {"id", "error"} on standard output.
"""

import asyncio
import json
import math
import sys
import traceback

import numpy
from livekit import api, rtc

# Four quarters of the picture, far apart in every channel, so that chroma subsampling and the encoder cannot blur
# one into another: top left, top right, bottom left, bottom right.
PATTERN = [(220, 40, 40), (40, 200, 60), (50, 70, 220), (230, 220, 60)]
PRECONNECT = "lk.agent.pre-connect-audio-buffer"
SAMPLE_RATE = 48_000
FRAME_RATE = 15


def painted(width: int, height: int, colors=PATTERN) -> bytes:
    """The pattern as RGBA."""
    picture = numpy.zeros((height, width, 4), dtype=numpy.uint8)
    picture[..., 3] = 255
    for quarter, color in enumerate(colors):
        top, left = (quarter // 2) * height // 2, (quarter % 2) * width // 2
        picture[top : top + height // 2, left : left + width // 2, :3] = color
    return picture.tobytes()


def quarters(frame: rtc.VideoFrame) -> list[list[int]]:
    """The mean colour of the middle of each quarter."""
    rgba = frame.convert(rtc.VideoBufferType.RGBA)
    picture = numpy.frombuffer(rgba.data, dtype=numpy.uint8).reshape(rgba.height, rgba.width, 4)
    means = []
    for quarter in range(4):
        top = (quarter // 2) * rgba.height // 2 + rgba.height // 8
        left = (quarter % 2) * rgba.width // 2 + rgba.width // 8
        middle = picture[top : top + rgba.height // 4, left : left + rgba.width // 4, :3]
        means.append([int(value) for value in middle.reshape(-1, 3).mean(axis=0)])
    return means


def total(payload: bytes) -> int:
    """Tells bytes apart from any of their permutations."""
    value = 7
    for byte in payload:
        value = (value * 31 + byte) & 0xFFFFFFFF
    return value


class Participant:
    def __init__(self) -> None:
        self.room = rtc.Room()
        self.tasks: list[asyncio.Task] = []
        self.seen: dict[str, dict] = {}
        self.heard: dict[str, dict] = {}
        self.chats: list[dict] = []
        self.streams: list[dict] = []
        self.frames: dict[str, dict] = {}
        self.happened: list[dict] = []
        self.early: list[dict] = []
        self.transcripts: list[dict] = []
        self.ended: str | None = None

    def spawn(self, work) -> None:
        self.tasks.append(asyncio.create_task(work))

    async def do_join(self, url, token=None, key=None, secret=None, identity=None, room=None, single=None):
        """With a token, or with what it takes to make one by livekit-api."""
        if token is None:
            token = (
                api.AccessToken(key, secret)
                .with_identity(identity)
                .with_name(identity)
                .with_grants(api.VideoGrants(room_join=True, room=room))
                .to_jwt()
            )
        note = lambda what: lambda who: self.happened.append({"what": what, "detail": who.identity})
        self.room.on("participant_connected", note("joined"))
        self.room.on("participant_disconnected", note("left"))
        self.room.on("track_subscribed", self.subscribed)
        self.room.on("data_received", self.data)
        self.room.on("disconnected", self.disconnected)
        self.room.on("data_track_published", lambda track: self.spawn(self.read_frames(track)))
        self.room.on("transcription_received", self.transcribed)
        self.room.register_byte_stream_handler(PRECONNECT, lambda reader, who: self.spawn(self.read_early(reader, who)))
        self.room.register_byte_stream_handler("bytes", lambda reader, who: self.spawn(self.read_stream(reader, who)))
        self.room.register_text_stream_handler("lk.chat", lambda reader, who: self.spawn(self.read(reader, who)))
        await self.room.connect(url, token, rtc.RoomOptions(auto_subscribe=True, single_peer_connection=single))
        return self.room.local_participant.identity

    def disconnected(self, reason) -> None:
        self.ended = rtc.DisconnectReason.Name(reason) if isinstance(reason, int) else str(reason)

    def data(self, packet: rtc.DataPacket) -> None:
        who = packet.participant.identity if packet.participant else None
        self.chats.append({"from": who, "text": packet.data.decode(), "topic": packet.topic})

    async def read(self, reader, who) -> None:
        self.chats.append({"from": who, "text": await reader.read_all(), "topic": "lk.chat"})

    def subscribed(self, track, publication, who) -> None:
        key = f"{who.identity}/{rtc.TrackSource.Name(publication.source)}"
        if track.kind == rtc.TrackKind.KIND_VIDEO:
            self.spawn(self.watch(key, track))
        else:
            self.spawn(self.listen(key, track))

    async def watch(self, key, track) -> None:
        count = 0
        async for event in rtc.VideoStream(track, capacity=2):
            count += 1
            frame = event.frame
            self.seen[key] = {
                "frames": count,
                "width": frame.width,
                "height": frame.height,
                "quarters": quarters(frame) if count % 5 == 1 else self.seen[key]["quarters"],
            }

    async def listen(self, key, track) -> None:
        """Energy, and the loudest frequency of about a fifth of a second at a time."""
        window = numpy.zeros(0)
        energy = 0.0
        async for event in rtc.AudioStream(track, sample_rate=SAMPLE_RATE, num_channels=1):
            samples = numpy.frombuffer(event.frame.data, dtype=numpy.int16) / 32768
            energy += float((samples**2).sum()) / SAMPLE_RATE
            window = numpy.concatenate([window, samples])
            if len(window) >= 9600:
                spectrum = numpy.abs(numpy.fft.rfft(window))
                loudest = float(numpy.argmax(spectrum)) * SAMPLE_RATE / len(window)
                self.heard[key] = {"energy": energy, "loudest": loudest, "level": float(numpy.abs(window).max())}
                window = numpy.zeros(0)

    async def do_publish_video(self, width, height, source="SOURCE_CAMERA", simulcast=False):
        video = rtc.VideoSource(width, height)
        track = rtc.LocalVideoTrack.create_video_track("pattern", video)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.Value(source), simulcast=simulcast)

        async def paint():
            frame = rtc.VideoFrame(width, height, rtc.VideoBufferType.RGBA, bytearray(painted(width, height)))
            while True:
                video.capture_frame(frame)
                await asyncio.sleep(1 / FRAME_RATE)

        self.spawn(paint())
        publication = await self.room.local_participant.publish_track(track, options)
        return publication.sid

    async def do_publish_tone(self, frequency):
        audio = rtc.AudioSource(SAMPLE_RATE, 1)
        track = rtc.LocalAudioTrack.create_audio_track("tone", audio)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)

        async def play():
            size = SAMPLE_RATE // 100
            at = 0
            while True:
                wave = numpy.sin((at + numpy.arange(size)) * 2 * math.pi * frequency / SAMPLE_RATE)
                frame = rtc.AudioFrame((wave * 12000).astype(numpy.int16).tobytes(), SAMPLE_RATE, 1, size)
                at += size
                await audio.capture_frame(frame)

        self.spawn(play())
        publication = await self.room.local_participant.publish_track(track, options)
        return publication.sid

    async def do_answer_calls(self):
        """The methods `shout` and `fail`, for whoever calls them."""

        async def shout(data: rtc.RpcInvocationData) -> str:
            return data.payload.upper()

        async def fail(data: rtc.RpcInvocationData) -> str:
            raise rtc.RpcError(4711, "not today", "because")

        self.room.local_participant.register_rpc_method("shout", shout)
        self.room.local_participant.register_rpc_method("fail", fail)

    async def do_call(self, to, method, payload):
        """What a call answers, or its error."""
        try:
            answer = await self.room.local_participant.perform_rpc(
                destination_identity=to, method=method, payload=payload
            )
            return {"answer": answer}
        except rtc.RpcError as error:
            return {"code": error.code, "message": error.message, "data": error.data}

    async def do_send_stream(self, size, to=None):
        """A stream of bytes; what it sums up to."""
        payload = bytes((at * 31 + (at >> 8)) & 255 for at in range(size))
        writer = await self.room.local_participant.stream_bytes(
            name="bytes", topic="bytes", total_size=size, destination_identities=to
        )
        await writer.write(payload)
        await writer.aclose()
        return total(payload)

    async def read_stream(self, reader, who) -> None:
        payload = b"".join([chunk async for chunk in reader])
        self.streams.append({"from": who, "size": len(payload), "sum": total(payload)})

    async def read_early(self, reader, who) -> None:
        """What somebody said before this agent could hear them."""
        payload = b"".join([chunk async for chunk in reader])
        self.early.append({"from": who, "size": len(payload), "attributes": dict(reader.info.attributes)})

    def transcribed(self, segments, who, publication) -> None:
        said = {"of": who.identity if who else None, "track": publication.sid if publication else None}
        self.transcripts.append({**said, "text": [segment.text for segment in segments]})

    async def do_transcribe(self, of, track, text):
        segment = rtc.TranscriptionSegment(id="1", text=text, start_time=0, end_time=1, language="en", final=True)
        await self.room.local_participant.publish_transcription(
            rtc.Transcription(participant_identity=of, track_sid=track, segments=[segment])
        )

    async def do_publish_data_track(self, name):
        self.data_track = await self.room.local_participant.publish_data_track(name=name)

    async def do_push_frames(self, count, size, pause):
        """Frames of some size, each beginning with its number."""
        for number in range(1, count + 1):
            payload = number.to_bytes(4, "big") + bytes([number & 255]) * (size - 4)
            self.data_track.try_push(rtc.DataTrackFrame(payload=payload))
            await asyncio.sleep(pause / 1000)

    async def do_unpublish_data_track(self):
        await self.data_track.unpublish()

    async def read_frames(self, track) -> None:
        mine = {"numbers": [], "broken": 0, "ended": False}
        self.frames[f"{track.publisher_identity}/{track.info.name}"] = mine
        async for frame in track.subscribe():
            number = int.from_bytes(frame.payload[:4], "big")
            mine["numbers"].append(number)
            if any(byte != number & 255 for byte in frame.payload[4:]):
                mine["broken"] += 1
        mine["ended"] = True

    async def do_say(self, text, to=None):
        await self.room.local_participant.send_text(text, topic="lk.chat", destination_identities=to or [])

    async def do_send_bytes(self, text, topic="", reliable=True, to=None):
        await self.room.local_participant.publish_data(
            text.encode(), reliable=reliable, topic=topic, destination_identities=to or []
        )

    async def do_look(self):
        return {
            "pattern": PATTERN,
            "seen": self.seen,
            "heard": self.heard,
            "chats": self.chats,
            "happened": self.happened,
            "streams": self.streams,
            "frames": self.frames,
            "early": self.early,
            "transcripts": self.transcripts,
            "ended": self.ended,
            "connected": self.room.isconnected(),
            "others": sorted(self.room.remote_participants),
            "room": self.room.name,
            "metadata": self.room.metadata,
            "name": self.room.local_participant.name,
            "attributes": dict(self.room.local_participant.attributes),
        }

    async def do_leave(self):
        await self.room.disconnect()

    async def obey(self, line: str) -> None:
        command = json.loads(line)
        number, what = command.pop("id"), command.pop("do")
        try:
            answer = {"id": number, "result": await getattr(self, f"do_{what}")(**command)}
        except Exception as error:  # told to the test, which decides
            traceback.print_exc()
            answer = {"id": number, "error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


async def main() -> None:
    participant = Participant()
    reader = asyncio.StreamReader(limit=1 << 24)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        participant.spawn(participant.obey(line.decode()))
    for task in participant.tasks:
        task.cancel()


asyncio.run(main())

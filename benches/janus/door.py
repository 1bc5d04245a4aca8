#!/usr/bin/env python3
"""A door to Janus for `millrace load room --v0`: LiveKit's signalling in front, Janus's video room behind.

Only what the load needs: one room, publishers that publish, subscribers that get the first publisher. Media
goes between the load and Janus directly, so this process costs the measurement nothing. It starts Janus on the
given core, prints its process id, and ends it with itself, which SIGTERM and SIGINT do.

    interop/.venv/bin/python benches/janus/door.py --cpu 0 --address ADDRESS
    benches/fanout/run 1x50 --url ws://ADDRESS:17900 --pid PID --load-options='--v0 --i-own-this-server'

ADDRESS is one of this machine other than a loopback address, which Janus's ICE library does not offer.
"""

import argparse
import asyncio
import base64
import itertools
import json
import os
import signal
import subprocess
import tempfile

import aiohttp
from aiohttp import web
from livekit.protocol import models, rtc

JANUS_PORT = 17901
ROOM = 1
ids = itertools.count(1)


class Janus:
    """One WebSocket to Janus with one session, shared by all handles."""

    def __init__(self):
        self.waiting = {}
        self.handles = {}

    async def open(self, client):
        for _ in range(100):
            try:
                self.socket = await client.ws_connect(f"ws://127.0.0.1:{JANUS_PORT}", protocols=["janus-protocol"])
                break
            except aiohttp.ClientError:
                await asyncio.sleep(0.1)
        asyncio.create_task(self.read())
        self.session = (await self.ask(janus="create"))["data"]["id"]
        asyncio.create_task(self.keep_alive())

    async def read(self):
        async for message in self.socket:
            said = json.loads(message.data)
            waiting = self.waiting.get(said.get("transaction"))
            # An acknowledgement is followed by the event that answers.
            if waiting and said["janus"] != "ack" and not waiting.done():
                waiting.set_result(said)
            elif said["janus"] == "webrtcup" and said["sender"] in self.handles:
                self.handles[said["sender"]].set()

    async def keep_alive(self):
        while True:
            await asyncio.sleep(20)
            await self.ask(janus="keepalive", session_id=self.session)

    async def ask(self, **message):
        name = str(next(ids))
        if message["janus"] == "keepalive":
            return await self.socket.send_json({"transaction": name, **message})
        self.waiting[name] = asyncio.get_running_loop().create_future()
        await self.socket.send_json({"transaction": name, **message})
        answer = await self.waiting[name]
        del self.waiting[name]
        if answer["janus"] == "error" or "error" in answer.get("plugindata", {}).get("data", {}):
            raise RuntimeError(answer)
        return answer

    async def attach(self):
        """A handle on the video room."""
        answer = await self.ask(janus="attach", session_id=self.session, plugin="janus.plugin.videoroom")
        handle = answer["data"]["id"]
        self.handles[handle] = asyncio.Event()
        return handle

    async def say(self, handle, body, jsep=None):
        extra = {"jsep": jsep} if jsep else {}
        answer = await self.ask(janus="message", session_id=self.session, handle_id=handle, body=body, **extra)
        return answer["plugindata"]["data"], answer.get("jsep")

    async def detach(self, handle):
        self.handles.pop(handle, None)
        await self.ask(janus="detach", session_id=self.session, handle_id=handle)


class Door:
    def __init__(self, janus):
        self.janus = janus
        self.feed = asyncio.get_running_loop().create_future()

    async def serve(self, request):
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        claims = json.loads(base64.urlsafe_b64decode(request.query["access_token"].split(".")[1] + "=="))
        identity = claims["sub"]
        handle = await self.janus.attach()
        join = rtc.JoinResponse(
            room=models.Room(sid="RM_1", name="janus"),
            participant=models.ParticipantInfo(sid=f"PA_{handle}", identity=identity),
            subscriber_primary=True,
        )
        await self.tell(socket, join=join)
        publishes = identity.startswith("giver")
        if not publishes:
            asyncio.create_task(self.offer(socket, handle))
        try:
            async for message in socket:
                if message.type == aiohttp.WSMsgType.BINARY:
                    request = rtc.SignalRequest.FromString(message.data)
                    if request.WhichOneof("message") == "leave":
                        break
                    await self.heard(socket, handle, request)
        finally:
            if publishes:
                self.feed = asyncio.get_running_loop().create_future()
            await self.janus.detach(handle)
        return socket

    async def heard(self, socket, handle, request):
        kind = request.WhichOneof("message")
        if kind == "offer":
            jsep = {"type": "offer", "sdp": request.offer.sdp}
            joined, _ = await self.janus.say(handle, {"request": "join", "ptype": "publisher", "room": ROOM})
            _, answer = await self.janus.say(handle, {"request": "publish"}, jsep)
            description = rtc.SessionDescription(type="answer", sdp=answer["sdp"], id=request.offer.id)
            await self.tell(socket, answer=description)
            await self.janus.handles[handle].wait()
            self.feed.set_result(joined["id"])
        elif kind == "answer":
            jsep = {"type": "answer", "sdp": request.answer.sdp}
            await self.janus.say(handle, {"request": "start", "room": ROOM}, jsep)

    async def offer(self, socket, handle):
        """Subscribes to the publisher, once there is one."""
        feed = await asyncio.shield(self.feed)
        body = {"request": "join", "ptype": "subscriber", "room": ROOM, "streams": [{"feed": feed}]}
        _, jsep = await self.janus.say(handle, body)
        await self.tell(socket, offer=rtc.SessionDescription(type="offer", sdp=jsep["sdp"], id=1))

    async def tell(self, socket, **message):
        await socket.send_bytes(rtc.SignalResponse(**message).SerializeToString())


def configure(folder, address):
    """Janus's configuration: loopback, one certificate that our DTLS can read, one room without limits."""
    key, certificate = os.path.join(folder, "key.pem"), os.path.join(folder, "cert.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"]
        + ["-subj", "/CN=janus", "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )
    files = {
        "janus.jcfg": f"""
general: {{ configs_folder = "{folder}", debug_level = 2, plugins_folder = "/usr/lib/x86_64-linux-gnu/janus/plugins"
  transports_folder = "/usr/lib/x86_64-linux-gnu/janus/transports" }}
certificates: {{ cert_pem = "{certificate}", cert_key = "{key}" }}
nat: {{ ice_lite = true, ice_enforce_list = "{address}" }}
plugins: {{ disable = "libjanus_audiobridge.so,libjanus_echotest.so,libjanus_sip.so,libjanus_nosip.so,libjanus_streaming.so,libjanus_textroom.so,libjanus_voicemail.so,libjanus_recordplay.so,libjanus_videocall.so,libjanus_lua.so,libjanus_duktape.so" }}
transports: {{ disable = "libjanus_http.so,libjanus_pfunix.so,libjanus_rabbitmq.so,libjanus_mqtt.so,libjanus_nanomsg.so" }}
""",
        "janus.transport.websockets.jcfg": f"""
general: {{ json = "compact", ws = true, ws_port = {JANUS_PORT}, ws_ip = "127.0.0.1" }}
admin: {{ admin_ws = false }}
""",
        "janus.plugin.videoroom.jcfg": f"""
room-{ROOM}: {{ description = "load", publishers = 100, bitrate = 0, videocodec = "vp8", fir_freq = 0, notify_joining = false }}
""",
    }
    for name, text in files.items():
        with open(os.path.join(folder, name), "w") as file:
            file.write(text)


async def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cpu", default="0", help="the core that Janus forwards on")
    parser.add_argument("--port", type=int, default=17900)
    parser.add_argument("--address", required=True, help="of this machine, but not of loopback")
    options = parser.parse_args()
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    with tempfile.TemporaryDirectory() as folder:
        configure(folder, options.address)
        command = ["taskset", "-c", options.cpu, "prlimit", "--nofile=20000", "janus", "-F", folder]
        # Standard output is for the process id.
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            async with aiohttp.ClientSession() as client:
                janus = Janus()
                await janus.open(client)
                app = web.Application()
                app.router.add_get("/rtc", Door(janus).serve)
                runner = web.AppRunner(app)
                await runner.setup()
                await web.TCPSite(runner, options.address, options.port).start()
                print(server.pid, flush=True)
                await ended.wait()
                await runner.cleanup()
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    asyncio.run(main())

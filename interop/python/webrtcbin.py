"""GStreamer's webrtcbin over HTTP: publishes a test picture and a tone, or plays what a room has.

Run with the system's Python, which has GStreamer's bindings. Says what happens in lines of JSON, and ends when
its input does.
"""

import argparse
import json
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402

PICTURE = "videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=180,framerate=15/1"
TONE = "audiotestsrc is-live=true freq=660 volume=0.4"
PUBLISHERS = {
    "vp8": f"{PICTURE} ! vp8enc deadline=1 keyframe-max-dist=30 ! rtpvp8pay picture-id-mode=15-bit ! application/x-rtp,media=video,encoding-name=VP8,payload=96 ! web.",
    "h264": f"{PICTURE} ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=30 ! video/x-h264,profile=constrained-baseline ! rtph264pay config-interval=-1 aggregate-mode=zero-latency ! application/x-rtp,media=video,encoding-name=H264,payload=102 ! web.",
    "opus": f"{TONE} ! opusenc ! rtpopuspay ! application/x-rtp,media=audio,encoding-name=OPUS,payload=111 ! web.",
}
PLAYERS = {
    "vp8": ("video", "application/x-rtp,media=video,encoding-name=VP8,payload=96,clock-rate=90000"),
    "opus": ("audio", "application/x-rtp,media=audio,encoding-name=OPUS,payload=111,clock-rate=48000,encoding-params=(string)2"),
}
CHAINS = {
    "video": "rtpvp8depay ! vp8dec ! videoconvert ! fakesink name=out signal-handoffs=true sync=false",
    "audio": "rtpopusdepay ! opusdec ! audioconvert ! fakesink name=out signal-handoffs=true sync=false",
}


def say(**what):
    print(json.dumps(what), flush=True)


class Client:
    def __init__(self, given):
        self.given = given
        self.resource = None
        self.frames = {}
        self.loop = GLib.MainLoop()
        self.pipeline = Gst.Pipeline.new(None)
        web = "webrtcbin name=web bundle-policy=max-bundle"
        if given.play:
            self.web = Gst.ElementFactory.make("webrtcbin", "web")
            self.web.set_property("bundle-policy", GstWebRTC.WebRTCBundlePolicy.MAX_BUNDLE)
            self.pipeline.add(self.web)
        else:
            self.pipeline = Gst.parse_launch(" ".join([web] + [PUBLISHERS[codec] for codec in given.codecs]))
            self.web = self.pipeline.get_by_name("web")
        self.web.connect("on-negotiation-needed", lambda _: self.offer())
        self.web.connect("notify::ice-gathering-state", lambda *_: GLib.idle_add(self.gathered))
        self.web.connect("notify::connection-state", lambda *_: self.changed())
        self.web.connect("pad-added", self.pad_added)
        self.sent = False
        for codec in given.codecs if given.play else []:
            caps = Gst.Caps.from_string(PLAYERS[codec][1])
            self.web.emit("add-transceiver", GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY, caps)
        bus = self.pipeline.get_bus()
        bus.add_signal_watch()
        bus.connect("message::error", self.failed)

    def run(self):
        threading.Thread(target=self.wait_for_end, daemon=True).start()
        self.pipeline.set_state(Gst.State.PLAYING)
        self.loop.run()
        self.finish()

    def wait_for_end(self):
        sys.stdin.read()
        GLib.idle_add(self.loop.quit)

    def finish(self):
        if self.resource:
            self.request(self.resource, "DELETE")
            say(event="deleted")
        self.pipeline.set_state(Gst.State.NULL)

    def offer(self):
        promise = Gst.Promise.new_with_change_func(self.offered, None)
        self.web.emit("create-offer", None, promise)

    def offered(self, promise, _):
        # The offer lives as long as the reply that it stands in.
        reply = promise.get_reply()
        offer = reply.get_value("offer")
        self.web.emit("set-local-description", offer, Gst.Promise.new())

    def gathered(self):
        state = self.web.get_property("ice-gathering-state")
        if state != GstWebRTC.WebRTCICEGatheringState.COMPLETE or self.sent:
            return
        self.sent = True
        offer = self.web.get_property("local-description").sdp.as_text()
        status, headers, answer = self.request(self.given.url, "POST", offer, "application/sdp")
        say(event="answered", status=status, location=headers.get("location"), offer=offer, answer=answer)
        if status != 201:
            return
        self.resource = urllib.parse.urljoin(self.given.url, headers["location"])
        _, parsed = GstSdp.SDPMessage.new_from_text(answer)
        description = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, parsed)
        self.web.emit("set-remote-description", description, Gst.Promise.new())

    def request(self, url, method, body=None, kind=None):
        request = urllib.request.Request(url, data=body and body.encode(), method=method)
        request.add_header("Authorization", f"Bearer {self.given.token}")
        if kind:
            request.add_header("Content-Type", kind)
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                return response.status, dict((k.lower(), v) for k, v in response.headers.items()), response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, {}, error.read().decode()

    def changed(self):
        say(event="state", state=self.web.get_property("connection-state").value_nick)

    def failed(self, _, message):
        error, detail = message.parse_error()
        say(event="error", error=error.message, detail=detail)
        self.loop.quit()

    def pad_added(self, _, pad):
        if pad.get_direction() != Gst.PadDirection.SRC:
            return
        kind = (pad.get_current_caps() or pad.query_caps(None)).get_structure(0).get_string("media")
        chain = Gst.parse_bin_from_description(CHAINS[kind], True)
        self.pipeline.add(chain)
        chain.get_by_name("out").connect("handoff", self.handed, kind)
        chain.sync_state_with_parent()
        linked = pad.link(chain.sinkpads[0])
        if linked != Gst.PadLinkReturn.OK:
            say(event="error", error=f"{kind} not linked: {linked.value_nick}")

    def handed(self, _sink, _buffer, pad, kind):
        count = self.frames[kind] = self.frames.get(kind, 0) + 1
        if count in (1, 30):
            caps = pad.get_current_caps()
            say(event="played", kind=kind, count=count, caps=caps.to_string() if caps else "")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("token")
    parser.add_argument("codecs", nargs="+")
    parser.add_argument("--play", action="store_true")
    Gst.init(None)
    Client(parser.parse_args()).run()


if __name__ == "__main__":
    main()

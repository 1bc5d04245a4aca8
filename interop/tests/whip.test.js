/** WHIP (RFC 9725): clients without an SDK publish into rooms, and LiveKit's clients receive them. */

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { RoomServiceClient } from "livekit-server-sdk";
import { Child } from "../harness/child.js";
import { freshRoom, setUp } from "../harness/suite.js";
import { until } from "../harness/until.js";
import { SIZE, endpointOf, playedByWhip, playWhip, publishWhip } from "../harness/whip.js";

const suite = setUp("whip");
/** Chromium makes three layers of pictures from this size on. */
const LARGE = { width: 960, height: 540 };
const OFFER = { "content-type": "application/sdp" };
const FRAGMENT = { "content-type": "application/trickle-ice-sdpfrag" };

const endpoint = () => endpointOf(suite);
const publish = (...how) => publishWhip(suite, ...how);

/** Runs in the page: an ICE restart as RFC 9725 section 4.3.3 has it. */
async function restartIce({ url, token }) {
  const pc = window.whip;
  pc.restartIce();
  await pc.setLocalDescription();
  const lines = pc.localDescription.sdp.split(/\r?\n/).filter((line) => /^a=ice-(ufrag|pwd):/.test(line));
  const headers = { "content-type": "application/trickle-ice-sdpfrag", "if-match": "*", authorization: `Bearer ${token}` };
  const response = await fetch(url, { method: "PATCH", headers, body: [...lines.slice(0, 2), ""].join("\r\n") });
  const body = await response.text();
  if (response.status !== 200) throw new Error(`${response.status} ${body}`);
  const said = (name) => new RegExp(`a=${name}:(\\S+)`).exec(body)[1];
  const answer = pc.currentRemoteDescription.sdp
    .replaceAll(/a=ice-ufrag:\S+/g, `a=ice-ufrag:${said("ice-ufrag")}`)
    .replaceAll(/a=ice-pwd:\S+/g, `a=ice-pwd:${said("ice-pwd")}`);
  await pc.setRemoteDescription({ type: "answer", sdp: answer });
  return { etag: response.headers.get("etag"), body };
}

describe("a page with a plain RTCPeerConnection", () => {
  for (const video of ["VP8", "H264"]) {
    it(`publishes ${video} and sound, and is gone when it deletes its resource`, async () => {
      const room = freshRoom(video);
      const [bob] = await suite.gather(room, ["bob"]);
      const { resource, token } = await publish("cam", room, { video });
      const { codec } = await bob.sees("cam", "camera", SIZE);
      assert.equal(codec, `video/${video}`);
      await bob.hears("cam");
      assert.equal((await fetch(resource, { method: "DELETE" })).status, 401, "without a token");
      const headers = { authorization: `Bearer ${token}` };
      assert.equal((await fetch(resource, { method: "DELETE", headers })).status, 200);
      await bob.notices("that cam has left", (seen) => !seen.others.cam);
      const again = await until("the resource to be gone", async () => {
        const { status } = await fetch(resource, { method: "DELETE", headers });
        return status === 404 && status;
      });
      assert.equal(again, 404);
    });
  }

  it("publishes in simulcast layers, of which a subscriber takes one", async () => {
    const room = freshRoom("layers");
    const [bob] = await suite.gather(room, ["bob"]);
    const layers = [
      { rid: "h", maxBitrate: 900_000 },
      { rid: "m", maxBitrate: 300_000, scaleResolutionDownBy: 2 },
      { rid: "l", maxBitrate: 120_000, scaleResolutionDownBy: 4 },
    ];
    await publish("cam", room, { layers, size: LARGE });
    await bob.sees("cam", "camera", LARGE);
    await bob.call("askQuality", "cam", "camera", "LOW");
    await bob.sees("cam", "camera", { width: 240, height: 135 });
    await bob.call("askQuality", "cam", "camera", "HIGH");
    await bob.sees("cam", "camera", LARGE);
  });

  it("is moved to another room without a word, and ended there", async () => {
    const [room, there] = [freshRoom("from"), freshRoom("to")];
    const [ada] = await suite.gather(room, ["ada"]);
    const [bob] = await suite.gather(there, ["bob"]);
    const { resource, token } = await publish("cam", room);
    await ada.sees("cam", "camera", SIZE);
    await new RoomServiceClient(suite.server.http, suite.server.keys.key, suite.server.keys.secret).moveParticipant(room, "cam", there);
    await bob.sees("cam", "camera", SIZE);
    await ada.notices("that cam has left", (seen) => !seen.others.cam);
    assert.equal((await fetch(resource, { method: "DELETE", headers: { authorization: `Bearer ${token}` } })).status, 200);
    await bob.notices("that cam has left", (seen) => !seen.others.cam);
  });

  it("publishes with a certificate of RSA", async () => {
    const room = freshRoom("rsa");
    const [bob] = await suite.gather(room, ["bob"]);
    await publish("cam", room, { rsa: true });
    await bob.sees("cam", "camera", SIZE);
  });

  it("trickles, and restarts ICE", async () => {
    const room = freshRoom("restart");
    const [bob] = await suite.gather(room, ["bob"]);
    const { someone, token, resource, etag } = await publish("cam", room, { trickle: true });
    await bob.sees("cam", "camera", SIZE);
    const restarted = await someone.page.evaluate(restartIce, { url: resource, token });
    assert.notEqual(restarted.etag, etag);
    assert.match(restarted.body, /a=candidate:/);
    await until("ICE to use the new credentials", () =>
      someone.page.evaluate(() => ["connected", "completed"].includes(window.whip.iceConnectionState)),
    );
    await bob.sees("cam", "camera", SIZE);
    const headers = { ...FRAGMENT, authorization: `Bearer ${token}`, "if-match": etag };
    const late = await fetch(resource, { method: "PATCH", headers, body: "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n" });
    assert.equal(late.status, 412, "the tag of the session before");
  });

  it("is gone when it closes its connection without a word", async () => {
    const room = freshRoom("closed");
    const [bob] = await suite.gather(room, ["bob"]);
    const { someone } = await publish("cam", room);
    await bob.sees("cam", "camera", SIZE);
    await someone.page.evaluate(() => window.whip.close());
    await bob.notices("that cam has left", (seen) => !seen.others.cam);
  });
});

describe("a page that plays over HTTP", () => {
  it("gets the tracks that come after it, and those of who comes after that", async () => {
    const room = freshRoom("later");
    const viewer = await suite.someone("viewer");
    await playWhip(suite, viewer, room);
    const plays = (width, more) =>
      until(`the viewer to play ${width} pixels and sound`, async () => {
        const played = await playedByWhip(viewer);
        if (played.width === width && played.frames >= more.frames + 10 && played.sound > more.sound) return played;
        throw new Error(JSON.stringify(played));
      });
    const first = await publish("first", room);
    const before = await plays(SIZE.width, { frames: 0, sound: 0 });
    await fetch(first.resource, { method: "DELETE", headers: { authorization: `Bearer ${first.token}` } });
    await publish("second", room, { size: { width: 480, height: 270 } });
    await plays(480, before);
  });
});

describe("requests that are refused, by name", () => {
  const post = async (token, body, headers = OFFER) => {
    const given = token ? { ...headers, authorization: `Bearer ${token}` } : headers;
    return told(await fetch(endpoint(), { method: "POST", headers: given, body }));
  };
  /** What went wrong, in the form of RFC 9457. */
  const told = async (response) => {
    assert.equal(response.headers.get("content-type"), "application/problem+json");
    const { status, title, detail } = await response.json();
    assert.ok(status === response.status && title);
    return [status, detail];
  };

  it("without a token, permission, offer or the right type", async () => {
    const room = freshRoom("refused");
    const good = await suite.server.token("cam", room);
    const mute = await suite.server.token("cam", room, { video: { canPublish: false } });
    const visitor = await suite.server.token("cam", room, { video: { roomJoin: false } });
    const { offer } = await publish("other", freshRoom("other"));
    assert.equal((await post(null, offer))[0], 401);
    assert.equal((await post("nonsense", offer))[0], 401);
    assert.deepEqual(await post(mute, offer), [401, "permissions denied"]);
    assert.deepEqual(await post(visitor, offer), [401, "permissions denied"]);
    assert.equal((await post(good, offer, { "content-type": "text/plain" }))[0], 415);
    assert.equal((await post(good, ""))[0], 400);
    assert.match((await post(good, "v=0\r\nnonsense\r\n"))[1], /^malformed SDP offer: /);
    assert.match((await post(good, offer.replaceAll(/a=fingerprint:.*\r\n/g, "")))[1], /no SHA-256 fingerprint/);
    assert.equal((await post(good, offer + "a=x:y\r\n".repeat(30_000)))[0], 413);
  });

  it("what belongs to somebody else", async () => {
    const room = freshRoom("theirs");
    const { resource } = await publish("cam", room);
    const other = { authorization: `Bearer ${await suite.server.token("eve", room)}` };
    assert.deepEqual(await told(await fetch(resource, { method: "DELETE", headers: other })), [404, "no such publication"]);
    const patch = { method: "PATCH", headers: { ...other, ...FRAGMENT, "if-match": "*" }, body: "" };
    assert.equal((await fetch(resource, patch)).status, 404);
  });

  it("changes that say nothing, the wrong thing or of which time", async () => {
    const { resource, token, etag } = await publish("cam", freshRoom("changes"));
    const patch = async (headers, body) => told(await fetch(resource, { method: "PATCH", headers: { authorization: `Bearer ${token}`, ...headers }, body }));
    assert.deepEqual(await patch(FRAGMENT, ""), [428, "missing entity tag"]);
    assert.equal((await patch({ ...OFFER, "if-match": etag }, ""))[0], 415);
    assert.equal((await patch({ ...FRAGMENT, "if-match": '"another"' }, ""))[0], 412);
    assert.equal((await patch({ ...FRAGMENT, "if-match": "*" }, ""))[0], 400, "a restart without credentials");
    assert.equal((await patch({ ...FRAGMENT, "if-match": etag }, "a=ice-ufrag:abcd\r\n"))[0], 400);
    assert.equal((await patch({ ...FRAGMENT, "if-match": etag }, "a=ice-ufrag:wrong\r\na=ice-pwd:0123456789012345678901\r\n"))[0], 400);
    assert.equal((await patch({ ...FRAGMENT, "if-match": etag }, "a=x:y\r\n".repeat(30_000)))[0], 413);
  });

  it("methods that are not served; what is, a page on another origin may ask", async () => {
    const { resource } = await publish("cam", freshRoom("methods"));
    for (const [url, method] of [[endpoint(), "PUT"], [endpoint(), "DELETE"], [endpoint(), "PATCH"], [resource, "POST"], [resource, "PUT"]]) {
      const response = await fetch(url, { method, ...(method === "DELETE" ? {} : { body: "" }) });
      assert.equal(response.status, 405, `${method} ${url}`);
      assert.match(response.headers.get("allow"), /OPTIONS/);
    }
    for (const [url, method] of [[endpoint(), "POST"], [resource, "PATCH"], [resource, "DELETE"]]) {
      const headers = { origin: "https://elsewhere.example", "access-control-request-method": method, "access-control-request-headers": "authorization,content-type,if-match" };
      const preflight = await fetch(url, { method: "OPTIONS", headers });
      assert.ok(preflight.ok);
      assert.equal(preflight.headers.get("access-control-allow-origin"), "https://elsewhere.example");
      assert.ok(preflight.headers.get("access-control-allow-methods").includes(method));
      const allowed = preflight.headers.get("access-control-allow-headers");
      for (const name of ["authorization", "content-type", "if-match"]) assert.ok(allowed === "*" || allowed.includes(name), allowed);
    }
    const options = await fetch(endpoint(), { method: "OPTIONS" });
    assert.equal(options.headers.get("accept-post"), "application/sdp");
  });
});

describe("GStreamer's webrtcbin, with the certificate that it makes itself", () => {
  const SCRIPT = fileURLToPath(new URL("../python/webrtcbin.py", import.meta.url));

  async function gstreamer(identity, room, ...options) {
    const token = await suite.server.token(identity, room);
    const child = new Child(`webrtcbin-${options.join("-")}`, "/usr/bin/python3", [SCRIPT, endpoint(), token, ...options]).listen();
    const events = () => child.out.split("\n").filter(Boolean).map((line) => JSON.parse(line));
    const heard = (what, probe) =>
      until(`webrtcbin ${what}`, () => {
        const found = events().find(probe);
        if (found) return found;
        throw new Error(`${child.exit ? "it has ended: " : ""}${child.said.slice(-800)} ${child.out.slice(-800)}`);
      });
    return { child, heard };
  }

  for (const [video, name] of [
    ["vp8", "video/VP8"],
    ["h264", "video/H264"],
  ]) {
    it(`publishes ${name} and sound`, async () => {
      const room = freshRoom(video);
      const [bob] = await suite.gather(room, ["bob"]);
      const { child, heard } = await gstreamer("gst", room, video, "opus");
      await heard("to connect", (e) => e.event === "state" && e.state === "connected");
      const { codec } = await bob.sees("gst", "camera", { width: 320, height: 180 });
      assert.equal(codec, name);
      await bob.hears("gst");
      child.child.stdin.end();
      await heard("to take its leave", (e) => e.event === "deleted");
      await bob.notices("that gst has left", (seen) => !seen.others.gst);
    });
  }

  it("plays what a browser publishes", async () => {
    const room = freshRoom("play");
    const [ada] = await suite.gather(room, ["ada"]);
    await ada.call("camera", true, { width: 320, height: 180, frameRate: 15 });
    await ada.call("microphone", true);
    const { child, heard } = await gstreamer("gst", room, "vp8", "opus", "--play");
    const played = await heard("to play pictures", (e) => e.event === "played" && e.kind === "video" && e.count >= 30);
    assert.match(played.caps, /width=\(int\)320/);
    await heard("to play sound", (e) => e.event === "played" && e.kind === "audio" && e.count >= 30);
    child.child.stdin.end();
    await heard("to take its leave", (e) => e.event === "deleted");
  });
});

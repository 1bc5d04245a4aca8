/** A call goes on while strangers and guests send what nobody sends in good faith; each of them has its answer. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { createSocket } from "node:dgram";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { it } from "node:test";
import { AddTrackRequest, DisconnectReason, LeaveRequest_Action, SignalRequest, TrackType } from "@livekit/protocol";
import { AccessToken } from "livekit-server-sdk";
import { Door } from "../harness/dtls.js";
import { freeTcpPort } from "../harness/server.js";
import { Signal } from "../harness/signal.js";
import { freshRoom, setUp } from "../harness/suite.js";
import { until } from "../harness/until.js";

const metricsPort = await freeTcpPort();
const relayPort = await freeTcpPort();
const suite = setUp("hostile", { config: `prometheus: { port: ${metricsPort} }\nturn: { enabled: true, udp_port: ${relayPort}, relay_range_start: 43000, relay_range_end: 43099 }` });

const FLOOD = 3000;
/** How long a picture may stand still while the machine is also busy attacking, in milliseconds. */
const STILL_MAX = 3000;
/** What Chromium offers, with a camera in three layers (crates/wire/sdp/testdata says how it was recorded). */
const OFFER = readFileSync(new URL("../../crates/wire/sdp/testdata/chromium-156-publisher.sdp", import.meta.url), "utf8");

/** A counter of the server, over all its workers. */
async function counted(name) {
  const page = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
  const lines = page.split("\n").filter((line) => !line.startsWith("#") && line.includes(name));
  assert.notEqual(lines.length, 0, `${name} is not counted`);
  return lines.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
}

/** `name` counts at least `least` more by the end of `attack`. */
async function counts(name, least, attack) {
  const before = await counted(name);
  await attack();
  await until(`${name} to grow by ${least}`, async () => (await counted(name)) >= before + least);
}

/** What a join is answered before it becomes a WebSocket. */
async function refusal(token, { path = "/rtc", query = "" } = {}) {
  const { port } = suite.server;
  const answers = await Promise.all([
    fetch(`http://127.0.0.1:${port}${path}/validate?access_token=${token}${query}`).then((r) => r.status),
    new Signal(`${suite.server.ws}${path}?access_token=${token}${query}`).refused,
  ]);
  assert.equal(answers[0], answers[1], "the probe and the join are answered alike");
  return answers[0];
}

async function badTokens() {
  const { key, secret } = suite.server.keys;
  const make = ({ key: by = key, secret: sealed = secret, ttl = "10m", grant } = {}) => {
    const token = new AccessToken(by, sealed, { identity: "mallory", ttl });
    if (grant) token.addGrant(grant);
    return token.toJwt();
  };
  const grant = { roomJoin: true, room: "any" };
  const good = await make({ grant });
  const [, body] = good.split(".");
  const unsigned = `${Buffer.from('{"alg":"none"}').toString("base64url")}.${body}.`;
  const v1 = (given) => ({ path: "/rtc/v1", query: `&join_request=${given}` });
  const cases = [
    [401, "", {}],
    [401, "nonsense", {}],
    [401, unsigned, {}],
    [401, good.slice(0, -4) + "AAAA", {}],
    [401, await make({ grant, ttl: -3600 }), {}],
    [401, await make({ grant, secret: "another secret, long enough for its algorithm" }), {}],
    [401, await make({ grant, key: "stranger" }), {}],
    [401, await make(), {}],
    [401, await make({ grant: { room: "any" } }), {}],
    [400, await make({ grant: { roomJoin: true } }), {}],
    [400, await make({ grant: { roomJoin: true, room: "r".repeat(1000) } }), {}],
    [400, good, { path: "/rtc/v1" }],
    [400, good, v1("%25%25%25")],
    [400, good, v1(randomBytes(300).toString("base64url"))],
    [401, unsigned, v1("AA")],
  ];
  for (const [expected, token, how] of cases) {
    assert.equal(await refusal(token, how), expected, `${token.slice(0, 40)} ${JSON.stringify(how)}`);
  }
}

/** The first line that a raw request is answered with; empty when the connection just ends. */
function rawAnswer(bytes) {
  return new Promise((ready) => {
    let heard = "";
    const socket = connect(suite.server.port, "127.0.0.1", () => socket.write(bytes));
    socket.on("data", (chunk) => (heard += chunk));
    socket.on("error", () => {});
    socket.on("close", () => ready(heard.split("\r\n")[0]));
  });
}

async function wildRequests() {
  const long = "a".repeat(64 * 1024);
  const host = "Host: x\r\nConnection: close\r\n";
  for (const [expected, request] of [
    [/^HTTP\/1.1 414/, `GET /rtc?access_token=${long} HTTP/1.1\r\n${host}\r\n`],
    [/^HTTP\/1.1 431/, `GET / HTTP/1.1\r\n${host}X-Long: ${long}${long}\r\n\r\n`],
    [/^HTTP\/1.1 40[014]/, `GET /rtc HTTP/1.1\r\n${host}\r\n`],
    [/^HTTP\/1.1 400/, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 not TLS here\r\n\r\n"],
    [/^HTTP\/1.1 41[35]|^HTTP\/1.1 400/, `POST /api/v1/guest-token HTTP/1.1\r\n${host}Content-Type: application/json\r\nContent-Length: 70000\r\n\r\n"${long}"`],
  ]) {
    assert.match(await rawAnswer(request), expected, JSON.stringify(request.slice(0, 60)));
  }
}

const signal = async (room) => {
  const token = await suite.server.token("mallory", room);
  const client = new Signal(`${suite.server.ws}/rtc?access_token=${token}&protocol=16&sdk=js`);
  await client.hears("join");
  return client;
};

async function wildFrames(room) {
  const oversize = "millrace_signal_too_large_total";
  const undecodable = "millrace_signal_undecodable_total";
  const whole = new SignalRequest({ message: { case: "addTrack", value: new AddTrackRequest({ cid: "c".repeat(100) }) } }).toBinary();
  for (const [counter, code, frame] of [
    [oversize, 1009, Buffer.alloc(3 << 20)],
    [undecodable, 1007, whole.subarray(0, whole.length / 2)],
    [undecodable, 1007, randomBytes(1000).fill(0xff, 0, 20)],
    [undecodable, 1007, "hello"],
    [undecodable, 1007, '{"addTrack":'],
  ]) {
    const client = await signal(room);
    await counts(counter, 1, async () => {
      client.raw(frame);
      assert.equal(await client.closed, code);
    });
  }
}

async function wildDescriptions(room) {
  const offered = (text, id = 1) => ({ case: "offer", value: { type: "offer", sdp: text, id } });
  const unreadable = [
    "",
    "v=0\r\nm=\r\n",
    OFFER + Array.from({ length: 500 }, (_, n) => `m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:x${n}\r\na=recvonly\r\n`).join(""),
  ];
  for (const text of unreadable) {
    const client = await signal(room);
    client.ask(offered(text));
    const leave = await client.hears("leave");
    assert.equal(leave.action, LeaveRequest_Action.RECONNECT);
    assert.equal(leave.reason, DisconnectReason.STATE_MISMATCH);
    await client.closed;
  }
  const nothing = OFFER.replaceAll(/(VP8|VP9|H264|H265|AV1|opus)\//g, "none/");
  const liars = ["a;b;c", "q;q;q", "q;h;f;q;h;f;q;h;f", "~q;~h", "", "q".repeat(200)];
  for (const text of [nothing, ...liars.map((lie) => OFFER.replace("send q;h;f", `send ${lie}`))]) {
    const client = await signal(room);
    client.ask({ case: "addTrack", value: { cid: "lie", type: TrackType.VIDEO, name: "lie" } });
    client.ask(offered(text));
    const heard = await client.hears("answer", "leave");
    if (text === nothing) assert.match(heard.sdp, /^m=video 0 /m, "nothing in common is a rejected section");
    await client.end();
  }
  const client = await signal(room);
  const candidates = ["", "{}", "null", "[1]", "\u0000", '{"candidate":"candidate:1 1 udp 99999999999 x 9 typ host"}', "1".repeat(50_000)];
  for (const candidateInit of candidates) client.ask({ case: "trickle", value: { candidateInit, target: 7 } });
  client.ask({ case: "pingReq", value: { timestamp: 1n, rtt: 0n } });
  await client.hears("pongResp");
  await client.end();
}

/** Data that a browser lets through and the server must not: each is dropped, the sender stays. */
async function wildData(room) {
  const mallory = await suite.someone("mallory-in-a-browser");
  await mallory.join(suite.server, room);
  await mallory.call("say", "hello");
  const { state } = await mallory.look();
  assert.equal(state, "connected");
  for (const bytes of [1, 1000, 60_000, 65_536]) await mallory.call("sendRaw", bytes, 3);
  // Beyond what the server's description takes (RFC 8841 section 6.1): the browser itself refuses.
  await assert.rejects(mallory.call("sendRaw", 65_537, 1), /size|large|max/i);
  // In order behind the bad ones, on the same channel.
  await mallory.call("say", "still here");
  await suite.people[0].notices("the words after the rubbish", (seen) => seen.chats.some(({ text }) => text === "still here"));
  await mallory.leave();
}

/** Datagrams to the media port, a few at a time: a real flood is lost in the kernel before the server sees it. */
async function flood(make, port = suite.server.udpPort) {
  const socket = createSocket("udp4");
  for (let n = 0; n < FLOOD; n += 1) {
    await new Promise((sent, failed) => socket.send(make(n), port, "127.0.0.1", (e) => (e ? failed(e) : sent())));
  }
  socket.close();
}

/** A binding request (RFC 8489 section 5) with a user name that nobody was given. */
function binding() {
  const name = Buffer.from(randomBytes(4).toString("hex") + ":nobody00");
  const padded = Buffer.concat([name, Buffer.alloc((4 - (name.length % 4)) % 4)]);
  const head = Buffer.alloc(24);
  head.writeUInt16BE(1, 0);
  head.writeUInt16BE(4 + padded.length, 2);
  head.writeUInt32BE(0x2112a442, 4);
  randomBytes(12).copy(head, 8);
  head.writeUInt16BE(6, 20);
  head.writeUInt16BE(name.length, 22);
  return Buffer.concat([head, padded]);
}

/** RTP in looks: a header extension that claims 256 KB, an SSRC and a payload type of nobody's. */
function rtp(n) {
  const packet = Buffer.concat([Buffer.from([0x90, 96 + (n % 32)]), randomBytes(10), Buffer.from([0xbe, 0xde, 0xff, 0xff]), randomBytes(n % 1200)]);
  return packet;
}

/** A DTLS record that begins a handshake (RFC 6347 section 4.1) and ends in noise. */
const clientHello = (n) => Buffer.concat([Buffer.from([22, 254, 253, 0, 0, 0, 0, 0, 0, n >> 8, n & 255, 0, 100, 1]), randomBytes(99)]);

/** A TURN message (RFC 8656 section 17) without credentials: requests of every method, Send indications, ChannelData. */
function relayed(n) {
  const bytes = Buffer.alloc(20 + (n % 3) * 8);
  bytes.writeUInt16BE([0x0003, 0x0004, 0x0008, 0x0009, 0x0016, 0x4001][n % 6], 0);
  bytes.writeUInt16BE(bytes.length - 20, 2);
  bytes.writeUInt32BE(0x2112a442, 4);
  randomBytes(12).copy(bytes, 8);
  for (let at = 20; at < bytes.length; at += 8) Buffer.from([0x00, 0x12, 0x00, 0x04, 1, 2, 3, 4]).copy(bytes, at);
  return bytes;
}

/** DTLS of somebody with a token, whose address has passed a check: all of it is read. */
async function checkedHandshakes(room) {
  const door = await Door.open(suite.server, "mallory-by-datagram", room, Array(32).fill("AB").join(":"));
  const whole = (n) => {
    // Pieces of hellos (RFC 6347 section 4.2.2) of every length, which never become one.
    const [total, offset, body] = [1 + ((n * 37) % 9000), (n * 101) % 8000, randomBytes(n % 200)];
    const message = Buffer.from([1, 0, total >> 8, total & 255, 0, 0, 0, offset >> 8, offset & 255, 0, 0, body.length]);
    const record = Buffer.from([22, 254, 253, 0, 0, 0, 0, 0, 0, n >> 8, n & 255, 0, message.length + body.length]);
    return Buffer.concat([record, message, body]);
  };
  for (let n = 0; n < FLOOD; n += 1) await door.send(n % 2 ? whole(n) : clientHello(n));
  door.close();
}

const dropped = (reason) => `reason="${reason}"`;

it("a call goes on undisturbed while others misbehave, and each is answered by name or dropped and counted", async () => {
  const room = freshRoom("undisturbed");
  const [ada, bob] = await suite.gather(room, ["ada", "bob"]);
  for (const person of [ada, bob]) await person.call("camera", true, { width: 640, height: 360, frameRate: 15 });
  await Promise.all([ada.sees("bob"), bob.sees("ada")]);
  await ada.call("watch", "bob", "camera");
  await bob.call("watch", "ada", "camera");

  // Connections that say nothing, or too little, are shown out by themselves; looked at in the end.
  const silent = ["", "GET / HTTP/1.1\r\nHost:"].map((bytes) => rawAnswer(bytes));
  const attacks = [
    ["tokens", badTokens],
    ["requests", wildRequests],
    ["frames", () => wildFrames(room)],
    ["descriptions and candidates", () => wildDescriptions(room)],
    ["data", () => wildData(room)],
    ["STUN for nobody", () => counts(dropped("unknown_ufrag"), FLOOD / 10, () => flood(binding))],
    ["RTP of nobody's", () => counts(dropped("unknown_address"), FLOOD / 10, () => flood(rtp))],
    ["ClientHellos", () => counts(dropped("unknown_address"), FLOOD / 10, () => flood(clientHello))],
    ["DTLS of a participant's", () => checkedHandshakes(room)],
    ["TURN without credentials", () => counts('turn_refused_total{reason="unauthorized"', FLOOD / 10, () => flood(relayed, relayPort))],
    ["noise", () => counts(dropped("unclassified"), FLOOD / 100, () => flood((n) => randomBytes(1 + (n % 1400))))],
    ["silence", () => Promise.all(silent)],
  ];
  for (const [name, attack] of attacks) {
    await attack().catch((error) => {
      throw new Error(`${name}: ${error.message}`, { cause: error });
    });
    await Promise.all([ada.sees("bob"), bob.sees("ada")]).catch((error) => {
      throw new Error(`after ${name}: ${error.message}`, { cause: error });
    });
  }
  for (const person of [ada, bob]) {
    const { longestStill, state } = { ...(await person.call("watched")), ...(await person.look()) };
    assert.equal(state, "connected");
    assert.ok(longestStill < STILL_MAX, `${person.identity}'s picture stood still for ${longestStill} ms`);
    const { happened } = await person.look();
    assert.ok(!happened.some(({ what }) => what.includes("reconnect")), JSON.stringify(happened));
  }
});

/**
 * LiveKit's SDK for Node (native code, protocol 18) with a browser and the Python SDK: streams, calls of methods,
 * encryption, and what was said to an agent before it was there. It has no data tracks yet.
 */

import assert from "node:assert/strict";
import { after, afterEach, it } from "node:test";
import { dispose } from "@livekit/rtc-node";
import { NodeParticipant } from "../harness/node.js";
import { PythonParticipant } from "../harness/python.js";
import { freshRoom, setUp } from "../harness/suite.js";

const suite = setUp("node");
const SIZE = 10_000_000;
/** A stream this long takes a while on a small machine. */
const PATIENCE = { within: 180_000 };
const natives = [];

afterEach(() => Promise.all(natives.splice(0).map((native) => native.close())));
after(() => dispose());

function make(Kind, identity) {
  const one = new Kind(identity);
  natives.push(one);
  return one;
}

const native = (Kind, identity, room, options) => make(Kind, identity).join(suite.server, room, options);

it("streams of 10 MB and long texts arrive whole, in Node and in Python", async () => {
  const room = freshRoom("node");
  const [ann, kaa] = [await native(NodeParticipant, "ann", room), await native(PythonParticipant, "kaa", room)];
  await ann.notices("the other", ({ others }) => others.length === 1);
  const has = (from, sum) => (seen) => seen.streams.some((one) => one.from === from && one.size === SIZE && one.sum === sum);
  const out = await ann.sendStream(SIZE);
  await kaa.notices("the stream", has("ann", out), PATIENCE);
  const back = await kaa.tell("send_stream", { size: SIZE, to: ["ann"] });
  await ann.notices("the stream", has("kaa", back), PATIENCE);
  const text = "a long text, and on it goes; ".repeat(5000);
  const read = (from) => (seen) => seen.chats.some((chat) => chat.from === from && chat.text === text);
  await ann.say(text);
  await kaa.notices("the text", read("ann"));
  await kaa.tell("say", { text });
  await ann.notices("the text", read("kaa"));
});

it("methods are called, answer and fail, in packets and in streams", async () => {
  const room = freshRoom("node");
  const [ada] = await suite.gather(room, ["ada"]);
  const [ann, kaa] = [await native(NodeParticipant, "ann", room), await native(PythonParticipant, "kaa", room)];
  await ann.notices("the others", ({ others }) => others.length === 2);
  await ada.told("joined", "ann");
  await ada.call("answerCalls");
  await kaa.tell("answer_calls");
  ann.answerCalls();
  const long = "x".repeat(40_000);
  for (const [how, ask] of [
    ["Node to browser", (...call) => ann.callMethod("ada", ...call)],
    ["browser to Node", (...call) => ada.call("callMethod", "ann", ...call)],
    ["Node to Python", (...call) => ann.callMethod("kaa", ...call)],
    ["Python to Node", (method, payload) => kaa.tell("call", { to: "ann", method, payload })],
  ]) {
    assert.deepEqual(await ask("shout", "hello"), { answer: "HELLO" }, how);
    assert.deepEqual(await ask("shout", long), { answer: long.toUpperCase() }, how);
    assert.deepEqual(await ask("fail", ""), { code: 4711, message: "not today", data: "because" }, how);
    assert.equal((await ask("nothing", "")).code, 1400, how);
  }
});

it("who has the key hears and reads, in Node and in a browser; who has another does not", async () => {
  const room = freshRoom("node");
  const secret = "between us";
  const [ada] = await suite.gather(room, ["ada"], { secret });
  const ann = await native(NodeParticipant, "ann", room, { secret });
  const eve = await native(NodeParticipant, "eve", room, { secret: "a guess" });
  await ann.publishTone(440);
  await ada.call("publishTone", 660);
  await ada.hears("ann");
  await ann.notices("the browser's tone", ({ heard }) => heard.ada > 0.01);
  await ada.call("say", "for ann alone");
  await ann.notices("the text", ({ chats }) => chats.some(({ text }) => text === "for ann alone"));
  await ann.say("for ada alone");
  await ada.notices("the text", ({ chats }) => chats.some(({ text }) => text === "for ada alone"));
  await eve.notices("that there is sound", ({ heard }) => heard.ada !== undefined);
  assert.ok(eve.heard.ada < 0.01 && !(eve.heard.ann >= 0.01), JSON.stringify(eve.heard));
  assert.deepEqual(eve.chats, []);
});

it("an agent that comes late is sent what was said before", async () => {
  const room = freshRoom("node");
  const [ada] = await suite.gather(room, ["ada"]);
  const agent = make(NodeParticipant, "agent");
  let buffer;
  agent.receive("lk.agent.pre-connect-audio-buffer", (bytes, from, info) => (buffer = { bytes, from, info }));
  await ada.call("speakBeforehand");
  // Half a second and more of speech, which it is to get.
  await new Promise((spoken) => setTimeout(spoken, 1000));
  await agent.join(suite.server, room, { kind: "agent" });
  await agent.notices("the buffer", () => buffer);
  assert.equal(buffer.from, "ada");
  assert.ok(buffer.bytes.length > 1000, `${buffer.bytes.length}`);
  assert.match(buffer.info.mimeType, /^audio\//);
  assert.match(buffer.info.attributes.trackId, /^TR_/);
});

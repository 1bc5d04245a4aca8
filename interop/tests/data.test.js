/**
 * Data of every kind between a browser and the Python SDK: calls of methods, streams of bytes and texts, data tracks. The
 * Python SDK announces protocol 18: with one peer connection it uses data channels with agreed ids.
 */

import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";
import { PythonParticipant } from "../harness/python.js";
import { freshRoom, setUp } from "../harness/suite.js";

const suite = setUp("data");
const SIZE = 5_000_000;
let snakes = [];

afterEach(async () => {
  await Promise.all(snakes.map((snake) => snake.close()));
  snakes = [];
});

/** A browser and two Python clients in a room. */
async function gather(single) {
  const room = freshRoom("data");
  const [ada] = await suite.gather(room, ["ada"], { options: { singlePeerConnection: single } });
  for (const identity of ["kaa", "nag"]) {
    const snake = new PythonParticipant(identity);
    snakes.push(snake);
    await snake.join(suite.server, room, { single });
  }
  const [kaa, nag] = snakes;
  for (const name of ["kaa", "nag"]) await ada.told("joined", name);
  return [ada, kaa, nag];
}

/** Frames come whole and in order. Not all: data tracks do not repeat what is lost, and a busy machine loses some. */
function wellReceived({ numbers, broken }, count) {
  assert.equal(broken, 0);
  assert.ok(numbers.every((number, at) => at === 0 || number > numbers[at - 1]), `${numbers}`);
  assert.ok(numbers.length >= count / 2, `${numbers.length} of ${count}`);
}

for (const [mode, single] of [
  ["v1", true],
  ["v0", false],
]) {
  describe(mode, () => {
    it("methods are called, answer and fail", async () => {
      const [ada, kaa, nag] = await gather(single);
      await ada.call("answerCalls");
      for (const snake of [kaa, nag]) await snake.tell("answer_calls");
      const long = "x".repeat(40_000);
      const failure = { code: 4711, message: "not today", data: "because" };
      for (const [how, ask] of [
        ["browser to Python", (...call) => ada.call("callMethod", "kaa", ...call)],
        ["Python to browser", (method, payload) => kaa.tell("call", { to: "ada", method, payload })],
        ["Python to Python", (method, payload) => kaa.tell("call", { to: "nag", method, payload })],
      ]) {
        assert.deepEqual(await ask("shout", "hello"), { answer: "HELLO" }, how);
        // More than a packet of the first kind of calls takes: it goes as a stream.
        assert.deepEqual(await ask("shout", long), { answer: long.toUpperCase() }, how);
        assert.deepEqual(await ask("fail", ""), failure, how);
        assert.equal((await ask("nothing", "")).code, 1400, how);
      }
    });

    it("streams of bytes and long texts arrive whole, everywhere or only where they are to go", async () => {
      const [ada, kaa, nag] = await gather(single);
      const has = (from, size, sum) => (seen) => seen.streams.some((one) => one.from === from && one.size === size && one.sum === sum);
      const from = await ada.call("sendStream", SIZE);
      for (const snake of [kaa, nag]) await snake.notices("the stream", has("ada", SIZE, from));
      const back = await kaa.tell("send_stream", { size: SIZE, to: ["ada"] });
      await ada.notices("the stream", has("kaa", SIZE, back));
      assert.deepEqual((await nag.look()).streams.map((one) => one.from), ["ada"]);
      const text = "a long text, and on it goes; ".repeat(1500);
      await nag.tell("say", { text });
      const read = (seen) => seen.chats.some((chat) => chat.from === "nag" && chat.text === text);
      await ada.notices("the text", read);
      await kaa.notices("the text", read);
    });

    it("agents transcribe and hear what was said before, and metrics go to those who may have them", async () => {
      const room = freshRoom("agents");
      const options = { singlePeerConnection: single };
      const [ada] = await suite.gather(room, ["ada"], { options });
      const [kaa, nag] = ["kaa", "nag"].map((identity) => new PythonParticipant(identity));
      snakes.push(kaa, nag);
      const token = await suite.server.token("kaa", room, { kind: "agent" });
      // The microphone is open before the agent is there, which is the first to hear it.
      await ada.call("speakBeforehand");
      await kaa.join(suite.server, room, { single, token });
      const { early } = await kaa.notices("what ada said before", (seen) => seen.early.length > 0);
      const cyd = await suite.someone("cyd");
      await cyd.join(suite.server, room, { options, grant: { video: { canSubscribeMetrics: true } } });
      await nag.join(suite.server, room, { single });
      const { sid } = (await cyd.look()).others.ada.tracks.microphone;
      assert.equal(early[0].from, "ada");
      assert.equal(early[0].attributes.trackId, sid);
      assert.ok(early[0].size > 0, `${early[0].size} bytes`);
      await kaa.notices("ada's sound", ({ heard }) => heard["ada/SOURCE_MICROPHONE"]?.energy > 0);
      // Only agents may say what somebody said.
      await nag.tell("transcribe", { of: "ada", track: sid, text: "a lie" });
      await nag.tell("say", { text: "after the lie" });
      await ada.notices("nag's word", (seen) => seen.chats.some(({ text }) => text === "after the lie"));
      await kaa.tell("transcribe", { of: "ada", track: sid, text: "beep" });
      await ada.told("transcribed", "ada: beep");
      await nag.notices("what ada said", ({ transcripts }) => transcripts.length > 0);
      assert.deepEqual((await nag.look()).transcripts, [{ of: "ada", track: sid, text: ["beep"] }]);
      assert.ok(!(await ada.look()).happened.some(({ detail }) => detail === "ada: a lie"));
      for (const [from, to] of [[ada, cyd], [cyd, ada]]) {
        await from.call("sendMetrics");
        await from.call("say", "measured");
        await to.notices("a word after the metrics", (seen) => seen.chats.some((chat) => chat.from === from.identity && chat.text === "measured"));
      }
      const measured = async (person) => (await person.look()).happened.filter(({ what }) => what === "measured").map(({ detail }) => detail);
      assert.deepEqual([await measured(ada), await measured(cyd)], [[], ["ada"]]);
    });

    it("data tracks are published, received, and end", async () => {
      const [ada, kaa, nag] = await gather(single);
      await ada.call("publishDataTrack", "joint");
      await kaa.tell("publish_data_track", { name: "wrist" });
      for (const snake of [kaa, nag]) await snake.notices("the track", (seen) => seen.frames["ada/joint"]);
      for (const other of [ada, nag]) await other.notices("the track", (seen) => seen.frames["kaa/wrist"]);
      // Subscriptions are under way: frames sent before they are there are nobody's.
      await new Promise((ready) => setTimeout(ready, 1000));
      await Promise.all([ada.call("pushFrames", 100, 2000, 20), kaa.tell("push_frames", { count: 100, size: 2000, pause: 20 })]);
      for (const [who, track] of [[kaa, "ada/joint"], [nag, "ada/joint"], [ada, "kaa/wrist"], [nag, "kaa/wrist"]]) {
        const seen = await who.notices(`frames of ${track}`, ({ frames }) => frames[track].numbers.at(-1) >= 90);
        wellReceived(seen.frames[track], 100);
      }
      await ada.call("unpublishDataTrack");
      await kaa.tell("unpublish_data_track");
      for (const [who, track] of [[kaa, "ada/joint"], [ada, "kaa/wrist"]]) {
        await who.notices(`the end of ${track}`, ({ frames }) => frames[track].ended);
      }
    });
  });
}

it("a data track goes on after its publisher and its subscriber have resumed", async () => {
  const [ada, bob] = await suite.gather(freshRoom("data"), ["ada", "bob"]);
  await ada.call("publishDataTrack", "joint");
  await bob.notices("the track", (seen) => seen.frames["ada/joint"]);
  for (const person of [ada, bob]) {
    await person.call("simulate", "signal-reconnect");
    await person.told("reconnected");
  }
  await ada.call("pushFrames", 50, 100, 10);
  const seen = await bob.notices("frames", ({ frames }) => frames["ada/joint"].numbers.at(-1) >= 45);
  wellReceived(seen.frames["ada/joint"], 50);
});

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

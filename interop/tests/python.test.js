/** The Python SDK, which is libwebrtc itself: a known picture and a known tone go through, also to and from a browser. */

import assert from "node:assert/strict";
import { afterEach, it } from "node:test";
import { PythonParticipant } from "../harness/python.js";
import { freshRoom, setUp } from "../harness/suite.js";

const suite = setUp("python");
const people = [];
const python = (identity) => {
  const person = new PythonParticipant(identity);
  people.push(person);
  return person;
};
afterEach(async () => {
  await Promise.all(people.splice(0).map((person) => person.close()));
});

const SIZE = { width: 640, height: 360 };
const TONE = 440;

/** Every quarter near its colour: encoders shift colours, but not one into another. */
const matches = (quarters, pattern) =>
  quarters.every((color, quarter) => color.every((part, i) => Math.abs(part - pattern[quarter][i]) < 45));

const seesPattern = (who, from) =>
  who.notices(`the pattern of ${from}`, ({ seen, pattern }) => {
    const view = seen[`${from}/SOURCE_CAMERA`];
    return view && view.frames > 10 && view.width === SIZE.width && view.height === SIZE.height && matches(view.quarters, pattern);
  });

const hearsTone = (who, from) =>
  who.notices(`the tone of ${from}`, ({ heard }) => {
    const sound = heard[`${from}/SOURCE_MICROPHONE`];
    return sound && sound.energy > 0 && Math.abs(sound.loudest - TONE) < 15;
  });

for (const [mode, single] of [
  ["v1", true],
  ["v0", false],
]) {
  it(`Python to Python: picture, tone, chat and goodbye (${mode})`, async () => {
    const room = freshRoom("python");
    const [giver, taker] = [python("giver"), python("taker")];
    await giver.join(suite.server, room, { single });
    await taker.join(suite.server, room, { single });
    await giver.tell("publish_video", SIZE);
    await giver.tell("publish_tone", { frequency: TONE });
    await seesPattern(taker, "giver");
    await hearsTone(taker, "giver");
    await giver.tell("say", { text: "from python" });
    await taker.notices("the chat", ({ chats }) => chats.some(({ from, text }) => from === "giver" && text === "from python"));
    await giver.tell("leave");
    await taker.notices("the goodbye", ({ others }) => others.length === 0);
  });
}

it("Python and a browser see and hear each other, and talk", async () => {
  const room = freshRoom("both");
  const snake = python("snake");
  await snake.join(suite.server, room);
  const [ada] = await suite.gather(room, ["ada"]);
  await snake.tell("publish_video", SIZE);
  await snake.tell("publish_tone", { frequency: TONE });
  await ada.call("publishPainted", { source: "camera", ...SIZE, color: "rgb(40,80,200)", simulcast: false });
  await ada.call("microphone", true);

  await ada.sees("snake", "camera", SIZE);
  await ada.hears("snake");
  await snake.notices("the browser's picture", ({ seen }) => {
    const view = seen["ada/SOURCE_CAMERA"];
    return view && view.frames > 10 && matches(view.quarters, Array(4).fill([40, 80, 200]));
  });
  await snake.notices("the browser's sound", ({ heard }) => heard["ada/SOURCE_MICROPHONE"]?.energy > 0);

  await ada.call("say", "hello, snake");
  await snake.notices("the chat", ({ chats }) => chats.some(({ text }) => text === "hello, snake"));
  await snake.tell("send_bytes", { text: "hello, ada", topic: "greeting" });
  await ada.notices("the packet", ({ chats }) => chats.some(({ text, topic }) => text === "hello, ada" && topic === "greeting"));
  assert.deepEqual((await snake.look()).others, ["ada"]);
});

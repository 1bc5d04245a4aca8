/** The main job: people in Chromium see and hear each other, with one peer connection each (v1) and with two (v0). */

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { MODES, freshRoom, setUp } from "../harness/suite.js";

const SIZE = { width: 640, height: 360 };
const CAPTURE = { ...SIZE, frameRate: 15 };
const suite = setUp("call");

const pairs = (people) => people.flatMap((one) => people.filter((other) => other !== one).map((other) => [one, other]));

/** Everybody sees and hears everybody else. */
async function allMeet(people) {
  await Promise.all(
    pairs(people).map(async ([one, other]) => {
      await one.sees(other.identity, "camera", SIZE);
      await one.hears(other.identity);
    }),
  );
}

const turnOn = (people) =>
  Promise.all(
    people.map(async (person) => {
      await person.call("camera", true, CAPTURE);
      await person.call("microphone", true);
    }),
  );

for (const [mode, options] of MODES) {
  describe(mode, () => {
    it("three people see and hear each other, one leaves, a late one gets everything", async () => {
      const room = freshRoom("three");
      const [ada, bob, cyd] = await suite.gather(room, ["ada", "bob", "cyd"], { options });
      await turnOn([ada, bob, cyd]);
      await allMeet([ada, bob, cyd]);

      await cyd.leave();
      await Promise.all([ada.told("left", "cyd"), bob.told("left", "cyd")]);
      assert.deepEqual(Object.keys((await ada.look()).others), ["bob"]);

      const late = await suite.someone("late");
      await late.join(suite.server, room, { options });
      for (const other of ["ada", "bob"]) {
        await late.sees(other, "camera", SIZE);
        await late.hears(other);
      }
      await turnOn([late]);
      await allMeet([ada, bob, late]);
    });

    it("media is sealed with AES-GCM", async () => {
      const [ada, bob] = await suite.gather(freshRoom("gcm"), ["ada", "bob"], { options });
      await turnOn([ada]);
      const { cipher } = await bob.sees("ada");
      assert.match(cipher, /AEAD_AES_(128|256)_GCM$/);
    });

    it("a screen is shared and taken back", async () => {
      const [ada, bob] = await suite.gather(freshRoom("screen"), ["ada", "bob"], { options });
      await ada.call("publishPainted", { source: "screen", width: 1280, height: 720, color: "rgb(200,40,160)", simulcast: false });
      await bob.sees("ada", "screen", { width: 1280, height: 720 });
      await bob.seesColor("ada", "screen", [200, 40, 160]);
      await ada.call("unpublish", "screen");
      await bob.told("unpublished", "ada/screen_share");
      await bob.notices("no screen", (seen) => seen.others.ada.tracks.screen_share === undefined);
    });

    it("sound and picture go off and on again", async () => {
      const [ada, bob] = await suite.gather(freshRoom("mute"), ["ada", "bob"], { options });
      await turnOn([ada]);
      await bob.sees("ada");
      await bob.hears("ada");

      await ada.call("microphone", false);
      await ada.call("camera", false);
      await bob.told("muted", "ada/microphone");
      await bob.told("muted", "ada/camera");
      const { tracks } = (await bob.look()).others.ada;
      assert.equal(tracks.microphone.muted && tracks.camera.muted, true);

      await ada.call("microphone", true);
      await ada.call("camera", true);
      await bob.told("unmuted", "ada/microphone");
      await bob.told("unmuted", "ada/camera");
      await bob.sees("ada", "camera", SIZE);
      await bob.hears("ada");
    });

    it("chat reaches everybody, or only those it is for", async () => {
      const [ada, bob, cyd] = await suite.gather(freshRoom("chat"), ["ada", "bob", "cyd"], { options });
      await ada.call("say", "hello, all");
      await bob.call("say", "only you, cyd", ["cyd"]);
      await bob.call("say", "and all again");
      const has = (from, text) => (seen) => seen.chats.some((chat) => chat.from === from && chat.text === text);
      await cyd.notices("the private message", has("bob", "only you, cyd"));
      for (const person of [ada, cyd]) await person.notices("the last message", has("bob", "and all again"));
      for (const person of [bob, cyd]) await person.notices("the greeting", has("ada", "hello, all"));
      // Reliable data keeps its order, so what was private would have come before what was not.
      assert.equal(has("bob", "only you, cyd")(await ada.look()), false);
    });

    it("small lossy and reliable packets and a text larger than one packet arrive whole", async () => {
      const [ada, bob] = await suite.gather(freshRoom("data"), ["ada", "bob"], { options });
      const long = "0123456789abcdef".repeat(6000);
      await ada.call("sendBytes", "dependable", { reliable: true, topic: "t" });
      await ada.call("sendBytes", "quick", { reliable: false, topic: "t" });
      await ada.call("say", long);
      for (const text of ["dependable", "quick", long]) {
        await bob.notices(`a text of ${text.length}`, (seen) => seen.chats.some((chat) => chat.from === "ada" && chat.text === text));
      }
    });
  });
}

it("people of both kinds meet in one room", async () => {
  const room = freshRoom("mixed");
  const [one] = await suite.gather(room, ["one"], { options: { singlePeerConnection: true } });
  const [two] = await suite.gather(room, ["two"], { options: { singlePeerConnection: false } });
  await turnOn([one, two]);
  await allMeet([one, two]);
});

it("somebody who comes in a second time ends the first", async () => {
  const room = freshRoom("twin");
  const [first] = await suite.gather(room, ["ada"]);
  const second = await suite.someone("ada");
  await second.join(suite.server, room);
  await first.notices("the duplicate", (seen) => seen.ended === "DUPLICATE_IDENTITY");
  assert.equal((await second.look()).state, "connected");
});

it("the one who speaks is marked", async () => {
  const [ada, bob] = await suite.gather(freshRoom("speaker"), ["ada", "bob"]);
  await ada.call("publishTone", 440);
  await bob.notices("ada speaking", (seen) => seen.happened.some(({ what, detail }) => what === "speakers" && detail.includes("ada")));
});

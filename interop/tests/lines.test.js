/** Narrow lines between a browser and the server: what is seen comes down to what they carry, and up again. */

import assert from "node:assert/strict";
import { it } from "node:test";
import { lineBefore } from "../harness/line.js";
import { MODES, freshRoom, setUp } from "../harness/suite.js";

const suite = setUp("lines");
const behind = lineBefore(suite);

/** Layers of 320 and 640, full of detail, so that they take the bits they may: some 160 and 450 kbit/s. */
const busyPicture = (person) =>
  person.call("publishPainted", { source: "camera", width: 640, height: 360, color: "noise", rate: 20, simulcast: true });

for (const [mode, options] of MODES) {
  it(`a subscriber's line of 300 kbit/s brings a lower layer, and a wide one the best again (${mode})`, async () => {
    const room = freshRoom("narrow");
    const line = await behind.clear();
    const [ada] = await suite.gather(room, ["ada"], { options });
    const bob = await behind.join("bob", room, { options });
    await busyPicture(ada);
    await bob.sees("ada", "camera", { width: 640 });
    line.set({ down: { rate: 300_000, delay: 20 } });
    await bob.sees("ada", "camera", { width: 320 });
    line.set({});
    await bob.sees("ada", "camera", { width: 640 });
    assert.ok(line.dropped.down > 0);
  });
}

for (const [mode, options] of MODES) {
  it(`an application tries a narrow line, and is told of a picture that does not fit (${mode})`, async () => {
    const room = freshRoom("paused");
    const [ada] = await suite.gather(room, ["ada"], { options });
    const bob = await suite.someone("bob");
    await bob.join(suite.server, room, { options, connect: { subscriberAllowPause: true } });
    await busyPicture(ada);
    await bob.sees("ada", "camera", { width: 640 });
    await bob.call("simulate", "subscriber-bandwidth", 1000);
    await bob.told("stream", "ada/camera paused");
    const still = (await bob.received("ada", "camera")).frames;
    await bob.told("quality", "bob poor");
    await bob.call("simulate", "subscriber-bandwidth", 0);
    await bob.told("stream", "ada/camera active");
    await bob.sees("ada", "camera", { width: 640 });
    assert.ok((await bob.received("ada", "camera")).frames > still);
  });
}

it("a picture that was paused while nobody could say so is told of when the signal connection is back", async () => {
  const room = freshRoom("deaf");
  const line = await behind.clear();
  const [ada] = await suite.gather(room, ["ada"]);
  const bob = await behind.join("bob", room, { connect: { subscriberAllowPause: true } });
  await busyPicture(ada);
  await bob.sees("ada", "camera", { width: 640 });
  await bob.call("goDeaf", 8000);
  line.set({ down: { rate: 60_000, delay: 20 } });
  await bob.told("reconnected");
  await bob.told("stream", "ada/camera paused");
  line.set({});
  await bob.told("stream", "ada/camera active");
});

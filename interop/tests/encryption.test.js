/** End-to-end encryption between browsers: the server passes on what it cannot read. */

import assert from "node:assert/strict";
import { it } from "node:test";
import { MODES, freshRoom, setUp } from "../harness/suite.js";

const suite = setUp("encryption");
const SIZE = { width: 640, height: 360 };

for (const [mode, options] of MODES) {
  it(`who has the key sees, hears and reads; who has another does not (${mode})`, async () => {
    const room = freshRoom("secret");
    const [ada, bob] = await suite.gather(room, ["ada", "bob"], { options, secret: "between us" });
    const [eve] = await suite.gather(room, ["eve"], { options, secret: "a guess" });
    await ada.call("publishPainted", { source: "camera", ...SIZE, rate: 10, color: "rgb(30,160,90)", simulcast: true });
    await ada.call("publishTone", 440);
    await bob.sees("ada", "camera", SIZE);
    await bob.seesColor("ada", "camera", [30, 160, 90]);
    await bob.hears("ada");
    await ada.call("say", "for bob alone");
    await bob.notices("the chat", (seen) => seen.chats.some(({ text }) => text === "for bob alone"));
    // All of it reaches her too, and is of no use.
    await eve.notices("the tracks", (seen) => seen.others.ada?.tracks.camera?.subscribed);
    const { packets, frames } = await eve.received("ada", "camera");
    assert.ok(packets > 0);
    assert.equal(frames, 0);
    assert.ok((await eve.look()).chats.every(({ text }) => text !== "for bob alone"));
  });
}

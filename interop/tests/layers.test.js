/** Simulcast: a subscriber gets the layer that was asked for, and only that. */

import assert from "node:assert/strict";
import { it } from "node:test";
import { MODES, freshRoom, setUp } from "../harness/suite.js";

const suite = setUp("layers");

for (const [mode, options] of MODES) {
  it(`low, then high, then low again (${mode})`, async () => {
    const [ada, bob] = await suite.gather(freshRoom("layers"), ["ada", "bob"], { options });
    // 960 wide: the client makes three layers of it, 180, 360 and 540 lines high.
    await ada.call("publishPainted", { source: "camera", width: 960, height: 540, color: "rgb(30,160,90)", simulcast: true });
    await bob.sees("ada");
    await bob.call("askQuality", "ada", "camera", "LOW");
    const low = await bob.sees("ada", "camera", { width: 320, height: 180 });
    await bob.call("askQuality", "ada", "camera", "HIGH");
    const high = await bob.sees("ada", "camera", { width: 960, height: 540 });
    assert.ok(high.height > low.height);
    await bob.seesColor("ada", "camera", [30, 160, 90]);
    await bob.call("askQuality", "ada", "camera", "LOW");
    await bob.sees("ada", "camera", { width: 320, height: 180 });
  });
}

it("two subscribers take two layers of one track", async () => {
  const [ada, bob, cyd] = await suite.gather(freshRoom("layers"), ["ada", "bob", "cyd"]);
  await ada.call("publishPainted", { source: "camera", width: 960, height: 540, color: "rgb(30,160,90)", simulcast: true });
  await Promise.all([bob.sees("ada"), cyd.sees("ada")]);
  await bob.call("askQuality", "ada", "camera", "LOW");
  await cyd.call("askQuality", "ada", "camera", "HIGH");
  await Promise.all([bob.sees("ada", "camera", { width: 320, height: 180 }), cyd.sees("ada", "camera", { width: 960 })]);
});

it("a subscriber without automatic subscription gets what it asks for, until it no longer does", async () => {
  const room = freshRoom("manual");
  const [ada] = await suite.gather(room, ["ada"]);
  const bob = await suite.someone("bob");
  await bob.join(suite.server, room, { connect: { autoSubscribe: false } });
  await ada.call("publishPainted", { source: "camera", width: 640, height: 360, color: "rgb(30,160,90)" });
  await bob.notices("the track", (seen) => seen.others.ada?.tracks.camera);
  assert.equal((await bob.look()).others.ada.tracks.camera.subscribed, false);
  await bob.call("subscribe", "ada", "camera", true);
  await bob.sees("ada");
  await bob.call("subscribe", "ada", "camera", false);
  await bob.notices("the unsubscription", (seen) => !seen.others.ada.tracks.camera.subscribed);
  await bob.call("subscribe", "ada", "camera", true);
  await bob.sees("ada");
});

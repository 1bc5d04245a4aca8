/** Lossy lines between browsers and the server: what is lost comes again, and pictures and sound go on. */

import assert from "node:assert/strict";
import { it } from "node:test";
import { lineBefore } from "../harness/line.js";
import { freeTcpPort } from "../harness/server.js";
import { MODES, freshRoom, setUp } from "../harness/suite.js";

const metricsPort = await freeTcpPort();
const suite = setUp("loss", { config: `prometheus: { port: ${metricsPort} }` });
const behind = lineBefore(suite);

/** Packets that the server counts, by what became of them. */
async function losses() {
  const page = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
  const counted = [...page.matchAll(/^millrace_media_losses_total\{.*kind="(\w+)"\} (\d+)$/gm)];
  return counted.reduce((all, [, kind, count]) => ({ ...all, [kind]: (all[kind] ?? 0) + Number(count) }), {});
}

for (const [mode, options] of MODES) {
  it(`a picture goes on while five in a hundred packets are lost each way (${mode})`, async () => {
    const room = freshRoom("lossy");
    const lossy = { loss: 0.05, delay: 20 };
    const line = await behind.clear();
    line.set({ up: lossy, down: lossy });
    const ada = await behind.join("ada", room, { options });
    const bob = await behind.join("bob", room, { options });
    await ada.call("publishPainted", { source: "camera", width: 640, height: 360, color: "rgb(30,160,90)", rate: 20, simulcast: false });
    await ada.call("publishTone", 440);
    await Promise.all([bob.sees("ada"), bob.hears("ada")]);
    const before = await bob.received("ada", "camera");
    const lostBefore = await losses();
    await bob.call("watch", "ada", "camera");
    await new Promise((passed) => setTimeout(passed, 15_000));
    const { longestStill } = await bob.call("watched");
    const now = await bob.received("ada", "camera");
    assert.ok(longestStill < 4000, `stood still for ${longestStill} ms`);
    assert.ok(now.frames - before.frames > 150, `${now.frames - before.frames} pictures in 15 s`);
    const lost = await losses();
    for (const kind of ["asked_of_publishers", "asked_by_subscribers", "resent"]) {
      assert.ok(lost[kind] > lostBefore[kind], `${kind}: ${JSON.stringify([lostBefore, lost])}`);
    }
    await bob.hears("ada");
    await bob.seesColor("ada", "camera", [30, 160, 90]);
    const worse = ({ what, detail }) => what === "quality" && ["ada good", "ada poor"].includes(detail);
    for (const person of [ada, bob]) {
      await person.notices("that ada's line is not excellent", ({ happened }) => happened.some(worse));
    }
    line.set({});
    const mended = ({ happened }) => happened.findLast(({ what, detail }) => what === "quality" && detail.startsWith("ada "))?.detail === "ada excellent";
    for (const person of [ada, bob]) await person.notices("that ada's line is excellent again", mended);
  });
}

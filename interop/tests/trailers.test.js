/** Packet trailers: what a publisher puts behind its pictures reaches those who read it, and is in nobody's way. */

import assert from "node:assert/strict";
import { it } from "node:test";
import { MODES, freshRoom, setUp } from "../harness/suite.js";
import { until } from "../harness/until.js";

const suite = setUp("trailers");
const GREEN = [30, 160, 90];

/** What stands behind the picture that `from` has sent last. */
const read = (person, from) => until(`${person.identity} to read what ${from} wrote`, () => person.call("trailer", from, "camera"));

for (const [mode, options] of MODES) {
  for (const videoCodec of ["vp8", "h264", "vp9"]) {
    it(`${videoCodec} (${mode})`, async () => {
      const room = freshRoom("trailers");
      const [ada, bob, cyd] = await Promise.all(["ada", "bob", "cyd"].map((identity) => suite.someone(identity)));
      for (const person of [ada, bob]) await person.join(suite.server, room, { options, trailers: true });
      await cyd.join(suite.server, room, { options });
      const frameMetadata = { timestamp: true, frameId: true };
      await ada.call("publishPainted", { source: "camera", width: 960, height: 540, color: `rgb(${GREEN})`, videoCodec, backupCodec: false, simulcast: true, frameMetadata });
      for (const person of [bob, cyd]) await person.seesColor("ada", "camera", GREEN);
      const [low, unread] = videoCodec === "vp9" ? [240, mode === "v0"] : [320, false];
      // livekit-client does not say over two connections that it reads them.
      if (unread) return;
      const first = await read(bob, "ada");
      assert.ok(Math.abs(Date.now() - first.taken) < 30_000, JSON.stringify(first));
      await bob.call("askQuality", "ada", "camera", "LOW");
      await bob.sees("ada", "camera", { width: low });
      const later = await read(bob, "ada");
      assert.ok(later.taken > first.taken && later.frameId !== first.frameId, JSON.stringify([first, later]));
      // Whoever does not read them shows pictures all the same, and asks for no key frame because of them.
      const before = await cyd.sees("ada");
      const after = await cyd.sees("ada");
      assert.ok(after.frames > before.frames && after.keyFrames <= before.keyFrames + 1, JSON.stringify([before, after]));
    });
  }
}

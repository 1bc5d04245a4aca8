/** Every codec that Chromium encodes, through the server to another Chromium; layers of those that have them inside. */

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { MODES, freshRoom, setUp } from "../harness/suite.js";

const suite = setUp("codecs");
const SIZE = { width: 640, height: 360 };
/** Chromium makes three spatial layers of pictures from this size on. */
const LARGE = { width: 960, height: 540 };
const GREEN = "rgb(30,160,90)";

const publish = (person, options) =>
  person.call("publishPainted", { source: "camera", ...SIZE, rate: 10, color: GREEN, simulcast: true, ...options });

for (const [mode, options] of MODES) {
  describe(mode, () => {
    it("H.264 in simulcast layers", async () => {
      const [ada, bob] = await suite.gather(freshRoom("h264"), ["ada", "bob"], { options });
      await publish(ada, { videoCodec: "h264" });
      const { codec } = await bob.sees("ada", "camera", SIZE);
      assert.equal(codec, "video/H264");
      await bob.seesColor("ada", "camera", [30, 160, 90]);
      await bob.call("askQuality", "ada", "camera", "LOW");
      await bob.sees("ada", "camera", { width: 320, height: 180 });
    });

    for (const [videoCodec, name] of [
      ["vp9", "video/VP9"],
      ["av1", "video/AV1"],
    ]) {
      it(`${name} in spatial layers of one stream, of which a subscriber takes fewer`, async () => {
        const [ada, bob] = await suite.gather(freshRoom(videoCodec), ["ada", "bob"], { options });
        await publish(ada, { ...LARGE, videoCodec, scalabilityMode: "L3T3_KEY" });
        const { codec } = await bob.sees("ada", "camera", LARGE);
        assert.equal(codec, name);
        await bob.seesColor("ada", "camera", [30, 160, 90]);
        assert.equal((await ada.call("sent", "camera"))[0].scalabilityMode, "L3T3_KEY");
        await bob.call("askQuality", "ada", "camera", "LOW");
        await bob.sees("ada", "camera", { width: 240 });
        await bob.call("askQuality", "ada", "camera", "HIGH");
        await bob.sees("ada", "camera", LARGE);
      });
    }
  });
}

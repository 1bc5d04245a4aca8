/** Backup codecs: a track that not everybody can decode is sent in a second codec to those who cannot. */

import assert from "node:assert/strict";
import { it } from "node:test";
import { Firefox } from "../harness/firefox.js";
import { freshRoom, setUp } from "../harness/suite.js";
import { until } from "../harness/until.js";

const suite = setUp("backup");
/** Of livekit-client's `BackupCodecPolicy`, whose default is 0: `PREFER_REGRESSION`. */
const [SIMULCAST, REGRESSION] = [1, 2];

/** Which codec the others see: the first, unless the publisher wants to send one alone; or would rather, as by default. */
for (const [codec, mode, singlePeerConnection, backupCodecPolicy, others] of [
  ["av1", "v1", true, SIMULCAST, "video/AV1"],
  ["vp9", "v0", false, REGRESSION, "video/VP8"],
  ["vp9", "v1", true, undefined, "video/VP8"],
]) {
  it(`who lacks ${codec} makes its publisher send VP8, and the others see ${others} (${mode})`, async () => {
    const options = { singlePeerConnection };
    const room = freshRoom("backup");
    const firefox = await Firefox.launch();
    try {
      const [ada, bob] = await suite.gather(room, ["ada", "bob"], { options });
      const fox = await firefox.participant(suite.site, "fox");
      await fox.call("lacks", codec);
      await ada.call("publishPainted", {
        source: "camera", width: 640, height: 360, color: "rgb(30,160,90)", videoCodec: codec, scalabilityMode: "L1T1", backupCodec: { codec: "vp8" }, backupCodecPolicy,
      });
      await bob.sees("ada");
      await fox.join(suite.server, room, { options });
      const seen = await fox.sees("ada");
      assert.equal(seen.codec, "video/VP8");
      await until(`bob to see ${others}`, async () => (await bob.sees("ada")).codec === others);
      await fox.leave();
    } finally {
      await firefox.close();
    }
  });
}

/** Backup codecs: a track that not everybody can decode is sent in a second codec to those who cannot. */

import assert from "node:assert/strict";
import { it } from "node:test";
import { Firefox } from "../harness/firefox.js";
import { freshRoom, setUp } from "../harness/suite.js";

const suite = setUp("backup");

for (const codec of ["av1", "vp9"]) {
  it(`who lacks ${codec} makes its publisher send VP8 too, which the others are not given`, async () => {
    const room = freshRoom("backup");
    const firefox = await Firefox.launch();
    try {
      const [ada, bob] = await suite.gather(room, ["ada", "bob"]);
      const fox = await firefox.participant(suite.site, "fox");
      await fox.call("lacks", codec);
      await ada.call("publishPainted", {
        source: "camera", width: 640, height: 360, color: "rgb(30,160,90)", videoCodec: codec, scalabilityMode: "L1T1", backupCodec: { codec: "vp8" },
      });
      await bob.sees("ada");
      await fox.join(suite.server, room);
      const seen = await fox.sees("ada");
      assert.equal(seen.codec, "video/VP8");
      assert.equal((await bob.sees("ada")).codec, `video/${codec.toUpperCase()}`);
      await fox.leave();
    } finally {
      await firefox.close();
    }
  });
}

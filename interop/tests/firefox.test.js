/** Firefox and Chromium in one call. */

import { after, before, it } from "node:test";
import { Firefox } from "../harness/firefox.js";
import { MODES, freshRoom, setUp } from "../harness/suite.js";

const suite = setUp("firefox");
let firefox;
before(async () => {
  firefox = await Firefox.launch();
});
after(() => firefox?.close());

for (const [mode, options] of MODES) {
  it(`Firefox and Chromium see and hear each other, and chat (${mode})`, async () => {
    const room = freshRoom("firefox");
    const fox = await firefox.participant(suite.site, "fox");
    await fox.join(suite.server, room, { options });
    const [ada] = await suite.gather(room, ["ada"], { options });
    for (const person of [fox, ada]) {
      await person.call("camera", true, { width: 640, height: 360, frameRate: 15 });
      await person.call("microphone", true);
    }
    await ada.sees("fox");
    await ada.hears("fox");
    await fox.sees("ada");
    await fox.hears("ada");
    await fox.call("say", "from the fox");
    await ada.notices("the chat", (seen) => seen.chats.some(({ from, text }) => from === "fox" && text === "from the fox"));
    await ada.call("say", "to the fox");
    await fox.notices("the chat", (seen) => seen.chats.some(({ from, text }) => from === "ada" && text === "to the fox"));
    await fox.leave();
    await ada.told("left", "fox");
  });
}

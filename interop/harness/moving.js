/**
 * Networks that fail: the media path moves or is cut while signalling stays, and both go. Throughout, numbered messages
 * go each way: while the session stays the same, none may be lost, doubled or out of order.
 */

import assert from "node:assert/strict";
import { it } from "node:test";
import { Line } from "./line.js";
import { CAPTURE, count, meet, sidOf, whileCounting } from "./resuming.js";
import { freshRoom, step } from "./suite.js";

const seconds = (count) => new Promise((ready) => setTimeout(ready, count * 1000));
const lines = ({ happened }) => happened.filter(({ what }) => what.includes("reconnect")).map(({ what }) => what);

/** ada's media goes over a line of its own; bob's does not. */
async function callOverLine(suite, options, line) {
  const room = freshRoom("line");
  const [ada, bob] = await Promise.all(["ada", "bob"].map((identity) => suite.someone(identity)));
  await ada.call("throughPort", line.port);
  for (const person of [ada, bob]) {
    await person.join(suite.server, room, { options });
    await person.call("camera", true, CAPTURE);
  }
  await meet(ada, bob);
  assert.equal((await ada.received("bob", "camera")).way.to, line.port);
  return [ada, bob];
}

/** The cases of one way of connecting, one after the other in one call. */
export function moves(suite, mode, options) {
  it(`addresses move, media goes, both go, and all comes back (${mode})`, async () => {
    const line = await Line.before(suite.server.udpPort);
    try {
      const [ada, bob] = await callOverLine(suite, options, line);
      const sid = await sidOf(ada);
      await whileCounting(ada, bob, async () => {
        await step("a client whose address moves goes on, and nobody notices", async () => {
          for (let times = 0; times < 3; times += 1) {
            line.move();
            await seconds(1);
            await meet(ada, bob);
          }
          assert.deepEqual(lines(await ada.look()), []);
        });
        await step("media that is away for some seconds comes back", async () => {
          line.cut();
          await seconds(8);
          line.mend();
          await meet(ada, bob);
        });
        await step("signalling and media that go together come back together", async () => {
          const before = count(await ada.look(), "reconnected");
          line.cut();
          await ada.call("goDeaf", 6000);
          await seconds(5);
          line.mend();
          await ada.notices("the way back", (seen) => count(seen, "reconnected") > before);
          await meet(ada, bob);
        });
      });
      assert.equal(await sidOf(ada), sid, "the same participant");
      assert.equal(count(await bob.look(), "left"), 0);
      await step("a client that was away for too long comes back anew", async () => {
        line.cut();
        await ada.call("goDeaf", 20_000);
        await bob.told("left", "ada");
        line.mend();
        await bob.notices("ada again", (seen) => seen.others.ada);
        await meet(ada, bob);
        assert.notEqual(await sidOf(ada), sid);
      });
    } finally {
      line.close();
    }
  });
}

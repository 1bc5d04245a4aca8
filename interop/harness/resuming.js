/**
 * Sessions that are taken up again after their signal connection broke. Throughout, numbered messages go each way: none
 * may be lost, doubled or out of order.
 */

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { freshRoom } from "./suite.js";
import { until } from "./until.js";

export const CAPTURE = { width: 320, height: 180, frameRate: 15 };

export const meet = (ada, bob) => Promise.all([ada.sees("bob"), bob.sees("ada")]);
export const sidOf = (person) => person.call("ownSid");
export const count = (seen, what) => seen.happened.filter((event) => event.what === what).length;

/** Two people who see each other. */
async function call(suite, options) {
  const [ada, bob] = await suite.gather(freshRoom("resume"), ["ada", "bob"], { options });
  for (const person of [ada, bob]) await person.call("camera", true, CAPTURE);
  await meet(ada, bob);
  return [ada, bob];
}

/** Numbers flow both ways while something is done to ada. */
export async function whileCounting(ada, bob, work) {
  for (const person of [ada, bob]) await person.call("startCounting", 25);
  await work();
  const sent = Object.fromEntries(await Promise.all([ada, bob].map(async (person) => [person.identity, await person.call("stopCounting")])));
  for (const [from, to] of [[ada, bob], [bob, ada]]) {
    const last = sent[from.identity];
    assert.ok(last > 10, `${from.identity} counted to ${last}`);
    const heard = await until(`${to.identity} to hear ${from.identity} count to ${last}`, async () => {
      const numbers = await to.call("counted", from.identity);
      if (numbers.at(-1) === last) return numbers;
      throw new Error(`last ${numbers.at(-1)} of ${last}`);
    });
    const missing = Array.from({ length: last }, (_, at) => at + 1).filter((number) => !heard.includes(number));
    assert.deepEqual(missing, [], `lost between ${from.identity} and ${to.identity}`);
    const wrong = heard.filter((number, at) => number !== at + 1).slice(0, 20);
    assert.deepEqual(wrong, [], `doubled or out of order between ${from.identity} and ${to.identity}`);
  }
}

/** The cases of one way of connecting. */
export function resumes(suite, mode, options) {
  describe(`a session is taken up again (${mode})`, () => {
    for (const scenario of ["signal-reconnect", "disconnect-signal-on-resume", "disconnect-signal-on-resume-no-messages"]) {
      it(scenario, async () => {
        const [ada, bob] = await call(suite, options);
        const sid = await sidOf(ada);
        await whileCounting(ada, bob, async () => {
          await ada.call("simulate", scenario);
          await ada.notices("the way back", (seen) => seen.happened.some(({ what }) => what === "signal reconnecting" || what === "reconnecting") && seen.happened.some(({ what }) => what === "reconnected"));
          await meet(ada, bob);
        });
        assert.equal(await sidOf(ada), sid, "the same participant");
        assert.equal(count(await bob.look(), "left"), 0);
      });
    }

    it("ten times in a row, and no message is lost or doubled", async () => {
      const [ada, bob] = await call(suite, options);
      const sid = await sidOf(ada);
      await whileCounting(ada, bob, async () => {
        for (let round = 1; round <= 10; round += 1) {
          await (round % 2 ? ada : bob).call("simulate", "signal-reconnect");
          await (round % 2 ? ada : bob).notices("another way back", (seen) => count(seen, "reconnected") === Math.ceil(round / 2));
        }
        await meet(ada, bob);
      });
      assert.equal(await sidOf(ada), sid);
    });

    it("what happened meanwhile is caught up with", async () => {
      const [ada, bob] = await call(suite, options);
      const cyd = await suite.someone("cyd");
      const room = (await ada.call("roomName"));
      await cyd.join(suite.server, room, { options });
      await ada.told("joined", "cyd");
      await ada.call("goDeaf", 4000);
      await cyd.leave();
      await bob.told("left", "cyd");
      const dan = await suite.someone("dan");
      await dan.join(suite.server, room, { options });
      await bob.call("unpublish", "camera");
      await ada.told("reconnected");
      await ada.told("left", "cyd");
      await ada.told("joined", "dan");
      await ada.told("unpublished", "bob/camera");
    });
  });
}

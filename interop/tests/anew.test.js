/**
 * Everything that livekit-client can simulate and that ends in a new session, or in none, with one peer connection (v1)
 * and with two (v0).
 */

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { MODES, freshRoom, setUp } from "../harness/suite.js";

const CAPTURE = { width: 320, height: 180, frameRate: 15 };
const suite = setUp("anew");

const meet = (ada, bob) => Promise.all([ada.sees("bob"), bob.sees("ada")]);
const sidOf = (person) => person.call("ownSid");

/** Two people who see each other. */
async function call(options) {
  const [ada, bob] = await suite.gather(freshRoom("anew"), ["ada", "bob"], { options });
  for (const person of [ada, bob]) await person.call("camera", true, CAPTURE);
  await meet(ada, bob);
  return [ada, bob];
}

/** What is said while the client itself is still about to reconnect it may forget: it is said again. */
async function talk(from, to) {
  await to.notices(`a word of ${from.identity}`, async (seen) => {
    await from.call("say", "back again");
    return seen.chats.some((chat) => chat.from === from.identity && chat.text === "back again");
  });
}

for (const [mode, options] of MODES) {
  describe(`everything is made new (${mode})`, () => {
    for (const scenario of ["resume-reconnect", "full-reconnect", "leave-full-reconnect", "node-failure", "migration"]) {
      it(scenario, async () => {
        const [ada, bob] = await call(options);
        const sid = await sidOf(ada);
        await ada.call("simulate", scenario);
        await ada.told("reconnected");
        await meet(ada, bob);
        assert.notEqual(await sidOf(ada), sid, "another stay");
        await talk(ada, bob);
        await talk(bob, ada);
      });
    }

    it("force-tcp", async () => {
      const [ada, bob] = await call(options);
      await ada.call("simulate", "force-tcp");
      await ada.told("reconnected");
      const { way } = await ada.sees("bob");
      assert.deepEqual([way.protocol, way.to], ["tcp", suite.server.tcpPort]);
      assert.equal((await bob.sees("ada")).way.protocol, "udp");
    });
  });

  it(`fail-on-v1-path: whoever finds no v1 takes v0 (${mode})`, async () => {
    const room = freshRoom("v0");
    const [ada, bob] = [await suite.someone("ada"), await suite.someone("bob")];
    await ada.join(suite.server, room, { options, simulating: "fail-on-v1-path" });
    await bob.join(suite.server, room, { options });
    assert.equal((await ada.look()).single, "subscriber-primary");
    for (const person of [ada, bob]) await person.call("camera", true, CAPTURE);
    await meet(ada, bob);
  });

  it(`server-leave ends it (${mode})`, async () => {
    const [ada, bob] = await call(options);
    await ada.call("simulate", "server-leave");
    await ada.notices("the end", (seen) => seen.ended === "SERVER_SHUTDOWN");
    await bob.told("left", "ada");
  });

  it(`speaker marks somebody as speaking for a while (${mode})`, async () => {
    const [ada, bob] = await suite.gather(freshRoom("speaker"), ["ada", "bob"], { options });
    await ada.call("simulate", "speaker");
    const speaks = ({ what, detail }) => what === "speakers" && detail.includes("ada");
    for (const person of [ada, bob]) await person.notices("ada speaking", (seen) => seen.happened.some(speaks));
    for (const person of [ada, bob]) {
      await person.notices("silence", (seen) => seen.happened.filter(({ what }) => what === "speakers").at(-1).detail.length === 0);
    }
  });
}

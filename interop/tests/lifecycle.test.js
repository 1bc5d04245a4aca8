/** What happens to people when the server goes: at once, politely, and back again. */

import assert from "node:assert/strict";
import { it } from "node:test";
import { MODES, freshRoom, setUp } from "../harness/suite.js";
import { until } from "../harness/until.js";

const suite = setUp("lifecycle");
const CAPTURE = { width: 640, height: 360, frameRate: 15 };

for (const [mode, options] of MODES) {
  it(`a server that was killed and started again finds everybody back by themselves (${mode})`, async () => {
    const [ada, bob] = await suite.gather(freshRoom("killed"), ["ada", "bob"], { options });
    for (const person of [ada, bob]) await person.call("camera", true, CAPTURE);
    await Promise.all([ada.sees("bob"), bob.sees("ada")]);

    await suite.server.kill("SIGKILL");
    await suite.server.run();
    const patient = { within: 60_000 };
    for (const person of [ada, bob]) {
      await person.notices(
        "the way back",
        (seen) => seen.state === "connected" && seen.happened.some(({ what }) => what === "reconnected"),
        patient,
      );
    }
    await ada.notices("bob again", (seen) => seen.others.bob?.tracks.camera, patient);
    await Promise.all([ada.sees("bob"), bob.sees("ada")]);
  });

  it(`a client that makes everything new keeps the call (${mode})`, async () => {
    const [ada, bob] = await suite.gather(freshRoom("anew"), ["ada", "bob"], { options });
    for (const person of [ada, bob]) await person.call("camera", true, CAPTURE);
    await Promise.all([ada.sees("bob"), bob.sees("ada")]);
    await ada.call("simulate", "full-reconnect");
    await ada.told("reconnected");
    await Promise.all([ada.sees("bob"), bob.sees("ada")]);
  });
}

it("a client whose signalling breaks keeps its call", async () => {
  const [ada, bob] = await suite.gather(freshRoom("signal"), ["ada", "bob"]);
  for (const person of [ada, bob]) await person.call("camera", true, CAPTURE);
  await Promise.all([ada.sees("bob"), bob.sees("ada")]);
  await ada.call("simulate", "signal-reconnect");
  await ada.told("reconnected");
  await Promise.all([ada.sees("bob"), bob.sees("ada")]);
});

it("a reload drops nobody, and a broken file changes nothing", async () => {
  const room = freshRoom("reload");
  const people = await suite.gather(room, ["ada", "bob"]);
  const [ada, bob] = people;
  for (const person of people) await person.call("camera", true, CAPTURE);
  await Promise.all([ada.sees("bob"), bob.sees("ada")]);
  const url = `${suite.server.http}/rtc/validate?access_token=${await suite.server.token("eleanor", room)}`;
  const refused = async () => (await fetch(url)).status === 400;
  assert.equal(await refused(), false);
  suite.server.reload("limit: { max_participant_identity_length: 4 }");
  await until("the new limit", refused);
  suite.server.reload("limit: [");
  await Promise.all([ada.sees("bob"), bob.sees("ada")]);
  assert.equal(await refused(), true);
  suite.server.reload("");
  await until("the limit to be gone", async () => !(await refused()));
  await Promise.all([ada.sees("bob"), bob.sees("ada")]);
  for (const person of people) assert.ok(!(await person.look()).happened.some(({ what }) => what.includes("reconnect")));
});

// The last: there is no server after it.
it("SIGTERM tells everybody that the server shuts down, and the process ends well", async () => {
  const [ada, bob] = await suite.gather(freshRoom("term"), ["ada", "bob"]);
  await ada.call("camera", true, CAPTURE);
  await bob.sees("ada");
  suite.server.signal("SIGTERM");
  for (const person of [ada, bob]) await person.notices("the shutdown", (seen) => seen.ended === "SERVER_SHUTDOWN");
  const { code, signal } = await suite.server.exited(30_000);
  assert.deepEqual({ code, signal }, { code: 0, signal: null });
});

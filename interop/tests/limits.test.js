/** Limits as people meet them: seats, tracks of one subscriber, tracks of a server. */

import assert from "node:assert/strict";
import { it } from "node:test";
import { RoomServiceClient } from "livekit-server-sdk";
import { MODES, freshRoom, setUp } from "../harness/suite.js";

const TRACKS = 9;
const config = `
limit: { num_tracks: ${TRACKS}, subscription_limit_video: 1, subscription_limit_audio: 1 }
room: { max_participants: 2, departure_timeout: 1 }
`;
const suite = setUp("limits", { config });

const painted = (source, color) => ({ source, width: 320, height: 180, color, simulcast: false });
const GREEN = "rgb(30,160,90)";
const RED = "rgb(200,40,40)";

for (const [mode, options] of MODES) {
  it(`a subscriber gets as many pictures and sounds as it may, and the next when one ends (${mode})`, async () => {
    const [ada, bob] = await suite.gather(freshRoom("one"), ["ada", "bob"], { options });
    await ada.call("publishPainted", painted("camera", GREEN));
    await ada.call("publishTone", 440);
    await bob.sees("ada");
    await ada.call("publishPainted", painted("screen", RED));
    // Known, and not sent: it waits.
    await bob.notices("the screen", ({ others }) => others.ada?.tracks.screen_share);
    assert.equal(await bob.received("ada", "screen"), undefined);
    await bob.hears("ada");
    await ada.call("unpublish", "camera");
    await bob.seesColor("ada", "screen", [200, 40, 40]);
  });
}

it("a room has two seats, and room for those who depend on them", async () => {
  const room = freshRoom("seats");
  const [ada, bob, cyd, agent] = await Promise.all(["ada", "bob", "cyd", "agent"].map((identity) => suite.someone(identity)));
  await agent.join(suite.server, room, { grant: { kind: "agent" } });
  await ada.join(suite.server, room);
  await bob.join(suite.server, room);
  await assert.rejects(cyd.join(suite.server, room));
  await bob.leave();
  await ada.told("left", "bob");
  await cyd.join(suite.server, room);
  await ada.told("joined", "cyd");
  // Where nobody else is left, an agent does not keep the room.
  for (const person of [ada, cyd]) await person.leave();
  await agent.notices("the room's end", ({ ended }) => ended === "ROOM_CLOSED");
});

it("a server that carries all it may lets nobody in, and those who are there go on", async () => {
  const { http, keys } = suite.server;
  const rooms = new RoomServiceClient(http, keys.key, keys.secret);
  const [ada, bob] = await suite.gather(freshRoom("full"), ["ada", "bob"]);
  // Of each, one published and one sent, then sounds too: 8 in all; and a picture that waits is one more.
  for (const person of [ada, bob]) {
    await person.call("publishPainted", painted("camera", GREEN));
    await person.call("publishTone", 440);
  }
  for (const [person, other] of [[ada, "bob"], [bob, "ada"]]) await Promise.all([person.sees(other), person.hears(other)]);
  const cyd = await suite.someone("cyd");
  await cyd.join(suite.server, freshRoom("last"));
  await cyd.leave();
  await ada.call("publishPainted", painted("screen", RED));
  await bob.notices("the screen", ({ others }) => others.ada?.tracks.screen_share);
  await assert.rejects(cyd.join(suite.server, freshRoom("beyond")));
  await assert.rejects(rooms.createRoom({ name: freshRoom("beyond") }), ({ status, code }) => status === 429 && code === "resource_exhausted");
  await Promise.all([ada.sees("bob"), bob.sees("ada")]);
});

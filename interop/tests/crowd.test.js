/** A large room: two hundred people who only watch come in within twenty seconds. */

import assert from "node:assert/strict";
import { after, before, it } from "node:test";
import { ClientInfo, JoinRequest, WrappedJoinRequest } from "@livekit/protocol";
import { Server } from "../harness/server.js";
import { Signal } from "../harness/signal.js";
import { freshRoom } from "../harness/suite.js";
import { until } from "../harness/until.js";

const CROWD = 200;
const WITHIN_MS = 20_000;
/** With one peer connection a client may take its time to offer it. */
const request = new JoinRequest({ clientInfo: new ClientInfo({ protocol: 17 }) });
const ASKED = Buffer.from(new WrappedJoinRequest({ joinRequest: request.toBinary() }).toBinary()).toString("base64url");
let server;

before(async () => (server = await Server.start("crowd")));
after(() => server?.stop());

it("everybody hears of everybody, in few messages", async () => {
  const room = freshRoom("crowd");
  const people = [];
  const start = Date.now();
  for (let n = 0; n < CROWD; n += 1) {
    const token = await server.token(`p${n}`, room);
    const one = new Signal(`${server.ws}/rtc/v1?access_token=${token}&join_request=${encodeURIComponent(ASKED)}`);
    people.push(one);
    one.joined = one.hears("join");
    const due = start + (n * WITHIN_MS) / CROWD;
    await new Promise((ready) => setTimeout(ready, Math.max(0, due - Date.now())));
  }
  const joins = await Promise.all(people.map(({ joined }) => joined));
  for (const [n, one] of people.entries()) {
    const known = new Set(joins[n].otherParticipants.map(({ identity }) => identity));
    await until(`p${n} to know everybody`, () => {
      for (const { participants } of one.all("update")) for (const { identity } of participants) known.add(identity);
      known.delete(`p${n}`);
      if (known.size === CROWD - 1) return true;
      throw new Error(`knows ${known.size}`);
    });
  }
  // One for each second, and one for each of the few who came while the room was small.
  const most = Math.max(...people.map((one) => one.all("update").length));
  assert.ok(most < CROWD / 3, `${most} updates`);
  await Promise.all(people.map((one) => one.end()));
});

/** Getting through: people whom UDP does not reach meet all the same, over TCP. */

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { MODES, freshRoom, setUp } from "../harness/suite.js";

const SIZE = { width: 320, height: 180 };
/** Two people see and hear each other; the way on which `bob` gets it. */
async function meet(suite, [ada, bob]) {
  for (const person of [ada, bob]) {
    await person.call("camera", true, { ...SIZE, frameRate: 15 });
    await person.call("microphone", true);
  }
  await ada.hears("bob");
  await bob.hears("ada");
  await ada.sees("bob", "camera", SIZE);
  return (await bob.sees("ada", "camera", SIZE)).way;
}

describe("a browser without UDP", () => {
  const suite = setUp("reach-no-udp", { flags: ["--force-webrtc-ip-handling-policy=disable_non_proxied_udp", "--webrtc-ip-handling-policy=disable_non_proxied_udp"] });
  for (const [mode, options] of MODES) {
    it(`takes the offered TCP, ${mode}`, async () => {
      const way = await meet(suite, await suite.gather(freshRoom("tcp"), ["ada", "bob"], { options }));
      assert.deepEqual([way.protocol, way.to], ["tcp", suite.server.tcpPort]);
    });
  }
});

describe("a server that offers TCP alone", () => {
  const suite = setUp("reach-force", { config: "  force_tcp: true\n  use_ice_lite: false" });
  for (const [mode, options] of MODES) {
    it(`is reached by every browser, ${mode}`, async () => {
      const people = await suite.gather(freshRoom("force"), ["ada", "bob"], { options });
      const way = await meet(suite, people);
      assert.deepEqual([way.protocol, way.to], ["tcp", suite.server.tcpPort]);
      await people[0].call("say", "hello");
      await people[1].notices("a text", (seen) => seen.chats.some((chat) => chat.text === "hello"));
    });
  }
});

describe("a browser with UDP", () => {
  const suite = setUp("reach-both");
  it("prefers it", async () => {
    const way = await meet(suite, await suite.gather(freshRoom("udp"), ["ada", "bob"]));
    assert.deepEqual([way.protocol, way.to], ["udp", suite.server.udpPort]);
  });
});

describe("IPv6", () => {
  // A machine without a network has no other IPv6 address than ::1, which Chromium leaves out unless told.
  const suite = setUp("reach-ipv6", { flags: ["--allow-loopback-in-peer-connection"] });
  for (const [mode, options] of MODES) {
    it(`is all that two browsers need, ${mode}`, async () => {
      const people = await Promise.all(["ada", "bob"].map((identity) => suite.someone(identity)));
      const room = freshRoom("six");
      for (const person of people) {
        await person.call("ipv6Only");
        await person.join(suite.server, room, { options });
      }
      const way = await meet(suite, people);
      assert.deepEqual([way.protocol, way.to], ["udp", suite.server.udpPort]);
      assert.match(way.at, /:/);
    });
  }
});

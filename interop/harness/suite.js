/** What every test file starts with: a server, a browser, a test page, and an end to all of them. */

import { after, afterEach, before } from "node:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Chromium } from "./chromium.js";
import { ARTIFACTS, Server } from "./server.js";
import { serveSite } from "./site.js";

/**
 * `suite` is filled before the first test. Participants made through it are gone after each test, and their consoles
 * are kept in artifacts/ when it failed.
 */
export function setUp(name, { config, flags } = {}) {
  const suite = { people: [], name };
  let seats = 0;
  suite.someone = async (identity) => {
    const participant = await suite.chromium.participant(suite.site, identity, seats++);
    suite.people.push(participant);
    return participant;
  };
  /** Several people in a room, in the order of their names, with the same options. */
  suite.gather = async (room, identities, given) => {
    const people = await Promise.all(identities.map((identity) => suite.someone(identity)));
    for (const person of people) await person.join(suite.server, room, given);
    return people;
  };

  before(async () => {
    [suite.server, suite.chromium, suite.site] = await Promise.all([Server.start(name, config), Chromium.launch(flags), serveSite()]);
  });
  afterEach(async (context) => {
    const consoles = suite.people.map(({ identity, page }) => `--- ${identity}\n${page.said.join("\n")}\n`);
    const file = `console-${name}-${context.name.replace(/[^a-z0-9]+/gi, "-").slice(0, 60)}.log`;
    writeFileSync(join(ARTIFACTS, file), consoles.join("\n"));
    suite.people.length = seats = 0;
    await suite.chromium.clear();
  });
  after(async () => {
    await suite.chromium?.close();
    await suite.site?.close();
    await suite.server?.stop();
  });
  return suite;
}

/** livekit-client's options for one peer connection and for two. */
export const MODES = [
  ["v1", { singlePeerConnection: true }],
  ["v0", { singlePeerConnection: false }],
];

/** Room names are told apart by this, so that tests of one server do not meet. */
let rooms = 0;
export const freshRoom = (what = "room") => `${what}-${process.pid}-${(rooms += 1)}`;

/** One of several things that happen to the same call. */
export async function step(what, work) {
  try {
    await work();
  } catch (error) {
    error.message = `${what}: ${error.message}`;
    throw error;
  }
}

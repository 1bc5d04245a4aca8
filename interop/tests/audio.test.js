/** Redundant audio (RFC 2198): taken from who sends it, passed on, taken out for who does not know it, and made. */

import assert from "node:assert/strict";
import { after, before, it } from "node:test";
import { Firefox } from "../harness/firefox.js";
import { MODES, freshRoom, setUp } from "../harness/suite.js";
import { until } from "../harness/until.js";
import { playedByWhip, playWhip, publishWhip } from "../harness/whip.js";

const suite = setUp("audio", { config: "audio: { active_red_encoding: true }" });
let firefox;
before(async () => {
  firefox = await Firefox.launch();
});
after(() => firefox?.close());

/**
 * Chromium's statistics name the codec inside on both ends, but where redundant audio arrives it counts, for nearly every
 * packet, an old block that it had already: discarded. The server makes none of what comes redundant or is not to be.
 */
const old = ({ discarded, packets }) => discarded / packets;

function enough(person, from, received = () => person.received(from, "microphone")) {
  return until(`${person.identity} to have heard ${from} for a while`, async () => {
    const now = await received();
    return now?.packets > 150 && now;
  });
}

for (const [mode, options] of MODES) {
  it(`one Chromium sends redundant audio, another takes it, Firefox gets Opus (${mode})`, async () => {
    const room = freshRoom("red");
    const [ada, bob] = await suite.gather(room, ["ada", "bob"], { options });
    const fox = await firefox.participant(suite.site, "fox");
    await fox.join(suite.server, room, { options });
    await ada.call("publishTone", 440, { red: true, forceStereo: false });
    await Promise.all([bob.hears("ada"), fox.hears("ada")]);
    assert.ok(old(await enough(bob, "ada")) > 0.5);
    assert.equal((await enough(fox, "ada")).codec, "audio/opus");
    await fox.hears("ada");
    await fox.leave();
  });

  it(`Firefox sends Opus, of which Chromium gets redundant audio (${mode})`, async () => {
    const room = freshRoom("made");
    const [bob] = await suite.gather(room, ["bob"], { options });
    const fox = await firefox.participant(suite.site, "fox");
    await fox.join(suite.server, room, { options });
    await fox.call("microphone", true);
    await bob.hears("fox");
    assert.ok(old(await enough(bob, "fox")) > 0.5);
    await fox.leave();
  });
}

it("who asks for none sends none", async () => {
  const [ada, bob] = await suite.gather(freshRoom("plain"), ["ada", "bob"]);
  await ada.call("publishTone", 440, { red: false, forceStereo: false });
  await bob.hears("ada");
  assert.ok(old(await enough(bob, "ada")) < 0.2);
});

it("who publishes over HTTP sends Opus, of which redundant audio is made", async () => {
  const room = freshRoom("whip");
  const [bob] = await suite.gather(room, ["bob"]);
  const { offer, answer } = await publishWhip(suite, "cam", room);
  assert.ok(/ red\/48000/.test(offer) && !/ red\/48000/.test(answer));
  await bob.hears("cam");
  assert.ok(old(await enough(bob, "cam")) > 0.5);
});

it("who plays over HTTP gets redundant audio if it offers to", async () => {
  for (const red of [true, false]) {
    const room = freshRoom("whep");
    const [ada, knows, lacks] = await Promise.all(["ada", "knows", "lacks"].map((identity) => suite.someone(identity)));
    await ada.join(suite.server, room);
    await ada.call("publishTone", 440, { red, forceStereo: false });
    await playWhip(suite, knows, room);
    await playWhip(suite, lacks, room, { red: false });
    const share = async (viewer) => old(await enough(viewer, "ada", () => playedByWhip(viewer)));
    const shares = [await share(knows), await share(lacks)];
    // Who asks for none to be sent is not made any either.
    assert.ok(red ? shares[0] > 0.5 : shares[0] < 0.2, JSON.stringify(shares));
    assert.ok(shares[1] < 0.2, JSON.stringify(shares));
  }
});

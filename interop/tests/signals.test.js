/** What a publisher, a subscriber and a room may ask for beside the picture itself, and what comes of it. */

import assert from "node:assert/strict";
import { it } from "node:test";
import { MODES, freshRoom, setUp } from "../harness/suite.js";
import { until } from "../harness/until.js";

const MIMES = ["audio/opus", "audio/red", "video/VP8", "video/VP9", "video/rtx"];
const suite = setUp("signals", { config: `room: { enabled_codecs: [${MIMES.map((mime) => `{ mime: ${mime} }`)}] }` });

const GREEN = "rgb(30,160,90)";
const LARGE = { width: 960, height: 540 };
const SMALL = { width: 320, height: 180 };
/** Milliseconds in which a lower demand is not passed on, less what a busy machine may be late. */
const PATIENCE = 4000;

const camera = (options) => ({ source: "camera", ...LARGE, color: GREEN, rate: 20, simulcast: true, ...options });
const pause = (milliseconds) => new Promise((passed) => setTimeout(passed, milliseconds));

/** Frames, or packets, a second. */
async function rate(person, from, source, what) {
  const [first, begun] = [(await person.received(from, source))[what], Date.now()];
  await pause(2500);
  return (((await person.received(from, source))[what] - first) * 1000) / (Date.now() - begun);
}

/** Frames that the publisher has encoded of its best layer. */
const best = async (person) => (await person.call("sent", "camera")).find(({ rid }) => rid === "f")?.framesEncoded ?? 0;

async function bestStops(person) {
  let before = -1;
  await until("the best layer to stop", async () => {
    const now = await best(person);
    const stopped = now === before;
    before = now;
    await pause(300);
    return stopped;
  });
}

for (const [mode, options] of MODES) {
  it(`a room's delay, streams in time, stereo, pauses, frame rates, layers that nobody wants (${mode})`, async () => {
    const room = freshRoom("signals");
    const grant = { roomConfig: { minPlayoutDelay: 400, maxPlayoutDelay: 2000, syncStreams: true } };
    const [ada, bob, dan] = await Promise.all(["ada", "bob", "dan"].map((identity) => suite.someone(identity)));
    await ada.join(suite.server, room, { options: { ...options, dynacast: true }, grant });
    for (const person of [bob, dan]) await person.join(suite.server, room, { options });
    await ada.call("publishPainted", camera());
    await ada.call("publishTone", 440, { forceStereo: true, pan: -1 });
    // A codec that is switched off, and silence with discontinuous transmission.
    await dan.call("publishPainted", camera({ ...SMALL, simulcast: false, videoCodec: "h264" }));
    await dan.call("publishTone", 440, { gain: 0, dtx: true, red: false, forceStereo: false });
    await Promise.all([bob.sees("ada", "camera", LARGE), bob.hears("ada")]);
    for (const source of ["camera", "microphone"]) await ada.told("taken", source);

    assert.equal((await bob.sees("dan")).codec, "video/VP8");
    assert.ok((await rate(bob, "dan", "microphone", "packets")) < 25, "silence is fifty packets a second");

    await until("pictures to be held", async () => (await bob.received("ada", "camera")).held > 0.3);
    const names = await bob.call("streamNames", "ada");
    assert.ok(names.camera && names.camera === names.microphone, JSON.stringify(names));
    const [left, right] = await bob.call("sides", "ada");
    assert.ok(left > 0.05 && right < left / 5, `${left} ${right}`);

    // One of three layers in time is a fourth of the pictures; and all of them come back, at a picture that needs no key.
    const all = await rate(bob, "ada", "camera", "frames");
    await bob.call("askFps", "ada", "camera", 5);
    await until("fewer frames", async () => (await rate(bob, "ada", "camera", "frames")) < 0.5 * all);
    await bob.call("askFps", "ada", "camera", 30);
    await until("all frames", async () => (await rate(bob, "ada", "camera", "frames")) > 0.8 * all);

    // When: nobody wants the best layer. It goes on for five seconds; and comes back at once.
    await dan.call("askQuality", "ada", "camera", "LOW");
    await bob.call("askQuality", "ada", "camera", "LOW");
    const asked = Date.now();
    await bob.sees("ada", "camera", SMALL);
    await bestStops(ada);
    assert.ok(Date.now() - asked > PATIENCE, `stopped after ${Date.now() - asked} ms`);
    const stopped = await best(ada);
    await bob.call("askQuality", "ada", "camera", "HIGH");
    await until("the best layer to go on", async () => (await best(ada)) > stopped, { within: 3000 });
    await bob.sees("ada", "camera", LARGE);
  });
}

for (const [mode, options] of MODES) {
  it(`a subscriber that adapts gets what it shows; one that lacks the codec is told so (${mode})`, async () => {
    const room = freshRoom("adaptive");
    const [ada] = await suite.gather(room, ["ada"], { options });
    await ada.call("publishPainted", camera());
    const bob = await suite.someone("bob");
    await bob.join(suite.server, room, { options: { ...options, adaptiveStream: true } });
    await until("an element", () => bob.call("resize", "ada", "camera", 160).then(() => true));
    await bob.sees("ada", "camera", SMALL);
    await bob.call("resize", "ada", "camera", 960);
    await bob.sees("ada", "camera", LARGE);
    await bob.call("resize", "ada", "camera", 0);
    await until("a hidden picture to stop", async () => (await rate(bob, "ada", "camera", "frames")) === 0);
    await bob.call("resize", "ada", "camera", 160);
    await bob.sees("ada", "camera", SMALL);

    const eve = await suite.someone("eve");
    await eve.call("lacks", "VP8");
    await eve.join(suite.server, room, { options });
    await eve.told("refused");
  });
}

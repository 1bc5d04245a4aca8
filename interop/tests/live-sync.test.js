/** Sound and pictures stay together: a flash and a beep each second, timed where they come out. */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { H264, H264_IN_ORDER, H265, H265_IN_ORDER, AV1, VP9, AAC, OPUS, Clapper, publish, publishRemuxed } from "../harness/ffmpeg.js";
import { liveServer, stopAll } from "../harness/live.js";

/** ITU-R BT.1359 lets sound be 45 ms early; this is tighter. */
const APART = 0.04;
/** Claps that are judged. */
const CLAPS = 8;
/** What is published wrong on purpose, so that the judge is judged. */
const LATE = 0.12;

/** What the judge can read: RTMP and FLV without Opus, and MPEG-TS with what has a place there. */
const ALL = ["rtmp", "flv", "ts", "fmp4"];
const NO_TS = ["rtmp", "flv", "fmp4"];

const FORMS = [
  { name: "h264", video: H264, audio: AAC, ways: ALL },
  { name: "h264-in-order", video: H264_IN_ORDER, audio: AAC, ways: ALL },
  { name: "h265", video: H265, audio: AAC, ways: ALL },
  { name: "h265-in-order", video: H265_IN_ORDER, audio: AAC, ways: ALL },
  { name: "vp9", video: VP9, audio: AAC, ways: NO_TS },
  { name: "av1", video: AV1, audio: AAC, ways: NO_TS },
  { name: "opus", video: H264, audio: OPUS, ways: ["fmp4"], remuxed: true },
];

describe("live sync", { concurrency: true }, () => {
  let server;
  before(async () => {
    server = await liveServer("live-sync");
  });
  after(stopAll);

  for (const { name, ways, remuxed, ...what } of FORMS) {
    test(`sound is within ${APART * 1000} ms of pictures, for the first player and for a late one (${name})`, async (context) => {
      (remuxed ? publishRemuxed : publish)(name, server.rtmp(name), { ...what, ...Clapper.pattern() });
      await server.plays(name);
      const at = { rtmp: server.rtmp(name), flv: server.flv(name), ts: server.hls(name, "ts.m3u8"), fmp4: server.hls(name, "fmp4.m3u8") };
      await Promise.all(["ts", "fmp4"].filter((way) => ways.includes(way)).map((way) => server.cuts(name, `${way}.m3u8`)));
      const judge = async (when) => {
        const found = ways.map(async (way) => {
          const apart = await new Clapper(`${name}-${way}-${when}`, at[way]).claps(CLAPS);
          context.diagnostic(`${way}, ${when}: ${apart.map((seconds) => `${Math.round(seconds * 1000)}`).join(" ")} ms`);
          for (const seconds of apart) assert.ok(Math.abs(seconds) < APART, `${way}, ${when}: ${apart}`);
        });
        await Promise.all(found);
      };
      await judge("first");
      await judge("late");
    });
  }

  test("what is published apart comes out as far apart", async (context) => {
    publish("apart", server.rtmp("apart"), { video: H264_IN_ORDER, ...Clapper.pattern(LATE) });
    await server.plays("apart");
    const apart = await new Clapper("apart", server.flv("apart")).claps(4);
    context.diagnostic(`${apart} s`);
    for (const seconds of apart) assert.ok(Math.abs(seconds - LATE) < APART, `${apart}`);
  });
});

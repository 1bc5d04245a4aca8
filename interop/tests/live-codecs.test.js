/** What can be published, and that all of it comes out again as it went in, over every protocol that carries it. */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import * as ffmpeg from "../harness/ffmpeg.js";
import { liveServer, stopAll } from "../harness/live.js";

const { H264, H264_IN_ORDER, H265, H265_IN_ORDER, AV1, VP9, AAC, MP3, OPUS, FFMPEG, Watcher } = ffmpeg;

/** How long each of them is watched. */
const SECONDS = 30;
/** The furthest apart that two neighbouring packets of a kind are published: sound of 44.1 kHz and pictures of 25 Hz. */
const STEP = 0.041;

/** A busy machine publishes slower than it should; FFmpeg ends where a playlist has had nothing new three times. */
const PATIENT = ["-max_reload", "1000"];

const FORMS = [
  { name: "h264", video: H264, audio: AAC, is: ["h264", "aac"], reorders: true, program: FFMPEG },
  { name: "h264-in-order", video: H264_IN_ORDER, audio: MP3, is: ["h264", "mp3"] },
  { name: "h265", video: H265, audio: AAC, is: ["hevc", "aac"], reorders: true },
  { name: "h265-in-order", video: H265_IN_ORDER, audio: AAC, is: ["hevc", "aac"] },
  { name: "av1", video: AV1, audio: AAC, is: ["av1", "aac"] },
  { name: "vp9", video: VP9, audio: AAC, is: ["vp9", "aac"] },
  { name: "opus", video: H264, audio: OPUS, is: ["h264", "opus"], remuxed: true, python: true, reorders: true },
  { name: "av1-opus", video: AV1, audio: OPUS, is: ["av1", "opus"], remuxed: true, python: true },
];

function inOrder(watcher) {
  for (const { kind, dts, pts } of watcher.tracks) {
    const steps = dts.slice(1).map((time, n) => time - dts[n]);
    const back = steps.findIndex((step) => step <= 0);
    assert.equal(back, -1, `${watcher.name}: ${kind} goes back after ${dts[back]}`);
    const most = Math.max(...steps);
    assert.ok(most <= STEP, `${watcher.name}: a gap of ${most.toFixed(3)} s in ${kind}`);
    assert.ok(pts.every((time, n) => time >= dts[n]), `${watcher.name}: ${kind} is shown before it is decoded`);
  }
}

describe("live codecs", { concurrency: true }, () => {
  let server;
  before(async () => {
    server = await liveServer("live-codecs");
  });
  after(stopAll);

  for (const { name, is, remuxed, python, reorders, ...what } of FORMS) {
    test(`${is.join(" and ")} (${name}) is read for ${SECONDS} s over everything that carries it`, async () => {
      const publisher = (remuxed ? ffmpeg.publishRemuxed : ffmpeg.publish)(name, server.rtmp(name), what);
      await server.plays(name);
      await server.cuts(name);
      const watchers = [
        [new Watcher(`${name}-rtmp`, server.rtmp(name), { python }), is],
        [new Watcher(`${name}-flv`, server.flv(name), { python }), is],
        [new Watcher(`${name}-hls`, server.hls(name), { input: PATIENT }), is],
        [new Watcher(`${name}-fmp4`, server.hls(name).replace("index", "fmp4"), { input: PATIENT }), is],
      ];
      // Debian's FFmpeg knows all of them in HLS, and in FLV H.264 with AAC or MP3 and no more.
      const older = { hls: server.hls(name) };
      if (is[0] === "h264" && !remuxed) Object.assign(older, { rtmp: server.rtmp(name), flv: server.flv(name) });
      for (const [way, url] of Object.entries(older)) {
        assert.deepEqual(Object.values(await ffmpeg.codecs(url)).sort(), [...is].sort(), `ffprobe at ${url}`);
        const input = way === "hls" ? PATIENT : [];
        watchers.push([new Watcher(`${name}-${way}-older`, url, { program: FFMPEG, input }), is]);
      }
      await Promise.all(watchers.map(([watcher]) => watcher.plays(SECONDS)));
      for (const [watcher, wanted] of watchers) {
        assert.deepEqual(Object.values(watcher.codecs).sort(), [...wanted].sort(), watcher.name);
        // FFmpeg fetches the initialisation of fragmented MP4 with every reload of a playlist, and wonders.
        const said = watcher.said.split("\n").filter((line) => !line.includes("Found duplicated MOOV Atom"));
        assert.equal(said.join("\n"), "", `${watcher.name} complains`);
        inOrder(watcher);
        const video = watcher.track("video");
        const late = video?.pts.some((time, n) => time > video.dts[n] + 0.03) ?? false;
        assert.equal(late, Boolean(video && reorders), `${watcher.name}: reordered pictures keep both times`);
      }
      for (const process of [publisher, ...watchers.map(([{ process }]) => process)]) await process.kill();
      assert.equal(publisher.said, "", "the publisher complains");
    });
  }
});

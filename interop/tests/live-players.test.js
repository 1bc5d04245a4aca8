/** Live streams with players and a publisher other than FFmpeg: VLC, GStreamer, rtmpdump, libraries for browsers. */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Child } from "../harness/child.js";
import { Chromium } from "../harness/chromium.js";
import { Watcher, publish } from "../harness/ffmpeg.js";
import { flows, liveServer, stopAll } from "../harness/live.js";
import { GStreamer, Vlc } from "../harness/players.js";
import { until } from "../harness/until.js";

const SECONDS = 8;

/** Libraries as other people's pages embed them, with their usual settings. They run in the page. */
const LIBRARIES = [
  ["mpegts.js plays FLV", "mpegts.js/dist/mpegts.js", byMpegts, (server) => server.flv("demo")],
  ["mpegts.js plays FLV over a WebSocket", "mpegts.js/dist/mpegts.js", byMpegts, (server) => server.flv("demo").replace("http", "ws")],
  ["hls.js plays LL-HLS", "hls.js/dist/hls.js", byHls, (server) => server.hls("demo")],
];

function byMpegts(url) {
  const player = window.mpegts.createPlayer({ type: "flv", isLive: true, url });
  player.attachMediaElement(document.querySelector("video"));
  player.load();
}

function byHls(url) {
  const hls = new window.Hls({ lowLatencyMode: true });
  window.parts = 0;
  hls.on(window.Hls.Events.FRAG_BUFFERED, (_, { part }) => (window.parts += part ? 1 : 0));
  hls.loadSource(url);
  hls.attachMedia(document.querySelector("video"));
}

describe("live players", { concurrency: true }, () => {
  let server, ways;
  before(async () => {
    // Players that know no parts ask for a playlist again after the longest segment, and begin three of them back.
    server = await liveServer("live-players", "  hls: { segment: 2s, max_segment: 3s }\n");
    ways = { rtmp: server.rtmp("demo"), flv: server.flv("demo"), hls: server.hls("demo"), fmp4: server.hls("demo", "fmp4.m3u8") };
    publish("players", server.rtmp("demo"));
    await server.cuts("demo");
  });
  after(stopAll);

  for (const way of ["rtmp", "flv", "hls", "fmp4"]) {
    test(`VLC plays ${way}`, async () => {
      const player = new Vlc(way, ways[way]);
      await player.plays(SECONDS);
      assert.deepEqual([player.corrupted, player.discontinuities], [0, 0]);
      await player.process.kill();
    });
  }

  test("GStreamer's rtmp2src plays", async () => {
    const player = GStreamer.rtmp2src("rtmp2src", ways.rtmp);
    await player.plays(SECONDS);
    await player.process.kill();
  });

  test("GStreamer plays FLV", async () => {
    const player = GStreamer.playbin("flv", ways.flv);
    await player.plays(SECONDS);
    await player.process.kill();
  });

  for (const way of ["hls", "fmp4"]) {
    test(`GStreamer's hlsdemux2 plays ${way}`, async () => {
      // Of a playlist with one segment it makes nothing ever after (docs/clients.md).
      const file = way === "hls" ? "ts.m3u8" : "fmp4.m3u8";
      await until(`two segments in ${file}`, async () => {
        const list = await (await fetch(server.hls("demo", file))).text();
        return list.match(/^#EXTINF/gm)?.length > 1;
      });
      const player = GStreamer.playbin(way, ways[way], "playbin3");
      await player.plays(SECONDS);
      assert.ok(player.elements.has("HLSDemux2"), [...player.elements].join());
      await player.process.kill();
    });
  }

  test("rtmpdump plays, and what it writes is whole", async () => {
    const dump = new Child("rtmpdump", "rtmpdump", ["--live", "--quiet", "-r", ways.rtmp, "-o", "-"]);
    const watcher = new Watcher("rtmpdump", "pipe:0", { from: dump });
    await watcher.plays(SECONDS);
    assert.deepEqual(watcher.codecs, { video: "h264", audio: "aac" });
    assert.equal(watcher.said, "");
    await Promise.all([watcher.stop(), dump.kill()]);
  });

  for (const [name, library, play, url] of LIBRARIES) {
    test(`${name}, in a page of another origin`, async () => {
      const chromium = await Chromium.launch();
      try {
        // Anything of this machine: browsers let no others ask for what is on it.
        const page = await chromium.open(`${server.http}/healthz`);
        await page.setContent("<video autoplay></video>");
        await page.addScriptTag({ path: fileURLToPath(new URL(`../../web/node_modules/${library}`, import.meta.url)) });
        await page.evaluate(play, url(server));
        await flows(page);
        if (play === byHls) await until("parts to be played", () => page.evaluate(() => window.parts > 5));
      } finally {
        await chromium.close();
      }
    });
  }

  test("GStreamer's rtmp2sink publishes", async () => {
    const publisher = GStreamer.publish("rtmp2sink", server.rtmp("gstreamer"));
    await server.cuts("gstreamer");
    const watchers = ["rtmp", "flv", "hls"].map((way) => new Watcher(`gstreamer-${way}`, server[way]("gstreamer")));
    await Promise.all(watchers.map((watcher) => watcher.plays(SECONDS)));
    for (const watcher of watchers) {
      assert.deepEqual(watcher.codecs, { video: "h264", audio: "aac" }, watcher.name);
      assert.equal(watcher.said, "", watcher.name);
    }
    await Promise.all([publisher, ...watchers.map(({ process }) => process)].map((process) => process.kill()));
  });
});

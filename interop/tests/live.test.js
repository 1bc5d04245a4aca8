/** Live streams while things happen to them: who publishes, plays, stops, dies, is sent away. */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { AAC, H264, H264_IN_ORDER, H265_IN_ORDER, Sizes, Watcher, publish, publishInBand, steps } from "../harness/ffmpeg.js";
import { liveServer, stopAll } from "../harness/live.js";
import { until } from "../harness/until.js";

/** Nothing is complained of, and each kind goes on without a step back; the longest step of each. */
function unbroken(watcher) {
  assert.equal(watcher.said, "", `${watcher.name} complains`);
  return onwards(watcher);
}

function onwards(watcher) {
  const longest = {};
  for (const { kind, dts } of watcher.tracks) {
    const all = steps(dts);
    const back = all.findIndex((step) => step <= 0);
    assert.equal(back, -1, `${watcher.name}: ${kind} goes back at ${dts[back]}`);
    longest[kind] = Math.max(...all);
  }
  return longest;
}

const everyWay = (server, stream, name = stream) => [
  new Watcher(`${name}-rtmp`, server.rtmp(stream)),
  new Watcher(`${name}-flv`, server.flv(stream)),
  new Watcher(`${name}-hls`, server.hls(stream)),
];
const all = (watchers, seconds) => Promise.all(watchers.map((watcher) => watcher.plays(seconds)));
const stop = (watchers) => Promise.all(watchers.map((watcher) => watcher.stop()));

describe("live", { concurrency: true }, () => {
  let server;
  before(async () => {
    server = await liveServer("live");
  });
  after(stopAll);

  for (const [name, what, wanted] of [
    ["sound", { video: null }, { audio: "aac" }],
    ["pictures", { audio: null }, { video: "h264" }],
  ]) {
    test(`${name} alone`, async () => {
      publish(name, server.rtmp(name), what);
      await server.cuts(name);
      const watchers = await all(everyWay(server, name), 6);
      for (const watcher of watchers) {
        assert.deepEqual(watcher.codecs, wanted, watcher.name);
        unbroken(watcher);
      }
      await stop(watchers);
    });
  }

  test("a publisher killed and restarted is played on", async () => {
    const first = publish("killed", server.rtmp("again"), { video: H264_IN_ORDER });
    await server.cuts("again");
    const watchers = everyWay(server, "again");
    await all(watchers, 3);
    await first.kill();
    publish("restarted", server.rtmp("again"), { video: H264_IN_ORDER });
    await all(watchers, 8);
    watchers.forEach(unbroken);
    await stop(watchers);
  });

  test("a publisher that is replaced is sent away, and its players notice nothing", async () => {
    const first = publish("first", server.rtmp("replaced"), { video: H264_IN_ORDER });
    await server.cuts("replaced");
    const watchers = everyWay(server, "replaced");
    await all(watchers, 3);
    publish("second", server.rtmp("replaced"), { video: H264_IN_ORDER });
    assert.notEqual((await first.ended()).code, 0, "it is told");
    await all(watchers, 8);
    for (const watcher of watchers) {
      const { video, audio } = unbroken(watcher);
      assert.ok(Math.max(video, audio) < 0.5, `${watcher.name}: a gap of ${Math.max(video, audio)} s`);
    }
    await stop(watchers);
  });

  test("a publisher with B-frames is killed between them, and played on", async () => {
    const first = publish("reordered", server.rtmp("reordered"), { video: H264 });
    await server.plays("reordered");
    const watchers = everyWay(server, "reordered").slice(0, 2);
    await all(watchers, 3);
    await first.kill();
    publish("reordered-again", server.rtmp("reordered"), { video: H264 });
    await all(watchers, 6);
    // No picture of the second is shown before the last of the first, or at one time with it.
    watchers.forEach(unbroken);
    await stop(watchers);
  });

  for (const [name, video] of [["h264", H264_IN_ORDER], ["h265", H265_IN_ORDER]]) {
    test(`pictures whose size changes inside the stream alone are played on, and by those who come later (${name})`, async () => {
      const [small, large] = ["128x72", "192x108"];
      const server = await liveServer(`in-band-${name}`, "  hls: { segment: 1s, max_segment: 3s, window: 30 }\n");
      publishInBand(`in-band-${name}`, server.rtmp("demo"), video, [[small, 8], [large, 150]]);
      await server.plays("demo");
      const tagged = { rtmp: server.rtmp("demo?latency=0"), flv: `${server.flv("demo")}?latency=0` };
      const cut = { ts: server.hls("demo", "ts.m3u8"), fmp4: server.hls("demo", "fmp4.m3u8") };
      const play = (when, ways, input) => Object.entries(ways).map(([way, url]) => new Sizes(`${name}-${way}-${when}`, url, input));
      const early = play("early", tagged);
      await Promise.all([server.cuts("demo", "ts.m3u8"), server.cuts("demo", "fmp4.m3u8")]);
      early.push(...play("early", cut, ["-max_reload", "1000"]));
      await Promise.all(early.map((player) => player.shows(large, 25)));
      for (const { name, seen } of early) assert.deepEqual(seen.map(([size]) => size), [small, large], name);
      for (const url of Object.values(cut)) {
        const list = await (await fetch(url)).text();
        assert.equal(list.match(/^#EXT-X-DISCONTINUITY$/gm)?.length, 1, list);
        assert.equal(list.match(/^#EXT-X-MAP:/gm)?.length ?? 0, url === cut.ts ? 0 : 2, list);
      }
      const late = play("late", tagged);
      await Promise.all(late.map((player) => player.shows(large, 25)));
      for (const { name, seen } of late) assert.equal(seen.length, 1, `${name}: ${seen}`);
      await Promise.all([...early, ...late].map(({ process }) => process.kill()));
    });
  }

  test("players stopped for 10 s come back to the live edge, and another notices nothing", async (context) => {
    // More than sockets can hold.
    const heavy = { video: [...H264_IN_ORDER, "-qp", "8"], picture: "testsrc2=size=480x270:rate=25,noise=alls=60:allf=t" };
    publish("stopped", server.rtmp("stop"), heavy);
    await server.plays("stop");
    const [other, ...stopped] = ["other-flv", "stopped-flv", "stopped-rtmp"].map(
      (name) => new Watcher(name, name.endsWith("rtmp") ? server.rtmp("stop") : server.flv("stop")),
    );
    await all([other, ...stopped], 2);
    for (const { process } of stopped) process.child.kill("SIGSTOP");
    await other.plays(10);
    for (const { process } of stopped) process.child.kill("SIGCONT");
    await until("them to be at the live edge", () => {
      const behind = stopped.map(({ position }) => other.position - position);
      if (Math.max(...behind) > 1) throw new Error(`${behind} s behind`);
      return true;
    });
    await all(stopped, 3);
    const { skipped, bitrate } = await server.api("streams/default/live/stop");
    const gaps = stopped.map((watcher) => onwards(watcher).video);
    context.diagnostic(`${(bitrate / 1e6).toFixed(1)} Mbit/s; frames passed over: ${skipped}; gaps of ${gaps.map((gap) => gap.toFixed(1))} s`);
    assert.ok(skipped > 0 && Math.min(...gaps) > 1, "what they missed is passed over");
    const { video, audio } = unbroken(other);
    assert.ok(Math.max(video, audio) < 0.05, `the other misses ${Math.max(video, audio)} s`);
    assert.ok(Math.max(...steps(other.came)) < 1500, "the other waits");
    await stop([other, ...stopped]);
  });
});

describe("live, looked after", { concurrency: true }, () => {
  after(stopAll);

  test("a reload holds for whoever comes, and drops nobody", async () => {
    const server = await liveServer("live-reload");
    publish("reload", server.rtmp("reload"));
    await server.cuts("reload");
    const watchers = everyWay(server, "reload").slice(0, 2);
    await all(watchers, 2);
    server.reloadLive("  play: token\n");
    const asked = () => fetch(server.flv("reload"), { method: "HEAD" });
    await until("newcomers to need a token", async () => (await asked()).status === 401);
    await all(watchers, 4);
    server.reloadLive("  play: nonsense\n");
    await all(watchers, 2);
    assert.equal((await asked()).status, 401, "a configuration that is wrong changes nothing");
    watchers.forEach(unbroken);
    await stop(watchers);
  });

  test("players and publishers are listed, and sent away one by one", async () => {
    const server = await liveServer("live-kick", "  stream_idle_time: 2s\n");
    const publisher = publish("kick", server.rtmp("kick"));
    await server.cuts("kick");
    const [rtmp, flv, hls] = everyWay(server, "kick");
    await all([rtmp, flv, hls], 3);

    const { streams } = await server.api("streams");
    assert.equal(streams.length, 1);
    const [{ name, tracks, players, group, bitrate }] = streams;
    assert.deepEqual([name, players], ["default/live/kick", { total: 3, by_protocol: { flv: 1, hls: 1, rtmp: 1 } }]);
    assert.deepEqual(tracks.map(({ codec }) => codec), ["H264", "AAC"]);
    assert.ok(bitrate > 10_000 && Math.abs(group.seconds - 1) < 0.1, JSON.stringify({ bitrate, group }));

    const { playing } = await server.api("streams/default/live/kick");
    const { id } = playing.find(({ protocol }) => protocol === "flv");
    assert.equal((await server.api(`players/${id}`, { method: "DELETE" })).status, 204);
    await flv.process.ended();
    assert.equal((await server.api(`players/${id}`, { method: "DELETE" })).status, 404);
    await all([rtmp, hls], 3);
    unbroken(rtmp);
    unbroken(hls);

    assert.equal((await server.api("streams/default/live/kick/publisher", { method: "DELETE" })).status, 204);
    assert.notEqual((await publisher.ended()).code, 0, "it is told");
    await rtmp.process.ended();
    await server.plays("kick", false);
    assert.equal((await server.api("streams/default/live/kick")).status, 404);
    assert.equal((await fetch(`${server.http}/api/v1/live/streams`)).status, 401);
    await hls.stop();
  });

  test("an origin that is killed is followed by the next while players watch", async (context) => {
    const origins = await Promise.all([liveServer("origin-1"), liveServer("origin-2")]);
    const pull = origins.map((origin) => `            - { url: "${origin.rtmp("").slice(0, -1)}", interval: 2s }`).join("\n");
    const edge = await liveServer("edge", `  domains:\n    - apps:\n        - name: live\n          publish: open\n          pull:\n${pull}`);
    for (const [n, origin] of origins.entries()) publish(`origin-${n}`, origin.rtmp("demo"), { video: H264_IN_ORDER, audio: AAC });
    await Promise.all(origins.map((origin) => origin.plays("demo")));
    const watchers = everyWay(edge, "demo").slice(0, 2);
    await all(watchers, 4);
    await origins[0].kill("SIGKILL");
    await all(watchers, 6);
    for (const watcher of watchers) {
      unbroken(watcher);
      const waited = Math.max(...steps(watcher.came));
      context.diagnostic(`${watcher.name} waited ${waited.toFixed(0)} ms`);
      assert.ok(waited < 2000, `${watcher.name} waited ${waited} ms`);
    }
    await stop(watchers);
  });
});

/** Live streams with FFmpeg: published over RTMP, played over everything that there is. */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Ffmpeg, codecs, packets, play, publish } from "../harness/ffmpeg.js";
import { liveServer } from "../harness/live.js";
import { until } from "../harness/until.js";

/** Waits until a stream has frames, or has none. */
async function plays(server, stream, wanted = true) {
  await until(`${stream} to ${wanted ? "be" : "be gone"}`, async () => {
    const answer = await fetch(server.flv(stream), { method: "HEAD", signal: AbortSignal.timeout(3000) });
    return answer.ok === wanted;
  });
}

async function decodes(player, within) {
  assert.deepEqual(await player.ended(within), { code: 0, signal: null }, player.said);
  assert.equal(player.said, "", "a player complains");
}

/**
 * As decodes, over a joint between two publishers. Where the first is cut among reordered pictures, its last one may be
 * shown after the next one's first: decoding times go on, and FFmpeg says so of the times of showing.
 */
async function decodesOverJoint(player, within) {
  assert.deepEqual(await player.ended(within), { code: 0, signal: null }, player.said);
  const lines = player.said.split("\n").filter(Boolean);
  const others = lines.filter((line) => !line.includes("non monotonically increasing dts to muxer"));
  assert.deepEqual(others, [], "a player complains");
  assert.ok(lines.length <= 6, `more than a joint: ${player.said}`);
}

describe("live", () => {
  let server;
  before(async () => {
    server = await liveServer("live");
  });
  after(async () => {
    Ffmpeg.killAll();
    await server?.stop();
  });

  test("H.264 with B-frames and AAC plays over RTMP, FLV and HLS, in order and in sync", async () => {
    publish("h264", server.rtmp("demo"));
    await plays(server, "demo");
    for (const url of [server.rtmp("demo"), server.flv("demo"), server.hls("demo")]) {
      const found = await codecs(url);
      assert.deepEqual([found.video, found.audio], ["h264", "aac"], url);
    }
    const players = [
      play("rtmp", server.rtmp("demo"), 10),
      play("flv", server.flv("demo"), 10),
      play("hls", server.hls("demo"), 10),
    ];
    for (const player of players) await decodes(player);
    const found = await packets(server.flv("demo"), 5);
    for (const kind of ["video", "audio"]) {
      const times = found.filter((packet) => packet.kind === kind).map((packet) => packet.dts);
      assert.ok(times.length > 50 && times.every((time, n) => n === 0 || time > times[n - 1]), `${kind} goes back`);
    }
    assert.ok(found.some(({ pts, dts }) => pts > dts + 0.03), "reordered pictures keep both times");
    // What is sent at one time arrives with one time: packets of both kinds, side by side, are as near.
    const apart = found.slice(1).map((packet, n) => Math.abs(packet.dts - found[n].dts));
    assert.ok(Math.max(...apart) < 0.3, `${Math.max(...apart)} s between neighbours`);
  });

  test("sound alone and pictures alone play", async () => {
    publish("sound", server.rtmp("sound"), { video: null });
    publish("pictures", server.rtmp("pictures"), { audio: null });
    for (const [stream, wanted] of [["sound", { audio: "aac" }], ["pictures", { video: "h264" }]]) {
      await plays(server, stream);
      assert.deepEqual(await codecs(server.flv(stream)), wanted);
      const players = [play(`${stream}-rtmp`, server.rtmp(stream), 4), play(`${stream}-flv`, server.flv(stream), 4)];
      for (const player of players) await decodes(player);
    }
  });

  test("a publisher killed and restarted is played on", async () => {
    const first = publish("killed", server.rtmp("again"));
    await plays(server, "again");
    const players = [play("again-flv", server.flv("again"), 14), play("again-rtmp", server.rtmp("again"), 14)];
    await new Promise((resolve) => setTimeout(resolve, 4000));
    await first.kill();
    publish("restarted", server.rtmp("again"));
    for (const player of players) await decodesOverJoint(player);
  });

  test("a player stopped for 10 s comes back, and another does not notice", async () => {
    publish("stopped", server.rtmp("stop"));
    await plays(server, "stop");
    const stopped = play("stopped", server.flv("stop"), 20);
    const other = play("other", server.flv("stop"), 16);
    await new Promise((resolve) => setTimeout(resolve, 3000));
    stopped.child.kill("SIGSTOP");
    await new Promise((resolve) => setTimeout(resolve, 10_000));
    stopped.child.kill("SIGCONT");
    await decodes(other);
    assert.deepEqual(await stopped.ended(), { code: 0, signal: null }, stopped.said);
  });

  test("a reload drops nobody", async () => {
    publish("reload", server.rtmp("reload"));
    await plays(server, "reload");
    const player = play("reload", server.flv("reload"), 8);
    server.signal("SIGHUP");
    await decodes(player);
  });
});

test("an origin that is killed is followed by the next while players watch", async () => {
  const origins = [await liveServer("origin-1"), await liveServer("origin-2")];
  const pull = origins.map((origin) => `            - { url: "${origin.rtmp("").slice(0, -1)}" }`).join("\n");
  const edge = await liveServer("edge", `  domains:\n    - apps:\n        - name: live\n          publish: open\n          pull:\n${pull}`);
  try {
    for (const [n, origin] of origins.entries()) publish(`origin-${n}`, origin.rtmp("demo"));
    for (const origin of origins) await plays(origin, "demo");
    await plays(edge, "demo");
    const player = play("edge", edge.flv("demo"), 12);
    await new Promise((resolve) => setTimeout(resolve, 4000));
    await origins[0].kill("SIGKILL");
    await decodesOverJoint(player);
  } finally {
    Ffmpeg.killAll();
    for (const server of [...origins, edge]) await server.stop();
  }
});

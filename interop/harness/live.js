/** A server that takes and serves live streams, and a picture that says when it was made. */

import { Child } from "./child.js";
import { Ffmpeg } from "./ffmpeg.js";
import { Server, freeTcpPort } from "./server.js";
import { until } from "./until.js";

const started = new Set();

/** Ends all servers that are left, and all programs. */
export async function stopAll() {
  Child.killAll();
  await Promise.all([...started].map((server) => server.stop()));
  started.clear();
}

/** A server with listeners of its own, and where they are. With `tls` they are RTMPS and HTTPS. */
export async function liveServer(name, more = "", { tls = false, env } = {}) {
  const [rtmp, http] = [await freeTcpPort(), await freeTcpPort()];
  const ports = tls ? `  rtmp: { port: 0 }\n  rtmps: { port: ${rtmp} }\n` : `  rtmp: { port: ${rtmp} }\n`;
  const config = (more) => `live:\n${ports}  http: { port: ${http} }\n${more}`;
  const server = await Server.start(name, config(more), { tls, env });
  started.add(server);
  server.rtmp = (stream) => `rtmp${tls ? "s" : ""}://127.0.0.1:${rtmp}/live/${stream}`;
  server.flv = (stream) => `http${tls ? "s" : ""}://127.0.0.1:${http}/live/${stream}.flv`;
  server.hls = (stream, file = "index.m3u8") => `http${tls ? "s" : ""}://127.0.0.1:${http}/live/${stream}/${file}`;
  /** Waits until a stream has frames, or has none. */
  server.plays = (stream, wanted = true) =>
    until(`${stream} to ${wanted ? "be" : "be gone"}`, async () => {
      const answer = await fetch(server.flv(stream), { method: "HEAD", signal: AbortSignal.timeout(3000) });
      return answer.ok === wanted;
    });
  /** Waits until a stream has a playlist of segments, which takes one of them. */
  server.cuts = (stream, file) =>
    until(`${stream} to have a playlist`, async () => (await fetch(server.hls(stream, file), { signal: AbortSignal.timeout(20_000) })).ok);
  /** Settings of `live:` other than those it was started with take effect. */
  server.reloadLive = (more) => server.reload(config(more));
  let admin;
  /** The API for those who look after streams: the answer's status and what is in it. */
  server.api = async (path, { method = "GET" } = {}) => {
    admin ??= await server.command("create-live-token", "--admin");
    const answer = await fetch(`${server.http}/api/v1/live/${path}`, { method, headers: { authorization: `Bearer ${admin}` } });
    const text = await answer.text();
    return { status: answer.status, ...(text ? JSON.parse(text) : {}) };
  };
  return server;
}

/** Pictures a second of the clock. */
const RATE = 25;
/** Bars across the picture, a bit of the frame's number each: 10.9 minutes. */
const BITS = 14;

/**
 * Publishes a picture whose bars are its number, black for 0 and white for 1, with a tone. `sentAt` says when, by the
 * clock of this process, a picture of that number went out.
 */
export function publishClock(name, url, output = []) {
  const bars = `geq=lum='235*mod(floor(N/pow(2,floor(X*${BITS}/W))),2)':cb=128:cr=128`;
  const process = new Ffmpeg(`clock-${name}`, [
    ...["-loglevel", "error", "-progress", "pipe:1", "-stats_period", "0.1"],
    // One column a bar is drawn: the machine has better things to do.
    ...["-re", "-f", "lavfi", "-i", `color=black:size=${BITS * 2}x2:rate=${RATE},${bars},scale=${BITS * 16}:128:flags=neighbor,setsar=1`],
    ...["-re", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"],
    ...["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", `${RATE}`, "-pix_fmt", "yuv420p"],
    ...["-c:a", "aac", "-t", "170", ...output, "-f", "flv", url],
  ]);
  /** How many had gone out, and when that was known. */
  const told = [{ frames: 0, at: -Infinity }];
  process.child.stdout.on("data", (data) => {
    const frames = Number(/^frame=(\d+)/m.exec(data)?.[1]);
    if (frames > told.at(-1).frames) told.push({ frames, at: Date.now() });
  });
  // After the last that was told before it: at the earliest then.
  const sentAt = (number) => (told.findLast(({ frames }) => frames <= number) ?? told[0]).at;
  return { process, sentAt };
}

/** The number in the picture that a page's video shows now. Runs in the page. */
export function readClock(video) {
  const BITS = 14;
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [BITS * 8, 1];
  const context = canvas.getContext("2d");
  context.drawImage(video, 0, video.videoHeight / 2, video.videoWidth, 1, 0, 0, canvas.width, 1);
  const { data } = context.getImageData(0, 0, canvas.width, 1);
  let number = 0;
  for (let bit = 0; bit < BITS; bit += 1) if (data[(bit * 8 + 4) * 4] > 128) number += 2 ** bit;
  return { number, at: Date.now() };
}

/** Pictures of a page's video move, and its sound is decoded. */
export async function flows(page) {
  const look = () =>
    page.locator("video").evaluate((video) => ({
      time: video.currentTime,
      pictures: video.getVideoPlaybackQuality().totalVideoFrames,
      sound: video.webkitAudioDecodedByteCount,
    }));
  const before = await look();
  await until("picture and sound to flow", async () => {
    const now = await look();
    return now.time > before.time + 1 && now.pictures > before.pictures + 15 && now.sound > before.sound;
  });
}

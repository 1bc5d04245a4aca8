/** FFmpeg as publisher, player and judge of live streams. */

import { spawn } from "node:child_process";
import { createWriteStream } from "node:fs";
import { join } from "node:path";
import { ARTIFACTS } from "./server.js";
import { until } from "./until.js";

const FFMPEG = process.env.FFMPEG ?? "ffmpeg";
const FFPROBE = process.env.FFPROBE ?? "ffprobe";

/** A process of FFmpeg; what it says is kept in artifacts/. */
export class Ffmpeg {
  static #running = new Set();

  constructor(name, args, program = FFMPEG) {
    this.said = "";
    this.out = "";
    const log = createWriteStream(join(ARTIFACTS, `ffmpeg-${name}.log`));
    this.child = spawn(program, ["-hide_banner", ...args], { stdio: ["ignore", "pipe", "pipe"] });
    this.child.stdout.on("data", (data) => (this.out += data));
    this.child.stderr.on("data", (data) => ((this.said += data), log.write(data)));
    this.child.on("error", (error) => (this.exit ??= { error: error.message }));
    this.child.on("close", (code, signal) => ((this.exit ??= { code, signal }), log.end(), Ffmpeg.#running.delete(this)));
    Ffmpeg.#running.add(this);
  }

  /** Ends all that still run. */
  static killAll() {
    for (const process of Ffmpeg.#running) process.child.kill("SIGKILL");
  }

  async kill(signal = "SIGKILL") {
    this.child.kill(signal);
    return this.ended();
  }

  async ended(within = 60_000) {
    return until("ffmpeg to end", () => this.exit, { within });
  }
}

/** A moving picture at 25 a second and a tone, encoded as `video` and `audio` say, published in real time. */
export function publish(name, url, { video = H264, audio = ["-c:a", "aac"], seconds = 120 } = {}) {
  const picture = ["-re", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25"];
  const tone = ["-re", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100"];
  const inputs = [...(video ? picture : []), ...(audio ? tone : [])];
  const codecs = [...(video ?? []), ...(audio ?? [])];
  return new Ffmpeg(`publish-${name}`, ["-loglevel", "error", ...inputs, ...codecs, "-t", `${seconds}`, "-f", "flv", url]);
}

/** With B-frames, and a key frame each second. */
export const H264 = ["-c:v", "libx264", "-preset", "ultrafast", "-x264-params", "bframes=2:b-adapt=0", "-g", "25", "-pix_fmt", "yuv420p"];

/** Decodes `seconds` of `url`; what FFmpeg had to complain about, which should be nothing. */
export function play(name, url, seconds) {
  return new Ffmpeg(`play-${name}`, ["-loglevel", "warning", "-xerror", "-i", url, "-t", `${seconds}`, "-f", "null", "-"]);
}

/** The codecs of `url`, by kind. */
export async function codecs(url) {
  const args = ["-v", "error", "-show_entries", "stream=codec_type,codec_name", "-of", "json", url];
  const probe = new Ffmpeg("probe", args, FFPROBE);
  await probe.ended();
  const streams = JSON.parse(probe.out).streams ?? [];
  return Object.fromEntries(streams.map(({ codec_type, codec_name }) => [codec_type, codec_name]));
}

/** The packets of `seconds` of `url`: kind, dts and pts in seconds. */
export async function packets(url, seconds) {
  const entries = "packet=codec_type,dts_time,pts_time";
  const args = ["-v", "error", "-read_intervals", `%+${seconds}`, "-show_entries", entries, "-of", "json", url];
  const probe = new Ffmpeg("packets", args, FFPROBE);
  await probe.ended();
  return JSON.parse(probe.out).packets.map(({ codec_type, dts_time, pts_time }) => ({
    kind: codec_type,
    dts: Number(dts_time),
    pts: Number(pts_time),
  }));
}

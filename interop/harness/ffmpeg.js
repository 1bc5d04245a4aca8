/** FFmpeg as publisher, player and judge of live streams. */

import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Child } from "./child.js";
import { until } from "./until.js";

/** Debian's: 5.1. */
export const FFMPEG = process.env.FFMPEG ?? "ffmpeg";
const FFPROBE = process.env.FFPROBE ?? "ffprobe";

const HERE = fileURLToPath(new URL("..", import.meta.url));
const PYTHON = process.env.MILLRACE_PYTHON ?? join(HERE, ".venv/bin/python");

/** The FFmpeg of PyPI's imageio-ffmpeg, which puts more than H.264 into FLV. */
export const NEWER = process.env.FFMPEG_NEWER ?? newer();

function newer() {
  try {
    const ask = "import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())";
    return execFileSync(PYTHON, ["-c", ask], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] }).trim();
  } catch (error) {
    throw new Error(`no imageio-ffmpeg (${error.message}): run 'scripts/setup test'`);
  }
}

/** A process of FFmpeg. */
export class Ffmpeg extends Child {
  /** `from` is a program whose output it reads as `pipe:0`. */
  constructor(name, args, program = NEWER, from) {
    super(`ffmpeg-${name}`, program, ["-hide_banner", ...args]);
    if (from) from.child.stdout.pipe(this.child.stdin);
    else this.child.stdin.end();
  }
}

const PICTURE = "testsrc2=size=192x108:rate=25";
const TONE = "sine=frequency=440:sample_rate=48000";

/** A moving picture at 25 a second and a tone, encoded as `video` and `audio` say, in real time. */
function encode({ video = H264, audio = AAC, seconds = 170, picture = PICTURE, tone = TONE } = {}) {
  const lavfi = (source) => ["-re", "-f", "lavfi", "-i", source];
  const inputs = [...(video ? lavfi(picture) : []), ...(audio ? lavfi(tone) : [])];
  return ["-loglevel", "error", ...inputs, ...(video ?? []), ...(audio ?? []), "-t", `${seconds}`];
}

/** Publishes it. `output` are FFmpeg's options for `url`. */
export function publish(name, url, { output = [], program = NEWER, ...what } = {}) {
  return new Ffmpeg(`publish-${name}`, [...encode(what), ...output, "-f", "flv", url], program);
}

/** Publishes what no program of FFmpeg here can put into FLV, but python/remux.py can. */
export function publishRemuxed(name, url, what) {
  const encoder = new Ffmpeg(`encode-${name}`, [...encode(what), "-flush_packets", "1", "-f", "nut", "-"]);
  const remux = new Child(`remux-${name}`, PYTHON, [join(HERE, "python/remux.py"), url]);
  encoder.child.stdout.pipe(remux.child.stdin);
  return remux;
}

/**
 * Publishes pictures that change their size, and say so in parameter sets before key frames alone: one encoder after the
 * other, and a program that passes on what they make and knows the record of the first. `sizes` are such, each with its
 * seconds.
 */
export function publishInBand(name, url, video, sizes) {
  const remux = new Child(`remux-${name}`, PYTHON, [join(HERE, "python/remux.py"), url, "mpegts"]);
  const encodeNext = ([next, ...others], from) => {
    if (!next) return remux.child.stdin.end();
    const [size, seconds] = next;
    const picture = ["-re", "-f", "lavfi", "-i", `testsrc2=size=${size}:rate=25`, "-t", `${seconds}`];
    const output = ["-output_ts_offset", `${from}`, "-mpegts_flags", "+initial_discontinuity", "-f", "mpegts", "-"];
    const encoder = new Ffmpeg(`encode-${name}-${size}`, ["-loglevel", "error", ...picture, ...video, ...output]);
    encoder.child.stdout.pipe(remux.child.stdin, { end: false });
    encoder.child.stdout.on("end", () => encodeNext(others, from + seconds));
  };
  encodeNext(sizes, 0);
  return remux;
}

const YUV = ["-pix_fmt", "yuv420p", "-g", "25"];
/** With B-frames, and a key frame each second, like all of them. */
export const H264 = ["-c:v", "libx264", "-preset", "ultrafast", "-x264-params", "bframes=2:b-adapt=0", ...YUV];
export const H264_IN_ORDER = ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", ...YUV];
const X265 = "log-level=error:pools=1:frame-threads=1:ctu=16:rc-lookahead=4:keyint=25:min-keyint=25:scenecut=0";
export const H265 = ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", `${X265}:bframes=2:b-adapt=0`, ...YUV];
export const H265_IN_ORDER = ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", `${X265}:bframes=0`, ...YUV];
export const AV1 = ["-c:v", "libaom-av1", "-usage", "realtime", "-cpu-used", "8", ...YUV];
export const VP9 = ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", ...YUV];
export const AAC = ["-c:a", "aac"];
export const MP3 = ["-c:a", "libmp3lame"];
export const OPUS = ["-c:a", "libopus"];

/**
 * Plays on and on: decodes everything, and tells of each packet what it is and when, on the stream's own clock. A track
 * is `{ kind, codec, dts, pts }` with times in seconds.
 */
export class Watcher {
  tracks = [];
  /** When packets came, in milliseconds of this process. */
  came = [];
  #lines = "";

  constructor(name, url, { python = false, input = [], program, from } = {}) {
    this.name = name;
    this.process = python ? this.#python(url) : this.#ffmpeg(url, input, program, from);
    this.process.record().child.stdout.on("data", (data) => this.#read(data));
  }

  #ffmpeg(url, input, program, from) {
    const copies = ["-map", "0", "-c", "copy", "-flush_packets", "1", "-f", "framecrc", "pipe:1"];
    const args = ["-loglevel", "warning", "-xerror", "-copyts", ...input, "-i", url, ...copies, "-map", "0", "-f", "null", "-"];
    return new Ffmpeg(`watch-${this.name}`, args, program, from);
  }

  #python(url) {
    return new Child(`watch-${this.name}`, PYTHON, [join(HERE, "python/watch.py"), url]);
  }

  #read(data) {
    const lines = (this.#lines + data).split("\n");
    this.#lines = lines.pop();
    for (const line of lines) {
      const [, key, index, value] = /^#(\w+) (\d+): (.*)/.exec(line) ?? [];
      const track = key && (this.tracks[index] ??= { dts: [], pts: [] });
      if (key === "tb") track.tick = value.split("/").reduce((ticks, scale) => ticks / scale);
      else if (key === "media_type") track.kind = value;
      else if (key === "codec_id") track.codec = value;
      if (line.startsWith("#")) continue;
      const [number, dts, pts] = line.split(",").map(Number);
      const of = this.tracks[number];
      this.came.push(performance.now());
      of.dts.push(dts * of.tick);
      of.pts.push(pts * of.tick);
    }
  }

  get said() {
    return this.process.said;
  }

  /** Kinds with their codecs, as in `{ video: "h264", audio: "aac" }`. */
  get codecs() {
    return Object.fromEntries(this.tracks.map(({ kind, codec }) => [kind, codec]));
  }

  track(kind) {
    return this.tracks.find((track) => track.kind === kind);
  }

  /** The stream's time at which it is; nothing before the first packet. */
  get position() {
    const times = this.tracks.map(({ dts }) => dts.at(-1)).filter((time) => time !== undefined);
    return times.length > 0 ? Math.max(...times) : undefined;
  }

  /** Seconds that it has played. */
  get played() {
    const begins = this.tracks.map(({ dts }) => dts[0]).filter((time) => time !== undefined);
    return begins.length > 0 ? this.position - Math.min(...begins) : 0;
  }

  /** Waits until it has played so many seconds more, and has complained of nothing. */
  async plays(seconds, within = seconds * 1000 + 40_000) {
    const goal = this.played + seconds;
    await until(`${this.name} to play ${seconds} s`, () => {
      if (this.process.exit) return true;
      if (this.played < goal) throw new Error(`${this.played.toFixed(1)} s of ${goal.toFixed(1)} s; ${this.said}`);
      return true;
    }, { within });
    if (this.process.exit) throw new Error(`${this.name} ended: ${JSON.stringify(this.process.exit)} ${this.said}`);
    return this;
  }

  stop() {
    return this.process.kill();
  }
}

/** Decodes pictures, and tells how many there were of each size, in order. */
export class Sizes {
  /** `[size, pictures]`, one after the other. */
  seen = [];
  #lines = "";

  constructor(name, url, input = []) {
    this.name = name;
    const args = ["-nostats", "-xerror", ...input, "-i", url, "-map", "0:v", "-vf", "showinfo", "-f", "null", "-"];
    this.process = new Ffmpeg(`sizes-${name}`, args);
    this.process.child.stderr.on("data", (data) => this.#read(data));
  }

  #read(data) {
    const lines = (this.#lines + data).split("\n");
    this.#lines = lines.pop();
    for (const line of lines) {
      const [, size] = /showinfo.* s:(\d+x\d+) /.exec(line) ?? [];
      if (!size) continue;
      if (this.seen.at(-1)?.[0] !== size) this.seen.push([size, 0]);
      this.seen.at(-1)[1] += 1;
    }
  }

  /** Waits for so many pictures of a size. */
  shows(size, count) {
    return until(`${this.name} to show ${count} pictures of ${size}`, () => {
      const [now, pictures] = this.seen.at(-1) ?? [];
      if (now === size && pictures >= count) return true;
      if (this.process.exit) throw new Error(`it ended: ${this.process.said.slice(-500)}`);
      throw new Error(JSON.stringify(this.seen));
    });
  }
}

/** Plays a picture that flashes, and a beep with each flash, and says how far apart they come out. */
export class Clapper {
  #flashes = [];
  #beeps = [];
  #bright = false;
  #lines = "";
  #time;

  /** What to publish: sound is `late` by so many seconds. */
  static pattern(late = 0) {
    return {
      picture: "color=black:size=192x108:rate=25,drawbox=color=white:t=fill:enable='lt(mod(t,1),0.08)'",
      tone: `aevalsrc='if(lt(mod(t+1-${late},1),0.08),0.8*sin(2*PI*1000*t),0)':sample_rate=48000`,
    };
  }

  constructor(name, url) {
    const video = "signalstats,metadata=mode=print:key=lavfi.signalstats.YAVG:file=pipe\\\\:1:direct=1";
    const audio = "silencedetect=noise=-20dB:duration=0.3";
    // A busy machine publishes slower than it should; FFmpeg ends where a playlist has had nothing new three times.
    const input = url.includes(".m3u8") ? ["-max_reload", "1000"] : [];
    const args = ["-loglevel", "info", "-nostats", "-copyts", ...input, "-i", url, "-vf", video, "-af", audio, "-f", "null", "-"];
    this.process = new Ffmpeg(`clapper-${name}`, args);
    this.process.child.stdout.on("data", (data) => this.#see(data));
    this.process.child.stderr.on("data", (data) => this.#hear(data));
  }

  #see(data) {
    const lines = (this.#lines + data).split("\n");
    this.#lines = lines.pop();
    for (const line of lines) {
      this.#time = Number(/pts_time:([\d.]+)/.exec(line)?.[1] ?? this.#time);
      const [, brightness] = /YAVG=([\d.]+)/.exec(line) ?? [];
      if (brightness === undefined) continue;
      if (brightness > 128 && !this.#bright) this.#flashes.push(this.#time);
      this.#bright = brightness > 128;
    }
  }

  #hear(data) {
    for (const [, time] of String(data).matchAll(/silence_end: ([\d.]+)/g)) this.#beeps.push(Number(time));
  }

  /** By how many seconds each of so many beeps is later than its flash; what lies at the ends has no partner. */
  async claps(count) {
    const apart = await until(`${this.process.name} to see and hear ${count} claps`, () => {
      const pairs = this.#flashes.slice(1).map((flash) => {
        const near = this.#beeps.map((beep) => beep - flash).filter((late) => Math.abs(late) < 0.5);
        return near[0];
      });
      const found = pairs.filter((late) => late !== undefined);
      return found.length >= count && found.slice(0, count);
    });
    await this.process.kill();
    return apart;
  }
}

/** The gaps between one and the next. */
export const steps = (times) => times.slice(1).map((time, n) => time - times[n]);

/** What ffprobe, Debian's, finds at an address: kinds with their codecs. */
export async function codecs(url) {
  const args = ["-v", "error", "-show_entries", "stream=codec_type,codec_name", "-of", "json", url];
  const probe = new Ffmpeg("probe", args, FFPROBE).listen();
  await probe.ended();
  const streams = JSON.parse(probe.out).streams ?? [];
  return Object.fromEntries(streams.map(({ codec_type, codec_name }) => [codec_type, codec_name]));
}

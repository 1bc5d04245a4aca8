/** Players of others, without a screen: how many pictures and how much sound they have decoded. */

import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Child } from "./child.js";
import { until } from "./until.js";

class Player {
  pictures = 0;
  sounds = 0;

  constructor(name, child) {
    this.name = name;
    this.process = child;
    this.#cut(child.child.stdout);
  }

  #cut(stdout) {
    let rest = "";
    stdout.on("data", (data) => {
      const lines = (rest + data).split("\n");
      rest = lines.pop();
      for (const line of lines) this.read(line);
    });
  }

  /** Waits until it has shown pictures for so many seconds at 25 a second, and played sound with them. */
  plays(seconds) {
    return until(`${this.name} to play ${seconds} s`, () => {
      if (this.process.exit) throw new Error(`it ended: ${JSON.stringify(this.process.exit)} ${this.process.said}`);
      if (this.pictures < seconds * 25 || this.sounds < seconds * 25) {
        throw new Error(`${this.pictures} pictures, ${this.sounds} blocks of sound; ${this.process.said.slice(-500)}`);
      }
      return true;
    });
  }
}

/** GStreamer. What it plays, and with what, is a description as gst-launch takes it. */
export class GStreamer extends Player {
  static #pictures = "fpsdisplaysink text-overlay=false video-sink=fakesink fps-update-interval=200";
  static #sounds = "fakesink name=sounds silent=false sync=true";

  constructor(name, pipeline) {
    super(name, new Child(`gstreamer-${name}`, "gst-launch-1.0", ["-v", ...pipeline], { env: { GST_DEBUG_NO_COLOR: "1" } }));
    this.elements = new Set();
  }

  static rtmp2src(name, url) {
    const video = `d.video ! queue ! h264parse ! avdec_h264 ! ${GStreamer.#pictures}`;
    const audio = `d.audio ! queue ! aacparse ! avdec_aac ! ${GStreamer.#sounds}`;
    return new GStreamer(name, `rtmp2src location=${url} ! flvdemux name=d ${video} ${audio}`.split(" "));
  }

  /** It chooses the elements itself; the third one is needed for hlsdemux2, and misses tracks of FLV now and then. */
  static playbin(name, url, which = "playbin") {
    return new GStreamer(name, [which, `uri=${url}`, `video-sink=${GStreamer.#pictures}`, `audio-sink=${GStreamer.#sounds}`]);
  }

  static publish(name, url) {
    const video = "videotestsrc is-live=true ! video/x-raw,format=I420,width=192,height=108,framerate=25/1 ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=25 ! h264parse ! queue ! m.";
    const audio = "audiotestsrc is-live=true ! audio/x-raw,rate=48000 ! voaacenc ! aacparse ! queue ! m.";
    // What comes later than its latency, flvmux gives the time of what came before.
    const pipeline = `flvmux streamable=true latency=1000000000 name=m ! rtmp2sink location=${url} ${video} ${audio}`;
    const child = new Child(`gstreamer-publish-${name}`, "gst-launch-1.0", pipeline.split(" "));
    child.child.stdout.resume();
    return child;
  }

  read(line) {
    const [, element] = /Gst(HLSDemux2?|Rtmp2?Src)\b/i.exec(line) ?? [];
    if (element) this.elements.add(element);
    const [, rendered] = /rendered: (\d+)/.exec(line) ?? [];
    if (rendered) this.pictures = Number(rendered);
    if (/sounds.*last-message = chain/.test(line)) this.sounds += 1;
  }
}

/** What VLC tells of itself when it is asked for its statistics. */
const STATISTICS = {
  "video decoded": "pictures",
  "audio decoded": "sounds",
  "demux corrupted": "corrupted",
  discontinuities: "discontinuities",
  "frames lost": "lost",
};

export class Vlc extends Player {
  corrupted = 0;
  discontinuities = 0;

  constructor(name, url) {
    const home = mkdtempSync(join(tmpdir(), "millrace-vlc-"));
    chmodSync(home, 0o777);
    // It does not run as root. 65534: nobody.
    const uid = process.getuid() === 0 ? 65534 : undefined;
    const args = ["-I", "rc", "--vout", "vdummy", "--aout", "adummy", url];
    super(name, new Child(`vlc-${name}`, "cvlc", args, { env: { HOME: home }, uid }));
    const asking = setInterval(() => this.process.child.stdin.write("stats\n"), 300);
    this.process.child.on("close", () => {
      clearInterval(asking);
      rmSync(home, { recursive: true, force: true });
    });
  }

  read(line) {
    const [, what, number] = /^\| (.+?) *: +(\d+)/.exec(line) ?? [];
    if (STATISTICS[what]) this[STATISTICS[what]] = Number(number);
  }
}

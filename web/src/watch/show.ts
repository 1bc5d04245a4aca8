/** Keeps a stream playing: chooses the way, waits for what is not live yet, and changes the way when one fails. */

import { Health, Rate, type Quality } from "./health";
import { reached } from "./milestones";
import { start, type Player } from "./players";
import { next, NOTHING, type Failure, type Way } from "./ways";
import type { Addresses } from "./address";

export type Status =
  | { at: "connecting" }
  | { at: "waiting" }
  | { at: "playing" }
  | { at: "stalled" }
  | { at: "failed"; reason: string };

/** There is something to see or hear, if it does not wait for more just now. */
export function plays(status: Status): boolean {
  return status.at === "playing" || status.at === "stalled";
}

export interface Seen {
  status: Status;
  way: Way | undefined;
  /** The browser lets no sound out before somebody touches the page. */
  silenced: boolean;
  latency: number | undefined;
  bitrate: number | undefined;
  ahead: number;
  size: string | undefined;
  quality: Quality;
  stalls: number;
  /** Milliseconds from opening the page, or from the choice of another way, to the first picture. */
  firstFrame: number | undefined;
}

export const NOTHING_SEEN: Seen = {
  status: { at: "connecting" },
  way: undefined,
  silenced: false,
  latency: undefined,
  bitrate: undefined,
  ahead: 0,
  size: undefined,
  quality: "good",
  stalls: 0,
  firstFrame: undefined,
};

const LOOK_MS = 250;
/** A way that shows nothing for so long is left. */
const BEGIN_MS = 8_000;

export class Show {
  #video: HTMLVideoElement;
  #at: Addresses;
  #ways: readonly Way[];
  #tell: (seen: Seen) => void;
  #seen = NOTHING_SEEN;
  #player: Player | undefined;
  #tried: Way[] = [];
  /** What a way has said of codecs that the browser lacks, since something last played. */
  #undecodable: string | undefined;
  /** Of the attempt that counts: whatever an earlier one still says is not heard. */
  #attempt = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #health = new Health();
  #rate = new Rate();
  #begunAt = 0;
  /** By `performance.now()`, which begins when the page is opened. */
  #openedAt = 0;

  constructor(video: HTMLVideoElement, at: Addresses, ways: readonly Way[], tell: (seen: Seen) => void) {
    this.#video = video;
    this.#at = at;
    this.#ways = ways;
    this.#tell = tell;
    setInterval(() => this.#look(), LOOK_MS);
    const first = ways[0];
    if (first) this.#begin(first);
    else this.#say({ status: { at: "failed", reason: NOTHING } });
  }

  /** Plays in this way from now on, until it fails. */
  choose(way: Way): void {
    this.#forgive();
    this.#openedAt = performance.now();
    this.#say({ status: { at: "connecting" }, firstFrame: undefined });
    this.#begin(way);
  }

  toEdge(): void {
    this.#player?.toEdge();
    void this.#video.play();
  }

  #stop(): void {
    this.#attempt += 1;
    clearTimeout(this.#timer);
    this.#player?.destroy();
    this.#player = undefined;
  }

  #begin(way: Way): void {
    this.#stop();
    const attempt = this.#attempt;
    this.#health = new Health();
    this.#begunAt = performance.now();
    this.#say({ way });
    const failed = (failure: Failure) => {
      if (attempt === this.#attempt) this.#fail(way, failure);
    };
    start(way, this.#video, this.#at, failed).then(
      (player) => {
        if (attempt !== this.#attempt) return player.destroy();
        this.#player = player;
        // Sound alone calls nobody back: it is seen at the next look.
        this.#video.requestVideoFrameCallback?.((at) => {
          if (attempt !== this.#attempt) return;
          reached("shown");
          if (this.#seen.firstFrame === undefined) this.#say({ firstFrame: Math.max(0, at - this.#openedAt) });
          this.#look();
        });
        void this.#play(attempt);
      },
      (error: unknown) => failed({ kind: "unsupported", detail: error instanceof Error ? error.message : String(error) }),
    );
  }

  async #play(attempt: number): Promise<void> {
    try {
      await this.#video.play();
    } catch (error) {
      if (attempt !== this.#attempt || !(error instanceof DOMException) || error.name !== "NotAllowedError") return;
      this.#video.muted = true;
      this.#say({ silenced: true });
      await this.#video.play().catch(() => undefined);
    }
  }

  #fail(way: Way, failure: Failure): void {
    const then = next(this.#ways, way, failure, this.#tried, this.#undecodable);
    if (failure.kind === "unsupported") this.#undecodable = failure.detail;
    if (failure.kind !== "absent") console.info(`${way}: ${JSON.stringify(failure)}; next: ${JSON.stringify(then)}`);
    this.#stop();
    if (failure.kind !== "absent") this.#tried = [...this.#tried, way];
    switch (then.do) {
      case "wait":
        this.#openedAt = performance.now() + then.ms;
        this.#say({ status: { at: "waiting" } });
        this.#timer = setTimeout(() => this.#begin(way), then.ms);
        break;
      case "try":
        if (then.ms > 0) this.#forgive();
        this.#say({ status: { at: "connecting" } });
        this.#timer = setTimeout(() => this.#begin(then.way), then.ms);
        break;
      case "give up":
        this.#say({ status: { at: "failed", reason: then.reason } });
    }
  }

  #forgive(): void {
    this.#tried = [];
    this.#undecodable = undefined;
  }

  #look(): void {
    const { status, way } = this.#seen;
    const player = this.#player;
    if (!player || !way || status.at === "failed") return;
    const video = this.#video;
    const at = performance.now();
    const has = video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA;
    // A stream that is waited for is asked for again and again: nothing is said before it is there.
    if (status.at === "connecting" || status.at === "waiting") {
      if (!has) {
        if (at - this.#begunAt > BEGIN_MS) this.#fail(way, { kind: "broken", detail: "nothing came" });
        return;
      }
      this.#forgive();
    }
    const figures = player.figures();
    const ahead = this.#ahead();
    this.#health.see({ at, position: video.currentTime, ahead, paused: video.paused });
    if (this.#health.lost) {
      this.#fail(way, { kind: "broken", detail: "it stopped" });
      return;
    }
    this.#say({
      status: { at: this.#health.stalled ? "stalled" : "playing" },
      silenced: this.#seen.silenced && video.muted,
      latency: figures.latency,
      bitrate: figures.bytes === undefined ? undefined : (this.#rate.see(at, figures.bytes) ?? this.#seen.bitrate),
      ahead,
      size: video.videoWidth > 0 ? `${video.videoWidth}×${video.videoHeight}` : undefined,
      quality: this.#health.quality,
      stalls: this.#health.stalls,
      firstFrame: this.#seen.firstFrame ?? this.#firstFrame(at),
    });
  }

  #firstFrame(at: number): number | undefined {
    return this.#video.currentTime > 0 ? Math.max(0, at - this.#openedAt) : undefined;
  }

  /** Seconds that are there beyond the shown frame, without a hole. */
  #ahead(): number {
    const { buffered, currentTime } = this.#video;
    for (let i = 0; i < buffered.length; i += 1) {
      if (buffered.start(i) <= currentTime + 0.1 && currentTime <= buffered.end(i)) return buffered.end(i) - currentTime;
    }
    return 0;
  }

  #say(change: Partial<Seen>): void {
    this.#seen = { ...this.#seen, ...change };
    this.#tell(this.#seen);
  }
}

/** How well a stream plays, told from what the page can see of it. */

/** What is seen once a second or so. */
export interface Sight {
  /** Milliseconds on any clock that does not go back. */
  at: number;
  /** Seconds on the stream's clock. */
  position: number;
  /** Seconds that are there beyond it. */
  ahead: number;
  paused: boolean;
}

export type Quality = "good" | "fair" | "poor";

/** Stalls are remembered for so long. */
const MEMORY_MS = 60_000;
/** A position that has not moved for so long has stalled. */
const STALLED_MS = 700;
/** A way that has stalled for so long is left. */
export const LOST_MS = 6_000;
/** Less than this ahead runs dry at the next hiccup. */
const THIN_S = 0.1;

/** Watches the position. */
export class Health {
  #last: Sight | undefined;
  #movedAt = 0;
  #stalls: { from: number; to: number }[] = [];

  see(sight: Sight): void {
    const last = this.#last;
    this.#last = sight;
    if (!last || sight.paused || last.paused || sight.position !== last.position) {
      const stall = this.#stalls.at(-1);
      if (stall?.to === Infinity) stall.to = sight.at;
      this.#movedAt = sight.at;
    } else if (sight.at - this.#movedAt > STALLED_MS && this.#stalls.at(-1)?.to !== Infinity) {
      this.#stalls.push({ from: this.#movedAt, to: Infinity });
    }
    this.#stalls = this.#stalls.filter((stall) => sight.at - stall.to < MEMORY_MS);
  }

  get stalled(): boolean {
    return this.#stalls.at(-1)?.to === Infinity;
  }

  /** It does not come back by itself. */
  get lost(): boolean {
    return this.stalled && this.#last !== undefined && this.#last.at - this.#movedAt > LOST_MS;
  }

  /** Stalls of the last minute. */
  get stalls(): number {
    return this.#stalls.length;
  }

  get quality(): Quality {
    if (this.stalled || this.stalls > 2) return "poor";
    return this.stalls > 0 || (this.#last?.ahead ?? 0) < THIN_S ? "fair" : "good";
  }
}

/** How fast a count of bytes grows. */
export class Rate {
  #seen: { at: number; bytes: number }[] = [];

  /** Bits a second over the last five seconds; nothing before there are two sights. */
  see(at: number, bytes: number): number | undefined {
    const last = this.#seen.at(-1);
    // Another way counts from zero.
    if (last && bytes < last.bytes) this.#seen = [];
    this.#seen.push({ at, bytes });
    this.#seen = this.#seen.filter((seen) => at - seen.at <= 5000);
    const first = this.#seen[0];
    return first && at > first.at ? ((bytes - first.bytes) * 8000) / (at - first.at) : undefined;
  }
}

export function bitrateText(bits: number | undefined): string {
  if (bits === undefined || !Number.isFinite(bits)) return "–";
  return bits >= 1e6 ? `${(bits / 1e6).toFixed(1)} Mbit/s` : `${Math.round(bits / 1000)} kbit/s`;
}

export function latencyText(seconds: number | undefined): string {
  if (seconds === undefined || !Number.isFinite(seconds) || seconds < 0) return "–";
  return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
}

/** Milliseconds that something took: `840 ms`, `2.3 s`. */
export function waitText(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : latencyText(ms / 1000);
}

/** Where the page's stream plays, from before the page is drawn around it. */

import { addresses, streamName, type Addresses, type Stream } from "./address";
import { answered } from "./live";
import { reached } from "./milestones";
import { prepare } from "./players";
import { NOTHING_SEEN, plays, Show, type Seen } from "./show";
import { abilitiesOf, waysFor, type Way } from "./ways";

/** What there is to say of it. */
export interface Staged {
  /** Known when the server has answered. */
  at: Addresses | undefined;
  seen: Seen;
}

export class Stage {
  readonly stream: Stream;
  readonly video = document.createElement("video");
  readonly ways = waysFor(abilitiesOf(window));
  #staged: Staged = { at: undefined, seen: NOTHING_SEEN };
  #show: Show | undefined;
  #listeners = new Set<() => void>();

  constructor(stream: Stream) {
    this.stream = stream;
    this.video.playsInline = true;
    this.video.ariaLabel = streamName(stream);
    const [first] = this.ways;
    if (first) prepare(first);
    void this.#begin();
  }

  async #begin(): Promise<void> {
    const ports = await answered();
    reached("asked");
    if (!ports) {
      const reason = "Live streams are switched off on this server.";
      this.#say({ seen: { ...NOTHING_SEEN, status: { at: "failed", reason } } });
      return;
    }
    const at = addresses(this.stream, ports, location);
    this.#say({ at });
    this.#show = new Show(this.video, at, this.ways, (seen) => this.#say({ seen }));
  }

  /** Puts the picture where it belongs, from wherever it was. */
  enter(place: Element): void {
    place.prepend(this.video);
  }

  /** Until it plays, or it is known why not. */
  settled(): Promise<void> {
    return new Promise((resolve) => {
      const end = this.subscribe(() => {
        if (this.#staged.seen.status.at === "connecting") return;
        end();
        resolve();
      });
    });
  }

  choose(way: Way): void {
    this.#show?.choose(way);
  }

  toEdge(): void {
    this.#show?.toEdge();
  }

  unmute(): void {
    this.video.muted = false;
  }

  readonly staged = (): Staged => this.#staged;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  #say(change: Partial<Staged>): void {
    this.#staged = { ...this.#staged, ...change };
    this.video.controls = plays(this.#staged.seen.status);
    this.#listeners.forEach((listener) => listener());
  }
}

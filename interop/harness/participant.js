/** Somebody in a room, sitting in a browser page that runs client/client.js. The page may be any driver's. */

import { until } from "./until.js";

export class Participant {
  /** Those who share a browser have different seats, so that they use different devices. */
  constructor(page, identity, seat = 0) {
    this.page = page;
    this.seat = seat;
    this.identity = identity;
  }

  /** Call a function of `window.client` in the page. */
  call(name, ...args) {
    return this.page.evaluate(([which, given]) => window.client[which](...given), [name, args]);
  }

  async join(server, room, { grant, ...given } = {}) {
    await this.call("join", { url: server.ws, token: await server.token(this.identity, room, grant), ...given, seat: this.seat });
    return this;
  }

  look() {
    return this.call("look");
  }

  received(from, source) {
    return this.call("received", from, source);
  }

  /** Frames of `from` keep being decoded here, optionally in a given size. Returns the last statistics. */
  async sees(from, source = "camera", size = {}) {
    let start;
    return until(`${this.identity} to see the ${source} of ${from} ${JSON.stringify(size)}`, async () => {
      const now = await this.received(from, source);
      if (!now) return false;
      start ??= now.frames;
      const right = (!size.width || now.width === size.width) && (!size.height || now.height === size.height);
      // Frames beyond those of the first look: a picture that moves, not one that stands.
      if (now.frames >= start + 5 && right) return now;
      throw new Error(JSON.stringify(now));
    });
  }

  /** Sound with energy in it keeps coming from `from`. */
  async hears(from, source = "microphone") {
    let start;
    return until(`${this.identity} to hear ${from}`, async () => {
      const now = await this.received(from, source);
      if (!now) return false;
      start ??= now.energy;
      if (now.energy > start) return now;
      throw new Error(JSON.stringify(now));
    });
  }

  /** The picture of `from` has a colour near `expected`, an `[r, g, b]`. */
  async seesColor(from, source, expected) {
    return until(`${this.identity} to see ${expected} from ${from}`, async () => {
      const color = await this.call("colorOf", from, source);
      if (color && color.every((part, i) => Math.abs(part - expected[i]) < 45)) return color;
      throw new Error(JSON.stringify(color ?? null));
    });
  }

  /** Some property of the room becomes true. */
  async notices(what, probe, options) {
    return until(`${this.identity} to notice ${what}`, async () => {
      const seen = await this.look();
      if (await probe(seen)) return seen;
      throw new Error(JSON.stringify(seen).slice(0, 1500));
    }, options);
  }

  /** An event of a kind, told by the client. */
  async told(what, detail) {
    return this.notices(`"${what} ${detail}"`, (seen) =>
      seen.happened.some((event) => event.what === what && (detail === undefined || event.detail === detail)),
    );
  }

  leave() {
    return this.call("leave");
  }
}

/** One headless Chromium for a test file; every participant has a context of their own in it. */

import { existsSync } from "node:fs";
import { chromium } from "playwright-core";
import { Participant } from "./participant.js";

const PLACES = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  // A camera for each: when two pages stop and open the same one at the same moment, it may give no frames ever after.
  "--use-fake-device-for-media-stream=device-count=8",
  "--use-fake-ui-for-media-stream",
  "--autoplay-policy=no-user-gesture-required",
  "--auto-select-desktop-capture-source=Entire screen",
  // Addresses instead of mDNS names, which nobody resolves in a container.
  "--disable-features=WebRtcHideLocalIpsWithMdns",
];

export class Chromium {
  static async launch(flags = []) {
    const executablePath = PLACES.find((place) => place && existsSync(place));
    if (!executablePath) throw new Error("no Chromium found: install it, or name it in CHROMIUM");
    const self = new Chromium();
    self.browser = await chromium.launch({ executablePath, headless: true, args: [...FLAGS, ...flags] });
    return self;
  }

  /** A page of its own context at an address. What it says on its console is kept for failures. */
  async open(url, options = {}) {
    const context = await this.browser.newContext({ permissions: ["camera", "microphone"], ...options });
    const page = await context.newPage();
    page.said = [];
    page.on("console", (message) => page.said.push(`${message.type()}: ${message.text()}`.slice(0, 400)));
    page.on("pageerror", (error) => page.said.push(`uncaught: ${error.message}`.slice(0, 400)));
    await page.goto(url);
    return page;
  }

  async participant(site, identity, seat) {
    return new Participant(await this.open(site.url), identity, seat);
  }

  /** End every page, so that a test starts with nobody left over from the last. */
  async clear() {
    await Promise.all(this.browser.contexts().map((context) => context.close()));
  }

  close() {
    return this.browser.close();
  }
}

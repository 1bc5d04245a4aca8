/**
 * A headless Firefox, driven over WebDriver BiDi by hand: playwright-core drives only Firefox builds of its own. Just
 * what the tests need: open an address, evaluate a function.
 */

import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import WebSocket from "ws";
import { Participant } from "./participant.js";
import { until } from "./until.js";

const PLACES = [process.env.FIREFOX, "/usr/bin/firefox-esr", "/usr/bin/firefox"];

/** Devices that are made up and given without asking, sound without a click, and no talk with the outside. */
const PREFERENCES = {
  "media.navigator.streams.fake": true,
  "media.navigator.permission.disabled": true,
  "media.autoplay.default": 0,
  "media.autoplay.blocking_policy": 0,
  "media.peerconnection.ice.obfuscate_host_addresses": false,
  // H.264 would come from a plugin that is downloaded.
  "media.gmp-manager.updateEnabled": false,
  "media.gmp-gmpopenh264.enabled": false,
  "app.update.enabled": false,
  "browser.shell.checkDefaultBrowser": false,
  "browser.startup.homepage_override.mstone": "ignore",
  "datareporting.policy.dataSubmissionEnabled": false,
  "toolkit.telemetry.enabled": false,
  "network.captive-portal-service.enabled": false,
  "network.connectivity-service.enabled": false,
  "extensions.update.enabled": false,
  "remote.active-protocols": 1,
};

export class Firefox {
  #child;
  #socket;
  #profile = mkdtempSync(join(tmpdir(), "millrace-firefox-"));
  #waiting = new Map();
  #serial = 0;

  static async launch() {
    const program = PLACES.find((place) => place && existsSync(place));
    if (!program) throw new Error("no Firefox found: install it, or name it in FIREFOX");
    const self = new Firefox();
    await self.#start(program);
    return self;
  }

  async #start(program) {
    const lines = Object.entries(PREFERENCES).map(([name, value]) => `user_pref(${JSON.stringify(name)}, ${JSON.stringify(value)});`);
    writeFileSync(join(this.#profile, "user.js"), lines.join("\n"));
    const child = spawn(program, ["--headless", "--no-remote", "--profile", this.#profile, "--remote-debugging-port", "0"], {
      stdio: ["ignore", "ignore", "pipe"],
      env: { ...process.env, HOME: this.#profile, MOZ_CRASHREPORTER_DISABLE: "1" },
      // Firefox is a family of processes: its own group can be ended as a whole.
      detached: true,
    });
    this.#child = child;
    let said = "";
    child.stderr.on("data", (chunk) => (said = (said + chunk).slice(-20_000)));
    const address = await until("Firefox to listen for WebDriver BiDi", () => /WebDriver BiDi listening on (ws:\S+)/.exec(said)?.[1], {
      within: 60_000,
    });
    this.#socket = new WebSocket(`${address}/session`, { maxPayload: 64 << 20 });
    await new Promise((open, failed) => this.#socket.once("open", open).once("error", failed));
    this.#socket.on("message", (data) => this.#answer(JSON.parse(data)));
    await this.command("session.new", { capabilities: {} });
  }

  #answer(message) {
    const waiting = this.#waiting.get(message.id);
    if (!waiting) return;
    this.#waiting.delete(message.id);
    if (message.type === "error") waiting.failed(new Error(`${message.error}: ${message.message}`));
    else waiting.done(message.result);
  }

  command(method, params) {
    this.#serial += 1;
    const id = this.#serial;
    return new Promise((done, failed) => {
      this.#waiting.set(id, { done, failed });
      this.#socket.send(JSON.stringify({ id, method, params }));
    });
  }

  /** A tab at an address, with the one method that a participant asks of a page. */
  async open(url) {
    const { context } = await this.command("browsingContext.create", { type: "tab" });
    await this.command("browsingContext.navigate", { context, url, wait: "complete" });
    const evaluate = async (work, argument) => {
      const result = await this.command("script.callFunction", {
        functionDeclaration: `async (given) => JSON.stringify(await (${work})(JSON.parse(given))) ?? "null"`,
        arguments: [{ type: "string", value: JSON.stringify(argument ?? null) }],
        target: { context },
        awaitPromise: true,
        userActivation: true,
      });
      if (result.type === "exception") throw new Error(result.exceptionDetails.text);
      return JSON.parse(result.result.value);
    };
    return { evaluate, said: [] };
  }

  async participant(site, identity) {
    return new Participant(await this.open(site.url), identity);
  }

  async close() {
    this.#socket?.terminate();
    try {
      process.kill(-this.#child.pid, "SIGKILL");
    } catch {
      // Gone already.
    }
    await until("Firefox to end", () => this.#child.exitCode !== null || this.#child.signalCode !== null);
    rmSync(this.#profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  }
}

/** Somebody who runs the Python SDK, in a process of their own; see python/participant.py. */

import { spawn } from "node:child_process";
import { createWriteStream, mkdirSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { ARTIFACTS } from "./server.js";
import { until } from "./until.js";

const here = fileURLToPath(new URL("..", import.meta.url));
const PYTHON = process.env.MILLRACE_PYTHON ?? join(here, ".venv/bin/python");

export class PythonParticipant {
  #child;
  #waiting = new Map();
  #serial = 0;

  constructor(identity) {
    this.identity = identity;
    mkdirSync(ARTIFACTS, { recursive: true });
    const log = createWriteStream(join(ARTIFACTS, `python-${identity}.log`));
    this.#child = spawn(PYTHON, [join(here, "python/participant.py")], { stdio: ["pipe", "pipe", "pipe"] });
    this.#child.stderr.pipe(log);
    this.#child.on("error", (error) => this.#failAll(error));
    this.#child.on("exit", (code, signal) => this.#failAll(new Error(`python ended: ${code ?? signal}`)));
    createInterface({ input: this.#child.stdout }).on("line", (line) => {
      let answer;
      try {
        answer = JSON.parse(line);
      } catch {
        return log.write(`${line}\n`);
      }
      const waiting = this.#waiting.get(answer.id);
      this.#waiting.delete(answer.id);
      if (answer.error) waiting?.failed(new Error(`${identity}: ${answer.error}`));
      else waiting?.done(answer.result);
    });
  }

  #failAll(error) {
    for (const { failed } of this.#waiting.values()) failed(error);
    this.#waiting.clear();
  }

  tell(what, details = {}) {
    this.#serial += 1;
    const id = this.#serial;
    return new Promise((done, failed) => {
      this.#waiting.set(id, { done, failed });
      this.#child.stdin.write(`${JSON.stringify({ id, do: what, ...details })}\n`);
    });
  }

  /** With a token that livekit-api makes in Python. */
  async join(server, room, details = {}) {
    await this.tell("join", { url: server.ws, ...server.keys, identity: this.identity, room, ...details });
    return this;
  }

  look() {
    return this.tell("look");
  }

  async notices(what, probe, options) {
    return until(`${this.identity} to notice ${what}`, async () => {
      const seen = await this.look();
      if (probe(seen)) return seen;
      throw new Error(JSON.stringify(seen).slice(0, 1500));
    }, options);
  }

  async close() {
    this.#child.kill("SIGKILL");
  }
}

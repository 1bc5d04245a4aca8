/** A program of others, run for a test; what it says is kept in artifacts/. */

import { spawn } from "node:child_process";
import { createWriteStream, mkdirSync } from "node:fs";
import { join } from "node:path";
import { ARTIFACTS } from "./server.js";
import { until } from "./until.js";

export class Child {
  static #running = new Set();

  constructor(name, program, args, { env, uid } = {}) {
    this.name = name.replaceAll(/[^\w-]+/g, "-");
    this.said = "";
    this.out = "";
    mkdirSync(ARTIFACTS, { recursive: true });
    const log = createWriteStream(join(ARTIFACTS, `${this.name}.log`));
    this.child = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"], env: { ...process.env, ...env }, uid });
    // It may end without having read everything.
    this.child.stdin.on("error", () => {});
    this.child.stderr.on("data", (data) => ((this.said += data), log.write(data)));
    this.child.on("error", (error) => this.#end({ error: error.message }));
    this.child.on("close", (code, signal) => (this.#end({ code, signal }), log.end()));
    Child.#running.add(this);
  }

  #end(exit) {
    this.exit ??= exit;
    Child.#running.delete(this);
  }

  /** Keeps what comes out of it in artifacts/ too. */
  record() {
    this.child.stdout.pipe(createWriteStream(join(ARTIFACTS, `${this.name}.out`)));
    return this;
  }

  /** Keeps what comes out of it in `out`. */
  listen() {
    this.child.stdout.on("data", (data) => (this.out += data));
    return this;
  }

  /** Ends all that still run. */
  static killAll() {
    for (const { child } of Child.#running) child.kill("SIGKILL");
  }

  async kill(signal = "SIGKILL") {
    this.child.kill(signal);
    return this.ended();
  }

  async ended(within = 60_000) {
    return until(`${this.name} to end`, () => this.exit, { within });
  }
}

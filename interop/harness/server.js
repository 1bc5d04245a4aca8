/** The real binary on ports of its own: started, asked whether it is ready, killed by its pid, started again. */

import { execFile, spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { createWriteStream, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { AccessToken, RoomConfiguration } from "livekit-server-sdk";
import { until } from "./until.js";

const here = fileURLToPath(new URL("..", import.meta.url));
export const BINARY = resolve(here, process.env.MILLRACE_BIN ?? "../target/debug/millrace");
export const ARTIFACTS = join(here, "artifacts");

/** Made by interop/run: an authority, and a certificate of it for this machine. */
export const TLS = Object.fromEntries(["ca.pem", "server.pem", "server.key"].map((file) => [file, join(ARTIFACTS, "tls", file)]));

const KEY = "devkey";
const SECRET = "secret";

/** Another process may take a port between asking for it and using it. */
const PORT_TRIES = 4;

export class Server {
  #child;
  #folder = mkdtempSync(join(tmpdir(), "millrace-interop-"));
  #log;
  #name;
  #config;
  #env;

  /** `config` is YAML appended to the smallest configuration that a test needs; with `tls` it serves HTTPS. */
  constructor(name, config = "", { tls = false, env } = {}) {
    this.#name = name;
    this.#config = config;
    this.tls = tls;
    this.#env = env;
    mkdirSync(ARTIFACTS, { recursive: true });
    this.#log = createWriteStream(join(ARTIFACTS, `server-${name}.log`));
  }

  static async start(name, config, options) {
    const server = new Server(name, config, options);
    for (let attempt = 1; ; attempt += 1) {
      server.port = await freeTcpPort();
      server.udpPort = await freeUdpPort();
      server.tcpPort = await freeTcpPort();
      try {
        await server.run();
        return server;
      } catch (error) {
        await server.kill("SIGKILL");
        if (attempt === PORT_TRIES || !server.exit) throw error;
      }
    }
  }

  get #file() {
    return join(this.#folder, "millrace.yaml");
  }

  /** Another configuration than the one it was started with, which it reads now. */
  reload(config) {
    this.#config = config;
    writeFileSync(this.#file, this.#yaml());
    this.signal("SIGHUP");
  }

  /** What a subcommand prints, given the server's configuration. */
  async command(...args) {
    const { stdout } = await promisify(execFile)(BINARY, ["--config", this.#file, ...args]);
    return stdout.trim();
  }

  /** Start the process on the ports chosen before. After a kill this is the same server coming back. */
  async run() {
    writeFileSync(this.#file, this.#yaml());
    this.exit = undefined;
    const child = spawn(BINARY, ["--dev", "--config", this.#file], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, ...this.#env },
    });
    this.#child = child;
    child.stdout.pipe(this.#log, { end: false });
    child.stderr.pipe(this.#log, { end: false });
    child.on("error", (error) => (this.exit ??= { error: error.message }));
    child.on("exit", (code, signal) => (this.exit ??= { code, signal }));
    await until(
      `${BINARY} to answer on port ${this.port}`,
      async () => {
        if (this.exit) return true;
        const answer = await fetch(this.http, { headers: { accept: "text/plain" }, signal: AbortSignal.timeout(2000) });
        return answer.ok;
      },
      { within: 20_000 },
    );
    if (this.exit) {
      throw new Error(`the server ended before it was ready: ${JSON.stringify(this.exit)}; see artifacts/server-${this.#name}.log`);
    }
  }

  get http() {
    return `${this.tls ? "https" : "http"}://127.0.0.1:${this.port}`;
  }

  get ws() {
    return `ws://127.0.0.1:${this.port}`;
  }

  get pid() {
    return this.#child?.pid;
  }

  signal(name) {
    if (this.#child && !this.exit) this.#child.kill(name);
  }

  async kill(name) {
    this.signal(name);
    await this.exited();
  }

  /** How the process ended: `{ code, signal }`. */
  async exited(within = 15_000) {
    return until(`the server to end`, () => this.exit, { within });
  }

  async stop() {
    await this.kill("SIGKILL");
    rmSync(this.#folder, { recursive: true, force: true });
    this.#log.end();
  }

  /** A token made by LiveKit's own library for Node. */
  async token(identity, room, grant = {}) {
    const token = new AccessToken(KEY, SECRET, { identity, name: grant.name ?? identity, ttl: "10m" });
    token.addGrant({ roomJoin: true, room, ...grant.video });
    if (grant.kind) token.kind = grant.kind;
    if (grant.roomConfig) token.roomConfig = new RoomConfiguration(grant.roomConfig);
    return token.toJwt();
  }

  get keys() {
    return { key: KEY, secret: SECRET };
  }

  #yaml() {
    return [
      `port: ${this.port}`,
      "bind_addresses: [127.0.0.1]",
      `keys: { ${KEY}: ${SECRET} }`,
      "rtc:",
      `  udp_port: ${this.udpPort}`,
      `  tcp_port: ${this.tcpPort}`,
      "  enable_loopback_candidate: true",
      ...(this.tls ? [`tls: { cert_file: ${TLS["server.pem"]}, key_file: ${TLS["server.key"]} }`] : []),
      this.#config,
      "",
    ].join("\n");
  }
}

/** The system may give a port that was let go a second time, before its first taker has bound it. */
const given = new Set();

/** A port that `probe` says is free, and that nobody in this file was told before. */
async function freshPort(probe) {
  for (;;) {
    const port = await probe();
    if (!given.has(port)) {
      given.add(port);
      return port;
    }
  }
}

export const freeTcpPort = () =>
  freshPort(
    () =>
      new Promise((ready, failed) => {
        const probe = createServer();
        probe.once("error", failed);
        probe.listen(0, "127.0.0.1", () => {
          const { port } = probe.address();
          probe.close(() => ready(port));
        });
      }),
  );

const freeUdpPort = () =>
  freshPort(
    () =>
      new Promise((ready, failed) => {
        const probe = createSocket("udp4");
        probe.once("error", failed);
        probe.bind(0, () => {
          const { port } = probe.address();
          probe.close(() => ready(port));
        });
      }),
  );

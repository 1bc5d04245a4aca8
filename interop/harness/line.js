/**
 * A line between browsers and a server: a UDP port that passes datagrams on at a rate, after a delay, and loses some.
 * What finds more than `queueMs` before it is lost. Each client has a port of its own towards the server, as behind a
 * NAT, and a line of its own in each direction.
 */

import { createSocket } from "node:dgram";
import { after } from "node:test";

export class Line {
  /** Bits a second and share lost, by direction: "up" is to the server. */
  terms = { up: {}, down: {} };
  passed = { up: 0, down: 0 };
  dropped = { up: 0, down: 0 };
  #far = new Map();
  #serverPort;
  #second;

  /** With `second`, a client's datagrams come from that address, as the server sees it, from the second one on. */
  static async before(serverPort, { second } = {}) {
    const line = new Line();
    line.#serverPort = serverPort;
    line.#second = second;
    line.socket = createSocket("udp4");
    line.socket.on("message", (datagram, from) => line.#up(datagram, from));
    await new Promise((ready) => line.socket.bind(0, "127.0.0.1", ready));
    line.port = line.socket.address().port;
    return line;
  }

  /** `{ rate, loss, delay, queueMs }` each way. */
  set({ up = {}, down = {} }) {
    this.terms = { up, down };
  }

  /** Nothing passes. */
  cut() {
    this.set({ up: { loss: 1 }, down: { loss: 1 } });
  }

  /** Everything passes again. */
  mend() {
    this.set({});
  }

  /** From now on every client comes from another address, as the server sees it. */
  move() {
    for (const { socket } of this.#far.values()) socket.close();
    this.#far.clear();
  }

  #up(datagram, from) {
    const name = `${from.address}:${from.port}`;
    let far = this.#far.get(name);
    if (!far) this.#far.set(name, (far = this.#open(from, "127.0.0.1")));
    else if (this.#second && !far.settled) this.#far.set(name, (far = Object.assign(this.#open(from, this.#second), { settled: true })));
    this.#pass("up", far, datagram, () => far.socket.send(datagram, this.#serverPort, "127.0.0.1"));
  }

  /** The server's side of what comes from `from`. */
  #open(from, address) {
    const far = { socket: createSocket("udp4"), free: { up: 0, down: 0 } };
    far.socket.on("message", (answer) => this.#pass("down", far, answer, () => this.socket.send(answer, from.port, from.address)));
    far.socket.on("error", () => {});
    far.socket.bind(0, address).unref();
    return far;
  }

  #pass(way, { free }, datagram, go) {
    const { rate, loss = 0, delay = 0, queueMs = 300 } = this.terms[way];
    const now = performance.now();
    let wait = delay;
    if (rate) {
      const begins = Math.max(free[way], now);
      if (begins - now > queueMs) {
        this.dropped[way] += 1;
        return;
      }
      free[way] = begins + ((datagram.length + 28) * 8000) / rate;
      wait += free[way] - now;
    }
    if (Math.random() < loss) {
      this.dropped[way] += 1;
      return;
    }
    this.passed[way] += 1;
    const send = () => {
      try {
        go();
      } catch {
        // Closed in the meantime.
      }
    };
    if (wait < 1) send();
    else setTimeout(send, wait);
  }

  close() {
    this.socket.close();
    for (const { socket } of this.#far.values()) socket.close();
  }
}

/** A line before the server of a suite, for as long as its tests run. */
export function lineBefore(suite) {
  let line;
  after(() => line?.close());
  return {
    /** A line that does nothing yet. */
    async clear() {
      line ??= await Line.before(suite.server.udpPort);
      line.mend();
      return line;
    },
    /** Somebody whose media passes it, once it is there. */
    async join(identity, room, given = {}) {
      const person = await suite.someone(identity);
      await person.call("throughPort", line.port);
      await person.join(suite.server, room, given);
      return person;
    },
  };
}

/** A client of the signalling WebSocket alone, which may send what no SDK would. */

import { SignalRequest, SignalResponse } from "@livekit/protocol";
import WebSocket from "ws";
import { until } from "./until.js";

export class Signal {
  #socket;
  #heard = [];

  constructor(url) {
    this.#socket = new WebSocket(url);
    this.#socket.binaryType = "nodebuffer";
    this.#socket.on("error", () => {});
    this.#socket.on("message", (data) => this.#heard.push(SignalResponse.fromBinary(data).message));
    /** The HTTP status of a refusal; 101 when there was none. */
    this.refused = new Promise((ready) => {
      this.#socket.once("unexpected-response", (request, response) => {
        ready(response.statusCode);
        request.destroy();
      });
      this.#socket.once("open", () => ready(101));
    });
    /** The code with which it ended. */
    this.closed = new Promise((ready) => this.#socket.once("close", ready));
  }

  /** Ask something of the server: a `SignalRequest`'s message. */
  ask(message) {
    this.raw(new SignalRequest({ message }).toBinary());
  }

  /** Bytes are a binary frame and strings a text frame. */
  raw(frame) {
    this.#socket.send(frame);
  }

  /** The first message of one of these kinds that nobody took yet. */
  async hears(...kinds) {
    return until(`the server to say ${kinds.join(" or ")}`, () => {
      const at = this.#heard.findIndex(({ case: kind }) => kinds.includes(kind));
      if (at >= 0) return this.#heard.splice(at, 1)[0].value;
      throw new Error(`heard ${this.#heard.map(({ case: kind }) => kind)}`);
    });
  }

  /** All messages of one kind that nobody took yet. */
  all(kind) {
    return this.#heard.filter((message) => message.case === kind).map(({ value }) => value);
  }

  async end() {
    this.#socket.close();
    await this.closed;
  }
}

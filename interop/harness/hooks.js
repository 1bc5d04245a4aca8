/** Somebody who is told what happens in rooms: keeps each webhook as it came. */

import { createServer } from "node:http";
import { until } from "./until.js";

export class Hooks {
  /** `{ body, token, type }`, in the order of their coming. */
  heard = [];
  /** Statuses to answer the next ones with, instead of 200. */
  answers = [];

  static async listen() {
    const hooks = new Hooks();
    hooks.server = createServer((request, response) => {
      const pieces = [];
      request.on("data", (piece) => pieces.push(piece));
      request.on("end", () => {
        const status = hooks.answers.shift() ?? 200;
        const { authorization: token, "content-type": type } = request.headers;
        hooks.heard.push({ body: Buffer.concat(pieces).toString(), token, type, status });
        response.writeHead(status).end();
      });
    });
    await new Promise((ready) => hooks.server.listen(0, "127.0.0.1", ready));
    hooks.url = `http://127.0.0.1:${hooks.server.address().port}/hook`;
    return hooks;
  }

  /** What was taken about one room. */
  about(room) {
    return this.heard.filter(({ status, body }) => status === 200 && JSON.parse(body).room?.name === room);
  }

  events(room) {
    return this.about(room).map(({ body }) => JSON.parse(body).event);
  }

  hears(room, event) {
    return until(`${event} of ${room}`, () => {
      const events = this.events(room);
      if (events.includes(event)) return events;
      throw new Error(JSON.stringify(events));
    });
  }

  close() {
    this.server.closeAllConnections();
    this.server.close();
  }
}

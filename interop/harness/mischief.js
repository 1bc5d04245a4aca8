/**
 * A front to the real server that does with each connection what the attribute `lk.mock` of its token says, as the mock
 * server does against which livekit-client's own end-to-end tests are written. The server itself knows nothing of it:
 * what it can say by itself it says, and the rest is what networks do.
 */

import { createServer, request as ask } from "node:http";
import { gunzipSync } from "node:zlib";
import { JoinRequest, SignalRequest, SignalResponse, WrappedJoinRequest, WrappedJoinRequest_Compression as Compression } from "@livekit/protocol";
import { AccessToken, RoomServiceClient } from "livekit-server-sdk";
import { WebSocket, WebSocketServer } from "ws";

/** Seconds; those tests do not wait for the real ones. */
const PING = { interval: 1, timeout: 3 };
/** Milliseconds from the first message to what follows it. */
const SOON = 200;
const REFUSALS = { validate_500: [500, "internal server error"], validate_service_not_found: [404, "404 page not found"] };

const claimsOf = (token) => JSON.parse(Buffer.from(token.split(".")[1], "base64url").toString());

/** What somebody says about their connection. */
function read(url) {
  const token = url.searchParams.get("access_token");
  let claims = {};
  try {
    claims = claimsOf(token);
  } catch {
    // The server refuses it.
  }
  const { signal = "happy", leaveAction = 0 } = JSON.parse(claims.attributes?.["lk.mock"] ?? "{}");
  return { claims, mode: signal, leaveAction };
}

/** The same connection, taking up the session `sid`. */
function resuming(url, token, sid) {
  const other = new URL(url);
  other.searchParams.set("access_token", token);
  const wrapped = other.searchParams.get("join_request");
  if (!wrapped) {
    other.searchParams.set("reconnect", "1");
    other.searchParams.set("sid", sid);
    return other;
  }
  const request = Object.assign(unwrap(wrapped), { reconnect: true, participantSid: sid });
  const plain = new WrappedJoinRequest({ compression: Compression.NONE, joinRequest: request.toBinary() });
  other.searchParams.set("join_request", Buffer.from(plain.toBinary()).toString("base64url"));
  return other;
}

function isResume({ searchParams }) {
  const wrapped = searchParams.get("join_request");
  return wrapped ? unwrap(wrapped).reconnect : searchParams.has("reconnect");
}

function unwrap(wrapped) {
  const { compression, joinRequest } = WrappedJoinRequest.fromBinary(Buffer.from(wrapped, "base64"));
  return JoinRequest.fromBinary(compression === Compression.GZIP ? gunzipSync(joinRequest) : joinRequest);
}

export class Mischief {
  #http = createServer((request, response) => this.#validate(request, response));
  #sockets = new WebSocketServer({ noServer: true });
  #server;
  #rooms;
  /** Who joined last: a client that resumes with a token of somebody else means them. */
  #last;
  /** Connections to the server, which outlive those of clients that resume. */
  #upstream = new Set();

  static async before(server) {
    const front = new Mischief();
    front.#server = server;
    front.#rooms = new RoomServiceClient(server.http, server.keys.key, server.keys.secret);
    front.#http.on("upgrade", (request, socket, head) => front.#connect(request, socket, head));
    await new Promise((ready) => front.#http.listen(0, "127.0.0.1", ready));
    front.url = `ws://127.0.0.1:${front.#http.address().port}`;
    return front;
  }

  /** Where a request goes, which may say more of its token than the client did. */
  async #target(path, { claims, mode }) {
    const url = new URL(path, this.#server.http);
    if (mode === "room_not_found") {
      const token = new AccessToken(this.#server.keys.key, this.#server.keys.secret, { identity: claims.sub });
      token.addGrant({ roomJoin: true, room: "nowhere" });
      url.searchParams.set("access_token", await token.toJwt());
    }
    return url;
  }

  async #validate(request, response) {
    const said = read(new URL(request.url, this.#server.http));
    const refusal = REFUSALS[said.mode];
    if (refusal) {
      response.writeHead(refusal[0], { "access-control-allow-origin": "*" }).end(refusal[1]);
      return;
    }
    const target = await this.#target(request.url, said);
    ask(target, { method: request.method, headers: { origin: request.headers.origin ?? "" } }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    }).end();
  }

  async #connect(request, socket, head) {
    const url = new URL(request.url, this.#server.http);
    const said = read(url);
    const refusal = REFUSALS[said.mode];
    if (refusal) return refuse(socket, refusal[0]);
    const open = () => new Promise((ready) => this.#sockets.handleUpgrade(request, socket, head, ready));
    if (said.mode === "no_first_message") return open();
    if (said.mode === "close_before_join") {
      const client = await open();
      setTimeout(() => client.close(1011), 50);
      return undefined;
    }
    let target = await this.#target(request.url, said);
    // A session that does not exist is told to leave first of all.
    if (said.mode === "leave_first_message") target = resuming(target, url.searchParams.get("access_token"), "PA_unknown");
    else if (isResume(url)) target = resuming(target, this.#last.token, this.#last.sid);
    const server = new WebSocket(target.href.replace(/^http/, "ws"), { perMessageDeflate: false });
    const early = [];
    const hold = (data) => early.push(data);
    server.on("message", hold);
    server.on("error", () => {});
    server.on("unexpected-response", (_, answer) => refuse(socket, answer.statusCode));
    server.on("open", async () => {
      this.#upstream.add(server);
      const client = await open();
      server.off("message", hold);
      this.#carry(client, server, said, url, early);
    });
    return undefined;
  }

  #carry(client, server, said, url, early) {
    let first = true;
    const down = (data) => {
      const response = SignalResponse.fromBinary(data);
      const { message } = response;
      if (!first && said.mode === "no_pong") return;
      if (message.case === "join") {
        message.value.pingInterval = PING.interval;
        message.value.pingTimeout = PING.timeout;
        this.#last = { token: url.searchParams.get("access_token"), sid: message.value.participant.sid };
      }
      client.send(response.toBinary());
      if (first) setTimeout(() => this.#misbehave(client, server, said), SOON);
      first = false;
    };
    early.forEach(down);
    server.on("message", down);
    server.on("close", (code) => client.close(code === 1005 || code === 1006 ? 1000 : code));
    client.on("message", (data) => server.send(data));
  }

  #misbehave(client, server, { mode, leaveAction, claims }) {
    if (mode === "close_when_connected") client.close(1011, "mock close_when_connected");
    if (mode === "drop_when_connected") client.terminate();
    if (mode !== "leave_when_connected") return;
    if (leaveAction === 0) {
      this.#rooms.removeParticipant(claims.video.room, claims.sub);
      return;
    }
    const scenario = { case: "leaveRequestFullReconnect", value: true };
    server.send(new SignalRequest({ message: { case: "simulate", value: { scenario } } }).toBinary());
  }

  close() {
    for (const server of this.#upstream) server.terminate();
    this.#sockets.clients.forEach((client) => client.terminate());
    this.#http.closeAllConnections();
    return new Promise((closed) => this.#http.close(closed));
  }
}

function refuse(socket, status) {
  socket.end(`HTTP/1.1 ${status} Refused\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
}

/** A way to the server's DTLS for clients that know nothing of WebRTC: signalling over WHIP, ICE, and a port that forwards. */

import { createHmac, randomBytes } from "node:crypto";
import { createSocket } from "node:dgram";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { ARTIFACTS } from "./server.js";
import { until } from "./until.js";

const COOKIE = 0x2112a442;
const BINDING_REQUEST = 0x0001;
const BINDING_SUCCESS = 0x0101;
/** Between checks: the server forgets who says nothing. */
const CHECK_MS = 500;

/** A certificate of the kind that `openssl req -newkey` calls `kind`, and how WebRTC knows it. */
export async function certificate(name, kind, ...options) {
  const [cert, key] = ["pem", "key"].map((ending) => join(ARTIFACTS, `dtls-${name}.${ending}`));
  const run = promisify(execFile);
  await run("openssl", ["req", "-x509", "-newkey", kind, ...options, "-nodes", "-days", "2", "-subj", "/CN=anybody", "-keyout", key, "-out", cert]);
  const { stdout } = await run("openssl", ["x509", "-in", cert, "-noout", "-fingerprint", "-sha256"]);
  return { cert, key, fingerprint: stdout.trim().split("=")[1] };
}

/** An attribute of a STUN message, RFC 8489 section 14. */
function attribute(kind, value) {
  const head = Buffer.alloc(4);
  head.writeUInt16BE(kind, 0);
  head.writeUInt16BE(value.length, 2);
  return Buffer.concat([head, value, Buffer.alloc((4 - (value.length % 4)) % 4)]);
}

/** A message with MESSAGE-INTEGRITY. */
function message(kind, transaction, attributes, password) {
  const head = Buffer.alloc(20);
  const body = Buffer.concat(attributes);
  head.writeUInt16BE(kind, 0);
  head.writeUInt16BE(body.length + 24, 2);
  head.writeUInt32BE(COOKIE, 4);
  transaction.copy(head, 8);
  const bytes = Buffer.concat([head, body]);
  return Buffer.concat([bytes, attribute(8, createHmac("sha1", password).update(bytes).digest())]);
}

const offerOfSound = (ufrag, pwd, fingerprint) =>
  [
    "v=0",
    "o=- 1 1 IN IP4 127.0.0.1",
    "s=-",
    "t=0 0",
    "a=group:BUNDLE 0",
    "m=audio 9 UDP/TLS/RTP/SAVPF 111",
    "c=IN IP4 0.0.0.0",
    "a=mid:0",
    "a=sendonly",
    "a=rtcp-mux",
    `a=ice-ufrag:${ufrag}`,
    `a=ice-pwd:${pwd}`,
    `a=fingerprint:sha-256 ${fingerprint}`,
    "a=setup:active",
    "a=rtpmap:111 opus/48000/2",
    "",
  ].join("\r\n");

/** An offer of somebody who will never connect. */
export const OFFER_OF_SOUND = offerOfSound("abcd", "p".repeat(24), Array(32).fill("AB").join(":"));

export class Door {
  #out = createSocket("udp4");
  #in = createSocket("udp4");
  #client;
  #port;
  #checked = false;
  #timer;
  /** Datagrams of DTLS in either direction. */
  heard = 0;
  forwarded = 0;

  /** Publishes sound in `room` with a certificate of this fingerprint; the door's `port` then leads to the server's DTLS. */
  static async open(server, identity, room, fingerprint) {
    const door = new Door();
    const [ufrag, pwd] = [randomBytes(4).toString("hex"), randomBytes(16).toString("hex")];
    const offer = offerOfSound(ufrag, pwd, fingerprint);
    door.headers = { authorization: `Bearer ${await server.token(identity, room)}` };
    const headers = { ...door.headers, "content-type": "application/sdp" };
    const response = await fetch(`${server.http}/whip/v1`, { method: "POST", headers, body: offer });
    const answer = await response.text();
    if (response.status !== 201) throw new Error(`${response.status} ${answer}`);
    door.resource = new URL(response.headers.get("location"), server.http).href;
    const said = (name) => new RegExp(`a=${name}:(\\S+)`).exec(answer)[1];
    door.#begin({ ufrag, pwd }, { ufrag: said("ice-ufrag"), pwd: said("ice-pwd") }, server.udpPort);
    await until("the server to answer a connectivity check", () => door.#checked);
    await new Promise((ready) => door.#in.bind(0, "127.0.0.1", ready));
    door.port = door.#in.address().port;
    return door;
  }

  #begin(ours, theirs, port) {
    this.#port = port;
    const send = (bytes) => this.#out.send(bytes, port, "127.0.0.1");
    const check = () => {
      const [priority, controlling] = [Buffer.from([0x6e, 0, 0x1e, 0xff]), randomBytes(8)];
      const attributes = [attribute(6, Buffer.from(`${theirs.ufrag}:${ours.ufrag}`)), attribute(0x24, priority), attribute(0x802a, controlling), attribute(0x25, Buffer.alloc(0))];
      send(message(BINDING_REQUEST, randomBytes(12), attributes, theirs.pwd));
    };
    this.#out.on("message", (bytes) => {
      if (bytes[0] > 3) {
        this.heard += 1;
        if (this.#client) this.#in.send(bytes, this.#client.port, this.#client.address);
        return;
      }
      this.#checked ||= bytes.readUInt16BE(0) === BINDING_SUCCESS;
      if (bytes.readUInt16BE(0) === BINDING_REQUEST) {
        const { port: own } = this.#out.address();
        const address = Buffer.from([0, 1, (own >> 8) ^ 0x21, (own & 255) ^ 0x12, 127 ^ 0x21, 0x12, 0xa4, 1 ^ 0x42]);
        send(message(BINDING_SUCCESS, bytes.subarray(8, 20), [attribute(0x20, address)], ours.pwd));
      }
    });
    this.#in.on("message", (bytes, from) => {
      this.#client = from;
      this.forwarded += 1;
      send(bytes);
    });
    check();
    this.#timer = setInterval(check, CHECK_MS);
  }

  /** A datagram to the server, from the address that the check was from. */
  async send(bytes) {
    await new Promise((sent) => this.#out.send(bytes, this.#port, "127.0.0.1", sent));
  }

  close() {
    clearInterval(this.#timer);
    this.#out.close();
    this.#in.close();
  }
}

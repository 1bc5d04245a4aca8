/** Somebody who runs LiveKit's SDK for Node (native code, real libwebrtc), in the process of the test itself. */

import { AudioFrame, AudioSource, AudioStream, LocalAudioTrack, Room, RoomEvent, RpcError, TrackKind, TrackPublishOptions, TrackSource } from "@livekit/rtc-node";
import { until } from "./until.js";

const RATE = 48_000;
/** Samples of 10 ms. */
const FRAME = RATE / 100;
const TOPIC = "lk.chat";
const BYTES = "bytes";

/** Adds up what the other clients of these tests add up. */
export const sum = (bytes) => bytes.reduce((total, byte) => (Math.imul(total, 31) + byte) >>> 0, 7);

export class NodeParticipant {
  chats = [];
  streams = [];
  /** How loud each track was lately, from 0 to 1. */
  heard = {};
  #room = new Room();
  #tone;

  constructor(identity) {
    this.identity = identity;
  }

  /** With a `secret`, media and data are encrypted end to end. `kind` is that of the token. */
  async join(server, room, { secret, kind } = {}) {
    this.#room.on(RoomEvent.TrackSubscribed, (track, publication, who) => {
      if (track.kind === TrackKind.KIND_AUDIO) this.#listen(track, who.identity);
    });
    this.#room.on(RoomEvent.Disconnected, (reason) => (this.ended = reason));
    this.receive(BYTES, (bytes, from) => this.streams.push({ from, size: bytes.length, sum: sum(bytes) }));
    this.#room.registerTextStreamHandler(TOPIC, async (reader, { identity }) => {
      this.chats.push({ from: identity, text: await reader.readAll() });
    });
    const encryption = secret && { keyProviderOptions: { sharedKey: new TextEncoder().encode(secret) } };
    await this.#room.connect(server.ws, await server.token(this.identity, room, { kind }), {
      autoSubscribe: true,
      dynacast: true,
      ...(encryption ? { encryption } : {}),
    });
    return this;
  }

  get others() {
    return [...this.#room.remoteParticipants.keys()];
  }

  /** Streams of bytes of a topic, whole. */
  receive(topic, take) {
    this.#room.registerByteStreamHandler(topic, async (reader, { identity }) => {
      take(Buffer.concat(await reader.readAll()), identity, reader.info);
    });
  }

  answerCalls() {
    const me = this.#room.localParticipant;
    me.registerRpcMethod("shout", async ({ payload }) => payload.toUpperCase());
    me.registerRpcMethod("fail", async () => {
      throw new RpcError(4711, "not today", "because");
    });
  }

  async callMethod(to, method, payload) {
    try {
      return { answer: await this.#room.localParticipant.performRpc({ destinationIdentity: to, method, payload }) };
    } catch (error) {
      return { code: error.code, message: error.message, data: error.data };
    }
  }

  /** A stream of bytes; what it sums up to. */
  async sendStream(size, to = []) {
    const payload = new Uint8Array(size);
    for (let at = 0; at < size; at += 1) payload[at] = (at * 31 + (at >> 8)) & 255;
    const writer = await this.#room.localParticipant.streamBytes({ name: "bytes", topic: BYTES, totalSize: size, destinationIdentities: to });
    await writer.write(payload);
    await writer.close();
    return sum(payload);
  }

  say(text, to = []) {
    return this.#room.localParticipant.sendText(text, { topic: TOPIC, destinationIdentities: to });
  }

  async publishTone(frequency) {
    const source = new AudioSource(RATE, 1);
    const options = new TrackPublishOptions({ source: TrackSource.SOURCE_MICROPHONE });
    await this.#room.localParticipant.publishTrack(LocalAudioTrack.createAudioTrack("tone", source), options);
    this.#tone = source;
    let at = 0;
    const more = () => Int16Array.from({ length: FRAME }, () => 8000 * Math.sin((2 * Math.PI * frequency * at++) / RATE));
    const play = async () => {
      while (this.#tone === source) await source.captureFrame(new AudioFrame(more(), RATE, 1, FRAME));
    };
    // Its end is that of the room.
    play().catch(() => {});
  }

  async #listen(track, from) {
    for await (const { data } of new AudioStream(track, { sampleRate: RATE, numChannels: 1 })) {
      const power = data.reduce((total, sample) => total + sample * sample, 0) / data.length;
      this.heard[from] = Math.sqrt(power) / 32768;
    }
  }

  async notices(what, probe, options) {
    return until(`${this.identity} to notice ${what}`, () => {
      if (probe(this)) return this;
      const { chats, streams, heard, others, ended } = this;
      throw new Error(JSON.stringify({ chats, streams, heard, others, ended }).slice(0, 1500));
    }, options);
  }

  async close() {
    this.#tone = undefined;
    await this.#room.disconnect();
  }
}

/**
 * What a test says to a browser: `window.client`. Runs livekit-client as an application would, and answers questions
 * with plain data. Everything that is asked about others is asked by identity and source.
 */
import { DataPacket, MetricsBatch } from "@livekit/protocol";
import { DisconnectReason, ExternalE2EEKeyProvider, ParticipantKind, Room, RoomEvent, RpcError, Track, VideoQuality, setLogLevel } from "livekit-client";

setLogLevel("warn");

const TOPIC = "lk.chat";
const COUNT = "count";
const BYTES = "bytes";
const SOURCES = { camera: Track.Source.Camera, microphone: Track.Source.Microphone, screen: Track.Source.ScreenShare };

let room;
let chats = [];
/** What came in streams of bytes, and in data tracks. */
let streams = [];
let frames = {};
let happened = [];
let ended;
/** Which of several people on one machine this is. */
let seat = 0;

/**
 * With a `secret`, media and data are encrypted end to end; with `trailers`, what stands behind pictures is read and
 * written. `simulating` is a scenario from the beginning.
 */
async function join({ url, token, options = {}, connect = {}, secret, trailers, simulating, seat: mine = 0 }) {
  const keyProvider = secret && new ExternalE2EEKeyProvider();
  await keyProvider?.setKey(secret);
  room = new Room({
    ...options,
    ...(keyProvider && { encryption: { keyProvider, worker: new Worker("/e2ee.js") } }),
    ...(trailers && { frameMetadata: { worker: new Worker("/trailers.js") } }),
  });
  if (simulating) await room.simulateScenario(simulating);
  chats = [];
  counts = {};
  streams = [];
  frames = {};
  happened = [];
  ended = undefined;
  seat = mine;
  const note = (what) => (detail) => happened.push({ what, detail });
  room
    .on(RoomEvent.ParticipantConnected, (who) => note("joined")(who.identity))
    .on(RoomEvent.ParticipantDisconnected, (who) => note("left")(who.identity))
    .on(RoomEvent.TrackMuted, (publication, who) => note("muted")(`${who.identity}/${publication.source}`))
    .on(RoomEvent.TrackUnmuted, (publication, who) => note("unmuted")(`${who.identity}/${publication.source}`))
    .on(RoomEvent.TrackUnpublished, (publication, who) => note("unpublished")(`${who.identity}/${publication.source}`))
    .on(RoomEvent.Moved, note("moved"))
    .on(RoomEvent.Reconnecting, note("reconnecting"))
    .on(RoomEvent.SignalReconnecting, note("signal reconnecting"))
    .on(RoomEvent.Reconnected, note("reconnected"))
    .on(RoomEvent.TrackStreamStateChanged, (publication, state, who) => note("stream")(`${who.identity}/${publication.source} ${state}`))
    .on(RoomEvent.ConnectionQualityChanged, (quality, who) => note("quality")(`${who.identity} ${quality}`))
    .on(RoomEvent.TrackSubscriptionFailed, (sid, who, reason) => note("refused")(`${who.identity} ${reason}`))
    .on(RoomEvent.LocalTrackSubscribed, (publication) => note("taken")(publication.source))
    .on(RoomEvent.ActiveSpeakersChanged, (speakers) => note("speakers")(speakers.map((who) => who.identity)))
    .on(RoomEvent.TranscriptionReceived, (segments, who) => note("transcribed")(`${who?.identity}: ${segments.map(({ text }) => text)}`))
    .on(RoomEvent.MetricsReceived, (_, who) => note("measured")(who?.identity))
    .on(RoomEvent.DataReceived, (payload, who, kind, topic) => {
      const text = new TextDecoder().decode(payload);
      if (topic === COUNT) (counts[who?.identity] ??= []).push(Number(text));
      else chats.push({ from: who?.identity, text, topic, kind });
    })
    .on(RoomEvent.Disconnected, (reason) => (ended = DisconnectReason[reason ?? 0]))
    .on(RoomEvent.TrackSubscribed, (track, publication, who) => {
      const element = track.attach();
      element.id = `${who.identity}/${publication.source}`;
      element.muted = false;
      document.body.append(element);
    })
    // Its element is detached by then; the first of that name is the older one.
    .on(RoomEvent.TrackUnsubscribed, (_, publication, who) => document.getElementById(`${who.identity}/${publication.source}`)?.remove());
  room.on(RoomEvent.DataTrackPublished, (track) => readFrames(track).catch((error) => note("data track failed")(String(error))));
  room.registerByteStreamHandler(BYTES, async (reader, from) => {
    const bytes = (await reader.readAll()).flatMap((chunk) => [...chunk]);
    streams.push({ from: from.identity, size: bytes.length, sum: sum(bytes) });
  });
  room.registerTextStreamHandler(TOPIC, async (reader, from) => {
    chats.push({ from: from.identity, text: await reader.readAll(), topic: TOPIC });
  });
  if (secret) await room.setE2EEEnabled(true);
  await room.connect(url, token, connect);
  return room.localParticipant.identity;
}

/** A picture whose colour names who sent it, moving a little so that an encoder has something to do. */
function paintedTrack({ width, height, color, rate }) {
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width, height });
  const brush = canvas.getContext("2d");
  let at = 0;
  const speckle = () => {
    // Squares of random colours: more than a layer's bits can say.
    const side = 16;
    for (let y = 0; y < height; y += side)
      for (let x = 0; x < width; x += side) {
        brush.fillStyle = `#${Math.floor(Math.random() * 0xffffff).toString(16).padStart(6, "0")}`;
        brush.fillRect(x, y, side, side);
      }
  };
  const paint = () => {
    if (color === "noise") return speckle();
    brush.fillStyle = color;
    brush.fillRect(0, 0, width, height);
    brush.fillStyle = "#000";
    brush.fillRect((at += 7) % width, 0, 12, 12);
  };
  paint();
  setInterval(paint, 1000 / rate);
  return canvas.captureStream(rate).getVideoTracks()[0];
}

async function publishPainted({ source, width, height, color, rate = 15, ...options }) {
  const track = paintedTrack({ width, height, color, rate });
  await room.localParticipant.publishTrack(track, { source: SOURCES[source], name: source, ...options });
}

/**
 * A tone that never pauses, or with a `gain` of 0 silence; `pan` puts it on the left (-1) or the right. The made-up
 * microphone only beeps, too shortly to count as speech.
 */
async function publishTone(frequency, { gain = 0.5, pan, ...options } = {}) {
  const audio = new AudioContext();
  await audio.resume();
  const tone = new OscillatorNode(audio, { frequency });
  const out = audio.createMediaStreamDestination();
  const loud = tone.connect(new GainNode(audio, { gain }));
  (pan === undefined ? loud : loud.connect(new StereoPannerNode(audio, { pan }))).connect(out);
  tone.start();
  await room.localParticipant.publishTrack(out.stream.getAudioTracks()[0], { source: SOURCES.microphone, dtx: false, ...options });
}

/** Chromium's second made-up camera gives depth, which nothing encodes, and its third JPEGs. */
const STRANGE_CAMERAS = /fake_device_[12]$/;

/** Everyone has a camera of their own, as far as there are several. */
async function camera(on, resolution) {
  const devices = await navigator.mediaDevices.enumerateDevices();
  const cameras = devices.filter(({ kind, label }) => kind === "videoinput" && !STRANGE_CAMERAS.test(label));
  // Without an id there is but one, or the browser does not say before it is asked for one.
  const deviceId = cameras[seat % cameras.length]?.deviceId || undefined;
  await room.localParticipant.setCameraEnabled(on, resolution || deviceId ? { resolution, deviceId } : undefined);
}

/** What is said until an agent is there is kept for it. livekit-client 2.23 looks for the wish among the options of capture. */
const speakBeforehand = () => room.localParticipant.setMicrophoneEnabled(true, { preConnectBuffer: true }, { preConnectBuffer: true });

const microphone = (on) => room.localParticipant.setMicrophoneEnabled(on);

async function unpublish(source) {
  const { track } = room.localParticipant.getTrackPublication(SOURCES[source]);
  await room.localParticipant.unpublishTrack(track);
}

const say = (text, to) => room.localParticipant.sendText(text, { topic: TOPIC, ...(to ? { destinationIdentities: to } : {}) });

async function sendBytes(text, { reliable, topic, to }) {
  await room.localParticipant.publishData(new TextEncoder().encode(text), {
    reliable,
    topic,
    ...(to ? { destinationIdentities: to } : {}),
  });
}

const found = (identity, source) => room.remoteParticipants.get(identity)?.getTrackPublication(SOURCES[source]);

const askQuality = (identity, source, quality) => found(identity, source).setVideoQuality(VideoQuality[quality]);
const askFps = (identity, source, fps) => found(identity, source).setVideoFPS(fps);
const subscribe = (identity, source, wanted) => found(identity, source).setSubscribed(wanted);

/** Everything about the room that is not media. */
function look() {
  return {
    state: room?.state,
    ended,
    single: room?.engine?.pcManager?.mode,
    chats,
    happened,
    streams,
    frames,
    others: Object.fromEntries(
      [...(room?.remoteParticipants.values() ?? [])].map((who) => [
        who.identity,
        {
          name: who.name,
          tracks: Object.fromEntries(
            [...who.trackPublications.values()].map((publication) => [
              publication.source,
              { sid: publication.trackSid, subscribed: publication.isSubscribed, muted: publication.isMuted },
            ]),
          ),
        },
      ]),
    ),
  };
}

/** What arrived of one track, out of the browser's own statistics. */
async function received(identity, source) {
  const report = await found(identity, source)?.track?.getRTCStatsReport();
  if (!report) return undefined;
  const all = [...report.values()];
  const inbound = all.find((one) => one.type === "inbound-rtp") ?? {};
  const transport = all.find((one) => one.type === "transport") ?? {};
  const codec = all.find((one) => one.id === inbound.codecId) ?? {};
  const pair = all.find((one) => one.id === transport.selectedCandidatePairId) ?? {};
  const [here, there] = [pair.localCandidateId, pair.remoteCandidateId].map((id) => all.find((one) => one.id === id) ?? {});
  return {
    frames: inbound.framesDecoded ?? 0,
    keyFrames: inbound.keyFramesDecoded ?? 0,
    width: inbound.frameWidth ?? 0,
    height: inbound.frameHeight ?? 0,
    freezes: inbound.freezeCount ?? 0,
    packets: inbound.packetsReceived ?? 0,
    lost: inbound.packetsLost ?? 0,
    energy: inbound.totalAudioEnergy ?? 0,
    discarded: inbound.packetsDiscarded ?? 0,
    /** Seconds that the jitter buffer held a frame, on average. */
    held: (inbound.jitterBufferDelay ?? 0) / (inbound.jitterBufferEmittedCount || 1),
    codec: codec.mimeType,
    cipher: transport.srtpCipher,
    /** What it travels over, and to which port of the server. */
    way: { protocol: here.protocol, relay: here.relayProtocol, kind: here.candidateType, to: there.port, at: there.address },
  };
}

/** How loud somebody's sound is on the left and on the right. */
async function sides(identity) {
  const audio = new AudioContext();
  await audio.resume();
  const sound = new MediaStreamAudioSourceNode(audio, { mediaStream: new MediaStream([found(identity, "microphone").track.mediaStreamTrack]) });
  const split = sound.connect(new ChannelSplitterNode(audio, { numberOfOutputs: 2 }));
  const ears = [0, 1].map((side) => {
    const ear = new AnalyserNode(audio);
    split.connect(ear, side);
    return ear;
  });
  await new Promise((heard) => setTimeout(heard, 500));
  const loudness = ears.map((ear) => {
    const samples = new Float32Array(ear.fftSize);
    ear.getFloatTimeDomainData(samples);
    return Math.hypot(...samples) / Math.sqrt(samples.length);
  });
  await audio.close();
  return loudness;
}

/** The names of the streams that somebody's tracks came in. */
const streamNames = (identity) =>
  Object.fromEntries([...room.remoteParticipants.get(identity).trackPublications.values()].map(({ source, track }) => [source, track?.mediaStream?.id]));

/** What is shown of a track is so wide from now on; 0 is hidden. */
function resize(identity, source, width) {
  const { style } = document.getElementById(`${identity}/${SOURCES[source]}`);
  Object.assign(style, { display: width ? "block" : "none", width: `${width}px`, height: `${(width * 9) / 16}px` });
}

/** The average colour of the middle of what is shown of a track. */
function colorOf(identity, source) {
  const element = document.getElementById(`${identity}/${SOURCES[source]}`);
  if (!element?.videoWidth) return undefined;
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 8;
  const brush = canvas.getContext("2d", { willReadFrequently: true });
  const { videoWidth: width, videoHeight: height } = element;
  brush.drawImage(element, width / 4, height / 4, width / 2, height / 2, 0, 0, 8, 8);
  const bytes = brush.getImageData(0, 0, 8, 8).data;
  const sum = [0, 0, 0];
  for (let i = 0; i < bytes.length; i += 4) for (let c = 0; c < 3; c += 1) sum[c] += bytes[i + c];
  return sum.map((total) => Math.round(total / 64));
}

/** What its publisher has put behind the picture that is shown of a track: when it was taken, and its number. */
async function trailer(identity, source) {
  const { track } = found(identity, source);
  const { rtpTimestamp } = track.receiver.getSynchronizationSources()[0];
  const { userTimestamp, frameId } = track.lookupFrameMetadata({ rtpTimestamp }) ?? {};
  return frameId && { taken: Number(userTimestamp) / 1000, frameId };
}

/** Local statistics: which layers leave. */
async function sent(source) {
  const report = await room.localParticipant.getTrackPublication(SOURCES[source])?.track?.getRTCStatsReport();
  const all = [...(report?.values() ?? [])];
  return all
    .filter((one) => one.type === "outbound-rtp")
    .map(({ rid, frameWidth, frameHeight, framesEncoded, packetsSent, scalabilityMode, codecId }) => ({
      rid, frameWidth, frameHeight, framesEncoded, packetsSent, scalabilityMode, codec: all.find((one) => one.id === codecId)?.mimeType,
    }));
}

/** Bytes that are no packet, on the reliable channel, around the SDK. */
async function sendRaw(bytes, times) {
  const { channel } = await reliableChannel();
  for (let n = 0; n < times; n += 1) channel.send(new Uint8Array(bytes).fill(0xff));
}

/** A packet that SDKs send by themselves at most. */
const sendMetrics = () => room.engine.sendDataPacket(new DataPacket({ value: { case: "metrics", value: new MetricsBatch({ timestampMs: 1n, strData: ["rtt"] }) } }), 0);

async function reliableChannel() {
  await room.engine.ensurePublisherConnected(0);
  return { channel: room.engine.dataChannelForKind?.(0) ?? room.engine.reliableDC };
}

/** How long a picture stands still at most, from now on. */
let standing;
function watch(identity, source) {
  standing = { longest: 0, frames: -1, since: performance.now() };
  standing.timer = setInterval(async () => {
    const { frames } = (await received(identity, source)) ?? { frames: standing.frames };
    const now = performance.now();
    if (frames !== standing.frames) Object.assign(standing, { frames, since: now });
    standing.longest = Math.max(standing.longest, now - standing.since);
  }, 100);
}

function watched() {
  clearInterval(standing.timer);
  return { longestStill: Math.round(standing.longest) };
}

/** From now on connections know only those relays whose address begins so, and use nothing else. */
function relayOnly(prefix, suffix) {
  const { RTCPeerConnection } = window;
  const fits = (url) => url.startsWith(prefix) && url.endsWith(suffix);
  const through = (config = {}) => {
    const iceServers = (config.iceServers ?? []).map((server) => ({ ...server, urls: [server.urls].flat().filter(fits) }));
    return { ...config, iceServers: iceServers.filter(({ urls }) => urls.length > 0), iceTransportPolicy: "relay" };
  };
  window.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(config) {
      super(through(config));
    }
    setConfiguration(config) {
      super.setConfiguration(through(config));
    }
  };
}

/** From now on connections are told of the server's IPv6 addresses alone. */
function ipv6Only() {
  const original = RTCPeerConnection.prototype.setRemoteDescription;
  RTCPeerConnection.prototype.setRemoteDescription = function ({ type, sdp }) {
    const lines = sdp.split("\r\n").filter((line) => !/^a=candidate:\S+ \d+ \S+ \d+ \d+\.\d+\.\d+\.\d+ /.test(line));
    return original.call(this, { type, sdp: lines.join("\r\n") });
  };
}

/** From now on connections say, in offers and answers, nothing of a video codec. */
function lacks(codec) {
  const strip = (sdp) => {
    const gone = [...sdp.matchAll(new RegExp(`^a=rtpmap:(\\d+) ${codec}/`, "gim"))].map(([, pt]) => pt);
    const repairs = [...sdp.matchAll(/^a=fmtp:(\d+) apt=(\d+)/gm)].filter(([, , of]) => gone.includes(of)).map(([, pt]) => pt);
    const all = [...gone, ...repairs];
    const lines = sdp.split("\r\n").filter((line) => !all.some((pt) => new RegExp(`^a=(rtpmap|fmtp|rtcp-fb):${pt} `).test(line)));
    return lines.map((line) => (line.startsWith("m=video") ? line.split(" ").filter((part, at) => at < 3 || !all.includes(part)).join(" ") : line)).join("\r\n");
  };
  for (const make of ["createOffer", "createAnswer"]) {
    const original = RTCPeerConnection.prototype[make];
    RTCPeerConnection.prototype[make] = async function (...given) {
      const { type, sdp } = await original.apply(this, given);
      return { type, sdp: strip(sdp) };
    };
  }
}

/** From now on connections know the server at another UDP port alone. */
function throughPort(port) {
  const original = RTCPeerConnection.prototype.setRemoteDescription;
  const rewrite = (line) => line.replace(/^(a=candidate:\S+ \d+ udp \d+) \S+ \d+ /i, `$1 127.0.0.1 ${port} `);
  const keep = (line) => !/^a=candidate:/.test(line) || (/ udp /i.test(line) && !/:[0-9a-f]*:/i.test(line.split(" ")[4]));
  RTCPeerConnection.prototype.setRemoteDescription = function ({ type, sdp }) {
    const lines = sdp.split("\r\n").filter(keep).map(rewrite);
    return original.call(this, { type, sdp: [...new Set(lines.filter((l) => l.startsWith("a=candidate:")))].length ? dedupe(lines).join("\r\n") : sdp });
  };
  RTCPeerConnection.prototype.addIceCandidate = async function () {};
}

/** Candidates that have become one are named once in each section. */
function dedupe(lines) {
  let section = 0;
  const seen = new Set();
  return lines.filter((line) => {
    if (line.startsWith("m=")) section += 1;
    if (!line.startsWith("a=candidate:")) return true;
    const name = `${section}${line.split(" ").slice(2, 6).join(" ")}`;
    return !seen.has(name) && seen.add(name);
  });
}

/** The methods `shout` and `fail`, for whoever calls them. */
function answerCalls() {
  room.registerRpcMethod("shout", async ({ payload }) => payload.toUpperCase());
  room.registerRpcMethod("fail", async () => {
    throw new RpcError(4711, "not today", "because");
  });
}

/** What a call answers, or the code of its error. */
async function callMethod(identity, method, payload) {
  try {
    return { answer: await room.localParticipant.performRpc({ destinationIdentity: identity, method, payload }) };
  } catch (error) {
    return { code: error.code, message: error.message, data: error.data };
  }
}

/** Bytes that a sum tells apart from any of their permutations. */
const pattern = (size) => Uint8Array.from({ length: size }, (_, at) => (at * 31 + (at >> 8)) & 255);
const sum = (bytes) => bytes.reduce((total, byte) => (Math.imul(total, 31) + byte) >>> 0, 7);

/** A stream of bytes; what it sums up to. */
async function sendStream(size, to) {
  const bytes = pattern(size);
  const writer = await room.localParticipant.streamBytes({ topic: BYTES, ...(to ? { destinationIdentities: to } : {}) });
  for (let at = 0; at < size; at += 60_000) await writer.write(bytes.subarray(at, at + 60_000));
  await writer.close();
  return sum(bytes);
}

let dataTrack;
async function publishDataTrack(name) {
  dataTrack = await room.localParticipant.publishDataTrack({ name });
}

/** Frames of some size, each beginning with its number, as fast as `pause` lets them. */
async function pushFrames(count, size, pause) {
  for (let number = 1; number <= count; number += 1) {
    const payload = new Uint8Array(size).fill(number & 255);
    new DataView(payload.buffer).setUint32(0, number);
    await dataTrack.tryPush({ payload });
    await new Promise((ready) => setTimeout(ready, pause));
  }
}

const unpublishDataTrack = () => dataTrack.unpublish();

async function readFrames(track) {
  const key = `${track.publisherIdentity}/${track.info.name}`;
  const mine = (frames[key] = { numbers: [], broken: 0, ended: false });
  for await (const { payload } of track.subscribe()) {
    const number = new DataView(payload.buffer, payload.byteOffset).getUint32(0);
    mine.numbers.push(number);
    if (payload.subarray(4).some((byte) => byte !== (number & 255))) mine.broken += 1;
  }
  mine.ended = true;
}

const iceServers = () => room.engine.latestJoinResponse.iceServers.map(({ urls, username, credential }) => ({ urls, username, credential }));

/** Change what the others see of oneself; the number of the reason if the server refuses. */
async function present({ name, metadata, attributes }) {
  try {
    if (name !== undefined) await room.localParticipant.setName(name);
    if (metadata !== undefined) await room.localParticipant.setMetadata(metadata);
    if (attributes !== undefined) await room.localParticipant.setAttributes(attributes);
    return "done";
  } catch (error) {
    return error.reason ?? String(error);
  }
}

/** Who may have one's tracks: everybody, or only those named. */
const admit = (everyone, identities = []) =>
  room.localParticipant.setTrackSubscriptionPermissions(
    everyone,
    identities.map((participantIdentity) => ({ participantIdentity, allowAll: true })),
  );

/** What one is and may, as the client knows it, and what it knows of the room and the others. */
const whatIAm = () => ({
  sid: room.localParticipant.sid,
  room: room.name,
  name: room.localParticipant.name,
  metadata: room.localParticipant.metadata,
  attributes: room.localParticipant.attributes,
  permissions: room.localParticipant.permissions?.toJson({ emitDefaultValues: true }),
  published: [...room.localParticipant.trackPublications.values()].map(({ source }) => source),
  roomMetadata: room.metadata,
  recording: room.isRecording,
  others: Object.fromEntries(
    [...room.remoteParticipants.values()].map((who) => [who.identity, { name: who.name, metadata: who.metadata, attributes: who.attributes, kind: ParticipantKind[who.kind] }]),
  ),
});

const leave = () => room.disconnect();
const simulate = (scenario, argument) => room.simulateScenario(scenario, argument);
const ownSid = () => room.localParticipant.sid;
const roomName = () => room.name;

/** Numbers from 1 upwards on the reliable channel, one each `pause` ms, until told to stop. */
let counting;
let counts = {};
function startCounting(pause) {
  const mine = { last: 0, stop: false };
  mine.done = (async () => {
    while (!mine.stop) {
      mine.last += 1;
      await room.localParticipant.publishData(new TextEncoder().encode(String(mine.last)), { reliable: true, topic: COUNT });
      await new Promise((ready) => setTimeout(ready, pause));
    }
  })();
  counting = mine;
}

/** How far it got. */
async function stopCounting() {
  counting.stop = true;
  await counting.done;
  return counting.last;
}

const counted = (identity) => counts[identity] ?? [];

/** The signal connection ends, and for a while no other one opens. */
async function goDeaf(milliseconds) {
  const { WebSocket } = window;
  window.WebSocket = class extends WebSocket {
    constructor() {
      super("ws://127.0.0.1:9");
    }
  };
  setTimeout(() => (window.WebSocket = WebSocket), milliseconds);
  await room.simulateScenario("signal-reconnect");
}

/** For whoever looks into a test that failed: `page.evaluate(() => window.client.room())`. */
const inside = () => room;

window.client = {
  room: inside,
  join, leave, present, admit, whatIAm, camera, microphone, speakBeforehand, publishPainted, publishTone, unpublish, say, sendBytes, askQuality, askFps, sides, streamNames, resize, subscribe,
  look, received, colorOf, trailer, sent, simulate, lacks, throughPort, relayOnly, ipv6Only, iceServers,
  sendRaw, sendMetrics, watch, watched, ownSid, roomName, answerCalls, callMethod, sendStream, publishDataTrack, pushFrames, unpublishDataTrack,
  startCounting, stopCounting, counted, goDeaf,
};

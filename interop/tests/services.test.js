/**
 * Back ends that others wrote, beyond rooms: agents dispatched to a worker, every method of the services whose workers
 * are not there, and webhooks of everything that can happen in a room.
 */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { after, before, it } from "node:test";
import { fileURLToPath } from "node:url";
import { JobStatus, JobType, ServerMessage, StartEgressRequest, TrackSource, TrackType, WorkerMessage } from "@livekit/protocol";
import {
  AccessToken, AgentDispatchClient, EgressClient, EncodedFileOutput, IngressClient, IngressInput, RoomServiceClient, SipClient, WebhookReceiver,
} from "livekit-server-sdk";
import WebSocket from "ws";
import { Hooks } from "../harness/hooks.js";
import { PythonParticipant } from "../harness/python.js";
import { Server } from "../harness/server.js";
import { Signal } from "../harness/signal.js";
import { freshRoom } from "../harness/suite.js";
import { until } from "../harness/until.js";

const here = fileURLToPath(new URL("..", import.meta.url));
const PYTHON = process.env.MILLRACE_PYTHON ?? join(here, ".venv/bin/python");

let server, hooks, rooms, dispatch, stranger;

before(async () => {
  hooks = await Hooks.listen();
  server = await Server.start("services", `webhook: { api_key: devkey, urls: ["${hooks.url}"] }\nroom: { departure_timeout: 1 }`);
  const { key, secret } = server.keys;
  rooms = new RoomServiceClient(server.http, key, secret);
  dispatch = new AgentDispatchClient(server.http, key, secret);
  stranger = new AgentDispatchClient(server.http, key, "another secret");
});
after(async () => {
  await server?.stop();
  hooks?.close();
});

/** What livekit-api in Python says. */
function python(...args) {
  const { key, secret } = server.keys;
  return new Promise((done, failed) => {
    execFile(PYTHON, [join(here, "python/server_api.py"), args[0], server.http, key, secret, ...args.slice(1)], (error, out, err) =>
      error ? failed(new Error(`${error.message}\n${err}`)) : done(JSON.parse(out)),
    );
  });
}

const refused = (status, code) => (error) => {
  assert.deepEqual([error.status, error.code], [status, code], error.message);
  return true;
};

/** A worker that takes every job there is and does nothing. */
class Worker {
  static async register(agentName) {
    const token = new AccessToken(server.keys.key, server.keys.secret);
    token.addGrant({ agent: true });
    const worker = new Worker();
    worker.jobs = [];
    worker.ended = [];
    worker.socket = new WebSocket(`${server.ws}/agent`, { headers: { authorization: `Bearer ${await token.toJwt()}` } });
    worker.socket.binaryType = "nodebuffer";
    worker.socket.on("message", (data) => worker.hear(ServerMessage.fromBinary(data).message));
    await new Promise((ready, failed) => worker.socket.once("open", ready).once("error", failed));
    worker.say("register", { agentName, type: JobType.JT_ROOM });
    await until("the worker to be registered", () => worker.id);
    return worker;
  }

  say(kind, value) {
    this.socket.send(new WorkerMessage({ message: { case: kind, value } }).toBinary());
  }

  hear({ case: kind, value }) {
    if (kind === "register") this.id = value.workerId;
    if (kind === "availability") {
      const jobId = value.job.id;
      this.say("availability", { jobId, available: true, participantIdentity: `agent-${jobId}`, participantName: "Agent" });
    }
    if (kind === "assignment") {
      this.jobs.push(value.job);
      this.say("updateJob", { jobId: value.job.id, status: JobStatus.JS_RUNNING });
    }
    if (kind === "termination") this.ended.push(value.jobId);
  }
}

it("agents are dispatched, listed and sent away by both SDKs, and what makes no sense is refused", async () => {
  const room = freshRoom("dispatch");
  const worker = await Worker.register("helper");
  const made = await dispatch.createDispatch(room, "helper", { metadata: "by Node" });
  assert.deepEqual([made.agentName, made.room, made.metadata], ["helper", room, "by Node"]);
  await until("the job", () => worker.jobs.some(({ metadata }) => metadata === "by Node"));
  const listed = await dispatch.listDispatch(room);
  assert.deepEqual(listed.map(({ id }) => id), [made.id]);
  assert.equal((await dispatch.getDispatch(made.id, room)).id, made.id);
  assert.equal(await dispatch.getDispatch("AD_none", room), undefined);
  const got = await python("dispatch", room, "helper");
  assert.deepEqual([got.made, got.listed, got.found, got.unknown], [["helper", "by Python"], 2, true, null]);
  assert.deepEqual(got.refused, { "delete unknown": ["not_found", 404], "long metadata": ["invalid_argument", 400], stranger: ["unauthenticated", 401] });
  await dispatch.deleteDispatch(made.id, room);
  await until("the ends of both", () => worker.ended.length === 2);
  assert.deepEqual(await dispatch.listDispatch(room), []);
  await assert.rejects(dispatch.deleteDispatch(made.id, room), refused(404, "not_found"));
  await assert.rejects(dispatch.createDispatch("r".repeat(300), "helper"), refused(400, "invalid_argument"));
  await assert.rejects(dispatch.createDispatch(room, "helper", { metadata: "m".repeat(600_000) }), refused(400, "invalid_argument"));
  for (const ask of [() => stranger.createDispatch(room, "helper"), () => stranger.listDispatch(room), () => stranger.deleteDispatch(made.id, room)]) {
    await assert.rejects(ask(), refused(401, "unauthenticated"));
  }
  worker.socket.close();
  await rooms.deleteRoom(room);
});

it("every method of egress, ingress and SIP says that its worker is not there", async () => {
  const { key, secret } = server.keys;
  const [egress, ingress, sip] = [EgressClient, IngressClient, SipClient].map((Client) => new Client(server.http, key, secret));
  const file = new EncodedFileOutput({ filepath: "/tmp/x.mp4" });
  const asked = {
    egress: [
      () => egress.startRoomCompositeEgress("r", { file }),
      () => egress.startWebEgress("https://example.org", { file }),
      () => egress.startParticipantEgress("r", "ann", { file }),
      () => egress.startTrackCompositeEgress("r", { file }, { audioTrackId: "TR_a" }),
      () => egress.startTrackEgress("r", "wss://example.org/track", "TR_a"),
      () => egress.startEgress(new StartEgressRequest({ roomName: "r" })),
      () => egress.updateLayout("EG_1", "grid"),
      () => egress.updateStream("EG_1", ["rtmp://example.org/a"]),
      () => egress.stopEgress("EG_1"),
    ],
    ingress: [
      () => ingress.createIngress(IngressInput.RTMP_INPUT, { name: "n", roomName: "r", participantIdentity: "i", participantName: "p" }),
      () => ingress.updateIngress("IN_1", { name: "n" }),
      () => ingress.listIngress({}),
      () => ingress.deleteIngress("IN_1"),
    ],
    sip: [
      () => sip.createSipTrunk("+15550100", {}),
      () => sip.createSipInboundTrunk("n", ["+15550100"]),
      () => sip.createSipOutboundTrunk("n", "sip.example.org", ["+15550100"]),
      () => sip.listSipTrunk(),
      () => sip.listSipInboundTrunk(),
      () => sip.listSipOutboundTrunk(),
      () => sip.deleteSipTrunk("ST_1"),
      () => sip.updateSipInboundTrunk("ST_1", { name: "n" }),
      () => sip.updateSipInboundTrunkFields("ST_1", { name: "n" }),
      () => sip.updateSipOutboundTrunk("ST_1", { name: "n" }),
      () => sip.updateSipOutboundTrunkFields("ST_1", { name: "n" }),
      () => sip.createSipDispatchRule({ type: "direct", roomName: "r" }),
      () => sip.updateSipDispatchRule("SDR_1", { name: "n" }),
      () => sip.updateSipDispatchRuleFields("SDR_1", { name: "n" }),
      () => sip.listSipDispatchRule(),
      () => sip.deleteSipDispatchRule("SDR_1"),
      () => sip.createSipParticipant("ST_1", "+15550100", "r"),
      () => sip.transferSipParticipant("r", "ann", "tel:+15550101"),
    ],
  };
  for (const [service, calls] of Object.entries(asked)) {
    for (const [at, call] of calls.entries()) {
      await assert.rejects(call(), (error) => {
        assert.deepEqual([error.status, error.code], [500, "internal"], `${service} ${at}: ${error.message}`);
        assert.match(error.message, new RegExp(`^${service} not connected \\(redis required\\)`));
        return true;
      });
    }
  }
  assert.deepEqual(await egress.listEgress({ roomName: "r" }), []);
  const answers = await python("absent");
  assert.equal(answers.length, 29);
  for (const [method, code, status, message] of answers) {
    assert.deepEqual([code, status], ["internal", 500], method);
    assert.match(message, /not connected \(redis required\)/, method);
  }
});

it("webhooks tell of everything that can happen in a room, and the SDK's receiver takes each", async () => {
  const room = freshRoom("events");
  const worker = await Worker.register("noter");
  await rooms.createRoom({ name: room, emptyTimeout: 60, departureTimeout: 60, agents: [{ agentName: "noter" }] });
  await hooks.hears(room, "agent_job_started");
  // One who never gets as far as media, one who does, and publishes.
  const token = await server.token("bob", room);
  const bob = new Signal(`${server.ws}/rtc?access_token=${token}&protocol=16`);
  await bob.hears("join");
  bob.ask({ case: "addTrack", value: { cid: "mic", type: TrackType.AUDIO, source: TrackSource.MICROPHONE } });
  await bob.hears("trackPublished");
  bob.ask({ case: "leave", value: {} });
  await hooks.hears(room, "participant_connection_aborted");
  const ann = new PythonParticipant("ann");
  await ann.join(server, room);
  const track = await ann.tell("publish_tone", { frequency: 440 });
  await hooks.hears(room, "track_published");
  await rooms.removeParticipant(room, "ann");
  await hooks.hears(room, "participant_left");
  await rooms.deleteRoom(room);
  const events = await hooks.hears(room, "room_finished");
  await hooks.hears(room, "agent_job_ended");
  await ann.close();
  worker.socket.close();

  const inOrder = events.filter((event) => !event.startsWith("agent_"));
  assert.deepEqual(inOrder, [
    "room_started", "participant_connection_aborted", "participant_joined", "track_published", "track_unpublished", "participant_left", "room_finished",
  ]);
  const receiver = new WebhookReceiver(server.keys.key, server.keys.secret);
  const told = hooks.about(room);
  const verified = await Promise.all(told.map(({ body, token: signed }) => receiver.receive(body, signed)));
  const of = (name) => verified.find(({ event }) => event === name);
  assert.equal(new Set(verified.map(({ id }) => id)).size, verified.length);
  assert.equal(of("participant_connection_aborted").participant.identity, "bob");
  for (const name of ["participant_joined", "track_published", "track_unpublished", "participant_left"]) {
    assert.equal(of(name).participant.identity, "ann", name);
  }
  for (const name of ["track_published", "track_unpublished"]) assert.equal(of(name).track.sid, track, name);
  // A token for another body, another key, none, and an old one.
  const [first, second] = told;
  await assert.rejects(receiver.receive(second.body, first.token), /checksum/);
  await assert.rejects(receiver.receive(first.body), /authorization header/);
  await assert.rejects(receiver.receive(first.body, `${first.token.slice(0, -4)}AAAA`));
  await assert.rejects(new WebhookReceiver("otherkey", server.keys.secret).receive(first.body, first.token));
});

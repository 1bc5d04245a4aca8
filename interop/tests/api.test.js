/** Back ends that others wrote: LiveKit's server SDKs for Node (JSON) and Python (protobuf), and their webhook receivers. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { after, afterEach, before, it } from "node:test";
import { fileURLToPath } from "node:url";
import { DataPacket_Kind } from "@livekit/protocol";
import { AccessToken, EgressClient, IngressClient, RoomServiceClient, SipClient, WebhookReceiver } from "livekit-server-sdk";
import { Hooks } from "../harness/hooks.js";
import { PythonParticipant } from "../harness/python.js";
import { Server } from "../harness/server.js";
import { freshRoom } from "../harness/suite.js";
import { until } from "../harness/until.js";

const here = fileURLToPath(new URL("..", import.meta.url));
const PYTHON = process.env.MILLRACE_PYTHON ?? join(here, ".venv/bin/python");

let server, hooks, rooms;
const people = [];

before(async () => {
  hooks = await Hooks.listen();
  const config = [
    `webhook: { api_key: devkey, urls: ["${hooks.url}"] }`,
    "room:",
    "  departure_timeout: 1",
    "  room_configurations: { small: { max_participants: 2, metadata: small } }",
  ];
  server = await Server.start("api", config.join("\n"));
  rooms = new RoomServiceClient(server.http, server.keys.key, server.keys.secret);
});
afterEach(() => Promise.all(people.splice(0).map((person) => person.close())));
after(async () => {
  await server?.stop();
  hooks?.close();
});

async function someone(identity, room) {
  const person = new PythonParticipant(identity);
  people.push(person);
  await person.join(server, room);
  return person;
}

/** What a Python back end said. */
function python(args, input = "") {
  return new Promise((done, failed) => {
    const child = execFile(PYTHON, [join(here, "python/server_api.py"), ...args], (error, out, err) =>
      error ? failed(new Error(`${error.message}\n${err}`)) : done(JSON.parse(out)),
    );
    child.stdin.end(input);
  });
}

const refused = (status, code) => (error) => {
  assert.deepEqual([error.status, error.code], [status, code], error.message);
  return true;
};

/** A method that no SDK has yet. */
async function call(method, body, grant) {
  const token = new AccessToken(server.keys.key, server.keys.secret);
  token.addGrant(grant);
  const answer = await fetch(`${server.http}/twirp/livekit.RoomService/${method}`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${await token.toJwt()}` },
    body: JSON.stringify(body),
  });
  return { status: answer.status, ...(await answer.json()) };
}

it("rooms through the Node SDK: made, listed, changed, deleted", async () => {
  const name = freshRoom("made");
  const made = await rooms.createRoom({ name, emptyTimeout: 60, maxParticipants: 4, metadata: "first" });
  assert.deepEqual([made.name, made.emptyTimeout, made.maxParticipants, made.metadata], [name, 60, 4, "first"]);
  assert.ok(made.creationTime > 1_600_000_000n && made.enabledCodecs.length > 3);
  assert.equal((await rooms.createRoom({ name, metadata: "second" })).sid, made.sid);
  assert.deepEqual((await rooms.listRooms([name, "nowhere"])).map((room) => room.name), [name]);
  assert.ok((await rooms.listRooms()).some((room) => room.name === name));
  assert.equal((await rooms.updateRoomMetadata(name, "third")).metadata, "third");
  await rooms.deleteRoom(name);
  assert.deepEqual(await rooms.listRooms([name]), []);
  await assert.rejects(rooms.deleteRoom(name), refused(404, "not_found"));
  await assert.rejects(rooms.updateRoomMetadata(name, "x"), refused(404, "not_found"));
  await assert.rejects(rooms.createRoom({ name: "" }), refused(400, "invalid_argument"));
  await assert.rejects(rooms.createRoom({ name: "r".repeat(300) }), refused(400, "invalid_argument"));
  const small = await rooms.createRoom({ name: freshRoom("small"), roomPreset: "small" });
  assert.deepEqual([small.maxParticipants, small.metadata], [2, "small"]);
});

it("participants through the Node SDK: seen, changed, silenced, called, sent away", async () => {
  const room = freshRoom("people");
  const [ann, bob] = [await someone("ann", room), await someone("bob", room)];
  const track = await ann.tell("publish_tone", { frequency: 440 });
  await ann.tell("answer_calls");
  await bob.notices("ann's tone", ({ heard }) => heard["ann/SOURCE_MICROPHONE"]?.energy > 0);
  assert.deepEqual((await rooms.listParticipants(room)).map((who) => who.identity).sort(), ["ann", "bob"]);
  assert.deepEqual(await rooms.listParticipants("nowhere"), []);
  assert.equal((await rooms.getParticipant(room, "ann")).tracks[0].sid, track);

  const changed = await rooms.updateParticipant(room, "ann", { name: "Ann", metadata: "m", attributes: { mood: "good" } });
  assert.deepEqual([changed.name, changed.metadata, changed.attributes], ["Ann", "m", { mood: "good" }]);
  await ann.notices("her new name", ({ name, attributes }) => name === "Ann" && attributes.mood === "good");
  await rooms.updateRoomMetadata(room, "told");
  await bob.notices("the room's metadata", ({ metadata }) => metadata === "told");

  await rooms.sendData(room, new TextEncoder().encode("to bob"), DataPacket_Kind.RELIABLE, { topic: "api", destinationIdentities: ["bob"] });
  await bob.notices("the packet", ({ chats }) => chats.some(({ from, text, topic }) => from === null && text === "to bob" && topic === "api"));
  assert.ok(!(await ann.look()).chats.some(({ text }) => text === "to bob"));

  assert.equal((await rooms.mutePublishedTrack(room, "ann", track, true)).muted, true);
  await assert.rejects(rooms.mutePublishedTrack(room, "ann", track, false), refused(412, "failed_precondition"));
  await assert.rejects(rooms.mutePublishedTrack(room, "ann", "TR_none", true), refused(404, "not_found"));
  await rooms.updateSubscriptions(room, "bob", [track], false);

  const grant = { roomAdmin: true, room };
  const shout = await call("PerformRpc", { room, destination_identity: "ann", method: "shout", payload: "hello" }, grant);
  assert.deepEqual(shout, { status: 200, payload: "HELLO" });
  const fail = await call("PerformRpc", { room, destinationIdentity: "ann", method: "fail" }, grant);
  assert.deepEqual([fail.status, fail.code, fail.msg, fail.meta], [409, "aborted", "not today", { rpc_code: "4711", rpc_data: "because" }]);
  const missing = await call("PerformRpc", { room, destinationIdentity: "ann", method: "missing" }, grant);
  assert.deepEqual([missing.status, missing.code, missing.meta.rpc_code], [501, "unimplemented", "1400"]);

  await assert.rejects(rooms.getParticipant(room, "carol"), refused(404, "not_found"));
  await assert.rejects(rooms.updateParticipant(room, "carol", { name: "x" }), refused(404, "not_found"));
  await assert.rejects(rooms.removeParticipant(room, "carol"), refused(404, "not_found"));
  await rooms.removeParticipant(room, "ann");
  await ann.notices("her end", ({ ended }) => ended === "PARTICIPANT_REMOVED");
  await rooms.deleteRoom(room);
  await bob.notices("the room's end", ({ ended }) => ended === "ROOM_DELETED");
});

it("a participant is moved to another room, with its track", async () => {
  const [room, destination] = [freshRoom("from"), freshRoom("to")];
  const [ann, bob, carol] = [await someone("ann", room), await someone("bob", room), await someone("carol", destination)];
  await ann.tell("publish_tone", { frequency: 440 });
  await bob.notices("ann's tone", ({ heard }) => heard["ann/SOURCE_MICROPHONE"]?.energy > 0);
  await rooms.moveParticipant(room, "ann", destination);
  await bob.notices("that ann has gone", ({ others }) => others.length === 0);
  await carol.notices("ann's tone", ({ heard }) => Math.abs(heard["ann/SOURCE_MICROPHONE"]?.loudest - 440) < 15);
  await ann.notices("where she is", ({ room: name, others }) => name === destination && others.includes("carol"));
  await assert.rejects(rooms.moveParticipant(room, "ann", destination), refused(404, "not_found"));
});

it("a participant is forwarded to another room, and stays in its own", async () => {
  const [room, destination] = [freshRoom("from"), freshRoom("to")];
  const [ann, bob, carol] = [await someone("ann", room), await someone("bob", room), await someone("carol", destination)];
  await ann.tell("publish_tone", { frequency: 440 });
  await bob.notices("ann's tone", ({ heard }) => heard["ann/SOURCE_MICROPHONE"]?.energy > 0);
  await rooms.forwardParticipant(room, "ann", destination);
  await carol.notices("ann's tone", ({ heard }) => Math.abs(heard["ann/SOURCE_MICROPHONE"]?.loudest - 440) < 15);
  await bob.notices("ann's tone still", ({ heard }) => Math.abs(heard["ann/SOURCE_MICROPHONE"]?.loudest - 440) < 15);
  assert.equal((await rooms.getParticipant(destination, "ann")).tracks.length, 1);
  await rooms.updateParticipant(room, "ann", { name: "Ann of the other room" });
  await until("her new name there", async () => (await rooms.getParticipant(destination, "ann")).name === "Ann of the other room");
  await assert.rejects(rooms.forwardParticipant(room, "nobody", destination), refused(404, "not_found"));
  await rooms.removeParticipant(room, "ann");
  await carol.notices("that ann has gone", ({ others }) => others.length === 0);
});

it("keys and grants that do not suffice", async () => {
  const wrong = new RoomServiceClient(server.http, server.keys.key, "not the secret");
  await assert.rejects(wrong.listRooms(), refused(401, "unauthenticated"));
  const unknown = new RoomServiceClient(server.http, "nokey", server.keys.secret);
  await assert.rejects(unknown.createRoom({ name: "x" }), refused(401, "unauthenticated"));
  const elsewhere = await call("ListParticipants", { room: "a" }, { roomAdmin: true, room: "b" });
  assert.deepEqual([elsewhere.status, elsewhere.code, elsewhere.msg], [401, "unauthenticated", "permissions denied"]);
});

it("egress, ingress and SIP answer as a LiveKit server without workers", async () => {
  const { key, secret } = server.keys;
  assert.deepEqual(await new EgressClient(server.http, key, secret).listEgress(), []);
  await assert.rejects(new EgressClient(server.http, key, secret).stopEgress("EG_1"), refused(500, "internal"));
  await assert.rejects(new IngressClient(server.http, key, secret).listIngress(), refused(500, "internal"));
  await assert.rejects(new SipClient(server.http, key, secret).listSipInboundTrunk(), refused(500, "internal"));
});

it("RoomService through the Python SDK, in protobuf", async () => {
  const room = freshRoom("protobuf");
  const ann = await someone("ann", room);
  await ann.tell("publish_tone", { frequency: 440 });
  await until("the track", async () => (await rooms.getParticipant(room, "ann")).tracks.length === 1);
  const got = await python(["rooms", server.http, server.keys.key, server.keys.secret, room, "ann"]);
  assert.deepEqual([got.made.metadata, got.made.maxParticipants, got.changed], ["made", 3, "changed"]);
  assert.deepEqual([got.listed, got.deleted, got.everyone], [[room, `${room}-spare`], [], ["ann"]]);
  assert.deepEqual([got.updated, got.muted, got.tracks.length], [["Renamed", { from: "python" }], true, 1]);
  const codes = Object.fromEntries(Object.entries(got.refused).map(([what, [code, status]]) => [what, `${code} ${status}`]));
  assert.deepEqual(codes, {
    unmute: "failed_precondition 412",
    "unknown track": "not_found 404",
    nobody: "not_found 404",
    "remove nobody": "not_found 404",
    nameless: "invalid_argument 400",
    nowhere: "not_found 404",
    "delete nowhere": "not_found 404",
    "move to itself": "invalid_argument 400",
    egress: "internal 500",
    ingress: "internal 500",
  });
  assert.deepEqual([got.egress, got.stranger.slice(0, 2)], [0, ["unauthenticated", 401]]);
  await ann.notices("her end", ({ ended }) => ended === "PARTICIPANT_REMOVED");
});

it("webhooks of a room's life: in order, signed, tried again, verified by both SDKs", async () => {
  const room = freshRoom("life");
  hooks.answers.push(503, 500);
  await rooms.createRoom({ name: room, emptyTimeout: 60, departureTimeout: 1 });
  await hooks.hears(room, "room_started");
  const ann = await someone("ann", room);
  const track = await ann.tell("publish_tone", { frequency: 440 });
  await hooks.hears(room, "track_published");
  await ann.tell("leave");
  const events = await hooks.hears(room, "room_finished");
  assert.deepEqual(events, [
    "room_started",
    "participant_joined",
    "track_published",
    "track_unpublished",
    "participant_left",
    "room_finished",
  ]);

  const { key, secret } = server.keys;
  const receiver = new WebhookReceiver(key, secret);
  const told = hooks.about(room);
  const verified = await Promise.all(told.map(({ body, token }) => receiver.receive(body, token)));
  assert.deepEqual(verified.map(({ event }) => event), events);
  assert.equal(new Set(verified.map(({ id }) => id)).size, events.length);
  assert.ok(told.every(({ type }) => type === "application/webhook+json"));
  assert.ok(verified.every((event) => event.room.name === room && event.room.sid === verified[0].room.sid && event.createdAt > 1_600_000_000n));
  assert.deepEqual([verified[1].participant.identity, verified[2].track.sid, verified[2].participant.identity], ["ann", track, "ann"]);
  assert.equal(verified[2].room.enabledCodecs.length, 0, "only its name and sid");
  assert.equal(JSON.parse(told.at(-1).body).roomEndReason, "ROOM_END_IDLE_TIMEOUT");

  await assert.rejects(receiver.receive(`${told[0].body} `, told[0].token), /checksum/);
  await assert.rejects(new WebhookReceiver(key, "another").receive(told[0].body, told[0].token));
  const forged = { ...told[0], body: told[0].body.replace("room_started", "room_finished") };
  const lines = [...told, forged].map(({ body, token }) => JSON.stringify({ body, token })).join("\n");
  const inPython = await python(["verify", key, secret], lines);
  assert.deepEqual(inPython.slice(0, -1), events);
  assert.match(inPython.at(-1), /^refused: hash mismatch/);
});

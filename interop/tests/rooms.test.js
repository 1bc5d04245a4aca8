/**
 * The rules of a room as browsers and a back end meet them: rights that change while they are used, audiences, those who
 * hide, profiles, limits, other rooms.
 */

import assert from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import { ParticipantInfo_Kind, RequestResponse_Reason as Reason, RoomConfiguration } from "@livekit/protocol";
import { AccessToken, RoomServiceClient } from "livekit-server-sdk";
import { freeTcpPort } from "../harness/server.js";
import { Signal } from "../harness/signal.js";
import { MODES, freshRoom, setUp, step } from "../harness/suite.js";
import { until } from "../harness/until.js";

const CAPTURE = { width: 320, height: 180, frameRate: 15 };
const metricsPort = await freeTcpPort();
const suite = setUp("rooms", { config: `prometheus: { port: ${metricsPort} }` });
let rooms;
beforeEach(() => (rooms ??= new RoomServiceClient(suite.server.http, suite.server.keys.key, suite.server.keys.secret)));

const standing = (person, what, probe) =>
  until(`${person.identity} to stand as ${what}`, async () => {
    const now = await person.call("whatIAm");
    if (probe(now)) return now;
    throw new Error(JSON.stringify(now));
  });

/** Messages on data channels that the server has received. */
async function messages() {
  const page = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
  const counted = [...page.matchAll(/^millrace_media_packets_total\{.*kind="data_in"\} (\d+)$/gm)];
  return counted.reduce((all, [, count]) => all + Number(count), 0);
}

/** With a token that says more than a grant. */
async function joinWith(person, room, fill, options) {
  const token = new AccessToken(suite.server.keys.key, suite.server.keys.secret, { identity: person.identity, ttl: "10m" });
  token.addGrant({ roomJoin: true, room });
  fill(token);
  await person.call("join", { url: suite.server.ws, token: await token.toJwt(), options, seat: person.seat });
}

/** ada, who may change herself and has a camera, and the others. */
async function gather(room, others, options) {
  const ada = await suite.someone("ada");
  await joinWith(ada, room, (token) => {
    token.addGrant({ roomJoin: true, room, canUpdateOwnMetadata: true });
    token.kind = "agent";
  }, options);
  await ada.call("camera", true, CAPTURE);
  return [ada, ...(await suite.gather(room, others, { options }))];
}

const sees = (watchers, of) => Promise.all(watchers.map((person) => person.sees(of)));
const subscribed = (seen) => seen.others.ada?.tracks.camera?.subscribed === true;

for (const [mode, options] of MODES) {
  describe(mode, () => {
    it("rights, audiences and profiles change while they are used", async () => {
      const room = freshRoom("rights");
      const [ada, bob, cyd] = await gather(room, ["bob", "cyd"], options);
      const may = (identity, permission = {}) =>
        rooms.updateParticipant(room, identity, { permission: { canSubscribe: true, canPublish: true, canPublishData: true, canUpdateMetadata: true, ...permission } });
      await sees([bob, cyd], "ada");

      await step("a publisher who may no longer publish is unpublished", async () => {
        await may("ada", { canPublish: false });
        await bob.told("unpublished", "ada/camera");
        await standing(ada, "one who publishes nothing", ({ permissions, published }) => !permissions.canPublish && published.length === 0);
        await may("ada");
        await standing(ada, "one who may publish", ({ permissions }) => permissions.canPublish);
        await ada.call("camera", true, CAPTURE);
        await bob.sees("ada");
      });
      await step("nobody sends to whoever may not subscribe", async () => {
        await may("bob", { canSubscribe: false });
        await bob.notices("nothing of ada", (seen) => !subscribed(seen));
        await may("bob");
        await bob.sees("ada");
      });
      await step("data is silenced, and heard again", async () => {
        await may("ada", { canPublishData: false });
        await standing(ada, "one who is silent", ({ permissions }) => !permissions.canPublishData);
        // What is said and what a back end permits go different ways: on a busy machine the word may come second.
        const before = await messages();
        await ada.call("sendBytes", "unheard", { reliable: true, topic: "t" });
        await until("the word to come", async () => (await messages()) > before);
        await may("ada");
        await standing(ada, "one who may speak", ({ permissions }) => permissions.canPublishData);
        await ada.call("sendBytes", "heard", { reliable: true, topic: "t" });
        const { chats } = await bob.notices("a word", (seen) => seen.chats.some(({ text }) => text === "heard"));
        assert.deepEqual(chats.map(({ text }) => text), ["heard"]);
      });
      await step("a publisher says who gets its tracks", async () => {
        await ada.call("admit", false, ["cyd"]);
        await bob.notices("nothing of ada", (seen) => !subscribed(seen));
        await cyd.sees("ada");
        await ada.call("admit", true);
        await bob.sees("ada");
      });
      await step("whoever hides is gone, and comes back with pictures", async () => {
        await may("ada", { hidden: true });
        await bob.told("left", "ada");
        await bob.notices("nobody called ada", (seen) => !seen.others.ada);
        await standing(ada, "one who publishes still", ({ published, others }) => published.length === 1 && "bob" in others);
        await may("ada");
        await sees([bob, cyd], "ada");
      });
      await step("names, metadata and attributes change, or are refused by name", async () => {
        assert.equal(await ada.call("present", { name: "Ada L.", metadata: "m1", attributes: { mood: "fine", hat: "red" } }), "done");
        assert.equal(await ada.call("present", { attributes: { hat: "" } }), "done");
        const { others } = await standing(bob, "one who knows ada", ({ others: { ada: her } }) => her?.metadata === "m1" && her.attributes.mood === "fine" && !("hat" in her.attributes));
        assert.deepEqual([others.ada.name, others.ada.kind], ["Ada L.", "AGENT"]);
        // bob's token says nothing of that, and his rights were replaced above by ones that do.
        assert.equal(await cyd.call("present", { metadata: "mine" }), Reason.NOT_ALLOWED);
        assert.equal(await bob.call("present", { metadata: "mine" }), "done");
        assert.equal(await ada.call("present", { metadata: "x".repeat(600_000) }), Reason.LIMIT_EXCEEDED);
        assert.equal(await ada.call("present", { attributes: { big: "x".repeat(70_000) } }), Reason.LIMIT_EXCEEDED);
        assert.equal(await ada.call("present", { name: "x".repeat(300) }), Reason.LIMIT_EXCEEDED);
        await rooms.updateRoomMetadata(room, "about the room");
        await standing(bob, "one who knows of the room", ({ roomMetadata }) => roomMetadata === "about the room");
      });
    });

    it("a recorder marks the room and is not seen; a browser is forwarded and moved with its pictures", async () => {
      const [room, there] = [freshRoom("here"), freshRoom("there")];
      const [ada, bob] = await gather(room, ["bob"], options);
      const [cyd] = await suite.gather(there, ["cyd"], { options });
      await bob.sees("ada");

      await step("who is hidden sees and is not seen, a recorder marks the room", async () => {
        const ghost = await suite.someone("ghost");
        await ghost.join(suite.server, room, { options, grant: { video: { hidden: true, recorder: true } } });
        // A recorder may have what others may not.
        await ada.call("admit", false, ["bob"]);
        await ghost.sees("ada");
        await standing(ada, "one who is recorded", ({ recording }) => recording === true);
        assert.deepEqual(Object.keys((await ada.look()).others), ["bob"]);
        await ghost.leave();
        await standing(ada, "one who is not recorded", ({ recording }) => recording === false);
        await ada.call("admit", true);
      });
      await step("forwarded, ada is in both rooms", async () => {
        await rooms.forwardParticipant(room, "ada", there);
        await sees([bob, cyd], "ada");
        await rooms.updateParticipant(room, "ada", { metadata: "here and there" });
        await standing(cyd, "one who knows ada", ({ others }) => others.ada?.metadata === "here and there");
      });
      await step("moved, bob is in the other room alone, over the connections that he had", async () => {
        await bob.call("camera", true, CAPTURE);
        await ada.sees("bob");
        await rooms.moveParticipant(room, "bob", there);
        await bob.told("moved", there);
        await ada.told("left", "bob");
        await cyd.sees("bob");
        await sees([bob], "ada");
        assert.deepEqual((await rooms.listParticipants(room)).map(({ identity }) => identity), ["ada"]);
        assert.equal(await bob.call("roomName"), there);
        const breaks = ({ what }) => what.includes("reconnect");
        assert.ok(!(await bob.look()).happened.some(breaks));
        await bob.call("say", "here now");
        await cyd.notices("a word of bob", (seen) => seen.chats.some(({ from, text }) => from === "bob" && text === "here now"));
      });
      await step("there his session is taken up again, and he may go back", async () => {
        await bob.call("simulate", "signal-reconnect");
        await bob.told("reconnected");
        await cyd.sees("bob");
        await rooms.moveParticipant(there, "bob", room);
        await ada.sees("bob");
        await sees([bob], "ada");
      });
      await step("a room that is full takes nobody, and he stays where he is", async () => {
        const full = freshRoom("full");
        await rooms.createRoom({ name: full, maxParticipants: 1 });
        await suite.gather(full, ["dan"], { options });
        for (const method of ["moveParticipant", "forwardParticipant"]) {
          await assert.rejects(rooms[method](room, "bob", full), ({ status, code }) => status === 429 && code === "resource_exhausted");
        }
        await sees([ada], "bob");
      });
    });

    it("who could not be told of a move hears of it on coming back", async () => {
      const [room, there] = [freshRoom("unheard"), freshRoom("there")];
      const [ada] = await suite.gather(room, ["ada"], { options });
      const [cyd] = await suite.gather(there, ["cyd"], { options });
      const bob = await suite.someone("bob");
      const lines = [];
      await bob.page.routeWebSocket(/\/rtc/, (socket) => {
        const line = { dead: false };
        lines.push(line);
        socket.connectToServer().onMessage((message) => line.dead || socket.send(message));
      });
      await bob.join(suite.server, room, { options });
      await bob.call("camera", true, CAPTURE);
      await ada.sees("bob");
      for (const line of lines) line.dead = true;
      await rooms.moveParticipant(room, "bob", there);
      await ada.told("left", "bob");
      await bob.call("simulate", "signal-reconnect");
      await bob.told("moved", there);
      await cyd.sees("bob");
      const again = ({ what }) => what === "reconnecting";
      assert.ok(!(await bob.look()).happened.some(again), "he did not start afresh");
    });
  });
}

it("everybody is of the kind that their token says", async () => {
  const room = freshRoom("kinds");
  const [ada] = await suite.gather(room, ["ada"]);
  const kinds = ["standard", "ingress", "egress", "sip", "agent", "connector", "bridge"];
  for (const kind of kinds) {
    const url = `${suite.server.ws}/rtc?access_token=${await suite.server.token(kind, room, { kind })}&protocol=16`;
    const { participant } = await new Signal(url).hears("join");
    assert.equal(ParticipantInfo_Kind[participant.kind], kind.toUpperCase());
  }
  const { others } = await standing(ada, "one who knows all of them", (now) => kinds.every((kind) => now.others[kind]));
  for (const kind of kinds) assert.equal(others[kind].kind, kind.toUpperCase());
  const [{ numParticipants }] = await rooms.listRooms([room]);
  assert.equal(numParticipants, 1 + kinds.length - 2, "agents and recorders are not counted");
  await rooms.deleteRoom(room);
});

it("a token's configuration makes the room: seats, metadata and how long it waits", async () => {
  const name = freshRoom("configured");
  const fill = (token) => (token.roomConfig = new RoomConfiguration({ name, maxParticipants: 2, metadata: "by token", departureTimeout: 1 }));
  const [ada, bob, cyd] = await Promise.all(["ada", "bob", "cyd"].map((identity) => suite.someone(identity)));
  await joinWith(ada, name, fill);
  await joinWith(bob, name, fill);
  assert.equal((await ada.call("whatIAm")).roomMetadata, "by token");
  await assert.rejects(joinWith(cyd, name, fill));
  assert.equal((await rooms.listParticipants(name)).length, 2);
  await Promise.all([ada.leave(), bob.leave()]);
  await until("the room to end", async () => (await rooms.listRooms([name])).length === 0, { within: 10_000 });

  const empty = freshRoom("empty");
  await rooms.createRoom({ name: empty, emptyTimeout: 1 });
  await until("a room to which nobody comes to end", async () => (await rooms.listRooms([empty])).length === 0, { within: 10_000 });
});

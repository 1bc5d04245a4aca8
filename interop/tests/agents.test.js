/**
 * A LiveKit Agents program (PyPI livekit-agents 1.x) as a worker: sent to a room by its token's `roomConfig`, and by
 * AgentDispatchService. Its installation has 400 MB, so it is not part of the set-up:
 *
 *   python3 -m venv agents && agents/bin/pip install livekit-agents
 *   MILLRACE_AGENTS_PYTHON=$PWD/agents/bin/python interop/run tests/agents.test.js
 *
 * Without it the worker's protocol is tested in crates/app/api/tests/http/agents.rs.
 */

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { RoomAgentDispatch, RoomConfiguration } from "@livekit/protocol";
import { AccessToken, AgentDispatchClient } from "livekit-server-sdk";
import WebSocket from "ws";
import { Child } from "../harness/child.js";
import { PythonParticipant } from "../harness/python.js";
import { Server } from "../harness/server.js";
import { freshRoom } from "../harness/suite.js";
import { until } from "../harness/until.js";

const PYTHON = process.env.MILLRACE_AGENTS_PYTHON;
const SCRIPT = fileURLToPath(new URL("../python/agent.py", import.meta.url));

describe("a LiveKit Agents program", { skip: PYTHON ? false : "MILLRACE_AGENTS_PYTHON is not set" }, () => {
  let server, worker, dispatch;
  const people = [];

  before(async () => {
    server = await Server.start("agents");
    const { key, secret } = server.keys;
    dispatch = new AgentDispatchClient(server.http, key, secret);
    const env = { LIVEKIT_URL: server.ws, LIVEKIT_API_KEY: key, LIVEKIT_API_SECRET: secret, AGENT_NAME: "toner" };
    worker = new Child("agent", PYTHON, [SCRIPT, "start"], { env }).listen();
    await until("the worker to register", () => {
      if (/registered worker/.test(worker.said + worker.out)) return true;
      throw new Error((worker.said + worker.out).slice(-800));
    });
  });
  after(async () => {
    await Promise.all(people.map((person) => person.close()));
    await worker?.kill();
    await server?.stop();
  });

  const someone = async (identity, room, details) => {
    const person = new PythonParticipant(identity);
    people.push(person);
    await person.join(server, room, details);
    return person;
  };
  const hearsTone = (person) =>
    person.notices("the agent's tone", ({ heard }) => Object.values(heard).some(({ loudest }) => Math.abs(loudest - 440) < 15));

  it("is dispatched, joins and is heard; its job ends with the dispatch", async () => {
    const room = freshRoom("dispatch");
    const ann = await someone("ann", room);
    const { id } = await dispatch.createDispatch(room, "toner", { metadata: "by hand" });
    await hearsTone(ann);
    const [listed] = await dispatch.listDispatch(room);
    assert.deepEqual([listed.id, listed.agentName, listed.state.jobs.length], [id, "toner", 1]);
    await dispatch.deleteDispatch(id, room);
    await ann.notices("that the agent has gone", ({ others }) => others.length === 0);
  });

  it("comes to a room whose first token asks for it", async () => {
    const room = freshRoom("config");
    const { key, secret } = server.keys;
    const token = new AccessToken(key, secret, { identity: "opener", ttl: "10m" });
    token.addGrant({ roomJoin: true, room });
    token.roomConfig = new RoomConfiguration({ agents: [new RoomAgentDispatch({ agentName: "toner", metadata: "by token" })] });
    const opened = await fetch(`${server.http}/rtc/validate?access_token=${await token.toJwt()}`);
    assert.equal(opened.status, 200);
    const socket = new WebSocket(`${server.ws}/rtc?access_token=${await token.toJwt()}&protocol=16`);
    await new Promise((done, failed) => Object.assign(socket, { onopen: done, onerror: failed }));
    const ann = await someone("ann", room);
    await hearsTone(ann);
    socket.close();
  });
});

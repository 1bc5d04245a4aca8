/** The embedded TURN server: coturn's client against it, and browsers that may use nothing but a relay. */

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Child } from "../harness/child.js";
import { freeTcpPort, Server, TLS } from "../harness/server.js";
import { Signal } from "../harness/signal.js";
import { freshRoom, setUp } from "../harness/suite.js";

const SIZE = { width: 320, height: 180 };
const [udp, tcp, tls] = await Promise.all([freeTcpPort(), freeTcpPort(), freeTcpPort()]);
const RELAYS = { first: 42_000, last: 42_999 };
const config = `
turn:
  enabled: true
  udp_port: ${udp}
  tcp_port: ${tcp}
  tls_port: ${tls}
  domain: localhost
  cert_file: ${TLS["server.pem"]}
  key_file: ${TLS["server.key"]}
  relay_range_start: ${RELAYS.first}
  relay_range_end: ${RELAYS.last}
`;
// The certificate is signed by nobody that Chromium knows.
const suite = setUp("turn", { config, flags: ["--ignore-certificate-errors"] });

/** What a participant is told of the relay. */
async function told() {
  const [ada] = await suite.gather(freshRoom("told"), ["ada"]);
  return (await ada.call("iceServers"))[0];
}

describe("browsers that may use nothing but a relay", () => {
  for (const [over, prefix, suffix] of [
    ["udp", "turn:", "transport=udp"],
    ["tcp", "turn:", "transport=tcp"],
    ["tls", "turns:", "transport=tcp"],
  ]) {
    it(`meet through one over ${over}`, async () => {
      const people = await Promise.all(["ada", "bob"].map((identity) => suite.someone(identity)));
      const room = freshRoom(over);
      for (const person of people) {
        await person.call("relayOnly", prefix, suffix);
        await person.join(suite.server, room);
        await person.call("camera", true, { ...SIZE, frameRate: 15 });
        await person.call("microphone", true);
      }
      const [ada, bob] = people;
      await ada.hears("bob");
      await bob.hears("ada");
      await ada.sees("bob", "camera", SIZE);
      const { way } = await bob.sees("ada", "camera", SIZE);
      assert.deepEqual([way.kind, way.relay, way.to], ["relay", over, suite.server.udpPort]);
    });
  }
});

describe("coturn's client", () => {
  /** Two clients send each other messages through relay addresses; what was lost. */
  async function uclient(name, { username, credential }, options, within = 60_000) {
    const given = ["-u", username, "-w", credential, "-y", "-c", "-n", "30", "-m", "2", "-l", "500", ...options, "127.0.0.1"];
    const client = new Child(`uclient-${name}`, "turnutils_uclient", given).listen();
    const { code } = await client.ended(within);
    const lost = /Total lost packets (\d+)/.exec(client.out + client.said);
    return { code, lost: lost && Number(lost[1]), said: client.out + client.said };
  }

  for (const [name, port, options] of [
    ["udp, channels", udp, []],
    ["udp, indications", udp, ["-s"]],
    ["tcp", tcp, ["-t"]],
    ["tls", tls, ["-t", "-S"]],
  ]) {
    it(`relays over ${name}`, async () => {
      const { code, lost, said } = await uclient(name, await told(), ["-p", `${port}`, ...options]);
      assert.deepEqual([code, lost], [0, 0], said.slice(-1500));
    });
  }

  it("relays over a server that shares the secret with the one that told the password, and over no other", async () => {
    const listed = (port, relays, secret) =>
      `turn: { enabled: true, udp_port: ${port}, relay_range_start: ${relays}, relay_range_end: ${relays + 99}, secret: ${secret} }`;
    const ports = await Promise.all([freeTcpPort(), freeTcpPort(), freeTcpPort()]);
    const secrets = ["a-secret-that-two-share", "a-secret-that-two-share", "a-secret-of-its-own"];
    const servers = await Promise.all(ports.map((port, at) => Server.start(`turn-${at}`, listed(port, 43_000 + 100 * at, secrets[at]))));
    try {
      const ada = new Signal(`${servers[0].ws}/rtc?access_token=${await servers[0].token("ada", freshRoom("shared"))}&protocol=16`);
      const { iceServers } = await ada.hears("join");
      const { username, credential } = iceServers.find(({ urls }) => urls[0].startsWith("turn:"));
      for (const [at, port] of ports.entries()) {
        const { code, lost, said } = await uclient(`shared-${at}`, { username, credential }, ["-p", `${port}`]);
        if (at < 2) assert.deepEqual([code, lost], [0, 0], said.slice(-1500));
        else assert.ok(code !== 0 || lost === null);
      }
      await ada.end();
    } finally {
      await Promise.all(servers.map((server) => server.stop()));
    }
  });

  it("gets nowhere with a wrong password", async () => {
    const { code, lost } = await uclient("wrong", { ...(await told()), credential: "wrong" }, ["-p", `${udp}`]);
    assert.ok(code !== 0 || lost === null);
  });
});

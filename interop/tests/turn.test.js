/** The embedded TURN server: coturn's client against it, and browsers that may use nothing but a relay; also another server's. */

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Child } from "../harness/child.js";
import { OFFER_OF_SOUND } from "../harness/dtls.js";
import { Line } from "../harness/line.js";
import { freeTcpPort, Server, TLS } from "../harness/server.js";
import { Signal } from "../harness/signal.js";
import { freshRoom, setUp } from "../harness/suite.js";
import { until } from "../harness/until.js";

const SIZE = { width: 320, height: 180 };
const [udp, tcp, tls, metrics] = await Promise.all([freeTcpPort(), freeTcpPort(), freeTcpPort(), freeTcpPort()]);
const SECRET = "a secret that two servers share";
/** Where the other server's media is: this machine, under an address that is nobody's neighbour. */
const OTHER = "127.0.0.2";
const RELAYS = { first: 42_000, last: 42_999 };
const config = `
prometheus: { port: ${metrics} }
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
  secret: ${SECRET}
  allow_restricted_peer_cidrs: [${OTHER}/32]
  deny_peer_cidrs: [198.51.100.0/24]
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

it("force-tls leads through a relay over TLS", async () => {
  for (const singlePeerConnection of [true, false]) {
    const [ada, bob] = await suite.gather(freshRoom("force"), ["ada", "bob"], { options: { singlePeerConnection } });
    for (const person of [ada, bob]) await person.call("camera", true, { ...SIZE, frameRate: 15 });
    await Promise.all([ada.sees("bob"), bob.sees("ada")]);
    await ada.call("simulate", "force-tls");
    await ada.told("reconnected");
    const { way } = await ada.sees("bob");
    assert.deepEqual([way.kind, way.relay], ["relay", "tls"]);
    await bob.sees("ada");
    for (const person of [ada, bob]) await person.leave();
  }
});

describe("two servers with one secret", () => {
  it("give credentials for each other's relays", async () => {
    const elsewhere = [
      `  node_ip: ${OTHER}`,
      "  turn_servers:",
      ...["udp", "tcp"].map((protocol) => `  - { host: 127.0.0.1, port: ${protocol === "udp" ? udp : tcp}, protocol: ${protocol}, secret: ${SECRET} }`),
      "",
    ];
    const other = await Server.start("turn-other", elsewhere.join("\n"));
    try {
      const people = await Promise.all(["ada", "bob"].map((identity) => suite.someone(identity)));
      const room = freshRoom("other");
      for (const [n, person] of people.entries()) {
        await person.call("relayOnly", "turn:", n ? "transport=tcp" : "transport=udp");
        await person.join(other, room);
        await person.call("microphone", true);
      }
      await Promise.all([people[0].hears("bob"), people[1].hears("ada")]);
    } finally {
      await other.stop();
    }
  });
});

/** What a client over HTTP alone is told (RFC 9725 section 4.6). */
async function linked() {
  const room = freshRoom("http");
  const authorization = `Bearer ${await suite.server.token("http", room)}`;
  const headers = { "content-type": "application/sdp", authorization };
  const response = await fetch(`${suite.server.http}/whip/v1`, { method: "POST", headers, body: OFFER_OF_SOUND });
  const links = response.headers.get("link").split(/,\s*(?=<)/);
  assert.ok(links.every((link) => /^<turns?:\S+>; rel="ice-server"; username="[^"]+"; credential="[^"]+"; credential-type="password"$/.test(link)), links.join("\n"));
  assert.equal(links.length, 3, "UDP, TCP, TLS");
  const said = (name) => new RegExp(`; ${name}="([^"]+)"`).exec(links[0])[1];
  return { username: said("username"), credential: said("credential") };
}

/** How often each kind of request was refused. */
async function refused(reason) {
  const page = await (await fetch(`http://127.0.0.1:${metrics}/metrics`)).text();
  return Number(new RegExp(`^millrace_turn_refused_total\\{reason="${reason}"\\} (\\d+)`, "m").exec(page)[1]);
}

describe("coturn's client", () => {
  /** Two clients send each other messages through relay addresses; what was lost. */
  async function uclient(name, { username, credential }, options, within = 60_000) {
    return run(name, ["-u", username, "-w", credential, "-y", "-c", "-n", "30", "-m", "2", "-l", "500", ...options, "127.0.0.1"], within);
  }

  async function run(name, options, within = 60_000) {
    const client = new Child(`uclient-${name}`, "turnutils_uclient", options).listen();
    const { code } = await client.ended(within);
    const lost = /Total lost packets (\d+)/.exec(client.out + client.said);
    return { code, lost: lost && Number(lost[1]), said: client.out + client.said };
  }

  /** A client that gets nowhere goes on trying: it is stopped when it has said what it heard. */
  async function hears(name, options, what) {
    const { username, credential } = await linked();
    const client = new Child(`uclient-${name}`, "turnutils_uclient", ["-u", username, "-w", credential, "-p", `${udp}`, ...options, "127.0.0.1"]).listen();
    try {
      await until(`uclient to hear ${what}`, () => what.test(client.out + client.said));
    } finally {
      await client.kill();
    }
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

  it("relays from IPv6 addresses", async () => {
    const { code, lost, said } = await uclient("six", await linked(), ["-p", `${udp}`, "-x"]);
    assert.deepEqual([code, lost], [0, 0], said.slice(-1500));
  });

  it("makes its own credentials of the secret", async () => {
    const { code, lost, said } = await run("secret", ["-u", "anybody", "-W", SECRET, "-y", "-c", "-n", "10", "-m", "2", "-p", `${udp}`, "127.0.0.1"]);
    assert.deepEqual([code, lost], [0, 0], said.slice(-1500));
  });

  it("relays with what a client over HTTP was told", async () => {
    const { code, lost, said } = await uclient("http", await linked(), ["-p", `${udp}`]);
    assert.deepEqual([code, lost], [0, 0], said.slice(-1500));
  });

  it("asks again when its nonce has gone stale", async () => {
    // A nonce is good for one address: the client's is another from its second datagram on.
    const line = await Line.before(udp, { second: "127.0.0.9" });
    try {
      const before = await refused("stale_nonce");
      const { code, lost, said } = await uclient("stale", await linked(), ["-p", `${line.port}`]);
      assert.deepEqual([code, lost], [0, 0], said.slice(-1500));
      assert.ok((await refused("stale_nonce")) > before);
    } finally {
      line.close();
    }
  });

  it("is refused more relay addresses than a participant may have", async () => {
    const before = await refused("quota");
    await hears("quota", ["-y", "-c", "-m", "16"], /486/);
    assert.ok((await refused("quota")) > before);
  });

  for (const [name, peer] of [
    ["a private address", "10.0.0.1"],
    ["a loopback address", "127.0.0.3"],
    ["an address that the operator denies", "198.51.100.7"],
  ]) {
    it(`is refused ${name} as a peer`, async () => {
      const before = await refused("forbidden_peer");
      await hears(`forbidden-${peer}`, ["-c", "-e", peer], /403/);
      assert.ok((await refused("forbidden_peer")) > before);
    });
  }

  it("gets nowhere with a wrong password", async () => {
    const { code, lost } = await uclient("wrong", { ...(await told()), credential: "wrong" }, ["-p", `${udp}`]);
    assert.ok(code !== 0 || lost === null);
  });
});

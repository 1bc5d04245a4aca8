/** The DTLS server against the handshakes of libraries that are no browser's: OpenSSL and GnuTLS, with RSA and with ECDSA. */

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Child } from "../harness/child.js";
import { Door, certificate } from "../harness/dtls.js";
import { Server } from "../harness/server.js";
import { freshRoom } from "../harness/suite.js";
import { until } from "../harness/until.js";

const certificates = {};
let server;

before(async () => {
  server = await Server.start("dtls");
  const kinds = [
    ["rsa", "rsa:2048"],
    ["p256", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
    ["p384", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"],
    ["other", "rsa:2048"],
  ];
  for (const [name, ...how] of kinds) certificates[name] = await certificate(name, ...how);
});

after(async () => {
  Child.killAll();
  await server?.stop();
});

const openssl = (port, { cert, key }, ...options) => ["openssl", ["s_client", "-dtls1_2", "-connect", `127.0.0.1:${port}`, "-cert", cert, "-key", key, ...options]];
const SRTP = ["-use_srtp", "SRTP_AES128_CM_SHA1_80:SRTP_AEAD_AES_128_GCM:SRTP_AEAD_AES_256_GCM"];

/** Runs a client against a door whose offer has the fingerprint of `offered`; what it says, as soon as `seen` is in that. */
async function shake(name, offered, command, seen) {
  const door = await Door.open(server, name, freshRoom(name), certificates[offered].fingerprint);
  const [program, args] = command(door.port);
  const client = new Child(`dtls-${name}`, program, args).listen();
  try {
    const said = await until(`${name}: ${seen}`, () => seen.test(client.out + client.said) && client.out + client.said).catch((error) => {
      throw new Error(`${error.message}: ${(client.out + client.said).slice(-1500)}`);
    });
    return { said, door, client };
  } finally {
    await client.kill();
    door.close();
  }
}

const isThere = async (door) => (await fetch(door.resource, { method: "DELETE", headers: door.headers })).status === 200;

describe("OpenSSL", () => {
  for (const kind of ["rsa", "p256", "p384"]) {
    it(`connects with a certificate of ${kind}`, async () => {
      const command = (port) => openssl(port, certificates[kind], ...SRTP, "-keymatexport", "EXTRACTOR-dtls_srtp", "-keymatexportlen", "88");
      const { said, door } = await shake(`openssl-${kind}`, kind, command, /Keying material: \w{20,}/);
      assert.match(said, /Cipher is ECDHE-ECDSA-AES128-GCM-SHA256/);
      assert.match(said, /Extended master secret: yes/);
      assert.match(said, /Secure Renegotiation IS supported/);
      assert.match(said, /SRTP Extension negotiated, profile=SRTP_AEAD_AES_128_GCM/);
      assert.ok(await isThere(door), "the participant");
    });
  }

  it("stays connected when it asks to renegotiate, and is not answered", async () => {
    const door = await Door.open(server, "renegotiate", freshRoom("renegotiate"), certificates.p256.fingerprint);
    const [program, args] = openssl(door.port, certificates.p256, ...SRTP);
    const client = new Child("dtls-renegotiate", program, args).listen();
    try {
      await until("the handshake", () => /SRTP Extension negotiated/.test(client.out));
      const before = door.heard;
      client.child.stdin.write("R\n");
      await until("the wish to renegotiate", () => /RENEGOTIATING/.test(client.out + client.said));
      // Its hello again: nothing came for the first one.
      const asked = door.forwarded;
      await until("another try", () => door.forwarded > asked);
      assert.equal(door.heard, before, "datagrams of the server's DTLS");
      assert.ok(await isThere(door), "the participant");
    } finally {
      await client.kill();
      door.close();
    }
  });

  it("is sent away with another certificate than the one that was signalled", async () => {
    const { door } = await shake("openssl-other", "rsa", (port) => openssl(port, certificates.other, ...SRTP), /Cipher is|alert|closed|error/i);
    await until("the participant to be gone", async () => !(await isThere(door)));
  });

  it("hears why without a certificate", async () => {
    const command = (port) => ["openssl", ["s_client", "-dtls1_2", "-connect", `127.0.0.1:${port}`, ...SRTP]];
    await shake("openssl-none", "rsa", command, /alert handshake failure/);
  });

  it("hears why without a suite that is known here", async () => {
    await shake("openssl-suites", "rsa", (port) => openssl(port, certificates.rsa, "-cipher", "AES128-GCM-SHA256"), /alert handshake failure/);
  });

  it("hears why when it speaks DTLS 1.0 alone", async () => {
    const old = (port) => openssl(port, certificates.rsa, "-cipher", "DEFAULT@SECLEVEL=0").map((a) => (Array.isArray(a) ? a.map((o) => (o === "-dtls1_2" ? "-dtls1" : o)) : a));
    await shake("openssl-old", "rsa", old, /alert protocol version/);
  });
});

describe("GnuTLS", () => {
  for (const kind of ["rsa", "p256"]) {
    it(`connects with a certificate of ${kind}`, async () => {
      const { cert, key } = certificates[kind];
      const options = ["--udp", "--insecure", "--x509certfile", cert, "--x509keyfile", key, "--srtp-profiles", "SRTP_AES128_CM_HMAC_SHA1_80", "--verbose"];
      const { said, door } = await shake(`gnutls-${kind}`, kind, (port) => ["gnutls-cli", [...options, "--port", `${port}`, "127.0.0.1"]], /Handshake was completed/);
      assert.match(said, /DTLS1\.2.*ECDHE.*ECDSA.*AES-128-GCM/);
      assert.match(said, /SRTP_AES128_CM_HMAC_SHA1_80/);
      assert.ok(await isThere(door), "the participant");
    });
  }
});

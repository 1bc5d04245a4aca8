/** `rtc.use_external_ip`: the address that clients are told is found out by STUN, here from coturn. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { Child } from "../harness/child.js";
import { ARTIFACTS, Server, freeTcpPort } from "../harness/server.js";
import { until } from "../harness/until.js";

after(() => Child.killAll());

describe("a server behind an address that it has not", () => {
  it("finds out by STUN, from coturn, under which one the world sees it", async () => {
    // Two STUN servers: one that is not there, and coturn's, which sees us at 127.0.0.1.
    const port = await freeTcpPort();
    const nobody = await freeTcpPort();
    const args = ["-n", "--no-cli", "--no-auth", "--stun-only", "--no-tcp", "--no-tls", "--no-dtls", "-L", "127.0.0.1", "-p", `${port}`, "--log-file", "stdout", "--pidfile", join(ARTIFACTS, "coturn.pid")];
    const coturn = new Child("coturn", "turnserver", args).listen();
    let server;
    try {
      await until("coturn to listen", () => /admin thread/.test(coturn.out + coturn.said) || coturn.exit);
      server = await Server.start("stun", `  use_external_ip: true\n  stun_servers: ["127.0.0.1:${nobody}", "127.0.0.1:${port}"]\n`);
      const said = await readFile(join(ARTIFACTS, "server-stun.log"), "utf8");
      assert.match(said, /clients are told this address.*ip=.*127\.0\.0\.1/);
    } finally {
      await server?.stop();
      await coturn.kill();
    }
  });

  it("does not start without an answer, and says what to do instead", async () => {
    const nobody = await freeTcpPort();
    await assert.rejects(Server.start("stun-none", `  use_external_ip: true\n  stun_servers: ["127.0.0.1:${nobody}"]\n`));
    assert.match(await readFile(join(ARTIFACTS, "server-stun-none.log"), "utf8"), /rtc\.use_external_ip: no STUN server answers.*set rtc\.node_ip/);
  });
});

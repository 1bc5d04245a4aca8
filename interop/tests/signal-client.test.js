/** livekit-client's own end-to-end tests of its `SignalClient`, as they are in the npm package, against this server. */

import assert from "node:assert/strict";
import { it } from "node:test";
import { fileURLToPath } from "node:url";
import { RoomServiceClient } from "livekit-server-sdk";
import { build } from "esbuild";
import { Mischief } from "../harness/mischief.js";
import { setUp } from "../harness/suite.js";

const TESTS = new URL("../node_modules/livekit-client/src/api/SignalClient.e2e.test.ts", import.meta.url);
const VITEST = new URL("../client/vitest.js", import.meta.url);
/** Two paths with 16 cases each, and three of the transport. */
const CASES = 35;
const suite = setUp("signal-client", { config: "room: { auto_create: false }" });

it("SignalClient e2e", async (context) => {
  const front = await Mischief.before(suite.server);
  context.after(() => front.close());
  await new RoomServiceClient(suite.server.http, suite.server.keys.key, suite.server.keys.secret).createRoom({ name: "e2e-room" });
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(TESTS)],
    bundle: true,
    format: "iife",
    target: "es2022",
    write: false,
    logLevel: "error",
    alias: { vitest: fileURLToPath(VITEST) },
    define: { "process.env.LIVEKIT_URL": "undefined", "process.env.LIVEKIT_API_KEY": "undefined", "process.env.LIVEKIT_API_SECRET": "undefined" },
  });
  const page = await suite.chromium.open(suite.site.url);
  await page.evaluate((serverUrl) => (window.provided = { serverUrl }), front.url);
  await page.addScriptTag({ content: outputFiles[0].text });
  const results = await page.evaluate(() => window.runTests());
  assert.deepEqual(results.filter(({ error }) => error).map(({ name, error }) => `${name}: ${error}`), []);
  assert.equal(results.length, CASES);
});

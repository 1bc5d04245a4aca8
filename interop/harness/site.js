/**
 * Serves the test page: livekit-client from npm and `client/client.js`, bundled once, on a port of its own, and the
 * workers in which livekit-client encrypts end to end, and puts packet trailers behind pictures.
 */

import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const worker = (name) => readFileSync(new URL(`../node_modules/livekit-client/dist/livekit-client.${name}.worker.js`, import.meta.url));
const HTML = `<!doctype html><meta charset="utf-8"><title>interop</title><body><script src="/client.js"></script>`;

export async function serveSite() {
  const bundle = await build({
    entryPoints: [fileURLToPath(new URL("../client/client.js", import.meta.url))],
    bundle: true,
    format: "iife",
    target: "es2022",
    write: false,
    logLevel: "error",
  });
  const scripts = { "/client.js": bundle.outputFiles[0].contents, "/e2ee.js": worker("e2ee"), "/trailers.js": worker("fm") };
  const server = createServer((request, response) => {
    const script = scripts[request.url];
    response.writeHead(200, { "content-type": script ? "text/javascript" : "text/html" });
    response.end(script ?? HTML);
  });
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  return {
    url: `http://127.0.0.1:${server.address().port}/`,
    close: () => {
      server.closeAllConnections();
      return new Promise((closed) => server.close(closed));
    },
  };
}

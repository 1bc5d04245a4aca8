/** Who gets in to live streams, and how: TLS, tokens, stream keys, callbacks. The wrong ones are told why. */

import assert from "node:assert/strict";
import { createServer } from "node:https";
import { readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { Child } from "../harness/child.js";
import { Chromium } from "../harness/chromium.js";
import { Ffmpeg, H264_IN_ORDER, Watcher, publish } from "../harness/ffmpeg.js";
import { flows, liveServer, stopAll } from "../harness/live.js";
import { TLS } from "../harness/server.js";
import { until } from "../harness/until.js";

const TRUSTING = { SSL_CERT_FILE: TLS["ca.pem"] };
const VERIFIED = ["-tls_verify", "1", "-ca_file", TLS["ca.pem"]];

async function plays(watchers, seconds = 3) {
  await Promise.all(watchers.map((watcher) => watcher.plays(seconds)));
  for (const watcher of watchers) {
    assert.deepEqual(watcher.codecs, { video: "h264", audio: "aac" }, watcher.name);
    assert.equal(watcher.said, "", watcher.name);
    await watcher.stop();
  }
}

/** FFmpeg at an address that it is refused at: what it says. */
async function refused(name, url, output) {
  const process = output ? publish(name, url) : new Ffmpeg(`refused-${name}`, ["-loglevel", "error", "-i", url, "-f", "null", "-"]);
  const { code } = await process.ended(20_000);
  assert.notEqual(code, 0, `${name} was let in`);
  return process.said;
}

describe("live doors", { concurrency: true }, () => {
  after(stopAll);

  test("RTMPS and HTTPS, in and out, also between servers", async () => {
    const [source, far] = await Promise.all([liveServer("tls-source", "", { tls: true }), liveServer("tls-far", "", { tls: true })]);
    const relay = (url, protocol) => `pull: [{ protocol: ${protocol}, url: "${url}" }]`;
    const apps = [
      `        - { name: live, publish: open, ${relay(source.rtmp("").slice(0, -1), "rtmp")} }`,
      `        - { name: flv, publish: open, ${relay(source.flv("{stream}"), "flv")} }`,
      `        - { name: out, publish: open, push: [{ url: "${far.rtmp("").slice(0, -1)}" }] }`,
    ];
    const config = `  domains:\n    - apps:\n${apps.join("\n")}\n`;
    const [edge, strict] = await Promise.all([
      liveServer("tls-edge", config, { env: TRUSTING }),
      // It trusts nobody.
      liveServer("tls-strict", config, { env: { SSL_CERT_FILE: "/dev/null", SSL_CERT_DIR: "/nonexistent" } }),
    ]);
    publish("tls", source.rtmp("demo"), { output: VERIFIED, video: H264_IN_ORDER });
    await source.cuts("demo");
    const over = (name, url) => new Watcher(`tls-${name}`, url, { input: url.includes("s://") ? VERIFIED : [] });
    publish("tls-push", edge.rtmp("pushed").replace("/live/", "/out/"), { video: H264_IN_ORDER });
    await Promise.all([far.plays("pushed"), edge.plays("demo")]);
    await plays([
      over("rtmps", source.rtmp("demo")),
      over("https-flv", source.flv("demo")),
      over("https-hls", source.hls("demo")),
      over("pulled-rtmps", edge.rtmp("demo")),
      over("pulled-https", edge.flv("demo").replace("/live/", "/flv/")),
      over("pushed-rtmps", far.rtmp("pushed")),
    ]);
    for (const app of ["live", "flv"]) {
      const answer = await fetch(strict.flv("demo").replace("/live/", `/${app}/`), { signal: AbortSignal.timeout(30_000) });
      assert.equal(answer.status, 404, "who trusts nobody pulls nothing");
    }
    const plain = await fetch(source.flv("demo").replace("https", "http")).catch((error) => error);
    assert.ok(plain instanceof Error, "no HTTP where HTTPS is");
  });

  test("HTTP/2 is spoken over TLS to curl and to Chromium, and HTTP/1.1 to whoever wants that", async () => {
    const server = await liveServer("h2", "  hls: { segment: 1s, max_segment: 3s }\n", { tls: true });
    publish("h2", server.rtmp("demo"), { output: VERIFIED, video: H264_IN_ORDER });
    await server.cuts("demo");
    const curl = async (version, url, ...more) => {
      const args = ["--silent", "--cacert", TLS["ca.pem"], `--http${version}`, "--max-time", "6", "--output", "-", "--write-out", "%{stderr}%{http_version} %{http_code}", ...more, url];
      const child = new Child(`curl-${version}`, "curl", args);
      const chunks = [];
      child.child.stdout.on("data", (data) => chunks.push(data));
      await child.ended(20_000);
      return { said: child.said.trim(), body: Buffer.concat(chunks) };
    };
    for (const [version, spoken] of [["2", "2"], ["1.1", "1.1"]]) {
      const index = await curl(version, server.hls("demo"));
      assert.equal(index.said, `${spoken} 200`);
      assert.match(index.body.toString(), /^#EXTM3U/);
      const list = await curl(version, server.hls("demo", "ts.m3u8"), "--compressed");
      const segment = /^\d+\.ts$/m.exec(list.body.toString())[0];
      const { said, body } = await curl(version, server.hls("demo", segment));
      assert.deepEqual([said, body.length % 188, body[0]], [`${spoken} 200`, 0, 0x47]);
      assert.equal((await curl(version, server.hls("other"))).said, `${spoken} 404`);
      // It has no end: curl gives up, with what came until then.
      const flv = await curl(version, server.flv("demo"));
      assert.equal(flv.said, `${spoken} 200`);
      assert.equal(flv.body.subarray(0, 3).toString(), "FLV");
      assert.ok(flv.body.length > 10_000, `${flv.body.length}`);
    }
    const chromium = await Chromium.launch();
    try {
      const page = await chromium.open("about:blank", { ignoreHTTPSErrors: true });
      const spoken = [];
      const tools = await page.context().newCDPSession(page);
      await tools.send("Network.enable");
      tools.on("Network.responseReceived", ({ response: { url, protocol } }) => spoken.push([new URL(url), protocol]));
      await page.goto(`${server.http}/watch/live/demo`);
      for (const way of ["HTTP-FLV", "LL-HLS"]) {
        await page.getByRole("button", { name: way, exact: true }).click();
        await page.locator(".watch-figure", { hasText: "Protocol" }).getByText(way).waitFor();
        await flows(page);
      }
      const from = spoken.filter(([url]) => url.host === new URL(server.hls("demo")).host);
      for (const end of [".flv", ".m3u8", /\.(ts|m4s)$/]) {
        const protocols = from.filter(([{ pathname }]) => (end.test ? end.test(pathname) : pathname.endsWith(end))).map(([, protocol]) => protocol);
        assert.deepEqual([...new Set(protocols)], ["h2"], `${end}: ${protocols.length}`);
      }
    } finally {
      await chromium.close();
    }
  });

  test("tokens and stream keys let in, and wrong ones are told so", async () => {
    const apps = "  domains:\n    - apps:\n        - { name: live, publish: token, play: token, stream_keys: { keyed: s3cret } }\n";
    const server = await liveServer("tokens", apps);
    const token = (...grant) => server.command("create-live-token", ...grant);
    const [mine, other, view] = await Promise.all([
      token("--publish", "--play", "--stream", "live/mine"),
      token("--publish", "--play", "--stream", "live/other"),
      token("--play", "--stream", "live/*"),
    ]);
    const forged = `${mine.slice(0, -6)}AAAAAA`;

    publish("token", server.rtmp(`mine?token=${mine}`), { video: H264_IN_ORDER });
    publish("key", server.rtmp("keyed?key=s3cret"), { video: H264_IN_ORDER });
    const at = (stream, given) => `${server.flv(stream)}${given}`;
    const status = async (url) => (await fetch(url, { method: "HEAD" })).status;
    for (const [stream, given] of [["mine", `?token=${mine}`], ["keyed", `?token=${view}`]]) {
      await until(`${stream} to play`, async () => (await status(at(stream, given))) === 200);
    }
    await plays([
      new Watcher("token-rtmp", server.rtmp(`mine?token=${mine}`)),
      new Watcher("token-flv", at("mine", `?token=${view}`)),
      new Watcher("token-hls", `${server.hls("mine")}?token=${view}`),
      new Watcher("key-rtmp", server.rtmp(`keyed?token=${view}`)),
    ]);

    for (const [given, wanted, why] of [
      ["", 401, /token/],
      ["?token=", 401, /token/],
      [`?token=${forged}`, 401, /signature/],
      ["?key=s3cret", 401, /token/],
      [`?token=${other}`, 403, /not for this stream/],
    ]) {
      for (const url of [at("mine", given), `${server.hls("mine")}${given}`]) {
        const answer = await fetch(url);
        if (answer.ok) await answer.body.cancel();
        assert.equal(answer.status, wanted, given);
        assert.match(await answer.text(), why, given);
      }
    }
    const attempts = {
      none: ["mine", /token/],
      forged: [`mine?token=${forged}`, /signature/],
      other: [`mine?token=${other}`, /not for this stream/],
      "view-only": [`mine?token=${view}`, /not for this stream/],
      "wrong-key": ["keyed?key=wrong", /key/],
      "key-of-another": ["mine?key=s3cret", /key|token/],
    };
    await Promise.all(
      Object.entries(attempts).map(async ([name, [stream, why]]) => {
        assert.match(await refused(name, server.rtmp(stream), true), why, name);
      }),
    );
    assert.match(await refused("play", server.rtmp("mine"), false), /token/);
  });

  test("callbacks over HTTPS say who may come, and hear who has gone", async () => {
    const heard = [];
    const hook = createServer({ cert: readFileSync(TLS["server.pem"]), key: readFileSync(TLS["server.key"]) }, (request, response) => {
      let body = "";
      request.on("data", (data) => (body += data));
      request.on("end", () => {
        const notice = JSON.parse(body);
        heard.push(notice);
        response.writeHead(notice.stream === "forbidden" || notice.query?.who === "eve" ? 403 : 204).end();
      });
    });
    await new Promise((ready) => hook.listen(0, "127.0.0.1", ready));
    const url = `https://127.0.0.1:${hook.address().port}/hook`;
    const config = ["on_publish", "on_play", "on_close"].map((name) => `  ${name}: ${url}\n`).join("");
    const [server, strict] = await Promise.all([
      liveServer("callbacks", config, { env: TRUSTING }),
      liveServer("callbacks-strict", config, { env: { SSL_CERT_FILE: "/dev/null", SSL_CERT_DIR: "/nonexistent" } }),
    ]);
    const publisher = publish("callbacks", server.rtmp("demo?who=ann"), { video: H264_IN_ORDER });
    await until("the publisher to be announced", () => heard.some(({ action }) => action === "on_publish"));
    const watcher = new Watcher("callbacks", server.flv("demo"));
    await watcher.plays(2);
    await watcher.stop();
    assert.match(await refused("callback-publish", server.rtmp("forbidden"), true), /operator/);
    assert.match(await refused("callback-play", server.rtmp("demo?who=eve"), false), /operator/);
    assert.equal((await fetch(`${server.flv("demo")}?who=eve`)).status, 403);
    assert.match(await refused("callback-untrusted", strict.rtmp("demo"), true), /operator/);
    await publisher.kill();
    const closed = (wanted) => until(`${wanted} to be closed`, () => heard.find(({ action, what }) => action === "on_close" && what === wanted));
    assert.equal((await closed("play")).why, "left");
    const { why, seconds, ...rest } = await closed("publish");
    assert.equal(why, "left");
    assert.ok(seconds > 1, `${seconds}`);
    assert.deepEqual([rest.domain, rest.app, rest.stream, rest.protocol], ["default", "live", "demo", "rtmp"]);
    const begun = heard.find(({ action }) => action === "on_publish");
    assert.deepEqual(begun.query, { who: "ann" });
    assert.match(begun.address, /^127\.0\.0\.1:\d+$/);
    hook.closeAllConnections();
    hook.close();
  });
});

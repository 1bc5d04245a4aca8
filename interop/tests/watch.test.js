/** The watch page in Chromium: it waits, plays, falls back, and is close to the live edge. */

import assert from "node:assert/strict";
import { join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import { Chromium } from "../harness/chromium.js";
import { AAC, AV1, H264, OPUS, VP9, publish, publishRemuxed } from "../harness/ffmpeg.js";
import { flows, liveServer, stopAll, publishClock, readClock } from "../harness/live.js";
import { ARTIFACTS } from "../harness/server.js";
import { until } from "../harness/until.js";

const DESKTOP = { viewport: { width: 1280, height: 900 } };
const PHONE = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true };

/** From opening the page: what a user should wait at most. */
const FIRST_PICTURE_MS = 1000;
/** Where a page that has a picture of its own takes so much that ours may not take five times that, the machine is busy. */
const TIMES_BARE = 5;
/** Openings of which the middle one is judged. */
const OPENINGS = 7;

const shot = (page, name) => page.screenshot({ path: join(ARTIFACTS, `watch-${name}.png`) });
const figure = (page, name) => page.locator(".watch-figure", { hasText: name });
const protocol = (page) => figure(page, "Protocol");

const median = (numbers) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];

/** A page with a picture of its own: what it costs here and now to open any page with a video, and nothing else. */
const BARE = `data:text/html,<canvas></canvas><video autoplay muted playsinline></video><script>
  const canvas = document.querySelector("canvas"), video = document.querySelector("video");
  setInterval(() => canvas.getContext("2d").fillRect(0, 0, Math.random() * 100, 9), 20);
  video.srcObject = canvas.captureStream();
  video.requestVideoFrameCallback(() => performance.mark("watch:shown"));
</script>`;

/** When a page had got how far, in milliseconds since it was opened; waits until it has got to the `last`. */
async function milestones(page, last) {
  await page.waitForFunction((name) => performance.getEntriesByName(name).length > 0, `watch:${last}`);
  return page.evaluate(() => {
    const reached = { html: performance.getEntriesByType("navigation")[0].responseEnd };
    for (const { name, startTime } of performance.getEntriesByType("mark")) {
      if (name.startsWith("watch:")) reached[name.slice("watch:".length)] ??= startTime;
    }
    return reached;
  });
}

/** The latency that the page shows, in seconds. */
async function shownLatency(page) {
  const text = await figure(page, "Latency").locator("dd").textContent();
  const [, number, unit] = /([\d.]+) (ms|s)/.exec(text) ?? assert.fail(text);
  return unit === "ms" ? number / 1000 : Number(number);
}

/** Seconds from a picture's publication to its being shown: the median of some looks, when it has settled. */
async function latency(page, clock, below) {
  const look = async () => {
    const { number, at } = await page.locator("video").evaluate(readClock);
    return (at - clock.sentAt(number)) / 1000;
  };
  return until(`a latency below ${below} s`, async () => {
    const seen = [];
    for (let n = 0; n < 9; n += 1) seen.push(await look());
    const usual = median(seen);
    if (usual >= below) throw new Error(`${usual.toFixed(2)} s`);
    return usual;
  });
}

describe("watch", () => {
  let server, chromium;
  before(async () => {
    [server, chromium] = await Promise.all([liveServer("watch"), Chromium.launch()]);
  });
  afterEach(() => chromium.clear());
  after(async () => {
    await Promise.all([chromium?.close(), stopAll()]);
  });
  const address = (stream) => `${server.http}/watch/live/${stream}`;

  test("a page that is there before its stream plays it by itself, and both ways are close to live", async (context) => {
    const page = await chromium.open(address("early"), DESKTOP);
    await page.getByText("Not live yet").waitFor();
    await shot(page, "waiting");
    const clock = publishClock("early", server.rtmp("early"));
    await flows(page);
    await protocol(page).getByText("HTTP-FLV").waitFor();
    const flv = await latency(page, clock, 1.5);
    const shown = { flv: await shownLatency(page) };
    await figure(page, "Picture").getByText("224×128").waitFor();
    await figure(page, "Bitrate").getByText(/^\d+ kbit\/s$/).waitFor();
    await shot(page, "flv");

    await page.getByRole("button", { name: "LL-HLS", exact: true }).click();
    await protocol(page).getByText("LL-HLS").waitFor();
    await flows(page);
    const hls = await latency(page, clock, 2.5);
    shown.hls = await shownLatency(page);
    await shot(page, "ll-hls");
    const said = `by the clock in the picture: FLV ${flv.toFixed(2)} s, LL-HLS ${hls.toFixed(2)} s; shown: ${shown.flv} s, ${shown.hls} s`;
    context.diagnostic(said);
    // FLV carries no wall clock: it is behind the newest frame by what is shown.
    assert.ok(shown.flv < 1.5 && Math.abs(shown.hls - hls) < 1, said);

    // The publisher goes, and comes again.
    await clock.process.kill();
    await page.locator('[data-status="stalled"]').waitFor();
    publishClock("early-again", server.rtmp("early"));
    await flows(page);
  });

  test("a stream that runs is seen at once, listed, and has its addresses", async (context) => {
    publishClock("running", server.rtmp("running"));
    await until("the stream to be listed", async () => {
      const answer = await fetch(`${server.http}/api/v1/watch`);
      return (await answer.json()).streams.some(({ stream, width }) => stream === "running" && width > 0);
    });
    const list = await chromium.open(`${server.http}/watch`, DESKTOP);
    await list.getByRole("link", { name: "running" }).waitFor();
    // Its picture is the newest key frame, decoded there; the server is left alone again.
    const art = list.getByRole("link", { name: "running" }).locator("img");
    await until("a picture of it", () => art.evaluate((image) => image.naturalWidth === 224));
    await until("nobody to play it", async () => (await server.api("streams/default/live/running")).players.total === 0);
    await shot(list, "list");
    await list.setViewportSize(PHONE.viewport);
    await shot(list, "list-phone");
    await list.close();

    const page = await chromium.open(address("running"), PHONE);
    await flows(page);
    await protocol(page).getByText(/^first picture in/).waitFor();
    await page.screenshot({ path: join(ARTIFACTS, "watch-phone.png"), fullPage: true });
    for (const wanted of [server.rtmp("running"), server.flv("running"), server.hls("running")]) {
      await page.getByText(wanted, { exact: true }).waitFor();
    }
    await page.context().close();

    const opened = { ours: [], bare: [] };
    const open = async (url, last) => {
      const page = await chromium.open(url, DESKTOP);
      const reached = await milestones(page, last);
      await page.context().close();
      return reached;
    };
    for (let n = 0; n < OPENINGS; n += 1) {
      opened.bare.push(await open(BARE, "shown"));
      opened.ours.push(await open(address("running"), "drawn"));
    }
    const usual = (all, milestone) => Math.round(median(all.map((reached) => reached[milestone])));
    const stages = Object.keys(opened.ours[0]).map((milestone) => `${milestone} ${usual(opened.ours, milestone)}`);
    const [ours, bare] = [usual(opened.ours, "shown"), usual(opened.bare, "shown")];
    const said = `milliseconds to the first picture, the middle one of ${OPENINGS}: ${stages.join(", ")}; bare page ${bare}`;
    context.diagnostic(said);
    assert.ok(ours < Math.max(FIRST_PICTURE_MS, TIMES_BARE * bare), said);
  });

  test("what fails while it plays is left for another way", async () => {
    const apps = (flv) => `  domains:\n    - apps:\n        - { name: live, publish: open, flv: ${flv} }\n`;
    const cut = await liveServer("watch-cut", apps(true));
    publishClock("cut", cut.rtmp("cut"));
    await cut.plays("cut");
    const page = await chromium.open(`${cut.http}/watch/live/cut`, DESKTOP);
    await flows(page);
    await protocol(page).getByText("HTTP-FLV").waitFor();
    // The operator switches FLV off, and the player's connection is cut. The next way takes its time.
    let slowly = true;
    await page.route(/\.m3u8/, async (route) => {
      await until("the look at the page", () => !slowly);
      await route.continue();
    });
    cut.reloadLive(apps(false));
    await until("FLV to be off", async () => (await fetch(cut.flv("cut"), { method: "HEAD" })).status === 403);
    const { playing } = await cut.api("streams/default/live/cut");
    for (const { id } of playing) await cut.api(`players/${id}`, { method: "DELETE" });
    await page.getByText("Connecting over LL-HLS…").waitFor();
    await shot(page, "falls-back");
    await page.setViewportSize(PHONE.viewport);
    await shot(page, "falls-back-phone");
    slowly = false;
    await protocol(page).getByText("LL-HLS").waitFor();
    await flows(page);
  });

  for (const [name, what] of [
    ["VP9 and AAC", { video: VP9, audio: AAC }],
    ["H.264 and Opus", { video: H264, audio: OPUS }],
    ["AV1 and Opus", { video: AV1, audio: OPUS }],
  ]) {
    test(`${name} play over LL-HLS with their sound`, async () => {
      const stream = name.replaceAll(" ", "-");
      (what.audio === OPUS ? publishRemuxed : publish)(stream, server.rtmp(stream), what);
      await server.plays(stream);
      await server.cuts(stream);
      assert.ok((await (await fetch(server.hls(stream))).text()).endsWith("\nfmp4.m3u8\n"));
      const page = await chromium.open(address(stream), DESKTOP);
      await page.getByRole("button", { name: "LL-HLS", exact: true }).click();
      await protocol(page).getByText("LL-HLS").waitFor();
      await flows(page);
      await shot(page, stream);
      await page.context().close();
    });
  }

  test("a page over HTTPS plays over HTTPS", async () => {
    const secure = await liveServer("watch-tls", "", { tls: true });
    publishClock("secure", secure.rtmp("secure"));
    await secure.plays("secure");
    const page = await chromium.open(`${secure.http}/watch/live/secure`, { ...DESKTOP, ignoreHTTPSErrors: true });
    await flows(page);
    for (const wanted of [secure.rtmp("secure"), secure.flv("secure"), secure.hls("secure")]) {
      await page.getByText(wanted, { exact: true }).waitFor();
    }
    await page.getByRole("button", { name: "LL-HLS", exact: true }).click();
    await protocol(page).getByText("LL-HLS").waitFor();
    await flows(page);
  });

  test("the page comes small and is kept, and names its own version each time", async () => {
    const get = (path, coding) => fetch(`${server.http}${path}`, { headers: { "accept-encoding": coding } });
    const kept = (answer) => answer.headers.get("cache-control");
    const coding = (answer) => answer.headers.get("content-encoding");
    const page = await get("/watch/live/any", "gzip");
    const html = await page.text();
    assert.deepEqual([kept(page), coding(page)], ["no-cache", "gzip"]);
    const scripts = [...html.matchAll(/"(\/assets\/[^"]+\.js)"/g)].map(([, path]) => path);
    // All that the first picture needs is named by the page, and fetched at once; nothing of meetings is.
    for (const wanted of ["mpegts", "react", "page"]) assert.ok(scripts.some((path) => path.includes(wanted)), html);
    assert.ok(!html.includes("livekit") && !html.includes("hls"), html);
    const large = scripts.find((path) => path.includes("react"));
    const bodies = [];
    for (const [offered, wanted] of [["gzip, deflate, br", "br"], ["gzip", "gzip"], ["br;q=0, gzip;q=0.5", "gzip"], ["identity", null]]) {
      const answer = await get(large, offered);
      assert.deepEqual([coding(answer), kept(answer)], [wanted, "public, max-age=31536000, immutable"], offered);
      assert.match(answer.headers.get("content-type"), /^text\/javascript/);
      assert.match(answer.headers.get("vary"), /accept-encoding/);
      bodies.push(await answer.text());
    }
    assert.equal(new Set(bodies).size, 1);
  });

  test("a stream that needs a token says so", async () => {
    const closed = await liveServer("watch-closed", "  play: token\n");
    const page = await chromium.open(`${closed.http}/watch/live/secret`, PHONE);
    await page.getByText("This stream needs a token").waitFor();
    await shot(page, "token");
  });
});

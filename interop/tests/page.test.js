/** The page that the binary serves: two people meet through its form, on a desktop and on a phone. */

import assert from "node:assert/strict";
import { join } from "node:path";
import { it } from "node:test";
import { ARTIFACTS } from "../harness/server.js";
import { freshRoom, setUp } from "../harness/suite.js";
import { until } from "../harness/until.js";

const suite = setUp("page");
const DESKTOP = { viewport: { width: 1280, height: 800 } };
const PHONE = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true };

const shot = (page, name) => page.screenshot({ path: join(ARTIFACTS, `page-${name}.png`) });
const button = (page, name) => page.getByRole("button", { name });
const tile = (page, text) => page.locator(".tile", { hasText: text });

async function enter(page, name) {
  await page.getByLabel("Your name").fill(name);
  await button(page, "Join the meeting").click();
  await page.locator(".tile").first().waitFor();
}

/** The picture in somebody's tile moves on. */
async function plays(page, text, what = tile(page, text)) {
  let start;
  await until(`the picture of ${text} to move`, async () => {
    const now = await what.locator("video").evaluate((video) => (video.videoWidth > 0 ? video.currentTime : undefined));
    start ??= now;
    return now > start + 0.3;
  });
}

it("two people meet through the form, talk, share, chat and leave", async () => {
  const room = freshRoom("page");
  const ada = await suite.chromium.open(suite.server.http, DESKTOP);
  await ada.locator(".mirror video:not([hidden])").waitFor();
  await shot(ada, "lobby");
  await ada.getByLabel("Room", { exact: true }).fill(room);
  await enter(ada, "Ada Lovelace");
  assert.equal(new URL(ada.url()).pathname, `/r/${room}`);
  await shot(ada, "alone");

  // The second one comes by the link that the first would send.
  const bob = await suite.chromium.open(`${suite.server.http}/r/${room}`, PHONE);
  await bob.locator(".mirror video:not([hidden])").waitFor();
  await shot(bob, "lobby-phone");
  assert.equal(await bob.getByLabel("Room", { exact: true }).inputValue(), room);
  await enter(bob, "Bob");

  await plays(ada, "Bob");
  await plays(bob, "Ada Lovelace");
  await shot(ada, "meeting");
  await shot(bob, "meeting-phone");

  await button(bob, "Mute").click();
  await tile(ada, "Bob").locator(".tile-silent").waitFor();
  await button(bob, "Turn camera off").click();
  await tile(ada, "Bob").locator(".avatar").waitFor();
  await button(bob, "Turn camera on").click();
  await plays(ada, "Bob");

  await button(ada, /^Chat/).click();
  await ada.getByLabel("Message to everybody").fill("Can you read this? https://example.org/notes");
  await ada.keyboard.press("Enter");
  await button(bob, "Chat, 1 new").click();
  await bob.locator(".chat-message", { hasText: "Can you read this?" }).waitFor();
  await bob.getByLabel("Message to everybody").fill("Loud and clear.");
  await button(bob, "Send").click();
  await ada.locator(".chat-message", { hasText: "Loud and clear." }).waitFor();
  await shot(ada, "chat");
  await shot(bob, "chat-phone");
  await button(bob, "Close chat").click();

  await button(ada, "Share your screen").click();
  const screen = bob.locator(".tile-large", { hasText: "screen" });
  await screen.waitFor();
  await plays(bob, "screen", screen);
  await shot(bob, "screen-phone");
  await button(ada, "Stop sharing your screen").click();
  await screen.waitFor({ state: "detached" });

  await button(bob, "Leave the meeting").click();
  await bob.getByRole("heading", { name: "You left the meeting" }).waitFor();
  await tile(ada, "Bob").waitFor({ state: "detached" });
  await shot(bob, "left-phone");
  assert.deepEqual(ada.said.filter((line) => line.startsWith("uncaught")), []);
});

it("says in words that a name is missing, and that the server went away", async () => {
  const page = await suite.chromium.open(suite.server.http, DESKTOP);
  await button(page, "Join the meeting").click();
  await page.getByText("Say who you are.").waitFor();
  await enter(page, "Cyd");

  await suite.server.kill("SIGKILL");
  await page.locator(".connection-note").waitFor();
  await shot(page, "reconnecting");
  await suite.server.run();
  await page.locator(".connection-note").waitFor({ state: "detached", timeout: 60_000 });

  suite.server.signal("SIGTERM");
  await page.getByRole("heading", { name: "The server is shutting down" }).waitFor();
  await shot(page, "shutdown");
});

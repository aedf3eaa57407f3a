// Pages whose ids are their certificates: both sides verify each other, and one that is kept keeps its id.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { BROWSERS, closeBrowsers, open } from "./browsers.mjs";
import { meet, START } from "./peers.mjs";
import { keyed, LIMIT, relay, site } from "./surroundings.mjs";

after(closeBrowsers);

const PAIRS = [
  ["chromium", "chromium"],
  ["chromium", "firefox"],
  ["firefox", "chromium"],
  ["firefox", "firefox"],
  ["chromium", "native"],
  ["native", "chromium"],
  ["firefox", "native"],
  ["native", "firefox"],
];

const start = (t, kind, url) => (kind === "native" ? keyed(t, url) : START[kind](t, url));

/** The id that a fingerprint gives, computed here on its own. */
function uuidOf(fingerprint) {
  const bytes = fingerprint.split(":").slice(0, 16).map((pair) => Number.parseInt(pair, 16));
  bytes[6] = 0x80 | (bytes[6] & 0x0f);
  bytes[8] = 0x80 | (bytes[8] & 0x3f);
  const hex = bytes.map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/(.{8})(.{4})(.{4})(.{4})(.{12})/, "$1-$2-$3-$4-$5");
}

for (const [offering, answering] of PAIRS) {
  test(`${offering} and ${answering} verify each other`, LIMIT, async (t) => {
    const url = await relay(t, "crosspeer-relay");
    const [offerer, answerer] = [await start(t, offering, url), await start(t, answering, url)];
    await meet(offerer, answerer);
    for (const [one, other] of [[offerer, answerer], [answerer, offerer]]) {
      const { verified, fingerprint } = await one.ask("identity", { peer: other.uuid });
      assert.equal(verified, true);
      assert.equal(uuidOf(fingerprint), other.uuid);
    }
  });
}

for (const browser of BROWSERS) {
  test(`${browser} keeps an identity over a reload, and another under another name`, LIMIT, async (t) => {
    const url = await relay(t, "crosspeer-relay");
    const page = await open(t, browser, await site(t));
    const { uuid } = await page.join(url, { identity: "mine" });
    await page.load();
    assert.equal((await page.join(url, { identity: "mine" })).uuid, uuid);
    await page.load();
    assert.notEqual((await page.join(url, { identity: "other" })).uuid, uuid);
    await page.load();
    assert.notEqual((await page.join(url)).uuid, uuid);
  });

  test(`${browser} and ProxyStore are not verified, and can be refused`, LIMIT, async (t) => {
    const url = await relay(t, "proxystore-relay");
    const [page, python] = [await START[browser](t, url), await START.ProxyStore(t, url)];
    await meet(page, python);
    assert.equal((await page.ask("identity", { peer: python.uuid })).verified, false);
    const strict = await (await open(t, browser, await site(t))).join(url, { requireVerified: true });
    await assert.rejects(strict.sendText(python.uuid, "?"), /cannot be verified/);
  });
}

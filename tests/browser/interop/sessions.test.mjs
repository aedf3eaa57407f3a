// Connections that outlive what happens to their ends: a process that stands still, a page that is frozen, a relay that goes.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { BROWSERS, closeBrowsers, open } from "./browsers.mjs";
import { meet } from "./peers.mjs";
import { keyed, LIMIT, native, relay, site } from "./surroundings.mjs";

after(closeBrowsers);

const lasting = async (t, browser, url) => (await open(t, browser, await site(t))).join(url, { sessionTimeout: 60_000 });

const texts = (what) => Array.from({ length: 40 }, (_, index) => `${what} ${index}`);

/** All of them arrive, once and in order. */
async function passes(from, to, what, meanwhile = async () => {}) {
  const send = async () => {
    for (const text of texts(what)) await from.sendText(to.uuid, text);
  };
  const sending = send();
  await meanwhile();
  for (const text of texts(what)) assert.deepEqual(await to.recvText(), { from: from.uuid, text });
  await sending;
}

for (const browser of BROWSERS) {
  for (const [how, start] of [
    ["with a random id", native],
    ["whose id is a key", keyed],
  ]) {
    test(`a page of ${browser} and a native peer ${how} that stands still go on where they were`, LIMIT, async (t) => {
      const url = await relay(t, "crosspeer-relay");
      const [page, peer] = [await lasting(t, browser, url), await start(t, url)];
      await meet(page, peer);
      await page.ask("watch", { peer: peer.uuid });
      peer.process.kill("SIGSTOP");
      await passes(page, peer, "while it slept", async () => {
        const begun = performance.now();
        await page.ask("until", { peer: peer.uuid, state: "reconnecting" });
        t.diagnostic(`its silence was noticed after ${Math.round(performance.now() - begun)} ms`);
        peer.process.kill("SIGCONT");
      });
      await page.ask("until", { peer: peer.uuid, state: "connected" });
      await passes(peer, page, "the other way");
      await passes(page, peer, "and again");
    });
  }

  test(`what a page of ${browser} has with a native peer outlives the relay`, LIMIT, async (t) => {
    const gone = {};
    const url = await relay(t, "crosspeer-relay", gone);
    const [page, peer] = [await lasting(t, browser, url), await native(t, url)];
    await meet(peer, page);
    await page.ask("watch", { peer: peer.uuid });
    gone.child.kill("SIGKILL");
    await gone.ended;
    await passes(page, peer, "without a relay");
    await passes(peer, page, "the other way");
    assert.equal(await page.ask("state", { peer: peer.uuid }), "connected");
  });
}

test("a page of chromium that is frozen has everything when it wakes", LIMIT, async (t) => {
  const url = await relay(t, "crosspeer-relay");
  const [page, peer] = [await lasting(t, "chromium", url), await native(t, url)];
  await meet(page, peer);
  const session = await page.page.context().newCDPSession(page.page);
  const freeze = (state) => session.send("Page.setWebLifecycleState", { state });
  await freeze("frozen");
  await passes(peer, page, "while it was frozen", () => freeze("active"));
  await passes(page, peer, "the other way");
});

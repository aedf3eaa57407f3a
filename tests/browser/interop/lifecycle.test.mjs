// Pages that go away, and peers that a page sees going.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { BROWSERS, closeBrowsers, open } from "./browsers.mjs";
import { meet, START } from "./peers.mjs";
import { digests } from "./samples.js";
import { LIMIT, proxystore, relay, site } from "./surroundings.mjs";

after(closeBrowsers);

/** Milliseconds. Python notices a peer that went without a word after 30,000, and has no event for it. */
const AT_ONCE = 15_000;

/** Python has let go of its connections. */
async function noticed(python) {
  const begun = performance.now();
  while ((await python.ask("connections")).length > 0) {
    assert.ok(performance.now() - begun < AT_ONCE, "Python was not told");
  }
  return `noticed after ${Math.round(performance.now() - begun)} ms`;
}

const MIB = 1 << 20;
/** Different ones, more than anybody's buffers hold. */
const MANY = Array.from({ length: 8 }, (_, index) => ({ kind: "bytes", size: MIB + index }));

for (const browser of BROWSERS) {
  const others = ["native", "ProxyStore", browser];

  for (const [how, go] of [
    ["closed", (page) => page.close()],
    ["left", (page) => page.leave()],
  ]) {
    for (const other of others) {
      test(`${other} learns at once that a page of ${browser} was ${how}`, LIMIT, async (t) => {
        const url = await relay(t, "crosspeer-relay");
        const [page, peer] = [await START[browser](t, url), await START[other](t, url)];
        await meet(page, peer);
        if (other === "ProxyStore") {
          await go(page);
          t.diagnostic(await noticed(peer));
          return;
        }
        await peer.ask("watch", { peer: page.uuid });
        const closed = peer.ask("closed", { peer: page.uuid });
        const begun = performance.now();
        await go(page);
        assert.equal(await closed, "closed");
        t.diagnostic(`noticed after ${Math.round(performance.now() - begun)} ms`);
      });
    }
  }

  for (const other of others) {
    test(`what a page of ${browser} has sent arrives at ${other} though it closes`, LIMIT, async (t) => {
      const url = await relay(t, "crosspeer-relay");
      const [page, peer] = [await START[browser](t, url), await START[other](t, url)];
      await meet(page, peer);
      const arriving = MANY.map(() => peer.recv());
      await page.ask("sendAndClose", { peer: peer.uuid, samples: MANY });
      const received = (await Promise.all(arriving)).map(({ digest }) => digest);
      assert.deepEqual(received.sort(), (await digests(MANY)).sort());
      if (other === "ProxyStore") await noticed(peer);
    });
  }

  test(`a page of ${browser} notices that Python was killed, and its sends fail`, LIMIT, async (t) => {
    const url = await relay(t, "crosspeer-relay");
    const [page, python] = [await START[browser](t, url), await proxystore(t, url)];
    await meet(page, python);
    await page.ask("watch", { peer: python.uuid });
    const flood = page.ask("flood", { peer: python.uuid, sample: MANY[0] });
    await python.recv(); // it is in the middle of them
    const begun = performance.now();
    python.kill();
    assert.equal(await page.ask("closed", { peer: python.uuid }), "connection-lost");
    t.diagnostic(`noticed after ${Math.round(performance.now() - begun)} ms`);
    assert.equal(await flood, "connection-lost");
  });

  test(`a page of ${browser} notices that Python closes, and both can call again`, LIMIT, async (t) => {
    const url = await relay(t, "crosspeer-relay");
    const [page, python] = [await START[browser](t, url), await proxystore(t, url)];
    await meet(python, page);
    await page.ask("watch", { peer: python.uuid });
    const begun = performance.now();
    await python.ask("close_connection", { peer: page.uuid });
    assert.equal(await page.ask("closed", { peer: python.uuid }), "closed");
    t.diagnostic(`noticed after ${Math.round(performance.now() - begun)} ms`);
    await meet(page, python, "again");
    await page.ask("closeConnection", { peer: python.uuid });
    await noticed(python);
    await meet(python, page, "and the other way");
  });

  test(`a page of ${browser} that is reloaded is back at Python under its own id`, LIMIT, async (t) => {
    const url = await relay(t, "crosspeer-relay");
    const python = await proxystore(t, url);
    const page = await (await open(t, browser, await site(t))).join(url, { identity: "mine" });
    await meet(page, python);
    const { uuid } = page;
    await page.load();
    await noticed(python);
    await page.join(url, { identity: "mine" });
    assert.equal(page.uuid, uuid);
    t.diagnostic(`back after ${await meet(page, python, "back")} ms`);
    await meet(python, page, "welcome");
  });
}

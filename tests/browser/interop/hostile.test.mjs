// Pages at relays that work for somebody else: whoever is dialled is reached, or nobody, and tampering is named.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { closeBrowsers, open } from "./browsers.mjs";
import { hostile, LIMIT, site, tricks } from "./surroundings.mjs";

after(closeBrowsers);

const options = { connectTimeout: 5_000 };

for (const [calling, called] of [["chromium", "firefox"], ["firefox", "chromium"]]) {
  for (const [trick, end] of tricks()) {
    test(`${calling} calls ${called} at a relay that ${trick}`, LIMIT, async (t) => {
      const url = await hostile(t, trick);
      const join = async (browser, name) => (await open(t, browser, await site(t))).join(url, { ...options, name });
      const [alice, bob] = [await join(calling, "alice"), await join(called, "bob")];
      await join(called, "mallory");
      const arrived = bob.recvText();
      arrived.catch(() => {}); // nothing may come
      const sent = await alice.ask("outcome", { peer: bob.uuid, text: alice.uuid });
      // Either has a connection that is verified, and to the other; or none.
      const seen = await Promise.all([alice.ask("verified"), bob.ask("verified")]);
      for (const [peer, verified] of seen.flat()) {
        assert.ok(verified, trick);
        assert.ok([alice.uuid, bob.uuid].includes(peer), trick);
      }
      if (end === "Connected") {
        assert.equal(sent, "ok");
        assert.deepEqual(await arrived, { from: alice.uuid, text: alice.uuid });
      } else if (end === "Named") {
        const named = sent === "ok" || sent === "closed" ? await alice.ask("closed", { peer: bob.uuid }) : sent;
        assert.equal(named, "identity-mismatch");
      }
    });
  }
}

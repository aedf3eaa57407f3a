// A receiver that reads nothing holds its sender back, be it a page or a program; and loses nothing.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { BROWSERS, closeBrowsers } from "./browsers.mjs";
import { meet, START } from "./peers.mjs";
import { LIMIT, relay } from "./surroundings.mjs";

after(closeBrowsers);

const MIB = 1 << 20;
const SIZE = 256 << 10;
/** What a sender may be ahead by: the receiver's 16 MiB, what is on its way, and its own buffers. */
const [LEAST, MOST] = [8 * MIB, 24 * MIB];
/** Milliseconds after which a message that is not taken counts as held back. */
const HELD = 3_000;

const PAIRS = BROWSERS.flatMap((browser) => [["native", browser], [browser, browser], [browser, "native"]]);

for (const [sender, receiver] of PAIRS) {
  test(`${sender} is held back by ${receiver} that reads nothing, and all arrives once it reads`, LIMIT, async (t) => {
    const url = await relay(t, "crosspeer-relay");
    const [from, to] = [await START[sender](t, url), await START[receiver](t, url)];
    await meet(from, to);
    const fill = (first) => from.ask("fill", { peer: to.uuid, first, size: SIZE, most: 4 * MOST, held: HELD });
    let next = 0;
    for (const round of ["at first", "and again"]) {
      const count = await fill(next);
      t.diagnostic(`${(count * SIZE) / MIB} MiB ${round}`);
      assert.ok(LEAST <= count * SIZE && count * SIZE <= MOST, `${count} messages of ${SIZE} bytes ${round}`);
      if (receiver !== "native") {
        const held = await to.ask("memory");
        t.diagnostic(`the module of the page has ${held / MIB} MiB`);
        assert.ok(held < 2 * MOST, `${held} bytes`);
      }
      assert.equal(await to.ask("drain", { first: next, size: SIZE, count }), count);
      next += count;
    }
    await meet(from, to, "and goes on");
    await meet(to, from, "both ways");
  });
}

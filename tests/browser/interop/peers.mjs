// The kinds of peers, by name, and what every test does with two of them.

import assert from "node:assert/strict";
import { BROWSERS, open } from "./browsers.mjs";
import { native, proxystore, site } from "./surroundings.mjs";

/** How each kind of peer comes to be at a relay. */
export const START = { native, ProxyStore: proxystore };
for (const browser of BROWSERS) {
  START[browser] = async (t, relay, channels = 1) => (await open(t, browser, await site(t))).join(relay, { channels });
}

/** The first message of all, which makes the connection; milliseconds until it is there. */
export async function meet(offerer, answerer, text = "hello") {
  const begun = performance.now();
  const [{ from, text: arrived }] = await Promise.all([answerer.recvText(), offerer.sendText(answerer.uuid, text)]);
  assert.deepEqual([from, arrived], [offerer.uuid, text]);
  return Math.round(performance.now() - begun);
}

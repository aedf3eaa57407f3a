// Pages, native peers and Python ProxyStore: everyone offers and everyone answers, through our relay and through
// proxystore-relay, and every kind and size of message arrives byte for byte.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { BROWSERS, closeBrowsers, open } from "./browsers.mjs";
import { digests, LARGEST, SAMPLES } from "./samples.js";
import { native, proxystore, RELAYS, relay, site } from "./surroundings.mjs";

after(closeBrowsers);

/** How each kind of peer comes to be at a relay. */
const START = { native, ProxyStore: proxystore };
for (const browser of BROWSERS) {
  START[browser] = async (t, relay, channels = 1) => (await open(t, browser, await site(t))).join(relay, { channels });
}

const PAIRS = [
  ...BROWSERS.flatMap((browser) => ["native", "ProxyStore"].flatMap((other) => [[browser, other], [other, browser]])),
  ["chromium", "chromium"],
  ["firefox", "firefox"],
  ["chromium", "firefox"],
  ["firefox", "chromium"],
];

/** The first message of all, which makes the connection; milliseconds until it is there. */
async function meet(offerer, answerer) {
  const begun = performance.now();
  const arrives = answerer.recv();
  await offerer.sendText(answerer.uuid, "hello");
  const { from, digest } = await arrives;
  assert.equal(from, offerer.uuid);
  assert.match(digest, /^text 5 /);
  return Math.round(performance.now() - begun);
}

/** Sends one sample after the other; all arrive, in whatever order. Milliseconds. */
async function send(from, to, samples) {
  const sent = from.sendsEmpty ? samples : samples.filter(({ size }) => size > 0);
  const expected = await digests(sent);
  const begun = performance.now();
  const sending = (async () => {
    for (const sample of sent) await from.send(to.uuid, sample);
  })();
  const received = [];
  while (received.length < sent.length) received.push((await to.recv()).digest);
  await sending;
  assert.deepEqual(received.sort(), expected.sort());
  return Math.round(performance.now() - begun);
}

for (const kind of RELAYS) {
  for (const [offering, answering] of PAIRS) {
    test(`${offering} offers, ${answering} answers, through ${kind}`, async (t) => {
      const url = await relay(t, kind);
      const offerer = await START[offering](t, url);
      const answerer = await START[answering](t, url);
      t.diagnostic(`first message after ${await meet(offerer, answerer)} ms`);
      await Promise.all([send(offerer, answerer, SAMPLES), send(answerer, offerer, SAMPLES)]);
    });
  }
}

// The relay and who offered make no difference any more here.
for (const [one, other] of PAIRS.filter(([one], index) => BROWSERS.includes(one) && index !== PAIRS.length - 1)) {
  test(`64 MiB go from ${one} to ${other} and back`, async (t) => {
    const url = await relay(t, "crosspeer-relay");
    const [here, there] = [await START[one](t, url), await START[other](t, url)];
    await meet(here, there);
    for (const sample of LARGEST) {
      const [to, back] = [await send(here, there, [sample]), await send(there, here, [sample])];
      t.diagnostic(`${sample.kind}: ${to} ms there, ${back} ms back`);
    }
  });
}

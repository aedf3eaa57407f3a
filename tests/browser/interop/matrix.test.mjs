// Pages, native peers and Python ProxyStore: everyone offers and everyone answers, through our relay and through
// proxystore-relay, and every kind and size of message arrives byte for byte.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { BROWSERS, closeBrowsers, open } from "./browsers.mjs";
import { meet, START } from "./peers.mjs";
import { digests, LARGE_TEXT, LARGEST, LARGEST_TEXT, SAMPLES } from "./samples.js";
import { LIMIT, RELAYS, relay, site } from "./surroundings.mjs";

after(closeBrowsers);

const PAIRS = [
  ...BROWSERS.flatMap((browser) => ["native", "ProxyStore"].flatMap((other) => [[browser, other], [other, browser]])),
  ["chromium", "chromium"],
  ["firefox", "firefox"],
  ["chromium", "firefox"],
  ["firefox", "chromium"],
];

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
    test(`${offering} offers, ${answering} answers, through ${kind}`, LIMIT, async (t) => {
      const url = await relay(t, kind);
      const offerer = await START[offering](t, url);
      const answerer = await START[answering](t, url);
      t.diagnostic(`first message after ${await meet(offerer, answerer)} ms`);
      await Promise.all([send(offerer, answerer, SAMPLES), send(answerer, offerer, SAMPLES)]);
    });
  }
}

for (const browser of BROWSERS) {
  test(`${browser} and ProxyStore use the offerer's 4 channels`, LIMIT, async (t) => {
    const url = await relay(t, "proxystore-relay");
    for (const [offering, answering] of [[browser, "ProxyStore"], ["ProxyStore", browser]]) {
      const [offerer, answerer] = [await START[offering](t, url, 4), await START[answering](t, url)];
      await meet(offerer, answerer);
      await Promise.all([send(offerer, answerer, SAMPLES), send(answerer, offerer, SAMPLES)]);
    }
  });

  test(`${browser} tells others only mDNS names, as it does by default`, LIMIT, async (t) => {
    const page = await open(t, browser, await site(t));
    const kinds = await page.ask("candidates");
    t.diagnostic(kinds.join(" "));
    assert.deepEqual([...new Set(kinds)], ["mdns"]);
  });
}

// Neither the relay nor who offered makes a difference any more here.
for (const [one, other] of PAIRS.filter(([one], index) => BROWSERS.includes(one) && index !== PAIRS.length - 1)) {
  const texts = other === "native" ? LARGEST_TEXT : LARGE_TEXT;
  test(`64 MiB go from ${one} to ${other} and back`, LIMIT, async (t) => {
    const url = await relay(t, "crosspeer-relay");
    const [here, there] = [await START[one](t, url), await START[other](t, url)];
    await meet(here, there);
    for (const sample of [LARGEST, texts]) {
      const [to, back] = [await send(here, there, [sample]), await send(there, here, [sample])];
      t.diagnostic(`${sample.size >> 20} MiB ${sample.kind}: ${to} ms there, ${back} ms back`);
    }
  });
}

// Small messages, each awaited before the next, of the package beside those of a data channel as a page uses it by itself:
//
//     cargo xtask npm; cargo build -p crosspeer-relay; node tests/browser/interop/small.mjs [SECONDS [ROUNDS]]
//
// Both ends are pages of one browser. Stacks take turns; the table shows medians, in microseconds a message.

import { BROWSERS, closeBrowsers, open } from "./browsers.mjs";
import { relay, site } from "./surroundings.mjs";

const SECONDS = Number(process.argv[2] ?? 1);
const ROUNDS = Number(process.argv[3] ?? 5);
const SIZES = [64, 256, 1024];

/** Stands in for a test: what is to be done at the end. */
const endings = [];
const t = { after: (end) => endings.push(end) };

const url = (await site(t)).replace("page.html", "speed.html");
const at = await relay(t, "crosspeer-relay");

/** Microseconds that a message takes, for each size. */
async function measure(name, stack) {
  const pages = [await open(t, name, url), await open(t, name, url)];
  const [from, to] = pages;
  await from.ask("open", { relay: at, stack });
  const peer = await to.ask("open", { relay: at, stack });
  await to.ask("serve");
  // The first is for the page to warm up.
  const { times } = await from.ask("small", { peer, sizes: [SIZES[0], ...SIZES], seconds: SECONDS });
  for (const { page } of pages) await page.close();
  return times.slice(1);
}

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];

console.log("browser      bytes   crosspeer    plain    times");
for (const name of process.env.BROWSER ? [process.env.BROWSER] : BROWSERS) {
  const results = { plain: [], crosspeer: [] };
  for (let round = 0; round < ROUNDS; round++) {
    for (const stack of ["plain", "crosspeer"]) results[stack].push(await measure(name, stack));
  }
  SIZES.forEach((size, index) => {
    const [ours, plain] = ["crosspeer", "plain"].map((stack) => median(results[stack].map((times) => times[index])));
    const times = (ours / plain).toFixed(2).padStart(8);
    console.log(name.padEnd(11), String(size).padStart(6), ours.toFixed(2).padStart(11), plain.toFixed(2).padStart(8), times);
  });
}

await closeBrowsers();
for (const end of endings) await end();

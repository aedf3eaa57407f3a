// Throughput and set-up of the package beside a data channel as a page uses it by itself, in one run:
//
//     cargo xtask npm; cargo build --release -p bench-peer; node tests/browser/interop/speed.mjs [SECONDS [ROUNDS [ROW [STACK]]]]
//
// Both ends of a row are of the same stack where they are pages; a native end is always crosspeer, which takes the plain
// page for one of its own kind. Stacks take turns; the table shows medians. With a STACK, each result of it is printed as
// JSON instead.

import { execFile, spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { BROWSERS, closeBrowsers, open } from "./browsers.mjs";
import { site } from "./surroundings.mjs";

const SECONDS = Number(process.argv[2] ?? 2);
const ROUNDS = Number(process.argv[3] ?? 3);
const ONLY = process.argv[4] ?? "";
const STACK = process.argv[5];
const SIZE = 256 << 10;
const BENCH = process.env.BENCH_PEER ?? join(import.meta.dirname, "../../../target/release/bench-peer");

/** Stands in for a test: what is to be done at the end. */
const endings = [];
const t = { after: (end) => endings.push(end) };

/** A bench peer that goes on, and the first line it prints. */
function bench(...args) {
  const process = spawn(BENCH, args, { stdio: ["pipe", "pipe", "inherit"] });
  t.after(() => process.stdin.end());
  return new Promise((resolve) => createInterface({ input: process.stdout }).once("line", resolve));
}

const url = (await site(t)).replace("page.html", "speed.html");
const relay = await bench("relay");
const native = await bench("serve", "crosspeer", "--relay", relay);

async function page(name, stack) {
  const page = await open(t, name, url);
  page.uuid = await page.ask("open", { relay, stack });
  return page;
}

async function toNative(name, stack) {
  const from = await page(name, stack);
  return { result: await from.ask("run", { peer: native, size: SIZE, seconds: SECONDS }), pages: [from] };
}

async function fromNative(name, stack) {
  const to = await page(name, stack);
  await to.ask("serve");
  const args = ["run", "crosspeer", to.uuid, "bulk", "--relay", relay, "--size", SIZE, "--seconds", SECONDS];
  const { stdout } = await promisify(execFile)(BENCH, args.map(String));
  const { bytes, seconds } = JSON.parse(stdout);
  return { result: { rate: bytes / 1_048_576 / seconds }, pages: [to] };
}

async function toPage(name, stack) {
  const [from, to] = [await page(name, stack), await page(name, stack)];
  await to.ask("serve");
  return { result: await from.ask("run", { peer: to.uuid, size: SIZE, seconds: SECONDS }), pages: [from, to] };
}

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];
const shown = (value, digits) => (value === undefined ? "" : value.toFixed(digits)).padStart(9);

if (!STACK) {
  console.log(`${"".padEnd(30)}   MiB/s:              of      set-up, ms:`);
  console.log(`${"".padEnd(30)} crosspeer    plain   plain   crosspeer    plain`);
}
for (const name of BROWSERS) {
  for (const [row, measure] of [
    [`${name} -> native`, toNative],
    [`native -> ${name}`, fromNative],
    [`${name} -> ${name}`, toPage],
  ].filter(([row]) => row.includes(ONLY))) {
    const results = { crosspeer: [], plain: [] };
    for (let round = 0; round < ROUNDS; round++) {
      for (const stack of STACK ? [STACK] : ["plain", "crosspeer"]) {
        const { result, pages } = await measure(name, stack);
        results[stack].push(result);
        for (const { page } of pages) await page.close();
        if (STACK) console.log(JSON.stringify(result));
      }
    }
    if (STACK) continue;
    const of = (stack, what) => median(results[stack].map((result) => result[what]));
    const [rate, plain] = [of("crosspeer", "rate"), of("plain", "rate")];
    const share = `${Math.round((100 * rate) / plain)} %`.padStart(7);
    if (process.env.VERBOSE) console.error(JSON.stringify(results));
    const setups = shown(of("crosspeer", "setup"), 0) + shown(of("plain", "setup"), 0);
    console.log(`${row.padEnd(30)} ${shown(rate, 1)}${shown(plain, 1)} ${share}   ${setups}`);
  }
}

await closeBrowsers();
for (const end of endings) await end();

// Loading the wasm module: limits, signals, and what is said where it cannot be had.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { bare, here, open, PATIENCE, relay } from "./site.mjs";

const LIMIT = { timeout: 3 * PATIENCE };
const WASM = "/crosspeer_wasm_bg.wasm";

/** `[code or name, message]` of how a call of this page ends; `x` stands for what it is given. */
function outcome(page, body, x) {
  return page.evaluate(
    async ([body, x]) => {
      const call = new Function("crosspeer", "x", `return (async () => { ${body} })();`);
      const text = (error) => [error.code && typeof error.code === "string" ? error.code : error.name, error.message];
      return call(globalThis.crosspeer, x).then((value) => ["ok", value], text);
    },
    [body, x],
  );
}

/** Answers the module's request itself, by `answer(response)`. */
const instead = (answer) => (path, response) => path === WASM && (answer(response), true);
const JOIN = "const p = await crosspeer.PeerManager.join(x.relay, { iceServers: [], ...x.options }); await p.close();";

test("a signal and the time limit hold while the module is loading, and the next call begins anew", LIMIT, async (t) => {
  const answers = [];
  let hangs = true;
  const page = await bare(t, (path, response) => {
    if (path !== WASM || !hangs) return false;
    answers.push(response); // headers and all are yet to come
    return true;
  });
  const aborted = `const stop = new AbortController();
    setTimeout(() => stop.abort(), 50);
    await crosspeer.PeerManager.join(x.relay, { signal: stop.signal });`;
  assert.equal((await outcome(page, aborted, { relay }))[0], "AbortError");
  const [code, message] = await outcome(page, JOIN, { relay, options: { connectTimeout: 100 } });
  assert.equal(code, "timeout");
  assert.match(message, /wasm module was not loaded within 100 ms/);
  const client = "await crosspeer.RelayClient.connect(x.relay, { connectTimeout: 100 });";
  assert.equal((await outcome(page, client, { relay }))[0], "timeout");
  assert.equal(answers.length, 3);
  hangs = false;
  assert.deepEqual(await outcome(page, JOIN, { relay }), ["ok", undefined]);
});

test("one that gives up leaves the others waiting", LIMIT, async (t) => {
  let asked;
  const request = new Promise((resolve) => (asked = resolve));
  const page = await bare(t, instead(asked));
  const both = outcome(
    page,
    `const stop = new AbortController();
    const one = crosspeer.PeerManager.join(x.relay, { signal: stop.signal }).catch((error) => error.name);
    const two = crosspeer.PeerManager.join(x.relay, { iceServers: [] });
    await new Promise((resolve) => setTimeout(resolve, 20));
    stop.abort();
    return [await one, (await two).registered];`,
    { relay },
  );
  const response = await request;
  response.writeHead(200, { "content-type": "application/wasm" });
  response.end(await readFile(join(here, "node_modules/crosspeer", WASM)));
  assert.deepEqual(await both, ["ok", ["AbortError", true]]);
});

test("the time of loading counts into the limit for the relay", LIMIT, async (t) => {
  const page = await bare(t);
  const begun = performance.now();
  const [code] = await outcome(page, JOIN, { relay: "ws://127.0.0.1:9", options: { connectTimeout: 300 } });
  assert.equal(code, "relay-unreachable");
  assert.ok(performance.now() - begun < PATIENCE / 2);
});

for (const [what, answer, wanted] of [
  [
    "a server that answers everything with its page",
    (response) => response.writeHead(200, { "content-type": "text/html" }).end("<!doctype html>"),
    /wasm is a web page instead of WebAssembly: let the server have the package's file crosspeer_wasm_bg\.wasm there, or .*`init\(url\)`/,
  ],
  ["a server without it", (response) => response.writeHead(404).end(), /answered 404: let the server have/],
  [
    "something else under its name",
    (response) => response.writeHead(200, { "content-type": "application/json" }).end("{}"),
    /is something else \(application\/json\) instead of WebAssembly/,
  ],
  ["no server", (response) => response.destroy(), /cannot be fetched \(.*\): check the network, and connect-src/],
]) {
  test(`${what}: the message says so and names the cure`, LIMIT, async (t) => {
    const page = await bare(t, instead(answer));
    const [code, message] = await outcome(page, JOIN, { relay });
    assert.equal(code, "platform");
    assert.match(message, wanted);
  });
}

test("a server with the wrong type for it is good enough", LIMIT, async (t) => {
  const bytes = await readFile(join(here, "node_modules/crosspeer", WASM));
  const page = await bare(t, instead((response) => response.writeHead(200, { "content-type": "text/html" }).end(bytes)));
  assert.deepEqual(await outcome(page, JOIN, { relay }), ["ok", undefined]);
});

test("a content security policy that forbids WebAssembly: the message names what it needs", LIMIT, async (t) => {
  const page = await bare(t, undefined, "script-src 'self' 'unsafe-inline'");
  const [code, message] = await page.evaluate((relay) =>
    crosspeer.PeerManager.join(relay).catch((error) => [error.code, error.message]), relay);
  assert.equal(code, "platform");
  assert.match(message, /needs 'wasm-unsafe-eval' in script-src/);
});

for (const [what, init] of [
  ["a URL", "crosspeer.init(new URL('/crosspeer_wasm_bg.wasm', location))"],
  ["text", "crosspeer.init('/crosspeer_wasm_bg.wasm')"],
  ["a request", "crosspeer.init(new Request('/crosspeer_wasm_bg.wasm'))"],
  ["a response", "crosspeer.init(await fetch('/crosspeer_wasm_bg.wasm'))"],
  ["a promise of one", "crosspeer.init(fetch('/crosspeer_wasm_bg.wasm'))"],
  ["bytes", "crosspeer.init(await (await fetch('/crosspeer_wasm_bg.wasm')).arrayBuffer())"],
  ["a module", "crosspeer.init(await WebAssembly.compileStreaming(fetch('/crosspeer_wasm_bg.wasm')))"],
]) {
  test(`init takes ${what}, also after one that failed`, LIMIT, async (t) => {
    const page = await bare(t);
    assert.equal((await outcome(page, "await crosspeer.init('/nowhere.wasm');"))[0], "platform");
    assert.deepEqual(await outcome(page, `await ${init}; ${JOIN}`, { relay }), ["ok", undefined]);
    assert.deepEqual(await outcome(page, `await crosspeer.init(); ${JOIN}`, { relay }), ["ok", undefined]);
  });
}

test("a secure page's relay needs wss, which is said at once", LIMIT, async (t) => {
  const page = await open(t, "about:blank");
  const folder = join(here, "node_modules/crosspeer");
  const index = '<script type="module">globalThis.crosspeer = await import("/index.js");</script>';
  await page.route("https://page.example/**", (route) => {
    const { pathname } = new URL(route.request().url());
    return pathname === "/" ? route.fulfill({ contentType: "text/html", body: index }) : route.fulfill({ path: join(folder, pathname) });
  });
  await page.goto("https://page.example/");
  await page.waitForFunction(() => globalThis.crosspeer);
  const [code, message] = await outcome(page, JOIN, { relay: "ws://relay.example", options: { connectTimeout: 10 * PATIENCE } });
  assert.equal(code, "relay-unreachable");
  assert.match(message, /wss:\/\//);
});

/** What the page of a Vite project comes to at its development server. */
async function vite(t, { createServer }, cache, optimizeDeps) {
  const cacheDir = join(here, cache, ".vite");
  const server = await createServer({ root: here, cacheDir, optimizeDeps, logLevel: "error", configFile: false });
  t.after(() => server.close());
  await server.listen(0);
  const page = await open(t, `${server.resolvedUrls.local[0]}?relay=${encodeURIComponent(relay)}`);
  return (await page.waitForFunction(() => globalThis.result)).jsonValue();
}

test("Vite's development server works as it is", LIMIT, async (t) => {
  assert.equal(await vite(t, await import("vite"), "cache"), "ok");
});

test("an older Vite's works with the cure that the message names", LIMIT, async (t) => {
  const old = await import("vite-6");
  const said = await vite(t, old, "cache-6");
  assert.match(said, /platform: .* set `optimizeDeps: \{ exclude: \["crosspeer"\] \}` in its configuration/);
  assert.equal(await vite(t, old, "cache-6-exclude", { exclude: ["crosspeer"] }), "ok");
});

// The package, installed from its tarball: `cargo xtask test --only npm`.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join } from "node:path";
import { test } from "node:test";
import { chromium } from "playwright-core";

const here = import.meta.dirname;
const relay = process.env.CROSSPEER_TEST_RELAY;
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".wasm": "application/wasm" };

const run = (program, ...args) => execFileSync(join(here, "node_modules/.bin", program), args, { cwd: here, stdio: "pipe" });

/** What the page in this folder comes to, in Chromium. */
async function open(folder) {
  const server = createServer(async (request, response) => {
    const path = request.url.split("?")[0].replace(/\/$/, "/index.html");
    const body = await readFile(join(folder, path)).catch(() => undefined);
    response.writeHead(body ? 200 : 404, { "content-type": TYPES[extname(path)] ?? "text/plain" }).end(body);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
  try {
    const page = await browser.newPage();
    page.on("pageerror", (error) => console.log(String(error)));
    await page.goto(`http://127.0.0.1:${server.address().port}/?relay=${encodeURIComponent(relay)}`);
    return await (await page.waitForFunction(() => globalThis.result, null, { timeout: 60_000 })).jsonValue();
  } finally {
    await browser.close();
    server.close();
  }
}

test("the types are what users expect", () => {
  run("tsc", "--project", "types");
});

test("an import has no side effects and needs no window", () => {
  const script = "const m = await import('crosspeer'); if (typeof m.PeerManager.join !== 'function') throw 1";
  execFileSync(process.execPath, ["--input-type=module", "-e", script], { cwd: here });
});

test("without WebRTC it says what is missing", () => {
  const script = `import { PeerManager } from "crosspeer";
    delete globalThis.WebSocket;
    const error = await PeerManager.join("ws://x").catch((error) => error);
    console.log(error.code, error.message);`;
  const said = execFileSync(process.execPath, ["--input-type=module", "-e", script], { cwd: here, encoding: "utf8" });
  assert.match(said, /^platform there is no WebSocket and no RTCPeerConnection here/);
});

test("a Vite project passes messages in Chromium", async () => {
  run("vite", "build", "--outDir", "dist-vite", "--base", "./");
  assert.equal(await open(join(here, "dist-vite")), "ok");
});

test("a webpack project passes messages in Chromium", async () => {
  run("webpack", "--config", "webpack.config.cjs");
  await writeFile(join(here, "dist-webpack/index.html"), '<!doctype html><script src="main.js"></script>');
  assert.equal(await open(join(here, "dist-webpack")), "ok");
});

test("Node passes messages with a polyfill", () => {
  const said = execFileSync(process.execPath, ["node/index.mjs"], { cwd: here, encoding: "utf8", timeout: 60_000 });
  assert.equal(said.trim(), "ok");
});

test("the README's example runs", () => {
  const script = `import wrtc from "@roamhq/wrtc";
    import { WebSocket } from "ws";
    Object.assign(globalThis, { WebSocket, RTCPeerConnection: wrtc.RTCPeerConnection });
    await (await import("./hello.mjs")).hello(${JSON.stringify(relay)});
    process.exit(0);`;
  const said = execFileSync(process.execPath, ["--input-type=module", "-e", script], { cwd: here, encoding: "utf8", timeout: 60_000 });
  assert.equal(said.trim(), "true hello");
});

// The package, installed from its tarball: `cargo xtask test --only npm`.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { here, relay, result } from "./site.mjs";

/** A package's program, by its file: of some there are two versions. */
const run = (file, ...args) =>
  execFileSync(process.execPath, [join(here, "node_modules", file), ...args], { cwd: here, stdio: "pipe" });
const node = (script, ...args) =>
  execFileSync(process.execPath, [...args, "-e", script], { cwd: here, encoding: "utf8", timeout: 60_000 }).trim();

test("the types are what users expect", () => {
  run("typescript/bin/tsc", "--project", "types");
});

test("the types need nothing but `lib: es2022`, and TypeScript 5.5", () => {
  run("typescript/bin/tsc", "--project", "types/tsconfig.plain.json");
  run("typescript-5.5/bin/tsc", "--project", "types/tsconfig.plain.json");
});

test("an import has no side effects and needs no window", () => {
  const script = "const m = await import('crosspeer'); if (typeof m.PeerManager.join !== 'function') throw 1";
  node(script, "--input-type=module");
});

test("CommonJS has it by `require` where Node requires modules, and by `import()` everywhere", () => {
  const names = "console.log(typeof m.PeerManager.join, typeof m.init)";
  assert.equal(node(`import("crosspeer").then((m) => ${names})`, "--input-type=commonjs"), "function function");
  if (process.features.require_module) {
    assert.equal(node(`const m = require("crosspeer"); ${names}`, "--input-type=commonjs"), "function function");
  }
});

test("tools find the wasm module by its name", () => {
  const script = `console.log(require("node:fs").readFileSync(require.resolve("crosspeer/crosspeer_wasm_bg.wasm")).subarray(1, 4) + "")`;
  assert.equal(node(script, "--input-type=commonjs"), "asm");
});

test("without WebRTC it says what is missing", () => {
  const script = `import { PeerManager } from "crosspeer";
    delete globalThis.WebSocket;
    const error = await PeerManager.join("ws://x").catch((error) => error);
    console.log(error.code, error.message);`;
  const said = node(script, "--input-type=module");
  assert.match(said, /^platform there is no WebSocket and no RTCPeerConnection here/);
});

test("a Vite project passes messages in Chromium", async (t) => {
  run("vite/bin/vite.js", "build", "--outDir", "dist-vite", "--base", "./");
  assert.equal(await result(t, join(here, "dist-vite")), "ok");
});

test("a webpack project passes messages in Chromium", async (t) => {
  run("webpack/bin/webpack.js", "--config", "webpack.config.cjs");
  await writeFile(join(here, "dist-webpack/index.html"), '<!doctype html><script src="main.js"></script>');
  assert.equal(await result(t, join(here, "dist-webpack")), "ok");
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
  assert.equal(node(script, "--input-type=module"), "true hello");
});

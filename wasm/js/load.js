// Loading the wasm module: once, when it is needed, and again where that has failed.

import initWasm from "./crosspeer_wasm.js";
import { CrosspeerError, within } from "./errors.js";

/** Where the module is when nobody says so. Bundlers look for just this expression. */
let locate = () => new URL("./crosspeer_wasm_bg.wasm", import.meta.url);
/** What `init` was given, as long as it can be used. */
let source;
/** The attempt that runs or has succeeded, and how many wait for it. */
let loading;
/** The module becomes an instance once: what handles hold belongs to it. */
let instance;

/** Says where the wasm module is, for surroundings that cannot fetch it from beside this file. */
export function locateBy(find) {
  locate = find;
}

/** Resolves when the module is there. */
export async function load(given, signal, milliseconds) {
  if (given !== undefined) source = given;
  const mine = (loading ??= start());
  mine.waiting++;
  const late = () => {
    const text = `timed out: the wasm module was not loaded within ${milliseconds} ms; check the network, or allow more time`;
    return new CrosspeerError(text, "timeout");
  };
  try {
    await within(mine.done, signal, milliseconds, late);
  } finally {
    // What nobody waits for any more may hang: the next call begins anew.
    if (--mine.waiting === 0 && !mine.loaded) {
      mine.abort.abort();
      if (loading === mine) loading = undefined;
    }
  }
}

function start() {
  const mine = { waiting: 0, loaded: false, abort: new AbortController() };
  const failed = (error) => {
    if (loading === mine) loading = undefined;
    throw new CrosspeerError(`the wasm module cannot be loaded: ${error?.message ?? error}`, "platform", error);
  };
  mine.done = instantiate(mine.abort.signal).then(() => {
    mine.loaded = true;
  }, failed);
  return mine;
}

async function instantiate(signal) {
  const given = source;
  // A response can be read once.
  if (typeof given?.then === "function" || given?.status !== undefined) source = undefined;
  const module = await compile((await given) ?? (await locate()), signal);
  instance ??= initWasm({ module_or_path: module });
  try {
    await instance;
  } catch (error) {
    instance = undefined;
    throw error;
  }
}

/** A compiled module of a module, its bytes, a response, or whatever can be fetched. */
async function compile(from, signal) {
  if (from instanceof WebAssembly.Module) return from;
  if (from instanceof ArrayBuffer || ArrayBuffer.isView(from)) return allowed(WebAssembly.compile(from));
  const response = from.status === undefined ? await fetched(from, signal) : from;
  const where = response.url || "the response";
  if (!response.ok) throw new Error(`${where} answered ${response.status}: ${cure(where)}`);
  const type = response.headers.get("content-type") ?? "";
  // Streaming insists on this type; without it the module still works.
  if (/^application\/wasm\b/i.test(type)) return allowed(WebAssembly.compileStreaming(response));
  const bytes = new Uint8Array(await response.arrayBuffer());
  if (String.fromCharCode(...bytes.subarray(0, 4)) !== "\0asm") {
    const what = /html/i.test(type) ? "a web page" : `something else (${type || "no content type"})`;
    throw new Error(`${where} is ${what} instead of WebAssembly: ${cure(where)}`);
  }
  return allowed(WebAssembly.compile(bytes));
}

async function fetched(from, signal) {
  try {
    return await fetch(from, { signal });
  } catch (error) {
    const where = from.url ?? from;
    const text = `${where} cannot be fetched (${error.message}): check the network, and connect-src in the page's content security policy`;
    throw new Error(text, { cause: error });
  }
}

async function allowed(compiling) {
  try {
    return await compiling;
  } catch (error) {
    if (!/unsafe-eval|security policy|blocked by csp/i.test(error?.message)) throw error;
    const text = `${error.message}: the page's content security policy needs 'wasm-unsafe-eval' in script-src`;
    throw new Error(text, { cause: error });
  }
}

function cure(where) {
  if (where.includes("/@fs/")) return "Vite serves it once `server.fs.allow` in its configuration has the package's folder";
  return where.includes("/.vite/deps/")
    ? 'Vite has moved the package\'s code away from it: set `optimizeDeps: { exclude: ["crosspeer"] }` in its configuration'
    : "let the server have the package's file crosspeer_wasm_bg.wasm there, or say where it is by `init(url)`";
}

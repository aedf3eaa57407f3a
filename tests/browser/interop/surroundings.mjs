// What the pages meet: relays, Python and native peers, a server that hands them the page and the package. All of it
// ends with the test that asked for it.

import { execFileSync, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join } from "node:path";
import { createInterface } from "node:readline";
import { digest, make } from "./samples.js";

const here = import.meta.dirname;
const target = process.env.CARGO_TARGET_DIR ?? join(here, "../../../target");
const built = (name) => join(target, process.env.CROSSPEER_PROFILE ?? "debug", name);
const python = join(target, "venv/bin/python");
const script = (name) => join(here, "../../python", name);

/** Milliseconds that anything may take; nothing is expected to. */
export const PATIENCE = 170_000;
/** For every test: what never comes is a failure. */
export const LIMIT = { timeout: PATIENCE };

export const RELAYS = ["crosspeer-relay", "proxystore-relay"];

const endings = new WeakMap();

/** Does this at the test's end: what was begun last ends first. */
export function atEnd(t, end) {
  if (!endings.has(t)) {
    const stack = [];
    endings.set(t, stack);
    t.after(async () => {
      while (stack.length > 0) await stack.pop()();
    });
  }
  endings.get(t).push(end);
}

/** Starts a program; `line` gets each line it prints. */
function start(t, program, args, line) {
  const child = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] });
  createInterface({ input: child.stdout }).on("line", line);
  const ended = new Promise((resolve) => child.on("exit", resolve));
  atEnd(t, () => {
    child.kill("SIGCONT");
    child.kill();
    return ended;
  });
  return { child, ended };
}

/** A relay on a free port; its URL. Its process is put into `running`; `options` are for `crosspeer-relay`. */
export function relay(t, kind, running = {}, options = ["--host", "127.0.0.1"]) {
  return new Promise((resolve, reject) => {
    const [program, args, pattern] =
      kind === "crosspeer-relay"
        ? [built(kind), [...options, "--port", "0", "--json-logs"], /listening on (ws:[\w.:/]+)/]
        : [python, [script("relay.py")], /^port (\d+)/];
    const { ended } = Object.assign(running, start(t, program, args, (line) => {
      const found = pattern.exec(line)?.[1];
      if (found) resolve(found.startsWith("ws:") ? found : `ws://127.0.0.1:${found}`);
    }));
    ended.then((code) => reject(new Error(`${kind} ended with ${code}`)));
  });
}

/** Every trick of the hostile relay, and how it must end. */
export const tricks = () => JSON.parse(execFileSync(built("hostile-relay"), { encoding: "utf8" }));

/** A relay that works for somebody else; its URL. */
export function hostile(t, trick) {
  return new Promise((resolve, reject) => {
    const { ended } = start(t, built("hostile-relay"), [trick], (line) => resolve(/ws:\S+/.exec(line)[0]));
    ended.then((code) => reject(new Error(`the relay ended with ${code}`)));
  });
}

/** A process that speaks the JSON lines of `tests/python/peer.py`. */
class Peer {
  uuid = randomUUID();
  #waiting = new Map();
  #last = 0;

  static async start(t, program, args) {
    const peer = new Peer();
    const ready = peer.#reply(0);
    const process = start(t, program, args(peer.uuid), (line) => peer.#heard(JSON.parse(line)));
    peer.process = process.child;
    process.ended.then(() => peer.#waiting.forEach(({ reject }) => reject(new Error("the process has ended"))));
    peer.uuid = (await ready) ?? peer.uuid;
    return peer;
  }

  #reply(id) {
    return new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
  }

  #heard({ id, ok, error }) {
    const { resolve, reject } = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error === undefined) resolve(ok);
    else reject(new Error(error));
  }

  ask(what, request = {}) {
    const id = ++this.#last;
    const reply = this.#reply(id);
    this.process.stdin.write(`${JSON.stringify({ id, do: what, ...request })}\n`);
    return reply;
  }

  send(peer, sample) {
    const message = make(sample);
    const base64 = () => Buffer.from(message.buffer, 0, message.length).toString("base64");
    const packed = typeof message === "string" ? { text: message } : { base64: base64() };
    return this.ask("send", { peer, message: packed });
  }

  async recv() {
    const { from, message } = await this.ask("recv");
    return { from, digest: await digest(message.text ?? Buffer.from(message.base64, "base64")) };
  }

  sendText(peer, text) {
    return this.ask("send", { peer, message: { text } });
  }

  /** For short texts. */
  async recvText() {
    const { from, message } = await this.ask("recv");
    return { from, text: message.text };
  }

  kill() {
    this.process.kill("SIGKILL");
  }
}

/** Real Python ProxyStore. It never sends an empty message. */
export async function proxystore(t, relay, channels = 1) {
  const peer = await Peer.start(t, python, (uuid) => [script("peer.py"), "manager", relay, uuid, channels]);
  return Object.assign(peer, { sendsEmpty: false });
}

export async function native(t, relay, channels = 1) {
  const peer = await Peer.start(t, built("native-peer"), (uuid) => [relay, uuid, channels]);
  return Object.assign(peer, { sendsEmpty: true });
}

/** A native peer whose id is its certificate. */
export async function keyed(t, relay) {
  const peer = await Peer.start(t, built("native-peer"), () => [relay, "own", 1]);
  return Object.assign(peer, { sendsEmpty: true });
}

const TYPES = { ".html": "text/html", ".js": "text/javascript", ".wasm": "application/wasm" };

/** Serves the page of this folder, with the built package under /crosspeer/; the page's URL. */
export async function site(t) {
  const package_ = process.env.CROSSPEER_PACKAGE ?? join(target, "npm/package");
  const server = createServer(async (request, response) => {
    const path = new URL(request.url, "http://x").pathname;
    const file = path.startsWith("/crosspeer/") ? join(package_, path.slice("/crosspeer/".length)) : join(here, path);
    const body = await readFile(file).catch(() => undefined);
    response.writeHead(body ? 200 : 404, { "content-type": TYPES[extname(path)] ?? "text/plain" }).end(body);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  atEnd(t, () => {
    server.close();
    server.closeAllConnections();
  });
  return `http://127.0.0.1:${server.address().port}/page.html`;
}

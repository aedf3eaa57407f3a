// The classes of the package: a thin layer over the wasm module, which holds all rules. Here are only JavaScript's own
// comforts: events, iterators, `Blob`, `bufferedAmount`, disposal. Types and documentation are in index.d.ts.

import initWasm, { Client, Connection, Manager } from "./wasm/crosspeer_wasm.js";

/** What `init` loads where it is given nothing; node.js replaces it. */
let locate = () => undefined;
let loading;

/** Says where the wasm module is, for surroundings that cannot fetch it from beside this file. */
export function locateBy(find) {
  locate = find;
}

export function init(source) {
  loading ??= (async () => {
    const module_or_path = (await source) ?? (await locate());
    await initWasm(module_or_path === undefined ? undefined : { module_or_path });
  })().catch((error) => {
    loading = undefined; // the next call tries again
    throw new CrosspeerError(`the wasm module cannot be loaded: ${error?.message ?? error}`, "platform", error);
  });
  return loading;
}

export class CrosspeerError extends Error {
  constructor(message, code, cause) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "CrosspeerError";
    this.code = code;
  }
}

export class PeerMessageEvent extends Event {
  constructor(type, { from, data }) {
    super(type);
    this.from = from;
    this.data = data;
  }
}

export class RelayMessageEvent extends Event {
  constructor(type, { message }) {
    super(type);
    this.message = message;
  }
}

/** The wasm module's plain errors become ours; a signal's reason stays what it is. */
function translate(error) {
  return error instanceof Error && !(error instanceof CrosspeerError) && typeof error.code === "string"
    ? new CrosspeerError(error.message, error.code)
    : error;
}

async function call(begin) {
  try {
    return await begin();
  } catch (error) {
    throw translate(error);
  }
}

/** The surroundings must have what the wasm module builds on. */
async function ready(...names) {
  const missing = names.filter((name) => typeof globalThis[name] !== "function");
  if (missing.length > 0) {
    const text = `there is no ${missing.join(" and no ")} here: run this in a browser, or give globalThis one (see the README, Node)`;
    throw new CrosspeerError(text, "platform");
  }
  await init();
}

/** What the wasm module takes: a string or a Uint8Array. A Blob has to be read first, which takes time. */
function content(data) {
  if (data instanceof ArrayBuffer) return new Uint8Array(data);
  if (ArrayBuffer.isView(data)) {
    return data instanceof Uint8Array ? data : new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  }
  if (typeof Blob !== "undefined" && data instanceof Blob) {
    return data.arrayBuffer().then((buffer) => new Uint8Array(buffer));
  }
  return data;
}

function sizeOf(data) {
  return typeof data === "string" ? data.length : (data?.byteLength ?? data?.size ?? 0);
}

/** Keeps messages in the order of the calls, even where one has to be read first, and counts what waits. */
class Outbox {
  /** Settles when the last message that had to wait for its turn was handed over. */
  #turn;
  waiting = 0;

  async send(data, hand) {
    const size = sizeOf(data);
    this.waiting += size;
    try {
      const message = content(data);
      if (this.#turn || typeof message?.then === "function") {
        await this.#inTurn(message, hand);
      } else {
        await call(() => hand(message));
      }
    } finally {
      this.waiting -= size;
    }
  }

  async #inTurn(message, hand) {
    const before = this.#turn;
    const handing = (async () => {
      const read = await message;
      await before;
      return { sent: call(() => hand(read)) }; // wrapped, so that it is not awaited here
    })();
    const turn = handing.catch(() => {});
    this.#turn = turn;
    turn.then(() => {
      if (this.#turn === turn) this.#turn = undefined;
    });
    await (await handing).sent;
  }
}

/** An event target that is fed by a loop from the first listener of a kind on. */
class Source extends EventTarget {
  #loops = new Map();
  #handlers = new Map();

  /** `next` gives the next event, or throws when there are no more. */
  _feed(type, next) {
    this.#loops.set(type, { next, running: false });
    return this;
  }

  addEventListener(type, ...rest) {
    super.addEventListener(type, ...rest);
    this.#run(type);
  }

  _handler(type) {
    return this.#handlers.get(type) ?? null;
  }

  _setHandler(type, handler) {
    const old = this.#handlers.get(type);
    if (old) this.removeEventListener(type, old);
    this.#handlers.delete(type);
    if (typeof handler === "function") {
      this.#handlers.set(type, handler);
      this.addEventListener(type, handler);
    }
  }

  async #run(type) {
    const loop = this.#loops.get(type);
    if (!loop || loop.running) return;
    loop.running = true;
    try {
      for (;;) this.dispatchEvent(await loop.next());
    } catch {
      // There are no more; `closed` says why.
    }
  }
}

/** Messages until the end in good order; any other end is thrown. */
async function* until(end, next) {
  for (;;) {
    let message;
    try {
      message = await next();
    } catch (error) {
      if (error?.code === end) return;
      throw error;
    }
    yield message;
  }
}

const asyncDispose = Symbol.asyncDispose ?? Symbol.for("Symbol.asyncDispose");

export class PeerManager extends Source {
  #inner;
  #outbox = new Map();

  static async join(url, options = {}) {
    options.signal?.throwIfAborted();
    await ready("WebSocket", "RTCPeerConnection");
    return new PeerManager(await call(() => Manager.join(String(url), options, options.signal)), KEY);
  }

  constructor(inner, key) {
    super();
    only(key, "PeerManager.join");
    this.#inner = inner;
    this._feed("message", async () => new PeerMessageEvent("message", await this.recv()));
  }

  get uuid() {
    return this.#inner.uuid;
  }

  get name() {
    return this.#inner.name;
  }

  get registered() {
    return this.#inner.registered;
  }

  get onmessage() {
    return this._handler("message");
  }

  set onmessage(handler) {
    this._setHandler("message", handler);
  }

  async send(peer, data, { timeout, signal } = {}) {
    let outbox = this.#outbox.get(peer);
    if (!outbox) this.#outbox.set(peer, (outbox = new Outbox()));
    try {
      await outbox.send(data, (data) => this.#inner.send(peer, data, timeout, signal));
    } finally {
      if (outbox.waiting === 0) this.#outbox.delete(peer);
    }
  }

  async recv({ signal } = {}) {
    const [from, data] = await call(() => this.#inner.recv(signal));
    return { from, data };
  }

  async connect(peer, { signal } = {}) {
    return new PeerConnection(await call(() => this.#inner.connect(peer, signal)), KEY, this.#inner);
  }

  async closeConnection(peer, { signal } = {}) {
    await call(() => this.#inner.closeConnection(peer, signal));
  }

  async close({ signal } = {}) {
    await call(() => this.#inner.close(signal));
  }

  [Symbol.asyncIterator]() {
    return until("closed", () => this.recv());
  }

  [asyncDispose]() {
    return this.close();
  }
}

export class PeerConnection extends Source {
  #inner;
  #outbox = new Outbox();
  #closed;
  #manager;

  constructor(client, options, manager) {
    super();
    if (options === KEY) {
      this.#inner = client;
      this.#manager = manager;
    } else {
      try {
        this.#inner = new Connection(inner(client), options?.channels ?? 1);
      } catch (error) {
        throw translate(error);
      }
    }
    let seen = this.#inner.state;
    this._feed("statechange", async () => {
      if (seen === "closed" || seen === "failed") throw seen;
      seen = await this.#inner.changed(seen);
      return new Event("statechange");
    });
    this._feed("message", async () => {
      const data = await this.recv();
      return new PeerMessageEvent("message", { from: this.peer, data });
    });
  }

  get state() {
    return this.#inner.state;
  }

  get peer() {
    return this.#inner.peer;
  }

  get isCrosspeer() {
    return this.#inner.isCrosspeer;
  }

  get bufferedAmount() {
    return this.#outbox.waiting;
  }

  get closed() {
    return (this.#closed ??= this.#inner.ended().then(translate));
  }

  get onmessage() {
    return this._handler("message");
  }

  set onmessage(handler) {
    this._setHandler("message", handler);
  }

  get onstatechange() {
    return this._handler("statechange");
  }

  set onstatechange(handler) {
    this._setHandler("statechange", handler);
  }

  async sendOffer(peer, { signal } = {}) {
    await call(() => this.#inner.sendOffer(peer, signal));
  }

  async sendAnswer(peer, { signal } = {}) {
    await call(() => this.#inner.sendAnswer(peer, signal));
  }

  async handleServerMessage(message, { signal } = {}) {
    await call(() => this.#inner.handleServerMessage(message, signal));
  }

  async ready({ timeout, signal } = {}) {
    await call(() => this.#inner.ready(timeout, signal));
  }

  async send(data, { timeout, signal } = {}) {
    await this.#outbox.send(data, (data) => this.#inner.send(data, timeout, signal));
  }

  recv({ signal } = {}) {
    return call(() => this.#inner.recv(signal));
  }

  async getStats() {
    return this.#manager?.rtc(this.#inner)?.getStats();
  }

  statistics({ signal } = {}) {
    return call(() => this.#inner.statistics(signal));
  }

  async close({ signal } = {}) {
    await call(() => this.#inner.close(signal));
  }

  [Symbol.asyncIterator]() {
    return until("closed", () => this.recv());
  }

  [asyncDispose]() {
    return this.close();
  }
}

let inner;

export class RelayClient extends Source {
  #inner;

  static {
    inner = (client) => {
      if (!(client instanceof RelayClient)) {
        throw new CrosspeerError("invalid argument: a RelayClient is needed", "invalid-input");
      }
      return client.#inner;
    };
  }

  static async connect(url, options = {}) {
    options.signal?.throwIfAborted();
    await ready("WebSocket");
    return new RelayClient(await call(() => Client.connect(String(url), options, options.signal)), KEY);
  }

  constructor(inner, key) {
    super();
    only(key, "RelayClient.connect");
    this.#inner = inner;
    this._feed("message", async () => new RelayMessageEvent("message", { message: await this.recv() }));
  }

  get uuid() {
    return this.#inner.uuid;
  }

  get name() {
    return this.#inner.name;
  }

  get registered() {
    return this.#inner.registered;
  }

  get onmessage() {
    return this._handler("message");
  }

  set onmessage(handler) {
    this._setHandler("message", handler);
  }

  async send(message, { signal } = {}) {
    await call(() => this.#inner.send(message, signal));
  }

  recv({ signal } = {}) {
    return call(() => this.#inner.recv(signal));
  }

  async close({ signal } = {}) {
    await call(() => this.#inner.close(signal));
  }

  [Symbol.asyncIterator]() {
    return until("closed", () => this.recv());
  }

  [asyncDispose]() {
    return this.close();
  }
}

/** Constructors that only this module calls. */
const KEY = Symbol("crosspeer");

function only(key, instead) {
  if (key !== KEY) throw new TypeError(`not constructible: use ${instead}()`);
}

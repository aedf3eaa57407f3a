// The classes of the package: a thin layer over the wasm module, which holds all rules. Here are only JavaScript's own
// comforts: events, iterators, `Blob`, `bufferedAmount`, disposal, options. Types and documentation are in index.d.ts.

import initWasm, { Handle } from "./crosspeer_wasm.js";

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

function invalid(text) {
  return new CrosspeerError(`invalid argument: ${text}`, "invalid-input");
}

/** What the wasm module does, with its errors made ours. */
async function ours(doing) {
  try {
    return await doing;
  } catch (error) {
    throw translate(error);
  }
}

/** Asks a handle of the wasm module for something that has to be waited for. */
async function call(handle, name, { signal, timeout } = {}, data, peer) {
  const limit = timeout === undefined ? timeout : time("timeout", timeout);
  return ours(handle.call(name, signal, limit, data, peer));
}

const MONTH = 31 * 24 * 3600 * 1000;

/** A time in milliseconds. `Infinity` and whatever else is longer than a month is a month. */
function time(key, value) {
  if (typeof value === "number" && value >= 0) return Math.min(value, MONTH);
  throw invalid(`\`${key}\` must be a number of milliseconds, 0 or more`);
}

const upTo = (most) => (key, value) => {
  if (typeof value === "number" && value >= 0 && value <= most) return value;
  throw invalid(`\`${key}\` must be a number from 0 to ${most}`);
};

const of = (type, what) => (key, value) => {
  if (typeof value === type) return value;
  throw invalid(`\`${key}\` must be ${what}`);
};

const string = of("string", "a string");

/** `RTCIceServer[]` as the wasm module takes it: `[username, credential, ...urls]` for each. */
function iceServers(key, value) {
  if (!Array.isArray(value)) throw invalid("`iceServers` must be an array");
  return value.map((server) => {
    const texts = (list) => [].concat(list).filter((text) => typeof text === "string");
    const urls = texts(server?.urls);
    if (urls.length === 0) throw invalid("an entry of `iceServers` has no `urls`");
    return [texts(server.username)[0], texts(server.credential)[0], ...urls];
  });
}

/** How each option is checked. */
const OPTIONS = {
  name: string,
  uuid: string,
  channels: upTo(0xffff),
  iceServers,
  gatherTimeout: time,
  connectTimeout: time,
  deadAfter: time,
  closeTimeout: time,
  reconnectInitial: time,
  reconnectMax: time,
  maxMessageBytes: upTo(Number.MAX_SAFE_INTEGER),
  receiveBufferBytes: upTo(0xffffffff),
  chunkBytes: upTo(0xffffffff),
  ordered: of("boolean", "true or false"),
  signal: () => {},
};

/** Opens a handle of the wasm module, at this relay. A key that is not known is an error: it is a misspelt one. */
async function open(isManager, url, options, ...needs) {
  options.signal?.throwIfAborted();
  await ready(...needs);
  const checked = {};
  for (const [key, value] of Object.entries(options)) {
    if (value === undefined) continue;
    if (!Object.hasOwn(OPTIONS, key)) throw invalid(`there is no option \`${key}\``);
    checked[key] = OPTIONS[key](key, value);
  }
  return ours(Handle.open(isManager, String(url), checked, options.signal));
}

/** The fields of a relay message, and their names on the wire. */
const FIELDS = {
  sourceUuid: "source_uuid",
  sourceName: "source_name",
  peerUuid: "peer_uuid",
  descriptionType: "description_type",
  description: "description",
};

/** A relay message as on the wire. */
function toWire(message) {
  const wire = { message_type: "peer_connection", error: typeof message?.error === "string" ? message.error : null };
  for (const [key, name] of Object.entries(FIELDS)) wire[name] = string(key, message?.[key]);
  if (!["offer", "answer"].includes(wire.description_type)) {
    throw invalid(`\`descriptionType\` is "${wire.description_type}", must be "offer" or "answer"`);
  }
  return JSON.stringify(wire);
}

function fromWire(text) {
  const wire = JSON.parse(text);
  const message = {};
  for (const [key, name] of Object.entries(FIELDS)) message[key] = wire[name];
  if (wire.error !== null) message.error = wire.error;
  return message;
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
  if (typeof data === "string") return data;
  throw invalid("a message is a string, Uint8Array, ArrayBuffer or Blob");
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
        await hand(message);
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
      return { sent: hand(read) }; // wrapped, so that it is not awaited here
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
    return new PeerManager(await open(true, url, options, "WebSocket", "RTCPeerConnection"), KEY);
  }

  constructor(inner, key) {
    super();
    only(key, "PeerManager.join");
    this.#inner = inner;
    this._feed("message", async () => new PeerMessageEvent("message", await this.recv()));
    let relay = this.relayState;
    this._feed("relaychange", async () => {
      if (relay === "ended") throw relay;
      relay = await call(this.#inner, "relayChanged", {}, relay);
      return new Event("relaychange");
    });
  }

  get uuid() {
    return this.#inner.get("uuid");
  }

  get name() {
    return this.#inner.get("name");
  }

  get registered() {
    return this.#inner.get("registered");
  }

  get relayState() {
    return this.#inner.get("relayState");
  }

  get relayError() {
    const error = this.#inner.get("relayError");
    return error && translate(error);
  }

  get onrelaychange() {
    return this._handler("relaychange");
  }

  set onrelaychange(handler) {
    this._setHandler("relaychange", handler);
  }

  async reconnect(options) {
    await call(this.#inner, "reconnect", options);
  }

  get onmessage() {
    return this._handler("message");
  }

  set onmessage(handler) {
    this._setHandler("message", handler);
  }

  async send(peer, data, options) {
    let outbox = this.#outbox.get(peer);
    if (!outbox) this.#outbox.set(peer, (outbox = new Outbox()));
    try {
      await outbox.send(data, (data) => call(this.#inner, "send", options, data, peer));
    } finally {
      if (outbox.waiting === 0) this.#outbox.delete(peer);
    }
  }

  async recv(options) {
    const [from, data] = await call(this.#inner, "recv", options);
    return { from, data };
  }

  async connect(peer, options) {
    return new PeerConnection(await call(this.#inner, "connect", options, undefined, peer), KEY);
  }

  async closeConnection(peer, options) {
    await call(this.#inner, "closeConnection", options, undefined, peer);
  }

  async close(options) {
    await call(this.#inner, "close", options);
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

  constructor(client, options) {
    super();
    if (options === KEY) {
      this.#inner = client;
    } else {
      try {
        this.#inner = inner(client).connection(options?.channels ?? 1);
      } catch (error) {
        throw translate(error);
      }
    }
    let seen = this.state;
    this._feed("statechange", async () => {
      if (seen === "closed" || seen === "failed") throw seen;
      seen = await call(this.#inner, "changed", {}, seen);
      return new Event("statechange");
    });
    this._feed("message", async () => {
      const data = await this.recv();
      return new PeerMessageEvent("message", { from: this.peer, data });
    });
  }

  get state() {
    return this.#inner.get("state");
  }

  get peer() {
    return this.#inner.get("peer");
  }

  get isCrosspeer() {
    return this.#inner.get("isCrosspeer");
  }

  get bufferedAmount() {
    return this.#outbox.waiting;
  }

  get closed() {
    return (this.#closed ??= call(this.#inner, "ended").then(translate));
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

  async sendOffer(peer, options) {
    await call(this.#inner, "sendOffer", options, undefined, peer);
  }

  async sendAnswer(peer, options) {
    await call(this.#inner, "sendAnswer", options, undefined, peer);
  }

  async handleServerMessage(message, options) {
    await call(this.#inner, "handleServerMessage", options, toWire(message));
  }

  async ready(options) {
    await call(this.#inner, "ready", options);
  }

  async send(data, options) {
    await this.#outbox.send(data, (data) => call(this.#inner, "send", options, data));
  }

  recv(options) {
    return call(this.#inner, "recv", options);
  }

  async getStats() {
    return this.#inner.get("rtc")?.getStats();
  }

  async statistics(options) {
    const [messagesSent, messagesReceived, bytesSent, bytesReceived] = await call(this.#inner, "statistics", options);
    return { messagesSent, messagesReceived, bytesSent, bytesReceived };
  }

  async close(options) {
    await call(this.#inner, "close", options);
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
        throw invalid("a RelayClient is needed");
      }
      return client.#inner;
    };
  }

  static async connect(url, options = {}) {
    return new RelayClient(await open(false, url, options, "WebSocket"), KEY);
  }

  constructor(inner, key) {
    super();
    only(key, "RelayClient.connect");
    this.#inner = inner;
    this._feed("message", async () => new RelayMessageEvent("message", { message: await this.recv() }));
    let relay = this.relayState;
    this._feed("relaychange", async () => {
      if (relay === "ended") throw relay;
      relay = await call(this.#inner, "relayChanged", {}, relay);
      return new Event("relaychange");
    });
  }

  get uuid() {
    return this.#inner.get("uuid");
  }

  get name() {
    return this.#inner.get("name");
  }

  get registered() {
    return this.#inner.get("registered");
  }

  get relayState() {
    return this.#inner.get("relayState");
  }

  get relayError() {
    const error = this.#inner.get("relayError");
    return error && translate(error);
  }

  get onrelaychange() {
    return this._handler("relaychange");
  }

  set onrelaychange(handler) {
    this._setHandler("relaychange", handler);
  }

  async reconnect(options) {
    await call(this.#inner, "reconnect", options);
  }

  get onmessage() {
    return this._handler("message");
  }

  set onmessage(handler) {
    this._setHandler("message", handler);
  }

  async send(message, options) {
    await call(this.#inner, "send", options, toWire(message));
  }

  async recv(options) {
    return fromWire(await call(this.#inner, "recv", options));
  }

  async close(options) {
    await call(this.#inner, "close", options);
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

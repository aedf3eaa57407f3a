// The classes of the package: a thin layer over the wasm module, which holds all rules. Here are only JavaScript's own
// comforts: events, iterators, `Blob`, `bufferedAmount`, disposal, options. Types and documentation are in index.d.ts.

import { Handle } from "./crosspeer_wasm.js";
import { CrosspeerError, invalid, isPromise, translate } from "./errors.js";
import { PeerConnectionEvent, PeerMessageEvent, RelayMessageEvent, RelayStateEvent } from "./events.js";
import { kept } from "./identity.js";
import { load, locateBy } from "./load.js";
import { checkOptions, time } from "./options.js";
import { Outbox } from "./outbox.js";
import { fromWire, toWire } from "./relay_message.js";
import { Source } from "./source.js";

export { CrosspeerError, locateBy, PeerConnectionEvent, PeerMessageEvent, RelayMessageEvent, RelayStateEvent };

export function init(source) {
  return load(source);
}

/** Asks a handle of the wasm module for something; the result, or a promise of it where it has to be waited for. */
function call(handle, name, { signal, timeout } = {}, data, peer) {
  const rethrow = (error) => {
    throw signal?.aborted && error === signal.reason ? error : translate(error);
  };
  const limit = timeout === undefined ? timeout : time("timeout", timeout);
  try {
    const result = handle.call(name, signal, limit, data, peer);
    return isPromise(result) ? result.catch(rethrow) : result;
  } catch (error) {
    rethrow(error);
  }
}

/** Opens a handle of the wasm module, at this relay. The surroundings must have what it builds on. */
async function open(isManager, url, options, ...needs) {
  const begun = performance.now();
  const { signal } = options;
  signal?.throwIfAborted();
  const missing = needs.filter((name) => typeof globalThis[name] !== "function");
  if (missing.length > 0) {
    const text = `there is no ${missing.join(" and no ")} here: run this in a browser, or give globalThis one (see the README, Node)`;
    throw new CrosspeerError(text, "platform");
  }
  const checked = checkOptions(options);
  const limit = checked.connectTimeout ?? 30_000;
  const { identity } = checked;
  const certificate = identity === undefined ? identity : kept(identity);
  await load(undefined, signal, limit);
  checked.certificate = await certificate;
  const left = Math.max(0, limit - (performance.now() - begun));
  try {
    return await Handle.open(isManager, String(url), checked, signal, left);
  } catch (error) {
    throw signal?.aborted && error === signal.reason ? error : translate(error);
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

/** What all classes have: messages one by one, an end, `on…` for these types of events. */
class Endpoint extends Source {
  static _handlers(...types) {
    for (const type of types) {
      Object.defineProperty(this.prototype, `on${type}`, {
        configurable: true,
        enumerable: true,
        get() {
          return this._handler(type);
        },
        set(handler) {
          this._setHandler(type, handler);
        },
      });
    }
  }

  [Symbol.asyncIterator]() {
    return until("closed", () => this.recv());
  }

  [asyncDispose]() {
    return this.close();
  }
}

/** What has a registration at the relay. */
class Registration extends Endpoint {
  #inner;

  constructor(inner) {
    super();
    this.#inner = inner;
    let seen = this.relayState;
    const next = async (signal) => {
      if (seen === "ended") throw seen;
      seen = await call(inner, "relayChanged", { signal }, seen);
      return seen;
    };
    this._feed(["relaychange", "registered", "unregistered"], next, (state) => {
      const news = { state, reason: state === "registered" ? undefined : this.relayError };
      for (const type of ["relaychange", state === "registered" ? state : "unregistered"]) {
        this.dispatchEvent(new RelayStateEvent(type, news));
      }
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

  async reconnect(options) {
    await call(this.#inner, "reconnect", options);
  }

  async close(options) {
    await call(this.#inner, "close", options);
  }
}

/** Connections that nobody has any more are forgotten when there are so many more than were up. */
const SPARE = 16;

export class PeerManager extends Registration {
  #inner;
  #messages;
  #arrivals;
  #outbox = new Map();
  #maxMessageBytes;
  /** The objects of connections, weakly, by their numbers: the same for as long as somebody has it. */
  #known = new Map();
  #most = SPARE;

  static {
    this._handlers("message", "connection", "relaychange", "registered", "unregistered");
  }

  static async join(url, options = {}) {
    const manager = new PeerManager(await open(true, url, options, "WebSocket", "RTCPeerConnection"), KEY);
    manager.#maxMessageBytes = options.maxMessageBytes ?? 2 ** 30;
    return manager;
  }

  constructor(inner, key) {
    only(key, "PeerManager.join");
    super(inner);
    this.#inner = inner;
    const ask = (name) => (signal) => call(inner, name, { signal });
    this.#messages = this._feed(
      ["message"],
      ask("recv"),
      ([from, data]) => this.dispatchEvent(new PeerMessageEvent("message", { from, data })),
      ask("listen"),
    );
    this.#arrivals = this._feed(["connection"], ask("accept"), (handle) =>
      this.dispatchEvent(new PeerConnectionEvent("connection", { connection: this.#connection(handle) })),
    );
  }

  async send(peer, data, options) {
    let outbox = this.#outbox.get(peer);
    if (!outbox) this.#outbox.set(peer, (outbox = new Outbox()));
    const hand = (data, options) => call(this.#inner, "send", options, data, peer);
    const largest = async (options) => largestOf(await this.connect(peer, options));
    try {
      const sending = outbox.send(data, options, hand, this.#maxMessageBytes, largest);
      if (sending) await sending;
    } finally {
      if (outbox.waiting === 0) this.#outbox.delete(peer);
    }
  }

  async recv(options) {
    const [from, data] = await this.#messages.take(options?.signal);
    return { from, data };
  }

  async connect(peer, options) {
    return this.#connection(await call(this.#inner, "connect", { signal: options?.signal }, undefined, peer));
  }

  async accept(options) {
    return this.#connection(await this.#arrivals.take(options?.signal));
  }

  get connections() {
    return new Map(this.#inner.get("connections").map((handle) => [handle.get("peer"), this.#connection(handle)]));
  }

  #connection(handle) {
    const id = handle.get("id");
    const known = this.#known.get(id)?.deref();
    if (known) {
      handle.free();
      return known;
    }
    if (this.#known.size >= this.#most) {
      for (const [id, weak] of this.#known) if (!weak.deref()) this.#known.delete(id);
      this.#most = 2 * this.#known.size + SPARE;
    }
    const connection = new PeerConnection(handle, KEY);
    this.#known.set(id, new WeakRef(connection));
    return connection;
  }

  async closeConnection(peer, options) {
    await call(this.#inner, "closeConnection", options, undefined, peer);
  }
}

let largestOf;

export class PeerConnection extends Endpoint {
  #inner;
  #messages;
  #outbox = new Outbox();
  #closed;

  static {
    this._handlers("message", "statechange");
    largestOf = (connection) => connection.#inner.get("maxMessageBytes");
  }

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
    const next = async (signal) => {
      if (seen === "closed" || seen === "failed") throw seen;
      seen = await call(this.#inner, "changed", { signal }, seen);
    };
    this._feed(["statechange"], next, () => this.dispatchEvent(new Event("statechange")));
    this.#messages = this._feed(
      ["message"],
      (signal) => call(this.#inner, "recv", { signal }),
      (data) => this.dispatchEvent(new PeerMessageEvent("message", { from: this.peer, data })),
    );
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

  get verified() {
    return this.#inner.get("verified");
  }

  get remoteFingerprint() {
    return this.#inner.get("remoteFingerprint");
  }

  get bufferedAmount() {
    return this.#outbox.waiting;
  }

  get closed() {
    return (this.#closed ??= Promise.resolve(call(this.#inner, "ended")).then(translate));
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
    const hand = (data, options) => call(this.#inner, "send", options, data);
    const largest = async (options) => {
      await this.ready(options);
      return largestOf(this);
    };
    const sending = this.#outbox.send(data, options, hand, largestOf(this), largest);
    if (sending) await sending;
  }

  async recv(options) {
    return this.#messages.take(options?.signal);
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
}

let inner;

export class RelayClient extends Registration {
  #inner;
  #messages;

  static {
    this._handlers("message", "relaychange", "registered", "unregistered");
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
    only(key, "RelayClient.connect");
    super(inner);
    this.#inner = inner;
    this.#messages = this._feed(
      ["message"],
      (signal) => call(inner, "recv", { signal }),
      (text) => this.dispatchEvent(new RelayMessageEvent("message", { message: fromWire(text) })),
    );
  }

  async send(message, options) {
    await call(this.#inner, "send", options, toWire(message));
  }

  async recv(options) {
    return fromWire(await this.#messages.take(options?.signal));
  }
}

/** Constructors that only this module calls. */
const KEY = Symbol("crosspeer");

function only(key, instead) {
  if (key !== KEY) throw new TypeError(`not constructible: use ${instead}()`);
}

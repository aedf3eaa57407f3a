// Events that are taken from the wasm module while somebody listens.

import { isPromise } from "./errors.js";

/**
 * News of one kind, which stay in the wasm module until somebody wants them: whoever waits by `take`, in the order of
 * the calls, and otherwise all listeners. So nothing is lost while nobody does, and a sender is held back.
 */
class Feed {
  #next;
  #tell;
  #listen;
  /** The calls of `take` that wait while another is being served. */
  #waiting = [];
  #listeners = 0;
  /** What came when whoever wanted it had just gone. */
  #kept = [];
  #busy = false;
  /** Takes back the request of the loop. */
  #stop;

  /**
   * `next(signal)` gives the next, at once or by a promise; `tell` dispatches it. `listen` is `next` for listeners, where
   * they may be told more than whoever waits.
   */
  constructor(next, tell, listen) {
    this.#next = next;
    this.#tell = tell;
    this.#listen = listen;
  }

  take(signal) {
    signal?.throwIfAborted();
    if (this.#busy) return this.#wait(signal);
    if (this.#kept.length > 0) return this.#kept.shift();
    const item = this.#next(signal);
    return isPromise(item) ? this.#alone(item) : item;
  }

  /** Most of the time only one waits, and needs no queue. */
  async #alone(item) {
    this.#busy = true;
    try {
      return await item;
    } finally {
      this.#busy = false;
      this.#run();
    }
  }

  #wait(signal) {
    return new Promise((resolve, reject) => {
      const give = (settle, value) => {
        signal?.removeEventListener("abort", stop);
        settle(value);
      };
      const entry = { resolve: (item) => give(resolve, item), reject: (error) => give(reject, error) };
      const stop = () => {
        this.#waiting.splice(this.#waiting.indexOf(entry), 1);
        reject(signal.reason);
        this.#look();
      };
      signal?.addEventListener("abort", stop, { once: true });
      this.#waiting.push(entry);
      if (this.#listen) this.#stop?.abort(); // what is asked for listeners is not for this one
    });
  }

  /** A listener has come (1) or gone (-1). */
  count(change) {
    this.#listeners += change;
    this.#look();
  }

  get #wanted() {
    return this.#waiting.length > 0 || this.#listeners > 0;
  }

  #look() {
    if (this.#wanted) this.#run();
    else this.#stop?.abort();
  }

  async #run() {
    if (this.#busy || !this.#wanted) return;
    this.#busy = true;
    await undefined; // whoever has just called goes on first
    while (this.#wanted) {
      const { signal } = (this.#stop = new AbortController());
      const listens = this.#listen && this.#waiting.length === 0;
      const next = listens ? this.#listen : this.#next;
      try {
        this.#give(this.#kept.length > 0 ? this.#kept.shift() : await next(signal));
      } catch (error) {
        if (signal.aborted) continue;
        // There are no more. Listeners learn why elsewhere.
        for (const { reject } of this.#waiting.splice(0)) reject(error);
        if (listens || !this.#listen) break;
      }
    }
    this.#busy = false;
    this.#stop = undefined;
  }

  #give(item) {
    const first = this.#waiting.shift();
    if (first) first.resolve(item);
    else if (this.#listeners > 0) this.#tell(item);
    else this.#kept.push(item);
  }
}

/** An event target whose events come from feeds. */
export class Source extends EventTarget {
  #feeds = new Map();
  #listeners = [];
  #handlers = new Map();

  /** Events of these types come from here: `next` as for `Feed`, and `tell(item)` to dispatch them. */
  _feed(types, next, tell, listen) {
    const feed = new Feed(next, tell, listen);
    for (const type of types) this.#feeds.set(type, feed);
    return feed;
  }

  addEventListener(type, callback, options) {
    const feed = this.#feeds.get(type);
    if (!feed || (typeof callback !== "function" && (typeof callback !== "object" || callback === null))) {
      return super.addEventListener(type, callback, options);
    }
    const { once, passive, signal, capture } = typeof options === "object" && options ? options : { capture: options };
    if (signal?.aborted || this.#find(type, callback, capture)) return;
    const forget = () => this.removeEventListener(type, callback, { capture });
    const call = function (event) {
      if (once) forget();
      return typeof callback === "function" ? callback.call(this, event) : callback.handleEvent(event);
    };
    super.addEventListener(type, call, { capture, passive });
    signal?.addEventListener("abort", forget);
    this.#listeners.push({ type, callback, capture: !!capture, call, signal, forget });
    feed.count(1);
  }

  removeEventListener(type, callback, options) {
    const capture = typeof options === "object" && options ? options.capture : options;
    const listener = this.#find(type, callback, capture);
    if (!listener) return super.removeEventListener(type, callback, options);
    this.#listeners.splice(this.#listeners.indexOf(listener), 1);
    listener.signal?.removeEventListener("abort", listener.forget);
    super.removeEventListener(type, listener.call, { capture: listener.capture });
    this.#feeds.get(type).count(-1);
  }

  #find(type, callback, capture) {
    return this.#listeners.find(
      (listener) => listener.type === type && listener.callback === callback && listener.capture === !!capture,
    );
  }

  _handler(type) {
    return this.#handlers.get(type)?.handler ?? null;
  }

  _setHandler(type, handler) {
    const old = this.#handlers.get(type);
    this.#handlers.delete(type);
    if (typeof handler === "function") {
      const call = function (event) {
        return handler.call(this, event);
      };
      this.#handlers.set(type, { handler, call });
      this.addEventListener(type, call);
    }
    if (old) this.removeEventListener(type, old.call);
  }
}

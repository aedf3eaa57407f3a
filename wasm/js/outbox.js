// What waits to be handed to the wasm module.

import { invalid, isPromise, within, CrosspeerError } from "./errors.js";

const isBlob = (data) => typeof Blob !== "undefined" && data instanceof Blob;

/** What the wasm module takes: a string or a Uint8Array. A Blob has to be read first. */
function content(data) {
  if (data instanceof Uint8Array || typeof data === "string") return data;
  if (data instanceof ArrayBuffer) return new Uint8Array(data);
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  throw invalid("a message is a string, Uint8Array, ArrayBuffer or Blob");
}

const sizeOf = (data) => data.byteLength ?? data.length ?? data.size;

function check(size, limit) {
  if (size <= limit) return;
  const text = `a message of ${size} bytes is larger than the limit of ${limit} bytes; send it in parts or raise \`maxMessageBytes\` on both sides`;
  throw new CrosspeerError(text, "too-large");
}

async function read(blob) {
  let buffer;
  try {
    buffer = await blob.arrayBuffer();
  } catch (error) {
    throw invalid(`the Blob cannot be read (${error?.name ?? error}): its file was changed, moved or removed, or it is too large for the page; choose the file again`, error);
  }
  if (buffer.byteLength !== blob.size) {
    throw invalid(`the Blob had ${blob.size} bytes and gave ${buffer.byteLength}: its file has changed; choose it again`);
  }
  return new Uint8Array(buffer);
}

/** Keeps messages in the order of the calls, even where one has to be read first, and counts what waits. */
export class Outbox {
  /** Settles when the last message that had to wait for its turn was handed over. */
  #turn;
  waiting = 0;

  /**
   * `hand(content, options)` gives it to the wasm module. `largest(options)` is what may be sent, in bytes, known once
   * there is a connection; `own` without one. Undefined where all is done at once, which most small messages are.
   */
  send(data, options, hand, own, largest) {
    if (isBlob(data)) {
      check(data.size, own);
      return this.#counted(data.size, this.#inTurn(this.#whole(data, options, largest), options, hand));
    }
    const message = content(data);
    const handing = this.#turn ? this.#inTurn(message, options, hand) : hand(message, options);
    return isPromise(handing) ? this.#counted(sizeOf(data), handing) : undefined;
  }

  async #counted(size, handing) {
    this.waiting += size;
    try {
      await handing;
    } finally {
      this.waiting -= size;
    }
  }

  /** A Blob's bytes, which are read only if the peer takes as many. */
  async #whole(blob, { signal, timeout } = {}, largest) {
    const whole = async () => {
      check(blob.size, await largest({ signal, timeout }));
      return read(blob);
    };
    const late = () => new CrosspeerError(`the Blob was not read within ${timeout} ms; it was not sent`, "send-timeout");
    return within(whole(), signal, timeout, late);
  }

  async #inTurn(message, options, hand) {
    const before = this.#turn;
    const handing = (async () => {
      const content = await message;
      await before;
      return { sent: hand(content, options) }; // wrapped, so that it is not awaited here
    })();
    // One that fails early still has its turn after those before it.
    const turn = handing.catch(() => {}).then(() => before);
    this.#turn = turn;
    turn.then(() => {
      if (this.#turn === turn) this.#turn = undefined;
    });
    await (await handing).sent;
  }
}

// The package's errors, in the words of JavaScript.

export class CrosspeerError extends Error {
  constructor(message, code, cause) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "CrosspeerError";
    this.code = code;
  }
}

export function invalid(text, cause) {
  return new CrosspeerError(`invalid argument: ${text}`, "invalid-input", cause);
}

/** The options whose names in the wasm module differ, by those. */
const NAMES = new Map();

/** Says how an option is called here; the wasm module calls `maxMessageBytes` `max_message_bytes`. */
export function nameOption(name) {
  NAMES.set(name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`), name);
}

/** The wasm module's plain errors become ours; a signal's reason stays what it is. */
export function translate(error) {
  if (!(error instanceof Error) || error instanceof CrosspeerError || typeof error.code !== "string") return error;
  const message = error.message.replace(/\b[a-z]+(_[a-z]+)+\b/g, (word) => NAMES.get(word) ?? word);
  return new CrosspeerError(message, error.code);
}

const LONGEST_TIMER = 2 ** 31 - 1;

/** What a promise comes to, unless the signal says to stop or the time is over; `late` makes the error for that. */
export function within(promise, signal, milliseconds, late) {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const settle = (how, value) => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", stop);
      how(value);
    };
    const stop = () => settle(reject, signal.reason);
    signal?.addEventListener("abort", stop);
    let timer;
    if (milliseconds !== undefined) {
      timer = setTimeout(() => settle(reject, late()), Math.min(milliseconds, LONGEST_TIMER));
    }
    promise.then(
      (value) => settle(resolve, value),
      (error) => settle(reject, error),
    );
  });
}

export const isPromise = (value) => typeof value?.then === "function";

// Messages that pages and tests both make, from a few numbers, and compare by their digest: nothing large has to travel
// between a test and its page. Runs in browsers and in Node.

const MIB = 1 << 20;
/** Of every length in UTF-8, and of both lengths in UTF-16. */
const ALPHABET = ["a", "é", "漢", "z", "✓", "😀", "0", "\n"];

/** @typedef {{ kind: "text" | "bytes", size: number }} Sample `size` in bytes, of UTF-8 for text. */

/** Empty and not, around ProxyStore's chunk of 32,768 bytes and ours of 65,536. */
export const SAMPLES = [
  { kind: "text", size: 0 },
  { kind: "bytes", size: 0 },
  { kind: "text", size: 5 },
  ...[1, 32_767, 32_768, 32_769, 65_536 - 18, 65_537].map((size) => ({ kind: "bytes", size })),
  { kind: "text", size: 200_001 },
  { kind: "bytes", size: MIB },
];

/** The largest. */
export const LARGEST = { kind: "bytes", size: 64 * MIB };
/** The largest text, and one for where that takes too long. */
export const LARGEST_TEXT = { kind: "text", size: 64 * MIB };
export const LARGE_TEXT = { kind: "text", size: 8 * MIB };

/** The message of a sample: bytes that do not repeat, or text of such letters. */
export function make({ kind, size }) {
  const words = new Uint32Array(Math.ceil(size / 4));
  let state = size + 1;
  for (let at = 0; at < words.length; at++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[at] = state;
  }
  const noise = new Uint8Array(words.buffer, 0, size);
  return kind === "bytes" ? noise : text(noise, size);
}

/** A block of letters, repeated: text as large as this cannot be put together letter by letter in good time. */
function text(noise, size) {
  const encoder = new TextEncoder();
  const letters = (count) => Array.from(noise.subarray(0, count), (byte) => ALPHABET[byte & 7]).join("");
  let block = letters(Math.min(size, 50_000));
  const whole = Math.floor(size / Math.max(1, encoder.encode(block).length));
  block = block.repeat(whole);
  let left = size - encoder.encode(block).length;
  for (let at = 0; left > 0; at++) {
    const letter = ALPHABET[noise[at] & 7];
    const length = encoder.encode(letter).length;
    block += length <= left ? letter : "a";
    left -= length <= left ? length : 1;
  }
  return block;
}

/** Kind, length and SHA-256, as one line. */
export async function digest(message) {
  const kind = typeof message === "string" ? "text" : "bytes";
  const bytes = kind === "text" ? new TextEncoder().encode(message) : message;
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return `${kind} ${bytes.length} ${Array.from(hash.subarray(0, 12), (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

const known = new Map();

/** The digests of samples. */
export function digests(samples) {
  const one = (sample) => {
    const key = `${sample.kind} ${sample.size}`;
    if (!known.has(key)) known.set(key, digest(make(sample)));
    return known.get(key);
  };
  return Promise.all(samples.map(one));
}

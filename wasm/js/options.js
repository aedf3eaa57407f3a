// Options, checked and as the wasm module takes them.

import { invalid, nameOption } from "./errors.js";

const MONTH = 31 * 24 * 3600 * 1000;

/** A time in milliseconds. `Infinity` and whatever else is longer than a month is a month. */
export function time(key, value) {
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

export const string = of("string", "a string");

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

function iceTransportPolicy(key, value) {
  if (value === "all" || value === "relay") return value;
  throw invalid('`iceTransportPolicy` must be "all" or "relay"');
}

/** One token, or who gives one at each call of the relay. */
function token(key, value) {
  if (typeof value === "function" || (typeof value === "string" && /^[!-~]+$/.test(value))) return value;
  throw invalid("`token` must be a function, or a string of visible ASCII characters without spaces");
}

/** How each option is checked. */
const OPTIONS = {
  name: string,
  uuid: string,
  identity: string,
  requireVerified: of("boolean", "true or false"),
  channels: upTo(0xffff),
  iceServers,
  relayIceServers: of("boolean", "true or false"),
  iceTransportPolicy,
  gatherTimeout: time,
  connectTimeout: time,
  deadAfter: time,
  sessionTimeout: time,
  closeTimeout: time,
  reconnectInitial: time,
  reconnectMax: time,
  maxMessageBytes: upTo(Number.MAX_SAFE_INTEGER),
  receiveBufferBytes: upTo(0xffffffff),
  chunkBytes: upTo(0xffffffff),
  ordered: of("boolean", "true or false"),
  token,
  signal: () => {},
};

Object.keys(OPTIONS).forEach(nameOption);

/** A key that is not known is an error: it is a misspelt one. */
export function checkOptions(options) {
  const checked = {};
  for (const [key, value] of Object.entries(options)) {
    if (value === undefined) continue;
    if (!Object.hasOwn(OPTIONS, key)) throw invalid(`there is no option \`${key}\``);
    checked[key] = OPTIONS[key](key, value);
  }
  return checked;
}

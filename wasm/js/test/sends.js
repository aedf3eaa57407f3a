// What cannot be sent is refused before it costs anything, in the words of JavaScript.
import { PeerManager } from "crosspeer";
import { code, options, same } from "./check.js";

const KIB = 1024;

/** Counts how often a Blob is read meanwhile. */
async function reads(use) {
  const { arrayBuffer } = Blob.prototype;
  let count = 0;
  Blob.prototype.arrayBuffer = function () {
    count++;
    return arrayBuffer.call(this);
  };
  try {
    await use();
  } finally {
    Blob.prototype.arrayBuffer = arrayBuffer;
  }
  return count;
}

async function refused(what, promise, wanted, text) {
  const error = await promise.then(
    () => ({ code: "none" }),
    (error) => error,
  );
  same(what, error.code, wanted);
  if (!text.test(error.message)) throw new Error(`${what}: ${error.message}`);
  if (/[a-z]_[a-z]/.test(error.message)) throw new Error(`${what} has a name that is not JavaScript's: ${error.message}`);
}

async function tooLarge(relay) {
  const small = await PeerManager.join(relay, { ...options, maxMessageBytes: 64 * KIB });
  const large = await PeerManager.join(relay, options);
  const limit = /a message of 66000 bytes is larger than the limit of 65536 bytes; .* raise `?maxMessageBytes`? on both sides/;
  const blob = new Blob([new Uint8Array(66_000)]);
  const count = await reads(async () => {
    // By our own limit, to nobody; by the peer's, which is known once there is a connection.
    await refused("own", small.send(crypto.randomUUID(), blob), "too-large", limit);
    await refused("the peer's", large.send(small.uuid, blob), "too-large", limit);
    const connection = await large.connect(small.uuid);
    await refused("the connection's", connection.send(blob), "too-large", limit);
    same("nothing waits", connection.bufferedAmount, 0);
  });
  same("reads", count, 0);
  await refused("bytes", large.send(small.uuid, new Uint8Array(66_000)), "too-large", limit);
  await refused("text", small.send(large.uuid, "x".repeat(66_000)), "too-large", limit);
  const once = await reads(() => Promise.all([small.recv(), large.send(small.uuid, blob.slice(0, 64 * KIB))]));
  same("as large as can be", once, 1);
  await Promise.all([small.close(), large.close()]);
}

/** A file that has changed since it was chosen reads as an error, or as fewer bytes. */
async function changed(relay) {
  const one = await PeerManager.join(relay, options);
  const two = await PeerManager.join(relay, options);
  const broken = new Blob(["gone"]);
  broken.arrayBuffer = () => Promise.reject(new DOMException("", "NotReadableError"));
  const cut = new Blob(["longer"]);
  cut.arrayBuffer = () => Promise.resolve(new ArrayBuffer(3));
  const endless = new Blob(["never"]);
  endless.arrayBuffer = () => new Promise(() => {});
  const stop = new AbortController();
  const sent = [
    refused("gone", one.send(two.uuid, broken), "invalid-input", /cannot be read \(NotReadableError\)/),
    refused("cut", one.send(two.uuid, cut), "invalid-input", /had 6 bytes and gave 3/),
    refused("late", one.send(two.uuid, endless, { timeout: 200 }), "send-timeout", /not read within 200 ms/),
    code(one.send(two.uuid, endless, { signal: stop.signal })).then((code) => same("stopped", code, "AbortError")),
    one.send(two.uuid, "what comes after them"),
  ];
  stop.abort();
  same("after", (await two.recv()).data, "what comes after them");
  await Promise.all(sent);
  await Promise.all([one.close(), two.close()]);
}

async function words(relay) {
  for (const [option, value] of [
    ["chunkBytes", 7],
    ["channels", 65],
    ["maxMessageBytes", 2 ** 50],
    ["receiveBufferBytes", 0],
  ]) {
    const joining = PeerManager.join(relay, { ...options, [option]: value });
    const error = await joining.then((peers) => peers.close(), (error) => error);
    if (error) await refused(option, Promise.reject(error), "invalid-input", new RegExp(option));
  }
}

export async function sends(relay) {
  await tooLarge(relay);
  await changed(relay);
  await words(relay);
}

// What the tests in bundles and in Node have in common: they throw, and need nothing.
import { CrosspeerError, PeerManager } from "crosspeer";

export const options = { iceServers: [] };

export function same(what, got, wanted) {
  const text = (value) => (value instanceof Uint8Array ? `bytes ${value.join()}` : `${typeof value} ${value}`);
  if (text(got) !== text(wanted)) throw new Error(`${what}: ${text(got)}, expected ${text(wanted)}`);
}

/** What a promise comes to: the code or name of its error. */
export async function code(promise) {
  return promise.then(
    () => "none",
    (error) => (error instanceof CrosspeerError ? error.code : error.name),
  );
}

/** Two managers that are connected, for as long as `use` takes. */
export async function pair(relay, use, more = {}) {
  const [one, two] = await Promise.all([
    PeerManager.join(relay, { ...options, ...more }),
    PeerManager.join(relay, { ...options, ...more }),
  ]);
  const first = two.recv();
  await one.send(two.uuid, "hello");
  same("first", (await first).data, "hello");
  await use(one, two);
  await Promise.all([one.close(), two.close()]);
}

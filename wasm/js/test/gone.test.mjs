// Whatever is closed, or let go of and collected, leaves nothing: no peer connection, no WebSocket, nobody at the relay.
import assert from "node:assert/strict";
import { test } from "node:test";
import { bare, PATIENCE, relay } from "./site.mjs";

const LIMIT = { timeout: 4 * PATIENCE };
/** So many at a time, and so many times: often those that most are used by. */
const [BATCH, OFTEN, SELDOM] = [20, 10, 1];

/** On the page: counts what is open, and has the ways to use and to leave things. */
function prepare() {
  const { PeerManager, PeerConnection, RelayClient } = globalThis.crosspeer;
  const made = [];
  for (const name of ["RTCPeerConnection", "WebSocket"]) {
    globalThis[name] = class extends globalThis[name] {
      constructor(...given) {
        super(...given);
        made.push(this);
      }
    };
  }
  const isOpen = (one) => (one.signalingState === undefined ? one.readyState < WebSocket.CLOSED : one.signalingState !== "closed");
  const options = { iceServers: [] };
  const nothing = () => {};

  /** Each is done many times; whatever it does not close it leaves to the collector. */
  const ways = {
    async "a manager that has sent, let go of"(hub, relay) {
      const peers = await PeerManager.join(relay, options);
      await peers.send(hub, "hello");
    },
    async "a manager whose listeners have gone, let go of"(hub, relay) {
      const peers = await PeerManager.join(relay, options);
      for (const type of ["message", "connection", "relaychange"]) {
        peers.addEventListener(type, nothing);
        peers.removeEventListener(type, nothing);
      }
      peers.onmessage = peers.onregistered = nothing;
      peers.onmessage = peers.onregistered = null;
      await peers.send(hub, "hello");
    },
    async "a manager and its connection, let go of"(hub, relay) {
      const peers = await PeerManager.join(relay, options);
      const connection = await peers.connect(hub);
      connection.onstatechange = nothing;
      connection.onstatechange = null;
      await connection.send("hello");
      await connection.recv({ signal: AbortSignal.timeout(1) }).catch(nothing);
    },
    async "a manager that was closed"(hub, relay) {
      const peers = await PeerManager.join(relay, options);
      peers.onmessage = nothing;
      await peers.send(hub, "hello");
      await peers.close();
    },
    async "a connection that was closed, and its manager let go of"(hub, relay) {
      const peers = await PeerManager.join(relay, options);
      const connection = await peers.connect(hub);
      connection.onmessage = connection.onstatechange = nothing;
      connection.closed.then(nothing);
      await connection.close();
    },
    async "a join that was given up"(hub, relay) {
      const stop = new AbortController();
      const own = `${relay}?${crypto.randomUUID()}`;
      const joining = PeerManager.join(own, { ...options, signal: stop.signal });
      const hasBegun = () => made.some((one) => one.url?.includes(own.slice(-36)));
      while (!hasBegun()) await new Promise((resolve) => setTimeout(resolve));
      stop.abort();
      await joining.catch(nothing);
    },
    async "a call that was given up"(hub, relay) {
      const peers = await PeerManager.join(relay, options);
      const stop = new AbortController();
      const calling = peers.connect(hub, { signal: stop.signal });
      await new Promise((resolve) => setTimeout(resolve));
      stop.abort();
      await calling.catch(nothing);
    },
    async "connections by hand, let go of"(hub, relay) {
      const [client, other] = [await RelayClient.connect(relay, options), await RelayClient.connect(relay, options)];
      const [one, two] = [new PeerConnection(client), new PeerConnection(other)];
      await one.sendOffer(other.uuid);
      await two.handleServerMessage(await other.recv());
      await one.handleServerMessage(await client.recv());
      await Promise.all([one.ready(), two.ready()]);
    },
    async "a connection by hand that never came about, let go of"(hub, relay) {
      const client = await RelayClient.connect(relay, options);
      await new PeerConnection(client).sendOffer(hub);
    },
  };

  globalThis.leave = async ({ way, relay, batch, rounds }) => {
    // Whoever is called by one that is no more waits for so long.
    const hub = await PeerManager.join(relay, { ...options, connectTimeout: 10_000 });
    hub.onmessage = nothing;
    const ours = made.at(-1);
    const open = () => made.filter((one) => one !== ours && isOpen(one)).length;
    for (let round = 0; round < rounds; round++) {
      const all = [];
      for (let number = 0; number < batch; number++) all.push(ways[way](hub.uuid, relay));
      await Promise.all(all);
    }
    const count = made.length;
    // Collectors need a turn of the page's loop to say what they have found.
    while (open() > 0 || hub.connections.size > 0) {
      globalThis.gc();
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    await hub.close();
    made.length = 0;
    return count;
  };
  return Object.keys(ways);
}

test("nothing is left", async (t) => {
  const page = await bare(t);
  const ways = await page.evaluate(prepare);
  for (const way of ways) {
    await t.test(way, LIMIT, async (t) => {
      const rounds = /^(a manager and its connection|connections by hand)/.test(way) ? OFTEN : SELDOM;
      const count = await page.evaluate((job) => globalThis.leave(job), { way, relay, batch: BATCH, rounds });
      t.diagnostic(`${count} were made`);
      assert.ok(count > BATCH * rounds);
    });
  }
});

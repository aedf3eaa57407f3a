// Tokens go to the relay among the subprotocols, asked for at each call of it.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";
import { bare, PATIENCE } from "./site.mjs";

/** A server that lets nobody in; the subprotocols that it was asked for. */
async function closedDoor(t) {
  const asked = [];
  const server = createServer();
  const first = new Promise((resolve) =>
    server.on("upgrade", (request, socket) => {
      asked.push(request.headers["sec-websocket-protocol"]);
      socket.destroy();
      resolve();
    }),
  );
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  return { asked, first, url: `ws://127.0.0.1:${server.address().port}` };
}

const named = (token) => `crosspeer, crosspeer.bearer.${Buffer.from(token).toString("base64url")}`;

/** On the page: joins with tokens that are counted, one that stays, or none; the error's code and message. */
async function join([url, kind, connectTimeout = 3000]) {
  let count = 0;
  const token = { counted: async () => `token-${++count}~?>`, fixed: "fixed", thrown: () => Promise.reject(new Error("locked")) }[kind];
  const options = { iceServers: [], connectTimeout, reconnectInitial: 10, reconnectMax: 20, token };
  try {
    await globalThis.crosspeer.PeerManager.join(url, options);
    return [];
  } catch ({ code, message }) {
    return [code, message];
  }
}

test("a token is asked for at each call of the relay, and goes among the subprotocols", { timeout: PATIENCE }, async (t) => {
  const page = await bare(t);
  const door = await closedDoor(t);
  const [code] = await page.evaluate(join, [door.url, "counted"]);
  assert.equal(code, "relay-unreachable");
  assert.ok(door.asked.length >= 2, `${door.asked.length} calls`);
  door.asked.forEach((given, index) => assert.equal(given, named(`token-${index + 1}~?>`)));

  // Chromium lets a page that fails call less and less often.
  const fixed = await closedDoor(t);
  page.evaluate(join, [fixed.url, "fixed", PATIENCE]).catch(() => {});
  await fixed.first;
  assert.ok(fixed.asked.every((given) => given === named("fixed")));

  const none = await closedDoor(t);
  page.evaluate(join, [none.url, "none", PATIENCE]).catch(() => {});
  await none.first;
  assert.ok(none.asked.every((given) => given === undefined));
});

test("why there is no token is part of the error", { timeout: PATIENCE }, async (t) => {
  const page = await bare(t);
  const door = await closedDoor(t);
  const [code, message] = await page.evaluate(join, [door.url, "thrown"]);
  assert.equal(code, "relay-unreachable");
  assert.match(message, /there is no token.*locked/);
  assert.equal(door.asked.length, 0);
  const [invalid] = await page.evaluate(async () => {
    const { PeerManager } = globalThis.crosspeer;
    return [await PeerManager.join("ws://127.0.0.1:9", { token: "two words" }).catch(({ code }) => code)];
  });
  assert.equal(invalid, "invalid-input");
});

// What every bundle and Node do: two peers in one place, as a user would write it.
import { init, PeerConnection, PeerManager, RelayClient } from "crosspeer";
import { code, options, same } from "./check.js";
import { events } from "./events.js";
import { listeners } from "./listeners.js";
import { sends } from "./sends.js";

async function displaced(relay) {
  const uuid = crypto.randomUUID();
  const plain = relay;
  relay += "?resume=ours";
  const first = await PeerManager.join(relay, { ...options, uuid });
  same("relay", first.relayState, "registered");
  same("no error", String(first.relayError), "undefined");
  const loop = async () => {
    for await (const message of first) same("message", message, "none");
  };
  const changed = new Promise((resolve) => first.addEventListener("relaychange", resolve, { once: true }));
  const ends = Promise.all([code(first.recv()), code(loop()), changed]);
  const second = await PeerManager.join(relay, { ...options, uuid });
  const [received, looped] = await ends;
  same("displaced recv", received, "displaced");
  same("displaced loop", looped, "displaced");
  same("displaced state", first.relayState, "ended");
  same("displaced error", first.relayError.code, "displaced");
  same("displaced reconnect", await code(first.reconnect()), "displaced");
  same("taken", await code(PeerManager.join(plain, { ...options, uuid })), "relay-refused");
  await second.reconnect();
  await Promise.all([first.close(), second.close()]);
}

async function managers(relay) {
  const one = await PeerManager.join(relay, { ...options, name: "one" });
  const two = await PeerManager.join(new URL(relay), { ...options, channels: 4 });
  same("name", one.name, "one");
  same("registered", one.registered, true);

  const heard = new Promise((resolve) => one.addEventListener("message", resolve, { once: true }));
  await two.send(one.uuid, "event");
  const event = await heard;
  same("from", event.from, two.uuid);
  same("data", event.data, "event");

  const parts = [new Blob(["blob"]), "héllo ✓ 漢字", new Uint8Array([1, 2, 3]), new Uint8Array([4, 5]).buffer, "", new Uint8Array()];
  const sent = Promise.all(parts.map((part) => one.send(two.uuid, part)));
  const wanted = [new TextEncoder().encode("blob"), parts[1], parts[2], new Uint8Array([4, 5]), "", new Uint8Array()];
  for await (const { from, data } of two) {
    same("from", from, one.uuid);
    same("order and kind", data, wanted.shift());
    if (wanted.length === 0) break;
  }
  await sent;

  same("unknown", await code(one.send(crypto.randomUUID(), "?")), "peer-unavailable");
  same("no uuid", await code(one.send("x", "?")), "invalid-input");
  same("no message", await code(one.send(two.uuid, 7)), "invalid-input");
  same("aborted", await code(one.recv({ signal: AbortSignal.abort() })), "AbortError");
  same("timed out", await code(two.recv({ signal: AbortSignal.timeout(20) })), "TimeoutError");

  const connection = await one.connect(two.uuid);
  const other = await two.connect(one.uuid);
  same("state", connection.state, "connected");
  same("peer", connection.peer, two.uuid);
  same("kind", connection.isCrosspeer, true);
  const changed = new Promise((resolve) => other.addEventListener("statechange", () => resolve(other.state)));
  // More than the peer grants at first.
  const big = connection.send(new Uint8Array(12_000_000).fill(7));
  same("buffered", connection.bufferedAmount, 12_000_000);
  same("big", (await other.recv()).length, 12_000_000);
  await big;
  same("buffered", connection.bufferedAmount, 0);
  same("sent", (await connection.statistics()).messagesSent > 0, true);
  await connection.close();
  same("changed", await changed, "closed");
  same("closed", (await connection.closed).code, "closed");
  await Promise.all([one.close(), two[Symbol.asyncDispose ?? "close"]()]);
  same("after close", await code(one.recv()), "closed");
  for await (const _ of one) throw new Error("a message after close");
}

async function byHand(relay) {
  const client1 = await RelayClient.connect(relay, options);
  const connection1 = new PeerConnection(client1, { channels: 1 });
  const client2 = await RelayClient.connect(relay, options);
  const connection2 = new PeerConnection(client2);

  await connection1.sendOffer(client2.uuid);
  await connection2.handleServerMessage(await client2.recv());
  await connection1.handleServerMessage(await client1.recv());
  await connection1.ready();
  await connection2.ready({ timeout: 30_000 });

  await connection1.send("hello");
  same("hello", await connection2.recv(), "hello");
  await connection2.send("hello hello");
  same("hello hello", await connection1.recv(), "hello hello");

  await client1.close();
  await client2.close();
  await connection1.close();
  await connection2.close();
}

async function refusals() {
  same("url", await code(PeerManager.join("http://x")), "invalid-input");
  same("option", await code(PeerManager.join("ws://127.0.0.1:9", { nmae: "x" })), "invalid-input");
  const policy = { iceTransportPolicy: "none" };
  same("policy", await code(PeerManager.join("ws://127.0.0.1:9", policy)), "invalid-input");
  same("gone", await code(PeerManager.join("ws://127.0.0.1:9", { connectTimeout: 300 })), "relay-unreachable");
  same("aborted", await code(PeerManager.join("ws://127.0.0.1:9", { signal: AbortSignal.timeout(50) })), "TimeoutError");
}

export async function exchange(relay) {
  await init();
  await managers(relay);
  await listeners(relay);
  await events(relay);
  await sends(relay);
  await displaced(relay);
  await byHand(relay);
  await refusals();
  return "ok";
}

// Pages and native peers that are told nothing but the relay's URL, and may use no path but one through a TURN server.

import assert from "node:assert/strict";
import { networkInterfaces } from "node:os";
import { after, test } from "node:test";
import { closeBrowsers, open } from "./browsers.mjs";
import { LIMIT, native, relay, site } from "./surroundings.mjs";

after(closeBrowsers);

/** An address of this machine that browsers use: they leave loopback out. */
const own = Object.values(networkInterfaces())
  .flat()
  .find(({ family, internal }) => family === "IPv4" && !internal)?.address;
const only = { iceTransportPolicy: "relay" };

for (const [from, to] of [["chromium", "native"], ["firefox", "native"], ["chromium", "firefox"]]) {
  test(`${from} reaches ${to} through the relay's TURN server`, { ...LIMIT, skip: own === undefined }, async (t) => {
    const url = await relay(t, "crosspeer-relay", {}, ["--host", own, "--turn"]);
    const page = async (browser) => (await open(t, browser, await site(t))).join(url, only);
    const [a, b] = [await page(from), to === "native" ? await native(t, url) : await page(to)];
    await a.sendText(b.uuid, "there");
    assert.deepEqual(await b.recvText(), { from: a.uuid, text: "there" });
    await b.sendText(a.uuid, "and back");
    assert.deepEqual(await a.recvText(), { from: b.uuid, text: "and back" });
  });
}

test("a page is told of a TURN server that refuses", { ...LIMIT, skip: own === undefined }, async (t) => {
  const url = await relay(t, "crosspeer-relay", {}, ["--host", own, "--turn"]);
  const turn = url.replace("ws://", "turn:").replace(/\/$/, "");
  const iceServers = [{ urls: turn, username: "99999999999:me", credential: "wrong" }];
  const b = await native(t, url);
  const options = { ...only, iceServers, relayIceServers: false, connectTimeout: 3000 };
  const a = await (await open(t, "chromium", await site(t))).join(url, options);
  await assert.rejects(a.sendText(b.uuid, "?"), /refused the user name or password/);
});

// Visitors of `crosspeer share` with each other, in Chromium: who leaves, who declines, who is who.

import assert from "node:assert/strict";
import { test } from "node:test";
import { button, file, folder, hash, inChromium, otherPage, saved, serve, transfer } from "./harness.mjs";

const { newContext, open } = inChromium();

/** Takes long enough to be interrupted. */
const LONG = 1 << 30;

const named = (name) => ({ script: `localStorage.getItem("name") ?? localStorage.setItem("name", ${JSON.stringify(name)})` });

/** Two pages that know each other, as Ada and Grace. */
async function two(t, server) {
  const a = await open(t, server, named("Ada"));
  const b = await open(t, server, named("Grace"));
  await Promise.all([otherPage(a).waitFor(), otherPage(b).waitFor()]);
  return [a, b];
}

async function offer(page, path, to = otherPage(page)) {
  const chooser = page.waitForEvent("filechooser");
  await to.getByRole("button").click();
  await (await chooser).setFiles(path);
}

test("when the receiver leaves, the sender says who left, and can try again", async (t) => {
  const [dir, from] = [await folder(t), await folder(t)];
  const [a, b] = await two(t, await serve(t, dir));
  await offer(a, await file(from, "long", LONG));
  await button(b, "Accept").click();
  await transfer(a, "long", "active").waitFor();
  await b.close();
  await transfer(a, "long", "failed").getByText("Grace\u2069 left").waitFor();
  await transfer(a, "long", "failed").getByRole("button", { name: "Try again" }).click();
  await transfer(a, "long", "failed").getByText(/Grace\u2069 (is not there any more|cannot be reached)/).waitFor();
});

test("whoever comes back under the same name gets it when it is tried again, and nobody else", async (t) => {
  const [dir, from] = [await folder(t), await folder(t)];
  const server = await serve(t, dir);
  const [a, b] = await two(t, server);
  const uuid = (await b.locator("#command-page").textContent()).match(/--peer (\S+)/)[1];
  const graces = a.locator('.person[data-name="Grace"][data-connected="true"]');
  const twin = await open(t, server, named("Grace"));
  await graces.nth(1).waitFor();
  await offer(a, await file(from, "gift", 1000), a.locator(`.person[data-uuid="${uuid}"]`));
  await transfer(b, "gift", "asking").waitFor();
  await b.close();
  await transfer(a, "gift", "failed").getByText("left").waitFor();
  const back = await open(t, server, named("Grace"));
  await a.waitForFunction((gone) => !document.querySelector(`[data-uuid="${gone}"]`), uuid);
  await graces.nth(1).waitFor();
  await transfer(a, "gift", "failed").getByRole("button", { name: "Try again" }).click();
  await transfer(back, "gift", "asking").waitFor();
  assert.equal(await twin.locator(".transfer").count(), 0);
});

test("when the sender leaves, the receiver says so, and who can send it again", async (t) => {
  const [dir, from] = [await folder(t), await folder(t)];
  const [a, b] = await two(t, await serve(t, dir));
  await offer(a, await file(from, "long", LONG));
  await offer(a, await file(from, "unanswered", 1000));
  await transfer(b, "unanswered", "asking").waitFor();
  await transfer(b, "long", "asking").getByRole("button", { name: "Accept" }).click();
  await transfer(b, "long", "active").waitFor();
  await a.close();
  for (const name of ["long", "unanswered"]) {
    await transfer(b, name, "failed").getByText("Ada\u2069 left").waitFor();
    await transfer(b, name, "failed").getByText("can send it again").waitFor();
  }
});

test("after a lost connection between pages, trying again sends it", async (t) => {
  const [dir, from] = [await folder(t), await folder(t)];
  const server = await serve(t, dir);
  const lose = () => {
    const { close } = RTCPeerConnection.prototype; // as if it were lost: nothing is said to the other side's page
    globalThis.connections = [];
    globalThis.RTCPeerConnection = class extends RTCPeerConnection {
      constructor(...args) {
        super(...args);
        globalThis.connections.push(this);
      }
    };
    globalThis.lose = () => globalThis.connections.splice(1).forEach((connection) => close.call(connection));
  };
  const context = await newContext(t);
  const [a, b] = [await open(t, server, { context, script: lose }), await open(t, server, { context })];
  await Promise.all([otherPage(a).waitFor(), otherPage(b).waitFor()]);
  const original = await file(from, "gift", 24 << 20);
  await offer(a, original);
  await transfer(b, "gift", "asking").waitFor();
  await a.evaluate(() => globalThis.lose());
  await transfer(b, "gift", "failed").waitFor();
  await transfer(a, "gift", "failed").getByRole("button", { name: "Try again" }).click();
  const { path } = await saved(b, () => transfer(b, "gift", "asking").getByRole("button", { name: "Accept" }).click());
  assert.equal(await hash(path), await hash(original));
  await transfer(a, "gift", "done").waitFor();
});

test("what the other side cancels or declines is no failure", async (t) => {
  const [dir, from] = [await folder(t), await folder(t)];
  const [a, b] = await two(t, await serve(t, dir));
  await offer(a, await file(from, "unwanted", 1000));
  await button(b, "Decline").click();
  await transfer(a, "unwanted", "declined").getByText("Grace\u2069 declined").waitFor();
  await transfer(b, "unwanted", "declined").getByText("Declined").waitFor();
  await offer(a, await file(from, "withdrawn", 1000));
  await transfer(b, "withdrawn", "asking").waitFor();
  await button(a, "Cancel withdrawn").click();
  await transfer(b, "withdrawn", "cancelled").getByText("Cancelled by \u2068Ada").waitFor();
  await offer(a, await file(from, "long", LONG));
  await transfer(b, "long", "asking").getByRole("button", { name: "Accept" }).click();
  await transfer(a, "long", "active").waitFor();
  await button(b, "Cancel long").click();
  await transfer(a, "long", "cancelled").getByText("Cancelled by \u2068Grace").waitFor();
});

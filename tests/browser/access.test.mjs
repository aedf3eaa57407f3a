// The page of `crosspeer share` for everyone: what axe finds in its states, what is named how, what stays in view.

import assert from "node:assert/strict";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { test } from "node:test";
import { again, button, Crosspeer, entry, file, folder, inChromium, otherPage, serve, transfer } from "./harness.mjs";

const { newContext, open } = inChromium();
const AXE = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const LONG = 1 << 30;
const PHONE = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true };

/** What axe has against the page as it is now, in both colours. */
async function clean(page, state) {
  if (!(await page.evaluate(() => "axe" in globalThis))) await page.evaluate(AXE);
  await page.emulateMedia({ reducedMotion: "reduce" }); // colours are measured, not what is between them
  for (const theme of ["light", "dark"]) {
    const found = await page.evaluate(async (theme) => {
      document.documentElement.dataset.theme = theme;
      const { violations } = await globalThis.axe.run(document, { resultTypes: ["violations"] });
      return violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => `${node.html} (${node.any[0]?.message ?? ""})`).join("\n  ")}`);
    }, theme);
    assert.deepEqual(found, [], `${state}, ${theme}`);
  }
}

for (const [device, options] of [["a computer", {}], ["a phone", PHONE]]) {
  test(`axe finds nothing on ${device}, whatever is shown`, async (t) => {
    const [dir, from] = [await folder(t), await folder(t)];
    await mkdir(join(dir, "inner"));
    await mkdir(join(dir, "partial"));
    await file(join(dir, "partial"), "x", 10);
    for (let n = 0; n < 25; n++) await file(dir, `file ${n}`, 10 * n);
    await file(dir, "long", LONG);
    const server = await serve(t, dir);
    const relay = server.url.replace("http", "ws");
    const receive = new Crosspeer("receive", "--relay", relay, "--dir", from, "--no-stun", "--name", "terminal");
    t.after(() => receive.end());
    const page = await open(t, server, { context: await newContext(t, options) });
    const other = await open(t, server);
    await otherPage(page).waitFor();
    await entry(page, "long").waitFor();
    await clean(page, "a folder, visitors");

    await other.locator("#snippet-text").fill("see https://example.org");
    await button(other, "Share").click();
    await page.locator(".snippet").waitFor();
    await button(page, "Download file 3").click();
    await transfer(page, "file 3", "done").waitFor();
    await button(page, "Download long").click();
    await transfer(page, "long", "active").waitFor();
    await page.setInputFiles("#choose-files", await file(from, ".hidden", 1));
    await transfer(page, ".hidden", "failed").waitFor();
    const chooser = other.waitForEvent("filechooser");
    await otherPage(other).getByRole("button").click();
    await (await chooser).setFiles([await file(from, "gift", 100), await file(from, "other gift", 100)]);
    await transfer(page, "gift", "asking").waitFor();
    await transfer(page, "other gift", "asking").getByRole("button", { name: "Decline" }).click();
    await page.locator(".terminal summary").click();
    await clean(page, "transfers of all kinds, a snippet");

    await page.getByLabel("Filter by name").fill("nothing");
    await page.getByText("Nothing here has such a name.").waitFor();
    await clean(page, "a filter that leaves nothing");
    await page.getByLabel("Filter by name").fill("");

    await button(page, "Other device").click();
    await clean(page, "the dialog for other devices");
    await page.keyboard.press("Escape");
    await button(page, "Rename").click();
    await clean(page, "the dialog for the name");
    await page.keyboard.press("Escape");
    await page.evaluate(() => (document.getElementById("drop").hidden = false));
    await clean(page, "a file above the page");
    await page.evaluate(() => (document.getElementById("drop").hidden = true));

    await page.locator('.entry[data-name="inner"] .name').click();
    await page.getByText("This folder is empty.").waitFor();
    await clean(page, "an empty folder");
    await page.evaluate(() => (location.hash = "path=missing"));
    await page.locator("#files-hint.error").waitFor();
    await clean(page, "a folder that cannot be shown");

    await server.end("SIGKILL");
    await page.locator("#banner").waitFor();
    await transfer(page, "long", "interrupted").waitFor();
    await clean(page, "the server is away");
    await again(t, server, "--token", "new");
    await page.getByRole("heading", { name: "Your access has ended" }).waitFor();
    await clean(page, "a token is asked for");
  });
}

test("axe finds nothing in the dialog with the address for other devices", async (t) => {
  const context = await newContext(t, PHONE);
  await context.route("**/config.json", async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, json: { ...(await response.json()), addresses: ["http://192.0.2.1:8700", "http://192.0.2.2:8700"] } });
  });
  const page = await open(t, await serve(t, await folder(t), "--token", "secret"), { context });
  await button(page, "Other device").click();
  await page.getByRole("img", { name: "QR code of the address" }).waitFor();
  assert.equal(await page.locator("#device-content a").first().textContent(), "http://192.0.2.1:8700/#token=secret");
  await clean(page, "the dialog with addresses");
});

test("skeleton rows stand where a folder is being listed", async (t) => {
  const dir = await folder(t);
  await mkdir(join(dir, "inner"));
  await file(join(dir, "inner"), "x", 10);
  const page = await open(t, await serve(t, dir));
  await entry(page, "inner").waitFor();
  const held = await page.evaluateHandle(() => {
    const held = [];
    const send = RTCDataChannel.prototype.send;
    RTCDataChannel.prototype.send = function (data) {
      held.push(() => send.call(this, data));
    };
    globalThis.release = () => {
      RTCDataChannel.prototype.send = send;
      for (const go of held) go();
    };
    // The module's memory is used again.
    const { send: holding } = RTCDataChannel.prototype;
    RTCDataChannel.prototype.send = function (data) {
      return holding.call(this, data.slice());
    };
    return held;
  });
  await page.locator('.entry[data-name="inner"] .name').click();
  await page.locator(".skeleton").first().waitFor();
  assert.equal(await page.locator(".entry").count(), 0, "not the former folder's");
  assert.equal(await page.locator("#entries").getAttribute("aria-busy"), "true");
  await clean(page, "a folder being listed");
  await page.evaluate(() => globalThis.release());
  await entry(page, "x").waitFor();
  assert.equal(await page.locator(".skeleton").count(), 0);
  await held.dispose();
});

test("what a button is called is what it says", async (t) => {
  const server = await serve(t, await folder(t));
  const page = await open(t, server);
  await open(t, server);
  await otherPage(page).waitFor();
  const send = otherPage(page).getByRole("button");
  assert.equal(await send.getAttribute("aria-label"), null);
  assert.match(await send.textContent(), /^Send file to /);
  const phone = await open(t, server, { context: await newContext(t, PHONE) });
  await button(phone, "Other device").waitFor();
});

test("visitors of one name are told apart, and one knows which is oneself", async (t) => {
  const server = await serve(t, await folder(t));
  const count = 9; // more than there are colours
  const pages = [];
  for (let n = 0; n < count; n++) pages.push(await open(t, server));
  const own = new Map();
  for (const page of pages) {
    await page.locator(".you .tag", { hasText: "You" }).waitFor();
    await page.waitForFunction((count) => document.querySelectorAll(".person[data-role=page]").length === count - 1, count);
    const uuid = (await page.locator("#command-page").textContent()).match(/--peer (\S+)/)[1];
    own.set(uuid, page);
  }
  const words = new Map();
  for (const [uuid, page] of own) {
    const word = () => document.getElementById("own-detail").textContent.match(/in (.*)$/)[1];
    const settled = await page.waitForFunction(() => document.getElementById("own-detail").textContent.includes("in "));
    await settled.dispose();
    words.set(uuid, await page.evaluate(word));
  }
  assert.equal(new Set(words.values()).size, count, JSON.stringify([...words.values()]));
  for (const row of await pages[0].locator(".person[data-role=page]").all()) {
    const uuid = await row.getAttribute("data-uuid");
    await row.locator(".person-detail", { hasText: `${words.get(uuid)} · ` }).waitFor();
  }
});

test("beside a long list, transfers stay in view", async (t) => {
  const dir = await folder(t);
  for (let n = 0; n < 300; n++) await writeFile(join(dir, `file ${n}`), "x");
  const page = await open(t, await serve(t, dir));
  await button(page, "Download file 299").click();
  await transfer(page, "file 299", "done").waitFor();
  assert.ok((await page.evaluate(() => scrollY)) > 1000);
  await inView(page, transfer(page, "file 299", "done"));
});

test("on a phone a bar at the bottom holds offers and what runs", async (t) => {
  const [dir, from] = [await folder(t), await folder(t)];
  for (let n = 0; n < 100; n++) await writeFile(join(dir, `file ${n}`), "x");
  await file(dir, "long", LONG);
  const server = await serve(t, dir);
  const page = await open(t, server, { context: await newContext(t, PHONE) });
  const other = await open(t, server);
  await otherPage(other).waitFor();
  const dock = page.getByRole("region", { name: "What runs and what waits" });
  assert.ok(await dock.isHidden());
  await button(page, "Download long").click();
  await dock.getByText("1 transfer · ").waitFor();
  const chooser = other.waitForEvent("filechooser");
  await otherPage(other).getByRole("button").click();
  await (await chooser).setFiles(await file(from, "gift", 100));
  await inView(page, dock.getByRole("button", { name: "Accept" }));
  await dock.getByRole("button", { name: "Decline" }).click();
  await transfer(other, "gift", "declined").waitFor();
  await dock.getByRole("button", { name: "Show" }).click();
  await inView(page, transfer(page, "long", "active"));
  await button(page, "Cancel long").click();
  await dock.waitFor({ state: "hidden" });
});

/** Nothing has to be scrolled to see it. */
async function inView(page, locator) {
  await locator.waitFor();
  const box = await locator.evaluate((element) => element.getBoundingClientRect().toJSON());
  const height = await page.evaluate(() => innerHeight);
  assert.ok(box.top >= 0 && box.bottom <= height, JSON.stringify({ ...box, height }));
}

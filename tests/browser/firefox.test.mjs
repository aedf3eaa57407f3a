// The core of it in Firefox, by WebDriver BiDi.

import assert from "node:assert/strict";
import { watch } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { again, file, folder, hash, launchFirefox, PATIENCE, serve } from "./harness.mjs";

const MIB = 1 << 20;

async function launch(t, downloads) {
  const browser = await launchFirefox({
    "browser.download.folderList": 2,
    "browser.download.dir": downloads,
    "browser.download.useDownloadDir": true,
    "browser.download.always_ask_before_handling_new_types": false,
    "browser.download.alwaysOpenPanel": false,
  });
  t.after(() => browser.close());
  return browser;
}

async function open(browser, server) {
  const page = await browser.newPage();
  page.setDefaultTimeout(PATIENCE);
  await page.goto(server.url);
  await page.waitForSelector("#status[data-state=online]");
  return page;
}

const transfer = (page, name, state) => page.waitForSelector(`.transfer[data-name="${name}"][data-state="${state}"]`);
/** The driver's locators need `eval`, which the page forbids. */
const click = async (page, label) => (await page.waitForSelector(`::-p-aria([name="${label}"][role="button"])`)).click();

/** The browser writes beside the name, and renames at the end. */
async function appears(dir, name) {
  const watcher = watch(dir);
  try {
    for (;;) {
      const changed = new Promise((resolve) => watcher.once("change", resolve)); // from before the look
      const names = await readdir(dir);
      if (names.includes(name) && !names.some((other) => other.endsWith(".part"))) break;
      await changed;
    }
  } finally {
    watcher.close();
  }
  return join(dir, name);
}

test("a file is downloaded and another uploaded, byte for byte", async (t) => {
  const [dir, from, to] = [await folder(t), await folder(t), await folder(t)];
  const original = await file(dir, "data.bin", 5 * MIB + 1);
  const upload = await file(from, "up ✓.bin", 3 * MIB);
  const server = await serve(t, dir);
  const page = await open(await launch(t, to), server);
  await click(page, "Download data.bin");
  await transfer(page, "data.bin", "done");
  assert.equal(await hash(await appears(to, "data.bin")), await hash(original));
  const input = await page.$("#choose-files");
  await input.uploadFile(upload);
  await transfer(page, "up ✓.bin", "done");
  assert.equal(await hash(join(dir, "up ✓.bin")), await hash(upload));
  await page.waitForSelector('.entry[data-name="up ✓.bin"]');
});

test("a cancelled download ends at both sides", async (t) => {
  const [dir, to] = [await folder(t), await folder(t)];
  await file(dir, "long", 1024 * MIB);
  const server = await serve(t, dir);
  const page = await open(await launch(t, to), server);
  await click(page, "Download long");
  await transfer(page, "long", "active");
  await click(page, "Cancel long");
  await server.event({ type: "not-sent", name: "long", code: "cancelled" });
  await transfer(page, "long", "cancelled");
});

test("two pages share snippets, and files with each other", async (t) => {
  const [dir, from, to] = [await folder(t), await folder(t), await folder(t)];
  const server = await serve(t, dir);
  const browser = await launch(t, to);
  const [a, b] = [await open(browser, server), await open(browser, server)];
  const other = '.person[data-role="page"][data-connected="true"]';
  await Promise.all([a.waitForSelector(other), b.waitForSelector(other)]);
  await a.type("#snippet-text", "from Firefox");
  await click(a, "Share");
  await b.waitForSelector(".snippet ::-p-text(from Firefox)");
  const original = await file(from, "gift.bin", 2 * MIB);
  // What the button does, without the browser's own dialog.
  await a.evaluate((selector) => document.querySelector(`${selector} button`).click(), other);
  await (await a.$("#choose-for-peer")).uploadFile(original);
  await transfer(b, "gift.bin", "asking");
  await click(b, "Accept");
  await transfer(a, "gift.bin", "done");
  assert.equal(await hash(await appears(to, "gift.bin")), await hash(original));
});

test("a server that is killed and comes back is found again", async (t) => {
  const [dir, to] = [await folder(t), await folder(t)];
  await file(dir, "small", 1000);
  const server = await serve(t, dir);
  const page = await open(await launch(t, to), server);
  await server.end("SIGKILL");
  await page.waitForSelector("#status[data-state=reconnecting]");
  await again(t, server);
  await page.waitForSelector("#status[data-state=online]");
  await click(page, "Download small");
  await transfer(page, "small", "done");
  await appears(to, "small");
});

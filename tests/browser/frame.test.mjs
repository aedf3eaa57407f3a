// The frame of the page of `crosspeer share` in Chromium: what holds when the server, storage or the clipboard is away.

import assert from "node:assert/strict";
import { test } from "node:test";
import { again, button, folder, inChromium, online, serve } from "./harness.mjs";

const { open } = inChromium();

test("the page works where site data is blocked", async (t) => {
  const page = await open(t, await serve(t, await folder(t)), {
    script: () => {
      for (const key of ["localStorage", "sessionStorage", "indexedDB"]) {
        Object.defineProperty(window, key, { get: () => { throw new DOMException("denied", "SecurityError"); } });
      }
    },
  });
  await page.locator("#theme").click();
  assert.equal(await page.locator("html").getAttribute("data-theme"), "dark");
});

test("a snippet shared while the server is away waits, and is sent when it is back", async (t) => {
  const server = await serve(t, await folder(t));
  const page = await open(t, server);
  await server.end("SIGKILL");
  await page.locator("#banner").waitFor();
  await page.locator("#snippet-text").fill("later");
  await button(page, "Share").click();
  await page.locator('.snippet[data-waiting="true"]').getByText("waiting for the server").waitFor();
  await button(page, "Try now").click(); // the server is not back yet, and nothing is lost by it
  await again(t, server);
  await page.locator('.snippet[data-waiting="false"]').waitFor();
  const late = await open(t, server);
  await late.locator(".snippet pre", { hasText: "later" }).waitFor();
});

test("a changed token is said, and the new one opens the page again, without losing what waits", async (t) => {
  const server = await serve(t, await folder(t), "--token", "old");
  const page = await open(t, server);
  await server.end("SIGKILL");
  await page.locator("#banner").waitFor();
  await page.locator("#snippet-text").fill("kept");
  await button(page, "Share").click();
  await page.locator('.snippet[data-waiting="true"]').waitFor();
  await again(t, server, "--token", "new");
  await page.getByRole("heading", { name: "Your access has ended" }).waitFor();
  await page.getByLabel("Token", { exact: true }).fill("new");
  await button(page, "Open").click();
  await online(page);
  await page.locator('.snippet[data-waiting="false"] pre', { hasText: "kept" }).waitFor();
  assert.match(page.url(), /#token=new$/);
});

test("a click on Try now ends the waits, the page's and the relay's", async (t) => {
  const server = await serve(t, await folder(t));
  const page = await open(t, server);
  await server.end("SIGKILL");
  await page.locator("#banner").waitFor();
  // From here on no wait of the page ends by itself.
  await page.evaluate(() => {
    const { setTimeout } = globalThis;
    globalThis.waits = [];
    globalThis.setTimeout = (run, milliseconds = 0, ...rest) => {
      if (milliseconds < 200) return setTimeout(run, milliseconds, ...rest);
      globalThis.waits.push(milliseconds);
      return 0;
    };
  });
  // The waits that had begun before end, and lead to others.
  await page.waitForFunction(() => globalThis.waits.length >= 2);
  await again(t, server);
  await button(page, "Try now").click();
  await online(page);
});

test("Enter accepts a new name, Escape and Cancel keep the old one", async (t) => {
  const page = await open(t, await serve(t, await folder(t)));
  for (const [text, act] of [["Ada", () => page.keyboard.press("Enter")], ["no", () => page.keyboard.press("Escape")], ["no", () => button(page, "Cancel").click()]]) {
    await page.locator("#rename").click();
    await page.locator("#name-input").fill(text);
    // A dialog is hidden before its `close` event is handled; ours is the last listener.
    await page.evaluate(() => {
      const dialog = document.getElementById("name-dialog");
      globalThis.closed = new Promise((done) => dialog.addEventListener("close", () => done(true), { once: true }));
    });
    await act();
    await page.evaluate(() => globalThis.closed);
    assert.equal(await page.locator("#own-name").textContent(), "Ada");
  }
});

for (const works of [true, false]) {
  test(`copying in a dialog on plain http ${works ? "copies" : "says that it failed"}`, async (t) => {
    const page = await open(t, await serve(t, await folder(t)), { script: `
      Object.defineProperty(Navigator.prototype, "clipboard", { get: () => undefined });
      document.execCommand = () => ${works} && ((window.copied = getSelection().toString() || document.activeElement.value), true);
    ` });
    await page.evaluate(() => document.getElementById("device-dialog").showModal());
    await page.evaluate(() => {
      const copy = document.querySelector('[data-copy="command-folder"]');
      document.getElementById("device-content").replaceChildren(copy);
    });
    await page.locator('[data-copy="command-folder"]').click();
    const said = works ? "Copied" : "does not let this page copy";
    await page.locator("#announcements", { hasText: said }).waitFor({ state: "attached" });
    if (works) assert.match(await page.evaluate(() => window.copied), /^crosspeer send/);
  });
}

// The frame of the page of `crosspeer share` in Chromium and Firefox: what holds when the server, storage or the clipboard
// is away.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { again, folder, inChromium, inFirefox, serve } from "./harness.mjs";

const SHARE = "#snippet-form button";

for (const [name, inBrowser] of [["Chromium", inChromium], ["Firefox", inFirefox]]) {
  describe(name, () => frame(inBrowser()));
}

function frame({ open, see }) {
  test("the page works where site data is blocked", async (t) => {
    const page = await open(t, await serve(t, await folder(t)), {
      script: () => {
        for (const key of ["localStorage", "sessionStorage", "indexedDB"]) {
          Object.defineProperty(window, key, { get: () => { throw new DOMException("denied", "SecurityError"); } });
        }
      },
    });
    await page.locator("#theme").click();
    await see(page, "html[data-theme=dark]");
  });

  test("a snippet shared while the server is away waits, and is sent when it is back", async (t) => {
    const server = await serve(t, await folder(t));
    const page = await open(t, server);
    await server.end("SIGKILL");
    await see(page, "#banner");
    await page.locator("#snippet-text").fill("later");
    await page.locator(SHARE).click();
    await see(page, '.snippet[data-waiting="true"]', "waiting for the server");
    await page.locator("#try-now").click(); // the server is not back yet, and nothing is lost by it
    await again(t, server);
    await see(page, '.snippet[data-waiting="false"]');
    const late = await open(t, server);
    await see(late, ".snippet pre", "later");
  });

  test("a changed token is said, and the new one opens the page again, without losing what waits", async (t) => {
    const server = await serve(t, await folder(t), "--token", "old");
    const page = await open(t, server);
    await server.end("SIGKILL");
    await see(page, "#banner");
    await page.locator("#snippet-text").fill("kept");
    await page.locator(SHARE).click();
    await see(page, '.snippet[data-waiting="true"]');
    await again(t, server, "--token", "new");
    await see(page, "#token-title", "Your access has ended");
    await page.locator("#token-input").fill("new");
    await page.locator("#token-form button").click();
    await see(page, "#status[data-state=online]");
    await see(page, '.snippet[data-waiting="false"] pre', "kept");
    assert.match(page.url(), /#token=new$/);
  });

  test("a click on Try now ends the waits, the page's and the relay's", async (t) => {
    const server = await serve(t, await folder(t));
    const page = await open(t, server);
    await server.end("SIGKILL");
    await see(page, "#banner");
    // From here on no wait of the page ends by itself: what has begun is cleared, what begins is not set.
    await page.evaluate(() => {
      const { setTimeout } = globalThis;
      globalThis.setTimeout = (run, milliseconds = 0, ...rest) => (milliseconds < 200 ? setTimeout(run, milliseconds, ...rest) : 0);
      for (let id = setTimeout(() => {}, 0); id > 0; id--) clearTimeout(id);
    });
    await again(t, server);
    await page.evaluate(() => document.getElementById("try-now").click());
    await see(page, "#status[data-state=online]");
  });

  test("Enter accepts a new name, Escape and Cancel keep the old one", async (t) => {
    const page = await open(t, await serve(t, await folder(t)));
    const cancel = () => page.locator("#name-cancel").click();
    for (const [text, act] of [["Ada", () => page.keyboard.press("Enter")], ["no", () => page.keyboard.press("Escape")], ["no", cancel]]) {
      await page.locator("#rename").click();
      await page.locator("#name-input").fill(text);
      // A dialog is hidden before its `close` event is handled; ours is the last listener.
      await page.evaluate(() => {
        const dialog = document.getElementById("name-dialog");
        globalThis.closed = new Promise((done) => dialog.addEventListener("close", () => done(true), { once: true }));
      });
      await act();
      await page.evaluate(() => globalThis.closed);
      assert.equal(await page.evaluate(() => document.getElementById("own-name").textContent), "Ada");
    }
  });

  for (const works of [true, false]) {
    test(`copying in a dialog on plain http ${works ? "copies" : "says that it failed"}`, async (t) => {
      const page = await open(t, await serve(t, await folder(t)), { script: `
        Object.defineProperty(Navigator.prototype, "clipboard", { get: () => undefined });
        document.execCommand = () => ${works} && ((window.copied = getSelection().toString() || document.activeElement.value), true);
      ` });
      await page.evaluate(() => {
        document.getElementById("device-dialog").showModal();
        const copy = document.querySelector('[data-copy="command-folder"]');
        document.getElementById("device-content").replaceChildren(copy);
      });
      await page.locator('[data-copy="command-folder"]').click();
      await see(page, "#announcements", works ? "Copied" : "does not let this page copy");
      if (works) assert.match(await page.evaluate(() => window.copied), /^crosspeer send/);
    });
  }
}

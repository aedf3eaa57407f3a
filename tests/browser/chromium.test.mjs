// The page of `crosspeer share` in Chromium: what people do, and what goes wrong meanwhile.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { again, button, Crosspeer, file, folder, hash, inChromium, online, PATIENCE, saved, serve, transfer } from "./harness.mjs";

const MIB = 1 << 20;
/** Takes long enough to be interrupted. */
const LONG = 1024 * MIB;

const { newContext, open } = inChromium();

test("a file is downloaded byte for byte", async (t) => {
  const dir = await folder(t);
  const original = await file(dir, "data ✓.bin", 3 * MIB + 5);
  const page = await open(t, await serve(t, dir));
  const { name, path } = await saved(page, () => button(page, "Download data ✓.bin").click());
  assert.equal(name, "data ✓.bin");
  assert.equal(await hash(path), await hash(original));
  await transfer(page, "data ✓.bin", "done").getByText("checksum verified").waitFor();
});

test("an empty file is downloaded and uploaded", async (t) => {
  const [dir, from] = [await folder(t), await folder(t)];
  await file(dir, "empty", 0);
  const server = await serve(t, dir);
  const page = await open(t, server);
  const { path } = await saved(page, () => button(page, "Download empty").click());
  assert.equal((await readFile(path)).length, 0);
  await page.setInputFiles("#choose-files", await file(from, "nothing", 0));
  await server.event({ type: "file", path: "nothing", size: 0 });
});

test("a folder is downloaded as a ZIP that other programs read", async (t) => {
  const dir = await folder(t);
  await mkdir(join(dir, "Photos/2026"), { recursive: true });
  await file(join(dir, "Photos"), "a.jpg", 100_000);
  await file(join(dir, "Photos/2026"), "ü.jpg", 300_000);
  const page = await open(t, await serve(t, dir));
  const { name, path } = await saved(page, () => button(page, "Download Photos as ZIP").click());
  assert.equal(name, "Photos.zip");
  const { execFileSync } = await import("node:child_process");
  const script = "import sys, zipfile; z = zipfile.ZipFile(sys.argv[1]); assert z.testzip() is None; print('|'.join(z.namelist()))";
  const names = execFileSync("python3", ["-c", script, path], { encoding: "utf8" }).trim().split("|");
  assert.deepEqual(names.sort(), ["Photos/2026/ü.jpg", "Photos/a.jpg"]);
});

test("chosen files are uploaded byte for byte, and appear on every page", async (t) => {
  const [dir, from] = [await folder(t), await folder(t)];
  const server = await serve(t, dir);
  const context = await newContext(t);
  const [page, other] = [await open(t, server, { context }), await open(t, server, { context })];
  const paths = [await file(from, "one.bin", 2 * MIB), await file(from, "two.bin", 700_001)];
  await page.setInputFiles("#choose-files", paths);
  await transfer(page, "one.bin", "done").waitFor();
  await transfer(page, "two.bin", "done").waitFor();
  assert.equal(await hash(join(dir, "one.bin")), await hash(paths[0]));
  assert.equal(await hash(join(dir, "two.bin")), await hash(paths[1]));
  await other.locator('.entry[data-name="one.bin"]').waitFor();
});

test("a folder is uploaded into the folder on the screen", async (t) => {
  const [dir, from] = [await folder(t), await folder(t)];
  await mkdir(join(dir, "inbox"));
  await mkdir(join(from, "Album/sub"), { recursive: true });
  await file(join(from, "Album"), "1.jpg", 5000);
  await file(join(from, "Album/sub"), "2.jpg", 6000);
  const page = await open(t, await serve(t, dir));
  await page.locator('.entry[data-name="inbox"] .name').click();
  await page.locator(".crumb[aria-current]", { hasText: "inbox" }).waitFor();
  await page.setInputFiles("#choose-folder", join(from, "Album"));
  await transfer(page, "Album/", "done").waitFor();
  assert.equal((await readFile(join(dir, "inbox/Album/1.jpg"))).length, 5000);
  assert.equal((await readFile(join(dir, "inbox/Album/sub/2.jpg"))).length, 6000);
});

test("dropped files are uploaded", async (t) => {
  const dir = await folder(t);
  const server = await serve(t, dir);
  const page = await open(t, server);
  await page.evaluate(() => {
    const data = new DataTransfer();
    data.items.add(new File(["dropped"], "dropped.txt"));
    for (const type of ["dragenter", "dragover", "drop"]) {
      document.body.dispatchEvent(new DragEvent(type, { dataTransfer: data, bubbles: true, cancelable: true }));
    }
  });
  await server.event({ type: "file", path: "dropped.txt" });
  assert.equal(await readFile(join(dir, "dropped.txt"), "utf8"), "dropped");
  assert.ok(await page.locator("#drop").isHidden());
});

test("a cancelled download ends at both sides", async (t) => {
  const dir = await folder(t);
  await file(dir, "long", LONG);
  const server = await serve(t, dir);
  const page = await open(t, server);
  await button(page, "Download long").click();
  await transfer(page, "long", "active").waitFor();
  await button(page, "Cancel long").click();
  await transfer(page, "long", "cancelled").waitFor();
  await server.event({ type: "not-sent", name: "long", code: "cancelled" });
});

test("a cancelled upload leaves nothing behind", async (t) => {
  const [dir, from] = [await folder(t), await folder(t)];
  const server = await serve(t, dir);
  const page = await open(t, server);
  await page.setInputFiles("#choose-files", await file(from, "long", LONG));
  await transfer(page, "long", "active").waitFor();
  await button(page, "Cancel long").click();
  await transfer(page, "long", "cancelled").waitFor();
  await server.event({ type: "not-stored", name: "long", code: "cancelled" });
  assert.deepEqual(await readdir(dir), []);
});

test("downloads and uploads run at once", async (t) => {
  const [dir, from] = [await folder(t), await folder(t)];
  const originals = [await file(dir, "a", 9 * MIB), await file(dir, "b", 10 * MIB)];
  const upload = await file(from, "c", 9 * MIB);
  const page = await open(t, await serve(t, dir));
  await page.setInputFiles("#choose-files", upload);
  await button(page, "Download a").click();
  await button(page, "Download b").click();
  await transfer(page, "a", "done").waitFor();
  await transfer(page, "b", "done").waitFor();
  // Chromium asks people before it saves several files at once, so they are looked at where they wait.
  const received = await page.evaluate(async () => {
    const hashes = [];
    const walk = async (folder) => {
      for await (const entry of folder.values()) {
        if (entry.kind === "directory") await walk(entry);
        else hashes.push(await crypto.subtle.digest("SHA-256", await (await entry.getFile()).arrayBuffer()));
      }
    };
    await walk(await navigator.storage.getDirectory());
    return hashes.map((hash) => Array.from(new Uint8Array(hash), (byte) => byte.toString(16).padStart(2, "0")).join(""));
  });
  for (const original of originals) assert.ok(received.includes(await hash(original)), original);
  await transfer(page, "c", "done").waitFor();
  assert.equal(await hash(join(dir, "c")), await hash(upload));
});

test("a reload in the middle of an upload leaves nothing behind, and the page works again", async (t) => {
  const [dir, from] = [await folder(t), await folder(t)];
  await mkdir(join(dir, "inner"));
  await file(join(dir, "inner"), "small", 1000);
  const server = await serve(t, dir);
  const page = await open(t, server);
  await page.locator('.entry[data-name="inner"] .name').click();
  await page.setInputFiles("#choose-files", await file(from, "long", LONG));
  await transfer(page, "long", "active").waitFor();
  await page.reload();
  await server.event({ type: "not-stored", name: "inner/long" });
  await online(page);
  await page.locator(".crumb[aria-current]", { hasText: "inner" }).waitFor();
  await saved(page, () => button(page, "Download small").click());
  assert.deepEqual(await readdir(join(dir, "inner")), ["small"]);
});

test("a server that is killed and comes back finishes what was interrupted", async (t) => {
  const [dir, from] = [await folder(t), await folder(t)];
  const original = await file(dir, "down", 48 * MIB);
  const upload = await file(from, "up", 48 * MIB);
  const server = await serve(t, dir);
  const page = await open(t, server);
  const download = page.waitForEvent("download", { timeout: PATIENCE });
  await button(page, "Download down").click();
  await page.setInputFiles("#choose-files", upload);
  await transfer(page, "down", "active").waitFor();
  await transfer(page, "up", "active").waitFor();
  await server.end("SIGKILL");
  await page.locator("#status[data-state=reconnecting]").waitFor();
  await transfer(page, "down", "interrupted").waitFor();
  await again(t, server);
  await online(page);
  assert.equal(await hash(await (await download).path()), await hash(original));
  await transfer(page, "up", "done").waitFor();
  assert.equal(await hash(join(dir, "up")), await hash(upload));
});

test("two pages share snippets and files with each other", async (t) => {
  const [dir, from] = [await folder(t), await folder(t)];
  const server = await serve(t, dir);
  const context = await newContext(t);
  const [a, b] = [await open(t, server, { context }), await open(t, server, { context })];
  const other = (page) => page.locator('.person[data-role="page"][data-connected="true"]');
  await Promise.all([other(a).waitFor(), other(b).waitFor()]);
  await a.locator("#snippet-text").fill("see https://example.org/x <b>");
  await button(a, "Share").click();
  await b.locator(".snippet pre", { hasText: "see https://example.org/x <b>" }).waitFor();
  assert.equal(await b.locator(".snippet pre a").getAttribute("href"), "https://example.org/x");
  const original = await file(from, "gift.bin", 5 * MIB);
  const chooser = a.waitForEvent("filechooser");
  await other(a).getByRole("button").click();
  await (await chooser).setFiles(original);
  await transfer(b, "gift.bin", "asking").waitFor();
  const { path } = await saved(b, () => button(b, "Accept").click());
  assert.equal(await hash(path), await hash(original));
  await transfer(a, "gift.bin", "done").waitFor();
  assert.equal(await b.locator(".snippet").count(), 1, "it comes by two ways and is shown once");
  const late = await open(t, server, { context });
  await late.locator(".snippet pre", { hasText: "example.org" }).waitFor();
});

test("a declined file is not sent", async (t) => {
  const [dir, from] = [await folder(t), await folder(t)];
  const server = await serve(t, dir);
  const context = await newContext(t);
  const [a, b] = [await open(t, server, { context }), await open(t, server, { context })];
  const chooser = a.waitForEvent("filechooser");
  await a.locator('.person[data-role="page"][data-connected="true"] button').click();
  await (await chooser).setFiles(await file(from, "unwanted", 1000));
  await button(b, "Decline").click();
  await transfer(a, "unwanted", "declined").getByText("declined").waitFor();
  await transfer(b, "unwanted", "declined").getByText("Declined").waitFor();
});

test("a page and the command line send each other files", async (t) => {
  const [dir, from, to] = [await folder(t), await folder(t), await folder(t)];
  const server = await serve(t, dir);
  const page = await open(t, server);
  const relay = server.url.replace("http", "ws");
  const original = await file(from, "from terminal.bin", 2 * MIB);
  const uuid = (await page.locator("#command-page").textContent()).match(/--peer (\S+)/)[1];
  const send = new Crosspeer("send", "--relay", relay, "--peer", uuid, "--no-stun", "--text", "hello page", original);
  await transfer(page, "from terminal.bin", "asking").waitFor();
  const { path } = await saved(page, () => button(page, "Accept").click());
  assert.equal(await hash(path), await hash(original));
  assert.equal(await send.ended, 0);
  await page.locator(".snippet pre", { hasText: "hello page" }).waitFor();
  const receive = new Crosspeer("receive", "--relay", relay, "--dir", to, "--no-stun", "--name", "terminal", "--once");
  t.after(() => receive.end());
  const chooser = page.waitForEvent("filechooser");
  await button(page, "Send file to terminal").click();
  await (await chooser).setFiles(original);
  await transfer(page, "from terminal.bin", "done").nth(1).waitFor();
  assert.equal(await receive.ended, 0);
  assert.equal(await hash(join(to, "from terminal.bin")), await hash(original));
});

test("the command line uploads into the folder", async (t) => {
  const [dir, from] = [await folder(t), await folder(t)];
  const server = await serve(t, dir);
  const page = await open(t, server);
  const original = await file(from, "new.bin", MIB);
  const send = new Crosspeer("send", "--relay", server.url.replace("http", "ws"), "--peer", server.uuid, "--no-stun", original);
  assert.equal(await send.ended, 0);
  await page.locator('.entry[data-name="new.bin"]').waitFor();
  assert.equal(await hash(join(dir, "new.bin")), await hash(original));
});

test("an existing file is not replaced", async (t) => {
  const [dir, from] = [await folder(t), await folder(t)];
  await writeFile(join(dir, "note.txt"), "old");
  await writeFile(join(from, "note.txt"), "new");
  const page = await open(t, await serve(t, dir));
  await page.setInputFiles("#choose-files", join(from, "note.txt"));
  await page.locator('.entry[data-name="note (1).txt"]').waitFor();
  assert.equal(await readFile(join(dir, "note.txt"), "utf8"), "old");
  assert.equal(await readFile(join(dir, "note (1).txt"), "utf8"), "new");
});

test("a read-only folder takes nothing", async (t) => {
  const [dir, from] = [await folder(t), await folder(t)];
  const server = await serve(t, dir, "--read-only");
  const page = await open(t, server);
  assert.ok(await button(page, "Upload").isHidden());
  // Not even from whoever does not ask the page.
  await page.setInputFiles("#choose-files", await file(from, "x", 10));
  await transfer(page, "x", "failed").getByText("read-only").waitFor();
  assert.deepEqual(await readdir(dir), []);
});

test("links and hidden files are neither shown nor served", async (t) => {
  const [dir, outside] = [await folder(t), await folder(t)];
  await file(dir, "shown", 10);
  await file(dir, ".hidden", 10);
  await symlink(await file(outside, "secret", 10), join(dir, "link"));
  await symlink(outside, join(dir, "folder-link"));
  const page = await open(t, await serve(t, dir));
  await page.locator('.entry[data-name="shown"]').waitFor();
  assert.equal(await page.locator(".entry").count(), 1);
});

test("without the token there is a clear refusal, with it the page opens", async (t) => {
  const dir = await folder(t);
  await file(dir, "secret", 10);
  const server = await serve(t, dir, "--token", "ö p/e+n");
  const context = await newContext(t);
  const page = await context.newPage();
  const origin = new URL(server.url).origin;
  await page.goto(origin);
  await page.getByRole("heading", { name: "This folder needs a token" }).waitFor();
  await page.getByLabel("Token", { exact: true }).fill("wrong");
  await button(page, "Open").click();
  await page.getByText("That token is not the right one.").waitFor();
  assert.equal(await page.locator(".entry").count(), 0);
  await page.getByLabel("Token", { exact: true }).fill("ö p/e+n");
  await button(page, "Open").click();
  await page.locator('.entry[data-name="secret"]').waitFor();
  const whole = await open(t, server, { context }); // the printed address holds the token
  await whole.locator('.entry[data-name="secret"]').waitFor();
  const refused = new Crosspeer("receive", "--relay", origin.replace("http", "ws"), "--dir", dir, "--timeout", "2");
  assert.equal(await refused.ended, 3, "the relay refuses too");
});

test("without a secure context downloads work all the same", async (t) => {
  const dir = await folder(t);
  const original = await file(dir, "big", 13 * MIB);
  const server = await serve(t, dir);
  const context = await newContext(t);
  // What a page of http://192.168.… has.
  await context.addInitScript(() => {
    for (const [object, key] of [[Navigator.prototype, "storage"], [Navigator.prototype, "locks"], [Navigator.prototype, "clipboard"]]) {
      Object.defineProperty(object, key, { get: () => undefined });
    }
  });
  const page = await open(t, server, { context });
  const { path } = await saved(page, () => button(page, "Download big").click());
  assert.equal(await hash(path), await hash(original));
});

test("the path, its candidates and the round trip are shown", async (t) => {
  const page = await open(t, await serve(t, await folder(t)));
  await page.locator(".person-detail", { hasText: /(same network|direct) · [\d.]+ ms/ }).waitFor();
});

test("everything can be done by keyboard", async (t) => {
  const dir = await folder(t);
  await mkdir(join(dir, "inner"));
  await file(join(dir, "inner"), "file.txt", 10);
  const page = await open(t, await serve(t, dir));
  await page.locator('.entry[data-name="inner"] .name').focus();
  await page.keyboard.press("Enter");
  await page.locator('.entry[data-name="file.txt"]').waitFor();
  await page.waitForFunction(() => document.activeElement?.id === "files");
  for (let steps = 0; steps < 10; steps++) {
    await page.keyboard.press("Tab");
    if (await page.evaluate(() => document.activeElement?.getAttribute("aria-label") === "Download file.txt")) break;
  }
  const { name } = await saved(page, () => page.keyboard.press("Enter"));
  assert.equal(name, "file.txt");
  await page.locator("#announcements", { hasText: "checksum verified" }).waitFor({ state: "attached" });
  const unnamed = await page.evaluate(() =>
    [...document.querySelectorAll("button, input, textarea, a")]
      .filter((e) => !(e.getAttribute("aria-label") || e.textContent.trim() || e.labels?.length))
      .map((e) => e.outerHTML),
  );
  assert.deepEqual(unnamed, []);
});

test("it looks as on the pictures", async (t) => {
  const out = process.env.CROSSPEER_SCREENSHOTS;
  if (!out) return t.skip("CROSSPEER_SCREENSHOTS names no folder");
  const { pictures } = await import("./pictures.mjs");
  await pictures(t, { open, newContext, serve, out });
  assert.ok(existsSync(join(out, "share-light.png")));
});

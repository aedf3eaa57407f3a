// Folders on the page of `crosspeer share` in Chromium: as a ZIP, of any length, that cannot be opened, with odd names.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdir, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { button, entry, file, folder, inChromium, saved, serve, transfer } from "./harness.mjs";

const { open } = inChromium();

/** The names in a ZIP file, which another program has read whole. */
function zipNames(path) {
  const script = "import sys, zipfile; z = zipfile.ZipFile(sys.argv[1]); assert z.testzip() is None; print('\\n'.join(z.namelist()))";
  return execFileSync("python3", ["-c", script, path], { encoding: "utf8", maxBuffer: 1 << 26 }).trim().split("\n").sort();
}

function zipText(path, name) {
  const script = "import sys, zipfile; sys.stdout.buffer.write(zipfile.ZipFile(sys.argv[1]).read(sys.argv[2]))";
  return execFileSync("python3", ["-c", script, path, name], { encoding: "utf8" });
}

/** So many small files. */
async function many(dir, count) {
  for (let at = 0; at < count; at += 100) {
    const some = Array.from({ length: Math.min(100, count - at) }, (_, n) => at + n);
    await Promise.all(some.map((n) => writeFile(join(dir, `file ${n}.txt`), `content ${n}`)));
  }
}

test("a folder's ZIP holds odd names, empty folders and large files", async (t) => {
  const dir = await folder(t);
  await mkdir(join(dir, "odd/empty/inner"), { recursive: true });
  await mkdir(join(dir, "odd/a:b"));
  const odd = join(dir, "odd");
  await writeFile(Buffer.concat([Buffer.from(`${odd}/caf`), Buffer.from([0xe9])]), "latin");
  for (const name of ["back\\slash", "..\\up", "a:b/x?", "same:", "same*", "..."]) await writeFile(join(odd, name), name);
  await file(odd, "large", 3_000_000);
  const page = await open(t, await serve(t, dir, "--hidden"));
  const { path } = await saved(page, () => button(page, "Download odd as ZIP").click());
  const names = zipNames(path);
  assert.deepEqual(names, [
    "odd/.._up", "odd/_", "odd/a_b/x_", "odd/back_slash", "odd/caf_xE9", "odd/empty/inner/", "odd/large", "odd/same_", "odd/same_ (1)",
  ]);
  await transfer(page, "odd.zip", "done").getByText("8 files, checksums verified").waitFor();
});

test("what a ZIP leaves out is named, in it and on the page", async (t) => {
  const dir = await folder(t);
  await mkdir(join(dir, "part"));
  await file(join(dir, "part"), "kept", 1000);
  await symlink("/etc/passwd", join(dir, "part/link"));
  execFileSync("mkfifo", [join(dir, "part/pipe")]);
  const page = await open(t, await serve(t, dir));
  const { path } = await saved(page, () => button(page, "Download part as ZIP").click());
  assert.deepEqual(zipNames(path), ["part/Left out.txt", "part/kept"]);
  const text = zipText(path, "part/Left out.txt");
  assert.match(text, /link\tit is a link/);
  assert.match(text, /pipe\tit is neither/);
  const row = transfer(page, "part.zip", "done");
  await row.getByText("1 file, checksums verified · 2 left out").waitFor();
  await row.locator("summary").click();
  await row.locator(".remarks li", { hasText: "link" }).first().waitFor();
});

test("a file that cannot be had is left out of the ZIP by name, the others are there", async (t) => {
  const dir = await folder(t);
  await mkdir(join(dir, "part/sub"), { recursive: true });
  for (const name of ["a", "b", "c"]) await file(join(dir, "part"), name, 1000);
  await file(join(dir, "part"), "large", 2_000_000);
  const page = await open(t, await serve(t, dir));
  // They go between being listed and being asked for: root, as whom tests may run, reads whatever the mode says.
  await page.exposeFunction("goes", () => Promise.all(["b", "large"].map((name) => rm(join(dir, "part", name)))));
  await page.evaluate(() => {
    const send = RTCDataChannel.prototype.send;
    const held = [];
    RTCDataChannel.prototype.send = function (data) {
      const text = typeof data === "string" ? data : new TextDecoder().decode(data);
      if (held.length === 0 && !text.includes('"get"')) return send.call(this, data);
      held.push(data.slice()); // the module's memory is used again
      if (held.length > 1) return;
      void globalThis.goes().then(() => {
        RTCDataChannel.prototype.send = send;
        for (const data of held) send.call(this, data);
      });
    };
  });
  const { path } = await saved(page, () => button(page, "Download part as ZIP").click());
  assert.deepEqual(zipNames(path), ["part/Left out.txt", "part/a", "part/c", "part/sub/"]);
  assert.match(zipText(path, "part/Left out.txt"), /b\t.*\r\nlarge\t/);
  await transfer(page, "part.zip", "done").getByText("2 left out").waitFor();
});

test("a long folder is listed whole, in order, and asked for once", async (t) => {
  const dir = await folder(t);
  await many(dir, 2300);
  await mkdir(join(dir, "zz folder"));
  const page = await open(t, await serve(t, dir));
  const names = () => page.locator(".entry").evaluateAll((rows) => rows.map((row) => row.dataset.name));
  const wanted = ["zz folder", ...Array.from({ length: 2300 }, (_, n) => `file ${n}.txt`)];
  await entry(page, "file 998.txt").waitFor();
  assert.deepEqual(await names(), wanted.slice(0, 1000));
  await page.evaluate(() => {
    globalThis.asked = 0;
    const send = RTCDataChannel.prototype.send;
    RTCDataChannel.prototype.send = function (data) {
      if (new TextDecoder().decode(typeof data === "string" ? new TextEncoder().encode(data) : data).includes('"list"')) globalThis.asked += 1;
      return send.call(this, data);
    };
  });
  await page.getByRole("button", { name: "Show more" }).click();
  await page.waitForFunction(() => document.activeElement?.closest(".entry")?.dataset.name === "file 999.txt");
  assert.deepEqual(await names(), wanted.slice(0, 2000));
  await page.getByRole("button", { name: "Show more" }).click();
  await entry(page, "file 2299.txt").waitFor();
  assert.deepEqual(await names(), wanted);
  assert.equal(await page.evaluate(() => globalThis.asked), 0);
});

test("a long folder is filtered by name, all of it", async (t) => {
  const dir = await folder(t);
  await many(dir, 1500);
  const page = await open(t, await serve(t, dir));
  await page.getByLabel("Filter by name").fill("1499 FILE");
  await entry(page, "file 1499.txt").waitFor();
  await page.waitForFunction(() => document.querySelectorAll(".entry").length === 1);
  await page.getByLabel("Filter by name").fill("nowhere");
  await page.getByText("Nothing here has such a name.").waitFor();
});

test("a folder that cannot be opened does not show the former one's rows", async (t) => {
  const dir = await folder(t);
  await mkdir(join(dir, "gone"));
  await file(dir, "outside", 10);
  const server = await serve(t, dir);
  const page = await open(t, server);
  await entry(page, "outside").waitFor();
  await page.goto(`${server.url}#path=missing`);
  await page.locator("#files-hint", { hasText: "This folder cannot be shown" }).waitFor();
  assert.equal(await page.locator(".entry").count(), 0);
  assert.ok(await button(page, "Download all").isHidden());
  await page.locator(".crumb").first().click();
  await entry(page, "outside").waitFor();
});

test("characters that reorder or hide text are seen in names, everywhere", async (t) => {
  const dir = await folder(t);
  await file(dir, "invoice\u202Efdp.exe", 10);
  await mkdir(join(dir, "hid\u200Bden"));
  const page = await open(t, await serve(t, dir));
  const shown = "invoice[U+202E]fdp.exe";
  await page.locator(".entry bdi", { hasText: shown }).waitFor();
  await button(page, `Download ${shown}`).click();
  await page.locator(".transfer[data-state=done] bdi", { hasText: shown }).waitFor();
  await page.locator("#announcements", { hasText: shown }).waitFor({ state: "attached" });
  await page.locator('.entry[data-kind="folder"] .name').click();
  await page.locator(".crumb bdi", { hasText: "hid[U+200B]den" }).waitFor();
  const hidden = await page.evaluate(() => {
    const attributes = [...document.querySelectorAll("[title], [aria-label]")].map((e) => `${e.title} ${e.getAttribute("aria-label")}`);
    return /[\u202E\u200B]/.test(attributes.join() + document.body.innerText);
  });
  assert.equal(hidden, false);
});

test("a name that begins with a dot is refused with its reason, and so within a folder", async (t) => {
  const [dir, from] = [await folder(t), await folder(t)];
  const page = await open(t, await serve(t, dir));
  await page.setInputFiles("#choose-files", await file(from, ".profile", 10));
  await transfer(page, ".profile", "failed").getByText("names that begin with a dot are not shared here").waitFor();
  await mkdir(join(from, "Album"));
  await file(join(from, "Album"), ".hidden", 10);
  await file(join(from, "Album"), "seen", 10);
  await page.setInputFiles("#choose-folder", join(from, "Album"));
  const row = transfer(page, "Album/", "failed");
  await row.getByText("1 of 2 files not taken").waitFor();
  await row.locator("summary").click();
  await row.locator(".remarks bdi", { hasText: "Album/.hidden" }).waitFor();
  assert.deepEqual(await readdir(join(dir, "Album")), ["seen"]);
});

test("an upload that is stored under another name says which", async (t) => {
  const [dir, from] = [await folder(t), await folder(t)];
  await mkdir(join(dir, "in"));
  await writeFile(join(dir, "in/note.txt"), "old");
  await writeFile(join(from, "note.txt"), "new");
  const page = await open(t, await serve(t, dir));
  await page.locator('.entry[data-name="in"] .name').click();
  await page.locator(".crumb[aria-current]", { hasText: "in" }).waitFor();
  await page.setInputFiles("#choose-files", join(from, "note.txt"));
  await transfer(page, "note.txt", "done").getByText("stored as \u2068note (1).txt\u2069").waitFor();
});

test("a dropped folder arrives with its empty folders, and what cannot be read is named", async (t) => {
  const dir = await folder(t);
  const page = await open(t, await serve(t, dir));
  // Folders cannot be dropped by a script; what a browser makes of them can.
  await page.evaluate(() => {
    const file = (name, read) => ({ isFile: true, name, file: read });
    const of = (name, children) => {
      const parts = [children, []];
      return { isFile: false, name, createReader: () => ({ readEntries: (give) => give(parts.shift()) }) };
    };
    const top = of("Album", [
      of("empty", []),
      file("kept", (give) => give(new File(["kept"], "kept"))),
      file("locked", (_, fail) => fail(new DOMException("denied", "NotReadableError"))),
    ]);
    const item = { kind: "file", webkitGetAsEntry: () => top };
    const dataTransfer = { types: ["Files"], items: [item], files: [] };
    document.body.dispatchEvent(Object.assign(new Event("drop", { bubbles: true }), { dataTransfer }));
  });
  const row = transfer(page, "Album/", "failed");
  await row.getByText("1 of 3 files not taken").waitFor();
  await row.locator("summary").click();
  await row.locator(".remarks bdi", { hasText: "Album/locked" }).waitFor();
  assert.deepEqual(await readdir(join(dir, "Album")), ["empty", "kept"]);
});

test("a ZIP's files are asked for many at a time", async (t) => {
  const dir = await folder(t);
  await mkdir(join(dir, "many"));
  await many(join(dir, "many"), 300);
  const page = await open(t, await serve(t, dir));
  await entry(page, "many").waitFor();
  await page.evaluate(() => {
    const text = (data) => (typeof data === "string" ? data : new TextDecoder().decode(data));
    const { send } = RTCDataChannel.prototype;
    Object.assign(globalThis, { open: 0, most: 0 });
    RTCDataChannel.prototype.send = function (data) {
      if (text(data).includes('"get"')) globalThis.most = Math.max(globalThis.most, (globalThis.open += 1));
      if (text(data).includes('"done"')) globalThis.open -= 1;
      return send.call(this, data);
    };
  });
  const { path } = await saved(page, () => button(page, "Download many as ZIP").click());
  assert.equal(zipNames(path).length, 300);
  const most = await page.evaluate(() => globalThis.most);
  assert.ok(most >= 16, `${most} at a time`);
});

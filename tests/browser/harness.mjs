// What the tests share: `crosspeer` processes that are listened to, folders, files, Chromium with the page in it.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before } from "node:test";
import { chromium } from "playwright-core";
import puppeteer from "puppeteer-core";

const PROGRAM = process.env.CROSSPEER ?? join(import.meta.dirname, "../../target/debug/crosspeer");

/** Milliseconds that anything may take; nothing is expected to. */
export const PATIENCE = 60_000;

/** A `crosspeer` command with `--json`, whose events can be waited for. */
export class Crosspeer {
  events = [];
  #waiting = new Set();

  constructor(...args) {
    this.process = spawn(PROGRAM, ["--json", ...args], { stdio: ["ignore", "pipe", "inherit"] });
    this.ended = new Promise((resolve) => this.process.on("exit", resolve));
    createInterface({ input: this.process.stdout }).on("line", (line) => {
      this.events.push(JSON.parse(line));
      for (const look of this.#waiting) look();
    });
    this.ended.then(() => this.#waiting.forEach((look) => look()));
  }

  /** The first event, from the `from`th on, that has all these values. */
  event(values, from = 0) {
    const matches = (event) => Object.entries(values).every(([key, value]) => event[key] === value);
    return new Promise((resolve, reject) => {
      const give = (settle, value) => {
        this.#waiting.delete(look);
        clearTimeout(timer);
        settle(value);
      };
      const look = () => {
        const found = this.events.slice(from).find(matches);
        if (found) give(resolve, found);
        else if (this.process.exitCode !== null) give(reject, new Error(`it ended: ${JSON.stringify(this.events.at(-1))}`));
      };
      const missing = () => give(reject, new Error(`no ${JSON.stringify(values)} in ${JSON.stringify(this.events)}`));
      const timer = setTimeout(missing, PATIENCE);
      this.#waiting.add(look);
      look();
    });
  }

  async end(signal = "SIGTERM") {
    this.process.kill(signal);
    return this.ended;
  }
}

/** `crosspeer share`, ready. */
export async function share(dir, ...args) {
  const port = await freePort();
  const server = new Crosspeer("share", dir, "--listen", `127.0.0.1:${port}`, ...args);
  const { url, uuid } = await server.event({ type: "ready" });
  return Object.assign(server, { url, uuid, port });
}

/** The same, ended with the test. */
export async function serve(t, dir, ...args) {
  const server = await share(dir, ...args);
  t.after(() => server.end());
  return Object.assign(server, { dir });
}

/** The same folder at the same address, after `server` has ended. */
export async function again(t, { dir, port }, ...args) {
  const server = new Crosspeer("share", dir, "--listen", `127.0.0.1:${port}`, ...args);
  t.after(() => server.end());
  const { uuid } = await server.event({ type: "ready" });
  return Object.assign(server, { dir, port, uuid });
}

/** Chromium for all tests of a file: how to open contexts and pages in it, which are closed with their test. */
export function inChromium() {
  let browser;
  before(async () => {
    browser = await chromium.launch({
      executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
      args: ["--no-sandbox", "--disable-dev-shm-usage"],
    });
  });
  after(() => browser?.close());

  async function newContext(t, options = {}) {
    const context = await browser.newContext(options);
    context.setDefaultTimeout(PATIENCE);
    t.after(() => context.close());
    return context;
  }

  /** A page that shows the folder. */
  async function open(t, server, { context, path = "", script } = {}) {
    context ??= await newContext(t);
    if (script) await context.addInitScript(script);
    const page = await context.newPage();
    page.on("pageerror", (error) => assert.fail(`an error on the page: ${error.stack}`));
    page.on("dialog", (dialog) => dialog.accept());
    await page.goto(server.url + path);
    await online(page);
    return page;
  }

  /** Waits for an element with this text. */
  const see = (page, selector, text) => page.waitForFunction(isSeen, [selector, text], { timeout: PATIENCE });

  return { newContext, open, see };
}

/** Firefox, by WebDriver BiDi. */
export function launchFirefox(preferences = {}) {
  return puppeteer.launch({
    browser: "firefox",
    executablePath: process.env.FIREFOX ?? "/usr/bin/firefox-esr",
    headless: true,
    extraPrefsFirefox: preferences,
  });
}

/** Firefox for all tests of a file. Of what a page can do there, `locator(…).click()` and `fill()`, `evaluate`, `url` and
 * `keyboard` are as in Chromium. The driver's own `locator` and `waitForFunction` need `eval`, which the page forbids. */
export function inFirefox() {
  let browser;
  before(async () => (browser = await launchFirefox()));
  after(() => browser?.close());

  async function open(t, server, { script } = {}) {
    const context = await browser.createBrowserContext();
    t.after(() => context.close());
    const page = await context.newPage();
    page.setDefaultTimeout(PATIENCE);
    if (script) await page.evaluateOnNewDocument(script);
    page.locator = (selector) => ({
      click: async () => (await page.waitForSelector(selector)).click(),
      fill: async (text) => {
        const field = await page.waitForSelector(selector);
        await field.evaluate((element) => (element.value = ""));
        await field.type(text);
      },
    });
    await page.goto(server.url);
    await see(page, "#status[data-state=online]");
    return page;
  }

  async function see(page, selector, text) {
    const deadline = Date.now() + PATIENCE;
    while (!(await page.evaluate(isSeen, [selector, text]))) {
      assert.ok(Date.now() < deadline, `no ${selector} with ${JSON.stringify(text)}`);
      await page.evaluate(() => new Promise(requestAnimationFrame));
    }
  }

  return { open, see };
}

/** In a page: whether there is such an element, not hidden. */
function isSeen([selector, text = ""]) {
  return [...document.querySelectorAll(selector)].some((e) => e.getClientRects().length > 0 && e.textContent.includes(text));
}

export const online = (page) => page.locator("#status[data-state=online]").waitFor();
export const button = (page, name) => page.getByRole("button", { name, exact: true });
export const transfer = (page, name, state) => page.locator(`.transfer[data-name=${JSON.stringify(name)}][data-state="${state}"]`);
export const entry = (page, name) => page.locator(`.entry[data-name=${JSON.stringify(name)}]`);
/** The other page, connected. */
export const otherPage = (page) => page.locator('.person[data-role="page"][data-connected="true"]');

/** Clicks what starts a download, and gives the file that the browser has saved. */
export async function saved(page, click) {
  const [download] = await Promise.all([page.waitForEvent("download", { timeout: PATIENCE }), click()]);
  return { name: download.suggestedFilename(), path: await download.path() };
}

export async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** An empty folder, removed at the test's end. */
export async function folder(t) {
  const dir = await mkdtemp(join(tmpdir(), "crosspeer-"));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

/** A file of bytes that differ everywhere; beyond 8 MiB, of zeros. */
export async function file(dir, name, size) {
  const path = join(dir, name);
  let state = size + 1;
  const noise = Buffer.alloc(Math.min(size, 8 << 20));
  for (let at = 0; at < noise.length; at++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    noise[at] = state >>> 16;
  }
  await writeFile(path, noise);
  await truncate(path, size);
  return path;
}

export async function hash(path) {
  const sum = createHash("sha256");
  for await (const block of createReadStream(path)) sum.update(block);
  return sum.digest("hex");
}

// Pages in Chromium, and servers of what they are made of.
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join } from "node:path";
import { chromium } from "playwright-core";

export const here = import.meta.dirname;
export const relay = process.env.CROSSPEER_TEST_RELAY;
/** Milliseconds; nothing is expected to take long. */
export const PATIENCE = 60_000;
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".wasm": "application/wasm" };

/** Serves this folder until the test ends, but what `instead` answers itself; the URL of its root. */
export async function serve(t, folder, instead = () => false) {
  const server = createServer(async (request, response) => {
    const path = request.url.split("?")[0].replace(/\/$/, "/index.html");
    if (instead(path, response)) return;
    const body = await readFile(join(folder, path)).catch(() => undefined);
    response.writeHead(body ? 200 : 404, { "content-type": TYPES[extname(path)] ?? "text/plain" }).end(body);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return `http://127.0.0.1:${server.address().port}/`;
}

/** A page of Chromium until the test ends. */
export async function open(t, url, ...args) {
  const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox", ...args] });
  t.after(() => browser.close());
  const page = await browser.newPage();
  page.setDefaultTimeout(PATIENCE);
  page.on("pageerror", (error) => console.log(String(error)));
  await page.goto(url);
  return page;
}

/** What the page in this folder comes to. */
export async function result(t, folder) {
  const page = await open(t, `${await serve(t, folder)}?relay=${encodeURIComponent(relay)}`);
  return (await page.waitForFunction(() => globalThis.result)).jsonValue();
}

/** A page that has the package as `globalThis.crosspeer`, without any bundler. `instead` as for `serve`. */
export async function bare(t, instead, policy = "") {
  const index = `<!doctype html><link rel="icon" href="data:," />
    <script type="module">globalThis.crosspeer = await import("/index.js");</script>`;
  const url = await serve(t, join(here, "node_modules/crosspeer"), (path, response) => {
    if (path !== "/index.html") return instead?.(path, response);
    response.writeHead(200, { "content-type": "text/html", ...(policy && { "content-security-policy": policy }) }).end(index);
    return true;
  });
  const page = await open(t, url, "--js-flags=--expose-gc");
  await page.waitForFunction(() => globalThis.crosspeer);
  return page;
}

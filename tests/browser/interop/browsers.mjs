// Chromium by playwright-core and Firefox by puppeteer-core, with one face: a page that runs a peer.

import { chromium } from "playwright-core";
import puppeteer from "puppeteer-core";
import { atEnd, PATIENCE } from "./surroundings.mjs";

export const BROWSERS = ["chromium", "firefox"];

/** No settings but what a headless browser run by root needs: candidates are `.local` names, as for everybody. */
const launch = {
  chromium: () =>
    chromium.launch({
      executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
      args: ["--no-sandbox", "--disable-dev-shm-usage"],
    }),
  firefox: () =>
    puppeteer.launch({
      browser: "firefox",
      executablePath: process.env.FIREFOX ?? "/usr/bin/firefox-esr",
      headless: true,
      protocolTimeout: PATIENCE,
    }),
};

const running = new Map();

function browser(name) {
  if (!running.has(name)) running.set(name, launch[name]());
  return running.get(name);
}

export async function closeBrowsers() {
  for (const starting of running.values()) await (await starting).close();
  running.clear();
}

/** A page of this browser, at this URL. */
export async function open(t, name, url) {
  const page = await (await browser(name)).newPage();
  page.setDefaultTimeout(PATIENCE);
  page.on("pageerror", (error) => console.error(`an error on the page in ${name}: ${error}`));
  const peer = new PagePeer(page, url);
  atEnd(t, () => (page.isClosed() ? undefined : page.close()));
  await peer.load();
  return peer;
}

/** A peer on a page, with the same methods as one that is a process. */
class PagePeer {
  sendsEmpty = true;

  constructor(page, url) {
    this.page = page;
    this.url = url;
  }

  async load() {
    await this.page.goto(this.url);
    await this.page.waitForFunction(() => globalThis.peer);
  }

  async join(relay, options = {}) {
    this.uuid = await this.ask("join", { relay, options });
    return this;
  }

  ask(what, request = {}) {
    return this.page.evaluate(([what, request]) => globalThis.peer[what](request), [what, request]);
  }

  send(peer, sample) {
    return this.ask("send", { peer, sample });
  }

  sendText(peer, text) {
    return this.ask("sendText", { peer, text });
  }

  recvText() {
    return this.ask("recvText");
  }

  recv() {
    return this.ask("recv");
  }

  /** As when somebody closes the tab. */
  close() {
    return this.page.close({ runBeforeUnload: true });
  }

  /** As when somebody follows a link. */
  leave() {
    return this.page.goto("about:blank");
  }
}

// The pictures of the README: light, dark, a phone's width.

import assert from "node:assert/strict";
import { mkdir, utimes } from "node:fs/promises";
import { join } from "node:path";
import { Crosspeer, file, folder, PATIENCE } from "./harness.mjs";

const FILES = [
  ["Photos/harbour.jpg", 4_800_000],
  ["Photos/sunrise.jpg", 3_900_000],
  ["Documents/Contract.pdf", 310_000],
  ["Recordings/interview.wav", 52_000_000],
  ["Budget 2026.xlsx", 84_000],
  ["Notes.md", 5_200],
  ["Talk – final.key", 38_000_000],
  ["database-backup.tar.zst", 1_400_000_000],
  ["Map.png", 2_300_000],
];
const DAY = 24 * 3600;

export async function pictures(t, { open, newContext, serve, out }) {
  const parent = await folder(t);
  const dir = join(parent, "Harbour project");
  const from = await folder(t);
  await mkdir(out, { recursive: true });
  let days = 3;
  for (const [name, size] of FILES) {
    await mkdir(join(dir, name, ".."), { recursive: true });
    const path = await file(dir, name, size);
    const at = Date.now() / 1000 - DAY * (days += 11);
    await utimes(path, at, at);
  }
  const server = await serve(t, dir, "--name", "studio");
  const receive = new Crosspeer(
    ...["receive", "--relay", server.url.replace("http", "ws"), "--dir", from, "--no-stun", "--name", "build server"],
  );
  t.after(() => receive.end());
  const other = await open(t, server, { context: await named(t, newContext, "Ada’s phone") });
  const size = { width: 1280, height: 860 };
  const context = await named(t, newContext, "Grace’s laptop", { viewport: size, colorScheme: "light", deviceScaleFactor: 1.5 });
  const page = await open(t, server, { context });
  await page.locator('.person[data-role="page"][data-connected="true"]').waitFor();
  await page.locator('.person[data-role="peer"]').waitFor();
  await other.locator("#snippet-text").fill("The new plan is at https://example.org/harbour – comments until Friday, please.");
  await other.getByRole("button", { name: "Share", exact: true }).click();
  await page.locator(".snippet").waitFor();
  await page.getByRole("button", { name: "Download Map.png" }).click();
  await page.locator('.transfer[data-name="Map.png"][data-state="done"]').waitFor();
  await page.setInputFiles("#choose-files", await file(from, "Site survey.mp4", 900_000_000));
  await page.getByRole("button", { name: "Download database-backup.tar.zst" }).click();
  // Far enough for a rate and a time.
  await page.waitForFunction(
    () => [...document.querySelectorAll(".transfer progress")].filter((bar) => bar.value > 0.05 && bar.value < 1).length === 2,
    undefined,
    { timeout: PATIENCE },
  );
  await page.getByText("left").first().waitFor();
  await page.locator(".person-detail", { hasText: " ms" }).nth(1).waitFor();
  await page.mouse.move(600, 840);
  await shot(page, join(out, "share-light.png"));
  await page.emulateMedia({ colorScheme: "dark" });
  await shot(page, join(out, "share-dark.png"));
  await page.getByRole("button", { name: "Cancel database-backup.tar.zst" }).click();
  await page.getByRole("button", { name: "Cancel Site survey.mp4" }).click();

  const phone = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true, colorScheme: "light" };
  const small = await open(t, server, { context: await named(t, newContext, "Lin’s phone", phone) });
  await small.getByRole("button", { name: "Download Notes.md" }).click();
  await small.locator('.transfer[data-name="Notes.md"][data-state="done"]').waitFor();
  await small.locator(".person-detail", { hasText: " ms" }).first().waitFor();
  await small.getByRole("button", { name: "Download database-backup.tar.zst" }).click();
  const chooser = other.waitForEvent("filechooser");
  await other.getByRole("button", { name: "Send file to Lin’s phone" }).click();
  await (await chooser).setFiles(await file(from, "Berth plan.pdf", 640_000));
  await small.locator(".dock").getByRole("button", { name: "Accept" }).waitFor();
  await small.locator(".dock-running", { hasText: "/s" }).waitFor();
  await small.evaluate(() => scrollTo(0, 0));
  await shot(small, join(out, "share-phone.png"));
  const overflow = await small.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.equal(overflow, 0, "nothing sticks out of a phone's screen");
}

async function named(t, newContext, name, options) {
  const context = await newContext(t, options);
  await context.addInitScript((name) => localStorage.setItem("name", name), name);
  return context;
}

async function shot(page, path) {
  await page.screenshot({ path, animations: "disabled" });
}

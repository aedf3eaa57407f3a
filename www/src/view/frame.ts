// What is around the lists: the state of the connection, colours, dropping files, other devices, the token.

import { renderSVG } from "uqr";
import { announce, byId, copy, h, icon, store, stored, visible } from "../dom";
import type { Jobs } from "../jobs";
import type { Network, Status } from "../network";
import { dropped } from "../upload";
import type { FilesView } from "./files";

const STATUS: Record<Status, string> = {
  connecting: "Connecting…",
  online: "Connected",
  reconnecting: "Reconnecting…",
  locked: "Locked",
};

export function showStatus(network: Network): void {
  let before: Status = "connecting";
  network.addEventListener("change", () => {
    const status = byId("status");
    status.dataset["state"] = network.status;
    byId("status-text").textContent = STATUS[network.status];
    status.title = network.detail;
    const { config } = network;
    if (config) {
      const folder = visible(config.folder);
      byId("shared-by").textContent = `${folder} on ${visible(config.name)}${config.readonly ? " · read-only" : ""}`;
      document.title = `${folder} · crosspeer`;
      byId("command-folder").textContent = command(network, config.uuid);
      byId("command-page").textContent = command(network, network.uuid);
    }
    if (network.status !== before) announce(STATUS[network.status]);
    before = network.status;
  });
}

function command(network: Network, uuid: string): string {
  return `crosspeer send --relay '${network.relayUrl}' --peer ${uuid} FILE`;
}

/** Why the server is away, and a button that does not wait for the next try. */
export function banner(network: Network): void {
  byId("try-now").addEventListener("click", () => network.tryNow());
  network.addEventListener("change", () => {
    const away = network.status === "reconnecting" || (network.status === "connecting" && network.detail !== "");
    byId("banner").hidden = !away;
    if (away) byId("banner-text").textContent = `The server cannot be reached: ${network.detail || "the connection was lost"}`;
  });
}

/** The system's colours, until one chooses. */
export function themeButton(): void {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const button = byId("theme");
  let chosen = stored("theme");
  const current = () => chosen ?? (dark.matches ? "dark" : "light");
  const apply = () => {
    const theme = current();
    document.documentElement.dataset["theme"] = theme;
    const other = theme === "dark" ? "light" : "dark";
    button.setAttribute("aria-label", `Switch to ${other} colours`);
    button.title = `Switch to ${other} colours`;
    button.replaceChildren(icon(theme === "dark" ? "sun" : "moon"));
  };
  button.addEventListener("click", () => {
    chosen = current() === "dark" ? "light" : "dark";
    store("theme", chosen);
    apply();
  });
  dark.addEventListener("change", apply);
  apply();
}

export function dropping(network: Network, jobs: Jobs, files: FilesView): void {
  const drop = byId("drop");
  const allowed = () => network.server !== undefined && network.config?.readonly === false;
  const hasFiles = (event: DragEvent) => event.dataTransfer?.types.includes("Files") ?? false;
  let depth = 0;
  const show = (change: number) => {
    depth = Math.max(0, depth + change);
    drop.hidden = depth === 0;
    const folder = files.path.split("/").at(-1) || network.config?.folder || "the folder";
    byId("drop-text").textContent = allowed() ? `Drop to upload into ${visible(folder)}` : "This folder takes no files now";
    drop.classList.toggle("refused", !allowed());
  };
  addEventListener("dragenter", (event) => hasFiles(event) && (event.preventDefault(), show(1)));
  addEventListener("dragleave", (event) => hasFiles(event) && show(-1));
  addEventListener("dragover", (event) => hasFiles(event) && event.preventDefault());
  addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    show(-depth);
    const folder = files.path;
    if (allowed()) void dropped(event.dataTransfer!).then((uploads) => jobs.upload(folder, uploads));
  });
}

export function otherDevices(network: Network): void {
  const dialog = byId<HTMLDialogElement>("device-dialog");
  byId("other-device").addEventListener("click", () => {
    byId("device-content").replaceChildren(...deviceContent(network));
    dialog.showModal();
  });
}

function deviceContent(network: Network): HTMLElement[] {
  const loopback = /^(localhost|127\.|\[::1\])/.test(location.hostname);
  const origins = loopback ? (network.config?.addresses ?? []) : [location.origin];
  const fragment = network.token === undefined ? "" : `#token=${encodeURIComponent(network.token)}`;
  const first = origins[0];
  if (first === undefined) {
    return [
      h("p", {}, "This server listens on this computer only. To let other devices in, start it with"),
      h("div.command", {}, h("code", {}, `crosspeer share --listen 0.0.0.0:${location.port || "80"} FOLDER`)),
      h("p.hint", {}, "It prints an address with a random token: only who has that gets in."),
    ];
  }
  const code = h("div.qr", { role: "img", "aria-label": "QR code of the address" });
  code.innerHTML = renderSVG(`${first}/${fragment}`, { border: 2 });
  const links = origins.map((origin) => {
    const url = `${origin}/${fragment}`;
    const link = h("a", { href: url }, url);
    const onclick = () => void copy(url, link);
    return h(
      "div.command",
      {},
      h("code", {}, link),
      h("button.quiet.square" as "button", { type: "button", "aria-label": "Copy the address", onclick }, icon("copy")),
    );
  });
  return [code, h("p.hint", {}, "Scan it, or open the address on a device in the same network."), ...links];
}

export function copyButtons(): void {
  for (const button of document.querySelectorAll<HTMLElement>("[data-copy]")) {
    const shown = byId(button.dataset["copy"]!);
    const onclick = () => void copy(shown.textContent ?? "", shown);
    button.addEventListener("click", onclick);
  }
}

export function renaming(network: Network): void {
  const dialog = byId<HTMLDialogElement>("name-dialog");
  const input = byId<HTMLInputElement>("name-input");
  byId("rename").addEventListener("click", () => {
    input.value = network.name;
    dialog.returnValue = "";
    dialog.showModal();
    input.select();
  });
  byId("name-cancel").addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => {
    const name = input.value.trim();
    if (dialog.returnValue !== "ok" || name === "") return;
    store("name", name);
    network.rename(name);
    byId("own-name").textContent = visible(name);
  });
}

/** Asks for the token until it is right. */
export function askToken(network: Network): Promise<string> {
  const dialog = byId<HTMLDialogElement>("token-dialog");
  const input = byId<HTMLInputElement>("token-input");
  byId("token-error").textContent = network.detail;
  const ended = network.config !== undefined;
  byId("token-title").textContent = ended ? "Your access has ended" : "This folder needs a token";
  input.value = "";
  dialog.oncancel = (event) => event.preventDefault();
  dialog.showModal();
  input.focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(input.value), { once: true });
  });
}

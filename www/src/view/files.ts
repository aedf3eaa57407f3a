// The folder: where one is, what is in it, and the buttons.

import type { Entry } from "../catalog";
import { announce, arrange, byId, errorText, h, icon } from "../dom";
import { bytes, date, plural } from "../format";
import type { Network } from "../network";
import type { Share } from "../share";
import { picked } from "../upload";

/** Entries shown before one asks for more. */
const SHOWN = 1000;

export class FilesView {
  path = "";
  #shown = SHOWN;
  #turn = 0;
  #entries: Entry[] = [];
  #rows = new Map<string, HTMLLIElement>();

  constructor(
    private readonly network: Network,
    private readonly share: Share,
    /** Tells of another folder. */
    private readonly onPath: (path: string) => void,
  ) {
    network.addEventListener("server", () => void this.refresh());
    network.addEventListener("folder", () => void this.refresh());
    network.addEventListener("change", () => this.#renderButtons());
    byId("download-all").addEventListener("click", () => share.downloadFolder(this.path, this.#name()));
    this.#choose("upload-files", "choose-files");
    this.#choose("upload-folder", "choose-folder");
  }

  async open(path: string): Promise<void> {
    this.onPath(path);
    await this.show(path);
  }

  async show(path: string): Promise<void> {
    this.path = path;
    this.#shown = SHOWN;
    byId("entries").setAttribute("aria-busy", "true");
    this.#renderCrumbs();
    await this.refresh();
    byId("files").focus({ preventScroll: true });
    announce(`${this.#name()}: ${plural(this.#entries.length, "entry", "entries")}`);
  }

  async refresh(): Promise<void> {
    const turn = ++this.#turn;
    this.#renderCrumbs();
    if (!this.network.server) return;
    const entries: Entry[] = [];
    let more = false;
    try {
      for await (const entry of this.share.list(this.path)) {
        if (entries.length === this.#shown) {
          more = true;
          break;
        }
        entries.push(entry);
      }
    } catch (error) {
      if (turn === this.#turn) this.#renderHint(`This folder cannot be shown: ${errorText(error)}`);
      return;
    }
    if (turn !== this.#turn) return; // another one was asked for meanwhile
    const collator = new Intl.Collator(undefined, { numeric: true });
    const folder = (entry: Entry) => (entry.size === undefined ? 0 : 1);
    this.#entries = entries.sort((a, b) => folder(a) - folder(b) || collator.compare(a.name, b.name));
    this.#render(more);
  }

  #render(more: boolean): void {
    const list = byId("entries");
    const before = this.#rows;
    this.#rows = new Map(this.#entries.map((entry) => {
      const key = JSON.stringify([this.path, entry]);
      return [key, before.get(key) ?? this.#row(entry)];
    }));
    const rows = [...this.#rows.values()];
    if (more) rows.push(h("li.more", {}, h("button.quiet", { type: "button", onclick: () => this.#more() }, "Show more")));
    arrange(list, rows);
    list.setAttribute("aria-busy", "false");
    const drop = this.network.config?.readonly ? "" : "Drop files or folders anywhere on this page to upload them.";
    const empty = this.#entries.length === 0;
    this.#renderHint(empty ? `This folder is empty. ${drop}` : drop);
    byId("files-hint").classList.toggle("aside", !empty);
    this.#renderButtons();
  }

  #row(entry: Entry): HTMLLIElement {
    const path = this.path === "" ? entry.name : `${this.path}/${entry.name}`;
    const isFolder = entry.size === undefined;
    const open = () => (isFolder ? void this.open(path) : this.share.download(path, entry));
    const download = () => (isFolder ? this.share.downloadFolder(path, entry.name) : this.share.download(path, entry));
    const name = h(
      "button.name",
      { type: "button", onclick: open, title: entry.name },
      icon(isFolder ? "folder" : "file"),
      h("span", {}, entry.name),
    );
    const label = `Download ${entry.name}${isFolder ? " as ZIP" : ""}`;
    return h(
      "li.entry",
      { "data-name": entry.name, "data-kind": isFolder ? "folder" : "file" },
      name,
      h("span.size", {}, isFolder ? "" : bytes(entry.size!)),
      h("span.modified", {}, entry.modified === undefined ? "" : date(entry.modified)),
      h(
        "button.quiet.square" as "button",
        { type: "button", onclick: download, "aria-label": label, title: label },
        icon("download"),
      ),
    );
  }

  #more(): void {
    this.#shown += SHOWN;
    void this.refresh();
  }

  #renderHint(text: string): void {
    const hint = byId("files-hint");
    hint.hidden = text === "";
    hint.textContent = text;
  }

  #renderCrumbs(): void {
    const parts = this.path === "" ? [] : this.path.split("/");
    const crumb = (label: Node | string, path: string, last: boolean) =>
      h(
        "li",
        {},
        h("button.crumb", { type: "button", "aria-current": last ? "page" : undefined, onclick: () => void this.open(path) }, label),
      );
    const root = h("span", {}, icon("home"), this.network.config?.folder ?? "Files");
    byId("crumbs").replaceChildren(
      crumb(root, "", parts.length === 0),
      ...parts.map((part, at) => crumb(part, parts.slice(0, at + 1).join("/"), at === parts.length - 1)),
    );
  }

  #renderButtons(): void {
    const online = this.network.server !== undefined;
    const writable = this.network.config?.readonly === false;
    for (const id of ["upload-files", "upload-folder"]) byId(id).hidden = !writable;
    byId("download-all").hidden = this.#entries.length === 0;
    for (const button of document.querySelectorAll<HTMLButtonElement>(".files .actions button")) button.disabled = !online;
    byId("files").classList.toggle("offline", !online);
  }

  #choose(button: string, input: string): void {
    const chooser = byId<HTMLInputElement>(input);
    byId(button).addEventListener("click", () => chooser.click());
    chooser.addEventListener("change", () => {
      const uploads = picked(chooser.files ?? []);
      if (uploads.length > 0) this.share.upload(this.path, uploads);
      chooser.value = "";
    });
  }

  #name(): string {
    return this.path.split("/").at(-1) || this.network.config?.folder || "files";
  }
}

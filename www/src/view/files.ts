// The folder: where one is, what is in it, and the buttons.

import type { Entry } from "../catalog";
import { announce, arrange, bdi, byId, eachFrame, errorText, h, icon, visible } from "../dom";
import { bytes, date, plural } from "../format";
import type { Jobs } from "../jobs";
import type { Network } from "../network";
import { picked } from "../upload";

/** Rows that are shown before one asks for more. */
const SHOWN = 1000;
/** Entries from which on there is a box to filter them. */
const LONG = 20;
/** Rows that stand in for what is being listed. */
const SKELETONS = 6;
/** Entries that are read at most: a page holds them all, to sort them. */
const MAX_ENTRIES = 200_000;

/** A folder as it was listed. */
interface Listing {
  path: string;
  entries: Entry[];
  /** What is there, and not shared. */
  omitted: number;
  /** There are more than are read. */
  cut: boolean;
}

export class FilesView {
  path = "";
  #listing: Listing | undefined;
  #problem = "";
  #shown = SHOWN;
  #rows = new Map<string, HTMLLIElement>();
  /** Being listed; what is asked for meanwhile waits for its end, since a folder may change all the time. */
  #busy: Promise<void> | undefined;
  #again = false;
  #wake: () => void = () => {};
  #collator = new Intl.Collator(undefined, { numeric: true });
  #filter = byId<HTMLInputElement>("filter");

  constructor(
    private readonly network: Network,
    private readonly jobs: Jobs,
    /** Tells of another folder. */
    private readonly onPath: (path: string) => void,
  ) {
    network.addEventListener("server", () => void this.refresh());
    network.addEventListener("folder", () => void this.refresh());
    network.addEventListener("change", () => this.#renderButtons());
    byId("download-all").addEventListener("click", () => jobs.downloadFolder(this.path, this.#name()));
    this.#choose("upload-files", "choose-files");
    this.#choose("upload-folder", "choose-folder");
    const filter = eachFrame(() => {
      this.#shown = SHOWN;
      this.#render();
      announce(plural(this.#wanted().length, "entry", "entries"));
    });
    this.#filter.addEventListener("input", filter);
    this.#renderSkeleton();
  }

  async open(path: string): Promise<void> {
    this.onPath(path);
    await this.show(path);
  }

  async show(path: string): Promise<void> {
    this.path = path;
    this.#shown = SHOWN;
    this.#filter.value = "";
    this.#listing = undefined;
    this.#problem = "";
    this.#renderCrumbs();
    this.#renderSkeleton();
    this.#wake();
    await this.refresh();
    if (path !== this.path) return;
    byId("files").focus({ preventScroll: true });
    announce(this.#problem || `${visible(this.#name())}: ${plural(this.#wanted().length, "entry", "entries")}`);
  }

  /** Lists the folder again. Ends when what it was asked for is shown. */
  async refresh(): Promise<void> {
    this.#renderCrumbs();
    this.#again = true;
    this.#busy ??= this.#listAgain().finally(() => (this.#busy = undefined));
    await this.#busy;
  }

  async #listAgain(): Promise<void> {
    while (this.#again && this.network.server) {
      this.#again = false;
      const path = this.path;
      const began = performance.now();
      try {
        const listing = await this.#list(path);
        if (path !== this.path) continue;
        [this.#listing, this.#problem] = [listing, ""];
      } catch (error) {
        if (path !== this.path) continue;
        // Where only the connection is lost, what was seen last stays.
        if (!this.network.server) return;
        this.#listing = undefined;
        this.#problem = `This folder cannot be shown: ${errorText(error)}`;
      }
      this.#render();
      // A folder that changes all the time is listed half of the time at most; another one at once.
      if (this.#again) await new Promise<void>((resolve) => {
        this.#wake = resolve;
        setTimeout(resolve, performance.now() - began);
      });
    }
  }

  async #list(path: string): Promise<Listing> {
    const listing: Listing = { path, entries: [], omitted: 0, cut: false };
    for await (const entry of this.jobs.list(path)) {
      if (path !== this.path) break; // nobody waits for it any more
      if (entry.omitted !== undefined) listing.omitted += 1;
      else listing.entries.push(entry);
      if (listing.entries.length === MAX_ENTRIES) {
        listing.cut = true;
        break;
      }
    }
    const folder = (entry: Entry) => (entry.size === undefined ? 0 : 1);
    listing.entries.sort((a, b) => folder(a) - folder(b) || this.#collator.compare(a.name, b.name));
    return listing;
  }

  /** What the filter leaves. */
  #wanted(): Entry[] {
    const entries = this.#listing?.entries ?? [];
    const words = this.#filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    if (words.length === 0) return entries;
    return entries.filter(({ name }) => words.every((word) => name.toLowerCase().includes(word)));
  }

  #render(): void {
    const list = byId("entries");
    const entries = this.#wanted();
    const before = this.#rows;
    this.#rows = new Map(
      entries.slice(0, this.#shown).map((entry) => {
        const key = JSON.stringify([this.path, entry]);
        return [key, before.get(key) ?? this.#row(entry)];
      }),
    );
    const rows = [...this.#rows.values()];
    const more = entries.length - rows.length;
    if (more > 0) {
      const text = `Show more (${more} left)`;
      rows.push(h("li.more", {}, h("button.quiet", { type: "button", onclick: () => this.#more() }, text)));
    }
    arrange(list, rows);
    list.setAttribute("aria-busy", "false");
    byId("filter-box").hidden = (this.#listing?.entries.length ?? 0) < LONG;
    this.#renderHint(entries.length);
    this.#renderButtons();
  }

  #row(entry: Entry): HTMLLIElement {
    const path = this.path === "" ? entry.name : `${this.path}/${entry.name}`;
    const isFolder = entry.size === undefined;
    const open = () => (isFolder ? void this.open(path) : this.jobs.download(path, entry));
    const download = () => (isFolder ? this.jobs.downloadFolder(path, entry.name) : this.jobs.download(path, entry));
    const seen = visible(entry.name);
    const name = h(
      "button.name",
      { type: "button", onclick: open, title: seen },
      icon(isFolder ? "folder" : "file"),
      h("span", {}, bdi(entry.name)),
    );
    const label = `Download ${seen}${isFolder ? " as ZIP" : ""}`;
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

  /** The next rows; focus goes to the first of them. */
  #more(): void {
    const first = this.#rows.size;
    this.#shown += SHOWN;
    this.#render();
    byId("entries").children[first]?.querySelector<HTMLElement>(".name")?.focus();
  }

  /** What stands there until a folder is listed. */
  #renderSkeleton(): void {
    const list = byId("entries");
    this.#rows.clear();
    list.replaceChildren(...Array.from({ length: SKELETONS }, () => h("li.skeleton", { "aria-hidden": "true" }, h("span"), h("span"))));
    list.setAttribute("aria-busy", "true");
    byId("filter-box").hidden = true;
    byId("files-hint").hidden = true;
    this.#renderButtons();
  }

  #renderHint(wanted: number): void {
    const listing = this.#listing;
    const parts: string[] = [];
    if (this.#problem) parts.push(this.#problem);
    else if (listing?.entries.length === 0) parts.push("This folder is empty.");
    else if (wanted === 0) parts.push("Nothing here has such a name.");
    if (listing?.cut) parts.push(`Only the first ${MAX_ENTRIES} entries are shown.`);
    if (listing && listing.omitted > 0) parts.push(`${plural(listing.omitted, "link or special file", "links or special files")} here ${listing.omitted === 1 ? "is" : "are"} not shared.`);
    const said = parts.length > 0;
    if (listing && this.network.config?.readonly === false) parts.push("Drop files or folders anywhere on this page to upload them.");
    const hint = byId("files-hint");
    hint.hidden = parts.length === 0;
    hint.textContent = parts.join(" ");
    hint.classList.toggle("error", this.#problem !== "");
    hint.classList.toggle("aside", !said);
  }

  #renderCrumbs(): void {
    const parts = this.path === "" ? [] : this.path.split("/");
    const crumb = (label: Node | string, path: string, last: boolean) =>
      h(
        "li",
        {},
        h("button.crumb", { type: "button", "aria-current": last ? "page" : undefined, onclick: () => void this.open(path) }, label),
      );
    const root = h("span", {}, icon("home"), bdi(this.network.config?.folder ?? "Files"));
    byId("crumbs").replaceChildren(
      crumb(root, "", parts.length === 0),
      ...parts.map((part, at) => crumb(bdi(part), parts.slice(0, at + 1).join("/"), at === parts.length - 1)),
    );
  }

  #renderButtons(): void {
    const online = this.network.server !== undefined;
    const writable = this.network.config?.readonly === false;
    for (const id of ["upload-files", "upload-folder"]) byId(id).hidden = !writable;
    byId("download-all").hidden = !this.#listing?.entries.length;
    for (const button of document.querySelectorAll<HTMLButtonElement>(".files .actions button")) button.disabled = !online;
    byId("files").classList.toggle("offline", !online);
  }

  #choose(button: string, input: string): void {
    const chooser = byId<HTMLInputElement>(input);
    byId(button).addEventListener("click", () => chooser.click());
    chooser.addEventListener("change", () => {
      const uploads = picked(chooser.files ?? []);
      if (uploads.length > 0) this.jobs.upload(this.path, uploads);
      chooser.value = "";
    });
  }

  #name(): string {
    return this.path.split("/").at(-1) || this.network.config?.folder || "files";
  }
}

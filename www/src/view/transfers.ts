// The list of transfers. Each has its own elements, which change in place: focus stays where it is.

import { announce, arrange, bdi, byId, eachFrame, h, icon, isolated, visible } from "../dom";
import { bytes, duration, plural, rate } from "../format";
import { save } from "../sinks";
import type { Transfer, TransferList } from "../transfer";

/** Remarks that are shown; further ones are counted. */
const MAX_REMARKS = 200;

export class TransfersView {
  #rows = new Map<Transfer, Row>();

  constructor(private readonly list: TransferList) {
    const summary = eachFrame(() => this.#summary());
    list.addEventListener("change", () => this.#render());
    list.addEventListener("progress", summary);
    byId("clear-finished").addEventListener("click", () => list.clearFinished());
    addEventListener("beforeunload", (event) => {
      if (list.items.some((item) => item.state === "active")) event.preventDefault();
    });
  }

  #render(): void {
    for (const transfer of this.#rows.keys()) if (!this.list.items.includes(transfer)) this.#rows.delete(transfer);
    const rows = this.list.items.map((transfer) => {
      let row = this.#rows.get(transfer);
      if (!row) this.#rows.set(transfer, (row = new Row(transfer, () => this.list.remove(transfer))));
      return row.element;
    });
    arrange(byId("transfer-list"), rows);
    byId("transfers").hidden = rows.length === 0;
    this.#summary();
  }

  #summary(): void {
    const active = this.list.items.filter((item) => item.state === "active");
    const total = active.reduce((sum, item) => sum + item.rate, 0);
    byId("transfers-summary").textContent = active.length > 0 ? `${active.length} active · ${rate(total)}` : "";
    byId("clear-finished").hidden = !this.list.items.some((item) => item.isOver);
  }
}

class Row {
  readonly element: HTMLLIElement;
  #bar = h("progress", { max: "1" });
  #text = h("p.transfer-text");
  #remarks = h("div");
  #buttons = h("div.transfer-buttons");
  #state = "";

  constructor(
    private readonly transfer: Transfer,
    private readonly remove: () => void,
  ) {
    const up = transfer.direction === "up";
    const name = visible(transfer.name);
    this.#bar.setAttribute("aria-label", `${up ? "Upload" : "Download"} of ${name}`);
    const title = h("p.transfer-name", { title: name }, bdi(transfer.name));
    this.element = h(
      "li.transfer",
      { "data-name": transfer.name, "data-direction": transfer.direction },
      h("span.transfer-icon", {}, icon(up ? "upload" : "download")),
      h("div.transfer-body", {}, title, this.#bar, this.#text, this.#remarks),
      this.#buttons,
    );
    transfer.addEventListener("change", eachFrame(() => this.#render()));
    this.#render();
  }

  #render(): void {
    const { transfer } = this;
    this.#bar.value = transfer.state === "done" ? 1 : transfer.size > 0 ? transfer.done / transfer.size : 0;
    this.#text.textContent = describe(transfer);
    if (this.#state === transfer.state) return;
    this.#state = transfer.state;
    this.element.dataset["state"] = transfer.state;
    this.element.toggleAttribute("data-partial", transfer.state === "done" && transfer.remarks.length > 0);
    this.#remarks.replaceChildren(...remarks(transfer));
    this.#renderButtons();
    const said = told(transfer);
    if (said) announce(said);
  }

  #renderButtons(): void {
    const { transfer } = this;
    const had = this.#buttons.contains(document.activeElement);
    const name = visible(transfer.name);
    const small = (symbol: string, label: string, onclick: () => void) =>
      h("button.quiet.square" as "button", { type: "button", "aria-label": `${label} ${name}`, title: label, onclick }, icon(symbol));
    const cancel = () => [small("x", "Cancel", () => transfer.onCancel())];
    const again = () => [
      ...(transfer.onRetry ? [h("button.quiet", { type: "button", onclick: transfer.onRetry }, icon("retry"), "Try again")] : []),
      small("x", "Dismiss", this.remove),
    ];
    const buttons: Record<Transfer["state"], () => HTMLElement[]> = {
      asking: () => answers(transfer),
      waiting: cancel,
      active: cancel,
      interrupted: cancel,
      done: () => [
        ...(transfer.result ? [small("download", "Save again", () => save(transfer.result!, transfer.name))] : []),
        small("x", "Dismiss", this.remove),
      ],
      failed: again,
      declined: again,
      cancelled: again,
    };
    this.#buttons.replaceChildren(...buttons[transfer.state]());
    if (had) this.#buttons.querySelector("button")?.focus();
  }
}

/** What a person may answer to an offer. */
export function answers(transfer: Transfer): HTMLElement[] {
  return [
    h("button.primary", { type: "button", onclick: () => transfer.onAccept?.() }, "Accept"),
    h("button.quiet", { type: "button", onclick: () => transfer.onCancel() }, "Decline"),
  ];
}

/** For those who do not see the page. */
function told(transfer: Transfer): string | undefined {
  const name = isolated(transfer.name);
  switch (transfer.state) {
    case "asking":
      return `${isolated(transfer.peer)} offers ${name}`;
    case "done":
      return `${name}: done, ${transfer.note || "checksum verified"}`;
    case "failed":
      return `${name} failed: ${transfer.detail}`;
    case "declined":
    case "cancelled":
      return `${name}: ${transfer.detail}`;
  }
  return undefined;
}

/** What there is to say of single files, to be opened. */
function remarks({ remarks }: Transfer): HTMLElement[] {
  if (remarks.length === 0) return [];
  const rows = remarks.slice(0, MAX_REMARKS).map(({ path, reason }) => h("li", {}, bdi(path), h("span", {}, reason)));
  const more = remarks.length - rows.length;
  if (more > 0) rows.push(h("li", {}, `and ${more} more`));
  return [h("details.remarks", {}, h("summary", {}, `Show ${plural(remarks.length, "name")}`), h("ul", {}, ...rows))];
}

export function describe(transfer: Transfer): string {
  const size = bytes(transfer.size);
  switch (transfer.state) {
    case "asking":
      return `${isolated(transfer.peer)} offers this · ${size}`;
    case "waiting":
      return transfer.detail || `Waiting · ${size}`;
    case "active": {
      if (transfer.isReconnecting) return `${bytes(transfer.done)} of ${size} · reconnecting…`;
      const left = duration(transfer.secondsLeft);
      const speed = transfer.rate > 0 ? ` · ${rate(transfer.rate)}` : "";
      return `${bytes(transfer.done)} of ${size}${speed}${left && transfer.done < transfer.size ? ` · ${left} left` : ""}`;
    }
    case "interrupted":
      return "Connection lost. It starts again when the connection is back.";
    case "done":
      return [size, ...(transfer.hash || !transfer.note ? ["checksum verified"] : []), ...(transfer.note ? [transfer.note] : [])].join(" · ");
    case "failed":
      return `Failed: ${transfer.detail}`;
    case "declined":
    case "cancelled":
      return transfer.detail;
  }
}

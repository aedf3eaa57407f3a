// The list of transfers. Each has its own elements, which change in place: focus stays where it is.

import { announce, arrange, byId, eachFrame, h, icon } from "../dom";
import { bytes, duration, rate } from "../format";
import { save } from "../sinks";
import type { Transfer, TransferList } from "../transfer";

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
  #buttons = h("div.transfer-buttons");
  #state = "";

  constructor(
    private readonly transfer: Transfer,
    private readonly remove: () => void,
  ) {
    const up = transfer.direction === "up";
    this.#bar.setAttribute("aria-label", `${up ? "Upload" : "Download"} of ${transfer.name}`);
    this.element = h(
      "li.transfer",
      { "data-name": transfer.name, "data-direction": transfer.direction },
      h("span.transfer-icon", {}, icon(up ? "upload" : "download")),
      h("div.transfer-body", {}, h("p.transfer-name", { title: transfer.name }, transfer.name), this.#bar, this.#text),
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
    this.#renderButtons();
    const said = { asking: `${transfer.peer} offers ${transfer.name}`, done: `${transfer.name}: done, checksum verified` };
    const text = said[transfer.state as keyof typeof said];
    if (text) announce(text);
    else if (transfer.state === "failed") announce(`${transfer.name} failed: ${transfer.detail}`);
  }

  #renderButtons(): void {
    const { transfer } = this;
    const had = this.#buttons.contains(document.activeElement);
    const small = (name: string, label: string, onclick: () => void) =>
      h("button.quiet.square" as "button", { type: "button", "aria-label": `${label} ${transfer.name}`, title: label, onclick }, icon(name));
    const buttons: Record<Transfer["state"], () => HTMLElement[]> = {
      asking: () => [
        h("button.primary", { type: "button", onclick: () => transfer.onAccept?.() }, "Accept"),
        h("button.quiet", { type: "button", onclick: () => transfer.onCancel() }, "Decline"),
      ],
      waiting: () => [small("x", "Cancel", () => transfer.onCancel())],
      active: () => [small("x", "Cancel", () => transfer.onCancel())],
      interrupted: () => [small("x", "Cancel", () => transfer.onCancel())],
      done: () => [
        ...(transfer.result ? [small("download", "Save again", () => save(transfer.result!, transfer.name))] : []),
        small("x", "Dismiss", this.remove),
      ],
      failed: () => this.#again(small),
      cancelled: () => this.#again(small),
    };
    this.#buttons.replaceChildren(...buttons[transfer.state]());
    if (had) this.#buttons.querySelector("button")?.focus();
  }

  #again(small: (name: string, label: string, onclick: () => void) => HTMLElement): HTMLElement[] {
    const { onRetry } = this.transfer;
    return [...(onRetry ? [small("retry", "Try again", onRetry)] : []), small("x", "Dismiss", this.remove)];
  }
}

function describe(transfer: Transfer): string {
  const size = bytes(transfer.size);
  switch (transfer.state) {
    case "asking":
      return `${transfer.peer} offers this · ${size}`;
    case "waiting":
      return transfer.detail || `Waiting · ${size}`;
    case "active": {
      const left = duration(transfer.secondsLeft);
      const speed = transfer.rate > 0 ? ` · ${rate(transfer.rate)}` : "";
      return `${bytes(transfer.done)} of ${size}${speed}${left && transfer.done < transfer.size ? ` · ${left} left` : ""}`;
    }
    case "interrupted":
      return "Connection lost. It starts again when the connection is back.";
    case "done":
      return `${size} · checksum verified`;
    case "failed":
      return `Failed: ${transfer.detail}`;
    case "cancelled":
      return transfer.detail === "declined" ? "Declined" : "Cancelled";
  }
}


// On a narrow screen, where the list of transfers is far below the files: a bar at the bottom with what runs, and what
// waits for an answer.

import { arrange, bdi, byId, eachFrame, h, isolated } from "../dom";
import { bytes, plural, rate } from "../format";
import type { Transfer, TransferList } from "../transfer";
import { answers } from "./transfers";

const RUNNING = ["waiting", "active", "interrupted"];

export class DockView {
  #offer: { transfer: Transfer; element: HTMLElement } | undefined;
  #bar = h("progress", { max: "1", "aria-label": "All running transfers" });
  #text = h("span");
  #running: HTMLElement;

  constructor(private readonly list: TransferList) {
    const show = () => {
      byId("transfers").scrollIntoView({ block: "start" });
      byId("transfers-title").focus({ preventScroll: true });
    };
    this.#running = h("div.dock-running", {}, h("div", {}, this.#text, this.#bar), h("button.quiet", { type: "button", onclick: show }, "Show"));
    const render = eachFrame(() => this.#render());
    list.addEventListener("change", render);
    list.addEventListener("progress", render);
  }

  #render(): void {
    const offers = this.list.items.filter((item) => item.state === "asking");
    const running = this.list.items.filter((item) => RUNNING.includes(item.state));
    const rows: HTMLElement[] = [];
    const offer = offers.at(-1); // the oldest
    if (offer && this.#offer?.transfer !== offer) this.#offer = { transfer: offer, element: this.#newOffer(offer) };
    if (!offer) this.#offer = undefined;
    if (this.#offer) rows.push(this.#offer.element);
    if (running.length > 0) rows.push(this.#running);
    const size = running.reduce((sum, item) => sum + item.size, 0);
    const done = running.reduce((sum, item) => sum + item.done, 0);
    this.#bar.value = size > 0 ? done / size : 0;
    const speed = running.reduce((sum, item) => sum + item.rate, 0);
    this.#text.textContent = [
      plural(running.length, "transfer"),
      `${bytes(done)} of ${bytes(size)}`,
      ...(speed > 0 ? [rate(speed)] : []),
    ].join(" · ");
    const dock = byId("dock");
    arrange(dock, rows);
    dock.hidden = rows.length === 0;
  }

  #newOffer(transfer: Transfer): HTMLElement {
    const text = h("p.dock-text", {}, bdi(transfer.name), h("span", {}, `${bytes(transfer.size)} from ${isolated(transfer.peer)}`));
    return h("div.dock-offer", {}, text, h("div.actions", {}, ...answers(transfer)));
  }
}

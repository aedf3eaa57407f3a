// Text for every connected page.

import { announce, arrange, byId, copy, h, icon, isolated, visible } from "../dom";
import { date } from "../format";
import type { Network, Snippet } from "../network";

export class SnippetsView {
  #rows = new Map<string, HTMLLIElement>();

  constructor(private readonly network: Network) {
    const text = byId<HTMLTextAreaElement>("snippet-text");
    const share = () => {
      if (text.value.trim() === "") return text.focus();
      network.addSnippet(text.value);
      text.value = "";
      announce(network.server ? "Shared" : "Not connected: the snippet is sent when the server is back");
    };
    byId("snippet-form").addEventListener("submit", (event) => {
      event.preventDefault();
      share();
    });
    text.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) share();
    });
    network.addEventListener("snippet", () => this.#render());
  }

  #render(): void {
    const rows = this.network.snippets.map((snippet) => {
      let row = this.#rows.get(snippet.id);
      if (!row) this.#rows.set(snippet.id, (row = this.#row(snippet)));
      row.dataset["waiting"] = String(snippet.waiting);
      row.querySelector<HTMLElement>(".snippet-waiting")!.hidden = !snippet.waiting;
      return row;
    });
    arrange(byId("snippets"), rows);
  }

  #row(snippet: Snippet): HTMLLIElement {
    if (!snippet.own) announce(`${isolated(snippet.name)} shared a snippet`);
    const copied = async (event: Event) => {
      const button = event.currentTarget as HTMLElement;
      const shown = button.closest(".snippet")!.querySelector("pre")!;
      if (await copy(snippet.text, shown)) button.replaceChildren(icon("check"));
    };
    const who = snippet.own ? "You" : isolated(snippet.name || "Someone");
    return h(
      "li.snippet",
      {},
      h("div.snippet-head", {}, h("span", {}, `${who} · ${date(snippet.at)}`, h("span.snippet-waiting", {}, " · waiting for the server")), this.#copyButton(copied)),
      h("pre", { tabindex: "0", "aria-label": `Snippet of ${who}` }, ...linked(visible(snippet.text, "\n\t\r"))),
    );
  }

  #copyButton(copied: (event: Event) => Promise<void>): HTMLElement {
    const onclick = (event: Event) => void copied(event);
    return h("button.quiet.square" as "button", { type: "button", onclick, "aria-label": "Copy the snippet", title: "Copy" }, icon("copy"));
  }
}

/** Web addresses can be followed; everything else is plain text. */
function linked(text: string): (Node | string)[] {
  return text.split(/(https?:\/\/[^\s<>"']+)/).map((part, at) =>
    at % 2 === 1 ? h("a", { href: part, target: "_blank", rel: "noopener noreferrer" }, part) : part,
  );
}

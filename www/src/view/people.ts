// Who is there, and how one is connected to them.

import type { Participant } from "../catalog";
import { arrange, bdi, byId, eachFrame, h, icon, visible } from "../dom";
import { milliseconds, rate } from "../format";
import type { Jobs } from "../jobs";
import type { Network } from "../network";
import { type PathInfo, pathOf } from "../path";
import type { Peer } from "../peer";
import { picked } from "../upload";
import { mark, tint } from "../visitors";

/** Milliseconds between looks at the connections. */
const LOOK = 2000;

interface Seen {
  path: PathInfo | undefined;
  roundTrip: number | undefined;
  /** Bytes per second, both ways. */
  rate: number;
  at: number;
}

export class PeopleView {
  #seen = new Map<Peer, Seen>();
  #rows = new Map<string, HTMLLIElement>();
  #target: Participant | undefined;

  constructor(
    private readonly network: Network,
    jobs: Jobs,
  ) {
    const render = eachFrame(() => this.#render());
    network.addEventListener("change", render);
    const look = async () => {
      if (document.visibilityState === "visible") await Promise.allSettled(this.#peers().map((peer) => this.#look(peer)));
      render();
      setTimeout(look, LOOK);
    };
    network.addEventListener("server", () => void Promise.allSettled(this.#peers().map((peer) => this.#look(peer))).then(render));
    void look();
    const chooser = byId<HTMLInputElement>("choose-for-peer");
    chooser.addEventListener("change", () => {
      if (this.#target) jobs.sendTo(this.#target, picked(chooser.files ?? []));
      chooser.value = "";
    });
  }

  #peers(): Peer[] {
    return [...this.network.peers.values()].filter((peer) => !peer.closed);
  }

  async #look(peer: Peer): Promise<void> {
    const before = this.#seen.get(peer);
    const path = await pathOf(peer.connection);
    // A ping waits behind what is being transferred: the connection's own measurement is better, where there is one.
    const roundTrip = path?.roundTrip ?? (peer.greeted ? await peer.ping() : undefined);
    const at = performance.now();
    const bytes = path && before?.path ? path.bytes - before.path.bytes : 0;
    const perSecond = before ? (bytes / (at - before.at)) * 1000 : 0;
    this.#seen.set(peer, { path, roundTrip, rate: perSecond, at });
  }

  #everyone(): Participant[] {
    const order = { folder: 0, page: 1, peer: 2 };
    return this.network.everyone
      .filter((person) => person.uuid !== this.network.uuid)
      .sort((a, b) => order[a.role] - order[b.role] || a.name.localeCompare(b.name));
  }

  #render(): void {
    for (const peer of this.#seen.keys()) if (peer.closed) this.#seen.delete(peer);
    byId("own-name").textContent = visible(this.network.name);
    byId("own-avatar").dataset["tint"] = tint(this.network.uuid);
    const { uuid, name, everyone: all } = this.network;
    byId("own-detail").textContent = `others see you in ${mark(uuid, name, all) || tint(uuid)}`;
    const everyone = this.#everyone();
    for (const uuid of this.#rows.keys()) if (!everyone.some((person) => person.uuid === uuid)) this.#rows.delete(uuid);
    const rows = everyone.map((person) => this.#row(person));
    if (rows.length === 0) rows.push(h("li.hint", {}, "Nobody else yet."));
    arrange(byId("people"), rows);
  }

  /** The same elements for the same person: what changes every moment must not take focus or clicks away. */
  #row(person: Participant): HTMLLIElement {
    let row = this.#rows.get(person.uuid);
    if (row?.dataset["role"] !== person.role || row.dataset["name"] !== person.name) {
      row = this.#newRow(person);
      this.#rows.set(person.uuid, row);
    }
    const peer = this.network.peers.get(person.uuid);
    const connected = peer !== undefined && !peer.closed;
    row.dataset["connected"] = String(connected);
    const word = mark(person.uuid, person.name, this.network.everyone);
    const reconnecting = peer?.connection.state === "reconnecting";
    const detail = describe(person, connected, reconnecting, peer && this.#seen.get(peer));
    row.querySelector(".person-detail")!.textContent = word === "" ? detail : `${word} · ${detail}`;
    return row;
  }

  #newRow(person: Participant): HTMLLIElement {
    const send = () => {
      this.#target = person;
      byId<HTMLInputElement>("choose-for-peer").click();
    };
    const symbol = { folder: "server", page: "page", peer: "terminal" }[person.role];
    return h(
      "li.person",
      { "data-uuid": person.uuid, "data-role": person.role, "data-name": person.name },
      h("span.avatar", { "data-tint": tint(person.uuid) }, icon(symbol)),
      h("div.person-body", {}, h("p.person-name", { title: visible(person.name) }, bdi(person.name)), h("p.person-detail")),
      person.role !== "folder" &&
        h("button.quiet", { type: "button", onclick: send }, "Send file", h("span.visually-hidden", {}, " to ", bdi(person.name))),
    );
  }
}

/** Where what is sent goes along, in words. */
function route(path: PathInfo): string {
  if (path.relayed) return "through a relay server";
  return path.local === "host" && path.remote === "host" ? "same network" : "direct";
}

function describe(person: Participant, connected: boolean, reconnecting: boolean, seen: Seen | undefined): string {
  if (!connected) return { folder: "not connected", page: "connecting…", peer: "connects when needed" }[person.role];
  if (reconnecting) return "reconnecting…";
  const parts: string[] = [];
  const { path } = seen ?? {};
  if (path) parts.push(route(path));
  else parts.push("connected");
  if (seen?.roundTrip !== undefined) parts.push(milliseconds(seen.roundTrip));
  if (seen && seen.rate > 10_000) parts.push(rate(seen.rate));
  return parts.join(" · ");
}

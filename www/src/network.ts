// Everyone this page is connected to: the server that shares the folder, and the other pages. Whatever is lost is found
// again: the relay by the package, the server and the pages here.

import { PeerManager, type PeerConnection } from "crosspeer";
import type { Catalog, Participant } from "./catalog";
import { type Offered, Peer } from "./peer";
import { unique } from "./sinks";

export interface ServerConfig {
  uuid: string;
  name: string;
  folder: string;
  readonly: boolean;
  iceServers: RTCIceServer[];
  /** `http://address:port` for other devices. */
  addresses: string[];
  version: string;
}

export interface Snippet {
  id: string;
  name: string;
  text: string;
  at: number;
  own: boolean;
  /** Not known to have reached the server yet. */
  waiting: boolean;
}

export type Status = "connecting" | "online" | "reconnecting" | "locked";

/** Pages that this one connects to by itself. */
const MAX_PAGES = 16;
/** Milliseconds before the server is tried again; the wait doubles up to the last. */
const FIRST_WAIT = 500;
const LONGEST_WAIT = 8_000;
/** Bytes of the largest message that anyone may send: a block of a file, or the longest of the catalog, with room. */
const MAX_MESSAGE = 1 << 20;
/** Milliseconds for one try. */
const CONNECT_TIME = 15_000;

export class Network extends EventTarget {
  status: Status = "connecting";
  detail = "";
  config: ServerConfig | undefined;
  manager: PeerManager | undefined;
  /** The connection to the server, while there is one. */
  server: Peer | undefined;
  readonly peers = new Map<string, Peer>();
  participants: Participant[] = [];
  readonly snippets: Snippet[] = [];
  onOffered: (peer: Peer, offered: Offered) => void = () => {};
  #connecting = new Map<string, Promise<Peer>>();
  #early = new Map<string, (string | Uint8Array)[]>();
  /** The token with which the server let this page in. */
  #accepted: string | undefined;
  /** The token with which the manager asks the relay. */
  #joined: string | undefined;
  #wake: () => void = () => {};

  constructor(
    public name: string,
    public token: string | undefined,
  ) {
    super();
    // After sleep, or in another network, it is not waited for the next try.
    const wake = () => this.tryNow();
    addEventListener("online", wake);
    addEventListener("pageshow", wake);
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && wake());
  }

  get uuid(): string {
    return this.manager?.uuid ?? "";
  }

  /** Those that the server told of, oneself among them, and those that one is connected to all the same. */
  get everyone(): Participant[] {
    const known = new Set(this.participants.map((person) => person.uuid));
    return [...this.participants, ...[...this.peers.values()].filter((peer) => !known.has(peer.uuid))];
  }

  get relayUrl(): string {
    const query = this.token === undefined ? "" : `?token=${encodeURIComponent(this.token)}`;
    return `${location.origin.replace(/^http/, "ws")}/relay${query}`;
  }

  /** Runs for ever; ends only where the token is missing or wrong. */
  async run(): Promise<void> {
    let wait = FIRST_WAIT;
    for (;;) {
      try {
        const config = await this.#fetchConfig();
        if (!config) return;
        this.config = config;
        this.#accepted = this.token;
        await this.#join();
        const server = await this.connect(config.uuid);
        wait = FIRST_WAIT;
        this.server = server;
        this.#set("online");
        this.dispatchEvent(new Event("server"));
        for (const snippet of this.snippets.filter((own) => own.waiting).reverse()) void this.#deliver(snippet);
        this.#detail(await server.connection.closed);
      } catch (error) {
        this.#detail(error);
      }
      this.server = undefined;
      this.#set(this.config ? "reconnecting" : "connecting", this.detail);
      wait = (await this.#pause(wait)) ? Math.min(wait * 2, LONGEST_WAIT) : FIRST_WAIT;
    }
  }

  /** Whether this visitor is connected, or was when the server last told. */
  isThere(uuid: string): boolean {
    return this.peers.has(uuid) || this.participants.some((person) => person.uuid === uuid);
  }

  /** The connection to a peer, made if there is none. Pages are greeted, others would take that for a message. */
  async connect(uuid: string): Promise<Peer> {
    const known = this.peers.get(uuid);
    if (known && !known.closed) return known;
    let connecting = this.#connecting.get(uuid);
    if (!connecting) {
      connecting = this.#connect(uuid).finally(() => this.#connecting.delete(uuid));
      this.#connecting.set(uuid, connecting);
    }
    return connecting;
  }

  /** Shares a text with every connected page, and with those that come later. */
  addSnippet(text: string): void {
    const id = unique();
    this.#keepSnippet(id, this.name, text, true);
    void this.#deliver(this.snippets.find((snippet) => snippet.id === id)!);
  }

  /** Now, instead of at the end of the wait: neither this page's nor the relay client's. */
  tryNow(): void {
    this.manager?.reconnect().catch((error: unknown) => console.debug(`the relay: ${error}`));
    this.#wake();
  }

  /** What does not reach the server waits for it. One that arrives twice has the same id, and is shown once. */
  async #deliver(snippet: Snippet): Promise<void> {
    const { id, name, text } = snippet;
    for (const peer of this.peers.values()) if (peer.greeted) peer.say({ type: "snippet", id, name, text });
    try {
      // Messages keep their order: after the answer to this, it is there.
      if (!this.server) return;
      await this.server.ping();
      snippet.waiting = false;
      this.dispatchEvent(new Event("snippet"));
    } catch (error) {
      console.debug(`a snippet waits: ${error}`);
    }
  }

  rename(name: string): void {
    this.name = name;
    for (const peer of this.peers.values()) if (peer.greeted) peer.say(this.#hello());
  }

  async #fetchConfig(): Promise<ServerConfig | undefined> {
    const headers = this.token === undefined ? {} : { Authorization: `Bearer ${encodeURIComponent(this.token)}` };
    const signal = AbortSignal.timeout(CONNECT_TIME);
    const response = await fetch("/config.json", { headers, signal, cache: "no-store" });
    if (response.status === 401) {
      this.#set("locked", this.#refusal());
      return undefined;
    }
    if (!response.ok) throw new Error((await response.text()).trim() || `the server answered ${response.status}`);
    return (await response.json()) as ServerConfig;
  }

  #refusal(): string {
    if (this.token === undefined) return "";
    return this.config && this.token === this.#accepted
      ? "The owner has changed the token. Ask for the new address, or enter the new token."
      : "That token is not the right one.";
  }

  /** At the relay, with the token that holds now: it is asked for whenever the relay is lost. */
  async #join(): Promise<void> {
    if (this.manager && this.#joined === this.token) return;
    await this.#leave();
    const { iceServers } = this.config!;
    const signal = AbortSignal.timeout(CONNECT_TIME);
    const options = { name: this.name, iceServers, reconnectMax: 4_000, maxMessageBytes: MAX_MESSAGE, signal };
    const token = this.token;
    const manager = await PeerManager.join(this.relayUrl, options);
    [this.manager, this.#joined] = [manager, token];
    void this.#listen(manager);
  }

  async #leave(): Promise<void> {
    const { manager } = this;
    [this.manager, this.participants] = [undefined, []];
    await manager?.close().catch((error: unknown) => console.debug(`leaving: ${error}`));
  }

  async #listen(manager: PeerManager): Promise<void> {
    try {
      for await (const { from, data } of manager) this.#take(from, data);
    } catch (error) {
      // The relay refuses it, or somebody else has its place: another one has to join.
      console.debug(`the relay: ${error}`);
      if (this.manager !== manager) return;
      await this.#leave();
      this.#wake();
    }
  }

  #take(from: string, data: string | Uint8Array): void {
    const known = this.peers.get(from);
    if (known && !known.closed) return known.receive(data);
    // It has connected to us; until that is known here, what it says waits.
    const waiting = this.#early.get(from);
    if (waiting) waiting.push(data);
    else this.#early.set(from, [data]);
    this.connect(from).catch(() => this.#early.delete(from));
  }

  async #connect(uuid: string): Promise<Peer> {
    if (!this.manager) throw new Error("not connected to the relay");
    const connection = await this.manager.connect(uuid, { signal: AbortSignal.timeout(CONNECT_TIME) });
    return this.#adopt(uuid, connection);
  }

  #adopt(uuid: string, connection: PeerConnection): Peer {
    const peer = new Peer(this.manager!, uuid, connection);
    const participant = this.participants.find((other) => other.uuid === uuid);
    if (participant) [peer.name, peer.role] = [participant.name, participant.role];
    this.peers.set(uuid, peer);
    connection.addEventListener("statechange", () => this.#changed());
    peer.onCatalog = (message) => this.#hear(peer, message);
    peer.onText = (text) => this.#keepSnippet(unique(), peer.name, text, false);
    peer.onOffered = (offered) => this.onOffered(peer, offered);
    void connection.closed.then((reason) => {
      peer.end(reason.message);
      if (this.peers.get(uuid) === peer) this.peers.delete(uuid);
      this.#changed();
    });
    const isServer = uuid === this.config?.uuid;
    if (isServer) [peer.role, peer.name] = ["folder", this.config!.name];
    if (isServer || peer.role === "page") this.#greet(peer);
    for (const data of this.#early.get(uuid) ?? []) peer.receive(data);
    this.#early.delete(uuid);
    this.#changed();
    return peer;
  }

  #greet(peer: Peer): void {
    if (peer.greeted) return;
    peer.greeted = true;
    peer.say(this.#hello());
  }

  #hello(): Catalog {
    return { type: "hello", name: this.name, role: "page" };
  }

  #hear(peer: Peer, message: Catalog): void {
    switch (message.type) {
      case "hello":
        // Only one shares the folder, whatever others call themselves.
        peer.role = peer.uuid === this.config?.uuid ? "folder" : "page";
        [peer.name, peer.readonly] = [message.name, message.readonly ?? false];
        this.#greet(peer);
        return this.#changed();
      case "peers":
        if (peer !== this.server && peer.uuid !== this.config?.uuid) return;
        this.participants = message.peers;
        return this.#meet();
      case "changed":
        if (peer === this.server) this.dispatchEvent(new Event("folder"));
        return;
      case "snippet":
        return this.#keepSnippet(message.id, message.name, message.text, false);
    }
  }

  /** Connects to the pages that are there. Of two, the one with the smaller UUID does. */
  #meet(): void {
    this.#changed();
    const pages = this.participants.filter((other) => other.role === "page" && other.uuid > this.uuid);
    for (const page of pages.slice(0, MAX_PAGES)) {
      if (!this.peers.has(page.uuid)) this.connect(page.uuid).catch((error) => console.debug(`${page.name}: ${error}`));
    }
  }

  #keepSnippet(id: string, name: string, text: string, own: boolean): void {
    if (this.snippets.some((known) => known.id === id)) return;
    this.snippets.unshift({ id, name, text, at: Date.now(), own, waiting: own });
    this.snippets.length = Math.min(this.snippets.length, 100);
    this.dispatchEvent(new Event("snippet"));
  }

  #detail(reason: unknown): void {
    this.detail = reason instanceof Error ? reason.message : String(reason);
  }

  #set(status: Status, detail = ""): void {
    this.status = status;
    this.detail = detail;
    this.#changed();
  }

  #changed(): void {
    this.dispatchEvent(new Event("change"));
  }

  /** Whether it was waited to the end. */
  #pause(milliseconds: number): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(true), milliseconds);
      this.#wake = () => {
        clearTimeout(timer);
        resolve(false);
      };
    });
  }
}

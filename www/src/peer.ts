// One connection: the catalog's questions and answers, and all transfers over it. Decisions are in the wasm module;
// here its outputs are carried out.

import { type PeerManager, type PeerConnection } from "crosspeer";
import { type Output, Transfers } from "crosspeer/transfer";
import { type Catalog, encode, type Entry, type Role } from "./catalog";
import type { Sink } from "./sinks";

/** Bytes that may be on their way to the disk. */
const WINDOW = 4 << 20;
/** Bytes of a file that are read at once. */
const READ_AHEAD = 2 << 20;
/** Milliseconds that an answer may take. */
const ANSWER_TIME = 30_000;

/** A file that goes, or an empty folder. */
export interface Outgoing {
  /** Nothing for a folder. */
  file: Blob | undefined;
  name: string;
  modified?: number | undefined;
  progress(stored: number): void;
  /** `name`: the path it has at the receiver, where that tells it. */
  done(hash: string, name?: string): void;
  stopped(code: string, reason: string): void;
}

/** A file that comes. */
export interface Incoming {
  sink: Pick<Sink, "write">;
  progress(stored: number): void;
  /** All is there, and the checksum right. */
  complete(hash: string): Promise<void>;
  stopped(code: string, reason: string): void;
}

/** Someone else's offer. */
export interface Offered {
  name: string;
  size: number;
  accept(incoming: Incoming): void;
  refuse(reason: string): void;
  /** The other side has changed its mind. */
  onStopped: (code: string, reason: string) => void;
}

/** What the other side refused. */
export class Refused extends Error {
  constructor(
    readonly code: string,
    reason: string,
  ) {
    super(reason);
  }
}

interface Sending {
  outgoing: Outgoing;
  /** What was read ahead, and where it begins. */
  block: Uint8Array<ArrayBuffer>;
  at: number;
}

interface Receiving {
  size: number;
  stored: number;
  incoming: Incoming | undefined;
  offered: Offered | undefined;
  writing: Promise<void>;
}

type Answer = Extract<Catalog, { type: "listing" | "coming" }>;

interface Question {
  resolve(answer: Answer): void;
  reject(error: Error): void;
  /** Where the file goes that was asked for. */
  incoming: Incoming | undefined;
}

export class Peer {
  name: string;
  role: Role = "peer";
  readonly = false;
  /** Whether hellos were exchanged: it speaks the catalog protocol. */
  greeted = false;
  closed = false;
  onCatalog: (message: Catalog) => void = () => {};
  onText: (text: string) => void = () => {};
  onOffered: (offered: Offered) => void = (offered) => offered.refuse("nobody takes it");
  #transfers = new Transfers(WINDOW);
  #sending = new Map<number, Sending>();
  #receiving = new Map<number, Receiving>();
  #expected = new Map<number, Incoming>();
  #questions = new Map<number, Question>();
  #nextRequest = 1;

  constructor(
    private readonly manager: PeerManager,
    readonly uuid: string,
    readonly connection: PeerConnection,
  ) {
    this.name = uuid.slice(0, 8);
  }

  /** Takes what the other side sent. */
  receive(data: string | Uint8Array): void {
    let catalog;
    try {
      catalog = this.#transfers.handle(data);
    } catch (error) {
      console.warn(`${this.name}: ${error}`);
      void this.manager.closeConnection(this.uuid).catch(() => {});
      return;
    }
    if (typeof catalog === "string") this.#hear(JSON.parse(catalog) as Catalog);
    else if (catalog === null && typeof data === "string") this.onText(data);
    this.#pump();
  }

  say(message: Catalog): void {
    this.#send(encode(message));
  }

  /** The next entries of a folder. With `quiet`, changes of it are not told. */
  async list(path: string, after: string | undefined, quiet: boolean): Promise<{ entries: Entry[]; more: boolean }> {
    const more = { ...(after === undefined ? {} : { after }), ...(quiet ? { quiet } : {}) };
    const answer = await this.#ask((request) => ({ type: "list", request, path, all: true, ...more }));
    if (answer.type !== "listing") throw new Refused("failed", "the answer makes no sense");
    return { entries: answer.entries, more: answer.more ?? false };
  }

  /** Begins a download; returns how to end it. */
  async get(path: string, incoming: Incoming): Promise<() => void> {
    const answer = await this.#ask((request) => ({ type: "get", request, path }), incoming);
    if (answer.type !== "coming") throw new Refused("failed", "the answer makes no sense");
    return () => this.#stop(answer.transfer, "cancelled", "cancelled by the other side");
  }

  /** Offers a file; returns how to end it. */
  send(outgoing: Outgoing): () => void {
    const { name, file, modified } = outgoing;
    const id = this.#transfers.offer(name, file?.size ?? 0, modified, file === undefined);
    this.#sending.set(id, { outgoing, block: new Uint8Array(), at: 0 });
    this.#pump();
    return () => {
      this.#transfers.cancel(id, "cancelled by the sender");
      this.#pump();
    };
  }

  /** Milliseconds. */
  async ping(): Promise<number> {
    const start = performance.now();
    await this.#ask((request) => ({ type: "ping", request }));
    return performance.now() - start;
  }

  /** The connection has ended: so does all that waits for it. */
  end(reason: string): void {
    if (this.closed) return;
    this.closed = true;
    for (const question of this.#questions.values()) question.reject(new Refused("lost", reason));
    for (const { outgoing } of this.#sending.values()) outgoing.stopped("lost", reason);
    for (const { incoming, offered } of this.#receiving.values()) {
      incoming?.stopped("lost", reason);
      offered?.onStopped("lost", reason);
    }
    for (const incoming of this.#expected.values()) incoming.stopped("lost", reason);
    this.#questions.clear();
    this.#sending.clear();
    this.#receiving.clear();
    this.#expected.clear();
    this.#transfers.free();
  }

  async #ask(question: (request: number) => Catalog, incoming?: Incoming): Promise<Answer> {
    if (this.closed) throw new Refused("lost", "the connection was lost");
    const request = this.#nextRequest++;
    const late = setTimeout(() => {
      this.#questions.get(request)?.reject(new Refused("timeout", `no answer within ${ANSWER_TIME / 1000} s`));
    }, ANSWER_TIME);
    try {
      return await new Promise<Answer>((resolve, reject) => {
        this.#questions.set(request, { resolve, reject, incoming });
        this.say(question(request));
      });
    } finally {
      clearTimeout(late);
      this.#questions.delete(request);
    }
  }

  #hear(message: Catalog): void {
    switch (message.type) {
      case "coming": {
        // At once: the offer may be the very next message.
        const question = this.#questions.get(message.request);
        if (question?.incoming) this.#expected.set(message.transfer, question.incoming);
        question?.resolve(message);
        break;
      }
      case "listing":
        this.#questions.get(message.request)?.resolve(message);
        break;
      case "pong":
        this.#questions.get(message.request)?.resolve(message as never);
        break;
      case "refused":
        this.#questions.get(message.request)?.reject(new Refused(message.code, message.reason));
        break;
      case "ping":
        this.say({ type: "pong", request: message.request });
        break;
      default:
        this.onCatalog(message);
    }
  }

  #send(data: string | Uint8Array): void {
    // The order of the calls is kept; the transfers' window bounds what waits. A lost connection is told of elsewhere.
    this.manager.send(this.uuid, data).catch((error) => console.debug(`${this.name}: ${error}`));
  }

  #pump(): void {
    let output: Output | undefined;
    while (!this.closed && (output = this.#transfers.poll())) this.#carryOut(output);
  }

  #carryOut(output: Output): void {
    switch (output.type) {
      case "send":
        return this.#send(output.data);
      case "read":
        return void this.#read(output.id, output.offset, output.length);
      case "progress":
        return this.#sending.get(output.id)?.outgoing.progress(output.stored);
      case "sent":
        this.#sending.get(output.id)?.outgoing.done(output.hash, output.name);
        return void this.#sending.delete(output.id);
      case "sending-stopped":
        this.#sending.get(output.id)?.outgoing.stopped(output.code, output.reason);
        return void this.#sending.delete(output.id);
      case "offered":
        return this.#offered(output);
      case "write":
        return this.#write(output.id, output.data);
      case "complete":
        return this.#complete(output.id, output.hash);
      case "receiving-stopped": {
        const receiving = this.#receiving.get(output.id);
        this.#receiving.delete(output.id);
        receiving?.incoming?.stopped(output.code, output.reason);
        receiving?.offered?.onStopped(output.code, output.reason);
        this.#expected.get(output.id)?.stopped(output.code, output.reason); // the module has refused it
        this.#expected.delete(output.id);
      }
    }
  }

  async #read(id: number, offset: number, length: number): Promise<void> {
    const sending = this.#sending.get(id);
    const file = sending?.outgoing.file;
    if (!sending || !file) return;
    try {
      if (offset + length > sending.at + sending.block.length || offset < sending.at) {
        const end = offset + Math.max(length, READ_AHEAD);
        sending.block = new Uint8Array(await file.slice(offset, end).arrayBuffer());
        sending.at = offset;
      } else {
        await undefined; // the wasm module is still being polled
      }
      if (this.closed) return;
      this.#transfers.block(id, sending.block.subarray(offset - sending.at, offset - sending.at + length));
    } catch (error) {
      if (this.closed) return;
      this.#transfers.readFailed(id, "it cannot be read (any more)");
      console.warn(error);
    }
    this.#pump();
  }

  #offered(output: Extract<Output, { type: "offered" }>): void {
    const { id, name, size } = output;
    const expected = this.#expected.get(id);
    this.#expected.delete(id);
    const receiving: Receiving = { size, stored: 0, incoming: expected, offered: undefined, writing: Promise.resolve() };
    this.#receiving.set(id, receiving);
    if (expected) return this.#transfers.accept(id);
    receiving.offered = {
      name,
      size,
      accept: (incoming) => {
        if (!this.#receiving.has(id)) return incoming.stopped("lost", "it is not offered any more");
        receiving.incoming = incoming;
        receiving.offered = undefined;
        this.#transfers.accept(id);
        this.#pump();
      },
      refuse: (reason) => this.#stop(id, "refused", reason),
      onStopped: () => {},
    };
    this.onOffered(receiving.offered);
  }

  /** Ends an incoming transfer, from this side. */
  stopIncoming(incoming: Incoming, reason: string): void {
    for (const [id, receiving] of this.#receiving) {
      if (receiving.incoming === incoming) this.#stop(id, "cancelled", reason);
    }
  }

  #stop(id: number, code: "refused" | "cancelled" | "failed", reason: string): void {
    if (this.closed) return;
    this.#transfers.stop(id, code, reason);
    this.#pump();
  }

  #write(id: number, data: Uint8Array<ArrayBuffer>): void {
    const receiving = this.#receiving.get(id);
    const incoming = receiving?.incoming;
    if (!receiving || !incoming) return;
    receiving.writing = receiving.writing
      .then(() => incoming.sink.write(data))
      .then(() => {
        if (this.closed || !this.#receiving.has(id)) return;
        receiving.stored += data.length;
        incoming.progress(receiving.stored);
        this.#transfers.written(id, data.length);
        this.#pump();
      })
      .catch((error) => this.#stop(id, "failed", explain(error)));
  }

  #complete(id: number, hash: string): void {
    const receiving = this.#receiving.get(id);
    const incoming = receiving?.incoming;
    if (!receiving || !incoming) return;
    receiving.writing
      .then(() => incoming.complete(hash))
      .then(() => {
        this.#receiving.delete(id);
        if (this.closed) return;
        this.#transfers.finish(id);
        this.#pump();
      })
      .catch((error) => this.#stop(id, "failed", explain(error)));
  }
}

function explain(error: unknown): string {
  if (error instanceof DOMException && error.name === "QuotaExceededError") {
    return "the browser has no room for it: free some disk space, or dismiss finished downloads";
  }
  return error instanceof Error ? error.message : String(error);
}

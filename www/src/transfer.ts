// What people see of one transfer, whatever carries it.

import type { PeerConnection } from "crosspeer";

export type TransferState =
  | "asking" // someone else's offer, to be accepted or declined
  | "waiting" // for its turn, or for the other side
  | "active"
  | "interrupted" // the connection was lost; it starts again when it is back
  | "done"
  | "failed"
  | "declined" // by a person, at either side
  | "cancelled";

/** Something about one file of many: why it is missing, or how it is called now. */
export interface Remark {
  path: string;
  reason: string;
}

/** The seconds over which a rate is measured. */
const RATE_WINDOW = 3;

export class Transfer extends EventTarget {
  state: TransferState = "waiting";
  /** Bytes stored at the receiver. */
  done = 0;
  /** Why it failed, or what it waits for. */
  detail = "";
  /** What is to be said of its success. */
  note = "";
  remarks: Remark[] = [];
  /** BLAKE3, as both sides computed it. */
  hash = "";
  /** What was received, on the browser's disk. */
  result: Blob | undefined;
  /** What the buttons do. */
  onCancel: () => void = () => {};
  onAccept: (() => void) | undefined;
  onRetry: (() => void) | undefined;
  onDismiss: () => void = () => {};
  #samples: { at: number; done: number }[] = [];
  #via: PeerConnection | undefined;

  constructor(
    readonly direction: "up" | "down",
    readonly name: string,
    public size: number,
    /** The other side's name. */
    readonly peer: string,
  ) {
    super();
  }

  /** Over which connection it goes. */
  set via(connection: PeerConnection) {
    if (connection === this.#via) return;
    this.#via = connection;
    connection.addEventListener("statechange", () => this.#changed());
  }

  /** Nothing moves until the connection has found another path. */
  get isReconnecting(): boolean {
    return this.#via?.state === "reconnecting";
  }

  get isOver(): boolean {
    return ["done", "failed", "declined", "cancelled"].includes(this.state);
  }

  set(state: TransferState, detail = ""): void {
    if (this.isOver && state !== "waiting") return;
    if (state !== "active") this.#samples = [];
    this.state = state;
    this.detail = detail;
    this.#changed();
  }

  progress(done: number): void {
    if (this.isOver) return;
    this.done = done;
    this.state = "active";
    this.detail = "";
    const now = performance.now() / 1000;
    this.#samples.push({ at: now, done });
    while ((this.#samples[1]?.at ?? now) < now - RATE_WINDOW) this.#samples.shift();
    this.#changed();
  }

  /** From the beginning. */
  restart(): void {
    this.done = 0;
    this.state = "waiting";
    this.detail = "";
    this.remarks = [];
    this.#samples = [];
    this.#changed();
  }

  finish(hash: string, note: string, remarks: Remark[]): void {
    this.done = this.size;
    [this.hash, this.note, this.remarks] = [hash, note, remarks];
    this.set("done");
  }

  /** Bytes per second, 0 if not known. */
  get rate(): number {
    const first = this.#samples[0];
    const last = this.#samples.at(-1);
    if (!first || !last || last.at - first.at < 0.2) return 0;
    return (last.done - first.done) / (last.at - first.at);
  }

  get secondsLeft(): number {
    return this.rate > 0 ? (this.size - this.done) / this.rate : Infinity;
  }

  #changed(): void {
    this.dispatchEvent(new Event("change"));
  }
}

/** All of them, newest first. */
export class TransferList extends EventTarget {
  readonly items: Transfer[] = [];

  add(transfer: Transfer): void {
    this.items.unshift(transfer);
    transfer.addEventListener("change", () => this.dispatchEvent(new Event("progress")));
    this.#changed();
  }

  remove(transfer: Transfer): void {
    const at = this.items.indexOf(transfer);
    if (at >= 0) this.items.splice(at, 1);
    transfer.onDismiss();
    this.#changed();
  }

  clearFinished(): void {
    for (const transfer of this.items.filter((item) => item.isOver)) this.remove(transfer);
  }

  #changed(): void {
    this.dispatchEvent(new Event("change"));
  }
}

/** The wasm module's file transfer (`wasm/src/transfer.rs`). The module must be loaded first (`init` of `crosspeer`). */

export type Output =
  | { type: "send"; data: string | Uint8Array<ArrayBuffer> }
  | { type: "offered"; id: number; name: string; size: number; modified?: number }
  | { type: "write"; id: number; data: Uint8Array<ArrayBuffer> }
  | { type: "complete"; id: number; hash: string }
  | { type: "receiving-stopped"; id: number; code: string; reason: string }
  | { type: "read"; id: number; offset: number; length: number }
  | { type: "accepted"; id: number }
  | { type: "progress"; id: number; stored: number }
  | { type: "sent"; id: number; hash: string; name?: string }
  | { type: "sending-stopped"; id: number; code: string; reason: string }
  | { type: "ignored" };

/** All transfers of one connection, both ways. */
export class Transfers {
  constructor(window: number);
  /** `undefined`: it was a transfer's; a string: a catalog message, as checked JSON; `null`: neither. */
  handle(message: string | Uint8Array): string | null | undefined;
  offer(name: string, size: number, modified: number | undefined, folder: boolean): number;
  block(id: number, data: Uint8Array): void;
  readFailed(id: number, reason: string): void;
  cancel(id: number, reason: string): void;
  accept(id: number): void;
  stop(id: number, code: "refused" | "cancelled" | "failed", reason: string): void;
  written(id: number, bytes: number): void;
  finish(id: number): void;
  poll(): Output | undefined;
  free(): void;
  /** A name made safe for any file system; throws for one that leads out of its folder. */
  static sanitise(name: string): string;
  /** A catalog message of JSON, as the peer takes it. */
  static catalog(json: string): string;
}

// The messages of src/transfer/catalog.rs, as the wasm module hands them over: checked.

import { Transfers } from "crosspeer/transfer";

export type Role = "folder" | "page" | "peer";

export interface Participant {
  uuid: string;
  name: string;
  role: Role;
}

export interface Entry {
  name: string;
  /** Bytes; none for a folder. */
  size?: number;
  /** Milliseconds since 1970. */
  modified?: number;
  /** Why it is not shared, if it is not. */
  omitted?: string;
}

export type Catalog =
  | { type: "hello"; name: string; role: Role; readonly?: boolean }
  | { type: "peers"; peers: Participant[] }
  | { type: "list"; request: number; path: string; after?: string; all: true; quiet?: true }
  | { type: "listing"; request: number; entries: Entry[]; more?: boolean }
  | { type: "get"; request: number; path: string }
  | { type: "coming"; request: number; transfer: number }
  | { type: "refused"; request: number; code: string; reason: string }
  | { type: "changed" }
  | { type: "snippet"; id: string; name: string; text: string }
  | { type: "ping"; request: number }
  | { type: "pong"; request: number };

export function encode(message: Catalog): string {
  return Transfers.catalog(JSON.stringify(message));
}

// Cancelling.

import { Refused } from "./peer";

/** Whether a transfer is still wanted, and what to clear away if not. */
export class Signal {
  aborted = false;
  #listeners = new Set<() => void>();
  #cleanups: (() => Promise<void>)[] = [];

  /** Returns how to stop listening. */
  onAbort(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  abort(): void {
    this.aborted = true;
    for (const listener of this.#listeners) listener();
    this.clean();
  }

  check(): void {
    if (this.aborted) throw new Refused("cancelled", "cancelled");
  }

  cleanup(cleanup: () => Promise<void>): void {
    this.#cleanups.push(cleanup);
  }

  clean(): void {
    for (const cleanup of this.#cleanups.splice(0)) cleanup().catch((error) => console.warn(error));
  }
}

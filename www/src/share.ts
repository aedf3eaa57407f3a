// What people do here: download, upload, send to another page, take what is offered.

import { Transfers } from "crosspeer/transfer";
import type { Entry } from "./catalog";
import { plural } from "./format";
import type { Network } from "./network";
import { type Incoming, type Offered, type Peer, Refused } from "./peer";
import { openSink, save, type Sink } from "./sinks";
import { Transfer, TransferList } from "./transfer";
import { ZipWriter } from "./zip";

/** A file and where it belongs. */
export interface Upload {
  file: File;
  /** With `/`, from the folder on that it is put into. */
  path: string;
}

/** Files of one job that are on their way at a time. */
const AT_ONCE = 4;

interface Found {
  path: string;
  entry: Entry;
}

export class Share {
  readonly transfers = new TransferList();

  constructor(private readonly network: Network) {
    network.onOffered = (peer, offered) => this.#offered(peer, offered);
    network.addEventListener("server", () => {
      for (const item of this.transfers.items) if (item.state === "interrupted") item.onRetry?.();
    });
  }

  /** Everything below a folder. */
  async *walk(path: string): AsyncGenerator<Found> {
    for await (const entry of this.list(path)) {
      const below = path === "" ? entry.name : `${path}/${entry.name}`;
      if (entry.size === undefined) yield* this.walk(below);
      else yield { path: below, entry };
    }
  }

  async *list(path: string): AsyncGenerator<Entry> {
    let after: string | undefined;
    for (;;) {
      const { entries, more } = await this.#server().list(path, after, false);
      yield* entries;
      after = entries.at(-1)?.name;
      if (!more || after === undefined) return;
    }
  }

  download(path: string, entry: Entry): void {
    const transfer = new Transfer("down", entry.name, entry.size ?? 0, this.network.config?.name ?? "");
    this.#run(transfer, async (signal) => {
      const sink = await openSink(entry.name, transfer.size);
      signal.cleanup(() => sink.discard());
      const hash = await this.#fetch(path, sink, signal, (stored) => transfer.progress(stored));
      return { blob: (await sink.close()) ?? undefined, hash };
    });
  }

  /** As one ZIP file. */
  downloadFolder(path: string, name: string): void {
    const transfer = new Transfer("down", `${name}.zip`, 0, this.network.config?.name ?? "");
    this.#run(transfer, async (signal) => {
      const files: Found[] = [];
      for await (const found of this.walk(path)) {
        signal.check();
        files.push(found);
      }
      transfer.size = files.reduce((sum, { entry }) => sum + (entry.size ?? 0), 0);
      const sink = await openSink(transfer.name, transfer.size);
      signal.cleanup(() => sink.discard());
      const zip = new ZipWriter(sink);
      let before = 0;
      for (const found of files) {
        const inside = path === "" ? found.path : found.path.slice(path.length + 1);
        await zip.begin(Transfers.sanitise(`${name}/${inside}`), found.entry.modified);
        await this.#fetch(found.path, zip, signal, (stored) => transfer.progress(before + stored));
        await zip.end();
        before += found.entry.size ?? 0;
        transfer.progress(before);
      }
      return { blob: (await zip.close()) ?? undefined, hash: "" };
    });
  }

  /** Into a folder of the server. */
  upload(folder: string, uploads: Upload[]): void {
    const target = () => this.#server();
    const peer = this.network.config?.name ?? "";
    this.#eachJob(uploads, (name, job) => this.#send(name, job, peer, target, folder === "" ? "" : `${folder}/`));
  }

  /** To another page, or whoever takes files. */
  sendTo(uuid: string, peer: string, uploads: Upload[]): void {
    let connected: Peer | undefined;
    const target = () => {
      if (!connected || connected.closed) throw new Refused("gone", `${peer} is not there any more`);
      return connected;
    };
    this.#eachJob(uploads, (name, job) => {
      const transfer = this.#send(name, job, peer, target, "", async () => {
        connected = await this.network.connect(uuid);
      });
      transfer.detail = `waiting for ${peer}`;
    });
  }

  /** Files one by one, a folder as a whole. */
  #eachJob(uploads: Upload[], start: (name: string, job: Upload[]) => void): void {
    const jobs = new Map<string, Upload[]>();
    for (const upload of uploads) {
      const slash = upload.path.indexOf("/");
      const name = slash < 0 ? upload.path : upload.path.slice(0, slash + 1);
      const job = jobs.get(name);
      if (job && slash >= 0) job.push(upload);
      else jobs.set(job ? `${name}\0${jobs.size}` : name, [upload]);
    }
    for (const [name, job] of jobs) start(name.split("\0")[0]!, job);
  }

  #send(
    name: string,
    uploads: Upload[],
    peer: string,
    target: () => Peer,
    prefix: string,
    connect?: () => Promise<void>,
  ): Transfer {
    const size = uploads.reduce((sum, { file }) => sum + file.size, 0);
    const transfer = new Transfer("up", name, size, peer);
    const left = new Set(uploads);
    this.#run(transfer, async (signal) => {
      await connect?.();
      const stored = new Map<Upload, number>();
      const finished = size - [...left].reduce((sum, { file }) => sum + file.size, 0);
      const progress = () => transfer.progress([...stored.values()].reduce((sum, n) => sum + n, finished));
      const refused: string[] = [];
      let hash = "";
      const queue = [...left];
      const worker = async () => {
        for (let upload = queue.shift(); upload; upload = queue.shift()) {
          const current = upload;
          try {
            hash = await sendFile(target(), current, prefix, signal, (bytes) => {
              stored.set(current, bytes);
              progress();
            });
            left.delete(current);
          } catch (error) {
            if (!(error instanceof Refused) || ["lost", "cancelled"].includes(error.code)) throw error;
            refused.push(error.message);
          }
        }
      };
      await Promise.all(Array.from({ length: AT_ONCE }, worker));
      if (refused.length > 0) {
        const which = uploads.length === 1 ? "" : `${plural(refused.length, "file")} of ${uploads.length}: `;
        throw new Refused("refused", which + refused[0]);
      }
      return { blob: undefined, hash: uploads.length === 1 ? hash : "" };
    });
    return transfer;
  }

  /** Someone offers a file: a person decides. */
  #offered(peer: Peer, offered: Offered): void {
    const transfer = new Transfer("down", offered.name.split("/").at(-1)!, offered.size, peer.name);
    transfer.set("asking");
    transfer.onCancel = () => {
      offered.refuse("declined");
      transfer.set("cancelled", "declined");
    };
    offered.onStopped = (reason) => transfer.set("failed", reason);
    transfer.onAccept = () => {
      this.#run(transfer, async (signal) => {
        const sink = await openSink(transfer.name, transfer.size);
        signal.cleanup(() => sink.discard());
        const hash = await new Promise<string>((resolve, reject) => {
          const incoming = receive(sink, transfer, resolve, reject);
          signal.onAbort(() => peer.stopIncoming(incoming, "cancelled by the receiver"));
          offered.accept(incoming);
        });
        return { blob: (await sink.close()) ?? undefined, hash };
      });
      transfer.onRetry = undefined; // it is the other side that offers
    };
    this.transfers.add(transfer);
  }

  #fetch(path: string, sink: Pick<Sink, "write">, signal: Signal, progress: (stored: number) => void): Promise<string> {
    const server = this.#server();
    return new Promise<string>((resolve, reject) => {
      signal.check();
      const off = signal.onAbort(() => {
        server.stopIncoming(incoming, "cancelled by the receiver");
        reject(new Refused("cancelled", "cancelled"));
      });
      const settle = <T>(then: (value: T) => void) => (value: T) => (off(), then(value));
      const incoming = receive(sink, { progress }, settle(resolve), settle(reject));
      server.get(path, incoming).then((stop) => signal.aborted && stop(), settle(reject));
    });
  }

  /** Carries a transfer through its states, again if it is told so. */
  #run(transfer: Transfer, work: (signal: Signal) => Promise<{ blob: Blob | undefined; hash: string }>): void {
    const attempt = async () => {
      const signal = new Signal();
      transfer.onCancel = () => {
        transfer.set("cancelled");
        signal.abort();
      };
      try {
        const { blob, hash } = await work(signal);
        signal.check();
        transfer.result = blob;
        transfer.onDismiss = () => signal.clean();
        transfer.finish(hash);
        if (blob) save(blob, transfer.name);
      } catch (error) {
        signal.clean();
        if (error instanceof DOMException && error.name === "AbortError") transfer.set("cancelled"); // no place was chosen
        else if (error instanceof Refused && error.code === "lost") transfer.set("interrupted", "waiting for the connection");
        else transfer.set("failed", error instanceof Error ? error.message : String(error));
      }
    };
    transfer.onRetry = () => {
      transfer.restart();
      void attempt();
    };
    if (!this.transfers.items.includes(transfer)) this.transfers.add(transfer);
    transfer.set("waiting");
    void attempt();
  }

  #server(): Peer {
    const { server } = this.network;
    if (!server || server.closed) throw new Refused("lost", "not connected");
    return server;
  }
}

/** Whether a transfer is still wanted, and what to clear away if not. */
class Signal {
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

function receive(
  sink: Pick<Sink, "write">,
  transfer: { progress(stored: number): void },
  resolve: (hash: string) => void,
  reject: (error: Error) => void,
): Incoming {
  return {
    sink,
    progress: (stored) => transfer.progress(stored),
    complete: async (hash) => resolve(hash),
    stopped: (code, reason) => reject(new Refused(code, reason)),
  };
}

function sendFile(
  peer: Peer,
  { file, path }: Upload,
  prefix: string,
  signal: Signal,
  progress: (stored: number) => void,
): Promise<string> {
  return new Promise((resolve, reject) => {
    signal.check();
    const settle = <T>(then: (value: T) => void) => (value: T) => (off(), then(value));
    const cancel = peer.send({
      file,
      name: prefix + path,
      modified: file.lastModified,
      progress,
      done: settle(resolve),
      stopped: (code, reason) => settle(reject)(new Refused(code, reason)),
    });
    const off = signal.onAbort(cancel);
  });
}

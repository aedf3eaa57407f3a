// What people do here: download, upload, send to another page, take what is offered.

import { archive, contents, type Source } from "./archive";
import type { Entry, Participant } from "./catalog";
import { errorText, isolated } from "./dom";
import { ended, notAll, type Refusal } from "./ending";
import { plural } from "./format";
import type { Network } from "./network";
import { type Incoming, type Offered, type Peer, Refused } from "./peer";
import { Signal } from "./signal";
import { openSink, save, type Sink } from "./sinks";
import { type Remark, Transfer, TransferList } from "./transfer";
import type { Upload } from "./upload";
import { label } from "./visitors";

/** Files of one job that are on their way at a time. */
const AT_ONCE = 4;

/** What a transfer came to. */
interface Outcome {
  blob?: Blob | undefined;
  /** BLAKE3, where it is one file. */
  hash?: string;
  /** What is to be said besides. */
  note?: string;
  /** What is to be said of some of its files. */
  remarks?: Remark[];
}

export class Jobs {
  readonly transfers = new TransferList();

  constructor(private readonly network: Network) {
    network.onOffered = (peer, offered) => this.#offered(peer, offered);
    network.addEventListener("server", () => {
      for (const item of this.transfers.items) if (item.state === "interrupted") item.onRetry?.();
    });
  }

  /** What is in a folder, in order of names. With `quiet`, changes of it are not told. */
  async *list(path: string, quiet = false): AsyncGenerator<Entry> {
    let after: string | undefined;
    for (;;) {
      const { entries, more } = await this.#server().list(path, after, quiet);
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
      transfer.via = this.#server().connection;
      const hash = await this.#fetch(path, sink, signal, (stored) => transfer.progress(stored));
      return { blob: (await sink.close()) ?? undefined, hash };
    });
  }

  /** As one ZIP file. */
  downloadFolder(path: string, name: string): void {
    const transfer = new Transfer("down", `${name}.zip`, 0, this.network.config?.name ?? "");
    this.#run(transfer, async (signal) => {
      const source: Source = {
        list: (path) => this.list(path, true),
        fetch: (path, sink) => this.#fetch(path, sink, signal, () => {}),
        check: () => signal.check(),
        progress: (stored) => transfer.progress(stored),
      };
      transfer.via = this.#server().connection;
      const all = await contents(source, path);
      transfer.size = all.files.reduce((sum, { entry }) => sum + (entry.size ?? 0), 0);
      const sink = await openSink(transfer.name, transfer.size);
      signal.cleanup(() => sink.discard());
      const { blob, files, leftOut } = await archive(source, path, name, all, sink);
      const missing = leftOut.length === 0 ? "" : ` · ${leftOut.length} left out`;
      return { blob, note: `${plural(files, "file")}, checksums verified${missing}`, remarks: leftOut };
    });
  }

  /** Into a folder of the server. */
  upload(folder: string, uploads: Upload[]): void {
    const target = () => this.#server();
    const peer = this.network.config?.name ?? "";
    this.#eachJob(uploads, (name, job) => this.#send(name, job, peer, target, folder === "" ? "" : `${folder}/`));
  }

  /** To another page, or whoever takes files. */
  sendTo(visitor: Participant, uploads: Upload[]): void {
    const who = label(visitor.uuid, visitor.name, this.network.everyone);
    const before = new Set(this.network.everyone.map(({ uuid }) => uuid));
    let connected: Peer | undefined;
    const target = () => {
      if (!connected || connected.closed) throw new Refused("lost", "the connection ended");
      return connected;
    };
    this.#eachJob(uploads, (name, job) => {
      this.#send(name, job, who, target, "", async (transfer) => {
        const uuid = this.#whereIs(visitor, before);
        if (uuid === undefined) throw new Refused("gone", `${isolated(who)} is not there any more`);
        transfer.set("waiting", `Waiting for ${isolated(who)}`);
        connected = await this.network.connect(uuid).catch((error: unknown) => {
          throw new Refused("gone", `${isolated(who)} cannot be reached: ${errorText(error)}`);
        });
      });
    });
  }

  /** A page that was closed and opened again is another visitor of the same name, who was not there `before`. */
  #whereIs({ uuid, name, role }: Participant, before: Set<string>): string | undefined {
    if (this.network.isThere(uuid)) return uuid;
    const back = this.network.participants.filter((other) => other.name === name && other.role === role && !before.has(other.uuid));
    return back.length === 1 ? back[0]!.uuid : undefined;
  }

  /** Files one by one, a folder as a whole. */
  #eachJob(uploads: Upload[], start: (name: string, job: Upload[]) => void): void {
    const jobs = new Map<string, Upload[]>();
    for (const upload of uploads) {
      const [top = "", below] = upload.path.split("/", 2);
      const isFolder = below !== undefined || upload.kind === "folder";
      const name = isFolder ? `${top}/` : top;
      const job = jobs.get(name);
      if (job && isFolder) job.push(upload);
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
    connect?: (transfer: Transfer) => Promise<void>,
  ): void {
    const sizeOf = (some: Iterable<Upload>) => [...some].reduce((sum, upload) => sum + (upload.file?.size ?? 0), 0);
    const size = sizeOf(uploads);
    const transfer = new Transfer("up", name, size, peer);
    const left = new Set(uploads);
    const remarks: Remark[] = [];
    const work = async (signal: Signal): Promise<Outcome> => {
      await connect?.(transfer);
      const stored = new Map<Upload, number>();
      const finished = size - sizeOf(left);
      const progress = () => transfer.progress([...stored.values()].reduce((sum, n) => sum + n, finished));
      const refused: Refusal[] = [];
      let sent: Sent | undefined;
      const queue = [...left];
      const worker = async () => {
        for (let upload = queue.shift(); upload; upload = queue.shift()) {
          const current = upload;
          try {
            if (current.kind === "unreadable") throw new Refused("failed", current.reason);
            const to = target();
            transfer.via = to.connection;
            sent = await sendFile(to, current, prefix, signal, (bytes) => {
              stored.set(current, bytes);
              progress();
            });
            left.delete(current);
            const { path } = current;
            if (sent.name !== undefined && sent.name !== path) remarks.push({ path, reason: `stored as ${isolated(sent.name)}` });
          } catch (error) {
            if (!(error instanceof Refused) || ["lost", "cancelled"].includes(error.code)) throw error;
            refused.push({ path: current.path, code: error.code, reason: error.message });
          }
        }
      };
      await Promise.all(Array.from({ length: AT_ONCE }, worker));
      if (refused.length > 0) throw notAll(refused, uploads.length, remarks);
      if (uploads.length === 1) return { hash: sent?.hash ?? "", note: remarks[0]?.reason ?? "" };
      const renamed = remarks.length === 0 ? "" : ` · ${remarks.length} under other names`;
      const files = uploads.filter((upload) => upload.kind === "file").length;
      return { note: `${plural(files, "file")}, checksums verified${renamed}`, remarks };
    };
    this.#run(transfer, work, connect !== undefined);
  }

  /** Someone offers a file: a person decides. */
  #offered(peer: Peer, offered: Offered): void {
    const who = label(peer.uuid, peer.name, this.network.everyone);
    const transfer = new Transfer("down", offered.name.split("/").at(-1)!, offered.size, who);
    transfer.set("asking");
    transfer.onCancel = () => {
      transfer.set("declined", "Declined");
      offered.refuse("declined");
    };
    offered.onStopped = (code, reason) => ended(transfer, new Refused(code, reason), true);
    transfer.onAccept = () => {
      const work = async (signal: Signal): Promise<Outcome> => {
        const sink = await openSink(transfer.name, transfer.size);
        signal.cleanup(() => sink.discard());
        const hash = await new Promise<string>((resolve, reject) => {
          const incoming = receive(sink, transfer, resolve, reject);
          signal.onAbort(() => peer.stopIncoming(incoming, "cancelled by the receiver"));
          transfer.via = peer.connection;
          offered.accept(incoming);
        });
        return { blob: (await sink.close()) ?? undefined, hash };
      };
      this.#run(transfer, work, true);
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

  /** Carries a transfer through its states, again if it is told so. `visitor`: with one, who may not come back. */
  #run(transfer: Transfer, work: (signal: Signal) => Promise<Outcome>, visitor = false): void {
    const attempt = async () => {
      const signal = new Signal();
      transfer.onCancel = () => {
        transfer.set("cancelled", "Cancelled");
        signal.abort();
      };
      try {
        const { blob, hash, note, remarks } = await work(signal);
        signal.check();
        transfer.result = blob;
        transfer.onDismiss = () => signal.clean();
        transfer.finish(hash ?? "", note ?? "", remarks ?? []);
        if (blob) save(blob, transfer.name);
      } catch (error) {
        signal.clean();
        ended(transfer, error, visitor);
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

/** What the receiver says at the end. */
interface Sent {
  hash: string;
  /** The path it has there, where it tells. */
  name: string | undefined;
}

function sendFile(
  peer: Peer,
  { file, path }: Exclude<Upload, { kind: "unreadable" }>,
  prefix: string,
  signal: Signal,
  progress: (stored: number) => void,
): Promise<Sent> {
  return new Promise((resolve, reject) => {
    signal.check();
    const settle = <T>(then: (value: T) => void) => (value: T) => (off(), then(value));
    const cancel = peer.send({
      file,
      name: prefix + path,
      modified: file?.lastModified,
      progress,
      done: (hash, name) => settle(resolve)({ hash, name: name?.startsWith(prefix) ? name.slice(prefix.length) : name }),
      stopped: (code, reason) => settle(reject)(new Refused(code, reason)),
    });
    const off = signal.onAbort(cancel);
  });
}

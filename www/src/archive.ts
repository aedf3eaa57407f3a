// A folder as one ZIP file: everything below it, and a list of what cannot be had.

import { Transfers } from "crosspeer/transfer";
import type { Entry } from "./catalog";
import { Refused } from "./peer";
import type { Sink } from "./sinks";
import type { Remark } from "./transfer";
import { ZipWriter } from "./zip";

/** Files and folders that are asked for at a time: each takes several round trips, whatever its size. */
const AT_ONCE = 48;
/** Bytes of a file that is held in memory until it is whole. Larger ones go straight into the archive, one by one. */
const SMALL = 256 << 10;
/** Names of what is left out that are kept; more are counted. */
const MAX_NAMED = 1000;

/** Where the files come from. */
export interface Source {
  list(path: string): AsyncIterable<Entry>;
  /** The checksum is right when this ends. */
  fetch(path: string, sink: Pick<Sink, "write">): Promise<unknown>;
  /** Throws where it is not wanted any more. */
  check(): void;
  progress(stored: number): void;
}

/** What is below a folder; paths begin there. */
export interface Contents {
  files: { path: string; entry: Entry }[];
  /** Folders with nothing in them; others come with their files. */
  empty: { path: string; entry: Entry }[];
  /** Not to be had, and why. */
  leftOut: Remark[];
}

/** What may happen to one file without an end of the whole. */
function concernsOne(error: unknown): error is Refused {
  return error instanceof Refused && !["lost", "cancelled", "timeout"].includes(error.code);
}

/** Runs the work for each item, several at a time. Work may add items. */
async function each<T>(items: T[], work: (item: T) => Promise<void>): Promise<void> {
  let failed = false;
  const running = new Set<Promise<void>>();
  const start = (item: T) => {
    const job: Promise<void> = work(item).finally(() => running.delete(job));
    job.catch(() => (failed = true));
    running.add(job);
  };
  for (let at = 0; !failed && (at < items.length || running.size > 0); ) {
    while (at < items.length && running.size < AT_ONCE) start(items[at++]!);
    await Promise.race(running);
  }
  await Promise.all(running);
}

/** Lists everything below a folder. */
export async function contents(source: Source, folder: string): Promise<Contents> {
  const found: Contents = { files: [], empty: [], leftOut: [] };
  const folders: { path: string; entry: Entry | undefined }[] = [{ path: "", entry: undefined }];
  await each(folders, async ({ path, entry: own }) => {
    let count = 0;
    try {
      for await (const entry of source.list(join(folder, path))) {
        source.check();
        count += 1;
        const below = join(path, entry.name);
        if (entry.omitted !== undefined) found.leftOut.push({ path: below, reason: entry.omitted });
        else if (entry.size === undefined) folders.push({ path: below, entry });
        else found.files.push({ path: below, entry });
      }
      if (count === 0 && own) found.empty.push({ path, entry: own });
    } catch (error) {
      if (path === "" || !concernsOne(error)) throw error;
      found.leftOut.push({ path: `${path}/`, reason: error.message });
    }
  });
  return found;
}

export interface Archived {
  blob: Blob | undefined;
  files: number;
  leftOut: Remark[];
}

/** Writes an archive, in which all is below `name`. */
export async function archive(source: Source, folder: string, name: string, all: Contents, sink: Sink): Promise<Archived> {
  const zip = new ZipWriter(sink);
  const names = new Names(name);
  const leftOut = [...all.leftOut];
  const take = <T extends { path: string }>(item: T): (T & { inside: string })[] => {
    const inside = names.take(item.path);
    if (inside === undefined) leftOut.push({ path: item.path, reason: "its path is too long for an archive" });
    return inside === undefined ? [] : [{ ...item, inside }];
  };
  const files = all.files.flatMap(take);
  for (const { inside, entry } of all.empty.flatMap(take)) await zip.folder(inside, entry.modified);
  const writer = new Writer(zip, source);
  await each(files, async ({ path, entry, inside }) => {
    source.check();
    try {
      await writer.add(join(folder, path), inside, entry);
    } catch (error) {
      if (writer.broken) throw writer.broken.error;
      if (!concernsOne(error)) throw error;
      leftOut.push({ path, reason: error.message });
    }
  });
  const count = zip.count - all.empty.length;
  if (files.length > 0 && count === 0) {
    throw new Refused("failed", `nothing of it can be had, ${leftOut[0]!.path}: ${leftOut[0]!.reason}`);
  }
  if (leftOut.length > 0) await zip.file(names.take("Left out.txt")!, undefined, list(leftOut));
  return { blob: (await zip.close()) ?? undefined, files: count, leftOut };
}

/** Puts one file after the other into the archive, while many are on their way. */
class Writer {
  /** The archive itself cannot be written. */
  broken: { error: unknown } | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  #stored = 0;

  constructor(
    private readonly zip: ZipWriter,
    private readonly source: Source,
  ) {}

  async add(path: string, inside: string, entry: Entry): Promise<void> {
    const size = entry.size ?? 0;
    const whole = size <= SMALL ? await this.#whole(path) : undefined;
    if (whole) await this.#alone(() => this.#written(() => this.zip.file(inside, entry.modified, whole)));
    else await this.#alone(() => this.#stream(path, inside, entry));
    this.#stored += size;
    this.source.progress(this.#stored);
  }

  /** Nothing where it has grown since it was listed. */
  async #whole(path: string): Promise<Uint8Array<ArrayBuffer>[] | undefined> {
    const parts: Uint8Array<ArrayBuffer>[] = [];
    let [size, grown] = [0, false];
    const write = async (data: Uint8Array<ArrayBuffer>) => {
      size += data.length;
      grown = size > 2 * SMALL;
      if (grown) throw new Error("it has grown");
      parts.push(data);
    };
    try {
      await this.source.fetch(path, { write });
      return parts;
    } catch (error) {
      if (grown) return undefined;
      throw error;
    }
  }

  async #stream(path: string, inside: string, entry: Entry): Promise<void> {
    await this.#written(() => this.zip.begin(inside, entry.modified));
    let stored = 0;
    const write = async (data: Uint8Array<ArrayBuffer>) => {
      await this.#written(() => this.zip.write(data));
      stored += data.length;
      this.source.progress(this.#stored + stored);
    };
    try {
      await this.source.fetch(path, { write });
    } catch (error) {
      this.zip.abandon();
      throw error;
    }
    await this.#written(() => this.zip.end());
  }

  async #written(write: () => Promise<void>): Promise<void> {
    try {
      await write();
    } catch (error) {
      this.broken ??= { error };
      throw error;
    }
  }

  #alone(work: () => Promise<void>): Promise<void> {
    const turn = this.#turn.then(() => {
      if (this.broken) throw this.broken.error;
      return work();
    });
    this.#turn = turn.catch(() => {});
    return turn;
  }
}

/** Names that any system can store, each once. */
class Names {
  #taken = new Set<string>();

  constructor(private readonly top: string) {}

  /** Nothing where no system could. */
  take(path: string): string | undefined {
    try {
      const name = Transfers.sanitise([this.top, ...path.split("/")].map(harmless).join("/"));
      let free = name;
      for (let number = 1; this.#taken.has(free); number++) free = numbered(name, number);
      this.#taken.add(free);
      return free;
    } catch {
      return undefined;
    }
  }
}

/** A part of a path that leads nowhere else, on any system. */
function harmless(part: string): string {
  const plain = part.replace(/[\\:]/g, "_");
  return /^\s*\.\.?\s*$/.test(plain) ? `_${plain}` : plain;
}

function numbered(name: string, number: number): string {
  const [, stem, extension] = /^(.*[^/].*?)(\.[^./]{1,31})?$/.exec(name)!;
  return `${stem} (${number})${extension ?? ""}`;
}

function list(leftOut: Remark[]): Uint8Array<ArrayBuffer>[] {
  const named = leftOut.slice(0, MAX_NAMED).map(({ path, reason }) => `${path}\t${reason}`);
  const more = leftOut.length - named.length;
  if (more > 0) named.push(`and ${more} more`);
  return [new TextEncoder().encode(["Not in this archive, and why:", "", ...named, ""].join("\r\n"))];
}

function join(folder: string, name: string): string {
  return folder === "" || name === "" ? folder + name : `${folder}/${name}`;
}

// Where downloads go while they arrive: onto the browser's disk, never into memory. The origin's private file system
// where the page may have one (https and localhost), otherwise IndexedDB, which keeps blobs in files too.

export interface Sink {
  write(data: Uint8Array<ArrayBuffer>): Promise<void>;
  /** The whole, on disk; nothing where it is in its place already. */
  close(): Promise<Blob | void>;
  /** Removes it. */
  discard(): Promise<void>;
}

/** Bytes that are gathered for one write. */
const BLOCK = 4 << 20;

/** For a file of this size. Where the browser gives too little room (a private window), a person chooses a place. */
export async function openSink(name: string, size: number): Promise<Sink> {
  const folder = await privateFolder();
  if (folder && !(await hasRoom(size)) && "showSaveFilePicker" in window) return pickedSink(name);
  if (folder) {
    const own = unique();
    const handle = await folder.getFileHandle(own, { create: true });
    return new FileSink(folder, own, handle, await handle.createWritable());
  }
  return new BlobSink(await database());
}

async function hasRoom(size: number): Promise<boolean> {
  const { quota = Infinity, usage = 0 } = await navigator.storage.estimate();
  return size < quota - usage;
}

/** Straight to where it shall be; nothing is left to be saved at the end. */
async function pickedSink(suggestedName: string): Promise<Sink> {
  type Picker = (options: { suggestedName: string }) => Promise<FileSystemFileHandle>;
  const picker = (window as unknown as { showSaveFilePicker: Picker }).showSaveFilePicker;
  const stream = await (await picker.call(window, { suggestedName })).createWritable();
  return {
    write: (data) => stream.write(data),
    close: async () => void (await stream.close()),
    discard: () => stream.abort().catch(() => {}), // it was closed
  };
}

/** Gives a finished download to the browser's own downloads. */
export function save(blob: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  // The browser has opened it by then; the blob itself stays.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

export function unique(): string {
  return Array.from(crypto.getRandomValues(new Uint32Array(4)), (n) => n.toString(36)).join("");
}

class FileSink implements Sink {
  constructor(
    private readonly folder: FileSystemDirectoryHandle,
    private readonly name: string,
    private readonly handle: FileSystemFileHandle,
    private readonly stream: FileSystemWritableFileStream,
  ) {}

  write(data: Uint8Array<ArrayBuffer>): Promise<void> {
    return this.stream.write(data);
  }

  async close(): Promise<Blob> {
    await this.stream.close();
    return this.handle.getFile();
  }

  async discard(): Promise<void> {
    await this.stream.abort().catch(() => {}); // it was closed
    await this.folder.removeEntry(this.name).catch(() => {});
  }
}

class BlobSink implements Sink {
  #pending: Uint8Array<ArrayBuffer>[] = [];
  #size = 0;
  #parts: Blob[] = [];
  #keys: string[] = [];

  constructor(private readonly db: IDBDatabase) {}

  async write(data: Uint8Array<ArrayBuffer>): Promise<void> {
    this.#pending.push(data);
    this.#size += data.length;
    if (this.#size >= BLOCK) await this.#flush();
  }

  async close(): Promise<Blob> {
    await this.#flush();
    return new Blob(this.#parts);
  }

  async discard(): Promise<void> {
    const store = this.db.transaction("parts", "readwrite").objectStore("parts");
    for (const key of this.#keys) store.delete(key);
    this.#parts = [];
  }

  async #flush(): Promise<void> {
    if (this.#size === 0) return;
    const blob = new Blob(this.#pending);
    this.#pending = [];
    this.#size = 0;
    const key = `${Date.now()}/${unique()}`;
    this.#keys.push(key);
    await done(this.db.transaction("parts", "readwrite").objectStore("parts").put(blob, key));
    // Read back, it is a file, and the memory is free.
    this.#parts.push(await done(this.db.transaction("parts").objectStore("parts").get(key)));
  }
}

/** This page's own; others may be open beside it. */
const SESSION = unique();
const FOLDER = "crosspeer-downloads";
/** Milliseconds. */
const LEFT_BEHIND = 12 * 3600 * 1000;

let opened: Promise<FileSystemDirectoryHandle | undefined> | undefined;

function privateFolder(): Promise<FileSystemDirectoryHandle | undefined> {
  opened ??= (async () => {
    try {
      const root = await navigator.storage.getDirectory();
      const all = await root.getDirectoryHandle(FOLDER, { create: true });
      await holdLock();
      await sweep(all);
      const own = await all.getDirectoryHandle(SESSION, { create: true });
      const probe = await own.getFileHandle("probe", { create: true });
      if (typeof probe.createWritable !== "function") return undefined;
      return own;
    } catch {
      return undefined; // no secure context, or a private window
    }
  })();
  return opened;
}

/** Held while the page lives, so that others know what is still needed. */
function holdLock(): Promise<void> {
  return new Promise((resolve, reject) => {
    navigator.locks
      .request(`${FOLDER}/${SESSION}`, () => {
        resolve();
        return new Promise(() => {});
      })
      .catch(reject);
  });
}

/** Removes what pages left behind that are closed. */
async function sweep(all: FileSystemDirectoryHandle): Promise<void> {
  const { held = [] } = await navigator.locks.query();
  const alive = new Set(held.map((lock) => lock.name));
  for await (const name of all.keys()) {
    if (!alive.has(`${FOLDER}/${name}`)) await all.removeEntry(name, { recursive: true }).catch(() => {});
  }
}

let openedDatabase: Promise<IDBDatabase> | undefined;

function database(): Promise<IDBDatabase> {
  openedDatabase ??= (async () => {
    const request = indexedDB.open("crosspeer", 1);
    request.onupgradeneeded = () => request.result.createObjectStore("parts");
    const db = await done(request);
    // Which pages are still open cannot be told here, so what they left behind stays for a while.
    const old = IDBKeyRange.upperBound(String(Date.now() - LEFT_BEHIND));
    db.transaction("parts", "readwrite").objectStore("parts").delete(old);
    return db;
  })();
  return openedDatabase;
}

function done<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error("the browser's storage failed"));
  });
}

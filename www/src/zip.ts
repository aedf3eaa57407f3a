// A folder as one file while it arrives: ZIP without compression, with ZIP64 for what is large.

import type { Sink } from "./sinks";

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  let value = n;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

const VERSION = 45; // the first with ZIP64
const UTF8 = 0x0800; // what names are
const FLAGS = UTF8 | 8; // sizes follow the data
const HUGE = 0xffffffff;
/** Bytes that are gathered for one write: a write to the browser's disk takes milliseconds, however small. */
const BLOCK = 1 << 20;

interface Item {
  folder?: boolean;
  name: Uint8Array;
  time: number;
  crc: number;
  size: number;
  offset: number;
}

export class ZipWriter {
  #items: Item[] = [];
  #offset = 0;
  #pending: Uint8Array<ArrayBuffer>[] = [];
  #size = 0;

  constructor(private readonly sink: Sink) {}

  /** An empty folder; others come with their files. */
  async folder(name: string, modified = Date.now()): Promise<void> {
    const item = { name: new TextEncoder().encode(`${name}/`), time: dosTime(modified), crc: 0, size: 0, offset: this.#offset };
    this.#items.push({ ...item, folder: true });
    const head = new Record().u32(0x04034b50).u16(VERSION).u16(UTF8).u16(0).u32(item.time).u32(0).u32(0).u32(0);
    await this.#write(head.u16(item.name.length).u16(0).bytes(item.name).done());
  }

  /** Files and folders so far. */
  get count(): number {
    return this.#items.length;
  }

  /** One that is there whole. */
  async file(name: string, modified: number | undefined, parts: Uint8Array<ArrayBuffer>[]): Promise<void> {
    await this.begin(name, modified);
    for (const part of parts) await this.write(part);
    await this.end();
  }

  async begin(name: string, modified = Date.now()): Promise<void> {
    const item = { name: new TextEncoder().encode(name), time: dosTime(modified), crc: ~0, size: 0, offset: this.#offset };
    this.#items.push(item);
    const head = new Record().u32(0x04034b50).u16(VERSION).u16(FLAGS).u16(0).u32(item.time);
    head.u32(0).u32(HUGE).u32(HUGE).u16(item.name.length).u16(20).bytes(item.name);
    await this.#write(head.u16(1).u16(16).u64(0).u64(0).done());
  }

  async write(data: Uint8Array<ArrayBuffer>): Promise<void> {
    const item = this.#items.at(-1)!;
    let crc = item.crc;
    for (let at = 0; at < data.length; at++) crc = (crc >>> 8) ^ TABLE[(crc ^ data[at]!) & 0xff]!;
    item.crc = crc;
    item.size += data.length;
    await this.#write(data);
  }

  async end(): Promise<void> {
    const item = this.#items.at(-1)!;
    item.crc = ~item.crc >>> 0;
    await this.#write(new Record().u32(0x08074b50).u32(item.crc).u64(item.size).u64(item.size).done());
  }

  /** The file that was begun does not come to its end: its bytes stay, and nothing names them. */
  abandon(): void {
    this.#items.pop();
  }

  async close(): Promise<Blob | void> {
    const start = this.#offset;
    for (const item of this.#items) await this.#write(directoryEntry(item));
    const size = this.#offset - start;
    const count = this.#items.length;
    const tail = new Record().u32(0x06064b50).u64(44).u16(VERSION).u16(VERSION).u32(0).u32(0);
    tail.u64(count).u64(count).u64(size).u64(start);
    tail.u32(0x07064b50).u32(0).u64(this.#offset).u32(1);
    const short = Math.min(count, 0xffff);
    tail.u32(0x06054b50).u16(0).u16(0).u16(short).u16(short).u32(Math.min(size, HUGE)).u32(Math.min(start, HUGE)).u16(0);
    await this.#write(tail.done());
    await this.#flush();
    return this.sink.close();
  }

  async #write(data: Uint8Array<ArrayBuffer>): Promise<void> {
    this.#offset += data.length;
    this.#pending.push(data);
    this.#size += data.length;
    if (this.#size >= BLOCK) await this.#flush();
  }

  async #flush(): Promise<void> {
    const block = new Uint8Array(this.#size);
    let at = 0;
    for (const data of this.#pending) {
      block.set(data, at);
      at += data.length;
    }
    this.#pending = [];
    this.#size = 0;
    await this.sink.write(block);
  }
}

function directoryEntry(item: Item): Uint8Array<ArrayBuffer> {
  const entry = new Record().u32(0x02014b50).u16(VERSION).u16(VERSION).u16(item.folder ? UTF8 : FLAGS).u16(0).u32(item.time);
  entry.u32(item.crc).u32(HUGE).u32(HUGE).u16(item.name.length).u16(28).u16(0).u16(0).u16(0).u32(item.folder ? 16 : 0).u32(HUGE);
  return entry.bytes(item.name).u16(1).u16(24).u64(item.size).u64(item.size).u64(item.offset).done();
}

/** Two-second steps since 1980, in local time. */
function dosTime(modified: number): number {
  const t = new Date(Math.min(Math.max(modified, Date.UTC(1980, 0, 2)), Date.UTC(2107, 11, 30)));
  const date = ((t.getFullYear() - 1980) << 9) | ((t.getMonth() + 1) << 5) | t.getDate();
  const time = (t.getHours() << 11) | (t.getMinutes() << 5) | (t.getSeconds() >> 1);
  return ((date << 16) | time) >>> 0;
}

/** Little-endian fields. */
class Record {
  #bytes: number[] = [];

  u16(value: number): this {
    this.#bytes.push(value & 0xff, (value >>> 8) & 0xff);
    return this;
  }

  u32(value: number): this {
    return this.u16(value & 0xffff).u16(value >>> 16);
  }

  u64(value: number): this {
    return this.u32(value % 2 ** 32).u32(Math.floor(value / 2 ** 32));
  }

  bytes(value: Uint8Array): this {
    this.#bytes.push(...value);
    return this;
  }

  done(): Uint8Array<ArrayBuffer> {
    return Uint8Array.from(this.#bytes);
  }
}

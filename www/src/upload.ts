// Files that people choose or drop, folders included.

import type { Upload } from "./share";

/** What an `<input type=file>` gives. */
export function picked(files: Iterable<File>): Upload[] {
  return Array.from(files, (file) => ({ file, path: file.webkitRelativePath || file.name }));
}

/** What was dropped. Must be called before the event's handler ends. */
export async function dropped(transfer: DataTransfer): Promise<Upload[]> {
  const entries = Array.from(transfer.items, (item) => (item.kind === "file" ? item.webkitGetAsEntry() : null));
  if (entries.every((entry) => entry === null)) return picked(transfer.files);
  const uploads: Upload[] = [];
  for (const entry of entries) if (entry) await walk(entry, "", uploads);
  return uploads;
}

async function walk(entry: FileSystemEntry, folder: string, uploads: Upload[]): Promise<void> {
  const path = folder + entry.name;
  if (entry.isFile) {
    const file = await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject));
    uploads.push({ file, path });
    return;
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  for (;;) {
    // It comes in parts, the last of which is empty.
    const part = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (part.length === 0) return;
    for (const child of part) await walk(child, `${path}/`, uploads);
  }
}

// Files that people choose or drop, folders included.

/** Something to send, and where it belongs: `path` begins with the folder that was chosen, if it was one. */
export type Upload =
  | { kind: "file"; path: string; file: File }
  /** An empty one; others come with their files. */
  | { kind: "folder"; path: string; file?: undefined }
  /** What the browser does not let this page read. */
  | { kind: "unreadable"; path: string; reason: string; file?: undefined };

/** What an `<input type=file>` gives. */
export function picked(files: Iterable<File>): Upload[] {
  return Array.from(files, (file) => ({ kind: "file", path: file.webkitRelativePath || file.name, file }));
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
  try {
    if (entry.isFile) {
      const file = await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject));
      uploads.push({ kind: "file", path, file });
      return;
    }
    const children = await list(entry as FileSystemDirectoryEntry);
    if (children.length === 0) uploads.push({ kind: "folder", path });
    for (const child of children) await walk(child, `${path}/`, uploads);
  } catch (error) {
    console.warn(error);
    uploads.push({ kind: "unreadable", path, reason: "the browser cannot read it" });
  }
}

async function list(folder: FileSystemDirectoryEntry): Promise<FileSystemEntry[]> {
  const reader = folder.createReader();
  const children: FileSystemEntry[] = [];
  for (;;) {
    // It comes in parts, the last of which is empty.
    const part = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (part.length === 0) return children;
    children.push(...part);
  }
}

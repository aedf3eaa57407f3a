// Node's fetch knows no file: URLs.

import { locateBy } from "./crosspeer.js";

locateBy(async () => {
  const { readFile } = await import("node:fs/promises");
  return readFile(new URL("./crosspeer_wasm_bg.wasm", import.meta.url));
});

export * from "./index.js";

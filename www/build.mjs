// Bundles the page into dist/. `cargo xtask www` makes the package and calls this with its folder, and with that of the page.
import { build } from "esbuild";
import { cp, mkdir, readdir, rm } from "node:fs/promises";
import { join, resolve } from "node:path";

const [packageFolder = "../target/www/crosspeer", dist = "dist"] = process.argv.slice(2);

await mkdir(dist, { recursive: true });
for (const name of await readdir(dist)) {
  if (name !== ".gitignore") await rm(join(dist, name), { recursive: true });
}
await build({
  entryPoints: ["src/main.ts", "src/style.css"],
  outdir: dist,
  bundle: true,
  format: "esm",
  target: ["chrome120", "firefox120", "safari17"],
  minify: true,
  legalComments: "none",
  alias: {
    crosspeer: resolve(packageFolder, "index.js"),
    "crosspeer/transfer": resolve(packageFolder, "crosspeer_wasm.js"),
  },
});
await cp(join(packageFolder, "crosspeer_wasm_bg.wasm"), join(dist, "crosspeer_wasm_bg.wasm"));
for (const name of ["index.html", "icon.svg"]) await cp(name, join(dist, name));

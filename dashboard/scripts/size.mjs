// Prints what the first load of /chat weighs, compressed, and fails past the budget.
import { readFileSync } from "node:fs";
import { brotliCompressSync } from "node:zlib";

const BUDGET_KB = 320;
const dist = new URL("../dist/", import.meta.url);
const manifest = JSON.parse(readFileSync(new URL(".vite/manifest.json", dist), "utf8"));
const size = (file) => brotliCompressSync(readFileSync(new URL(file, dist))).length / 1000;

/** A chunk, what it imports, and their styles and pictures. */
function collect(name, files = new Set()) {
  const { file, css = [], assets = [], imports = [] } = manifest[name];
  if (files.has(file)) return files;
  for (const one of [file, ...css, ...assets]) files.add(one);
  for (const one of imports) collect(one, files);
  return files;
}

const first = new Set(["index.html", ...collect("index.html")]);
const catalogues = Object.keys(manifest).filter((name) => name.startsWith("src/copy/"));
// One language is loaded with the page: count the larger.
first.add(catalogues.map((name) => manifest[name].file).sort((a, b) => size(b) - size(a))[0]);
const all = new Set([...first, ...Object.keys(manifest).flatMap((name) => [...collect(name)])]);

let total = 0;
for (const file of all) {
  const kilobytes = size(file);
  if (first.has(file)) total += kilobytes;
  console.log(
    `${kilobytes.toFixed(1).padStart(7)} kB  ${first.has(file) ? "first load" : "on demand "}  ${file}`,
  );
}
console.log(`${total.toFixed(1).padStart(7)} kB  first load of /chat, brotli (budget ${BUDGET_KB} kB)`);
if (total > BUDGET_KB) process.exit(1);

// Bundles src/ into the Python package; with --check, compares what is committed there with a fresh build.
import { build } from "esbuild";
import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { gunzipSync, gzipSync } from "node:zlib";

const here = fileURLToPath(new URL(".", import.meta.url));
const check = process.argv.includes("--check");
const banner = "/* Built from frontend/ by `npm run build`. Apache-2.0. */";

const bundles = [["page", "src/main.js", "iife"], ["widget", "src/widget.js", "esm"], ["live", "src/live/main.js", "iife"]];
for (const [name, entry, format] of bundles) {
  const { outputFiles } = await build({
    absWorkingDir: here,
    entryPoints: { [name]: entry },
    outdir: "../hf_attn_seq2seq/explain/page",
    bundle: true,
    format,
    target: ["chrome111", "firefox113", "safari16.4"],
    minify: true,
    charset: "utf8",
    legalComments: "none",
    banner: { js: banner, css: banner },
    write: !check,
  });
  for (const file of outputFiles ?? []) {
    if ((await readFile(file.path, "utf8").catch(() => null)) !== file.text) {
      console.error(`${file.path} is not what frontend/src builds: run "npm run build" in frontend/ and commit it.`);
      process.exitCode = 1;
    }
  }
}

// What the live page carries in WebAssembly, compressed: ONNX Runtime, and the library that splits texts.
const libraries = [["runtime", "onnxruntime-web/dist/ort-wasm-simd-threaded.wasm"], ["sentences", "sentencex-wasm/sentencex_wasm_bg.wasm"]];
for (const [name, path] of libraries) {
  const library = await readFile(new URL(`node_modules/${path}`, import.meta.url));
  const kept = fileURLToPath(new URL(`../hf_attn_seq2seq/explain/page/${name}.wasm.gz`, import.meta.url));
  const before = await readFile(kept).then(gunzipSync, () => null);
  if (before?.equals(library)) continue;
  if (check) {
    console.error(`${kept} is not that of node_modules: run "npm run build" in frontend/ and commit it.`);
    process.exitCode = 1;
  } else await writeFile(kept, gzipSync(library, { level: 9 }));
}

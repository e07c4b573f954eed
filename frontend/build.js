// Bundles src/ into the Python package; with --check, compares what is committed there with a fresh build.
import { build } from "esbuild";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
const check = process.argv.includes("--check");
const banner = "/* Built from frontend/ by `npm run build`. Apache-2.0. */";

for (const [name, entry, format] of [["page", "src/main.js", "iife"], ["widget", "src/widget.js", "esm"]]) {
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

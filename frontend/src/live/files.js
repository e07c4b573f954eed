// The files that the page lives on: they lie beside it, or in it.

/** What a reader is told when something cannot be done; everything else is a mistake of the page. */
export class Refusal extends Error {}

const digest = async (bytes) =>
  Array.from(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)), (byte) => byte.toString(16).padStart(2, "0")).join("");

/**
 * Reads all of them.
 * @param {{name: string, bytes: number, sha256: string, gzip: boolean}[]} entries
 * @param {string} version of the graphs that the page runs, as they say it themselves
 * @param {(read: number, total: number, name: string) => void} progress in bytes, and the file that is read
 * @returns {Promise<Map<string, Uint8Array>>}
 */
export async function readFiles(entries, version, progress) {
  const total = entries.reduce((sum, { bytes }) => sum + bytes, 0);
  let read = 0;
  const found = new Map();
  for (const entry of entries) {
    const took = (count) => progress((read += count), total, entry.name);
    took(0);
    const inside = document.getElementById(`file ${entry.name}`);
    const bytes = inside ? decoded(inside.textContent) : await fetched(entry, took);
    if (inside) {
      took(bytes.length);
      await new Promise((done) => setTimeout(done)); // to show it
    }
    const wrong = await difference(bytes, entry);
    if (wrong && entry.name.endsWith(".onnx")) refuseOtherVersion(entry.name, bytes, version);
    if (wrong) throw new Refusal(`“${entry.name}” is not the file that this page was made with (${wrong}): make the page again.`);
    found.set(entry.name, entry.gzip ? await unzipped(bytes) : bytes);
  }
  return found;
}

/** Refuses a graph that was written for another version of the page; older ones than the third do not say theirs. */
function refuseOtherVersion(name, bytes, version) {
  const text = new TextDecoder("latin1").decode(bytes);
  const kind = version.replace(/\d+$/, "");
  const at = text.indexOf(kind);
  const number = at < 0 ? null : parseInt(text.slice(at + kind.length), 10);
  const found = number === null ? "a version below 3" : `version ${number}`;
  if (!text.includes("hf_attn_seq2seq") || kind + number === version) return;
  throw new Refusal(`“${name}” is of another version of this package (${found}; this page runs ${version.slice(kind.lastIndexOf("version"))}): make the page again.`);
}

/** How a file differs from the one that the page was made with; a page without a secure connection knows no checksums. */
async function difference(bytes, entry) {
  if (bytes.length !== entry.bytes) return `${bytes.length.toLocaleString("en")} bytes, not ${entry.bytes.toLocaleString("en")}`;
  const found = globalThis.crypto?.subtle ? await digest(bytes) : entry.sha256;
  return found === entry.sha256 ? "" : `its SHA-256 begins with ${found.slice(0, 8)}, not ${entry.sha256.slice(0, 8)}`;
}

/** The bytes; none if they are damaged. */
function decoded(base64) {
  let text = "";
  try {
    text = atob(base64);
  } catch {
    return new Uint8Array();
  }
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) bytes[at] = text.charCodeAt(at);
  return bytes;
}

async function fetched({ name, bytes }, took) {
  if (location.protocol === "file:") {
    throw new Refusal("A browser reads no files beside a page that was opened by a double click: put the folder on a web server, or make the page with --single-file.");
  }
  const answer = await fetch(name).catch(() => null);
  if (!answer?.ok) throw new Refusal(`“${name}” is missing beside this page: put it back, or make the page again.`);
  const parts = [];
  let size = 0;
  for (const reader = answer.body.getReader(); ;) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    size += value.length;
    if (size <= bytes) took(value.length);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

async function unzipped(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

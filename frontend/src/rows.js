// Rows of the model's matrices, by which one number of each of its parts is worked out, by the rules of
// hf_attn_seq2seq/explain/worked.py. Traces of earlier versions have none.
import { compile } from "./expression.js";
import { dot } from "./math.js";

export const TRANSITION = "decoder.transition"; // the cell behind the attention, where that asks between two

/**
 * @typedef {{row: ArrayLike<number>, input: ArrayLike<number>, bias: number, total: number}} Product what a row makes of what it reads
 * @typedef {{at: number, products: Product[], formula: string, made: number, recorded: number}} Worked `at` is the place of the number, from 0
 */

/** @returns {Product} */
const product = (row, input, bias) => ({ row, input, bias, total: dot(row, input) + bias });

/** The numbers of several vectors, one behind the other; null where one is missing. */
function joined(vectors) {
  if (vectors.some((vector) => !vector)) return null;
  const found = new Float32Array(vectors.reduce((size, vector) => size + vector.length, 0));
  let at = 0;
  for (const vector of vectors) {
    found.set(vector, at);
    at += vector.length;
  }
  return found;
}

/** What the first layer of a recurrent decoder reads, part by part. */
export function firstInputs(run, step) {
  const { query, input_feeding: feeding } = run.document.decoder;
  const fed = feeding && (step ? run.row("output.hidden", step - 1) : new Float32Array(run.array("output.hidden")?.shape[1] ?? 0));
  return [
    ["E y", run.row("decoder.embeddings", step)],
    ...(query === "previous" ? [["c", run.row("attention.0.context", step)]] : []),
    ...(feeding ? [["r", fed]] : []),
  ];
}

/** What a cell reads at a step, as wide as its rows: a pyramid joins two states, an odd last one beside 0. */
function inputOf(run, place, index, width) {
  const [side, , layer, part] = place.split(".");
  if (place === TRANSITION) return run.row("attention.0.context", index);
  if (side === "decoder") return part || layer !== "0" ? run.row(`${place}.inputs`, index) : joined(firstInputs(run, index).map(([, vector]) => vector));
  const below = run.array(layer === "0" ? "encoder.embeddings" : `encoder.layer.${layer - 1}.states`);
  if (!below) return null;
  const [count, size] = below.shape;
  const each = Math.floor(width / size);
  return joined(Array.from({ length: each }, (_, i) => (index * each + i < count ? below.row(index * each + i) : new Float32Array(size))));
}

/** The hidden state before a step. */
function beforeOf(run, place, index) {
  if (place.startsWith("decoder")) return run.row(`${place}.hidden_before`, index);
  const hidden = run.array(`${place}.hidden`);
  const before = index + (place.endsWith("forward") ? -1 : 1);
  return before < 0 || before >= hidden.shape[0] ? new Float32Array(hidden.shape[1]) : hidden.row(before);
}

/**
 * A number of each gate of a cell that has rows.
 * @param {import("./run.js").Run} run
 * @param {string} place of the cell in the trace
 * @param {any} kind of the cell, as in the trace
 * @returns {(Worked & {gate: any})[]|null} null where the trace lacks a part
 */
export function workedGates(run, place, kind, index) {
  const [rows, biases, hiddenRows, hiddenBiases, worked] = ["input_rows", "input_bias", "hidden_rows", "hidden_bias", "worked"].map((name) => run.array(`${place}.${name}`));
  if (!rows || !biases || !worked) return null;
  const [at] = worked.data;
  const gates = kind.gates.map((gate) => [gate, run.row(`${place}.${gate.array}`, index)?.[at]]);
  const input = inputOf(run, place, index, rows.shape[1]);
  const before = hiddenRows && beforeOf(run, place, index);
  if (input?.length !== rows.shape[1] || (hiddenRows && !before) || gates.some(([, value]) => value === undefined)) return null;
  const values = Object.fromEntries(gates.map(([{ symbol }, value]) => [symbol, value]));
  return gates.filter(([{ row }]) => row).map(([gate, recorded], number) => {
    const w = product(rows.row(number), input, biases.data[number]);
    const u = hiddenRows && product(hiddenRows.row(number), before, hiddenBiases.data[number]);
    const known = { ...values, w: w.total, u: u?.total };
    return { gate, at, products: u ? [w, u] : [w], formula: gate.row, made: compile(gate.row)((symbol) => known[symbol]), recorded };
  });
}

/** A number of the decoder's initial state. @returns {Worked|null} */
export function workedStart(run) {
  const [row, bias, reads, worked, summary, state] = ["row", "bias", "reads", "worked", "summary", "state"].map((name) => run.array(`handover.${name}`)?.data);
  if (!row || !worked || !summary || !state) return null;
  const read = reads ? Float32Array.from(reads, (place) => summary[place]) : summary;
  return made(run.kinds.bridge, worked[0], [product(row, read, bias?.[0] ?? 0)], state[worked[0]]);
}

/** A number of what the output layer reads at a step; of two rows the larger sum counts. @returns {Worked|null} */
export function workedReadout(run, step) {
  const { readout } = run.kinds;
  const [rows, biases, worked] = ["rows", "bias", "worked"].map((name) => run.array(`readout.${name}`));
  const read = rows && joined(readout.reads.map((name) => run.row(name, step)));
  const hidden = run.row("output.hidden", step);
  if (!read || !hidden) return null;
  const [at] = worked.data;
  return made(readout, at, Array.from(biases.data, (bias, index) => product(rows.row(index), read, bias)), hidden[at]);
}

function made({ row }, at, products, recorded) {
  const w = Math.max(...products.map(({ total }) => total));
  return { at, products, formula: row, made: compile(row)(() => w), recorded };
}

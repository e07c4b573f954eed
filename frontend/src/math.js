// What the page recomputes, in double precision, from the numbers of the trace.
import { compile } from "./expression.js";

export const sum = (values) => {
  let total = 0;
  for (const value of values) total += value;
  return total;
};

export const dot = (a, b) => {
  let total = 0;
  for (let i = 0; i < a.length; i++) total += a[i] * b[i];
  return total;
};

export const norm = (values) => Math.sqrt(dot(values, values));

export const largest = (values) => {
  let best = 0;
  for (const value of values) best = Math.max(best, Math.abs(value));
  return best;
};

export const argmax = (values) => {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i;
  return best;
};

/** Where to begin and end showing `most` of `count` things, so that the one at `place` is among them. */
export function windowAround(place, count, most) {
  const from = Math.max(0, Math.min(place - Math.floor(most / 2), count - most));
  return [from, Math.min(from + most, count)];
}

/** Largest |a_i - b_i|. */
export const difference = (a, b) => {
  let worst = 0;
  for (let i = 0; i < a.length; i++) worst = Math.max(worst, Math.abs(a[i] - b[i]));
  return worst;
};

/** exp(z_j) / sum_k exp(z_k); `parts` are the exponentials. */
function softmax(scores) {
  const top = Math.max(...scores);
  const parts = scores.map((score) => Math.exp(score - top));
  const total = sum(parts);
  return { weights: parts.map((part) => part / total), parts, total };
}

/** Projection onto the simplex (Martins and Astudillo 2016, algorithm 1). */
function sparsemax(scores) {
  const ordered = [...scores].sort((a, b) => b - a);
  let total = 0;
  let threshold = 0;
  ordered.forEach((score, index) => {
    total += score;
    if (1 + (index + 1) * score > total) threshold = (total - 1) / (index + 1);
  });
  const parts = scores.map((score) => Math.max(score - threshold, 0));
  return { weights: parts, parts, total: 1, threshold };
}

/** 1.5-entmax by sorting (Peters et al. 2019, algorithm 2). */
function entmax15(scores) {
  const top = Math.max(...scores);
  const halves = scores.map((score) => (score - top) / 2);
  const ordered = [...halves].sort((a, b) => b - a);
  let total = 0;
  let squares = 0;
  let threshold = -1;
  ordered.forEach((score, index) => {
    const count = index + 1;
    total += score;
    squares += score * score;
    const mean = total / count;
    const root = Math.sqrt(Math.max((1 - (squares - count * mean * mean)) / count, 0));
    if (mean - root <= score) threshold = mean - root;
  });
  const parts = halves.map((score) => Math.max(score - threshold, 0) ** 2);
  return { weights: parts, parts, total: sum(parts), threshold };
}

const NORMALIZERS = { softmax, sparsemax, entmax15 };

/** @param {string} name of a normalizer @param {number[]} scores */
export const normalized = (name, scores) => (NORMALIZERS[name] ?? softmax)(scores);

/**
 * Weights from scores, as the model makes them.
 * @param {import("./run.js").Run} run
 * @returns {{scaled: number[], parts: number[], total: number, weights: number[], threshold?: number}|null} lists over
 *   the source; null where the trace has no scores, or no formula for them
 */
export function weigh(run, layer, step, head) {
  const scores = run.row(`attention.${layer}.scores`, step, head);
  if (!scores || !run.kinds.attention) return null;
  const { scaling } = run.document.attention;
  return weighed(run, layer, step, head, Array.from(scores, (score) => score * (scaling ?? 1)));
}

/** The same from scaled scores. */
export function weighed(run, layer, step, head, scaled) {
  if (run.kinds.attention.selects) return selected(run, layer, step, head, scaled);
  const allowed = run.row(`attention.${layer}.allowed`, step, head);
  const places = scaled.map((_, j) => j).filter((j) => !allowed || allowed[j] > 0.5);
  const result = normalized(run.document.attention.normalizer, places.map((j) => scaled[j]));
  const parts = scaled.map(() => 0);
  let weights = scaled.map(() => 0);
  places.forEach((j, index) => {
    parts[j] = result.parts[index];
    weights[j] = result.weights[index];
  });
  const gaussian = run.row(`attention.${layer}.gaussian`, step, head);
  if (gaussian) {
    weights = weights.map((weight, j) => weight * gaussian[j]);
    const total = sum(weights);
    weights = weights.map((weight) => weight / total);
  }
  return { scaled, parts, total: result.total, weights, threshold: result.threshold };
}

/** alpha_j = p_j q_j, q_j = (1 - p_(j-1)) q_(j-1) + alpha'_j (Raffel et al. 2017, eq. 11 to 14). */
function selected(run, layer, step, head, scaled) {
  const before = run.row(`attention.${layer}.state`, step, head);
  if (!before) return null;
  const parts = scaled.map((energy) => (run.document.attention.hard ? Number(energy > 0) : 1 / (1 + Math.exp(-energy))));
  let arrived = 0;
  const weights = parts.map((select, j) => {
    arrived = (j ? (1 - parts[j - 1]) * arrived : 0) + before[j];
    return select * arrived;
  });
  weights[weights.length - 1] += Math.max(sum(before) - sum(weights), 0);
  return { scaled, parts, total: 1, weights };
}

/** Weighted sum of the rows of a list of vectors. */
export function weightedSum(weights, rows) {
  const total = new Float64Array(rows[0].length);
  rows.forEach((row, j) => row.forEach((value, i) => (total[i] += weights[j] * value)));
  return total;
}

/**
 * The terms whose sum is the score of one cell, by the formula that the trace carries.
 * @param {import("./run.js").Run} run
 * @returns {{formula: string, columns: {name: string, label: string, role: string, says: string, values: ArrayLike<number>}[],
 *   terms: Float64Array, offset: number, total: number, recorded: number}|null} null where the trace lacks a part
 */
export function ledger(run, layer, step, head, position) {
  const kind = run.kinds.attention;
  const recorded = run.row(`attention.${layer}.scores`, step, head)?.[position];
  if (!kind || recorded === undefined) return null;
  const place = { T: step, H: head, S: position };
  const read = ({ array, axes }) => run.row(`attention.${layer}.${array}`, ...[...axes].map((axis) => place[axis]));
  const found = kind.columns.map(read);
  const offset = kind.offset ? read(kind.offset)?.[0] : 0;
  if (found.some((values) => !values) || offset === undefined) return null;
  const size = Math.max(...found.map((values) => values.length));
  const whole = found.map((values) => (values.length === size ? values : new Float64Array(size).fill(values[0])));
  const columns = kind.columns.map(({ symbol, role, says }, n) => ({
    name: symbol,
    label: found[n].length === size ? `${symbol}ᵢ` : symbol,
    role,
    says,
    values: whole[n],
  }));
  const functions = new Map();
  const formula = compile(kind.terms);
  const terms = Float64Array.from({ length: size }, (_, i) =>
    formula((symbol) => whole[kind.columns.findIndex((column) => column.symbol === symbol)][i], (name, value) => {
      if (!functions.has(name)) functions.set(name, new Float64Array(size));
      functions.get(name)[i] = value;
    }));
  for (const [name, values] of functions) columns.push({ name, label: `${name}(…)`, role: "ink", says: `${name} of what is in its brackets`, values });
  return {
    formula: `sum_i ${kind.terms}${kind.offset ? ` + ${kind.offset.symbol}` : ""}`,
    columns,
    terms,
    offset,
    total: sum(terms) + offset,
    recorded,
  };
}

const SYMBOLS = { hidden: "h", cell: "m" };

/**
 * A step of a recurrent cell, by the equations that the trace carries.
 * @param {any} kind of cell, as in the trace
 * @param {Record<string, ArrayLike<number>>} gates by name
 * @param {{hidden: ArrayLike<number>, cell?: ArrayLike<number>|null}} before
 * @param {{hidden: ArrayLike<number>, cell?: ArrayLike<number>|null}} after
 * @returns {{left: string, formula: string, values: Map<string, ArrayLike<number>>, made: Float64Array, recorded: ArrayLike<number>}[]}
 *   one for each equation; `values` are those of its symbols
 */
export function cellStep(kind, gates, before, after) {
  const values = new Map(kind.gates.map(({ array, symbol }) => [symbol, gates[array]]));
  const recorded = new Map(values);
  for (const [part, symbol] of Object.entries(SYMBOLS)) {
    if (before[part]) values.set(symbol, before[part]);
    if (after[part]) recorded.set(`${symbol}'`, after[part]);
  }
  return kind.update.map((equation) => {
    const step = equate(equation, values);
    if (!values.has(step.left)) values.set(step.left, step.made);
    return { ...step, recorded: recorded.get(step.left) };
  });
}

/** What an equation makes of the values of its symbols, vectors of one length. */
export function equate(equation, values) {
  const [left, formula] = equation.split(" = ");
  const compute = compile(formula);
  const size = values.values().next().value.length;
  const made = Float64Array.from({ length: size }, (_, i) => compute((symbol) => values.get(symbol)[i]));
  return { left, formula, values, made };
}

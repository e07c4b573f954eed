// The checks of a trace, in the browser: every number that follows from others is recomputed in double precision and
// compared, by the rules of hf_attn_seq2seq/explain/verify.py.
import { leftOut, weightsSet } from "../changed.js";
import { compile, symbolsOf } from "../expression.js";
import { cellStep, equate, normalized, sum, weighed } from "../math.js";
import { workedGates, workedReadout, workedStart } from "../rows.js";

const PARTS = ["hidden", "cell"];
const DIRECTIONS = ["forward", "backward"];
const TRANSITION = "decoder.transition"; // the cell behind the attention, where that asks between two

/** @typedef {{name: string, what: string, largest_difference: number, tolerance: number, compared: number, passed: boolean}} Check */

/** Collects comparisons; those that say the same become one check, with the largest of their bounds. */
export class Checks {
  /** @param {any} rules what Python's `told_rules` tells: sentences, and what bounds are made of */
  constructor(rules) {
    this.rules = rules;
    this.found = new Map();
  }

  /** The largest rounding error to expect, relative to the size of the numbers that a number is computed from. */
  bound(terms, wholeLayers) {
    const { eps, margin, roundings, roundings_of_layers: ofLayers } = this.rules;
    return (wholeLayers ? ofLayers : roundings) * eps + margin * eps * Math.sqrt(terms);
  }

  /**
   * @param {string} key the check's name, and after a point what tells its cases apart
   * @param {ArrayLike<number>} recomputed
   * @param {ArrayLike<number>} recorded
   * @param {{terms?: number, size?: number | ArrayLike<number>, wholeLayers?: boolean}} [options] the number of summed
   *   terms; the size of the summed numbers, if they are larger than their sum; whether whole layers lie in between
   */
  compare(key, recomputed, recorded, { terms = this.rules.formula, size = 0, wholeLayers = false } = {}) {
    let worst = recomputed.length === recorded.length ? 0 : Number.MAX_VALUE;
    for (let i = 0; i < recorded.length && worst < Number.MAX_VALUE; i++) {
      const gap = Math.abs(recomputed[i] - recorded[i]) / Math.max(1, Math.abs(recorded[i]), typeof size === "number" ? size : size[i]);
      worst = Number.isFinite(gap) ? Math.max(worst, gap) : Number.MAX_VALUE;
    }
    const before = this.found.get(key);
    this.found.set(key, {
      largest_difference: Math.max(worst, before?.largest_difference ?? 0),
      tolerance: Math.max(this.bound(terms, wholeLayers), before?.tolerance ?? 0),
      compared: recorded.length + (before?.compared ?? 0),
    });
  }

  /** @returns {Check[]} */
  finished() {
    return Array.from(this.found, ([key, check]) => ({
      name: key.split(".")[0],
      what: this.rules.said[key],
      ...check,
      passed: check.largest_difference <= check.tolerance,
    }));
  }
}

/**
 * Compares the numbers of a run, a little at a time.
 * @param {import("../run.js").Run} run
 * @param {Checks} checks
 */
export function* compareRun(run, checks) {
  yield* encoder(run, checks);
  yield* decoder(run, checks);
  for (const layer of run.layers) yield* attention(run, layer, checks);
  yield* rows(run, checks);
  pointer(run, checks);
  yield;
  yield* choices(run, checks);
  beams(run, checks);
}

const data = (run, name) => run.array(name)?.data ?? null;

/** Those of the parts of a state that are there, by `nameOf` each. */
function state(run, nameOf) {
  return Object.fromEntries(PARTS.map((part) => [part, data(run, nameOf(part))]).filter(([, values]) => values));
}

function* encoder(run, checks) {
  for (let layer = 0; layer < run.document.encoder.layers; layer++) {
    selfAttention(run, `encoder.layer.${layer}`, checks);
    yield;
    for (const direction of DIRECTIONS) {
      const here = `encoder.layer.${layer}.${direction}`;
      const hidden = run.array(`${here}.hidden`);
      if (!hidden) continue;
      const after = state(run, (part) => `${here}.${part}`);
      const width = hidden.shape[1];
      const before = Object.fromEntries(Object.entries(after).map(([part, values]) => [part, shifted(values, direction === "forward" ? width : -width)]));
      gates(run, here, run.kinds.encoder, before, after, "encoder", checks);
      yield;
    }
  }
}

/** The values so many places later, or earlier, after zeros. */
function shifted(values, by) {
  const found = new Float32Array(values.length);
  if (by > 0) found.set(values.subarray(0, values.length - by), by);
  else found.set(values.subarray(-by));
  return found;
}

/** softmax(q k / sqrt(d_k)) of the recorded products; for a decoder, over the tokens so far. */
function selfAttention(run, here, checks) {
  const [products, weights] = ["scores", "weights"].map((name) => run.array(`${here}.self_attention.${name}`));
  if (!products || !weights) return;
  const [heads, length, width] = weights.shape;
  const root = Math.sqrt(run.array(`${here}.states`).shape[1] / heads);
  const made = new Float64Array(weights.data.length);
  for (let head = 0; head < heads; head++) {
    for (let row = 0; row < length; row++) {
      const count = here.startsWith("decoder") ? row + 1 : width;
      const scores = Array.from(products.row(head, row).subarray(0, count), (product) => product / root);
      made.set(normalized("softmax", scores).weights, (head * length + row) * width);
    }
  }
  checks.compare("self_attention", made, weights.data, { terms: length });
}

function gates(run, here, kind, before, after, where, checks) {
  const found = Object.fromEntries(kind.gates.map(({ array }) => [array, data(run, `${here}.${array}`)]));
  for (const { made, recorded } of cellStep(kind, found, before, after)) checks.compare(`${where}_gates`, made, recorded);
}

/** Each row but the first against the row before it, of what was left. */
function carried(key, before, after, width, checks) {
  checks.compare(key, before.subarray(width), after.subarray(0, after.length - width));
}

function* decoder(run, checks) {
  const kind = run.kinds.decoder;
  for (let layer = 0; layer < run.document.decoder.layers; layer++) {
    const here = `decoder.layer.${layer}`;
    selfAttention(run, here, checks);
    mixer(run, `${here}.mixer`, checks);
    yield;
    const before = state(run, (part) => `${here}.${part}_before`);
    if (!Object.keys(before).length) continue;
    const after = state(run, (part) => `${here}.${part}_after`);
    gates(run, here, kind, before, after, "decoder", checks);
    const between = layer === 0 && run.array(`${TRANSITION}.hidden_before`) !== null;
    let last = after;
    if (between) {
      const middle = state(run, (part) => `${TRANSITION}.${part}_before`);
      last = state(run, (part) => `${TRANSITION}.${part}_after`);
      gates(run, TRANSITION, kind, middle, last, "decoder", checks);
      for (const part of Object.keys(middle)) checks.compare("carry.between", middle[part], after[part]);
    }
    const width = run.array(`${here}.hidden_before`).shape[1];
    for (const part of Object.keys(before)) carried("carry", before[part], last[part], width, checks);
    const handed = run.array("handover.state");
    const start = Object.fromEntries(kind.state.map((part, index) => [part, handed.row(layer, index)]));
    start.hidden ??= shown(kind, start);
    for (const [part, values] of Object.entries(start)) checks.compare("start", before[part].subarray(0, width), values);
    yield;
  }
}

const SYMBOLS = { hidden: "h'", cell: "m'" };

/** The hidden state that a state shows. */
const shown = (kind, parts) => equate(kind.update.at(-1), new Map(Object.entries(parts).map(([part, values]) => [SYMBOLS[part], values]))).made;

/** What stands in for the self-attention of a decoder layer: the recorded gates and states. */
function mixer(run, here, checks) {
  const kind = run.kinds.mixer;
  if (!kind) return;
  for (const [mean, of] of kind.means) {
    const recorded = data(run, `${here}.${mean}`);
    if (recorded) means(run.array(`${here}.${of}`), recorded, checks);
  }
  const rows = new Map(kind.rows.map(({ symbol, array }) => [symbol, data(run, `${here}.${array}`)]).filter(([, values]) => values));
  for (const equation of kind.update) {
    const [left, right] = equation.split(" = ");
    if ([left, ...symbolsOf(right)].every((symbol) => rows.has(symbol))) checks.compare("decoder_gates", equate(equation, rows).made, rows.get(left));
  }
  const before = state(run, (part) => `${here}.${part}_before`);
  if (!kind.cell || !before.hidden) return;
  const after = state(run, (part) => `${here}.${part}_after`);
  gates(run, here, kind.cell, before, after, "decoder", checks);
  const width = run.array(`${here}.hidden_before`).shape[1];
  for (const [part, values] of Object.entries(before)) {
    carried("carry", values, after[part], width, checks);
    checks.compare("start", values.subarray(0, width), new Float64Array(width));
  }
}

/** The sum of the rows so far, divided by their number. */
function means({ shape: [count, width], data: values }, recorded, checks) {
  const [made, size] = [new Float64Array(values.length), new Float64Array(values.length)];
  for (let i = 0; i < width; i++) {
    let [sum, sizes] = [0, 0];
    for (let row = 0; row < count; row++) {
      sum += values[row * width + i];
      sizes += Math.abs(values[row * width + i]);
      made[row * width + i] = sum / (row + 1);
      size[row * width + i] = sizes / (row + 1);
    }
  }
  checks.compare("mixer_mean", made, recorded, { terms: count, size });
}

function* attention(run, layer, checks) {
  const here = `attention.${layer}`;
  const kind = run.kinds.attention;
  const weights = run.array(`${here}.weights`);
  const [steps, heads, sources] = weights.shape;
  const edited = weightsSet(run.document, layer);
  const left = leftOut(run.document, layer);
  for (const [step, row] of edited) {
    checks.compare("edited", Float64Array.from({ length: heads * sources }, (_, i) => row[i % sources]), weights.row(step));
  }
  const scores = kind ? run.array(`${here}.scores`) : null;
  const score = scores && scorer(run, layer);
  for (let step = 0; step < steps; step++) {
    const row = weights.row(step);
    const totals = Float64Array.from({ length: heads }, (_, head) => row.subarray(head * sources, (head + 1) * sources).reduce((total, weight) => total + weight, 0));
    checks.compare("sums", totals, new Float64Array(heads).fill(1), { terms: sources });
    if (score) {
      const { values, terms } = score(step);
      checks.compare("scores", values, scores.row(step), { terms });
      checks.compare("scaling", Float64Array.from(scores.row(step), (score) => score * run.document.attention.scaling), run.row(`${here}.scaled`, step));
      checks.compare(`normalizer.${kind.selects ? "selection" : run.document.attention.normalizer}`, edited.has(step) ? row : weightsOf(run, layer, step), row, { terms: sources });
    }
    contexts(run, here, step, left, checks);
    yield;
  }
  attentionRows(run, here, heads, checks);
}

/** A number of each gate, of the initial state and of what the output layer reads, from rows of the matrices. */
function* rows(run, checks) {
  const { kinds, document: { encoder, decoder } } = run;
  const compare = (name, { products, made, recorded }) => {
    const sizes = products.map(({ row, input }) => sum(Float64Array.from(row, (weight, i) => Math.abs(weight * input[i]))));
    checks.compare(name, [made], [recorded], { terms: sum(products.map(({ row }) => row.length)), size: sum(sizes) });
  };
  const layers = (count, cells) => Array.from({ length: count }, (_, layer) => cells(layer)).flat();
  const cells = [
    ...layers(encoder.layers, (layer) => DIRECTIONS.map((direction) => [`encoder.layer.${layer}.${direction}`, kinds.encoder])),
    ...layers(decoder.layers, (layer) => [[`decoder.layer.${layer}`, kinds.decoder], [`decoder.layer.${layer}.mixer`, kinds.mixer?.cell]]),
    [TRANSITION, kinds.decoder],
  ];
  for (const [place, kind] of cells) {
    if (!kind || !run.array(`${place}.input_rows`)) continue;
    const [count] = run.array(`${place}.${kind.gates[0].array}`).shape;
    for (let index = 0; index < count; index++) for (const each of workedGates(run, place, kind, index) ?? []) compare(`${place.split(".")[0]}_rows`, each);
    yield;
  }
  const start = workedStart(run);
  if (start) compare("bridge_row", start);
  for (let step = 0; step < run.steps.length; step++) {
    const read = workedReadout(run, step);
    if (read) compare("readout_row", read);
  }
  yield;
}

/** A number of each query, key and joined context, from the row of the matrix that makes it. */
function attentionRows(run, here, heads, checks) {
  const array = (name) => run.array(name.includes(".") ? name : `${here}.${name}`);
  const compare = (name, row, bias, inputs, recorded) => {
    const terms = inputs.map((input) => Float64Array.from(row, (weight, i) => weight * input[i]));
    checks.compare(name, terms.map((each) => sum(each) + bias), recorded, { terms: row.length, size: terms.map((each) => sum(each.map(Math.abs))) });
  };
  const rows = (tensor) => Array.from({ length: tensor.shape[0] }, (_, index) => tensor.row(index));
  for (const [side, from, made] of [["query", array("asker"), array("query")], ["key", array("encoder.states"), array("keys")]]) {
    const matrix = array(`${side}_row`);
    if (!matrix || !from || !made) continue;
    for (let head = 0; head < heads; head++) {
      const at = array("worked").data[head];
      const recorded = rows(from).map((_, index) => (side === "query" ? made.row(index, head) : made.row(head, index))[at]);
      compare(`${side}_row`, matrix.row(head), array(`${side}_bias`)?.data[head] ?? 0, rows(from), recorded);
    }
  }
  const [joining, sums, contexts] = ["joining_row", "head_context", "context"].map(array);
  if (joining && sums && contexts) compare("joining_row", joining.data, array("joining_bias")?.data[0] ?? 0, rows(sums), rows(contexts).map((context) => context[array("joined").data[0]]));
}

/** The sums of the terms of all scores of a step, by the formula that the trace carries, and the number of terms of each. */
function scorer(run, layer) {
  const { terms, columns, offset } = run.kinds.attention;
  const [, heads, sources] = run.array(`attention.${layer}.scores`).shape;
  const formula = compile(terms);
  const read = ({ array, axes }, place) => run.array(`attention.${layer}.${array}`).row(...[...axes].map((axis) => place[axis]));
  const now = Object.fromEntries(columns.map(({ symbol }) => [symbol, 0]));
  const get = (symbol) => now[symbol];
  return (step) => {
    const values = new Float64Array(heads * sources);
    let size = 0;
    for (let head = 0; head < heads; head++) {
      for (let source = 0; source < sources; source++) {
        const place = { T: step, H: head, S: source };
        const rows = columns.map((column) => read(column, place));
        size = Math.max(...rows.map((row) => row.length));
        let sum = offset ? read(offset, place)[0] : 0;
        for (let i = 0; i < size; i++) {
          columns.forEach(({ symbol }, n) => (now[symbol] = rows[n][rows[n].length === 1 ? 0 : i]));
          sum += formula(get);
        }
        values[head * sources + source] = sum;
      }
    }
    return { values, terms: size };
  };
}

/** The weights of a step, from its recorded scaled scores. */
function weightsOf(run, layer, step) {
  const scaled = run.array(`attention.${layer}.scaled`);
  const [, heads] = scaled.shape;
  return Float64Array.from(Array.from({ length: heads }, (_, head) => weighed(run, layer, step, head, Array.from(scaled.row(step, head))).weights).flat());
}

function contexts(run, here, step, left, checks) {
  const values = run.array(`${here}.values`);
  if (!values) return;
  const [heads, sources, width] = values.shape;
  const weights = run.row(`${here}.weights`, step);
  const [sums, size] = [new Float64Array(heads * width), new Float64Array(heads * width)];
  for (let head = 0; head < heads; head++) {
    const out = left.includes(head) ? 0 : 1; // nothing of a head that was left out
    for (let source = 0; source < sources; source++) {
      const weight = weights[head * sources + source];
      const row = values.row(head, source);
      for (let i = 0; i < width; i++) {
        sums[head * width + i] += out * weight * row[i];
        size[head * width + i] += out * weight * Math.abs(row[i]);
      }
    }
  }
  checks.compare("context", sums, run.row(`${here}.head_context`, step), { terms: sources, size });
  const kind = run.kinds.attention;
  if (kind && !kind.projects) checks.compare("heads", sums, run.row(`${here}.context`, step), { terms: sources, size });
}

/** What is written and what is copied give each candidate's probability (See et al. 2017, eq. 9). */
function pointer(run, checks) {
  const [gate, weights] = ["gate", "weights"].map((name) => run.array(`pointer.${name}`));
  if (!gate || !weights) return;
  const { source, steps } = run.document;
  const last = run.array(`attention.${run.layers.at(-1)}.weights`);
  const [, heads, sources] = last.shape;
  steps.forEach((step, index) => {
    const row = weights.row(index);
    const mean = Float64Array.from({ length: sources }, (_, place) => sum(Array.from({ length: heads }, (_, head) => last.row(index, head)[place])) / heads);
    checks.compare("copy_weights", mean, row, { terms: heads });
    const share = 1 / (1 + Math.exp(-gate.data[index]));
    checks.compare("p_gen", [share], [step.pointer.p_gen]);
    for (const { id, probability, pointer: parts } of [step.choice, ...step.candidates]) {
      const copied = sum(source.tokens.map((token, place) => (token.id === id ? row[place] : 0)));
      checks.compare("copied", [copied], [parts.copied], { terms: sources });
      if (parts.logit !== null) {
        checks.compare("written", [Math.exp(parts.logit - step.pointer.logsumexp)], [parts.written], { size: Math.abs(parts.logit) });
      }
      checks.compare("mixture", [share * parts.written + (1 - share) * copied], [probability], { terms: sources });
    }
  });
}

function* choices(run, checks) {
  const { steps, start, output_ids: ids, run: settings } = run.document;
  for (const { candidates, choice, logsumexp, rest, processed } of steps) {
    const size = Math.max(...candidates.map(({ logit }) => Math.abs(logit)));
    checks.compare("probability", candidates.map(({ logit }) => logit - logsumexp), candidates.map((each) => each.log_probability), { size });
    checks.compare("mass", [sum(candidates.map(({ probability }) => probability)) + rest], [1], { terms: checks.rules.formula + candidates.length });
    if (settings.num_beams !== 1 || choice.forced) continue;
    const scores = new Map(candidates.map(({ id, logit }) => [id, logit]));
    for (const { id, after } of processed) scores.set(id, after ?? -Infinity);
    checks.compare("choice", [Math.max(...scores.values())], [scores.get(choice.id) ?? -Infinity]);
  }
  checks.compare("fed", [start, ...steps.slice(0, -1).map(({ choice }) => choice)].map(({ id }) => id), steps.map(({ fed }) => fed.id));
  const [rows, hidden, bias] = ["output.rows", "output.hidden", "output.bias"].map((name) => run.array(name));
  if (!rows) return;
  for (const [index, { candidates }] of steps.entries()) {
    const written = candidates.map((each) => ({ id: each.id, logit: (each.pointer ?? each).logit })).filter(({ logit }) => logit !== null);
    const products = written.map(({ id }) => Float64Array.from(rows.row(ids.indexOf(id)), (value, i) => value * hidden.row(index)[i]));
    const logits = products.map((product, n) => sum(product) + (bias ? bias.data[ids.indexOf(written[n].id)] : 0));
    const size = products.map((product) => sum(product.map(Math.abs)));
    checks.compare("logits", logits, written.map(({ logit }) => logit), { terms: hidden.shape[1], size });
    yield;
  }
}

function beams(run, checks) {
  const { beams: tree, run: settings, steps } = run.document;
  if (!tree) return;
  let sums = new Map([[0, 0]]);
  let best = 0;
  tree.steps.forEach(({ hypotheses }, number) => {
    for (const hypothesis of hypotheses) {
      checks.compare("beam_sums", [sums.get(hypothesis.parent) + hypothesis.log_probability], [hypothesis.sum], { terms: checks.rules.formula + number });
      if (hypothesis.best) best = hypothesis.sum;
      if (hypothesis.score !== null) checks.compare("beam_scores", [hypothesis.sum / (number + 1) ** tree.length_penalty], [hypothesis.score]);
    }
    const kept = hypotheses.filter(({ state }) => state === "kept");
    // Hypotheses that end are only accepted from the first half of those considered.
    const dropped = hypotheses.filter(({ state, id }) => state === "dropped" && !settings.end_ids.includes(id));
    if (kept.length) {
      const worst = Math.min(...kept.map((each) => each.sum));
      checks.compare("beam_kept", [Math.max(0, ...dropped.map((each) => each.sum - worst))], [0]);
    }
    sums = new Map(kept.map(({ row, sum: total }) => [row, total]));
  });
  checks.compare("beam_result", [best / steps.length ** tree.length_penalty], [settings.score]);
}

/**
 * Compares a run with its repetition, in which the model was given the tokens.
 * @param {any} document of the trace
 * @param {{logits: ArrayLike<number>}[]} steps of the repetition
 */
export function compareRepeated(document, steps, checks) {
  document.steps.forEach(({ candidates }, index) => {
    const told = candidates.map(({ logit }) => logit);
    checks.compare("repeat", candidates.map(({ id }) => steps[index]?.logits[id] ?? NaN), told, { terms: checks.rules.model_terms, wholeLayers: true });
  });
}

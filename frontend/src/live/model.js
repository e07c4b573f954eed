// The model itself: its trace graphs in ONNX Runtime, and the search around them.
import * as ort from "onnxruntime-web/wasm";
import { Tensor } from "../run.js";
import { largest } from "./numbers.js";

/** How the arrays of the steps become one, as the export found out; of all, the graphs' own names remain. */
const JOINED = {
  once: ([first]) => first,
  each: (parts) => {
    const [{ shape: [rows, ...rest], data }] = parts;
    const joined = new Float32Array(parts.length * data.length);
    parts.forEach((part, step) => joined.set(part.data, step * data.length));
    return new Tensor([rows * parts.length, ...rest], joined);
  },
  triangle: (parts) => {
    const [{ shape: [heads] }] = parts;
    const count = parts.length;
    const joined = new Float32Array(heads * count * count);
    parts.forEach((part, step) => {
      for (let head = 0; head < heads; head++) joined.set(part.row(head), (head * count + step) * count);
    });
    return new Tensor([heads, count, count], joined);
  },
};

const asTensor = ({ dims, data }) => new Tensor([...dims], data);
const integers = (values, shape) => new ort.Tensor("int64", BigInt64Array.from(values, BigInt), shape);

export class Model {
  /**
   * @param {any} about what the export wrote beside the graphs
   * @param {any} search the settings of its search
   * @param {Record<string, any>} sessions by the names of the files
   */
  constructor(about, search, sessions) {
    this.about = about;
    this.search = search;
    [this.source, this.step, this.rows] = about.graphs.map((name) => sessions[name]);
  }

  /** Opens the graphs, whose weights are files given with them. @param {(name: string) => Uint8Array} file */
  static async open(about, search, runtime, file) {
    ort.env.wasm.wasmBinary = runtime;
    ort.env.wasm.numThreads = 1;
    ort.env.logLevel = "error";
    const externalData = about.weights.map((path) => ({ path, data: file(path) }));
    const sessions = {};
    for (const name of about.graphs) {
      sessions[name] = await ort.InferenceSession.create(file(name), { externalData, executionProviders: ["wasm"] });
    }
    return new Model(about, search, sessions);
  }

  /**
   * Runs a greedy search.
   * @param {number[]} ids of the source
   * @param {number[]} forced the first tokens of the target
   * @param {{limit?: number, recorded?: boolean, turn?: () => Promise<void>}} [options] the most tokens, whether everything is
   *   kept, and what is awaited before each step
   */
  async run(ids, forced, { limit = this.search.max_new_tokens, recorded = true, turn = async () => {} } = {}) {
    const { about, search } = this;
    const mask = integers(ids.map(() => 1), [1, ids.length]);
    const source = await this.source.run({ input_ids: integers(ids, [1, ids.length]), attention_mask: mask }, recorded ? undefined : [...about.memory, ...about.state]);
    const feeds = Object.fromEntries([...about.memory, ...about.state].map((name) => [name, source[name]]));
    const after = about.state.map((name) => `next_${name}`);
    const kept = recorded ? undefined : ["logits", ...after];
    const known = new Set(this.step.inputNames);
    const steps = [];
    const tokens = [];
    for (let fed = search.decoder_start_token_id; tokens.length < limit; fed = tokens.at(-1)) {
      await turn();
      const all = { ...feeds, attention_mask: mask, decoder_input_ids: integers([fed], [1, 1]) };
      const found = await this.step.run(Object.fromEntries(Object.entries(all).filter(([name]) => known.has(name))), kept);
      about.state.forEach((name, index) => (feeds[name] = found[after[index]]));
      const logits = found.logits.data;
      const scores = processed(logits, tokens, search, limit);
      const chosen = forced[tokens.length] ?? largest(scores, 1)[0];
      tokens.push(chosen);
      steps.push({ fed, logits, scores, found });
      if (search.eos_token_id.includes(chosen)) break;
    }
    return { tokens, source, steps, limit };
  }

  /** The logits of the output layer at each step, where a pointer changes them. */
  written({ steps }) {
    return steps.map(({ found, row = 0 }) => asTensor(found[this.about.written]).row(row));
  }

  /** The arrays of a trace. @param {number[]} outputIds the tokens whose rows of the output layer are shown */
  async arrays({ source, steps }, outputIds) {
    const { about } = this;
    const arrays = Object.fromEntries(about.once.map((name) => [name, asTensor(source[name])]));
    for (const [name, how] of Object.entries(about.steps)) arrays[name] = JOINED[how](steps.map(({ found }) => asTensor(found[name])));
    const rows = await this.rows.run({ ids: integers(outputIds, [outputIds.length]) });
    for (const [name, value] of Object.entries(rows)) arrays[name] = asTensor(value);
    return arrays;
  }
}

/** What the settings make of a step's logits: tokens that they forbid or prescribe. */
function processed(logits, tokens, search, limit) {
  const forbidden = new Set(search.suppress_tokens);
  if (tokens.length === 0) search.begin_suppress_tokens.forEach((id) => forbidden.add(id));
  if (tokens.length < search.min_new_tokens) search.eos_token_id.forEach((id) => forbidden.add(id));
  const last = tokens.length + 1 === limit && search.forced_eos_token_id >= 0 ? search.forced_eos_token_id : -1;
  const only = tokens.length === 0 && search.forced_bos_token_id >= 0 ? search.forced_bos_token_id : last;
  if (only >= 0) return logits.map((_, id) => (id === only ? 0 : -Infinity));
  return forbidden.size ? logits.map((logit, id) => (forbidden.has(id) ? -Infinity : logit)) : logits;
}

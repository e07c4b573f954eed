// The model itself: its trace graphs in ONNX Runtime, and the search around them.
import * as ort from "onnxruntime-web/wasm";
import { Tensor } from "../run.js";
import { changesAt } from "./changes.js";
import { beamSearch, greedy } from "./search.js";

/** How the arrays of the steps become one, as the export found out; each part is a tensor and the row of the hypothesis in it. */
const JOINED = {
  once: ([[first]]) => first,
  each: (parts) => {
    const [[{ shape: [, ...rest] }]] = parts;
    const size = rest.reduce((product, each) => product * each, 1);
    const joined = new Float32Array(parts.length * size);
    parts.forEach(([part, row], step) => joined.set(part.row(row), step * size));
    return new Tensor([parts.length, ...rest], joined);
  },
  triangle: (parts) => {
    const [[{ shape: [, heads] }]] = parts;
    const count = parts.length;
    const joined = new Float32Array(heads * count * count);
    parts.forEach(([part, row], step) => {
      for (let head = 0; head < heads; head++) joined.set(part.row(row, head), (head * count + step) * count);
    });
    return new Tensor([heads, count, count], joined);
  },
};

const asTensor = ({ dims, data }) => new Tensor([...dims], data);
const integers = (values, shape) => new ort.Tensor("int64", BigInt64Array.from(values, BigInt), shape);

/** These rows of a tensor. */
function rowsOf({ dims: [count, ...rest], data }, rows) {
  const size = data.length / count;
  const chosen = new data.constructor(rows.length * size);
  rows.forEach((row, index) => chosen.set(data.subarray(row * size, (row + 1) * size), index * size));
  return new ort.Tensor(chosen, [rows.length, ...rest]);
}

const memories = []; // of WebAssembly, which all models share

/** Keeps the memories that WebAssembly is given meanwhile, for the runtime does not tell of its own. */
async function watchMemories(meanwhile) {
  const { Memory } = WebAssembly;
  WebAssembly.Memory = class extends Memory {
    constructor(about) {
      super(about);
      memories.push(this);
    }
  };
  await meanwhile().finally(() => (WebAssembly.Memory = Memory));
}

export class Model {
  /**
   * @param {any} about what the export wrote beside the graphs
   * @param {any} search the settings of its search
   * @param {Record<string, any>} sessions by the names of the files
   * @param {number} weights in bytes
   */
  constructor(about, search, sessions, weights) {
    this.about = about;
    this.search = search;
    this.weights = weights;
    [this.source, this.step, this.rows] = about.graphs.map((name) => sessions[name]);
  }

  /** Opens the graphs, whose weights are files given with them. @param {(name: string) => Uint8Array} file */
  static async open(about, search, runtime, file) {
    ort.env.wasm.wasmBinary = runtime;
    ort.env.wasm.numThreads = 1;
    ort.env.logLevel = "error";
    const externalData = about.weights.map((path) => ({ path, data: file(path) }));
    const sessions = {};
    await watchMemories(async () => {
      for (const name of about.graphs) {
        sessions[name] = await ort.InferenceSession.create(file(name), { externalData, executionProviders: ["wasm"] });
      }
    });
    return new Model(about, search, sessions, externalData.reduce((sum, { data }) => sum + data.length, 0));
  }

  /** Bytes that are held. */
  memory() {
    return { weights: this.weights, runtime: memories.reduce((sum, { buffer }) => sum + buffer.byteLength, 0) };
  }

  /**
   * Runs a search.
   * @param {number[]} ids of the source
   * @param {number[]} forced the first tokens of the target, for a greedy search
   * @param {{beams?: number, limit?: number, recorded?: boolean, turn?: () => Promise<void>, changes?: any[]}} [options] how many
   *   hypotheses, the most tokens, whether everything is kept, what is awaited before each step, and what is changed, as in a trace
   */
  async run(ids, forced, { beams = 1, limit = this.search.max_new_tokens, recorded = true, turn = async () => {}, changes = [] } = {}) {
    const { about, search } = this;
    const source = await this.source.run({ input_ids: integers(ids, [1, ids.length]), attention_mask: integers(ids.map(() => 1), [1, ids.length]) }, recorded ? undefined : [...about.memory, ...about.state]);
    const all = Array(beams).fill(0);
    const repeated = (name) => (beams > 1 ? rowsOf(source[name], all) : source[name]);
    const feeds = {
      attention_mask: integers(all.flatMap(() => ids.map(() => 1)), [beams, ids.length]),
      ...Object.fromEntries([...about.memory, ...about.state].map((name) => [name, repeated(name)])),
    };
    const after = about.state.map((name) => `next_${name}`);
    const kept = recorded ? undefined : ["logits", ...after];
    let found = null;
    let number = 0; // of the step
    const step = async (tokens, parents) => {
      await turn();
      if (found) about.state.forEach((name, index) => (feeds[name] = parents ? rowsOf(found[after[index]], parents) : found[after[index]]));
      const given = { ...feeds, decoder_input_ids: integers(tokens, [tokens.length, 1]), ...changesAt(about.changes, changes, number++, ids.length) };
      found = await this.step.run(Object.fromEntries(this.step.inputNames.map((name) => [name, given[name]])), kept);
      const { data } = found.logits;
      const size = data.length / tokens.length;
      return { logits: tokens.map((_, row) => data.subarray(row * size, (row + 1) * size)), found };
    };
    const result = await (beams > 1 ? beamSearch(step, search, beams, limit) : greedy(step, search, forced, limit));
    return { ...result, source, limit, count: beams };
  }

  /** The logits of the output layer at each step, where a pointer changes them. */
  written({ steps }) {
    return steps.map(({ found, row = 0 }) => asTensor(found[this.about.written]).row(row));
  }

  /** The arrays of a trace. @param {number[]} outputIds the tokens whose rows of the output layer are shown */
  async arrays({ source, steps }, outputIds) {
    const { about } = this;
    const arrays = Object.fromEntries(about.once.map((name) => [name, asTensor(source[name])]));
    for (const [name, how] of Object.entries(about.steps)) arrays[name] = JOINED[how](steps.map(({ found, row }) => [asTensor(found[name]), row]));
    const rows = await this.rows.run({ ids: integers(outputIds, [outputIds.length]) });
    for (const [name, value] of Object.entries(rows)) arrays[name] = asTensor(value);
    return arrays;
  }
}

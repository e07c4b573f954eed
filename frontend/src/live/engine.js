// From a typed text to a run that the page shows.
import { changesOf } from "../changed.js";
import { Checks, compareRepeated, compareRun } from "./checks.js";
import { Run } from "../run.js";
import { Refusal, readFiles } from "./files.js";
import { Model } from "./model.js";
import { extended, tellPointer } from "./pointer.js";
import { LIBRARY, makeSplitter, wholeText } from "./splitting.js";
import { textsOf } from "./texts.js";
import { Vocabulary } from "./tokens.js";
import { traceOf } from "./trace.js";
import { turns } from "./turns.js";

const RUNTIME = "runtime.bin";
// A module whose only function adds two vectors: browsers that refuse it cannot run the model.
const SIMD = Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11);

const idsSaid = (steps) => steps.map(({ choice }) => choice.id);

/** The changes in whose place a new one does not stand. */
function without(changes, fresh) {
  const end = ({ step, ids }) => step + ids.length;
  return changes.flatMap((change) => {
    if (change.kind !== fresh.kind) return [change];
    if (change.kind === "target") return change.step < end(fresh) && fresh.step < end(change) ? [] : [change];
    if (change.kind !== "weights" || change.step !== fresh.step) return [change];
    const layers = change.layers.filter((layer) => !fresh.layers.includes(layer));
    return layers.length ? [{ ...change, layers }] : [];
  });
}

export class Engine {
  /**
   * @param {any} settings what the export wrote into the page
   * @param {Model} model
   * @param {{source: Vocabulary, target: Vocabulary}} vocabularies
   * @param {(text: string) => import("./splitting.js").Sentence[]} sentences what the model reads of a text, piece by piece
   * @param {Engine|null} second the one of a second model, if the page has two
   */
  constructor(settings, model, vocabularies, sentences, second) {
    this.settings = settings;
    this.model = model;
    this.vocabularies = vocabularies;
    this.sentences = sentences;
    this.second = second;
    this.last = null; // the end of the newest run
  }

  /** @param {any} settings what the export wrote into the page @param {(read: number, total: number, name: string) => void} progress */
  static async load(settings, progress) {
    if (typeof WebAssembly === "undefined" || !WebAssembly.validate(SIMD)) {
      throw new Refusal("This browser lacks WebAssembly with SIMD, in which the model runs: open the page in a current browser.");
    }
    const files = await readFiles(settings.files, settings.graphs_version, progress);
    const second = settings.second ? await Engine.of(settings.second, files, null) : null;
    return Engine.of(settings, files, second);
  }

  static async of(settings, files, second) {
    const file = (name) => files.get(settings.stored[name]);
    const json = (name) => JSON.parse(new TextDecoder().decode(file(name)));
    const { source, target } = settings.vocabularies;
    const vocabulary = (about) => new Vocabulary(json(about.file), about);
    const one = vocabulary(source);
    const vocabularies = { source: one, target: target.file === source.file ? one : vocabulary(target) };
    const model = await Model.open(settings.graphs, settings.search, files.get(RUNTIME), file);
    const library = files.get(LIBRARY);
    const sentences = library ? await makeSplitter(library, settings.language) : (text) => [wholeText(text)];
    return new Engine(settings, model, vocabularies, sentences, second);
  }

  /** What the page keeps in memory, in words. */
  memory() {
    const told = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;
    const { weights, runtime } = this.model.memory();
    return `weights ${told(weights)}, WebAssembly's memory ${told(runtime)}`;
  }

  /** The tokens of a text, if the model can read it. */
  encode(text) {
    wholeText(text);
    const ids = this.vocabularies.source.encode(text);
    const { longest } = this.settings;
    if (ids.length > longest) {
      throw new Refusal(`This text has ${ids.length.toLocaleString("en")} tokens, and the model reads at most ${longest.toLocaleString("en")}: give it sentence by sentence.`);
    }
    return ids;
  }

  /** The tokens of a text as the model reads them, and the vocabularies that know its words. */
  read(text) {
    const ids = this.encode(text);
    const { pointer } = this.settings;
    const { source, target } = this.vocabularies;
    const found = pointer?.slots ? extended(pointer, source, text, ids) : { ids, words: [] };
    if (!found.words.length) return { ids, vocabularies: this.vocabularies };
    const both = [source, target].map((side) => side.withWords(found.words, pointer.first));
    return { ids: found.ids, vocabularies: { source: both[0], target: both[1] } };
  }

  /** The text that the model makes of another, without a trace. */
  async translate(text) {
    const { ids, vocabularies: { target } } = this.read(text);
    const { tokens } = await this.model.run(ids, [], { recorded: false });
    return target.decode(tokens.filter((id) => !target.special.has(id)));
  }

  /**
   * The run of a text, as `Run` takes it.
   * @param {string} text
   * @param {string} given a translation that the model is to say, or blank
   * @param {{beams?: number, wanted?: () => void}} [options] `wanted` raises where the run is not wanted any more
   */
  async trace(text, given = "", { beams = this.settings.search.num_beams, wanted = () => {} } = {}) {
    const forced = given.trim() ? this.forced(given) : [];
    return this.made(text, forced, { beams: forced.length ? 1 : beams, turn: turns(wanted), ...(forced.length ? { limit: forced.length } : {}) });
  }

  /**
   * The run in which one more thing is changed, as Python's `what_if` makes it.
   * @param {any} before the document of a run, which may have changes
   * @param {any} change as in a trace
   * @param {() => void} [wanted]
   */
  async changed(before, change, wanted = () => {}) {
    const { run, source, steps } = before;
    const changes = [...without(changesOf(before), change), change];
    const greedy = changes.some(({ step }) => step !== undefined);
    const given = new Map(changes.flatMap(({ step, ids = [] }) => ids.map((id, at) => [step + at, id])));
    // The length of a given target is not a limit of the model.
    const least = run.forced && !before.what_if ? this.settings.search.max_new_tokens : run.max_new_tokens;
    // A change of a step leaves the words before it as they were, and one of all steps leaves none.
    for (let forced = idsSaid(steps).slice(0, change.step ?? 0); ;) {
      while (given.has(forced.length) && !run.end_ids.includes(forced.at(-1))) forced.push(given.get(forced.length));
      const options = { beams: greedy ? 1 : run.num_beams, limit: Math.max(least, forced.length), changes, turn: turns(wanted) };
      const made = await this.made(source.text, forced, options);
      const later = Math.min(...[...given.keys()].filter((step) => step >= forced.length));
      if (later >= made.document.steps.length) {
        return { ...made, document: { ...made.document, what_if: changes.length > 1 ? { kind: "several", changes } : change } };
      }
      forced = idsSaid(made.document.steps).slice(0, later);
    }
  }

  /** One run after another: a graph cannot run twice at once. */
  async made(text, forced, options) {
    const before = this.last;
    let done;
    this.last = new Promise((resolve) => (done = resolve));
    await before;
    try {
      const { settings, model } = this;
      const { ids, vocabularies } = this.read(text);
      const run = await model.run(ids, forced, options);
      const document = traceOf(settings, vocabularies, text, ids, forced, run);
      const arrays = await model.arrays(run, document.output_ids);
      if (settings.pointer) tellPointer(document, arrays, model.written(run));
      return { document, arrays, ...textsOf(settings, document, arrays), name: `“${text}”`, parent: null, faithfulness: null };
    } finally {
      done();
    }
  }

  /**
   * What of a run was recomputed, and how well it agrees.
   * @param {any} made by `trace`, as it is or as the page shows it
   * @param {() => Promise<void>} [turn] awaited between the parts
   * @returns {Promise<import("./checks.js").Check[]>}
   */
  async checks(made, turn = async () => {}) {
    const run = made instanceof Run ? made : new Run(made, [], []);
    const checks = new Checks(this.settings.checks);
    for (const _ of compareRun(run, checks)) await turn();
    const { source, steps } = run.document;
    const ids = source.tokens.map(({ id }) => id);
    const repeated = await this.model.run(ids, idsSaid(steps), { limit: steps.length, recorded: false, changes: changesOf(run.document), turn });
    compareRepeated(run.document, repeated.steps, checks);
    return checks.finished();
  }

  forced(given) {
    const { target } = this.vocabularies;
    const ids = target.encode(given);
    const ends = this.settings.search.eos_token_id;
    const { most } = this.settings;
    if (ids.length >= most) throw new Refusal(`The given translation has ${ids.length.toLocaleString("en")} tokens, and this page follows at most ${most.toLocaleString("en")}: shorten it.`);
    return ends.includes(ids.at(-1)) || !ends.length ? ids : [...ids, ends[0]];
  }
}

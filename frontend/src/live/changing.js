// Runs with something changed: a word that is said at a step, other weights there, heads that are left out. The model decodes
// again, as Python's `what_if` does, and what is changed stays so until it is taken back.
import { changesOf, tellChange } from "../changed.js";
import { Run } from "../run.js";
import { Refusal } from "./files.js";
import { idsOf } from "./said.js";
import { Newest, Superseded } from "./turns.js";

const GONE = "Your changes are put back: they belonged to a text that is no longer here.";

/** What a page with the model in it can do; pages of saved traces have no such object. */
export class Changing {
  /** @param {import("./proving.js").Proving} proving */
  constructor(proving) {
    this.proving = proving;
    this.newest = new Newest();
    this.kept = new Map(); // the changes of what was changed, by what it reads
    this.note = ""; // what was put back, and why
  }

  /** Runs are shown that were not. @param {import("../app.js").App} app */
  shown(app) {
    for (const [number, run] of app.runs.entries()) if (run.parent === null) this.keep(run, app.runs.find(({ parent }) => parent === number));
    this.proving.start(app, app.runs);
  }

  /** @param {Run} base @param {Run|undefined} run */
  keep(base, run) {
    if (run) this.kept.set(keyOf(base), changesOf(run.document));
    else this.kept.delete(keyOf(base));
  }

  /** The number of the run that a run was made from, or its own. */
  baseOf(runs, number) {
    return runs[number].parent ?? number;
  }

  /** The run with everything that is changed of a run, or the run itself. @returns {Run} */
  current(runs, number) {
    const base = this.baseOf(runs, number);
    return runs.find(({ parent }) => parent === base) ?? runs[base];
  }

  /**
   * The run that says another word at a step; null where something newer was asked.
   * @param {Run[]} runs those on the page
   * @param {number} number of the one to change
   * @param {number} step counted from 0
   * @param {{id: number, text: string}|string} word a candidate, or what was typed
   */
  say(runs, number, step, word) {
    const { document, engine } = this.at(runs, number, step);
    const typed = typeof word === "string";
    const ids = typed ? idsOf(engine.vocabularies.target, document, step, word) : [word.id];
    const token = typed ? word : word.text.trim() || word.token;
    return this.add(runs, number, { kind: "target", step, ids, token });
  }

  /** The run that looks elsewhere at a step. @param {number[]} layers @param {number[]} weights one for each source token */
  async weigh(runs, number, step, layers, weights) {
    this.at(runs, number, step);
    const sum = weights.reduce((one, other) => one + other, 0);
    const row = Array.from(Float32Array.from(weights, (weight) => weight / sum));
    return this.add(runs, number, { kind: "weights", step, layers, weights: row });
  }

  /** The run without one more head of a layer. @param {number} head counted from 0 */
  leaveOut(runs, number, layer, head) {
    return this.add(runs, number, { kind: "heads", layers: [layer], heads: [head] });
  }

  /** The run to be changed, which has the step. */
  at(runs, number, step) {
    const run = this.current(runs, number);
    const { length } = run.steps;
    if (step >= length) throw new Refusal(`What is changed ends at step ${length}: choose a step before its end, or take a change back.`);
    return run;
  }

  add(runs, number, change) {
    this.note = "";
    return this.wanted((wanted) => this.made(this.current(runs, number), this.baseOf(runs, number), change, wanted));
  }

  /** The run without one of its changes, or with none: the others are made again. @param {number} at which of them */
  takeBack(runs, number, at) {
    this.note = "";
    const base = this.baseOf(runs, number);
    const changes = changesOf(this.current(runs, number).document).filter((_, index) => index !== at);
    return this.wanted((wanted) => this.all(runs[base], base, changes, wanted));
  }

  /** What was asked last is not wanted any more. */
  forget() {
    this.newest.stop();
  }

  /**
   * The changed runs of runs that were made again, such as with more beams.
   * @param {Run[]} bases
   * @param {Set<string>} texts all that are there
   * @param {() => void} wanted
   */
  async again(bases, texts, wanted) {
    this.note = "";
    for (const key of this.kept.keys()) {
      if (texts.has(textOf(key))) continue;
      this.kept.delete(key);
      this.note = GONE;
    }
    const made = [];
    for (const [number, base] of bases.entries()) {
      const run = await this.all(base, number, this.kept.get(keyOf(base)) ?? [], wanted);
      if (run) made.push(run);
    }
    return made;
  }

  /** A run with all of the changes, in their order; null with none. What a run does not come to is put back. */
  async all(base, number, changes, wanted) {
    let run = base;
    for (const change of changes) {
      if (change.step >= run.steps.length) this.note = `Put back: ${tellChange(change, run)}. The translation ends at step ${run.steps.length} now.`;
      else run = await this.made(run, number, change, wanted);
    }
    return run === base ? null : run;
  }

  async made(run, base, change, wanted) {
    const { engine } = run;
    const made = await engine.changed(run.document, change, wanted);
    return Object.assign(new Run({ ...made, name: null, parent: base }, [], []), { engine });
  }

  /** What is made by the newest question; undefined where it is not the newest any more. */
  async wanted(make) {
    const wanted = this.newest.begin();
    try {
      const made = await make(wanted);
      wanted();
      return made;
    } catch (error) {
      if (error instanceof Superseded) return undefined;
      throw error;
    }
  }
}

const keyOf = ({ engine, document: { source } }) => JSON.stringify([source.text, engine.settings.told.model.name, engine.second === null]);
const textOf = (key) => JSON.parse(key)[0];

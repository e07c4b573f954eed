// Runs with something changed: a word that is said at a step, other weights there, heads that are left out. The model decodes
// again, as Python's `what_if` does.
import { Run } from "../run.js";
import { idsOf } from "./said.js";
import { Newest, Superseded } from "./turns.js";

/** What a page with the model in it can do; pages of saved traces have no such object. */
export class Changing {
  /** @param {import("./proving.js").Proving} proving */
  constructor(proving) {
    this.proving = proving;
    this.newest = new Newest();
  }

  /** Runs are shown that were not. @param {import("../app.js").App} app */
  shown(app) {
    this.proving.start(app, app.runs);
  }

  /** Whether a word or weights of a run can be changed: of one with other weights or heads, more would be changed than one thing. */
  open(run) {
    return !["weights", "heads"].includes(run.document.what_if?.kind);
  }

  /**
   * The run that says another word at a step; null where something newer was asked.
   * @param {Run[]} runs those on the page
   * @param {number} number of the one to change
   * @param {number} step counted from 0
   * @param {{id: number, text: string}|string} word a candidate, or what was typed
   */
  say(runs, number, step, word) {
    const { document, engine } = runs[number];
    const typed = typeof word === "string";
    const ids = typed ? idsOf(engine.vocabularies.target, document, step, word) : [word.id];
    const token = typed ? word : word.text.trim() || word.token;
    return this.change(runs, number, { kind: "target", step, ids, token }, [...told(document).slice(0, step), ...ids]);
  }

  /** The run that looks elsewhere at a step. @param {number[]} weights one for each source token */
  weigh(runs, number, step, layer, weights) {
    const sum = weights.reduce((one, other) => one + other, 0);
    const row = Array.from(Float32Array.from(weights, (weight) => weight / sum));
    return this.change(runs, number, { kind: "weights", step, layers: [layer], weights: row }, told(runs[number].document).slice(0, step));
  }

  /** The run without some heads of a layer. @param {number[]} heads counted from 0 */
  leaveOut(runs, number, layer, heads) {
    return this.change(runs, number, { kind: "heads", layers: [layer], heads }, []);
  }

  /** What was asked last is not wanted any more. */
  forget() {
    this.newest.stop();
  }

  /** @returns {Promise<Run|null>} */
  async change(runs, number, whatIf, forced) {
    const base = runs[number];
    const wanted = this.newest.begin();
    const { engine, document } = base;
    const { run, what_if: before } = document;
    const beams = whatIf.kind === "heads" ? run.num_beams : 1; // from a step on, the search is greedy
    // The length of a given target is not a limit of the model.
    const limit = Math.max(run.forced && !before ? engine.settings.search.max_new_tokens : run.max_new_tokens, forced.length);
    try {
      const made = await engine.change(document.source.text, forced, { beams, limit, whatIf, wanted });
      wanted();
      return Object.assign(new Run({ ...made, name: named(whatIf, base), parent: base.parent ?? number }, [], []), { engine });
    } catch (error) {
      if (error instanceof Superseded) return null;
      throw error;
    }
  }
}

const told = ({ steps }) => steps.map(({ choice }) => choice.id);

/** What was changed, in a few words. */
function named({ kind, step, token, weights, heads, layers }, { source, layers: all }) {
  if (kind === "target") return `with “${token}” said at step ${step + 1}`;
  if (kind === "weights") {
    if (Math.max(...weights) === 1) return `step ${step + 1} looks only at “${source.tokens[weights.indexOf(1)].label}”`;
    return `step ${step + 1} with ${Math.max(...weights) - Math.min(...weights) < 1e-6 ? "all weights alike" : "other weights"}`;
  }
  const numbers = heads.map((head) => head + 1);
  const out = numbers.length === 1 ? `head ${numbers[0]}` : `heads ${numbers.slice(0, -1).join(", ")} and ${numbers.at(-1)}`;
  return `without ${out}${all.length > 1 ? ` of layer ${layers[0] + 1}` : ""}`;
}

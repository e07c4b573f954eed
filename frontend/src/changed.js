// What was changed in a run, as its trace has it (`what_if`), and how it is told.

/** The changes of a run, in the order in which they were asked for. */
export function changesOf({ what_if: whatIf }) {
  if (!whatIf) return [];
  return whatIf.kind === "several" ? whatIf.changes : [whatIf];
}

/** The heads of a layer that are left out. @returns {number[]} */
export const leftOut = (document, layer) => changesOf(document).flatMap(({ kind, layers, heads }) => (kind === "heads" && layers.includes(layer) ? heads : []));

/** The weights of a layer that were set by hand, by their steps, as far as the run came. @returns {Map<number, number[]>} */
export const weightsSet = (document, layer) => new Map(changesOf(document).flatMap(({ kind, layers, step, weights }) =>
  (kind === "weights" && layers.includes(layer) && step < document.steps.length ? [[step, weights]] : [])));

/** Whether a run came to the step that was to be changed. */
export const reached = ({ steps }, { step = 0 }) => step < steps.length;

const LONG = 60; // characters of a name

const shortened = (text) => ([...text].length > LONG ? `${[...text].slice(0, LONG).join("")}…` : text);
const listed = (numbers) => (numbers.length > 1 ? `${numbers.slice(0, -1).join(", ")} and ${numbers.at(-1)}` : String(numbers[0]));

/**
 * A change in a few words.
 * @param {any} change
 * @param {import("./run.js").Run} run in which it was made
 */
export function tellChange(change, { source, document }) {
  const { kind, step } = change;
  const { layers = [] } = document.attention ?? {};
  const everywhere = change.layers?.length === layers.length;
  if (kind === "source") return `with the source “${shortened(change.text)}”`;
  if (kind === "mute") return `${change.from.toFixed(2)} to ${change.to.toFixed(2)} s muted`;
  if (kind === "cover") return `${change.place} covered`;
  if (kind === "target") return `with “${shortened(change.token)}” said at step ${step + 1}`;
  if (kind === "weights") {
    const { weights } = change;
    const where = everywhere ? "" : ` in layer ${listed(change.layers.map((layer) => layer + 1))}`;
    if (Math.max(...weights) === 1) return `step ${step + 1} looks only at “${source.tokens[weights.indexOf(1)].label}”${where}`;
    return `step ${step + 1} with ${Math.max(...weights) - Math.min(...weights) < 1e-6 ? "all weights alike" : "other weights"}${where}`;
  }
  const heads = `without head${change.heads.length > 1 ? "s" : ""} ${listed(change.heads.map((head) => head + 1))}`;
  if (layers.length === 1) return heads;
  return `${heads} of ${everywhere ? "every layer" : `layer ${listed(change.layers.map((layer) => layer + 1))}`}`;
}

/** The name of a run in which something was changed. */
export function nameOf(run) {
  const told = changesOf(run.document).map((change) => tellChange(change, run));
  if (!told.length) return "a changed run";
  return told.length < 3 ? told.join(", ") : `with ${told.length} changes`;
}

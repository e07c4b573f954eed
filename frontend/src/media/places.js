// Where the states of a recording or a picture lie in it, and how much of each was read.
import { number, percent as share } from "../dom.js";

/** A model heard a recording. */
export const hears = (run) => run.input?.kind === "audio";

/** The states lie side by side: of a recording, or of a line of text; else in a grid. */
export const inLine = (run) => hears(run) || run.input?.layout === "columns";

/** The box of each state in shares of the whole: left, top, right, bottom. */
export function boxes({ input }) {
  if (input.kind === "audio") return input.spans.map(([from, to]) => [from / input.seconds, 0, to / input.seconds, 1]);
  return input.boxes.map(([left, top, right, bottom]) =>
    [left / input.width, top / input.height, right / input.width, bottom / input.height]);
}

/** The state at a place, in shares of the whole; the nearest one beyond the last. */
export function stateAt(run, x, y) {
  const all = run.boxes;
  const found = all.findIndex(([left, top, right, bottom]) => x >= left && x < right && y >= top && y < bottom);
  if (found >= 0) return found;
  const away = ([left, top, right, bottom]) => Math.abs((left + right) / 2 - x) + Math.abs((top + bottom) / 2 - y);
  return all.reduce((best, box, index) => (away(box) < away(all[best]) ? index : best), 0);
}

const percent = (weight) => share(weight).replace(/ %$/, "\u00a0%"); // never broken from its number
const seconds = (time) => time.toFixed(2);

/** "0.52 to 0.56 s", "row 3, column 5", "pixels 120 to 128". */
export function placeName(run, index) {
  const { input } = run;
  if (hears(run)) return `${seconds(input.spans[index][0])} to ${seconds(input.spans[index][1])} s`;
  if (inLine(run)) return `pixels ${Math.round(input.boxes[index][0])} to ${Math.round(input.boxes[index][2])}`;
  return `row ${Math.floor(index / input.columns) + 1}, column ${(index % input.columns) + 1}`;
}

const SHARE = 0.8; // of the weight of a step

/**
 * The shortest stretch of states side by side that has most of a step's weight.
 * @param {ArrayLike<number>} weights
 * @returns {{from: number, to: number, weight: number}} `to` is the last state within
 */
export function stretch(weights) {
  let best = { from: 0, to: weights.length - 1, weight: 1 };
  let total = 0;
  for (let from = 0, to = -1; from < weights.length; total -= weights[from++]) {
    while (total < SHARE && to < weights.length - 1) total += weights[++to];
    if (total < SHARE) break;
    if (to - from < best.to - best.from || (to - from === best.to - best.from && total > best.weight)) best = { from, to, weight: total };
  }
  return best;
}

/** Where a step looked, in a few words. */
export function looked(run, weights) {
  if (inLine(run)) {
    const { from, to, weight } = stretch(weights);
    if (hears(run)) return `${seconds(run.input.spans[from][0])} to ${seconds(run.input.spans[to][1])} s, ${percent(weight)}`;
    return `pixels ${Math.round(run.input.boxes[from][0])} to ${Math.round(run.input.boxes[to][2])}, ${percent(weight)}`;
  }
  const best = weights.reduce((found, weight, index) => (weight > weights[found] ? index : found), 0);
  return `${placeName(run, best)}, ${percent(weights[best])}`;
}

/** The reading under the pointer. */
export const reading = (run, index, weights) =>
  `${placeName(run, index)} · ${run.unit} ${index + 1}${weights ? ` · weight ${number(weights[index], 4)}` : ""}`;

/** What a what-if run muted or covered, in shares of the whole; null where it changed nothing of the input. */
export function changed({ document, input }) {
  const change = document.what_if;
  if (change?.kind === "mute") return [change.from / input.seconds, 0, change.to / input.seconds, 1];
  if (change?.kind !== "cover") return null;
  const [left, top, right, bottom] = change.box;
  return [left / input.width, top / input.height, right / input.width, bottom / input.height];
}

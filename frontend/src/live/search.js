// Greedy and beam search, as `generate()` in Python does them: the same hypotheses are kept, in the same order.
import { largest, logSoftmax } from "./numbers.js";

/**
 * @typedef {{ logits: Float32Array[], found: any }} Stepped what a step gave: a row of logits for each hypothesis, and everything
 * @typedef {(tokens: number[], parents: number[]|null) => Promise<Stepped>} Step
 *   runs a step of hypotheses that end in these tokens and continue those of the step before that stood in these rows
 * @typedef {{ fed: number, logits: Float32Array, scores: ArrayLike<number>, found: any, row: number }} Taken a step that led to the
 *   result: its logits, what the settings made of them (with beams, of the log-probabilities), and where its hypothesis stood
 */

const IMPOSSIBLE = -1e9; // what `generate()` adds to the score of a hypothesis that may not go on
const NEVER = 2; // of early_stopping, beside 0 and 1 for false and true

/**
 * @param {Step} step
 * @param {any} search the settings
 * @param {number[]} forced the first tokens
 * @param {number} limit the most tokens
 * @returns {Promise<{tokens: number[], steps: Taken[], beams: null}>}
 */
export async function greedy(step, search, forced, limit) {
  const [steps, tokens] = [[], []];
  for (let fed = search.decoder_start_token_id; tokens.length < limit; fed = tokens.at(-1)) {
    const { logits: [logits], found } = await step([fed], null);
    const scores = processed(logits, tokens, search, limit);
    const chosen = forced[tokens.length] ?? largest(scores, 1)[0];
    tokens.push(chosen);
    steps.push({ fed, logits, scores, found, row: 0 });
    if (search.eos_token_id.includes(chosen)) break;
  }
  return { tokens, steps, beams: null };
}

/**
 * @param {Step} step
 * @param {any} search the settings
 * @param {number} count of beams, 2 or more
 * @param {number} limit the most tokens
 * @returns {Promise<{tokens: number[], steps: Taken[], score: number, beams: any[]}>} with the rows of each step: what was told, to
 *   be continued
 */
export async function beamSearch(step, search, count, limit) {
  const { eos_token_id: ends, early_stopping: early, length_penalty: penalty, decoder_start_token_id: start } = search;
  const considered = Math.max(2, 1 + ends.length) * count;
  // All rows start alike: the first stands for them.
  let running = Array.from({ length: count }, (_, row) => ({ tokens: [], rows: [], sum: row ? IMPOSSIBLE : 0 }));
  let finished = Array.from({ length: count }, () => ({ tokens: [], rows: [], score: IMPOSSIBLE, done: false }));
  let improvable = true;
  const made = [];
  for (let length = 1; ; length++) {
    const fed = running.map(({ tokens }) => tokens.at(-1) ?? start);
    const { logits, found } = await step(fed, length > 1 ? running.map(({ rows }) => rows.at(-1)) : null);
    const scores = logits.map((row, index) => processed(new Float32Array(logSoftmax(row).logs), running[index].tokens, search, limit));
    made.push({ fed, logits, scores, found, sequences: running.map(({ tokens }) => tokens) });

    const size = logits[0].length;
    const sums = new Float32Array(count * size);
    scores.forEach((row, index) => {
      for (let id = 0; id < size; id++) sums[index * size + id] = row[id] + running[index].sum;
    });
    const candidates = largest(sums, considered).map((place, rank) => {
      const [parent, token] = [Math.floor(place / size), place % size];
      const stops = ends.includes(token) || length === limit;
      return { tokens: [...running[parent].tokens, token], rows: [...running[parent].rows, parent], sum: sums[place], stops, done: stops && rank < count };
    });
    const goingOn = candidates.map((each) => ({ ...each, sum: Math.fround(each.sum + (each.stops ? IMPOSSIBLE : 0)) }));
    running = largest(goingOn.map(({ sum }) => sum), count).map((place) => goingOn[place]);

    const full = early === 1 && finished.every(({ done }) => done);
    const barred = (full ? IMPOSSIBLE : 0) + (improvable ? 0 : IMPOSSIBLE);
    const all = [...finished, ...candidates.map((each) => ({ ...each, score: Math.fround(Math.fround(each.sum / length ** penalty) + barred + (each.done ? 0 : IMPOSSIBLE)) }))];
    finished = largest(all.map(({ score }) => score), count).map((place) => all[place]);

    const best = running[0].sum / (early === NEVER && penalty > 0 ? limit : length) ** penalty;
    const worst = Math.min(...finished.map(({ score }) => score));
    improvable &&= finished.some(({ done }) => best > (done ? worst : IMPOSSIBLE));
    if (!improvable || (early === 1 && finished.every(({ done }) => done)) || candidates.every(({ stops }) => stops)) break;
  }
  const [{ tokens, rows, score }] = finished;
  const steps = rows.map((row, index) => {
    const { fed, logits, scores, found } = made[index];
    return { fed: fed[row], logits: logits[row], scores: scores[row], found, row };
  });
  return { tokens, steps, score, beams: made };
}

/**
 * The tree of a beam search, as a trace has it: the hypotheses that were kept, finished and dropped at each step.
 * @param {any[]} made the rows of each step
 * @param {number[]} result
 * @param {any} search the settings
 * @param {(id: number) => any} name of a token
 */
export function beamTree(made, result, search, name) {
  const { eos_token_id: ends, length_penalty: penalty } = search;
  const count = made[0].sequences.length;
  let sums = [0, ...Array(count - 1).fill(-Infinity)]; // all rows start alike: the first stands for them
  const same = (one, other) => one.length === other.length && one.every((id, at) => id === other[at]);
  return made.map(({ sequences, scores }, index) => {
    const size = scores[0].length;
    const totals = new Float64Array(count * size);
    for (let row = 0; row < count; row++) for (let id = 0; id < size; id++) totals[row * size + id] = scores[row][id] + sums[row];
    const following = made[index + 1]?.sequences ?? [];
    const parents = following.map((sequence) => sequences.findIndex((each) => same(each, sequence.slice(0, -1))));
    const kept = new Map(); // by their places among the totals: the first row that continues so
    following.forEach((sequence, row) => {
      const place = parents[row] * size + sequence.at(-1);
      if (!kept.has(place)) kept.set(place, row);
    });
    // The search considers twice as many as it keeps, because half of them may end here.
    const ordered = [...new Set([...largest(totals, Math.min(2 * count, totals.length)), ...kept.keys()])];
    const hypotheses = ordered.flatMap((place, rank) => {
      const [parent, id, sum] = [Math.floor(place / size), place % size, totals[place]];
      if (!Number.isFinite(sum)) return [];
      const finished = !kept.has(place) && rank < count && (ends.includes(id) || !following.length);
      return {
        row: kept.get(place) ?? null,
        parent,
        ...name(id),
        log_probability: scores[parent][id],
        sum,
        state: kept.has(place) ? "kept" : finished ? "finished" : "dropped",
        score: finished ? sum / (index + 1) ** penalty : null,
        best: same([...sequences[parent], id], result.slice(0, index + 1)),
      };
    });
    // If fewer hypotheses are possible than there are rows, the remaining rows are duplicates and do not count.
    sums = following.map((sequence, row) => {
      const place = parents[row] * size + sequence.at(-1);
      return kept.get(place) === row ? totals[place] : -Infinity;
    });
    return { hypotheses };
  });
}

/** What the settings make of a step's scores: tokens that they forbid or prescribe. */
function processed(scores, tokens, search, limit) {
  const forbidden = new Set(search.suppress_tokens);
  if (tokens.length === 0) search.begin_suppress_tokens.forEach((id) => forbidden.add(id));
  if (tokens.length < search.min_new_tokens) search.eos_token_id.forEach((id) => forbidden.add(id));
  const last = tokens.length + 1 === limit && search.forced_eos_token_id >= 0 ? search.forced_eos_token_id : -1;
  const only = tokens.length === 0 && search.forced_bos_token_id >= 0 ? search.forced_bos_token_id : last;
  if (only >= 0) return scores.map((_, id) => (id === only ? 0 : -Infinity));
  return forbidden.size ? scores.map((score, id) => (forbidden.has(id) ? -Infinity : score)) : scores;
}
